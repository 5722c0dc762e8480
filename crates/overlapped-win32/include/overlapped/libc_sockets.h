/* libc's `select` and what belongs to it, back under their names, for files with the system's sockets. */
#ifndef OVERLAPPED_LIBC_SOCKETS
#define OVERLAPPED_LIBC_SOCKETS
#pragma GCC system_header
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>

#define fd_set overlapped_libc_fd_set
#define timeval overlapped_libc_timeval
#define select overlapped_libc_select
typedef __socklen_t socklen_t;
#ifdef __cplusplus
extern "C"
#endif
int select(int count, fd_set *read, fd_set *write, fd_set *except, struct timeval *timeout) __asm__("select");
#undef FD_SETSIZE
#define FD_SETSIZE __FD_SETSIZE
#define FD_SET(fd, set) __FD_SET(fd, set)
#define FD_CLR(fd, set) __FD_CLR(fd, set)
#define FD_ISSET(fd, set) __FD_ISSET(fd, set)
#define FD_ZERO(set) __FD_ZERO(set)
#endif
