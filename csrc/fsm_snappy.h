/* Snappy's raw block format, decoding only.
 *
 * TensorFlow writes its tables uncompressed but reads Snappy blocks.
 * Source: google/snappy format_description.txt. */
#ifndef FSM_SNAPPY_H
#define FSM_SNAPPY_H

#include "fsm_base.h"

/* No element makes more than 64 bytes out of 3 (a copy with a two-byte
 * offset), so a block that declares more than 22 times its size lies. */
#define FSM_SNAPPY_MAX_EXPANSION 22

/* The length a block declares, checked before anybody allocates it.
 * FSM_E_SNAPPY when the block cannot decode to that, FSM_E_LIMIT above `limit`. */
fsm_status fsm_snappy_length(const uint8_t *in, size_t n, size_t limit, size_t *length,
                             fsm_error *e);

/* Decode into exactly `length` bytes, as fsm_snappy_length gave it. FSM_E_SNAPPY
 * with the offset in `in` of the element that does not fit. */
fsm_status fsm_snappy_decode(const uint8_t *in, size_t n, uint8_t *out, size_t length,
                             fsm_error *e);

#endif
