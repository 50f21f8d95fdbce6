#include "fsm_cursor.h"

void fsm_cursor_init(fsm_cursor *c, const fsm_src *src, uint8_t *window, size_t capacity) {
  *c = (fsm_cursor){.src = src,
                    .window = window,
                    .capacity = capacity,
                    .step = FSM_FIRST_READ,
                    .end = src->size};
}

fsm_status fsm_cursor_span(fsm_cursor *c, uint64_t start, uint64_t end) {
  if (end > c->src->size || start > end)
    return fsm_fail(&c->error, FSM_E_TRUNCATED, start, end, c->src->size);
  c->at = start;
  c->end = end;
  return FSM_OK;
}

/* Move the window so that it begins at `at` and holds n bytes or more. */
static fsm_status refill(fsm_cursor *c, size_t n) {
  bool runs_on = c->fill && c->at >= c->base && c->at - c->base <= c->fill;
  size_t step = runs_on ? c->step * 2 : FSM_FIRST_READ;
  if (step < n)
    step = n;
  if (step > c->capacity)
    step = c->capacity;
  c->step = step;
  if (step > c->src->size - c->at)
    step = (size_t)(c->src->size - c->at);
  c->fill = 0;
  fsm_status s = fsm_src_read(c->src, c->at, c->window, step, &c->error);
  if (s)
    return s;
  c->base = c->at;
  c->fill = step;
  return FSM_OK;
}

static inline size_t available(const fsm_cursor *c) {
  if (c->at < c->base || c->at - c->base >= c->fill)
    return 0;
  return c->fill - (size_t)(c->at - c->base);
}

fsm_status fsm_cursor_need(fsm_cursor *c, size_t n, const uint8_t **bytes) {
  if (n > c->end - c->at)
    return fsm_fail(&c->error, FSM_E_TRUNCATED, c->at, n, c->end - c->at);
  if (n > c->capacity)
    return fsm_fail(&c->error, FSM_E_LIMIT, c->at, n, c->capacity);
  if (available(c) < n) {
    fsm_status s = refill(c, n);
    if (s)
      return s;
  }
  *bytes = c->window + (c->at - c->base);
  return FSM_OK;
}

fsm_status fsm_cursor_some(fsm_cursor *c, const uint8_t **bytes, size_t *n) {
  uint64_t left = c->end - c->at;
  if (left && !available(c)) {
    fsm_status s = refill(c, left < c->capacity ? (size_t)left : c->capacity);
    if (s)
      return s;
  }
  *bytes = c->window + (c->at - c->base);
  *n = available(c) < left ? available(c) : (size_t)left;
  return FSM_OK;
}

fsm_status fsm_cursor_read(fsm_cursor *c, uint64_t offset, void *buffer, size_t n) {
  if (offset < c->base || offset - c->base > c->fill || n > c->fill - (size_t)(offset - c->base))
    return fsm_src_read(c->src, offset, buffer, n, &c->error);
  if (n)
    memcpy(buffer, c->window + (offset - c->base), n);
  return FSM_OK;
}

/* Bytes at `at` for a header: as many as a header can take, or as are left. */
static inline fsm_status header(fsm_cursor *c, const uint8_t **p, const uint8_t **end) {
  uint64_t left = c->end - c->at;
  size_t want = left < FSM_MAX_HEADER_BYTES ? (size_t)left : FSM_MAX_HEADER_BYTES;
  fsm_status s = fsm_cursor_need(c, want, p);
  *end = *p + want;
  return s;
}

static fsm_status bad_header(fsm_cursor *c, fsm_status s, uint64_t at) {
  uint64_t left = c->end - at;
  return fsm_fail(&c->error, s, at, s == FSM_E_TRUNCATED ? left + 1 : 0, left);
}

fsm_status fsm_cursor_varint(fsm_cursor *c, uint64_t *value) {
  const uint8_t *p, *end;
  fsm_status s = header(c, &p, &end);
  if (s)
    return s;
  const uint8_t *from = p;
  s = fsm_read_varint(&p, end, value);
  if (s)
    return bad_header(c, s, c->at);
  c->at += (uint64_t)(p - from);
  return FSM_OK;
}

fsm_status fsm_cursor_token(fsm_cursor *c, fsm_field *f) {
  const uint8_t *p, *end;
  fsm_status s = header(c, &p, &end);
  if (s)
    return s;
  const uint8_t *from = p;
  uint64_t at = c->at;
  f->start = at;
  f->length = 0;
  if ((s = fsm_read_tag(&p, end, &f->number, &f->wire)))
    return bad_header(c, s, at);
  size_t tag_bytes = (size_t)(p - from);
  f->tag_end = f->value = f->end = at + tag_bytes;
  uint64_t left = c->end - f->tag_end;
  f->minimal = fsm_is_minimal(from, p);
  switch (f->wire) {
  case FSM_VARINT:
  case FSM_LEN: {
    const uint8_t *second = p;
    if ((s = fsm_read_varint(&p, end, &f->value)))
      return bad_header(c, s, f->tag_end);
    f->minimal = f->minimal && fsm_is_minimal(second, p);
    f->end = at + (uint64_t)(p - from);
    if (f->wire == FSM_LEN) {
      f->length = f->value;
      f->value = f->end;
      left = c->end - f->end;
      if (f->length > left)
        return fsm_fail(&c->error, FSM_E_TRUNCATED, at, f->length, left);
      f->end += f->length;
    }
    break;
  }
  case FSM_FIXED64:
  case FSM_FIXED32: {
    unsigned n = f->wire == FSM_FIXED64 ? 8 : 4;
    if (n > left)
      return fsm_fail(&c->error, FSM_E_TRUNCATED, at, n, left);
    f->value = n == 8 ? fsm_load64(p) : fsm_load32(p);
    f->end = f->tag_end + n;
    break;
  }
  default: break;
  }
  c->at = f->end;
  return FSM_OK;
}

/* Step over the fields of a group, up to and including its end tag. */
static fsm_status skip_group(fsm_cursor *c, fsm_field *f) {
  uint32_t open[FSM_MAX_DEPTH];
  unsigned depth = 0;
  fsm_field inner;
  open[depth++] = f->number;
  while (depth) {
    if (fsm_cursor_done(c))
      return fsm_fail(&c->error, FSM_E_GROUP, f->start, f->number, 0);
    fsm_status s = fsm_cursor_token(c, &inner);
    if (s)
      return s;
    if (inner.wire == FSM_GROUP) {
      if (depth == FSM_MAX_DEPTH)
        return fsm_fail(&c->error, FSM_E_DEPTH, inner.start, FSM_MAX_DEPTH, 0);
      open[depth++] = inner.number;
    } else if (inner.wire == FSM_END_GROUP && open[--depth] != inner.number) {
      return fsm_fail(&c->error, FSM_E_GROUP, inner.start, open[depth], inner.number);
    }
  }
  f->length = inner.start - f->value;
  f->end = inner.end;
  return FSM_OK;
}

fsm_status fsm_cursor_next(fsm_cursor *c, fsm_field *f) {
  fsm_status s = fsm_cursor_token(c, f);
  if (s || f->wire < FSM_GROUP || f->wire == FSM_FIXED32)
    return s;
  return f->wire == FSM_GROUP ? skip_group(c, f)
                              : fsm_fail(&c->error, FSM_E_GROUP, f->start, 0, f->number);
}
