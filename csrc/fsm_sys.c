#if defined(__linux__)
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#endif
#include "fsm_sys.h"

#include <errno.h>

#if defined(__linux__)
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__APPLE__)
#include <stdio.h>
#endif

int fsm_sys_exchange(const char *a, const char *b) {
#if defined(__linux__) && defined(SYS_renameat2)
  /* Through syscall(): glibc wraps renameat2 since 2.28 only, and wheels are
   * built against 2.17. The flag is RENAME_EXCHANGE of linux/fs.h. */
  return syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 1u << 1) ? errno : 0;
#elif defined(__APPLE__)
  return renamex_np(a, b, RENAME_SWAP) ? errno : 0;
#else
  (void)a;
  (void)b;
  return ENOSYS;
#endif
}

int fsm_sys_allocate(int fd, uint64_t size) {
#if defined(__linux__)
  if (size > INT64_MAX)
    return EFBIG;
  int code;
  do
    code = fallocate(fd, 0, 0, (off_t)size) ? errno : 0;
  while (code == EINTR);
  return code;
#else
  (void)fd;
  (void)size;
  return EOPNOTSUPP;
#endif
}

int fsm_sys_begin_sync(int fd, uint64_t offset, uint64_t n) {
#if defined(__linux__)
  if (offset > INT64_MAX || n > INT64_MAX - offset)
    return EFBIG;
  return sync_file_range(fd, (off_t)offset, (off_t)n, SYNC_FILE_RANGE_WRITE) ? errno : 0;
#else
  (void)fd;
  (void)offset;
  (void)n;
  return ENOSYS;
#endif
}
