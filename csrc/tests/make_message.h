/* Makes messages for the tests and the fuzzer, tidy ones and odd ones. */
#ifndef MAKE_MESSAGE_H
#define MAKE_MESSAGE_H

#include "fsm_schema.h"
#include "make_index.h"

static inline void put_text(buffer *m, unsigned number, const char *text) {
  put_tag(m, number, FSM_LEN);
  put_varint(m, strlen(text));
  put(m, text, strlen(text));
}

/* A varint of at least `width` bytes. */
static inline void put_wide(buffer *m, uint64_t value, unsigned width) {
  unsigned n = 1;
  for (; value >= 0x80 || n < width; value >>= 7, n++)
    put_byte(m, (unsigned)(value & 0x7f) | 0x80);
  put_byte(m, (unsigned)value);
}

/* A map entry; the value takes its place as a message. */
static inline void put_entry_of(buffer *m, unsigned number, const char *key,
                                const buffer *value) {
  buffer entry = {0};
  put_text(&entry, FSM_ENTRY_KEY, key);
  put_message(&entry, FSM_ENTRY_VALUE, value);
  put_message(m, number, &entry);
  clear(&entry);
}

/* ---- valid messages of every kind, made from bytes ---- */

typedef struct {
  const uint8_t *p, *end;
} choices;

/* The next choice below n; the first when there are none left. */
static inline unsigned choose(choices *c, unsigned n) {
  return c->p < c->end ? *c->p++ % n : 0;
}

static inline unsigned odd_width(choices *c, unsigned most) {
  return choose(c, 12) == 1 ? 1 + choose(c, most) : 0;
}

static inline void odd_varint(choices *c, buffer *m) {
  static const uint64_t values[] = {0, 1, 2, 127, 128, 300, INT32_MAX, UINT32_MAX, UINT64_MAX};
  put_wide(m, values[choose(c, sizeof values / sizeof *values)], odd_width(c, 10));
}

static inline void odd_tag(choices *c, buffer *m, unsigned number, unsigned wire) {
  put_wide(m, number << 3 | wire, odd_width(c, 5));
}

static inline void odd_bytes(choices *c, buffer *m, unsigned n) {
  while (n--)
    put_byte(m, choose(c, 256));
}

static inline void odd_payload(choices *c, buffer *m, unsigned number, const buffer *payload) {
  odd_tag(c, m, number, FSM_LEN);
  put_wide(m, payload->size, odd_width(c, 5));
  put(m, payload->p, payload->size);
}

static inline void odd_text(choices *c, buffer *m, unsigned number) {
  static const char *const texts[] = {"", "T", "Tidx", "a", "dtype", "Const", "f",
                                      "PartitionedCall", "a longer text than others are"};
  const char *text = texts[choose(c, sizeof texts / sizeof *texts)];
  buffer payload = {0};
  put(&payload, text, strlen(text));
  odd_payload(c, m, number, &payload);
  clear(&payload);
}

static inline void odd_unknown(choices *c, buffer *m, unsigned number, unsigned wire,
                               unsigned depth) {
  if (wire == FSM_LEN) {
    odd_text(c, m, number);
    return;
  }
  odd_tag(c, m, number, wire);
  if (wire == FSM_VARINT) {
    odd_varint(c, m);
  } else if (wire == FSM_GROUP) {
    static const uint8_t wires[] = {FSM_VARINT, FSM_LEN, FSM_GROUP, FSM_FIXED32};
    while (depth < 90 && choose(c, 3) == 1)
      odd_unknown(c, m, 1 + choose(c, 99), wires[choose(c, sizeof wires)], depth + 1);
    odd_tag(c, m, number, FSM_END_GROUP);
  } else {
    odd_bytes(c, m, wire == FSM_FIXED64 ? 8 : 4);
  }
}

static inline void odd_scalar(choices *c, buffer *m, fsm_kind kind) {
  if (kind < FSM_KIND_FIXED32)
    odd_varint(c, m);
  else
    odd_bytes(c, m, kind == FSM_KIND_FIXED64 ? 8 : 4);
}

/* Fields in any order and number, while there are choices left. */
static inline void odd_message(choices *c, buffer *m, const fsm_message_def *def,
                               unsigned depth) {
  static const uint8_t wires[] = {FSM_VARINT, FSM_FIXED64, FSM_LEN, FSM_GROUP, FSM_FIXED32};
  for (unsigned n = choose(c, 8); n && c->p < c->end; n--) {
    unsigned number = choose(c, def->n_fields + 2u);
    const fsm_field_def *f = fsm_field_of(def, number ? number : 70);
    if (!f || choose(c, 16) == 1) {
      unsigned wire = wires[choose(c, sizeof wires)];
      if (!f || !fsm_fits(f, (fsm_wire)wire))
        odd_unknown(c, m, number ? number : 70, wire, depth + 1);
      continue;
    }
    fsm_kind kind = (fsm_kind)f->kind;
    buffer payload = {0};
    if (kind == FSM_KIND_BYTES) {
      odd_text(c, m, number);
    } else if (kind == FSM_KIND_MESSAGE) {
      if (depth < 90)
        odd_message(c, &payload, &fsm_schema[f->message], depth + 1);
      odd_payload(c, m, number, &payload);
    } else if (f->flags & FSM_PACKED && choose(c, 2)) {
      for (unsigned i = choose(c, 9); i; i--)
        odd_scalar(c, &payload, kind);
      odd_payload(c, m, number, &payload);
    } else {
      odd_tag(c, m, number, fsm_kind_wire(kind));
      odd_scalar(c, m, kind);
    }
    clear(&payload);
  }
}

#endif
