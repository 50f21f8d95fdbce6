/* Names by owner: what each stands for, while a graph is read.
 *
 * A graph has a million names, and the table lies all over the memory. So who has many names to
 * look up asks for the places of all of them first, and the memory brings them at once. */
#ifndef FSM_SCOPES_H
#define FSM_SCOPES_H

#include "fsm_grow.h"

#define FSM_NO_MEANING UINT32_MAX

/* A hash's upper half, and where the name is. */
typedef struct {
  uint32_t tag, id;
} fsm_scope_slot;

typedef struct {
  fsm_scope_slot *slots; /* id + 1; 0: empty */
  size_t n_slots;        /* a power of two */
  uint64_t seed;
  size_t n, most;        /* names, and how many there may be */
  /* private */
  fsm_array records;     /* words: owner, meaning, length, and the name's bytes */
} fsm_scopes;

/* For about so many names. FSM_E_NOMEM. */
fsm_status fsm_scopes_init(fsm_scopes *scopes, size_t expected);

uint64_t fsm_scopes_hash(uint64_t seed, uint32_t owner, const uint8_t *p, size_t n);

/* Let the memory bring what a look-up needs first; then, later, what it needs next. */
static inline void fsm_scopes_ask(const fsm_scopes *s, uint64_t hash) {
  __builtin_prefetch(&s->slots[hash & (s->n_slots - 1)]);
}
void fsm_scopes_ask_next(const fsm_scopes *scopes, uint64_t hash);

/* The id of an owner's name, which may be new: below 2^28. FSM_E_LIMIT: there are too many. */
fsm_status fsm_scopes_intern(fsm_scopes *scopes, uint64_t hash, uint32_t owner, const uint8_t *p,
                             size_t n, uint32_t *id);

/* What a name stands for; FSM_NO_MEANING at first. Valid until the next is interned. */
static inline uint32_t *fsm_scopes_meaning(const fsm_scopes *s, uint32_t id) {
  return (uint32_t *)s->records.items + id + 1;
}

void fsm_scopes_free(fsm_scopes *scopes);

#endif
