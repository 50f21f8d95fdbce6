#include "fsm_farmhash.h"

#include <string.h>

#include "fsm_wire.h"

/* FarmHash's three primes and the seed that Hash64 fixes. */
static const uint64_t K0 = UINT64_C(0xc3a5c85c97cb3127);
static const uint64_t K1 = UINT64_C(0xb492b66fbe98f273);
static const uint64_t K2 = UINT64_C(0x9ae16a3b2f90404f);
static const uint64_t SEED = 81;

static inline uint64_t rotate(uint64_t v, unsigned by) { return v >> by | v << (64 - by); }

static inline uint64_t fold(uint64_t v) { return v ^ v >> 47; }

/* Two words into one. */
static inline uint64_t join(uint64_t u, uint64_t v, uint64_t mul) {
  uint64_t a = fold((u ^ v) * mul);
  return fold((v ^ a) * mul) * mul;
}

static uint64_t hash_up_to_16(const uint8_t *s, size_t n) {
  uint64_t mul = K2 + n * 2;
  if (n >= 8) {
    uint64_t a = fsm_load64(s) + K2;
    uint64_t b = fsm_load64(s + n - 8);
    return join(rotate(b, 37) * mul + a, (rotate(a, 25) + b) * mul, mul);
  }
  if (n >= 4)
    return join(n + ((uint64_t)fsm_load32(s) << 3), fsm_load32(s + n - 4), mul);
  if (n == 0)
    return K2;
  uint64_t low = (uint64_t)s[0] + ((uint64_t)s[n >> 1] << 8);
  uint64_t high = n + ((uint64_t)s[n - 1] << 2);
  return fold(low * K2 ^ high * K0) * K2;
}

static uint64_t hash_17_to_64(const uint8_t *s, size_t n) {
  uint64_t mul = K2 + n * 2;
  uint64_t a = fsm_load64(s) * (n <= 32 ? K1 : K2);
  uint64_t b = fsm_load64(s + 8);
  uint64_t c = fsm_load64(s + n - 8) * mul;
  uint64_t d = fsm_load64(s + n - 16) * K2;
  uint64_t y = rotate(a + b, 43) + rotate(c, 30) + d;
  uint64_t z = join(y, a + rotate(b + K2, 18) + c, mul);
  if (n <= 32)
    return z;
  uint64_t e = fsm_load64(s + 16) * mul;
  uint64_t f = fsm_load64(s + 24);
  uint64_t g = (y + fsm_load64(s + n - 32)) * mul;
  uint64_t h = (z + fsm_load64(s + n - 24)) * mul;
  return join(rotate(e + f, 43) + rotate(g, 30) + h, e + rotate(f + a, 18) + g, mul);
}

/* Mix 32 bytes into a pair of words. */
static inline void mix32(const uint8_t *s, uint64_t a, uint64_t b, uint64_t *first,
                         uint64_t *second) {
  uint64_t last = fsm_load64(s + 24);
  a += fsm_load64(s);
  b = rotate(b + a + last, 21);
  uint64_t start = a;
  a += fsm_load64(s + 8) + fsm_load64(s + 16);
  *first = a + last;
  *second = b + rotate(a, 44) + start;
}

/* One round over 64 bytes. The last round of a hash takes another multiplier
 * and weighs two words nine times. */
static inline void mix64(fsm_farm *h, const uint8_t *s, uint64_t mul, uint64_t weight) {
  uint64_t x = rotate(h->x + h->y + h->v0 + fsm_load64(s + 8), 37) * mul;
  uint64_t y = rotate(h->y + h->v1 + fsm_load64(s + 48), 42) * mul;
  x ^= h->w1 * weight;
  y += h->v0 * weight + fsm_load64(s + 40);
  uint64_t z = rotate(h->z + h->w0, 33) * mul;
  mix32(s, h->v1 * mul, x + h->w0, &h->v0, &h->v1);
  mix32(s + 32, z + h->w1, y + fsm_load64(s + 16), &h->w0, &h->w1);
  h->x = z;
  h->y = y;
  h->z = x;
}

void fsm_farm_init(fsm_farm *h) {
  memset(h, 0, sizeof *h);
  h->x = SEED * K2; /* the first word of the stream is added with the first block */
  h->y = SEED * K1 + 113;
  h->z = fold(h->y * K2 + 113) * K2;
}

/* Mix whole blocks; the state lives in registers meanwhile. */
static void mix_blocks(fsm_farm *h, const uint8_t *s, size_t n_blocks, bool first) {
  fsm_farm r = {.x = h->x, .y = h->y, .z = h->z, .v0 = h->v0, .v1 = h->v1, .w0 = h->w0, .w1 = h->w1};
  if (first)
    r.x += fsm_load64(s);
  for (size_t i = 0; i < n_blocks; i++, s += 64)
    mix64(&r, s, K1, 1);
  h->x = r.x;
  h->y = r.y;
  h->z = r.z;
  h->v0 = r.v0;
  h->v1 = r.v1;
  h->w0 = r.w0;
  h->w1 = r.w1;
}

/* A block is mixed only when a byte follows it: the last 1..64 bytes belong to
 * the closing round. */
void fsm_farm_update(fsm_farm *h, const void *bytes, size_t n) {
  const uint8_t *s = bytes;
  size_t room = 64 - h->pending;
  if (n <= room) {
    memcpy(h->tail + 64 + h->pending, s, n);
    h->pending += (unsigned)n;
    h->length += n;
    return;
  }
  bool first = h->length <= 64;
  h->length += n;
  if (h->pending) {
    memcpy(h->tail + 64 + h->pending, s, room);
    s += room;
    n -= room;
    mix_blocks(h, h->tail + 64, 1, first);
    memcpy(h->tail, h->tail + 64, 64);
    first = false;
  }
  size_t n_blocks = (n - 1) / 64;
  if (n_blocks) {
    mix_blocks(h, s, n_blocks, first);
    s += n_blocks * 64;
    n -= n_blocks * 64;
    memcpy(h->tail, s - 64, 64);
  }
  memcpy(h->tail + 64, s, n);
  h->pending = (unsigned)n;
}

uint64_t fsm_farm_finish(const fsm_farm *state) {
  if (state->length <= 64)
    return state->length <= 16 ? hash_up_to_16(state->tail + 64, state->pending)
                               : hash_17_to_64(state->tail + 64, state->pending);
  fsm_farm h = *state;
  uint64_t mul = K1 + ((h.z & 0xff) << 1);
  h.w0 += h.pending - 1;
  h.v0 += h.w0;
  h.w0 += h.v0;
  mix64(&h, state->tail + h.pending, mul, 9);
  return join(join(h.v0, h.w0, mul) + fold(h.y) * K0 + h.z, join(h.v1, h.w1, mul) + h.x, mul);
}

uint64_t fsm_fingerprint64(const void *bytes, size_t n) {
  fsm_farm h;
  fsm_farm_init(&h);
  fsm_farm_update(&h, bytes, n);
  return fsm_farm_finish(&h);
}

uint64_t fsm_fingerprint_cat(uint64_t a, uint64_t b) {
  const uint64_t m = UINT64_C(0xc6a4a7935bd1e995);
  uint64_t r = a ^ m;
  r ^= fold(b * m) * m;
  r *= m;
  r = fold(r) * m;
  return fold(r);
}
