#include "fsm_snappy.h"

#include <string.h>

#include "fsm_wire.h"

/* The low two bits of an element's first byte. */
enum { LITERAL = 0, COPY_1 = 1, COPY_2 = 2, COPY_4 = 3 };

typedef struct {
  const uint8_t *start, *p, *end; /* compressed */
  uint8_t *out;
  size_t made, length;
} decoder;

static fsm_status read_length(const uint8_t **p, const uint8_t *end, uint64_t *length) {
  const uint8_t *start = *p;
  if (fsm_read_varint(p, end, length) || *p - start > 5 || *length > UINT32_MAX)
    return FSM_E_SNAPPY;
  return FSM_OK;
}

fsm_status fsm_snappy_length(const uint8_t *in, size_t n, size_t limit, size_t *length,
                             fsm_error *e) {
  const uint8_t *p = in;
  uint64_t declared;
  if (read_length(&p, in + n, &declared))
    return fsm_fail(e, FSM_E_SNAPPY, 0, 0, n);
  if (declared / FSM_SNAPPY_MAX_EXPANSION > n)
    return fsm_fail(e, FSM_E_SNAPPY, 0, declared, n);
  if (declared > limit)
    return fsm_fail(e, FSM_E_LIMIT, 0, declared, limit);
  *length = (size_t)declared;
  return FSM_OK;
}

/* A little-endian number of 1 to 4 bytes. */
static bool read_number(decoder *d, size_t n_bytes, size_t *value) {
  if (n_bytes > (size_t)(d->end - d->p))
    return false;
  *value = 0;
  for (size_t i = 0; i < n_bytes; i++)
    *value |= (size_t)*d->p++ << (8 * i);
  return true;
}

static bool decode_literal(decoder *d, size_t code) {
  size_t n = code;
  if (code >= 60 && !read_number(d, code - 59, &n))
    return false;
  /* n is one less than the length. */
  if (n >= (size_t)(d->end - d->p) || n >= d->length - d->made)
    return false;
  memcpy(d->out + d->made, d->p, n + 1);
  d->made += n + 1;
  d->p += n + 1;
  return true;
}

static bool decode_copy(decoder *d, size_t offset, size_t n) {
  if (offset == 0 || offset > d->made || n > d->length - d->made)
    return false;
  /* A copy may reach into its own output: it repeats the last `offset` bytes. */
  while (n > 0) {
    size_t part = n < offset ? n : offset;
    memcpy(d->out + d->made, d->out + d->made - offset, part);
    d->made += part;
    n -= part;
  }
  return true;
}

static bool decode_element(decoder *d) {
  size_t tag = *d->p++, high = tag >> 2, offset;
  switch (tag & 3) {
  case LITERAL:
    return decode_literal(d, high);
  case COPY_1:
    return read_number(d, 1, &offset) &&
           decode_copy(d, (high >> 3) << 8 | offset, (high & 7) + 4);
  case COPY_2:
    return read_number(d, 2, &offset) && decode_copy(d, offset, high + 1);
  default:
    return read_number(d, 4, &offset) && decode_copy(d, offset, high + 1);
  }
}

fsm_status fsm_snappy_decode(const uint8_t *in, size_t n, uint8_t *out, size_t length,
                             fsm_error *e) {
  decoder d = {.start = in, .p = in, .end = in + n, .out = out, .length = length};
  uint64_t declared;
  if (read_length(&d.p, d.end, &declared) || declared != length)
    return fsm_fail(e, FSM_E_SNAPPY, 0, length, 0);
  while (d.p < d.end) {
    const uint8_t *element = d.p;
    if (!decode_element(&d))
      return fsm_fail(e, FSM_E_SNAPPY, (uint64_t)(element - d.start), length, d.made);
  }
  if (d.made != length)
    return fsm_fail(e, FSM_E_SNAPPY, n, length, d.made);
  return FSM_OK;
}
