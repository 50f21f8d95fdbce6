/* The bytes of tensors whose elements have lengths of their own.
 *
 *   string:  varint64 length of each | masked crc32c of the lengths, u32 | bytes of each
 *   variant: for each: varint64 length | a VariantTensorDataProto | masked crc32c, u32
 *
 * Checksums are not looked at here.
 * Source: TensorFlow 2.21 core/util/tensor_bundle/tensor_bundle.cc
 * ReadStringTensor, ReadVariantTensor. */
#ifndef FSM_STRINGS_H
#define FSM_STRINGS_H

#include "fsm_base.h"

/* What is left of a tensor's bytes. */
typedef struct {
  const uint8_t *start;
  const uint8_t *length; /* of the next element, as a varint */
  const uint8_t *bytes;  /* of the next element; of a variant: NULL */
  const uint8_t *end;
} fsm_strings;

/* Begin with `n` strings in `size` bytes, all lengths held against what is there.
 * FSM_E_TRUNCATED (need, have: of the bytes behind the lengths; or of one length),
 * FSM_E_VARINT; the offset counts from `bytes`. */
fsm_status fsm_strings_begin(fsm_strings *strings, const uint8_t *bytes, size_t size,
                             uint64_t n, fsm_error *e);

void fsm_variants_begin(fsm_strings *strings, const uint8_t *bytes, size_t size);

/* The next string; there are no more than fsm_strings_begin was told. */
void fsm_strings_next(fsm_strings *strings, const uint8_t **p, size_t *n);

/* The next variant. FSM_E_TRUNCATED, FSM_E_VARINT. */
fsm_status fsm_variants_next(fsm_strings *strings, const uint8_t **p, size_t *n,
                             fsm_error *e);

#endif
