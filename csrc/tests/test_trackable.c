/* A checkpoint's object graph as tables. */
#include "check.h"
#include "fsm_trackable.h"
#include "make_message.h"

static void put_number(buffer *m, unsigned number, uint64_t value) {
  put_tag(m, number, FSM_VARINT);
  put_varint(m, value);
}

/* {1: a, 2: name, 3: b}: a child, or a slot where there is a b. */
static void put_reference(buffer *m, unsigned number, uint64_t a, const char *name, uint64_t b) {
  buffer inner = {0};
  put_number(&inner, 1, a);
  put_text(&inner, 2, name);
  if (b)
    put_number(&inner, 3, b);
  put_message(m, number, &inner);
  clear(&inner);
}

/* Two objects with something of each kind, and a field that nobody knows. */
static void put_graph(buffer *graph) {
  buffer node = {0}, inner = {0};
  put_reference(&node, 1, 1, "left", 0);
  put_number(&node, 70, 5);
  put_reference(&node, 1, UINT64_MAX, "right", 0);
  put_message(graph, 1, &node);
  clear(&node);
  put_text(&inner, 1, "VALUE");
  put_text(&inner, 2, "not this");
  put_text(&inner, 2, "full");
  put_text(&inner, 3, "key");
  put_message(&node, 2, &inner);
  put_reference(&node, 3, 7, "m", 9);
  clear(&inner);
  put_text(&inner, 1, "Saver");
  put_text(&inner, 2, "object");
  put_message(&node, 4, &inner);
  put_message(graph, 1, &node);
  clear(&node);
  clear(&inner);
}

/* Without slack behind the message: the sanitizer sees a byte too far. */
static fsm_status parse(fsm_tracked *to, const uint8_t *bytes, size_t n, fsm_error *e) {
  uint8_t *exact = malloc(n ? n : 1);
  if (n)
    memcpy(exact, bytes, n);
  fsm_status s = fsm_tracked_parse(to, exact, n, e);
  free(exact);
  return s;
}

#define TEXT(graph, text, want) CHECK_BYTES((graph).p + (text).at, (text).size, want, strlen(want))

static void test_tables(void) {
  buffer graph = {0};
  fsm_tracked t = {0};
  fsm_error e;
  put_graph(&graph);
  CHECK_EQ(parse(&t, graph.p, graph.size, &e), FSM_OK);
  CHECK_EQ(t.n_nodes, 2);
  CHECK_EQ(t.children.n, 2);
  const fsm_tracked_child *child = t.children.items;
  CHECK(child[0].owner == 0 && child[0].node == 1 && child[1].owner == 0 && child[1].node == -1);
  TEXT(graph, child[0].name, "left");
  TEXT(graph, child[1].name, "right");
  const fsm_tracked_value *value = t.values.items;
  CHECK_EQ(t.values.n, 1);
  CHECK_EQ(value->owner, 1);
  TEXT(graph, value->name, "VALUE");
  TEXT(graph, value->full_name, "full");
  TEXT(graph, value->key, "key");
  const fsm_tracked_slot *slot = t.slots.items;
  CHECK(t.slots.n == 1 && slot->owner == 1 && slot->of == 7 && slot->node == 9);
  TEXT(graph, slot->name, "m");
  const fsm_tracked_saver *saver = t.savers.items;
  CHECK(t.savers.n == 1 && saver->owner == 1);
  TEXT(graph, saver->name, "object");
  fsm_tracked_free(&t);
  clear(&graph);
}

static void test_nothing(void) {
  fsm_tracked t = {0};
  fsm_error e;
  CHECK_EQ(parse(&t, NULL, 0, &e), FSM_OK);
  CHECK(t.n_nodes == 0 && t.children.n == 0);
  fsm_tracked_free(&t);
}

/* Cut anywhere but between the two objects it does not end where it should. */
static void test_every_shorter_message(void) {
  buffer graph = {0};
  fsm_error e;
  put_graph(&graph);
  size_t n_first = 2u + graph.p[1];
  for (size_t n = 1; n < graph.size; n++) {
    fsm_tracked t = {0};
    fsm_status s = parse(&t, graph.p, n, &e);
    CHECK_EQ(s, n == n_first ? FSM_OK : FSM_E_TRUNCATED);
    CHECK(!s || (e.offset <= n && e.need > e.have));
    fsm_tracked_free(&t);
  }
  clear(&graph);
}

static void test_where_it_is_broken(void) {
  static const uint8_t bytes[] = {0x0a, 0x04, 0x0a, 0x02, 0x12, 0x09};
  fsm_tracked t = {0};
  fsm_error e;
  CHECK_EQ(parse(&t, bytes, sizeof bytes, &e), FSM_E_TRUNCATED);
  CHECK(e.offset == 6 && e.need == 9 && e.have == 0);
  fsm_tracked_free(&t);
}

/* `n` times the two bytes of an empty message, in field `number` of a node. */
static fsm_status many(unsigned number, size_t n) {
  buffer inner = {0}, graph = {0};
  fsm_tracked t = {0};
  fsm_error e;
  for (size_t i = 0; i < n; i++) {
    put_tag(&inner, number, FSM_LEN);
    put_varint(&inner, 0);
  }
  put_message(&graph, 1, &inner);
  fsm_status s = parse(&t, graph.p, graph.size, &e);
  if (s)
    CHECK(e.need == FSM_MAX_TRACKED && e.offset == graph.size - 2);
  fsm_tracked_free(&t);
  clear(&inner);
  clear(&graph);
  return s;
}

static void test_there_is_a_limit_to_each(void) {
  for (unsigned number = 1; number <= 4; number++) {
    CHECK_EQ(many(number, FSM_MAX_TRACKED), FSM_OK);
    CHECK_EQ(many(number, FSM_MAX_TRACKED + 1), FSM_E_LIMIT);
  }
  buffer graph = {0};
  fsm_tracked t = {0};
  fsm_error e;
  for (size_t i = 0; i <= FSM_MAX_TRACKED; i++)
    put_u32(&graph, 0x0a000a); /* twice: \n\0 and \n\0 */
  CHECK_EQ(fsm_tracked_parse(&t, graph.p, 2 * (size_t)FSM_MAX_TRACKED, &e), FSM_OK);
  CHECK_EQ(t.n_nodes, FSM_MAX_TRACKED);
  fsm_tracked_free(&t);
  CHECK_EQ(fsm_tracked_parse(&t, graph.p, 2 * (size_t)FSM_MAX_TRACKED + 2, &e), FSM_E_LIMIT);
  CHECK_EQ(e.offset, 2 * (size_t)FSM_MAX_TRACKED);
  fsm_tracked_free(&t);
  clear(&graph);
}

int main(void) {
  RUN(test_tables);
  RUN(test_nothing);
  RUN(test_every_shorter_message);
  RUN(test_where_it_is_broken);
  RUN(test_there_is_a_limit_to_each);
  return check_report();
}
