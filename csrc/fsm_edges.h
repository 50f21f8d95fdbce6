/* Who takes from whom: the inputs of every node of a graph and of its functions, the functions
 * that it names, the nodes that it is placed with; each name resolved once.
 *
 * In the main graph an input is `node`, `node:1` or `^node`, in a function `argument`,
 * `node:output:1` or `^node`. A function is named by an op, or by a NameAttrList at any depth
 * of an attribute.
 * Source: tensorflow/core/graph/tensor_id.cc ParseTensorName, tensorflow/core/framework/
 * function.cc InstantiateFunction, node_def.proto, attr_value.proto, function.proto (2.21). */
#ifndef FSM_EDGES_H
#define FSM_EDGES_H

#include "fsm_nodes.h"
#include "fsm_scopes.h"

/* What an edge leads to, and so what its number is. */
typedef enum {
  FSM_TO_NODE,        /* an input: a row, of a node of the same owner */
  FSM_TO_ARGUMENT,    /* an input: which argument of the function */
  FSM_TO_NOTHING,     /* an input whose name nothing has */
  FSM_TO_FUNCTION,    /* a function, by its position */
  FSM_TO_NO_FUNCTION, /* a function that the library lacks */
  FSM_BESIDE_NODE,    /* `_class`: a row, of a node of the same owner */
  FSM_BESIDE_NOTHING  /* `_class`: a name that nothing has */
} fsm_edge_kind;

/* An edge in 32 bits: FSM_MAX_NODES leaves room for the kind. */
typedef uint32_t fsm_edge;
#define FSM_EDGE(kind, number) ((uint32_t)(kind) << 28 | (uint32_t)(number))
static inline fsm_edge_kind fsm_edge_kind_of(fsm_edge e) { return (fsm_edge_kind)(e >> 28); }
static inline uint32_t fsm_edge_number(fsm_edge e) { return e & 0x0fffffff; }

/* What does not resolve: at a row, or in what a function returns. */
enum {
  FSM_LOOSE_INPUT = 1,    /* an edge FSM_TO_NOTHING */
  FSM_LOOSE_FUNCTION = 2, /* FSM_TO_NO_FUNCTION */
  FSM_LOOSE_CLASS = 4,    /* FSM_BESIDE_NOTHING, in the main graph */
  FSM_LOOSE_NAME = 8,     /* a node before it, or an argument, has its name */
  FSM_LOOSE_RESULT = 16   /* `at` is a function: its ret or control_ret */
};

typedef struct {
  uint32_t at, what;
} fsm_loose;

typedef struct {
  uint32_t *first;  /* row -> where its edges begin; one more than rows */
  fsm_array edges;  /* fsm_edge; of a row its inputs first, in file order */
  fsm_array loose;  /* fsm_loose: functions, then rows */
  /* private */
  uint32_t *function; /* id of a name -> the first such function + 1, or 0 */
  uint32_t *same;     /* function -> the next one of that name + 1, or 0 */
  fsm_scope_slot *slots; /* of nodes: row + 1; of other names FSM_NO_NAME */
  size_t n_slots;
  uint64_t seed;
} fsm_edges;

/* Resolve the nodes that fsm_nodes_scan has found in `src`, with rows. Zero-initialise `edges`
 * first; free it also after a failure. */
fsm_status fsm_edges_resolve(fsm_edges *edges, const fsm_nodes *nodes, const fsm_src *src,
                             fsm_error *e);

/* The row of an owner's node; of equal names the first. FSM_NO_NAME: there is none. */
fsm_status fsm_edges_row(const fsm_edges *edges, const fsm_nodes *nodes, const fsm_src *src,
                         uint32_t owner, const uint8_t *name, size_t n, uint32_t *row,
                         fsm_error *e);

/* What is known to be needed: a byte for each row and function, 1 where it is; and what was
 * marked and not yet looked at. */
typedef struct {
  uint8_t *nodes, *functions;
  fsm_array todo; /* fsm_edge: FSM_TO_NODE or FSM_TO_FUNCTION */
} fsm_live;

/* Mark a row, or a function, as an edge leads to it: to the first of its name, and then all
 * of that name are marked. FSM_E_NOMEM. */
fsm_status fsm_live_mark(fsm_live *live, const fsm_edges *edges, fsm_edge edge);

/* Mark all that the marked ones take or name. The nodes of a function that is marked are not,
 * but the functions that they name. FSM_E_NOMEM. */
fsm_status fsm_live_walk(fsm_live *live, const fsm_edges *edges, const fsm_nodes *nodes);

void fsm_edges_free(fsm_edges *edges);

#endif
