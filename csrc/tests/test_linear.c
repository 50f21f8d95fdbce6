/* No message is slow to put in order: twice the bytes take about twice the steps,
 * and a byte takes a bounded number of them.
 *
 * The core is compiled to call __sanitizer_cov_trace_pc in every basic block, so
 * steps are counted, not timed. Reading the source has its steps, too. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "fsm_src.h"

static uint64_t steps;

/* The source as it is, but for the count. */
fsm_status read_source(const fsm_src *src, uint64_t offset, void *to, size_t n, fsm_error *e);
#define fsm_src_read read_source
#include "../fsm_src.c"
#undef fsm_src_read

fsm_status fsm_src_read(const fsm_src *src, uint64_t offset, void *to, size_t n,
                        fsm_error *e) {
  steps += 100 + n / 16; /* a call of the system, and what it copies */
  return read_source(src, offset, to, n, e);
}

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void) { steps++; }

#include "check.h"
#include "fsm_canon.h"
#include "fsm_edges.h"
#include "fsm_prune.h"
#include "make_message.h"

/* The dearest messages here take some seventy. */
#define MAX_STEPS_PER_BYTE 100

/* ---- messages that ask for much; n is about their size in bytes ---- */

typedef buffer maker(size_t n);

/* All fields of a node backwards, over and over. */
static buffer make_backwards(size_t n) {
  buffer m = {0};
  while (m.size < n) {
    put_text(&m, 4, "d");
    put_text(&m, 3, "i");
    put_text(&m, 2, "o");
    put_text(&m, 1, "n");
  }
  return m;
}

static buffer make_falling_keys(size_t n) {
  buffer m = {0}, value = {0};
  for (size_t i = n / 16; i--;) {
    char key[16];
    snprintf(key, sizeof key, "%08zu", i);
    put_entry_of(&m, 5, key, &value);
  }
  return m;
}

static buffer make_equal_keys(size_t n) {
  buffer m = {0}, value = {0};
  while (m.size < n)
    put_entry_of(&m, 5, "k", &value);
  return m;
}

/* A singular message in as many parts as there are. */
static buffer make_parts(size_t n) {
  buffer m = {0}, part = {0};
  put_text(&part, 1, "x");
  while (m.size < n) {
    put_message(&m, 6, &part);
    put_text(&m, 4, "d");
  }
  clear(&part);
  return m;
}

/* Ninety levels, the last of which has its fields backwards: no level is canonical. */
static buffer make_deep(size_t n) {
  buffer m = {0};
  while (m.size < n) {
    buffer type = {0};
    put_int(&type, 4, 1);
    put_int(&type, 1, 1);
    for (int level = 0; level < 90; level++) {
      buffer around = {0};
      put_message(&around, 2, &type);
      clear(&type);
      type = around;
    }
    put_message(&m, 7, &type);
    clear(&type);
  }
  return m;
}

/* Levels of which each is large, in order but for its last field. */
static buffer make_deep_and_large(size_t n) {
  buffer type = {0}, m = {0};
  char *text = calloc(1, n / 64 + 1);
  if (!text)
    abort();
  memset(text, 's', n / 64);
  for (int level = 0; level < 64; level++) {
    buffer around = {0};
    put_message(&around, 2, &type);
    put_text(&around, 3, text);
    put_int(&around, 1, 1);
    clear(&type);
    type = around;
  }
  put_message(&m, 7, &type);
  clear(&type);
  free(text);
  return m;
}

static buffer make_groups(size_t n) {
  buffer m = {0};
  while (m.size < n) {
    for (int i = 0; i < 98; i++)
      put_tag(&m, 99, FSM_GROUP);
    for (int i = 0; i < 98; i++)
      put_tag(&m, 99, FSM_END_GROUP);
  }
  return m;
}

/* A group of one large group of one large group ... */
static buffer make_large_groups(size_t n) {
  buffer m = {0};
  for (int i = 0; i < 98; i++)
    put_tag(&m, 99, FSM_GROUP);
  while (m.size < n)
    put_int(&m, 1, 1);
  for (int i = 0; i < 98; i++)
    put_tag(&m, 99, FSM_END_GROUP);
  return m;
}

/* Maps in maps, each of them backwards. */
static buffer make_maps_in_maps(size_t n) {
  buffer m = {0};
  while (m.size < n) {
    buffer value = {0};
    put_int(&value, 3, 1);
    for (int level = 0; level < 30; level++) {
      buffer func = {0}, around = {0};
      put_entry_of(&func, 2, "b", &value);
      put_entry_of(&func, 2, "a", &around);
      put_message(&around, 10, &func);
      clear(&func);
      clear(&value);
      value = around;
    }
    put_entry_of(&m, 5, "v", &value);
    clear(&value);
  }
  return m;
}

static buffer make_packed(size_t n) {
  buffer values = {0}, m = {0}, value = {0}, tensor = {0};
  while (values.size < n)
    put_wide(&values, 300, 6);
  put_message(&tensor, 10, &values);
  put_message(&value, 8, &tensor);
  put_entry_of(&m, 5, "value", &value);
  clear(&values);
  clear(&value);
  clear(&tensor);
  return m;
}

static buffer make_nodes(size_t n, bool odd) {
  static const char *const keys[] = {"dtype", "T", "shape"};
  buffer graph = {0}, value = {0};
  put_int(&value, 6, 1);
  while (graph.size < n) {
    buffer node = {0};
    put_text(&node, 1, "a/name/of/usual/length");
    put_text(&node, 2, "Identity");
    if (odd)
      put_text(&node, 2, "Identity");
    for (size_t i = 0; i < 3; i++)
      put_entry_of(&node, 5, keys[i], &value);
    put_message(&graph, 1, &node);
    clear(&node);
  }
  clear(&value);
  return graph;
}

static buffer make_odd_nodes(size_t n) { return make_nodes(n, true); }
static buffer make_usual_nodes(size_t n) { return make_nodes(n, false); }

/* ---- counting ---- */

static uint64_t steps_to_hash(const buffer *message, fsm_message type) {
  fsm_canon c = {0};
  fsm_src src;
  fsm_piece piece;
  fsm_span whole = {0, message->size};
  uint64_t hash;
  fsm_src_memory(&src, &piece, message->p, message->size);
  steps = 0;
  CHECK_EQ(fsm_canon_hash(&c, &src, type, &whole, 1, &hash), FSM_OK);
  uint64_t taken = steps;
  fsm_canon_free(&c);
  return taken;
}

/* At a size that is put in order in memory, and at one that is streamed. */
static void check_linear(maker *make, fsm_message type, const char *what) {
  static const size_t sizes[] = {30000, 1200000};
  for (size_t i = 0; i < 2; i++) {
    buffer one = make(sizes[i]), two = make(2 * sizes[i]);
    uint64_t a = steps_to_hash(&one, type), b = steps_to_hash(&two, type);
    double per_byte = (double)b / (double)two.size;
    if (getenv("VERBOSE"))
      printf("%s: %.1f and %.1f steps a byte\n", what, (double)a / (double)one.size, per_byte);
    CHECK(b < 3 * a); /* twice, and a sort's logarithm */
    CHECK(per_byte < MAX_STEPS_PER_BYTE);
    clear(&one);
    clear(&two);
  }
}

#define LINEAR(make, message) \
  static void test_##make(void) { check_linear(make, FSM_MSG_##message, #make); }

LINEAR(make_backwards, NodeDef)
LINEAR(make_falling_keys, NodeDef)
LINEAR(make_equal_keys, NodeDef)
LINEAR(make_parts, NodeDef)
LINEAR(make_deep, NodeDef)
LINEAR(make_deep_and_large, NodeDef)
LINEAR(make_groups, NodeDef)
LINEAR(make_large_groups, NodeDef)
LINEAR(make_maps_in_maps, NodeDef)
LINEAR(make_packed, NodeDef)
LINEAR(make_odd_nodes, GraphDef)
LINEAR(make_usual_nodes, GraphDef)

/* Names that are all different, which is what a hash table minds; each node takes from the
 * one before it, names a function that all have, and every other one goes. */
static buffer make_chain(size_t n) {
  buffer graph = {0}, node = {0}, func = {0}, value = {0}, library = {0}, function = {0};
  put_text(&func, 1, "f");
  put_message(&value, 10, &func);
  for (size_t i = 0; i < n; i++) {
    char name[32];
    clear(&node);
    snprintf(name, sizeof name, "Op%zu", i);
    put_text(&node, 1, name);
    put_text(&node, 2, name);
    snprintf(name, sizeof name, "Op%zu", i ? i - 1 : n);
    put_text(&node, 3, name);
    put_entry_of(&node, 5, "f", &value);
    put_message(&graph, 1, &node);
    clear(&function);
    put_message(&function, 1, &func); /* its signature is its name */
    put_message(&library, 1, &function);
  }
  put_message(&graph, 2, &library);
  clear(&node);
  clear(&func);
  clear(&value);
  clear(&library);
  clear(&function);
  return graph;
}

static void test_graphs_are_linear(void) {
  uint64_t taken[2];
  for (size_t i = 0; i < 2; i++) {
    const size_t n = 10000 * (i + 1);
    buffer graph = make_chain(n);
    fsm_nodes nodes = {0};
    fsm_edges edges = {0};
    fsm_pruned pruned = {0};
    fsm_src src;
    fsm_piece piece;
    fsm_span whole = {0, graph.size};
    fsm_prune_span all = {0, graph.size, FSM_NO_FIELD, 0};
    fsm_error e;
    fsm_live live = {calloc(n, 1), calloc(n, 1), {0}};
    fsm_src_memory(&src, &piece, graph.p, graph.size);
    steps = 0;
    CHECK_EQ(fsm_nodes_scan(&nodes, &src, &whole, 1, FSM_NODES_ROWS, &e), FSM_OK);
    CHECK_EQ(fsm_edges_resolve(&edges, &nodes, &src, &e), FSM_OK);
    for (uint32_t row = 0; row < n; row += 2) {
      CHECK_EQ(fsm_live_mark(&live, &edges, FSM_EDGE(FSM_TO_NODE, row)), FSM_OK);
      CHECK_EQ(fsm_live_walk(&live, &edges, &nodes), FSM_OK);
    }
    CHECK(live.nodes[n - 2] && !live.nodes[n - 1] && live.functions[n - 1]);
    for (uint32_t row = 1; row < n; row += 2)
      live.nodes[row] = live.functions[row] = 0;
    CHECK_EQ(fsm_prune(&pruned, &src, &nodes, &all, 1, 0, live.nodes, live.functions, &e),
             FSM_OK);
    CHECK_EQ(pruned.splices.n, n);
    taken[i] = steps;
    free(live.nodes);
    free(live.functions);
    free(live.todo.items);
    fsm_pruned_free(&pruned);
    fsm_edges_free(&edges);
    fsm_nodes_free(&nodes);
    clear(&graph);
  }
  CHECK(taken[1] < 3 * taken[0]);
}

int main(void) {
  RUN(test_make_backwards);
  RUN(test_make_falling_keys);
  RUN(test_make_equal_keys);
  RUN(test_make_parts);
  RUN(test_make_deep);
  RUN(test_make_deep_and_large);
  RUN(test_make_groups);
  RUN(test_make_large_groups);
  RUN(test_make_maps_in_maps);
  RUN(test_make_packed);
  RUN(test_make_odd_nodes);
  RUN(test_make_usual_nodes);
  RUN(test_graphs_are_linear);
  return check_report();
}
