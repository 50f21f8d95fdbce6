/* Writes a table in LevelDB's format, byte for byte as TensorFlow writes
 * variables.index; csrc/fsm_table.h has the format.
 *
 * Source: TensorFlow 2.21 tsl/lib/io/table_builder.cc, block_builder.cc,
 * format.cc, and the options that BundleWriter sets in tensor_bundle.cc. */
#ifndef FSM_TABLE_WRITE_H
#define FSM_TABLE_WRITE_H

#include "fsm_grow.h"
#include "fsm_table.h"

/* A data block is done when it has this many bytes, and before an entry that has
 * twice as many. Source: TensorFlow 2.21 tsl/lib/io/table_options.h. */
#define FSM_WRITE_BLOCK_SIZE ((size_t)256 << 10)
/* Every so many entries of a data block one is written with its whole key. */
#define FSM_WRITE_RESTART_INTERVAL 16

typedef struct {
  fsm_array body, restarts, key; /* the last entry's key */
  unsigned interval, n_since_restart;
} fsm_block_writer;

/* Zero it first. `out` is the table so far, and after finishing the whole of it. */
typedef struct {
  fsm_array out;
  fsm_block_writer data, index;
  fsm_array separator; /* the last key of a block that the index does not list yet */
  fsm_handle unlisted; /* that block */
  bool begun, is_unlisted;
} fsm_table_writer;

/* Add an entry. FSM_E_ORDER: its key is not above the one before. FSM_E_LIMIT: a
 * key, a value or the block is too long for the format. FSM_E_NOMEM. */
fsm_status fsm_table_write(fsm_table_writer *w, const uint8_t *key, size_t n_key,
                           const uint8_t *value, size_t n_value);

/* Write what comes after the last entry. */
fsm_status fsm_table_write_end(fsm_table_writer *w);

void fsm_table_writer_free(fsm_table_writer *w);

#endif
