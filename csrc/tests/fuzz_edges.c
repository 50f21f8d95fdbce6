/* Fuzzes the edges of graphs, walks along them and cuts. Each input is read twice: as a
 * GraphDef, and as the choices that make one whose nodes name each other.
 * What must hold:
 *   - each input leads to the first node, or to the argument, that has its name, as looking
 *     through all of them finds it;
 *   - what is marked is what a naive walk marks;
 *   - a graph that was pruned has the nodes and functions that stay, and nothing else. */
#include "fsm_edges.h"
#include "fsm_fields.h"
#include "fsm_prune.h"
#include "make_message.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t fuzz_seed(unsigned i, uint8_t *to, size_t capacity);

#define require(condition)                                            \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "fuzz_edges.c:%d: %s\n", __LINE__, #condition); \
      abort();                                                        \
    }                                                                 \
  } while (0)

typedef struct {
  const uint8_t *data;
  fsm_src src;
  fsm_piece piece;
  fsm_nodes nodes;
  fsm_edges edges;
} graph;

static fsm_status resolve(graph *g, const uint8_t *data, size_t size, fsm_error *e) {
  fsm_span whole = {0, size};
  *g = (graph){.data = data};
  fsm_src_memory(&g->src, &g->piece, data, size);
  fsm_status s = fsm_nodes_scan(&g->nodes, &g->src, &whole, 1, FSM_NODES_ROWS, e);
  if (!s)
    s = fsm_edges_resolve(&g->edges, &g->nodes, &g->src, e);
  return s;
}

static void drop(graph *g) {
  fsm_edges_free(&g->edges);
  fsm_nodes_free(&g->nodes);
}

static const fsm_node *node_of(const graph *g, size_t row) {
  return (const fsm_node *)g->nodes.nodes.items + row;
}

static bool same(fsm_reader a, fsm_reader b) {
  size_t n = (size_t)(a.end - a.p);
  return (size_t)(b.end - b.p) == n && (n == 0 || memcmp(a.p, b.p, n) == 0);
}

static fsm_reader name_of(const graph *g, size_t row) {
  const fsm_node *node = node_of(g, row);
  return (fsm_reader){g->data + node->name, g->data + node->name + node->name_length};
}

/* ---- inputs, found by looking through everything ---- */

/* Which argument of a function has a name, or -1. An argument's name is its last field 1. */
static int64_t argument(const graph *g, uint32_t owner, fsm_reader name) {
  const fsm_function *f = (const fsm_function *)g->nodes.functions.items + owner - 1;
  fsm_reader function = {g->data + f->start, g->data + f->start + f->length};
  fsm_item signature, arg, field;
  int64_t n = 0, found = -1;
  while (function.p < function.end) {
    require(!fsm_next_field(&function, &signature));
    while (signature.tag == FSM_TAG(1, FSM_LEN) && signature.inside.p < signature.inside.end) {
      require(!fsm_next_field(&signature.inside, &arg));
      if (arg.tag != FSM_TAG(2, FSM_LEN))
        continue;
      while (arg.inside.p < arg.inside.end) {
        require(!fsm_next_field(&arg.inside, &field));
        if (field.tag == FSM_TAG(1, FSM_LEN) && same(field.inside, name) && found < 0)
          found = n;
      }
      n++;
    }
  }
  return found;
}

static fsm_edge naive(const graph *g, uint32_t owner, fsm_reader text) {
  const uint8_t *colon = NULL;
  for (const uint8_t *p = text.p; p < text.end && !(owner && colon); p++)
    if (*p == ':')
      colon = p;
  bool digits = colon && colon > text.p && colon + 1 < text.end;
  for (const uint8_t *p = colon ? colon + 1 : text.end; p < text.end; p++)
    digits = digits && *p >= '0' && *p <= '9';
  bool control = text.p < text.end && *text.p == '^';
  if (owner ? colon && !control : digits)
    text.end = colon;
  else if (control)
    text.p++;
  if (owner) {
    int64_t i = argument(g, owner, text);
    if (i >= 0)
      return FSM_EDGE(FSM_TO_ARGUMENT, i);
  }
  for (size_t row = 0; row < g->nodes.nodes.n; row++)
    if (node_of(g, row)->owner == owner && same(name_of(g, row), text))
      return FSM_EDGE(FSM_TO_NODE, row);
  return FSM_EDGE(FSM_TO_NOTHING, 0);
}

static void check_row(const graph *g, size_t row) {
  const fsm_node *node = node_of(g, row);
  const fsm_edge *edges = g->edges.edges.items;
  uint32_t at = g->edges.first[row], end = g->edges.first[row + 1], found;
  fsm_reader r = {g->data + node->start, g->data + node->start + node->length};
  fsm_item field;
  fsm_error e;
  require(at <= end && end <= g->edges.edges.n);
  while (r.p < r.end) {
    require(!fsm_next_field(&r, &field));
    if (field.tag == FSM_TAG(3, FSM_LEN))
      require(at < end && edges[at++] == naive(g, node->owner, field.inside));
  }
  for (; at < end; at++) {
    uint32_t number = fsm_edge_number(edges[at]);
    fsm_edge_kind kind = fsm_edge_kind_of(edges[at]);
    require(kind >= FSM_TO_FUNCTION && kind <= FSM_BESIDE_NOTHING);
    if (kind == FSM_TO_FUNCTION)
      require(number < g->nodes.functions.n);
    else if (kind == FSM_BESIDE_NODE)
      require(number < g->nodes.nodes.n && node_of(g, number)->owner == node->owner);
    else
      require(number == 0);
  }
  fsm_reader name = name_of(g, row);
  require(!fsm_edges_row(&g->edges, &g->nodes, &g->src, node->owner, name.p,
                         (size_t)(name.end - name.p), &found, &e));
  /* An argument keeps the name from a node. */
  require(found == FSM_NO_NAME ? node->owner && argument(g, node->owner, name) >= 0
                               : found <= row && same(name_of(g, found), name));
}

/* ---- walks ---- */

/* Mark until nothing is new. */
static void naive_walk(const graph *g, uint8_t *nodes, uint8_t *functions) {
  const fsm_edge *edges = g->edges.edges.items;
  const fsm_function *function = g->nodes.functions.items;
  for (bool more = true; more;) {
    more = false;
    for (size_t row = 0; row < g->nodes.nodes.n; row++) {
      uint32_t owner = node_of(g, row)->owner;
      for (uint32_t i = g->edges.first[row]; i < g->edges.first[row + 1]; i++) {
        uint32_t to = fsm_edge_number(edges[i]);
        fsm_edge_kind kind = fsm_edge_kind_of(edges[i]);
        if (kind == FSM_TO_NODE && nodes[row] && !nodes[to]) {
          nodes[to] = 1;
          more = true;
        }
        if (kind == FSM_TO_FUNCTION && (nodes[row] || (owner && functions[owner - 1])))
          for (size_t f = 0; f < g->nodes.functions.n; f++)
            if (function[f].name == function[to].name && !functions[f]) {
              functions[f] = 1;
              more = true;
            }
      }
    }
  }
}

static void walk(const graph *g, uint8_t *nodes, uint8_t *functions, uint64_t random) {
  size_t n = g->nodes.nodes.n, n_functions = g->nodes.functions.n;
  uint8_t *slow = calloc(n + n_functions + 1, 1);
  fsm_live live = {nodes, functions, {0}};
  require(slow);
  for (unsigned i = 0; i < 3 && n; i++, random = random * 6364136223846793005u + 1) {
    uint32_t row = (uint32_t)((random >> 33) % n);
    slow[row] = 1;
    require(!fsm_live_mark(&live, &g->edges, FSM_EDGE(FSM_TO_NODE, row)));
    if (i)
      require(!fsm_live_walk(&live, &g->edges, &g->nodes));
  }
  require(!fsm_live_walk(&live, &g->edges, &g->nodes) && live.todo.n == 0);
  naive_walk(g, slow, slow + n);
  require(n == 0 || memcmp(slow, nodes, n) == 0);
  require(n_functions == 0 || memcmp(slow + n, functions, n_functions) == 0);
  free(live.todo.items);
  free(slow);
}

/* ---- cuts ---- */

/* The names of the main graph's nodes, and of functions, that are marked; all without marks. */
static buffer names_in(const graph *g, const uint8_t *nodes, const uint8_t *functions) {
  const fsm_function *f = g->nodes.functions.items;
  buffer names = {0};
  for (size_t row = 0; row < g->nodes.nodes.n; row++)
    if (!node_of(g, row)->owner && (!nodes || nodes[row])) {
      fsm_reader name = name_of(g, row);
      put_varint(&names, (uint64_t)(name.end - name.p));
      put(&names, name.p, (size_t)(name.end - name.p));
    }
  for (size_t i = 0; i < g->nodes.functions.n; i++)
    if (!functions || functions[i]) {
      uint32_t n;
      const uint8_t *name = fsm_names_get(&g->nodes.names, f[i].name, &n);
      put_varint(&names, n);
      put(&names, name, n);
    }
  return names;
}

static void prune(const graph *g, size_t size, bool valid, const uint8_t *nodes,
                  const uint8_t *functions) {
  fsm_prune_span whole = {0, size, FSM_NO_FIELD, 0};
  fsm_pruned pruned = {0};
  fsm_error e;
  fsm_status s = fsm_prune(&pruned, &g->src, &g->nodes, &whole, 1, 0, nodes, functions, &e);
  require(!valid || !s);
  if (s) { /* in a gradient, which nothing else looks into */
    require(e.status == s && e.offset <= size);
    fsm_pruned_free(&pruned);
    return;
  }
  const fsm_splice *splices = pruned.splices.items;
  require(fsm_rewrite_in_order(splices, pruned.splices.n, pruned.fields.items, pruned.fields.n));
  for (size_t i = 1; i < pruned.splices.n; i++) /* neighbours are one */
    require(splices[i - 1].end < splices[i].start || splices[i - 1].field != splices[i].field);
  size_t n_pieces = fsm_rewrite_max_pieces(&g->src, pruned.splices.n, pruned.fields.n);
  uint64_t n_patch = fsm_rewrite_max_patch(&g->src, 0, pruned.fields.n);
  fsm_piece *pieces = malloc((n_pieces + 1) * sizeof *pieces);
  uint8_t *patch = malloc((size_t)n_patch + 1), *bytes = malloc(size + 1);
  require(pieces && patch && bytes);
  require(!fsm_rewrite(&g->src, pruned.splices.items, pruned.splices.n, pruned.fields.items,
                       pruned.fields.n, g->data, pieces, &n_pieces, patch, &n_patch, &e));
  fsm_src made;
  require(!fsm_src_init(&made, pieces, n_pieces, patch, n_patch, &e) && made.size <= size);
  require(!fsm_src_read(&made, 0, bytes, (size_t)made.size, &e));
  graph after;
  require(!resolve(&after, bytes, (size_t)made.size, &e));
  buffer want = names_in(g, nodes, functions), left = names_in(&after, NULL, NULL);
  require(want.size == left.size && (!want.size || memcmp(want.p, left.p, want.size) == 0));
  clear(&want);
  clear(&left);
  drop(&after);
  free(pieces);
  free(patch);
  free(bytes);
  fsm_pruned_free(&pruned);
}

static void check(const uint8_t *data, size_t size, bool valid) {
  graph g;
  fsm_error e;
  fsm_status s = resolve(&g, data, size, &e);
  require(!valid || !s);
  require(!s || (e.status == s && e.offset <= size));
  if (!s && g.nodes.nodes.n < 300) { /* looking through everything takes its time */
    for (size_t row = 0; row < g.nodes.nodes.n; row++)
      check_row(&g, row);
    uint8_t *nodes = calloc(g.nodes.nodes.n + 1, 1);
    uint8_t *functions = calloc(g.nodes.functions.n + 1, 1);
    require(nodes && functions);
    walk(&g, nodes, functions, size ? data[size / 2] * 0x9e3779b97f4a7c15u : 0);
    prune(&g, size, valid, nodes, functions);
    free(nodes);
    free(functions);
  }
  drop(&g);
}

/* ---- graphs made of choices ---- */

static const char *const NAMES[] = {"",   "a",   "b",    "c",   "a:1", "b:o:0", "^a", "^b",
                                    "^c", "x:y", "c:12", "^:1", ":",   ":1",    "f",  "g"};

static void put_name(choices *c, buffer *m, unsigned number) {
  const char *name = NAMES[choose(c, sizeof NAMES / sizeof *NAMES)];
  odd_tag(c, m, number, FSM_LEN);
  put_wide(m, strlen(name), odd_width(c, 5));
  put(m, name, strlen(name));
}

static void put_attr(choices *c, buffer *m, unsigned number, unsigned depth) {
  buffer entry = {0}, value = {0}, list = {0};
  put_text(&entry, 1, choose(c, 2) ? "_class" : "f");
  for (unsigned n = choose(c, 4); n; n--) {
    bool func = choose(c, 2);
    if (func && depth < 20) {
      buffer inner = {0};
      put_name(c, &inner, 1);
      if (choose(c, 3) == 1)
        put_attr(c, &inner, 2, depth + 1);
      bool listed = choose(c, 2);
      put_message(listed ? &list : &value, listed ? 9 : 10, &inner);
      clear(&inner);
    } else {
      static const char *const places[] = {"loc:@a", "loc:@b", "loc:@", "loc:@gone", "a", ""};
      put_text(&list, 2, places[choose(c, 6)]);
    }
  }
  put_message(&value, 1, &list);
  put_message(&entry, 2, &value);
  if (choose(c, 8) == 1) /* the key comes behind */
    put_text(&entry, 1, "_class");
  put_message(m, number, &entry);
  clear(&entry);
  clear(&value);
  clear(&list);
}

static void put_node(choices *c, buffer *m, unsigned number) {
  buffer node = {0};
  for (unsigned n = 1 + choose(c, 6); n; n--) {
    unsigned field = 1 + choose(c, 7);
    if (field == 5)
      put_attr(c, &node, 5, 0);
    else if (field <= 3)
      put_name(c, &node, field);
    else
      put_name(c, &node, 3);
  }
  odd_payload(c, m, number, &node);
  clear(&node);
}

static void put_library(choices *c, buffer *m) {
  buffer library = {0}, function = {0}, inner = {0}, arg = {0};
  for (unsigned n = choose(c, 5); n; n--) {
    unsigned field = 1 + choose(c, 4);
    if (field > 1) { /* gradients; and what is not known */
      put_name(c, &inner, 1);
      put_name(c, &inner, 2);
      put_message(&library, field, &inner);
      clear(&inner);
      continue;
    }
    for (unsigned parts = choose(c, 6); parts; parts--)
      switch (choose(c, 4)) {
      case 0:
        put_name(c, &inner, 1);
        put_name(c, &arg, choose(c, 5) ? 1 : 3);
        put_message(&inner, 2, &arg);
        put_message(&function, 1, &inner);
        clear(&inner);
        clear(&arg);
        break;
      case 1:
        put_name(c, &inner, 1);
        put_name(c, &inner, 2);
        put_message(&function, choose(c, 2) ? 4 : 6, &inner);
        clear(&inner);
        break;
      default:
        put_node(c, &function, 3);
      }
    put_message(&library, 1, &function);
    clear(&function);
  }
  odd_payload(c, m, 2, &library);
  clear(&library);
}

static buffer make_graph(choices *c) {
  buffer m = {0};
  while (c->p < c->end) {
    unsigned what = choose(c, 8);
    if (what == 0)
      put_library(c, &m);
    else if (what == 1)
      odd_unknown(c, &m, 3 + choose(c, 9), choose(c, 2) ? FSM_GROUP : FSM_VARINT, 0);
    else
      put_node(c, &m, 1);
  }
  return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  check(data, size, false);
  choices c = {data, data + size};
  buffer made = make_graph(&c);
  check(made.p ? made.p : data, made.size, true);
  clear(&made);
  return 0;
}

/* Graphs, and the choices that make some. */
size_t fuzz_seed(unsigned i, uint8_t *to, size_t capacity) {
  uint64_t state = i + 1;
  uint8_t bytes[800];
  if (i >= 40)
    return 0;
  for (size_t j = 0; j < sizeof bytes; j++)
    bytes[j] = (uint8_t)((state = state * UINT64_C(6364136223846793005) + 1) >> 56);
  size_t n = 20 * (i + 1);
  if (i % 2) {
    memcpy(to, bytes, n);
    return n;
  }
  choices c = {bytes, bytes + n};
  buffer made = make_graph(&c);
  n = made.size < capacity ? made.size : capacity;
  if (n)
    memcpy(to, made.p, n);
  clear(&made);
  return n;
}
