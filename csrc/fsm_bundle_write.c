#include "fsm_bundle_write.h"

#include "fsm_encode.h"

/* Field numbers of tensor_bundle.proto and tensor_shape.proto. */
enum {
  ENTRY_DTYPE = 1, ENTRY_SHAPE, ENTRY_SHARD, ENTRY_OFFSET, ENTRY_SIZE, ENTRY_CRC, ENTRY_SLICES,
  HEADER_SHARDS = 1,
  SHAPE_DIM = 2,
  DIM_SIZE = 1
};

#define TAG(number, wire) ((uint32_t)(number) << 3 | (uint32_t)(wire))

/* The fields to write, by ascending number; a tag without a value only drops. */
typedef struct {
  uint32_t tag;
  uint64_t value;
  bool written;
} new_field;

static uint8_t *put_field(uint8_t *to, new_field *f) {
  if (f->written)
    return to;
  f->written = true;
  if ((f->tag & 7) == FSM_FIXED32)
    return fsm_put_fixed32(to, f->tag >> 3, (uint32_t)f->value);
  return (f->tag & 7) == FSM_VARINT ? fsm_put_number(to, f->tag >> 3, f->value) : to;
}

static fsm_status patch_message(const uint8_t *message, size_t n, new_field *fields,
                                size_t n_fields, uint8_t *to, size_t *size) {
  const uint8_t *p = message, *end = message + n;
  uint8_t *start = to;
  size_t next = 0; /* fields before it are written */
  while (p < end) {
    const uint8_t *from = p;
    uint32_t tag;
    fsm_status s = fsm_bundle_skip(&p, end, &tag);
    if (s)
      return s;
    while (next < n_fields && fields[next].tag >> 3 < tag >> 3)
      to = put_field(to, &fields[next++]);
    size_t i = 0;
    while (i < n_fields && fields[i].tag != tag)
      i++;
    if (i < n_fields) {
      to = put_field(to, &fields[i]);
    } else {
      memcpy(to, from, (size_t)(p - from));
      to += p - from;
    }
  }
  while (next < n_fields)
    to = put_field(to, &fields[next++]);
  *size = (size_t)(to - start);
  return FSM_OK;
}

fsm_status fsm_entry_patched(const uint8_t *entry, size_t n, const fsm_entry_patch *patch,
                             uint8_t *to, size_t *size) {
  new_field fields[5];
  size_t n_fields = 0;
  if (patch->what & FSM_SET_PLACE) {
    /* A negative number has 64 bits on the wire, whatever its type. */
    fields[n_fields++] = (new_field){TAG(ENTRY_SHARD, FSM_VARINT),
                                     (uint64_t)(int64_t)patch->shard, false};
    fields[n_fields++] = (new_field){TAG(ENTRY_OFFSET, FSM_VARINT), (uint64_t)patch->offset,
                                     false};
  }
  if (patch->what & FSM_SET_CONTENT) {
    fields[n_fields++] = (new_field){TAG(ENTRY_SIZE, FSM_VARINT), (uint64_t)patch->size, false};
    fields[n_fields++] = (new_field){TAG(ENTRY_CRC, FSM_FIXED32), patch->crc32c, false};
  }
  if (patch->what & FSM_DROP_SLICES)
    fields[n_fields++] = (new_field){TAG(ENTRY_SLICES, FSM_LEN), 0, false};
  return patch_message(entry, n, fields, n_fields, to, size);
}

fsm_status fsm_header_patched(const uint8_t *header, size_t n, int32_t n_shards, uint8_t *to,
                              size_t *size) {
  new_field shards = {TAG(HEADER_SHARDS, FSM_VARINT), (uint64_t)(int64_t)n_shards, false};
  return patch_message(header, n, &shards, 1, to, size);
}

static size_t dim_size(int64_t dim) { return fsm_size_number(DIM_SIZE, (uint64_t)dim); }

static size_t shape_size(const int64_t *dims, size_t n_dims) {
  size_t n = 0;
  for (size_t i = 0; i < n_dims; i++)
    n += (size_t)fsm_size_delimited(SHAPE_DIM, dim_size(dims[i]));
  return n;
}

size_t fsm_entry_size(int32_t dtype, const int64_t *dims, size_t n_dims) {
  return fsm_size_number(ENTRY_DTYPE, (uint64_t)(int64_t)dtype) +
         (size_t)fsm_size_delimited(ENTRY_SHAPE, shape_size(dims, n_dims));
}

void fsm_entry_write(uint8_t *to, int32_t dtype, const int64_t *dims, size_t n_dims) {
  to = fsm_put_number(to, ENTRY_DTYPE, (uint64_t)(int64_t)dtype);
  to = fsm_put_delimited_header(to, ENTRY_SHAPE, shape_size(dims, n_dims));
  for (size_t i = 0; i < n_dims; i++) {
    to = fsm_put_delimited_header(to, SHAPE_DIM, dim_size(dims[i]));
    to = fsm_put_number(to, DIM_SIZE, (uint64_t)dims[i]);
  }
}
