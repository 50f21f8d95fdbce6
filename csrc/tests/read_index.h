/* Reading made indexes, and what to compare: for the tests of the index. */
#ifndef READ_INDEX_H
#define READ_INDEX_H

#include "check.h"
#include "fsm_index.h"
#include "make_index.h"

enum { STRICT = false, LENIENT = true };

static inline fsm_status read_index(const buffer *file, bool lenient, fsm_index *index, fsm_error *e) {
  fsm_piece piece;
  fsm_src src;
  uint8_t *exact = malloc(file->size ? file->size : 1); /* no slack behind it */
  if (file->size)
    memcpy(exact, file->p, file->size);
  fsm_src_memory(&src, &piece, exact, file->size);
  fsm_status s = fsm_index_read(index, &src, lenient, e);
  free(exact);
  return s;
}

static inline bool key_is(const fsm_index *index, size_t row, const char *key) {
  size_t n = (size_t)(index->key_at[row + 1] - index->key_at[row]);
  return n == strlen(key) && memcmp(index->keys + index->key_at[row], key, n) == 0;
}

static inline void check_row(const fsm_index *index, size_t row, const sample *t) {
  CHECK(key_is(index, row, t->key));
  CHECK_EQ(index->dtype[row], t->dtype);
  CHECK_EQ(index->shard[row], t->shard);
  CHECK_EQ(index->offset[row], t->offset);
  CHECK_EQ(index->size[row], t->size);
  CHECK_EQ(index->crc32c[row], t->crc32c);
  CHECK_EQ(index->n_slices[row], t->n_slices);
  CHECK_EQ(index->flags[row], FSM_ENTRY_HAS_SHAPE);
  CHECK_BYTES(index->dims + index->dims_at[row],
              8 * (index->dims_at[row + 1] - index->dims_at[row]), t->dims, 8 * t->rank);
}

/* Strict returns this, and lenient writes it down as the only problem. */
static inline void check_problem(const buffer *file, fsm_place place, fsm_status status,
                          const char *key, size_t n_rows) {
  fsm_index index;
  fsm_error e = {0};
  CHECK_EQ(read_index(file, STRICT, &index, &e), status);
  CHECK_EQ(e.status, status);
  fsm_index_free(&index);
  CHECK_EQ(read_index(file, LENIENT, &index, NULL), FSM_OK);
  CHECK_EQ(index.n_problems, 1);
  CHECK_EQ(index.n_entries, n_rows);
  if (index.n_problems == 1) {
    const fsm_problem *p = &index.problems[0];
    CHECK_EQ(p->place, place);
    CHECK_EQ(p->status, status);
    CHECK_EQ(p->offset, e.offset);
    CHECK(!p->harmless);
    CHECK_BYTES(index.problem_keys + p->key_at, p->key_size, key, strlen(key));
  }
  fsm_index_free(&index);
}

static inline void check_harmless(const buffer *file, fsm_place place, fsm_status status) {
  fsm_index index;
  CHECK_EQ(read_index(file, STRICT, &index, NULL), FSM_OK);
  CHECK_EQ(index.n_problems, 1);
  CHECK_EQ(index.problems[0].place, place);
  CHECK_EQ(index.problems[0].status, status);
  CHECK(index.problems[0].harmless);
  fsm_index_free(&index);
}

static const sample THREE[] = {
    {.key = "a", .dtype = 1, .rank = 1, .dims = {12}, .size = 48, .crc32c = 0xabcd},
    {.key = "b", .dtype = 9, .offset = 48, .size = 8, .crc32c = 77},
    {.key = "c/d", .dtype = 7, .rank = 2, .dims = {0, 5}, .shard = 1, .offset = 56, .size = 4},
};

/* Three blocks: the header and a, b, c/d. */
static inline buffer three_blocks(void) {
  return make_index(THREE, 3, 1, false);
}

static inline fsm_handle nth_block(const buffer *file, size_t n) {
  fsm_index index;
  read_index(file, LENIENT, &index, NULL);
  fsm_handle handle = index.blocks[n].handle;
  fsm_index_free(&index);
  return handle;
}

static inline fsm_footer footer_of(const buffer *file) {
  fsm_index index;
  read_index(file, LENIENT, &index, NULL);
  fsm_footer footer = index.footer;
  fsm_index_free(&index);
  return footer;
}

#endif
