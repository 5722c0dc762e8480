/* Loaded libraries. */
#ifndef _APISETLIBLOADER_
#define _APISETLIBLOADER_
#pragma GCC system_header
#include <minwinbase.h>

OVERLAPPED_BEGIN
HMODULE GetModuleHandleA(LPCSTR name);
HMODULE GetModuleHandleW(LPCWSTR name);
DWORD GetModuleFileNameA(HMODULE module, LPSTR path, DWORD length);
FARPROC GetProcAddress(HMODULE module, LPCSTR name);
HMODULE LoadLibraryA(LPCSTR name);
HMODULE LoadLibraryW(LPCWSTR name);
BOOL FreeLibrary(HMODULE module);
OVERLAPPED_END

#endif
