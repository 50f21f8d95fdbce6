#include "fsm_fields.h"

fsm_status fsm_skip_group(fsm_reader *r, uint32_t number, unsigned depth) {
  if (depth > FSM_MAX_DEPTH)
    return FSM_E_DEPTH;
  while (r->p < r->end) {
    uint32_t inner;
    fsm_wire wire;
    fsm_item skipped;
    fsm_status s = fsm_read_tag(&r->p, r->end, &inner, &wire);
    if (!s && wire == FSM_END_GROUP)
      return inner == number ? FSM_OK : FSM_E_GROUP;
    if (!s)
      s = fsm_next_value(r, inner, wire, depth, &skipped);
    if (s)
      return s;
  }
  return FSM_E_GROUP;
}
