/* Threads, and the process. */
#ifndef _PROCESSTHREADSAPI_H_
#define _PROCESSTHREADSAPI_H_
#pragma GCC system_header
#include <minwinbase.h>

#define TLS_OUT_OF_INDEXES 0xffffffffu
#define TLS_MINIMUM_AVAILABLE 64
#define STILL_ACTIVE STATUS_PENDING
#define CREATE_SUSPENDED 0x00000004
#define STACK_SIZE_PARAM_IS_A_RESERVATION 0x00010000
#define THREAD_PRIORITY_LOWEST (-2)
#define THREAD_PRIORITY_BELOW_NORMAL (-1)
#define THREAD_PRIORITY_NORMAL 0
#define THREAD_PRIORITY_ABOVE_NORMAL 1
#define THREAD_PRIORITY_HIGHEST 2
#define THREAD_PRIORITY_TIME_CRITICAL 15
#define THREAD_PRIORITY_IDLE (-15)
#define NORMAL_PRIORITY_CLASS 0x00000020
#define HIGH_PRIORITY_CLASS 0x00000080
#define THREAD_ALL_ACCESS 0x1fffff
#define PROCESS_ALL_ACCESS 0x1fffff

OVERLAPPED_BEGIN
HANDLE CreateThread(LPSECURITY_ATTRIBUTES attributes, SIZE_T stack, LPTHREAD_START_ROUTINE start, LPVOID parameter,
                    DWORD flags, LPDWORD id);
DECLSPEC_NORETURN VOID ExitThread(DWORD code);
BOOL TerminateThread(HANDLE thread, DWORD code);
BOOL GetExitCodeThread(HANDLE thread, LPDWORD code);
DWORD ResumeThread(HANDLE thread);
DWORD SuspendThread(HANDLE thread);
HANDLE OpenThread(DWORD access, BOOL inherit, DWORD id);
HANDLE GetCurrentThread(VOID);
DWORD GetCurrentThreadId(VOID);
DWORD GetThreadId(HANDLE thread);
BOOL SetThreadPriority(HANDLE thread, int priority);
int GetThreadPriority(HANDLE thread);
HRESULT SetThreadDescription(HANDLE thread, PCWSTR description);
BOOL SwitchToThread(VOID);
DWORD QueueUserAPC(PAPCFUNC routine, HANDLE thread, ULONG_PTR data);
DWORD_PTR SetThreadAffinityMask(HANDLE thread, DWORD_PTR mask);
DWORD SetThreadIdealProcessor(HANDLE thread, DWORD processor);
BOOL GetThreadTimes(HANDLE thread, LPFILETIME created, LPFILETIME exited, LPFILETIME kernel, LPFILETIME user);

DWORD TlsAlloc(VOID);
LPVOID TlsGetValue(DWORD index);
BOOL TlsSetValue(DWORD index, LPVOID value);
BOOL TlsFree(DWORD index);
DWORD FlsAlloc(PFLS_CALLBACK_FUNCTION callback);
PVOID FlsGetValue(DWORD index);
BOOL FlsSetValue(DWORD index, PVOID value);
BOOL FlsFree(DWORD index);

HANDLE GetCurrentProcess(VOID);
DWORD GetCurrentProcessId(VOID);
DWORD GetCurrentProcessorNumber(VOID);
DECLSPEC_NORETURN VOID ExitProcess(UINT code);
BOOL TerminateProcess(HANDLE process, UINT code);
BOOL GetExitCodeProcess(HANDLE process, LPDWORD code);
HANDLE OpenProcess(DWORD access, BOOL inherit, DWORD id);
BOOL SetPriorityClass(HANDLE process, DWORD priority);
DWORD GetPriorityClass(HANDLE process);
DWORD GetProcessId(HANDLE process);
BOOL SetThreadPriorityBoost(HANDLE thread, BOOL off);
BOOL GetProcessTimes(HANDLE process, LPFILETIME created, LPFILETIME exited, LPFILETIME kernel, LPFILETIME user);
BOOL GetProcessAffinityMask(HANDLE process, DWORD_PTR *mask, DWORD_PTR *system);
OVERLAPPED_END

#ifdef __cplusplus
/* `unsigned long` is a DWORD on Windows, and twice as wide here. */
template <class Id>
HANDLE CreateThread(LPSECURITY_ATTRIBUTES attributes, SIZE_T stack, LPTHREAD_START_ROUTINE start, LPVOID parameter,
                    DWORD flags, Id *id)
{
    DWORD number = 0;
    HANDLE thread = CreateThread(attributes, stack, start, parameter, flags, &number);
    *id = (Id)number;
    return thread;
}
#endif

#endif
