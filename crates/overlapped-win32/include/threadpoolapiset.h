/* The thread pool's I/O. */
#ifndef _THREADPOOLAPISET_H_
#define _THREADPOOLAPISET_H_
#pragma GCC system_header
#include <minwinbase.h>

typedef VOID(CALLBACK *PTP_WIN32_IO_CALLBACK)(PTP_CALLBACK_INSTANCE instance, PVOID context, PVOID overlapped,
                                              ULONG result, ULONG_PTR bytes, PTP_IO io);
typedef VOID(CALLBACK *PTP_SIMPLE_CALLBACK)(PTP_CALLBACK_INSTANCE instance, PVOID context);
typedef VOID(CALLBACK *PTP_WORK_CALLBACK)(PTP_CALLBACK_INSTANCE instance, PVOID context, PTP_WORK work);

OVERLAPPED_BEGIN
PTP_IO CreateThreadpoolIo(HANDLE file, PTP_WIN32_IO_CALLBACK callback, PVOID context, PTP_CALLBACK_ENVIRON environ);
VOID StartThreadpoolIo(PTP_IO io);
VOID CancelThreadpoolIo(PTP_IO io);
VOID WaitForThreadpoolIoCallbacks(PTP_IO io, BOOL cancel_pending);
VOID CloseThreadpoolIo(PTP_IO io);
OVERLAPPED_END

#endif
