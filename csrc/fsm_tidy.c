#include "fsm_tidy.h"

void fsm_tidy_free(fsm_tidy *t) {
  free(t->entries.items);
  free(t->bytes.items);
  memset(t, 0, sizeof *t);
}

/* ---- sorting the entries of one map ---- */

/* Sort the entries [run, end) of one map, each canonical. False, and nothing
 * done, when two keys are equal (or memory is short: then fsm_unit says so). */
static bool sort_run(fsm_tidy *t, const fsm_message_def *entry, uint8_t *run,
                     const uint8_t *end) {
  size_t n = 0, bytes = (size_t)(end - run);
  for (const uint8_t *p = run; p < end; n++) {
    if (fsm_array_reserve(&t->entries, sizeof(fsm_map_entry), 2 * (n + 1)))
      return false;
    fsm_map_entry *e = (fsm_map_entry *)t->entries.items + n;
    uint64_t length = 0;
    e->start = (uint64_t)(p - run);
    while (*p++ & 0x80) { /* the tag */
    }
    (void)fsm_read_varint(&p, end, &length);
    e->key = fsm_map_key_at(entry, p, p + length);
    p += length;
    e->end = (uint64_t)(p - run);
  }
  fsm_map_entry *entries = t->entries.items;
  fsm_map_sort(entries, n);
  for (size_t i = 1; i < n; i++)
    if (fsm_map_key_compare(&entries[i - 1].key, &entries[i].key) == 0)
      return false;
  if (fsm_array_reserve(&t->bytes, 1, bytes))
    return false;
  memcpy(t->bytes.items, run, bytes);
  for (size_t i = 0; i < n; i++) {
    size_t size = (size_t)(entries[i].end - entries[i].start);
    memcpy(run, (const uint8_t *)t->bytes.items + entries[i].start, size);
    run += size;
  }
  return true;
}

/* ---- one look ---- */

/* Read a varint that must be minimal. */
static inline bool take_varint(uint8_t **p, const uint8_t *end, uint64_t *value) {
  if (*p < end && **p < 0x80) {
    *value = *(*p)++;
    return true;
  }
  const uint8_t *q = *p;
  if (fsm_read_varint(&q, end, value) || !fsm_is_minimal(*p, q))
    return false;
  *p += q - *p;
  return true;
}

static bool packed_is_canonical(fsm_kind kind, uint8_t *p, const uint8_t *end) {
  if (p == end)
    return false;
  if (kind >= FSM_KIND_FIXED32)
    return (size_t)(end - p) % (kind == FSM_KIND_FIXED32 ? 4 : 8) == 0;
  while (p < end) {
    uint64_t value;
    if (!take_varint(&p, end, &value) || fsm_kind_value(kind, value) != value)
      return false;
  }
  return true;
}

/* A message of two bytes is one small number, and every second message is: a
 * dimension, a type, a flag. Whether it is canonical. */
static inline bool small_is_canonical(const fsm_message_def *m, const uint8_t *p) {
  const fsm_field_def *f = fsm_field_of(m, p[0] >> 3);
  return f && f->tag == p[0] && fsm_wire_of(f) == FSM_VARINT && p[1] < 0x80 &&
         (p[1] || !(f->flags & FSM_IMPLICIT)) && (p[1] <= 1 || f->kind != FSM_KIND_BOOL);
}

/* What stands behind the tag of field f, which begins at `start`: step over it.
 * NULL, or where canonical form ends. `value` is a scalar's, or a length. */
static inline const uint8_t *tidy_value(fsm_tidy *t, const fsm_field_def *f,
                                        const uint8_t *start, uint8_t **at,
                                        const uint8_t *end, unsigned depth, uint64_t *value) {
  uint8_t *p = *at;
  fsm_kind kind = (fsm_kind)f->kind;
  if (kind <= FSM_KIND_MESSAGE || f->flags & FSM_PACKED) {
    if (!take_varint(&p, end, value) || *value > (uint64_t)(end - p))
      return start;
    *at = p + *value;
    if (kind == FSM_KIND_BYTES)
      return NULL;
    if (kind != FSM_KIND_MESSAGE)
      return packed_is_canonical(kind, p, *at) ? NULL : start;
    const fsm_message_def *m = &fsm_schema[f->message];
    if (depth == FSM_MAX_DEPTH)
      return start;
    if (f->flags & FSM_MAP)
      return fsm_tidy_entry_at(t, m, start, p, *at, depth + 1);
    if (!*value || (*value == 2 && small_is_canonical(m, p)))
      return NULL;
    return fsm_tidy_message(t, m, p, *at, depth + 1);
  }
  if (kind < FSM_KIND_FIXED32) {
    if (!take_varint(&p, end, value) || fsm_kind_value(kind, *value) != *value)
      return start;
    *at = p;
    return NULL;
  }
  size_t n = kind == FSM_KIND_FIXED64 ? 8 : 4;
  if (n > (size_t)(end - p))
    return start;
  *value = n == 8 ? fsm_load64(p) : fsm_load32(p);
  *at = p + n;
  return NULL;
}

const uint8_t *fsm_tidy_entry_at(fsm_tidy *t, const fsm_message_def *m, const uint8_t *start,
                                 uint8_t *p, const uint8_t *end, unsigned depth) {
  for (int i = FSM_ENTRY_KEY; i <= FSM_ENTRY_VALUE; i++) {
    const fsm_field_def *f = &m->fields[i];
    uint64_t value;
    if (p == end || *p != f->tag)
      return start;
    p++;
    const uint8_t *stop = tidy_value(t, f, start, &p, end, depth, &value);
    if (stop)
      return stop;
  }
  return p == end ? NULL : start;
}

const uint8_t *fsm_tidy_message(fsm_tidy *t, const fsm_message_def *m, uint8_t *p,
                                const uint8_t *end, unsigned depth) {
  unsigned next = 1; /* no field with a lower number may come */
  const fsm_field_def *last = NULL, *unsorted = NULL;
  uint8_t member = 0;
  uint8_t *run = p;
  fsm_map_key previous = {NULL, 0};
  while (p < end) {
    uint8_t *start = p;
    uint64_t tag, value;
    if (!take_varint(&p, end, &tag) || tag >> 3 >= m->n_fields)
      return start;
    const fsm_field_def *f = &m->fields[tag >> 3];
    if (f->tag != tag || f->number < next || f->flags & member)
      return start;
    if (unsorted && f != unsorted) {
      if (!sort_run(t, &fsm_schema[unsorted->message], run, start))
        return run;
      unsorted = NULL;
    }
    const uint8_t *stop = tidy_value(t, f, start, &p, end, depth, &value);
    if (stop)
      return stop;
    if (f->flags & FSM_MAP) {
      fsm_map_key key = fsm_map_key_at(&fsm_schema[f->message], p - value, p);
      if (f != last)
        run = start;
      else if (fsm_map_key_compare(&previous, &key) >= 0)
        unsorted = f;
      previous = key;
    } else if (f->flags & FSM_IMPLICIT && !value) {
      return start;
    }
    member |= f->flags & FSM_ONEOF;
    next = f->next;
    last = f;
  }
  return unsorted && !sort_run(t, &fsm_schema[unsorted->message], run, end) ? run : NULL;
}

const uint8_t *fsm_tidy_siblings(fsm_tidy *t, const fsm_field_def *f, uint8_t *p,
                                 const uint8_t *end, size_t most, unsigned depth) {
  for (;;) {
    uint8_t *start = p;
    uint64_t tag, length;
    if (!take_varint(&p, end, &tag) || tag != f->tag ||
        !take_varint(&p, end, &length) || length > most || length > (uint64_t)(end - p) ||
        fsm_tidy_message(t, &fsm_schema[f->message], p, p + length, depth))
      return start;
    p += length;
  }
}
