#include "fsm_edges.h"

#include <stdlib.h>

#include "fsm_fields.h"
#include "fsm_scopes.h"

/* A message up to this size is read in memory; in a larger one the cursor steps over what
 * leads nowhere, as the bytes of a constant. */
#define SMALL (UINT32_C(16) << 10)
/* So many names may be there that no node has, so many nodes with a name that another has, or
 * with such a name among what they name. A graph where more are is beyond mending, and a file
 * must not decide how much memory they take. */
#define MAX_LOOSE (UINT32_C(1) << 20)

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

/* A name to be looked up. */
typedef struct {
  uint64_t hash;
  uint32_t owner, at, n; /* its bytes in the batch's */
  uint32_t row;          /* the node that has it, */
  uint32_t edge;         /* or FSM_NO_MEANING and which edge leads to what has it */
} asked;

/* Names to be looked up together. */
#define BATCH 256

typedef struct {
  fsm_edges *out;
  const fsm_nodes *nodes;
  fsm_cursor c;
  fsm_scopes scopes; /* of a name its edge */
  uint32_t row, owner;
  uint32_t n_arguments; /* of this function */
  fsm_array later;   /* fsm_edge: those of a row that come behind its inputs */
  fsm_array twice;   /* uint32_t: rows whose names others have */
  fsm_array results; /* uint32_t: function and name, in turn */
  uint32_t n_asked, n_bytes;
  asked asked[BATCH];
  uint8_t bytes[BATCH * 32 + SMALL];
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

static fsm_status push(fsm_array *to, uint32_t value) {
  void *slot;
  fsm_status s = fsm_array_push(to, sizeof value, 1, UINT32_MAX, &slot);
  if (!s)
    *(uint32_t *)slot = value;
  return s;
}

static fsm_status intern(build *b, fsm_reader text, uint32_t *id) {
  size_t n = (size_t)(text.end - text.p);
  uint64_t hash = fsm_scopes_hash(b->scopes.seed, b->owner, text.p, n);
  return fsm_scopes_intern(&b->scopes, hash, b->owner, text.p, n, id);
}

/* Something has this name; *first tells whether nothing before it has. */
static bool define(build *b, uint32_t id, fsm_edge edge) {
  uint32_t *meaning = fsm_scopes_meaning(&b->scopes, id);
  bool first = *meaning == FSM_NO_MEANING;
  if (first)
    *meaning = edge;
  return first;
}

static fsm_status look_up(build *b, const asked *a) {
  uint32_t id;
  fsm_status s = fsm_scopes_intern(&b->scopes, a->hash, a->owner, b->bytes + a->at, a->n, &id);
  if (s)
    return s;
  if (a->edge == FSM_NO_MEANING) {
    if (define(b, id, FSM_EDGE(FSM_TO_NODE, a->row)))
      return FSM_OK;
    return b->twice.n == MAX_LOOSE ? FSM_E_LIMIT : push(&b->twice, a->row);
  }
  uint32_t known = *fsm_scopes_meaning(&b->scopes, id);
  ((fsm_edge *)b->out->edges.items)[a->edge] =
      known != FSM_NO_MEANING ? known : FSM_EDGE(TO_NAME, id);
  return FSM_OK;
}

/* Look up all names that were asked for. */
static fsm_status look_up_all(build *b) {
  fsm_status s = FSM_OK;
  for (uint32_t i = 0; i < b->n_asked; i++)
    fsm_scopes_ask_next(&b->scopes, b->asked[i].hash);
  for (uint32_t i = 0; i < b->n_asked && !s; i++)
    s = look_up(b, &b->asked[i]);
  b->n_asked = b->n_bytes = 0;
  return s;
}

/* Ask for a name of at most SMALL bytes: this row's, or where `edge` leads. */
static fsm_status ask(build *b, fsm_reader text, uint32_t edge) {
  uint32_t n = (uint32_t)(text.end - text.p);
  if (b->n_asked == BATCH || n > sizeof b->bytes - b->n_bytes) {
    fsm_status s = look_up_all(b);
    if (s)
      return s;
  }
  uint64_t hash = fsm_scopes_hash(b->scopes.seed, b->owner, text.p, n);
  b->asked[b->n_asked++] = (asked){hash, b->owner, b->n_bytes, n, b->row, edge};
  fsm_scopes_ask(&b->scopes, hash);
  memcpy(b->bytes + b->n_bytes, text.p, n);
  b->n_bytes += n;
  return FSM_OK;
}

/* ---- edges ---- */

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

static fsm_status add_input(build *b, fsm_reader text) {
  uint32_t edge = (uint32_t)b->out->edges.n;
  fsm_status s = push(&b->out->edges, 0);
  return s ? s : ask(b, source_of(text, b->owner), edge);
}

/* One of `_class`: only "loc:@" says a place. */
static fsm_status add_place(build *b, fsm_reader text) {
  uint32_t id;
  if (text.end - text.p < 5 || memcmp(text.p, "loc:@", 5) != 0)
    return FSM_OK;
  fsm_status s = intern(b, (fsm_reader){text.p + 5, text.end}, &id);
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
  uint32_t id;
  if (b->n_arguments == FSM_MAX_NODES)
    return FSM_E_LIMIT;
  b->scopes.most++;
  fsm_status s = intern(b, text, &id);
  if (!s)
    define(b, id, FSM_EDGE(FSM_TO_ARGUMENT, b->n_arguments));
  return s;
}

static fsm_status add_result(build *b, fsm_reader text) {
  uint32_t id;
  fsm_status s = intern(b, source_of(text, b->owner), &id);
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
  is_class = is_class && in != ENTRY;
  if (in == ENTRY && depth == 1 && (s = find_class_key(b, at, &is_class)))
    return s;
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
  fsm_status s = FSM_OK;
  if (node->name_length > SMALL)
    return fsm_fail(&b->c.error, FSM_E_LIMIT, node->name, SMALL, node->name_length);
  if (node->name_length &&
      ((s = fsm_cursor_span(&b->c, node->name, node->name + node->name_length)) ||
       (s = fsm_cursor_need(&b->c, node->name_length, &p))))
    return s;
  s = ask(b, (fsm_reader){p, p + node->name_length}, FSM_NO_MEANING);
  return s ? fsm_fail(&b->c.error, s, node->name, MAX_LOOSE, 0) : FSM_OK;
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
  if (!s && (s = look_up_all(b)))
    fsm_fail(&b->c.error, s, 0, MAX_LOOSE, 0);
  return s;
}

/* ---- what does not resolve ---- */

/* What a name stands for, now that all are known. */
static fsm_edge resolved(const build *b, fsm_edge e) {
  unsigned kind = e >> 28;
  if (kind != TO_NAME && kind != BESIDE_NAME)
    return e;
  fsm_edge found = *fsm_scopes_meaning(&b->scopes, fsm_edge_number(e));
  if (kind == TO_NAME)
    return found != FSM_NO_MEANING ? found : FSM_EDGE(FSM_TO_NOTHING, 0);
  bool is_node = found != FSM_NO_MEANING && fsm_edge_kind_of(found) == FSM_TO_NODE;
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

/* `start` is where it is in the source. */
static fsm_status add_loose(build *b, uint32_t at, uint32_t what, uint64_t start) {
  void *slot;
  fsm_status s = fsm_array_push(&b->out->loose, sizeof(fsm_loose), 1, MAX_LOOSE, &slot);
  if (s)
    return fsm_fail(&b->c.error, s, start, MAX_LOOSE, 0);
  *(fsm_loose *)slot = (fsm_loose){at, what};
  return FSM_OK;
}

static fsm_status resolve_results(build *b) {
  const fsm_function *functions = b->nodes->functions.items;
  const uint32_t *result = b->results.items;
  uint32_t last = FSM_NO_NAME;
  fsm_status s = FSM_OK;
  for (size_t i = 0; i < b->results.n && !s; i += 2)
    if (*fsm_scopes_meaning(&b->scopes, result[i + 1]) == FSM_NO_MEANING && result[i] != last)
      s = add_loose(b, last = result[i], FSM_LOOSE_RESULT, functions[result[i]].start);
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
      s = add_loose(b, row, loose, nodes[row].start);
  }
  return s;
}

/* Take the table over: from here on a slot holds a row. */
static void keep_rows(build *b) {
  fsm_edges *t = b->out;
  t->slots = b->scopes.slots;
  t->n_slots = b->scopes.n_slots;
  t->seed = b->scopes.seed;
  b->scopes.slots = NULL;
  for (size_t i = 0; i < t->n_slots; i++) {
    if (!t->slots[i].id)
      continue;
    fsm_edge edge = *fsm_scopes_meaning(&b->scopes, t->slots[i].id - 1);
    bool is_node = edge != FSM_NO_MEANING && fsm_edge_kind_of(edge) == FSM_TO_NODE;
    t->slots[i].id = is_node ? fsm_edge_number(edge) + 1 : FSM_NO_NAME;
  }
}

static fsm_status resolve(build *b) {
  const fsm_nodes *nodes = b->nodes;
  fsm_edges *t = b->out;
  t->first = malloc((nodes->nodes.n + 1) * sizeof *t->first);
  b->scopes.most = nodes->nodes.n + MAX_LOOSE;
  fsm_status s = t->first ? fsm_scopes_init(&b->scopes, nodes->nodes.n) : FSM_E_NOMEM;
  if (s || (s = list_functions(b)))
    return fsm_fail(&b->c.error, s, 0, 0, 0);
  if ((s = read_all(b)))
    return s;
  t->first[nodes->nodes.n] = (uint32_t)t->edges.n;
  if (!(s = resolve_results(b)) && !(s = resolve_rows(b)))
    keep_rows(b);
  return s;
}

fsm_status fsm_edges_resolve(fsm_edges *edges, const fsm_nodes *nodes, const fsm_src *src,
                             fsm_error *e) {
  build *b = calloc(1, sizeof *b);
  uint8_t *window = malloc(FSM_WINDOW);
  fsm_status s = b && window ? FSM_OK : fsm_fail(e, FSM_E_NOMEM, 0, 0, 0);
  if (!s) {
    b->out = edges;
    b->nodes = nodes;
    fsm_cursor_init(&b->c, src, window, FSM_WINDOW);
    if ((s = resolve(b))) {
      *e = b->c.error;
      e->status = s;
    }
    fsm_scopes_free(&b->scopes);
    free(b->later.items);
    free(b->twice.items);
    free(b->results.items);
  }
  free(b);
  free(window);
  return s;
}

/* ---- finding, and walking ---- */

fsm_status fsm_edges_row(const fsm_edges *t, const fsm_nodes *nodes, const fsm_src *src,
                         uint32_t owner, const uint8_t *p, size_t n, uint32_t *row,
                         fsm_error *e) {
  uint8_t bytes[SMALL];
  uint64_t h = fsm_scopes_hash(t->seed, owner, p, n);
  size_t i = h & (t->n_slots - 1);
  for (; t->slots[i].id; i = (i + 1) & (t->n_slots - 1)) {
    if (t->slots[i].tag != (uint32_t)(h >> 32) || t->slots[i].id == FSM_NO_NAME)
      continue;
    *row = t->slots[i].id - 1;
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
