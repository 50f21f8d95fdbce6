/* Makes the bytes of tensors as a bundle stores them. */
#ifndef MAKE_TENSOR_H
#define MAKE_TENSOR_H

#include "fsm_tensor.h"
#include "make_table.h"

/* Numbers in the order of the machine that wrote the bundle. */
static inline void put_number(buffer *b, uint64_t value, unsigned n, bool big_endian) {
  for (unsigned i = 0; i < n; i++)
    put_byte(b, value >> (8 * (big_endian ? n - 1 - i : i)) & 0xff);
}

static inline fsm_tensor finish_tensor(const buffer *file, size_t start, uint64_t n,
                                       uint32_t crc, fsm_tensor_kind kind) {
  return (fsm_tensor){.offset = start, .size = file->size - start, .n_elements = n,
                      .crc32c = fsm_crc32c_mask(crc), .kind = kind};
}

static inline fsm_tensor put_dense(buffer *file, const void *bytes, size_t n,
                                   fsm_tensor_kind kind) {
  size_t start = file->size;
  put(file, bytes, n);
  return finish_tensor(file, start, n, fsm_crc32c(0, bytes, n), kind);
}

static inline fsm_tensor put_strings(buffer *file, const char *const *strings, size_t n,
                                     bool big_endian) {
  size_t start = file->size;
  buffer covered = {0};
  for (size_t i = 0; i < n; i++) {
    put_varint(file, strlen(strings[i]));
    put_number(&covered, strlen(strings[i]), 4, big_endian);
  }
  uint32_t crc = fsm_crc32c(0, covered.p, covered.size);
  size_t at = file->size;
  put_number(file, fsm_crc32c_mask(crc), 4, big_endian);
  for (size_t i = 0; i < n; i++)
    put(file, strings[i], strlen(strings[i]));
  crc = fsm_crc32c(crc, file->p + at, file->size - at);
  clear(&covered);
  return finish_tensor(file, start, n, crc, FSM_TENSOR_STRING);
}

static inline fsm_tensor put_variants(buffer *file, const char *const *values, size_t n,
                                      bool big_endian) {
  size_t start = file->size;
  uint32_t crc = 0;
  for (size_t i = 0; i < n; i++) {
    buffer covered = {0};
    put_number(&covered, strlen(values[i]), 8, big_endian);
    put(&covered, values[i], strlen(values[i]));
    crc = fsm_crc32c(crc, covered.p, covered.size);
    clear(&covered);
    put_varint(file, strlen(values[i]));
    put(file, values[i], strlen(values[i]));
    size_t at = file->size;
    put_number(file, fsm_crc32c_mask(crc), 4, big_endian);
    crc = fsm_crc32c(crc, file->p + at, 4);
  }
  return finish_tensor(file, start, n, crc, FSM_TENSOR_VARIANT);
}

#endif
