/* The shards of a bundle laid out anew, and the index that goes with them.
 *
 * Which entries stay, which of them share bytes, and which bytes are new is
 * decided by the caller; here each kept extent gets a place. Extents keep their
 * order and lie end to end, as TensorFlow's writer puts them; entries that shared
 * bytes share them still. A shard of which nothing goes and to which nothing
 * comes stays as it is, gaps and all. A shard that loses its last entry goes, and
 * the others are numbered anew.
 * Source: TensorFlow 2.21 core/util/tensor_bundle/tensor_bundle.cc BundleWriter. */
#ifndef FSM_LAYOUT_H
#define FSM_LAYOUT_H

#include "fsm_index.h"
#include "fsm_table_write.h"

#define FSM_NO_SHARD (-1)
#define FSM_NO_ROW UINT64_MAX

/* A shard in which entries lie. */
typedef struct {
  int32_t id;    /* as entries name it */
  int32_t to;    /* out: its new number, or FSM_NO_SHARD when it goes */
  uint64_t size; /* of the file */
  bool touched;  /* in: even where nothing goes; out: whether it changes */
} fsm_layout_shard;

/* Bytes that no kept entry has yet; they lie before the first extent that begins
 * after (shard, offset). Or with `old` those very bytes, under another name. */
typedef struct {
  int32_t shard; /* one of the bundle's */
  int64_t offset;
  uint64_t size;
  uint64_t old; /* 0 or 1 */
} fsm_layout_fresh;

typedef struct {
  int32_t shard;
  int64_t offset;
} fsm_layout_place;

/* A stretch of a new shard: bytes of an old one, or fresh ones. */
typedef struct {
  int32_t to;      /* the new shard; runs ascend by it, and fill it from byte 0 */
  int32_t from;    /* ordinal of the old shard, or FSM_NO_SHARD: fresh */
  uint64_t origin; /* offset in the old shard, or which of the fresh */
  uint64_t size;
} fsm_layout_run;

/* Zero it first. */
typedef struct {
  fsm_layout_place *places; /* of each row that is kept, then of each of the fresh */
  fsm_array runs;           /* fsm_layout_run */
  int32_t n_shards;         /* of the new bundle, for its header */
} fsm_layout;

/* Lay a bundle out. `keep` has a byte for each row; `same_as`, unless NULL, the row
 * whose extent a row is to have. `shards` ascend by id, and `merge` lays them all
 * into one. FSM_E_INVALID: the row fsm_error.offset lies outside its shard (need:
 * its end, have: the shard's size), or its shard is not among them. */
fsm_status fsm_layout_make(fsm_layout *layout, const fsm_index *index, const uint8_t *keep,
                           const uint64_t *same_as, const fsm_layout_fresh *fresh,
                           size_t n_fresh, fsm_layout_shard *shards, size_t n_shards,
                           bool merge, fsm_error *e);

/* An entry to add, or one in the place of a row that is not kept. */
typedef struct {
  const uint8_t *key, *value; /* the value without a place */
  size_t n_key, n_value;
  uint64_t fresh; /* whose place it gets; FSM_NO_ROW: it has none */
} fsm_layout_entry;

/* Write the index: the rows that are kept and the entries to add, which ascend by
 * key. Rows whose place is the old one keep all their bytes. FSM_E_ORDER: two keys
 * do not ascend; fsm_error.offset is the row, or the number of rows. */
fsm_status fsm_layout_write(fsm_table_writer *w, const fsm_layout *layout, const fsm_index *index,
                            const uint8_t *keep, const fsm_layout_entry *added, size_t n_added,
                            fsm_error *e);

void fsm_layout_free(fsm_layout *layout);

#endif
