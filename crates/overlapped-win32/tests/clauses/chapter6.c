/* Chapter 6: cancelling, closing, the end of threads and of the process, and what errors are called.

   Not expressible here:
   CX-7    a duplicate in another process: handles are this process's
   CX-8    TerminateThread of another thread is refused here; a thread may end itself so */
#include "associated.h"
#include <stdlib.h>

static DWORD WINAPI CancelAll(LPVOID parameter)
{
    return CancelIoEx((HANDLE)Pair.one, NULL);
}

static void cx_1(void)
{
    OVERLAPPED first = {0}, second = {0};
    PACKET packet;
    HANDLE thread;
    Open();
    CHECK(Recv(Pair.one, Buffer, 1, &first) == WSA_IO_PENDING);
    CHECK(Recv(Pair.one, Buffer, 1, &second) == WSA_IO_PENDING);
    CHECK(CancelIoEx((HANDLE)Pair.one, &second));
    packet = Get(Queue, SOON);
    CHECK(!packet.ok && packet.overlapped == &second && packet.error == ERROR_OPERATION_ABORTED, "error %lu", packet.error);
    CHECK(Get(Queue, NOTHING).error == WAIT_TIMEOUT);
    thread = CreateThread(NULL, 0, CancelAll, NULL, 0, NULL);
    WaitForSingleObject(thread, SOON);
    CloseHandle(thread);
    packet = Get(Queue, SOON);
    CHECK(!packet.ok && packet.overlapped == &first && packet.error == ERROR_OPERATION_ABORTED);
    Close();
}

static void cx_2(void)
{
    OVERLAPPED ol = {0};
    Open();
    SetLastError(0);
    CHECK(!CancelIoEx((HANDLE)Pair.one, &ol) && GetLastError() == ERROR_NOT_FOUND, "error %lu", GetLastError());
    CHECK(!CancelIoEx((HANDLE)Pair.one, NULL) && GetLastError() == ERROR_NOT_FOUND);
    CHECK(CancelIo((HANDLE)Pair.one));
    Close();
}

static OVERLAPPED Foreign;
static DWORD WINAPI ReceiveElsewhere(LPVOID parameter)
{
    Recv(Pair.one, Buffer, 1, &Foreign);
    return 0;
}

static DWORD WINAPI ReceiveAndStay(LPVOID parameter)
{
    Recv(Pair.one, Buffer, 1, &Foreign);
    SetEvent(((HANDLE *)parameter)[0]);
    WaitForSingleObject(((HANDLE *)parameter)[1], SOON);
    return 0;
}

static void cx_3(void)
{
    OVERLAPPED own = {0};
    HANDLE events[2], thread;
    PACKET packet;
    Open();
    memset(&Foreign, 0, sizeof(Foreign));
    events[0] = CreateEventA(NULL, TRUE, FALSE, NULL);
    events[1] = CreateEventA(NULL, TRUE, FALSE, NULL);
    thread = CreateThread(NULL, 0, ReceiveAndStay, events, 0, NULL);
    WaitForSingleObject(events[0], SOON);
    CHECK(Recv(Pair.one, Buffer, 1, &own) == WSA_IO_PENDING);
    CHECK(CancelIo((HANDLE)Pair.one));
    packet = Get(Queue, SOON);
    CHECK(packet.overlapped == &own && packet.error == ERROR_OPERATION_ABORTED);
    CHECK(Get(Queue, NOTHING).error == WAIT_TIMEOUT);
    send(Pair.other, "x", 1, 0);
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.overlapped == &Foreign);
    SetEvent(events[1]);
    WaitForSingleObject(thread, SOON);
    CloseHandle(thread);
    CloseHandle(events[0]);
    CloseHandle(events[1]);
    Close();
}

static void cx_4(void)
{
    OVERLAPPED ol = {0};
    PACKET packet;
    int i;
    Open();
    for (i = 0; i < 200; i++) {
        DWORD seen;
        memset(&ol, 0, sizeof(ol));
        CHECK(Started(Recv(Pair.one, Buffer, 1, &ol)));
        send(Pair.other, "x", 1, 0);
        CancelIoEx((HANDLE)Pair.one, &ol);
        packet = Get(Queue, SOON);
        CHECK(packet.overlapped == &ol);
        if (packet.ok) {
            CHECK(packet.bytes == 1);
        } else {
            CHECK(packet.error == ERROR_OPERATION_ABORTED && packet.bytes == 0 && (DWORD)ol.Internal == 0xc0000120);
            /* The byte is still there. */
            seen = recv(Pair.one, Buffer, 1, 0);
            CHECK(seen == 1);
        }
    }
    Close();
}

#define MUCH (48 * 1024 * 1024)
static char *Much;

/* What a cancelled send has sent is what arrives. */
static void cx_5(void)
{
    static char part[1 << 20];
    OVERLAPPED ol = {0};
    PACKET packet;
    int all = 0, got;
    Open();
    CHECK(Send(Pair.one, Much, MUCH, &ol) == WSA_IO_PENDING);
    CHECK(IsEmpty(Queue));
    CHECK(CancelIoEx((HANDLE)Pair.one, &ol));
    packet = Get(Queue, SOON);
    CHECK(!packet.ok && packet.overlapped == &ol && packet.error == ERROR_OPERATION_ABORTED, "error %lu", packet.error);
    CHECK((DWORD)ol.Internal == 0xc0000120 && ol.InternalHigh == packet.bytes && packet.bytes > 0 && packet.bytes < MUCH);
    closesocket(Pair.one);
    while ((got = Receive(Pair.other, part, sizeof(part))) > 0)
        all += got;
    CHECK((DWORD)all == packet.bytes, "%d bytes of %lu", all, packet.bytes);
    Pair.one = Overlapped(SOCK_STREAM);
    Close();
}

static void cx_6(void)
{
    OVERLAPPED ol = {0};
    PACKET packet;
    char byte;
    Open();
    CHECK(Recv(Pair.one, Buffer, 1, &ol) == WSA_IO_PENDING);
    closesocket(Pair.one);
    packet = Get(Queue, SOON);
    CHECK(!packet.ok && packet.overlapped == &ol && packet.key == KEY && packet.bytes == 0);
    CHECK(packet.error == ERROR_CONNECTION_ABORTED || packet.error == ERROR_OPERATION_ABORTED, "error %lu", packet.error);
    CHECK(recv(Pair.other, &byte, 1, 0) == 0);
    Pair.one = Overlapped(SOCK_STREAM);
    Close();
}

/* All that is under way, each once. */
static void cx_6_all(void)
{
    OVERLAPPED ol[4];
    int i, seen = 0;
    Open();
    memset(ol, 0, sizeof(ol));
    for (i = 0; i < 4; i++)
        CHECK(Recv(Pair.one, Buffer, 1, &ol[i]) == WSA_IO_PENDING);
    closesocket(Pair.one);
    for (i = 0; i < 4; i++) {
        PACKET packet = Get(Queue, SOON);
        CHECK(!packet.ok && packet.key == KEY && packet.overlapped >= ol && packet.overlapped < ol + 4);
        seen |= 1 << (packet.overlapped - ol);
    }
    CHECK(seen == 15 && IsEmpty(Queue));
    Pair.one = Overlapped(SOCK_STREAM);
    Close();
}

static void cx_6_udp(void)
{
    SOCKET s = Bound(SOCK_DGRAM);
    HANDLE port = Port(0);
    OVERLAPPED ol = {0};
    PACKET packet;
    CreateIoCompletionPort((HANDLE)s, port, KEY, 0);
    CHECK(Recv(s, Buffer, 1, &ol) == WSA_IO_PENDING);
    closesocket(s);
    packet = Get(port, SOON);
    CHECK(!packet.ok && packet.overlapped == &ol && packet.error == ERROR_OPERATION_ABORTED, "error %lu", packet.error);
    CHECK(packet.key == KEY && packet.bytes == 0);
    CloseHandle(port);
}

/* Issued on one handle or on the duplicate, which are closed in one order or the other. */
static void cx_7(void)
{
    int which;
    for (which = 0; which < 4; which++) {
        OVERLAPPED ol = {0};
        HANDLE self = GetCurrentProcess(), handles[2];
        PACKET packet;
        int issued = which & 1, first = which >> 1;
        Open();
        handles[0] = (HANDLE)Pair.one;
        DuplicateHandle(self, handles[0], self, &handles[1], 0, FALSE, DUPLICATE_SAME_ACCESS);
        CHECK(ReadFile(handles[issued], Buffer, 1, NULL, &ol) || GetLastError() == ERROR_IO_PENDING, "error %lu", GetLastError());
        CHECK(CloseHandle(handles[first]));
        CHECK(IsEmpty(Queue) && !HasOverlappedIoCompleted(&ol));
        CHECK(CloseHandle(handles[!first]));
        packet = Get(Queue, SOON);
        CHECK(!packet.ok && packet.overlapped == &ol && packet.key == KEY, "order %d", which);
        CHECK(recv(Pair.other, Buffer, 1, 0) == 0);
        Pair.one = Overlapped(SOCK_STREAM);
        Close();
    }
}

static void cx_8(void)
{
    HANDLE thread;
    PACKET packet;
    Open();
    memset(&Foreign, 0, sizeof(Foreign));
    thread = CreateThread(NULL, 0, ReceiveElsewhere, NULL, 0, NULL);
    WaitForSingleObject(thread, SOON);
    CloseHandle(thread);
    CHECK(Get(Queue, NOTHING).error == WAIT_TIMEOUT);
    send(Pair.other, "x", 1, 0);
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.overlapped == &Foreign && packet.bytes == 1, "error %lu", packet.error);
    Close();
}

static void cx_8_event(void)
{
    HANDLE thread, event = CreateEventA(NULL, TRUE, FALSE, NULL);
    PACKET packet;
    Open();
    memset(&Foreign, 0, sizeof(Foreign));
    Foreign.hEvent = event;
    thread = CreateThread(NULL, 0, ReceiveElsewhere, NULL, 0, NULL);
    WaitForSingleObject(thread, SOON);
    CloseHandle(thread);
    packet = Get(Queue, SOON);
    CHECK(!packet.ok && packet.overlapped == &Foreign && packet.error == ERROR_OPERATION_ABORTED, "error %lu", packet.error);
    Close();
    CloseHandle(event);
}

static DWORD WINAPI ReceiveAndExit(LPVOID how)
{
    Recv(Pair.one, Buffer, 1, &Foreign);
    if (how == NULL)
        ExitThread(0);
    TerminateThread(GetCurrentThread(), 0);
    return 0;
}

/* However it ends. */
static void cx_8_exit(void)
{
    static char how;
    int i;
    for (i = 0; i < 2; i++) {
        PACKET packet;
        Open();
        memset(&Foreign, 0, sizeof(Foreign));
        Joined(CreateThread(NULL, 0, ReceiveAndExit, i == 0 ? NULL : &how, 0, NULL));
        CHECK(IsEmpty(Queue));
        send(Pair.other, "x", 1, 0);
        packet = Get(Queue, SOON);
        CHECK(packet.ok && packet.overlapped == &Foreign && packet.bytes == 1, "error %lu", packet.error);
        Close();
    }
}

/* Without a port it is cancelled, with an event or without. */
static void cx_8_no_port(void)
{
    int with_event;
    for (with_event = 0; with_event < 2; with_event++) {
        HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
        Pair = Connected();
        memset(&Foreign, 0, sizeof(Foreign));
        Foreign.hEvent = with_event ? event : NULL;
        Joined(CreateThread(NULL, 0, ReceiveElsewhere, NULL, 0, NULL));
        EVENTUALLY(HasOverlappedIoCompleted(&Foreign));
        CHECK((DWORD)Foreign.Internal == 0xc0000120 && Foreign.InternalHigh == 0);
        if (with_event)
            CHECK(WaitForSingleObject(event, SOON) == WAIT_OBJECT_0);
        /* It takes nothing that comes later. */
        CHECK(send(Pair.other, "x", 1, 0) == 1 && recv(Pair.one, Buffer, 1, 0) == 1);
        ClosePair(&Pair);
        CloseHandle(event);
    }
}

static DWORD WINAPI WaitForPacket(LPVOID port)
{
    PACKET packet = Get((HANDLE)port, SOON);
    return packet.overlapped == NULL && !packet.ok ? packet.error : 1;
}

static void cx_9(void)
{
    BOOL late = TRUE;
    int round, i;
    /* Once more if one has come too late. */
    for (round = 0; round < 20 && late; round++) {
        HANDLE port = Port(0), threads[2];
        for (i = 0; i < 2; i++)
            threads[i] = CreateThread(NULL, 0, WaitForPacket, port, 0, NULL);
        Sleep(NOTHING);
        CloseHandle(port);
        late = FALSE;
        for (i = 0; i < 2; i++) {
            DWORD code = Joined(threads[i]);
            late |= code == ERROR_INVALID_HANDLE;
            CHECK(code == ERROR_ABANDONED_WAIT_0 || code == ERROR_INVALID_HANDLE, "code %lu", code);
        }
        CHECK(Get(port, 0).error == ERROR_INVALID_HANDLE);
        CHECK(!PostQueuedCompletionStatus(port, 0, 0, NULL) && GetLastError() == ERROR_INVALID_HANDLE, "error %lu",
              GetLastError());
    }
    CHECK(!late);
}

/* Only the last handle ends the waits. */
static void cx_9_duplicate(void)
{
    HANDLE self = GetCurrentProcess();
    DWORD code = ERROR_INVALID_HANDLE;
    int round;
    for (round = 0; round < 20 && code == ERROR_INVALID_HANDLE; round++) {
        HANDLE port = Port(0), other, thread;
        DuplicateHandle(self, port, self, &other, 0, FALSE, DUPLICATE_SAME_ACCESS);
        thread = CreateThread(NULL, 0, WaitForPacket, other, 0, NULL);
        Sleep(NOTHING);
        CloseHandle(port);
        CHECK(WaitForSingleObject(thread, NOTHING) == WAIT_TIMEOUT);
        CHECK(PostQueuedCompletionStatus(other, 1, 0, (LPOVERLAPPED)&code));
        CHECK(Joined(thread) == 1);
        CHECK(PostQueuedCompletionStatus(other, 1, 0, NULL));
        CHECK(Get(other, SOON).bytes == 1);
        thread = CreateThread(NULL, 0, WaitForPacket, other, 0, NULL);
        Sleep(NOTHING);
        CloseHandle(other);
        code = Joined(thread);
    }
    CHECK(code == ERROR_ABANDONED_WAIT_0, "code %lu", code);
}

static volatile LONG Entered;
static DWORD WINAPI EnterAndWait(LPVOID port)
{
    Entered = 1;
    return WaitForPacket(port);
}

/* Computes, and so keeps its place in the port. */
static void Spin(DWORD milliseconds)
{
    ULONGLONG until = GetTickCount64() + milliseconds;
    while (GetTickCount64() < until)
        ;
}

/* The one place is taken by this thread, so a packet is queued while another one waits. */
static void cx_10(void)
{
    DWORD code = ERROR_INVALID_HANDLE;
    int i;
    /* Once more if the other one has come too late. */
    for (i = 0; i < 20 && code == ERROR_INVALID_HANDLE; i++) {
        HANDLE port = Port(1), thread;
        PostQueuedCompletionStatus(port, 1, 0, NULL);
        CHECK(Get(port, SOON).bytes == 1);
        Entered = 0;
        thread = CreateThread(NULL, 0, EnterAndWait, port, 0, NULL);
        while (!Entered)
            ;
        Spin(NOTHING);
        PostQueuedCompletionStatus(port, 2, 0, (LPOVERLAPPED)&code);
        Spin(NOTHING);
        CloseHandle(port);
        code = Joined(thread);
    }
    CHECK(code == ERROR_ABANDONED_WAIT_0, "code %lu", code);
}

static void cx_11(void)
{
    static OVERLAPPED ol, more;
    Open();
    CHECK(Recv(Pair.one, Buffer, 1, &ol) == WSA_IO_PENDING);
    CloseHandle(Queue);
    /* The socket goes on, and so do operations, of which nobody is told. */
    CHECK(send(Pair.one, "y", 1, 0) == 1 && recv(Pair.other, Buffer + 1, 1, 0) == 1);
    CHECK(Started(Send(Pair.one, "z", 1, &more)));
    CHECK(recv(Pair.other, Buffer + 1, 1, 0) == 1 && Buffer[1] == 'z');
    ClosePair(&Pair);
}

/* A receive that was under way then takes what comes. */
static void cx_11_goes_on(void)
{
    static char byte;
    static OVERLAPPED ol;
    Open();
    CHECK(Recv(Pair.one, &byte, 1, &ol) == WSA_IO_PENDING);
    CloseHandle(Queue);
    send(Pair.other, "x", 1, 0);
    Sleep(NOTHING);
    CHECK(byte == 'x');
    ClosePair(&Pair);
}

static const char *Program;

/* A process that ends with a receive under way; this is its whole main(). */
static int EndWithOperations(const char *port)
{
    static OVERLAPPED ol;
    SOCKET s = Overlapped(SOCK_STREAM);
    SOCKADDR_IN name = Loopback(htons((u_short)atoi(port)));
    HANDLE packets = Port(0);
    CreateIoCompletionPort((HANDLE)s, packets, KEY, 0);
    if (connect(s, (SOCKADDR *)&name, sizeof(name)) != 0)
        return 2;
    return Recv(s, Buffer, 1, &ol) == WSA_IO_PENDING ? 0 : 3;
}

static void cx_12(void)
{
    SOCKET listener = Listening(), accepted;
    char command[600];
    int code;
    _snprintf(command, sizeof(command), "\"%s\" %d", Program, ntohs(NameOf(listener).sin_port));
    code = system(command);
    CHECK(code == 0, "code %d", code);
    if (code == 0) {
        accepted = accept(listener, NULL, NULL);
        CHECK(ReceiveWithin(SOON, accepted, Buffer, 1) == 0);
        CHECK(WSAGetLastError() != WSAETIMEDOUT);
        closesocket(accepted);
    }
    closesocket(listener);
}

/* Table 6a: what a status is called by each of the two families. */
static void table_6a(void)
{
    static const struct {
        DWORD status, dos, wsa;
    } rows[] = {
        {0xc000020d, ERROR_NETNAME_DELETED, WSAECONNRESET},
        {0xc0000241, ERROR_CONNECTION_ABORTED, WSAECONNABORTED},
        {0xc0000120, ERROR_OPERATION_ABORTED, WSA_OPERATION_ABORTED},
        {0xc00000b5, ERROR_SEM_TIMEOUT, WSAETIMEDOUT},
        {0xc0000236, ERROR_CONNECTION_REFUSED, WSAECONNREFUSED},
        {0xc000023f, ERROR_PORT_UNREACHABLE, WSAECONNRESET},
        {0xc000023c, ERROR_NETWORK_UNREACHABLE, WSAENETUNREACH},
        {0xc000023d, ERROR_HOST_UNREACHABLE, WSAEHOSTUNREACH},
        {0xc0000140, ERROR_UNEXP_NET_ERR, WSAENOTCONN},
        {0xc00000b0, ERROR_PIPE_NOT_CONNECTED, WSAESHUTDOWN},
        {0x80000005, ERROR_MORE_DATA, WSAEMSGSIZE},
        {0xc0000206, ERROR_INVALID_USER_BUFFER, WSAEMSGSIZE},
        {0xc0000043, ERROR_SHARING_VIOLATION, WSAEADDRINUSE},
        {0xc000020a, ERROR_DUP_NAME, WSAEADDRINUSE},
        {0xc0000207, ERROR_INVALID_NETNAME, WSAEADDRNOTAVAIL},
        {0xc000009a, ERROR_NO_SYSTEM_RESOURCES, WSAENOBUFS},
        {0xc000023b, ERROR_CONNECTION_ACTIVE, WSAEISCONN},
        {0xc0000005, ERROR_NOACCESS, WSAEFAULT},
        {0xc0000008, ERROR_INVALID_HANDLE, WSAENOTSOCK},
        {0xc0000024, ERROR_INVALID_HANDLE, WSAENOTSOCK},
        {0xc0000022, ERROR_ACCESS_DENIED, WSAEACCES},
        {0xc0000011, ERROR_HANDLE_EOF, 0},
        {0xc000014b, ERROR_BROKEN_PIPE, 0},
        {0xc0000023, ERROR_INSUFFICIENT_BUFFER, WSAEFAULT},
        {0xc000000d, ERROR_INVALID_PARAMETER, WSAEINVAL},
        {0xc0abcdef, ERROR_MR_MID_NOT_FOUND, WSAEINVAL},
    };
    SOCKET s = Overlapped(SOCK_STREAM);
    int i;
    for (i = 0; i < (int)(sizeof(rows) / sizeof(rows[0])); i++) {
        OVERLAPPED ol = {0};
        DWORD bytes, flags;
        ol.Internal = rows[i].status;
        SetLastError(0);
        CHECK(!GetOverlappedResult((HANDLE)s, &ol, &bytes, FALSE) && GetLastError() == rows[i].dos, "%lx is %lu", rows[i].status,
              GetLastError());
        if (rows[i].wsa == 0)
            continue;
        CHECK(!WSAGetOverlappedResult(s, &ol, &bytes, FALSE, &flags) && (DWORD)WSAGetLastError() == rows[i].wsa, "%lx is %d",
              rows[i].status, WSAGetLastError());
    }
    closesocket(s);
}

int main(int count, char **arguments)
{
    Start();
    if (count > 1)
        return EndWithOperations(arguments[1]);
    Program = arguments[0];
    Much = (char *)VirtualAlloc(NULL, MUCH, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    RUN("CX-1", cx_1);
    RUN("CX-2", cx_2);
    RUN("CX-3", cx_3);
    RUN("CX-4", cx_4);
    RUN("CX-5", cx_5);
    RUN("CX-6", cx_6);
    RUN("CX-6 (several)", cx_6_all);
    RUN("CX-6 (datagrams)", cx_6_udp);
    RUN("CX-7", cx_7);
    RUN("CX-8", cx_8);
    RUN("CX-8 (exit)", cx_8_exit);
    RUN("CX-8 (event)", cx_8_event);
    RUN("CX-8 (no port)", cx_8_no_port);
    RUN("CX-9", cx_9);
    RUN("CX-9 (duplicate)", cx_9_duplicate);
    RUN("CX-10", cx_10);
    RUN("CX-11", cx_11);
    RUN("CX-11 (goes on)", cx_11_goes_on);
    RUN("CX-12", cx_12);
    RUN("6a", table_6a);
    return 0;
}
