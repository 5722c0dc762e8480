/* libc's header, without its u_long: Winsock's has 32 bits. */
#pragma GCC system_header
#include <sys/select.h>
#ifndef OVERLAPPED_LIBC_TYPES
#define OVERLAPPED_LIBC_TYPES
#define u_long overlapped_libc_u_long
#include_next <sys/types.h>
#undef u_long
#endif
