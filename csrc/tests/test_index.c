#include "fsm_doubles.h"
#include "read_index.h"

/* ---- sound indexes ---- */

static void test_small_index(void) {
  buffer file = make_index(THREE, 3, 100, false);
  fsm_index index;
  CHECK_EQ(read_index(&file, STRICT, &index, NULL), FSM_OK);
  CHECK_EQ(index.n_problems, 0);
  CHECK_EQ(index.n_entries, 3);
  CHECK_EQ(index.total_bytes, 60);
  for (size_t i = 0; i < 3; i++)
    check_row(&index, i, &THREE[i]);
  CHECK(index.header.present);
  CHECK(index.header.has_version);
  CHECK_EQ(index.header.num_shards, 1);
  CHECK_EQ(index.header.endianness, 0);
  CHECK_EQ(index.header.producer, 1);
  CHECK_EQ(index.header.min_consumer, 0);
  CHECK(!index.header.refuses_this_version);
  fsm_index_free(&index);
  clear(&file);
}

static void check_many(size_t per_block, bool snappy) {
  sample samples[N_MANY];
  char keys[N_MANY][32];
  many_samples(samples, keys);
  buffer file = make_index(samples, N_MANY, per_block, snappy);
  fsm_index index;
  CHECK_EQ(read_index(&file, STRICT, &index, NULL), FSM_OK);
  CHECK_EQ(index.n_problems, 0);
  CHECK_EQ(index.n_entries, N_MANY);
  CHECK_EQ(index.n_blocks, (N_MANY + per_block - 1) / per_block);
  for (size_t i = 0; i < N_MANY; i++)
    check_row(&index, i, &samples[i]);
  CHECK_EQ(index.blocks[0].type, snappy);
  CHECK_EQ(index.blocks[0].n_entries, per_block < N_MANY ? per_block : N_MANY);
  fsm_index_free(&index);
  clear(&file);
}

static void test_many_entries_in_many_blocks(void) {
  static const size_t per_block[] = {1, 7, 16, 17, 1000};
  for (size_t i = 0; i < 5; i++) {
    check_many(per_block[i], false);
    check_many(per_block[i], true);
  }
}

/* The row says where the entry's own bytes are, compressed or not. */
static void test_raw_values(void) {
  for (unsigned snappy = 0; snappy < 2; snappy++) {
    buffer file = make_index(THREE, 3, 2, snappy);
    fsm_index index;
    fsm_piece piece;
    fsm_src src;
    fsm_block block = {0};
    CHECK_EQ(read_index(&file, STRICT, &index, NULL), FSM_OK);
    fsm_src_memory(&src, &piece, file.p, file.size);
    for (size_t i = 0; i < 3; i++) {
      buffer want = make_entry(&THREE[i]);
      fsm_block_load(&block, &src, index.blocks[index.block[i]].handle, NULL);
      fsm_block_open(&block, NULL);
      CHECK_BYTES(block.body + index.value_at[i], index.value_size[i], want.p, want.size);
      clear(&want);
    }
    fsm_block_free(&block);
    fsm_index_free(&index);
    clear(&file);
  }
}

static void test_source_in_pieces(void) {
  buffer file = three_blocks();
  for (size_t cut = 1; cut < file.size; cut += 5) {
    fsm_piece pieces[2] = {{.start = 0, .length = cut, .origin = 0, .fd = FSM_PATCH},
                           {.start = cut, .length = file.size - cut, .origin = cut,
                            .fd = FSM_PATCH}};
    fsm_src src;
    fsm_index index;
    CHECK_EQ(fsm_src_init(&src, pieces, 2, file.p, file.size, NULL), FSM_OK);
    CHECK_EQ(fsm_index_read(&index, &src, STRICT, NULL), FSM_OK);
    CHECK_EQ(index.n_entries, 3);
    fsm_index_free(&index);
  }
  clear(&file);
}

static void test_table_without_blocks(void) {
  buffer file = {0};
  block_maker none;
  start_block(&none, 1);
  finish_table(&file, &none);
  fsm_index index;
  CHECK_EQ(read_index(&file, STRICT, &index, NULL), FSM_OK);
  CHECK(!index.header.present);
  CHECK_EQ(index.n_entries, 0);
  CHECK_EQ(index.key_at[0], 0);
  fsm_index_free(&index);
  clear(&file);
}

/* ---- messages ---- */

/* An index of one block: the header (if any) and one entry "k" (if any). */
static buffer index_of(const buffer *header, const buffer *entry) {
  buffer file = {0};
  block_maker index, block;
  start_block(&index, 1);
  start_block(&block, 16);
  if (header)
    add_string(&block, "", header->p, header->size);
  if (entry)
    add_string(&block, "k", entry->p, entry->size);
  write_block(&file, &block, &index, "l", false);
  finish_table(&file, &index);
  return file;
}

static fsm_index parse_entry(const void *bytes, size_t n) {
  buffer entry = {0}, header = make_header(1);
  put(&entry, bytes, n);
  buffer file = index_of(&header, &entry);
  fsm_index index;
  CHECK_EQ(read_index(&file, STRICT, &index, NULL), FSM_OK);
  CHECK_EQ(index.n_entries, 1);
  clear(&entry);
  clear(&header);
  clear(&file);
  return index;
}

#define PARSE_ENTRY(literal) parse_entry(literal, sizeof literal - 1)

static void test_entry_defaults(void) {
  fsm_index index = PARSE_ENTRY("");
  CHECK_EQ(index.dtype[0], 0);
  CHECK_EQ(index.size[0], 0);
  CHECK_EQ(index.flags[0], 0);
  fsm_index_free(&index);
}

static void test_entry_in_any_order_and_last_wins(void) {
  fsm_index index = PARSE_ENTRY("\x28\x05" "\x20\x07" "\x08\x01" "\x35\x01\x02\x03\x04"
                                "\x08\x03" "\x28\x06" "\x12\x00" "\x18\x02");
  CHECK_EQ(index.dtype[0], 3);
  CHECK_EQ(index.size[0], 6);
  CHECK_EQ(index.offset[0], 7);
  CHECK_EQ(index.shard[0], 2);
  CHECK_EQ(index.crc32c[0], 0x04030201);
  CHECK_EQ(index.flags[0], FSM_ENTRY_HAS_SHAPE);
  fsm_index_free(&index);
}

static void test_unknown_fields_are_skipped(void) {
  fsm_index index = PARSE_ENTRY("\x08\x01"
                                "\x40\x05"                      /* 8: varint */
                                "\x49" "12345678"               /* 9: fixed64 */
                                "\x55" "1234"                   /* 10: fixed32 */
                                "\x5a\x02" "ab"                 /* 11: bytes */
                                "\x63\x08\x07\x6b\x6c\x12\x01x\x64" /* 12: a group, one inside */
                                "\x0d" "1234"                   /* 1, but fixed32 */
                                "\x31" "12345678"               /* 6, but fixed64 */
                                "\x28\x09");
  CHECK_EQ(index.dtype[0], 1);
  CHECK_EQ(index.size[0], 9);
  CHECK_EQ(index.crc32c[0], 0);
  fsm_index_free(&index);
}

static void test_long_varints(void) {
  fsm_index index = PARSE_ENTRY("\x88\x00\x81\x80\x00"                          /* dtype 1 */
                                "\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" /* shard -1 */
                                "\x20\xf8\xff\xff\xff\xff\xff\xff\xff\xff\x01" /* offset -8 */
                                "\x28\x80\x80\x80\x80\x80\x80\x80\x80\x40");   /* size 2^62 */
  CHECK_EQ(index.dtype[0], 1);
  CHECK_EQ(index.shard[0], -1);
  CHECK_EQ(index.offset[0], -8);
  CHECK_EQ(index.size[0], INT64_C(1) << 62);
  fsm_index_free(&index);
}

static void test_shapes_merge(void) {
  fsm_index index = PARSE_ENTRY("\x12\x06\x12\x02\x08\x03\x18\x01" "\x12\x04\x12\x00\x18\x00"
                                "\x12\x0a\x12\x08\x08\x01\x12\x01n\x08\xc8\x01");
  const int64_t want[] = {3, 0, 200};
  CHECK_BYTES(index.dims, 8 * index.n_dims, want, sizeof want);
  CHECK_EQ(index.flags[0], FSM_ENTRY_HAS_SHAPE);
  fsm_index_free(&index);
  index = PARSE_ENTRY("\x12\x02\x18\x01");
  CHECK_EQ(index.flags[0], FSM_ENTRY_HAS_SHAPE | FSM_ENTRY_UNKNOWN_RANK);
  fsm_index_free(&index);
}

static void test_slices_are_counted(void) {
  fsm_index index = PARSE_ENTRY("\x3a\x06\x0a\x04\x08\x02\x10\x03" "\x3a\x02\x0a\x00" "\x3a\x00");
  CHECK_EQ(index.n_slices[0], 3);
  fsm_index_free(&index);
}

static void check_broken_entry(const void *bytes, size_t n, fsm_status want, size_t at) {
  buffer entry = {0}, header = make_header(1);
  put(&entry, bytes, n);
  buffer file = index_of(&header, &entry);
  fsm_error e;
  fsm_index index;
  check_problem(&file, FSM_PLACE_ENTRY, want, "k", 0);
  read_index(&file, STRICT, &index, &e);
  /* In the file: three lengths and the header, three lengths and "k", the entry. */
  CHECK_EQ(e.offset, 3 + header.size + 2 + fsm_varint_size(n) + 1 + at);
  fsm_index_free(&index);
  clear(&entry);
  clear(&header);
  clear(&file);
}

#define BROKEN_ENTRY(literal, want, at) check_broken_entry(literal, sizeof literal - 1, want, at)

static void test_broken_entries(void) {
  BROKEN_ENTRY("\x08", FSM_E_TRUNCATED, 1);
  BROKEN_ENTRY("\x08\x01\x35\x01", FSM_E_TRUNCATED, 3);
  BROKEN_ENTRY("\x12\x05\x12\x00", FSM_E_TRUNCATED, 2);
  BROKEN_ENTRY("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", FSM_E_TRUNCATED, 11);
  BROKEN_ENTRY("\x12\x03\x12\x05\x00", FSM_E_TRUNCATED, 4);
  BROKEN_ENTRY("\x12\x04\x12\x02\x08\x80", FSM_E_TRUNCATED, 5);
  BROKEN_ENTRY("\x3a\x03\x0a\x01\x08", FSM_E_TRUNCATED, 5);
  BROKEN_ENTRY("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", FSM_E_VARINT, 1);
  BROKEN_ENTRY("\x00\x01", FSM_E_TAG, 0);
  BROKEN_ENTRY("\x0e", FSM_E_WIRE, 0);
  BROKEN_ENTRY("\x0c", FSM_E_GROUP, 1);
  BROKEN_ENTRY("\x0b\x14", FSM_E_GROUP, 2);
  BROKEN_ENTRY("\x0b\x08\x01", FSM_E_GROUP, 3);
}

static void test_deep_groups(void) {
  uint8_t bytes[2 * (FSM_MAX_DEPTH + 1)];
  memset(bytes, 0x63, sizeof bytes / 2);
  memset(bytes + sizeof bytes / 2, 0x64, sizeof bytes / 2);
  check_broken_entry(bytes, sizeof bytes, FSM_E_DEPTH, FSM_MAX_DEPTH + 1);
  fsm_index index = parse_entry(bytes + 1, sizeof bytes - 2);
  fsm_index_free(&index);
}

/* A broken entry leaves no dimensions behind. */
static void test_broken_entry_among_others(void) {
  buffer file = {0}, broken = {0};
  block_maker index_block, block;
  start_block(&index_block, 1);
  start_block(&block, 16);
  add_header(&block);
  add_sample(&block, &THREE[0]);
  put(&broken, "\x12\x04\x12\x02\x08\x03\x08", 7);
  add_string(&block, "b", broken.p, broken.size);
  add_sample(&block, &THREE[2]);
  write_block(&file, &block, &index_block, "d", false);
  finish_table(&file, &index_block);
  check_problem(&file, FSM_PLACE_ENTRY, FSM_E_TRUNCATED, "b", 2);
  fsm_index index;
  CHECK_EQ(read_index(&file, LENIENT, &index, NULL), FSM_OK);
  check_row(&index, 0, &THREE[0]);
  check_row(&index, 1, &THREE[2]);
  fsm_index_free(&index);
  clear(&broken);
  clear(&file);
}

/* ---- the header ---- */

static fsm_bundle_header parse_header(const void *bytes, size_t n) {
  buffer header = {0};
  put(&header, bytes, n);
  buffer file = index_of(&header, NULL);
  fsm_index index;
  CHECK_EQ(read_index(&file, STRICT, &index, NULL), FSM_OK);
  fsm_bundle_header read = index.header;
  fsm_index_free(&index);
  clear(&header);
  clear(&file);
  return read;
}

#define PARSE_HEADER(literal) parse_header(literal, sizeof literal - 1)

static void test_header_fields(void) {
  fsm_bundle_header h = PARSE_HEADER("\x08\x02\x10\x01\x1a\x04\x08\x05\x10\x03");
  CHECK_EQ(h.num_shards, 2);
  CHECK_EQ(h.endianness, 1);
  CHECK_EQ(h.producer, 5);
  CHECK_EQ(h.min_consumer, 3);
  h = PARSE_HEADER("");
  CHECK(h.present);
  CHECK(!h.has_version);
  h = PARSE_HEADER("\x1a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
  CHECK_EQ(h.producer, -1);
}

static void test_bad_consumers(void) {
  CHECK(PARSE_HEADER("\x1a\x02\x18\x01").refuses_this_version);
  CHECK(PARSE_HEADER("\x1a\x05\x1a\x03\x02\x01\x05").refuses_this_version);
  CHECK(PARSE_HEADER("\x1a\x02\x18\x01\x1a\x02\x18\x07").refuses_this_version);
  CHECK(!PARSE_HEADER("\x1a\x04\x1a\x02\x02\x05").refuses_this_version);
  CHECK(!PARSE_HEADER("\x1a\x02\x18\x02").refuses_this_version);
}

static void test_no_header(void) {
  buffer entry = make_entry(&THREE[0]), file = index_of(NULL, &entry);
  fsm_index index;
  CHECK_EQ(read_index(&file, STRICT, &index, NULL), FSM_OK);
  CHECK(!index.header.present);
  CHECK_EQ(index.n_entries, 1);
  fsm_index_free(&index);
  clear(&entry);
  clear(&file);
}

static void test_broken_header(void) {
  buffer header = {0}, entry = make_entry(&THREE[0]);
  put(&header, "\x08\x01\x1a\x09", 4);
  buffer file = index_of(&header, &entry);
  check_problem(&file, FSM_PLACE_HEADER, FSM_E_TRUNCATED, "", 1);
  clear(&header);
  clear(&entry);
  clear(&file);
}

/* ---- doubles ---- */

static fsm_doubles doubles_of(const sample *samples, size_t n, size_t *twin_of) {
  buffer file = make_index(samples, n, 9, false);
  fsm_index index;
  fsm_doubles doubles;
  CHECK_EQ(read_index(&file, STRICT, &index, NULL), FSM_OK);
  CHECK_EQ(fsm_doubles_find(&index, twin_of, &doubles), FSM_OK);
  fsm_index_free(&index);
  clear(&file);
  return doubles;
}

static void test_doubles(void) {
  sample samples[N_MANY];
  char keys[N_MANY][32];
  size_t twin_of[N_MANY];
  many_samples(samples, keys);
  fsm_doubles d = doubles_of(samples, N_MANY, twin_of);
  uint64_t bytes = 0;
  for (size_t i = 0; i < N_MANY; i++) {
    CHECK_EQ(twin_of[i], i % 5 == 4 ? i - 1 : i);
    bytes += i % 5 == 4 ? (uint64_t)samples[i].size : 0;
  }
  CHECK_EQ(d.n_groups, N_MANY / 5);
  CHECK_EQ(d.n_entries, N_MANY / 5);
  CHECK_EQ(d.bytes, bytes);
}

/* Shape, dtype and checksum must agree; nothing in nothing, slices or one place
 * is not stored twice. */
static void test_what_is_no_double(void) {
  sample pair[2] = {{.key = "a", .dtype = 1, .rank = 1, .dims = {6}, .size = 24, .crc32c = 5},
                    {.key = "b", .dtype = 1, .rank = 1, .dims = {6}, .offset = 24, .size = 24,
                     .crc32c = 5}};
  sample twin = pair[1];
  CHECK_EQ(doubles_of(pair, 2, NULL).n_entries, 1);
#define DIFFERS(change)                          \
  pair[1] = twin;                                \
  change;                                        \
  CHECK_EQ(doubles_of(pair, 2, NULL).n_entries, 0)
  DIFFERS(pair[1].dims[0] = 7);
  DIFFERS(pair[1].rank = 0);
  DIFFERS(pair[1].dtype = 3);
  DIFFERS(pair[1].crc32c = 6);
  DIFFERS(pair[1].size = 25);
  DIFFERS(pair[1].offset = 0);
  DIFFERS(pair[1].n_slices = 1);
  DIFFERS(pair[0].size = pair[1].size = 0);
#undef DIFFERS
}

static void test_doubles_share_some_places(void) {
  sample four[4];
  size_t twin_of[4];
  static const char *const keys[] = {"a", "b", "c", "d"};
  for (int i = 0; i < 4; i++)
    four[i] = (sample){.key = keys[i], .dtype = 1, .offset = i < 2 ? 100 : 0,
                       .size = 8, .crc32c = 5, .shard = i == 3};
  fsm_doubles d = doubles_of(four, 4, twin_of); /* places: 100, 0 and 0 of shard 1 */
  CHECK_EQ(d.n_groups, 1);
  CHECK_EQ(d.n_entries, 2);
  CHECK_EQ(d.bytes, 16);
  for (int i = 0; i < 4; i++)
    CHECK_EQ(twin_of[i], 0);
}

static void test_doubles_of_nothing(void) {
  fsm_doubles d = doubles_of(NULL, 0, NULL);
  CHECK_EQ(d.n_groups, 0);
  CHECK_EQ(d.bytes, 0);
}

int main(void) {
  RUN(test_small_index);
  RUN(test_many_entries_in_many_blocks);
  RUN(test_raw_values);
  RUN(test_source_in_pieces);
  RUN(test_table_without_blocks);
  RUN(test_entry_defaults);
  RUN(test_entry_in_any_order_and_last_wins);
  RUN(test_unknown_fields_are_skipped);
  RUN(test_long_varints);
  RUN(test_shapes_merge);
  RUN(test_slices_are_counted);
  RUN(test_broken_entries);
  RUN(test_deep_groups);
  RUN(test_broken_entry_among_others);
  RUN(test_header_fields);
  RUN(test_bad_consumers);
  RUN(test_no_header);
  RUN(test_broken_header);
  RUN(test_doubles);
  RUN(test_what_is_no_double);
  RUN(test_doubles_share_some_places);
  RUN(test_doubles_of_nothing);
  return check_report();
}
