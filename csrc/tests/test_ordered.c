/* Keys of slices, and the elements of string and variant tensors. */
#include "check.h"
#include "fsm_ordered.h"
#include "fsm_strings.h"

#define MAX_RANK 20

typedef struct {
  uint8_t name[1024];
  fsm_extent extents[1024];
  fsm_slice_name parts;
} slice;

/* Without slack behind the key: the sanitizer sees a byte too far. */
static fsm_status parse(const uint8_t *key, size_t n, slice *out) {
  uint8_t *exact = malloc(n ? n : 1), *name = malloc(n ? n : 1);
  fsm_extent *extents = malloc(n / 2 * sizeof *extents + 1);
  if (n)
    memcpy(exact, key, n);
  fsm_status s = fsm_slice_key_parse(exact, n, name, extents, &out->parts);
  if (!s) {
    memcpy(out->name, name, out->parts.name_size);
    memcpy(out->extents, extents, out->parts.rank * sizeof *extents);
  }
  free(exact);
  free(name);
  free(extents);
  return s;
}

/* There and back; then every shorter key is none. */
static size_t check_key(const uint8_t *name, size_t n_name, const fsm_extent *extents,
                        size_t rank, uint8_t *key) {
  slice back;
  size_t n = fsm_slice_key_write(key, name, n_name, extents, rank);
  CHECK(n <= fsm_slice_key_max(n_name, rank));
  CHECK_EQ(parse(key, n, &back), FSM_OK);
  CHECK_BYTES(back.name, back.parts.name_size, name, n_name);
  CHECK_BYTES(back.extents, back.parts.rank * sizeof *extents, extents, rank * sizeof *extents);
  for (size_t i = 0; i < n; i++)
    CHECK(parse(key, i, &back) != FSM_OK);
  key[n] = 0;
  CHECK_EQ(parse(key, n + 1, &back), FSM_E_INVALID);
  return n;
}

static void check_bytes(const char *name, size_t n_name, const fsm_extent *extents, size_t rank,
                        const char *want, size_t n_want) {
  uint8_t key[256];
  size_t n = check_key((const uint8_t *)name, n_name, extents, rank, key);
  CHECK_BYTES(key, n, want, n_want);
}

#define KEY(name, rank, want, ...) \
  check_bytes(name, sizeof(name) - 1, (fsm_extent[]){__VA_ARGS__}, rank, want, sizeof(want) - 1)

/* As TensorFlow 2.21 writes them: what SaveV2 and PartitionedVariable store. */
static void test_keys_that_tensorflow_writes(void) {
  KEY("w", 2, "\0w\0\x01\x01\x02\x80\x84\x80\x7f", {0, 4}, {0, FSM_FULL});
  KEY("w", 2, "\0w\0\x01\x01\x02\x84\x84\x80\x86", {4, 4}, {0, 6});
  KEY("w", 1, "\0w\0\x01\x01\x01\xe0\xc3\x50\xc0\x40", {50000, 64});
  KEY("s", 0, "\0s\0\x01\0", {0, 0});
  KEY("a\0b\xff", 1, "\0a\0\xff" "b\xff\0\0\x01\x01\x01\x80\x7f", {0, FSM_FULL});
  KEY("", 1, "\0\0\x01\x01\x01\x80\x81", {0, 1});
}

static void test_numbers_of_every_width(void) {
  uint8_t key[64];
  for (unsigned bit = 0; bit < 64; bit++)
    for (int64_t off = -1; off <= 1; off++) {
      int64_t v = (int64_t)((UINT64_C(1) << bit) + (uint64_t)off);
      check_key((const uint8_t *)"n", 1, (fsm_extent[]){{v, ~v}}, 1, key);
    }
  check_key((const uint8_t *)"n", 1, (fsm_extent[]){{INT64_MAX, INT64_MIN}}, 1, key);
}

static void test_order_of_keys_is_order_of_starts(void) {
  static const int64_t starts[] = {INT64_MIN, -8193, -8192, -65, -64, -1, 0, 63, 64, 8191, 8192, INT64_MAX};
  uint8_t key[64], before[64];
  size_t n_before = 0;
  for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
    size_t n = fsm_slice_key_write(key, (const uint8_t *)"k", 1, (fsm_extent[]){{starts[i], 1}}, 1);
    int order = memcmp(before, key, n_before < n ? n_before : n);
    CHECK(i == 0 || order < 0);
    memcpy(before, key, n_before = n);
  }
}

static void test_random_keys(void) {
  uint64_t state = 20;
  static uint8_t name[64], key[1024];
  fsm_extent extents[MAX_RANK];
  for (unsigned round = 0; round < 3000; round++) {
    size_t n_name = check_random(&state) % sizeof name, rank = check_random(&state) % MAX_RANK;
    for (size_t i = 0; i < n_name; i++)
      name[i] = (uint8_t)"ab\0\xff\x01"[check_random(&state) % 5];
    for (size_t i = 0; i < rank; i++) {
      extents[i].start = (int64_t)(check_random(&state) >> check_random(&state) % 64);
      extents[i].length = (int64_t)~(check_random(&state) >> check_random(&state) % 64);
    }
    size_t n = fsm_slice_key_write(key, name, n_name, extents, rank);
    slice back;
    CHECK_EQ(parse(key, n, &back), FSM_OK);
    CHECK_BYTES(back.name, back.parts.name_size, name, n_name);
    CHECK_BYTES(back.extents, back.parts.rank * sizeof *extents, extents, rank * sizeof *extents);
  }
}

#define NO_KEY(bytes, status) CHECK_EQ(parse((const uint8_t *)bytes, sizeof(bytes) - 1, &back), status)

static void test_what_is_no_key(void) {
  slice back;
  NO_KEY("", FSM_E_TRUNCATED);
  NO_KEY("layer/kernel", FSM_E_INVALID);
  NO_KEY("\x01\x05w\0\x01\0", FSM_E_INVALID);         /* begins with 5 */
  NO_KEY("\x01\0w\0\x01\0", FSM_E_INVALID);           /* a zero in two bytes */
  NO_KEY("\0w\0\x02\0", FSM_E_INVALID);               /* no such escape */
  NO_KEY("\0w\xff\xff\0\x01\0", FSM_E_INVALID);
  NO_KEY("\0w", FSM_E_TRUNCATED);
  NO_KEY("\0w\0\x01\x09\xff\xff\xff\xff\xff\xff\xff\xff\xff", FSM_E_INVALID);
  NO_KEY("\0w\0\x01\x08\xff\xff\xff\xff\xff\xff\xff\xff\x80\x7f", FSM_E_TRUNCATED); /* rank */
  NO_KEY("\0w\0\x01\x01\x01\xc0\x04\x81", FSM_E_INVALID); /* 4 in two bytes */
  NO_KEY("\0w\0\x01\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81", FSM_E_INVALID);
  /* ten bytes, and a bit behind the sign that is not the sign's */
  NO_KEY("\0w\0\x01\x01\x01\xff\xd0\x7f\0\0\0\0\0\0\0\x81", FSM_E_INVALID);
}

static void test_random_bytes_are_read_or_refused(void) {
  uint64_t state = 9;
  static uint8_t bytes[64], again[1024];
  static slice back;
  for (unsigned round = 0; round < 100000; round++) {
    size_t n = check_random(&state) % sizeof bytes;
    for (size_t i = 0; i < n; i++)
      bytes[i] = (uint8_t)"\0\x01\x02\x80\x7f\xff\xc0w"[check_random(&state) % 8];
    bytes[0] = 0;
    if (parse(bytes, n, &back))
      continue;
    size_t size = fsm_slice_key_write(again, back.name, back.parts.name_size, back.extents,
                                      back.parts.rank);
    CHECK_BYTES(again, size, bytes, n);
  }
}

/* ---- slices in an entry ---- */

static void test_slices_of_an_entry(void) {
  static const uint8_t entry[] = "\x08\x01"                 /* dtype */
                                 "\x3a\x08\x0a\x04\x08\x04\x10\x02\x0a\x00"
                                 "\x3a\x02\x0a\x00"
                                 "\x3a\x00"
                                 "\x3a\x04\x0a\x02\x10\x00"; /* a length of 0 is one */
  fsm_array extents = {0}, ends = {0};
  const uint8_t *p = entry;
  CHECK_EQ(fsm_bundle_slices_parse(&extents, &ends, &p, entry + sizeof entry - 1), FSM_OK);
  static const fsm_extent want[] = {{4, 2}, {0, -1}, {0, -1}, {0, 0}};
  static const size_t want_ends[] = {2, 3, 3, 4};
  CHECK_BYTES(extents.items, extents.n * sizeof *want, want, sizeof want);
  CHECK_BYTES(ends.items, ends.n * sizeof *want_ends, want_ends, sizeof want_ends);
  p = entry;
  CHECK_EQ(fsm_bundle_slices_parse(&extents, &ends, &p, entry + 6), FSM_E_TRUNCATED);
  free(extents.items);
  free(ends.items);
}

/* ---- elements ---- */

#define BEGIN(bytes, n) fsm_strings_begin(&t, (const uint8_t *)bytes, sizeof(bytes) - 1, n, &e)

static void test_strings(void) {
  fsm_strings t;
  fsm_error e;
  const uint8_t *p;
  size_t n;
  CHECK_EQ(BEGIN("\x01\x00\x02" "crc!" "abc", 3), FSM_OK);
  fsm_strings_next(&t, &p, &n);
  CHECK_BYTES(p, n, "a", 1);
  fsm_strings_next(&t, &p, &n);
  CHECK_EQ(n, 0);
  fsm_strings_next(&t, &p, &n);
  CHECK_BYTES(p, n, "bc", 2);
  CHECK_EQ(BEGIN("crc!", 0), FSM_OK);
}

static void test_strings_that_do_not_fit(void) {
  fsm_strings t;
  fsm_error e;
  CHECK_EQ(BEGIN("crc", 0), FSM_E_TRUNCATED);
  CHECK_EQ(BEGIN("", 1), FSM_E_TRUNCATED);
  CHECK_EQ(BEGIN("\x02" "crc!" "a", 1), FSM_E_TRUNCATED);
  CHECK_EQ(e.offset, 1);
  CHECK_EQ(e.need, 6);
  CHECK_EQ(e.have, 5);
  CHECK_EQ(BEGIN("\x01", UINT64_MAX), FSM_E_TRUNCATED);
  CHECK_EQ(BEGIN("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02" "crc!a", 2), FSM_E_TRUNCATED);
  CHECK_EQ(BEGIN("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 1), FSM_E_VARINT);
}

static void test_variants(void) {
  static const uint8_t bytes[] = "\x02" "abcrc!\x00" "crc!";
  fsm_strings t;
  fsm_error e;
  const uint8_t *p;
  size_t n;
  fsm_variants_begin(&t, bytes, sizeof bytes - 1);
  CHECK_EQ(fsm_variants_next(&t, &p, &n, &e), FSM_OK);
  CHECK_BYTES(p, n, "ab", 2);
  CHECK_EQ(fsm_variants_next(&t, &p, &n, &e), FSM_OK);
  CHECK_EQ(n, 0);
  CHECK_EQ(fsm_variants_next(&t, &p, &n, &e), FSM_E_TRUNCATED);
  fsm_variants_begin(&t, bytes, 6);
  CHECK_EQ(fsm_variants_next(&t, &p, &n, &e), FSM_E_TRUNCATED);
}

int main(void) {
  RUN(test_keys_that_tensorflow_writes);
  RUN(test_numbers_of_every_width);
  RUN(test_order_of_keys_is_order_of_starts);
  RUN(test_random_keys);
  RUN(test_what_is_no_key);
  RUN(test_random_bytes_are_read_or_refused);
  RUN(test_slices_of_an_entry);
  RUN(test_strings);
  RUN(test_strings_that_do_not_fit);
  RUN(test_variants);
  return check_report();
}
