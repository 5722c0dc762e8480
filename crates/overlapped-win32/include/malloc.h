/* libc's header, and Microsoft's additions. */
#pragma GCC system_header
#include_next <malloc.h>
#include <alloca.h>
#include <overlapped/crt.h>
#ifndef _alloca
#define _alloca alloca
#define _malloca alloca
#define _freea(memory) ((void)(memory))
#define _msize(memory) malloc_usable_size(memory)
#endif
