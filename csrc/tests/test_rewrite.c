#include "check.h"
#include "fsm_rewrite.h"

/* The bytes of a file that nobody opens: pieces of it are resolved here. */
#define FILE_FD 7
static uint8_t file_bytes[4096];

static size_t resolve(const fsm_piece *pieces, size_t n, const uint8_t *patch, uint8_t *out) {
  size_t size = 0;
  for (size_t i = 0; i < n; i++) {
    CHECK_EQ(pieces[i].start, size);
    CHECK(pieces[i].length > 0);
    const uint8_t *from = pieces[i].fd == FSM_PATCH ? patch : file_bytes;
    memcpy(out + size, from + pieces[i].origin, (size_t)pieces[i].length);
    size += (size_t)pieces[i].length;
  }
  return size;
}

/* Rewrite into memory of exactly the size that is said to be enough. */
static fsm_status run(const fsm_src *src, const fsm_splice *splices, size_t n,
                      const fsm_enclosing *fields, size_t n_fields, const char *data,
                      uint8_t *out, size_t *size, fsm_error *e) {
  size_t n_pieces = fsm_rewrite_max_pieces(src, n, n_fields), data_size = strlen(data);
  uint64_t patch_size = fsm_rewrite_max_patch(src, data_size, n_fields);
  fsm_piece *pieces = malloc(n_pieces * sizeof *pieces + 1);
  uint8_t *patch = malloc((size_t)patch_size + 1);
  fsm_splice *rows = malloc(n * sizeof *rows + 1);
  fsm_enclosing *around = malloc(n_fields * sizeof *around + 1);
  memcpy(rows, splices, n * sizeof *rows);
  if (n_fields)
    memcpy(around, fields, n_fields * sizeof *around);
  fsm_status s = fsm_rewrite(src, rows, n, around, n_fields, (const uint8_t *)data, pieces,
                             &n_pieces, patch, &patch_size, e);
  if (!s) {
    fsm_src made;
    CHECK_EQ(fsm_src_init(&made, pieces, n_pieces, patch, patch_size, e), FSM_OK);
    *size = resolve(pieces, n_pieces, patch, out);
    for (size_t i = 1; i < n_pieces; i++)
      CHECK(pieces[i].fd != pieces[i - 1].fd ||
            pieces[i].origin != pieces[i - 1].origin + pieces[i - 1].length);
  }
  free(pieces);
  free(patch);
  free(rows);
  free(around);
  return s;
}

static void check_rewrite(const char *from, const fsm_splice *splices, size_t n,
                          const fsm_enclosing *fields, size_t n_fields, const char *data,
                          const char *want, size_t n_want) {
  fsm_src src;
  fsm_piece piece;
  fsm_error e = {0};
  uint8_t out[4096];
  size_t size = 0;
  fsm_src_memory(&src, &piece, (const uint8_t *)from, strlen(from));
  CHECK_EQ(run(&src, splices, n, fields, n_fields, data, out, &size, &e), FSM_OK);
  CHECK_BYTES(out, size, want, n_want);
}

static void replaces_in_any_order(void) {
  fsm_splice splices[] = {{8, 10, 0, 1, -1, 0}, {0, 2, 1, 3, -1, 0}, {5, 5, 4, 1, -1, 0}};
  check_rewrite("0123456789", splices, 3, NULL, 0, "zabc+", "abc234+567z", 11);
}

static void insertions_at_one_offset_keep_field_and_order(void) {
  fsm_enclosing fields[] = {{1, 2, 3, -1, 0}};
  fsm_splice splices[] = {
      {3, 3, 0, 1, -1, 0}, {3, 3, 1, 1, 0, 1}, {3, 4, 2, 1, -1, 0}, {3, 3, 3, 1, 0, 1}};
  check_rewrite("\n\001x!", splices, 4, fields, 1, "1a2b", "\n\003xab12", 7);
}

static void fields_may_come_twice_and_in_any_order(void) {
  /* An outer field at 1..9 around an inner one at 4..9; rows in odd order. */
  fsm_enclosing fields[] = {{1, 2, 9, -1, 0}, {4, 5, 9, 0, 0}, {1, 2, 9, -1, 0}, {4, 5, 9, 2, 0}};
  fsm_splice splices[] = {{9, 9, 0, 1, 3, 2}, {5, 6, 1, 0, 1, 2}, {2, 2, 1, 1, 2, 1}};
  check_rewrite("a\007bc\004defg", splices, 3, fields, 4, "XY", "a\010Ybc\004efgX", 10);
}

static void lengths_grow_their_parents(void) {
  char from[200], data[200], want[400];
  /* a(127 bytes: b(125 bytes)): one byte more makes both lengths longer. */
  memset(from, 'x', sizeof from);
  from[0] = 'a', from[1] = 127, from[2] = 'b', from[3] = 125, from[129] = 0;
  fsm_enclosing fields[] = {{1, 2, 129, -1, 0}, {3, 4, 129, 0, 0}};
  fsm_splice splices[] = {{129, 129, 0, 3, 1, 2}};
  memset(data, 0, sizeof data);
  memcpy(data, "yyy", 3);
  memset(want, 'x', sizeof want);
  memcpy(want, "a\203\001b\200\001", 6);
  memcpy(want + 6 + 125, "yyy", 3);
  check_rewrite(from, splices, 1, fields, 2, data, want, 6 + 125 + 3);
}

static void overlaps_are_refused(void) {
  const struct {
    fsm_splice a, b;
    uint64_t at;
  } cases[] = {
      {{2, 5, 0, 0, -1, 0}, {4, 6, 0, 0, -1, 0}, 4},
      {{2, 5, 0, 0, -1, 0}, {3, 3, 0, 1, -1, 0}, 3},
      {{0, 2, 0, 0, -1, 0}, {3, 4, 0, 0, 0, 1}, 1}, /* over a length that changes */
  };
  fsm_enclosing fields[] = {{1, 2, 9, -1, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fsm_splice splices[] = {cases[i].a, cases[i].b};
    fsm_src src;
    fsm_piece piece;
    fsm_error e = {0};
    uint8_t out[64];
    size_t size;
    fsm_src_memory(&src, &piece, (const uint8_t *)"0123456789", 10);
    CHECK_EQ(run(&src, splices, 2, fields, 1, "d", out, &size, &e), FSM_E_INVALID);
    CHECK_EQ(e.offset, cases[i].at);
  }
}

static void agrees_with_a_naive_rewrite(void) {
  uint64_t state = 1;
  for (size_t i = 0; i < sizeof file_bytes; i++)
    file_bytes[i] = (uint8_t)check_random(&state);
  for (int round = 0; round < 3000; round++) {
    /* A source of file and patch pieces, ... */
    uint8_t patch[512], old[1024], want[4096], out[4096];
    fsm_piece pieces[16];
    size_t n_pieces = check_random(&state) % 16, at = 0, n_patch = 0;
    for (size_t i = 0; i < n_pieces; i++) {
      uint64_t length = check_random(&state) % 30 + 1;
      bool is_patch = check_random(&state) & 1;
      uint64_t origin = is_patch ? n_patch : check_random(&state) % 4000;
      pieces[i] = (fsm_piece){at, length, origin, is_patch ? FSM_PATCH : FILE_FD};
      for (uint64_t k = 0; is_patch && k < length; k++)
        patch[n_patch++] = (uint8_t)check_random(&state);
      at += (size_t)length;
    }
    fsm_src src;
    fsm_error e = {0};
    CHECK_EQ(fsm_src_init(&src, pieces, n_pieces, patch, n_patch, &e), FSM_OK);
    size_t n_old = resolve(pieces, n_pieces, patch, old);
    /* ... splices from the front to the back, and what they should make of it. */
    fsm_splice splices[64];
    size_t n = 0, from = 0, n_want = 0;
    char data[1024];
    size_t n_data = 0;
    while (n < 64) {
      size_t start = from + check_random(&state) % 20;
      if (start > n_old)
        break;
      size_t end = start + check_random(&state) % 10, size = check_random(&state) % 8;
      if (end > n_old)
        end = n_old;
      splices[n++] = (fsm_splice){start, end, n_data, size, FSM_NO_FIELD, 0};
      memcpy(want + n_want, old + from, start - from);
      n_want += start - from;
      memset(want + n_want, (int)('A' + n % 26), size);
      memset(data + n_data, (int)('A' + n % 26), size);
      n_want += size;
      n_data += size;
      from = end + 1 <= n_old ? end + 1 : n_old + 1;
      if (from <= n_old)
        want[n_want++] = old[end];
    }
    data[n_data] = 0;
    if (from < n_old) {
      memcpy(want + n_want, old + from, n_old - from);
      n_want += n_old - from;
    }
    size_t size = 0;
    CHECK_EQ(run(&src, splices, n, NULL, 0, data, out, &size, &e), FSM_OK);
    CHECK_BYTES(out, size, want, n_want);
  }
}

int main(void) {
  RUN(replaces_in_any_order);
  RUN(insertions_at_one_offset_keep_field_and_order);
  RUN(fields_may_come_twice_and_in_any_order);
  RUN(lengths_grow_their_parents);
  RUN(overlaps_are_refused);
  RUN(agrees_with_a_naive_rewrite);
  return check_report();
}
