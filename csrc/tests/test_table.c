#include "check.h"
#include "fsm_table.h"
#include "make_table.h"

/* ---- footer ---- */

static fsm_status read_footer(const buffer *file, fsm_footer *footer, fsm_error *e) {
  fsm_piece piece;
  fsm_src src;
  fsm_src_memory(&src, &piece, file->p, file->size);
  return fsm_footer_read(&src, footer, e);
}

static buffer empty_table(void) {
  buffer file = {0};
  block_maker index;
  start_block(&index, 1);
  finish_table(&file, &index);
  return file;
}

static void test_footer(void) {
  buffer file = empty_table();
  fsm_footer footer;
  CHECK_EQ(read_footer(&file, &footer, NULL), FSM_OK);
  CHECK_EQ(footer.metaindex.offset, 0);
  CHECK_EQ(footer.metaindex.size, 8);
  CHECK_EQ(footer.index.offset, 13);
  CHECK_EQ(footer.index.size, 8);
  CHECK(footer.padded);
  uint8_t *start = file.p + file.size - FSM_FOOTER_SIZE;
  start[39] = 1;
  CHECK_EQ(read_footer(&file, &footer, NULL), FSM_OK);
  CHECK(!footer.padded);
  start[39] = 0;
  start[3] |= 0x80; /* the index's size in two bytes */
  CHECK_EQ(read_footer(&file, &footer, NULL), FSM_OK);
  CHECK_EQ(footer.index.size, 8);
  CHECK(!footer.padded);
  clear(&file);
}

static void test_footer_too_short(void) {
  buffer file = empty_table();
  fsm_footer footer;
  fsm_error e;
  for (file.size = 0; file.size < FSM_FOOTER_SIZE; file.size++) {
    CHECK_EQ(read_footer(&file, &footer, &e), FSM_E_TRUNCATED);
    CHECK_EQ(e.need, FSM_FOOTER_SIZE);
    CHECK_EQ(e.have, file.size);
  }
  clear(&file);
}

static void test_footer_magic(void) {
  buffer file = empty_table();
  fsm_footer footer;
  fsm_error e;
  put_byte(&file, 0); /* one byte appended */
  CHECK_EQ(read_footer(&file, &footer, &e), FSM_E_MAGIC);
  CHECK_EQ(e.offset, file.size - 8);
  file.size -= 2; /* one cut off */
  CHECK_EQ(read_footer(&file, &footer, &e), FSM_E_MAGIC);
  clear(&file);
}

static void test_footer_handles(void) {
  buffer file = {0};
  fsm_footer footer;
  fsm_error e;
  for (int i = 0; i < 40; i++)
    put_byte(&file, 0xff);
  put_u64(&file, FSM_TABLE_MAGIC);
  CHECK_EQ(read_footer(&file, &footer, &e), FSM_E_HANDLE);
  CHECK_EQ(e.offset, 0);
  clear(&file);
}

/* ---- loading blocks ---- */

typedef struct {
  buffer file;
  fsm_handle handle;
  fsm_piece piece;
  fsm_src src;
  fsm_block block;
} loaded;

/* A file of one block of this body, and room for a footer. */
static void put_in_file(loaded *l, const buffer *body, unsigned type) {
  *l = (loaded){0};
  l->handle = put_block(&l->file, body, type);
  put_footer(&l->file, l->handle, l->handle);
  fsm_src_memory(&l->src, &l->piece, l->file.p, l->file.size);
}

static void drop(loaded *l) {
  fsm_block_free(&l->block);
  clear(&l->file);
}

static buffer small_body(void) {
  block_maker m;
  start_block(&m, 2);
  add_string(&m, "a", "1", 1);
  add_string(&m, "ab", "22", 2);
  add_string(&m, "abc", "", 0);
  return end_block(&m);
}

static void test_load_and_open(void) {
  buffer body = small_body();
  loaded l;
  put_in_file(&l, &body, FSM_BLOCK_RAW);
  CHECK_EQ(fsm_block_load(&l.block, &l.src, l.handle, NULL), FSM_OK);
  CHECK_EQ(fsm_block_open(&l.block, NULL), FSM_OK);
  CHECK_BYTES(l.block.body, l.block.size, body.p, body.size);
  CHECK_EQ(l.block.n_restarts, 2);
  CHECK(l.block.restarts_ok);
  CHECK_EQ(l.block.entries_end, body.size - 12);
  CHECK_EQ(fsm_block_offset(&l.block, 5), 5);
  drop(&l);
  clear(&body);
}

static void test_snappy_block(void) {
  buffer body = small_body(), packed = snappy_encode(body.p, body.size);
  loaded l;
  put_in_file(&l, &packed, FSM_BLOCK_SNAPPY);
  CHECK_EQ(fsm_block_load(&l.block, &l.src, l.handle, NULL), FSM_OK);
  CHECK_EQ(fsm_block_open(&l.block, NULL), FSM_OK);
  CHECK_BYTES(l.block.body, l.block.size, body.p, body.size);
  CHECK_EQ(fsm_block_offset(&l.block, 5), 0);
  drop(&l);
  clear(&packed);
  clear(&body);
}

static void check_load(loaded *l, uint64_t offset, uint64_t size, fsm_status want) {
  fsm_error e = {0};
  CHECK_EQ(fsm_block_load(&l->block, &l->src, (fsm_handle){offset, size}, &e), want);
  CHECK_EQ(e.offset, offset);
  if (want == FSM_E_HANDLE)
    CHECK_EQ(e.need, size);
}

static void test_handle_outside_file(void) {
  buffer body = small_body();
  loaded l;
  put_in_file(&l, &body, FSM_BLOCK_RAW);
  uint64_t n = body.size;
  check_load(&l, 0, n + 1, FSM_E_HANDLE); /* into the footer */
  check_load(&l, 1, n, FSM_E_HANDLE);
  check_load(&l, l.file.size, 0, FSM_E_HANDLE);
  check_load(&l, 0, (uint64_t)1 << 34, FSM_E_HANDLE);
  check_load(&l, 0, (uint64_t)1 << 63, FSM_E_HANDLE);
  check_load(&l, 0, UINT64_MAX, FSM_E_HANDLE);
  check_load(&l, UINT64_MAX, 8, FSM_E_HANDLE);
  check_load(&l, UINT64_MAX - 7, 8, FSM_E_HANDLE);
  check_load(&l, (uint64_t)1 << 63, (uint64_t)1 << 63, FSM_E_HANDLE);
  drop(&l);
  clear(&body);
}

static void test_block_limit(void) {
  size_t n = FSM_MAX_BLOCK + 1024; /* of a source that costs no memory: one byte over and over */
  size_t n_pieces = n / 1024;
  static const uint8_t zeros[1024];
  fsm_piece *pieces = calloc(n_pieces, sizeof *pieces);
  for (size_t i = 0; i < n_pieces; i++)
    pieces[i] = (fsm_piece){.start = 1024 * i, .length = 1024, .fd = FSM_PATCH};
  loaded l = {0};
  CHECK_EQ(fsm_src_init(&l.src, pieces, n_pieces, zeros, sizeof zeros, NULL), FSM_OK);
  check_load(&l, 0, FSM_MAX_BLOCK + 1, FSM_E_LIMIT);
  CHECK_EQ(l.block.stored_capacity, 0);
  drop(&l);
  free(pieces);
}

static void test_checksum(void) {
  buffer body = small_body();
  loaded l;
  for (size_t i = 0; i < body.size + FSM_BLOCK_TRAILER; i++) {
    fsm_error e;
    put_in_file(&l, &body, FSM_BLOCK_RAW);
    l.file.p[i] ^= 0x10;
    CHECK_EQ(fsm_block_load(&l.block, &l.src, l.handle, &e), FSM_E_CRC);
    CHECK(e.need != e.have);
    drop(&l);
  }
  clear(&body);
}

static void test_unknown_type(void) {
  buffer body = small_body();
  loaded l;
  fsm_error e;
  put_in_file(&l, &body, 2);
  CHECK_EQ(fsm_block_load(&l.block, &l.src, l.handle, NULL), FSM_OK);
  CHECK_EQ(fsm_block_open(&l.block, &e), FSM_E_INVALID);
  CHECK_EQ(e.have, 2);
  CHECK_EQ(e.offset, body.size);
  drop(&l);
  clear(&body);
}

static void test_body_without_restarts(void) {
  for (size_t n = 0; n < 4; n++) {
    buffer body = {0};
    loaded l;
    put(&body, "\0\0\0", n);
    put_in_file(&l, &body, FSM_BLOCK_RAW);
    CHECK_EQ(fsm_block_load(&l.block, &l.src, l.handle, NULL), FSM_OK);
    CHECK_EQ(fsm_block_open(&l.block, NULL), FSM_E_BLOCK);
    drop(&l);
    clear(&body);
  }
}

static void test_snappy_damage(void) {
  buffer packed = {0};
  loaded l;
  put(&packed, "\xff\xff\xff\xff\x0f" "abc", 8); /* declares 4 GiB */
  put_in_file(&l, &packed, FSM_BLOCK_SNAPPY);
  CHECK_EQ(fsm_block_load(&l.block, &l.src, l.handle, NULL), FSM_OK);
  CHECK_EQ(fsm_block_open(&l.block, NULL), FSM_E_SNAPPY);
  CHECK_EQ(l.block.decoded_capacity, 0);
  drop(&l);
  clear(&packed);
}

/* ---- entries ---- */

typedef struct {
  fsm_status status;
  fsm_error e;
  size_t n_entries;
  bool restarts_ok, ascends;
  char keys[64]; /* each with a comma */
} walked;

static walked walk(const buffer *body) {
  loaded l;
  walked w = {.ascends = true};
  fsm_entries it = {0};
  bool more;
  put_in_file(&l, body, FSM_BLOCK_RAW);
  CHECK_EQ(fsm_block_load(&l.block, &l.src, l.handle, NULL), FSM_OK);
  CHECK_EQ(fsm_block_open(&l.block, NULL), FSM_OK);
  fsm_entries_begin(&it, &l.block);
  while (!(w.status = fsm_entries_next(&it, &more, &w.e)) && more) {
    w.n_entries++;
    w.ascends &= it.ascends;
    size_t used = strlen(w.keys);
    snprintf(w.keys + used, sizeof w.keys - used, "%.*s,", (int)it.key_size, (char *)it.key);
  }
  w.restarts_ok = it.restarts_ok;
  fsm_entries_free(&it);
  drop(&l);
  return w;
}

static void put_restarts(buffer *body) {
  put_u32(body, 0);
  put_u32(body, 1);
}

static void test_entries(void) {
  buffer body = small_body();
  walked w = walk(&body);
  CHECK_EQ(w.status, FSM_OK);
  CHECK(strcmp(w.keys, "a,ab,abc,") == 0);
  CHECK(w.ascends);
  CHECK(w.restarts_ok);
  clear(&body);
}

static void test_empty_block(void) {
  block_maker m;
  start_block(&m, 16);
  buffer body = end_block(&m);
  walked w = walk(&body);
  CHECK_EQ(w.status, FSM_OK);
  CHECK_EQ(w.n_entries, 0);
  CHECK(w.restarts_ok);
  clear(&body);
}

static void test_entry_values(void) {
  buffer body = small_body();
  loaded l;
  fsm_entries it = {0};
  bool more;
  put_in_file(&l, &body, FSM_BLOCK_RAW);
  fsm_block_load(&l.block, &l.src, l.handle, NULL);
  fsm_block_open(&l.block, NULL);
  fsm_entries_begin(&it, &l.block);
  fsm_entries_next(&it, &more, NULL);
  fsm_entries_next(&it, &more, NULL);
  CHECK_BYTES(it.value, it.value_size, "22", 2);
  CHECK_BYTES(l.block.body + it.value_at, it.value_size, "22", 2);
  fsm_entries_next(&it, &more, NULL);
  CHECK_EQ(it.value_size, 0);
  fsm_entries_free(&it);
  drop(&l);
  clear(&body);
}

/* An entry behind a good one: what its three lengths claim, and what is said. */
static void check_lengths(uint64_t shared, uint64_t fresh, uint64_t value_size, uint64_t need,
                          uint64_t have) {
  buffer body = {0};
  put_entry(&body, 0, 1, 1, "av", 2);
  uint64_t at = body.size;
  put_entry(&body, shared, fresh, value_size, "bv", 2);
  put_restarts(&body);
  walked w = walk(&body);
  CHECK_EQ(w.status, FSM_E_BLOCK);
  CHECK_EQ(w.n_entries, 1);
  CHECK_EQ(w.e.offset, at);
  CHECK_EQ(w.e.need, need);
  CHECK_EQ(w.e.have, have);
  clear(&body);
}

static void test_lengths_that_do_not_fit(void) {
  check_lengths(0, 1, 2, 2, 1);
  check_lengths(0, 1, 0xffffffff, 0xffffffff, 1); /* key + value wraps 32 bits */
  check_lengths(0, 0xfffffff0, 0x20, 0xfffffff0, 2);
  check_lengths(0, 3, 0, 3, 2);
  check_lengths(2, 1, 1, 2, 1); /* more than the key before has */
  check_lengths(0xffffffff, 1, 1, 0xffffffff, 1);
}

static void test_first_entry_shares_nothing(void) {
  buffer body = {0};
  put_entry(&body, 1, 1, 1, "av", 2);
  put_restarts(&body);
  CHECK_EQ(walk(&body).status, FSM_E_BLOCK);
  clear(&body);
}

static void test_length_varints(void) {
  buffer body = {0};
  put(&body, "\x00\x01\x80\x80\x80\x80\x80\x00" "av", 10); /* six bytes for a varint32 */
  put_restarts(&body);
  CHECK_EQ(walk(&body).status, FSM_E_BLOCK);
  clear(&body);
  put(&body, "\x00\x80", 2); /* cut by the restart array, which must not be read as lengths */
  put_restarts(&body);
  CHECK_EQ(walk(&body).status, FSM_E_BLOCK);
  clear(&body);
}

static void test_key_order(void) {
  static const char *const pairs[][2] = {{"b", "a"}, {"a", "a"}, {"ab", "a"}, {"\xff", "a"}};
  for (size_t i = 0; i < 4; i++) {
    block_maker m;
    start_block(&m, 16);
    add_string(&m, pairs[i][0], "", 0);
    add_string(&m, pairs[i][1], "", 0);
    buffer body = end_block(&m);
    walked w = walk(&body);
    CHECK_EQ(w.n_entries, 2);
    CHECK(!w.ascends);
    clear(&body);
  }
}

static void test_order_across_blocks(void) {
  buffer body = small_body();
  loaded l;
  fsm_entries it = {0};
  bool more;
  put_in_file(&l, &body, FSM_BLOCK_RAW);
  fsm_block_load(&l.block, &l.src, l.handle, NULL);
  fsm_block_open(&l.block, NULL);
  fsm_entries_hold(&it, (const uint8_t *)"Z", 1, NULL);
  fsm_entries_begin(&it, &l.block);
  fsm_entries_next(&it, &more, NULL);
  CHECK(it.ascends);
  fsm_entries_begin(&it, &l.block); /* the same block again begins below */
  fsm_entries_hold(&it, (const uint8_t *)"abc", 3, NULL);
  fsm_entries_next(&it, &more, NULL);
  CHECK(!it.ascends);
  fsm_entries_free(&it);
  drop(&l);
  clear(&body);
}

/* ---- restart arrays: the entries can be walked whatever they say ---- */

static void check_restarts(const uint32_t *restarts, size_t n, uint32_t count, bool ok) {
  buffer body = small_body(); /* restarts 0 and the third entry */
  body.size -= 12;
  for (size_t i = 0; i < n; i++)
    put_u32(&body, restarts[i]);
  put_u32(&body, count);
  walked w = walk(&body);
  CHECK_EQ(w.status, FSM_OK);
  CHECK(strcmp(w.keys, "a,ab,abc,") == 0);
  CHECK_EQ(w.restarts_ok, ok);
  clear(&body);
}

static void test_restarts(void) {
  buffer body = small_body();
  uint32_t third = fsm_load32(body.p + body.size - 8);
  clear(&body);
  check_restarts((uint32_t[]){0, third}, 2, 2, true);
  check_restarts((uint32_t[]){0}, 1, 1, true);
  check_restarts((uint32_t[]){0, third}, 2, 0, false);
  check_restarts((uint32_t[]){0, third}, 2, 0x80000000u, false);
  check_restarts((uint32_t[]){0, third}, 2, 0xffffffffu, false);
  check_restarts((uint32_t[]){0, 0xfffffff0u}, 2, 2, false);
  check_restarts((uint32_t[]){0, third + 1}, 2, 2, false);
  check_restarts((uint32_t[]){0, third - 1}, 2, 2, false);
  check_restarts((uint32_t[]){0, 0}, 2, 2, false);
  check_restarts((uint32_t[]){third, 0}, 2, 2, false);
  check_restarts((uint32_t[]){1, third}, 2, 2, false);
  check_restarts((uint32_t[]){0, 4}, 2, 2, false); /* an entry that shares */
}

int main(void) {
  RUN(test_footer);
  RUN(test_footer_too_short);
  RUN(test_footer_magic);
  RUN(test_footer_handles);
  RUN(test_load_and_open);
  RUN(test_snappy_block);
  RUN(test_handle_outside_file);
  RUN(test_block_limit);
  RUN(test_checksum);
  RUN(test_unknown_type);
  RUN(test_body_without_restarts);
  RUN(test_snappy_damage);
  RUN(test_entries);
  RUN(test_empty_block);
  RUN(test_entry_values);
  RUN(test_lengths_that_do_not_fit);
  RUN(test_first_entry_shares_nothing);
  RUN(test_length_varints);
  RUN(test_key_order);
  RUN(test_order_across_blocks);
  RUN(test_restarts);
  return check_report();
}
