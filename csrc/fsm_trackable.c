#include "fsm_trackable.h"

#include "fsm_fields.h"

enum { N_PARTS = 4 };

/* What a message of a node holds, by the number of the field: of each the last. */
typedef struct {
  fsm_text text[N_PARTS];
  int32_t number[N_PARTS];
} parts;

typedef struct {
  fsm_tracked *to;
  const uint8_t *start;
  uint64_t need, have; /* of a field that could not be read */
} parser;

static fsm_status next_field(parser *p, fsm_reader *r, fsm_item *f) {
  f->value = 0;
  fsm_status s = fsm_next_field(r, f);
  if (s) {
    p->need = f->value ? f->value : 1;
    p->have = (uint64_t)(r->end - r->p);
  }
  return s;
}

void fsm_tracked_free(fsm_tracked *tracked) {
  free(tracked->children.items);
  free(tracked->values.items);
  free(tracked->slots.items);
  free(tracked->savers.items);
  *tracked = (fsm_tracked){0};
}

static fsm_status read_parts(parser *p, fsm_reader *r, parts *found) {
  *found = (parts){0};
  while (r->p < r->end) {
    fsm_item f;
    fsm_status s = next_field(p, r, &f);
    if (s)
      return s;
    uint32_t number = f.tag >> 3, wire = f.tag & 7;
    if (number < N_PARTS && wire == FSM_LEN)
      found->text[number] = (fsm_text){(uint32_t)(f.inside.p - p->start),
                                       (uint32_t)(f.inside.end - f.inside.p)};
    else if (number < N_PARTS && wire == FSM_VARINT)
      found->number[number] = (int32_t)(uint32_t)f.value;
  }
  return FSM_OK;
}

/* Room for one more row; NULL with *s set when there is none. */
static void *add(fsm_array *rows, size_t size, fsm_status *s) {
  *s = rows->n == FSM_MAX_TRACKED ? FSM_E_LIMIT : fsm_array_reserve(rows, size, 1);
  return *s ? NULL : (char *)rows->items + rows->n++ * size;
}

static fsm_status add_row(const parser *p, uint32_t owner, uint32_t tag, const parts *found) {
  fsm_tracked *to = p->to;
  fsm_status s = FSM_OK;
  if (tag == FSM_TAG(1, FSM_LEN)) {
    fsm_tracked_child *row = add(&to->children, sizeof *row, &s);
    if (row)
      *row = (fsm_tracked_child){owner, found->number[1], found->text[2]};
  } else if (tag == FSM_TAG(2, FSM_LEN)) {
    fsm_tracked_value *row = add(&to->values, sizeof *row, &s);
    if (row)
      *row = (fsm_tracked_value){owner, found->text[1], found->text[2], found->text[3]};
  } else if (tag == FSM_TAG(3, FSM_LEN)) {
    fsm_tracked_slot *row = add(&to->slots, sizeof *row, &s);
    if (row)
      *row = (fsm_tracked_slot){owner, found->number[1], found->number[3], found->text[2]};
  } else {
    fsm_tracked_saver *row = add(&to->savers, sizeof *row, &s);
    if (row)
      *row = (fsm_tracked_saver){owner, found->text[2]};
  }
  return s;
}

static fsm_status read_node(parser *p, fsm_reader *r, uint32_t owner) {
  while (r->p < r->end) {
    const uint8_t *field = r->p;
    fsm_item f;
    parts found;
    fsm_status s = next_field(p, r, &f);
    if (s)
      return s;
    if ((f.tag & 7) != FSM_LEN || f.tag >> 3 > 4)
      continue;
    if ((s = read_parts(p, &f.inside, &found))) {
      r->p = f.inside.p;
      return s;
    }
    if ((s = add_row(p, owner, f.tag, &found))) {
      r->p = field;
      return s;
    }
  }
  return FSM_OK;
}

static fsm_status read_graph(parser *p, fsm_reader *r) {
  while (r->p < r->end) {
    const uint8_t *field = r->p;
    fsm_item f;
    fsm_status s = next_field(p, r, &f);
    if (s)
      return s;
    if (f.tag != FSM_TAG(1, FSM_LEN))
      continue;
    if (p->to->n_nodes == FSM_MAX_TRACKED) {
      r->p = field;
      return FSM_E_LIMIT;
    }
    if ((s = read_node(p, &f.inside, p->to->n_nodes))) {
      r->p = f.inside.p;
      return s;
    }
    p->to->n_nodes++;
  }
  return FSM_OK;
}

fsm_status fsm_tracked_parse(fsm_tracked *to, const uint8_t *bytes, size_t size, fsm_error *e) {
  if (size > FSM_MAX_MESSAGE)
    return fsm_fail(e, FSM_E_LIMIT, 0, FSM_MAX_MESSAGE, size);
  parser p = {to, bytes, FSM_MAX_TRACKED, FSM_MAX_TRACKED};
  fsm_reader r = {bytes, bytes + size};
  fsm_status s = read_graph(&p, &r);
  if (s)
    fsm_fail(e, s, (uint64_t)(r.p - bytes), p.need, p.have);
  return s;
}
