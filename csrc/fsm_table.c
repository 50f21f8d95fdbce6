#include "fsm_table.h"

#include <stdlib.h>
#include <string.h>

#include "fsm_crc32c.h"
#include "fsm_encode.h"
#include "fsm_snappy.h"

/* ---- footer and handles ---- */

static bool read_handle(const uint8_t **p, const uint8_t *end, fsm_handle *handle) {
  return !fsm_read_varint(p, end, &handle->offset) && !fsm_read_varint(p, end, &handle->size);
}

bool fsm_handle_parse(const uint8_t *p, size_t n, fsm_handle *handle) {
  return read_handle(&p, p + n, handle);
}

static size_t handle_size(fsm_handle h) {
  return fsm_varint_size(h.offset) + fsm_varint_size(h.size);
}

static bool all_zero(const uint8_t *p, const uint8_t *end) {
  while (p < end)
    if (*p++)
      return false;
  return true;
}

fsm_status fsm_footer_read(const fsm_src *src, fsm_footer *footer, fsm_error *e) {
  uint8_t bytes[FSM_FOOTER_SIZE];
  if (src->size < FSM_FOOTER_SIZE)
    return fsm_fail(e, FSM_E_TRUNCATED, 0, FSM_FOOTER_SIZE, src->size);
  uint64_t at = src->size - FSM_FOOTER_SIZE;
  fsm_status s = fsm_src_read(src, at, bytes, sizeof bytes, e);
  if (s)
    return s;
  const uint8_t *p = bytes, *magic = bytes + sizeof bytes - 8;
  if (fsm_load64(magic) != FSM_TABLE_MAGIC)
    return fsm_fail(e, FSM_E_MAGIC, src->size - 8, FSM_TABLE_MAGIC, fsm_load64(magic));
  if (!read_handle(&p, magic, &footer->metaindex) || !read_handle(&p, magic, &footer->index))
    return fsm_fail(e, FSM_E_HANDLE, at + (uint64_t)(p - bytes), 0, 0);
  footer->padded = (size_t)(p - bytes) == handle_size(footer->metaindex) +
                                              handle_size(footer->index) &&
                   all_zero(p, magic);
  return FSM_OK;
}

/* ---- blocks ---- */

static bool reserve(uint8_t **bytes, size_t *capacity, size_t n) {
  if (n <= *capacity)
    return true;
  size_t wanted = n < 2 * *capacity ? 2 * *capacity : n;
  uint8_t *grown = realloc(*bytes, wanted);
  if (!grown)
    return false;
  *bytes = grown;
  *capacity = wanted;
  return true;
}

static fsm_status check_handle(const fsm_src *src, fsm_handle h, fsm_error *e) {
  uint64_t room = src->size < FSM_FOOTER_SIZE ? 0 : src->size - FSM_FOOTER_SIZE;
  uint64_t left = h.offset > room ? 0 : room - h.offset;
  if (left < FSM_BLOCK_TRAILER || h.size > left - FSM_BLOCK_TRAILER)
    return fsm_fail(e, FSM_E_HANDLE, h.offset, h.size, left);
  if (h.size > FSM_MAX_BLOCK)
    return fsm_fail(e, FSM_E_LIMIT, h.offset, h.size, FSM_MAX_BLOCK);
  return FSM_OK;
}

fsm_status fsm_block_load(fsm_block *block, const fsm_src *src, fsm_handle handle,
                          fsm_error *e) {
  fsm_status s = check_handle(src, handle, e);
  if (s)
    return s;
  size_t size = (size_t)handle.size;
  if (!reserve(&block->stored, &block->stored_capacity, size + FSM_BLOCK_TRAILER))
    return fsm_fail(e, FSM_E_NOMEM, handle.offset, size, 0);
  s = fsm_src_read(src, handle.offset, block->stored, size + FSM_BLOCK_TRAILER, e);
  if (s)
    return s;
  block->handle = handle;
  block->type = block->stored[size];
  uint32_t stored = fsm_crc32c_unmask(fsm_load32(block->stored + size + 1));
  uint32_t computed = fsm_crc32c(0, block->stored, size + 1);
  if (stored != computed)
    return fsm_fail(e, FSM_E_CRC, handle.offset, stored, computed);
  return FSM_OK;
}

uint64_t fsm_block_offset(const fsm_block *block, size_t at) {
  return block->handle.offset + (block->type == FSM_BLOCK_RAW ? at : 0);
}

static fsm_status decode(fsm_block *block, fsm_error *e) {
  size_t n = (size_t)block->handle.size;
  fsm_error in = {0};
  fsm_status s = fsm_snappy_length(block->stored, n, FSM_MAX_BLOCK, &block->size, &in);
  if (!s && !reserve(&block->decoded, &block->decoded_capacity, block->size + 1))
    s = fsm_fail(&in, FSM_E_NOMEM, 0, block->size, 0);
  if (!s)
    s = fsm_snappy_decode(block->stored, n, block->decoded, block->size, &in);
  if (s)
    return fsm_fail(e, s, block->handle.offset + in.offset, in.need, in.have);
  block->body = block->decoded;
  return FSM_OK;
}

/* The array is 1 to 2^32-1 offsets, the first 0. When its count cannot be right
 * nobody knows where the entries end; fsm_entries_next then stops at the array's
 * first offset, four zero bytes. */
static void find_restarts(fsm_block *block) {
  size_t room = block->size - 4;
  block->n_restarts = fsm_load32(block->body + room);
  block->restarts_ok = block->n_restarts > 0 && block->n_restarts <= room / 4;
  block->entries_end = block->restarts_ok ? room - 4 * (size_t)block->n_restarts : room;
}

fsm_status fsm_block_open(fsm_block *block, fsm_error *e) {
  block->body = block->stored;
  block->size = (size_t)block->handle.size;
  if (block->type == FSM_BLOCK_SNAPPY) {
    fsm_status s = decode(block, e);
    if (s)
      return s;
  } else if (block->type != FSM_BLOCK_RAW) {
    return fsm_fail(e, FSM_E_INVALID, block->handle.offset + block->handle.size,
                    FSM_BLOCK_SNAPPY, block->type);
  }
  if (block->size < 4)
    return fsm_fail(e, FSM_E_BLOCK, block->handle.offset, 4, block->size);
  find_restarts(block);
  return FSM_OK;
}

void fsm_block_free(fsm_block *block) {
  free(block->stored);
  free(block->decoded);
  *block = (fsm_block){0};
}

/* ---- entries ---- */

int fsm_key_compare(const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b) {
  size_t n = n_a < n_b ? n_a : n_b;
  int order = n ? memcmp(a, b, n) : 0;
  return order ? order : (n_a > n_b) - (n_a < n_b);
}

void fsm_entries_begin(fsm_entries *it, const fsm_block *block) {
  it->block = block;
  it->next = 0;
  it->n_restarts_seen = 0;
  it->restarts_ok = block->restarts_ok;
}

fsm_status fsm_entries_hold(fsm_entries *it, const uint8_t *key, size_t n, fsm_error *e) {
  if (!reserve(&it->key, &it->key_capacity, n + 1))
    return fsm_fail(e, FSM_E_NOMEM, 0, n, 0);
  memcpy(it->key, key, n);
  it->key_size = n;
  it->any = true;
  return FSM_OK;
}

static bool at_end(const fsm_entries *it) {
  const fsm_block *b = it->block;
  if (it->next >= b->entries_end)
    return true;
  return !b->restarts_ok && b->entries_end - it->next >= 4 && (it->next > 0 || b->size == 8) &&
         fsm_load32(b->body + it->next) == 0;
}

/* Restarts must name the start of entries that share nothing, in order, and
 * TensorFlow seeks by them; a reader who walks need not believe them. An empty
 * block has the one restart 0. */
static void check_restart(fsm_entries *it, bool last, uint64_t shared) {
  const fsm_block *b = it->block;
  if (!it->restarts_ok)
    return;
  if (last) {
    it->restarts_ok = it->n_restarts_seen == b->n_restarts ||
                      (it->next == 0 && b->n_restarts == 1 &&
                       fsm_load32(b->body + b->entries_end) == 0);
    return;
  }
  if (it->n_restarts_seen == b->n_restarts)
    return;
  uint32_t restart = fsm_load32(b->body + b->entries_end + 4 * (size_t)it->n_restarts_seen);
  if (restart == it->next && shared == 0)
    it->n_restarts_seen++;
  else if (restart <= it->next || it->next == 0)
    it->restarts_ok = false;
}

static bool read_varint32(const uint8_t **p, const uint8_t *end, uint64_t *value) {
  const uint8_t *start = *p;
  return !fsm_read_varint(p, end, value) && *p - start <= 5 && *value <= UINT32_MAX;
}

static fsm_status misfit(const fsm_entries *it, const uint8_t *p, uint64_t need,
                         uint64_t have, fsm_error *e) {
  size_t at = (size_t)(p - it->block->body);
  return fsm_fail(e, FSM_E_BLOCK, fsm_block_offset(it->block, at), need, have);
}

static fsm_status take_key(fsm_entries *it, const uint8_t *p, size_t shared, size_t fresh,
                           fsm_error *e) {
  if (!reserve(&it->key, &it->key_capacity, shared + fresh + 1))
    return fsm_fail(e, FSM_E_NOMEM, fsm_block_offset(it->block, it->next), fresh, 0);
  it->ascends = !it->any || fsm_key_compare(p, fresh, it->key + shared,
                                            it->key_size - shared) > 0;
  memcpy(it->key + shared, p, fresh);
  it->key_size = shared + fresh;
  it->any = true;
  return FSM_OK;
}

fsm_status fsm_entries_next(fsm_entries *it, bool *more, fsm_error *e) {
  *more = !at_end(it);
  if (!*more) {
    check_restart(it, true, 0);
    return FSM_OK;
  }
  const uint8_t *start = it->block->body + it->next, *p = start;
  const uint8_t *end = it->block->body + it->block->entries_end;
  uint64_t shared, fresh, value_size;
  if (!read_varint32(&p, end, &shared) || !read_varint32(&p, end, &fresh) ||
      !read_varint32(&p, end, &value_size))
    return misfit(it, p, 1, (uint64_t)(end - p), e);
  /* The first entry of a block shares nothing, whatever key is still held. */
  uint64_t held = it->next == 0 ? 0 : it->key_size;
  if (shared > held)
    return misfit(it, start, shared, held, e);
  if (fresh > (uint64_t)(end - p))
    return misfit(it, start, fresh, (uint64_t)(end - p), e);
  if (value_size > (uint64_t)(end - p) - fresh)
    return misfit(it, start, value_size, (uint64_t)(end - p) - fresh, e);
  check_restart(it, false, shared);
  fsm_status s = take_key(it, p, (size_t)shared, (size_t)fresh, e);
  if (s)
    return s;
  it->value = p + fresh;
  it->value_at = (size_t)(it->value - it->block->body);
  it->value_size = (size_t)value_size;
  it->next = it->value_at + it->value_size;
  return FSM_OK;
}

void fsm_entries_free(fsm_entries *it) {
  free(it->key);
  *it = (fsm_entries){0};
}
