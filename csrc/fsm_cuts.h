/* Fields that a graph can do without, and the splices that take them away: the devices that
 * its nodes are put on, or what only people who debug it look at.
 *
 * Source: tensorflow/core/framework/{graph,node_def,function}.proto (2.21). */
#ifndef FSM_CUTS_H
#define FSM_CUTS_H

#include "fsm_cursor.h"
#include "fsm_names.h"
#include "fsm_rewrite.h"

/* A splice and the message around it take 88 bytes: under 400 MB. */
#define FSM_MAX_CUTS (UINT32_C(1) << 22)
/* Distinct names; a pod of accelerators has a few thousand devices. */
#define FSM_MAX_CUT_NAMES (UINT32_C(1) << 16)
/* The bytes of one; a device has some fifty. */
#define FSM_MAX_CUT_NAME (UINT32_C(4) << 10)

typedef enum {
  FSM_CUT_DEVICES, /* NodeDef.device; by its value */
  /* The attributes _output_shapes and _input_shapes, by their name; experimental_debug_info
   * of nodes and debug_info of the graph, by that. */
  FSM_CUT_DEBUG
} fsm_cut;

typedef struct {
  fsm_array splices; /* fsm_splice, in the source's order */
  fsm_array fields;  /* fsm_enclosing: nodes, functions, libraries around them */
  fsm_names names;   /* what is cut */
  fsm_array counts;  /* uint64_t: how often each is */
  uint64_t n_main;   /* how often any is in a node of the main graph */
} fsm_cuts;

/* What lies around the GraphDef: the row of its field among others, how deep that lies, and
 * the row that the first of `fields` has there. */
typedef struct {
  int64_t parent, first_row;
  uint64_t depth;
} fsm_around;

/* Look through the GraphDef in [start, end), its functions too. An empty device is none.
 * Zero-initialise `cuts` first; free it also after a failure. */
fsm_status fsm_cuts_scan(fsm_cuts *cuts, const fsm_src *src, fsm_cut what,
                         const fsm_span *graph, const fsm_around *around, fsm_error *e);

void fsm_cuts_free(fsm_cuts *cuts);

#endif
