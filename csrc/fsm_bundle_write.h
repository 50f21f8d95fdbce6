/* The messages of a bundle's index, written: an entry or a header with some
 * fields replaced and all else as it was, unknown fields too.
 *
 * A replaced field takes the place of the old one, or where there was none goes
 * before the first field with a higher number; zero is left out, as proto3 does.
 * So TensorFlow's own entries stay as TensorFlow would write them. */
#ifndef FSM_BUNDLE_WRITE_H
#define FSM_BUNDLE_WRITE_H

#include "fsm_bundle.h"

enum {
  FSM_SET_PLACE = 1,   /* shard and offset */
  FSM_SET_CONTENT = 2, /* size and crc32c */
  FSM_DROP_SLICES = 4
};

typedef struct {
  unsigned what;
  int32_t shard;
  int64_t offset, size;
  uint32_t crc32c; /* masked */
} fsm_entry_patch;

/* How many bytes a patched message takes at most, for one of n bytes. */
#define FSM_PATCHED_MAX(n) ((n) + 64)

/* Copy the entry of n bytes with a patch; *size is what it takes. FSM_E_*: the
 * entry is broken on the wire. */
fsm_status fsm_entry_patched(const uint8_t *entry, size_t n, const fsm_entry_patch *patch,
                             uint8_t *to, size_t *size);

/* The same of a header, for a number of shards. */
fsm_status fsm_header_patched(const uint8_t *header, size_t n, int32_t n_shards, uint8_t *to,
                              size_t *size);

/* A new entry without a place: its dtype and its shape. `to` has room for
 * fsm_entry_size. */
size_t fsm_entry_size(int32_t dtype, const int64_t *dims, size_t n_dims);
void fsm_entry_write(uint8_t *to, int32_t dtype, const int64_t *dims, size_t n_dims);

#endif
