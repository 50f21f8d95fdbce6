/* The canonical streamer once more, for which a message is large when it has more
 * than 24 bytes: what it does to large messages, done to small ones. */
#ifndef TINY_CANON_H
#define TINY_CANON_H

#include "fsm_canon.h"

#define TINY_UNIT_MAX 24

void tiny_free(fsm_canon *c);
fsm_status tiny_hash(fsm_canon *c, const fsm_src *src, fsm_message message,
                     const fsm_span *spans, size_t n_spans, uint64_t *hash);
fsm_status tiny_write(fsm_canon *c, const fsm_src *src, fsm_message message,
                      const fsm_span *spans, size_t n_spans, uint8_t *bytes,
                      uint64_t capacity, uint64_t *n);

#endif
