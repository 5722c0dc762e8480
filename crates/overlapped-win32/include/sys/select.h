/* libc's header, with its `select`, fd_set and timeval under other names: those of a Windows program are
   Winsock's. What the program said about FD_SETSIZE is about Winsock's too. */
#pragma GCC system_header
#ifndef OVERLAPPED_LIBC_SELECT
#define OVERLAPPED_LIBC_SELECT
#pragma push_macro("FD_SETSIZE")
#undef FD_SETSIZE
#pragma push_macro("timeval")
#undef timeval
#define timeval overlapped_libc_timeval
#define fd_set overlapped_libc_fd_set
#define select overlapped_libc_select
#include_next <sys/select.h>
#undef select
#undef fd_set
#undef FD_SET
#undef FD_CLR
#undef FD_ISSET
#undef FD_ZERO
#undef FD_SETSIZE
#undef timeval
#pragma pop_macro("timeval")
#pragma pop_macro("FD_SETSIZE")
#endif
