/* Makes bundle indexes: the header, entries, and whole files of them. */
#ifndef MAKE_INDEX_H
#define MAKE_INDEX_H

#include <stdio.h>

#include "make_table.h"

static inline void put_tag(buffer *m, unsigned number, unsigned wire) {
  put_varint(m, number << 3 | wire);
}

static inline void put_int(buffer *m, unsigned number, int64_t value) {
  put_tag(m, number, FSM_VARINT);
  put_varint(m, (uint64_t)value);
}

static inline void put_message(buffer *m, unsigned number, const buffer *inner) {
  put_tag(m, number, FSM_LEN);
  put_varint(m, inner->size);
  put(m, inner->p, inner->size);
}

static inline buffer make_header(int32_t num_shards) {
  buffer version = {0}, header = {0};
  put_int(&header, 1, num_shards);
  put_int(&version, 1, 1);
  put_message(&header, 3, &version);
  clear(&version);
  return header;
}

typedef struct {
  const char *key;
  int32_t dtype;
  unsigned rank;
  int64_t dims[4];
  int32_t shard;
  int64_t offset, size;
  uint32_t crc32c;
  unsigned n_slices;
} sample;

static inline buffer make_shape(const sample *t) {
  buffer shape = {0};
  for (unsigned i = 0; i < t->rank; i++) {
    buffer dim = {0};
    if (t->dims[i])
      put_int(&dim, 1, t->dims[i]);
    put_message(&shape, 2, &dim);
    clear(&dim);
  }
  return shape;
}

/* As TensorFlow writes it: in field order, without zeros, the shape always. */
static inline buffer make_entry(const sample *t) {
  buffer entry = {0}, shape = make_shape(t), slice = {0};
  put_int(&entry, 1, t->dtype);
  put_message(&entry, 2, &shape);
  if (t->shard)
    put_int(&entry, 3, t->shard);
  if (t->offset)
    put_int(&entry, 4, t->offset);
  if (t->size)
    put_int(&entry, 5, t->size);
  if (t->crc32c) {
    put_tag(&entry, 6, FSM_FIXED32);
    put_u32(&entry, t->crc32c);
  }
  put(&slice, "\x0a\x02\x08\x01", 4); /* one extent, start 1 */
  for (unsigned i = 0; i < t->n_slices; i++)
    put_message(&entry, 7, &slice);
  clear(&shape);
  clear(&slice);
  return entry;
}

static inline void add_sample(block_maker *block, const sample *t) {
  buffer entry = make_entry(t);
  add_string(block, t->key, entry.p, entry.size);
  clear(&entry);
}

static inline void add_header(block_maker *block) {
  buffer header = make_header(1);
  add_string(block, "", header.p, header.size);
  clear(&header);
}

/* Write a data block that is done, raw or by Snappy, and list it. */
static inline fsm_handle write_block(buffer *file, block_maker *block, block_maker *index,
                                     const char *separator, bool snappy) {
  buffer body = end_block(block);
  if (snappy) {
    buffer packed = snappy_encode(body.p, body.size);
    clear(&body);
    body = packed;
  }
  fsm_handle handle = put_block(file, &body, snappy ? FSM_BLOCK_SNAPPY : FSM_BLOCK_RAW);
  clear(&body);
  add_handle(index, separator, handle);
  return handle;
}

/* An index of n samples in key order, `per_block` to a data block. */
static inline buffer make_index(const sample *samples, size_t n, size_t per_block,
                                bool snappy) {
  buffer file = {0};
  block_maker index, block;
  start_block(&index, 1);
  start_block(&block, 16);
  add_header(&block);
  for (size_t i = 0; i < n; i++) {
    add_sample(&block, &samples[i]);
    if ((i + 1) % per_block == 0 && i + 1 < n) {
      write_block(&file, &block, &index, samples[i].key, snappy);
      start_block(&block, 16);
    }
  }
  write_block(&file, &block, &index, "~", snappy);
  finish_table(&file, &index);
  return file;
}

#define N_MANY 100

/* `model/layer_00/kernel` and on: a hundred tensors, each fifth doubled. */
static inline void many_samples(sample *samples, char (*keys)[32]) {
  for (int i = 0; i < N_MANY; i++) {
    snprintf(keys[i], sizeof keys[i], "model/layer_%02d/kernel", i);
    int content = i % 5 == 4 ? i - 1 : i;
    samples[i] = (sample){.key = keys[i], .dtype = 1, .rank = 2, .dims = {3, content + 1},
                          .offset = 400 * i, .size = 12 * (content + 1),
                          .crc32c = 0x1000u + (uint32_t)content};
  }
}

#endif
