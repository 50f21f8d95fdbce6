/* A graph without what nothing needs: cut in runs, with all lengths right. */
#include "check.h"
#include "fsm_prune.h"
#include "make_message.h"

static void put_named(buffer *to, unsigned number, const char *name) {
  buffer node = {0};
  put_text(&node, 1, name);
  put_message(to, number, &node);
  clear(&node);
}

static void put_function(buffer *library, const char *name) {
  buffer function = {0};
  put_named(&function, 1, name);
  put_named(&function, 3, "inside");
  put_message(library, 1, &function);
  clear(&function);
}

static void put_pair(buffer *library, unsigned number, const char *first, const char *second) {
  buffer pair = {0};
  put_text(&pair, 1, first);
  put_text(&pair, 2, second);
  put_message(library, number, &pair);
  clear(&pair);
}

/* Cut what is not in `nodes`, `functions` ('1' stays, '0' goes) out of a graph of so many spans
 * that lie one behind the other; how many splices that takes, or -1 where it fails. */
static int prune(const buffer *graph, const fsm_span *spans, size_t n_spans, const char *nodes,
                 const char *functions, buffer *out, fsm_error *e) {
  static const uint8_t nothing[1];
  fsm_src src, made;
  fsm_piece piece;
  fsm_nodes index = {0};
  fsm_pruned pruned = {0};
  fsm_prune_span where[4];
  uint8_t live[16], live_functions[16];
  fsm_src_memory(&src, &piece, graph->p, graph->size);
  CHECK_EQ(fsm_nodes_scan(&index, &src, spans, n_spans, FSM_NODES_ROWS, e), FSM_OK);
  CHECK_EQ(index.functions.n, strlen(functions));
  size_t main_graph = 0;
  const fsm_node *node = index.nodes.items;
  for (size_t i = 0; i < index.nodes.n; i++) /* what a function's nodes have must not matter */
    live[i] = node[i].owner ? i % 2 : (uint8_t)(nodes[main_graph++] - '0');
  CHECK_EQ(main_graph, strlen(nodes));
  for (size_t i = 0; i < index.functions.n; i++)
    live_functions[i] = (uint8_t)(functions[i] - '0');
  for (size_t i = 0; i < n_spans; i++)
    where[i] = (fsm_prune_span){spans[i].start, spans[i].end, FSM_NO_FIELD, 0};
  fsm_status s = fsm_prune(&pruned, &src, &index, where, n_spans, 0, live, live_functions, e);
  int n = s ? -1 : (int)pruned.splices.n;
  if (!s) {
    size_t n_pieces = fsm_rewrite_max_pieces(&src, pruned.splices.n, pruned.fields.n);
    uint64_t n_patch = fsm_rewrite_max_patch(&src, 0, pruned.fields.n);
    fsm_piece *pieces = malloc(n_pieces * sizeof *pieces);
    uint8_t *patch = malloc((size_t)n_patch + 1);
    CHECK(fsm_rewrite_in_order(pruned.splices.items, pruned.splices.n, pruned.fields.items,
                               pruned.fields.n));
    CHECK_EQ(fsm_rewrite(&src, pruned.splices.items, pruned.splices.n, pruned.fields.items,
                         pruned.fields.n, nothing, pieces, &n_pieces, patch, &n_patch, e),
             FSM_OK);
    CHECK_EQ(fsm_src_init(&made, pieces, n_pieces, patch, n_patch, e), FSM_OK);
    out->p = malloc((size_t)made.size + 1);
    out->size = (size_t)made.size;
    CHECK_EQ(fsm_src_read(&made, 0, out->p, out->size, e), FSM_OK);
    free(pieces);
    free(patch);
  }
  fsm_pruned_free(&pruned);
  fsm_nodes_free(&index);
  return n;
}

static int prune_whole(const buffer *graph, const char *nodes, const char *functions,
                       buffer *out) {
  fsm_span whole = {0, graph->size};
  fsm_error e;
  return prune(graph, &whole, 1, nodes, functions, out, &e);
}

/* a b c [f g h] d e, and a field that is no node; without those whose letter is not in `with`. */
static void put_graph(buffer *graph, const char *with) {
  static const char *const nodes[] = {"a", "b", "c", "d", "e"};
  static const char *const functions[] = {"f", "g", "h"};
  buffer library = {0};
  for (int i = 0; i < 5; i++) {
    if (i == 3) {
      for (int j = 0; j < 3; j++)
        if (strchr(with, functions[j][0]))
          put_function(&library, functions[j]);
      if (library.size)
        put_message(graph, 2, &library);
    }
    if (strchr(with, nodes[i][0]))
      put_named(graph, 1, nodes[i]);
    if (i == 0)
      put_int(graph, 3, 1);
  }
  put_text(graph, 4, "versions");
  clear(&library);
}

static void check_cut(const char *with, const char *nodes, const char *functions, int n) {
  buffer graph = {0}, want = {0}, out = {0};
  put_graph(&graph, "abcdefgh");
  put_graph(&want, with);
  CHECK_EQ(prune_whole(&graph, nodes, functions, &out), n);
  CHECK_BYTES(out.p, out.size, want.p, want.size);
  clear(&graph);
  clear(&want);
  clear(&out);
}

static void test_neighbours_are_one_splice(void) {
  check_cut("abcdefgh", "11111", "111", 0);
  check_cut("acdefgh", "10111", "111", 1);
  check_cut("adefgh", "10011", "111", 1);
  check_cut("cefgh", "00101", "111", 3);
  check_cut("abcdeg", "11111", "010", 2);
  check_cut("abcdeh", "11111", "001", 1);
  check_cut("abcde", "11111", "000", 1);
  check_cut("abe", "11001", "000", 1); /* c, the library and d */
  check_cut("", "00000", "000", 2);    /* the other field stands between */
}

static void test_what_else_a_library_has(void) {
  buffer graph = {0}, library = {0}, want = {0}, out = {0};
  put_function(&library, "f");
  put_text(&library, 9, "more");
  put_message(&graph, 2, &library);
  clear(&library);
  put_message(&graph, 2, &library); /* empty, and stays */
  CHECK_EQ(prune_whole(&graph, "", "0", &out), 1);
  put_text(&library, 9, "more");
  put_message(&want, 2, &library);
  clear(&library);
  put_message(&want, 2, &library);
  CHECK_BYTES(out.p, out.size, want.p, want.size);
  clear(&graph);
  clear(&library);
  clear(&want);
  clear(&out);
}

static void test_gradients(void) {
  buffer graph = {0}, library = {0}, want = {0}, out = {0};
  for (int cut = 0; cut < 2; cut++) {
    put_function(&library, "f");
    put_function(&library, "g");
    if (!cut)
      put_function(&library, "h");
    put_pair(&library, 2, "f", "g");
    if (!cut) {
      put_pair(&library, 2, "f", "h");
      put_pair(&library, 2, "h", "g");
      put_pair(&library, 2, "f", "nowhere");
      put_pair(&library, 3, "h", "type");
    }
    put_pair(&library, 3, "g", "h");
    put_message(cut ? &want : &graph, 2, &library);
    clear(&library);
  }
  CHECK_EQ(prune_whole(&graph, "", "110", &out), 2);
  CHECK_BYTES(out.p, out.size, want.p, want.size);
  clear(&graph);
  clear(&want);
  clear(&out);
}

static void test_parts_of_a_graph(void) {
  buffer graph = {0}, out = {0}, want = {0};
  fsm_error e;
  put_graph(&graph, "abcdefgh");
  const uint64_t half = graph.size;
  put_graph(&graph, "abcdefgh");
  const fsm_span spans[] = {{0, half}, {half, graph.size}};
  CHECK_EQ(prune(&graph, spans, 2, "1110100111", "111001", &out, &e), 4);
  put_graph(&want, "abcefgh");
  put_graph(&want, "cdeh");
  CHECK_BYTES(out.p, out.size, want.p, want.size);
  clear(&graph);
  clear(&out);
  clear(&want);
}

/* Tags and lengths that take more bytes than they must. */
static void test_wide_headers(void) {
  buffer graph = {0}, node = {0}, want = {0}, out = {0};
  put_text(&node, 1, "n");
  for (unsigned i = 0; i < 6; i++)
    for (int both = 0; both < 1 + (i % 2 == 0); both++) {
      put_wide(both ? &want : &graph, 1 << 3 | FSM_LEN, i % 3 + 1);
      put_wide(both ? &want : &graph, node.size, i / 2 + 1);
      put(both ? &want : &graph, node.p, node.size);
    }
  CHECK_EQ(prune_whole(&graph, "101010", "", &out), 3);
  CHECK_BYTES(out.p, out.size, want.p, want.size);
  clear(&graph);
  clear(&node);
  clear(&want);
  clear(&out);
}

/* Another graph than the one that was indexed is noticed. */
static void test_another_graph(void) {
  buffer graph = {0};
  fsm_src src;
  fsm_piece piece;
  fsm_nodes index = {0};
  fsm_error e;
  static const uint8_t live[8];
  put_graph(&graph, "abcdefgh");
  fsm_span whole = {0, graph.size};
  fsm_src_memory(&src, &piece, graph.p, graph.size);
  CHECK_EQ(fsm_nodes_scan(&index, &src, &whole, 1, FSM_NODES_ROWS, &e), FSM_OK);
  for (int i = 0; i < 2; i++) {
    buffer other = {0};
    fsm_pruned pruned = {0};
    put_graph(&other, i ? "acdefgh" : "abcdegh");
    fsm_prune_span all = {0, other.size, FSM_NO_FIELD, 0};
    fsm_src_memory(&src, &piece, other.p, other.size);
    CHECK(fsm_prune(&pruned, &src, &index, &all, 1, 0, live, live, &e) != FSM_OK);
    CHECK(e.offset <= other.size);
    fsm_pruned_free(&pruned);
    clear(&other);
  }
  fsm_nodes_free(&index);
  clear(&graph);
}

int main(void) {
  RUN(test_neighbours_are_one_splice);
  RUN(test_what_else_a_library_has);
  RUN(test_gradients);
  RUN(test_parts_of_a_graph);
  RUN(test_wide_headers);
  RUN(test_another_graph);
  return check_report();
}
