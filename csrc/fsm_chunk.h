/* Canonical bytes as a list of segments: most of them runs of the input itself, so that
 * nothing is copied, and between them what must be written anew. */
#ifndef FSM_CHUNK_H
#define FSM_CHUNK_H

#include "fsm_grow.h"
#include "fsm_wire.h"

typedef struct {
  uint32_t start; /* in the input, or in the literals */
  uint32_t length;
  uint32_t next; /* index + 1; 0: the last */
  bool literal;
} fsm_segment;

typedef struct {
  uint32_t head, tail; /* segments, index + 1; 0: none */
  uint32_t size;       /* canonical bytes */
  bool raw;            /* the input is canonical as it stands; no segments then */
} fsm_chunk;

/* What all chunks of one input lie in. Zero-initialise, free once. */
typedef struct {
  const uint8_t *base; /* the input */
  fsm_array segments;  /* fsm_segment */
  fsm_array literals;  /* uint8_t */
} fsm_chunks;

void fsm_chunks_free(fsm_chunks *all);

/* Forget all chunks, and begin with another input. */
static inline void fsm_chunks_begin(fsm_chunks *all, const uint8_t *base) {
  all->base = base;
  all->segments.n = all->literals.n = 0;
}

static inline fsm_segment *fsm_chunk_segment(const fsm_chunks *all, uint32_t id) {
  return (fsm_segment *)all->segments.items + id - 1;
}

static inline const uint8_t *fsm_chunk_bytes(const fsm_chunks *all, const fsm_segment *seg) {
  return (seg->literal ? (const uint8_t *)all->literals.items : all->base) + seg->start;
}

/* Append to a chunk: bytes of the input, other bytes, a tag, a varint; all of another
 * chunk that is not raw, which is used up by it. */
fsm_status fsm_chunk_input(fsm_chunks *all, fsm_chunk *to, uint32_t start, uint32_t n);
fsm_status fsm_chunk_literal(fsm_chunks *all, fsm_chunk *to, const uint8_t *bytes, size_t n);
fsm_status fsm_chunk_tag(fsm_chunks *all, fsm_chunk *to, uint32_t number, fsm_wire wire);
fsm_status fsm_chunk_varint(fsm_chunks *all, fsm_chunk *to, uint64_t value);
void fsm_chunk_append(fsm_chunks *all, fsm_chunk *to, const fsm_chunk *other);

/* A length-delimited field; a raw payload lies in the input at `raw_start`. */
fsm_status fsm_chunk_field(fsm_chunks *all, fsm_chunk *to, uint32_t number,
                           const fsm_chunk *payload, uint32_t raw_start);

/* A field that the schema does not know: what stands at *p behind its tag, with minimal
 * tags, varints and lengths. `depth`: how deep it lies. */
fsm_status fsm_chunk_unknown(fsm_chunks *all, fsm_chunk *to, const uint8_t **p,
                             const uint8_t *end, uint32_t number, fsm_wire wire,
                             unsigned depth);

#endif
