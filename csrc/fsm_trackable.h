/* A checkpoint's own object graph, a TrackableObjectGraph, as tables: a row for each thing
 * that an object has, by object. Texts stay where they are in the message.
 *
 * Source: TensorFlow 2.21 core/protobuf/trackable_object_graph.proto. */
#ifndef FSM_TRACKABLE_H
#define FSM_TRACKABLE_H

#include "fsm_grow.h"

/* Objects, and rows of each table. A checkpoint of 30,000 variables has some hundred
 * thousand; what Python makes of a row takes a few hundred bytes. */
#define FSM_MAX_TRACKED (UINT32_C(1) << 20)

typedef struct {
  uint32_t at, size;
} fsm_text;

/* What an object holds by a name; a node need not be one. */
typedef struct {
  uint32_t owner;
  int32_t node;
  fsm_text name;
} fsm_tracked_child;

/* A tensor of an object: its name there, the variable's, the checkpoint's key. */
typedef struct {
  uint32_t owner;
  fsm_text name, full_name, key;
} fsm_tracked_value;

/* A variable `node` that an optimizer keeps for the variable `of`. */
typedef struct {
  uint32_t owner;
  int32_t of, node;
  fsm_text name;
} fsm_tracked_slot;

/* An object that a saver of its own wrote, under keys that begin with the name. */
typedef struct {
  uint32_t owner;
  fsm_text name;
} fsm_tracked_saver;

/* Zero-initialise; free once, also after a failure. */
typedef struct {
  uint32_t n_nodes;
  fsm_array children, values, slots, savers;
} fsm_tracked;

/* Read the message [bytes, bytes + size); each table is in the order of its owners. On
 * failure e->offset is the offending byte: what breaks the wire format; FSM_E_LIMIT for
 * more than FSM_MAX_TRACKED, or a message above FSM_MAX_MESSAGE; FSM_E_NOMEM. */
fsm_status fsm_tracked_parse(fsm_tracked *to, const uint8_t *bytes, size_t size, fsm_error *e);

void fsm_tracked_free(fsm_tracked *tracked);

#endif
