/* System calls that Python's os module lacks. Each returns 0 or an errno. */
#ifndef FSM_SYS_H
#define FSM_SYS_H

#include <stdint.h>

/* Two paths change places in one step, so that no reader finds either missing.
 * Both must exist, on one file system. ENOSYS where the system cannot do it. */
int fsm_sys_exchange(const char *a, const char *b);

/* Set blocks aside for a new file that will have this size. Unlike
 * posix_fallocate, never by writing zeros: where the file system cannot do it,
 * EOPNOTSUPP, and nothing is lost. */
int fsm_sys_allocate(int fd, uint64_t size);

/* Let the disk begin with these bytes of a file, without waiting for it: a later
 * fsync has less to do. It promises nothing. ENOSYS where the system has no such call. */
int fsm_sys_begin_sync(int fd, uint64_t offset, uint64_t n);

#endif
