/* Fingerprint64: the hash behind TensorFlow's fingerprint.pb.
 *
 * It is FarmHash's farmhashna::Hash64, which tsl/platform/fingerprint.h calls
 * Fingerprint64. The length enters at the end only, and with it the last 64
 * bytes, so a stream of any length is hashed in constant memory.
 * Source: google/farmhash (farmhash.h, 1.1), TensorFlow 2.21 tsl/platform. */
#ifndef FSM_FARMHASH_H
#define FSM_FARMHASH_H

#include "fsm_base.h"

uint64_t fsm_fingerprint64(const void *bytes, size_t n);

/* TensorFlow's FingerprintCat64 (tsl/platform/fingerprint.h): order matters. */
uint64_t fsm_fingerprint_cat(uint64_t a, uint64_t b);

typedef struct {
  uint64_t x, y, z, v0, v1, w0, w1;
  uint64_t length; /* bytes given so far */
  /* [0, 64): the block mixed last; [64, 64 + pending): not yet mixed. */
  uint8_t tail[128];
  unsigned pending;
} fsm_farm;

void fsm_farm_init(fsm_farm *h);
void fsm_farm_update(fsm_farm *h, const void *bytes, size_t n);
uint64_t fsm_farm_finish(const fsm_farm *h);

#endif
