/* The rest of the base services, and all of the others. */
#ifndef _WINBASE_
#define _WINBASE_
#pragma GCC system_header
#include <minwinbase.h>
#include <handleapi.h>
#include <errhandlingapi.h>
#include <ioapiset.h>
#include <fileapi.h>
#include <heapapi.h>
#include <memoryapi.h>
#include <sysinfoapi.h>
#include <timezoneapi.h>
#include <profileapi.h>
#include <synchapi.h>
#include <processthreadsapi.h>
#include <threadpoolapiset.h>
#include <namedpipeapi.h>
#include <libloaderapi.h>
#include <debugapi.h>
#include <stringapiset.h>
#include <winerror.h>

#define INFINITE 0xffffffffu
#define WAIT_OBJECT_0 0u
#define WAIT_ABANDONED 0x00000080u
#define WAIT_ABANDONED_0 0x00000080u
#define WAIT_IO_COMPLETION 0x000000c0u
#define WAIT_FAILED 0xffffffffu

#define FILE_BEGIN 0
#define FILE_CURRENT 1
#define FILE_END 2
#define FILE_TYPE_UNKNOWN 0x0000
#define FILE_TYPE_DISK 0x0001
#define FILE_TYPE_CHAR 0x0002
#define FILE_TYPE_PIPE 0x0003
#define FILE_FLAG_WRITE_THROUGH 0x80000000u
#define FILE_FLAG_OVERLAPPED 0x40000000
#define FILE_FLAG_NO_BUFFERING 0x20000000
#define FILE_FLAG_RANDOM_ACCESS 0x10000000
#define FILE_FLAG_SEQUENTIAL_SCAN 0x08000000
#define FILE_FLAG_DELETE_ON_CLOSE 0x04000000
#define FILE_FLAG_BACKUP_SEMANTICS 0x02000000
#define FILE_SKIP_COMPLETION_PORT_ON_SUCCESS 0x1
#define FILE_SKIP_SET_EVENT_ON_HANDLE 0x2
#define PIPE_ACCESS_INBOUND 0x00000001
#define PIPE_ACCESS_OUTBOUND 0x00000002
#define PIPE_ACCESS_DUPLEX 0x00000003
#define PIPE_TYPE_BYTE 0x00000000
#define PIPE_WAIT 0x00000000

#define GMEM_FIXED 0x0000
#define GMEM_MOVEABLE 0x0002
#define GMEM_ZEROINIT 0x0040
#define GHND (GMEM_MOVEABLE | GMEM_ZEROINIT)
#define GPTR (GMEM_FIXED | GMEM_ZEROINIT)
#define LMEM_FIXED 0x0000
#define LMEM_MOVEABLE 0x0002
#define LMEM_ZEROINIT 0x0040
#define LHND (LMEM_MOVEABLE | LMEM_ZEROINIT)
#define LPTR (LMEM_FIXED | LMEM_ZEROINIT)

#define FORMAT_MESSAGE_ALLOCATE_BUFFER 0x00000100
#define FORMAT_MESSAGE_IGNORE_INSERTS 0x00000200
#define FORMAT_MESSAGE_FROM_STRING 0x00000400
#define FORMAT_MESSAGE_FROM_HMODULE 0x00000800
#define FORMAT_MESSAGE_FROM_SYSTEM 0x00001000
#define FORMAT_MESSAGE_ARGUMENT_ARRAY 0x00002000
#define FORMAT_MESSAGE_MAX_WIDTH_MASK 0x000000ff

#define ZeroMemory RtlZeroMemory
#define FillMemory RtlFillMemory
#define CopyMemory RtlCopyMemory
#define MoveMemory RtlMoveMemory
#define SecureZeroMemory RtlSecureZeroMemory
#define HasOverlappedIoCompleted(overlapped) \
    (__atomic_load_n(&(overlapped)->Internal, __ATOMIC_ACQUIRE) != STATUS_PENDING)

typedef WAITORTIMERCALLBACKFUNC WAITORTIMERCALLBACK;

OVERLAPPED_BEGIN
HGLOBAL GlobalAlloc(UINT flags, SIZE_T length);
HGLOBAL GlobalReAlloc(HGLOBAL memory, SIZE_T length, UINT flags);
HGLOBAL GlobalFree(HGLOBAL memory);
LPVOID GlobalLock(HGLOBAL memory);
BOOL GlobalUnlock(HGLOBAL memory);
SIZE_T GlobalSize(HGLOBAL memory);
HLOCAL LocalAlloc(UINT flags, SIZE_T length);
HLOCAL LocalReAlloc(HLOCAL memory, SIZE_T length, UINT flags);
HLOCAL LocalFree(HLOCAL memory);
LPVOID LocalLock(HLOCAL memory);
BOOL LocalUnlock(HLOCAL memory);
SIZE_T LocalSize(HLOCAL memory);
HGLOBAL GlobalHandle(LPCVOID memory);

DWORD FormatMessageA(DWORD flags, LPCVOID source, DWORD id, DWORD language, LPSTR to, DWORD length,
                     va_list *arguments);
DWORD FormatMessageW(DWORD flags, LPCVOID source, DWORD id, DWORD language, LPWSTR to, DWORD length,
                     va_list *arguments);

BOOL SetFileCompletionNotificationModes(HANDLE file, UCHAR flags);
BOOL BindIoCompletionCallback(HANDLE file, LPOVERLAPPED_COMPLETION_ROUTINE routine, ULONG flags);
BOOL QueueUserWorkItem(LPTHREAD_START_ROUTINE function, PVOID context, ULONG flags);
BOOL RegisterWaitForSingleObject(PHANDLE wait, HANDLE object, WAITORTIMERCALLBACK callback, PVOID context,
                                 ULONG timeout, ULONG flags);
BOOL UnregisterWait(HANDLE wait);
BOOL UnregisterWaitEx(HANDLE wait, HANDLE completion);
BOOL CreateTimerQueueTimer(PHANDLE timer, HANDLE queue, WAITORTIMERCALLBACK callback, PVOID parameter, DWORD due,
                           DWORD period, ULONG flags);
BOOL DeleteTimerQueueTimer(HANDLE queue, HANDLE timer, HANDLE completion);
BOOL ChangeTimerQueueTimer(HANDLE queue, HANDLE timer, ULONG due, ULONG period);
HANDLE CreateTimerQueue(VOID);
BOOL DeleteTimerQueue(HANDLE queue);
BOOL DeleteTimerQueueEx(HANDLE queue, HANDLE completion);

BOOL CopyFileA(LPCSTR from, LPCSTR to, BOOL fail_if_exists);
BOOL MoveFileA(LPCSTR from, LPCSTR to);
BOOL MoveFileExA(LPCSTR from, LPCSTR to, DWORD flags);
DWORD GetCurrentDirectoryA(DWORD length, LPSTR path);
BOOL SetCurrentDirectoryA(LPCSTR path);
DWORD GetEnvironmentVariableA(LPCSTR name, LPSTR value, DWORD length);
BOOL SetEnvironmentVariableA(LPCSTR name, LPCSTR value);
DWORD GetEnvironmentVariableW(LPCWSTR name, LPWSTR value, DWORD length);
LPSTR GetCommandLineA(VOID);
BOOL GetUserNameA(LPSTR name, LPDWORD length);

int lstrlenA(LPCSTR text);
int lstrlenW(LPCWSTR text);
LPSTR lstrcpyA(LPSTR to, LPCSTR from);
LPSTR lstrcpynA(LPSTR to, LPCSTR from, int length);
LPSTR lstrcatA(LPSTR to, LPCSTR from);
int lstrcmpA(LPCSTR one, LPCSTR other);
int lstrcmpiA(LPCSTR one, LPCSTR other);
LPWSTR lstrcpyW(LPWSTR to, LPCWSTR from);
LPWSTR lstrcpynW(LPWSTR to, LPCWSTR from, int length);
LPWSTR lstrcatW(LPWSTR to, LPCWSTR from);
int lstrcmpW(LPCWSTR one, LPCWSTR other);
int lstrcmpiW(LPCWSTR one, LPCWSTR other);
OVERLAPPED_END

#endif
