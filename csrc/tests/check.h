/* The C tests' harness: a test is a function, a failed check fails it and goes on. */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int n_passed, n_failed;
static bool test_failed;

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition))                                                 \
      check_failed(__FILE__, __LINE__, #condition);                   \
  } while (0)

/* For integers up to 64 bits. */
#define CHECK_EQ(got, want) \
  check_equal(__FILE__, __LINE__, #got, (uint64_t)(got), (uint64_t)(want))

#define CHECK_BYTES(got, n_got, want, n_want)                         \
  CHECK((size_t)(n_got) == (size_t)(n_want) &&                        \
        ((size_t)(n_want) == 0 || memcmp((got), (want), (size_t)(n_want)) == 0))

#define RUN(test) check_run(#test, test)

static inline void check_failed(const char *file, int line, const char *what) {
  fprintf(stderr, "%s:%d: %s\n", file, line, what);
  test_failed = true;
}

static inline void check_equal(const char *file, int line, const char *what, uint64_t got,
                               uint64_t want) {
  if (got == want)
    return;
  fprintf(stderr, "%s:%d: %s is %" PRIu64 " (0x%" PRIx64 "), not %" PRIu64 " (0x%" PRIx64 ")\n",
          file, line, what, got, got, want, want);
  test_failed = true;
}

static inline void check_run(const char *name, void (*test)(void)) {
  test_failed = false;
  test();
  if (test_failed) {
    fprintf(stderr, "FAILED %s\n", name);
    n_failed++;
  } else {
    n_passed++;
  }
}

/* For main to return. */
static inline int check_report(void) {
  printf("%d passed, %d failed\n", n_passed, n_failed);
  return n_failed ? 1 : 0;
}

/* xorshift64: the same bytes on every run. The state must not be 0. */
static inline uint64_t check_random(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

#endif
