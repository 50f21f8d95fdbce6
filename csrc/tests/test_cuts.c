/* What a graph can do without: found, counted, and cut out with all lengths right. */
#include "check.h"
#include "fsm_cuts.h"
#include "make_message.h"

static void put_device_node(buffer *graph, unsigned number, const char *name, const char *device) {
  buffer node = {0};
  put_text(&node, 1, name);
  put_text(&node, 2, "Const");
  if (device)
    put_text(&node, 4, device);
  put_text(&node, 5, "attr");
  put_message(graph, number, &node);
  clear(&node);
}

static void put_functions(buffer *graph, const char *device) {
  buffer library = {0}, function = {0};
  for (int i = 0; i < 3; i++) {
    put_text(&function, 1, "signature");
    put_device_node(&function, 3, "in", i == 1 ? device : NULL);
    put_device_node(&function, 3, "out", i == 1 ? device : NULL);
    put_message(&library, 1, &function);
    clear(&function);
  }
  put_message(graph, 2, &library);
  clear(&library);
}

static fsm_status scan_devices(const buffer *graph, fsm_cuts *d, fsm_error *e) {
  static const fsm_around nothing = {FSM_NO_FIELD, 0, 0};
  fsm_src src;
  fsm_piece piece;
  fsm_span whole = {0, graph->size};
  *d = (fsm_cuts){0};
  fsm_src_memory(&src, &piece, graph->p, graph->size);
  return fsm_cuts_scan(d, &src, FSM_CUT_DEVICES, &whole, &nothing, e);
}

/* What comes of the graph when the splices are worked in. */
static void rewrite(const buffer *graph, fsm_cuts *d, buffer *out) {
  fsm_src src, made;
  fsm_piece piece;
  fsm_error e;
  fsm_src_memory(&src, &piece, graph->p, graph->size);
  size_t n_pieces = fsm_rewrite_max_pieces(&src, d->splices.n, d->fields.n);
  uint64_t patch_size = fsm_rewrite_max_patch(&src, 0, d->fields.n);
  fsm_piece *pieces = malloc(n_pieces * sizeof *pieces + 1);
  uint8_t *patch = malloc((size_t)patch_size + 1);
  CHECK_EQ(fsm_rewrite(&src, d->splices.items, d->splices.n, d->fields.items, d->fields.n,
                       (const uint8_t *)"", pieces, &n_pieces, patch, &patch_size, &e),
           FSM_OK);
  CHECK_EQ(fsm_src_init(&made, pieces, n_pieces, patch, patch_size, &e), FSM_OK);
  out->p = malloc((size_t)made.size + 1);
  out->size = (size_t)made.size;
  CHECK_EQ(fsm_src_read(&made, 0, out->p, out->size, &e), FSM_OK);
  free(pieces);
  free(patch);
}

static void check_count(const fsm_cuts *d, uint32_t id, const char *name, uint64_t count) {
  uint32_t n;
  CHECK(id < d->counts.n);
  const uint8_t *found = fsm_names_get(&d->names, id, &n);
  CHECK_BYTES(found, n, name, strlen(name));
  CHECK_EQ(((const uint64_t *)d->counts.items)[id], count);
}

/* With devices or without: a graph of several nodes around a library. */
static void put_graph(buffer *graph, bool with) {
  put_device_node(graph, 1, "a", with ? "/gpu:0" : NULL);
  put_device_node(graph, 1, "b", NULL);
  put_functions(graph, with ? "/cpu:0" : NULL);
  put_device_node(graph, 1, "c", with ? "/gpu:0" : NULL);
  put_text(graph, 4, "versions");
}

static void test_devices_are_cut_out(void) {
  buffer graph = {0}, bare = {0}, out = {0};
  fsm_cuts d;
  fsm_error e;
  put_graph(&graph, true);
  put_graph(&bare, false);
  CHECK_EQ(scan_devices(&graph, &d, &e), FSM_OK);
  CHECK_EQ(d.splices.n, 4);
  CHECK_EQ(d.fields.n, 6); /* four nodes; of three functions one, and the library */
  CHECK_EQ(d.n_main, 2);
  CHECK_EQ(d.counts.n, 2);
  check_count(&d, 0, "/gpu:0", 2);
  check_count(&d, 1, "/cpu:0", 2);
  rewrite(&graph, &d, &out);
  CHECK_BYTES(out.p, out.size, bare.p, bare.size);
  fsm_cuts_free(&d);
  CHECK_EQ(scan_devices(&bare, &d, &e), FSM_OK);
  CHECK_EQ(d.splices.n + d.fields.n + d.counts.n + d.n_main, 0);
  fsm_cuts_free(&d);
  clear(&graph);
  clear(&bare);
  clear(&out);
}

static void test_around_the_graph(void) {
  static const fsm_around around = {6, 7, 2};
  buffer graph = {0};
  fsm_cuts d = {0};
  fsm_src src;
  fsm_piece piece;
  fsm_error e;
  put_functions(&graph, "/cpu:0");
  fsm_span whole = {0, graph.size};
  fsm_src_memory(&src, &piece, graph.p, graph.size);
  CHECK_EQ(fsm_cuts_scan(&d, &src, FSM_CUT_DEVICES, &whole, &around, &e), FSM_OK);
  const fsm_enclosing *field = d.fields.items;
  const fsm_splice *splice = d.splices.items;
  static const int64_t parents[] = {6, 7, 8, 8};
  for (size_t i = 0; i < 4; i++)
    CHECK_EQ(field[i].parent, parents[i]);
  CHECK_EQ(splice[0].field, 9);
  CHECK_EQ(splice[1].field, 10);
  CHECK_EQ(splice[0].depth, 5); /* two, the library, the function, the node */
  fsm_cuts_free(&d);
  clear(&graph);
}

static void test_odd_devices(void) {
  buffer graph = {0}, node = {0}, out = {0};
  fsm_cuts d;
  fsm_error e;
  put_text(&node, 4, "/cpu:0");
  put_text(&node, 4, ""); /* which is none, and stays */
  put_text(&node, 4, "/cpu:0");
  put_int(&node, 4, 5); /* of another wire type: an unknown field */
  put_message(&graph, 1, &node);
  CHECK_EQ(scan_devices(&graph, &d, &e), FSM_OK);
  CHECK_EQ(d.splices.n, 2);
  CHECK_EQ(d.fields.n, 1);
  rewrite(&graph, &d, &out);
  CHECK_BYTES(out.p, out.size, "\x0a\x04\x22\x00\x20\x05", 6);
  fsm_cuts_free(&d);
  clear(&graph);
  clear(&node);
  clear(&out);
}

/* Larger than what is read in memory: the cursor steps over its constant. */
static void test_a_large_node(void) {
  buffer graph = {0}, bare = {0}, node = {0}, out = {0};
  fsm_cuts d;
  fsm_error e;
  char *large = calloc(1, 1 << 20);
  memset(large, 'x', (1 << 20) - 1);
  for (int with = 0; with < 2; with++) {
    put_text(&node, 5, large);
    if (with)
      put_text(&node, 4, "/cpu:0");
    put_message(with ? &graph : &bare, 1, &node);
    clear(&node);
  }
  CHECK_EQ(scan_devices(&graph, &d, &e), FSM_OK);
  check_count(&d, 0, "/cpu:0", 1);
  rewrite(&graph, &d, &out);
  CHECK_EQ(out.size, bare.size);
  CHECK(memcmp(out.p, bare.p, bare.size) == 0);
  fsm_cuts_free(&d);
  free(large);
  clear(&graph);
  clear(&bare);
  clear(&out);
}

static void test_broken_graphs(void) {
  static const struct {
    const char *bytes;
    size_t n;
    fsm_status status;
    uint64_t offset;
  } broken[] = {
      {"\x0a\x03\x22\x05/", 5, FSM_E_TRUNCATED, 2},
      {"\x0a\x04\x22\x01/\x22", 6, FSM_E_TRUNCATED, 6},
      {"\x12\x04\x0a\x02\x1a\x07", 6, FSM_E_TRUNCATED, 4},
      {"\x0a\x7f", 2, FSM_E_TRUNCATED, 0},
  };
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    buffer graph = {0};
    fsm_cuts d;
    fsm_error e = {0};
    put(&graph, broken[i].bytes, broken[i].n);
    CHECK_EQ(scan_devices(&graph, &d, &e), broken[i].status);
    CHECK_EQ(e.offset, broken[i].offset);
    fsm_cuts_free(&d);
    clear(&graph);
  }
}

static void test_limits(void) {
  buffer graph = {0}, node = {0};
  fsm_cuts d;
  fsm_error e;
  char *name = calloc(1, FSM_MAX_CUT_NAME + 2);
  memset(name, 'd', FSM_MAX_CUT_NAME);
  put_text(&node, 4, name);
  put_message(&graph, 1, &node);
  CHECK_EQ(scan_devices(&graph, &d, &e), FSM_OK);
  fsm_cuts_free(&d);
  clear(&node);
  name[FSM_MAX_CUT_NAME] = 'd';
  put_text(&node, 4, name);
  put_message(&graph, 1, &node);
  CHECK_EQ(scan_devices(&graph, &d, &e), FSM_E_LIMIT);
  fsm_cuts_free(&d);
  clear(&node);
  clear(&graph);
  for (uint32_t i = 0; i <= FSM_MAX_CUT_NAMES; i++) {
    if (i == FSM_MAX_CUT_NAMES) {
      CHECK_EQ(scan_devices(&graph, &d, &e), FSM_OK);
      CHECK_EQ(d.counts.n, FSM_MAX_CUT_NAMES);
      fsm_cuts_free(&d);
    }
    snprintf(name, 20, "/d:%u", (unsigned)i);
    put_device_node(&graph, 1, "n", name);
  }
  CHECK_EQ(scan_devices(&graph, &d, &e), FSM_E_LIMIT);
  CHECK(e.offset < graph.size);
  fsm_cuts_free(&d);
  free(name);
  clear(&graph);
}

static void put_attr(buffer *to, unsigned number, const char *key) {
  buffer entry = {0};
  put_text(&entry, 1, key);
  put_text(&entry, 2, "value");
  put_message(to, number, &entry);
  clear(&entry);
}

/* With what debugs it or without: attributes beside those that go, an entry whose key comes
 * last, one that only looks alike. */
static void put_debug_graph(buffer *graph, bool with) {
  buffer node = {0}, function = {0}, library = {0}, argument = {0}, attrs = {0}, entry = {0};
  put_text(&node, 1, "n");
  put_attr(&node, 5, "T");
  put_attr(&node, 5, "_output_shapesX");
  if (with) {
    put_attr(&node, 5, "_output_shapes");
    put_text(&node, 6, "experimental_debug_info");
    put_text(&entry, 2, "value");
    put_text(&entry, 1, "_output_shapes");
    put_message(&node, 5, &entry);
  }
  put_attr(&node, 5, "_input_shapes");
  put_message(graph, 1, &node);
  put_message(&function, 3, &node);
  put_attr(&function, 5, "_output_shapes");
  if (with) {
    put_attr(&function, 5, "_input_shapes");
    put_attr(&attrs, 1, "_output_shapes");
  }
  put_attr(&attrs, 1, "_user_specified_name");
  put_int(&argument, 1, 3);
  put_message(&argument, 2, &attrs);
  put_message(&function, 7, &argument);
  put_message(&library, 1, &function);
  put_message(graph, 2, &library);
  if (with)
    put_text(graph, 5, "debug_info");
  put_text(graph, 4, "versions");
  clear(&node);
  clear(&function);
  clear(&library);
  clear(&argument);
  clear(&attrs);
  clear(&entry);
}

static void test_debug_is_cut_out(void) {
  static const fsm_around nothing = {FSM_NO_FIELD, 0, 0};
  buffer graph = {0}, bare = {0}, out = {0};
  fsm_cuts d = {0};
  fsm_error e;
  fsm_src src;
  fsm_piece piece;
  put_debug_graph(&graph, true);
  put_debug_graph(&bare, false);
  fsm_span whole = {0, graph.size};
  fsm_src_memory(&src, &piece, graph.p, graph.size);
  CHECK_EQ(fsm_cuts_scan(&d, &src, FSM_CUT_DEBUG, &whole, &nothing, &e), FSM_OK);
  check_count(&d, 0, "_output_shapes", 5); /* two of each node, one of an argument */
  check_count(&d, 1, "experimental_debug_info", 2);
  check_count(&d, 2, "_input_shapes", 1);
  check_count(&d, 3, "debug_info", 1);
  CHECK_EQ(d.n_main, 3);
  rewrite(&graph, &d, &out);
  CHECK_BYTES(out.p, out.size, bare.p, bare.size);
  fsm_cuts_free(&d);
  clear(&graph);
  clear(&bare);
  clear(&out);
}

int main(void) {
  RUN(test_devices_are_cut_out);
  RUN(test_debug_is_cut_out);
  RUN(test_around_the_graph);
  RUN(test_odd_devices);
  RUN(test_a_large_node);
  RUN(test_broken_graphs);
  RUN(test_limits);
  return check_report();
}
