/* Heaps. */
#ifndef _HEAPAPI_H_
#define _HEAPAPI_H_
#pragma GCC system_header
#include <minwinbase.h>

OVERLAPPED_BEGIN
HANDLE GetProcessHeap(VOID);
HANDLE HeapCreate(DWORD options, SIZE_T initial, SIZE_T most);
BOOL HeapDestroy(HANDLE heap);
LPVOID HeapAlloc(HANDLE heap, DWORD flags, SIZE_T length);
LPVOID HeapReAlloc(HANDLE heap, DWORD flags, LPVOID memory, SIZE_T length);
BOOL HeapFree(HANDLE heap, DWORD flags, LPVOID memory);
SIZE_T HeapSize(HANDLE heap, DWORD flags, LPCVOID memory);
BOOL HeapValidate(HANDLE heap, DWORD flags, LPCVOID memory);
SIZE_T HeapCompact(HANDLE heap, DWORD flags);
OVERLAPPED_END

#endif
