/* Reading a source: short pieces of files are read together, and read as they are. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include <stdio.h>
#include <unistd.h>

#include "check.h"
#include "fsm_src.h"

#define FILE_SIZE 60000u
#define MOST_PIECES 5000u

static uint8_t file_bytes[2][FILE_SIZE], patch[FILE_SIZE];
static fsm_piece pieces[MOST_PIECES];
static uint8_t want[1 << 20], got[1 << 20];

static uint64_t state = 7;

static uint32_t any(uint32_t n) {
  state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (uint32_t)(state >> 33) % n;
}

static FILE *with_bytes(const uint8_t *bytes, size_t n) {
  FILE *file = tmpfile();
  CHECK(file != NULL);
  CHECK_EQ(fwrite(bytes, 1, n, file), n);
  fflush(file);
  return file;
}

/* Pieces of two files and of the patch, most of them short and one behind the other. */
static size_t some_pieces(const int *fds, uint32_t longest, bool backwards) {
  size_t n = 0;
  uint64_t size = 0, at[2] = {0, 0};
  while (n < MOST_PIECES && size < sizeof want - longest - 1) {
    uint32_t which = any(8), length = 1 + any(longest);
    fsm_piece p = {.start = size, .length = length, .fd = FSM_PATCH};
    p.origin = any(FILE_SIZE - length);
    if (which > 1) {
      int of = which == 2;
      p.fd = fds[of];
      uint64_t from = at[of] + any(4) * any(20);
      p.origin = (backwards && any(3) == 0) || from > FILE_SIZE - length ? p.origin : from;
      at[of] = p.origin + length;
      memcpy(want + size, file_bytes[of] + p.origin, length);
    } else {
      memcpy(want + size, patch + p.origin, length);
    }
    pieces[n++] = p;
    size += length;
  }
  return n;
}

static void test_pieces_are_read_as_they_are(void) {
  for (size_t i = 0; i < FILE_SIZE; i++)
    file_bytes[0][i] = (uint8_t)any(256), file_bytes[1][i] = (uint8_t)any(256),
    patch[i] = (uint8_t)any(256);
  FILE *a = with_bytes(file_bytes[0], FILE_SIZE), *b = with_bytes(file_bytes[1], FILE_SIZE);
  const int fds[] = {fileno(a), fileno(b)};
  static const uint32_t longest[] = {3, 40, 600, 20000};
  for (unsigned round = 0; round < 60; round++) {
    fsm_src src;
    fsm_error e;
    size_t n = some_pieces(fds, longest[round % 4], round & 4);
    CHECK_EQ(fsm_src_init(&src, pieces, n, patch, FILE_SIZE, &e), FSM_OK);
    CHECK_EQ(fsm_src_read(&src, 0, got, (size_t)src.size, &e), FSM_OK);
    CHECK(memcmp(got, want, (size_t)src.size) == 0);
    for (unsigned i = 0; i < 100; i++) {
      uint64_t from = any((uint32_t)src.size), length = any((uint32_t)(src.size - from) + 1);
      length = i % 2 ? length : length % 300;
      CHECK_EQ(fsm_src_read(&src, from, got, (size_t)length, &e), FSM_OK);
      CHECK(memcmp(got, want + from, (size_t)length) == 0);
    }
  }
  fclose(a);
  fclose(b);
}

/* The first byte that is gone, as if each piece had been read alone. */
static void test_a_file_that_became_shorter(void) {
  FILE *a = with_bytes(file_bytes[0], FILE_SIZE);
  const int fds[] = {fileno(a), fileno(a)};
  memcpy(file_bytes[1], file_bytes[0], FILE_SIZE);
  static const uint32_t longest[] = {3, 40, 600};
  for (unsigned round = 0; round < 30; round++) {
    fsm_src src;
    fsm_error e = {0};
    uint64_t left = FILE_SIZE - 1 - any(FILE_SIZE / 2), first = 0;
    size_t n = some_pieces(fds, longest[round % 3], round & 4);
    CHECK_EQ(ftruncate(fileno(a), (off_t)left), 0);
    CHECK_EQ(fsm_src_init(&src, pieces, n, patch, FILE_SIZE, &e), FSM_OK);
    first = src.size;
    for (size_t i = n; i-- > 0;)
      if (pieces[i].fd != FSM_PATCH && pieces[i].origin + pieces[i].length > left)
        first = pieces[i].start + (pieces[i].origin < left ? left - pieces[i].origin : 0);
    fsm_status s = fsm_src_read(&src, 0, got, (size_t)src.size, &e);
    CHECK_EQ(s, first < src.size ? FSM_E_CHANGED : FSM_OK);
    if (s)
      CHECK_EQ(e.offset, first);
    CHECK(memcmp(got, want, (size_t)(s ? first : src.size)) == 0);
    CHECK_EQ(ftruncate(fileno(a), 0), 0);
    rewind(a);
    CHECK_EQ(fwrite(file_bytes[0], 1, FILE_SIZE, a), FILE_SIZE);
    fflush(a);
  }
  fclose(a);
}

int main(void) {
  RUN(test_pieces_are_read_as_they_are);
  RUN(test_a_file_that_became_shorter);
  return check_report();
}
