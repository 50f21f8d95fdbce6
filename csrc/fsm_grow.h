/* Growing an array: one doubling, written once. */
#ifndef FSM_GROW_H
#define FSM_GROW_H

#include <stdlib.h>

#include "fsm_base.h"

/* Make room for n items of `size` bytes in all; *items and *max follow. What was
 * there stays, at a new place perhaps. */
static inline fsm_status fsm_grow(void **items, size_t *max, size_t size, size_t n) {
  if (n <= *max)
    return FSM_OK;
  size_t more = *max ? *max : 64;
  while (more < n)
    more *= 2;
  if (more > SIZE_MAX / size)
    return FSM_E_NOMEM;
  void *moved = realloc(*items, more * size);
  if (!moved)
    return FSM_E_NOMEM;
  *items = moved;
  *max = more;
  return FSM_OK;
}

/* An array that grows at its end; of what is for its owner to know. */
typedef struct {
  void *items;
  size_t n, max;
} fsm_array;

/* Room for n more items; n does not count yet. */
static inline fsm_status fsm_array_reserve(fsm_array *a, size_t size, size_t n) {
  return n > SIZE_MAX - a->n ? FSM_E_NOMEM : fsm_grow(&a->items, &a->max, size, a->n + n);
}

/* Push n items, which are for the caller to fill: *slot is the first. FSM_E_LIMIT when
 * there would be more than `most`. */
static inline fsm_status fsm_array_push(fsm_array *a, size_t size, size_t n, size_t most,
                                        void **slot) {
  if (n > most || a->n > most - n)
    return FSM_E_LIMIT;
  fsm_status s = fsm_array_reserve(a, size, n);
  if (s)
    return s;
  *slot = (uint8_t *)a->items + a->n * size;
  a->n += n;
  return FSM_OK;
}

#endif
