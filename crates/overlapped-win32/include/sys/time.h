/* libc's header, with its timeval under another name: Winsock has one of another size. */
#pragma GCC system_header
#ifndef OVERLAPPED_LIBC_TIME
#define OVERLAPPED_LIBC_TIME
#include <sys/select.h>
#pragma push_macro("timeval")
#undef timeval
#define timeval overlapped_libc_timeval
#include_next <sys/time.h>
#undef timeval
#pragma pop_macro("timeval")
#undef timerisset
#undef timercmp
#undef timerclear
#endif
