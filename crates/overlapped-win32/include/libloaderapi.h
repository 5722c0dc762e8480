/* Loaded libraries. */
#ifndef _APISETLIBLOADER_
#define _APISETLIBLOADER_
#pragma GCC system_header
#include <minwinbase.h>

OVERLAPPED_BEGIN
HMODULE GetModuleHandleA(LPCSTR name);
HMODULE GetModuleHandleW(LPCWSTR name);
DWORD GetModuleFileNameA(HMODULE module, LPSTR path, DWORD length);
DWORD GetModuleFileNameW(HMODULE module, LPWSTR path, DWORD length);
HMODULE LoadLibraryExA(LPCSTR name, HANDLE file, DWORD flags);
HMODULE LoadLibraryExW(LPCWSTR name, HANDLE file, DWORD flags);
FARPROC GetProcAddress(HMODULE module, LPCSTR name);
HMODULE LoadLibraryA(LPCSTR name);
HMODULE LoadLibraryW(LPCWSTR name);
BOOL FreeLibrary(HMODULE module);
OVERLAPPED_END

#endif
