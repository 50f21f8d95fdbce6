/* The splices that cut the nodes and functions of a graph that nothing needs.
 *
 * Neighbours that go are one splice. Of a function that goes, so do the gradients that name it:
 * a loader refuses those whose function is not there.
 * Source: tensorflow/core/framework/graph.proto, function.proto (2.21). */
#ifndef FSM_PRUNE_H
#define FSM_PRUNE_H

#include "fsm_nodes.h"
#include "fsm_rewrite.h"

/* A GraphDef, or a part of it: where it lies, the row of its field among others, how many
 * fields there are around it, its own with them. */
typedef struct {
  uint64_t start, end;
  int64_t row;
  uint64_t depth;
} fsm_prune_span;

typedef struct {
  fsm_array splices; /* fsm_splice, in the source's order */
  fsm_array fields;  /* fsm_enclosing: libraries around them */
  uint64_t n_nodes, n_functions, n_gradients; /* of the main graph, of the library */
} fsm_pruned;

/* Cut what has a 0: `live_nodes` has a byte for each row, of which those of the main graph
 * count, `live_functions` for each function. The spans are those that fsm_nodes_scan was given,
 * with rows; the first of `fields` gets the row `first_row`. Zero-initialise `pruned` first; free
 * it also after a failure. FSM_E_INVALID: the graph is not the one that was scanned. */
fsm_status fsm_prune(fsm_pruned *pruned, const fsm_src *src, const fsm_nodes *nodes,
                     const fsm_prune_span *spans, size_t n_spans, int64_t first_row,
                     const uint8_t *live_nodes, const uint8_t *live_functions, fsm_error *e);

void fsm_pruned_free(fsm_pruned *pruned);

#endif
