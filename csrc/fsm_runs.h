/* The fields of a large message by kind: runs of one kind that lie one behind the other,
 * in the order in which canonical form has them. */
#ifndef FSM_RUNS_H
#define FSM_RUNS_H

#include "fsm_cursor.h"
#include "fsm_grow.h"
#include "fsm_schema.h"

/* Out-of-order runs of fields in one large message; writers make a handful. */
#define FSM_MAX_RUNS (UINT32_C(1) << 20)
/* Where members of a oneof sort that another member overruled: behind all. */
#define FSM_LOST (FSM_UNKNOWN + 1)

typedef struct {
  uint64_t start, end;
  uint32_t order; /* the fields' number, FSM_UNKNOWN or FSM_LOST */
} fsm_run;

static inline unsigned fsm_order_of(const fsm_message_def *m, const fsm_field *f) {
  const fsm_field_def *def = fsm_field_of(m, f->number);
  return def && fsm_fits(def, f->wire) ? def->number : FSM_UNKNOWN;
}

/* Push the runs (fsm_run) of the message of type m that the spans hold. On failure
 * c->error tells where. */
fsm_status fsm_runs_push(fsm_array *runs, fsm_cursor *c, const fsm_message_def *m,
                         const fsm_span *spans, size_t n_spans);

/* Sort n runs, all of one message; of one order they stay as they came. Behind them lies
 * room for as many. */
void fsm_runs_sort(fsm_run *runs, const fsm_message_def *m, size_t n);

#endif
