#define _POSIX_C_SOURCE 200809L
#include <errno.h>

#include "read_index.h"

/* ---- damage to the table ---- */

static void test_not_a_table(void) {
  buffer file = three_blocks();
  fsm_index index;
  fsm_error e;
  for (int lenient = 0; lenient < 2; lenient++) {
    file.p[file.size - 1] ^= 1;
    CHECK_EQ(read_index(&file, lenient, &index, &e), FSM_E_MAGIC);
    CHECK_EQ(index.n_problems, 1);
    CHECK_EQ(index.problems[0].place, FSM_PLACE_FOOTER);
    fsm_index_free(&index);
    file.p[file.size - 1] ^= 1;
  }
  file.size = 20;
  CHECK_EQ(read_index(&file, LENIENT, &index, &e), FSM_E_TRUNCATED);
  fsm_index_free(&index);
  file.size = 0;
  CHECK_EQ(read_index(&file, LENIENT, &index, &e), FSM_E_TRUNCATED);
  fsm_index_free(&index);
  clear(&file);
}

/* The loss that TensorFlow does not tell of: a later block's keys. */
static void test_damaged_data_block(void) {
  for (size_t n = 0; n < 3; n++) {
    buffer file = three_blocks();
    fsm_handle h = nth_block(&file, n);
    file.p[h.offset + 4] ^= 1;
    check_problem(&file, FSM_PLACE_BLOCK, FSM_E_CRC, n == 0 ? "a" : n == 1 ? "b" : "~", 2);
    fsm_index index;
    read_index(&file, LENIENT, &index, NULL);
    CHECK_EQ(index.problems[0].block, n);
    CHECK_EQ(index.problems[0].block_offset, h.offset);
    CHECK_EQ(index.problems[0].n_entries, n);
    CHECK_EQ(index.header.present, n != 0);
    fsm_index_free(&index);
    clear(&file);
  }
}

static void test_damaged_entry_length(void) {
  buffer file = three_blocks();
  fsm_handle h = nth_block(&file, 1);
  file.p[h.offset + 2] = 0x7f; /* the value of "b" */
  reseal(file.p, h);
  check_problem(&file, FSM_PLACE_BLOCK, FSM_E_BLOCK, "b", 2);
  clear(&file);
}

static void test_unknown_block_type(void) {
  buffer file = three_blocks();
  fsm_handle h = nth_block(&file, 1);
  file.p[h.offset + h.size] = 9;
  reseal(file.p, h);
  check_problem(&file, FSM_PLACE_BLOCK, FSM_E_INVALID, "b", 2);
  clear(&file);
}

static void test_damaged_snappy_block(void) {
  buffer file = make_index(THREE, 3, 1, true);
  fsm_handle h = nth_block(&file, 1);
  set_u32(file.p + h.offset, 0xffffffffu);
  reseal(file.p, h);
  check_problem(&file, FSM_PLACE_BLOCK, FSM_E_SNAPPY, "b", 2);
  clear(&file);
}

/* Every entry is read all the same. */
static void test_broken_restarts(void) {
  static const uint32_t counts[] = {0, 2, 0x80000000u, 0xffffffffu};
  for (size_t i = 0; i < 4; i++) {
    buffer file = three_blocks();
    fsm_handle h = nth_block(&file, 1);
    set_u32(file.p + h.offset + h.size - 4, counts[i]);
    reseal(file.p, h);
    /* A count of 2 takes four bytes of the entry for an offset. */
    if (counts[i] == 2)
      check_problem(&file, FSM_PLACE_BLOCK, FSM_E_BLOCK, "b", 2);
    else
      check_problem(&file, FSM_PLACE_BLOCK, FSM_E_RESTARTS, "b", 3);
    clear(&file);
  }
  buffer file = three_blocks();
  fsm_handle h = nth_block(&file, 0);
  set_u32(file.p + h.offset + h.size - 8, 3);
  reseal(file.p, h);
  check_problem(&file, FSM_PLACE_BLOCK, FSM_E_RESTARTS, "a", 3);
  clear(&file);
}

static void test_index_block_checksum(void) {
  buffer file = three_blocks();
  fsm_handle h = footer_of(&file).index;
  file.p[h.offset + h.size + 1] ^= 1; /* only the checksum itself is wrong */
  check_problem(&file, FSM_PLACE_INDEX, FSM_E_CRC, "", 3);
  clear(&file);
}

static void test_index_block_restarts(void) {
  buffer file = three_blocks();
  fsm_handle h = footer_of(&file).index;
  set_u32(file.p + h.offset + h.size - 4, 0);
  reseal(file.p, h);
  check_problem(&file, FSM_PLACE_INDEX, FSM_E_RESTARTS, "", 3);
  clear(&file);
}

static void test_index_block_outside_file(void) {
  buffer file = three_blocks();
  file.size -= FSM_FOOTER_SIZE;
  fsm_footer footer = {.metaindex = {0}};
  fsm_index index;
  buffer with_footer = {0};
  put(&with_footer, file.p, file.size);
  footer.metaindex = (fsm_handle){file.size - 40, 8};
  put_footer(&with_footer, footer.metaindex, (fsm_handle){10, (uint64_t)1 << 63});
  CHECK_EQ(read_index(&with_footer, STRICT, &index, NULL), FSM_E_HANDLE);
  fsm_index_free(&index);
  CHECK_EQ(read_index(&with_footer, LENIENT, &index, NULL), FSM_OK);
  CHECK_EQ(index.problems[index.n_problems - 1].place, FSM_PLACE_INDEX);
  CHECK_EQ(index.n_entries, 0);
  fsm_index_free(&index);
  clear(&file);
  clear(&with_footer);
}

static void test_metaindex_is_harmless(void) {
  buffer file = three_blocks();
  fsm_handle h = footer_of(&file).metaindex;
  file.p[h.offset] ^= 1;
  check_harmless(&file, FSM_PLACE_METAINDEX, FSM_E_CRC);
  reseal(file.p, h);
  check_harmless(&file, FSM_PLACE_METAINDEX, FSM_E_RESTARTS);
  clear(&file);
}

static void test_padding_is_harmless(void) {
  buffer file = three_blocks();
  file.p[file.size - 9] = 1;
  check_harmless(&file, FSM_PLACE_PADDING, FSM_E_INVALID);
  clear(&file);
}

/* ---- order ---- */

static buffer two_blocks(const char *const keys[4], const char *separator, const char *last) {
  buffer file = {0};
  block_maker index, block;
  start_block(&index, 1);
  for (int b = 0; b < 2; b++) {
    start_block(&block, 16);
    if (b == 0)
      add_header(&block);
    for (int i = 0; i < 2; i++) {
      sample t = THREE[0];
      t.key = keys[2 * b + i];
      add_sample(&block, &t);
    }
    write_block(&file, &block, &index, b == 0 ? separator : last, false);
  }
  finish_table(&file, &index);
  return file;
}

static void check_order(const char *a, const char *b, const char *c, const char *d,
                        const char *separator, fsm_place place, const char *key) {
  buffer file = two_blocks((const char *const[]){a, b, c, d}, separator, "z");
  check_problem(&file, place, FSM_E_ORDER, key, 4);
  clear(&file);
}

static void test_order(void) {
  check_order("b", "a", "m", "n", "c", FSM_PLACE_ENTRY, "a");
  check_order("a", "a", "m", "n", "c", FSM_PLACE_ENTRY, "a"); /* twice */
  check_order("a", "b", "m", "m", "c", FSM_PLACE_ENTRY, "m");
  check_order("a", "d", "m", "n", "c", FSM_PLACE_ENTRY, "d"); /* above its separator */
  check_order("a", "b", "b2", "n", "c", FSM_PLACE_ENTRY, "b2"); /* below it, next block */
  check_order("a", "b", "c", "n", "c", FSM_PLACE_ENTRY, "c");
}

static void test_separator_order(void) {
  buffer file = two_blocks((const char *const[]){"a", "b", "m", "n"}, "z", "y");
  fsm_index index;
  CHECK_EQ(read_index(&file, STRICT, &index, NULL), FSM_E_ORDER);
  fsm_index_free(&index);
  clear(&file);
}

/* Two handles for one block: each byte of a table belongs to one block. */
static void test_blocks_that_overlap(void) {
  buffer file = {0};
  block_maker index, block;
  start_block(&index, 1);
  start_block(&block, 16);
  add_header(&block);
  add_sample(&block, &THREE[0]);
  fsm_handle h = write_block(&file, &block, &index, "a", false);
  add_handle(&index, "b", h);
  finish_table(&file, &index);
  check_problem(&file, FSM_PLACE_BLOCK, FSM_E_ORDER, "b", 1);
  clear(&file);
}

static void test_handle_that_does_not_parse(void) {
  buffer file = {0};
  block_maker index, block;
  start_block(&index, 1);
  start_block(&block, 16);
  add_header(&block);
  write_block(&file, &block, &index, "a", false);
  add_string(&index, "b", "\x80", 1);
  finish_table(&file, &index);
  check_problem(&file, FSM_PLACE_BLOCK, FSM_E_HANDLE, "b", 0);
  clear(&file);
}

static void test_handles_outside_file(void) {
  static const uint64_t sizes[] = {(uint64_t)1 << 34, (uint64_t)1 << 63, UINT64_MAX};
  for (size_t i = 0; i < 3; i++) {
    buffer file = {0};
    block_maker index, block;
    start_block(&index, 1);
    start_block(&block, 16);
    add_header(&block);
    write_block(&file, &block, &index, "a", false);
    add_handle(&index, "b", (fsm_handle){file.size, sizes[i]});
    finish_table(&file, &index);
    check_problem(&file, FSM_PLACE_BLOCK, FSM_E_HANDLE, "b", 0);
    clear(&file);
  }
}

/* ---- bounds ---- */

/* One key of 8 KiB that each of 10,000 short entries shares: 80 MB of keys. */
static void test_growth_limit(void) {
  buffer file = {0}, body = {0};
  block_maker index_block;
  char key[8192];
  memset(key, 'k', sizeof key);
  put_entry(&body, 0, sizeof key, 0, key, sizeof key);
  for (unsigned i = 0; i < 10000; i++)
    put_entry(&body, sizeof key + i, 1, 0, "k", 1);
  put_u32(&body, 0);
  put_u32(&body, 1);
  start_block(&index_block, 1);
  add_handle(&index_block, "l", put_block(&file, &body, FSM_BLOCK_RAW));
  finish_table(&file, &index_block);
  for (int lenient = 0; lenient < 2; lenient++) {
    fsm_index index;
    fsm_error e;
    CHECK_EQ(read_index(&file, lenient, &index, &e), FSM_E_LIMIT);
    CHECK(index.memory <= index.budget);
    CHECK(index.budget <= FSM_INDEX_MAX_GROWTH * file.size + FSM_INDEX_MIN_BUDGET);
    CHECK(index.n_entries > 0);
    fsm_index_free(&index);
  }
  clear(&body);
  clear(&file);
}

static void test_many_problems(void) {
  size_t n = FSM_INDEX_MAX_PROBLEMS + 500;
  buffer file = {0};
  block_maker index_block, block;
  start_block(&index_block, 1);
  start_block(&block, 16);
  for (size_t i = 0; i < n; i++) {
    char key[16];
    snprintf(key, sizeof key, "%05zu", i);
    add_string(&block, key, "\x08", 1);
  }
  write_block(&file, &block, &index_block, "a", false);
  finish_table(&file, &index_block);
  fsm_index index;
  CHECK_EQ(read_index(&file, LENIENT, &index, NULL), FSM_OK);
  CHECK_EQ(index.n_problems, FSM_INDEX_MAX_PROBLEMS);
  CHECK_EQ(index.n_problems_seen, n);
  fsm_index_free(&index);
  clear(&file);
}

static void test_total_saturates(void) {
  sample huge[3];
  for (int i = 0; i < 3; i++)
    huge[i] = (sample){.key = THREE[i].key, .dtype = 1, .size = INT64_MAX};
  huge[0].size = -5;
  buffer file = make_index(huge, 3, 9, false);
  fsm_index index;
  CHECK_EQ(read_index(&file, STRICT, &index, NULL), FSM_OK);
  CHECK_EQ(index.total_bytes, UINT64_MAX - 1);
  CHECK_EQ(fsm_add_saturating(index.total_bytes, 2), UINT64_MAX);
  fsm_index_free(&index);
  clear(&file);
}

/* Handles that fail may say what they like, but reading them stays linear: each
 * of 500 would read the whole file. */
static void test_damaged_blocks_stay_linear(void) {
  buffer file = {0};
  block_maker index_block;
  uint8_t junk[20000] = {0};
  put(&file, junk, sizeof junk);
  start_block(&index_block, 1);
  for (int i = 0; i < 500; i++) {
    char key[16];
    snprintf(key, sizeof key, "%03d", i);
    add_handle(&index_block, key, (fsm_handle){(uint64_t)i, 15000});
  }
  finish_table(&file, &index_block);
  fsm_index index;
  CHECK_EQ(read_index(&file, LENIENT, &index, NULL), FSM_OK);
  CHECK_EQ(index.n_problems, 500);
  size_t n_read = 0;
  for (size_t i = 0; i < index.n_problems; i++)
    n_read += index.problems[i].status == FSM_E_CRC;
  CHECK(n_read <= file.size / 15000);
  fsm_index_free(&index);
  clear(&file);
}

/* A failed read is no problem of the file's: even a lenient walk stops. */
static void test_failed_reads(void) {
  fsm_piece piece = {.start = 0, .length = 4096, .origin = 0, .fd = 1 << 20};
  fsm_src src;
  fsm_index index;
  fsm_error e;
  CHECK_EQ(fsm_src_init(&src, &piece, 1, NULL, 0, NULL), FSM_OK);
  CHECK_EQ(fsm_index_read(&index, &src, LENIENT, &e), FSM_E_IO);
  CHECK_EQ(e.need, EBADF);
  CHECK_EQ(index.n_problems, 0);
  fsm_index_free(&index);
}

/* The footer is there, and the blocks before it are not. */
static void test_file_that_shrinks(void) {
  buffer file = three_blocks();
  FILE *empty = tmpfile();
  uint64_t body = file.size - FSM_FOOTER_SIZE;
  fsm_piece pieces[2] = {
      {.start = 0, .length = body, .origin = 0, .fd = fileno(empty)},
      {.start = body, .length = FSM_FOOTER_SIZE, .origin = body, .fd = FSM_PATCH}};
  fsm_src src;
  fsm_index index;
  CHECK_EQ(fsm_src_init(&src, pieces, 2, file.p, file.size, NULL), FSM_OK);
  CHECK_EQ(fsm_index_read(&index, &src, LENIENT, NULL), FSM_E_CHANGED);
  fsm_index_free(&index);
  fclose(empty);
  clear(&file);
}

/* No flipped bit goes unnoticed, and none does harm. */
static void check_flips(buffer *file) {
  for (size_t bit = 0; bit < 8 * file->size; bit++) {
    fsm_index index;
    file->p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    fsm_status s = read_index(file, STRICT, &index, NULL);
    CHECK(s != FSM_OK || index.n_problems > 0);
    fsm_index_free(&index);
    s = read_index(file, LENIENT, &index, NULL);
    CHECK(s != FSM_OK || index.n_problems > 0);
    fsm_index_free(&index);
    file->p[bit / 8] ^= (uint8_t)(1 << bit % 8);
  }
}

static void test_every_bit_counts(void) {
  for (unsigned snappy = 0; snappy < 2; snappy++) {
    buffer file = make_index(THREE, 3, 2, snappy);
    check_flips(&file);
    clear(&file);
  }
}

static void test_every_length(void) {
  buffer file = three_blocks();
  for (size_t whole = file.size; file.size > 0;) {
    fsm_index index;
    file.size--;
    CHECK(read_index(&file, LENIENT, &index, NULL) != FSM_OK);
    fsm_index_free(&index);
    CHECK(file.size < whole);
  }
  clear(&file);
}

int main(void) {
  RUN(test_not_a_table);
  RUN(test_damaged_data_block);
  RUN(test_damaged_entry_length);
  RUN(test_unknown_block_type);
  RUN(test_damaged_snappy_block);
  RUN(test_broken_restarts);
  RUN(test_index_block_checksum);
  RUN(test_index_block_restarts);
  RUN(test_index_block_outside_file);
  RUN(test_metaindex_is_harmless);
  RUN(test_padding_is_harmless);
  RUN(test_order);
  RUN(test_separator_order);
  RUN(test_blocks_that_overlap);
  RUN(test_handle_that_does_not_parse);
  RUN(test_handles_outside_file);
  RUN(test_growth_limit);
  RUN(test_many_problems);
  RUN(test_total_saturates);
  RUN(test_damaged_blocks_stay_linear);
  RUN(test_failed_reads);
  RUN(test_file_that_shrinks);
  RUN(test_every_bit_counts);
  RUN(test_every_length);
  return check_report();
}
