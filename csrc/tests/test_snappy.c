#include "check.h"
#include "fsm_snappy.h"
#include "make_table.h"

#define LIMIT ((size_t)1 << 20)

/* Decode a whole block; the output is exactly as long as declared, so the
 * sanitizer sees a byte too far. */
static fsm_status decode(const buffer *in, buffer *out, fsm_error *e) {
  size_t length;
  uint8_t *exact = malloc(in->size); /* no slack behind the input either */
  memcpy(exact, in->p, in->size);
  fsm_status s = fsm_snappy_length(exact, in->size, LIMIT, &length, e);
  if (!s) {
    *out = (buffer){malloc(length ? length : 1), length, length};
    s = fsm_snappy_decode(exact, in->size, out->p, length, e);
  }
  free(exact);
  return s;
}

static void check_fails(buffer *in, fsm_status want, uint64_t offset) {
  buffer out = {0};
  fsm_error e = {0};
  CHECK_EQ(decode(in, &out, &e), want);
  CHECK_EQ(e.status, want);
  CHECK_EQ(e.offset, offset);
  clear(&out);
  clear(in);
}

static void check_decodes(buffer *in, const void *want, size_t n) {
  buffer out = {0};
  fsm_error e = {0};
  CHECK_EQ(decode(in, &out, &e), FSM_OK);
  CHECK_BYTES(out.p, out.size, want, n);
  clear(&out);
  clear(in);
}

static buffer declare(uint64_t length) {
  buffer b = {0};
  put_varint(&b, length);
  return b;
}

static void test_literals(void) {
  static const size_t sizes[] = {0, 1, 59, 60, 61, 256, 257, 65536, 65537};
  uint8_t *bytes = malloc(65537);
  for (size_t i = 0; i < 65537; i++)
    bytes[i] = (uint8_t)(i * 7 + (i >> 8));
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    buffer in = declare(sizes[i]);
    put_literal(&in, bytes, sizes[i]);
    check_decodes(&in, bytes, sizes[i]);
  }
  free(bytes);
}

static void test_each_kind_of_copy(void) {
  for (unsigned kind = 1; kind <= 3; kind++) {
    buffer in = declare(15);
    put_literal(&in, (const uint8_t *)"abcdefgh", 8);
    put_copy(&in, kind, 8, 7);
    check_decodes(&in, "abcdefghabcdefg", 15);
  }
}

static void test_copy_of_its_own_output(void) {
  buffer in = declare(8 + 61);
  put_literal(&in, (const uint8_t *)"xab", 3);
  put_copy(&in, 2, 2, 5);
  put_copy(&in, 2, 1, 61);
  char want[69] = "xabababa";
  memset(want + 8, 'a', 61);
  check_decodes(&in, want, sizeof want);
}

static void test_far_copy(void) {
  uint8_t bytes[3000 + 11];
  for (size_t i = 0; i < 3000; i++)
    bytes[i] = (uint8_t)(i * i >> 3);
  memcpy(bytes + 3000, bytes + 3000 - 2047, 11);
  buffer in = declare(sizeof bytes);
  put_literal(&in, bytes, 3000);
  put_copy(&in, 1, 2047, 11);
  check_decodes(&in, bytes, sizeof bytes);
}

static void test_encoder_round_trip(void) {
  uint64_t state = 4;
  for (int round = 0; round < 50; round++) {
    buffer text = {0};
    size_t n = (size_t)(check_random(&state) % 5000);
    while (text.size < n) {
      char word[40];
      int length = snprintf(word, sizeof word, "layer_%d/kernel", (int)(check_random(&state) % 50));
      put(&text, word, (size_t)length);
    }
    buffer in = snappy_encode(text.p, text.size);
    check_decodes(&in, text.p, text.size);
    clear(&text);
  }
}

static void test_declared_length(void) {
  buffer huge = declare(UINT32_MAX); /* 4 GiB out of a few bytes */
  put_literal(&huge, (const uint8_t *)"abc", 3);
  check_fails(&huge, FSM_E_SNAPPY, 0);
  buffer wide = declare((uint64_t)1 << 32);
  check_fails(&wide, FSM_E_SNAPPY, 0);
  buffer unending = {0};
  put(&unending, "\xff\xff\xff", 3);
  check_fails(&unending, FSM_E_SNAPPY, 0);
  buffer empty = {0};
  put(&empty, "", 0);
  check_fails(&empty, FSM_E_SNAPPY, 0);
}

static void test_length_limit(void) {
  buffer in = declare(LIMIT + 1);
  uint8_t *zeros = calloc(1, LIMIT);
  put(&in, zeros, LIMIT);
  free(zeros);
  check_fails(&in, FSM_E_LIMIT, 0);
}

static void test_literal_beyond_input(void) {
  buffer in = declare(20);
  put(&in, "\x20" "abc", 4); /* nine bytes, three there */
  check_fails(&in, FSM_E_SNAPPY, 1);
  buffer cut = declare(20);
  put(&cut, "\xf4\xff", 2); /* two length bytes, one there */
  check_fails(&cut, FSM_E_SNAPPY, 1);
  buffer longest = declare(20);
  put(&longest, "\xfc\xff\xff\xff\xff" "abc", 8); /* 2^32 bytes */
  check_fails(&longest, FSM_E_SNAPPY, 1);
}

static void test_literal_beyond_output(void) {
  buffer in = declare(2);
  put_literal(&in, (const uint8_t *)"abc", 3);
  check_fails(&in, FSM_E_SNAPPY, 1);
}

static void test_copy_from_nowhere(void) {
  static const size_t offsets[] = {0, 5, 65535};
  for (size_t i = 0; i < 3; i++) {
    buffer in = declare(10);
    put_literal(&in, (const uint8_t *)"abcd", 4);
    put_copy(&in, 2, offsets[i], 6);
    check_fails(&in, FSM_E_SNAPPY, 6);
  }
  buffer far = declare(10);
  put_literal(&far, (const uint8_t *)"abcd", 4);
  put_copy(&far, 3, 0xfffffffcu, 6);
  check_fails(&far, FSM_E_SNAPPY, 6);
}

static void test_copy_beyond_output(void) {
  buffer in = declare(10);
  put_literal(&in, (const uint8_t *)"abcd", 4);
  put_copy(&in, 2, 4, 7);
  check_fails(&in, FSM_E_SNAPPY, 6);
}

static void test_copy_cut_short(void) {
  for (unsigned kind = 1; kind <= 3; kind++) {
    buffer in = declare(11);
    put_literal(&in, (const uint8_t *)"abcd", 4);
    put_copy(&in, kind, 4, 7);
    in.size--;
    check_fails(&in, FSM_E_SNAPPY, 6);
  }
}

static void test_output_too_short(void) {
  buffer in = declare(5);
  put_literal(&in, (const uint8_t *)"abcd", 4);
  check_fails(&in, FSM_E_SNAPPY, 6);
}

int main(void) {
  RUN(test_literals);
  RUN(test_each_kind_of_copy);
  RUN(test_copy_of_its_own_output);
  RUN(test_far_copy);
  RUN(test_encoder_round_trip);
  RUN(test_declared_length);
  RUN(test_length_limit);
  RUN(test_literal_beyond_input);
  RUN(test_literal_beyond_output);
  RUN(test_copy_from_nowhere);
  RUN(test_copy_beyond_output);
  RUN(test_copy_cut_short);
  RUN(test_output_too_short);
  return check_report();
}
