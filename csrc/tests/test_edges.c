/* The edges of a graph: what inputs, attributes and functions name, and walks along it. */
#include "check.h"
#include "fsm_edges.h"
#include "make_message.h"

/* A graph in memory, indexed and resolved. */
typedef struct {
  buffer bytes;
  fsm_src src;
  fsm_piece piece;
  fsm_nodes nodes;
  fsm_edges edges;
  fsm_error error;
} graph;

static fsm_status resolve(graph *g) {
  fsm_span whole = {0, g->bytes.size};
  fsm_src_memory(&g->src, &g->piece, g->bytes.p, g->bytes.size);
  fsm_status s = fsm_nodes_scan(&g->nodes, &g->src, &whole, 1, FSM_NODES_ROWS, &g->error);
  return s ? s : fsm_edges_resolve(&g->edges, &g->nodes, &g->src, &g->error);
}

static void drop(graph *g) {
  fsm_edges_free(&g->edges);
  fsm_nodes_free(&g->nodes);
  clear(&g->bytes);
  *g = (graph){0};
}

/* A node with its inputs, separated by spaces, and its attributes. */
static void put_op(buffer *to, unsigned number, const char *name, const char *op,
                   const char *inputs, const buffer *attrs) {
  buffer node = {0};
  put_text(&node, 1, name);
  put_text(&node, 2, op);
  for (const char *p = inputs; *p;) {
    size_t n = strcspn(p, " ");
    put_tag(&node, 3, FSM_LEN);
    put_varint(&node, n);
    put(&node, p, n);
    p += n + (p[n] == ' ');
  }
  if (attrs)
    put(&node, attrs->p, attrs->size);
  put_message(to, number, &node);
  clear(&node);
}

/* An attribute, or one of a NameAttrList, that names a function. */
static void put_func(buffer *to, unsigned number, const char *key, const char *name,
                     const buffer *attrs) {
  buffer func = {0}, value = {0};
  if (name)
    put_text(&func, 1, name);
  if (attrs)
    put(&func, attrs->p, attrs->size);
  put_message(&value, 10, &func);
  put_entry_of(to, number, key, &value);
  clear(&func);
  clear(&value);
}

static void put_class(buffer *to, const char *text) {
  buffer list = {0}, value = {0};
  put_text(&list, 2, text);
  put_message(&value, 1, &list);
  put_entry_of(to, 5, "_class", &value);
  clear(&list);
  clear(&value);
}

static void put_function(buffer *library, const char *name, const char *argument,
                         const buffer *rest) {
  buffer function = {0}, signature = {0}, arg = {0};
  put_text(&signature, 1, name);
  if (argument) {
    put_text(&arg, 1, argument);
    put_message(&signature, 2, &arg);
  }
  put_message(&function, 1, &signature);
  if (rest)
    put(&function, rest->p, rest->size);
  put_message(library, 1, &function);
  clear(&function);
  clear(&signature);
  clear(&arg);
}

static void check_edges(const graph *g, uint32_t row, const fsm_edge *want, size_t n) {
  const fsm_edge *edges = g->edges.edges.items;
  uint32_t first = g->edges.first[row];
  CHECK_EQ(g->edges.first[row + 1] - first, n);
  for (size_t i = 0; i < n && first + i < g->edges.first[row + 1]; i++)
    CHECK_EQ(edges[first + i], want[i]);
}

#define CHECK_EDGES(g, row, ...)                               \
  do {                                                         \
    const fsm_edge want[] = {__VA_ARGS__};                     \
    check_edges(g, row, want, sizeof want / sizeof *want);     \
  } while (0)

static void check_loose(const graph *g, size_t i, uint32_t at, uint32_t what) {
  const fsm_loose *loose = g->edges.loose.items;
  CHECK(i < g->edges.loose.n);
  if (i < g->edges.loose.n) {
    CHECK_EQ(loose[i].at, at);
    CHECK_EQ(loose[i].what, what);
  }
}

static uint32_t row_of(const graph *g, uint32_t owner, const char *name) {
  uint32_t row = 0;
  fsm_error e;
  CHECK_EQ(fsm_edges_row(&g->edges, &g->nodes, &g->src, owner, (const uint8_t *)name,
                         strlen(name), &row, &e),
           FSM_OK);
  return row;
}

static void test_inputs(void) {
  graph g = {0};
  buffer body = {0}, library = {0};
  put_op(&body, 3, "n", "Op", "a:0 b n:out:1 ^n a", NULL);
  put_function(&library, "f", "a", &body);
  put_op(&g.bytes, 1, "x", "Op", "y:12 ^y x gone : y: :0", NULL);
  put_message(&g.bytes, 2, &library);
  put_op(&g.bytes, 1, "y", "Op", "", NULL);
  CHECK_EQ(resolve(&g), FSM_OK);
  CHECK_EDGES(&g, 0, FSM_EDGE(FSM_TO_NODE, 2), FSM_EDGE(FSM_TO_NODE, 2), FSM_EDGE(FSM_TO_NODE, 0),
              FSM_EDGE(FSM_TO_NOTHING, 0), FSM_EDGE(FSM_TO_NOTHING, 0),
              FSM_EDGE(FSM_TO_NOTHING, 0), FSM_EDGE(FSM_TO_NOTHING, 0));
  CHECK_EDGES(&g, 1, FSM_EDGE(FSM_TO_ARGUMENT, 0), FSM_EDGE(FSM_TO_NOTHING, 0),
              FSM_EDGE(FSM_TO_NODE, 1), FSM_EDGE(FSM_TO_NODE, 1), FSM_EDGE(FSM_TO_ARGUMENT, 0));
  check_loose(&g, 0, 0, FSM_LOOSE_INPUT);
  check_loose(&g, 1, 1, FSM_LOOSE_INPUT);
  CHECK_EQ(g.edges.loose.n, 2);
  CHECK_EQ(row_of(&g, 0, "x"), 0);
  CHECK_EQ(row_of(&g, 0, "y"), 2);
  CHECK_EQ(row_of(&g, 1, "n"), 1);
  CHECK_EQ(row_of(&g, 0, "n"), FSM_NO_NAME);
  CHECK_EQ(row_of(&g, 1, "a"), FSM_NO_NAME);
  CHECK_EQ(row_of(&g, 0, "gone"), FSM_NO_NAME);
  drop(&g);
  clear(&body);
  clear(&library);
}

static void test_attributes(void) {
  graph g = {0};
  buffer attrs = {0}, inner = {0}, library = {0};
  put_func(&inner, 2, "deep", "f", NULL);
  put_class(&attrs, "loc:@b");
  put_class(&attrs, "loc:@gone");
  put_class(&attrs, "elsewhere");
  put_func(&attrs, 5, "g", "missing", &inner);
  put_func(&attrs, 5, "empty", NULL, NULL);
  put_function(&library, "f", NULL, NULL);
  put_function(&library, "h", NULL, NULL);
  put_function(&library, "f", NULL, NULL);
  put_op(&g.bytes, 1, "a", "h", "b", &attrs);
  put_op(&g.bytes, 1, "b", "Op", "", NULL);
  put_message(&g.bytes, 2, &library);
  CHECK_EQ(resolve(&g), FSM_OK);
  CHECK_EDGES(&g, 0, FSM_EDGE(FSM_TO_NODE, 1), FSM_EDGE(FSM_BESIDE_NODE, 1),
              FSM_EDGE(FSM_BESIDE_NOTHING, 0), FSM_EDGE(FSM_TO_NO_FUNCTION, 0),
              FSM_EDGE(FSM_TO_FUNCTION, 0), FSM_EDGE(FSM_TO_FUNCTION, 1));
  check_loose(&g, 0, 0, FSM_LOOSE_FUNCTION | FSM_LOOSE_CLASS);
  drop(&g);
  clear(&attrs);
  clear(&inner);
  clear(&library);
}

/* Inputs behind attributes, keys behind values, fields of other wire types. */
static void test_odd_order(void) {
  graph g = {0};
  buffer node = {0}, list = {0}, value = {0}, entry = {0};
  put_text(&list, 2, "loc:@n");
  put_message(&value, 1, &list);
  put_message(&entry, 2, &value);
  put_text(&entry, 1, "_class");
  put_message(&node, 5, &entry);
  put_int(&node, 3, 7);
  put_text(&node, 3, "n");
  put_text(&node, 1, "first");
  put_text(&node, 1, "n");
  put_message(&g.bytes, 1, &node);
  CHECK_EQ(resolve(&g), FSM_OK);
  CHECK_EDGES(&g, 0, FSM_EDGE(FSM_TO_NODE, 0), FSM_EDGE(FSM_BESIDE_NODE, 0));
  CHECK_EQ(row_of(&g, 0, "first"), FSM_NO_NAME);
  drop(&g);
  clear(&node);
  clear(&list);
  clear(&value);
  clear(&entry);
}

/* Too large to be read in memory: the cursor steps over the bytes of its constant. */
static void test_large_nodes(void) {
  graph g = {0};
  buffer node = {0}, library = {0}, value = {0}, list = {0}, func = {0};
  char *large = calloc(1, 1 << 20);
  memset(large, 'x', (1 << 20) - 1);
  put_text(&node, 1, "n");
  put_text(&node, 3, "n");
  put_text(&value, 8, large); /* a tensor */
  put_entry_of(&node, 5, "value", &value);
  put_func(&node, 5, "g", "f", NULL);
  put_text(&list, 2, "loc:@n"); /* as its `_class`, among much else */
  for (int i = 0; i < 3000; i++)
    put_text(&list, 2, "nowhere");
  put_text(&func, 1, "f");
  put_message(&list, 9, &func);
  clear(&value);
  put_message(&value, 1, &list);
  put_entry_of(&node, 5, "_class", &value);
  put_message(&g.bytes, 1, &node);
  put_function(&library, "f", NULL, NULL);
  put_message(&g.bytes, 2, &library);
  CHECK_EQ(resolve(&g), FSM_OK);
  CHECK_EDGES(&g, 0, FSM_EDGE(FSM_TO_NODE, 0), FSM_EDGE(FSM_TO_FUNCTION, 0),
              FSM_EDGE(FSM_BESIDE_NODE, 0), FSM_EDGE(FSM_TO_FUNCTION, 0));
  drop(&g);
  clear(&node);
  clear(&library);
  clear(&value);
  clear(&list);
  clear(&func);
  free(large);
}

static void test_functions(void) {
  graph g = {0};
  buffer body = {0}, library = {0}, value = {0};
  for (int i = 0; i < 2; i++) {
    put_op(&body, 3, "n", "Op", "", NULL); /* twice */
    put_op(&body, 3, "a", "Op", "", NULL); /* as the argument */
  }
  buffer entry = {0};
  put_text(&entry, 1, "y");
  put_text(&entry, 2, "n:out:0");
  put_message(&body, 4, &entry);
  put_function(&library, "f", "a", &body);
  clear(&entry);
  put_text(&entry, 1, "z");
  put_text(&entry, 2, "gone:out:0");
  put_message(&body, 4, &entry);
  put_message(&body, 6, &entry);
  put_function(&library, "g", "a", &body);
  put_message(&g.bytes, 2, &library);
  CHECK_EQ(resolve(&g), FSM_OK);
  check_loose(&g, 0, 1, FSM_LOOSE_RESULT);
  static const uint32_t twice[] = {1, 2, 3, 5, 6, 7};
  CHECK_EQ(g.edges.loose.n, 7);
  for (size_t i = 0; i < 6; i++)
    check_loose(&g, i + 1, twice[i], FSM_LOOSE_NAME);
  CHECK_EQ(row_of(&g, 2, "n"), 4);
  drop(&g);
  clear(&body);
  clear(&library);
  clear(&value);
  clear(&entry);
}

static void test_walks(void) {
  graph g = {0};
  buffer body = {0}, library = {0};
  put_op(&g.bytes, 1, "a", "Op", "b", NULL);
  put_op(&g.bytes, 1, "b", "f", "^a", NULL);
  put_op(&g.bytes, 1, "c", "Op", "a gone", NULL);
  put_op(&body, 3, "n", "g", "n:o:0", NULL);
  put_function(&library, "f", NULL, &body);
  clear(&body);
  put_op(&body, 3, "n", "f", "", NULL);
  put_function(&library, "g", NULL, &body);
  put_function(&library, "f", NULL, NULL);
  put_function(&library, "h", NULL, NULL);
  put_message(&g.bytes, 2, &library);
  CHECK_EQ(resolve(&g), FSM_OK);
  uint8_t nodes[5] = {0}, functions[4] = {0};
  fsm_live live = {nodes, functions, {0}};
  CHECK_EQ(fsm_live_mark(&live, &g.edges, FSM_EDGE(FSM_TO_NODE, 0)), FSM_OK);
  CHECK_EQ(fsm_live_walk(&live, &g.edges, &g.nodes), FSM_OK);
  CHECK_BYTES(nodes, 5, "\1\1\0\0\0", 5);
  CHECK_BYTES(functions, 4, "\1\1\1\0", 4);
  CHECK_EQ(live.todo.n, 0);
  CHECK_EQ(fsm_live_mark(&live, &g.edges, FSM_EDGE(FSM_TO_NODE, 2)), FSM_OK);
  CHECK_EQ(fsm_live_mark(&live, &g.edges, FSM_EDGE(FSM_TO_FUNCTION, 3)), FSM_OK);
  CHECK_EQ(fsm_live_walk(&live, &g.edges, &g.nodes), FSM_OK);
  CHECK_BYTES(nodes, 5, "\1\1\1\0\0", 5);
  CHECK_BYTES(functions, 4, "\1\1\1\1", 4);
  free(live.todo.items);
  drop(&g);
  clear(&body);
  clear(&library);
}

static void test_empty_graphs(void) {
  graph g = {0};
  CHECK_EQ(resolve(&g), FSM_OK);
  CHECK_EQ(row_of(&g, 0, ""), FSM_NO_NAME);
  drop(&g);
  put(&g.bytes, "\x0a\x00\x0a\x02\x1a\x00\x12\x02\x0a\x00", 10); /* without any name */
  CHECK_EQ(resolve(&g), FSM_OK);
  CHECK_EDGES(&g, 1, FSM_EDGE(FSM_TO_NODE, 0), FSM_EDGE(FSM_TO_FUNCTION, 0)); /* its op is "" */
  check_loose(&g, 0, 1, FSM_LOOSE_NAME);
  drop(&g);
}

static void test_a_million_inputs_of_one_node(void) {
  graph g = {0};
  buffer node = {0};
  const uint32_t n = 1000000;
  put_text(&node, 1, "n");
  for (uint32_t i = 0; i < n; i++)
    put_text(&node, 3, i % 2 ? "^n" : "m:3");
  put_message(&g.bytes, 1, &node);
  put_op(&g.bytes, 1, "m", "Op", "", NULL);
  CHECK_EQ(resolve(&g), FSM_OK);
  CHECK_EQ(g.edges.edges.n, n);
  const fsm_edge *edges = g.edges.edges.items;
  uint32_t right = 0;
  for (uint32_t i = 0; i < n; i++)
    right += edges[i] == FSM_EDGE(FSM_TO_NODE, 1 - i % 2);
  CHECK_EQ(right, n);
  drop(&g);
  clear(&node);
}

/* More names than nodes, so that the table grows; too many are refused. */
static void test_many_loose_names(void) {
  for (unsigned more = 0; more < 2; more++) {
    graph g = {0};
    buffer node = {0};
    char name[16];
    const uint32_t n = more ? (1 << 20) + 2 : 100000;
    put_text(&node, 1, "n");
    for (uint32_t i = 0; i < n; i++) {
      snprintf(name, sizeof name, "^%u", (unsigned)i);
      put_text(&node, 3, name);
    }
    put_text(&node, 3, "n");
    put_message(&g.bytes, 1, &node);
    CHECK_EQ(resolve(&g), more ? FSM_E_LIMIT : FSM_OK);
    CHECK(g.error.offset < g.bytes.size);
    if (!more) {
      CHECK_EQ(((const fsm_edge *)g.edges.edges.items)[n - 1], FSM_EDGE(FSM_TO_NOTHING, 0));
      CHECK_EQ(((const fsm_edge *)g.edges.edges.items)[n], FSM_EDGE(FSM_TO_NODE, 0));
      CHECK_EQ(row_of(&g, 0, "n"), 0);
      CHECK_EQ(row_of(&g, 0, "5"), FSM_NO_NAME);
    }
    drop(&g);
    clear(&node);
  }
}

/* More rows where something does not resolve than are told; of whatever kind. */
static void test_many_loose_rows(void) {
  for (unsigned alike = 0; alike < 2; alike++)
    for (unsigned more = 0; more < 2; more++) {
      graph g = {0};
      for (uint32_t i = 0; i < (1 << 20) + alike + more; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", (unsigned)i);
        if (alike)
          put(&g.bytes, "\x0a\x00", 2); /* without a name */
        else
          put_op(&g.bytes, 1, name, "", "gone", NULL);
      }
      CHECK_EQ(resolve(&g), more ? FSM_E_LIMIT : FSM_OK);
      CHECK(g.error.offset < g.bytes.size);
      CHECK_EQ(g.edges.loose.n, more && alike ? 0 : 1 << 20);
      drop(&g);
    }
}

static void test_limits(void) {
  graph g = {0};
  buffer inner = {0}, attrs = {0};
  char *name = calloc(1, (16 << 10) + 2);
  memset(name, 'n', 16 << 10);
  for (int longer = 0; longer < 2; longer++) {
    name[16 << 10] = longer ? 'n' : 0;
    put_op(&g.bytes, 1, name, "Op", name, NULL);
    CHECK_EQ(resolve(&g), longer ? FSM_E_LIMIT : FSM_OK);
    drop(&g);
    put_op(&g.bytes, 1, "n", "Op", name, NULL);
    CHECK_EQ(resolve(&g), longer ? FSM_E_LIMIT : FSM_OK);
    drop(&g);
  }
  free(name);
  for (unsigned depth = 0; depth < 40; depth++) { /* three messages each */
    buffer around = {0};
    put_func(&around, 2, "g", "f", &inner);
    clear(&inner);
    inner = around;
    if (depth != 10 && depth != 39)
      continue;
    put_func(&attrs, 5, "g", "f", &inner);
    put_op(&g.bytes, 1, "n", "Op", "", &attrs);
    CHECK_EQ(resolve(&g), depth == 39 ? FSM_E_DEPTH : FSM_OK);
    drop(&g);
    clear(&attrs);
  }
  clear(&inner);
}

static void test_broken_graphs(void) {
  static const struct {
    const char *bytes;
    size_t n;
    fsm_status status;
    uint64_t offset;
  } broken[] = {
      /* an attribute's value, its list, a NameAttrList, an argument, a result */
      {"\x0a\x06\x2a\x04\x12\x05\x0a\x00", 8, FSM_E_TRUNCATED, 4},
      {"\x0a\x08\x2a\x06\x12\x04\x0a\x02\x12\x09", 10, FSM_E_TRUNCATED, 8},
      {"\x0a\x08\x2a\x06\x12\x04\x52\x02\x0a\x01", 10, FSM_E_TRUNCATED, 8},
      {"\x12\x08\x0a\x06\x0a\x04\x12\x02\x0a\x01", 10, FSM_E_TRUNCATED, 8},
      {"\x12\x06\x0a\x04\x22\x02\x12\x01", 8, FSM_E_TRUNCATED, 6},
  };
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    graph g = {0};
    put(&g.bytes, broken[i].bytes, broken[i].n);
    CHECK_EQ(resolve(&g), broken[i].status);
    CHECK_EQ(g.error.offset, broken[i].offset);
    drop(&g);
  }
}

int main(void) {
  RUN(test_inputs);
  RUN(test_attributes);
  RUN(test_odd_order);
  RUN(test_large_nodes);
  RUN(test_functions);
  RUN(test_walks);
  RUN(test_empty_graphs);
  RUN(test_a_million_inputs_of_one_node);
  RUN(test_many_loose_names);
  RUN(test_many_loose_rows);
  RUN(test_limits);
  RUN(test_broken_graphs);
  return check_report();
}
