#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "fsm_src.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

fsm_status fsm_src_init(fsm_src *src, const fsm_piece *pieces, size_t n_pieces,
                        const uint8_t *patch, uint64_t patch_size, fsm_error *e) {
  uint64_t at = 0;
  for (size_t i = 0; i < n_pieces; i++) {
    const fsm_piece *p = &pieces[i];
    if (p->start != at || p->length == 0 || p->length > INT64_MAX - at ||
        p->origin > (uint64_t)INT64_MAX - p->length)
      return fsm_fail(e, FSM_E_INVALID, p->start, at, i);
    if (p->fd == FSM_PATCH &&
        (p->length > patch_size || p->origin > patch_size - p->length))
      return fsm_fail(e, FSM_E_INVALID, p->start, patch_size, i);
    at += p->length;
  }
  src->pieces = pieces;
  src->n_pieces = n_pieces;
  src->size = at;
  src->patch = patch;
  src->patch_size = patch_size;
  src->tap = NULL;
  return FSM_OK;
}

void fsm_src_memory(fsm_src *src, fsm_piece *piece, const uint8_t *bytes, uint64_t size) {
  *piece = (fsm_piece){.start = 0, .length = size, .origin = 0, .fd = FSM_PATCH};
  *src = (fsm_src){.pieces = piece,
                   .n_pieces = size ? 1 : 0,
                   .size = size,
                   .patch = bytes,
                   .patch_size = size};
}

/* The piece that holds `offset`, which the caller has checked to be inside. */
static size_t piece_at(const fsm_src *src, uint64_t offset) {
  size_t low = 0, high = src->n_pieces;
  while (high - low > 1) {
    size_t mid = low + (high - low) / 2;
    if (src->pieces[mid].start <= offset)
      low = mid;
    else
      high = mid;
  }
  return low;
}

/* macOS refuses to read 2 GiB or more at a time. */
#define MAX_READ ((size_t)1 << 30)

static fsm_status read_file(int fd, uint64_t origin, uint8_t *to, size_t n,
                            uint64_t offset, fsm_error *e) {
  while (n > 0) {
    ssize_t got = pread(fd, to, n < MAX_READ ? n : MAX_READ, (off_t)origin);
    if (got < 0) {
      if (errno == EINTR)
        continue;
      return fsm_fail(e, FSM_E_IO, offset, (uint64_t)errno, 0);
    }
    if (got == 0)
      return fsm_fail(e, FSM_E_CHANGED, offset, n, 0);
    to += got;
    origin += (uint64_t)got;
    offset += (uint64_t)got;
    n -= (size_t)got;
  }
  return FSM_OK;
}

/* Short pieces of one file that lie close together, as edits of a graph's nodes leave
 * them by the million, are read in one go: so many bytes of the file, gaps among them. */
#define TOGETHER ((size_t)16 << 10)

typedef struct {
  int64_t fd;
  uint64_t start; /* in the file */
  size_t n;
  uint8_t bytes[TOGETHER];
} stretch;

/* Where the last piece ends that is worth reading with piece i, of which [from, end) is
 * wanted, and `more` bytes behind that. */
static uint64_t end_of_stretch(const fsm_src *src, size_t i, uint64_t from, uint64_t end,
                               size_t more) {
  int64_t fd = src->pieces[i].fd;
  while (more && ++i < src->n_pieces) {
    const fsm_piece *p = &src->pieces[i];
    size_t take = more < p->length ? more : (size_t)p->length;
    if (p->fd == fd) {
      if (p->origin < end || p->origin - from > TOGETHER || take > TOGETHER - (p->origin - from))
        break;
      end = p->origin + take;
    } else if (p->fd != FSM_PATCH) {
      break;
    }
    more -= take;
  }
  return end;
}

/* Read n bytes of piece i from `origin` of its file on. A stretch that cannot be read whole
 * is not used: what is wrong is told of the piece itself. */
static fsm_status read_piece(const fsm_src *src, size_t i, uint64_t origin, uint8_t *to,
                             size_t n, size_t more, uint64_t offset, stretch *around,
                             fsm_error *e) {
  int64_t fd = src->pieces[i].fd;
  if (n <= TOGETHER / 2) {
    bool is_in = around->n && around->fd == fd && origin >= around->start &&
                 origin - around->start <= around->n &&
                 n <= around->n - (size_t)(origin - around->start);
    if (!is_in && more) {
      uint64_t end = end_of_stretch(src, i, origin, origin + n, more);
      fsm_error ignored;
      size_t all = (size_t)(end - origin);
      is_in = all > n && !read_file((int)fd, origin, around->bytes, all, offset, &ignored);
      around->fd = fd;
      around->start = origin;
      around->n = is_in ? all : 0;
    }
    if (is_in) {
      memcpy(to, around->bytes + (origin - around->start), n);
      return FSM_OK;
    }
  }
  return read_file((int)fd, origin, to, n, offset, e);
}

static fsm_status read_pieces(const fsm_src *src, uint64_t offset, uint8_t *to, size_t n,
                              fsm_error *e) {
  stretch around;
  around.n = 0;
  for (size_t i = n ? piece_at(src, offset) : 0; n > 0; i++) {
    const fsm_piece *p = &src->pieces[i];
    uint64_t skip = offset - p->start;
    size_t take = n;
    if (take > p->length - skip)
      take = (size_t)(p->length - skip);
    if (p->fd == FSM_PATCH) {
      memcpy(to, src->patch + p->origin + skip, take);
    } else {
      fsm_status s =
          read_piece(src, i, p->origin + skip, to, take, n - take, offset, &around, e);
      if (s)
        return s;
    }
    to += take;
    offset += take;
    n -= take;
  }
  return FSM_OK;
}

fsm_status fsm_src_read(const fsm_src *src, uint64_t offset, void *buffer, size_t n,
                        fsm_error *e) {
  if (offset > src->size || n > src->size - offset)
    return fsm_fail(e, FSM_E_TRUNCATED, offset, n,
                    offset > src->size ? 0 : src->size - offset);
  fsm_status s = read_pieces(src, offset, buffer, n, e);
  if (!s && src->tap)
    src->tap->seen(src->tap->self, offset, buffer, n);
  return s;
}

fsm_status fsm_src_same(const fsm_src *a, uint64_t at_a, const fsm_src *b, uint64_t at_b,
                        uint64_t n, uint8_t *window, size_t capacity, bool *same,
                        uint64_t *at, fsm_error *e) {
  size_t half = capacity / 2;
  uint8_t *left = window, *right = window + half;
  *same = true;
  for (*at = 0; *at < n;) {
    size_t part = n - *at < half ? (size_t)(n - *at) : half;
    fsm_status s = fsm_src_read(a, at_a + *at, left, part, e);
    if (!s)
      s = fsm_src_read(b, at_b + *at, right, part, e);
    if (s)
      return s;
    if (memcmp(left, right, part) != 0) {
      *same = false;
      for (size_t i = 0; left[i] == right[i]; i++)
        ++*at;
      return FSM_OK;
    }
    *at += part;
  }
  return FSM_OK;
}
