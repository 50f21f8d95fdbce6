#include "fsm_prune.h"

#include <stdlib.h>

#include "fsm_encode.h"

/* Field numbers of graph.proto and function.proto. */
enum {
  GRAPH_NODE = 1,
  GRAPH_LIBRARY = 2,
  LIBRARY_FUNCTION = 1,
  LIBRARY_GRADIENT = 2,
  LIBRARY_REGISTERED = 3,
  GRADIENT_OF = 1,
  GRADIENT_FUNCTION = 2,
  REGISTERED_FUNCTION = 1
};

typedef struct {
  fsm_pruned *out;
  fsm_cursor c;
  const fsm_nodes *nodes;
  const uint8_t *live_nodes, *live_functions;
  uint8_t *live_names; /* a byte for each name: whether a function that stays has it */
  size_t node, function; /* the next ones */
  int64_t first_row;
  const fsm_prune_span *span;
} scan;

void fsm_pruned_free(fsm_pruned *pruned) {
  free(pruned->splices.items);
  free(pruned->fields.items);
  memset(pruned, 0, sizeof *pruned);
}

/* A field goes; where the one before it does, too, both are one splice. */
static fsm_status cut(scan *sc, const fsm_field *f, int64_t row, uint64_t depth) {
  fsm_array *splices = &sc->out->splices;
  fsm_splice *last = splices->n ? (fsm_splice *)splices->items + splices->n - 1 : NULL;
  if (last && last->end == f->start && last->field == row) {
    last->end = f->end;
    return FSM_OK;
  }
  void *slot;
  fsm_status s = fsm_array_push(splices, sizeof(fsm_splice), 1, SIZE_MAX, &slot);
  if (s)
    return fsm_fail(&sc->c.error, s, f->start, 0, 0);
  *(fsm_splice *)slot = (fsm_splice){f->start, f->end, 0, 0, row, depth};
  return FSM_OK;
}

/* The graph is not the one that was indexed. */
static fsm_status other_graph(scan *sc, const fsm_field *f) {
  return fsm_fail(&sc->c.error, FSM_E_INVALID, f->start, 0, 0);
}

/* ---- the library ---- */

static fsm_status names_live(scan *sc, const fsm_field *gradient, uint32_t number, bool *live) {
  uint8_t bytes[16 << 10]; /* fsm_nodes takes no longer names */
  fsm_field f;
  uint32_t id;
  fsm_status s = fsm_cursor_span(&sc->c, gradient->value, gradient->end);
  *live = false;
  while (!s && !fsm_cursor_done(&sc->c)) {
    if ((s = fsm_cursor_next(&sc->c, &f)) || f.number != number || f.wire != FSM_LEN)
      continue;
    *live = false;
    if (f.length <= sizeof bytes &&
        !(s = fsm_cursor_read(&sc->c, f.value, bytes, (size_t)f.length)))
      *live = fsm_names_find(&sc->nodes->names, bytes, (size_t)f.length, &id) &&
              sc->live_names[id];
  }
  return s;
}

/* Whether a field of the library stays. */
static fsm_status stays(scan *sc, const fsm_field *f, bool *live) {
  const fsm_function *functions = sc->nodes->functions.items;
  fsm_status s = FSM_OK;
  *live = true;
  if (f->wire != FSM_LEN)
    return FSM_OK;
  if (f->number == LIBRARY_FUNCTION) {
    size_t i = sc->function++;
    if (i >= sc->nodes->functions.n || functions[i].start != f->value)
      return other_graph(sc, f);
    *live = sc->live_functions[i];
    sc->out->n_functions += !*live;
  } else if (f->number == LIBRARY_GRADIENT || f->number == LIBRARY_REGISTERED) {
    bool pair = f->number == LIBRARY_GRADIENT;
    s = names_live(sc, f, pair ? GRADIENT_FUNCTION : REGISTERED_FUNCTION, live);
    if (!s && *live && pair)
      s = names_live(sc, f, GRADIENT_OF, live);
    sc->out->n_gradients += !*live;
  }
  return s;
}

static fsm_status cut_library(scan *sc, const fsm_field *library) {
  fsm_pruned *out = sc->out;
  size_t n_before = out->splices.n;
  int64_t row = sc->first_row + (int64_t)out->fields.n;
  uint64_t left = library->length;
  for (uint64_t at = library->value; at < library->end;) {
    fsm_field f;
    bool live;
    fsm_status s = fsm_cursor_span(&sc->c, at, library->end);
    if (s || (s = fsm_cursor_next(&sc->c, &f)))
      return s;
    at = f.end;
    if ((s = stays(sc, &f, &live)) ||
        (!live && (s = cut(sc, &f, row, sc->span->depth + 1))))
      return s;
    if (!live)
      left -= f.end - f.start;
  }
  if (out->splices.n == n_before)
    return FSM_OK;
  if (left == 0) { /* nothing is left in it */
    out->splices.n = n_before;
    return cut(sc, library, sc->span->row, sc->span->depth);
  }
  void *slot;
  fsm_status s = fsm_array_push(&out->fields, sizeof(fsm_enclosing), 1, SIZE_MAX, &slot);
  if (s)
    return fsm_fail(&sc->c.error, s, library->start, 0, 0);
  *(fsm_enclosing *)slot =
      (fsm_enclosing){library->tag_end, library->value, library->end, sc->span->row, 0};
  return FSM_OK;
}

/* ---- the main graph ---- */

/* The next node of the main graph that was indexed; past the last: NULL. */
static const fsm_node *next_node(scan *sc) {
  const fsm_node *nodes = sc->nodes->nodes.items;
  while (sc->node < sc->nodes->nodes.n && nodes[sc->node].owner != FSM_MAIN_GRAPH)
    sc->node++;
  return sc->node < sc->nodes->nodes.n ? &nodes[sc->node] : NULL;
}

/* The field at an offset. Where the next node begins as far behind it as its tag and its length
 * take, it is that node: then nothing is read. */
static fsm_status field_at(scan *sc, uint64_t at, const fsm_node *next, fsm_field *f) {
  if (next && next->start - at == 1 + fsm_varint_size(next->length)) {
    *f = (fsm_field){.start = at, .value = next->start, .end = next->start + next->length,
                     .number = GRAPH_NODE, .wire = FSM_LEN};
    return FSM_OK;
  }
  fsm_status s = fsm_cursor_span(&sc->c, at, sc->span->end);
  return s ? s : fsm_cursor_next(&sc->c, f);
}

static fsm_status cut_graph(scan *sc, const fsm_prune_span *span) {
  sc->span = span;
  for (uint64_t at = span->start; at < span->end;) {
    const fsm_node *next = next_node(sc);
    fsm_field f;
    fsm_status s = field_at(sc, at, next, &f);
    if (s)
      return s;
    at = f.end;
    if (f.wire != FSM_LEN)
      continue;
    if (f.number == GRAPH_NODE) {
      if (!next || next->start != f.value || f.end > span->end)
        return other_graph(sc, &f);
      if (!sc->live_nodes[sc->node++]) {
        sc->out->n_nodes++;
        s = cut(sc, &f, span->row, span->depth);
      }
    } else if (f.number == GRAPH_LIBRARY) {
      s = cut_library(sc, &f);
    }
    if (s)
      return s;
  }
  return FSM_OK;
}

fsm_status fsm_prune(fsm_pruned *pruned, const fsm_src *src, const fsm_nodes *nodes,
                     const fsm_prune_span *spans, size_t n_spans, int64_t first_row,
                     const uint8_t *live_nodes, const uint8_t *live_functions, fsm_error *e) {
  const fsm_function *functions = nodes->functions.items;
  uint8_t *window = malloc(FSM_WINDOW);
  scan sc = {.out = pruned,
             .nodes = nodes,
             .live_nodes = live_nodes,
             .live_functions = live_functions,
             .live_names = calloc(nodes->names.ends.n + 1, 1),
             .first_row = first_row};
  fsm_status s = window && sc.live_names ? FSM_OK : fsm_fail(&sc.c.error, FSM_E_NOMEM, 0, 0, 0);
  if (!s) {
    fsm_cursor_init(&sc.c, src, window, FSM_WINDOW);
    for (size_t i = 0; i < nodes->functions.n; i++)
      sc.live_names[functions[i].name] |= live_functions[i];
    for (size_t i = 0; i < n_spans && !s; i++)
      s = cut_graph(&sc, &spans[i]);
  }
  if (s) {
    *e = sc.c.error;
    e->status = s;
  }
  free(sc.live_names);
  free(window);
  return s;
}
