/* The keys of slices: a tensor's name and the extents of a slice, in an ordered
 * code, whose bytes sort as the values do.
 *
 *   number 0 | string name | number rank
 *   | for each dimension: signed start | signed length
 *
 *   number: count of bytes, 1 byte | so many bytes, the highest first
 *   string: bytes, 00 written 00 ff and ff written ff 00 | 00 01
 *   signed: n bytes hold [-2^(7n-1), 2^(7n-1)): n leading bits are the sign's
 *           opposite, the next one is the sign, the rest is two's complement
 *
 * Source: TensorFlow 2.21 core/util/saved_tensor_slice_util.cc
 * EncodeTensorNameSlice, core/lib/strings/ordered_code.cc. */
#ifndef FSM_ORDERED_H
#define FSM_ORDERED_H

#include "fsm_bundle.h"

typedef struct {
  size_t name_size;
  size_t rank;
} fsm_slice_name;

/* The most bytes that a slice's key takes, for a name of so many bytes. */
size_t fsm_slice_key_max(size_t name_size, size_t rank);

/* Write the key of a slice; returns its size. `to` has room for the most. */
size_t fsm_slice_key_write(uint8_t *to, const uint8_t *name, size_t name_size,
                           const fsm_extent *extents, size_t rank);

/* Take a key apart. `name` has room for `n` bytes and `extents` for n / 2 (each
 * takes two bytes or more). FSM_E_TRUNCATED, FSM_E_INVALID: it is no slice's key,
 * or not in the one form in which a lookup would ask for it. */
fsm_status fsm_slice_key_parse(const uint8_t *key, size_t n, uint8_t *name,
                               fsm_extent *extents, fsm_slice_name *parts);

#endif
