/* The last error. */
#ifndef _ERRHANDLING_H_
#define _ERRHANDLING_H_
#pragma GCC system_header
#include <minwinbase.h>

#define SEM_FAILCRITICALERRORS 0x0001
#define SEM_NOGPFAULTERRORBOX 0x0002

OVERLAPPED_BEGIN
DWORD GetLastError(VOID);
VOID SetLastError(DWORD code);
UINT SetErrorMode(UINT mode);
OVERLAPPED_END

#endif
