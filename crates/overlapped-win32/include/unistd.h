/* libc's header, without the names that Winsock has with other types. */
#pragma GCC system_header
#ifndef OVERLAPPED_LIBC_UNISTD
#define OVERLAPPED_LIBC_UNISTD
#define gethostname overlapped_libc_gethostname
#define socklen_t overlapped_libc_socklen_t
#include_next <unistd.h>
#undef gethostname
#undef socklen_t
#endif
