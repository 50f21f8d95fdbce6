#include "tiny_canon.h"

#undef FSM_UNIT_MAX
#define FSM_UNIT_MAX TINY_UNIT_MAX
#define fsm_canon_free tiny_free
#define fsm_canon_hash tiny_hash
#define fsm_canon_write tiny_write

#include "../fsm_canon.c"
