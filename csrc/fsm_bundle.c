#include "fsm_bundle.h"

#include <stdlib.h>

#include "fsm_wire.h"

typedef struct {
  const uint8_t *p, *end;
} reader;

typedef struct {
  uint32_t tag;
  uint64_t value; /* varint and fixed32 */
  reader inside;  /* length-delimited */
} field;

#define TAG(number, wire) ((uint32_t)(number) << 3 | (uint32_t)(wire))

static fsm_status take(reader *r, uint64_t n, reader *taken) {
  if (n > (uint64_t)(r->end - r->p))
    return FSM_E_TRUNCATED;
  *taken = (reader){r->p, r->p + n};
  r->p += n;
  return FSM_OK;
}

static fsm_status skip_group(reader *r, uint32_t group, unsigned depth);

static fsm_status read_value(reader *r, uint32_t number, fsm_wire wire, unsigned depth,
                             field *f) {
  fsm_status s;
  switch (wire) {
  case FSM_VARINT:
    return fsm_read_varint(&r->p, r->end, &f->value);
  case FSM_FIXED64:
    return take(r, 8, &f->inside);
  case FSM_FIXED32:
    s = take(r, 4, &f->inside);
    f->value = s ? 0 : fsm_load32(f->inside.p);
    return s;
  case FSM_LEN:
    s = fsm_read_varint(&r->p, r->end, &f->value);
    return s ? s : take(r, f->value, &f->inside);
  case FSM_GROUP:
    return depth < FSM_MAX_DEPTH ? skip_group(r, number, depth + 1) : FSM_E_DEPTH;
  case FSM_END_GROUP:
    return FSM_E_GROUP;
  }
  return FSM_E_WIRE;
}

static fsm_status skip_group(reader *r, uint32_t group, unsigned depth) {
  for (;;) {
    uint32_t number;
    fsm_wire wire;
    field skipped;
    fsm_status s = fsm_read_tag(&r->p, r->end, &number, &wire);
    if (!s && wire == FSM_END_GROUP)
      return number == group ? FSM_OK : FSM_E_GROUP;
    if (!s)
      s = read_value(r, number, wire, depth, &skipped);
    if (s)
      return s;
  }
}

/* On failure r->p stays at the offending byte. */
static fsm_status next_field(reader *r, field *f) {
  uint32_t number;
  fsm_wire wire;
  fsm_status s = fsm_read_tag(&r->p, r->end, &number, &wire);
  if (s)
    return s;
  f->tag = TAG(number, wire);
  return read_value(r, number, wire, 0, f);
}

/* Carry the place of a failure inside a submessage out to its parent. */
static fsm_status within(reader *r, const field *f, fsm_status s) {
  if (s)
    r->p = f->inside.p;
  return s;
}

static fsm_status check_fields(reader *r) {
  fsm_status s = FSM_OK;
  field f;
  while (!s && r->p < r->end)
    s = next_field(r, &f);
  return s;
}

/* TensorSliceProto: only counted, but a broken one breaks its entry. */
static fsm_status check_slice(reader *r) {
  fsm_status s = FSM_OK;
  field f;
  while (!s && r->p < r->end) {
    s = next_field(r, &f);
    if (!s && f.tag == TAG(1, FSM_LEN))
      s = within(r, &f, check_fields(&f.inside));
  }
  return s;
}

static fsm_status add_dim(fsm_bundle_entry *t, int64_t size) {
  if (t->n_dims == t->dims_capacity) {
    size_t n = t->dims_capacity ? 2 * t->dims_capacity : 8;
    int64_t *grown = realloc(t->dims, n * sizeof *grown);
    if (!grown)
      return FSM_E_NOMEM;
    t->dims = grown;
    t->dims_capacity = n;
  }
  t->dims[t->n_dims++] = size;
  return FSM_OK;
}

static fsm_status read_dim(fsm_bundle_entry *t, reader *r) {
  int64_t size = 0;
  while (r->p < r->end) {
    field f;
    fsm_status s = next_field(r, &f);
    if (s)
      return s;
    if (f.tag == TAG(1, FSM_VARINT))
      size = (int64_t)f.value;
  }
  return add_dim(t, size);
}

static fsm_status read_shape(fsm_bundle_entry *t, reader *r) {
  fsm_status s = FSM_OK;
  while (!s && r->p < r->end) {
    field f;
    s = next_field(r, &f);
    if (s)
      return s;
    if (f.tag == TAG(2, FSM_LEN))
      s = within(r, &f, read_dim(t, &f.inside));
    else if (f.tag == TAG(3, FSM_VARINT))
      t->flags = (uint8_t)(f.value ? t->flags | FSM_ENTRY_UNKNOWN_RANK
                                   : t->flags & ~FSM_ENTRY_UNKNOWN_RANK);
  }
  return s;
}

static fsm_status read_entry(fsm_bundle_entry *t, reader *r) {
  fsm_status s = FSM_OK;
  while (!s && r->p < r->end) {
    field f;
    s = next_field(r, &f);
    if (s)
      return s;
    switch (f.tag) {
    case TAG(1, FSM_VARINT):
      t->dtype = (int32_t)(uint32_t)f.value;
      break;
    case TAG(2, FSM_LEN):
      t->flags |= FSM_ENTRY_HAS_SHAPE;
      s = within(r, &f, read_shape(t, &f.inside));
      break;
    case TAG(3, FSM_VARINT):
      t->shard = (int32_t)(uint32_t)f.value;
      break;
    case TAG(4, FSM_VARINT):
      t->offset = (int64_t)f.value;
      break;
    case TAG(5, FSM_VARINT):
      t->size = (int64_t)f.value;
      break;
    case TAG(6, FSM_FIXED32):
      t->crc32c = (uint32_t)f.value;
      break;
    case TAG(7, FSM_LEN):
      t->n_slices++;
      s = within(r, &f, check_slice(&f.inside));
      break;
    }
  }
  return s;
}

static fsm_status read_bad_consumers(fsm_bundle_header *h, reader *r) {
  fsm_status s = FSM_OK;
  uint64_t version;
  while (!s && r->p < r->end) {
    s = fsm_read_varint(&r->p, r->end, &version);
    h->refuses_this_version |= !s && (uint32_t)version == FSM_BUNDLE_VERSION;
  }
  return s;
}

static fsm_status read_version(fsm_bundle_header *h, reader *r) {
  fsm_status s = FSM_OK;
  while (!s && r->p < r->end) {
    field f;
    s = next_field(r, &f);
    if (s)
      return s;
    switch (f.tag) {
    case TAG(1, FSM_VARINT):
      h->producer = (int32_t)(uint32_t)f.value;
      break;
    case TAG(2, FSM_VARINT):
      h->min_consumer = (int32_t)(uint32_t)f.value;
      break;
    case TAG(3, FSM_VARINT):
      h->refuses_this_version |= (uint32_t)f.value == FSM_BUNDLE_VERSION;
      break;
    case TAG(3, FSM_LEN): /* packed */
      s = within(r, &f, read_bad_consumers(h, &f.inside));
      break;
    }
  }
  return s;
}

static fsm_status read_header(fsm_bundle_header *h, reader *r) {
  fsm_status s = FSM_OK;
  while (!s && r->p < r->end) {
    field f;
    s = next_field(r, &f);
    if (s)
      return s;
    switch (f.tag) {
    case TAG(1, FSM_VARINT):
      h->num_shards = (int32_t)(uint32_t)f.value;
      break;
    case TAG(2, FSM_VARINT):
      h->endianness = (int32_t)(uint32_t)f.value;
      break;
    case TAG(3, FSM_LEN):
      h->has_version = true;
      s = within(r, &f, read_version(h, &f.inside));
      break;
    }
  }
  return s;
}

fsm_status fsm_bundle_header_parse(fsm_bundle_header *header, const uint8_t **p,
                                   const uint8_t *end) {
  reader r = {*p, end};
  fsm_status s = read_header(header, &r);
  *p = r.p;
  return s;
}

fsm_status fsm_bundle_entry_parse(fsm_bundle_entry *entry, const uint8_t **p,
                                  const uint8_t *end) {
  *entry = (fsm_bundle_entry){.dims = entry->dims, .dims_capacity = entry->dims_capacity};
  reader r = {*p, end};
  fsm_status s = read_entry(entry, &r);
  *p = r.p;
  return s;
}

static fsm_status read_extent(fsm_extent *extent, reader *r) {
  fsm_status s = FSM_OK;
  while (!s && r->p < r->end) {
    field f;
    s = next_field(r, &f);
    if (!s && f.tag == TAG(1, FSM_VARINT))
      extent->start = (int64_t)f.value;
    else if (!s && f.tag == TAG(2, FSM_VARINT))
      extent->length = (int64_t)f.value;
  }
  return s;
}

static fsm_status read_slice(fsm_array *extents, reader *r) {
  while (r->p < r->end) {
    field f;
    fsm_status s = next_field(r, &f);
    if (s)
      return s;
    if (f.tag != TAG(1, FSM_LEN))
      continue;
    fsm_extent extent = {0, FSM_FULL};
    s = within(r, &f, read_extent(&extent, &f.inside));
    if (!s)
      s = fsm_array_reserve(extents, sizeof extent, 1);
    if (s)
      return s;
    ((fsm_extent *)extents->items)[extents->n++] = extent;
  }
  return FSM_OK;
}

fsm_status fsm_bundle_slices_parse(fsm_array *extents, fsm_array *ends, const uint8_t **p,
                                   const uint8_t *end) {
  reader r = {*p, end};
  fsm_status s = FSM_OK;
  while (!s && r.p < r.end) {
    field f;
    s = next_field(&r, &f);
    if (s || f.tag != TAG(7, FSM_LEN))
      continue;
    s = within(&r, &f, read_slice(extents, &f.inside));
    if (!s)
      s = fsm_array_reserve(ends, sizeof(size_t), 1);
    if (!s)
      ((size_t *)ends->items)[ends->n++] = extents->n;
  }
  *p = r.p;
  return s;
}

fsm_status fsm_bundle_skip(const uint8_t **p, const uint8_t *end, uint32_t *tag) {
  reader r = {*p, end};
  field f;
  fsm_status s = next_field(&r, &f);
  *tag = s ? 0 : f.tag;
  *p = r.p;
  return s;
}

void fsm_bundle_entry_free(fsm_bundle_entry *entry) {
  free(entry->dims);
  *entry = (fsm_bundle_entry){0};
}
