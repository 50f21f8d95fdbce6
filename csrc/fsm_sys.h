/* System calls that Python's os module lacks. Each returns 0 or an errno. */
#ifndef FSM_SYS_H
#define FSM_SYS_H

/* Two paths change places in one step, so that no reader finds either missing.
 * Both must exist, on one file system. ENOSYS where the system cannot do it. */
int fsm_sys_exchange(const char *a, const char *b);

#endif
