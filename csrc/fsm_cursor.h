/* The cursor: fields of a message, read through a window that moves over a source.
 *
 * It holds absolute offsets. fsm_cursor_next reads one field's header and steps
 * over its payload without reading it; the caller enters a payload by
 * fsm_cursor_span and comes back by another. Memory is the window's. */
#ifndef FSM_CURSOR_H
#define FSM_CURSOR_H

#include "fsm_src.h"
#include "fsm_wire.h"

/* Large enough that a call to pread costs little, small enough to stay in L2. */
#define FSM_WINDOW (UINT32_C(256) << 10)
/* After a jump the cursor reads this much, then doubles while it runs on, so
 * that stepping over large payloads reads headers and little else. */
#define FSM_FIRST_READ (UINT32_C(4) << 10)

typedef struct {
  uint64_t start; /* of the tag */
  uint64_t value; /* varint and fixed: the value; LEN and group: offset of the payload */
  uint64_t tag_end; /* behind the tag: where a length or a value begins */
  uint64_t end;   /* behind the field; of a group: behind its end tag */
  uint64_t length; /* LEN and group: bytes of payload, else 0 */
  uint32_t number;
  fsm_wire wire;
  bool minimal; /* tag, and value or length, take as few bytes as they can */
} fsm_field;

typedef struct {
  const fsm_src *src;
  uint8_t *window; /* `capacity` bytes; holds the source's [base, base + fill) */
  size_t capacity;
  uint64_t base;
  size_t fill;
  size_t step; /* how much the next read takes */
  uint64_t at;
  uint64_t end; /* of the message that is being read */
  fsm_error error;
} fsm_cursor;

/* The window stays the caller's. Starts at the whole source. */
void fsm_cursor_init(fsm_cursor *c, const fsm_src *src, uint8_t *window, size_t capacity);

/* Go to [start, end); FSM_E_TRUNCATED when it does not lie in the source. */
fsm_status fsm_cursor_span(fsm_cursor *c, uint64_t start, uint64_t end);

/* Make n bytes (at most the window, and not past `end`) lie together at `at`. */
fsm_status fsm_cursor_need(fsm_cursor *c, size_t n, const uint8_t **bytes);

/* What of the message from `at` on lies in the window, reading more only when
 * nothing does: at least one byte, unless the message is done. */
fsm_status fsm_cursor_some(fsm_cursor *c, const uint8_t **bytes, size_t *n);

/* Copy the n bytes at offset, from the window if it holds them. Moves nothing. */
fsm_status fsm_cursor_read(fsm_cursor *c, uint64_t offset, void *buffer, size_t n);

/* Empty the window: it is read anew. */
static inline void fsm_cursor_forget(fsm_cursor *c) { c->fill = 0; }

static inline bool fsm_cursor_done(const fsm_cursor *c) { return c->at >= c->end; }

/* Read the next field and step over it; but of groups only a start or an end tag. */
fsm_status fsm_cursor_token(fsm_cursor *c, fsm_field *f);

/* Read the next field and step over it. A group is stepped over whole; an
 * end-group tag on its own is FSM_E_GROUP. On failure error tells where. */
fsm_status fsm_cursor_next(fsm_cursor *c, fsm_field *f);

/* One varint at `at`. */
fsm_status fsm_cursor_varint(fsm_cursor *c, uint64_t *value);

#endif
