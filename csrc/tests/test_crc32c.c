#include "check.h"
#include "fsm_crc32c.h"

static uint8_t *random_bytes(size_t n) {
  uint8_t *bytes = malloc(n);
  uint64_t state = 20240229;
  if (!bytes)
    abort();
  for (size_t i = 0; i < n; i++)
    bytes[i] = (uint8_t)(check_random(&state) >> 32);
  return bytes;
}

/* The definition, a bit at a time. */
static uint32_t slow_crc32c(uint32_t crc, const uint8_t *p, size_t n) {
  crc = ~crc;
  for (size_t i = 0; i < 8 * n; i++) {
    uint32_t bit = (uint32_t)p[i / 8] >> (i % 8);
    crc = crc >> 1 ^ ((crc ^ bit) & 1 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

/* RFC 3720, appendix B.4, and the customary check value. */
static void test_known_values(void) {
  uint8_t bytes[32] = {0};
  CHECK_EQ(fsm_crc32c(0, "123456789", 9), 0xe3069283u);
  CHECK_EQ(fsm_crc32c(0, bytes, 32), 0x8a9136aau);
  memset(bytes, 0xff, sizeof bytes);
  CHECK_EQ(fsm_crc32c(0, bytes, 32), 0x62a8ab43u);
  for (unsigned i = 0; i < 32; i++)
    bytes[i] = (uint8_t)i;
  CHECK_EQ(fsm_crc32c(0, bytes, 32), 0x46dd794eu);
  CHECK_EQ(fsm_crc32c(0, bytes, 0), 0);
}

static void test_mask(void) {
  CHECK_EQ(fsm_crc32c_mask(0), 0xa282ead8u);
  uint64_t state = 7;
  for (int i = 0; i < 1000; i++) {
    uint32_t crc = (uint32_t)check_random(&state);
    CHECK(fsm_crc32c_mask(crc) != crc);
    CHECK_EQ(fsm_crc32c_unmask(fsm_crc32c_mask(crc)), crc);
  }
}

static void check_kernel(const uint8_t *bytes, size_t n) {
  for (size_t length = 0; length <= 1100; length++) {
    uint32_t start = (uint32_t)length * 2654435761u;
    const uint8_t *p = bytes + length % 67; /* every alignment */
    CHECK_EQ(fsm_crc32c(start, p, length), slow_crc32c(start, p, length));
  }
  uint64_t state = 99;
  for (int i = 0; i < 60; i++) {
    size_t at = (size_t)(check_random(&state) % (n / 2));
    size_t length = (size_t)(check_random(&state) % (n / 2));
    CHECK_EQ(fsm_crc32c(1, bytes + at, length), slow_crc32c(1, bytes + at, length));
  }
}

static void test_kernels_agree(void) {
  size_t n = 120000, n_run = 0;
  uint8_t *bytes = random_bytes(n);
  for (const fsm_crc32c_kernel *k = fsm_crc32c_kernels(); k->name; k++) {
    CHECK_EQ(fsm_crc32c_force(k->name), k->usable());
    if (!k->usable())
      continue;
    check_kernel(bytes, n);
    if (test_failed) {
      fprintf(stderr, "in kernel %s\n", k->name);
      break;
    }
    n_run++;
  }
  CHECK(n_run > 0);
  free(bytes);
}

static void test_force(void) {
  CHECK(!fsm_crc32c_force("abacus"));
  CHECK(fsm_crc32c_force("table"));
  CHECK_EQ(fsm_crc32c(0, "123456789", 9), 0xe3069283u);
  CHECK(fsm_crc32c_force(NULL));
}

/* A sum over parts does not depend on where they part. */
static void test_continue_and_combine(void) {
  size_t n = 5000;
  uint8_t *bytes = random_bytes(n);
  uint32_t whole = fsm_crc32c(0, bytes, n);
  for (size_t cut = 0; cut <= n; cut += 7) {
    uint32_t first = fsm_crc32c(0, bytes, cut), second = fsm_crc32c(0, bytes + cut, n - cut);
    CHECK_EQ(fsm_crc32c(first, bytes + cut, n - cut), whole);
    CHECK_EQ(fsm_crc32c_combine(first, second, n - cut), whole);
  }
  free(bytes);
}

/* Lengths beyond 32 bits must not wrap: appending zeros twice equals appending
 * twice the zeros. */
static void test_combine_long(void) {
  uint64_t length = UINT64_C(0x123456789a);
  uint32_t crc = 0xdeadbeefu;
  uint32_t twice = fsm_crc32c_combine(fsm_crc32c_combine(crc, 0, length), 0, length);
  CHECK_EQ(fsm_crc32c_combine(crc, 0, 2 * length), twice);
}

int main(void) {
  RUN(test_known_values);
  RUN(test_mask);
  RUN(test_kernels_agree);
  RUN(test_force);
  RUN(test_continue_and_combine);
  RUN(test_combine_long);
  return check_report();
}
