/* A pipe: what one thread reads of a source, another one writes.
 *
 * Copying a file costs two passes over its bytes in the kernel, one to read and
 * one to write, and a hash of it reads them once more. Here one thread reads
 * (and hashes) and hands on what it read, while the other writes. */
#ifndef FSM_PIPE_H
#define FSM_PIPE_H

#include "fsm_src.h"

#include <pthread.h>

/* A few, so that neither thread waits for the other's every step. Copying 1.9 GB
 * on ext4 with a hash beside it, against cp of it, least of six runs in turn: slots
 * of 256 KiB 0.92 of its time, 512 KiB 0.91, 1 MiB 0.88. */
#define FSM_PIPE_SLOT ((size_t)1 << 20)
#define FSM_PIPE_SLOTS 4
/* A shorter stretch that does not join the one before is left to the writer:
 * what it skips must be read twice. */
#define FSM_PIPE_MIN ((size_t)64 << 10)

typedef struct {
  uint64_t offset; /* in the source */
  size_t n;
  uint8_t *bytes;
} fsm_pipe_slot;

typedef struct {
  const fsm_src *src;
  fsm_tap tap; /* for a copy of the source: what is read of that is handed on */

  fsm_pipe_slot slots[FSM_PIPE_SLOTS];
  uint8_t *memory;
  uint64_t end; /* the reader's: behind all that it put into slots */

  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t changed;
  uint64_t n_full, n_taken; /* slots since the start; slot i is slots[i % FSM_PIPE_SLOTS] */
  bool taking;              /* the writer still uses slot n_taken - 1 */
  bool ended, stopped;
} fsm_pipe;

/* FSM_E_NOMEM. Wants fsm_pipe_free when it succeeds, after both threads. */
fsm_status fsm_pipe_init(fsm_pipe *pipe, const fsm_src *src);
void fsm_pipe_free(fsm_pipe *pipe);

/* -- the thread that reads -- */

/* What its tap is told of is handed on in ascending order, as far as it comes so;
 * the rest is left out. This reads [start, end), whole. */
fsm_status fsm_pipe_read(fsm_pipe *pipe, uint64_t start, uint64_t end, fsm_error *e);

/* There will be nothing more. Must be called, or the writer waits for ever. */
void fsm_pipe_end(fsm_pipe *pipe);

/* -- the thread that writes -- */

typedef enum { FSM_PIPE_SOME, FSM_PIPE_NOT_YET, FSM_PIPE_END } fsm_pipe_state;

/* The next stretch, behind all before it, not always next to it; the last one's
 * bytes are gone by now. Waits for at most `milliseconds`. */
fsm_pipe_state fsm_pipe_take(fsm_pipe *pipe, unsigned milliseconds, uint64_t *offset,
                               const uint8_t **bytes, size_t *n);

/* Nothing will be taken any more: the reader never waits again. */
void fsm_pipe_stop(fsm_pipe *pipe);

#endif
