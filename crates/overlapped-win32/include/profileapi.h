/* The fine clock. */
#ifndef _PROFILEAPI_H_
#define _PROFILEAPI_H_
#pragma GCC system_header
#include <minwinbase.h>

OVERLAPPED_BEGIN
BOOL QueryPerformanceCounter(LARGE_INTEGER *count);
BOOL QueryPerformanceFrequency(LARGE_INTEGER *frequency);
OVERLAPPED_END

#endif
