/* Messages that are canonical as they stand, but for the order of map entries.
 *
 * So is nearly every message of a real file: protobuf's Python sorts map keys in
 * another order than its C++. One look tells, without a record of the fields.
 * Entries out of order are sorted where they lie, which changes no length, so all
 * around them stays as it is. What else is not canonical is left to fsm_unit. */
#ifndef FSM_TIDY_H
#define FSM_TIDY_H

#include "fsm_schema.h"
#include "fsm_wire.h"

/* A map entry's key: bytes, or NULL and a number. */
typedef struct {
  const uint8_t *bytes;
  uint64_t n; /* how many bytes, or the number */
} fsm_map_key;

static inline int fsm_map_key_compare(const fsm_map_key *a, const fsm_map_key *b) {
  uint64_t n = a->n < b->n ? a->n : b->n;
  if (a->bytes && n) {
    /* Most keys differ in their first byte, without a call. */
    int c = *a->bytes - *b->bytes;
    if (c || (c = memcmp(a->bytes, b->bytes, (size_t)n)))
      return c;
  }
  return (a->n > b->n) - (a->n < b->n);
}

typedef struct fsm_tidy_entry fsm_tidy_entry; /* private */

/* Scratch memory, kept from one message to the next. */
typedef struct {
  fsm_tidy_entry *entries;
  uint8_t *bytes;
  size_t max_entries, max_bytes;
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

/* The key of a canonical map entry's payload. */
static inline fsm_map_key fsm_tidy_key(const fsm_message_def *m, const uint8_t *p,
                                       const uint8_t *end) {
  fsm_kind kind = (fsm_kind)m->fields[FSM_ENTRY_KEY].kind;
  uint64_t value = 0;
  p++; /* the tag */
  if (kind >= FSM_KIND_FIXED32)
    return (fsm_map_key){NULL, kind == FSM_KIND_FIXED64 ? fsm_load64(p) : fsm_load32(p)};
  (void)fsm_read_varint(&p, end, &value);
  return (fsm_map_key){kind == FSM_KIND_BYTES ? p : NULL, value};
}

/* Tidy fields of one repeated message, as many as stand one behind the other in
 * [p, end), each whole, of at most `most` bytes and canonical. Returns where they end. */
const uint8_t *fsm_tidy_siblings(fsm_tidy *t, const fsm_field_def *f, uint8_t *p,
                                 const uint8_t *end, size_t most, unsigned depth);

#endif
