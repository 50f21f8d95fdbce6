/* A message with all that lies in it, in one walk: for what is small and wanted
 * whole, such as a signature or an object of the object graph.
 *
 * The fields that the schema knows, in file order, what lies in a message right
 * behind it. Nothing is merged or overruled yet: that is done where values are made
 * of them. Strings are copied. Bytes may be of any size, and so may tensors, which are
 * made of them: both are only located. */
#ifndef FSM_PARSE_H
#define FSM_PARSE_H

#include "fsm_cursor.h"
#include "fsm_grow.h"
#include "fsm_schema.h"

/* Values in one message: 8 MiB of them. An object has as many as it has children. */
#define FSM_MAX_VALUES (UINT32_C(1) << 18)
/* Their strings together. The longest that writers make is a Keras model's
 * configuration as JSON. */
#define FSM_MAX_TEXT (UINT32_C(16) << 20)

typedef struct {
  const fsm_field_def *field;
  uint64_t at;    /* of the payload in the source; of a number, of its field */
  uint64_t value; /* numbers: as fsm_kind_value has it. Strings: where in `text` */
  uint64_t size;  /* strings, bytes and what is located: how many bytes. Messages that
                   * were entered: how many of the values behind it lie in it. */
} fsm_value;

/* Zero-initialise; free once, also after a failure. */
typedef struct {
  fsm_array values; /* fsm_value */
  fsm_array text;   /* uint8_t */
} fsm_parsed;

/* What of a message is read. */
typedef struct {
  uint32_t only;       /* of its own fields the one with this number; 0: all */
  fsm_message located; /* messages of this type are not entered; tensors never are */
} fsm_wanted;

static inline bool fsm_is_located(const fsm_field_def *f, const fsm_wanted *wanted) {
  return f->kind == FSM_KIND_MESSAGE &&
         (f->message == FSM_MSG_TensorProto || f->message == wanted->located);
}

/* Read the message that the spans of c's source hold, one behind the other. On failure
 * c->error tells where. */
fsm_status fsm_parse(fsm_parsed *to, fsm_cursor *c, fsm_message message,
                     const fsm_span *spans, size_t n_spans, const fsm_wanted *wanted);

void fsm_parsed_free(fsm_parsed *p);

#endif
