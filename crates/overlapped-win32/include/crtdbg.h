/* The debug heap, which is not here: its calls are nothing. */
#ifndef _INC_CRTDBG
#define _INC_CRTDBG
#pragma GCC system_header
#include <overlapped/crt.h>
#include <assert.h>

#define _CRTDBG_ALLOC_MEM_DF 0x01
#define _CRTDBG_LEAK_CHECK_DF 0x20
#define _CRTDBG_REPORT_FLAG (-1)
#define _CRTDBG_MODE_FILE 0x1
#define _CRTDBG_MODE_DEBUG 0x2
#define _CRTDBG_MODE_WNDW 0x4
#define _CRTDBG_FILE_STDOUT ((void *)-4)
#define _CRTDBG_FILE_STDERR ((void *)-5)
#define _CRT_WARN 0
#define _CRT_ERROR 1
#define _CRT_ASSERT 2
#define _NORMAL_BLOCK 1
#define _CLIENT_BLOCK 4
#define _CrtSetDbgFlag(flags) 0
#define _CrtSetReportMode(kind, mode) 0
#define _CrtSetReportFile(kind, file) ((void *)0)
#define _CrtSetBreakAlloc(number) 0
#define _CrtDumpMemoryLeaks() 0
#define _CrtCheckMemory() 1
#define _CrtMemCheckpoint(state) ((void)(state))
#define _ASSERT(condition) assert(condition)
#define _ASSERTE(condition) assert(condition)
typedef struct _CrtMemState {
    int nothing;
} _CrtMemState;

#endif
