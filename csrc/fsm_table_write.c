#include "fsm_table_write.h"

#include <string.h>

#include "fsm_crc32c.h"
#include "fsm_encode.h"

/* Three 32-bit varints: the lengths of an entry. */
#define MAX_LENGTHS 15

static fsm_status append(fsm_array *to, const void *bytes, size_t n) {
  fsm_status s = fsm_array_reserve(to, 1, n);
  if (s)
    return s;
  if (n)
    memcpy((uint8_t *)to->items + to->n, bytes, n);
  to->n += n;
  return FSM_OK;
}

static fsm_status append32(fsm_array *to, uint32_t value) {
  uint8_t bytes[4];
  fsm_put32(bytes, value);
  return append(to, bytes, sizeof bytes);
}

static fsm_status set(fsm_array *to, const uint8_t *bytes, size_t n) {
  to->n = 0;
  return append(to, bytes, n);
}

/* ---- one block ---- */

static size_t common_prefix(const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b) {
  size_t n = n_a < n_b ? n_a : n_b, i = 0;
  while (i < n && a[i] == b[i])
    i++;
  return i;
}

static fsm_status add_entry(fsm_block_writer *b, const uint8_t *key, size_t n_key,
                            const uint8_t *value, size_t n_value) {
  uint8_t lengths[MAX_LENGTHS], *end;
  size_t shared = 0;
  fsm_status s = FSM_OK;
  if (n_key > UINT32_MAX || n_value > UINT32_MAX || b->body.n > UINT32_MAX)
    return FSM_E_LIMIT;
  if (b->restarts.n == 0 || b->n_since_restart == b->interval) {
    s = append32(&b->restarts, (uint32_t)b->body.n);
    b->n_since_restart = 0;
  } else {
    shared = common_prefix(b->key.items, b->key.n, key, n_key);
  }
  b->n_since_restart++;
  end = fsm_put_varint(lengths, shared);
  end = fsm_put_varint(end, n_key - shared);
  end = fsm_put_varint(end, n_value);
  if (!s)
    s = append(&b->body, lengths, (size_t)(end - lengths));
  if (!s)
    s = append(&b->body, key + shared, n_key - shared);
  if (!s)
    s = append(&b->body, value, n_value);
  return s ? s : set(&b->key, key, n_key);
}

/* The size that the block has with its restart array; an empty one has one restart. */
static size_t block_size(const fsm_block_writer *b) {
  return b->body.n + (b->restarts.n ? b->restarts.n : 4) + 4;
}

/* Write the block out and empty it. */
static fsm_status write_block(fsm_table_writer *w, fsm_block_writer *b, fsm_handle *handle) {
  fsm_status s = b->restarts.n ? FSM_OK : append32(&b->restarts, 0);
  *handle = (fsm_handle){w->out.n, block_size(b)};
  if (!s)
    s = append(&w->out, b->body.items, b->body.n);
  if (!s)
    s = append(&w->out, b->restarts.items, b->restarts.n);
  if (!s)
    s = append32(&w->out, (uint32_t)(b->restarts.n / 4));
  if (!s)
    s = append(&w->out, &(uint8_t){FSM_BLOCK_RAW}, 1);
  if (s)
    return s;
  const uint8_t *body = (const uint8_t *)w->out.items + handle->offset;
  b->body.n = b->restarts.n = b->key.n = 0;
  return append32(&w->out, fsm_crc32c_mask(fsm_crc32c(0, body, (size_t)handle->size + 1)));
}

/* ---- the table ---- */

static size_t put_handle(uint8_t *to, fsm_handle h) {
  return (size_t)(fsm_put_varint(fsm_put_varint(to, h.offset), h.size) - to);
}

static fsm_status list_block(fsm_table_writer *w) {
  uint8_t handle[2 * FSM_MAX_VARINT_BYTES];
  size_t n = put_handle(handle, w->unlisted);
  w->is_unlisted = false;
  w->index.interval = 1;
  return add_entry(&w->index, w->separator.items, w->separator.n, handle, n);
}

static fsm_status flush(fsm_table_writer *w) {
  if (w->data.body.n == 0)
    return FSM_OK;
  fsm_status s = set(&w->separator, w->data.key.items, w->data.key.n);
  w->is_unlisted = true;
  return s ? s : write_block(w, &w->data, &w->unlisted);
}

/* A short key that is not below the separator and is below `next`. */
static void shorten(fsm_array *separator, const uint8_t *next, size_t n_next) {
  uint8_t *key = separator->items;
  size_t n = common_prefix(key, separator->n, next, n_next);
  if (n < separator->n && n < n_next && key[n] < 0xff && key[n] + 1 < next[n]) {
    key[n]++;
    separator->n = n + 1;
  }
}

/* A short key that is not below the separator; nothing comes after it. */
static void shorten_last(fsm_array *separator) {
  uint8_t *key = separator->items;
  for (size_t i = 0; i < separator->n; i++)
    if (key[i] != 0xff) {
      key[i]++;
      separator->n = i + 1;
      return;
    }
}

static bool is_above_last(const fsm_table_writer *w, const uint8_t *key, size_t n_key) {
  const fsm_array *last = w->is_unlisted ? &w->separator : &w->data.key;
  return !w->begun || fsm_key_compare(key, n_key, last->items, last->n) > 0;
}

fsm_status fsm_table_write(fsm_table_writer *w, const uint8_t *key, size_t n_key,
                           const uint8_t *value, size_t n_value) {
  fsm_status s = FSM_OK;
  if (!is_above_last(w, key, n_key))
    return FSM_E_ORDER;
  w->begun = true;
  w->data.interval = FSM_WRITE_RESTART_INTERVAL;
  if (n_key >= 2 * FSM_WRITE_BLOCK_SIZE || n_value >= 2 * FSM_WRITE_BLOCK_SIZE - n_key)
    s = flush(w);
  if (!s && w->is_unlisted) {
    shorten(&w->separator, key, n_key);
    s = list_block(w);
  }
  if (!s)
    s = add_entry(&w->data, key, n_key, value, n_value);
  if (!s && block_size(&w->data) >= FSM_WRITE_BLOCK_SIZE)
    s = flush(w);
  return s;
}

static fsm_status write_footer(fsm_table_writer *w, fsm_handle metaindex, fsm_handle index) {
  uint8_t footer[FSM_FOOTER_SIZE] = {0};
  size_t n = put_handle(footer, metaindex);
  put_handle(footer + n, index);
  fsm_put64(footer + FSM_FOOTER_SIZE - 8, FSM_TABLE_MAGIC);
  return append(&w->out, footer, sizeof footer);
}

fsm_status fsm_table_write_end(fsm_table_writer *w) {
  fsm_handle metaindex, index;
  fsm_status s = flush(w);
  if (!s)
    s = write_block(w, &w->data, &metaindex); /* empty: there are no meta blocks */
  if (!s && w->is_unlisted) {
    shorten_last(&w->separator);
    s = list_block(w);
  }
  if (!s)
    s = write_block(w, &w->index, &index);
  return s ? s : write_footer(w, metaindex, index);
}

static void free_block(fsm_block_writer *b) {
  free(b->body.items);
  free(b->restarts.items);
  free(b->key.items);
}

void fsm_table_writer_free(fsm_table_writer *w) {
  free_block(&w->data);
  free_block(&w->index);
  free(w->separator.items);
  free(w->out.items);
  *w = (fsm_table_writer){0};
}
