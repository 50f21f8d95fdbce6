/* CRC-32C (Castagnoli), the checksum of table blocks and of every tensor.
 *
 * Several kernels compute it; all give the same value. The fastest one that
 * the processor has is chosen at the first call. */
#ifndef FSM_CRC32C_H
#define FSM_CRC32C_H

#include "fsm_base.h"

/* The checksum of n more bytes after bytes whose checksum is `crc` (0: none). */
uint32_t fsm_crc32c(uint32_t crc, const void *data, size_t n);

/* The checksum of two runs laid end to end, from the checksum of each and the
 * length of the second. */
uint32_t fsm_crc32c_combine(uint32_t crc1, uint32_t crc2, uint64_t length2);

/* Files store checksums masked, because the checksum of bytes that contain
 * their own checksum is weak. Source: LevelDB util/crc32c.h;
 * TensorFlow 2.21 tsl/lib/hash/crc32c.h. */
static inline uint32_t fsm_crc32c_mask(uint32_t crc) {
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

static inline uint32_t fsm_crc32c_unmask(uint32_t masked) {
  uint32_t rotated = masked - 0xa282ead8u;
  return (rotated >> 17) | (rotated << 15);
}

/* For tests and benchmarks. */
typedef struct {
  const char *name;                                               /* NULL ends the list */
  uint32_t (*run)(uint32_t state, const uint8_t *data, size_t n); /* on the raw register */
  bool (*usable)(void);                                           /* on this processor */
} fsm_crc32c_kernel;

/* Every kernel built in, the fastest first. */
const fsm_crc32c_kernel *fsm_crc32c_kernels(void);

/* Use the named kernel from now on; NULL: the fastest. False when there is no
 * such kernel here. */
bool fsm_crc32c_force(const char *name);

#endif
