/* Fuzzes what reads saved_model.pb. Each input is read twice: as a message of the
 * type that its first byte says, and as the choices that make a valid message.
 * What must hold:
 *   - the canonical form is its own canonical form, and its hash is the hash;
 *   - streaming and ordering in memory give the same, piece by piece too;
 *   - a window of any size shows the same fields;
 *   - valid messages parse whole, and the values in a message nest;
 *   - the texts of an object graph lie in it;
 *   - a graph without its devices, or what debugs it, has as many nodes, and no such thing. */
#include "fsm_cuts.h"
#include "fsm_naming.h"
#include "fsm_nodes.h"
#include "fsm_parse.h"
#include "fsm_program.h"
#include "fsm_trackable.h"
#include "make_message.h"
#include "tiny_canon.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t fuzz_seed(unsigned i, uint8_t *to, size_t capacity);

/* Entries of nothing grow most: two bytes to thirteen. */
#define MAX_GROWTH 8

static fsm_canon memory, streamed;

#define require(condition)                                           \
  do {                                                               \
    if (!(condition)) {                                              \
      fprintf(stderr, "fuzz_core.c:%d: %s\n", __LINE__, #condition); \
      abort();                                                       \
    }                                                                \
  } while (0)

typedef struct {
  fsm_src src;
  fsm_piece piece;
} memory_src;

static const fsm_src *source_of(memory_src *s, const uint8_t *bytes, size_t size) {
  fsm_src_memory(&s->src, &s->piece, bytes, size);
  return &s->src;
}

/* ---- canonical form ---- */

typedef fsm_status writer(fsm_canon *, const fsm_src *, fsm_message, const fsm_span *, size_t,
                          uint8_t *, uint64_t, uint64_t *);

static fsm_status write_with(writer *write, fsm_canon *c, const fsm_src *src,
                             fsm_message message, buffer *out) {
  fsm_span whole = {0, src->size};
  uint64_t n = 0;
  out->capacity = MAX_GROWTH * src->size + 16;
  out->p = malloc(out->capacity);
  require(out->p != NULL);
  fsm_status s = write(c, src, message, &whole, 1, out->p, out->capacity, &n);
  require(s == FSM_OK || c->cursor.error.status == s);
  require(s == FSM_OK || c->cursor.error.offset <= src->size);
  out->size = s ? 0 : (size_t)n;
  return s;
}

static bool equal(const buffer *a, const buffer *b) {
  return a->size == b->size && (!a->size || memcmp(a->p, b->p, a->size) == 0);
}

static void check_canon(const uint8_t *data, size_t size, fsm_message message, bool valid) {
  memory_src input, again;
  const fsm_src *src = source_of(&input, data, size);
  buffer once = {0}, large = {0}, twice = {0};
  fsm_status s = write_with(fsm_canon_write, &memory, src, message, &once);
  fsm_status t = write_with(tiny_write, &streamed, src, message, &large);
  require(!valid || (!s && !t));
  /* What is overruled (by a later member of a oneof, an equal key) may be broken
   * inside: each of the two looks into other parts of that. */
  require(s || t || equal(&once, &large));
  if (!s) {
    fsm_span whole = {0, size};
    uint64_t hash, tiny;
    require(!fsm_canon_hash(&memory, src, message, &whole, 1, &hash));
    require(hash == fsm_fingerprint64(once.p, once.size));
    require(tiny_hash(&streamed, src, message, &whole, 1, &tiny) == t && (t || tiny == hash));
    src = source_of(&again, once.p, once.size);
    require(!write_with(fsm_canon_write, &memory, src, message, &twice));
    require(equal(&once, &twice));
  }
  clear(&once);
  clear(&large);
  clear(&twice);
}

/* In pieces of one to nine bytes. */
static void check_pieces(const uint8_t *data, size_t size, fsm_message message) {
  fsm_piece pieces[64];
  size_t n = 0;
  fsm_src whole, parts;
  fsm_piece one;
  for (uint64_t at = 0; at < size && n < 63; n++) {
    uint64_t length = n == 62 ? size - at : 1 + data[at] % 9u;
    length = length < size - at ? length : size - at;
    pieces[n] = (fsm_piece){at, length, at, FSM_PATCH};
    at += length;
  }
  require(!fsm_src_init(&parts, pieces, n, data, size, NULL));
  fsm_src_memory(&whole, &one, data, size);
  fsm_span span = {0, size};
  uint64_t a = 0, b = 0;
  fsm_status s = fsm_canon_hash(&memory, &whole, message, &span, 1, &a);
  require(s == fsm_canon_hash(&memory, &parts, message, &span, 1, &b) && a == b);
}

/* ---- fields ---- */

/* Fold all that the cursor says of every field into one number. */
static fsm_status read_fields(const fsm_src *src, size_t capacity, uint64_t *sum, fsm_error *e) {
  uint8_t *window = malloc(capacity);
  require(window != NULL);
  fsm_cursor c;
  fsm_field f;
  fsm_status s = FSM_OK;
  fsm_cursor_init(&c, src, window, capacity);
  *sum = 0;
  while (!s && !fsm_cursor_done(&c)) {
    if ((s = fsm_cursor_next(&c, &f)))
      break;
    require(f.start < f.tag_end && f.tag_end <= f.end && f.end == c.at && f.end <= src->size);
    require(f.wire != FSM_LEN || (f.length <= src->size && f.value + f.length == f.end));
    uint64_t told[] = {*sum, f.start, f.end, f.value, f.length, f.number, f.wire, f.minimal};
    *sum = fsm_fingerprint64(told, sizeof told);
  }
  free(window);
  *e = c.error;
  return s;
}

static void check_fields(const uint8_t *data, size_t size) {
  memory_src input;
  const fsm_src *src = source_of(&input, data, size);
  uint64_t sum, other;
  fsm_error e, f;
  fsm_status s = read_fields(src, 1 << 16, &sum, &e);
  for (size_t capacity = FSM_MAX_HEADER_BYTES; capacity < 40; capacity += 12) {
    require(read_fields(src, capacity, &other, &f) == s && other == sum);
    require(!s || (e.offset == f.offset && e.need == f.need && e.have == f.have));
  }
}

/* ---- nodes ---- */

static void check_nodes(const uint8_t *data, size_t size) {
  memory_src input;
  const fsm_src *src = source_of(&input, data, size);
  fsm_span whole = {0, size};
  fsm_nodes counted = {0}, named = {0}, rows = {0};
  fsm_error e;
  fsm_status s = fsm_nodes_scan(&counted, src, &whole, 1, FSM_NODES_COUNT, &e);
  fsm_status t = fsm_nodes_scan(&named, src, &whole, 1, FSM_NODES_OPS, &e);
  require(t == fsm_nodes_scan(&rows, src, &whole, 1, FSM_NODES_ROWS, &e));
  require(!s || t);
  if (!t) {
    require(counted.n_nodes == rows.n_nodes && named.names.ends.n == rows.names.ends.n);
    require(rows.nodes.n == rows.n_nodes + rows.n_function_nodes);
    require(rows.functions.n == rows.n_functions && named.uses.n == rows.uses.n);
    const fsm_node *node = rows.nodes.items;
    for (size_t i = 0; i < rows.nodes.n; i++) {
      require(node[i].op < rows.names.ends.n && node[i].owner <= rows.n_functions);
      require(node[i].length <= size - node[i].start);
      require(node[i].name_length <= size - node[i].name);
    }
    uint8_t *used = malloc(rows.names.ends.n + 1);
    require(used && !fsm_nodes_ops_used(&rows, used));
    free(used);
    for (fsm_naming what = FSM_NAMING_INPUT; what <= FSM_NAMING_FUNCTION; what++) {
      fsm_array found = {0};
      t = fsm_nodes_naming(&rows, src, what, (const uint8_t *)"a", 1, &found, &e);
      require(t || found.n <= rows.nodes.n);
      free(found.items);
    }
  }
  fsm_nodes_free(&counted);
  fsm_nodes_free(&named);
  fsm_nodes_free(&rows);
}

static bool count_nodes(const fsm_src *src, uint64_t n[3]) {
  fsm_span whole = {0, src->size};
  fsm_nodes nodes = {0};
  fsm_error e;
  bool ok = !fsm_nodes_scan(&nodes, src, &whole, 1, FSM_NODES_COUNT, &e);
  n[0] = nodes.n_nodes, n[1] = nodes.n_function_nodes, n[2] = nodes.n_functions;
  fsm_nodes_free(&nodes);
  return ok;
}

static void check_cuts(const uint8_t *data, size_t size, fsm_cut what, bool valid) {
  static const fsm_around nothing = {FSM_NO_FIELD, 0, 0};
  memory_src input;
  const fsm_src *src = source_of(&input, data, size);
  fsm_span whole = {0, size};
  fsm_cuts d = {0}, again = {0};
  fsm_error e;
  fsm_status s = fsm_cuts_scan(&d, src, what, &whole, &nothing, &e);
  require(!valid || !s);
  require(!s || (e.status == s && e.offset <= size));
  if (!s && d.splices.n) {
    uint64_t named = 0, before[3], after[3];
    for (size_t i = 0; i < d.counts.n; i++)
      named += ((const uint64_t *)d.counts.items)[i];
    require(named == d.splices.n && d.n_main <= named);
    require(fsm_rewrite_in_order(d.splices.items, d.splices.n, d.fields.items, d.fields.n));
    size_t n_pieces = fsm_rewrite_max_pieces(src, d.splices.n, d.fields.n);
    uint64_t n_patch = fsm_rewrite_max_patch(src, 0, d.fields.n);
    fsm_piece *pieces = malloc(n_pieces * sizeof *pieces);
    uint8_t *patch = malloc((size_t)n_patch + 1);
    require(pieces && patch);
    require(!fsm_rewrite(src, d.splices.items, d.splices.n, d.fields.items, d.fields.n, data,
                         pieces, &n_pieces, patch, &n_patch, &e));
    /* Its pieces point into the input, and into the new lengths. */
    uint8_t *bytes = malloc(size);
    require(bytes != NULL);
    size_t n = 0;
    for (size_t i = 0; i < n_pieces; i++) {
      memcpy(bytes + n, patch + pieces[i].origin, (size_t)pieces[i].length);
      n += (size_t)pieces[i].length;
    }
    require(n < size);
    memory_src made;
    const fsm_src *bare = source_of(&made, bytes, n);
    fsm_span all = {0, n};
    require(!fsm_cuts_scan(&again, bare, what, &all, &nothing, &e) && again.splices.n == 0);
    bool whole_before = count_nodes(src, before); /* which reads names of functions, too */
    require(count_nodes(bare, after) == whole_before);
    require(!whole_before || memcmp(before, after, sizeof before) == 0);
    free(bytes);
    free(pieces);
    free(patch);
  }
  fsm_cuts_free(&d);
  fsm_cuts_free(&again);
}

static void check_program(const uint8_t *data, size_t size) {
  static uint8_t window[64];
  memory_src input;
  fsm_cursor c;
  fsm_irregular node;
  bool found = true;
  uint64_t last = 0;
  fsm_cursor_init(&c, source_of(&input, data, size), window, sizeof window);
  while (found && !fsm_program_next(&c, &node, &found))
    if (found) {
      require(node.node.start >= last && node.node.end <= size);
      last = node.node.end;
    }
}

/* Read values up to `end` as a message's, and return where they end. */
static size_t check_values(const fsm_parsed *p, size_t at, size_t end, const fsm_message_def *m,
                           fsm_message located) {
  const fsm_wanted wanted = {0, located};
  while (at < end) {
    const fsm_value *v = (const fsm_value *)p->values.items + at++;
    require(v->field == fsm_field_of(m, v->field->number));
    if (v->field->flags & FSM_TEXT)
      require(v->value <= p->text.n && v->size <= p->text.n - v->value);
    else if (v->field->kind == FSM_KIND_MESSAGE && !fsm_is_located(v->field, &wanted))
      at = check_values(p, at, at + v->size, &fsm_schema[v->field->message], located);
  }
  require(at == end);
  return at;
}

static void check_parse(const uint8_t *data, size_t size, fsm_message message, bool valid) {
  static uint8_t window[64];
  memory_src input;
  fsm_cursor c;
  fsm_span whole = {0, size};
  for (int i = 0; i < 2; i++) {
    fsm_wanted wanted = {0, i ? FSM_MSG_StructuredValue : FSM_N_MESSAGES};
    fsm_parsed p = {0};
    fsm_cursor_init(&c, source_of(&input, data, size), window, i ? 24 : sizeof window);
    fsm_status s = fsm_parse(&p, &c, message, &whole, 1, &wanted);
    require(!valid || !s);
    require(!s || (c.error.status == s && c.error.offset <= size));
    if (!s)
      check_values(&p, 0, p.values.n, &fsm_schema[message], wanted.located);
    fsm_parsed_free(&p);
  }
}

static void check_text(fsm_text text, size_t size) {
  require(text.at <= size && text.size <= size - text.at);
}

/* Of any bytes an error in them, or tables whose texts lie in them. */
static void check_tracked(const uint8_t *data, size_t size, bool valid) {
  fsm_tracked t = {0};
  fsm_error e;
  fsm_status s = fsm_tracked_parse(&t, data, size, &e);
  require(!valid || !s);
  require(!s || (e.status == s && e.offset <= size));
  const fsm_tracked_child *child = t.children.items;
  for (size_t i = 0; !s && i < t.children.n; i++) {
    require(child[i].owner < t.n_nodes && (!i || child[i].owner >= child[i - 1].owner));
    check_text(child[i].name, size);
  }
  const fsm_tracked_value *value = t.values.items;
  for (size_t i = 0; !s && i < t.values.n; i++) {
    require(value[i].owner < t.n_nodes);
    check_text(value[i].name, size);
    check_text(value[i].full_name, size);
    check_text(value[i].key, size);
  }
  const fsm_tracked_slot *slot = t.slots.items;
  for (size_t i = 0; !s && i < t.slots.n; i++)
    check_text(slot[i].name, size);
  const fsm_tracked_saver *saver = t.savers.items;
  for (size_t i = 0; !s && i < t.savers.n; i++)
    check_text(saver[i].name, size);
  fsm_tracked_free(&t);
}

static void check_farm(const uint8_t *data, size_t size) {
  fsm_farm farm;
  fsm_farm_init(&farm);
  for (size_t at = 0; at < size;) {
    size_t n = 1 + data[at] % 100u;
    n = n < size - at ? n : size - at;
    fsm_farm_update(&farm, data + at, n);
    at += n;
  }
  require(fsm_farm_finish(&farm) == fsm_fingerprint64(data, size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fsm_message message = size ? data[0] % FSM_N_MESSAGES : FSM_MSG_SavedModel;
  const uint8_t *body = size ? data + 1 : data;
  size_t n = size ? size - 1 : 0;
  check_canon(body, n, message, false);
  check_pieces(body, n, message);
  check_fields(body, n);
  check_nodes(body, n);
  check_cuts(body, n, FSM_CUT_DEVICES, false);
  check_cuts(body, n, FSM_CUT_DEBUG, false);
  check_parse(body, n, message, false);
  check_program(body, n);
  check_tracked(body, n, false);
  check_farm(body, n);
  buffer made = {0};
  choices c = {body, body + n};
  while (c.p < c.end)
    odd_message(&c, &made, &fsm_schema[message], 0);
  check_canon(made.p, made.size, message, true);
  check_parse(made.p, made.size, message, true);
  if (message == FSM_MSG_TrackableObjectGraph)
    check_tracked(made.p, made.size, true);
  if (message == FSM_MSG_GraphDef) {
    check_nodes(made.p, made.size);
    check_cuts(made.p, made.size, FSM_CUT_DEVICES, true);
    check_cuts(made.p, made.size, FSM_CUT_DEBUG, true);
    check_program(made.p, made.size);
  }
  clear(&made);
  return 0;
}

/* The first byte says the message; graphs come most often. */
size_t fuzz_seed(unsigned i, uint8_t *to, size_t capacity) {
  static const uint8_t messages[] = {
      FSM_MSG_GraphDef,    FSM_MSG_SavedModel,       FSM_MSG_NodeDef,     FSM_MSG_FunctionDef,
      FSM_MSG_TensorProto, FSM_MSG_SavedObjectGraph, FSM_MSG_FullTypeDef, FSM_MSG_SignatureDef,
      FSM_MSG_GraphDef,    FSM_MSG_GraphDebugInfo,   FSM_MSG_AttrValue,   FSM_MSG_GraphDef,
      FSM_MSG_TrackableObjectGraph,
  };
  if (i >= 4 * sizeof messages)
    return 0;
  uint64_t state = i + 1;
  uint8_t bytes[2000];
  for (size_t j = 0; j < sizeof bytes; j++) {
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    bytes[j] = (uint8_t)(state >> 56);
  }
  uint8_t message = messages[i % sizeof messages];
  size_t n = 1;
  to[0] = message;
  if (i & 1) { /* a message */
    buffer made = {0};
    choices c = {bytes, bytes + 100 + i * 30};
    while (c.p < c.end)
      odd_message(&c, &made, &fsm_schema[message], 0);
    size_t some = made.size < capacity - 1 ? made.size : capacity - 1;
    if (some)
      memcpy(to + 1, made.p, some);
    n += some;
    clear(&made);
  } else { /* choices */
    n += 200;
    memcpy(to + 1, bytes, 200);
  }
  return n;
}
