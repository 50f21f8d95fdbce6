#include "fsm_devices.h"

#include "fsm_fields.h"

/* A node up to this size is read in memory; in a larger one, a big constant, the cursor
 * steps over the bytes. */
#define SMALL_NODE (UINT32_C(16) << 10)

/* Field numbers of graph.proto, function.proto and node_def.proto. */
enum {
  GRAPH_NODE = 1,
  GRAPH_LIBRARY = 2,
  LIBRARY_FUNCTION = 1,
  FUNCTION_NODE = 3,
  NODE_DEVICE = 4
};

typedef enum { GRAPH, LIBRARY, FUNCTION, NODE, OTHER } level;

#define NO_ROW (-2) /* FSM_NO_FIELD is a row's parent */

/* A message that is being looked through. */
typedef struct message {
  struct message *outer; /* or NULL: the GraphDef */
  fsm_field field;
  int64_t row; /* among the fields, once something in it changes */
  uint64_t depth;
} message;

typedef struct {
  fsm_devices *out;
  fsm_cursor *c;
  int64_t first_row;
} scan;

void fsm_devices_free(fsm_devices *d) {
  free(d->splices.items);
  free(d->fields.items);
  free(d->counts.items);
  fsm_names_free(&d->names);
  memset(d, 0, sizeof *d);
}

static level inside(level l, uint32_t number) {
  switch (l) {
  case GRAPH:
    return number == GRAPH_NODE ? NODE : number == GRAPH_LIBRARY ? LIBRARY : OTHER;
  case LIBRARY:
    return number == LIBRARY_FUNCTION ? FUNCTION : OTHER;
  case FUNCTION:
    return number == FUNCTION_NODE ? NODE : OTHER;
  default:
    return OTHER;
  }
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

/* The device field [start, end) of a node goes. */
static fsm_status cut(scan *sc, message *node, uint64_t start, uint64_t end, const uint8_t *name,
                      size_t n) {
  fsm_devices *d = sc->out;
  uint32_t id;
  fsm_status s = enter(sc, node);
  if (s || (s = fsm_names_intern(&d->names, name, n, &id)))
    return s;
  if (id >= FSM_MAX_DEVICES || d->splices.n == FSM_MAX_CUTS)
    return FSM_E_LIMIT;
  if (id == d->counts.n) {
    if ((s = fsm_array_reserve(&d->counts, sizeof(uint64_t), 1)))
      return s;
    ((uint64_t *)d->counts.items)[d->counts.n++] = 0;
  }
  if ((s = fsm_array_reserve(&d->splices, sizeof(fsm_splice), 1)))
    return s;
  ((uint64_t *)d->counts.items)[id]++;
  d->n_main += node->outer->outer == NULL;
  ((fsm_splice *)d->splices.items)[d->splices.n++] =
      (fsm_splice){start, end, 0, 0, node->row, node->depth};
  return FSM_OK;
}

/* A node of any size; also says what is wrong with one, and where. */
static fsm_status large_node(scan *sc, message *node) {
  fsm_cursor *c = sc->c;
  uint8_t name[FSM_MAX_DEVICE];
  fsm_status s = fsm_cursor_span(c, node->field.value, node->field.end);
  while (!s && !fsm_cursor_done(c)) {
    fsm_field f;
    if ((s = fsm_cursor_next(c, &f)) || f.number != NODE_DEVICE || f.wire != FSM_LEN || !f.length)
      continue;
    if (f.length > sizeof name)
      return fsm_fail(&c->error, FSM_E_LIMIT, f.value, FSM_MAX_DEVICE, f.length);
    if ((s = fsm_cursor_read(c, f.value, name, (size_t)f.length)))
      return s;
    if ((s = cut(sc, node, f.start, f.end, name, (size_t)f.length)))
      return fsm_fail(&c->error, s, f.start, FSM_MAX_CUTS, sc->out->splices.n);
  }
  return s;
}

/* Whether a node in memory needs no closer look: it is sound, and on no device. */
static bool is_plain(const uint8_t *from, size_t n) {
  fsm_reader r = {from, from + n};
  fsm_item f;
  while (r.p < r.end)
    if (fsm_next_field(&r, &f) || f.tag == FSM_TAG(NODE_DEVICE, FSM_LEN))
      return false;
  return true;
}

static fsm_status look_at(scan *sc, message *node) {
  fsm_cursor *c = sc->c;
  const uint8_t *bytes;
  if (node->field.length <= SMALL_NODE) {
    fsm_status s = fsm_cursor_span(c, node->field.value, node->field.end);
    if (s || (s = fsm_cursor_need(c, (size_t)node->field.length, &bytes)))
      return s;
    if (is_plain(bytes, (size_t)node->field.length))
      return FSM_OK;
  }
  return large_node(sc, node);
}

static fsm_status walk(scan *sc, level l, message *m) {
  uint64_t at = m->field.value;
  fsm_status s = FSM_OK;
  while (at < m->field.end && !s) {
    message inner = {.outer = m, .row = NO_ROW, .depth = m->depth + 1};
    if ((s = fsm_cursor_span(sc->c, at, m->field.end)) ||
        (s = fsm_cursor_next(sc->c, &inner.field)))
      return s;
    at = inner.field.end;
    level next = inner.field.wire == FSM_LEN ? inside(l, inner.field.number) : OTHER;
    if (next == NODE)
      s = look_at(sc, &inner);
    else if (next != OTHER)
      s = walk(sc, next, &inner);
  }
  return s;
}

fsm_status fsm_devices_scan(fsm_devices *devices, const fsm_src *src, const fsm_span *graph,
                            const fsm_around *around, fsm_error *e) {
  fsm_cursor c;
  uint8_t *window = malloc(FSM_WINDOW);
  if (!window)
    return fsm_fail(e, FSM_E_NOMEM, 0, 0, 0);
  fsm_cursor_init(&c, src, window, FSM_WINDOW);
  fsm_names_init(&devices->names);
  scan sc = {.out = devices, .c = &c, .first_row = around->first_row};
  message whole = {.field = {.value = graph->start, .end = graph->end},
                   .row = around->parent,
                   .depth = around->depth};
  fsm_status s = walk(&sc, GRAPH, &whole);
  if (s) {
    *e = c.error;
    e->status = s;
  }
  free(window);
  return s;
}
