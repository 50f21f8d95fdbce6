/* The fields of a message that lies in memory: where, and whether they are canonical as
 * they stand. Messages in them are not entered. */
#ifndef FSM_RECORD_H
#define FSM_RECORD_H

#include "fsm_chunk.h"
#include "fsm_map.h"

typedef enum {
  FSM_RAW,   /* canonical as it stands in the input */
  FSM_BUILT, /* written anew */
  FSM_LOOSE, /* a message that is yet to be ordered, a scalar to be packed */
  FSM_BLANK, /* a default that canonical form leaves out */
  FSM_DEAD   /* overruled: an earlier oneof member, or merged into another record */
} fsm_record_state;

typedef struct {
  uint32_t start, end;     /* the field in the input */
  uint32_t payload, bytes; /* LEN and groups: its payload */
  fsm_map_key key;         /* map entries */
  uint64_t value;          /* scalars that are not packed */
  fsm_chunk built;         /* FSM_BUILT: the whole field; empty as long as it is not */
  uint8_t order;           /* its number, or FSM_UNKNOWN */
  uint8_t state;
  uint8_t wire;
  bool minimal; /* tag, and value or length, take as few bytes as they can */
} fsm_record;

/* The records of messages that lie in each other, as a stack. Zero-initialise; free the
 * items once. */
typedef struct {
  fsm_record *items;
  size_t n, max;
} fsm_records;

/* One message of type m, and which records are its own. */
typedef struct {
  const fsm_message_def *m;
  size_t first, n;
  unsigned depth; /* how deep it lies */
  bool entry;     /* it is a map entry */
  uint64_t seen, twice; /* bit n: field n came once, and again */
} fsm_scope;

static inline const fsm_field_def *fsm_record_def(const fsm_scope *sc, const fsm_record *r) {
  return r->order == FSM_UNKNOWN ? NULL : &sc->m->fields[r->order];
}

/* Push the fields of a message, or of one of several spans of it, which lie in
 * base[start, end). On failure e tells where, counted from `base`; not for want of memory. */
fsm_status fsm_records_scan(fsm_records *records, fsm_scope *sc, const uint8_t *base,
                            uint32_t start, uint32_t end, fsm_error *e);

#endif
