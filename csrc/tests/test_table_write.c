/* The table writer against the tables that the tests' own maker makes, and against
 * the rules by which TensorFlow cuts blocks. */
#include "fsm_table_write.h"

#include "check.h"
#include "make_index.h"
#include "read_index.h"

static void write_string(fsm_table_writer *w, const char *key, const void *value, size_t n) {
  CHECK_EQ(fsm_table_write(w, (const uint8_t *)key, strlen(key), value, n), FSM_OK);
}

/* Whether the writer's table holds exactly these bytes. */
static void check_table(fsm_table_writer *w, buffer *want) {
  CHECK_EQ(fsm_table_write_end(w), FSM_OK);
  CHECK_BYTES(w->out.items, w->out.n, want->p, want->size);
  fsm_table_writer_free(w);
  clear(want);
}

static void an_empty_table_is_three_parts(void) {
  fsm_table_writer w = {0};
  buffer want = {0};
  block_maker index;
  start_block(&index, 1);
  finish_table(&want, &index);
  check_table(&w, &want);
}

/* 40 entries: a restart every 16, prefixes shared between. */
static void one_block_has_restarts_and_shared_keys(void) {
  fsm_table_writer w = {0};
  buffer want = {0}, body;
  block_maker block, index;
  start_block(&block, 16);
  start_block(&index, 1);
  for (int i = 0; i < 40; i++) {
    char key[16];
    snprintf(key, sizeof key, "key/%03d", i);
    add_string(&block, key, &i, sizeof i);
    write_string(&w, key, &i, sizeof i);
  }
  body = end_block(&block);
  /* The last separator: the first byte that can be raised, and no more. */
  add_handle(&index, "l", put_block(&want, &body, FSM_BLOCK_RAW));
  finish_table(&want, &index);
  clear(&body);
  check_table(&w, &want);
}

typedef struct {
  size_t n_blocks;
  char separators[8][16];
  size_t n_entries[8];
} outline;

/* Read a written table back: its blocks, what separates them, how many entries each has. */
static outline outline_of(const fsm_table_writer *w) {
  outline o = {0};
  fsm_piece piece;
  fsm_src src;
  fsm_footer footer;
  fsm_block index = {0}, data = {0};
  fsm_entries it = {0}, entries = {0};
  bool more;
  fsm_handle h;
  fsm_src_memory(&src, &piece, w->out.items, w->out.n);
  CHECK_EQ(fsm_footer_read(&src, &footer, NULL), FSM_OK);
  CHECK(footer.padded);
  CHECK_EQ(fsm_block_load(&index, &src, footer.index, NULL), FSM_OK);
  CHECK_EQ(fsm_block_open(&index, NULL), FSM_OK);
  fsm_entries_begin(&it, &index);
  while (!fsm_entries_next(&it, &more, NULL) && more && o.n_blocks < 8) {
    size_t n = it.key_size < 15 ? it.key_size : 15;
    memcpy(o.separators[o.n_blocks], it.key, n);
    CHECK(fsm_handle_parse(it.value, it.value_size, &h));
    CHECK_EQ(fsm_block_load(&data, &src, h, NULL), FSM_OK);
    CHECK_EQ(fsm_block_open(&data, NULL), FSM_OK);
    fsm_entries_begin(&entries, &data);
    while (!fsm_entries_next(&entries, &more, NULL) && more)
      o.n_entries[o.n_blocks]++;
    CHECK(entries.restarts_ok);
    o.n_blocks++;
  }
  CHECK(it.restarts_ok);
  fsm_entries_free(&it);
  fsm_entries_free(&entries);
  fsm_block_free(&index);
  fsm_block_free(&data);
  return o;
}

/* A block with one entry has its lengths (1 + 1 + 3 bytes), key, value, one restart and
 * their count: with a key of one byte 262,130 bytes of value fill it to the last. */
static void a_block_ends_at_256_kib(void) {
  size_t full = FSM_WRITE_BLOCK_SIZE - (5 + 1 + 8);
  uint8_t *value = calloc(1, full);
  for (size_t less = 0; less < 2; less++) {
    fsm_table_writer w = {0};
    write_string(&w, "a", value, full - less);
    write_string(&w, "b", value, 1);
    CHECK_EQ(fsm_table_write_end(&w), FSM_OK);
    outline o = outline_of(&w);
    CHECK_EQ(o.n_blocks, less ? 1 : 2);
    CHECK_EQ(o.n_entries[0], less ? 2 : 1);
    fsm_table_writer_free(&w);
  }
  free(value);
}

/* An entry of 512 KiB or more, key and value together, begins a block. */
static void a_long_entry_has_its_own_block(void) {
  size_t n = 2 * FSM_WRITE_BLOCK_SIZE - 1;
  uint8_t *value = calloc(1, n);
  for (size_t less = 0; less < 2; less++) {
    fsm_table_writer w = {0};
    write_string(&w, "a", value, 1);
    write_string(&w, "b", value, n - less);
    write_string(&w, "c", value, 1);
    CHECK_EQ(fsm_table_write_end(&w), FSM_OK);
    outline o = outline_of(&w);
    CHECK_EQ(o.n_blocks, less ? 2 : 3);
    fsm_table_writer_free(&w);
  }
  free(value);
}

static void separators_are_short(void) {
  const struct {
    const char *last, *next, *want;
  } cases[] = {
      {"abcd", "abzz", "abd"}, /* the first byte that differs, raised */
      {"abcd", "abd", "abcd"}, /* raised it would be the next one's */
      {"ab", "abc", "ab"},     /* a prefix stays */
      {"a\xff", "b", "a\xff"},
  };
  uint8_t *value = calloc(1, FSM_WRITE_BLOCK_SIZE);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fsm_table_writer w = {0};
    write_string(&w, cases[i].last, value, FSM_WRITE_BLOCK_SIZE);
    write_string(&w, cases[i].next, value, 0);
    CHECK_EQ(fsm_table_write_end(&w), FSM_OK);
    outline o = outline_of(&w);
    CHECK_EQ(o.n_blocks, 2);
    CHECK_BYTES(o.separators[0], strlen(o.separators[0]), cases[i].want, strlen(cases[i].want));
    fsm_table_writer_free(&w);
  }
  fsm_table_writer w = {0};
  write_string(&w, "\xff\xff", value, 0);
  CHECK_EQ(fsm_table_write_end(&w), FSM_OK);
  CHECK_BYTES(outline_of(&w).separators[0], 2, "\xff\xff", 2); /* none can be raised */
  fsm_table_writer_free(&w);
  free(value);
}

static void keys_must_ascend(void) {
  fsm_table_writer w = {0};
  uint8_t *value = calloc(1, FSM_WRITE_BLOCK_SIZE);
  const uint8_t *key = (const uint8_t *)"bb";
  CHECK_EQ(fsm_table_write(&w, key, 0, value, 1), FSM_OK);
  CHECK_EQ(fsm_table_write(&w, key, 0, value, 1), FSM_E_ORDER);
  CHECK_EQ(fsm_table_write(&w, key, 2, value, FSM_WRITE_BLOCK_SIZE), FSM_OK);
  CHECK_EQ(fsm_table_write(&w, key, 2, value, 1), FSM_E_ORDER); /* across blocks too */
  CHECK_EQ(fsm_table_write(&w, key, 1, value, 1), FSM_E_ORDER);
  CHECK_EQ(fsm_table_write(&w, (const uint8_t *)"c", 1, value, 1), FSM_OK);
  fsm_table_writer_free(&w);
  free(value);
}

int main(void) {
  RUN(an_empty_table_is_three_parts);
  RUN(one_block_has_restarts_and_shared_keys);
  RUN(a_block_ends_at_256_kib);
  RUN(a_long_entry_has_its_own_block);
  RUN(separators_are_short);
  RUN(keys_must_ascend);
  return check_report();
}
