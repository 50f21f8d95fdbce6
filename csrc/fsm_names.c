#include "fsm_names.h"

#include "fsm_hash.h"

void fsm_names_init(fsm_names *t) { t->seed = fsm_hash_seed(t); }

void fsm_names_free(fsm_names *t) {
  free(t->ends.items);
  free(t->bytes.items);
  free(t->slots.items);
  memset(t, 0, sizeof *t);
}

const uint8_t *fsm_names_get(const fsm_names *t, uint32_t id, uint32_t *n) {
  const uint32_t *ends = t->ends.items;
  uint32_t start = id ? ends[id - 1] : 0;
  *n = ends[id] - start;
  return (const uint8_t *)t->bytes.items + start;
}

static fsm_status rehash(fsm_names *t) {
  size_t max = t->slots.max ? t->slots.max * 2 : 256;
  uint32_t *slots = calloc(max, sizeof *slots);
  if (!slots)
    return FSM_E_NOMEM;
  for (uint32_t id = 0; id < t->ends.n; id++) {
    uint32_t n;
    const uint8_t *name = fsm_names_get(t, id, &n);
    size_t i = fsm_hash(t->seed, name, n) & (max - 1);
    while (slots[i])
      i = (i + 1) & (max - 1);
    slots[i] = id + 1;
  }
  free(t->slots.items);
  t->slots.items = slots;
  t->slots.max = max;
  return FSM_OK;
}

/* The slot that a name has, or would have. */
static size_t slot_of(const fsm_names *t, const uint8_t *p, size_t n) {
  const uint32_t *slots = t->slots.items;
  size_t i = fsm_hash(t->seed, p, n) & (t->slots.max - 1);
  for (; slots[i]; i = (i + 1) & (t->slots.max - 1)) {
    uint32_t length;
    const uint8_t *name = fsm_names_get(t, slots[i] - 1, &length);
    if (length == n && memcmp(name, p, n) == 0)
      break;
  }
  return i;
}

bool fsm_names_find(const fsm_names *t, const uint8_t *p, size_t n, uint32_t *id) {
  if (!t->slots.max)
    return false;
  uint32_t found = ((const uint32_t *)t->slots.items)[slot_of(t, p, n)];
  *id = found - 1;
  return found != 0;
}

fsm_status fsm_names_intern(fsm_names *t, const uint8_t *p, size_t n, uint32_t *id) {
  fsm_status s;
  if (t->ends.n * 2 >= t->slots.max && (s = rehash(t)))
    return s;
  uint32_t *slot = (uint32_t *)t->slots.items + slot_of(t, p, n);
  if (*slot) {
    *id = *slot - 1;
    return FSM_OK;
  }
  if (t->ends.n == FSM_MAX_NAMES || n > FSM_MAX_NAME_BYTES - t->bytes.n)
    return FSM_E_LIMIT;
  if ((s = fsm_array_reserve(&t->ends, sizeof(uint32_t), 1)) ||
      (s = fsm_array_reserve(&t->bytes, 1, n ? n : 1)))
    return s;
  if (n)
    memcpy((uint8_t *)t->bytes.items + t->bytes.n, p, n);
  t->bytes.n += n;
  *id = (uint32_t)t->ends.n;
  ((uint32_t *)t->ends.items)[t->ends.n++] = (uint32_t)t->bytes.n;
  *slot = *id + 1;
  return FSM_OK;
}
