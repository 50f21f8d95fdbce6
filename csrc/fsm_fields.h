/* The fields of a message that lies whole in memory, one by one.
 *
 * On failure the reader stays at the offending byte. */
#ifndef FSM_FIELDS_H
#define FSM_FIELDS_H

#include "fsm_wire.h"

typedef struct {
  const uint8_t *p, *end;
} fsm_reader;

/* A tag as it is written: field number and wire type. */
#define FSM_TAG(number, wire) ((uint32_t)(number) << 3 | (uint32_t)(wire))

typedef struct {
  uint32_t tag;
  uint64_t value;    /* varint and fixed */
  fsm_reader inside; /* length-delimited and fixed: the payload; else nothing */
} fsm_item;

/* Step over a group whose start tag was read, and its end tag. `depth`: how deep it lies;
 * past FSM_MAX_DEPTH is FSM_E_DEPTH. */
fsm_status fsm_skip_group(fsm_reader *r, uint32_t number, unsigned depth);

/* Take n bytes. */
static inline fsm_status fsm_take(fsm_reader *r, uint64_t n, fsm_reader *taken) {
  if (n > (uint64_t)(r->end - r->p))
    return FSM_E_TRUNCATED;
  *taken = (fsm_reader){r->p, r->p + n};
  r->p += n;
  return FSM_OK;
}

/* What stands behind a tag. */
static inline fsm_status fsm_next_value(fsm_reader *r, uint32_t number, fsm_wire wire,
                                        unsigned depth, fsm_item *f) {
  fsm_status s;
  f->value = 0;
  if (wire == FSM_LEN) { /* most fields are */
    s = fsm_read_varint(&r->p, r->end, &f->value);
    return s ? s : fsm_take(r, f->value, &f->inside);
  }
  f->inside = (fsm_reader){r->p, r->p};
  switch (wire) {
  case FSM_VARINT:
    return fsm_read_varint(&r->p, r->end, &f->value);
  case FSM_FIXED64:
    if (!(s = fsm_take(r, 8, &f->inside)))
      f->value = fsm_load64(f->inside.p);
    return s;
  case FSM_FIXED32:
    if (!(s = fsm_take(r, 4, &f->inside)))
      f->value = fsm_load32(f->inside.p);
    return s;
  case FSM_GROUP:
    return fsm_skip_group(r, number, depth + 1);
  default:
    return FSM_E_GROUP;
  }
}

/* Read the next field; a group is stepped over. */
static inline fsm_status fsm_next_field(fsm_reader *r, fsm_item *f) {
  uint32_t number;
  fsm_wire wire;
  fsm_status s = fsm_read_tag(&r->p, r->end, &number, &wire);
  if (s)
    return s;
  f->tag = FSM_TAG(number, wire);
  return fsm_next_value(r, number, wire, 0, f);
}

#endif
