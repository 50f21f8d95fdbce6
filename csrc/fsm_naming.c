#include "fsm_naming.h"

#include <stdlib.h>
#include <string.h>

/* The messages on the way from a node to the functions that it names. */
typedef enum { NODE, ENTRY, VALUE, LIST, FUNC, NOTHING } message;

/* Field numbers of node_def.proto and attr_value.proto. */
enum { NODE_INPUT = 3, NODE_ATTR = 5, FUNC_NAME = 1 };

typedef struct {
  fsm_cursor c;
  const uint8_t *name;
  uint8_t *buffer; /* n + 1 bytes */
  uint32_t n;
} search;

/* What a field of such a message holds, if it leads on. */
static message inside(message in, uint32_t number) {
  switch (in) {
  case NODE:
    return number == NODE_ATTR ? ENTRY : NOTHING;
  case ENTRY:
    return number == 2 ? VALUE : NOTHING;
  case VALUE:
    return number == 1 ? LIST : number == 10 ? FUNC : NOTHING;
  case LIST:
    return number == 9 ? FUNC : NOTHING;
  default: /* FUNC */
    return number == 2 ? ENTRY : NOTHING;
  }
}

/* Whether a payload is the name or, where `more`, the name and a colon and more. */
static fsm_status is_name(search *s, const fsm_field *f, bool more, bool *found) {
  bool longer = more && f->length > s->n;
  if (f->length != s->n && !longer)
    return FSM_OK;
  fsm_status status = fsm_cursor_read(&s->c, f->value, s->buffer, s->n + longer);
  if (!status && memcmp(s->buffer, s->name, s->n) == 0 && (!longer || s->buffer[s->n] == ':'))
    *found = true;
  return status;
}

static fsm_status names_function(search *s, message in, uint64_t at, uint64_t end,
                                 unsigned depth, bool *found) {
  if (depth > FSM_MAX_DEPTH)
    return fsm_fail(&s->c.error, FSM_E_DEPTH, at, FSM_MAX_DEPTH, depth);
  while (at < end && !*found) {
    fsm_field f;
    fsm_status status = fsm_cursor_span(&s->c, at, end);
    if (status || (status = fsm_cursor_next(&s->c, &f)))
      return status;
    at = f.end;
    if (f.wire != FSM_LEN)
      continue;
    message next = inside(in, f.number);
    if (next != NOTHING)
      status = names_function(s, next, f.value, f.end, depth + 1, found);
    else if (in == FUNC && f.number == FUNC_NAME)
      status = is_name(s, &f, false, found);
    if (status)
      return status;
  }
  return FSM_OK;
}

static fsm_status takes_input(search *s, const fsm_node *node, bool *found) {
  fsm_status status = fsm_cursor_span(&s->c, node->start, node->start + node->length);
  while (!status && !*found && !fsm_cursor_done(&s->c)) {
    fsm_field f;
    if (!(status = fsm_cursor_next(&s->c, &f)) && f.number == NODE_INPUT && f.wire == FSM_LEN)
      status = is_name(s, &f, true, found);
  }
  return status;
}

fsm_status fsm_nodes_naming(const fsm_nodes *nodes, const fsm_src *src, fsm_naming what,
                            const uint8_t *name, uint32_t n, fsm_array *rows, fsm_error *e) {
  search s = {.name = name, .n = n};
  uint8_t *window = malloc(FSM_WINDOW + (size_t)n + 1);
  if (!window)
    return fsm_fail(e, FSM_E_NOMEM, 0, 0, 0);
  fsm_cursor_init(&s.c, src, window, FSM_WINDOW);
  s.buffer = window + FSM_WINDOW;
  uint32_t op;
  if (what != FSM_NAMING_FUNCTION || !fsm_names_find(&nodes->names, name, n, &op))
    op = FSM_NO_NAME;
  const fsm_node *node = nodes->nodes.items;
  fsm_status status = FSM_OK;
  for (uint32_t i = 0; i < nodes->nodes.n && !status; i++) {
    bool found = op != FSM_NO_NAME && node[i].op == op;
    uint64_t end = node[i].start + node[i].length;
    if (what == FSM_NAMING_INPUT)
      status = takes_input(&s, &node[i], &found);
    else if (!found)
      status = names_function(&s, NODE, node[i].start, end, 0, &found);
    if (status || !found)
      continue;
    if ((status = fsm_array_reserve(rows, sizeof(uint32_t), 1)))
      fsm_fail(&s.c.error, status, node[i].start, 0, 0);
    else
      ((uint32_t *)rows->items)[rows->n++] = i;
  }
  if (status) {
    *e = s.c.error;
    e->status = status;
  }
  free(window);
  return status;
}
