/* The canonical form of a message that lies whole in memory.
 *
 * Canonical is what protobuf's C++ deterministic serialiser would write after
 * parsing: fields by number, maps by key, the last duplicate, singular messages
 * merged, repeated scalars packed, defaults dropped, minimal varints, unknown
 * fields last in the order they came. The result is a chunk of segments, so nothing
 * is copied.
 * Source: google/protobuf generated_message_tctable, map_field (27.x), as
 * TensorFlow 2.21 links it; checked against it in the tests. */
#ifndef FSM_UNIT_H
#define FSM_UNIT_H

#include "fsm_record.h"
#include "fsm_tidy.h"

/* The largest message that is put in order in memory; larger ones are streamed.
 * Tests stream small messages, too. */
#ifndef FSM_UNIT_MAX
#define FSM_UNIT_MAX (UINT32_C(64) << 10)
#endif

/* Scratch memory, kept from one message to the next. */
typedef struct {
  uint8_t *base; /* the input */
  fsm_tidy tidy;
  fsm_chunks chunks;
  fsm_records records;
  /* Every field that lies between is known to be canonical in itself. */
  const uint8_t *known_from, *known_to;
  fsm_error error; /* offsets count from the input's first byte */
} fsm_unit;

void fsm_unit_free(fsm_unit *u);

/* Put the message bytes[0, n) of type m in order; n is at most FSM_UNIT_MAX. Map
 * entries in it may be sorted where they lie; else the input is not changed.
 * `entry`: it is a map entry. `depth`: how deep it already lies. */
fsm_status fsm_unit_order(fsm_unit *u, const fsm_message_def *m, uint8_t *bytes, uint32_t n,
                          unsigned depth, bool entry, fsm_chunk *out);

#endif
