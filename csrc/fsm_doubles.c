#include "fsm_doubles.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
  int64_t size, offset;
  const int64_t *dims;
  size_t rank, row;
  uint32_t crc32c;
  int32_t dtype, shard;
  uint8_t flags;
} tensor;

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

/* 0: the same size, checksum, dtype and shape. */
static int compare_content(const tensor *a, const tensor *b) {
  int order = COMPARE(a->size, b->size);
  order = order ? order : COMPARE(a->crc32c, b->crc32c);
  order = order ? order : COMPARE(a->dtype, b->dtype);
  order = order ? order : COMPARE(a->flags, b->flags);
  order = order ? order : COMPARE(a->rank, b->rank);
  return order || !a->rank ? order : memcmp(a->dims, b->dims, a->rank * sizeof *a->dims);
}

static int compare_place(const tensor *a, const tensor *b) {
  int order = COMPARE(a->shard, b->shard);
  return order ? order : COMPARE(a->offset, b->offset);
}

static int compare_tensors(const void *left, const void *right) {
  const tensor *a = left, *b = right;
  int order = compare_content(a, b);
  order = order ? order : compare_place(a, b);
  return order ? order : COMPARE(a->row, b->row);
}

static tensor tensor_of(const fsm_index *index, size_t row) {
  size_t rank = (size_t)(index->dims_at[row + 1] - index->dims_at[row]);
  return (tensor){
      .size = index->size[row],
      .offset = index->offset[row],
      .dims = rank ? index->dims + index->dims_at[row] : NULL,
      .rank = rank,
      .row = row,
      .crc32c = index->crc32c[row],
      .dtype = index->dtype[row],
      .shard = index->shard[row],
      .flags = index->flags[row],
  };
}

/* One run of equal content, sorted by place. */
static void count_group(const tensor *group, size_t n, size_t *twin_of, fsm_doubles *doubles) {
  size_t lowest = group[0].row, n_places = 1;
  for (size_t i = 1; i < n; i++) {
    lowest = group[i].row < lowest ? group[i].row : lowest;
    n_places += compare_place(&group[i - 1], &group[i]) != 0;
  }
  for (size_t i = 0; twin_of && i < n; i++)
    twin_of[group[i].row] = lowest;
  if (n_places == 1)
    return;
  doubles->n_groups++;
  doubles->n_entries += n_places - 1;
  for (size_t i = 1; i < n_places; i++)
    doubles->bytes = fsm_add_saturating(doubles->bytes, (uint64_t)group[0].size);
}

fsm_status fsm_doubles_find(const fsm_index *index, size_t *twin_of, fsm_doubles *doubles) {
  *doubles = (fsm_doubles){0};
  tensor *tensors = calloc(index->n_entries + 1, sizeof *tensors);
  if (!tensors)
    return FSM_E_NOMEM;
  size_t n = 0;
  for (size_t row = 0; row < index->n_entries; row++) {
    if (twin_of)
      twin_of[row] = row;
    if (index->size[row] > 0 && index->n_slices[row] == 0)
      tensors[n++] = tensor_of(index, row);
  }
  qsort(tensors, n, sizeof *tensors, compare_tensors);
  for (size_t from = 0, to; from < n; from = to) {
    for (to = from + 1; to < n && compare_content(&tensors[from], &tensors[to]) == 0;)
      to++;
    count_group(tensors + from, to - from, twin_of, doubles);
  }
  free(tensors);
  return FSM_OK;
}
