/* A source: bytes that can be read at any offset.
 *
 * It is a piece table. A plain file is one piece; a buffer is one piece of
 * patch bytes; the output of a plan is many. Whatever reads a source (the
 * cursor, the canonical streamer, the writer) need not know which. */
#ifndef FSM_SRC_H
#define FSM_SRC_H

#include "fsm_base.h"

#define FSM_PATCH (-1)

typedef struct {
  uint64_t start;  /* offset of the piece in the source */
  uint64_t length;
  uint64_t origin; /* offset in the file, or in the patch bytes */
  int64_t fd;      /* an open file descriptor, or FSM_PATCH */
} fsm_piece;

/* Is told of every stretch that is read, by the thread that reads it. */
typedef struct {
  void (*seen)(void *self, uint64_t offset, const uint8_t *bytes, size_t n);
  void *self;
} fsm_tap;

typedef struct {
  const fsm_piece *pieces; /* sorted by start, without gaps, none empty */
  size_t n_pieces;
  uint64_t size;
  const uint8_t *patch;
  uint64_t patch_size;
  const fsm_tap *tap; /* or NULL */
} fsm_src;

/* Bytes [start, end) of a source: a message, or a part of one. */
typedef struct {
  uint64_t start, end;
} fsm_span;

/* Point `src` at a piece table and check it: pieces ascend without gaps, patch
 * pieces lie inside the patch. The memory stays the caller's. */
fsm_status fsm_src_init(fsm_src *src, const fsm_piece *pieces, size_t n_pieces,
                        const uint8_t *patch, uint64_t patch_size, fsm_error *e);

/* A source over bytes in memory; `piece` is the caller's storage. */
void fsm_src_memory(fsm_src *src, fsm_piece *piece, const uint8_t *bytes, uint64_t size);

/* Read exactly n bytes at offset. FSM_E_TRUNCATED when the source is shorter,
 * FSM_E_CHANGED when a file is shorter than its piece says, FSM_E_IO. */
fsm_status fsm_src_read(const fsm_src *src, uint64_t offset, void *buffer, size_t n,
                        fsm_error *e);

/* Whether n bytes of one source are those of another; *same says, and when they are
 * not, *at is the first that differs, from 0. `window` has `capacity` bytes, of
 * which each source gets a half. */
fsm_status fsm_src_same(const fsm_src *a, uint64_t at_a, const fsm_src *b, uint64_t at_b,
                        uint64_t n, uint8_t *window, size_t capacity, bool *same,
                        uint64_t *at, fsm_error *e);

#endif
