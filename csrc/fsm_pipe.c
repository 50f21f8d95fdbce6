#define _POSIX_C_SOURCE 200809L
#include "fsm_pipe.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void seen(void *self, uint64_t offset, const uint8_t *bytes, size_t n);

fsm_status fsm_pipe_init(fsm_pipe *pipe, const fsm_src *src) {
  *pipe = (fsm_pipe){.src = src, .tap = {.seen = seen, .self = pipe}};
  pipe->memory = malloc(FSM_PIPE_SLOTS * FSM_PIPE_SLOT);
  if (!pipe->memory)
    return FSM_E_NOMEM;
  for (size_t i = 0; i < FSM_PIPE_SLOTS; i++)
    pipe->slots[i].bytes = pipe->memory + i * FSM_PIPE_SLOT;
  if (pthread_mutex_init(&pipe->lock, NULL))
    goto no_lock;
  if (pthread_cond_init(&pipe->changed, NULL))
    goto no_condition;
  return FSM_OK;

no_condition:
  pthread_mutex_destroy(&pipe->lock);
no_lock:
  free(pipe->memory);
  return FSM_E_NOMEM;
}

void fsm_pipe_free(fsm_pipe *pipe) {
  pthread_cond_destroy(&pipe->changed);
  pthread_mutex_destroy(&pipe->lock);
  free(pipe->memory);
}

/* -- the thread that reads: slot n_full is its own, once the writer is done with it -- */

static fsm_pipe_slot *open_slot(fsm_pipe *pipe) {
  return &pipe->slots[pipe->n_full % FSM_PIPE_SLOTS];
}

/* How much a slot takes that begins at `offset`: whole pages are written faster, so
 * all but the first end at a multiple of their size. */
static size_t room(const fsm_pipe_slot *slot) {
  return FSM_PIPE_SLOT - (size_t)(slot->offset % FSM_PIPE_SLOT) - slot->n;
}

/* Hand the open slot on and wait for the next; false when nobody takes any more. */
static bool hand_on(fsm_pipe *pipe) {
  pthread_mutex_lock(&pipe->lock);
  if (open_slot(pipe)->n) {
    pipe->n_full++;
    pthread_cond_broadcast(&pipe->changed);
  }
  while (!pipe->stopped &&
         pipe->n_full - pipe->n_taken + pipe->taking >= FSM_PIPE_SLOTS)
    pthread_cond_wait(&pipe->changed, &pipe->lock);
  bool wanted = !pipe->stopped;
  pthread_mutex_unlock(&pipe->lock);
  open_slot(pipe)->n = 0;
  if (!wanted)
    pipe->end = UINT64_MAX;
  return wanted;
}

static void seen(void *self, uint64_t offset, const uint8_t *bytes, size_t n) {
  fsm_pipe *pipe = self;
  if (n > UINT64_MAX - offset || offset + n <= pipe->end)
    return; /* known already */
  if (offset < pipe->end) {
    size_t known = (size_t)(pipe->end - offset);
    offset += known;
    bytes += known;
    n -= known;
  }
  fsm_pipe_slot *slot = open_slot(pipe);
  if (offset > pipe->end) {
    if (n < FSM_PIPE_MIN)
      return;
    if (slot->n && !hand_on(pipe))
      return;
    slot = open_slot(pipe);
  }
  pipe->end = offset;
  while (n) {
    if (!slot->n)
      slot->offset = pipe->end;
    size_t take = room(slot) < n ? room(slot) : n;
    memcpy(slot->bytes + slot->n, bytes, take);
    slot->n += take;
    pipe->end += take;
    bytes += take;
    n -= take;
    if (!room(slot) && !hand_on(pipe))
      return;
    slot = open_slot(pipe);
  }
}

fsm_status fsm_pipe_read(fsm_pipe *pipe, uint64_t start, uint64_t end, fsm_error *e) {
  for (pipe->end = start; pipe->end < end;) {
    fsm_pipe_slot *slot = open_slot(pipe);
    slot->offset = pipe->end;
    size_t take = room(slot);
    if (take > end - pipe->end)
      take = (size_t)(end - pipe->end);
    fsm_status s = fsm_src_read(pipe->src, pipe->end, slot->bytes, take, e);
    if (s)
      return s;
    slot->n = take;
    pipe->end += take;
    if (!hand_on(pipe))
      break;
  }
  return FSM_OK;
}

void fsm_pipe_end(fsm_pipe *pipe) {
  pthread_mutex_lock(&pipe->lock);
  if (open_slot(pipe)->n)
    pipe->n_full++;
  pipe->ended = true;
  pthread_cond_broadcast(&pipe->changed);
  pthread_mutex_unlock(&pipe->lock);
}

/* -- the thread that writes -- */

static struct timespec after(unsigned milliseconds) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  t.tv_sec += milliseconds / 1000;
  t.tv_nsec += (long)(milliseconds % 1000) * 1000000;
  if (t.tv_nsec >= 1000000000) {
    t.tv_sec++;
    t.tv_nsec -= 1000000000;
  }
  return t;
}

fsm_pipe_state fsm_pipe_take(fsm_pipe *pipe, unsigned milliseconds, uint64_t *offset,
                               const uint8_t **bytes, size_t *n) {
  fsm_pipe_state state = FSM_PIPE_SOME;
  pthread_mutex_lock(&pipe->lock);
  if (pipe->taking) {
    pipe->taking = false;
    pthread_cond_broadcast(&pipe->changed);
  }
  if (pipe->n_taken == pipe->n_full && !pipe->ended) {
    struct timespec until = after(milliseconds);
    while (pipe->n_taken == pipe->n_full && !pipe->ended)
      if (pthread_cond_timedwait(&pipe->changed, &pipe->lock, &until))
        break;
  }
  if (pipe->n_taken < pipe->n_full) {
    const fsm_pipe_slot *slot = &pipe->slots[pipe->n_taken++ % FSM_PIPE_SLOTS];
    pipe->taking = true;
    *offset = slot->offset;
    *bytes = slot->bytes;
    *n = slot->n;
  } else {
    state = pipe->ended ? FSM_PIPE_END : FSM_PIPE_NOT_YET;
  }
  pthread_mutex_unlock(&pipe->lock);
  return state;
}

void fsm_pipe_stop(fsm_pipe *pipe) {
  pthread_mutex_lock(&pipe->lock);
  pipe->stopped = true;
  pthread_cond_broadcast(&pipe->changed);
  pthread_mutex_unlock(&pipe->lock);
}
