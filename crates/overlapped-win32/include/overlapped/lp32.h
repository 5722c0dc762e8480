/* Before `main`: memory from here on is below 4 GiB, the library's and malloc's.

   malloc's is, because the program is not position-independent and lies below 4 GiB, and its heap right
   above it; so all of it has to come from there. */
#ifndef OVERLAPPED_LP32_H
#define OVERLAPPED_LP32_H
#pragma GCC system_header
#include <malloc.h>

#ifdef __cplusplus
extern "C"
#endif
void overlapped_lp32(int on);

static void __attribute__((constructor)) overlapped_begin_lp32(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_MAX, 0);
    overlapped_lp32(1);
}

#endif
