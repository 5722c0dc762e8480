/* Completion ports. */
#ifndef _IO_APISET_H_
#define _IO_APISET_H_
#pragma GCC system_header
#include <minwinbase.h>

OVERLAPPED_BEGIN
HANDLE CreateIoCompletionPort(HANDLE file, HANDLE port, ULONG_PTR key, DWORD concurrency);
BOOL GetQueuedCompletionStatus(HANDLE port, LPDWORD bytes, PULONG_PTR key, LPOVERLAPPED *overlapped, DWORD timeout);
BOOL GetQueuedCompletionStatusEx(HANDLE port, LPOVERLAPPED_ENTRY entries, ULONG count, PULONG removed, DWORD timeout,
                                 BOOL alertable);
BOOL PostQueuedCompletionStatus(HANDLE port, DWORD bytes, ULONG_PTR key, LPOVERLAPPED overlapped);
BOOL GetOverlappedResult(HANDLE file, LPOVERLAPPED overlapped, LPDWORD bytes, BOOL wait);
BOOL GetOverlappedResultEx(HANDLE file, LPOVERLAPPED overlapped, LPDWORD bytes, DWORD timeout, BOOL alertable);
BOOL CancelIo(HANDLE file);
BOOL CancelIoEx(HANDLE file, LPOVERLAPPED overlapped);
BOOL CancelSynchronousIo(HANDLE thread);
BOOL DeviceIoControl(HANDLE device, DWORD code, LPVOID in, DWORD in_length, LPVOID out, DWORD out_length,
                     LPDWORD returned, LPOVERLAPPED overlapped);
OVERLAPPED_END

#ifdef __cplusplus
/* What programs pass where 32 bits were as good as a pointer, or where one 64-bit type was another. */
template <class Key> BOOL GetQueuedCompletionStatus(HANDLE port, LPDWORD bytes, Key *key, LPOVERLAPPED *overlapped, DWORD timeout)
{
#ifdef OVERLAPPED_LP32
    static_assert(sizeof(Key) == 8 || sizeof(Key) == 4, "a completion key is taken into a ULONG_PTR");
#else
    static_assert(sizeof(Key) == 8, "a completion key has 64 bits: take it into a ULONG_PTR, or compile with --lp32");
#endif
    if (sizeof(Key) == 8)
        return GetQueuedCompletionStatus(port, bytes, (PULONG_PTR)key, overlapped, timeout);
    /* `key` may really be the address of a pointer, whose upper half the wrapper saw to be zero. */
    ULONG_PTR whole = *(LPDWORD)key;
    BOOL result = GetQueuedCompletionStatus(port, bytes, &whole, overlapped, timeout);
    *(LPDWORD)key = (DWORD)whole;
    return result;
}
/* `unsigned long` is a DWORD on Windows, and twice as wide here. */
template <class Bytes, class Key>
BOOL GetQueuedCompletionStatus(HANDLE port, Bytes *bytes, Key *key, LPOVERLAPPED *overlapped, DWORD timeout)
{
    DWORD moved = (DWORD)*bytes;
    BOOL result = GetQueuedCompletionStatus(port, &moved, key, overlapped, timeout);
    *bytes = (Bytes)moved;
    return result;
}
/* A pointer as the key. */
template <class T> HANDLE CreateIoCompletionPort(HANDLE file, HANDLE port, T *key, DWORD concurrency)
{
    return CreateIoCompletionPort(file, port, (ULONG_PTR)key, concurrency);
}
template <class T> BOOL PostQueuedCompletionStatus(HANDLE port, DWORD bytes, T *key, LPOVERLAPPED overlapped)
{
    return PostQueuedCompletionStatus(port, bytes, (ULONG_PTR)key, overlapped);
}
#endif

#endif
