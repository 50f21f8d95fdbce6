#include "fsm_nodes.h"

#include <stdlib.h>

#include "fsm_fields.h"

/* A node up to this size is read in memory; in a larger one, a big constant,
 * the cursor steps over the bytes. */
#define SMALL_NODE (UINT32_C(16) << 10)

/* Field numbers of graph.proto, function.proto, op_def.proto, node_def.proto and
 * attr_value.proto. */
enum {
  GRAPH_NODE = 1,
  GRAPH_LIBRARY = 2,
  LIBRARY_FUNCTION = 1,
  FUNCTION_SIGNATURE = 1,
  FUNCTION_NODE = 3,
  OP_NAME = 1,
  NODE_NAME = 1,
  NODE_OP = 2,
  NODE_ATTR = 5,
  ENTRY_KEY = 1,
  ENTRY_VALUE = 2,
  ATTR_FUNC = 10,
  FUNC_NAME = 1
};

typedef struct {
  fsm_nodes *out;
  fsm_cursor *c;
  fsm_nodes_depth depth;
  uint32_t owner;
  uint8_t *name_buffer; /* SMALL_NODE bytes */
} scan;

void fsm_nodes_free(fsm_nodes *nodes) {
  free(nodes->nodes.items);
  free(nodes->functions.items);
  free(nodes->libraries.items);
  free(nodes->uses.items);
  fsm_names_free(&nodes->names);
  free(nodes->last_owner.items);
  memset(nodes, 0, sizeof *nodes);
}

/* ---- names ---- */

static fsm_status intern(fsm_nodes *t, const uint8_t *p, size_t n, uint32_t *id) {
  fsm_status s = fsm_names_intern(&t->names, p, n, id);
  if (s || *id < t->last_owner.n)
    return s;
  if (!(s = fsm_array_reserve(&t->last_owner, sizeof(uint32_t), 1)))
    ((uint32_t *)t->last_owner.items)[t->last_owner.n++] = 0;
  return s;
}

static fsm_status use(scan *sc, uint32_t name) {
  fsm_nodes *t = sc->out;
  uint32_t *last = (uint32_t *)t->last_owner.items + name;
  if (*last == sc->owner + 1)
    return FSM_OK;
  *last = sc->owner + 1;
  fsm_status s = fsm_array_reserve(&t->uses, sizeof(fsm_use), 1);
  if (!s)
    ((fsm_use *)t->uses.items)[t->uses.n++] = (fsm_use){sc->owner, name};
  return s;
}

/* ---- one node ---- */

/* A LEN field that was found: where its payload lies. Length 0 and at 0: not there. */
typedef struct {
  uint64_t at;
  uint64_t length;
} slice;

static fsm_status intern_slice(scan *sc, slice name, uint32_t *id) {
  fsm_cursor *c = sc->c;
  if (name.length > SMALL_NODE)
    return fsm_fail(&c->error, FSM_E_LIMIT, name.at, SMALL_NODE, name.length);
  const uint8_t *p = sc->name_buffer;
  /* The window may have moved on: read the name again if so. */
  if (name.at >= c->base && name.at - c->base <= c->fill &&
      name.length <= c->fill - (name.at - c->base)) {
    p = c->window + (name.at - c->base);
  } else {
    fsm_status s = fsm_src_read(c->src, name.at, sc->name_buffer, (size_t)name.length, &c->error);
    if (s)
      return s;
  }
  fsm_status s = intern(sc->out, p, (size_t)name.length, id);
  return s ? fsm_fail(&c->error, s, name.at, FSM_MAX_NAMES, name.length) : FSM_OK;
}

/* The last LEN field with this number in [start, end). */
static fsm_status find_last(fsm_cursor *c, slice in, uint32_t number, slice *found) {
  fsm_status s = fsm_cursor_span(c, in.at, in.at + in.length);
  *found = (slice){0, 0};
  while (!s && !fsm_cursor_done(c)) {
    fsm_field f;
    if (!(s = fsm_cursor_next(c, &f)) && f.number == number && f.wire == FSM_LEN)
      *found = (slice){f.value, f.length};
  }
  return s;
}

/* The function that a PartitionedCall names in attr "f" (the last such entry). */
static fsm_status called_function(scan *sc, slice node, uint32_t *id) {
  fsm_cursor *c = sc->c;
  slice name = {0, 0};
  uint64_t at = node.at, end = node.at + node.length;
  while (at < end) {
    fsm_field f;
    slice key, value;
    const uint8_t *p;
    fsm_status s = fsm_cursor_span(c, at, end);
    if (s || (s = fsm_cursor_next(c, &f)))
      return s;
    at = f.end;
    if (f.number != NODE_ATTR || f.wire != FSM_LEN)
      continue;
    slice entry = {f.value, f.length};
    if ((s = find_last(c, entry, ENTRY_KEY, &key)))
      return s;
    if (key.length != 1)
      continue;
    if ((s = fsm_cursor_span(c, key.at, key.at + 1)) || (s = fsm_cursor_need(c, 1, &p)))
      return s;
    if (*p != 'f')
      continue;
    if ((s = find_last(c, entry, ENTRY_VALUE, &value)) ||
        (s = find_last(c, value, ATTR_FUNC, &value)) ||
        (s = find_last(c, value, FUNC_NAME, &name)))
      return s;
  }
  return intern_slice(sc, name, id);
}

static fsm_status large_node(fsm_cursor *c, slice node, slice *name, slice *op);

/* Find name and op among the node's fields, all of which lie in memory. */
static fsm_status small_node(fsm_cursor *c, slice node, slice *name, slice *op) {
  const uint8_t *from;
  fsm_status s = fsm_cursor_need(c, (size_t)node.length, &from);
  if (s)
    return s;
  fsm_reader r = {from, from + node.length};
  fsm_item f;
  while (r.p < r.end) {
    if (fsm_next_field(&r, &f))
      return large_node(c, node, name, op); /* which says what is wrong, and where */
    slice payload = {node.at + (uint64_t)(f.inside.p - from), f.value};
    if (f.tag == FSM_TAG(NODE_NAME, FSM_LEN))
      *name = payload;
    else if (f.tag == FSM_TAG(NODE_OP, FSM_LEN))
      *op = payload;
  }
  return FSM_OK;
}

/* The same for a node that may be of any size. */
static fsm_status large_node(fsm_cursor *c, slice node, slice *name, slice *op) {
  fsm_status s = fsm_cursor_span(c, node.at, node.at + node.length);
  while (!s && !fsm_cursor_done(c)) {
    fsm_field f;
    if ((s = fsm_cursor_next(c, &f)) || f.wire != FSM_LEN)
      continue;
    if (f.number == NODE_NAME)
      *name = (slice){f.value, f.length};
    else if (f.number == NODE_OP)
      *op = (slice){f.value, f.length};
  }
  return s;
}

static bool is_call(const fsm_nodes *t, uint32_t op) {
  uint32_t n;
  const uint8_t *name = fsm_names_get(&t->names, op, &n);
  return (n == 15 && memcmp(name, "PartitionedCall", 15) == 0) ||
         (n == 23 && memcmp(name, "StatefulPartitionedCall", 23) == 0);
}

static fsm_status add_node(scan *sc, slice node) {
  fsm_nodes *t = sc->out;
  fsm_cursor *c = sc->c;
  ++*(sc->owner == FSM_MAIN_GRAPH ? &t->n_nodes : &t->n_function_nodes);
  if (sc->depth == FSM_NODES_COUNT)
    return FSM_OK;
  slice name = {node.at, 0}, op = {node.at, 0};
  uint32_t op_id, callee;
  fsm_status s = fsm_cursor_span(c, node.at, node.at + node.length);
  if (s || (s = (node.length <= SMALL_NODE ? small_node : large_node)(c, node, &name, &op)) ||
      (s = intern_slice(sc, op, &op_id)) || (s = use(sc, op_id)))
    return s;
  if (is_call(t, op_id) && ((s = called_function(sc, node, &callee)) || (s = use(sc, callee))))
    return s;
  if (sc->depth < FSM_NODES_ROWS)
    return FSM_OK;
  if (t->nodes.n == FSM_MAX_NODES || node.length > UINT32_MAX)
    return fsm_fail(&c->error, FSM_E_LIMIT, node.at, FSM_MAX_NODES, t->nodes.n);
  if ((s = fsm_array_reserve(&t->nodes, sizeof(fsm_node), 1)))
    return fsm_fail(&c->error, s, node.at, 0, 0);
  ((fsm_node *)t->nodes.items)[t->nodes.n++] = (fsm_node){
      node.at, name.at, (uint32_t)node.length, (uint32_t)name.length, op_id, sc->owner};
  return FSM_OK;
}

/* ---- functions and the graph ---- */

static fsm_status add_function(scan *sc, slice function) {
  fsm_nodes *t = sc->out;
  fsm_cursor *c = sc->c;
  slice name = {function.at, 0};
  uint64_t at = function.at, end = function.at + function.length;
  fsm_function row = {function.at, function.length, FSM_NO_NAME,
                      (uint32_t)(t->n_nodes + t->n_function_nodes), 0};
  sc->owner = (uint32_t)++t->n_functions;
  while (at < end) {
    fsm_field f;
    fsm_status s = fsm_cursor_span(c, at, end);
    if (s || (s = fsm_cursor_next(c, &f)))
      return s;
    at = f.end;
    if (f.wire != FSM_LEN)
      continue;
    slice inner = {f.value, f.length};
    if (f.number == FUNCTION_NODE) {
      row.n_nodes++;
      s = add_node(sc, inner);
    } else if (f.number == FUNCTION_SIGNATURE) {
      /* Of a signature that occurs twice, the last name counts, if it has one. */
      slice found;
      if (!(s = find_last(c, inner, OP_NAME, &found)) && found.at)
        name = found;
    }
    if (s)
      return s;
  }
  sc->owner = FSM_MAIN_GRAPH;
  if (sc->depth == FSM_NODES_COUNT)
    return FSM_OK;
  fsm_status s = intern_slice(sc, name, &row.name);
  if (s)
    return s;
  if (t->functions.n == FSM_MAX_NODES)
    return fsm_fail(&c->error, FSM_E_LIMIT, function.at, FSM_MAX_NODES, t->functions.n);
  if ((s = fsm_array_reserve(&t->functions, sizeof row, 1)))
    return fsm_fail(&c->error, s, function.at, 0, 0);
  ((fsm_function *)t->functions.items)[t->functions.n++] = row;
  return FSM_OK;
}

static fsm_status add_library(scan *sc, slice library) {
  uint64_t at = library.at, end = library.at + library.length;
  void *slot;
  fsm_status s = FSM_OK;
  if (sc->depth == FSM_NODES_ROWS) {
    if ((s = fsm_array_push(&sc->out->libraries, sizeof(fsm_span), 1, SIZE_MAX, &slot)))
      return fsm_fail(&sc->c->error, s, at, 0, 0);
    *(fsm_span *)slot = (fsm_span){at, end};
  }
  while (at < end && !s) {
    fsm_field f;
    if ((s = fsm_cursor_span(sc->c, at, end)) || (s = fsm_cursor_next(sc->c, &f)))
      return s;
    at = f.end;
    if (f.number == LIBRARY_FUNCTION && f.wire == FSM_LEN)
      s = add_function(sc, (slice){f.value, f.length});
  }
  return s;
}

static fsm_status add_graph(scan *sc, const fsm_span *span) {
  uint64_t at = span->start;
  fsm_status s = FSM_OK;
  while (at < span->end && !s) {
    fsm_field f;
    if ((s = fsm_cursor_span(sc->c, at, span->end)) || (s = fsm_cursor_next(sc->c, &f)))
      return s;
    at = f.end;
    if (f.wire != FSM_LEN)
      continue;
    if (f.number == GRAPH_NODE)
      s = add_node(sc, (slice){f.value, f.length});
    else if (f.number == GRAPH_LIBRARY)
      s = add_library(sc, (slice){f.value, f.length});
  }
  return s;
}

fsm_status fsm_nodes_scan(fsm_nodes *nodes, const fsm_src *src, const fsm_span *spans,
                          size_t n_spans, fsm_nodes_depth depth, fsm_error *e) {
  fsm_cursor c;
  uint8_t *window = malloc(FSM_WINDOW + SMALL_NODE);
  if (!window)
    return fsm_fail(e, FSM_E_NOMEM, 0, 0, 0);
  fsm_cursor_init(&c, src, window, FSM_WINDOW);
  fsm_names_init(&nodes->names);
  scan sc = {.out = nodes, .c = &c, .depth = depth, .name_buffer = window + FSM_WINDOW};
  fsm_status s = FSM_OK;
  for (size_t i = 0; i < n_spans && !s; i++)
    s = add_graph(&sc, &spans[i]);
  if (s) {
    *e = c.error;
    e->status = s;
  }
  free(window);
  return s;
}

/* ---- which ops the main graph needs ---- */

typedef struct {
  size_t *first;      /* where each owner's names begin; one more than owners */
  size_t *next;
  uint32_t *names;    /* used names, grouped by owner */
  uint32_t *function; /* name -> its function's number + 1; 0: an op */
  uint32_t *todo;
  uint8_t *queued;
} walk;

/* Group the uses by owner (a library between nodes splits the main graph's), and
 * tell functions from ops; of functions with one name the last counts. */
static void group_uses(const fsm_nodes *t, const walk *w) {
  const fsm_use *uses = t->uses.items;
  const fsm_function *functions = t->functions.items;
  size_t n_owners = t->functions.n + 1;
  for (size_t i = 0; i < t->uses.n; i++)
    w->first[uses[i].owner + 1]++;
  for (size_t i = 0; i < n_owners; i++)
    w->first[i + 1] += w->first[i];
  memcpy(w->next, w->first, n_owners * sizeof *w->next);
  for (size_t i = 0; i < t->uses.n; i++)
    w->names[w->next[uses[i].owner]++] = uses[i].name;
  for (uint32_t i = 0; i < t->functions.n; i++)
    w->function[functions[i].name] = i + 1;
}

static void mark_used(const walk *w, uint8_t *used) {
  size_t n_todo = 0;
  w->todo[n_todo++] = FSM_MAIN_GRAPH;
  w->queued[FSM_MAIN_GRAPH] = 1;
  while (n_todo) {
    uint32_t owner = w->todo[--n_todo];
    for (size_t i = w->first[owner]; i < w->first[owner + 1]; i++) {
      uint32_t callee = w->function[w->names[i]];
      if (!callee) {
        used[w->names[i]] = 1;
      } else if (!w->queued[callee]) {
        w->queued[callee] = 1;
        w->todo[n_todo++] = callee;
      }
    }
  }
}

fsm_status fsm_nodes_ops_used(const fsm_nodes *t, uint8_t *used) {
  size_t n_owners = t->functions.n + 1;
  walk w = {.first = calloc(n_owners + 1, sizeof *w.first),
            .next = calloc(n_owners, sizeof *w.next),
            .names = calloc(t->uses.n + 1, sizeof *w.names),
            .function = calloc(t->names.ends.n + 1, sizeof *w.function),
            .todo = calloc(n_owners, sizeof *w.todo),
            .queued = calloc(n_owners, 1)};
  fsm_status s = FSM_OK;
  memset(used, 0, t->names.ends.n);
  if (w.first && w.next && w.names && w.function && w.todo && w.queued) {
    group_uses(t, &w);
    mark_used(&w, used);
  } else {
    s = FSM_E_NOMEM;
  }
  free(w.first);
  free(w.next);
  free(w.names);
  free(w.function);
  free(w.todo);
  free(w.queued);
  return s;
}
