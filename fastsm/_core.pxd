# The contract of the boundary: what of csrc/ the extension calls.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "<stdbool.h>" nogil:
    ctypedef bint c_bool "bool"

cdef extern from "fsm_base.h" nogil:
    ctypedef enum fsm_status:
        FSM_OK
        FSM_E_NOMEM
        FSM_E_IO
        FSM_E_CHANGED
        FSM_E_TRUNCATED
        FSM_E_VARINT
        FSM_E_TAG
        FSM_E_WIRE
        FSM_E_GROUP
        FSM_E_DEPTH
        FSM_E_UTF8
        FSM_E_LIMIT
        FSM_E_INVALID
        FSM_E_MAGIC
        FSM_E_HANDLE
        FSM_E_BLOCK
        FSM_E_RESTARTS
        FSM_E_CRC
        FSM_E_SNAPPY
        FSM_E_ORDER

    ctypedef struct fsm_error:
        fsm_status status
        uint64_t offset
        uint64_t need
        uint64_t have

cdef extern from "fsm_src.h" nogil:
    ctypedef struct fsm_piece:
        uint64_t start
        uint64_t length
        uint64_t origin
        int64_t fd

    ctypedef struct fsm_tap:
        pass

    ctypedef struct fsm_src:
        const fsm_piece *pieces
        size_t n_pieces
        uint64_t size
        const uint8_t *patch
        uint64_t patch_size
        const fsm_tap *tap

    ctypedef struct fsm_span:
        uint64_t start
        uint64_t end

    fsm_status fsm_src_init(fsm_src *src, const fsm_piece *pieces, size_t n_pieces,
                            const uint8_t *patch, uint64_t patch_size, fsm_error *e)
    fsm_status fsm_src_same(const fsm_src *a, uint64_t at_a, const fsm_src *b, uint64_t at_b,
                            uint64_t n, uint8_t *window, size_t capacity, c_bool *same,
                            uint64_t *at, fsm_error *e)
    fsm_status fsm_src_read(const fsm_src *src, uint64_t offset, void *buffer, size_t n,
                            fsm_error *e)

cdef extern from "fsm_pipe.h" nogil:
    ctypedef enum fsm_pipe_state:
        FSM_PIPE_SOME
        FSM_PIPE_NOT_YET
        FSM_PIPE_END

    ctypedef struct fsm_pipe:
        fsm_tap tap

    fsm_status fsm_pipe_init(fsm_pipe *pipe, const fsm_src *src)
    void fsm_pipe_free(fsm_pipe *pipe)
    fsm_status fsm_pipe_read(fsm_pipe *pipe, uint64_t start, uint64_t end, fsm_error *e)
    void fsm_pipe_end(fsm_pipe *pipe)
    fsm_pipe_state fsm_pipe_take(fsm_pipe *pipe, unsigned milliseconds, uint64_t *offset,
                                 const uint8_t **bytes, size_t *n)
    void fsm_pipe_stop(fsm_pipe *pipe)

cdef extern from "fsm_encode.h" nogil:
    unsigned fsm_varint_size(uint64_t value)
    unsigned fsm_write_varint(uint8_t *to, uint64_t value)
    uint8_t *fsm_put32(uint8_t *to, uint32_t value)
    uint8_t *fsm_put64(uint8_t *to, uint64_t value)
    size_t fsm_size_number(uint32_t number, uint64_t value)
    uint8_t *fsm_put_number(uint8_t *to, uint32_t number, uint64_t value)
    uint64_t fsm_size_delimited(uint32_t number, uint64_t n)
    uint8_t *fsm_put_delimited(uint8_t *to, uint32_t number, const void *payload, size_t n)

cdef extern from "fsm_rewrite.h" nogil:
    ctypedef struct fsm_splice:
        pass

    ctypedef struct fsm_enclosing:
        pass

    c_bool fsm_rewrite_in_order(const fsm_splice *splices, size_t n_splices,
                                const fsm_enclosing *fields, size_t n_fields)
    size_t fsm_rewrite_max_pieces(const fsm_src *src, size_t n_splices, size_t n_fields)
    uint64_t fsm_rewrite_max_patch(const fsm_src *src, uint64_t data_size, size_t n_fields)
    fsm_status fsm_rewrite(const fsm_src *src, fsm_splice *splices, size_t n_splices,
                           fsm_enclosing *fields, size_t n_fields, const uint8_t *data,
                           fsm_piece *pieces, size_t *n_pieces, uint8_t *patch,
                           uint64_t *patch_size, fsm_error *e)

cdef extern from "fsm_sys.h" nogil:
    int fsm_sys_exchange(const char *a, const char *b)
    int fsm_sys_allocate(int fd, uint64_t size)
    int fsm_sys_begin_sync(int fd, uint64_t offset, uint64_t n)

cdef extern from "fsm_schema.h" nogil:
    ctypedef enum fsm_kind:
        FSM_KIND_BYTES
        FSM_KIND_MESSAGE
        FSM_KIND_INT64
        FSM_KIND_INT32
        FSM_KIND_UINT32
        FSM_KIND_BOOL
        FSM_KIND_FIXED32
        FSM_KIND_FIXED64

    const int FSM_REPEATED
    const int FSM_MAP
    const int FSM_ONEOF
    const int FSM_TEXT

    ctypedef struct fsm_field_def:
        uint8_t number
        uint8_t kind
        uint8_t flags
        uint8_t message

    ctypedef struct fsm_message_def:
        const char *name
        const fsm_field_def *fields
        const char *const *names
        uint64_t oneof

    const int FSM_ENTRY_KEY
    const int FSM_ENTRY_VALUE
    const fsm_message_def fsm_schema[]
    const int FSM_N_MESSAGES

    const fsm_field_def *fsm_field_of(const fsm_message_def *m, uint32_t number)

cdef extern from "fsm_farmhash.h" nogil:
    ctypedef struct fsm_farm:
        uint64_t length

    void fsm_farm_init(fsm_farm *h)
    void fsm_farm_update(fsm_farm *h, const void *bytes, size_t n)
    uint64_t fsm_farm_finish(const fsm_farm *h)
    uint64_t fsm_fingerprint64(const void *bytes, size_t n)
    uint64_t fsm_fingerprint_cat(uint64_t a, uint64_t b)

cdef extern from "fsm_cursor.h" nogil:
    ctypedef enum fsm_wire:
        FSM_VARINT
        FSM_FIXED64
        FSM_LEN
        FSM_GROUP
        FSM_END_GROUP
        FSM_FIXED32

    ctypedef struct fsm_field:
        uint64_t start
        uint64_t value
        uint64_t tag_end
        uint64_t end
        uint64_t length
        uint32_t number
        fsm_wire wire
        bint minimal

    ctypedef struct fsm_cursor:
        fsm_error error

    const size_t FSM_WINDOW

    void fsm_cursor_init(fsm_cursor *c, const fsm_src *src, uint8_t *window, size_t capacity)
    fsm_status fsm_cursor_span(fsm_cursor *c, uint64_t start, uint64_t end)
    bint fsm_cursor_done(const fsm_cursor *c)
    fsm_status fsm_cursor_next(fsm_cursor *c, fsm_field *f)

cdef extern from "fsm_canon.h" nogil:
    ctypedef struct fsm_canon:
        fsm_cursor cursor

    void fsm_canon_free(fsm_canon *c)
    fsm_status fsm_canon_hash(fsm_canon *c, const fsm_src *src, int message,
                              const fsm_span *spans, size_t n_spans, uint64_t *hash)
    fsm_status fsm_canon_write(fsm_canon *c, const fsm_src *src, int message,
                               const fsm_span *spans, size_t n_spans, uint8_t *bytes,
                               uint64_t capacity, uint64_t *n)

cdef extern from "fsm_grow.h" nogil:
    ctypedef struct fsm_array:
        void *items
        size_t n

cdef extern from "fsm_parse.h" nogil:
    ctypedef struct fsm_value:
        const fsm_field_def *field
        uint64_t at
        uint64_t value
        uint64_t size

    ctypedef struct fsm_parsed:
        fsm_array values
        fsm_array text

    ctypedef struct fsm_wanted:
        uint32_t only
        int located

    bint fsm_is_located(const fsm_field_def *f, const fsm_wanted *wanted)
    fsm_status fsm_parse(fsm_parsed *to, fsm_cursor *c, int message, const fsm_span *spans,
                         size_t n_spans, const fsm_wanted *wanted)
    void fsm_parsed_free(fsm_parsed *p)

cdef extern from "fsm_names.h" nogil:
    ctypedef struct fsm_names:
        fsm_array ends

    const uint8_t *fsm_names_get(const fsm_names *names, uint32_t id, uint32_t *n)
    c_bool fsm_names_find(const fsm_names *names, const uint8_t *p, size_t n, uint32_t *id)

cdef extern from "fsm_nodes.h" nogil:
    ctypedef enum fsm_nodes_depth:
        FSM_NODES_COUNT
        FSM_NODES_OPS
        FSM_NODES_ROWS

    ctypedef struct fsm_node:
        uint64_t start
        uint64_t name
        uint32_t length
        uint32_t name_length
        uint32_t op
        uint32_t owner

    ctypedef struct fsm_function:
        uint64_t start
        uint64_t length
        uint32_t name
        uint32_t first_node
        uint32_t n_nodes

    ctypedef struct fsm_use:
        uint32_t owner
        uint32_t name

    const uint32_t FSM_NO_NAME

    ctypedef struct fsm_nodes:
        uint64_t n_nodes
        uint64_t n_function_nodes
        uint64_t n_functions
        fsm_array nodes
        fsm_array functions
        fsm_array libraries
        fsm_array uses
        fsm_names names

    fsm_status fsm_nodes_scan(fsm_nodes *nodes, const fsm_src *src, const fsm_span *spans,
                              size_t n_spans, fsm_nodes_depth depth, fsm_error *e)
    fsm_status fsm_nodes_ops_used(const fsm_nodes *nodes, uint8_t *used)
    void fsm_nodes_free(fsm_nodes *nodes)

cdef extern from "fsm_cuts.h" nogil:
    ctypedef enum fsm_cut:
        FSM_CUT_DEVICES
        FSM_CUT_DEBUG

    ctypedef struct fsm_cuts:
        fsm_array splices
        fsm_array fields
        fsm_names names
        fsm_array counts
        uint64_t n_main

    ctypedef struct fsm_around:
        int64_t parent
        int64_t first_row
        uint64_t depth

    fsm_status fsm_cuts_scan(fsm_cuts *cuts, const fsm_src *src, fsm_cut what,
                             const fsm_span *graph, const fsm_around *around, fsm_error *e)
    void fsm_cuts_free(fsm_cuts *cuts)

cdef extern from "fsm_naming.h" nogil:
    ctypedef enum fsm_naming:
        FSM_NAMING_INPUT
        FSM_NAMING_FUNCTION

    fsm_status fsm_nodes_naming(const fsm_nodes *nodes, const fsm_src *src, fsm_naming what,
                                const uint8_t *name, uint32_t n, fsm_array *rows, fsm_error *e)

cdef extern from "fsm_edges.h" nogil:
    ctypedef uint32_t fsm_edge

    ctypedef enum fsm_edge_kind:
        FSM_TO_NODE
        FSM_TO_ARGUMENT
        FSM_TO_NOTHING
        FSM_TO_FUNCTION
        FSM_TO_NO_FUNCTION
        FSM_BESIDE_NODE
        FSM_BESIDE_NOTHING

    ctypedef struct fsm_loose:
        uint32_t at
        uint32_t what

    ctypedef struct fsm_edges:
        uint32_t *first
        fsm_array edges
        fsm_array loose
        uint32_t *function

    ctypedef struct fsm_live:
        uint8_t *nodes
        uint8_t *functions
        fsm_array todo

    fsm_edge FSM_EDGE(fsm_edge_kind kind, uint32_t number)
    fsm_edge_kind fsm_edge_kind_of(fsm_edge e)
    uint32_t fsm_edge_number(fsm_edge e)
    fsm_status fsm_edges_resolve(fsm_edges *edges, const fsm_nodes *nodes, const fsm_src *src,
                                 fsm_error *e)
    fsm_status fsm_edges_row(const fsm_edges *edges, const fsm_nodes *nodes, const fsm_src *src,
                             uint32_t owner, const uint8_t *name, size_t n, uint32_t *row,
                             fsm_error *e)
    fsm_status fsm_live_mark(fsm_live *live, const fsm_edges *edges, fsm_edge edge)
    fsm_status fsm_live_walk(fsm_live *live, const fsm_edges *edges, const fsm_nodes *nodes)
    void fsm_edges_free(fsm_edges *edges)

cdef extern from "fsm_prune.h" nogil:
    ctypedef struct fsm_prune_span:
        uint64_t start
        uint64_t end
        int64_t row
        uint64_t depth

    ctypedef struct fsm_pruned:
        fsm_array splices
        fsm_array fields
        uint64_t n_nodes
        uint64_t n_functions
        uint64_t n_gradients

    fsm_status fsm_prune(fsm_pruned *pruned, const fsm_src *src, const fsm_nodes *nodes,
                         const fsm_prune_span *spans, size_t n_spans, int64_t first_row,
                         const uint8_t *live_nodes, const uint8_t *live_functions,
                         fsm_error *e)
    void fsm_pruned_free(fsm_pruned *pruned)

cdef extern from "fsm_program.h" nogil:
    ctypedef struct fsm_irregular:
        fsm_field node
        bint is_call

    fsm_status fsm_program_next(fsm_cursor *c, fsm_irregular *node, c_bool *found)

cdef extern from "fsm_bundle.h" nogil:
    ctypedef struct fsm_extent:
        int64_t start
        int64_t length

    fsm_status fsm_bundle_slices_parse(fsm_array *extents, fsm_array *ends,
                                       const uint8_t **p, const uint8_t *end)

cdef extern from "fsm_ordered.h" nogil:
    ctypedef struct fsm_slice_name:
        size_t name_size
        size_t rank

    size_t fsm_slice_key_max(size_t name_size, size_t rank)
    size_t fsm_slice_key_write(uint8_t *to, const uint8_t *name, size_t name_size,
                               const fsm_extent *extents, size_t rank)
    fsm_status fsm_slice_key_parse(const uint8_t *key, size_t n, uint8_t *name,
                                   fsm_extent *extents, fsm_slice_name *parts)

cdef extern from "fsm_strings.h" nogil:
    ctypedef struct fsm_strings:
        pass

    fsm_status fsm_strings_begin(fsm_strings *strings, const uint8_t *bytes, size_t size,
                                 uint64_t n, fsm_error *e)
    void fsm_variants_begin(fsm_strings *strings, const uint8_t *bytes, size_t size)
    void fsm_strings_next(fsm_strings *strings, const uint8_t **p, size_t *n)
    fsm_status fsm_variants_next(fsm_strings *strings, const uint8_t **p, size_t *n,
                                 fsm_error *e)

cdef extern from "fsm_trackable.h" nogil:
    ctypedef struct fsm_text:
        uint32_t at
        uint32_t size

    ctypedef struct fsm_tracked_child:
        uint32_t owner
        int32_t node
        fsm_text name

    ctypedef struct fsm_tracked_value:
        uint32_t owner
        fsm_text name
        fsm_text full_name
        fsm_text key

    ctypedef struct fsm_tracked_slot:
        uint32_t owner
        int32_t of
        int32_t node
        fsm_text name

    ctypedef struct fsm_tracked_saver:
        uint32_t owner
        fsm_text name

    ctypedef struct fsm_tracked:
        uint32_t n_nodes
        fsm_array children
        fsm_array values
        fsm_array slots
        fsm_array savers

    fsm_status fsm_tracked_parse(fsm_tracked *to, const uint8_t *bytes, size_t size, fsm_error *e)
    void fsm_tracked_free(fsm_tracked *tracked)

cdef extern from "fsm_index.h" nogil:
    const int FSM_ENTRY_UNKNOWN_RANK
    const uint32_t FSM_NO_BLOCK

    ctypedef struct fsm_bundle_header:
        bint present
        bint has_version
        int32_t num_shards
        int32_t endianness
        int32_t producer
        int32_t min_consumer
        bint refuses_this_version

    ctypedef struct fsm_problem:
        fsm_status status
        int place
        bint harmless
        uint32_t block
        uint64_t block_offset
        uint64_t offset
        uint64_t need
        uint64_t have
        size_t n_entries
        size_t key_at
        size_t key_size

    ctypedef struct fsm_index:
        fsm_bundle_header header
        size_t n_entries
        uint64_t total_bytes
        uint64_t *key_at
        uint64_t *dims_at
        int32_t *dtype
        int32_t *shard
        int64_t *offset
        int64_t *size
        uint32_t *crc32c
        uint32_t *n_slices
        uint8_t *flags
        uint32_t *value_size
        uint64_t *stored_at
        uint8_t *keys
        uint8_t *values
        int64_t *dims
        size_t header_at
        size_t header_size
        size_t n_blocks
        size_t n_problems
        size_t n_problems_seen
        fsm_problem *problems
        uint8_t *problem_keys

    fsm_status fsm_index_read(fsm_index *index, const fsm_src *src, bint lenient, fsm_error *e)
    void fsm_index_free(fsm_index *index)

cdef extern from "fsm_doubles.h" nogil:
    ctypedef struct fsm_doubles:
        size_t n_groups
        size_t n_entries
        uint64_t bytes

    fsm_status fsm_doubles_find(const fsm_index *index, size_t *twin_of, fsm_doubles *doubles)

cdef extern from "fsm_tensor.h" nogil:
    ctypedef struct fsm_tensor:
        uint64_t offset
        uint64_t size
        uint64_t n_elements
        uint32_t crc32c
        uint32_t kind

    ctypedef struct fsm_tensor_result:
        uint32_t status
        uint32_t crc32c
        uint64_t place
        uint64_t expected
        uint64_t seen
        uint64_t n_odd
        uint64_t odd_at

    void fsm_tensors_check(const fsm_src *src, const fsm_tensor *tensors, size_t n,
                           bint big_endian, uint8_t *window, size_t capacity,
                           fsm_tensor_result *results)

cdef extern from "fsm_crc32c.h" nogil:
    uint32_t fsm_crc32c(uint32_t crc, const void *data, size_t n)
    uint32_t fsm_crc32c_combine(uint32_t crc1, uint32_t crc2, uint64_t length2)
    uint32_t fsm_crc32c_mask(uint32_t crc)
    uint32_t fsm_crc32c_unmask(uint32_t masked)

cdef extern from "fsm_bundle_write.h" nogil:
    const unsigned FSM_SET_PLACE
    const unsigned FSM_SET_CONTENT
    const unsigned FSM_DROP_SLICES

    ctypedef struct fsm_entry_patch:
        unsigned what
        int32_t shard
        int64_t offset
        int64_t size
        uint32_t crc32c

    size_t FSM_PATCHED_MAX(size_t n)
    fsm_status fsm_entry_patched(const uint8_t *entry, size_t n, const fsm_entry_patch *patch,
                                 uint8_t *to, size_t *size)
    size_t fsm_entry_size(int32_t dtype, const int64_t *dims, size_t n_dims)
    void fsm_entry_write(uint8_t *to, int32_t dtype, const int64_t *dims, size_t n_dims)

cdef extern from "fsm_table_write.h" nogil:
    ctypedef struct fsm_table_writer:
        fsm_array out

    void fsm_table_writer_free(fsm_table_writer *w)

cdef extern from "fsm_layout.h" nogil:
    const int32_t FSM_NO_SHARD
    const uint64_t FSM_NO_ROW

    ctypedef struct fsm_layout_shard:
        int32_t id
        int32_t to
        uint64_t size
        bint touched

    ctypedef struct fsm_layout_fresh:
        int32_t shard
        int64_t offset
        uint64_t size
        uint64_t old

    ctypedef struct fsm_layout_place:
        int32_t shard
        int64_t offset

    ctypedef struct fsm_layout_run:
        int32_t to
        int32_t from_ "from"
        uint64_t origin
        uint64_t size

    ctypedef struct fsm_layout:
        fsm_layout_place *places
        fsm_array runs
        int32_t n_shards

    ctypedef struct fsm_layout_entry:
        const uint8_t *key
        const uint8_t *value
        size_t n_key
        size_t n_value
        uint64_t fresh

    fsm_status fsm_layout_make(fsm_layout *layout, const fsm_index *index, const uint8_t *keep,
                               const uint64_t *same_as, const fsm_layout_fresh *fresh,
                               size_t n_fresh, fsm_layout_shard *shards, size_t n_shards,
                               bint merge, fsm_error *e)
    fsm_status fsm_layout_write(fsm_table_writer *w, const fsm_layout *layout,
                                const fsm_index *index, const uint8_t *keep,
                                const fsm_layout_entry *added, size_t n_added, fsm_error *e)
    void fsm_layout_free(fsm_layout *layout)
