/* Handles. */
#ifndef _HANDLEAPI_H_
#define _HANDLEAPI_H_
#pragma GCC system_header
#include <minwinbase.h>

#define INVALID_HANDLE_VALUE ((HANDLE)(LONG_PTR)-1)
#define HANDLE_FLAG_INHERIT 0x00000001
#define HANDLE_FLAG_PROTECT_FROM_CLOSE 0x00000002

OVERLAPPED_BEGIN
BOOL CloseHandle(HANDLE object);
BOOL DuplicateHandle(HANDLE from_process, HANDLE from, HANDLE to_process, LPHANDLE to, DWORD access, BOOL inherit,
                     DWORD options);
BOOL GetHandleInformation(HANDLE object, LPDWORD flags);
BOOL SetHandleInformation(HANDLE object, DWORD mask, DWORD flags);
BOOL CompareObjectHandles(HANDLE one, HANDLE other);
OVERLAPPED_END

#endif
