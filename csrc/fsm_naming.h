/* Which nodes name something: an output of a node among their inputs, or a function
 * anywhere in their attributes.
 *
 * Source: tensorflow/core/framework/node_def.proto, attr_value.proto (2.21). */
#ifndef FSM_NAMING_H
#define FSM_NAMING_H

#include "fsm_nodes.h"

typedef enum {
  FSM_NAMING_INPUT,   /* inputs `name`, `name:1`, `name:output:1`; not the control `^name` */
  FSM_NAMING_FUNCTION /* the op `name`; a NameAttrList of that name, at any depth */
} fsm_naming;

/* Push the row of each such node on `rows` (uint32_t), in order. The nodes were scanned
 * with rows, from the same source. The caller frees rows->items, after a failure too. */
fsm_status fsm_nodes_naming(const fsm_nodes *nodes, const fsm_src *src, fsm_naming what,
                            const uint8_t *name, uint32_t n, fsm_array *rows, fsm_error *e);

#endif
