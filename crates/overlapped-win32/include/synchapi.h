/* Events, mutexes, semaphores, timers, locks in memory; waits. */
#ifndef _SYNCHAPI_H_
#define _SYNCHAPI_H_
#pragma GCC system_header
#include <minwinbase.h>

#define SRWLOCK_INIT RTL_SRWLOCK_INIT
#define RTL_SRWLOCK_INIT {0}
#define CONDITION_VARIABLE_INIT RTL_CONDITION_VARIABLE_INIT
#define RTL_CONDITION_VARIABLE_INIT {0}
#define CONDITION_VARIABLE_LOCKMODE_SHARED 0x1
#define INIT_ONCE_STATIC_INIT RTL_RUN_ONCE_INIT
#define RTL_RUN_ONCE_INIT {0}
#define CREATE_EVENT_MANUAL_RESET 0x00000001
#define CREATE_EVENT_INITIAL_SET 0x00000002
#define CREATE_MUTEX_INITIAL_OWNER 0x00000001
#define CREATE_WAITABLE_TIMER_MANUAL_RESET 0x00000001
#define CRITICAL_SECTION_NO_DEBUG_INFO 0x01000000

typedef RTL_SRWLOCK SRWLOCK, *PSRWLOCK;
typedef RTL_CONDITION_VARIABLE CONDITION_VARIABLE, *PCONDITION_VARIABLE;
typedef RTL_RUN_ONCE INIT_ONCE, *PINIT_ONCE, *LPINIT_ONCE;
typedef BOOL(WINAPI *PINIT_ONCE_FN)(PINIT_ONCE once, PVOID parameter, PVOID *context);
typedef VOID(CALLBACK *PTIMERAPCROUTINE)(LPVOID argument, DWORD low, DWORD high);

OVERLAPPED_BEGIN
HANDLE CreateEventA(LPSECURITY_ATTRIBUTES attributes, BOOL manual_reset, BOOL initially_set, LPCSTR name);
HANDLE CreateEventW(LPSECURITY_ATTRIBUTES attributes, BOOL manual_reset, BOOL initially_set, LPCWSTR name);
HANDLE CreateEventExA(LPSECURITY_ATTRIBUTES attributes, LPCSTR name, DWORD flags, DWORD access);
HANDLE CreateEventExW(LPSECURITY_ATTRIBUTES attributes, LPCWSTR name, DWORD flags, DWORD access);
HANDLE OpenEventW(DWORD access, BOOL inherit, LPCWSTR name);
HANDLE OpenEventA(DWORD access, BOOL inherit, LPCSTR name);
BOOL SetEvent(HANDLE event);
BOOL ResetEvent(HANDLE event);
BOOL PulseEvent(HANDLE event);
HANDLE CreateMutexA(LPSECURITY_ATTRIBUTES attributes, BOOL owned, LPCSTR name);
HANDLE CreateMutexW(LPSECURITY_ATTRIBUTES attributes, BOOL owned, LPCWSTR name);
HANDLE OpenMutexA(DWORD access, BOOL inherit, LPCSTR name);
HANDLE OpenMutexW(DWORD access, BOOL inherit, LPCWSTR name);
HANDLE CreateMutexExA(LPSECURITY_ATTRIBUTES attributes, LPCSTR name, DWORD flags, DWORD access);
HANDLE CreateMutexExW(LPSECURITY_ATTRIBUTES attributes, LPCWSTR name, DWORD flags, DWORD access);
BOOL ReleaseMutex(HANDLE mutex);
HANDLE CreateSemaphoreA(LPSECURITY_ATTRIBUTES attributes, LONG count, LONG most, LPCSTR name);
HANDLE CreateSemaphoreW(LPSECURITY_ATTRIBUTES attributes, LONG count, LONG most, LPCWSTR name);
HANDLE CreateSemaphoreExA(LPSECURITY_ATTRIBUTES attributes, LONG count, LONG most, LPCSTR name, DWORD flags,
                          DWORD access);
HANDLE CreateSemaphoreExW(LPSECURITY_ATTRIBUTES attributes, LONG count, LONG most, LPCWSTR name, DWORD flags,
                          DWORD access);
HANDLE OpenSemaphoreA(DWORD access, BOOL inherit, LPCSTR name);
HANDLE OpenSemaphoreW(DWORD access, BOOL inherit, LPCWSTR name);
BOOL ReleaseSemaphore(HANDLE semaphore, LONG count, LPLONG before);
HANDLE CreateWaitableTimerA(LPSECURITY_ATTRIBUTES attributes, BOOL manual_reset, LPCSTR name);
HANDLE CreateWaitableTimerW(LPSECURITY_ATTRIBUTES attributes, BOOL manual_reset, LPCWSTR name);
HANDLE CreateWaitableTimerExW(LPSECURITY_ATTRIBUTES attributes, LPCWSTR name, DWORD flags, DWORD access);
BOOL SetWaitableTimer(HANDLE timer, const LARGE_INTEGER *due, LONG period, PTIMERAPCROUTINE routine, LPVOID argument,
                      BOOL resume);
BOOL CancelWaitableTimer(HANDLE timer);

DWORD WaitForSingleObject(HANDLE object, DWORD timeout);
DWORD WaitForSingleObjectEx(HANDLE object, DWORD timeout, BOOL alertable);
DWORD WaitForMultipleObjects(DWORD count, const HANDLE *objects, BOOL all, DWORD timeout);
DWORD WaitForMultipleObjectsEx(DWORD count, const HANDLE *objects, BOOL all, DWORD timeout, BOOL alertable);
DWORD SignalObjectAndWait(HANDLE signal, HANDLE object, DWORD timeout, BOOL alertable);
VOID Sleep(DWORD timeout);
DWORD SleepEx(DWORD timeout, BOOL alertable);

VOID InitializeCriticalSection(LPCRITICAL_SECTION section);
BOOL InitializeCriticalSectionAndSpinCount(LPCRITICAL_SECTION section, DWORD spins);
BOOL InitializeCriticalSectionEx(LPCRITICAL_SECTION section, DWORD spins, DWORD flags);
DWORD SetCriticalSectionSpinCount(LPCRITICAL_SECTION section, DWORD spins);
VOID EnterCriticalSection(LPCRITICAL_SECTION section);
BOOL TryEnterCriticalSection(LPCRITICAL_SECTION section);
VOID LeaveCriticalSection(LPCRITICAL_SECTION section);
VOID DeleteCriticalSection(LPCRITICAL_SECTION section);

VOID InitializeSRWLock(PSRWLOCK lock);
VOID AcquireSRWLockExclusive(PSRWLOCK lock);
VOID AcquireSRWLockShared(PSRWLOCK lock);
BOOLEAN TryAcquireSRWLockExclusive(PSRWLOCK lock);
BOOLEAN TryAcquireSRWLockShared(PSRWLOCK lock);
VOID ReleaseSRWLockExclusive(PSRWLOCK lock);
VOID ReleaseSRWLockShared(PSRWLOCK lock);

VOID InitializeConditionVariable(PCONDITION_VARIABLE condition);
BOOL SleepConditionVariableCS(PCONDITION_VARIABLE condition, PCRITICAL_SECTION section, DWORD timeout);
BOOL SleepConditionVariableSRW(PCONDITION_VARIABLE condition, PSRWLOCK lock, DWORD timeout, ULONG flags);
VOID WakeConditionVariable(PCONDITION_VARIABLE condition);
VOID WakeAllConditionVariable(PCONDITION_VARIABLE condition);

VOID InitOnceInitialize(PINIT_ONCE once);
BOOL InitOnceExecuteOnce(PINIT_ONCE once, PINIT_ONCE_FN function, PVOID parameter, LPVOID *context);
BOOL InitOnceBeginInitialize(LPINIT_ONCE once, DWORD flags, PBOOL pending, LPVOID *context);
BOOL InitOnceComplete(LPINIT_ONCE once, DWORD flags, LPVOID context);

BOOL WaitOnAddress(volatile VOID *address, PVOID compare, SIZE_T length, DWORD timeout);
VOID WakeByAddressSingle(PVOID address);
VOID WakeByAddressAll(PVOID address);
OVERLAPPED_END

#endif
