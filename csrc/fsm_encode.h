/* The encoder: fields in protobuf's wire format, each in its minimal form.
 *
 * Two passes: fsm_size_* tell how many bytes a field takes, and fsm_put_*
 * write them to memory that the caller made large enough, and return where they
 * end. A number is left out when it is zero, proto3's default.
 * Source: protobuf's "Encoding" page. */
#ifndef FSM_ENCODE_H
#define FSM_ENCODE_H

#include "fsm_wire.h"

/* The bytes of the minimal varint. */
static inline unsigned fsm_varint_size(uint64_t value) {
  unsigned n = 1;
  while (value >= 0x80) {
    value >>= 7;
    n++;
  }
  return n;
}

/* Writes at most ten bytes; returns how many. */
static inline unsigned fsm_write_varint(uint8_t *to, uint64_t value) {
  unsigned n = 0;
  while (value >= 0x80) {
    to[n++] = (uint8_t)(value | 0x80);
    value >>= 7;
  }
  to[n++] = (uint8_t)value;
  return n;
}

static inline uint8_t *fsm_put_varint(uint8_t *to, uint64_t value) {
  return to + fsm_write_varint(to, value);
}

static inline uint8_t *fsm_put32(uint8_t *to, uint32_t value) {
  for (unsigned i = 0; i < 4; i++)
    to[i] = (uint8_t)(value >> (8 * i));
  return to + 4;
}

static inline uint8_t *fsm_put64(uint8_t *to, uint64_t value) {
  return fsm_put32(fsm_put32(to, (uint32_t)value), (uint32_t)(value >> 32));
}

/* A varint field; a negative number takes ten bytes, as protobuf has it. */
size_t fsm_size_number(uint32_t number, uint64_t value);
uint8_t *fsm_put_number(uint8_t *to, uint32_t number, uint64_t value);

size_t fsm_size_fixed32(uint32_t number, uint32_t value);
uint8_t *fsm_put_fixed32(uint8_t *to, uint32_t number, uint32_t value);

/* A length-delimited field of n bytes; the header alone, for who writes the
 * payload himself, or all of it. */
uint64_t fsm_size_delimited(uint32_t number, uint64_t n);
uint8_t *fsm_put_delimited_header(uint8_t *to, uint32_t number, uint64_t n);
uint8_t *fsm_put_delimited(uint8_t *to, uint32_t number, const void *payload, size_t n);

#endif
