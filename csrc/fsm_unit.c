#include "fsm_unit.h"

#include "fsm_sort.h"

void fsm_unit_free(fsm_unit *u) {
  free(u->records.items);
  fsm_chunks_free(&u->chunks);
  fsm_tidy_free(&u->tidy);
  memset(u, 0, sizeof *u);
}

static fsm_status fail(fsm_unit *u, fsm_status s, const uint8_t *at, uint64_t need,
                       uint64_t have) {
  return fsm_fail(&u->error, s, (uint64_t)(at - u->base), need, have);
}

/* ---- a message: scan its fields, order its children, then itself ---- */

static fsm_status order_records(fsm_unit *u, fsm_scope *sc, fsm_chunk *out);

static fsm_status scan_span(fsm_unit *u, fsm_scope *sc, uint32_t start, uint32_t end) {
  return fsm_records_scan(&u->records, sc, u->base, start, end, &u->error);
}

/* Of a oneof, only the member that came last lives, from its last unbroken run
 * on: a member in between clears what came before it. */
static void settle_oneof(fsm_unit *u, const fsm_scope *sc) {
  uint64_t members = sc->seen & sc->m->oneof;
  if ((members & (members - 1)) == 0)
    return;
  int winner = -1;
  bool broken = false;
  for (size_t i = sc->n; i-- > 0;) {
    fsm_record *r = &u->records.items[sc->first + i];
    if (r->order == FSM_UNKNOWN || !(members >> r->order & 1))
      continue;
    if (winner < 0)
      winner = r->order;
    broken = broken || winner != r->order;
    if (broken)
      r->state = FSM_DEAD;
  }
}

/* Take a map entry's key from its scanned fields, so that entries can be sorted.
 * The last key counts; an entry without one has the default. */
static fsm_map_key key_of(const fsm_unit *u, const fsm_scope *entry) {
  bool text = entry->m->fields[FSM_ENTRY_KEY].kind == FSM_KIND_BYTES;
  for (size_t i = entry->n; i-- > 0;) {
    const fsm_record *r = &u->records.items[entry->first + i];
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
    r->key = fsm_map_key_at(m, payload, end);
  return true;
}

/* Make record r the field with this payload; a raw one lies in the input at `raw_start`. */
static fsm_status build(fsm_unit *u, fsm_record *r, uint32_t number, const fsm_chunk *payload,
                        uint32_t raw_start) {
  r->state = FSM_BUILT;
  return fsm_chunk_field(&u->chunks, &r->built, number, payload, raw_start);
}

/* Order the payload spans as one message, and make record r that whole field. */
static fsm_status order_child(fsm_unit *u, const fsm_scope *sc, size_t r, size_t n_spans) {
  const fsm_field_def *f = fsm_record_def(sc, &u->records.items[r]);
  bool is_entry = (f->flags & FSM_MAP) != 0;
  if (sc->depth + 1 > FSM_MAX_DEPTH)
    return fsm_fail(&u->error, FSM_E_DEPTH, u->records.items[r].start, FSM_MAX_DEPTH, 0);
  fsm_record *rec = &u->records.items[r];
  if (n_spans == 1 && tidy(u, f, rec, sc->depth + 1)) {
    if (rec->minimal) {
      rec->state = FSM_RAW;
      return FSM_OK;
    }
    fsm_chunk payload = {.raw = true, .size = rec->bytes};
    return build(u, rec, f->number, &payload, rec->payload);
  }
  fsm_chunk child = {0};
  fsm_scope inner = {.m = &fsm_schema[f->message],
                 .first = u->records.n,
                 .depth = sc->depth + 1,
                 .entry = is_entry};
  fsm_status s = FSM_OK;
  /* The spans of a message that occurs several times are merged: parsing them
   * one behind the other is the same as parsing them joined. */
  for (size_t i = r; !s && i < sc->first + sc->n; i++) {
    fsm_record *other = &u->records.items[i];
    if (other->order != u->records.items[r].order || other->state == FSM_DEAD ||
        (i != r && n_spans == 1))
      continue;
    if (i != r)
      other->state = FSM_DEAD;
    s = scan_span(u, &inner, other->payload, other->payload + other->bytes);
    if (n_spans == 1)
      break;
  }
  if (is_entry)
    u->records.items[r].key = key_of(u, &inner);
  if (!s)
    s = order_records(u, &inner, &child);
  u->records.n = inner.first;
  if (s)
    return s;
  rec = &u->records.items[r];
  if (child.raw && n_spans == 1 && rec->minimal) {
    rec->state = FSM_RAW;
    return FSM_OK;
  }
  uint32_t raw_start = inner.n ? u->records.items[inner.first].start : rec->payload;
  return build(u, rec, f->number, &child, raw_start);
}

static fsm_status order_children(fsm_unit *u, const fsm_scope *sc) {
  for (size_t i = sc->first; i < sc->first + sc->n; i++) {
    fsm_record *r = &u->records.items[i];
    const fsm_field_def *f = fsm_record_def(sc, r);
    if (!f || f->kind != FSM_KIND_MESSAGE || r->state == FSM_DEAD)
      continue;
    bool merged = !(f->flags & FSM_REPEATED) && (sc->twice >> r->order & 1);
    fsm_status s = order_child(u, sc, i, merged ? 2 : 1);
    if (s)
      return s;
  }
  return FSM_OK;
}

/* Whether record b may stand behind record a in canonical form. */
static bool follows(const fsm_scope *sc, const fsm_record *a, const fsm_record *b) {
  if (a->order != b->order)
    return a->order < b->order;
  const fsm_field_def *f = fsm_record_def(sc, a);
  if (!f)
    return true;
  if (f->flags & FSM_MAP)
    return fsm_map_key_compare(&a->key, &b->key) < 0;
  return (f->flags & FSM_REPEATED) && !(f->flags & FSM_PACKED);
}

typedef struct {
  const fsm_scope *sc;
  const fsm_record *records; /* sc's */
} sorting;

static int compare_records(const void *self, const void *i, const void *j) {
  const sorting *by = self;
  const fsm_record *a = &by->records[*(const uint32_t *)i];
  const fsm_record *b = &by->records[*(const uint32_t *)j];
  if (a->order != b->order)
    return a->order < b->order ? -1 : 1;
  const fsm_field_def *f = fsm_record_def(by->sc, a);
  return f && (f->flags & FSM_MAP) ? fsm_map_key_compare(&a->key, &b->key) : 0;
}

/* The indices of sc's records in order. `ids` has room for twice as many; the first half is
 * the result. */
static void sort_records(const fsm_unit *u, const fsm_scope *sc, uint32_t *ids) {
  sorting by = {sc, u->records.items + sc->first};
  for (size_t i = 0; i < sc->n; i++)
    ids[i] = (uint32_t)i;
  fsm_sort(ids, sc->n, sizeof *ids, compare_records, &by);
}

/* Append a scalar, string or unknown field that is not minimal as it stands. */
static fsm_status rewrite(fsm_unit *u, const fsm_scope *sc, const fsm_record *r, fsm_chunk *to) {
  const uint8_t *p = u->base + r->start, *end = u->base + r->end;
  const fsm_field_def *f = fsm_record_def(sc, r);
  uint32_t number;
  fsm_wire wire;
  uint64_t value;
  fsm_status s = fsm_read_tag(&p, end, &number, &wire);
  if (s)
    return fail(u, s, p, 0, 0);
  if (f && wire == FSM_VARINT) {
    if ((s = fsm_read_varint(&p, end, &value)) ||
        (s = fsm_chunk_tag(&u->chunks, to, number, wire)))
      return s;
    return fsm_chunk_varint(&u->chunks, to, fsm_kind_value((fsm_kind)f->kind, value));
  }
  s = fsm_chunk_unknown(&u->chunks, to, &p, end, number, wire, sc->depth);
  return s ? fail(u, s, p, 0, 0) : FSM_OK;
}

/* The values of a repeated scalar, packed and unpacked, as one packed field. */
static fsm_status repack(fsm_unit *u, const fsm_scope *sc, const uint32_t *ids, size_t n,
                         fsm_chunk *to) {
  const fsm_field_def *f = fsm_record_def(sc, &u->records.items[sc->first + ids[0]]);
  fsm_kind kind = (fsm_kind)f->kind;
  fsm_status s = FSM_OK;
  fsm_chunk values = {0};
  for (size_t i = 0; i < n && !s; i++) {
    const fsm_record *r = &u->records.items[sc->first + ids[i]];
    if (kind >= FSM_KIND_FIXED32) {
      if (r->bytes)
        s = fsm_chunk_input(&u->chunks, &values, r->payload, r->bytes);
      continue;
    }
    const uint8_t *p = u->base + r->payload, *end = u->base + r->end;
    if (r->wire == FSM_VARINT) /* the payload of a varint field is counted as empty */
      for (p = u->base + r->start; *p++ & 0x80;) {
      }
    while (p < end && !s) {
      uint64_t value;
      if (!(s = fsm_read_varint(&p, end, &value)))
        s = fsm_chunk_varint(&u->chunks, &values, fsm_kind_value(kind, value));
    }
  }
  if (s || !values.size)
    return s;
  return fsm_chunk_field(&u->chunks, to, f->number, &values, 0);
}

static fsm_status add_record(fsm_unit *u, const fsm_scope *sc, const fsm_record *r,
                             fsm_chunk *to) {
  if (r->state == FSM_RAW)
    return fsm_chunk_input(&u->chunks, to, r->start, r->end - r->start);
  if (!r->built.head)
    return rewrite(u, sc, r, to);
  fsm_chunk_append(&u->chunks, to, &r->built);
  return FSM_OK;
}

/* A map entry's field that is not there is written as its default. */
static fsm_status add_missing(fsm_unit *u, const fsm_scope *sc, unsigned order,
                              fsm_chunk *to) {
  static const uint8_t zeros[8] = {0};
  const fsm_field_def *f = &sc->m->fields[order];
  fsm_wire wire = fsm_kind_wire((fsm_kind)f->kind);
  fsm_status s = fsm_chunk_tag(&u->chunks, to, f->number, wire);
  size_t n = wire == FSM_FIXED64 ? 8 : wire == FSM_FIXED32 ? 4 : 1;
  return s ? s : fsm_chunk_literal(&u->chunks, to, zeros, n);
}

static fsm_status assemble(fsm_unit *u, const fsm_scope *sc, const uint32_t *ids,
                           fsm_chunk *out) {
  fsm_status s = FSM_OK;
  unsigned next = FSM_ENTRY_KEY; /* map entries: the field to come */
  for (size_t i = 0; i < sc->n && !s;) {
    const fsm_record *r = &u->records.items[sc->first + ids[i]];
    const fsm_field_def *f = fsm_record_def(sc, r);
    size_t j = i + 1;
    while (j < sc->n && u->records.items[sc->first + ids[j]].order == r->order)
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
          s = add_record(u, sc, &u->records.items[sc->first + ids[i]], out);
    } else if ((f->flags & FSM_PACKED)) {
      s = j - i == 1 && r->state == FSM_RAW ? add_record(u, sc, r, out)
                                            : repack(u, sc, ids + i, j - i, out);
    } else if (f->flags & FSM_REPEATED) {
      for (; i < j && !s; i++) {
        r = &u->records.items[sc->first + ids[i]];
        const fsm_record *after = i + 1 < j ? &u->records.items[sc->first + ids[i + 1]] : NULL;
        if ((f->flags & FSM_MAP) && after && fsm_map_key_compare(&r->key, &after->key) == 0)
          continue; /* the last of equal keys stays */
        s = add_record(u, sc, r, out);
      }
    } else {
      /* The last value counts; merged messages left theirs in the one record alive. */
      const fsm_record *live = NULL;
      for (size_t k = i; k < j; k++)
        if (u->records.items[sc->first + ids[k]].state != FSM_DEAD)
          live = &u->records.items[sc->first + ids[k]];
      if (live && live->state != FSM_BLANK)
        s = add_record(u, sc, live, out);
    }
    i = j;
  }
  for (; sc->entry && next < FSM_ENTRY_END && !s; next++)
    s = add_missing(u, sc, next, out);
  return s;
}

/* The fields are scanned into sc's records: order them. */
static fsm_status order_records(fsm_unit *u, fsm_scope *sc, fsm_chunk *out) {
  bool canonical = true;
  settle_oneof(u, sc);
  fsm_status s = order_children(u, sc);
  if (s)
    return s;
  const fsm_record *records = u->records.items + sc->first;
  for (size_t i = 0; i < sc->n && canonical; i++)
    canonical = records[i].state == FSM_RAW &&
                (i == 0 || follows(sc, &records[i - 1], &records[i]));
  /* Runs of two spans need not touch. */
  for (size_t i = 1; i < sc->n && canonical; i++)
    canonical = records[i - 1].end == records[i].start;
  if (sc->entry && (sc->n != 2 || sc->twice || records[1].order == FSM_UNKNOWN))
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
  u->records.n = 0;
  fsm_chunks_begin(&u->chunks, bytes);
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
  fsm_scope sc = {.m = m, .depth = depth, .entry = entry};
  fsm_status s = scan_span(u, &sc, 0, n);
  if (!s)
    s = order_records(u, &sc, out);
  if (s && u->error.status != s)
    fsm_fail(&u->error, s, 0, 0, 0);
  return s;
}
