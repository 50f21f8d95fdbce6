/* The devices that the nodes of a graph are put on, and the splices that take them away.
 *
 * Source: tensorflow/core/framework/node_def.proto NodeDef.device (2.21). */
#ifndef FSM_DEVICES_H
#define FSM_DEVICES_H

#include "fsm_cursor.h"
#include "fsm_names.h"
#include "fsm_rewrite.h"

/* A splice and the node around it take 88 bytes: under 400 MB. */
#define FSM_MAX_CUTS (UINT32_C(1) << 22)
/* Distinct ones; a pod of accelerators has a few thousand. */
#define FSM_MAX_DEVICES (UINT32_C(1) << 16)
/* The bytes of one; TensorFlow's have some fifty. */
#define FSM_MAX_DEVICE (UINT32_C(4) << 10)

typedef struct {
  fsm_array splices; /* fsm_splice, in the source's order */
  fsm_array fields;  /* fsm_enclosing: nodes, functions, libraries around them */
  fsm_names names;   /* the devices */
  fsm_array counts;  /* uint64_t: how often each is named */
  uint64_t n_main;   /* how often any is by a node of the main graph */
} fsm_devices;

/* What lies around the GraphDef: the row of its field among others, how deep that lies, and
 * the row that the first of `fields` has there. */
typedef struct {
  int64_t parent, first_row;
  uint64_t depth;
} fsm_around;

/* Look through the GraphDef in [start, end), its functions too. An empty device is none.
 * Zero-initialise `devices` first; free it also after a failure. */
fsm_status fsm_devices_scan(fsm_devices *devices, const fsm_src *src, const fsm_span *graph,
                            const fsm_around *around, fsm_error *e);

void fsm_devices_free(fsm_devices *devices);

#endif
