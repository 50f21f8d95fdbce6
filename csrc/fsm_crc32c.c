#include "fsm_crc32c.h"
#include "fsm_wire.h"

#include <stdatomic.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

/* Throughout, 32 bits hold a polynomial over GF(2) reflected: bit 31 is x^0.
 * P is x^32 + x^28 + x^27 + x^26 + x^25 + x^23 + x^22 + x^20 + x^19 + x^18 +
 * x^14 + x^13 + x^11 + x^10 + x^9 + x^8 + x^6 + 1. */
#define POLYNOMIAL 0x82f63b78u

typedef uint32_t kernel_run(uint32_t state, const uint8_t *data, size_t n);

/* ---- table: eight bytes a step, on any processor ---- */

/* SLICES[k][i] is the register after byte i and k zero bytes. It is linear in
 * i, so eight constants (x^32 and on, mod P) give the 256 entries of a slice,
 * and the compiler does the arithmetic. */
#define BIT(i, bit, value) (((i) >> (bit) & 1u) * (value))
#define E1(i, a, b, c, d, e, f, g, h)                                             \
  (BIT(i, 7, a) ^ BIT(i, 6, b) ^ BIT(i, 5, c) ^ BIT(i, 4, d) ^ BIT(i, 3, e) ^     \
   BIT(i, 2, f) ^ BIT(i, 1, g) ^ BIT(i, 0, h))
#define E4(i, ...)                                  \
  E1((i), __VA_ARGS__), E1((i) + 1u, __VA_ARGS__),  \
  E1((i) + 2u, __VA_ARGS__), E1((i) + 3u, __VA_ARGS__)
#define E16(i, ...)                                 \
  E4((i), __VA_ARGS__), E4((i) + 4u, __VA_ARGS__),  \
  E4((i) + 8u, __VA_ARGS__), E4((i) + 12u, __VA_ARGS__)
#define E64(i, ...)                                 \
  E16((i), __VA_ARGS__), E16((i) + 16u, __VA_ARGS__), \
  E16((i) + 32u, __VA_ARGS__), E16((i) + 48u, __VA_ARGS__)
#define SLICE(...)                                  \
  {E64(0u, __VA_ARGS__), E64(64u, __VA_ARGS__),     \
   E64(128u, __VA_ARGS__), E64(192u, __VA_ARGS__)}

static const uint32_t SLICES[8][256] = {
    SLICE(0x82f63b78u, 0x417b1dbcu, 0x20bd8edeu, 0x105ec76fu,
          0x8ad958cfu, 0xc79a971fu, 0xe13b70f7u, 0xf26b8303u),
    SLICE(0xfbc3faf9u, 0xff17c604u, 0x7f8be302u, 0x3fc5f181u,
          0x9d14c3b8u, 0x4e8a61dcu, 0x274530eeu, 0x13a29877u),
    SLICE(0x8b277743u, 0xc76580d9u, 0xe144fb14u, 0x70a27d8au,
          0x38513ec5u, 0x9edea41au, 0x4f6f520du, 0xa541927eu),
    SLICE(0x52a0c93fu, 0xaba65fe7u, 0xd725148bu, 0xe964b13du,
          0xf64463e6u, 0x7b2231f3u, 0xbf672381u, 0xdd45aab8u),
    SLICE(0x6ea2d55cu, 0x37516aaeu, 0x1ba8b557u, 0x8f2261d3u,
          0xc5670b91u, 0xe045beb0u, 0x7022df58u, 0x38116facu),
    SLICE(0x1c08b7d6u, 0x0e045bebu, 0x85f4168du, 0xc00c303eu,
          0x6006181fu, 0xb2f53777u, 0xdb8ca0c3u, 0xef306b19u),
    SLICE(0xf56e0ef4u, 0x7ab7077au, 0x3d5b83bdu, 0x9c5bfaa6u,
          0x4e2dfd53u, 0xa5e0c5d1u, 0xd0065990u, 0x68032cc8u),
    SLICE(0x34019664u, 0x1a00cb32u, 0x0d006599u, 0x847609b4u,
          0x423b04dau, 0x211d826du, 0x9278fa4eu, 0x493c7d27u),
};

static uint32_t run_table(uint32_t state, const uint8_t *p, size_t n) {
  for (; n >= 8; n -= 8, p += 8)
    state = SLICES[7][p[0] ^ (state & 0xff)] ^ SLICES[6][p[1] ^ (state >> 8 & 0xff)] ^
            SLICES[5][p[2] ^ (state >> 16 & 0xff)] ^ SLICES[4][p[3] ^ (state >> 24)] ^
            SLICES[3][p[4]] ^ SLICES[2][p[5]] ^ SLICES[1][p[6]] ^ SLICES[0][p[7]];
  for (; n; n--)
    state = SLICES[0][(state ^ *p++) & 0xff] ^ state >> 8;
  return state;
}

static bool always(void) {
  return true;
}

#if defined(__x86_64__)

/* ---- sse4.2: the crc32 instruction, three lanes at a time ---- */

#define SSE42 __attribute__((target("sse4.2,crc32,pclmul")))

SSE42 static uint32_t run_one_lane(uint32_t state, const uint8_t *p, size_t n) {
  uint64_t s = state;
  for (; n >= 8; n -= 8, p += 8)
    s = _mm_crc32_u64(s, fsm_load64(p));
  state = (uint32_t)s;
  for (; n; n--)
    state = _mm_crc32_u8(state, *p++);
  return state;
}

/* state * x^(8 * distance), where `shift` is x^(8 * distance - 33) mod P: the
 * reflected product gains one x, and crc32 over it 32 more. */
SSE42 static inline uint64_t advance(uint64_t state, uint32_t shift) {
  __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)state),
                                         _mm_cvtsi64_si128((long long)shift), 0x00);
  return (uint64_t)_mm_cvtsi128_si64(product);
}

/* crc32 takes three cycles but starts every cycle, so three lanes keep it busy. */
typedef struct {
  size_t lane;                  /* bytes; a multiple of 64 */
  uint32_t two_lanes, one_lane; /* shifts for advance() */
} lanes;

/* Three distant streams defeat the hardware's own prefetcher, so the loop
 * prefetches, and lanes of 8 KiB keep restarts rare. The short ones serve
 * middling sizes. */
static const lanes LONG_LANES = {8192, 0x1dc403ccu, 0x54a86326u};
static const lanes SHORT_LANES = {256, 0xdd7e3b0cu, 0xb9e02b86u};
#define PREFETCH_AHEAD 512

SSE42 static inline uint32_t run_lanes(uint32_t state, const uint8_t *p, const lanes *l) {
  uint64_t a = state, b = 0, c = 0;
  for (size_t line = 0; line < l->lane; line += 64, p += 64) {
    const uint8_t *pb = p + l->lane, *pc = pb + l->lane;
    _mm_prefetch((const char *)p + PREFETCH_AHEAD, _MM_HINT_T0);
    _mm_prefetch((const char *)pb + PREFETCH_AHEAD, _MM_HINT_T0);
    _mm_prefetch((const char *)pc + PREFETCH_AHEAD, _MM_HINT_T0);
    for (size_t i = 0; i < 64; i += 8) {
      a = _mm_crc32_u64(a, fsm_load64(p + i));
      b = _mm_crc32_u64(b, fsm_load64(pb + i));
      c = _mm_crc32_u64(c, fsm_load64(pc + i));
    }
  }
  uint64_t ab = advance(a, l->two_lanes) ^ advance(b, l->one_lane);
  return (uint32_t)(_mm_crc32_u64(0, ab) ^ c);
}

SSE42 static uint32_t run_sse42(uint32_t state, const uint8_t *p, size_t n) {
  for (size_t step = 3 * LONG_LANES.lane; n >= step; n -= step, p += step)
    state = run_lanes(state, p, &LONG_LANES);
  for (size_t step = 3 * SHORT_LANES.lane; n >= step; n -= step, p += step)
    state = run_lanes(state, p, &SHORT_LANES);
  return run_one_lane(state, p, n);
}

static bool has_sse42(void) {
  return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

/* ---- vpclmul: fold the message onto itself, one forward stream ----
 *
 * A 128-bit lane A that lies T bits before another may be replaced by
 * A * x^T mod P added to it. The lane's first 64 bits are 64 powers of x above
 * its last, a reflected product gains one x, and a constant in the low half of
 * its 64 bits gains 32; hence the pair x^(T+31), x^(T-33).
 * Source: Gopal et al., "Fast CRC Computation for Generic Polynomials Using
 * PCLMULQDQ", Intel 2009. */
#define FOLD_128 0xf20c0dfe, 0x493c7d27
#define FOLD_256 0x3da6d0cb, 0xba4fc28e
#define FOLD_384 0x1c291d04, 0xddc0152b
#define FOLD_512 0x740eef02, 0x9e4addf8
#define FOLD_1024 0x6992cea2, 0x0d3b6092
#define FOLD_2048 0xdcb17aa4, 0xb9e02b86

/* Below this many bytes setting up and folding down cost more than they save. */
#define MIN_FOLD 256

/* The register after the 16 bytes that a whole message was folded into. */
SSE42 static inline uint32_t finish(__m128i x) {
  uint64_t s = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(x));
  return (uint32_t)_mm_crc32_u64(s, (uint64_t)_mm_extract_epi64(x, 1));
}

#define VPCLMUL512 __attribute__((target("avx512f,vpclmulqdq,sse4.2,crc32,pclmul")))

VPCLMUL512 static inline __m512i load512(const uint8_t *p) {
  return _mm512_loadu_si512((const void *)p);
}

VPCLMUL512 static inline __m512i fold512(__m512i x, __m512i by, __m512i onto) {
  __m512i high = _mm512_clmulepi64_epi128(x, by, 0x00);
  __m512i low = _mm512_clmulepi64_epi128(x, by, 0x11);
  return _mm512_ternarylogic_epi64(high, low, onto, 0x96); /* three-way xor */
}

VPCLMUL512 static inline __m512i pair512(long long high, long long low) {
  return _mm512_set_epi64(low, high, low, high, low, high, low, high);
}

/* The first three lanes onto the last, whose own constants are zero. */
VPCLMUL512 static inline __m128i fold512_lanes(__m512i x) {
  const __m512i by = _mm512_set_epi64(0, 0, 0x493c7d27, 0xf20c0dfe, 0xba4fc28e, 0x3da6d0cb,
                                      0xddc0152b, 0x1c291d04);
  __m512i moved = fold512(x, by, _mm512_setzero_si512());
  __m128i sum = _mm_xor_si128(_mm512_extracti32x4_epi32(moved, 0),
                              _mm512_extracti32x4_epi32(moved, 1));
  sum = _mm_xor_si128(sum, _mm512_extracti32x4_epi32(moved, 2));
  return _mm_xor_si128(sum, _mm512_extracti32x4_epi32(x, 3));
}

VPCLMUL512 static uint32_t run_vpclmul512(uint32_t state, const uint8_t *p, size_t n) {
  if (n < MIN_FOLD)
    return run_one_lane(state, p, n);
  const __m512i far = pair512(FOLD_2048), near = pair512(FOLD_512);
  __m512i a = _mm512_xor_si512(
      load512(p), _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)state)));
  __m512i b = load512(p + 64), c = load512(p + 128), d = load512(p + 192);
  for (n -= 256, p += 256; n >= 256; n -= 256, p += 256) {
    a = fold512(a, far, load512(p));
    b = fold512(b, far, load512(p + 64));
    c = fold512(c, far, load512(p + 128));
    d = fold512(d, far, load512(p + 192));
  }
  a = fold512(fold512(fold512(a, near, b), near, c), near, d);
  for (; n >= 64; n -= 64, p += 64)
    a = fold512(a, near, load512(p));
  return run_one_lane(finish(fold512_lanes(a)), p, n);
}

static bool has_vpclmul512(void) {
  return has_sse42() && __builtin_cpu_supports("vpclmulqdq") &&
         __builtin_cpu_supports("avx512f");
}

#define VPCLMUL256 __attribute__((target("avx2,vpclmulqdq,sse4.2,crc32,pclmul")))

VPCLMUL256 static inline __m256i load256(const uint8_t *p) {
  return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

VPCLMUL256 static inline __m256i fold256(__m256i x, __m256i by, __m256i onto) {
  __m256i high = _mm256_clmulepi64_epi128(x, by, 0x00);
  __m256i low = _mm256_clmulepi64_epi128(x, by, 0x11);
  return _mm256_xor_si256(_mm256_xor_si256(high, low), onto);
}

VPCLMUL256 static inline __m256i pair256(long long high, long long low) {
  return _mm256_set_epi64x(low, high, low, high);
}

VPCLMUL256 static inline __m128i fold256_lanes(__m256i x) {
  const __m256i by = _mm256_set_epi64x(0, 0, 0x493c7d27, 0xf20c0dfe);
  __m256i moved = fold256(x, by, _mm256_setzero_si256());
  return _mm_xor_si128(_mm256_castsi256_si128(moved), _mm256_extracti128_si256(x, 1));
}

VPCLMUL256 static uint32_t run_vpclmul256(uint32_t state, const uint8_t *p, size_t n) {
  if (n < MIN_FOLD)
    return run_one_lane(state, p, n);
  const __m256i far = pair256(FOLD_1024), near = pair256(FOLD_256);
  __m256i a = _mm256_xor_si256(
      load256(p), _mm256_zextsi128_si256(_mm_cvtsi32_si128((int)state)));
  __m256i b = load256(p + 32), c = load256(p + 64), d = load256(p + 96);
  for (n -= 128, p += 128; n >= 128; n -= 128, p += 128) {
    a = fold256(a, far, load256(p));
    b = fold256(b, far, load256(p + 32));
    c = fold256(c, far, load256(p + 64));
    d = fold256(d, far, load256(p + 96));
  }
  a = fold256(fold256(fold256(a, near, b), near, c), near, d);
  for (; n >= 32; n -= 32, p += 32)
    a = fold256(a, near, load256(p));
  return run_one_lane(finish(fold256_lanes(a)), p, n);
}

static bool has_vpclmul256(void) {
  return has_sse42() && __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx2");
}

#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)

static uint32_t run_armv8(uint32_t state, const uint8_t *p, size_t n) {
  for (; n >= 8; n -= 8, p += 8)
    state = __crc32cd(state, fsm_load64(p));
  for (; n; n--)
    state = __crc32cb(state, *p++);
  return state;
}

#endif

/* ---- which kernel runs ---- */

static const fsm_crc32c_kernel KERNELS[] = {
#if defined(__x86_64__)
    {"vpclmul512", run_vpclmul512, has_vpclmul512},
    {"vpclmul256", run_vpclmul256, has_vpclmul256},
    {"sse42", run_sse42, has_sse42},
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
    {"armv8", run_armv8, always},
#endif
    {"table", run_table, always},
    {NULL, NULL, NULL},
};

static uint32_t run_first(uint32_t state, const uint8_t *p, size_t n);

static kernel_run *_Atomic chosen = run_first;

static uint32_t run_first(uint32_t state, const uint8_t *p, size_t n) {
  fsm_crc32c_force(NULL);
  return atomic_load_explicit(&chosen, memory_order_relaxed)(state, p, n);
}

const fsm_crc32c_kernel *fsm_crc32c_kernels(void) {
  return KERNELS;
}

bool fsm_crc32c_force(const char *name) {
  for (const fsm_crc32c_kernel *k = KERNELS; k->name; k++) {
    if ((name && strcmp(name, k->name) != 0) || !k->usable())
      continue;
    atomic_store_explicit(&chosen, k->run, memory_order_relaxed);
    return true;
  }
  return false;
}

uint32_t fsm_crc32c(uint32_t crc, const void *data, size_t n) {
  return ~atomic_load_explicit(&chosen, memory_order_relaxed)(~crc, data, n);
}

/* ---- combining ---- */

/* a * b mod P. */
static uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (; a; a <<= 1) {
    product ^= a >> 31 ? b : 0;
    b = b >> 1 ^ (b & 1 ? POLYNOMIAL : 0);
  }
  return product;
}

uint32_t fsm_crc32c_combine(uint32_t crc1, uint32_t crc2, uint64_t length2) {
  uint32_t power = 0x00800000u; /* x^8, one byte; squared at each bit of the length */
  for (; length2; length2 >>= 1) {
    if (length2 & 1)
      crc1 = multiply(power, crc1);
    power = multiply(power, power);
  }
  return crc1 ^ crc2;
}
