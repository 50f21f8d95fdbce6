#include "fsm_sink.h"

fsm_status fsm_sink_span(fsm_sink *to, fsm_cursor *c, uint64_t start, uint64_t end) {
  fsm_status s = fsm_cursor_span(c, start, end);
  while (!s && c->at < end) {
    const uint8_t *p;
    size_t n;
    if (!(s = fsm_cursor_some(c, &p, &n)) && !(s = fsm_sink_put(to, p, n)))
      c->at += n;
  }
  return s;
}

/* The low n bytes of a number. */
static fsm_status put_fixed(fsm_sink *to, uint64_t value, unsigned n) {
  uint8_t bytes[8];
  fsm_put64(bytes, value);
  return fsm_sink_put(to, bytes, n);
}

/* A field as it is, but for the width of its varints. */
static fsm_status put_token(fsm_sink *to, fsm_cursor *c, const fsm_field *f) {
  fsm_status s = fsm_sink_tag(to, f->number, f->wire);
  if (s)
    return s;
  switch (f->wire) {
  case FSM_VARINT: return fsm_sink_varint(to, f->value);
  case FSM_FIXED64: return put_fixed(to, f->value, 8);
  case FSM_FIXED32: return put_fixed(to, f->value, 4);
  case FSM_LEN:
    s = fsm_sink_varint(to, f->length);
    return s ? s : fsm_sink_span(to, c, f->value, f->value + f->length);
  default: return FSM_OK; /* the start or the end of a group */
  }
}

fsm_status fsm_sink_unknown(fsm_sink *to, fsm_cursor *c, const fsm_field *f, unsigned depth) {
  fsm_status s = put_token(to, c, f);
  if (f->wire != FSM_GROUP)
    return s;
  uint64_t at = f->value;
  while (at < f->end && !s) {
    fsm_field inner;
    if (depth > FSM_MAX_DEPTH)
      return fsm_fail(&c->error, FSM_E_DEPTH, at, FSM_MAX_DEPTH, 0);
    if ((s = fsm_cursor_span(c, at, f->end)) || (s = fsm_cursor_token(c, &inner)) ||
        (s = put_token(to, c, &inner)))
      break;
    depth += inner.wire == FSM_GROUP;
    depth -= inner.wire == FSM_END_GROUP;
    at = inner.end;
  }
  return s;
}

fsm_status fsm_sink_scalar(fsm_sink *to, fsm_cursor *c, const fsm_field_def *def,
                           const fsm_field *f) {
  bool blank_out = (def->flags & FSM_IMPLICIT) != 0;
  if (f->wire == FSM_LEN) {
    if (blank_out && !f->length)
      return FSM_OK;
    fsm_status s = fsm_sink_header(to, def->number, f->length);
    return s ? s : fsm_sink_span(to, c, f->value, f->value + f->length);
  }
  uint64_t value = fsm_kind_value((fsm_kind)def->kind, f->value);
  if (blank_out && !value)
    return FSM_OK;
  fsm_status s = fsm_sink_tag(to, def->number, f->wire);
  if (s)
    return s;
  return f->wire == FSM_VARINT ? fsm_sink_varint(to, value)
                               : put_fixed(to, value, f->wire == FSM_FIXED64 ? 8 : 4);
}

fsm_status fsm_sink_packed(fsm_sink *to, fsm_cursor *c, const fsm_field_def *def,
                           const fsm_field *f) {
  fsm_kind kind = (fsm_kind)def->kind;
  if (f->wire != FSM_LEN) /* unpacked: one value */
    return kind >= FSM_KIND_FIXED32 ? put_fixed(to, f->value, kind == FSM_KIND_FIXED64 ? 8 : 4)
                                    : fsm_sink_varint(to, fsm_kind_value(kind, f->value));
  if (kind >= FSM_KIND_FIXED32) {
    if (f->length % (kind == FSM_KIND_FIXED64 ? 8 : 4))
      return fsm_fail(&c->error, FSM_E_INVALID, f->start, 0, f->length);
    return fsm_sink_span(to, c, f->value, f->end);
  }
  fsm_status s = fsm_cursor_span(c, f->value, f->end);
  while (!s && !fsm_cursor_done(c)) {
    uint64_t value;
    if (!(s = fsm_cursor_varint(c, &value)))
      s = fsm_sink_varint(to, fsm_kind_value(kind, value));
  }
  return s;
}

fsm_status fsm_sink_default(fsm_sink *to, const fsm_field_def *def) {
  fsm_wire wire = fsm_kind_wire((fsm_kind)def->kind);
  fsm_status s = fsm_sink_tag(to, def->number, wire);
  return s ? s : put_fixed(to, 0, wire == FSM_FIXED64 ? 8 : wire == FSM_FIXED32 ? 4 : 1);
}
