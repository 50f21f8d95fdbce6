/* The node index: every node of a GraphDef and of its function library, in one pass.
 *
 * Columns, one row a node: name, op, span, owner. Op names and function names
 * are ids of fsm_names.
 * Which names an owner uses (as an op, or called by PartitionedCall) is kept
 * too, so that the ops of a meta graph can be told as TensorFlow tells them.
 * Source: tensorflow/python/framework/meta_graph.py ops_used_by_graph_def (2.21),
 * tensorflow/core/framework/{graph,node_def,function}.proto. */
#ifndef FSM_NODES_H
#define FSM_NODES_H

#include "fsm_cursor.h"
#include "fsm_names.h"

/* A row takes 32 bytes: half a gigabyte at most. The largest real graphs have
 * a few million nodes. */
#define FSM_MAX_NODES (UINT32_C(1) << 24)
#define FSM_NO_NAME UINT32_MAX
/* The owner of the main graph's nodes; function i owns its body as i + 1. */
#define FSM_MAIN_GRAPH 0

typedef enum {
  FSM_NODES_COUNT, /* how many there are */
  FSM_NODES_OPS,   /* names, uses and functions too */
  FSM_NODES_ROWS   /* and the columns */
} fsm_nodes_depth;

typedef struct {
  uint64_t start;  /* of the NodeDef's payload in the source */
  uint64_t name;   /* of its name */
  uint32_t length; /* of the payload */
  uint32_t name_length;
  uint32_t op;     /* a name's id */
  uint32_t owner;
} fsm_node;

typedef struct {
  uint64_t start; /* of the FunctionDef's payload */
  uint64_t length;
  uint32_t name;
  uint32_t first_node, n_nodes; /* rows; first_node counts without rows too */
} fsm_function;

typedef struct {
  uint32_t owner, name;
} fsm_use;

typedef struct {
  uint64_t n_nodes, n_function_nodes, n_functions;
  fsm_array nodes;     /* fsm_node */
  fsm_array functions; /* fsm_function */
  fsm_array libraries; /* fsm_span, of their payloads; with rows */
  fsm_array uses;      /* fsm_use, each pair once */
  fsm_names names;
  /* private */
  fsm_array last_owner; /* uint32_t: the owner that used a name last, + 1 */
} fsm_nodes;

/* Index the GraphDef that the spans hold (several merge). Zero-initialise
 * `nodes` first; free it also after a failure. */
fsm_status fsm_nodes_scan(fsm_nodes *nodes, const fsm_src *src, const fsm_span *spans,
                          size_t n_spans, fsm_nodes_depth depth, fsm_error *e);

/* Mark in used[0, names.ends.n) the ops that the main graph needs, through the
 * functions it calls; functions themselves are not marked. */
fsm_status fsm_nodes_ops_used(const fsm_nodes *nodes, uint8_t *used);

void fsm_nodes_free(fsm_nodes *nodes);

#endif
