#include "fsm_scopes.h"

#include "fsm_hash.h"

/* A record: these words, then the bytes. Its id is the word at which it begins. */
enum { OWNER, MEANING, LENGTH, HEADER };
#define MAX_WORDS (UINT32_C(1) << 28)

static fsm_status make_slots(fsm_scopes *t, size_t n_slots);

fsm_status fsm_scopes_init(fsm_scopes *t, size_t expected) {
  size_t n_slots = 64;
  while (n_slots < 2 * expected)
    n_slots *= 2;
  t->seed = fsm_hash_seed(t);
  return make_slots(t, n_slots);
}

void fsm_scopes_free(fsm_scopes *t) {
  free(t->slots);
  free(t->records.items);
  memset(t, 0, sizeof *t);
}

uint64_t fsm_scopes_hash(uint64_t seed, uint32_t owner, const uint8_t *p, size_t n) {
  return fsm_hash(seed ^ owner * UINT64_C(0x9e3779b97f4a7c15), p, n);
}

static const uint32_t *record_at(const fsm_scopes *t, size_t id) {
  return (const uint32_t *)t->records.items + id;
}

static size_t words_of(size_t n) { return HEADER + (n + 3) / 4; }

/* A table of so many slots, with all names so far. */
static fsm_status make_slots(fsm_scopes *t, size_t n_slots) {
  fsm_scope_slot *slots = calloc(n_slots, sizeof *slots);
  if (!slots)
    return FSM_E_NOMEM;
  free(t->slots);
  t->slots = slots;
  t->n_slots = n_slots;
  for (size_t id = 0; id < t->records.n; id += words_of(record_at(t, id)[LENGTH])) {
    const uint32_t *r = record_at(t, id);
    uint64_t h = fsm_scopes_hash(t->seed, r[OWNER], (const uint8_t *)(r + HEADER), r[LENGTH]);
    size_t i = h & (n_slots - 1);
    while (slots[i].id)
      i = (i + 1) & (n_slots - 1);
    slots[i] = (fsm_scope_slot){(uint32_t)(h >> 32), (uint32_t)id + 1};
  }
  return FSM_OK;
}

void fsm_scopes_ask_next(const fsm_scopes *t, uint64_t hash) {
  const fsm_scope_slot *slot = &t->slots[hash & (t->n_slots - 1)];
  if (slot->id && slot->tag == (uint32_t)(hash >> 32))
    __builtin_prefetch(record_at(t, slot->id - 1));
}

fsm_status fsm_scopes_intern(fsm_scopes *t, uint64_t hash, uint32_t owner, const uint8_t *p,
                             size_t n, uint32_t *id) {
  fsm_status s;
  if (t->n * 2 >= t->n_slots && (s = make_slots(t, t->n_slots * 2)))
    return s;
  const uint32_t tag = (uint32_t)(hash >> 32);
  size_t i = hash & (t->n_slots - 1);
  for (; t->slots[i].id; i = (i + 1) & (t->n_slots - 1)) {
    if (t->slots[i].tag != tag)
      continue;
    const uint32_t *r = record_at(t, *id = t->slots[i].id - 1);
    if (r[OWNER] == owner && r[LENGTH] == n && memcmp(r + HEADER, p, n) == 0)
      return FSM_OK;
  }
  if (t->n >= t->most || n > UINT32_MAX / 2 || words_of(n) > MAX_WORDS - t->records.n)
    return FSM_E_LIMIT;
  void *slot;
  *id = (uint32_t)t->records.n;
  if ((s = fsm_array_push(&t->records, sizeof(uint32_t), words_of(n), MAX_WORDS, &slot)))
    return s;
  uint32_t *r = slot;
  r[OWNER] = owner;
  r[MEANING] = FSM_NO_MEANING;
  r[LENGTH] = (uint32_t)n;
  if (n)
    memcpy(r + HEADER, p, n);
  t->slots[i] = (fsm_scope_slot){tag, *id + 1};
  t->n++;
  return FSM_OK;
}
