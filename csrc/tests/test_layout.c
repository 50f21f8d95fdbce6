/* Bundles laid out anew: which bytes go where, and the index that says so. */
#include "fsm_layout.h"

#include "check.h"
#include "fsm_bundle_write.h"
#include "make_index.h"
#include "read_index.h"

/* Four extents end to end in shard 0 and one in shard 1. */
static const sample FIVE[] = {
    {.key = "a", .dtype = 1, .offset = 30, .size = 10, .crc32c = 1},
    {.key = "b", .dtype = 1, .offset = 0, .size = 10, .crc32c = 2},
    {.key = "c", .dtype = 1, .offset = 10, .size = 0},
    {.key = "d", .dtype = 1, .offset = 10, .size = 20, .crc32c = 3},
    {.key = "e", .dtype = 1, .shard = 1, .offset = 0, .size = 8, .crc32c = 4},
};

typedef struct {
  fsm_index index;
  fsm_layout layout;
  fsm_layout_shard shards[2];
  fsm_error e;
} bundle;

static void open_bundle(bundle *b, const sample *samples, size_t n) {
  *b = (bundle){.shards = {{.id = 0, .size = 40}, {.id = 1, .size = 8}}};
  buffer file = make_index(samples, n, 100, false);
  CHECK_EQ(read_index(&file, STRICT, &b->index, NULL), FSM_OK);
  b->index.header.num_shards = 2;
  clear(&file);
}

static void close_bundle(bundle *b) {
  fsm_layout_free(&b->layout);
  fsm_index_free(&b->index);
}

static fsm_status lay(bundle *b, const char *keep, const uint64_t *same_as,
                      const fsm_layout_fresh *fresh, size_t n_fresh, bool merge) {
  uint8_t mask[8];
  for (size_t i = 0; i < b->index.n_entries; i++)
    mask[i] = keep[i] == '1';
  return fsm_layout_make(&b->layout, &b->index, mask, same_as, fresh, n_fresh, b->shards, 2, merge,
                         &b->e);
}

static void check_stretch(const bundle *b, size_t i, int32_t to, int32_t from,
                          uint64_t origin, uint64_t size) {
  if (i >= b->layout.runs.n) {
    CHECK(false);
    return;
  }
  const fsm_layout_run *run = (const fsm_layout_run *)b->layout.runs.items + i;
  CHECK_EQ(run->to, to);
  CHECK_EQ(run->from, from);
  CHECK_EQ(run->origin, origin);
  CHECK_EQ(run->size, size);
}

static void check_place(const bundle *b, size_t row, int32_t shard, int64_t offset) {
  CHECK_EQ(b->layout.places[row].shard, shard);
  CHECK_EQ(b->layout.places[row].offset, offset);
}

static void what_is_kept_whole_stays(void) {
  bundle b;
  open_bundle(&b, FIVE, 5);
  b.shards[0].size = 44; /* four bytes behind the last extent stay too */
  CHECK_EQ(lay(&b, "11111", NULL, NULL, 0, false), FSM_OK);
  CHECK_EQ(b.layout.n_shards, 2);
  CHECK_EQ(b.layout.runs.n, 2);
  check_stretch(&b, 0, 0, 0, 0, 44);
  check_stretch(&b, 1, 1, 1, 0, 8);
  CHECK(!b.shards[0].touched && !b.shards[1].touched);
  for (size_t i = 0; i < 5; i++)
    check_place(&b, i, FIVE[i].shard, FIVE[i].offset);
  close_bundle(&b);
}

static void kept_extents_close_up_in_order(void) {
  bundle b;
  open_bundle(&b, FIVE, 5);
  CHECK_EQ(lay(&b, "10111", NULL, NULL, 0, false), FSM_OK);
  CHECK_EQ(b.layout.runs.n, 2);
  check_stretch(&b, 0, 0, 0, 10, 30); /* d and a, end to end */
  check_place(&b, 2, 0, 0);
  check_place(&b, 3, 0, 0);
  check_place(&b, 0, 0, 20);
  CHECK(b.shards[0].touched && !b.shards[1].touched);
  close_bundle(&b);
}

static void a_shard_that_is_empty_goes(void) {
  bundle b;
  open_bundle(&b, FIVE, 5);
  CHECK_EQ(lay(&b, "00001", NULL, NULL, 0, false), FSM_OK);
  CHECK_EQ(b.layout.n_shards, 1);
  CHECK_EQ(b.shards[0].to, FSM_NO_SHARD);
  CHECK_EQ(b.shards[1].to, 0);
  check_place(&b, 4, 0, 0);
  check_stretch(&b, 0, 0, 1, 0, 8);
  close_bundle(&b);
  open_bundle(&b, FIVE, 5);
  CHECK_EQ(lay(&b, "00000", NULL, NULL, 0, false), FSM_OK);
  CHECK_EQ(b.layout.n_shards, 1);
  CHECK_EQ(b.layout.runs.n, 0);
  close_bundle(&b);
}

static void shards_merge_in_order(void) {
  bundle b;
  open_bundle(&b, FIVE, 5);
  CHECK_EQ(lay(&b, "11111", NULL, NULL, 0, true), FSM_OK);
  CHECK_EQ(b.layout.n_shards, 1);
  check_place(&b, 4, 0, 40);
  check_stretch(&b, 1, 0, 1, 0, 8);
  close_bundle(&b);
}

static void rows_may_share_bytes(void) {
  bundle b;
  const uint64_t same_as[] = {1, 1, 2, 3, 4};
  open_bundle(&b, FIVE, 5);
  CHECK_EQ(lay(&b, "11111", same_as, NULL, 0, false), FSM_OK);
  check_stretch(&b, 0, 0, 0, 0, 30);
  check_place(&b, 0, 0, 0);
  check_place(&b, 1, 0, 0);
  close_bundle(&b);
}

static void fresh_bytes_go_where_they_belong(void) {
  bundle b;
  /* b's bytes replaced by longer ones; new ones at the end of shard 1; d's once more. */
  const fsm_layout_fresh fresh[] = {{0, 0, 25, 0}, {1, 8, 5, 0}, {0, 10, 20, 1}};
  open_bundle(&b, FIVE, 5);
  CHECK_EQ(lay(&b, "10111", NULL, fresh, 3, false), FSM_OK);
  CHECK_EQ(b.layout.runs.n, 4);
  check_stretch(&b, 0, 0, FSM_NO_SHARD, 0, 25);
  check_stretch(&b, 1, 0, 0, 10, 30);
  check_stretch(&b, 2, 1, 1, 0, 8);
  check_stretch(&b, 3, 1, FSM_NO_SHARD, 1, 5);
  check_place(&b, 5, 0, 0);
  check_place(&b, 3, 0, 25);
  check_place(&b, 0, 0, 45);
  check_place(&b, 6, 1, 8);
  check_place(&b, 7, 0, 25);
  close_bundle(&b);
}

static void gaps_and_overlaps(void) {
  const sample samples[] = {
      {.key = "a", .offset = 4, .size = 10}, {.key = "b", .offset = 8, .size = 10},
      {.key = "c", .offset = 32, .size = 8}, {.key = "d", .offset = 0, .size = 4}};
  bundle b;
  open_bundle(&b, samples, 4);
  CHECK_EQ(lay(&b, "1110", NULL, NULL, 0, false), FSM_OK);
  CHECK_EQ(b.layout.runs.n, 2);
  check_stretch(&b, 0, 0, 0, 4, 14); /* what overlaps moves as one */
  check_stretch(&b, 1, 0, 0, 32, 8);
  check_place(&b, 1, 0, 4);
  check_place(&b, 2, 0, 14);
  close_bundle(&b);
}

static void rows_outside_their_shard_are_refused(void) {
  const struct {
    int64_t offset, size;
    int32_t shard;
  } cases[] = {{-1, 4, 0},        {0, -4, 0},        {0, 41, 0}, {40, 1, 0},
               {INT64_MAX, 1, 0}, {1, INT64_MAX, 0}, {0, 4, 2},  {0, 4, -1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    bundle b;
    sample samples[] = {FIVE[1], {.key = "x", .offset = cases[i].offset, .size = cases[i].size,
                                  .shard = cases[i].shard}};
    open_bundle(&b, samples, 2);
    CHECK_EQ(lay(&b, "11", NULL, NULL, 0, false), FSM_E_INVALID);
    CHECK_EQ(b.e.offset, 1); /* the row */
    close_bundle(&b);
    open_bundle(&b, samples, 2); /* what goes need not be right */
    CHECK_EQ(lay(&b, "10", NULL, NULL, 0, false), FSM_OK);
    close_bundle(&b);
  }
}

/* ---- the index ---- */

static void the_index_of_all_rows_is_the_same(void) {
  char keys[N_MANY][32];
  sample samples[N_MANY];
  many_samples(samples, keys);
  bundle b;
  fsm_table_writer w = {0};
  uint8_t keep[N_MANY];
  memset(keep, 1, sizeof keep);
  buffer file = make_index(samples, N_MANY, N_MANY, false);
  b = (bundle){.shards = {{.id = 0, .size = 1 << 20}}};
  CHECK_EQ(read_index(&file, STRICT, &b.index, NULL), FSM_OK);
  CHECK_EQ(fsm_layout_make(&b.layout, &b.index, keep, NULL, NULL, 0, b.shards, 1, false, NULL),
           FSM_OK);
  CHECK_EQ(fsm_layout_write(&w, &b.layout, &b.index, keep, NULL, 0, NULL), FSM_OK);
  /* make_index has "~" for the last separator, and the writer the shortest one. */
  const uint8_t *out = w.out.items;
  CHECK_EQ(w.out.n, file.size);
  CHECK_BYTES(out, b.index.footer.index.offset, file.p, b.index.footer.index.offset);
  fsm_table_writer_free(&w);
  close_bundle(&b);
  clear(&file);
}

static void added_rows_are_merged_in(void) {
  bundle b;
  fsm_table_writer w = {0};
  fsm_index back;
  const fsm_layout_fresh fresh[] = {{0, 0, 7, 0}};
  uint8_t entry[8];
  fsm_entry_write(entry, 9, NULL, 0);
  const fsm_layout_entry added[] = {
      {(const uint8_t *)"aa", entry, 2, fsm_entry_size(9, NULL, 0), 0},
      {(const uint8_t *)"b", entry, 1, fsm_entry_size(9, NULL, 0), 0},
      {(const uint8_t *)"z", entry, 1, fsm_entry_size(9, NULL, 0), FSM_NO_ROW}};
  open_bundle(&b, FIVE, 5);
  CHECK_EQ(lay(&b, "10110", NULL, fresh, 1, false), FSM_OK);
  const uint8_t keep[] = {1, 0, 1, 1, 0};
  CHECK_EQ(fsm_layout_write(&w, &b.layout, &b.index, keep, added, 3, NULL), FSM_OK);
  buffer file = {w.out.items, w.out.n, w.out.max};
  CHECK_EQ(read_index(&file, STRICT, &back, NULL), FSM_OK);
  const char *keys[] = {"a", "aa", "b", "c", "d", "z"};
  const int64_t offsets[] = {27, 0, 0, 7, 7, 0};
  CHECK_EQ(back.n_entries, 6);
  CHECK_EQ(back.header.num_shards, 1);
  for (size_t i = 0; i < 6 && i < back.n_entries; i++) {
    CHECK(key_is(&back, i, keys[i]));
    CHECK_EQ(back.offset[i], offsets[i]);
    CHECK_EQ(back.shard[i], 0);
  }
  fsm_index_free(&back);
  fsm_table_writer_free(&w);
  const fsm_layout_entry twice[] = {{(const uint8_t *)"c", entry, 1, 2, FSM_NO_ROW}};
  CHECK_EQ(fsm_layout_write(&w, &b.layout, &b.index, keep, twice, 1, &b.e), FSM_E_ORDER);
  fsm_table_writer_free(&w);
  close_bundle(&b);
}

/* ---- one entry ---- */

static void check_patch(const char *entry, size_t n, fsm_entry_patch patch, const char *want,
                        size_t n_want) {
  uint8_t *out = malloc(FSM_PATCHED_MAX(n));
  size_t size = 0;
  CHECK_EQ(fsm_entry_patched((const uint8_t *)entry, n, &patch, out, &size), FSM_OK);
  CHECK_BYTES(out, size, want, n_want);
  free(out);
}

#define PATCH(entry, patch, want) \
  check_patch(entry, sizeof entry - 1, patch, want, sizeof want - 1)

static void a_patch_keeps_all_else(void) {
  const fsm_entry_patch place = {.what = FSM_SET_PLACE, .shard = 2, .offset = 300};
  /* Where the fields are, with an unknown one (9) and another wire type (3) between. */
  PATCH("\x08\x01\x12\x00\x18\x01\x20\x07\x28\x04\x4a\x01x", place,
        "\x08\x01\x12\x00\x18\x02\x20\xac\x02\x28\x04\x4a\x01x");
  PATCH("\x08\x01\x1a\x01y\x28\x04", place, "\x08\x01\x1a\x01y\x18\x02\x20\xac\x02\x28\x04");
  /* Where they were not: before the first higher number. */
  PATCH("\x08\x01\x12\x00\x28\x04", place, "\x08\x01\x12\x00\x18\x02\x20\xac\x02\x28\x04");
  PATCH("", place, "\x18\x02\x20\xac\x02");
  /* Twice there: once afterwards. */
  PATCH("\x20\x01\x20\x02", place, "\x18\x02\x20\xac\x02");
  const fsm_entry_patch zero = {.what = FSM_SET_PLACE};
  PATCH("\x08\x01\x12\x00\x18\x01\x20\x07\x28\x04", zero, "\x08\x01\x12\x00\x28\x04");
  const fsm_entry_patch dense = {.what = FSM_SET_CONTENT | FSM_DROP_SLICES, .size = 8,
                                 .crc32c = 0x01020304};
  PATCH("\x08\x01\x12\x00\x3a\x00\x3a\x01x", dense, "\x08\x01\x12\x00\x28\x08\x35\x04\x03\x02\x01");
}

static void a_broken_entry_is_not_patched(void) {
  uint8_t out[FSM_PATCHED_MAX(3)];
  size_t size;
  const fsm_entry_patch patch = {.what = FSM_SET_PLACE};
  CHECK_EQ(fsm_entry_patched((const uint8_t *)"\x12\x05x", 3, &patch, out, &size),
           FSM_E_TRUNCATED);
}

static void a_new_entry_is_as_tensorflow_writes_it(void) {
  const int64_t dims[] = {3, 0, 300};
  sample t = {.dtype = 7, .rank = 3, .dims = {3, 0, 300}};
  buffer want = make_entry(&t);
  uint8_t out[64];
  CHECK_EQ(fsm_entry_size(7, dims, 3), want.size);
  fsm_entry_write(out, 7, dims, 3);
  CHECK_BYTES(out, fsm_entry_size(7, dims, 3), want.p, want.size);
  clear(&want);
}

static void a_header_gets_another_number_of_shards(void) {
  uint8_t out[FSM_PATCHED_MAX(8)];
  size_t size;
  CHECK_EQ(fsm_header_patched((const uint8_t *)"\x08\x03\x1a\x02\x08\x01", 6, 1, out, &size),
           FSM_OK);
  CHECK_BYTES(out, size, "\x08\x01\x1a\x02\x08\x01", 6);
}

int main(void) {
  RUN(what_is_kept_whole_stays);
  RUN(kept_extents_close_up_in_order);
  RUN(a_shard_that_is_empty_goes);
  RUN(shards_merge_in_order);
  RUN(rows_may_share_bytes);
  RUN(fresh_bytes_go_where_they_belong);
  RUN(gaps_and_overlaps);
  RUN(rows_outside_their_shard_are_refused);
  RUN(the_index_of_all_rows_is_the_same);
  RUN(added_rows_are_merged_in);
  RUN(a_patch_keeps_all_else);
  RUN(a_broken_entry_is_not_patched);
  RUN(a_new_entry_is_as_tensorflow_writes_it);
  RUN(a_header_gets_another_number_of_shards);
  return check_report();
}
