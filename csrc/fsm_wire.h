/* The protobuf wire format over bytes that lie together in memory.
 *
 * A reader holds {p, end} and never computes p + n before it has compared n
 * with end - p. On failure the pointer stays at the offending byte.
 * Source: protobuf's "Encoding" page; limits as in parse_context.cc (27.x). */
#ifndef FSM_WIRE_H
#define FSM_WIRE_H

#include <string.h>

#include "fsm_base.h"

typedef enum {
  FSM_VARINT = 0,
  FSM_FIXED64 = 1,
  FSM_LEN = 2,
  FSM_GROUP = 3,
  FSM_END_GROUP = 4,
  FSM_FIXED32 = 5
} fsm_wire;

/* protobuf reads a tag as a varint of at most five bytes. */
#define FSM_MAX_TAG_BYTES 5
#define FSM_MAX_VARINT_BYTES 10
/* The most that a tag and the value or length behind it can take. */
#define FSM_MAX_HEADER_BYTES (FSM_MAX_TAG_BYTES + FSM_MAX_VARINT_BYTES)
#define FSM_MAX_FIELD_NUMBER ((UINT32_C(1) << 29) - 1)

/* FSM_E_TRUNCATED: the bytes end inside the varint. FSM_E_VARINT: it is longer
 * than ten bytes. Bits above the 64th are dropped, as protobuf does. */
static inline fsm_status fsm_read_varint(const uint8_t **p, const uint8_t *end,
                                         uint64_t *value) {
  const uint8_t *q = *p;
  if (q < end && *q < 0x80) {
    *value = *q;
    *p = q + 1;
    return FSM_OK;
  }
  uint64_t v = 0;
  size_t left = (size_t)(end - q);
  size_t most = left < FSM_MAX_VARINT_BYTES ? left : FSM_MAX_VARINT_BYTES;
  for (size_t i = 0; i < most; i++) {
    v |= (uint64_t)(q[i] & 0x7f) << (7 * i);
    if (q[i] < 0x80) {
      *value = v;
      *p = q + i + 1;
      return FSM_OK;
    }
  }
  return left < FSM_MAX_VARINT_BYTES ? FSM_E_TRUNCATED : FSM_E_VARINT;
}

static inline fsm_status fsm_read_tag(const uint8_t **p, const uint8_t *end,
                                      uint32_t *number, fsm_wire *wire) {
  const uint8_t *q = *p;
  uint64_t tag;
  fsm_status s = fsm_read_varint(&q, end, &tag);
  if (s)
    return s;
  if (q - *p > FSM_MAX_TAG_BYTES || tag >> 3 == 0 || tag >> 3 > FSM_MAX_FIELD_NUMBER)
    return FSM_E_TAG;
  if ((tag & 7) > FSM_FIXED32)
    return FSM_E_WIRE;
  *number = (uint32_t)(tag >> 3);
  *wire = (fsm_wire)(tag & 7);
  *p = q;
  return FSM_OK;
}

static inline uint32_t fsm_load32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t fsm_load64(const uint8_t *p) {
  return (uint64_t)fsm_load32(p) | (uint64_t)fsm_load32(p + 4) << 32;
}

/* Whether the varint [from, to) has no needless byte, and no bits beyond the 64th. */
static inline bool fsm_is_minimal(const uint8_t *from, const uint8_t *to) {
  return to - from == 1 || (to[-1] != 0 && (to - from < FSM_MAX_VARINT_BYTES || to[-1] == 1));
}

#endif
