#include "fsm_unit.h"

#include "fsm_encode.h"
#include "fsm_fields.h"
#include "fsm_grow.h"

/* Where unknown fields sort: behind every known one. */
#define UNKNOWN FSM_MAX_NUMBER

enum state {
  RAW,   /* canonical as it stands in the input */
  BUILT, /* in segments */
  LOOSE, /* a repeated scalar that must be packed anew */
  BLANK, /* a default that canonical form leaves out */
  DEAD   /* overruled: an earlier oneof member, or merged into another record */
};

struct fsm_record {
  uint32_t start, end;     /* the field in the input */
  uint32_t payload, bytes; /* LEN and groups: its payload */
  fsm_map_key key;             /* map entries */
  uint64_t value;          /* scalars that are not packed */
  uint32_t head, tail;     /* BUILT: segments */
  uint32_t size;           /* canonical bytes of the whole field */
  uint32_t position;       /* among its message's fields */
  uint8_t order;           /* its number, or UNKNOWN */
  uint8_t state;
  uint8_t wire;
  bool minimal;
};

void fsm_unit_free(fsm_unit *u) {
  free(u->records);
  free(u->segments);
  free(u->literals);
  fsm_tidy_free(&u->tidy);
  memset(u, 0, sizeof *u);
}

static inline fsm_status reserve_record(fsm_unit *u) {
  if (u->n_records < u->max_records)
    return FSM_OK;
  void *items = u->records;
  fsm_status s = fsm_grow(&items, &u->max_records, sizeof(fsm_record), u->n_records + 1);
  u->records = items;
  return s;
}

static fsm_status add_segment(fsm_unit *u, fsm_chunk *to, uint32_t start, uint32_t length,
                              bool literal) {
  to->size += length;
  if (to->tail) {
    fsm_segment *last = &u->segments[to->tail - 1];
    if (last->literal == literal && last->start + last->length == start) {
      last->length += length;
      return FSM_OK;
    }
  }
  if (u->n_segments == u->max_segments) {
    void *items = u->segments;
    fsm_status s = fsm_grow(&items, &u->max_segments, sizeof(fsm_segment), u->n_segments + 1);
    u->segments = items;
    if (s)
      return s;
  }
  u->segments[u->n_segments++] = (fsm_segment){start, length, 0, literal};
  uint32_t id = (uint32_t)u->n_segments;
  if (to->tail)
    u->segments[to->tail - 1].next = id;
  else
    to->head = id;
  to->tail = id;
  return FSM_OK;
}

static fsm_status add_literal(fsm_unit *u, fsm_chunk *to, const uint8_t *bytes, size_t n) {
  if (n > u->max_literals - u->n_literals) {
    void *items = u->literals;
    fsm_status s = fsm_grow(&items, &u->max_literals, 1, u->n_literals + n);
    u->literals = items;
    if (s)
      return s;
  }
  memcpy(u->literals + u->n_literals, bytes, n);
  u->n_literals += n;
  return add_segment(u, to, (uint32_t)(u->n_literals - n), (uint32_t)n, true);
}

static fsm_status add_tag(fsm_unit *u, fsm_chunk *to, uint32_t number, fsm_wire wire) {
  uint8_t tag[FSM_MAX_VARINT_BYTES];
  return add_literal(u, to, tag, fsm_write_varint(tag, (uint64_t)number << 3 | wire));
}

static fsm_status add_varint(fsm_unit *u, fsm_chunk *to, uint64_t value) {
  uint8_t bytes[FSM_MAX_VARINT_BYTES];
  return add_literal(u, to, bytes, fsm_write_varint(bytes, value));
}

/* A length-delimited field: its header, then what the payload's chunk holds. */
static fsm_status add_field(fsm_unit *u, fsm_chunk *to, uint32_t number, const fsm_chunk *payload,
                            uint32_t raw_start) {
  fsm_status s;
  if ((s = add_tag(u, to, number, FSM_LEN)) || (s = add_varint(u, to, payload->size)))
    return s;
  if (payload->raw)
    return payload->size ? add_segment(u, to, raw_start, payload->size, false) : FSM_OK;
  if (payload->head) {
    u->segments[to->tail - 1].next = payload->head;
    to->tail = payload->tail;
    to->size += payload->size;
  }
  return FSM_OK;
}

/* ---- unknown fields: kept, with minimal tags, varints and lengths ---- */

static fsm_status unknown_group(fsm_unit *u, fsm_chunk *to, const uint8_t **p,
                                const uint8_t *end, uint32_t number, unsigned depth);

/* Read one field at *p and write it in its minimal form. */
static fsm_status unknown_field(fsm_unit *u, fsm_chunk *to, const uint8_t **p,
                                const uint8_t *end, uint32_t number, fsm_wire wire,
                                unsigned depth) {
  fsm_status s;
  uint64_t value = 0;
  if ((s = add_tag(u, to, number, wire)))
    return s;
  if (wire == FSM_GROUP)
    return unknown_group(u, to, p, end, number, depth + 1);
  if (wire == FSM_VARINT || wire == FSM_LEN) {
    if ((s = fsm_read_varint(p, end, &value)) || (s = add_varint(u, to, value)))
      return s;
  }
  uint64_t n = wire == FSM_LEN ? value : wire == FSM_FIXED64 ? 8 : wire == FSM_FIXED32 ? 4 : 0;
  if (n > (uint64_t)(end - *p))
    return FSM_E_TRUNCATED;
  if (n && (s = add_segment(u, to, (uint32_t)(*p - u->base), (uint32_t)n, false)))
    return s;
  *p += n;
  return FSM_OK;
}

static fsm_status unknown_group(fsm_unit *u, fsm_chunk *to, const uint8_t **p,
                                const uint8_t *end, uint32_t number, unsigned depth) {
  if (depth > FSM_MAX_DEPTH)
    return FSM_E_DEPTH;
  while (*p < end) {
    uint32_t inner;
    fsm_wire wire;
    fsm_status s = fsm_read_tag(p, end, &inner, &wire);
    if (s)
      return s;
    if (wire == FSM_END_GROUP)
      return inner == number ? add_tag(u, to, number, FSM_END_GROUP) : FSM_E_GROUP;
    if ((s = unknown_field(u, to, p, end, inner, wire, depth)))
      return s;
  }
  return FSM_E_GROUP;
}

/* ---- one field: where it lies and whether it is canonical as it stands ---- */

static fsm_status fail(fsm_unit *u, fsm_status s, const uint8_t *at, uint64_t need,
                       uint64_t have) {
  return fsm_fail(&u->error, s, (uint64_t)(at - u->base), need, have);
}

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

/* Read the field at *p into a record. Messages stay to be ordered (LOOSE). */
static fsm_status scan_field(fsm_unit *u, const fsm_message_def *m, const uint8_t **p,
                             const uint8_t *end, unsigned depth, fsm_record *r) {
  const uint8_t *from = *p;
  uint32_t number;
  fsm_wire wire;
  uint64_t value = 0;
  fsm_status s = fsm_read_tag(p, end, &number, &wire);
  if (s)
    return fail(u, s, from, 1, 0);
  const uint8_t *second = *p;
  r->start = (uint32_t)(from - u->base);
  r->minimal = fsm_is_minimal(from, second);
  r->wire = (uint8_t)wire;
  r->head = r->tail = 0;
  r->state = RAW;
  uint64_t n = wire == FSM_FIXED64 ? 8 : wire == FSM_FIXED32 ? 4 : 0;
  if (wire == FSM_VARINT || wire == FSM_LEN) {
    if ((s = fsm_read_varint(p, end, &value)))
      return fail(u, s, second, 1, 0);
    r->minimal = r->minimal && fsm_is_minimal(second, *p);
    if (wire == FSM_LEN)
      n = value;
  } else if (wire == FSM_END_GROUP) {
    return fail(u, FSM_E_GROUP, from, 0, number);
  }
  if (n > (uint64_t)(end - *p))
    return fail(u, FSM_E_TRUNCATED, from, n, (uint64_t)(end - *p));
  const uint8_t *payload = *p;
  *p += n;
  if (wire == FSM_GROUP) {
    fsm_reader inside = {*p, end};
    if ((s = fsm_skip_group(&inside, number, depth + 1)))
      return fail(u, s, from, s == FSM_E_DEPTH ? FSM_MAX_DEPTH : number, 0);
    *p = inside.p;
  }
  r->payload = (uint32_t)(payload - u->base);
  r->bytes = (uint32_t)(*p - payload);
  r->end = (uint32_t)(*p - u->base);
  r->size = r->end - r->start;

  const fsm_field_def *f = fsm_field_of(m, number);
  if (!f || !fsm_fits(f, wire)) {
    r->order = UNKNOWN;
    if (wire == FSM_GROUP || !r->minimal)
      r->state = BUILT; /* written again below: groups may hide longer forms */
    return FSM_OK;
  }
  r->order = f->number;
  fsm_kind kind = (fsm_kind)f->kind;
  if (kind == FSM_KIND_MESSAGE) {
    r->state = LOOSE;
  } else if (f->flags & FSM_REPEATED) {
    if (kind == FSM_KIND_BYTES) {
      r->state = r->minimal ? RAW : BUILT;
    } else if (wire != FSM_LEN) {
      r->state = LOOSE;
    } else {
      bool minimal = r->minimal;
      if ((s = packed_is_minimal(kind, payload, *p, &minimal)))
        return fail(u, s, payload, 0, r->bytes);
      r->state = r->bytes == 0 ? BLANK : minimal ? RAW : LOOSE;
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
    r->state = blank && f->flags & FSM_IMPLICIT ? BLANK : minimal ? RAW : BUILT;
  }
  return FSM_OK;
}

/* ---- a message: scan its fields, order its children, then itself ---- */

typedef struct {
  const fsm_message_def *m;
  size_t first, n; /* its records */
  unsigned depth;
  bool entry;
  uint64_t seen, twice; /* bit n: field n came once, and again */
} scope;

static fsm_status order_records(fsm_unit *u, scope *sc, fsm_chunk *out);

static fsm_status scan_span(fsm_unit *u, scope *sc, uint32_t start, uint32_t end) {
  const uint8_t *p = u->base + start, *stop = u->base + end;
  while (p < stop) {
    fsm_status s = reserve_record(u);
    if (s)
      return s;
    fsm_record *r = &u->records[u->n_records];
    if ((s = scan_field(u, sc->m, &p, stop, sc->depth, r)))
      return s;
    r->position = (uint32_t)sc->n++;
    u->n_records++;
    if (r->order != UNKNOWN) {
      uint64_t bit = UINT64_C(1) << r->order;
      sc->twice |= sc->seen & bit;
      sc->seen |= bit;
    }
  }
  return FSM_OK;
}

static inline const fsm_field_def *def_of(const scope *sc, const fsm_record *r) {
  return r->order == UNKNOWN ? NULL : &sc->m->fields[r->order];
}

/* Of a oneof, only the member that came last lives, from its last unbroken run
 * on: a member in between clears what came before it. */
static void settle_oneof(fsm_unit *u, const scope *sc) {
  uint64_t members = sc->seen & sc->m->oneof;
  if ((members & (members - 1)) == 0)
    return;
  int winner = -1;
  bool broken = false;
  for (size_t i = sc->n; i-- > 0;) {
    fsm_record *r = &u->records[sc->first + i];
    if (r->order == UNKNOWN || !(members >> r->order & 1))
      continue;
    if (winner < 0)
      winner = r->order;
    broken = broken || winner != r->order;
    if (broken)
      r->state = DEAD;
  }
}

/* Take a map entry's key from its scanned fields, so that entries can be sorted.
 * The last key counts; an entry without one has the default. */
static fsm_map_key key_of(const fsm_unit *u, const scope *entry) {
  bool text = entry->m->fields[FSM_ENTRY_KEY].kind == FSM_KIND_BYTES;
  for (size_t i = entry->n; i-- > 0;) {
    const fsm_record *r = &u->records[entry->first + i];
    if (r->order == FSM_ENTRY_KEY)
      return text ? (fsm_map_key){u->base + r->payload, r->bytes} : (fsm_map_key){NULL, r->value};
  }
  return (fsm_map_key){text ? u->base : NULL, 0};
}

/* Whether a message field's payload is canonical; takes a map entry's key if so.
 * What the last look covered is not looked at again: between the spans of a
 * merged message lie fields that it did not cover, so both its ends count. */
static bool tidy(fsm_unit *u, const fsm_field_def *f, fsm_record *r, unsigned depth) {
  const fsm_message_def *m = &fsm_schema[f->message];
  const uint8_t *start = u->base + r->start, *end = u->base + r->end, *stop;
  uint8_t *payload = u->base + r->payload;
  bool map = (f->flags & FSM_MAP) != 0;
  if (start < u->known_from || end > u->known_to) {
    if (start >= u->known_from && start < u->known_to)
      return false; /* that look ended inside */
    stop = map ? fsm_tidy_entry_at(&u->tidy, m, start, payload, end, depth)
               : fsm_tidy_message(&u->tidy, m, payload, end, depth);
    if (stop) {
      u->known_from = payload;
      u->known_to = stop;
      return false;
    }
  }
  if (map)
    r->key = fsm_tidy_key(m, payload, end);
  return true;
}

static fsm_status build(fsm_record *r, const fsm_chunk *field) {
  r->state = BUILT;
  r->head = field->head;
  r->tail = field->tail;
  r->size = field->size;
  return FSM_OK;
}

/* Order the payload spans as one message, and make record r that whole field. */
static fsm_status order_child(fsm_unit *u, const scope *sc, size_t r, size_t n_spans) {
  const fsm_field_def *f = def_of(sc, &u->records[r]);
  bool is_entry = (f->flags & FSM_MAP) != 0;
  if (sc->depth + 1 > FSM_MAX_DEPTH)
    return fsm_fail(&u->error, FSM_E_DEPTH, u->records[r].start, FSM_MAX_DEPTH, 0);
  fsm_record *rec = &u->records[r];
  if (n_spans == 1 && tidy(u, f, rec, sc->depth + 1)) {
    if (rec->minimal) {
      rec->state = RAW;
      return FSM_OK;
    }
    fsm_chunk payload = {.raw = true, .size = rec->bytes}, field = {0};
    fsm_status s = add_field(u, &field, f->number, &payload, rec->payload);
    return s ? s : build(rec, &field);
  }
  fsm_chunk child = {0};
  scope inner = {.m = &fsm_schema[f->message],
                 .first = u->n_records,
                 .depth = sc->depth + 1,
                 .entry = is_entry};
  fsm_status s = FSM_OK;
  /* The spans of a message that occurs several times are merged: parsing them
   * one behind the other is the same as parsing them joined. */
  for (size_t i = r; !s && i < sc->first + sc->n; i++) {
    fsm_record *other = &u->records[i];
    if (other->order != u->records[r].order || other->state == DEAD || (i != r && n_spans == 1))
      continue;
    if (i != r)
      other->state = DEAD;
    s = scan_span(u, &inner, other->payload, other->payload + other->bytes);
    if (n_spans == 1)
      break;
  }
  if (is_entry)
    u->records[r].key = key_of(u, &inner);
  if (!s)
    s = order_records(u, &inner, &child);
  u->n_records = inner.first;
  if (s)
    return s;
  rec = &u->records[r];
  if (child.raw && n_spans == 1 && rec->minimal) {
    rec->state = RAW;
    return FSM_OK;
  }
  fsm_chunk field = {0};
  uint32_t raw_start = inner.n ? u->records[inner.first].start : rec->payload;
  if ((s = add_field(u, &field, f->number, &child, raw_start)))
    return s;
  return build(&u->records[r], &field);
}

static fsm_status order_children(fsm_unit *u, const scope *sc) {
  for (size_t i = sc->first; i < sc->first + sc->n; i++) {
    fsm_record *r = &u->records[i];
    const fsm_field_def *f = def_of(sc, r);
    if (!f || f->kind != FSM_KIND_MESSAGE || r->state == DEAD)
      continue;
    bool merged = !(f->flags & FSM_REPEATED) && (sc->twice >> r->order & 1);
    fsm_status s = order_child(u, sc, i, merged ? 2 : 1);
    if (s)
      return s;
  }
  return FSM_OK;
}

/* Whether record b may stand behind record a in canonical form. */
static bool follows(const scope *sc, const fsm_record *a, const fsm_record *b) {
  if (a->order != b->order)
    return a->order < b->order;
  const fsm_field_def *f = def_of(sc, a);
  if (!f)
    return true;
  if (f->flags & FSM_MAP)
    return fsm_map_key_compare(&a->key, &b->key) < 0;
  return (f->flags & FSM_REPEATED) && !(f->flags & FSM_PACKED);
}

static int compare_records(const scope *sc, const fsm_record *a, const fsm_record *b) {
  if (a->order != b->order)
    return a->order < b->order ? -1 : 1;
  const fsm_field_def *f = def_of(sc, a);
  int c = f && (f->flags & FSM_MAP) ? fsm_map_key_compare(&a->key, &b->key) : 0;
  if (c)
    return c;
  return a->position < b->position ? -1 : 1;
}

/* A merge sort of indices, bottom up: n log n whatever the input. `ids` has room
 * for 2n; the first n are the result. */
static void sort_records(const fsm_unit *u, const scope *sc, uint32_t *ids) {
  size_t n = sc->n;
  uint32_t *from = ids, *to = ids + n;
  const fsm_record *records = u->records + sc->first;
  for (size_t i = 0; i < n; i++)
    from[i] = (uint32_t)i;
  for (size_t width = 1; width < n; width *= 2) {
    for (size_t low = 0; low < n; low += 2 * width) {
      size_t mid = low + width < n ? low + width : n;
      size_t high = low + 2 * width < n ? low + 2 * width : n;
      size_t a = low, b = mid, k = low;
      while (a < mid || b < high) {
        bool left = b == high ||
                    (a < mid && compare_records(sc, &records[from[a]], &records[from[b]]) < 0);
        to[k++] = left ? from[a++] : from[b++];
      }
    }
    uint32_t *swap = from;
    from = to;
    to = swap;
  }
  if (from != ids)
    memcpy(ids, from, n * sizeof *ids);
}

/* Append a scalar, string or unknown field that is not minimal as it stands. */
static fsm_status rewrite(fsm_unit *u, const scope *sc, const fsm_record *r, fsm_chunk *to) {
  const uint8_t *p = u->base + r->start, *end = u->base + r->end;
  const fsm_field_def *f = def_of(sc, r);
  uint32_t number;
  fsm_wire wire;
  uint64_t value;
  fsm_status s = fsm_read_tag(&p, end, &number, &wire);
  if (s)
    return fail(u, s, p, 0, 0);
  if (f && wire == FSM_VARINT) {
    if ((s = fsm_read_varint(&p, end, &value)) || (s = add_tag(u, to, number, wire)))
      return s;
    return add_varint(u, to, fsm_kind_value((fsm_kind)f->kind, value));
  }
  s = unknown_field(u, to, &p, end, number, wire, sc->depth);
  return s ? fail(u, s, p, 0, 0) : FSM_OK;
}

/* The values of a repeated scalar, packed and unpacked, as one packed field. */
static fsm_status repack(fsm_unit *u, const scope *sc, const uint32_t *ids, size_t n,
                         fsm_chunk *to) {
  const fsm_field_def *f = def_of(sc, &u->records[sc->first + ids[0]]);
  fsm_kind kind = (fsm_kind)f->kind;
  fsm_status s = FSM_OK;
  fsm_chunk values = {0};
  for (size_t i = 0; i < n && !s; i++) {
    const fsm_record *r = &u->records[sc->first + ids[i]];
    if (kind >= FSM_KIND_FIXED32) {
      if (r->bytes)
        s = add_segment(u, &values, r->payload, r->bytes, false);
      continue;
    }
    const uint8_t *p = u->base + r->payload, *end = u->base + r->end;
    if (r->wire == FSM_VARINT) /* the payload of a varint field is counted as empty */
      for (p = u->base + r->start; *p++ & 0x80;) {
      }
    while (p < end && !s) {
      uint64_t value;
      if (!(s = fsm_read_varint(&p, end, &value)))
        s = add_varint(u, &values, fsm_kind_value(kind, value));
    }
  }
  if (s || !values.size)
    return s;
  return add_field(u, to, f->number, &values, 0);
}

static fsm_status add_record(fsm_unit *u, const scope *sc, const fsm_record *r, fsm_chunk *to) {
  if (r->state == RAW)
    return add_segment(u, to, r->start, r->end - r->start, false);
  if (!r->head)
    return rewrite(u, sc, r, to);
  if (to->tail)
    u->segments[to->tail - 1].next = r->head;
  else
    to->head = r->head;
  to->tail = r->tail;
  to->size += r->size;
  return FSM_OK;
}

/* A map entry's field that is not there is written as its default. */
static fsm_status add_missing(fsm_unit *u, const scope *sc, unsigned order, fsm_chunk *to) {
  static const uint8_t zeros[8] = {0};
  const fsm_field_def *f = &sc->m->fields[order];
  fsm_wire wire = fsm_kind_wire((fsm_kind)f->kind);
  fsm_status s = add_tag(u, to, f->number, wire);
  size_t n = wire == FSM_FIXED64 ? 8 : wire == FSM_FIXED32 ? 4 : 1;
  return s ? s : add_literal(u, to, zeros, n);
}

static fsm_status assemble(fsm_unit *u, const scope *sc, const uint32_t *ids, fsm_chunk *out) {
  fsm_status s = FSM_OK;
  unsigned next = FSM_ENTRY_KEY; /* map entries: the field to come */
  for (size_t i = 0; i < sc->n && !s;) {
    const fsm_record *r = &u->records[sc->first + ids[i]];
    const fsm_field_def *f = def_of(sc, r);
    size_t j = i + 1;
    while (j < sc->n && u->records[sc->first + ids[j]].order == r->order)
      j++;
    for (; sc->entry && f && next < r->order && !s; next++)
      s = add_missing(u, sc, next, out);
    if (f)
      next = r->order + 1u;
    if (s)
      break;
    if (!f) {
      if (!sc->entry) /* a map entry forgets what it does not know */
        for (; i < j && !s; i++)
          s = add_record(u, sc, &u->records[sc->first + ids[i]], out);
    } else if ((f->flags & FSM_PACKED)) {
      s = j - i == 1 && r->state == RAW ? add_record(u, sc, r, out)
                                         : repack(u, sc, ids + i, j - i, out);
    } else if (f->flags & FSM_REPEATED) {
      for (; i < j && !s; i++) {
        r = &u->records[sc->first + ids[i]];
        const fsm_record *after = i + 1 < j ? &u->records[sc->first + ids[i + 1]] : NULL;
        if ((f->flags & FSM_MAP) && after && fsm_map_key_compare(&r->key, &after->key) == 0)
          continue; /* the last of equal keys stays */
        s = add_record(u, sc, r, out);
      }
    } else {
      /* The last value counts; merged messages left theirs in the one record alive. */
      const fsm_record *live = NULL;
      for (size_t k = i; k < j; k++)
        if (u->records[sc->first + ids[k]].state != DEAD)
          live = &u->records[sc->first + ids[k]];
      if (live && live->state != BLANK)
        s = add_record(u, sc, live, out);
    }
    i = j;
  }
  for (; sc->entry && next < FSM_ENTRY_END && !s; next++)
    s = add_missing(u, sc, next, out);
  return s;
}

/* The fields are scanned into sc's records: order them. */
static fsm_status order_records(fsm_unit *u, scope *sc, fsm_chunk *out) {
  bool canonical = true;
  settle_oneof(u, sc);
  fsm_status s = order_children(u, sc);
  if (s)
    return s;
  const fsm_record *records = u->records + sc->first;
  for (size_t i = 0; i < sc->n && canonical; i++)
    canonical = records[i].state == RAW && (i == 0 || follows(sc, &records[i - 1], &records[i]));
  /* Runs of two spans need not touch. */
  for (size_t i = 1; i < sc->n && canonical; i++)
    canonical = records[i - 1].end == records[i].start;
  if (sc->entry && (sc->n != 2 || sc->twice || records[1].order == UNKNOWN))
    canonical = false;
  if (canonical) {
    out->raw = true;
    out->size = sc->n ? records[sc->n - 1].end - records[0].start : 0;
    return FSM_OK;
  }
  uint32_t few[64], *ids = sc->n <= 32 ? few : malloc(2 * sc->n * sizeof *ids);
  if (!ids)
    return FSM_E_NOMEM;
  sort_records(u, sc, ids);
  s = assemble(u, sc, ids, out);
  if (ids != few)
    free(ids);
  return s;
}

fsm_status fsm_unit_order(fsm_unit *u, const fsm_message_def *m, uint8_t *bytes, uint32_t n,
                          unsigned depth, bool entry, fsm_chunk *out) {
  u->base = bytes;
  u->n_records = u->n_segments = u->n_literals = 0;
  u->error.status = FSM_OK;
  *out = (fsm_chunk){0};
  const uint8_t *end = bytes + n;
  const uint8_t *stop = entry ? fsm_tidy_entry_at(&u->tidy, m, bytes, bytes, end, depth)
                              : fsm_tidy_message(&u->tidy, m, bytes, end, depth);
  if (!stop) {
    *out = (fsm_chunk){.raw = true, .size = n};
    return FSM_OK;
  }
  u->known_from = bytes;
  u->known_to = stop;
  scope sc = {.m = m, .depth = depth, .entry = entry};
  fsm_status s = scan_span(u, &sc, 0, n);
  if (!s)
    s = order_records(u, &sc, out);
  if (s && u->error.status != s)
    fsm_fail(&u->error, s, 0, 0, 0);
  return s;
}
