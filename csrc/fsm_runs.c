#include "fsm_runs.h"

fsm_status fsm_runs_push(fsm_array *runs, fsm_cursor *c, const fsm_message_def *m,
                         const fsm_span *spans, size_t n_spans) {
  size_t first = runs->n;
  for (size_t i = 0; i < n_spans; i++) {
    fsm_status s = fsm_cursor_span(c, spans[i].start, spans[i].end);
    while (!s && !fsm_cursor_done(c)) {
      fsm_field f;
      if ((s = fsm_cursor_next(c, &f)))
        break;
      unsigned order = fsm_order_of(m, &f);
      fsm_run *open = runs->n > first ? (fsm_run *)runs->items + runs->n - 1 : NULL;
      if (open && open->order == order && open->end == f.start) {
        open->end = f.end;
        continue;
      }
      void *slot;
      if ((s = fsm_array_push(runs, sizeof(fsm_run), 1, FSM_MAX_RUNS, &slot)))
        return fsm_fail(&c->error, s, f.start, FSM_MAX_RUNS, 0);
      *(fsm_run *)slot = (fsm_run){f.start, f.end, order};
    }
    if (s)
      return s;
  }
  return FSM_OK;
}

/* As in fsm_unit: of a oneof only the last member's last unbroken run counts.
 * The runs before it are lost. */
static void settle_oneof(const fsm_message_def *m, fsm_run *runs, size_t n) {
  int winner = -1;
  bool broken = false;
  for (size_t i = n; i-- > 0;) {
    if (runs[i].order >= FSM_UNKNOWN || !(m->oneof >> runs[i].order & 1))
      continue;
    if (winner < 0)
      winner = (int)runs[i].order;
    broken = broken || winner != (int)runs[i].order;
    if (broken)
      runs[i].order = FSM_LOST;
  }
}

void fsm_runs_sort(fsm_run *runs, const fsm_message_def *m, size_t n) {
  size_t at[FSM_LOST + 2] = {0};
  settle_oneof(m, runs, n);
  memcpy(runs + n, runs, n * sizeof *runs);
  for (size_t i = 0; i < n; i++)
    at[runs[i].order + 1]++;
  for (size_t i = 0; i <= FSM_LOST; i++)
    at[i + 1] += at[i];
  for (size_t i = n; i < 2 * n; i++)
    runs[at[runs[i].order]++] = runs[i];
}
