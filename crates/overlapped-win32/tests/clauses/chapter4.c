/* Chapter 4: skipped packets, events, results. Completion routines and the thread pool's calls are in
   chapter4_calls.c.

   Not expressible here:
   JO-1         there are no job objects
   WC-1, WC-2   there are no wait completion packets
   RI-1, RI-2   there is no registered I/O
   SK-4         ReadFileScatter and WriteFileGather are not there; the rest of it is checked */
#undef _WIN32_WINNT
#define _WIN32_WINNT 0x0602
#include "associated.h"

static void sk_1(void)
{
    OVERLAPPED ol = {0};
    PACKET packet;
    int result;
    Open();
    CHECK(SetFileCompletionNotificationModes((HANDLE)Pair.one, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS));
    /* It has ended at once, or it pends; never both. */
    result = Send(Pair.one, "x", 1, &ol);
    if (result == 0)
        CHECK(IsEmpty(Queue) && ol.Internal == 0 && ol.InternalHigh == 1);
    else
        CHECK(result == WSA_IO_PENDING && Get(Queue, SOON).overlapped == &ol);
    /* What pends is queued: as a success, */
    memset(&ol, 0, sizeof(ol));
    CHECK(Recv(Pair.one, Buffer, 1, &ol) == WSA_IO_PENDING);
    send(Pair.other, "x", 1, 0);
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.overlapped == &ol && packet.bytes == 1);
    /* as cancelled, */
    memset(&ol, 0, sizeof(ol));
    CHECK(Recv(Pair.one, Buffer, 1, &ol) == WSA_IO_PENDING);
    CHECK(CancelIoEx((HANDLE)Pair.one, &ol));
    packet = Get(Queue, SOON);
    CHECK(!packet.ok && packet.overlapped == &ol && packet.error == ERROR_OPERATION_ABORTED, "error %lu", packet.error);
    /* and as a failure. */
    memset(&ol, 0, sizeof(ol));
    CHECK(Recv(Pair.one, Buffer, 1, &ol) == WSA_IO_PENDING);
    Reset(Pair.other);
    packet = Get(Queue, SOON);
    CHECK(!packet.ok && packet.overlapped == &ol && packet.error == ERROR_NETNAME_DELETED, "error %lu", packet.error);
    CHECK(IsEmpty(Queue));
    Pair.other = Overlapped(SOCK_STREAM);
    Close();
}

/* The socket's own state after a receive, which has an event or none; it is waited for that long. */
static DWORD StateAfter(PAIR *pair, HANDLE event, DWORD timeout)
{
    OVERLAPPED ol = {0};
    ol.hEvent = event;
    CHECK(Recv(pair->one, Buffer, 1, &ol) == WSA_IO_PENDING);
    if (event == NULL)
        CHECK(WaitForSingleObject((HANDLE)pair->one, 0) == WAIT_TIMEOUT);
    send(pair->other, "x", 1, 0);
    if (event != NULL)
        CHECK(WaitForSingleObject(event, SOON) == WAIT_OBJECT_0);
    EVENTUALLY(HasOverlappedIoCompleted(&ol));
    CHECK(ol.InternalHigh == 1);
    return WaitForSingleObject((HANDLE)pair->one, timeout);
}

static void sk_2(void)
{
    PAIR pair = Connected(), other = Connected();
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    CHECK(StateAfter(&other, NULL, SOON) == WAIT_OBJECT_0);
    CHECK(SetFileCompletionNotificationModes((HANDLE)pair.one, FILE_SKIP_SET_EVENT_ON_HANDLE));
    CHECK(StateAfter(&pair, NULL, NOTHING) == WAIT_TIMEOUT);
    CHECK(StateAfter(&pair, event, NOTHING) == WAIT_TIMEOUT);
    CHECK(WaitForSingleObject(event, 0) == WAIT_OBJECT_0);
    CloseHandle(event);
    ClosePair(&pair);
    ClosePair(&other);
}

static void sk_3(void)
{
    OVERLAPPED ol = {0};
    SOCKET s;
    HANDLE file;
    int result;
    Open();
    CHECK(SetFileCompletionNotificationModes((HANDLE)Pair.one, 0));
    CHECK(SetFileCompletionNotificationModes((HANDLE)Pair.one, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS));
    CHECK(SetFileCompletionNotificationModes((HANDLE)Pair.one, 0));
    /* It is still set. */
    result = Send(Pair.one, "x", 1, &ol);
    CHECK(result == WSA_IO_PENDING || (result == 0 && IsEmpty(Queue)));
    s = WSASocketA(AF_INET, SOCK_STREAM, 0, NULL, 0, 0);
    SetLastError(0);
    CHECK(!SetFileCompletionNotificationModes((HANDLE)s, 1) && GetLastError() == ERROR_INVALID_PARAMETER, "error %lu",
          GetLastError());
    file = CreateFileA("sk_3.tmp", GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, FILE_FLAG_DELETE_ON_CLOSE, NULL);
    SetLastError(0);
    CHECK(!SetFileCompletionNotificationModes(file, 1) && GetLastError() == ERROR_INVALID_PARAMETER, "error %lu",
          GetLastError());
    CloseHandle(file);
    closesocket(s);
    Close();
}

static void sk_3_bits(void)
{
    SOCKET s = Overlapped(SOCK_STREAM);
    CHECK(SetFileCompletionNotificationModes((HANDLE)s, 0x80), "error %lu", GetLastError());
    closesocket(s);
}

/* These pend always, so there is a packet although success is skipped. */
static void Pends(BOOL result, LPOVERLAPPED overlapped, HANDLE port)
{
    DWORD error = GetLastError();
    PACKET packet;
    CHECK(!result && error == ERROR_IO_PENDING, "result %d, error %lu", result, error);
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.overlapped == overlapped, "error %lu", packet.error);
}

static HANDLE Skipping(SOCKET s)
{
    HANDLE port = Port(0);
    CreateIoCompletionPort((HANDLE)s, port, KEY, 0);
    CHECK(SetFileCompletionNotificationModes((HANDLE)s, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS));
    return port;
}

static void sk_4(void)
{
    SOCKET listener = Listening(), client = Bound(SOCK_STREAM), accepting = Overlapped(SOCK_STREAM);
    SOCKADDR_IN name = NameOf(listener);
    LPFN_CONNECTEX ConnectEx_ = (LPFN_CONNECTEX)Extension(client, (GUID)WSAID_CONNECTEX);
    LPFN_DISCONNECTEX DisconnectEx_ = (LPFN_DISCONNECTEX)Extension(client, (GUID)WSAID_DISCONNECTEX);
    HANDLE connecting = Skipping(client), listening = Skipping(listener);
    TRANSMIT_FILE_BUFFERS buffers = {"head", 4, NULL, 0};
    OVERLAPPED ol[4];
    DWORD bytes;
    memset(ol, 0, sizeof(ol));
    CHECK(ConnectEx_ != NULL && DisconnectEx_ != NULL);
    if (ConnectEx_ == NULL || DisconnectEx_ == NULL)
        return;
    Pends(ConnectEx_(client, (SOCKADDR *)&name, sizeof(name), NULL, 0, &bytes, &ol[0]), &ol[0], connecting);
    /* The connection is there already. */
    Pends(AcceptEx(listener, accepting, Buffer, 0, sizeof(SOCKADDR_IN) + 16, sizeof(SOCKADDR_IN) + 16, &bytes, &ol[1]), &ol[1],
          listening);
    setsockopt(client, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0);
    Pends(TransmitFile(client, NULL, 0, 0, &ol[2], &buffers, 0), &ol[2], connecting);
    Pends(DisconnectEx_(client, &ol[3], 0, 0), &ol[3], connecting);
    closesocket(client);
    closesocket(accepting);
    closesocket(listener);
    CloseHandle(connecting);
    CloseHandle(listening);
}

static void sk_4_file(void)
{
    HANDLE port = Port(0), file;
    void *pages = VirtualAlloc(NULL, 65536, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    OVERLAPPED ol = {0};
    PACKET packet;
    file = CreateFileA("sk_4.tmp", GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                       FILE_FLAG_OVERLAPPED | FILE_FLAG_NO_BUFFERING | FILE_FLAG_DELETE_ON_CLOSE, NULL);
    CHECK(file != INVALID_HANDLE_VALUE, "error %lu", GetLastError());
    CHECK(CreateIoCompletionPort(file, port, KEY, 0) == port);
    CHECK(WriteFile(file, pages, 65536, NULL, &ol) || GetLastError() == ERROR_IO_PENDING, "error %lu", GetLastError());
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.bytes == 65536, "error %lu", packet.error);
    CHECK(SetFileCompletionNotificationModes(file, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS));
    Pends(ReadFile(file, pages, 65536, NULL, &ol), &ol, port);
    CloseHandle(file);
    CloseHandle(port);
    VirtualFree(pages, 0, MEM_RELEASE);
}

static void sk_5(void)
{
    int i;
    Open();
    /* At once or not, there is one packet for each. */
    for (i = 0; i < 100; i++) {
        OVERLAPPED in = {0}, out = {0};
        PACKET packet;
        CHECK(Started(Send(Pair.one, "ab", 2, &out)));
        packet = Get(Queue, SOON);
        CHECK(packet.ok && packet.overlapped == &out && packet.bytes == 2);
        if (i % 2 == 0)
            send(Pair.other, "abc", 3, 0);
        CHECK(Started(Recv(Pair.one, Buffer, 3, &in)));
        if (i % 2 == 1)
            send(Pair.other, "abc", 3, 0);
        packet = Get(Queue, SOON);
        CHECK(packet.ok && packet.overlapped == &in && packet.bytes == 3);
    }
    CHECK(IsEmpty(Queue));
    Close();
}

static void ev_1(void)
{
    int manual;
    for (manual = 0; manual < 2; manual++) {
        OVERLAPPED ol = {0};
        PAIR pair = Connected();
        ol.hEvent = CreateEventA(NULL, manual, TRUE, NULL);
        CHECK(Recv(pair.one, Buffer, 1, &ol) == WSA_IO_PENDING);
        CHECK(WaitForSingleObject(ol.hEvent, 0) == WAIT_TIMEOUT);
        send(pair.other, "x", 1, 0);
        CHECK(WaitForSingleObject(ol.hEvent, SOON) == WAIT_OBJECT_0);
        CHECK(HasOverlappedIoCompleted(&ol) && ol.InternalHigh == 1);
        CHECK(WaitForSingleObject(ol.hEvent, 0) == (manual ? WAIT_OBJECT_0 : WAIT_TIMEOUT));
        CloseHandle(ol.hEvent);
        ClosePair(&pair);
    }
}

static void go_1(void)
{
    OVERLAPPED ol = {0};
    DWORD bytes = 77;
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    ol.Internal = 0;
    ol.InternalHigh = 5;
    CHECK(GetOverlappedResult((HANDLE)(ULONG_PTR)0xdead, &ol, &bytes, FALSE) && bytes == 5);
    ol.Internal = 0x80000005;
    SetLastError(0);
    CHECK(!GetOverlappedResult((HANDLE)(ULONG_PTR)0xdead, &ol, &bytes, TRUE) && GetLastError() == ERROR_MORE_DATA && bytes == 5,
          "error %lu", GetLastError());
    ol.Internal = STATUS_PENDING;
    ol.hEvent = event;
    bytes = 77;
    SetLastError(0);
    CHECK(!GetOverlappedResult(NULL, &ol, &bytes, FALSE) && GetLastError() == ERROR_IO_INCOMPLETE && bytes == 77, "error %lu",
          GetLastError());
    SetEvent(event);
    CHECK(GetOverlappedResult(NULL, &ol, &bytes, TRUE) && bytes == 5 && ol.Internal == STATUS_PENDING);
    CloseHandle(event);
}

static int Calls;
static VOID CALLBACK Call(ULONG_PTR parameter)
{
    Calls++;
}

static DWORD WINAPI SendLater(LPVOID s)
{
    Sleep(NOTHING);
    send((SOCKET)s, "abc", 3, 0);
    return 0;
}

/* It waits for the event, or else for the socket, and no call runs meanwhile. */
static void go_1_wait(void)
{
    int with_event;
    for (with_event = 0; with_event < 2; with_event++) {
        OVERLAPPED ol = {0};
        DWORD bytes = 0, flags = 0;
        HANDLE thread;
        PAIR pair = Connected();
        if (with_event)
            ol.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
        CHECK(Recv(pair.one, Buffer, 8, &ol) == WSA_IO_PENDING);
        CHECK(!WSAGetOverlappedResult(pair.one, &ol, &bytes, FALSE, &flags) && WSAGetLastError() == WSA_IO_INCOMPLETE);
        Calls = 0;
        QueueUserAPC(Call, GetCurrentThread(), 0);
        thread = CreateThread(NULL, 0, SendLater, (LPVOID)pair.other, 0, NULL);
        CHECK(GetOverlappedResult((HANDLE)pair.one, &ol, &bytes, TRUE) && bytes == 3, "error %lu", GetLastError());
        CHECK(WSAGetOverlappedResult(pair.one, &ol, &bytes, TRUE, &flags) && bytes == 3);
        CHECK(Calls == 0);
        SleepEx(0, TRUE);
        CHECK(Calls == 1);
        Joined(thread);
        if (with_event)
            CloseHandle(ol.hEvent);
        ClosePair(&pair);
    }
}

static DWORD ResultEx(OVERLAPPED *ol, DWORD milliseconds, BOOL alertable)
{
    DWORD bytes;
    SetLastError(0);
    return GetOverlappedResultEx((HANDLE)Pair.one, ol, &bytes, milliseconds, alertable) ? 0 : GetLastError();
}

static void go_2(void)
{
    OVERLAPPED ol = {0};
    DWORD error;
    Pair = Connected();
    ol.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
    CHECK(Recv(Pair.one, Buffer, 8, &ol) == WSA_IO_PENDING);
    Calls = 0;
    QueueUserAPC(Call, GetCurrentThread(), 0);
    error = ResultEx(&ol, 0, FALSE);
    CHECK(error == ERROR_IO_INCOMPLETE, "error %lu", error);
    error = ResultEx(&ol, 10, FALSE);
    CHECK(error == WAIT_TIMEOUT && Calls == 0, "error %lu", error);
    error = ResultEx(&ol, 0, TRUE);
    CHECK(error == ERROR_IO_INCOMPLETE && Calls == 0, "error %lu", error);
    error = ResultEx(&ol, SOON, TRUE);
    CHECK(error == WAIT_IO_COMPLETION && Calls == 1, "error %lu", error);
    error = ResultEx(&ol, 10, TRUE);
    CHECK(error == WAIT_TIMEOUT, "error %lu", error);
    send(Pair.other, "x", 1, 0);
    CHECK(ResultEx(&ol, SOON, TRUE) == 0);
    CloseHandle(ol.hEvent);
    ClosePair(&Pair);
}

static void go_3(void)
{
    OVERLAPPED ol = {0};
    DWORD bytes, flags = 77;
    SOCKET s = Overlapped(SOCK_STREAM);
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    ol.InternalHigh = 5;
    CHECK(WSAGetOverlappedResult(s, &ol, &bytes, FALSE, &flags) && bytes == 5 && flags == 0);
    WSASetLastError(0);
    CHECK(!WSAGetOverlappedResult((SOCKET)event, &ol, &bytes, FALSE, &flags) && WSAGetLastError() == WSAENOTSOCK, "error %d",
          WSAGetLastError());
    closesocket(s);
    WSASetLastError(0);
    CHECK(!WSAGetOverlappedResult(s, &ol, &bytes, FALSE, &flags) && WSAGetLastError() == WSAENOTSOCK, "error %d",
          WSAGetLastError());
    CloseHandle(event);
}

static void go_3_duplicate(void)
{
    OVERLAPPED ol = {0};
    DWORD bytes, flags;
    SOCKET s = Overlapped(SOCK_STREAM);
    HANDLE self = GetCurrentProcess(), duplicate;
    DuplicateHandle(self, (HANDLE)s, self, &duplicate, 0, FALSE, DUPLICATE_SAME_ACCESS);
    CHECK(!WSAGetOverlappedResult((SOCKET)duplicate, &ol, &bytes, FALSE, &flags) && WSAGetLastError() == WSAENOTSOCK, "error %d",
          WSAGetLastError());
    CloseHandle(duplicate);
    closesocket(s);
}

int main(void)
{
    Start();
    RUN("SK-1", sk_1);
    RUN("SK-2", sk_2);
    RUN("SK-3", sk_3);
    RUN("SK-3 (unknown bits)", sk_3_bits);
    RUN("SK-4", sk_4);
    RUN("SK-4 (file)", sk_4_file);
    RUN("SK-5", sk_5);
    RUN("EV-1", ev_1);
    RUN("GO-1", go_1);
    RUN("GO-1 (wait)", go_1_wait);
    RUN("GO-2", go_2);
    RUN("GO-3", go_3);
    RUN("GO-3 (duplicate)", go_3_duplicate);
    return 0;
}
