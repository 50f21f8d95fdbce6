/* The bytes of tensors held against what their entries say of them.
 *
 *   dense    the elements as they lie in memory; the crc covers these bytes
 *   bool     dense, where every byte should be 0 or 1
 *   string   varint length ... | crc of the lengths, u32 | bytes ...
 *   variant  (varint n | n bytes | running crc, u32) ...
 *
 * Of strings a crc covers each length as a u32 (a u64 above 2^32-1), not its
 * varint; the entry's goes on over the four bytes of the lengths' crc and the
 * strings' bytes. Of variants one crc runs over all elements: over n as a u64,
 * the bytes, and each crc stored before. All stored crcs are masked. In a
 * big-endian bundle these numbers are big-endian; varints are not.
 * Source: TensorFlow 2.21 core/util/tensor_bundle/tensor_bundle.cc
 * (ReadStringTensor, ReadVariantTensor, WriteStringTensor). */
#ifndef FSM_TENSOR_H
#define FSM_TENSOR_H

#include "fsm_src.h"

typedef enum {
  FSM_TENSOR_DENSE,
  FSM_TENSOR_BOOL,
  FSM_TENSOR_STRING,
  FSM_TENSOR_VARIANT
} fsm_tensor_kind;

typedef struct {
  uint64_t offset, size; /* in the source */
  uint64_t n_elements;   /* strings and variants */
  uint32_t crc32c;       /* masked, as stored in the entry */
  uint32_t kind;         /* fsm_tensor_kind */
} fsm_tensor;

typedef enum {
  FSM_TENSOR_OK,
  FSM_TENSOR_CRC,        /* expected, seen: the entry's checksum and the bytes' */
  FSM_TENSOR_LENGTHS,    /* the elements take `expected` bytes, the entry has `seen` */
  FSM_TENSOR_VARINT,     /* a length that is no varint, or does not end in the entry */
  FSM_TENSOR_LENGTH_CRC, /* of strings: the stored checksum of the lengths, and theirs */
  FSM_TENSOR_ELEMENT_CRC, /* of variants: a stored running checksum, and the bytes' */
  FSM_TENSOR_OUTSIDE,    /* the source has `seen` of the `expected` bytes */
  FSM_TENSOR_UNREAD      /* a read failed: expected is errno, 0 where the file shrank */
} fsm_tensor_status;

typedef struct {
  uint32_t status; /* fsm_tensor_status */
  uint32_t crc32c; /* unmasked, of a dense tensor's bytes; also where status is OK */
  uint64_t place;  /* the byte in the source that it is about */
  uint64_t expected, seen; /* checksums are masked, as files have them */
  uint64_t n_odd, odd_at;  /* of bools: bytes that are not 0 or 1, and the first */
} fsm_tensor_result;

/* Check each of n tensors, and say what was found in results[i]. What is wrong
 * with one does not stop the others. Reads through the caller's window; tensors
 * that lie near each other in ascending order are read in one go. Takes time in
 * proportion to the sizes, whatever the counts say. */
void fsm_tensors_check(const fsm_src *src, const fsm_tensor *tensors, size_t n,
                       bool big_endian, uint8_t *window, size_t capacity,
                       fsm_tensor_result *results);

#endif
