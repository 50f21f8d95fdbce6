#include "fsm_ordered.h"

#include <string.h>

/* The longest code of a signed number: 64 bits and ten leading ones do not fit nine bytes. */
#define MAX_SIGNED 10
#define MAX_NUMBER 9

typedef struct {
  const uint8_t *p, *end;
} reader;

/* ---- writing ---- */

static unsigned bits_of(uint64_t value) {
  unsigned n = 0;
  for (; value; value >>= 1)
    n++;
  return n;
}

static uint8_t *write_number(uint8_t *to, uint64_t value) {
  unsigned n = (bits_of(value) + 7) / 8;
  *to++ = (uint8_t)n;
  while (n-- > 0)
    *to++ = (uint8_t)(value >> (8 * n));
  return to;
}

static uint8_t *write_string(uint8_t *to, const uint8_t *name, size_t n) {
  for (size_t i = 0; i < n; i++) {
    *to++ = name[i];
    if (name[i] == 0x00)
      *to++ = 0xff;
    else if (name[i] == 0xff)
      *to++ = 0x00;
  }
  *to++ = 0x00;
  *to++ = 0x01;
  return to;
}

/* How many bytes a signed number takes: n leading bits, the sign, its other bits. */
static unsigned signed_size(int64_t value) {
  return bits_of((uint64_t)(value < 0 ? ~value : value)) / 7 + 1;
}

static uint8_t *write_signed(uint8_t *to, int64_t value) {
  unsigned n = signed_size(value);
  for (unsigned i = 0; i < n; i++) {
    unsigned shift = 8 * (n - 1 - i);
    to[i] = (uint8_t)(shift < 64 ? (uint64_t)value >> shift : value < 0 ? 0xff : 0);
  }
  for (unsigned bit = 0; bit < n; bit++) /* the leading bits, turned over */
    to[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
  return to + n;
}

size_t fsm_slice_key_max(size_t name_size, size_t rank) {
  return 1 + 2 * name_size + 2 + MAX_NUMBER + rank * 2 * MAX_SIGNED;
}

size_t fsm_slice_key_write(uint8_t *to, const uint8_t *name, size_t name_size,
                           const fsm_extent *extents, size_t rank) {
  uint8_t *p = write_number(to, 0);
  p = write_string(p, name, name_size);
  p = write_number(p, rank);
  for (size_t i = 0; i < rank; i++) {
    p = write_signed(p, extents[i].start);
    p = write_signed(p, extents[i].length);
  }
  return (size_t)(p - to);
}

/* ---- reading: only the shortest form of each ---- */

static fsm_status read_number(reader *r, uint64_t *value) {
  if (r->p == r->end)
    return FSM_E_TRUNCATED;
  unsigned n = *r->p;
  if (n > 8)
    return FSM_E_INVALID;
  if (n > (size_t)(r->end - r->p) - 1)
    return FSM_E_TRUNCATED;
  *value = 0;
  for (unsigned i = 1; i <= n; i++)
    *value = *value << 8 | r->p[i];
  if ((bits_of(*value) + 7) / 8 != n)
    return FSM_E_INVALID;
  r->p += 1 + n;
  return FSM_OK;
}

static fsm_status read_string(reader *r, uint8_t *name, size_t *n) {
  for (*n = 0; r->end - r->p >= 2; (*n)++) {
    uint8_t byte = r->p[0], next = r->p[1];
    if (byte == 0x00 && next == 0x01) {
      r->p += 2;
      return FSM_OK;
    }
    bool escape = byte == 0x00 || byte == 0xff;
    if (escape && (byte ^ next) != 0xff)
      return FSM_E_INVALID;
    name[*n] = byte;
    r->p += escape ? 2 : 1;
  }
  return FSM_E_TRUNCATED;
}

/* The leading bits that are equal: how many bytes the number takes, or more than
 * MAX_SIGNED. */
static unsigned leading_bits(const reader *r) {
  size_t left = (size_t)(r->end - r->p);
  unsigned first = r->p[0] >> 7, n = 1;
  while (n <= MAX_SIGNED && n / 8 < left && (r->p[n / 8] >> (7 - n % 8) & 1) == first)
    n++;
  return n;
}

static fsm_status read_signed(reader *r, int64_t *value) {
  if (r->p == r->end)
    return FSM_E_TRUNCATED;
  unsigned n = leading_bits(r);
  if (n > MAX_SIGNED)
    return FSM_E_INVALID;
  if (n > (size_t)(r->end - r->p))
    return FSM_E_TRUNCATED;
  uint64_t bits = r->p[0] & 0x80 ? 0 : UINT64_MAX; /* the sign, in front of what follows */
  for (unsigned i = 0; i < n; i++) {
    uint8_t byte = r->p[i];
    for (unsigned bit = 8 * i; bit < n && bit < 8 * i + 8; bit++)
      byte ^= (uint8_t)(0x80 >> bit % 8);
    bits = bits << 8 | byte;
  }
  memcpy(value, &bits, sizeof bits);
  uint8_t shortest[MAX_SIGNED];
  if (write_signed(shortest, *value) != shortest + n || memcmp(shortest, r->p, n) != 0)
    return FSM_E_INVALID;
  r->p += n;
  return FSM_OK;
}

fsm_status fsm_slice_key_parse(const uint8_t *key, size_t n, uint8_t *name,
                               fsm_extent *extents, fsm_slice_name *parts) {
  reader r = {key, key + n};
  uint64_t zero, rank;
  fsm_status s = read_number(&r, &zero);
  if (!s && zero != 0)
    s = FSM_E_INVALID;
  if (!s)
    s = read_string(&r, name, &parts->name_size);
  if (!s)
    s = read_number(&r, &rank);
  if (s)
    return s;
  if (rank > (uint64_t)(r.end - r.p) / 2)
    return FSM_E_TRUNCATED;
  parts->rank = (size_t)rank;
  for (size_t i = 0; i < parts->rank; i++) {
    s = read_signed(&r, &extents[i].start);
    if (!s)
      s = read_signed(&r, &extents[i].length);
    if (s)
      return s;
  }
  return r.p == r.end ? FSM_OK : FSM_E_INVALID;
}
