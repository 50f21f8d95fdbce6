/* Where canonical bytes go: into a hash, or into memory. And single fields of a source,
 * written there in canonical form, whatever their size.
 *
 * FSM_E_LIMIT without a place means that the memory is full; other failures say in the
 * cursor's error where they are. */
#ifndef FSM_SINK_H
#define FSM_SINK_H

#include "fsm_cursor.h"
#include "fsm_encode.h"
#include "fsm_farmhash.h"
#include "fsm_schema.h"

typedef struct {
  fsm_farm hash;
  uint64_t n; /* bytes written */
  uint8_t *bytes; /* NULL: hash only */
  uint64_t capacity;
} fsm_sink;

static inline fsm_status fsm_sink_put(fsm_sink *to, const void *bytes, size_t n) {
  if (!to->bytes) {
    fsm_farm_update(&to->hash, bytes, n);
  } else {
    if (n > to->capacity - to->n)
      return FSM_E_LIMIT;
    memcpy(to->bytes + to->n, bytes, n);
  }
  to->n += n;
  return FSM_OK;
}

static inline fsm_status fsm_sink_varint(fsm_sink *to, uint64_t value) {
  uint8_t bytes[FSM_MAX_VARINT_BYTES];
  return fsm_sink_put(to, bytes, fsm_write_varint(bytes, value));
}

static inline fsm_status fsm_sink_tag(fsm_sink *to, uint32_t number, fsm_wire wire) {
  return fsm_sink_varint(to, (uint64_t)number << 3 | wire);
}

static inline fsm_status fsm_sink_header(fsm_sink *to, uint32_t number, uint64_t length) {
  fsm_status s = fsm_sink_tag(to, number, FSM_LEN);
  return s ? s : fsm_sink_varint(to, length);
}

/* Bytes of the source, as they are. */
fsm_status fsm_sink_span(fsm_sink *to, fsm_cursor *c, uint64_t start, uint64_t end);

/* A field that the schema does not know, `depth` deep; the cursor has seen that its
 * groups match. */
fsm_status fsm_sink_unknown(fsm_sink *to, fsm_cursor *c, const fsm_field *f, unsigned depth);

/* A singular scalar or a string; nothing for a default that canonical form leaves out. */
fsm_status fsm_sink_scalar(fsm_sink *to, fsm_cursor *c, const fsm_field_def *def,
                           const fsm_field *f);

/* The values of a repeated scalar, packed or not, without a header. */
fsm_status fsm_sink_packed(fsm_sink *to, fsm_cursor *c, const fsm_field_def *def,
                           const fsm_field *f);

/* A field that a map entry lacks: its default. */
fsm_status fsm_sink_default(fsm_sink *to, const fsm_field_def *def);

#endif
