#include "fsm_strings.h"

#include "fsm_wire.h"

#define CRC_SIZE 4

static fsm_status fail_at(const fsm_strings *t, fsm_status s, const uint8_t *at, uint64_t need,
                          fsm_error *e) {
  return fsm_fail(e, s, (uint64_t)(at - t->start), need, (uint64_t)(t->end - at));
}

fsm_status fsm_strings_begin(fsm_strings *strings, const uint8_t *bytes, size_t size,
                             uint64_t n, fsm_error *e) {
  *strings = (fsm_strings){bytes, bytes, NULL, bytes + size};
  const uint8_t *p = bytes;
  uint64_t total = 0, length;
  for (uint64_t i = 0; i < n; i++) {
    fsm_status s = fsm_read_varint(&p, strings->end, &length);
    if (s)
      return fail_at(strings, s, p, 1, e);
    if (length > size - total)
      return fail_at(strings, FSM_E_TRUNCATED, p, length, e);
    total += length;
  }
  size_t left = (size_t)(strings->end - p);
  if (left < CRC_SIZE)
    return fail_at(strings, FSM_E_TRUNCATED, p, CRC_SIZE, e);
  if (total > left - CRC_SIZE)
    return fail_at(strings, FSM_E_TRUNCATED, p, total + CRC_SIZE, e);
  strings->bytes = p + CRC_SIZE;
  return FSM_OK;
}

void fsm_variants_begin(fsm_strings *strings, const uint8_t *bytes, size_t size) {
  *strings = (fsm_strings){bytes, bytes, NULL, bytes + size};
}

void fsm_strings_next(fsm_strings *strings, const uint8_t **p, size_t *n) {
  uint64_t length = 0;
  fsm_read_varint(&strings->length, strings->end, &length);
  *p = strings->bytes;
  *n = (size_t)length;
  strings->bytes += length;
}

fsm_status fsm_variants_next(fsm_strings *strings, const uint8_t **p, size_t *n,
                             fsm_error *e) {
  uint64_t length;
  fsm_status s = fsm_read_varint(&strings->length, strings->end, &length);
  if (s)
    return fail_at(strings, s, strings->length, 1, e);
  size_t left = (size_t)(strings->end - strings->length);
  if (left < CRC_SIZE || length > left - CRC_SIZE)
    return fail_at(strings, FSM_E_TRUNCATED, strings->length, length, e);
  *p = strings->length;
  *n = (size_t)length;
  strings->length += length + CRC_SIZE;
  return FSM_OK;
}
