/* Splices over a source, worked into a new piece table.
 *
 * The untouched runs keep pointing at what the source's own pieces point at, so
 * a rewrite of a rewrite is as flat as the first. Lengths of the fields around
 * a splice are written anew where they change, as minimal varints; a length
 * that takes more bytes makes the fields around it longer in turn. */
#ifndef FSM_REWRITE_H
#define FSM_REWRITE_H

#include "fsm_src.h"

#define FSM_NO_FIELD (-1)

/* Replace [start, end) of the source by `size` of the new bytes. */
typedef struct {
  uint64_t start;
  uint64_t end;
  uint64_t data; /* offset in the new bytes; ascends in the order of the calls */
  uint64_t size;
  int64_t field; /* row of the innermost field around it, or FSM_NO_FIELD */
  uint64_t depth; /* how many fields there are around it */
} fsm_splice;

/* A length-delimited field around splices. The same one may have several rows. */
typedef struct {
  uint64_t length_at; /* where its length varint begins, */
  uint64_t start;     /* where its payload does, */
  uint64_t end;       /* and ends */
  int64_t parent;     /* row of the field around it, or FSM_NO_FIELD */
  int64_t growth;     /* for fsm_rewrite's own use */
} fsm_enclosing;

/* How many pieces and patch bytes fsm_rewrite writes at most. */
size_t fsm_rewrite_max_pieces(const fsm_src *src, size_t n_splices, size_t n_fields);
uint64_t fsm_rewrite_max_patch(const fsm_src *src, uint64_t data_size, size_t n_fields);

/* Whether both tables are in the order in which fsm_rewrite brings them: then it changes
 * nothing in them but growth. */
bool fsm_rewrite_in_order(const fsm_splice *splices, size_t n_splices,
                          const fsm_enclosing *fields, size_t n_fields);

/* Both tables may come in any order, and are sorted in place. At one offset an
 * insertion goes before a replacement, and what is inserted at the shared end of
 * nested fields goes into the inner one first; beyond that the calls' order holds.
 * FSM_E_INVALID: two splices overlap, or one overlaps a length that changes;
 * fsm_error.offset says where. */
fsm_status fsm_rewrite(const fsm_src *src, fsm_splice *splices, size_t n_splices,
                       fsm_enclosing *fields, size_t n_fields, const uint8_t *data,
                       fsm_piece *pieces, size_t *n_pieces, uint8_t *patch,
                       uint64_t *patch_size, fsm_error *e);

#endif
