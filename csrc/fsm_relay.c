#include "fsm_relay.h"

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

static fsm_relay_shard *find_shard(fsm_relay_shard *shards, size_t n, int32_t id) {
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
  const fsm_relay_fresh *fresh;
  size_t n_fresh;
  fsm_relay_shard *shards;
  size_t n_shards;
  extent *extents;
  size_t n_extents;
  fsm_error *e;
} layout;

/* An entry that lists slices has no bytes of its own. */
static bool has_place(const fsm_index *index, size_t row) { return index->n_slices[row] == 0; }

static fsm_status outside(const layout *l, size_t row, uint64_t end, uint64_t size) {
  return fsm_fail(l->e, FSM_E_INVALID, row, end, size);
}

static fsm_status add_row(layout *l, size_t row) {
  const fsm_index *index = l->index;
  size_t from = l->same_as ? (size_t)l->same_as[row] : row;
  fsm_relay_shard *own = find_shard(l->shards, l->n_shards, index->shard[row]);
  if (own && (!l->keep[row] || index->shard[from] != index->shard[row] ||
              index->offset[from] != index->offset[row]))
    own->touched = true;
  if (!l->keep[row])
    return FSM_OK;
  fsm_relay_shard *shard = find_shard(l->shards, l->n_shards, index->shard[from]);
  int64_t offset = index->offset[from], size = index->size[from];
  if (!shard || offset < 0 || size < 0)
    return outside(l, from, 0, shard ? shard->size : 0);
  if ((uint64_t)offset > shard->size || (uint64_t)size > shard->size - (uint64_t)offset)
    return outside(l, from, (uint64_t)offset + (uint64_t)size, shard->size);
  l->extents[l->n_extents++] = (extent){.shard = (size_t)(shard - l->shards),
                                        .offset = (uint64_t)offset,
                                        .size = (uint64_t)size,
                                        .which = row};
  return FSM_OK;
}

static fsm_status add_fresh(layout *l, size_t i) {
  const fsm_relay_fresh *f = &l->fresh[i];
  fsm_relay_shard *shard = find_shard(l->shards, l->n_shards, f->shard);
  size_t row = l->index->n_entries + i;
  if (!shard || f->offset < 0)
    return outside(l, row, 0, shard ? shard->size : 0);
  if (f->old && ((uint64_t)f->offset > shard->size ||
                 f->size > shard->size - (uint64_t)f->offset))
    return outside(l, row, (uint64_t)f->offset + f->size, shard->size);
  shard->touched |= !f->old;
  l->extents[l->n_extents++] = (extent){.shard = (size_t)(shard - l->shards),
                                        .offset = (uint64_t)f->offset,
                                        .size = f->size,
                                        .which = row,
                                        .is_new = !f->old};
  return FSM_OK;
}

static fsm_status collect(layout *l) {
  fsm_status s = FSM_OK;
  for (size_t row = 0; !s && row < l->index->n_entries; row++)
    if (has_place(l->index, row))
      s = add_row(l, row);
  for (size_t i = 0; !s && i < l->n_fresh; i++)
    s = add_fresh(l, i);
  if (!s && l->n_extents)
    qsort(l->extents, l->n_extents, sizeof *l->extents, by_place);
  return s;
}

/* Number the shards that are left. While all of them are, they keep their numbers. */
static void number_shards(layout *l, fsm_relay *relay, bool merge) {
  bool all = true;
  size_t at = 0;
  int32_t n = 0;
  for (size_t i = 0; i < l->n_shards; i++) {
    while (at < l->n_extents && l->extents[at].shard < i)
      at++;
    bool used = at < l->n_extents && l->extents[at].shard == i;
    all &= used;
    l->shards[i].to = !used ? FSM_NO_SHARD : merge ? 0 : n++;
  }
  relay->n_shards = merge || n == 0 ? 1 : n;
  if (!all || merge)
    return;
  for (size_t i = 0; i < l->n_shards; i++)
    l->shards[i].to = l->shards[i].id;
  relay->n_shards = l->index->header.num_shards;
}

static fsm_status add_run(fsm_relay *relay, fsm_relay_run run) {
  fsm_status s = fsm_array_reserve(&relay->runs, sizeof run, 1);
  if (!s)
    ((fsm_relay_run *)relay->runs.items)[relay->runs.n++] = run;
  return s;
}

/* Give the extents of one shard their places, from byte `*size` of the new shard on. */
static fsm_status place_shard(layout *l, fsm_relay *relay, const extent *x, size_t n,
                              uint64_t *size) {
  const fsm_relay_shard *shard = &l->shards[x->shard];
  int32_t from = (int32_t)x->shard;
  fsm_status s = FSM_OK;
  fsm_relay_run run = {shard->to, from, 0, shard->touched ? 0 : shard->size};
  uint64_t start = *size; /* of the run, in the new shard */
  bool running = !shard->touched;
  for (size_t i = 0; !s && i < n; i++) {
    bool joins = running && !x[i].is_new && x[i].offset <= run.origin + run.size;
    if (!joins) {
      if (running && run.size) {
        s = add_run(relay, run);
        start += run.size;
      }
      running = !x[i].is_new;
      run = (fsm_relay_run){shard->to, from, x[i].offset, 0};
    }
    relay->places[x[i].which] = (fsm_relay_place){
        shard->to, (int64_t)(start + (x[i].is_new ? 0 : x[i].offset - run.origin))};
    if (x[i].is_new) {
      if (!s && x[i].size)
        s = add_run(relay, (fsm_relay_run){shard->to, FSM_NO_SHARD,
                                           x[i].which - l->index->n_entries, x[i].size});
      start += x[i].size;
    } else if (x[i].offset + x[i].size > run.origin + run.size) {
      run.size = x[i].offset + x[i].size - run.origin;
    }
  }
  if (!s && running && run.size) {
    s = add_run(relay, run);
    start += run.size;
  }
  *size = start;
  return s;
}

static fsm_status place_all(layout *l, fsm_relay *relay) {
  uint64_t size = 0;
  fsm_status s = FSM_OK;
  for (size_t i = 0, j; !s && i < l->n_extents; i = j) {
    for (j = i + 1; j < l->n_extents && l->extents[j].shard == l->extents[i].shard;)
      j++;
    if (i && l->shards[l->extents[i].shard].to != l->shards[l->extents[i - 1].shard].to)
      size = 0;
    s = place_shard(l, relay, l->extents + i, j - i, &size);
    if (!s && size > INT64_MAX)
      s = FSM_E_LIMIT;
  }
  return s;
}

fsm_status fsm_relay_make(fsm_relay *relay, const fsm_index *index, const uint8_t *keep,
                          const uint64_t *same_as, const fsm_relay_fresh *fresh,
                          size_t n_fresh, fsm_relay_shard *shards, size_t n_shards,
                          bool merge, fsm_error *e) {
  size_t most = index->n_entries + n_fresh;
  layout l = {index, keep, same_as, fresh, n_fresh, shards, n_shards, NULL, 0, e};
  l.extents = calloc(most + 1, sizeof *l.extents);
  relay->places = calloc(most + 1, sizeof *relay->places);
  fsm_status s = l.extents && relay->places ? collect(&l) : fsm_fail(e, FSM_E_NOMEM, 0, 0, 0);
  if (!s) {
    for (size_t i = 0; merge && n_shards > 1 && i < n_shards; i++)
      shards[i].touched = true;
    number_shards(&l, relay, merge);
    s = place_all(&l, relay);
    if (s)
      fsm_fail(e, s, 0, 0, 0);
  }
  free(l.extents);
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
                              const fsm_relay_place *place) {
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

static fsm_status write_row(output *out, const fsm_relay *relay, const fsm_index *index,
                            size_t row) {
  const fsm_relay_place *place = &relay->places[row];
  bool moved = has_place(index, row) && (place->shard != index->shard[row] ||
                                         place->offset != index->offset[row]);
  return write_entry(out, index->keys + index->key_at[row],
                     (size_t)(index->key_at[row + 1] - index->key_at[row]),
                     index->values + index->stored_at[row], index->value_size[row],
                     moved ? place : NULL);
}

static fsm_status write_header(output *out, const fsm_relay *relay, const fsm_index *index) {
  const uint8_t no_key[1] = {0}, *header = index->values + index->header_at;
  fsm_status s = FSM_OK;
  if (relay->n_shards == index->header.num_shards)
    return fsm_table_write(out->w, no_key, 0, header, index->header_size);
  s = fsm_array_reserve(&out->patched, 1, FSM_PATCHED_MAX(index->header_size));
  if (!s)
    s = fsm_header_patched(header, index->header_size, relay->n_shards, out->patched.items,
                           &out->patched.n);
  return s ? s : fsm_table_write(out->w, no_key, 0, out->patched.items, out->patched.n);
}

static bool is_before(const fsm_relay_entry *added, const fsm_index *index, size_t row) {
  return fsm_key_compare(added->key, added->n_key, index->keys + index->key_at[row],
                         (size_t)(index->key_at[row + 1] - index->key_at[row])) < 0;
}

fsm_status fsm_relay_write(fsm_table_writer *w, const fsm_relay *relay, const fsm_index *index,
                           const uint8_t *keep, const fsm_relay_entry *added, size_t n_added,
                           fsm_error *e) {
  output out = {.w = w};
  size_t row = 0, next = 0;
  fsm_status s = write_header(&out, relay, index);
  while (!s && (row < index->n_entries || next < n_added)) {
    if (row < index->n_entries && !keep[row]) {
      row++;
    } else if (next < n_added &&
               (row == index->n_entries || is_before(&added[next], index, row))) {
      const fsm_relay_entry *a = &added[next++];
      s = write_entry(&out, a->key, a->n_key, a->value, a->n_value,
                      a->fresh == FSM_NO_ROW ? NULL
                                             : &relay->places[index->n_entries + a->fresh]);
    } else {
      s = write_row(&out, relay, index, row++);
    }
  }
  if (s)
    fsm_fail(e, s, row ? row - 1 : 0, 0, 0);
  else if ((s = fsm_table_write_end(w)))
    fsm_fail(e, s, index->n_entries, 0, 0);
  free(out.patched.items);
  return s;
}

void fsm_relay_free(fsm_relay *relay) {
  free(relay->places);
  free(relay->runs.items);
  *relay = (fsm_relay){0};
}
