/* What a bundle seems to store more than once. Keras 3 exports write each weight
 * under two keys; two keys may as well name the same bytes. */
#ifndef FSM_DOUBLES_H
#define FSM_DOUBLES_H

#include "fsm_index.h"

/* Entries whose size (not zero), checksum, dtype and shape are equal make a
 * group; what lies at one place is stored once, under however many keys. Only
 * comparing the bytes proves that a group's places hold the same. */
typedef struct {
  size_t n_groups;  /* with more than one place */
  size_t n_entries; /* places beyond the first of each group */
  uint64_t bytes;   /* that they take; saturates */
} fsm_doubles;

/* Count them; where `twin_of` is not NULL (one for each row), also name the
 * lowest row of each row's group: its own when it is alone. O(n log n).
 * FSM_E_NOMEM. */
fsm_status fsm_doubles_find(const fsm_index *index, size_t *twin_of, fsm_doubles *doubles);

#endif
