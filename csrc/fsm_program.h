/* The nodes that graph_def_program_hash does not hash as they are.
 *
 * Before it hashes a graph, TensorFlow takes from calls what differs from one
 * process to the next, and from string constants their values.
 * Source: tensorflow/cc/saved_model/fingerprinting_utils and
 * tensorflow/core/graph/regularization/simple_delete.cc (2.21). */
#ifndef FSM_PROGRAM_H
#define FSM_PROGRAM_H

#include "fsm_cursor.h"

typedef struct {
  fsm_field node; /* the NodeDef's field in the GraphDef */
  bool is_call;   /* PartitionedCall or StatefulPartitionedCall; else a Const of strings,
                   * or of no dtype, on which TensorFlow aborts */
} fsm_irregular;

/* Go on from where the cursor stands in the fields of one span of a GraphDef to
 * the next such node. *found is false at the end. */
fsm_status fsm_program_next(fsm_cursor *c, fsm_irregular *node, bool *found);

#endif
