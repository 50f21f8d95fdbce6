#include "fsm_program.h"

enum { GRAPH_NODE = 1, NODE_OP = 2, NODE_ATTR = 5, ATTR_TYPE = 6, DT_STRING = 7 };

#define LONGEST_OP 23 /* StatefulPartitionedCall */

static bool is(const uint8_t *bytes, uint64_t n, const char *text) {
  return n == strlen(text) && memcmp(bytes, text, (size_t)n) == 0;
}

/* The bytes of a short string; NULL with FSM_OK for one that is too long to matter. */
static fsm_status short_text(fsm_cursor *c, const fsm_field *f, const uint8_t **bytes) {
  *bytes = NULL;
  if (f->length > LONGEST_OP)
    return FSM_OK;
  fsm_status s = fsm_cursor_span(c, f->value, f->end);
  return s ? s : fsm_cursor_need(c, (size_t)f->length, bytes);
}

/* Whether a map entry is dtype: DT_STRING; untouched when it has another key. */
static fsm_status string_dtype(fsm_cursor *c, const fsm_field *entry, bool *yes) {
  bool is_dtype = false, is_string = false;
  uint64_t at = entry->value;
  while (at < entry->end) {
    fsm_field f;
    const uint8_t *text;
    fsm_status s = fsm_cursor_span(c, at, entry->end);
    if (s || (s = fsm_cursor_next(c, &f)))
      return s;
    at = f.end;
    if (f.number == 1 && f.wire == FSM_LEN) {
      if ((s = short_text(c, &f, &text)))
        return s;
      is_dtype = text && is(text, f.length, "dtype");
    } else if (f.number == 2 && f.wire == FSM_LEN) {
      if ((s = fsm_cursor_span(c, f.value, f.end)))
        return s;
      while (!fsm_cursor_done(c)) {
        fsm_field inner;
        if ((s = fsm_cursor_next(c, &inner)))
          return s;
        /* Every other field of AttrValue is a member of the same oneof. */
        is_string = inner.number == ATTR_TYPE && inner.wire == FSM_VARINT &&
                    (uint32_t)inner.value == DT_STRING;
      }
    }
  }
  if (is_dtype)
    *yes = is_string;
  return FSM_OK;
}

static fsm_status look_at(fsm_cursor *c, fsm_irregular *n, bool *found) {
  bool is_const = false, is_string = true; /* without a dtype, too */
  uint64_t at = n->node.value;
  n->is_call = false;
  while (at < n->node.end) {
    fsm_field f;
    const uint8_t *op;
    fsm_status s = fsm_cursor_span(c, at, n->node.end);
    if (s || (s = fsm_cursor_next(c, &f)))
      return s;
    at = f.end;
    if (f.wire != FSM_LEN)
      continue;
    if (f.number == NODE_OP) {
      if ((s = short_text(c, &f, &op)))
        return s;
      is_const = op && is(op, f.length, "Const");
      n->is_call = op && (is(op, f.length, "PartitionedCall") ||
                          is(op, f.length, "StatefulPartitionedCall"));
    } else if (f.number == NODE_ATTR && (s = string_dtype(c, &f, &is_string))) {
      return s;
    }
  }
  *found = n->is_call || (is_const && is_string);
  return FSM_OK;
}

fsm_status fsm_program_next(fsm_cursor *c, fsm_irregular *node, bool *found) {
  uint64_t end = c->end;
  *found = false;
  while (!*found && c->at < end) {
    fsm_status s = fsm_cursor_next(c, &node->node);
    if (s)
      return s;
    if (node->node.number == GRAPH_NODE && node->node.wire == FSM_LEN &&
        (s = look_at(c, node, found)))
      return s;
    if ((s = fsm_cursor_span(c, node->node.end, end)))
      return s;
  }
  return FSM_OK;
}
