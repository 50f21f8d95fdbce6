#include "fsm_canon.h"

#include <stdlib.h>

/* Not an error: fields came in an order that one walk cannot follow. */
#define OUT_OF_ORDER ((fsm_status)-1)

typedef struct {
  const fsm_message_def *m;
  const fsm_span *spans;
  size_t n_spans;
  unsigned depth;
  bool entry;
} large;

static fsm_status stream_message(fsm_canon *c, const large *g);

static fsm_status failed(fsm_canon *c, fsm_status s, uint64_t at, uint64_t limit) {
  return s ? fsm_fail(&c->cursor.error, s, at, limit, 0) : FSM_OK;
}

void fsm_canon_free(fsm_canon *c) {
  fsm_unit_free(&c->unit);
  free(c->window);
  free(c->joined);
  fsm_maps_free(&c->maps);
  free(c->runs.items);
  free(c->spans.items);
  free(c->lengths.items);
  memset(c, 0, sizeof *c);
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
    fsm_status s = fsm_array_push(&c->lengths, sizeof(uint64_t), 1, FSM_MAX_LARGE, &slot);
    if (s)
      return failed(c, s, c->cursor.at, FSM_MAX_LARGE);
  }
  fsm_status s = fsm_sink_header(&c->sink, number, l->used);
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

static fsm_status put_chunk(fsm_canon *c, const fsm_chunk *chunk) {
  const fsm_chunks *all = &c->unit.chunks;
  if (chunk->raw)
    return fsm_sink_put(&c->sink, all->base, chunk->size);
  fsm_status s = FSM_OK;
  for (uint32_t id = chunk->head; id && !s;) {
    const fsm_segment *seg = fsm_chunk_segment(all, id);
    s = fsm_sink_put(&c->sink, fsm_chunk_bytes(all, seg), seg->length);
    id = seg->next;
  }
  return s;
}

/* A message field: header and canonical payload. */
static fsm_status put_message(fsm_canon *c, const fsm_field_def *f, const large *child) {
  uint64_t bytes = total(child->spans, child->n_spans);
  fsm_status s;
  if (bytes <= FSM_UNIT_MAX) {
    fsm_chunk chunk;
    if ((s = order_small(c, child, bytes, &chunk)) ||
        (s = fsm_sink_header(&c->sink, f->number, chunk.size)))
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

/* A map's entries from `first` on, in order; they and their keys are dropped. */
static fsm_status put_map(fsm_canon *c, const large *g, const fsm_field_def *f, size_t first,
                          size_t first_key) {
  fsm_status s = fsm_maps_settle(&c->maps, &fsm_schema[f->message], first, first_key);
  size_t end = c->maps.entries.n;
  for (size_t i = first; i < end && !s; i++) {
    /* Writing an entry may move the stack: fetch it anew each time. */
    const fsm_map_entry *at = (const fsm_map_entry *)c->maps.entries.items + i;
    fsm_span span = {at->start, at->end};
    s = put_child(c, g, f, &span, 1);
  }
  c->maps.entries.n = first;
  return s;
}

/* ---- a large message, in one walk if its fields come in order ---- */

/* Map entries' fields [from, to) that are not there. */
static fsm_status put_missing(fsm_canon *c, const fsm_message_def *m, unsigned from, unsigned to) {
  fsm_status s = FSM_OK;
  for (unsigned i = from; i < to && !s; i++)
    s = fsm_sink_default(&c->sink, &m->fields[i]);
  return s;
}

static fsm_status put_one(fsm_canon *c, const large *g, const fsm_field_def *def,
                          const fsm_field *f) {
  if (!def)
    return fsm_sink_unknown(&c->sink, &c->cursor, f, g->depth + 1);
  if (def->kind == FSM_KIND_MESSAGE) {
    fsm_span span = {f->value, f->end};
    return put_child(c, g, def, &span, 1);
  }
  return fsm_sink_scalar(&c->sink, &c->cursor, def, f);
}

/* The fields of one definition, packed; `ranges` of fields one behind the other. */
static fsm_status put_packed(fsm_canon *c, const fsm_field_def *def, const fsm_run *ranges,
                             size_t n) {
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
      s = fsm_sink_packed(&c->sink, &c->cursor, def, &f);
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
      s = fsm_sink_put(&c->sink, p, (size_t)(to - p));
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
  size_t first = c->maps.entries.n, first_key = c->maps.keys.n;
  uint64_t at = g->spans[0].start, end = g->spans[0].end;
  fsm_status s = FSM_OK;
  while (at < end) {
    fsm_field f;
    if ((s = fsm_cursor_span(&c->cursor, at, end)) || (s = fsm_cursor_next(&c->cursor, &f)))
      return s;
    at = f.end;
    unsigned order = fsm_order_of(m, &f);
    const fsm_field_def *def = order == FSM_UNKNOWN ? NULL : &m->fields[order];
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
      s = fsm_maps_push(&c->maps, &c->cursor, &fsm_schema[def->message], &f);
    else if (def && def->flags & FSM_PACKED)
      s = put_packed(c, def, &(fsm_run){.start = f.start, .end = f.end}, 1);
    else
      s = put_one(c, g, def, &f);
    if (!s && has_siblings(def))
      s = put_siblings(c, def, &at, end, g->depth + 1);
    if (s)
      return s;
    last = def;
    next = def ? def->next : FSM_UNKNOWN;
  }
  if (last && last->flags & FSM_MAP)
    s = put_map(c, g, last, first, first_key);
  if (!s && g->entry)
    s = put_missing(c, m, next, FSM_ENTRY_END);
  return s;
}

/* ---- a large message whose fields must be sorted ---- */

/* All fields of one definition, in runs of the stack from `at` on. */
static fsm_status put_sorted(fsm_canon *c, const large *g, unsigned order, size_t at, size_t n) {
  const fsm_field_def *def = order == FSM_UNKNOWN ? NULL : &g->m->fields[order];
  fsm_status s = FSM_OK;
  if (def && def->flags & FSM_PACKED)
    return put_packed(c, def, (fsm_run *)c->runs.items + at, n);
  bool each = !def || ((def->flags & FSM_REPEATED) && !(def->flags & FSM_MAP));
  bool merge = def && def->kind == FSM_KIND_MESSAGE && !(def->flags & FSM_REPEATED);
  size_t first = c->maps.entries.n, first_key = c->maps.keys.n, first_span = c->spans.n;
  fsm_field f = {0};
  for (size_t i = at; i < at + n && !s; i++) {
    uint64_t from = ((fsm_run *)c->runs.items)[i].start, end = ((fsm_run *)c->runs.items)[i].end;
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
        s = fsm_maps_push(&c->maps, &c->cursor, &fsm_schema[def->message], &f);
      } else if (merge) {
        void *slot;
        s = fsm_array_push(&c->spans, sizeof(fsm_span), 1, FSM_MAX_RUNS, &slot);
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
    return fsm_sink_scalar(&c->sink, &c->cursor, def, &f);
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
  fsm_status s = fsm_runs_push(&c->runs, &c->cursor, g->m, g->spans, g->n_spans);
  size_t n = c->runs.n - first;
  if (s || (s = fsm_array_reserve(&c->runs, sizeof(fsm_run), n)))
    return s;
  fsm_runs_sort((fsm_run *)c->runs.items + first, g->m, n);
  unsigned next = FSM_ENTRY_KEY; /* map entries: the field to come */
  for (size_t i = 0; i < n && !s;) {
    unsigned order = ((fsm_run *)c->runs.items)[first + i].order;
    size_t j = i + 1;
    while (j < n && ((fsm_run *)c->runs.items)[first + j].order == order)
      j++;
    if (g->entry && order < FSM_UNKNOWN) {
      s = put_missing(c, g->m, next, order);
      next = order + 1;
    }
    if (!s && order < (g->entry ? FSM_UNKNOWN : FSM_LOST))
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
  size_t next_length = c->next_length, entries = c->maps.entries.n, keys = c->maps.keys.n;
  bool mismatch = c->mismatch;
  int64_t drift = c->drift;
  fsm_status s = stream_in_order(c, g);
  if (s != OUT_OF_ORDER)
    return s;
  uint64_t walked = c->cursor.at - g->spans[0].start;
  c->patience -= walked < c->patience ? walked : c->patience;
  c->sink = sink;
  c->next_length = next_length;
  c->maps.entries.n = entries;
  c->maps.keys.n = keys;
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
  c->maps.entries.n = c->maps.keys.n = c->runs.n = c->spans.n = 0;
  uint64_t bytes = total(g->spans, g->n_spans);
  fsm_chunk chunk;
  fsm_status s;
  if (bytes > FSM_UNIT_MAX)
    s = stream_message(c, g);
  else if (!(s = order_small(c, g, bytes, &chunk)))
    s = put_chunk(c, &chunk);
  /* What nobody gave a place to: memory is short, or the sink is full. */
  return c->cursor.error.status ? s : failed(c, s, c->cursor.at, c->sink.capacity);
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
