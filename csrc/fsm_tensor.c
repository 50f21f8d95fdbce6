#include "fsm_tensor.h"

#include "fsm_crc32c.h"
#include "fsm_wire.h"

typedef struct {
  const fsm_src *src;
  uint8_t *window; /* holds the source's [base, base + fill) */
  size_t capacity;
  uint64_t base;
  size_t fill;
  uint64_t most; /* a read goes no further: the end of the last tensor */
  bool big_endian;

  uint64_t at, end; /* of the tensor that is being read */
  fsm_tensor_result *result;
} walk;

/* Returns false, so that a caller can pass it on. */
static bool fail(walk *w, fsm_tensor_status s, uint64_t place, uint64_t expected,
                 uint64_t seen) {
  w->result->status = s;
  w->result->place = place;
  w->result->expected = expected;
  w->result->seen = seen;
  return false;
}

static bool refill(walk *w) {
  uint64_t left = w->most - w->at;
  size_t n = left < w->capacity ? (size_t)left : w->capacity;
  fsm_error e = {0};
  w->fill = 0;
  if (fsm_src_read(w->src, w->at, w->window, n, &e))
    return fail(w, FSM_TENSOR_UNREAD, e.offset, e.status == FSM_E_IO ? e.need : 0, 0);
  w->base = w->at;
  w->fill = n;
  return true;
}

/* What of the tensor from `at` on lies in the window, at least a byte; moves on
 * behind it. The caller has seen that the tensor is not done. */
static bool take_some(walk *w, uint64_t most, const uint8_t **bytes, size_t *n) {
  if ((w->at < w->base || w->at - w->base >= w->fill) && !refill(w))
    return false;
  size_t skip = (size_t)(w->at - w->base);
  *bytes = w->window + skip;
  *n = w->fill - skip;
  if (*n > most)
    *n = (size_t)most;
  w->at += *n;
  return true;
}

/* Copy n bytes; the caller has seen that the tensor has them. */
static bool take_bytes(walk *w, uint8_t *to, size_t n) {
  while (n > 0) {
    const uint8_t *bytes;
    size_t got;
    if (!take_some(w, n, &bytes, &got))
      return false;
    memcpy(to, bytes, got);
    to += got;
    n -= got;
  }
  return true;
}

static bool take_crc(walk *w, uint64_t n, uint32_t *crc) {
  while (n > 0) {
    const uint8_t *bytes;
    size_t got;
    if (!take_some(w, n, &bytes, &got))
      return false;
    *crc = fsm_crc32c(*crc, bytes, got);
    n -= got;
  }
  return true;
}

static bool take_varint(walk *w, uint64_t *value) {
  uint64_t start = w->at, v = 0;
  for (unsigned i = 0; i < FSM_MAX_VARINT_BYTES && w->at < w->end; i++) {
    const uint8_t *byte;
    size_t one;
    if (!take_some(w, 1, &byte, &one))
      return false;
    v |= (uint64_t)(*byte & 0x7f) << (7 * i);
    if (*byte < 0x80) {
      *value = v;
      return true;
    }
  }
  return fail(w, FSM_TENSOR_VARINT, start, 0, w->end - start);
}

/* ---- numbers as the bundle's machine laid them out ---- */

static unsigned store(const walk *w, uint64_t value, unsigned n, uint8_t *to) {
  for (unsigned i = 0; i < n; i++)
    to[w->big_endian ? n - 1 - i : i] = (uint8_t)(value >> (8 * i));
  return n;
}

/* A stored crc, which is 4 bytes of the tensor: their value, and the bytes. */
static bool take_stored_crc(walk *w, uint8_t bytes[4], uint32_t *masked) {
  if (!take_bytes(w, bytes, 4))
    return false;
  uint32_t v = fsm_load32(bytes);
  *masked = w->big_endian ? v << 24 | (v & 0xff00) << 8 | (v >> 8 & 0xff00) | v >> 24 : v;
  return true;
}

/* ---- the kinds ---- */

static bool check_crc(walk *w, const fsm_tensor *t, uint32_t crc) {
  w->result->crc32c = crc;
  uint32_t masked = fsm_crc32c_mask(crc);
  if (masked == t->crc32c)
    return true;
  return fail(w, FSM_TENSOR_CRC, t->offset, t->crc32c, masked);
}

static void count_odd(fsm_tensor_result *r, const uint8_t *bytes, size_t n, uint64_t at) {
  uint8_t all = 0;
  for (size_t i = 0; i < n; i++)
    all |= bytes[i];
  if (all < 2)
    return;
  for (size_t i = 0; i < n; i++)
    if (bytes[i] > 1 && r->n_odd++ == 0)
      r->odd_at = at + i;
}

static bool check_dense(walk *w, const fsm_tensor *t) {
  uint32_t crc = 0;
  while (w->at < w->end) {
    const uint8_t *bytes;
    size_t n;
    if (!take_some(w, w->end - w->at, &bytes, &n))
      return false;
    crc = fsm_crc32c(crc, bytes, n);
    if (t->kind == FSM_TENSOR_BOOL)
      count_odd(w->result, bytes, n, w->at - n);
  }
  return check_crc(w, t, crc);
}

static bool check_string(walk *w, const fsm_tensor *t) {
  uint64_t total = 0;
  uint32_t crc = 0;
  uint8_t bytes[8];
  /* An element takes a byte at least: a count cannot be believed above that. */
  if (t->size < 4 || t->n_elements > t->size - 4)
    return fail(w, FSM_TENSOR_LENGTHS, t->offset,
                t->n_elements > UINT64_MAX - 4 ? UINT64_MAX : t->n_elements + 4, t->size);
  for (uint64_t i = 0; i < t->n_elements; i++) {
    uint64_t length;
    if (!take_varint(w, &length))
      return false;
    total = length > UINT64_MAX - total ? UINT64_MAX : total + length;
    crc = fsm_crc32c(crc, bytes, store(w, length, length > UINT32_MAX ? 8 : 4, bytes));
  }
  uint64_t heads = w->at - t->offset + 4;
  if (heads > t->size || total != t->size - heads)
    return fail(w, FSM_TENSOR_LENGTHS, t->offset,
                total > UINT64_MAX - heads ? UINT64_MAX : heads + total, t->size);
  uint64_t place = w->at;
  uint32_t stored;
  if (!take_stored_crc(w, bytes, &stored))
    return false;
  if (stored != fsm_crc32c_mask(crc))
    return fail(w, FSM_TENSOR_LENGTH_CRC, place, stored, fsm_crc32c_mask(crc));
  crc = fsm_crc32c(crc, bytes, 4);
  return take_crc(w, total, &crc) && check_crc(w, t, crc);
}

static bool check_variant(walk *w, const fsm_tensor *t) {
  uint32_t crc = 0;
  if (t->n_elements > t->size / 5) /* a varint and a crc at least */
    return fail(w, FSM_TENSOR_LENGTHS, t->offset,
                t->n_elements > UINT64_MAX / 5 ? UINT64_MAX : 5 * t->n_elements, t->size);
  for (uint64_t i = 0; i < t->n_elements; i++) {
    uint64_t n, start = w->at;
    uint8_t bytes[8];
    uint32_t stored;
    if (!take_varint(w, &n))
      return false;
    uint64_t left = w->end - w->at;
    if (left < 4 || n > left - 4)
      return fail(w, FSM_TENSOR_LENGTHS, start, n, left < 4 ? 0 : left - 4);
    crc = fsm_crc32c(crc, bytes, store(w, n, 8, bytes));
    if (!take_crc(w, n, &crc))
      return false;
    uint64_t place = w->at;
    if (!take_stored_crc(w, bytes, &stored))
      return false;
    if (stored != fsm_crc32c_mask(crc))
      return fail(w, FSM_TENSOR_ELEMENT_CRC, place, stored, fsm_crc32c_mask(crc));
    crc = fsm_crc32c(crc, bytes, 4);
  }
  if (w->at < w->end)
    return fail(w, FSM_TENSOR_LENGTHS, w->at, w->at - t->offset, t->size);
  return check_crc(w, t, crc);
}

static void check(walk *w, const fsm_tensor *t, fsm_tensor_result *result) {
  *result = (fsm_tensor_result){0};
  w->result = result;
  uint64_t left = t->offset > w->src->size ? 0 : w->src->size - t->offset;
  if (t->size > left) {
    fail(w, FSM_TENSOR_OUTSIDE, t->offset, t->size, left);
    return;
  }
  w->at = t->offset;
  w->end = t->offset + t->size;
  if (t->kind == FSM_TENSOR_STRING)
    check_string(w, t);
  else if (t->kind == FSM_TENSOR_VARIANT)
    check_variant(w, t);
  else
    check_dense(w, t);
}

/* Reading ahead stops where the tensors do; those outside the source say nothing. */
static uint64_t last_end(const fsm_src *src, const fsm_tensor *tensors, size_t n) {
  uint64_t most = 0;
  for (size_t i = 0; i < n; i++) {
    const fsm_tensor *t = &tensors[i];
    if (t->offset <= src->size && t->size <= src->size - t->offset &&
        t->offset + t->size > most)
      most = t->offset + t->size;
  }
  return most;
}

void fsm_tensors_check(const fsm_src *src, const fsm_tensor *tensors, size_t n,
                       bool big_endian, uint8_t *window, size_t capacity,
                       fsm_tensor_result *results) {
  walk w = {.src = src,
            .window = window,
            .capacity = capacity,
            .most = last_end(src, tensors, n),
            .big_endian = big_endian};
  for (size_t i = 0; i < n; i++)
    check(&w, &tensors[i], &results[i]);
}
