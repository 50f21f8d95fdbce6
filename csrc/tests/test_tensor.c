#include "check.h"
#include "make_tensor.h"

#define MOST 16

static const char *const WORDS[] = {"a", "", "some longer string", "x"};

typedef struct {
  buffer file;
  fsm_tensor t[MOST];
  size_t n;
  bool big_endian;
} bundle;

/* One tensor of each kind, end to end, an empty one of each among them. */
static bundle make_bundle(bool big_endian) {
  bundle b = {.big_endian = big_endian};
  static const uint8_t bools[] = {0, 1, 1, 0, 1};
  uint8_t dense[300];
  for (size_t i = 0; i < sizeof dense; i++)
    dense[i] = (uint8_t)(i * 7);
  b.t[b.n++] = put_dense(&b.file, dense, sizeof dense, FSM_TENSOR_DENSE);
  b.t[b.n++] = put_dense(&b.file, bools, sizeof bools, FSM_TENSOR_BOOL);
  b.t[b.n++] = put_strings(&b.file, WORDS, 4, big_endian);
  b.t[b.n++] = put_strings(&b.file, WORDS, 0, big_endian);
  b.t[b.n++] = put_variants(&b.file, WORDS, 4, big_endian);
  b.t[b.n++] = put_variants(&b.file, WORDS, 0, big_endian);
  b.t[b.n++] = put_dense(&b.file, dense, 0, FSM_TENSOR_DENSE);
  return b;
}

static void run(const bundle *b, size_t capacity, fsm_tensor_result *results) {
  fsm_piece piece;
  fsm_src src;
  uint8_t *exact = malloc(b->file.size ? b->file.size : 1), *window = malloc(capacity);
  memcpy(exact, b->file.p, b->file.size);
  fsm_src_memory(&src, &piece, exact, b->file.size);
  memset(results, 0xee, MOST * sizeof *results);
  fsm_tensors_check(&src, b->t, b->n, b->big_endian, window, capacity, results);
  free(exact);
  free(window);
}

static fsm_tensor_result result_of(const bundle *b, size_t i) {
  fsm_tensor_result results[MOST];
  run(b, 64, results);
  for (size_t j = 0; j < b->n; j++)
    if (j != i)
      CHECK_EQ(results[j].status, FSM_TENSOR_OK);
  return results[i];
}

static void test_sound(void) {
  static const size_t windows[] = {1, 2, 3, 5, 64, 1 << 18};
  for (int big = 0; big < 2; big++) {
    bundle b = make_bundle(big);
    for (size_t i = 0; i < 6; i++) {
      fsm_tensor_result results[MOST];
      run(&b, windows[i], results);
      for (size_t j = 0; j < b.n; j++) {
        CHECK_EQ(results[j].status, FSM_TENSOR_OK);
        CHECK_EQ(results[j].n_odd, 0);
      }
      CHECK_EQ(results[0].crc32c, fsm_crc32c(0, b.file.p, 300));
    }
    clear(&b.file);
  }
}

/* Of the strings and variants alone can a wrong byte order be seen. */
static void test_byte_order(void) {
  bundle b = make_bundle(true);
  fsm_tensor_result results[MOST];
  b.big_endian = false;
  run(&b, 64, results);
  CHECK_EQ(results[0].status, FSM_TENSOR_OK);
  CHECK_EQ(results[2].status, FSM_TENSOR_LENGTH_CRC);
  CHECK_EQ(results[4].status, FSM_TENSOR_ELEMENT_CRC);
  clear(&b.file);
}

/* A byte with another bit in it is found, whichever; and nothing but its tensor. */
static void test_every_bit_counts(void) {
  bundle b = make_bundle(false);
  for (size_t i = 0; i < b.file.size; i++) {
    for (unsigned bit = 0; bit < 8; bit++) {
      fsm_tensor_result results[MOST];
      b.file.p[i] ^= (uint8_t)(1u << bit);
      run(&b, 64, results);
      for (size_t j = 0; j < b.n; j++)
        CHECK((results[j].status != FSM_TENSOR_OK) ==
              (i >= b.t[j].offset && i - b.t[j].offset < b.t[j].size));
      b.file.p[i] ^= (uint8_t)(1u << bit);
    }
  }
  clear(&b.file);
}

static void test_dense_checksum(void) {
  bundle b = make_bundle(false);
  b.t[0].crc32c ^= 5;
  fsm_tensor_result r = result_of(&b, 0);
  CHECK_EQ(r.status, FSM_TENSOR_CRC);
  CHECK_EQ(r.place, 0);
  CHECK_EQ(r.expected, b.t[0].crc32c);
  CHECK_EQ(r.seen, b.t[0].crc32c ^ 5);
  clear(&b.file);
}

static void test_odd_bools(void) {
  bundle b = make_bundle(false);
  size_t at = (size_t)b.t[1].offset;
  b.file.p[at + 2] = 2;
  b.file.p[at + 4] = 255;
  b.t[1].crc32c = fsm_crc32c_mask(fsm_crc32c(0, b.file.p + at, 5));
  fsm_tensor_result r = result_of(&b, 1);
  CHECK_EQ(r.status, FSM_TENSOR_OK);
  CHECK_EQ(r.n_odd, 2);
  CHECK_EQ(r.odd_at, at + 2);
  clear(&b.file);
}

static void test_string_lengths(void) {
  bundle b = make_bundle(false);
  size_t at = (size_t)b.t[2].offset;
  b.file.p[at] = 3; /* two bytes more than there are */
  fsm_tensor_result r = result_of(&b, 2);
  CHECK_EQ(r.status, FSM_TENSOR_LENGTHS);
  CHECK_EQ(r.place, at);
  CHECK_EQ(r.expected, b.t[2].size + 2);
  CHECK_EQ(r.seen, b.t[2].size);
  memset(b.file.p + at, 0xff, b.t[2].size);
  r = result_of(&b, 2);
  CHECK_EQ(r.status, FSM_TENSOR_VARINT);
  CHECK_EQ(r.place, at);
  clear(&b.file);
}

/* Lengths that make up for each other: only their own checksum tells. */
static void test_string_length_checksum(void) {
  bundle b = make_bundle(false);
  size_t at = (size_t)b.t[2].offset;
  b.file.p[at + 1] = 1;
  b.file.p[at + 2]--;
  fsm_tensor_result r = result_of(&b, 2);
  CHECK_EQ(r.status, FSM_TENSOR_LENGTH_CRC);
  CHECK_EQ(r.place, at + 4);
  CHECK_EQ(r.expected, fsm_load32(b.file.p + at + 4));
  clear(&b.file);
}

/* A size or a count that is off by one, or absurd. */
static void test_string_sizes(void) {
  static const uint64_t counts[] = {0, 1, 3, 5, 1000, UINT64_MAX};
  bundle b = make_bundle(false);
  fsm_tensor true_one = b.t[2];
  for (int i = -1; i < 2; i += 2) {
    b.t[2].size = i < 0 ? true_one.size - 1 : true_one.size + 1;
    fsm_tensor_result r = result_of(&b, 2);
    CHECK_EQ(r.status, FSM_TENSOR_LENGTHS);
    CHECK_EQ(r.expected, true_one.size);
    CHECK_EQ(r.seen, b.t[2].size);
  }
  b.t[2] = true_one;
  for (size_t i = 0; i < 6; i++) {
    b.t[2].n_elements = counts[i];
    CHECK(result_of(&b, 2).status != FSM_TENSOR_OK);
  }
  b.t[2] = true_one;
  for (b.t[2].size = 0; b.t[2].size < true_one.size; b.t[2].size++)
    CHECK(result_of(&b, 2).status != FSM_TENSOR_OK);
  clear(&b.file);
}

static void test_variants(void) {
  bundle b = make_bundle(false);
  fsm_tensor true_one = b.t[4];
  size_t at = (size_t)true_one.offset;
  b.file.p[at + 2] ^= 1; /* of the first running checksum */
  fsm_tensor_result r = result_of(&b, 4);
  CHECK_EQ(r.status, FSM_TENSOR_ELEMENT_CRC);
  CHECK_EQ(r.place, at + 2);
  b.file.p[at + 2] ^= 1;
  b.file.p[at] = 0x7f;
  r = result_of(&b, 4);
  CHECK_EQ(r.status, FSM_TENSOR_LENGTHS);
  CHECK_EQ(r.expected, 0x7f);
  CHECK_EQ(r.seen, true_one.size - 5);
  b.file.p[at] = 1;
  b.t[4].n_elements = 3;
  r = result_of(&b, 4);
  CHECK_EQ(r.status, FSM_TENSOR_LENGTHS);
  CHECK_EQ(r.expected, true_one.size - 6);
  b.t[4].n_elements = UINT64_MAX;
  CHECK_EQ(result_of(&b, 4).status, FSM_TENSOR_LENGTHS);
  b.t[4] = true_one;
  b.t[4].crc32c ^= 1;
  CHECK_EQ(result_of(&b, 4).status, FSM_TENSOR_CRC);
  clear(&b.file);
}

static void test_outside(void) {
  static const uint64_t offsets[] = {300, 400, (uint64_t)1 << 62, UINT64_MAX};
  bundle b = make_bundle(false);
  uint64_t size = b.file.size;
  for (size_t i = 0; i < 4; i++) {
    b.t[0].offset = offsets[i];
    fsm_tensor_result r = result_of(&b, 0);
    CHECK_EQ(r.status, FSM_TENSOR_OUTSIDE);
    CHECK_EQ(r.expected, 300);
    CHECK_EQ(r.seen, offsets[i] < size ? size - offsets[i] : 0);
  }
  b.t[0].offset = 0;
  b.t[0].size = UINT64_MAX;
  CHECK_EQ(result_of(&b, 0).status, FSM_TENSOR_OUTSIDE);
  clear(&b.file);
}

/* The descriptor is not open: every tensor with bytes says so. */
static void test_failed_reads(void) {
  bundle b = make_bundle(false);
  fsm_piece piece = {.length = b.file.size, .fd = 1000000};
  fsm_src src;
  fsm_tensor_result results[MOST];
  uint8_t window[64];
  CHECK_EQ(fsm_src_init(&src, &piece, 1, NULL, 0, NULL), FSM_OK);
  fsm_tensors_check(&src, b.t, b.n, false, window, sizeof window, results);
  for (size_t i = 0; i < b.n; i++)
    CHECK_EQ(results[i].status, b.t[i].size ? FSM_TENSOR_UNREAD : FSM_TENSOR_OK);
  CHECK(results[0].expected != 0);
  clear(&b.file);
}

int main(void) {
  RUN(test_sound);
  RUN(test_byte_order);
  RUN(test_every_bit_counts);
  RUN(test_dense_checksum);
  RUN(test_odd_bools);
  RUN(test_string_lengths);
  RUN(test_string_length_checksum);
  RUN(test_string_sizes);
  RUN(test_variants);
  RUN(test_outside);
  RUN(test_failed_reads);
  return check_report();
}
