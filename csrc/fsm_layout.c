#include "fsm_layout.h"

#include <string.h>

#include "fsm_bundle_write.h"

/* An extent to lay out: the bytes of a row, or fresh ones. */
typedef struct {
  size_t shard; /* ordinal */
  uint64_t offset, size;
  uint64_t which; /* row, or n_entries + which of the fresh */
  bool is_new;    /* not bytes of the shard */
} extent;

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static int by_place(const void *left, const void *right) {
  const extent *a = left, *b = right;
  int order = COMPARE(a->shard, b->shard);
  order = order ? order : COMPARE(a->offset, b->offset);
  /* New bytes after what lies there and is kept; empty extents before others. */
  order = order ? order : COMPARE(a->is_new, b->is_new);
  order = order ? order : COMPARE(a->size, b->size);
  return order ? order : COMPARE(a->which, b->which);
}

static fsm_layout_shard *find_shard(fsm_layout_shard *shards, size_t n, int32_t id) {
  size_t low = 0;
  while (low < n) {
    size_t mid = low + (n - low) / 2;
    if (shards[mid].id == id)
      return &shards[mid];
    if (shards[mid].id < id)
      low = mid + 1;
    else
      n = mid;
  }
  return NULL;
}

typedef struct {
  const fsm_index *index;
  const uint8_t *keep;
  const uint64_t *same_as;
  const fsm_layout_fresh *fresh;
  size_t n_fresh;
  fsm_layout_shard *shards;
  size_t n_shards;
  extent *extents;
  size_t n_extents;
  fsm_error *e;
} work;

/* An entry that lists slices has no bytes of its own. */
static bool has_place(const fsm_index *index, size_t row) { return index->n_slices[row] == 0; }

static fsm_status outside(const work *w, size_t row, uint64_t end, uint64_t size) {
  return fsm_fail(w->e, FSM_E_INVALID, row, end, size);
}

static fsm_status add_row(work *w, size_t row) {
  const fsm_index *index = w->index;
  size_t from = w->same_as ? (size_t)w->same_as[row] : row;
  fsm_layout_shard *own = find_shard(w->shards, w->n_shards, index->shard[row]);
  if (own && (!w->keep[row] || index->shard[from] != index->shard[row] ||
              index->offset[from] != index->offset[row]))
    own->touched = true;
  if (!w->keep[row])
    return FSM_OK;
  fsm_layout_shard *shard = find_shard(w->shards, w->n_shards, index->shard[from]);
  int64_t offset = index->offset[from], size = index->size[from];
  if (!shard || offset < 0 || size < 0)
    return outside(w, from, 0, shard ? shard->size : 0);
  if ((uint64_t)offset > shard->size || (uint64_t)size > shard->size - (uint64_t)offset)
    return outside(w, from, (uint64_t)offset + (uint64_t)size, shard->size);
  w->extents[w->n_extents++] = (extent){.shard = (size_t)(shard - w->shards),
                                        .offset = (uint64_t)offset,
                                        .size = (uint64_t)size,
                                        .which = row};
  return FSM_OK;
}

static fsm_status add_fresh(work *w, size_t i) {
  const fsm_layout_fresh *f = &w->fresh[i];
  fsm_layout_shard *shard = find_shard(w->shards, w->n_shards, f->shard);
  size_t row = w->index->n_entries + i;
  if (!shard || f->offset < 0)
    return outside(w, row, 0, shard ? shard->size : 0);
  if (f->old && ((uint64_t)f->offset > shard->size ||
                 f->size > shard->size - (uint64_t)f->offset))
    return outside(w, row, (uint64_t)f->offset + f->size, shard->size);
  shard->touched |= !f->old;
  w->extents[w->n_extents++] = (extent){.shard = (size_t)(shard - w->shards),
                                        .offset = (uint64_t)f->offset,
                                        .size = f->size,
                                        .which = row,
                                        .is_new = !f->old};
  return FSM_OK;
}

static fsm_status collect(work *w) {
  fsm_status s = FSM_OK;
  for (size_t row = 0; !s && row < w->index->n_entries; row++)
    if (has_place(w->index, row))
      s = add_row(w, row);
  for (size_t i = 0; !s && i < w->n_fresh; i++)
    s = add_fresh(w, i);
  if (!s && w->n_extents)
    qsort(w->extents, w->n_extents, sizeof *w->extents, by_place);
  return s;
}

/* Number the shards that are left. While all of them are, they keep their numbers. */
static void number_shards(work *w, fsm_layout *layout, bool merge) {
  bool all = true;
  size_t at = 0;
  int32_t n = 0;
  for (size_t i = 0; i < w->n_shards; i++) {
    while (at < w->n_extents && w->extents[at].shard < i)
      at++;
    bool used = at < w->n_extents && w->extents[at].shard == i;
    all &= used;
    w->shards[i].to = !used ? FSM_NO_SHARD : merge ? 0 : n++;
  }
  layout->n_shards = merge || n == 0 ? 1 : n;
  if (!all || merge)
    return;
  for (size_t i = 0; i < w->n_shards; i++)
    w->shards[i].to = w->shards[i].id;
  layout->n_shards = w->index->header.num_shards;
}

static fsm_status add_run(fsm_layout *layout, fsm_layout_run run) {
  fsm_status s = fsm_array_reserve(&layout->runs, sizeof run, 1);
  if (!s)
    ((fsm_layout_run *)layout->runs.items)[layout->runs.n++] = run;
  return s;
}

/* Give the extents of one shard their places, from byte `*size` of the new shard on. */
static fsm_status place_shard(work *w, fsm_layout *layout, const extent *x, size_t n,
                              uint64_t *size) {
  const fsm_layout_shard *shard = &w->shards[x->shard];
  int32_t from = (int32_t)x->shard;
  fsm_status s = FSM_OK;
  fsm_layout_run run = {shard->to, from, 0, shard->touched ? 0 : shard->size};
  uint64_t start = *size; /* of the run, in the new shard */
  bool running = !shard->touched;
  for (size_t i = 0; !s && i < n; i++) {
    bool joins = running && !x[i].is_new && x[i].offset <= run.origin + run.size;
    if (!joins) {
      if (running && run.size) {
        s = add_run(layout, run);
        start += run.size;
      }
      running = !x[i].is_new;
      run = (fsm_layout_run){shard->to, from, x[i].offset, 0};
    }
    layout->places[x[i].which] = (fsm_layout_place){
        shard->to, (int64_t)(start + (x[i].is_new ? 0 : x[i].offset - run.origin))};
    if (x[i].is_new) {
      if (!s && x[i].size)
        s = add_run(layout, (fsm_layout_run){shard->to, FSM_NO_SHARD,
                                             x[i].which - w->index->n_entries, x[i].size});
      start += x[i].size;
    } else if (x[i].offset + x[i].size > run.origin + run.size) {
      run.size = x[i].offset + x[i].size - run.origin;
    }
  }
  if (!s && running && run.size) {
    s = add_run(layout, run);
    start += run.size;
  }
  *size = start;
  return s;
}

static fsm_status place_all(work *w, fsm_layout *layout) {
  uint64_t size = 0;
  fsm_status s = FSM_OK;
  for (size_t i = 0, j; !s && i < w->n_extents; i = j) {
    for (j = i + 1; j < w->n_extents && w->extents[j].shard == w->extents[i].shard;)
      j++;
    if (i && w->shards[w->extents[i].shard].to != w->shards[w->extents[i - 1].shard].to)
      size = 0;
    s = place_shard(w, layout, w->extents + i, j - i, &size);
    if (!s && size > INT64_MAX)
      s = FSM_E_LIMIT;
  }
  return s;
}

fsm_status fsm_layout_make(fsm_layout *layout, const fsm_index *index, const uint8_t *keep,
                           const uint64_t *same_as, const fsm_layout_fresh *fresh,
                           size_t n_fresh, fsm_layout_shard *shards, size_t n_shards,
                           bool merge, fsm_error *e) {
  size_t most = index->n_entries + n_fresh;
  work w = {index, keep, same_as, fresh, n_fresh, shards, n_shards, NULL, 0, e};
  w.extents = calloc(most + 1, sizeof *w.extents);
  layout->places = calloc(most + 1, sizeof *layout->places);
  fsm_status s = w.extents && layout->places ? collect(&w) : fsm_fail(e, FSM_E_NOMEM, 0, 0, 0);
  if (!s) {
    for (size_t i = 0; merge && n_shards > 1 && i < n_shards; i++)
      shards[i].touched = true;
    number_shards(&w, layout, merge);
    s = place_all(&w, layout);
    if (s)
      fsm_fail(e, s, 0, 0, 0);
  }
  free(w.extents);
  return s;
}

/* ---- the index ---- */

typedef struct {
  fsm_table_writer *w;
  fsm_array patched;
} output;

/* Write one entry, with another place if it has one. */
static fsm_status write_entry(output *out, const uint8_t *key, size_t n_key,
                              const uint8_t *value, size_t n_value,
                              const fsm_layout_place *place) {
  if (place) {
    fsm_entry_patch patch = {.what = FSM_SET_PLACE, .shard = place->shard,
                             .offset = place->offset};
    out->patched.n = 0;
    fsm_status s = fsm_array_reserve(&out->patched, 1, FSM_PATCHED_MAX(n_value));
    if (!s)
      s = fsm_entry_patched(value, n_value, &patch, out->patched.items, &out->patched.n);
    if (s)
      return s;
    value = out->patched.items;
    n_value = out->patched.n;
  }
  return fsm_table_write(out->w, key, n_key, value, n_value);
}

static fsm_status write_row(output *out, const fsm_layout *layout, const fsm_index *index,
                            size_t row) {
  const fsm_layout_place *place = &layout->places[row];
  bool moved = has_place(index, row) && (place->shard != index->shard[row] ||
                                         place->offset != index->offset[row]);
  return write_entry(out, index->keys + index->key_at[row],
                     (size_t)(index->key_at[row + 1] - index->key_at[row]),
                     index->values + index->stored_at[row], index->value_size[row],
                     moved ? place : NULL);
}

static fsm_status write_header(output *out, const fsm_layout *layout, const fsm_index *index) {
  const uint8_t no_key[1] = {0}, *header = index->values + index->header_at;
  fsm_status s = FSM_OK;
  if (layout->n_shards == index->header.num_shards)
    return fsm_table_write(out->w, no_key, 0, header, index->header_size);
  s = fsm_array_reserve(&out->patched, 1, FSM_PATCHED_MAX(index->header_size));
  if (!s)
    s = fsm_header_patched(header, index->header_size, layout->n_shards, out->patched.items,
                           &out->patched.n);
  return s ? s : fsm_table_write(out->w, no_key, 0, out->patched.items, out->patched.n);
}

static bool is_before(const fsm_layout_entry *added, const fsm_index *index, size_t row) {
  return fsm_key_compare(added->key, added->n_key, index->keys + index->key_at[row],
                         (size_t)(index->key_at[row + 1] - index->key_at[row])) < 0;
}

fsm_status fsm_layout_write(fsm_table_writer *w, const fsm_layout *layout, const fsm_index *index,
                            const uint8_t *keep, const fsm_layout_entry *added, size_t n_added,
                            fsm_error *e) {
  output out = {.w = w};
  size_t row = 0, next = 0;
  fsm_status s = write_header(&out, layout, index);
  while (!s && (row < index->n_entries || next < n_added)) {
    if (row < index->n_entries && !keep[row]) {
      row++;
    } else if (next < n_added &&
               (row == index->n_entries || is_before(&added[next], index, row))) {
      const fsm_layout_entry *a = &added[next++];
      s = write_entry(&out, a->key, a->n_key, a->value, a->n_value,
                      a->fresh == FSM_NO_ROW ? NULL
                                             : &layout->places[index->n_entries + a->fresh]);
    } else {
      s = write_row(&out, layout, index, row++);
    }
  }
  if (s)
    fsm_fail(e, s, row ? row - 1 : 0, 0, 0);
  else if ((s = fsm_table_write_end(w)))
    fsm_fail(e, s, index->n_entries, 0, 0);
  free(out.patched.items);
  return s;
}

void fsm_layout_free(fsm_layout *layout) {
  free(layout->places);
  free(layout->runs.items);
  *layout = (fsm_layout){0};
}
