# The contract of the boundary: what of csrc/ the extension calls.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

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

    ctypedef struct fsm_src:
        const fsm_piece *pieces
        size_t n_pieces
        uint64_t size
        const uint8_t *patch
        uint64_t patch_size

    fsm_status fsm_src_init(fsm_src *src, const fsm_piece *pieces, size_t n_pieces,
                            const uint8_t *patch, uint64_t patch_size, fsm_error *e)
    fsm_status fsm_src_read(const fsm_src *src, uint64_t offset, void *buffer, size_t n,
                            fsm_error *e)

cdef extern from "fsm_sys.h" nogil:
    int fsm_sys_exchange(const char *a, const char *b)

cdef extern from "fsm_schema.h" nogil:
    ctypedef struct fsm_message_def:
        const char *name
    const fsm_message_def fsm_schema[]
    const int FSM_N_MESSAGES

cdef extern from "fsm_farmhash.h" nogil:
    uint64_t fsm_fingerprint64(const void *bytes, size_t n)
    uint64_t fsm_fingerprint_cat(uint64_t a, uint64_t b)

cdef extern from "fsm_cursor.h" nogil:
    ctypedef struct fsm_cursor:
        fsm_error error

cdef extern from "fsm_canon.h" nogil:
    ctypedef struct fsm_span:
        uint64_t start
        uint64_t end

    ctypedef struct fsm_canon:
        fsm_cursor cursor

    void fsm_canon_free(fsm_canon *c)
    fsm_status fsm_canon_hash(fsm_canon *c, const fsm_src *src, int message,
                              const fsm_span *spans, size_t n_spans, uint64_t *hash)
    fsm_status fsm_canon_write(fsm_canon *c, const fsm_src *src, int message,
                               const fsm_span *spans, size_t n_spans, uint8_t *bytes,
                               uint64_t capacity, uint64_t *n)
