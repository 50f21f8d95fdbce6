/* Makes tables for the tests and the fuzzer, sound ones and odd ones. */
#ifndef MAKE_TABLE_H
#define MAKE_TABLE_H

#include <stdlib.h>
#include <string.h>

#include "fsm_crc32c.h"
#include "fsm_encode.h"
#include "fsm_table.h"

typedef struct {
  uint8_t *p;
  size_t size, capacity;
} buffer;

static inline void put(buffer *b, const void *bytes, size_t n) {
  if (b->capacity - b->size < n || !b->p) {
    b->capacity = 2 * (b->size + n) + 16;
    b->p = realloc(b->p, b->capacity);
    if (!b->p)
      abort();
  }
  if (n)
    memcpy(b->p + b->size, bytes, n);
  b->size += n;
}

static inline void put_byte(buffer *b, unsigned byte) {
  uint8_t v = (uint8_t)byte;
  put(b, &v, 1);
}

static inline void put_varint(buffer *b, uint64_t value) {
  uint8_t bytes[FSM_MAX_VARINT_BYTES];
  put(b, bytes, fsm_write_varint(bytes, value));
}

static inline void put_u32(buffer *b, uint32_t value) {
  for (unsigned i = 0; i < 32; i += 8)
    put_byte(b, value >> i & 0xff);
}

static inline void put_u64(buffer *b, uint64_t value) {
  put_u32(b, (uint32_t)value);
  put_u32(b, (uint32_t)(value >> 32));
}

static inline void set_u32(uint8_t *p, uint32_t value) {
  for (unsigned i = 0; i < 4; i++)
    p[i] = (uint8_t)(value >> (8 * i));
}

static inline void clear(buffer *b) {
  free(b->p);
  *b = (buffer){0};
}

/* ---- a block's body ---- */

typedef struct {
  buffer body, restarts, last_key;
  unsigned interval; /* entries a restart */
  unsigned n_entries;
} block_maker;

static inline void start_block(block_maker *m, unsigned interval) {
  *m = (block_maker){.interval = interval};
}

/* An entry as its lengths say, true or not. */
static inline void put_entry(buffer *body, uint64_t shared, uint64_t fresh, uint64_t value_size,
                             const void *rest, size_t n_rest) {
  put_varint(body, shared);
  put_varint(body, fresh);
  put_varint(body, value_size);
  put(body, rest, n_rest);
}

static inline void add_entry(block_maker *m, const void *key, size_t n_key, const void *value,
                             size_t n_value) {
  const uint8_t *k = key;
  size_t shared = 0;
  if (m->n_entries++ % m->interval == 0)
    put_u32(&m->restarts, (uint32_t)m->body.size);
  else
    while (shared < n_key && shared < m->last_key.size && k[shared] == m->last_key.p[shared])
      shared++;
  put_entry(&m->body, shared, n_key - shared, n_value, k + shared, n_key - shared);
  put(&m->body, value, n_value);
  m->last_key.size = 0;
  put(&m->last_key, key, n_key);
}

static inline void add_string(block_maker *m, const char *key, const void *value, size_t n) {
  add_entry(m, key, strlen(key), value, n);
}

/* Append the restart array; the body is then the caller's. */
static inline buffer end_block(block_maker *m) {
  if (m->restarts.size == 0)
    put_u32(&m->restarts, 0);
  uint32_t n = (uint32_t)(m->restarts.size / 4);
  put(&m->body, m->restarts.p, m->restarts.size);
  put_u32(&m->body, n);
  clear(&m->restarts);
  clear(&m->last_key);
  return m->body;
}

/* ---- a file of blocks ---- */

static inline fsm_handle put_block(buffer *file, const buffer *body, unsigned type) {
  fsm_handle handle = {file->size, body->size};
  put(file, body->p, body->size);
  put_byte(file, type);
  uint32_t crc = fsm_crc32c(0, file->p + handle.offset, body->size + 1);
  put_u32(file, fsm_crc32c_mask(crc));
  return handle;
}

/* Make a block's checksum true again after a change. */
static inline void reseal(uint8_t *file, fsm_handle handle) {
  uint8_t *type = file + handle.offset + handle.size;
  uint32_t crc = fsm_crc32c(0, file + handle.offset, (size_t)handle.size + 1);
  set_u32(type + 1, fsm_crc32c_mask(crc));
}

static inline void add_handle(block_maker *index, const char *separator, fsm_handle handle) {
  buffer value = {0};
  put_varint(&value, handle.offset);
  put_varint(&value, handle.size);
  add_string(index, separator, value.p, value.size);
  clear(&value);
}

static inline void put_footer(buffer *file, fsm_handle metaindex, fsm_handle index) {
  size_t start = file->size;
  put_varint(file, metaindex.offset);
  put_varint(file, metaindex.size);
  put_varint(file, index.offset);
  put_varint(file, index.size);
  while (file->size < start + FSM_FOOTER_SIZE - 8)
    put_byte(file, 0);
  put_u64(file, FSM_TABLE_MAGIC);
}

/* Metaindex block, index block and footer behind the data blocks. */
static inline fsm_handle finish_table(buffer *file, block_maker *index) {
  block_maker none;
  start_block(&none, 16);
  buffer body = end_block(&none);
  fsm_handle metaindex = put_block(file, &body, FSM_BLOCK_RAW);
  clear(&body);
  body = end_block(index);
  fsm_handle handle = put_block(file, &body, FSM_BLOCK_RAW);
  clear(&body);
  put_footer(file, metaindex, handle);
  return handle;
}

/* ---- Snappy ---- */

static inline void put_literal(buffer *out, const uint8_t *p, size_t n) {
  if (n == 0)
    return;
  if (n <= 60) {
    put_byte(out, (unsigned)(n - 1) << 2);
  } else {
    unsigned n_bytes = n <= 0x100 ? 1 : n <= 0x10000 ? 2 : n <= 0x1000000 ? 3 : 4;
    put_byte(out, (59 + n_bytes) << 2);
    for (unsigned i = 0; i < n_bytes; i++)
      put_byte(out, (n - 1) >> (8 * i) & 0xff);
  }
  put(out, p, n);
}

/* One copy of 1 to 64 bytes (4 to 11 for kind 1); kind as in the format. */
static inline void put_copy(buffer *out, unsigned kind, size_t offset, size_t n) {
  if (kind == 1) {
    put_byte(out, (unsigned)(offset >> 8) << 5 | (unsigned)(n - 4) << 2 | 1);
    put_byte(out, offset & 0xff);
    return;
  }
  put_byte(out, (unsigned)(n - 1) << 2 | kind);
  for (unsigned i = 0; i < (kind == 2 ? 2 : 4); i++)
    put_byte(out, offset >> (8 * i) & 0xff);
}

static inline size_t match_length(const uint8_t *a, const uint8_t *b, const uint8_t *end) {
  size_t n = 0;
  while (n < 64 && b + n < end && a[n] == b[n])
    n++;
  return n;
}

/* Greedy, matching at the last place with the same four bytes. */
static inline buffer snappy_encode(const uint8_t *in, size_t n) {
  buffer out = {0};
  size_t *last = calloc(4096, sizeof *last); /* position + 1 */
  size_t at = 0, literal = 0;
  if (!last)
    abort();
  put_varint(&out, n);
  while (n - at >= 4) {
    size_t slot = (fsm_load32(in + at) * 2654435761u) >> 20, from = last[slot];
    size_t length = from ? match_length(in + from - 1, in + at, in + n) : 0;
    last[slot] = at + 1;
    if (length < 4) {
      at++;
      continue;
    }
    size_t offset = at - (from - 1);
    put_literal(&out, in + literal, at - literal);
    put_copy(&out, offset < 2048 && length <= 11 ? 1 : offset < 65536 ? 2 : 3, offset, length);
    literal = at += length;
  }
  put_literal(&out, in + literal, n - literal);
  free(last);
  return out;
}

#endif
