#include "fsm_canon.h"

#include <stdlib.h>

#include "fsm_encode.h"

/* Not an error: fields came in an order that one walk cannot follow. */
#define OUT_OF_ORDER ((fsm_status)-1)
#define UNKNOWN FSM_MAX_NUMBER
/* Where members of a oneof sort that another member overruled: behind all. */
#define LOST (FSM_MAX_NUMBER + 1)

typedef struct {
  uint64_t start, end; /* the entry's payload */
  uint64_t key_value;  /* integer keys */
  size_t key;          /* offset in keys */
  uint32_t key_bytes;
  uint32_t position;
} map_entry;

typedef struct {
  uint64_t start, end; /* fields of one kind, one behind the other */
  uint32_t order;      /* the field's number, UNKNOWN or LOST */
} run;

typedef struct {
  const fsm_message_def *m;
  const fsm_span *spans;
  size_t n_spans;
  unsigned depth;
  bool entry;
} large;

static fsm_status stream_message(fsm_canon *c, const large *g);

/* ---- memory ---- */

static fsm_status push(fsm_array *a, size_t size, size_t n, size_t most, void **slot) {
  if (n > most || a->n > most - n)
    return FSM_E_LIMIT;
  fsm_status s = fsm_array_reserve(a, size, n);
  if (s)
    return s;
  *slot = (uint8_t *)a->items + a->n * size;
  a->n += n;
  return FSM_OK;
}

static fsm_status failed(fsm_canon *c, fsm_status s, uint64_t at, uint64_t limit) {
  return s ? fsm_fail(&c->cursor.error, s, at, limit, 0) : FSM_OK;
}

void fsm_canon_free(fsm_canon *c) {
  fsm_unit_free(&c->unit);
  free(c->window);
  free(c->joined);
  free(c->entries.items);
  free(c->keys.items);
  free(c->runs.items);
  free(c->spans.items);
  free(c->lengths.items);
  memset(c, 0, sizeof *c);
}

/* ---- the sink ---- */

static fsm_status put(fsm_canon *c, const void *bytes, size_t n) {
  fsm_sink *to = &c->sink;
  if (!to->bytes) {
    fsm_farm_update(&to->hash, bytes, n);
  } else {
    if (n > to->capacity - to->n)
      return failed(c, FSM_E_LIMIT, c->cursor.at, to->capacity);
    memcpy(to->bytes + to->n, bytes, n);
  }
  to->n += n;
  return FSM_OK;
}

static fsm_status put_varint(fsm_canon *c, uint64_t value) {
  uint8_t bytes[FSM_MAX_VARINT_BYTES];
  return put(c, bytes, fsm_write_varint(bytes, value));
}

static fsm_status put_tag(fsm_canon *c, uint32_t number, fsm_wire wire) {
  return put_varint(c, (uint64_t)number << 3 | wire);
}

static fsm_status put_header(fsm_canon *c, uint32_t number, uint64_t length) {
  fsm_status s = put_tag(c, number, FSM_LEN);
  return s ? s : put_varint(c, length);
}

/* Bytes of the source, as they are. */
static fsm_status put_span(fsm_canon *c, uint64_t start, uint64_t end) {
  fsm_status s = fsm_cursor_span(&c->cursor, start, end);
  while (!s && c->cursor.at < end) {
    const uint8_t *p;
    size_t n;
    if (!(s = fsm_cursor_some(&c->cursor, &p, &n)) && !(s = put(c, p, n)))
      c->cursor.at += n;
  }
  return s;
}

static fsm_status put_fixed(fsm_canon *c, uint64_t value, unsigned n) {
  uint8_t bytes[8];
  for (unsigned i = 0; i < n; i++)
    bytes[i] = (uint8_t)(value >> 8 * i);
  return put(c, bytes, n);
}

static fsm_status put_chunk(fsm_canon *c, const fsm_chunk *chunk) {
  const fsm_unit *u = &c->unit;
  if (chunk->raw)
    return put(c, u->base, chunk->size);
  fsm_status s = FSM_OK;
  for (uint32_t id = chunk->head; id && !s; id = u->segments[id - 1].next) {
    const fsm_segment *seg = &u->segments[id - 1];
    s = put(c, (seg->literal ? u->literals : u->base) + seg->start, seg->length);
  }
  return s;
}

/* ---- lengths of large messages: assumed, then known ---- */

typedef struct {
  size_t id;
  uint64_t used;  /* what the prefix says */
  uint64_t start; /* in the output */
  int64_t drift;
} measured;

/* The header of a field whose payload is written next. */
static fsm_status length_begin(fsm_canon *c, uint32_t number, uint64_t assumed, measured *l) {
  *l = (measured){.id = c->next_length++, .used = assumed};
  if (!c->first_pass) {
    if (l->id < c->lengths.n)
      l->used = ((uint64_t *)c->lengths.items)[l->id];
  } else if (l->id == c->lengths.n) { /* else an attempt that was given up had pushed it */
    void *slot;
    fsm_status s = push(&c->lengths, sizeof(uint64_t), 1, FSM_MAX_LARGE, &slot);
    if (s)
      return failed(c, s, c->cursor.at, FSM_MAX_LARGE);
  }
  fsm_status s = put_header(c, number, l->used);
  l->start = c->sink.n;
  l->drift = c->drift;
  return s;
}

/* The payload was written. Prefixes inside that were wrong count as they will be. */
static void length_end(fsm_canon *c, const measured *l) {
  uint64_t true_length = c->sink.n - l->start + (uint64_t)(c->drift - l->drift);
  if (c->first_pass)
    ((uint64_t *)c->lengths.items)[l->id] = true_length;
  if (l->used != true_length)
    c->mismatch = true;
  c->drift += (int64_t)fsm_varint_size(true_length) - (int64_t)fsm_varint_size(l->used);
}

/* ---- fields of a large message ---- */

static uint64_t total(const fsm_span *spans, size_t n) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < n; i++)
    bytes += spans[i].end - spans[i].start;
  return bytes;
}

/* A small message: its spans joined in memory, and in order. */
static fsm_status order_small(fsm_canon *c, const large *g, uint64_t bytes, fsm_chunk *chunk) {
  uint8_t *p = c->joined;
  fsm_status s = FSM_OK;
  uint32_t n = 0;
  for (size_t i = 0; i < g->n_spans && !s; i++) {
    size_t part = (size_t)(g->spans[i].end - g->spans[i].start);
    const uint8_t *from;
    if ((s = fsm_cursor_span(&c->cursor, g->spans[i].start, g->spans[i].end)) ||
        (s = fsm_cursor_need(&c->cursor, part, &from)))
      break;
    if (g->n_spans == 1)
      p = c->window + (from - c->window); /* ours to sort in */
    else
      memcpy(c->joined + n, from, part);
    n += (uint32_t)part;
  }
  if (s)
    return s;
  s = fsm_unit_order(&c->unit, g->m, p, (uint32_t)bytes, g->depth, g->entry, chunk);
  if (s)
    fsm_fail(&c->cursor.error, s, g->spans[0].start + c->unit.error.offset, c->unit.error.need,
             c->unit.error.have);
  return s;
}

/* A message field: header and canonical payload. */
static fsm_status put_message(fsm_canon *c, const fsm_field_def *f, const large *child) {
  uint64_t bytes = total(child->spans, child->n_spans);
  fsm_status s;
  if (bytes <= FSM_UNIT_MAX) {
    fsm_chunk chunk;
    if ((s = order_small(c, child, bytes, &chunk)) ||
        (s = put_header(c, f->number, chunk.size)))
      return s;
    return put_chunk(c, &chunk);
  }
  measured length;
  if ((s = length_begin(c, f->number, bytes, &length)) || (s = stream_message(c, child)))
    return s;
  length_end(c, &length);
  return FSM_OK;
}

static fsm_status put_child(fsm_canon *c, const large *g, const fsm_field_def *f,
                            const fsm_span *spans, size_t n_spans) {
  if (g->depth + 1 > FSM_MAX_DEPTH)
    return fsm_fail(&c->cursor.error, FSM_E_DEPTH, spans[0].start, FSM_MAX_DEPTH, 0);
  large child = {.m = &fsm_schema[f->message],
                 .spans = spans,
                 .n_spans = n_spans,
                 .depth = g->depth + 1,
                 .entry = (f->flags & FSM_MAP) != 0};
  return put_message(c, f, &child);
}

/* A field as it is, but for the width of its varints. */
static fsm_status put_token(fsm_canon *c, const fsm_field *f) {
  fsm_status s = put_tag(c, f->number, f->wire);
  if (s)
    return s;
  switch (f->wire) {
  case FSM_VARINT: return put_varint(c, f->value);
  case FSM_FIXED64: return put_fixed(c, f->value, 8);
  case FSM_FIXED32: return put_fixed(c, f->value, 4);
  case FSM_LEN:
    s = put_varint(c, f->length);
    return s ? s : put_span(c, f->value, f->value + f->length);
  default: return FSM_OK; /* the start or the end of a group */
  }
}

/* A field that the schema does not know; the cursor has seen that its groups match. */
static fsm_status put_unknown(fsm_canon *c, const fsm_field *f, unsigned depth) {
  fsm_status s = put_token(c, f);
  if (f->wire != FSM_GROUP)
    return s;
  uint64_t at = f->value;
  while (at < f->end && !s) {
    fsm_field inner;
    if (depth > FSM_MAX_DEPTH)
      return fsm_fail(&c->cursor.error, FSM_E_DEPTH, at, FSM_MAX_DEPTH, 0);
    if ((s = fsm_cursor_span(&c->cursor, at, f->end)) ||
        (s = fsm_cursor_token(&c->cursor, &inner)) || (s = put_token(c, &inner)))
      break;
    depth += inner.wire == FSM_GROUP;
    depth -= inner.wire == FSM_END_GROUP;
    at = inner.end;
  }
  return s;
}

/* A singular scalar or a string. */
static fsm_status put_scalar(fsm_canon *c, const fsm_field_def *def, const fsm_field *f) {
  bool blank_out = (def->flags & FSM_IMPLICIT) != 0;
  if (f->wire == FSM_LEN) {
    if (blank_out && !f->length)
      return FSM_OK;
    fsm_status s = put_header(c, def->number, f->length);
    return s ? s : put_span(c, f->value, f->value + f->length);
  }
  uint64_t value = fsm_kind_value((fsm_kind)def->kind, f->value);
  if (blank_out && !value)
    return FSM_OK;
  fsm_status s = put_tag(c, def->number, f->wire);
  if (s)
    return s;
  return f->wire == FSM_VARINT ? put_varint(c, value)
                               : put_fixed(c, value, f->wire == FSM_FIXED64 ? 8 : 4);
}

/* The values of one packed field, without its header. */
static fsm_status put_packed_values(fsm_canon *c, const fsm_field_def *def, const fsm_field *f) {
  fsm_kind kind = (fsm_kind)def->kind;
  if (f->wire != FSM_LEN) /* unpacked: one value */
    return kind >= FSM_KIND_FIXED32 ? put_fixed(c, f->value, kind == FSM_KIND_FIXED64 ? 8 : 4)
                                    : put_varint(c, fsm_kind_value(kind, f->value));
  if (kind >= FSM_KIND_FIXED32) {
    if (f->length % (kind == FSM_KIND_FIXED64 ? 8 : 4))
      return fsm_fail(&c->cursor.error, FSM_E_INVALID, f->start, 0, f->length);
    return put_span(c, f->value, f->end);
  }
  fsm_status s = fsm_cursor_span(&c->cursor, f->value, f->end);
  while (!s && !fsm_cursor_done(&c->cursor)) {
    uint64_t value;
    if (!(s = fsm_cursor_varint(&c->cursor, &value)))
      s = put_varint(c, fsm_kind_value(kind, value));
  }
  return s;
}

/* ---- maps of a large message ---- */

static fsm_status read_entry(fsm_canon *c, const fsm_message_def *m, const fsm_field *f) {
  fsm_kind kind = (fsm_kind)m->fields[FSM_ENTRY_KEY].kind;
  map_entry e = {.start = f->value, .end = f->end, .key = c->keys.n};
  fsm_field inner, key = {.number = 0};
  fsm_status s = fsm_cursor_span(&c->cursor, f->value, f->end);
  while (!s && !fsm_cursor_done(&c->cursor))
    if (!(s = fsm_cursor_next(&c->cursor, &inner)) && inner.number == FSM_ENTRY_KEY &&
        inner.wire == fsm_kind_wire(kind))
      key = inner;
  if (s)
    return s;
  if (key.number && kind == FSM_KIND_BYTES) {
    if (key.length > FSM_MAX_MAP_KEYS)
      return fsm_fail(&c->cursor.error, FSM_E_LIMIT, key.start, FSM_MAX_MAP_KEYS, key.length);
    e.key_bytes = (uint32_t)key.length;
    void *to;
    s = push(&c->keys, 1, e.key_bytes, FSM_MAX_MAP_KEYS, &to);
    if (s)
      return failed(c, s, key.start, FSM_MAX_MAP_KEYS);
    if ((s = fsm_cursor_read(&c->cursor, key.value, to, e.key_bytes)))
      return s;
  } else if (key.number) {
    e.key_value = fsm_kind_value(kind, key.value);
  }
  void *slot;
  e.position = (uint32_t)c->entries.n;
  s = push(&c->entries, sizeof e, 1, FSM_MAX_MAP_ENTRIES, &slot);
  if (s)
    return failed(c, s, f->start, FSM_MAX_MAP_ENTRIES);
  memcpy(slot, &e, sizeof e);
  return FSM_OK;
}

static int compare_keys(const uint8_t *keys, const map_entry *a, const map_entry *b) {
  if (a->key_value != b->key_value)
    return a->key_value < b->key_value ? -1 : 1;
  uint32_t n = a->key_bytes < b->key_bytes ? a->key_bytes : b->key_bytes;
  int order = n ? memcmp(keys + a->key, keys + b->key, n) : 0;
  if (order)
    return order;
  return a->key_bytes < b->key_bytes ? -1 : a->key_bytes > b->key_bytes;
}

/* A stable merge sort, bottom up, of a and as many entries of scratch behind it. */
static void sort_entries(const uint8_t *keys, map_entry *a, size_t n) {
  map_entry *from = a, *to = a + n;
  for (size_t width = 1; width < n; width *= 2) {
    for (size_t low = 0; low < n; low += 2 * width) {
      size_t mid = low + width < n ? low + width : n;
      size_t high = low + 2 * width < n ? low + 2 * width : n;
      for (size_t i = low, j = mid, k = low; k < high; k++) {
        bool left = j == high || (i < mid && compare_keys(keys, &from[i], &from[j]) <= 0);
        to[k] = left ? from[i++] : from[j++];
      }
    }
    map_entry *swap = from;
    from = to;
    to = swap;
  }
  if (from != a)
    memcpy(a, from, n * sizeof *a);
}

/* Sort the entries collected from `first` on, keep the last of equal keys, write
 * them, and drop them and their keys. */
static fsm_status put_map(fsm_canon *c, const large *g, const fsm_field_def *f, size_t first,
                          size_t first_key) {
  size_t n = c->entries.n - first;
  void *scratch;
  fsm_status s = push(&c->entries, sizeof(map_entry), n, 2 * (size_t)FSM_MAX_MAP_ENTRIES, &scratch);
  if (s)
    return failed(c, s, c->cursor.at, FSM_MAX_MAP_ENTRIES);
  map_entry *e = (map_entry *)c->entries.items + first;
  const uint8_t *keys = c->keys.items;
  sort_entries(keys, e, n);
  size_t kept = 0;
  for (size_t i = 0; i < n; i++)
    if (i + 1 == n || compare_keys(keys, &e[i], &e[i + 1]) != 0)
      e[kept++] = e[i];
  c->entries.n = first + kept;
  c->keys.n = first_key;
  for (size_t i = 0; i < kept && !s; i++) {
    /* Writing an entry may move the stack: fetch it anew each time. */
    map_entry *at = (map_entry *)c->entries.items + first + i;
    fsm_span span = {at->start, at->end};
    s = put_child(c, g, f, &span, 1);
  }
  c->entries.n = first;
  return s;
}

/* ---- a large message, in one walk if its fields come in order ---- */

static inline unsigned order_of(const fsm_message_def *m, const fsm_field *f) {
  const fsm_field_def *def = fsm_field_of(m, f->number);
  return def && fsm_fits(def, f->wire) ? def->number : UNKNOWN;
}

/* Map entries' fields [from, to) that are not there. */
static fsm_status put_missing(fsm_canon *c, const fsm_message_def *m, unsigned from, unsigned to) {
  fsm_status s = FSM_OK;
  for (unsigned i = from; i < to && !s; i++) {
    fsm_wire wire = fsm_kind_wire((fsm_kind)m->fields[i].kind);
    if (!(s = put_tag(c, m->fields[i].number, wire)))
      s = put_fixed(c, 0, wire == FSM_FIXED64 ? 8 : wire == FSM_FIXED32 ? 4 : 1);
  }
  return s;
}

static fsm_status put_one(fsm_canon *c, const large *g, const fsm_field_def *def,
                          const fsm_field *f) {
  if (!def)
    return put_unknown(c, f, g->depth + 1);
  if (def->kind == FSM_KIND_MESSAGE) {
    fsm_span span = {f->value, f->end};
    return put_child(c, g, def, &span, 1);
  }
  return put_scalar(c, def, f);
}

/* The fields of one definition, packed; `ranges` of fields one behind the other. */
static fsm_status put_packed(fsm_canon *c, const fsm_field_def *def, const run *ranges, size_t n) {
  uint64_t assumed = 0;
  fsm_status s = FSM_OK;
  fsm_field f;
  for (size_t i = 0; i < n && !s; i++) {
    s = fsm_cursor_span(&c->cursor, ranges[i].start, ranges[i].end);
    while (!s && !fsm_cursor_done(&c->cursor))
      if (!(s = fsm_cursor_next(&c->cursor, &f)))
        assumed += f.wire == FSM_LEN ? f.length : f.end - f.start - 1;
  }
  measured length;
  if (s || !assumed || (s = length_begin(c, def->number, assumed, &length)))
    return s;
  for (size_t i = 0; i < n && !s; i++) {
    uint64_t at = ranges[i].start;
    while (at < ranges[i].end && !s) {
      if ((s = fsm_cursor_span(&c->cursor, at, ranges[i].end)) ||
          (s = fsm_cursor_next(&c->cursor, &f)))
        break;
      s = put_packed_values(c, def, &f);
      at = f.end;
    }
  }
  if (!s)
    length_end(c, &length);
  return s;
}

static bool has_siblings(const fsm_field_def *def) {
  return def && def->kind == FSM_KIND_MESSAGE &&
         (def->flags & (FSM_REPEATED | FSM_MAP)) == FSM_REPEATED;
}

/* Of the fields from *at on, write those at once that are small messages of this
 * one definition and canonical: most of a file. Moves *at behind them. */
static fsm_status put_siblings(fsm_canon *c, const fsm_field_def *def, uint64_t *at,
                               uint64_t end, unsigned depth) {
  fsm_status s = fsm_cursor_span(&c->cursor, *at, end);
  while (!s && *at < end) {
    const uint8_t *p;
    size_t n;
    if ((s = fsm_cursor_some(&c->cursor, &p, &n)))
      break;
    uint8_t *from = c->window + (p - c->window); /* ours to sort in */
    const uint8_t *to = fsm_tidy_siblings(&c->unit.tidy, def, from, p + n, FSM_UNIT_MAX, depth);
    if (to > p) {
      s = put(c, p, (size_t)(to - p));
      c->cursor.at = *at += (uint64_t)(to - p);
    } else if (n < end - *at && n < FSM_UNIT_MAX + FSM_MAX_HEADER_BYTES) {
      /* Perhaps the window ends inside the next one: begin it there. */
      uint64_t left = end - *at;
      s = fsm_cursor_need(&c->cursor, left < FSM_WINDOW ? (size_t)left : FSM_WINDOW, &p);
    } else {
      break;
    }
  }
  return s;
}

static fsm_status stream_in_order(fsm_canon *c, const large *g) {
  const fsm_message_def *m = g->m;
  const fsm_field_def *last = NULL;
  unsigned next = g->entry ? FSM_ENTRY_KEY : 0; /* no field with a lower number may come */
  bool member = false;
  size_t first = c->entries.n, first_key = c->keys.n;
  uint64_t at = g->spans[0].start, end = g->spans[0].end;
  fsm_status s = FSM_OK;
  while (at < end) {
    fsm_field f;
    if ((s = fsm_cursor_span(&c->cursor, at, end)) || (s = fsm_cursor_next(&c->cursor, &f)))
      return s;
    at = f.end;
    unsigned order = order_of(m, &f);
    const fsm_field_def *def = order == UNKNOWN ? NULL : &m->fields[order];
    bool of_oneof = def && def->flags & FSM_ONEOF;
    if (!def && g->entry)
      continue; /* a map entry forgets what it does not know */
    if (order < next || (of_oneof && member))
      return OUT_OF_ORDER;
    member = member || of_oneof;
    if (last && last != def && last->flags & FSM_MAP &&
        (s = put_map(c, g, last, first, first_key)))
      return s;
    if (g->entry && (s = put_missing(c, m, next, order)))
      return s;
    if (def && def->flags & FSM_MAP)
      s = read_entry(c, &fsm_schema[def->message], &f);
    else if (def && def->flags & FSM_PACKED)
      s = put_packed(c, def, &(run){.start = f.start, .end = f.end}, 1);
    else
      s = put_one(c, g, def, &f);
    if (!s && has_siblings(def))
      s = put_siblings(c, def, &at, end, g->depth + 1);
    if (s)
      return s;
    last = def;
    next = def ? def->next : UNKNOWN;
  }
  if (last && last->flags & FSM_MAP)
    s = put_map(c, g, last, first, first_key);
  if (!s && g->entry)
    s = put_missing(c, m, next, FSM_ENTRY_END);
  return s;
}

/* ---- a large message whose fields must be sorted ---- */

static fsm_status collect_runs(fsm_canon *c, const large *g, size_t first) {
  for (size_t i = 0; i < g->n_spans; i++) {
    fsm_status s = fsm_cursor_span(&c->cursor, g->spans[i].start, g->spans[i].end);
    while (!s && !fsm_cursor_done(&c->cursor)) {
      fsm_field f;
      if ((s = fsm_cursor_next(&c->cursor, &f)))
        break;
      unsigned order = order_of(g->m, &f);
      run *open = c->runs.n > first ? (run *)c->runs.items + c->runs.n - 1 : NULL;
      if (open && open->order == order && open->end == f.start) {
        open->end = f.end;
        continue;
      }
      void *slot;
      s = push(&c->runs, sizeof(run), 1, FSM_MAX_RUNS, &slot);
      if (s)
        return failed(c, s, f.start, FSM_MAX_RUNS);
      *(run *)slot = (run){f.start, f.end, order};
    }
    if (s)
      return s;
  }
  return FSM_OK;
}

/* As in fsm_unit: of a oneof only the last member's last unbroken run counts.
 * The runs before it are LOST. */
static void settle_oneof(const fsm_message_def *m, run *runs, size_t n) {
  int winner = -1;
  bool broken = false;
  for (size_t i = n; i-- > 0;) {
    if (runs[i].order >= UNKNOWN || !(m->oneof >> runs[i].order & 1))
      continue;
    if (winner < 0)
      winner = (int)runs[i].order;
    broken = broken || winner != (int)runs[i].order;
    if (broken)
      runs[i].order = LOST;
  }
}

/* By order, and of one order as they came; as many runs of scratch lie behind. */
static void sort_runs(run *runs, size_t n) {
  size_t at[LOST + 2] = {0};
  memcpy(runs + n, runs, n * sizeof *runs);
  for (size_t i = 0; i < n; i++)
    at[runs[i].order + 1]++;
  for (size_t i = 0; i <= LOST; i++)
    at[i + 1] += at[i];
  for (size_t i = n; i < 2 * n; i++)
    runs[at[runs[i].order]++] = runs[i];
}

/* All fields of one definition, in runs of the stack from `at` on. */
static fsm_status put_sorted(fsm_canon *c, const large *g, unsigned order, size_t at, size_t n) {
  const fsm_field_def *def = order == UNKNOWN ? NULL : &g->m->fields[order];
  fsm_status s = FSM_OK;
  if (def && def->flags & FSM_PACKED)
    return put_packed(c, def, (run *)c->runs.items + at, n);
  bool each = !def || ((def->flags & FSM_REPEATED) && !(def->flags & FSM_MAP));
  bool merge = def && def->kind == FSM_KIND_MESSAGE && !(def->flags & FSM_REPEATED);
  size_t first = c->entries.n, first_key = c->keys.n, first_span = c->spans.n;
  fsm_field f = {0};
  for (size_t i = at; i < at + n && !s; i++) {
    uint64_t from = ((run *)c->runs.items)[i].start, end = ((run *)c->runs.items)[i].end;
    while (from < end && !s) {
      if (has_siblings(def) &&
          ((s = put_siblings(c, def, &from, end, g->depth + 1)) || from == end))
        break;
      if ((s = fsm_cursor_span(&c->cursor, from, end)) || (s = fsm_cursor_next(&c->cursor, &f)))
        break;
      from = f.end;
      if (each) {
        s = put_one(c, g, def, &f);
      } else if (def->flags & FSM_MAP) {
        s = read_entry(c, &fsm_schema[def->message], &f);
      } else if (merge) {
        void *slot;
        s = push(&c->spans, sizeof(fsm_span), 1, FSM_MAX_RUNS, &slot);
        if (s)
          return failed(c, s, f.start, FSM_MAX_RUNS);
        *(fsm_span *)slot = (fsm_span){f.value, f.end};
      }
    }
  }
  if (s || each)
    return s;
  if (def->flags & FSM_MAP)
    return put_map(c, g, def, first, first_key);
  if (!merge)
    return put_scalar(c, def, &f);
  /* The stack may move while the child is written: it gets spans of its own. */
  size_t n_spans = c->spans.n - first_span;
  fsm_span *spans = malloc(n_spans * sizeof *spans);
  if (!spans)
    return failed(c, FSM_E_NOMEM, f.start, 0);
  memcpy(spans, (fsm_span *)c->spans.items + first_span, n_spans * sizeof *spans);
  c->spans.n = first_span;
  s = put_child(c, g, def, spans, n_spans);
  free(spans);
  return s;
}

static fsm_status stream_sorted(fsm_canon *c, const large *g) {
  size_t first = c->runs.n;
  void *scratch;
  fsm_status s = collect_runs(c, g, first);
  if (s)
    return s;
  size_t n = c->runs.n - first;
  if ((s = push(&c->runs, sizeof(run), n, 2 * (size_t)FSM_MAX_RUNS, &scratch)))
    return failed(c, s, g->spans[0].start, FSM_MAX_RUNS);
  settle_oneof(g->m, (run *)c->runs.items + first, n);
  sort_runs((run *)c->runs.items + first, n);
  c->runs.n = first + n;
  unsigned next = FSM_ENTRY_KEY; /* map entries: the field to come */
  for (size_t i = 0; i < n && !s;) {
    unsigned order = ((run *)c->runs.items)[first + i].order;
    size_t j = i + 1;
    while (j < n && ((run *)c->runs.items)[first + j].order == order)
      j++;
    if (g->entry && order < UNKNOWN) {
      s = put_missing(c, g->m, next, order);
      next = order + 1;
    }
    if (!s && order < (g->entry ? UNKNOWN : LOST))
      s = put_sorted(c, g, order, first + i, j - i);
    i = j;
  }
  if (!s && g->entry)
    s = put_missing(c, g->m, next, FSM_ENTRY_END);
  c->runs.n = first;
  return s;
}

static fsm_status stream_message(fsm_canon *c, const large *g) {
  if (g->n_spans > 1 || !c->patience)
    return stream_sorted(c, g);
  /* What an attempt changes is small: it can be taken back. */
  fsm_sink sink = c->sink;
  size_t next_length = c->next_length, entries = c->entries.n, keys = c->keys.n;
  bool mismatch = c->mismatch;
  int64_t drift = c->drift;
  fsm_status s = stream_in_order(c, g);
  if (s != OUT_OF_ORDER)
    return s;
  uint64_t walked = c->cursor.at - g->spans[0].start;
  c->patience -= walked < c->patience ? walked : c->patience;
  c->sink = sink;
  c->next_length = next_length;
  c->entries.n = entries;
  c->keys.n = keys;
  c->mismatch = mismatch;
  c->drift = drift;
  /* What was one message may now be a part of a merged one, and is walked, not
   * put in order in memory: its bytes must be the source's again. */
  fsm_cursor_forget(&c->cursor);
  return stream_sorted(c, g);
}

/* ---- both passes ---- */

static fsm_status run_pass(fsm_canon *c, const large *g) {
  fsm_farm_init(&c->sink.hash);
  c->sink.n = 0;
  c->next_length = 0;
  c->mismatch = false;
  c->drift = 0;
  fsm_cursor_forget(&c->cursor);
  c->entries.n = c->keys.n = c->runs.n = c->spans.n = 0;
  uint64_t bytes = total(g->spans, g->n_spans);
  if (bytes > FSM_UNIT_MAX)
    return stream_message(c, g);
  fsm_chunk chunk;
  fsm_status s = order_small(c, g, bytes, &chunk);
  return s ? s : put_chunk(c, &chunk);
}

static fsm_status canonicalise(fsm_canon *c, const fsm_src *src, fsm_message message,
                               const fsm_span *spans, size_t n_spans) {
  if (!c->window && !(c->window = malloc(FSM_WINDOW)))
    return failed(c, FSM_E_NOMEM, 0, 0);
  if (!c->joined && !(c->joined = malloc(FSM_UNIT_MAX)))
    return failed(c, FSM_E_NOMEM, 0, 0);
  fsm_cursor_init(&c->cursor, src, c->window, FSM_WINDOW);
  for (size_t i = 0; i < n_spans; i++) {
    fsm_status s = fsm_cursor_span(&c->cursor, spans[i].start, spans[i].end);
    if (s)
      return s;
  }
  large g = {.m = &fsm_schema[message], .spans = spans, .n_spans = n_spans};
  c->lengths.n = 0;
  /* Walks in vain cost no more than the message itself, however it nests. */
  c->patience = total(spans, n_spans);
  c->first_pass = true;
  fsm_status s = run_pass(c, &g);
  if (s || !c->mismatch)
    return s;
  c->lengths.n = c->next_length;
  c->first_pass = false;
  s = run_pass(c, &g);
  /* The same walk with the lengths it measured must measure them again. */
  return !s && c->mismatch ? failed(c, FSM_E_INVALID, 0, 0) : s;
}

fsm_status fsm_canon_hash(fsm_canon *c, const fsm_src *src, fsm_message message,
                          const fsm_span *spans, size_t n_spans, uint64_t *hash) {
  c->sink.bytes = NULL;
  fsm_status s = canonicalise(c, src, message, spans, n_spans);
  if (!s)
    *hash = fsm_farm_finish(&c->sink.hash);
  return s;
}

fsm_status fsm_canon_write(fsm_canon *c, const fsm_src *src, fsm_message message,
                           const fsm_span *spans, size_t n_spans, uint8_t *bytes,
                           uint64_t capacity, uint64_t *n) {
  c->sink.bytes = bytes;
  c->sink.capacity = capacity;
  fsm_status s = canonicalise(c, src, message, spans, n_spans);
  c->sink.bytes = NULL;
  if (!s)
    *n = c->sink.n;
  return s;
}
