/* The hash of names in tables. It has a seed, and folds products of 128 bits: no file can be
 * made whose names all collide. */
#ifndef FSM_HASH_H
#define FSM_HASH_H

#include <time.h>

#include "fsm_wire.h"

/* A seed that no file can know; `somewhere` is any place in memory. */
static inline uint64_t fsm_hash_seed(const void *somewhere) {
  uint64_t seed = (uint64_t)(uintptr_t)somewhere ^ (uint64_t)clock() << 40 ^ (uint64_t)time(NULL);
  return (seed ^ seed >> 31) * UINT64_C(0x9e3779b97f4a7c15);
}

static inline uint64_t fsm_hash_fold(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t fsm_hash(uint64_t seed, const uint8_t *p, size_t n) {
  uint64_t h = seed ^ n * UINT64_C(0xd6e8feb86659fd93);
  for (; n > 16; n -= 16, p += 16)
    h = fsm_hash_fold(fsm_load64(p) ^ seed, fsm_load64(p + 8) ^ h);
  uint64_t a = 0, b = 0;
  if (n >= 8) { /* the last eight may lie over the first */
    a = fsm_load64(p);
    b = fsm_load64(p + n - 8);
  } else if (n >= 4) {
    a = fsm_load32(p);
    b = fsm_load32(p + n - 4);
  } else if (n) {
    a = (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
  }
  h = fsm_hash_fold(a ^ seed, b ^ h);
  return fsm_hash_fold(h ^ UINT64_C(0xe7037ed1a0b428db), seed | 1);
}

#endif
