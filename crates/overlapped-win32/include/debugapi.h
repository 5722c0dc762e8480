/* Debuggers. */
#ifndef _APISETDEBUG_
#define _APISETDEBUG_
#pragma GCC system_header
#include <minwinbase.h>

OVERLAPPED_BEGIN
VOID OutputDebugStringA(LPCSTR text);
VOID OutputDebugStringW(LPCWSTR text);
BOOL IsDebuggerPresent(VOID);
VOID DebugBreak(VOID);
OVERLAPPED_END

#endif
