/* The multimedia clock. */
#ifndef _TIMEAPI_H_
#define _TIMEAPI_H_
#pragma GCC system_header
#include <windef.h>

typedef UINT MMRESULT;
#define TIMERR_NOERROR 0
#define TIME_ONESHOT 0x0000
#define TIME_PERIODIC 0x0001

OVERLAPPED_BEGIN
DWORD timeGetTime(VOID);
MMRESULT timeBeginPeriod(UINT period);
MMRESULT timeEndPeriod(UINT period);
OVERLAPPED_END

#endif
