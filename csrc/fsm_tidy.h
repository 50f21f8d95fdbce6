/* Messages that are canonical as they stand, but for the order of map entries.
 *
 * So is nearly every message of a real file: protobuf's Python sorts map keys in
 * another order than its C++. One look tells, without a record of the fields.
 * Entries out of order are sorted where they lie, which changes no length, so all
 * around them stays as it is. What else is not canonical is left to fsm_unit. */
#ifndef FSM_TIDY_H
#define FSM_TIDY_H

#include "fsm_map.h"

/* Scratch memory, kept from one message to the next. */
typedef struct {
  fsm_array entries; /* fsm_map_entry */
  fsm_array bytes;   /* uint8_t */
} fsm_tidy;

void fsm_tidy_free(fsm_tidy *t);

/* Tidy [p, end), the payload of a message that lies `depth` deep, which is at most
 * FSM_MAX_DEPTH. NULL when it is canonical now. Else where that ended: fields that
 * end there, or before, are canonical in themselves. What is wrong on the wire
 * ends it too. */
const uint8_t *fsm_tidy_message(fsm_tidy *t, const fsm_message_def *m, uint8_t *p,
                                const uint8_t *end, unsigned depth);

/* The same for the payload of a map entry, whose field begins at `start`. */
const uint8_t *fsm_tidy_entry_at(fsm_tidy *t, const fsm_message_def *m, const uint8_t *start,
                                 uint8_t *p, const uint8_t *end, unsigned depth);

/* Tidy fields of one repeated message, as many as stand one behind the other in
 * [p, end), each whole, of at most `most` bytes and canonical. Returns where they end. */
const uint8_t *fsm_tidy_siblings(fsm_tidy *t, const fsm_field_def *f, uint8_t *p,
                                 const uint8_t *end, size_t most, unsigned depth);

#endif
