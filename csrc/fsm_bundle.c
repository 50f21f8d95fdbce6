#include "fsm_bundle.h"

#include <stdlib.h>

#include "fsm_fields.h"

/* Carry the place of a failure inside a submessage out to its parent. */
static fsm_status within(fsm_reader *r, const fsm_item *f, fsm_status s) {
  if (s)
    r->p = f->inside.p;
  return s;
}

static fsm_status check_fields(fsm_reader *r) {
  fsm_status s = FSM_OK;
  fsm_item f;
  while (!s && r->p < r->end)
    s = fsm_next_field(r, &f);
  return s;
}

/* TensorSliceProto: only counted, but a broken one breaks its entry. */
static fsm_status check_slice(fsm_reader *r) {
  fsm_status s = FSM_OK;
  fsm_item f;
  while (!s && r->p < r->end) {
    s = fsm_next_field(r, &f);
    if (!s && f.tag == FSM_TAG(1, FSM_LEN))
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

static fsm_status read_dim(fsm_bundle_entry *t, fsm_reader *r) {
  int64_t size = 0;
  while (r->p < r->end) {
    fsm_item f;
    fsm_status s = fsm_next_field(r, &f);
    if (s)
      return s;
    if (f.tag == FSM_TAG(1, FSM_VARINT))
      size = (int64_t)f.value;
  }
  return add_dim(t, size);
}

static fsm_status read_shape(fsm_bundle_entry *t, fsm_reader *r) {
  fsm_status s = FSM_OK;
  while (!s && r->p < r->end) {
    fsm_item f;
    s = fsm_next_field(r, &f);
    if (s)
      return s;
    if (f.tag == FSM_TAG(2, FSM_LEN))
      s = within(r, &f, read_dim(t, &f.inside));
    else if (f.tag == FSM_TAG(3, FSM_VARINT))
      t->flags = (uint8_t)(f.value ? t->flags | FSM_ENTRY_UNKNOWN_RANK
                                   : t->flags & ~FSM_ENTRY_UNKNOWN_RANK);
  }
  return s;
}

static fsm_status read_entry(fsm_bundle_entry *t, fsm_reader *r) {
  fsm_status s = FSM_OK;
  while (!s && r->p < r->end) {
    fsm_item f;
    s = fsm_next_field(r, &f);
    if (s)
      return s;
    switch (f.tag) {
    case FSM_TAG(1, FSM_VARINT):
      t->dtype = (int32_t)(uint32_t)f.value;
      break;
    case FSM_TAG(2, FSM_LEN):
      t->flags |= FSM_ENTRY_HAS_SHAPE;
      s = within(r, &f, read_shape(t, &f.inside));
      break;
    case FSM_TAG(3, FSM_VARINT):
      t->shard = (int32_t)(uint32_t)f.value;
      break;
    case FSM_TAG(4, FSM_VARINT):
      t->offset = (int64_t)f.value;
      break;
    case FSM_TAG(5, FSM_VARINT):
      t->size = (int64_t)f.value;
      break;
    case FSM_TAG(6, FSM_FIXED32):
      t->crc32c = (uint32_t)f.value;
      break;
    case FSM_TAG(7, FSM_LEN):
      t->n_slices++;
      s = within(r, &f, check_slice(&f.inside));
      break;
    }
  }
  return s;
}

static fsm_status read_bad_consumers(fsm_bundle_header *h, fsm_reader *r) {
  fsm_status s = FSM_OK;
  uint64_t version;
  while (!s && r->p < r->end) {
    s = fsm_read_varint(&r->p, r->end, &version);
    h->refuses_this_version |= !s && (uint32_t)version == FSM_BUNDLE_VERSION;
  }
  return s;
}

static fsm_status read_version(fsm_bundle_header *h, fsm_reader *r) {
  fsm_status s = FSM_OK;
  while (!s && r->p < r->end) {
    fsm_item f;
    s = fsm_next_field(r, &f);
    if (s)
      return s;
    switch (f.tag) {
    case FSM_TAG(1, FSM_VARINT):
      h->producer = (int32_t)(uint32_t)f.value;
      break;
    case FSM_TAG(2, FSM_VARINT):
      h->min_consumer = (int32_t)(uint32_t)f.value;
      break;
    case FSM_TAG(3, FSM_VARINT):
      h->refuses_this_version |= (uint32_t)f.value == FSM_BUNDLE_VERSION;
      break;
    case FSM_TAG(3, FSM_LEN): /* packed */
      s = within(r, &f, read_bad_consumers(h, &f.inside));
      break;
    }
  }
  return s;
}

static fsm_status read_header(fsm_bundle_header *h, fsm_reader *r) {
  fsm_status s = FSM_OK;
  while (!s && r->p < r->end) {
    fsm_item f;
    s = fsm_next_field(r, &f);
    if (s)
      return s;
    switch (f.tag) {
    case FSM_TAG(1, FSM_VARINT):
      h->num_shards = (int32_t)(uint32_t)f.value;
      break;
    case FSM_TAG(2, FSM_VARINT):
      h->endianness = (int32_t)(uint32_t)f.value;
      break;
    case FSM_TAG(3, FSM_LEN):
      h->has_version = true;
      s = within(r, &f, read_version(h, &f.inside));
      break;
    }
  }
  return s;
}

fsm_status fsm_bundle_header_parse(fsm_bundle_header *header, const uint8_t **p,
                                   const uint8_t *end) {
  fsm_reader r = {*p, end};
  fsm_status s = read_header(header, &r);
  *p = r.p;
  return s;
}

fsm_status fsm_bundle_entry_parse(fsm_bundle_entry *entry, const uint8_t **p,
                                  const uint8_t *end) {
  *entry = (fsm_bundle_entry){.dims = entry->dims, .dims_capacity = entry->dims_capacity};
  fsm_reader r = {*p, end};
  fsm_status s = read_entry(entry, &r);
  *p = r.p;
  return s;
}

static fsm_status read_extent(fsm_extent *extent, fsm_reader *r) {
  fsm_status s = FSM_OK;
  while (!s && r->p < r->end) {
    fsm_item f;
    s = fsm_next_field(r, &f);
    if (!s && f.tag == FSM_TAG(1, FSM_VARINT))
      extent->start = (int64_t)f.value;
    else if (!s && f.tag == FSM_TAG(2, FSM_VARINT))
      extent->length = (int64_t)f.value;
  }
  return s;
}

static fsm_status read_slice(fsm_array *extents, fsm_reader *r) {
  while (r->p < r->end) {
    fsm_item f;
    fsm_status s = fsm_next_field(r, &f);
    if (s)
      return s;
    if (f.tag != FSM_TAG(1, FSM_LEN))
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
  fsm_reader r = {*p, end};
  fsm_status s = FSM_OK;
  while (!s && r.p < r.end) {
    fsm_item f;
    s = fsm_next_field(&r, &f);
    if (s || f.tag != FSM_TAG(7, FSM_LEN))
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
  fsm_reader r = {*p, end};
  fsm_item f;
  fsm_status s = fsm_next_field(&r, &f);
  *tag = s ? 0 : f.tag;
  *p = r.p;
  return s;
}

void fsm_bundle_entry_free(fsm_bundle_entry *entry) {
  free(entry->dims);
  *entry = (fsm_bundle_entry){0};
}
