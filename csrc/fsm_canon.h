/* The canonical streamer: what C++ protobuf's deterministic serialiser would
 * write for a message in a source, as a hash or as bytes, in bounded memory.
 *
 * TensorFlow's saved_model_checksum is Fingerprint64 of these bytes, and files
 * are not in this order: Python's protobuf (upb) writes maps in another one.
 * Messages up to FSM_UNIT_MAX are ordered in memory (fsm_unit). Larger ones are
 * walked: their fields' spans are put in order, their payloads never held.
 *
 * A length prefix stands before what it measures, so the first pass assumes
 * that canonical form keeps each large message's length, which is so for every
 * file that protobuf wrote, and notes the true lengths; only when one differs
 * a second pass uses them. Nor is it known whether a large message's fields come
 * in order until its last one: it is walked as if they did, and once more, in
 * their order, if not.
 * Source: tensorflow/cc/saved_model/fingerprinting.cc (2.21). */
#ifndef FSM_CANON_H
#define FSM_CANON_H

#include "fsm_map.h"
#include "fsm_runs.h"
#include "fsm_sink.h"
#include "fsm_unit.h"

/* Messages above FSM_UNIT_MAX in one file; 2 GiB of them nested make 2^20. */
#define FSM_MAX_LARGE (UINT32_C(1) << 22)

typedef struct {
  fsm_cursor cursor;
  fsm_unit unit;
  fsm_sink sink;
  uint8_t *window; /* FSM_WINDOW bytes */
  uint8_t *joined; /* FSM_UNIT_MAX bytes: a small message of several spans */
  /* Used as stacks: a message drops what it pushed. */
  fsm_maps maps;
  fsm_array runs, spans, lengths;
  size_t next_length;
  bool first_pass, mismatch;
  int64_t drift; /* how much longer the prefixes would be that were written so far, were they true */
  uint64_t patience; /* bytes that may still be walked in vain */
} fsm_canon;

/* Zero-initialise, call as often as wanted, free once. */
void fsm_canon_free(fsm_canon *c);

/* Fingerprint64 of the canonical form of the message that the spans of `src`
 * hold, several spans being one message (their fields merge). On failure
 * c->cursor.error tells where. */
fsm_status fsm_canon_hash(fsm_canon *c, const fsm_src *src, fsm_message message,
                          const fsm_span *spans, size_t n_spans, uint64_t *hash);

/* The canonical form itself, at most `capacity` bytes of it (FSM_E_LIMIT). */
fsm_status fsm_canon_write(fsm_canon *c, const fsm_src *src, fsm_message message,
                           const fsm_span *spans, size_t n_spans, uint8_t *bytes,
                           uint64_t capacity, uint64_t *n);

#endif
