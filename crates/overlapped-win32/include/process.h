/* Threads, as Microsoft's C library starts them. */
#ifndef _INC_PROCESS
#define _INC_PROCESS
#pragma GCC system_header
#include <overlapped/crt.h>
#include <stdint.h>
#include <unistd.h>

OVERLAPPED_BEGIN
uintptr_t _beginthreadex(void *attributes, unsigned stack, unsigned (*start)(void *), void *parameter, unsigned flags,
                         unsigned *id);
uintptr_t _beginthread(void (*start)(void *), unsigned stack, void *parameter);
DECLSPEC_NORETURN void _endthreadex(unsigned code);
DECLSPEC_NORETURN void _endthread(void);
OVERLAPPED_END
#define _getpid() ((int)getpid())
typedef unsigned (*_beginthreadex_proc_type)(void *);
typedef void (*_beginthread_proc_type)(void *);

#endif
