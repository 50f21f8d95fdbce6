#include "fsm_map.h"

#include "fsm_sort.h"

static int by_key(const void *self, const void *a, const void *b) {
  (void)self;
  return fsm_map_key_compare(&((const fsm_map_entry *)a)->key, &((const fsm_map_entry *)b)->key);
}

void fsm_map_sort(fsm_map_entry *entries, size_t n) {
  fsm_sort(entries, n, sizeof *entries, by_key, NULL);
}

void fsm_maps_free(fsm_maps *maps) {
  free(maps->entries.items);
  free(maps->keys.items);
  memset(maps, 0, sizeof *maps);
}

/* The key's bytes move while the stack grows: fsm_maps_settle finds them again. */
static fsm_status push_key(fsm_maps *maps, fsm_cursor *c, const fsm_field *key) {
  void *to;
  fsm_status s = key->length > FSM_MAX_MAP_KEYS
                     ? FSM_E_LIMIT
                     : fsm_array_push(&maps->keys, 1, (size_t)key->length, FSM_MAX_MAP_KEYS, &to);
  if (s)
    return fsm_fail(&c->error, s, key->start, FSM_MAX_MAP_KEYS, key->length);
  return fsm_cursor_read(c, key->value, to, (size_t)key->length);
}

fsm_status fsm_maps_push(fsm_maps *maps, fsm_cursor *c, const fsm_message_def *m,
                         const fsm_field *f) {
  fsm_kind kind = (fsm_kind)m->fields[FSM_ENTRY_KEY].kind;
  fsm_map_entry e = {.start = f->value, .end = f->end};
  fsm_field inner, key = {.number = 0};
  fsm_status s = fsm_cursor_span(c, f->value, f->end);
  while (!s && !fsm_cursor_done(c))
    if (!(s = fsm_cursor_next(c, &inner)) && inner.number == FSM_ENTRY_KEY &&
        inner.wire == fsm_kind_wire(kind))
      key = inner;
  if (s)
    return s;
  if (key.number && kind == FSM_KIND_BYTES) {
    if ((s = push_key(maps, c, &key)))
      return s;
    e.key.n = key.length;
  } else if (key.number) {
    e.key.n = fsm_kind_value(kind, key.value);
  }
  void *slot;
  if ((s = fsm_array_push(&maps->entries, sizeof e, 1, FSM_MAX_MAP_ENTRIES, &slot)))
    return fsm_fail(&c->error, s, f->start, FSM_MAX_MAP_ENTRIES, 0);
  memcpy(slot, &e, sizeof e);
  return FSM_OK;
}

fsm_status fsm_maps_settle(fsm_maps *maps, const fsm_message_def *m, size_t first,
                           size_t first_key) {
  size_t n = maps->entries.n - first, kept = 0;
  fsm_status s = fsm_array_reserve(&maps->entries, sizeof(fsm_map_entry), n);
  if (s)
    return s;
  fsm_map_entry *e = (fsm_map_entry *)maps->entries.items + first;
  if (maps->keys.n && m->fields[FSM_ENTRY_KEY].kind == FSM_KIND_BYTES) {
    const uint8_t *bytes = (const uint8_t *)maps->keys.items + first_key;
    for (size_t i = 0; i < n; i++) {
      e[i].key.bytes = bytes;
      bytes += e[i].key.n;
    }
  }
  fsm_map_sort(e, n);
  for (size_t i = 0; i < n; i++)
    if (i + 1 == n || fsm_map_key_compare(&e[i].key, &e[i + 1].key) != 0)
      e[kept++] = e[i];
  maps->entries.n = first + kept;
  maps->keys.n = first_key;
  return FSM_OK;
}
