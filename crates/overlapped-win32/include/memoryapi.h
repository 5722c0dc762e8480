/* Pages of memory. */
#ifndef _MEMORYAPI_H_
#define _MEMORYAPI_H_
#pragma GCC system_header
#include <minwinbase.h>

#define FILE_MAP_WRITE 0x0002
#define FILE_MAP_READ 0x0004
#define FILE_MAP_ALL_ACCESS 0xf001f

typedef struct _MEMORY_BASIC_INFORMATION {
    PVOID BaseAddress;
    PVOID AllocationBase;
    DWORD AllocationProtect;
    WORD PartitionId;
    SIZE_T RegionSize;
    DWORD State;
    DWORD Protect;
    DWORD Type;
} MEMORY_BASIC_INFORMATION, *PMEMORY_BASIC_INFORMATION;

OVERLAPPED_BEGIN
LPVOID VirtualAlloc(LPVOID address, SIZE_T length, DWORD type, DWORD protection);
BOOL VirtualFree(LPVOID address, SIZE_T length, DWORD type);
BOOL VirtualProtect(LPVOID address, SIZE_T length, DWORD protection, PDWORD before);
SIZE_T VirtualQuery(LPCVOID address, PMEMORY_BASIC_INFORMATION information, SIZE_T length);
BOOL VirtualLock(LPVOID address, SIZE_T length);
BOOL VirtualUnlock(LPVOID address, SIZE_T length);
BOOL SetProcessWorkingSetSize(HANDLE process, SIZE_T least, SIZE_T most);
HANDLE CreateFileMappingA(HANDLE file, LPSECURITY_ATTRIBUTES attributes, DWORD protection, DWORD high, DWORD low,
                          LPCSTR name);
LPVOID MapViewOfFile(HANDLE mapping, DWORD access, DWORD high, DWORD low, SIZE_T length);
BOOL UnmapViewOfFile(LPCVOID address);
OVERLAPPED_END

#endif
