#include "fsm_index.h"

#include <stdlib.h>
#include <string.h>

/* ---- memory: every array grows within one budget ---- */

/* The capacity to grow to for `wanted` items, or 0 when the budget forbids. */
static size_t next_capacity(const fsm_index *index, size_t capacity, size_t wanted,
                            size_t item) {
  uint64_t room = capacity + (index->budget - index->memory) / item;
  size_t most = room > SIZE_MAX / item ? SIZE_MAX / item : (size_t)room;
  if (wanted > most)
    return 0;
  if (capacity > most / 2)
    return most;
  return wanted < 2 * capacity ? 2 * capacity : wanted;
}

/* `array` points to a pointer to any type. */
static fsm_status resize(void *array, size_t n_bytes) {
  void *bytes;
  memcpy(&bytes, array, sizeof bytes);
  bytes = realloc(bytes, n_bytes);
  if (!bytes)
    return FSM_E_NOMEM;
  memcpy(array, &bytes, sizeof bytes);
  return FSM_OK;
}

static fsm_status grow(fsm_index *index, void *array, size_t *capacity, size_t wanted,
                       size_t item) {
  if (wanted <= *capacity)
    return FSM_OK;
  size_t n = next_capacity(index, *capacity, wanted, item);
  fsm_status s = n ? resize(array, n * item) : FSM_E_LIMIT;
  if (s)
    return s;
  index->memory += (uint64_t)(n - *capacity) * item;
  *capacity = n;
  return FSM_OK;
}

#define COLUMN(name) {offsetof(fsm_index, name), sizeof *((fsm_index *)0)->name}
static const struct {
  size_t member, item;
} COLUMNS[] = {
    COLUMN(key_at), COLUMN(dims_at), COLUMN(dtype),    COLUMN(shard),
    COLUMN(offset), COLUMN(size),    COLUMN(crc32c),   COLUMN(n_slices),
    COLUMN(flags),  COLUMN(block),   COLUMN(value_at), COLUMN(value_size),
    COLUMN(stored_at),
};
#undef COLUMN
#define N_COLUMNS (sizeof COLUMNS / sizeof *COLUMNS)

/* Room for `wanted` rows, and for the end of the last key and dimension. */
static fsm_status grow_columns(fsm_index *index, size_t wanted) {
  size_t row = 0;
  if (wanted < index->entry_capacity)
    return FSM_OK;
  for (size_t i = 0; i < N_COLUMNS; i++)
    row += COLUMNS[i].item;
  size_t n = next_capacity(index, index->entry_capacity, wanted + 1, row);
  if (n == 0)
    return FSM_E_LIMIT;
  for (size_t i = 0; i < N_COLUMNS; i++) {
    fsm_status s = resize((char *)index + COLUMNS[i].member, n * COLUMNS[i].item);
    if (s)
      return s;
  }
  index->memory += (uint64_t)(n - index->entry_capacity) * row;
  index->entry_capacity = n;
  return FSM_OK;
}

/* ---- the walk ---- */

typedef struct {
  fsm_index *index;
  const fsm_src *src;
  bool lenient;
  fsm_error *e;
  fsm_block index_block, data;
  fsm_entries separators, entries;
  fsm_bundle_entry entry;
  uint64_t data_end; /* of the last sound data block */
  uint64_t unread;   /* bytes of the file not yet taken by a data block */
} walk;

/* Neither the file's fault nor to be skipped over. */
static bool must_stop(fsm_status s) {
  return s == FSM_E_NOMEM || s == FSM_E_IO || s == FSM_E_CHANGED;
}

static fsm_status keep_problem(fsm_index *index, const fsm_problem *p, const uint8_t *key) {
  if (index->n_problems_seen++ >= FSM_INDEX_MAX_PROBLEMS)
    return FSM_OK;
  fsm_status s = grow(index, &index->problem_keys, &index->problem_keys_capacity,
                      index->problem_keys_size + p->key_size, 1);
  if (!s)
    s = grow(index, &index->problems, &index->problems_capacity, index->n_problems + 1,
             sizeof *index->problems);
  if (s)
    return s;
  if (p->key_size)
    memcpy(index->problem_keys + index->problem_keys_size, key, p->key_size);
  index->problems[index->n_problems++] = *p;
  index->problem_keys_size += p->key_size;
  return FSM_OK;
}

static uint64_t block_offset(const walk *w, fsm_place place) {
  const fsm_index *index = w->index;
  switch (place) {
  case FSM_PLACE_FOOTER:
  case FSM_PLACE_PADDING:
    return w->src->size < FSM_FOOTER_SIZE ? 0 : w->src->size - FSM_FOOTER_SIZE;
  case FSM_PLACE_METAINDEX:
    return index->footer.metaindex.offset;
  case FSM_PLACE_INDEX:
    return index->footer.index.offset;
  default:
    return index->blocks[index->n_blocks - 1].handle.offset;
  }
}

/* The iterator whose key a problem there is about. */
static const fsm_entries *keys_of(const walk *w, fsm_place place) {
  if (place == FSM_PLACE_BLOCK)
    return &w->separators;
  return place == FSM_PLACE_HEADER || place == FSM_PLACE_ENTRY ? &w->entries : NULL;
}

/* Write a problem down. FSM_OK: go on. */
static fsm_status problem(walk *w, fsm_place place, const fsm_error *found) {
  fsm_index *index = w->index;
  if (must_stop(found->status))
    return fsm_fail(w->e, found->status, found->offset, found->need, found->have);
  const fsm_entries *at = keys_of(w, place);
  size_t key_size = !at ? 0 : at->key_size < FSM_PROBLEM_MAX_KEY ? at->key_size
                                                                 : FSM_PROBLEM_MAX_KEY;
  fsm_problem p = {
      .status = found->status,
      .place = place,
      .harmless = place == FSM_PLACE_PADDING || place == FSM_PLACE_METAINDEX,
      .block = place >= FSM_PLACE_BLOCK ? (uint32_t)(index->n_blocks - 1) : FSM_NO_BLOCK,
      .block_offset = block_offset(w, place),
      .offset = found->offset,
      .need = found->need,
      .have = found->have,
      .n_entries = index->n_entries,
      .key_at = index->problem_keys_size,
      .key_size = key_size,
  };
  fsm_status s = keep_problem(index, &p, at ? at->key : NULL);
  if (s)
    return fsm_fail(w->e, s, found->offset, index->budget, index->memory);
  if (w->lenient || p.harmless)
    return FSM_OK;
  return fsm_fail(w->e, found->status, found->offset, found->need, found->have);
}

static fsm_status problem_at(walk *w, fsm_place place, fsm_status s, uint64_t offset,
                             uint64_t need, uint64_t have) {
  return problem(w, place, &(fsm_error){s, offset, need, have});
}

/* Keep the bytes of the entry that the iterator is at. */
static fsm_status keep_value(walk *w) {
  fsm_index *index = w->index;
  const fsm_entries *it = &w->entries;
  fsm_status s = grow(index, &index->values, &index->values_capacity,
                      index->values_size + it->value_size + 1, 1);
  if (s)
    return s;
  memcpy(index->values + index->values_size, it->value, it->value_size);
  index->values_size += it->value_size;
  return FSM_OK;
}

static fsm_status add_row(walk *w) {
  fsm_index *index = w->index;
  const fsm_bundle_entry *t = &w->entry;
  const fsm_entries *it = &w->entries;
  size_t i = index->n_entries;
  size_t keys_size = (size_t)index->key_at[i];
  fsm_status s = grow(index, &index->keys, &index->keys_capacity, keys_size + it->key_size + 1,
                      1);
  if (!s)
    s = grow(index, &index->dims, &index->dims_capacity, index->n_dims + t->n_dims,
             sizeof *index->dims);
  if (!s)
    s = grow_columns(index, i + 1);
  if (!s)
    s = keep_value(w);
  if (s)
    return s;
  if (t->n_dims)
    memcpy(index->dims + index->n_dims, t->dims, t->n_dims * sizeof *t->dims);
  index->n_dims += t->n_dims;
  memcpy(index->keys + keys_size, it->key, it->key_size);
  index->key_at[i + 1] = keys_size + it->key_size;
  index->dims_at[i + 1] = index->n_dims;
  index->dtype[i] = t->dtype;
  index->shard[i] = t->shard;
  index->offset[i] = t->offset;
  index->size[i] = t->size;
  index->crc32c[i] = t->crc32c;
  index->n_slices[i] = t->n_slices;
  index->flags[i] = t->flags;
  index->block[i] = (uint32_t)(index->n_blocks - 1);
  index->value_at[i] = (uint32_t)it->value_at;
  index->value_size[i] = (uint32_t)it->value_size;
  index->stored_at[i] = index->values_size - it->value_size;
  if (t->size > 0)
    index->total_bytes = fsm_add_saturating(index->total_bytes, (uint64_t)t->size);
  index->blocks[index->n_blocks - 1].n_entries++;
  index->n_entries++;
  return FSM_OK;
}

/* The entry that the iterator is at, as a row or as the header. */
static fsm_status read_entry(walk *w) {
  fsm_index *index = w->index;
  const fsm_entries *it = &w->entries;
  fsm_status s = FSM_OK;
  if (!it->ascends)
    s = problem_at(w, FSM_PLACE_ENTRY, FSM_E_ORDER, fsm_block_offset(&w->data, it->value_at),
                   0, 0);
  if (s)
    return s;
  bool is_header = it->key_size == 0 && !index->header.present;
  const uint8_t *p = it->value, *end = it->value + it->value_size;
  if (is_header) {
    index->header.present = true;
    index->header_at = index->values_size;
    index->header_size = it->value_size;
    s = keep_value(w);
    if (!s)
      s = fsm_bundle_header_parse(&index->header, &p, end);
  } else {
    s = fsm_bundle_entry_parse(&w->entry, &p, end);
    if (!s)
      s = add_row(w);
  }
  if (!s)
    return FSM_OK;
  uint64_t offset = fsm_block_offset(&w->data, (size_t)(p - w->data.body));
  if (s == FSM_E_LIMIT || s == FSM_E_NOMEM)
    return fsm_fail(w->e, s, offset, index->budget, index->memory);
  return problem_at(w, is_header ? FSM_PLACE_HEADER : FSM_PLACE_ENTRY, s, offset, 0,
                    (uint64_t)(end - p));
}

static fsm_status restarts_problem(walk *w, fsm_place place, const fsm_block *block) {
  return problem_at(w, place, FSM_E_RESTARTS, fsm_block_offset(block, block->entries_end),
                    block->size, block->n_restarts);
}

static fsm_status read_entries(walk *w) {
  fsm_entries *it = &w->entries;
  bool more = true, any = false;
  fsm_entries_begin(it, &w->data);
  for (;;) {
    fsm_error found;
    fsm_status s = fsm_entries_next(it, &more, &found);
    if (s)
      return problem(w, FSM_PLACE_BLOCK, &found);
    if (!more)
      break;
    any = true;
    if ((s = read_entry(w)))
      return s;
  }
  fsm_status s = it->restarts_ok ? FSM_OK : restarts_problem(w, FSM_PLACE_BLOCK, &w->data);
  /* A lookup goes to the first block whose separator is not below the key. */
  if (!s && any && fsm_key_compare(it->key, it->key_size, w->separators.key,
                                   w->separators.key_size) > 0)
    s = problem_at(w, FSM_PLACE_ENTRY, FSM_E_ORDER, fsm_block_offset(&w->data, it->value_at),
                   0, 0);
  return s;
}

static fsm_status add_block(walk *w, fsm_handle handle) {
  fsm_index *index = w->index;
  fsm_status s = index->n_blocks < FSM_NO_BLOCK
                     ? grow(index, &index->blocks, &index->blocks_capacity,
                            index->n_blocks + 1, sizeof *index->blocks)
                     : FSM_E_LIMIT;
  if (s)
    return fsm_fail(w->e, s, w->index->footer.index.offset, index->budget, index->memory);
  index->blocks[index->n_blocks++] = (fsm_index_block){.handle = handle};
  return FSM_OK;
}

/* Data blocks lie in order and apart. Damaged ones may say what they like, but
 * all together cannot be longer than the file: reading them stays linear. */
static bool overlaps(walk *w, fsm_handle handle) {
  if (handle.offset < w->data_end)
    return true;
  if (handle.size > w->src->size)
    return false; /* outside the file, which loading it will say */
  if (handle.size > w->unread)
    return true;
  w->unread -= handle.size;
  return false;
}

/* The data block that the index block's iterator is at. */
static fsm_status read_block(walk *w) {
  fsm_handle handle = {0};
  bool parsed = fsm_handle_parse(w->separators.value, w->separators.value_size, &handle);
  fsm_status s = add_block(w, handle);
  if (s)
    return s;
  if (!parsed)
    return problem_at(w, FSM_PLACE_BLOCK, FSM_E_HANDLE,
                      fsm_block_offset(&w->index_block, w->separators.value_at), 0, 0);
  if (overlaps(w, handle))
    return problem_at(w, FSM_PLACE_BLOCK, FSM_E_ORDER, handle.offset, w->data_end,
                      handle.offset);
  fsm_error found;
  if (fsm_block_load(&w->data, w->src, handle, &found))
    return problem(w, FSM_PLACE_BLOCK, &found);
  w->data_end = handle.offset + handle.size + FSM_BLOCK_TRAILER;
  w->index->blocks[w->index->n_blocks - 1].type = w->data.type;
  if (fsm_block_open(&w->data, &found))
    return problem(w, FSM_PLACE_BLOCK, &found);
  return read_entries(w);
}

static fsm_status read_blocks(walk *w) {
  fsm_entries *it = &w->separators;
  fsm_entries_begin(it, &w->index_block);
  for (;;) {
    fsm_error found;
    bool more;
    fsm_status s = fsm_entries_next(it, &more, &found);
    if (s)
      return problem(w, FSM_PLACE_INDEX, &found);
    if (!more)
      break;
    if (!it->ascends)
      s = problem_at(w, FSM_PLACE_INDEX, FSM_E_ORDER,
                     fsm_block_offset(&w->index_block, it->value_at), 0, 0);
    if (!s)
      s = read_block(w);
    /* Whatever the block held, the next one begins above its separator. */
    if (!s)
      s = fsm_entries_hold(&w->entries, it->key, it->key_size, w->e);
    if (s)
      return s;
  }
  return it->restarts_ok ? FSM_OK : restarts_problem(w, FSM_PLACE_INDEX, &w->index_block);
}

static fsm_status check_metaindex(walk *w) {
  fsm_entries entries = {0};
  fsm_error found = {0};
  bool more = true;
  fsm_status s = fsm_block_load(&w->data, w->src, w->index->footer.metaindex, &found);
  if (!s)
    s = fsm_block_open(&w->data, &found);
  if (!s)
    fsm_entries_begin(&entries, &w->data);
  while (!s && more)
    s = fsm_entries_next(&entries, &more, &found);
  bool restarts_ok = s || entries.restarts_ok;
  fsm_entries_free(&entries);
  if (s)
    return problem(w, FSM_PLACE_METAINDEX, &found);
  return restarts_ok ? FSM_OK : restarts_problem(w, FSM_PLACE_METAINDEX, &w->data);
}

static fsm_status load_index_block(walk *w) {
  fsm_error found;
  fsm_status s = fsm_block_load(&w->index_block, w->src, w->index->footer.index, &found);
  /* Where its checksum fails, each data block still has one of its own. */
  if (s == FSM_E_CRC && w->lenient) {
    s = problem(w, FSM_PLACE_INDEX, &found);
    if (s)
      return s;
  }
  if (!s)
    s = fsm_block_open(&w->index_block, &found);
  return s ? problem(w, FSM_PLACE_INDEX, &found) : read_blocks(w);
}

static fsm_status read_table(walk *w) {
  fsm_error found;
  if (fsm_footer_read(w->src, &w->index->footer, &found)) {
    fsm_status s = problem(w, FSM_PLACE_FOOTER, &found);
    return s ? s : fsm_fail(w->e, found.status, found.offset, found.need, found.have);
  }
  fsm_status s = FSM_OK;
  if (!w->index->footer.padded)
    s = problem_at(w, FSM_PLACE_PADDING, FSM_E_INVALID, block_offset(w, FSM_PLACE_PADDING), 0,
                   0);
  if (!s)
    s = check_metaindex(w);
  return s ? s : load_index_block(w);
}

fsm_status fsm_index_read(fsm_index *index, const fsm_src *src, bool lenient, fsm_error *e) {
  *index = (fsm_index){.budget = FSM_INDEX_MIN_BUDGET};
  index->budget += src->size > (UINT64_MAX - index->budget) / FSM_INDEX_MAX_GROWTH
                       ? UINT64_MAX - index->budget
                       : src->size * FSM_INDEX_MAX_GROWTH;
  walk w = {.index = index, .src = src, .lenient = lenient, .e = e, .unread = src->size};
  fsm_status s = grow_columns(index, 0);
  if (s)
    return fsm_fail(e, s, 0, index->budget, 0);
  index->key_at[0] = index->dims_at[0] = 0;
  s = read_table(&w);
  fsm_block_free(&w.index_block);
  fsm_block_free(&w.data);
  fsm_entries_free(&w.separators);
  fsm_entries_free(&w.entries);
  fsm_bundle_entry_free(&w.entry);
  return s;
}

void fsm_index_free(fsm_index *index) {
  for (size_t i = 0; i < N_COLUMNS; i++) {
    void *column;
    memcpy(&column, (char *)index + COLUMNS[i].member, sizeof column);
    free(column);
  }
  free(index->keys);
  free(index->values);
  free(index->dims);
  free(index->blocks);
  free(index->problems);
  free(index->problem_keys);
  *index = (fsm_index){0};
}
