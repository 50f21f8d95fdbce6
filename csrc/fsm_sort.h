/* A stable sort, n log n whatever the input: a merge sort, bottom up.
 *
 * Inline, so that comparing costs no call and an item is moved in one step. */
#ifndef FSM_SORT_H
#define FSM_SORT_H

#include <string.h>

#include "fsm_base.h"

/* Below zero, zero or above: a before b, either first, b before a. `self` is the caller's. */
typedef int fsm_compare(const void *self, const void *a, const void *b);

/* Sort n items of `size` bytes; behind them lies room for as many. */
static inline void fsm_sort(void *items, size_t n, size_t size, fsm_compare *compare,
                            const void *self) {
  uint8_t *from = items, *to = from + n * size;
  const size_t bytes = n * size;
  for (size_t width = size; width < bytes; width *= 2) {
    uint8_t *out = to;
    for (size_t low = 0; low < bytes; low += 2 * width) {
      size_t mid = width < bytes - low ? low + width : bytes;
      size_t high = width < bytes - mid ? mid + width : bytes;
      const uint8_t *a = from + low, *a_end = from + mid, *b = a_end, *b_end = from + high;
      while (a < a_end && b < b_end) {
        const uint8_t **next = compare(self, a, b) <= 0 ? &a : &b;
        memcpy(out, *next, size);
        *next += size;
        out += size;
      }
      for (; a < a_end; a += size, out += size)
        memcpy(out, a, size);
      for (; b < b_end; b += size, out += size)
        memcpy(out, b, size);
    }
    uint8_t *swap = from;
    from = to;
    to = swap;
  }
  if (from != items)
    memcpy(items, from, bytes);
}

#endif
