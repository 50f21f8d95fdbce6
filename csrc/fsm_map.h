/* The entries of a map: where they lie, and the order of their keys. */
#ifndef FSM_MAP_H
#define FSM_MAP_H

#include "fsm_cursor.h"
#include "fsm_grow.h"
#include "fsm_schema.h"

/* A map of a large message is sorted in memory: 32 bytes an entry, and its keys. */
#define FSM_MAX_MAP_ENTRIES (UINT32_C(1) << 22)
#define FSM_MAX_MAP_KEYS (UINT32_C(64) << 20)

/* An entry's key: bytes, or NULL and a number. */
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

/* The key of a canonical entry's payload; m is the entry's type. */
static inline fsm_map_key fsm_map_key_at(const fsm_message_def *m, const uint8_t *p,
                                         const uint8_t *end) {
  fsm_kind kind = (fsm_kind)m->fields[FSM_ENTRY_KEY].kind;
  uint64_t value = 0;
  p++; /* the tag */
  if (kind >= FSM_KIND_FIXED32)
    return (fsm_map_key){NULL, kind == FSM_KIND_FIXED64 ? fsm_load64(p) : fsm_load32(p)};
  (void)fsm_read_varint(&p, end, &value);
  return (fsm_map_key){kind == FSM_KIND_BYTES ? p : NULL, value};
}

typedef struct {
  uint64_t start, end;
  fsm_map_key key;
} fsm_map_entry;

/* By key, equal ones as they came; behind them lies room for as many. */
void fsm_map_sort(fsm_map_entry *entries, size_t n);

/* The entries of maps that lie in each other, as a stack. Zero-initialise, free once. */
typedef struct {
  fsm_array entries; /* fsm_map_entry: the spans of their payloads */
  fsm_array keys;    /* uint8_t */
} fsm_maps;

void fsm_maps_free(fsm_maps *maps);

/* Push the entry of type m whose field is f. On failure c->error tells where. */
fsm_status fsm_maps_push(fsm_maps *maps, fsm_cursor *c, const fsm_message_def *m,
                         const fsm_field *f);

/* Sort the entries of type m from `first` on, and of equal keys keep the last. Their
 * keys, from `first_key` on, are dropped. */
fsm_status fsm_maps_settle(fsm_maps *maps, const fsm_message_def *m, size_t first,
                           size_t first_key);

#endif
