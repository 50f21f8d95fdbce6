/* The two messages of a bundle's index: BundleHeaderProto and BundleEntryProto.
 *
 * Parsed by the wire's own rules, as protobuf would: fields in any order, the
 * last of a repeated scalar counts, submessages merge, unknown fields and
 * groups are skipped.
 * Source: TensorFlow 2.21 core/protobuf/tensor_bundle.proto,
 * core/framework/tensor_shape.proto, tensor_slice.proto, versions.proto. */
#ifndef FSM_BUNDLE_H
#define FSM_BUNDLE_H

#include "fsm_grow.h"

/* The bundle format this reads: TensorFlow's kTensorBundleVersion. */
#define FSM_BUNDLE_VERSION 1

typedef struct {
  bool present;     /* there is an entry with the empty key */
  bool has_version; /* TensorFlow accepts a header without */
  int32_t num_shards;
  int32_t endianness; /* 0 little, 1 big */
  int32_t producer;
  int32_t min_consumer;
  bool refuses_this_version; /* bad_consumers names FSM_BUNDLE_VERSION */
} fsm_bundle_header;

/* Add what the message [*p, end) says to a header, zeroed before. On failure *p
 * is the offending byte. */
fsm_status fsm_bundle_header_parse(fsm_bundle_header *header, const uint8_t **p,
                                   const uint8_t *end);

enum {
  FSM_ENTRY_HAS_SHAPE = 1, /* TensorFlow always writes one, empty for a scalar */
  FSM_ENTRY_UNKNOWN_RANK = 2
};

typedef struct {
  int32_t dtype, shard;
  int64_t offset, size;
  uint32_t crc32c; /* masked, as stored */
  uint32_t n_slices;
  uint8_t flags;
  size_t n_dims;
  int64_t *dims; /* grows, and is used again by the next entry */
  size_t dims_capacity;
} fsm_bundle_entry;

/* Replace an entry, zeroed before the first, by what the message [*p, end)
 * says. On failure *p is the offending byte. Also FSM_E_NOMEM. */
fsm_status fsm_bundle_entry_parse(fsm_bundle_entry *entry, const uint8_t **p,
                                  const uint8_t *end);

/* One dimension of a slice: so many from `start` on, or with FSM_FULL all. */
typedef struct {
  int64_t start, length;
} fsm_extent;

#define FSM_FULL (-1)

/* The slices that a partitioned tensor's entry lists: their extents one behind
 * the other, and for each slice how many extents (size_t) there are up to its
 * end. Both arrays zeroed before. On failure *p is the offending byte. */
fsm_status fsm_bundle_slices_parse(fsm_array *extents, fsm_array *ends, const uint8_t **p,
                                   const uint8_t *end);

/* Step over one field of either message: *tag becomes its number and wire type.
 * On failure *p is the offending byte. */
fsm_status fsm_bundle_skip(const uint8_t **p, const uint8_t *end, uint32_t *tag);

void fsm_bundle_entry_free(fsm_bundle_entry *entry);

#endif
