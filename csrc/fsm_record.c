#include "fsm_record.h"

#include "fsm_fields.h"

/* Whether packed bytes are values of this kind, each as short as it can be. */
static fsm_status packed_is_minimal(fsm_kind kind, const uint8_t *p, const uint8_t *end,
                                    bool *minimal) {
  if (kind >= FSM_KIND_FIXED32)
    return (size_t)(end - p) % (kind == FSM_KIND_FIXED32 ? 4 : 8) ? FSM_E_INVALID : FSM_OK;
  while (p < end) {
    const uint8_t *from = p;
    uint64_t value;
    fsm_status s = fsm_read_varint(&p, end, &value);
    if (s)
      return s;
    if (!fsm_is_minimal(from, p) || fsm_kind_value(kind, value) != value)
      *minimal = false;
  }
  return FSM_OK;
}

/* Read the field at *p, of a message of type m that lies `depth` deep, and step over it. */
static fsm_status read_record(fsm_record *r, const fsm_message_def *m, const uint8_t *base,
                              const uint8_t **p, const uint8_t *end, unsigned depth,
                              fsm_error *e) {
  const uint8_t *from = *p;
  uint32_t number;
  fsm_wire wire;
  uint64_t value = 0;
  fsm_status s = fsm_read_tag(p, end, &number, &wire);
  if (s)
    return fsm_fail(e, s, (uint64_t)(from - base), 1, 0);
  const uint8_t *second = *p;
  r->start = (uint32_t)(from - base);
  r->minimal = fsm_is_minimal(from, second);
  r->wire = (uint8_t)wire;
  r->built = (fsm_chunk){0};
  r->state = FSM_RAW;
  uint64_t n = wire == FSM_FIXED64 ? 8 : wire == FSM_FIXED32 ? 4 : 0;
  if (wire == FSM_VARINT || wire == FSM_LEN) {
    if ((s = fsm_read_varint(p, end, &value)))
      return fsm_fail(e, s, (uint64_t)(second - base), 1, 0);
    r->minimal = r->minimal && fsm_is_minimal(second, *p);
    if (wire == FSM_LEN)
      n = value;
  } else if (wire == FSM_END_GROUP) {
    return fsm_fail(e, FSM_E_GROUP, (uint64_t)(from - base), 0, number);
  }
  if (n > (uint64_t)(end - *p))
    return fsm_fail(e, FSM_E_TRUNCATED, (uint64_t)(from - base), n, (uint64_t)(end - *p));
  const uint8_t *payload = *p;
  *p += n;
  if (wire == FSM_GROUP) {
    fsm_reader inside = {*p, end};
    if ((s = fsm_skip_group(&inside, number, depth + 1)))
      return fsm_fail(e, s, (uint64_t)(from - base), s == FSM_E_DEPTH ? FSM_MAX_DEPTH : number,
                      0);
    *p = inside.p;
  }
  r->payload = (uint32_t)(payload - base);
  r->bytes = (uint32_t)(*p - payload);
  r->end = (uint32_t)(*p - base);

  const fsm_field_def *f = fsm_field_of(m, number);
  if (!f || !fsm_fits(f, wire)) {
    r->order = FSM_UNKNOWN;
    if (wire == FSM_GROUP || !r->minimal)
      r->state = FSM_BUILT; /* written again: groups may hide longer forms */
    return FSM_OK;
  }
  r->order = f->number;
  fsm_kind kind = (fsm_kind)f->kind;
  if (kind == FSM_KIND_MESSAGE) {
    r->state = FSM_LOOSE;
  } else if (f->flags & FSM_REPEATED) {
    if (kind == FSM_KIND_BYTES) {
      r->state = r->minimal ? FSM_RAW : FSM_BUILT;
    } else if (wire != FSM_LEN) {
      r->state = FSM_LOOSE;
    } else {
      bool minimal = r->minimal;
      if ((s = packed_is_minimal(kind, payload, *p, &minimal)))
        return fsm_fail(e, s, (uint64_t)(payload - base), 0, r->bytes);
      r->state = r->bytes == 0 ? FSM_BLANK : minimal ? FSM_RAW : FSM_LOOSE;
    }
  } else {
    bool minimal = r->minimal, blank;
    if (wire == FSM_LEN) {
      blank = n == 0;
    } else {
      if (wire != FSM_VARINT)
        value = wire == FSM_FIXED64 ? fsm_load64(payload) : fsm_load32(payload);
      r->value = fsm_kind_value(kind, value);
      minimal = minimal && r->value == value;
      blank = r->value == 0;
    }
    r->state = blank && f->flags & FSM_IMPLICIT ? FSM_BLANK : minimal ? FSM_RAW : FSM_BUILT;
  }
  return FSM_OK;
}

static inline fsm_status reserve(fsm_records *records) {
  if (records->n < records->max)
    return FSM_OK;
  void *items = records->items;
  fsm_status s = fsm_grow(&items, &records->max, sizeof(fsm_record), records->n + 1);
  records->items = items;
  return s;
}

fsm_status fsm_records_scan(fsm_records *records, fsm_scope *sc, const uint8_t *base,
                            uint32_t start, uint32_t end, fsm_error *e) {
  const uint8_t *p = base + start, *stop = base + end;
  while (p < stop) {
    fsm_status s = reserve(records);
    if (s)
      return s;
    fsm_record *r = &records->items[records->n];
    if ((s = read_record(r, sc->m, base, &p, stop, sc->depth, e)))
      return s;
    records->n++;
    sc->n++;
    if (r->order != FSM_UNKNOWN) {
      uint64_t bit = UINT64_C(1) << r->order;
      sc->twice |= sc->seen & bit;
      sc->seen |= bit;
    }
  }
  return FSM_OK;
}
