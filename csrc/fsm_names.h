/* Names, each kept once: a name is an id, ids count from 0 in the order of first sight. */
#ifndef FSM_NAMES_H
#define FSM_NAMES_H

#include "fsm_grow.h"

/* Distinct names, and their bytes together. */
#define FSM_MAX_NAMES (UINT32_C(1) << 20)
#define FSM_MAX_NAME_BYTES (UINT32_C(64) << 20)

typedef struct {
  fsm_array ends;  /* uint32_t: where a name ends in bytes; as many as there are names */
  fsm_array bytes;
  /* private */
  fsm_array slots; /* uint32_t: the hash table, id + 1 */
  uint64_t seed;
} fsm_names;

/* For no names yet, in memory that is all zero. */
void fsm_names_init(fsm_names *names);

/* The id of a name, a new one perhaps. FSM_E_LIMIT past the limits, FSM_E_NOMEM. */
fsm_status fsm_names_intern(fsm_names *names, const uint8_t *p, size_t n, uint32_t *id);

/* Whether a name is there; then its id. */
bool fsm_names_find(const fsm_names *names, const uint8_t *p, size_t n, uint32_t *id);

/* The name of an id; valid until the next is interned. */
const uint8_t *fsm_names_get(const fsm_names *names, uint32_t id, uint32_t *n);

void fsm_names_free(fsm_names *names);

#endif
