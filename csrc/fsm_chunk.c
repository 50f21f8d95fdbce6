#include "fsm_chunk.h"

#include "fsm_encode.h"

void fsm_chunks_free(fsm_chunks *all) {
  free(all->segments.items);
  free(all->literals.items);
  memset(all, 0, sizeof *all);
}

static fsm_status add_segment(fsm_chunks *all, fsm_chunk *to, uint32_t start, uint32_t n,
                              bool literal) {
  to->size += n;
  if (to->tail) {
    fsm_segment *last = fsm_chunk_segment(all, to->tail);
    if (last->literal == literal && last->start + last->length == start) {
      last->length += n;
      return FSM_OK;
    }
  }
  fsm_status s = fsm_array_reserve(&all->segments, sizeof(fsm_segment), 1);
  if (s)
    return s;
  uint32_t id = (uint32_t)++all->segments.n;
  *fsm_chunk_segment(all, id) = (fsm_segment){start, n, 0, literal};
  if (to->tail)
    fsm_chunk_segment(all, to->tail)->next = id;
  else
    to->head = id;
  to->tail = id;
  return FSM_OK;
}

fsm_status fsm_chunk_input(fsm_chunks *all, fsm_chunk *to, uint32_t start, uint32_t n) {
  return add_segment(all, to, start, n, false);
}

fsm_status fsm_chunk_literal(fsm_chunks *all, fsm_chunk *to, const uint8_t *bytes, size_t n) {
  fsm_array *literals = &all->literals;
  fsm_status s = fsm_array_reserve(literals, 1, n);
  if (s)
    return s;
  memcpy((uint8_t *)literals->items + literals->n, bytes, n);
  literals->n += n;
  return add_segment(all, to, (uint32_t)(literals->n - n), (uint32_t)n, true);
}

fsm_status fsm_chunk_tag(fsm_chunks *all, fsm_chunk *to, uint32_t number, fsm_wire wire) {
  return fsm_chunk_varint(all, to, (uint64_t)number << 3 | wire);
}

fsm_status fsm_chunk_varint(fsm_chunks *all, fsm_chunk *to, uint64_t value) {
  uint8_t bytes[FSM_MAX_VARINT_BYTES];
  return fsm_chunk_literal(all, to, bytes, fsm_write_varint(bytes, value));
}

void fsm_chunk_append(fsm_chunks *all, fsm_chunk *to, const fsm_chunk *other) {
  if (!other->head)
    return;
  if (to->tail)
    fsm_chunk_segment(all, to->tail)->next = other->head;
  else
    to->head = other->head;
  to->tail = other->tail;
  to->size += other->size;
}

fsm_status fsm_chunk_field(fsm_chunks *all, fsm_chunk *to, uint32_t number,
                           const fsm_chunk *payload, uint32_t raw_start) {
  fsm_status s;
  if ((s = fsm_chunk_tag(all, to, number, FSM_LEN)) ||
      (s = fsm_chunk_varint(all, to, payload->size)))
    return s;
  if (payload->raw)
    return payload->size ? fsm_chunk_input(all, to, raw_start, payload->size) : FSM_OK;
  fsm_chunk_append(all, to, payload);
  return FSM_OK;
}

/* ---- unknown fields ---- */

static fsm_status unknown_group(fsm_chunks *all, fsm_chunk *to, const uint8_t **p,
                                const uint8_t *end, uint32_t number, unsigned depth) {
  if (depth > FSM_MAX_DEPTH)
    return FSM_E_DEPTH;
  while (*p < end) {
    uint32_t inner;
    fsm_wire wire;
    fsm_status s = fsm_read_tag(p, end, &inner, &wire);
    if (s)
      return s;
    if (wire == FSM_END_GROUP)
      return inner == number ? fsm_chunk_tag(all, to, number, FSM_END_GROUP) : FSM_E_GROUP;
    if ((s = fsm_chunk_unknown(all, to, p, end, inner, wire, depth)))
      return s;
  }
  return FSM_E_GROUP;
}

fsm_status fsm_chunk_unknown(fsm_chunks *all, fsm_chunk *to, const uint8_t **p,
                             const uint8_t *end, uint32_t number, fsm_wire wire,
                             unsigned depth) {
  fsm_status s;
  uint64_t value = 0;
  if ((s = fsm_chunk_tag(all, to, number, wire)))
    return s;
  if (wire == FSM_GROUP)
    return unknown_group(all, to, p, end, number, depth + 1);
  if (wire == FSM_VARINT || wire == FSM_LEN) {
    if ((s = fsm_read_varint(p, end, &value)) || (s = fsm_chunk_varint(all, to, value)))
      return s;
  }
  uint64_t n = wire == FSM_LEN ? value : wire == FSM_FIXED64 ? 8 : wire == FSM_FIXED32 ? 4 : 0;
  if (n > (uint64_t)(end - *p))
    return FSM_E_TRUNCATED;
  if (n && (s = fsm_chunk_input(all, to, (uint32_t)(*p - all->base), (uint32_t)n)))
    return s;
  *p += n;
  return FSM_OK;
}
