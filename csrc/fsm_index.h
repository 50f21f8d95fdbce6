/* variables.index read whole: the header and one row for each entry, in columns.
 *
 * Only what can be told from the index alone is checked: that it is a sound
 * table of sound messages. Whether the shards agree is for the caller.
 * Source: TensorFlow 2.21 core/protobuf/tensor_bundle.proto,
 * core/util/tensor_bundle/tensor_bundle.cc. */
#ifndef FSM_INDEX_H
#define FSM_INDEX_H

#include "fsm_bundle.h"
#include "fsm_table.h"

/* Columns, keys and dimensions together may take this many bytes for each byte
 * of the file. TensorFlow repeats a whole key every 16 entries, and keys repeat
 * themselves about fourfold under Snappy: a real index stays well below, and a
 * small file of long shared keys cannot make a large table. */
#define FSM_INDEX_MAX_GROWTH 64
/* ... and as many more, for the first allocations of a tiny file. */
#define FSM_INDEX_MIN_BUDGET ((uint64_t)64 << 10)

/* A lenient walk keeps the first problems, and counts the rest; their keys are
 * for messages, which cut them shorter still. */
#define FSM_INDEX_MAX_PROBLEMS 1000
#define FSM_PROBLEM_MAX_KEY 1024

typedef enum {
  FSM_PLACE_FOOTER,
  FSM_PLACE_PADDING,   /* of the footer; harmless */
  FSM_PLACE_METAINDEX, /* harmless */
  FSM_PLACE_INDEX,  /* the index block */
  FSM_PLACE_BLOCK,  /* a data block; the key is the highest that could be in it.
                       FSM_E_ORDER here: it lies before or over an earlier block */
  FSM_PLACE_HEADER, /* the bundle's header */
  FSM_PLACE_ENTRY   /* one entry, with its key. FSM_E_ORDER: not above the key
                       before, or not within what the index block says */
} fsm_place;

#define FSM_NO_BLOCK UINT32_MAX

typedef struct {
  fsm_status status;
  fsm_place place;
  bool harmless;         /* in bytes that TensorFlow never reads */
  uint32_t block;        /* ordinal of the data block, or FSM_NO_BLOCK */
  uint64_t block_offset; /* of the block it is in, whichever; in the file */
  uint64_t offset;       /* in the file; the block's own when it is compressed */
  uint64_t need, have;   /* as in fsm_error */
  size_t n_entries;      /* rows read before: the lost keys come after row n_entries - 1 */
  size_t key_at, key_size; /* in problem_keys */
} fsm_problem;

typedef struct {
  fsm_handle handle;
  uint8_t type;
  uint32_t n_entries; /* rows that came from it */
} fsm_index_block;

typedef struct {
  fsm_footer footer;
  fsm_bundle_header header;

  size_t n_entries; /* without the header */
  uint64_t total_bytes; /* of all sizes that are not negative; saturates */
  /* Columns. Key i is keys[key_at[i]] up to keys[key_at[i + 1]], and so for dims. */
  uint64_t *key_at, *dims_at;
  int32_t *dtype, *shard;
  int64_t *offset, *size;
  uint32_t *crc32c; /* masked, as stored */
  uint32_t *n_slices;
  uint8_t *flags;
  /* The entry's own bytes: in the decoded body of a block, and kept in `values`. */
  uint32_t *block, *value_at, *value_size;
  uint64_t *stored_at;
  uint8_t *keys, *values;
  int64_t *dims;
  size_t header_at, header_size; /* the header's own bytes in `values` */

  size_t n_blocks;
  fsm_index_block *blocks;

  size_t n_problems; /* kept */
  size_t n_problems_seen;
  fsm_problem *problems;
  uint8_t *problem_keys;

  size_t entry_capacity, keys_capacity, values_size, values_capacity, n_dims, dims_capacity, blocks_capacity;
  size_t problems_capacity, problem_keys_size, problem_keys_capacity;
  uint64_t memory, budget;
} fsm_index;

/* Read the index in `src`. Strict: stop at the first problem that would trouble
 * TensorFlow, and return it. Lenient: write problems down, skip what they spoil,
 * and go on; then only a file that is no table at all, a failed read, memory or
 * the growth limit is an error. In every case `index` holds what was read and
 * wants fsm_index_free. */
fsm_status fsm_index_read(fsm_index *index, const fsm_src *src, bool lenient, fsm_error *e);

void fsm_index_free(fsm_index *index);

/* Sums of untrusted sizes stop at the top. */
static inline uint64_t fsm_add_saturating(uint64_t a, uint64_t b) {
  return b > UINT64_MAX - a ? UINT64_MAX : a + b;
}

#endif
