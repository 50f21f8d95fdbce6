#include "check.h"
#include "fsm_pipe.h"


#define SIZE ((size_t)3 << 20)

static uint8_t *bytes;
static fsm_src src, tapped;
static fsm_piece piece;
static fsm_pipe pipe;

static void begin(size_t size) {
  fsm_src_memory(&src, &piece, bytes, size);
  CHECK_EQ(fsm_pipe_init(&pipe, &src), FSM_OK);
  tapped = src;
  tapped.tap = &pipe.tap;
}

/* The writer: what it takes must be the source's, and ascend. Returns how much came. */
static size_t take_all(void) {
  size_t n_all = 0;
  uint64_t end = 0;
  for (;;) {
    uint64_t offset;
    const uint8_t *part;
    size_t n;
    fsm_pipe_state state = fsm_pipe_take(&pipe, 10, &offset, &part, &n);
    if (state == FSM_PIPE_END)
      return n_all;
    if (state == FSM_PIPE_NOT_YET)
      continue;
    CHECK(n > 0 && n <= FSM_PIPE_SLOT);
    CHECK(offset >= end);
    CHECK(offset + n <= src.size);
    CHECK_BYTES(part, n, bytes + offset, n);
    end = offset + n;
    n_all += n;
  }
}

static void *read_whole(void *unused) {
  fsm_error e;
  (void)unused;
  CHECK_EQ(fsm_pipe_read(&pipe, 0, src.size, &e), FSM_OK);
  fsm_pipe_end(&pipe);
  return NULL;
}

static size_t run(void *(*reader)(void *)) {
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, reader, NULL), 0);
  size_t n = take_all();
  pthread_join(thread, NULL);
  fsm_pipe_free(&pipe);
  return n;
}

static void test_whole(void) {
  const size_t sizes[] = {0, 1, FSM_PIPE_SLOT - 1, FSM_PIPE_SLOT, FSM_PIPE_SLOT + 1, SIZE};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    begin(sizes[i]);
    CHECK_EQ(run(read_whole), sizes[i]);
  }
}

/* Windows as a cursor moves them: small ones, overlapping ones, in order. */
static void *read_in_order(void *unused) {
  uint64_t state = 42;
  uint8_t *buffer = malloc(FSM_PIPE_SLOT);
  fsm_error e;
  (void)unused;
  for (uint64_t at = 0; at < src.size;) {
    uint64_t from = at - (at ? check_random(&state) % (at < 999 ? at : 999) : 0);
    size_t n = (size_t)(check_random(&state) % FSM_PIPE_SLOT) + 1;
    if (n > src.size - from)
      n = (size_t)(src.size - from);
    CHECK_EQ(fsm_src_read(&tapped, from, buffer, n, &e), FSM_OK);
    if (from + n > at)
      at = from + n;
  }
  free(buffer);
  fsm_pipe_end(&pipe);
  return NULL;
}

static void test_in_order(void) {
  begin(SIZE);
  CHECK_EQ(run(read_in_order), SIZE);
}

static void read_at(uint64_t offset, size_t n) {
  uint8_t *buffer = malloc(n);
  fsm_error e;
  CHECK_EQ(fsm_src_read(&tapped, offset, buffer, n, &e), FSM_OK);
  free(buffer);
}

/* Jumps: back is left out, ahead comes when it is long enough. */
static void *read_with_jumps(void *unused) {
  (void)unused;
  read_at(0, 100);                 /* comes */
  read_at(1000, 100);              /* a short jump: left out */
  read_at(5000, FSM_PIPE_MIN);    /* a long one: comes */
  read_at(0, 200);                 /* back: left out */
  read_at(4000, FSM_PIPE_MIN);    /* known */
  read_at(5000 + FSM_PIPE_MIN - 10, 30); /* 20 of it are new */
  fsm_pipe_end(&pipe);
  return NULL;
}

static void test_jumps(void) {
  begin(SIZE);
  CHECK_EQ(run(read_with_jumps), 100 + FSM_PIPE_MIN + 20);
}

/* A reader whose writer gave up ends all the same. */
static void test_stopped(void) {
  void *(*const readers[])(void *) = {read_whole, read_in_order};
  for (int i = 0; i < 2; i++) {
    pthread_t thread;
    uint64_t offset;
    const uint8_t *part;
    size_t n;
    begin(SIZE);
    CHECK_EQ(pthread_create(&thread, NULL, readers[i], NULL), 0);
    while (fsm_pipe_take(&pipe, 10, &offset, &part, &n) == FSM_PIPE_NOT_YET)
      ;
    fsm_pipe_stop(&pipe);
    pthread_join(thread, NULL);
    fsm_pipe_free(&pipe);
  }
}

static void test_waits_only_so_long(void) {
  uint64_t offset;
  const uint8_t *part;
  size_t n;
  begin(SIZE);
  CHECK_EQ(fsm_pipe_take(&pipe, 1, &offset, &part, &n), FSM_PIPE_NOT_YET);
  fsm_pipe_end(&pipe);
  CHECK_EQ(fsm_pipe_take(&pipe, 1, &offset, &part, &n), FSM_PIPE_END);
  fsm_pipe_free(&pipe);
}

static void test_failed_read(void) {
  fsm_piece closed = {.start = 0, .length = 10, .origin = 0, .fd = 1000};
  fsm_error e;
  CHECK_EQ(fsm_src_init(&src, &closed, 1, NULL, 0, &e), FSM_OK);
  CHECK_EQ(fsm_pipe_init(&pipe, &src), FSM_OK);
  CHECK_EQ(fsm_pipe_read(&pipe, 0, 10, &e), FSM_E_IO);
  fsm_pipe_end(&pipe);
  CHECK_EQ(take_all(), 0);
  fsm_pipe_free(&pipe);
}

int main(void) {
  uint64_t state = 7;
  bytes = malloc(SIZE);
  for (size_t i = 0; i < SIZE; i++)
    bytes[i] = (uint8_t)check_random(&state);
  RUN(test_whole);
  RUN(test_in_order);
  RUN(test_jumps);
  RUN(test_stopped);
  RUN(test_waits_only_so_long);
  RUN(test_failed_read);
  free(bytes);
  return check_report();
}
