/* Chapter 4: skipped packets, events, results, completion routines, the thread pool. */
#include "clause.h"

static PAIR Pair;
static HANDLE Queue;
static char Buffer[64];

static void Open(void)
{
    Pair = Connected();
    Queue = Port(0);
    CreateIoCompletionPort((HANDLE)Pair.one, Queue, 42, 0);
}

static void Close(void)
{
    ClosePair(&Pair);
    CloseHandle(Queue);
}

static void sk_1(void)
{
    OVERLAPPED ol = {0};
    int result;
    Open();
    CHECK(SetFileCompletionNotificationModes((HANDLE)Pair.one, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS));
    result = Send(Pair.one, "x", 1, &ol);
    if (result == 0)
        CHECK(Get(Queue, NOTHING).error == WAIT_TIMEOUT);
    else
        CHECK(result == WSA_IO_PENDING && Get(Queue, SOON).overlapped == &ol);
    memset(&ol, 0, sizeof(ol));
    CHECK(Recv(Pair.one, Buffer, 1, &ol) == WSA_IO_PENDING);
    send(Pair.other, "x", 1, 0);
    CHECK(Get(Queue, SOON).overlapped == &ol);
    Close();
}

static void sk_3(void)
{
    SOCKET s;
    Open();
    CHECK(SetFileCompletionNotificationModes((HANDLE)Pair.one, 0));
    CHECK(SetFileCompletionNotificationModes((HANDLE)Pair.one, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS));
    CHECK(SetFileCompletionNotificationModes((HANDLE)Pair.one, 0));
    s = WSASocketA(AF_INET, SOCK_STREAM, 0, NULL, 0, 0);
    SetLastError(0);
    CHECK(!SetFileCompletionNotificationModes((HANDLE)s, 1) && GetLastError() == ERROR_INVALID_PARAMETER, "error %lu",
          GetLastError());
    closesocket(s);
    Close();
}

static void ev_1(void)
{
    OVERLAPPED ol = {0};
    HANDLE event = CreateEventA(NULL, TRUE, TRUE, NULL);
    PAIR pair = Connected();
    ol.hEvent = event;
    CHECK(Recv(pair.one, Buffer, 1, &ol) == WSA_IO_PENDING);
    CHECK(WaitForSingleObject(event, 0) == WAIT_TIMEOUT);
    send(pair.other, "x", 1, 0);
    CHECK(WaitForSingleObject(event, SOON) == WAIT_OBJECT_0);
    CHECK(HasOverlappedIoCompleted(&ol) && ol.InternalHigh == 1);
    ClosePair(&pair);
    CloseHandle(event);
}

static void go_1(void)
{
    OVERLAPPED ol = {0};
    DWORD bytes = 77;
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    ol.Internal = 0;
    ol.InternalHigh = 5;
    CHECK(GetOverlappedResult((HANDLE)(ULONG_PTR)0xdead, &ol, &bytes, FALSE) && bytes == 5);
    ol.Internal = STATUS_PENDING;
    ol.hEvent = event;
    bytes = 77;
    SetLastError(0);
    CHECK(!GetOverlappedResult(NULL, &ol, &bytes, FALSE) && GetLastError() == ERROR_IO_INCOMPLETE && bytes == 77, "error %lu",
          GetLastError());
    SetEvent(event);
    CHECK(GetOverlappedResult(NULL, &ol, &bytes, TRUE) && bytes == 5);
    CloseHandle(event);
}

static void go_1_wait(void)
{
    OVERLAPPED ol = {0};
    DWORD bytes = 0, flags = 0;
    PAIR pair = Connected();
    ol.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
    CHECK(Recv(pair.one, Buffer, 8, &ol) == WSA_IO_PENDING);
    CHECK(!WSAGetOverlappedResult(pair.one, &ol, &bytes, FALSE, &flags) && WSAGetLastError() == WSA_IO_INCOMPLETE);
    send(pair.other, "abc", 3, 0);
    CHECK(WSAGetOverlappedResult(pair.one, &ol, &bytes, TRUE, &flags) && bytes == 3);
    CHECK(GetOverlappedResult((HANDLE)pair.one, &ol, &bytes, TRUE) && bytes == 3);
    CloseHandle(ol.hEvent);
    ClosePair(&pair);
}

static void go_3(void)
{
    OVERLAPPED ol = {0};
    DWORD bytes, flags;
    SOCKET s = Overlapped(SOCK_STREAM);
    closesocket(s);
    WSASetLastError(0);
    CHECK(!WSAGetOverlappedResult(s, &ol, &bytes, FALSE, &flags) && WSAGetLastError() == WSAENOTSOCK, "error %d",
          WSAGetLastError());
}

static int Routines;
static DWORD RoutineBytes, RoutineError;
static void CALLBACK Routine(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
    Routines++;
    RoutineBytes = bytes;
    RoutineError = error;
}

static int RecvRoutine(SOCKET s, OVERLAPPED *ol)
{
    WSABUF wsa = {sizeof(Buffer), Buffer};
    DWORD flags = 0;
    return WSARecv(s, &wsa, 1, NULL, &flags, ol, Routine) == 0 ? 0 : WSAGetLastError();
}

static void ap_1(void)
{
    OVERLAPPED ol = {0};
    PAIR pair = Connected();
    ol.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
    Routines = 0;
    CHECK(RecvRoutine(pair.one, &ol) == WSA_IO_PENDING);
    CHECK(SleepEx(NOTHING, TRUE) == 0 && Routines == 0);
    send(pair.other, "abc", 3, 0);
    Sleep(NOTHING);
    CHECK(Routines == 0);
    CHECK(SleepEx(SOON, TRUE) == WAIT_IO_COMPLETION && Routines == 1 && RoutineBytes == 3 && RoutineError == 0);
    CHECK(WaitForSingleObject(ol.hEvent, 0) == WAIT_TIMEOUT);
    /* One that completes at once calls its routine as well. */
    send(pair.other, "de", 2, 0);
    Sleep(NOTHING);
    CHECK(Started(RecvRoutine(pair.one, &ol)));
    CHECK(Routines == 1);
    CHECK(SleepEx(SOON, TRUE) == WAIT_IO_COMPLETION && Routines == 2 && RoutineBytes == 2);
    CloseHandle(ol.hEvent);
    ClosePair(&pair);
}

static HANDLE Called;
static DWORD CalledBytes, CalledError;
static VOID CALLBACK PoolRoutine(DWORD error, DWORD bytes, LPOVERLAPPED overlapped)
{
    CalledError = error;
    CalledBytes = bytes;
    SetEvent(Called);
}

static void tp_1(void)
{
    OVERLAPPED ol = {0};
    PAIR pair = Connected();
    Called = CreateEventA(NULL, FALSE, FALSE, NULL);
    CHECK(BindIoCompletionCallback((HANDLE)pair.one, PoolRoutine, 0), "error %lu", GetLastError());
    CHECK(Recv(pair.one, Buffer, 8, &ol) == WSA_IO_PENDING);
    send(pair.other, "abcd", 4, 0);
    CHECK(WaitForSingleObject(Called, SOON) == WAIT_OBJECT_0 && CalledBytes == 4 && CalledError == 0);
    SetLastError(0);
    CHECK(!BindIoCompletionCallback((HANDLE)pair.one, PoolRoutine, 0) && GetLastError() == ERROR_INVALID_PARAMETER, "error %lu",
          GetLastError());
    ClosePair(&pair);
    CloseHandle(Called);
}

static VOID CALLBACK IoRoutine(PTP_CALLBACK_INSTANCE instance, PVOID context, PVOID overlapped, ULONG result,
                               ULONG_PTR bytes, PTP_IO io)
{
    CalledError = result;
    CalledBytes = (DWORD)bytes;
    SetEvent(*(HANDLE *)context);
}

static void tp_2(void)
{
    OVERLAPPED ol = {0};
    PAIR pair = Connected();
    PTP_IO io;
    Called = CreateEventA(NULL, FALSE, FALSE, NULL);
    io = CreateThreadpoolIo((HANDLE)pair.one, IoRoutine, &Called, NULL);
    CHECK(io != NULL, "error %lu", GetLastError());
    if (io == NULL)
        return;
    StartThreadpoolIo(io);
    CHECK(Recv(pair.one, Buffer, 8, &ol) == WSA_IO_PENDING);
    send(pair.other, "abc", 3, 0);
    CHECK(WaitForSingleObject(Called, SOON) == WAIT_OBJECT_0 && CalledBytes == 3 && CalledError == 0);
    StartThreadpoolIo(io);
    CancelThreadpoolIo(io);
    WaitForThreadpoolIoCallbacks(io, FALSE);
    StartThreadpoolIo(io);
    CHECK(Recv(pair.one, Buffer, 8, &ol) == WSA_IO_PENDING);
    CHECK(CancelIoEx((HANDLE)pair.one, &ol));
    CHECK(WaitForSingleObject(Called, SOON) == WAIT_OBJECT_0 && CalledError == ERROR_OPERATION_ABORTED);
    WaitForThreadpoolIoCallbacks(io, FALSE);
    CloseThreadpoolIo(io);
    ClosePair(&pair);
    CloseHandle(Called);
}

int main(void)
{
    Start();
    RUN("SK-1", sk_1);
    RUN("SK-3", sk_3);
    RUN("EV-1", ev_1);
    RUN("GO-1", go_1);
    RUN("GO-1 (wait)", go_1_wait);
    RUN("GO-3", go_3);
    RUN("AP-1", ap_1);
    RUN("TP-1", tp_1);
    RUN("TP-2", tp_2);
    return 0;
}
