#include "fsm_parse.h"

typedef struct {
  fsm_parsed *to;
  fsm_cursor *c;
  const fsm_wanted *wanted;
} parser;

static fsm_status read_fields(const parser *p, const fsm_message_def *m, const fsm_span *span,
                              unsigned depth);

void fsm_parsed_free(fsm_parsed *p) {
  free(p->values.items);
  free(p->text.items);
  memset(p, 0, sizeof *p);
}

static fsm_status add(const parser *p, const fsm_value *v) {
  fsm_parsed *to = p->to;
  fsm_cursor *c = p->c;
  if (to->values.n == FSM_MAX_VALUES)
    return fsm_fail(&c->error, FSM_E_LIMIT, v->at, FSM_MAX_VALUES, to->values.n);
  fsm_status s = fsm_array_reserve(&to->values, sizeof *v, 1);
  if (s)
    return fsm_fail(&c->error, s, v->at, 0, 0);
  ((fsm_value *)to->values.items)[to->values.n++] = *v;
  return FSM_OK;
}

static fsm_status add_text(const parser *p, fsm_value *v) {
  fsm_parsed *to = p->to;
  fsm_cursor *c = p->c;
  if (v->size > FSM_MAX_TEXT - to->text.n)
    return fsm_fail(&c->error, FSM_E_LIMIT, v->at, FSM_MAX_TEXT, v->size);
  fsm_status s = fsm_array_reserve(&to->text, 1, (size_t)v->size + 1);
  if (s)
    return fsm_fail(&c->error, s, v->at, 0, 0);
  if ((s = fsm_cursor_read(c, v->at, (uint8_t *)to->text.items + to->text.n, (size_t)v->size)))
    return s;
  v->value = to->text.n;
  to->text.n += (size_t)v->size;
  return add(p, v);
}

static fsm_status add_message(const parser *p, const fsm_value *v, unsigned depth) {
  if (depth == FSM_MAX_DEPTH)
    return fsm_fail(&p->c->error, FSM_E_DEPTH, v->at, FSM_MAX_DEPTH, 0);
  fsm_array *values = &p->to->values;
  size_t i = values->n;
  fsm_span inside = {v->at, v->at + v->size};
  fsm_status s = add(p, v);
  if (s || (s = read_fields(p, &fsm_schema[v->field->message], &inside, depth + 1)))
    return s;
  ((fsm_value *)values->items)[i].size = values->n - i - 1;
  return FSM_OK;
}

/* A value for each number of a packed field. */
static fsm_status add_packed(const parser *p, fsm_value *v) {
  fsm_cursor *c = p->c;
  fsm_kind kind = (fsm_kind)v->field->kind;
  size_t width = kind == FSM_KIND_FIXED64 ? 8 : kind == FSM_KIND_FIXED32 ? 4 : 0;
  if (width && v->size % width)
    return fsm_fail(&c->error, FSM_E_INVALID, v->at, 0, v->size);
  fsm_status s = fsm_cursor_span(c, v->at, v->at + v->size);
  v->size = 0;
  while (!s && !fsm_cursor_done(c)) {
    const uint8_t *bytes;
    uint64_t value = 0;
    if (!width) {
      s = fsm_cursor_varint(c, &value);
    } else if (!(s = fsm_cursor_need(c, width, &bytes))) {
      value = width == 8 ? fsm_load64(bytes) : fsm_load32(bytes);
      c->at += width;
    }
    v->value = fsm_kind_value(kind, value);
    if (!s)
      s = add(p, v);
  }
  return s;
}

static fsm_status add_field(const parser *p, const fsm_field_def *def, const fsm_field *f,
                            unsigned depth) {
  fsm_value v = {.field = def, .at = f->wire == FSM_LEN ? f->value : f->start, .size = f->length};
  if (f->wire != FSM_LEN) {
    v.value = fsm_kind_value((fsm_kind)def->kind, f->value);
    return add(p, &v);
  }
  if (def->flags & FSM_PACKED)
    return add_packed(p, &v);
  if (def->flags & FSM_TEXT)
    return add_text(p, &v);
  if (def->kind == FSM_KIND_MESSAGE && !fsm_is_located(def, p->wanted))
    return add_message(p, &v, depth);
  return add(p, &v);
}

static fsm_status read_fields(const parser *p, const fsm_message_def *m, const fsm_span *span,
                              unsigned depth) {
  uint32_t only = depth ? 0 : p->wanted->only;
  uint64_t at = span->start;
  fsm_status s = fsm_cursor_span(p->c, span->start, span->end);
  while (!s && at < span->end) {
    fsm_field f;
    if ((s = fsm_cursor_span(p->c, at, span->end)) || (s = fsm_cursor_next(p->c, &f)))
      break;
    at = f.end;
    const fsm_field_def *def = fsm_field_of(m, f.number);
    if (def && fsm_fits(def, f.wire) && (!only || only == f.number))
      s = add_field(p, def, &f, depth);
  }
  return s;
}

fsm_status fsm_parse(fsm_parsed *to, fsm_cursor *c, fsm_message message,
                     const fsm_span *spans, size_t n_spans, const fsm_wanted *wanted) {
  parser p = {to, c, wanted};
  fsm_status s = FSM_OK;
  for (size_t i = 0; i < n_spans && !s; i++)
    s = read_fields(&p, &fsm_schema[message], &spans[i], 0);
  return s;
}
