#include "fsm_rewrite.h"

#include <stdlib.h>
#include <string.h>

#include "fsm_encode.h"

typedef struct {
  const fsm_src *src;
  size_t at;       /* the source's piece that holds the cursor */
  uint64_t cursor; /* everything before it is in the table, or left out */
  fsm_piece *pieces;
  size_t n_pieces;
  uint64_t size;
  uint8_t *patch;
  uint64_t patch_size;
} table;

size_t fsm_rewrite_max_pieces(const fsm_src *src, size_t n_splices, size_t n_fields) {
  /* A change adds its own piece, and cuts one of the source's in two. */
  return src->n_pieces + 2 * (n_splices + n_fields);
}

uint64_t fsm_rewrite_max_patch(const fsm_src *src, uint64_t data_size, size_t n_fields) {
  return src->patch_size + data_size + FSM_MAX_VARINT_BYTES * (uint64_t)n_fields;
}

/* One more piece, or a longer last one. */
static void add(table *t, uint64_t length, uint64_t origin, int64_t fd) {
  fsm_piece *last = t->n_pieces ? &t->pieces[t->n_pieces - 1] : NULL;
  if (last && last->fd == fd && last->origin + last->length == origin)
    last->length += length;
  else
    t->pieces[t->n_pieces++] =
        (fsm_piece){.start = t->size, .length = length, .origin = origin, .fd = fd};
  t->size += length;
}

static void add_bytes(table *t, const uint8_t *bytes, uint64_t size) {
  if (size == 0)
    return;
  memcpy(t->patch + t->patch_size, bytes, size);
  add(t, size, t->patch_size, FSM_PATCH);
  t->patch_size += size;
}

/* Take over the source's bytes from the cursor up to an offset. */
static void keep_to(table *t, uint64_t offset) {
  while (t->cursor < offset) {
    const fsm_piece *p = &t->src->pieces[t->at];
    uint64_t skip = t->cursor - p->start;
    uint64_t n = p->length - skip;
    if (n > offset - t->cursor)
      n = offset - t->cursor;
    else
      t->at++;
    if (p->fd == FSM_PATCH)
      add_bytes(t, t->src->patch + p->origin + skip, n);
    else
      add(t, n, p->origin + skip, p->fd);
    t->cursor += n;
  }
}

static void skip_to(table *t, uint64_t offset) {
  const fsm_src *src = t->src;
  while (t->at < src->n_pieces &&
         src->pieces[t->at].length <= offset - src->pieces[t->at].start &&
         src->pieces[t->at].start < offset)
    t->at++;
  t->cursor = offset;
}

static fsm_status change(table *t, uint64_t start, uint64_t end, const uint8_t *bytes,
                         uint64_t size, fsm_error *e) {
  if (start < t->cursor)
    return fsm_fail(e, FSM_E_INVALID, start, t->cursor, 0);
  keep_to(t, start);
  skip_to(t, end);
  add_bytes(t, bytes, size);
  return FSM_OK;
}

#define ORDER(a, b) \
  if ((a) != (b))   \
  return (a) < (b) ? -1 : 1

static int by_place(const void *left, const void *right) {
  const fsm_splice *a = left, *b = right;
  ORDER(a->start, b->start);
  ORDER(a->end, b->end);
  ORDER(b->depth, a->depth);
  ORDER(a->data, b->data);
  return 0;
}

static int by_length_at(const void *left, const void *right) {
  const fsm_enclosing *a = left, *b = right;
  ORDER(a->length_at, b->length_at);
  return 0;
}

bool fsm_rewrite_in_order(const fsm_splice *splices, size_t n_splices,
                          const fsm_enclosing *fields, size_t n_fields) {
  for (size_t i = 1; i < n_splices; i++)
    if (by_place(&splices[i - 1], &splices[i]) > 0)
      return false;
  for (size_t i = 1; i < n_fields; i++)
    if (fields[i - 1].length_at >= fields[i].length_at)
      return false;
  return true;
}

/* Bring the fields into the source's order, each once: then parents come first. */
static fsm_status sort_fields(fsm_enclosing *fields, size_t *n_fields, fsm_splice *splices,
                              size_t n_splices, fsm_error *e) {
  size_t n = *n_fields;
  if (n == 0)
    return FSM_OK;
  int64_t *row = malloc(n * sizeof *row);
  if (!row)
    return fsm_fail(e, FSM_E_NOMEM, 0, 0, 0);
  for (size_t i = 0; i < n; i++)
    fields[i].growth = (int64_t)i;
  qsort(fields, n, sizeof *fields, by_length_at);
  size_t last = 0;
  for (size_t i = 0; i < n; i++) {
    if (fields[last].length_at != fields[i].length_at)
      last++;
    row[fields[i].growth] = (int64_t)last;
    fields[last] = fields[i];
  }
  *n_fields = last + 1;
  for (size_t i = 0; i <= last; i++)
    if (fields[i].parent != FSM_NO_FIELD)
      fields[i].parent = row[fields[i].parent];
  for (size_t i = 0; i < n_splices; i++)
    if (splices[i].field != FSM_NO_FIELD)
      splices[i].field = row[splices[i].field];
  free(row);
  return FSM_OK;
}

/* By how many bytes each field's payload grows, lengths inside it counted. */
static void measure(fsm_enclosing *fields, size_t n_fields, const fsm_splice *splices,
                    size_t n_splices) {
  for (size_t i = 0; i < n_fields; i++)
    fields[i].growth = 0;
  for (size_t i = 0; i < n_splices; i++) {
    const fsm_splice *s = &splices[i];
    if (s->field != FSM_NO_FIELD)
      fields[s->field].growth += (int64_t)s->size - (int64_t)(s->end - s->start);
  }
  /* From the back: what is inside a field stands behind it, and is final. */
  for (size_t i = n_fields; i-- > 0;) {
    const fsm_enclosing *f = &fields[i];
    if (f->growth == 0 || f->parent == FSM_NO_FIELD)
      continue;
    uint64_t payload = f->end - f->start + (uint64_t)f->growth;
    fields[f->parent].growth +=
        f->growth + (int64_t)fsm_varint_size(payload) - (int64_t)(f->start - f->length_at);
  }
}

fsm_status fsm_rewrite(const fsm_src *src, fsm_splice *splices, size_t n_splices,
                       fsm_enclosing *fields, size_t n_fields, const uint8_t *data,
                       fsm_piece *pieces, size_t *n_pieces, uint8_t *patch,
                       uint64_t *patch_size, fsm_error *e) {
  table t = {.src = src, .pieces = pieces, .patch = patch};
  uint8_t length[FSM_MAX_VARINT_BYTES];
  fsm_status s;
  if (!fsm_rewrite_in_order(splices, n_splices, fields, n_fields)) {
    if ((s = sort_fields(fields, &n_fields, splices, n_splices, e)))
      return s;
    qsort(splices, n_splices, sizeof *splices, by_place);
  }
  measure(fields, n_fields, splices, n_splices);
  size_t row = 0;
  for (size_t i = 0; i < n_splices; i++) {
    const fsm_splice *p = &splices[i];
    for (; row < n_fields && fields[row].length_at < p->start; row++) {
      const fsm_enclosing *f = &fields[row];
      if (f->growth == 0)
        continue;
      size_t n = fsm_write_varint(length, f->end - f->start + (uint64_t)f->growth);
      s = change(&t, f->length_at, f->start, length, n, e);
      if (s)
        return s;
    }
    s = change(&t, p->start, p->end, data + p->data, p->size, e);
    if (s)
      return s;
  }
  keep_to(&t, src->size);
  *n_pieces = t.n_pieces;
  *patch_size = t.patch_size;
  return FSM_OK;
}
