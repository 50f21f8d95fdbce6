#include "fsm_encode.h"

static uint64_t tag(uint32_t number, fsm_wire wire) {
  return (uint64_t)number << 3 | wire;
}

size_t fsm_size_number(uint32_t number, uint64_t value) {
  return value ? fsm_varint_size(tag(number, FSM_VARINT)) + fsm_varint_size(value) : 0;
}

uint8_t *fsm_put_number(uint8_t *to, uint32_t number, uint64_t value) {
  return value ? fsm_put_varint(fsm_put_varint(to, tag(number, FSM_VARINT)), value) : to;
}

size_t fsm_size_fixed32(uint32_t number, uint32_t value) {
  return value ? fsm_varint_size(tag(number, FSM_FIXED32)) + 4 : 0;
}

uint8_t *fsm_put_fixed32(uint8_t *to, uint32_t number, uint32_t value) {
  return value ? fsm_put32(fsm_put_varint(to, tag(number, FSM_FIXED32)), value) : to;
}

uint64_t fsm_size_delimited(uint32_t number, uint64_t n) {
  return fsm_varint_size(tag(number, FSM_LEN)) + fsm_varint_size(n) + n;
}

uint8_t *fsm_put_delimited_header(uint8_t *to, uint32_t number, uint64_t n) {
  return fsm_put_varint(fsm_put_varint(to, tag(number, FSM_LEN)), n);
}

uint8_t *fsm_put_delimited(uint8_t *to, uint32_t number, const void *payload, size_t n) {
  to = fsm_put_delimited_header(to, number, n);
  if (n)
    memcpy(to, payload, n);
  return to + n;
}
