/* Status codes, errors and limits shared by every part of the core.
 *
 * The core is C11 and never includes Python.h. A function that can fail
 * returns an fsm_status and, where it takes an fsm_error, says in it where and
 * what. Lengths that come from a file are always compared with what is left,
 * never added to an offset first. */
#ifndef FSM_BASE_H
#define FSM_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

typedef enum {
  FSM_OK = 0,
  /* the machine */
  FSM_E_NOMEM,     /* out of memory */
  FSM_E_IO,        /* a read failed; fsm_error.need holds errno */
  FSM_E_CHANGED,   /* a file became shorter while it was read */
  /* the protobuf wire */
  FSM_E_TRUNCATED, /* need bytes, have bytes: the message or file ends before */
  FSM_E_VARINT,    /* more than ten bytes, or no end */
  FSM_E_TAG,       /* field number 0 or above 2^29-1 */
  FSM_E_WIRE,      /* wire type 6 or 7 */
  FSM_E_GROUP,     /* an end-group without its start, or the other way round */
  FSM_E_DEPTH,     /* messages nested deeper than FSM_MAX_DEPTH */
  FSM_E_UTF8,      /* a string field that is not UTF-8 */
  FSM_E_LIMIT,     /* a limit of fastsm's own; need says which number */
  FSM_E_INVALID,   /* right on the wire, but not a value this format allows */
  /* SSTable blocks and Snappy */
  FSM_E_MAGIC,     /* not a table: the last eight bytes are not its magic */
  FSM_E_HANDLE,    /* a block handle points outside the file */
  FSM_E_BLOCK,     /* an entry does not fit its block */
  FSM_E_RESTARTS,  /* a restart array that does not match the entries before it */
  FSM_E_CRC,       /* need: stored checksum, have: computed */
  FSM_E_SNAPPY,    /* compressed bytes that do not decode */
  FSM_E_ORDER      /* keys that are not strictly ascending */
} fsm_status;

typedef struct {
  fsm_status status;
  uint64_t offset; /* absolute byte offset in the source */
  uint64_t need;
  uint64_t have;
} fsm_error;

static inline fsm_status fsm_fail(fsm_error *e, fsm_status s, uint64_t offset,
                                  uint64_t need, uint64_t have) {
  if (e) {
    e->status = s;
    e->offset = offset;
    e->need = need;
    e->have = have;
  }
  return s;
}

/* protobuf's own default recursion limit (CodedInputStream, upb): a file that
 * nests deeper is refused by every TensorFlow loader. */
#define FSM_MAX_DEPTH 100

/* The C++ loader refuses a saved_model.pb above this, and protobuf refuses any
 * single length above it (TensorFlow 2.21: "Can't parse ... as binary proto"). */
#define FSM_MAX_MESSAGE UINT64_C(0x7fffffff)

#endif
