/* Chapter 4: completion routines, and what the thread pool calls. */
#include "associated.h"

static volatile LONG Routines;
static DWORD RoutineBytes, RoutineError, RoutineThread;
static LPWSAOVERLAPPED RoutineOverlapped;
static void CALLBACK Routine(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
    Routines++;
    RoutineBytes = bytes;
    RoutineError = error;
    RoutineThread = GetCurrentThreadId();
    RoutineOverlapped = overlapped;
}

static int RecvInto(SOCKET s, char *to, ULONG length, OVERLAPPED *ol, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine)
{
    WSABUF wsa;
    DWORD flags = 0;
    wsa.buf = to;
    wsa.len = length;
    return WSARecv(s, &wsa, 1, NULL, &flags, ol, routine) == 0 ? 0 : WSAGetLastError();
}

static int RecvRoutine(SOCKET s, OVERLAPPED *ol)
{
    return RecvInto(s, Buffer, sizeof(Buffer), ol, Routine);
}

static DWORD WINAPI WaitAlertably(LPVOID event)
{
    return WaitForSingleObjectEx((HANDLE)event, SOON, TRUE);
}

static void ap_1(void)
{
    OVERLAPPED ol = {0};
    PAIR pair = Connected();
    HANDLE end = CreateEventA(NULL, TRUE, FALSE, NULL);
    HANDLE thread = CreateThread(NULL, 0, WaitAlertably, end, 0, NULL);
    ol.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
    Routines = 0;
    CHECK(RecvRoutine(pair.one, &ol) == WSA_IO_PENDING);
    CHECK(SleepEx(NOTHING, TRUE) == 0 && Routines == 0);
    send(pair.other, "abc", 3, 0);
    /* No alertable wait of this thread's: not here, nor in the other thread's. */
    Sleep(NOTHING);
    CHECK(Routines == 0);
    CHECK(SleepEx(SOON, TRUE) == WAIT_IO_COMPLETION && Routines == 1 && RoutineBytes == 3 && RoutineError == 0);
    CHECK(RoutineThread == GetCurrentThreadId() && RoutineOverlapped == &ol);
    CHECK(WaitForSingleObject(ol.hEvent, 0) == WAIT_TIMEOUT);
    /* One that completes at once calls its routine as well, and not before it waits. */
    send(pair.other, "de", 2, 0);
    Sleep(NOTHING);
    CHECK(Started(RecvRoutine(pair.one, &ol)));
    CHECK(Routines == 1);
    CHECK(SleepEx(SOON, TRUE) == WAIT_IO_COMPLETION && Routines == 2 && RoutineBytes == 2);
    /* A cancelled one as well. */
    CHECK(RecvRoutine(pair.one, &ol) == WSA_IO_PENDING);
    CHECK(CancelIo((HANDLE)pair.one));
    CHECK(SleepEx(SOON, TRUE) == WAIT_IO_COMPLETION && Routines == 3 && RoutineError == WSA_OPERATION_ABORTED, "error %lu",
          RoutineError);
    SetEvent(end);
    CHECK(Joined(thread) == WAIT_OBJECT_0);
    CloseHandle(end);
    CloseHandle(ol.hEvent);
    ClosePair(&pair);
}

static int Depth, Deepest;
static void CALLBACK Nesting(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
    Routines++;
    if (++Depth > Deepest)
        Deepest = Depth;
    SleepEx(NOTHING, TRUE);
    Depth--;
}

static void ap_1_nesting(void)
{
    OVERLAPPED ol[2];
    PAIR pair = Connected();
    int i;
    memset(ol, 0, sizeof(ol));
    Routines = Depth = Deepest = 0;
    for (i = 0; i < 2; i++)
        CHECK(RecvInto(pair.one, Buffer + i, 1, &ol[i], Nesting) == WSA_IO_PENDING);
    send(pair.other, "ab", 2, 0);
    for (i = 0; i < 2 && Routines < 2; i++)
        SleepEx(SOON, TRUE);
    CHECK(Routines == 2 && Deepest == 1, "%ld calls, %d deep", Routines, Deepest);
    ClosePair(&pair);
}

/* Once the routine has run, or never will. */
static DWORD WINAPI SendByte(LPVOID s)
{
    ULONGLONG until = GetTickCount64() + SOON;
    while (Routines == 0 && GetTickCount64() < until)
        Sleep(1);
    send((SOCKET)s, "z", 1, 0);
    return 0;
}

static void ap_2(void)
{
    OVERLAPPED ol[3], more = {0};
    PAIR pair = Connected(), other = Connected();
    HANDLE thread;
    char byte;
    int i;
    memset(ol, 0, sizeof(ol));
    Routines = 0;
    for (i = 0; i < 3; i++)
        CHECK(RecvInto(pair.one, Buffer + 2 * i, 2, &ol[i], Routine) == WSA_IO_PENDING);
    send(pair.other, "001122", 6, 0);
    for (i = 0; i < 3 && Routines < 3; i++)
        SleepEx(SOON, TRUE);
    CHECK(Routines == 3 && memcmp(Buffer, "001122", 6) == 0, "%ld calls, %.6s", Routines, Buffer);
    /* A blocking call that has not to wait runs none; */
    Routines = 0;
    CHECK(RecvRoutine(pair.one, &more) == WSA_IO_PENDING);
    send(pair.other, "x", 1, 0);
    EVENTUALLY(HasOverlappedIoCompleted(&more));
    Sleep(NOTHING);
    send(other.other, "y", 1, 0);
    Sleep(NOTHING);
    CHECK(recv(other.one, &byte, 1, 0) == 1 && byte == 'y' && Routines == 0, "%ld calls", Routines);
    /* one that waits does, and goes on waiting. */
    thread = CreateThread(NULL, 0, SendByte, (LPVOID)other.other, 0, NULL);
    CHECK(recv(other.one, &byte, 1, 0) == 1 && byte == 'z' && Routines == 1, "%ld calls", Routines);
    Joined(thread);
    ClosePair(&pair);
    ClosePair(&other);
}

static HANDLE Called;
static DWORD CalledBytes, CalledError;
static LPOVERLAPPED CalledOverlapped;
static VOID CALLBACK PoolRoutine(DWORD error, DWORD bytes, LPOVERLAPPED overlapped)
{
    CalledError = error;
    CalledBytes = bytes;
    CalledOverlapped = overlapped;
    SetEvent(Called);
}

static DWORD Bind(HANDLE file, LPOVERLAPPED_COMPLETION_ROUTINE routine, ULONG flags)
{
    SetLastError(0);
    return BindIoCompletionCallback(file, routine, flags) ? 0 : GetLastError();
}

static void tp_1(void)
{
    OVERLAPPED ol = {0};
    PAIR pair = Connected();
    SOCKET plain = WSASocketA(AF_INET, SOCK_STREAM, 0, NULL, 0, 0);
    DWORD error;
    Called = CreateEventA(NULL, FALSE, FALSE, NULL);
    error = Bind((HANDLE)plain, PoolRoutine, 0);
    CHECK(error == ERROR_INVALID_PARAMETER, "not overlapped: %lu", error);
    error = Bind((HANDLE)pair.one, PoolRoutine, 0);
    CHECK(error == 0, "error %lu", error);
    CHECK(Recv(pair.one, Buffer, 8, &ol) == WSA_IO_PENDING);
    send(pair.other, "abcd", 4, 0);
    CHECK(WaitForSingleObject(Called, SOON) == WAIT_OBJECT_0 && CalledBytes == 4 && CalledError == 0);
    CHECK(CalledOverlapped == &ol);
    error = Bind((HANDLE)pair.one, PoolRoutine, 0);
    CHECK(error == ERROR_INVALID_PARAMETER, "again: %lu", error);
    closesocket(plain);
    ClosePair(&pair);
    CloseHandle(Called);
}

static void tp_1_flags(void)
{
    SOCKET s = Overlapped(SOCK_STREAM);
    DWORD error = Bind((HANDLE)s, PoolRoutine, 1);
    CHECK(error == ERROR_INVALID_PARAMETER, "error %lu", error);
    closesocket(s);
}

static void tp_1_no_routine(void)
{
    SOCKET s = Overlapped(SOCK_STREAM);
    DWORD error = Bind((HANDLE)s, NULL, 0);
    CHECK(error == ERROR_INVALID_PARAMETER, "error %lu", error);
    closesocket(s);
}

typedef struct _POOLED {
    HANDLE called, go_on;
    volatile LONG calls;
} POOLED;

static VOID CALLBACK IoRoutine(PTP_CALLBACK_INSTANCE instance, PVOID context, PVOID overlapped, ULONG result,
                               ULONG_PTR bytes, PTP_IO io)
{
    POOLED *pooled = (POOLED *)context;
    CalledError = result;
    CalledBytes = (DWORD)bytes;
    CalledOverlapped = (LPOVERLAPPED)overlapped;
    InterlockedIncrement(&pooled->calls);
    SetEvent(pooled->called);
    WaitForSingleObject(pooled->go_on, SOON);
}

static DWORD WINAPI WaitForCalls(LPVOID io)
{
    WaitForThreadpoolIoCallbacks((PTP_IO)io, FALSE);
    return 1;
}

static void tp_2(void)
{
    OVERLAPPED ol = {0};
    PAIR pair = Connected();
    POOLED pooled = {0};
    HANDLE waiting;
    PTP_IO io;
    pooled.called = CreateEventA(NULL, FALSE, FALSE, NULL);
    pooled.go_on = CreateEventA(NULL, TRUE, TRUE, NULL);
    io = CreateThreadpoolIo((HANDLE)pair.one, IoRoutine, &pooled, NULL);
    CHECK(io != NULL, "error %lu", GetLastError());
    if (io == NULL)
        return;
    StartThreadpoolIo(io);
    CHECK(Recv(pair.one, Buffer, 8, &ol) == WSA_IO_PENDING);
    send(pair.other, "abc", 3, 0);
    CHECK(WaitForSingleObject(pooled.called, SOON) == WAIT_OBJECT_0 && CalledBytes == 3 && CalledError == 0);
    CHECK(CalledOverlapped == &ol);
    /* A start that is taken back is none that is waited for. */
    StartThreadpoolIo(io);
    CancelThreadpoolIo(io);
    WaitForThreadpoolIoCallbacks(io, FALSE);
    /* Waiting lasts until the call that is to come has come, and has returned. */
    ResetEvent(pooled.go_on);
    StartThreadpoolIo(io);
    CHECK(Recv(pair.one, Buffer, 8, &ol) == WSA_IO_PENDING);
    waiting = CreateThread(NULL, 0, WaitForCalls, io, 0, NULL);
    CHECK(WaitForSingleObject(waiting, NOTHING) == WAIT_TIMEOUT);
    CHECK(CancelIoEx((HANDLE)pair.one, &ol));
    /* The error is Win32's. */
    CHECK(WaitForSingleObject(pooled.called, SOON) == WAIT_OBJECT_0 && CalledError == ERROR_OPERATION_ABORTED);
    CHECK(WaitForSingleObject(waiting, NOTHING) == WAIT_TIMEOUT);
    SetEvent(pooled.go_on);
    CHECK(Joined(waiting) == 1);
    /* Waiting that cancels drops the call that has not run. */
    StartThreadpoolIo(io);
    CHECK(Recv(pair.one, Buffer, 8, &ol) == WSA_IO_PENDING);
    WaitForThreadpoolIoCallbacks(io, TRUE);
    send(pair.other, "x", 1, 0);
    EVENTUALLY(HasOverlappedIoCompleted(&ol));
    CHECK(WaitForSingleObject(pooled.called, NOTHING) == WAIT_TIMEOUT && pooled.calls == 2, "%ld calls", pooled.calls);
    CloseThreadpoolIo(io);
    ClosePair(&pair);
    CloseHandle(pooled.called);
    CloseHandle(pooled.go_on);
}

/* One cancel too many swallows the next packet. */
static void tp_2_extra(void)
{
    OVERLAPPED ol = {0};
    PAIR pair = Connected();
    POOLED pooled = {0};
    PTP_IO io;
    pooled.called = CreateEventA(NULL, FALSE, FALSE, NULL);
    pooled.go_on = CreateEventA(NULL, TRUE, TRUE, NULL);
    io = CreateThreadpoolIo((HANDLE)pair.one, IoRoutine, &pooled, NULL);
    if (io == NULL)
        return;
    CancelThreadpoolIo(io);
    StartThreadpoolIo(io);
    CHECK(Recv(pair.one, Buffer, 1, &ol) == WSA_IO_PENDING);
    send(pair.other, "xy", 2, 0);
    EVENTUALLY(HasOverlappedIoCompleted(&ol));
    CHECK(WaitForSingleObject(pooled.called, NOTHING) == WAIT_TIMEOUT && pooled.calls == 0, "%ld calls", pooled.calls);
    StartThreadpoolIo(io);
    CHECK(Started(Recv(pair.one, Buffer, 1, &ol)));
    CHECK(WaitForSingleObject(pooled.called, SOON) == WAIT_OBJECT_0 && pooled.calls == 1, "%ld calls", pooled.calls);
    ClosePair(&pair);
    CloseHandle(pooled.called);
    CloseHandle(pooled.go_on);
}

int main(void)
{
    Start();
    RUN("AP-1", ap_1);
    RUN("AP-1 (nesting)", ap_1_nesting);
    RUN("AP-2", ap_2);
    RUN("TP-1", tp_1);
    RUN("TP-1 (flags)", tp_1_flags);
    RUN("TP-1 (no routine)", tp_1_no_routine);
    RUN("TP-2", tp_2);
    RUN("TP-2 (one cancel too many)", tp_2_extra);
    return 0;
}
