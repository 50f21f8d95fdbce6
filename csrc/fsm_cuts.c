#include "fsm_cuts.h"

#include "fsm_fields.h"

/* A node up to this size is read in memory; in a larger one, a big constant, the cursor
 * steps over the bytes. */
#define SMALL_NODE (UINT32_C(16) << 10)

/* The messages that are looked into. */
typedef enum { GRAPH, LIBRARY, FUNCTION, ARGUMENT, ARGUMENT_ATTRS, NODE, OTHER } level;

/* Field numbers of graph.proto, function.proto and node_def.proto. */
enum { NODE_DEVICE = 4, NODE_ATTR = 5, ENTRY_KEY = 1 };

/* What a field is for. */
typedef enum {
  NOTHING,
  INTO,      /* `to` lies in it */
  DEVICE,    /* it goes, unless it is empty */
  ATTRIBUTE, /* it goes if `name` is its key */
  DEBUG      /* it goes, and is counted as `name` */
} role;

typedef struct {
  level in;
  uint32_t number;
  role role;
  level to;
  const char *name;
} rule;

static const rule DEVICE_RULES[] = {
    {GRAPH, 1, INTO, NODE, NULL},
    {GRAPH, 2, INTO, LIBRARY, NULL},
    {LIBRARY, 1, INTO, FUNCTION, NULL},
    {FUNCTION, 3, INTO, NODE, NULL},
    {NODE, NODE_DEVICE, DEVICE, OTHER, NULL},
    {OTHER, 0, NOTHING, OTHER, NULL},
};

static const rule DEBUG_RULES[] = {
    {GRAPH, 1, INTO, NODE, NULL},
    {GRAPH, 2, INTO, LIBRARY, NULL},
    {GRAPH, 5, DEBUG, OTHER, "debug_info"},
    {LIBRARY, 1, INTO, FUNCTION, NULL},
    {FUNCTION, 3, INTO, NODE, NULL},
    {FUNCTION, 5, ATTRIBUTE, OTHER, "_input_shapes"},
    {FUNCTION, 7, INTO, ARGUMENT, NULL},
    {ARGUMENT, 2, INTO, ARGUMENT_ATTRS, NULL},
    {ARGUMENT_ATTRS, 1, ATTRIBUTE, OTHER, "_output_shapes"},
    {NODE, NODE_ATTR, ATTRIBUTE, OTHER, "_output_shapes"},
    {NODE, 6, DEBUG, OTHER, "experimental_debug_info"},
    {OTHER, 0, NOTHING, OTHER, NULL},
};

#define NO_ROW (-2) /* FSM_NO_FIELD is a row's parent */

/* A message that is being looked through. */
typedef struct message {
  struct message *outer; /* or NULL: the GraphDef */
  fsm_field field;
  level level;
  int64_t row; /* among the fields, once something in it changes */
  uint64_t depth;
} message;

typedef struct {
  fsm_cuts *out;
  fsm_cursor *c;
  const rule *rules;
  int64_t first_row;
} scan;

void fsm_cuts_free(fsm_cuts *cuts) {
  free(cuts->splices.items);
  free(cuts->fields.items);
  free(cuts->counts.items);
  fsm_names_free(&cuts->names);
  memset(cuts, 0, sizeof *cuts);
}

/* The rule for a length-delimited field; the last one, of no field, where there is none. */
static const rule *rule_of(const scan *sc, level in, uint32_t number) {
  const rule *r = sc->rules;
  while (r->number && (r->in != in || r->number != number))
    r++;
  return r;
}

/* See that a message, and those around it, have a row. */
static fsm_status enter(scan *sc, message *m) {
  fsm_array *fields = &sc->out->fields;
  if (m->row != NO_ROW)
    return FSM_OK;
  fsm_status s = enter(sc, m->outer);
  if (s || (s = fsm_array_reserve(fields, sizeof(fsm_enclosing), 1)))
    return s;
  m->row = sc->first_row + (int64_t)fields->n;
  ((fsm_enclosing *)fields->items)[fields->n++] =
      (fsm_enclosing){m->field.tag_end, m->field.value, m->field.end, m->outer->row, 0};
  return FSM_OK;
}

static bool is_of_main(const message *m) { return m->level == NODE && !m->outer->outer; }

/* A field of a message goes; it is counted by a name. */
static fsm_status cut(scan *sc, message *m, const fsm_field *f, const void *name, size_t n) {
  fsm_cuts *out = sc->out;
  uint32_t id;
  fsm_status s = enter(sc, m);
  if (s || (s = fsm_names_intern(&out->names, name, n, &id)))
    return s;
  if (id >= FSM_MAX_CUT_NAMES || out->splices.n == FSM_MAX_CUTS)
    return FSM_E_LIMIT;
  if (id == out->counts.n) {
    if ((s = fsm_array_reserve(&out->counts, sizeof(uint64_t), 1)))
      return s;
    ((uint64_t *)out->counts.items)[out->counts.n++] = 0;
  }
  if ((s = fsm_array_reserve(&out->splices, sizeof(fsm_splice), 1)))
    return s;
  ((uint64_t *)out->counts.items)[id]++;
  out->n_main += is_of_main(m);
  ((fsm_splice *)out->splices.items)[out->splices.n++] =
      (fsm_splice){f->start, f->end, 0, 0, m->row, m->depth};
  return FSM_OK;
}

/* Whether the key of a map's entry is the name; leaves the cursor anywhere. */
static fsm_status has_key(fsm_cursor *c, const fsm_field *entry, const char *name, bool *has) {
  uint8_t key[16];
  size_t n = strlen(name);
  fsm_status s = fsm_cursor_span(c, entry->value, entry->end);
  *has = false;
  while (!s && !fsm_cursor_done(c)) {
    fsm_field f;
    if ((s = fsm_cursor_next(c, &f)) || f.number != ENTRY_KEY || f.wire != FSM_LEN)
      continue;
    *has = f.length == n && !(s = fsm_cursor_read(c, f.value, key, n)) && !memcmp(key, name, n);
  }
  return s;
}

/* What a rule says of a field: whether it goes, and the name that it is counted by. */
static fsm_status judge(scan *sc, const rule *r, const fsm_field *f, uint8_t *name, size_t *n,
                        bool *goes) {
  fsm_cursor *c = sc->c;
  *goes = false;
  if (r->role == DEVICE) {
    if (f->length > FSM_MAX_CUT_NAME)
      return fsm_fail(&c->error, FSM_E_LIMIT, f->value, FSM_MAX_CUT_NAME, f->length);
    *goes = f->length > 0;
    *n = (size_t)f->length;
    return fsm_cursor_read(c, f->value, name, *n);
  }
  fsm_status s = FSM_OK;
  if (r->role == DEBUG)
    *goes = true;
  else
    s = has_key(c, f, r->name, goes);
  *n = strlen(r->name);
  memcpy(name, r->name, *n);
  return s;
}

/* Whether a node in memory needs no closer look: it is sound, and nothing in it may go. */
static bool is_plain(const scan *sc, const uint8_t *from, size_t n) {
  fsm_reader r = {from, from + n};
  fsm_item f;
  while (r.p < r.end) {
    if (fsm_next_field(&r, &f))
      return false;
    const rule *found = rule_of(sc, NODE, f.tag >> 3);
    if ((f.tag & 7) != FSM_LEN || found->role == NOTHING)
      continue;
    if (found->role != ATTRIBUTE)
      return false;
    /* An attribute begins with its key, as everybody writes it. */
    size_t key = strlen(found->name);
    size_t size = (size_t)(f.inside.end - f.inside.p);
    if (size < 2 || f.inside.p[0] != FSM_TAG(ENTRY_KEY, FSM_LEN))
      return false;
    if (f.inside.p[1] == key && size >= 2 + key && !memcmp(f.inside.p + 2, found->name, key))
      return false;
  }
  return true;
}

static fsm_status walk(scan *sc, message *m);

static fsm_status look_at(scan *sc, message *node) {
  fsm_cursor *c = sc->c;
  const uint8_t *bytes;
  if (node->field.length <= SMALL_NODE) {
    fsm_status s = fsm_cursor_span(c, node->field.value, node->field.end);
    if (s || (s = fsm_cursor_need(c, (size_t)node->field.length, &bytes)))
      return s;
    if (is_plain(sc, bytes, (size_t)node->field.length))
      return FSM_OK;
  }
  return walk(sc, node);
}

static fsm_status walk(scan *sc, message *m) {
  uint64_t at = m->field.value;
  while (at < m->field.end) {
    message inner = {.outer = m, .row = NO_ROW, .depth = m->depth + 1};
    const fsm_field *f = &inner.field;
    fsm_status s = fsm_cursor_span(sc->c, at, m->field.end);
    if (s || (s = fsm_cursor_next(sc->c, &inner.field)))
      return s;
    at = f->end;
    const rule *r = rule_of(sc, m->level, f->number);
    if (f->wire != FSM_LEN || r->role == NOTHING)
      continue;
    if (r->role == INTO) {
      inner.level = r->to;
      s = r->to == NODE ? look_at(sc, &inner) : walk(sc, &inner);
    } else {
      uint8_t name[FSM_MAX_CUT_NAME];
      size_t n;
      bool goes;
      if ((s = judge(sc, r, f, name, &n, &goes)))
        return s;
      if (goes && (s = cut(sc, m, f, name, n)))
        s = fsm_fail(&sc->c->error, s, f->start, FSM_MAX_CUTS, sc->out->splices.n);
    }
    if (s)
      return s;
  }
  return FSM_OK;
}

fsm_status fsm_cuts_scan(fsm_cuts *cuts, const fsm_src *src, fsm_cut what,
                         const fsm_span *graph, const fsm_around *around, fsm_error *e) {
  fsm_cursor c;
  uint8_t *window = malloc(FSM_WINDOW);
  if (!window)
    return fsm_fail(e, FSM_E_NOMEM, 0, 0, 0);
  fsm_cursor_init(&c, src, window, FSM_WINDOW);
  fsm_names_init(&cuts->names);
  scan sc = {.out = cuts,
             .c = &c,
             .rules = what == FSM_CUT_DEVICES ? DEVICE_RULES : DEBUG_RULES,
             .first_row = around->first_row};
  message whole = {.field = {.value = graph->start, .end = graph->end},
                   .level = GRAPH,
                   .row = around->parent,
                   .depth = around->depth};
  fsm_status s = walk(&sc, &whole);
  if (s) {
    *e = c.error;
    e->status = s;
  }
  free(window);
  return s;
}
