/* The canonical form of a message that lies whole in memory.
 *
 * Canonical is what protobuf's C++ deterministic serialiser would write after
 * parsing: fields by number, maps by key, the last duplicate, singular messages
 * merged, repeated scalars packed, defaults dropped, minimal varints, unknown
 * fields last in the order they came. The result is a list of segments, most
 * of them runs of the input itself, so nothing is copied.
 * Source: google/protobuf generated_message_tctable, map_field (27.x), as
 * TensorFlow 2.21 links it; checked against it in the tests. */
#ifndef FSM_UNIT_H
#define FSM_UNIT_H

#include "fsm_schema.h"
#include "fsm_wire.h"

/* The largest message that is put in order in memory; larger ones are streamed. */
#define FSM_UNIT_MAX (UINT32_C(64) << 10)

typedef struct {
  uint32_t start; /* in the input, or in the literals */
  uint32_t length;
  uint32_t next; /* index + 1; 0: the last */
  bool literal;
} fsm_segment;

typedef struct fsm_record fsm_record; /* private */

/* Scratch memory, kept from one message to the next. */
typedef struct {
  const uint8_t *base; /* the input */
  fsm_record *records;
  size_t n_records, max_records;
  fsm_segment *segments;
  size_t n_segments, max_segments;
  uint8_t *literals;
  size_t n_literals, max_literals;
  uint32_t checked; /* every field that ends before it is canonical in itself */
  fsm_error error; /* offsets count from the input's first byte */
} fsm_unit;

typedef struct {
  uint32_t head, tail; /* segments, index + 1; 0: none */
  uint32_t size;       /* canonical bytes */
  bool raw;            /* the input is canonical as it stands; no segments then */
} fsm_chunk;

void fsm_unit_free(fsm_unit *u);

/* Put the message bytes[0, n) of type m in order; n is at most FSM_UNIT_MAX.
 * `entry`: it is a map entry. `depth`: how deep it already lies. */
fsm_status fsm_unit_order(fsm_unit *u, const fsm_message_def *m, const uint8_t *bytes,
                          uint32_t n, unsigned depth, bool entry, fsm_chunk *out);

/* What a scalar of this kind holds after parsing. */
static inline uint64_t fsm_kind_value(fsm_kind kind, uint64_t value) {
  switch (kind) {
  case FSM_KIND_INT32: return (uint64_t)(int64_t)(int32_t)(uint32_t)value;
  case FSM_KIND_UINT32: return (uint32_t)value;
  case FSM_KIND_BOOL: return value != 0;
  default: return value;
  }
}

static inline fsm_wire fsm_kind_wire(fsm_kind kind) {
  return kind <= FSM_KIND_MESSAGE        ? FSM_LEN
         : kind == FSM_KIND_FIXED32 ? FSM_FIXED32
         : kind == FSM_KIND_FIXED64 ? FSM_FIXED64
                                    : FSM_VARINT;
}

static inline bool fsm_packable(const fsm_field_def *f) {
  return (f->flags & FSM_REPEATED) && f->kind > FSM_KIND_MESSAGE;
}

/* Whether a field with this number and wire type is what the schema calls f. */
static inline bool fsm_fits(const fsm_field_def *f, fsm_wire wire) {
  return wire == fsm_kind_wire((fsm_kind)f->kind) || (wire == FSM_LEN && fsm_packable(f));
}

#endif
