#include "fsm_edges.h"

#include <stdlib.h>

#include "fsm_fields.h"
#include "fsm_hash.h"

/* A message up to this size is read in memory; in a larger one the cursor steps over what
 * leads nowhere, as the bytes of a constant. */
#define SMALL (UINT32_C(16) << 10)
/* So many names may be there that no node has: a graph where more are is beyond mending, and
 * a file must not decide how much memory they take. */
#define MAX_LOOSE_NAMES (UINT32_C(1) << 20)

/* Nodes and arguments together: names are counted in 28 bits. */
#define MAX_HAVING (UINT64_C(1) << 27)

#define NO_EDGE UINT32_MAX

/* Of edges that are not resolved yet: the number is a name's. */
enum { TO_NAME = 8, BESIDE_NAME = 9 };

/* The messages on the way from a node or a function to what it names, and the names. */
typedef enum {
  NODE,
  ENTRY,
  VALUE,
  LIST,
  FUNC,
  FUNCTION,
  SIGNATURE,
  ARGUMENT,
  RESULT,
  /* of these there is nothing inside */
  INPUT,
  FUNC_NAME,
  TEXT,
  ARGUMENT_NAME,
  RESULT_NAME,
  NOTHING
} message;

typedef struct {
  uint32_t end;  /* of its bytes; they begin where those of the name before it end */
  uint32_t owner;
  fsm_edge edge; /* what has the name, or NO_EDGE */
} name;

typedef struct {
  fsm_edges *out;
  const fsm_nodes *nodes;
  fsm_cursor c;
  uint32_t row, owner;
  uint32_t n_arguments; /* of this function */
  uint64_t n_having;    /* nodes and arguments that may have names */
  fsm_array names;  /* name */
  fsm_array bytes;
  fsm_array later;  /* fsm_edge: those of a row that come behind its inputs */
  fsm_array twice;  /* uint32_t: rows whose names others have */
  fsm_array results; /* uint32_t: function and name, in turn */
} build;

void fsm_edges_free(fsm_edges *edges) {
  free(edges->first);
  free(edges->edges.items);
  free(edges->loose.items);
  free(edges->function);
  free(edges->same);
  free(edges->slots);
  memset(edges, 0, sizeof *edges);
}

/* ---- names ---- */

static uint64_t hash_of(const fsm_edges *t, uint32_t owner, const uint8_t *p, size_t n) {
  return fsm_hash(t->seed ^ owner * UINT64_C(0x9e3779b97f4a7c15), p, n);
}

static const uint8_t *name_bytes(const build *b, uint32_t id, size_t *n) {
  const name *names = b->names.items;
  uint32_t start = id ? names[id - 1].end : 0;
  *n = names[id].end - start;
  return (const uint8_t *)b->bytes.items + start;
}

/* A table of this many slots, a power of two; while it is built, a slot holds a name + 1. */
static fsm_status make_slots(build *b, size_t n_slots) {
  fsm_edges *t = b->out;
  fsm_edge_slot *slots = calloc(n_slots, sizeof *slots);
  if (!slots)
    return FSM_E_NOMEM;
  free(t->slots);
  t->slots = slots;
  t->n_slots = n_slots;
  for (uint32_t id = 0; id < b->names.n; id++) {
    size_t n;
    const uint8_t *p = name_bytes(b, id, &n);
    uint64_t h = hash_of(t, ((const name *)b->names.items)[id].owner, p, n);
    size_t i = h & (n_slots - 1);
    while (slots[i].row)
      i = (i + 1) & (n_slots - 1);
    slots[i] = (fsm_edge_slot){(uint32_t)(h >> 32), id + 1};
  }
  return FSM_OK;
}

static fsm_status new_name(build *b, const uint8_t *p, size_t n) {
  fsm_status s;
  if (b->names.n >= b->n_having + MAX_LOOSE_NAMES || n > UINT32_MAX - b->bytes.n)
    return FSM_E_LIMIT;
  if ((s = fsm_array_reserve(&b->names, sizeof(name), 1)) ||
      (s = fsm_array_reserve(&b->bytes, 1, n ? n : 1)))
    return s;
  if (n)
    memcpy((uint8_t *)b->bytes.items + b->bytes.n, p, n);
  b->bytes.n += n;
  ((name *)b->names.items)[b->names.n++] = (name){(uint32_t)b->bytes.n, b->owner, NO_EDGE};
  return FSM_OK;
}

/* The id of a name that something of the owner has, or that is looked for. */
static fsm_status intern(build *b, const uint8_t *p, size_t n, uint32_t *id) {
  fsm_edges *t = b->out;
  fsm_status s;
  if (b->names.n * 2 >= t->n_slots && (s = make_slots(b, t->n_slots * 2)))
    return s;
  uint64_t h = hash_of(t, b->owner, p, n);
  uint32_t tag = (uint32_t)(h >> 32);
  size_t i = h & (t->n_slots - 1);
  for (; t->slots[i].row; i = (i + 1) & (t->n_slots - 1)) {
    size_t length;
    *id = t->slots[i].row - 1;
    if (t->slots[i].tag != tag || ((const name *)b->names.items)[*id].owner != b->owner)
      continue;
    const uint8_t *other = name_bytes(b, *id, &length);
    if (length == n && memcmp(other, p, n) == 0)
      return FSM_OK;
  }
  if ((s = new_name(b, p, n)))
    return s;
  *id = (uint32_t)b->names.n - 1;
  t->slots[i] = (fsm_edge_slot){tag, *id + 1};
  return FSM_OK;
}

/* Something has this name; *first tells whether nothing before it has. */
static fsm_status define(build *b, const uint8_t *p, size_t n, fsm_edge edge, bool *first) {
  uint32_t id;
  fsm_status s = intern(b, p, n, &id);
  if (s)
    return s;
  name *found = (name *)b->names.items + id;
  *first = found->edge == NO_EDGE;
  if (*first)
    found->edge = edge;
  return FSM_OK;
}

/* ---- edges ---- */

static fsm_status push(fsm_array *to, uint32_t value) {
  void *slot;
  fsm_status s = fsm_array_push(to, sizeof value, 1, UINT32_MAX, &slot);
  if (!s)
    *(uint32_t *)slot = value;
  return s;
}

static bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

/* Of an input only the name of what it comes from. */
static fsm_reader source_of(fsm_reader text, uint32_t owner) {
  const uint8_t *p = text.end;
  if (owner == FSM_MAIN_GRAPH) {
    while (p - 1 > text.p && is_digit(p[-1]))
      p--;
    if (p < text.end && p - 1 > text.p && p[-1] == ':')
      return (fsm_reader){text.p, p - 1};
  }
  if (text.p < text.end && *text.p == '^')
    return (fsm_reader){text.p + 1, text.end};
  if (owner != FSM_MAIN_GRAPH && text.p < text.end &&
      (p = memchr(text.p, ':', (size_t)(text.end - text.p))))
    return (fsm_reader){text.p, p};
  return text;
}

static fsm_status name_id(build *b, fsm_reader text, uint32_t *id) {
  return intern(b, text.p, (size_t)(text.end - text.p), id);
}

static fsm_status add_input(build *b, fsm_reader text) {
  uint32_t id;
  fsm_status s = name_id(b, source_of(text, b->owner), &id);
  if (s)
    return s;
  fsm_edge known = ((const name *)b->names.items)[id].edge;
  return push(&b->out->edges, known != NO_EDGE ? known : FSM_EDGE(TO_NAME, id));
}

/* One of `_class`: only "loc:@" says a place. */
static fsm_status add_place(build *b, fsm_reader text) {
  uint32_t id;
  if (text.end - text.p < 5 || memcmp(text.p, "loc:@", 5) != 0)
    return FSM_OK;
  fsm_status s = name_id(b, (fsm_reader){text.p + 5, text.end}, &id);
  return s ? s : push(&b->later, FSM_EDGE(BESIDE_NAME, id));
}

static fsm_status add_function(build *b, fsm_reader text) {
  uint32_t id;
  if (text.p == text.end) /* the default of such an attribute */
    return FSM_OK;
  bool known = fsm_names_find(&b->nodes->names, text.p, (size_t)(text.end - text.p), &id) &&
               b->out->function[id];
  return push(&b->later, known ? FSM_EDGE(FSM_TO_FUNCTION, b->out->function[id] - 1)
                               : FSM_EDGE(FSM_TO_NO_FUNCTION, 0));
}

static fsm_status add_argument(build *b, fsm_reader text) {
  bool first;
  if (b->n_having == MAX_HAVING)
    return FSM_E_LIMIT;
  b->n_having++;
  return define(b, text.p, (size_t)(text.end - text.p),
                FSM_EDGE(FSM_TO_ARGUMENT, b->n_arguments), &first);
}

static fsm_status add_result(build *b, fsm_reader text) {
  uint32_t id;
  fsm_status s = name_id(b, source_of(text, b->owner), &id);
  if (s || (s = push(&b->results, b->owner - 1)))
    return s;
  return push(&b->results, id);
}

static fsm_status read_name(build *b, message what, fsm_reader text, bool is_class) {
  switch (what) {
  case INPUT:
    return add_input(b, text);
  case FUNC_NAME:
    return add_function(b, text);
  case ARGUMENT_NAME:
    return add_argument(b, text);
  case RESULT_NAME:
    return add_result(b, text);
  default: /* TEXT */
    return is_class ? add_place(b, text) : FSM_OK;
  }
}

/* ---- messages ---- */

/* What a field holds; by the numbers of node_def.proto, attr_value.proto, function.proto and
 * op_def.proto. */
static inline message inside(message in, uint32_t number) {
  switch (in) {
  case NODE:
    return number == 5 ? ENTRY : number == 3 ? INPUT : NOTHING;
  case ENTRY:
    return number == 2 ? VALUE : NOTHING;
  case VALUE:
    return number == 1 ? LIST : number == 10 ? FUNC : NOTHING;
  case LIST:
    return number == 9 ? FUNC : number == 2 ? TEXT : NOTHING;
  case FUNC:
    return number == 1 ? FUNC_NAME : number == 2 ? ENTRY : NOTHING;
  case FUNCTION: /* its nodes have rows */
    return number == 1 ? SIGNATURE : number == 4 || number == 6 ? RESULT : NOTHING;
  case SIGNATURE:
    return number == 2 ? ARGUMENT : NOTHING;
  case ARGUMENT:
    return number == 1 ? ARGUMENT_NAME : NOTHING;
  default: /* RESULT */
    return number == 2 ? RESULT_NAME : NOTHING;
  }
}

static bool is_class_key(const uint8_t *p, uint64_t n) {
  return n == 6 && memcmp(p, "_class", 6) == 0;
}

/* Whether a map entry in memory has the key `_class`, the last that it has. */
static bool has_class_key(fsm_reader entry) {
  fsm_item f;
  bool found = false;
  while (entry.p < entry.end && !fsm_next_field(&entry, &f))
    if (f.tag == FSM_TAG(1, FSM_LEN))
      found = is_class_key(f.inside.p, f.value);
  return found;
}

/* Read a message, or a name, that lies in memory; a failure is without a place. */
static fsm_status in_memory(build *b, message in, fsm_reader r, bool is_class, unsigned depth) {
  fsm_item f;
  fsm_status s;
  if (in >= INPUT)
    return read_name(b, in, r, is_class);
  if (depth > FSM_MAX_DEPTH)
    return FSM_E_DEPTH;
  if (in == ENTRY)
    is_class = depth == 1 && has_class_key(r);
  while (r.p < r.end) {
    if ((s = fsm_next_field(&r, &f)))
      return s;
    message next = (f.tag & 7) == FSM_LEN ? inside(in, f.tag >> 3) : NOTHING;
    if (next != NOTHING && (s = in_memory(b, next, f.inside, is_class, depth + 1)))
      return s;
  }
  b->n_arguments += in == ARGUMENT;
  return FSM_OK;
}

static fsm_status at_large(build *b, message in, fsm_span at, bool is_class, unsigned depth);

static fsm_status read_message(build *b, message in, fsm_span at, bool is_class, unsigned depth) {
  const uint8_t *p;
  uint64_t n = at.end - at.start;
  if (n == 0)
    return in_memory(b, in, (fsm_reader){(const uint8_t *)"", (const uint8_t *)""}, is_class, depth);
  if (n > SMALL)
    return in < INPUT ? at_large(b, in, at, is_class, depth)
                      : fsm_fail(&b->c.error, FSM_E_LIMIT, at.start, SMALL, n);
  fsm_status s = fsm_cursor_span(&b->c, at.start, at.end);
  if (s || (s = fsm_cursor_need(&b->c, (size_t)n, &p)) ||
      !(s = in_memory(b, in, (fsm_reader){p, p + n}, is_class, depth)))
    return s;
  /* The cursor says what is wrong, and where. */
  fsm_status told = in < INPUT && s != FSM_E_NOMEM ? at_large(b, in, at, is_class, depth) : FSM_OK;
  return told ? told : fsm_fail(&b->c.error, s, at.start, 0, n);
}

static fsm_status find_class_key(build *b, fsm_span entry, bool *found) {
  fsm_status s = fsm_cursor_span(&b->c, entry.start, entry.end);
  uint8_t key[6];
  *found = false;
  while (!s && !fsm_cursor_done(&b->c)) {
    fsm_field f;
    if ((s = fsm_cursor_next(&b->c, &f)) || f.number != 1 || f.wire != FSM_LEN)
      continue;
    *found = false;
    if (f.length == sizeof key && !(s = fsm_cursor_read(&b->c, f.value, key, sizeof key)))
      *found = is_class_key(key, sizeof key);
  }
  return s;
}

/* Read a message of any size. */
static fsm_status at_large(build *b, message in, fsm_span at, bool is_class, unsigned depth) {
  fsm_status s;
  if (depth > FSM_MAX_DEPTH)
    return fsm_fail(&b->c.error, FSM_E_DEPTH, at.start, FSM_MAX_DEPTH, depth);
  if (in == ENTRY && (s = find_class_key(b, at, &is_class)))
    return s;
  is_class = is_class && (in != ENTRY || depth == 1);
  while (at.start < at.end) {
    fsm_field f;
    if ((s = fsm_cursor_span(&b->c, at.start, at.end)) || (s = fsm_cursor_next(&b->c, &f)))
      return s;
    at.start = f.end;
    message next = f.wire == FSM_LEN ? inside(in, f.number) : NOTHING;
    if (next != NOTHING &&
        (s = read_message(b, next, (fsm_span){f.value, f.end}, is_class, depth + 1)))
      return s;
  }
  b->n_arguments += in == ARGUMENT;
  return FSM_OK;
}

/* ---- nodes and functions ---- */

static fsm_status add_node_name(build *b, const fsm_node *node) {
  const uint8_t *p = (const uint8_t *)"";
  bool first;
  fsm_status s = FSM_OK;
  if (node->name_length > SMALL)
    return fsm_fail(&b->c.error, FSM_E_LIMIT, node->name, SMALL, node->name_length);
  if (node->name_length &&
      ((s = fsm_cursor_span(&b->c, node->name, node->name + node->name_length)) ||
       (s = fsm_cursor_need(&b->c, node->name_length, &p))))
    return s;
  s = define(b, p, node->name_length, FSM_EDGE(FSM_TO_NODE, b->row), &first);
  if (!s && !first)
    s = push(&b->twice, b->row);
  return s ? fsm_fail(&b->c.error, s, node->name, FSM_MAX_NODES, 0) : FSM_OK;
}

static fsm_status add_node(build *b, const fsm_node *node) {
  fsm_edges *t = b->out;
  b->owner = node->owner;
  b->later.n = 0;
  t->first[b->row] = (uint32_t)t->edges.n;
  fsm_span whole = {node->start, node->start + node->length};
  /* All of it first, if it is small: else its name would be, and the window begin there. */
  const uint8_t *p;
  fsm_status s = fsm_cursor_span(&b->c, whole.start, whole.end);
  if (s || (node->length <= SMALL && (s = fsm_cursor_need(&b->c, node->length, &p))) ||
      (s = add_node_name(b, node)) || (s = read_message(b, NODE, whole, false, 0)))
    return s;
  if (t->function[node->op])
    s = push(&b->later, FSM_EDGE(FSM_TO_FUNCTION, t->function[node->op] - 1));
  const fsm_edge *later = b->later.items;
  for (size_t i = 0; i < b->later.n && !s; i++)
    s = push(&t->edges, later[i]);
  return s ? fsm_fail(&b->c.error, s, node->start, UINT32_MAX, t->edges.n) : FSM_OK;
}

/* Which functions have a name. */
static fsm_status list_functions(build *b) {
  fsm_edges *t = b->out;
  const fsm_function *functions = b->nodes->functions.items;
  t->function = calloc(b->nodes->names.ends.n + 1, sizeof *t->function);
  t->same = calloc(b->nodes->functions.n + 1, sizeof *t->same);
  if (!t->function || !t->same)
    return FSM_E_NOMEM;
  for (uint32_t i = (uint32_t)b->nodes->functions.n; i--;) {
    t->same[i] = t->function[functions[i].name];
    t->function[functions[i].name] = i + 1;
  }
  return FSM_OK;
}

static fsm_status read_all(build *b) {
  const fsm_function *functions = b->nodes->functions.items;
  const fsm_node *nodes = b->nodes->nodes.items;
  fsm_status s = FSM_OK;
  for (uint32_t i = 0; i < b->nodes->functions.n && !s; i++) {
    b->owner = i + 1;
    b->n_arguments = 0;
    fsm_span whole = {functions[i].start, functions[i].start + functions[i].length};
    s = read_message(b, FUNCTION, whole, false, 0);
  }
  for (b->row = 0; b->row < b->nodes->nodes.n && !s; b->row++)
    s = add_node(b, &nodes[b->row]);
  return s;
}

/* ---- what does not resolve ---- */

/* What a name stands for, now that all are known. */
static fsm_edge resolved(const build *b, fsm_edge e) {
  unsigned kind = e >> 28;
  if (kind != TO_NAME && kind != BESIDE_NAME)
    return e;
  fsm_edge found = ((const name *)b->names.items)[fsm_edge_number(e)].edge;
  if (kind == TO_NAME)
    return found != NO_EDGE ? found : FSM_EDGE(FSM_TO_NOTHING, 0);
  bool is_node = found != NO_EDGE && fsm_edge_kind_of(found) == FSM_TO_NODE;
  return is_node ? FSM_EDGE(FSM_BESIDE_NODE, fsm_edge_number(found))
                 : FSM_EDGE(FSM_BESIDE_NOTHING, 0);
}

static uint32_t loose_by(fsm_edge e, uint32_t owner) {
  switch (fsm_edge_kind_of(e)) {
  case FSM_TO_NOTHING:
    return FSM_LOOSE_INPUT;
  case FSM_TO_NO_FUNCTION:
    return FSM_LOOSE_FUNCTION;
  case FSM_BESIDE_NOTHING:
    return owner == FSM_MAIN_GRAPH ? FSM_LOOSE_CLASS : 0;
  default:
    return 0;
  }
}

static fsm_status add_loose(build *b, uint32_t at, uint32_t what) {
  void *slot;
  fsm_status s = fsm_array_push(&b->out->loose, sizeof(fsm_loose), 1, UINT32_MAX, &slot);
  if (!s)
    *(fsm_loose *)slot = (fsm_loose){at, what};
  return s;
}

static fsm_status resolve_results(build *b) {
  const uint32_t *result = b->results.items;
  const name *names = b->names.items;
  uint32_t last = FSM_NO_NAME;
  fsm_status s = FSM_OK;
  for (size_t i = 0; i < b->results.n && !s; i += 2)
    if (names[result[i + 1]].edge == NO_EDGE && result[i] != last)
      s = add_loose(b, last = result[i], FSM_LOOSE_RESULT);
  return s;
}

static fsm_status resolve_rows(build *b) {
  const fsm_edges *t = b->out;
  const fsm_node *nodes = b->nodes->nodes.items;
  const uint32_t *twice = b->twice.items;
  fsm_edge *edges = t->edges.items;
  size_t n_twice = 0;
  fsm_status s = FSM_OK;
  for (uint32_t row = 0; row < b->nodes->nodes.n && !s; row++) {
    uint32_t loose = 0;
    for (uint32_t i = t->first[row]; i < t->first[row + 1]; i++) {
      edges[i] = resolved(b, edges[i]);
      loose |= loose_by(edges[i], nodes[row].owner);
    }
    if (n_twice < b->twice.n && twice[n_twice] == row) {
      loose |= FSM_LOOSE_NAME;
      n_twice++;
    }
    if (loose)
      s = add_loose(b, row, loose);
  }
  return s;
}

/* From here on a slot holds a row. */
static void keep_rows(const build *b) {
  const name *names = b->names.items;
  fsm_edges *t = b->out;
  for (size_t i = 0; i < t->n_slots; i++) {
    if (!t->slots[i].row)
      continue;
    fsm_edge edge = names[t->slots[i].row - 1].edge;
    bool is_node = edge != NO_EDGE && fsm_edge_kind_of(edge) == FSM_TO_NODE;
    t->slots[i].row = is_node ? fsm_edge_number(edge) + 1 : FSM_NO_NAME;
  }
}

static fsm_status resolve(build *b) {
  const fsm_nodes *nodes = b->nodes;
  fsm_edges *t = b->out;
  size_t n_slots = 64;
  while (n_slots < 2 * nodes->nodes.n)
    n_slots *= 2;
  t->seed = fsm_hash_seed(b);
  t->first = malloc((nodes->nodes.n + 1) * sizeof *t->first);
  fsm_status s = t->first ? FSM_OK : FSM_E_NOMEM;
  if (s || (s = make_slots(b, n_slots)) || (s = list_functions(b)))
    return fsm_fail(&b->c.error, s, 0, 0, 0);
  if ((s = read_all(b)))
    return s;
  t->first[nodes->nodes.n] = (uint32_t)t->edges.n;
  if ((s = resolve_results(b)) || (s = resolve_rows(b)))
    return fsm_fail(&b->c.error, s, 0, 0, 0);
  keep_rows(b);
  return FSM_OK;
}

fsm_status fsm_edges_resolve(fsm_edges *edges, const fsm_nodes *nodes, const fsm_src *src,
                             fsm_error *e) {
  build b = {.out = edges, .nodes = nodes, .n_having = nodes->nodes.n};
  uint8_t *window = malloc(FSM_WINDOW);
  if (!window)
    return fsm_fail(e, FSM_E_NOMEM, 0, 0, 0);
  fsm_cursor_init(&b.c, src, window, FSM_WINDOW);
  fsm_status s = resolve(&b);
  if (s) {
    *e = b.c.error;
    e->status = s;
  }
  free(b.names.items);
  free(b.bytes.items);
  free(b.later.items);
  free(b.twice.items);
  free(b.results.items);
  free(window);
  return s;
}

/* ---- finding, and walking ---- */

fsm_status fsm_edges_row(const fsm_edges *t, const fsm_nodes *nodes, const fsm_src *src,
                         uint32_t owner, const uint8_t *p, size_t n, uint32_t *row,
                         fsm_error *e) {
  uint8_t bytes[SMALL];
  uint64_t h = hash_of(t, owner, p, n);
  size_t i = h & (t->n_slots - 1);
  for (; t->slots[i].row; i = (i + 1) & (t->n_slots - 1)) {
    if (t->slots[i].tag != (uint32_t)(h >> 32) || t->slots[i].row == FSM_NO_NAME)
      continue;
    *row = t->slots[i].row - 1;
    const fsm_node *node = (const fsm_node *)nodes->nodes.items + *row;
    if (node->owner != owner || node->name_length != n)
      continue;
    fsm_status s = fsm_src_read(src, node->name, bytes, n, e);
    if (s || memcmp(bytes, p, n) == 0)
      return s;
  }
  *row = FSM_NO_NAME;
  return FSM_OK;
}

static fsm_status mark(fsm_live *live, uint8_t *known, fsm_edge edge) {
  if (*known)
    return FSM_OK;
  *known = 1;
  return push(&live->todo, edge);
}

fsm_status fsm_live_mark(fsm_live *live, const fsm_edges *t, fsm_edge edge) {
  uint32_t i = fsm_edge_number(edge);
  if (fsm_edge_kind_of(edge) == FSM_TO_NODE)
    return mark(live, &live->nodes[i], edge);
  if (fsm_edge_kind_of(edge) != FSM_TO_FUNCTION || live->functions[i])
    return FSM_OK;
  fsm_status s = FSM_OK;
  for (i++; i && !s; i = t->same[i - 1])
    s = mark(live, &live->functions[i - 1], FSM_EDGE(FSM_TO_FUNCTION, i - 1));
  return s;
}

fsm_status fsm_live_walk(fsm_live *live, const fsm_edges *t, const fsm_nodes *nodes) {
  const fsm_edge *edges = t->edges.items;
  const fsm_function *functions = nodes->functions.items;
  fsm_status s = FSM_OK;
  while (live->todo.n && !s) {
    fsm_edge next = ((const fsm_edge *)live->todo.items)[--live->todo.n];
    bool is_node = fsm_edge_kind_of(next) == FSM_TO_NODE;
    uint32_t first = fsm_edge_number(next), n = 1;
    if (!is_node) {
      n = functions[first].n_nodes;
      first = functions[first].first_node;
    }
    for (uint32_t i = t->first[first]; i < t->first[first + n] && !s; i++)
      if (is_node || fsm_edge_kind_of(edges[i]) == FSM_TO_FUNCTION)
        s = fsm_live_mark(live, t, edges[i]);
  }
  return s;
}
