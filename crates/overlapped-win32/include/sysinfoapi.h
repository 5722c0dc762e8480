/* The system, and its clocks. */
#ifndef _SYSINFOAPI_H_
#define _SYSINFOAPI_H_
#pragma GCC system_header
#include <minwinbase.h>

typedef struct _SYSTEM_INFO {
    __extension__ union {
        DWORD dwOemId;
        __extension__ struct {
            WORD wProcessorArchitecture;
            WORD wReserved;
        };
    };
    DWORD dwPageSize;
    LPVOID lpMinimumApplicationAddress;
    LPVOID lpMaximumApplicationAddress;
    DWORD_PTR dwActiveProcessorMask;
    DWORD dwNumberOfProcessors;
    DWORD dwProcessorType;
    DWORD dwAllocationGranularity;
    WORD wProcessorLevel;
    WORD wProcessorRevision;
} SYSTEM_INFO, *LPSYSTEM_INFO;
typedef struct _MEMORYSTATUSEX {
    DWORD dwLength;
    DWORD dwMemoryLoad;
    DWORDLONG ullTotalPhys;
    DWORDLONG ullAvailPhys;
    DWORDLONG ullTotalPageFile;
    DWORDLONG ullAvailPageFile;
    DWORDLONG ullTotalVirtual;
    DWORDLONG ullAvailVirtual;
    DWORDLONG ullAvailExtendedVirtual;
} MEMORYSTATUSEX, *LPMEMORYSTATUSEX;

OVERLAPPED_BEGIN
VOID GetSystemInfo(LPSYSTEM_INFO information);
VOID GetNativeSystemInfo(LPSYSTEM_INFO information);
BOOL GlobalMemoryStatusEx(LPMEMORYSTATUSEX status);
BOOL GetVersionExA(LPOSVERSIONINFOA information);
DWORD GetVersion(VOID);
DWORD GetTickCount(VOID);
ULONGLONG GetTickCount64(VOID);
VOID GetSystemTime(LPSYSTEMTIME time);
VOID GetLocalTime(LPSYSTEMTIME time);
VOID GetSystemTimeAsFileTime(LPFILETIME time);
VOID GetSystemTimePreciseAsFileTime(LPFILETIME time);
BOOL GetComputerNameA(LPSTR name, LPDWORD length);
BOOL GetComputerNameW(LPWSTR name, LPDWORD length);
UINT GetSystemDirectoryA(LPSTR path, UINT length);
UINT GetWindowsDirectoryA(LPSTR path, UINT length);
OVERLAPPED_END

#endif
