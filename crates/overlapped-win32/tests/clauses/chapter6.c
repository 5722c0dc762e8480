/* Chapter 6: cancelling, closing, the end of threads, and what errors are called. */
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

static void cx_6(void)
{
    OVERLAPPED ol = {0};
    PACKET packet;
    char byte;
    Open();
    CHECK(Recv(Pair.one, Buffer, 1, &ol) == WSA_IO_PENDING);
    closesocket(Pair.one);
    packet = Get(Queue, SOON);
    CHECK(!packet.ok && packet.overlapped == &ol && packet.key == 42 && packet.bytes == 0);
    CHECK(packet.error == ERROR_CONNECTION_ABORTED || packet.error == ERROR_OPERATION_ABORTED, "error %lu", packet.error);
    CHECK(recv(Pair.other, &byte, 1, 0) <= 0);
    Pair.one = Overlapped(SOCK_STREAM);
    Close();
}

static void cx_6_udp(void)
{
    SOCKET s = Bound(SOCK_DGRAM);
    HANDLE port = Port(0);
    OVERLAPPED ol = {0};
    PACKET packet;
    CreateIoCompletionPort((HANDLE)s, port, 1, 0);
    CHECK(Recv(s, Buffer, 1, &ol) == WSA_IO_PENDING);
    closesocket(s);
    packet = Get(port, SOON);
    CHECK(!packet.ok && packet.overlapped == &ol && packet.error == ERROR_OPERATION_ABORTED, "error %lu", packet.error);
    CloseHandle(port);
}

static void cx_7(void)
{
    OVERLAPPED ol = {0};
    HANDLE self = GetCurrentProcess(), duplicate;
    PACKET packet;
    Open();
    DuplicateHandle(self, (HANDLE)Pair.one, self, &duplicate, 0, FALSE, DUPLICATE_SAME_ACCESS);
    CHECK(Recv(Pair.one, Buffer, 1, &ol) == WSA_IO_PENDING);
    closesocket(Pair.one);
    CHECK(Get(Queue, NOTHING).error == WAIT_TIMEOUT);
    closesocket((SOCKET)duplicate);
    packet = Get(Queue, SOON);
    CHECK(!packet.ok && packet.overlapped == &ol);
    Pair.one = Overlapped(SOCK_STREAM);
    Close();
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

static DWORD WINAPI WaitForPacket(LPVOID port)
{
    PACKET packet = Get((HANDLE)port, SOON);
    return packet.overlapped == NULL && !packet.ok ? packet.error : 1;
}

static void cx_9(void)
{
    HANDLE port = Port(0), threads[2];
    DWORD code, i;
    for (i = 0; i < 2; i++)
        threads[i] = CreateThread(NULL, 0, WaitForPacket, port, 0, NULL);
    Sleep(NOTHING);
    CloseHandle(port);
    for (i = 0; i < 2; i++) {
        WaitForSingleObject(threads[i], 2 * SOON);
        GetExitCodeThread(threads[i], &code);
        CHECK(code == ERROR_ABANDONED_WAIT_0, "code %lu", code);
        CloseHandle(threads[i]);
    }
    CHECK(Get(port, 0).error == ERROR_INVALID_HANDLE);
}

static void cx_9_duplicate(void)
{
    HANDLE port = Port(0), other, self = GetCurrentProcess();
    DuplicateHandle(self, port, self, &other, 0, FALSE, DUPLICATE_SAME_ACCESS);
    CloseHandle(port);
    CHECK(PostQueuedCompletionStatus(other, 1, 0, NULL));
    CHECK(Get(other, SOON).bytes == 1);
    CloseHandle(other);
}

static void cx_11(void)
{
    OVERLAPPED ol = {0};
    Open();
    CHECK(Recv(Pair.one, Buffer, 1, &ol) == WSA_IO_PENDING);
    CloseHandle(Queue);
    CHECK(send(Pair.one, "y", 1, 0) == 1 && recv(Pair.other, Buffer + 1, 1, 0) == 1);
    ClosePair(&Pair);
}

/* Table 6a: what a status is called by each of the two families. */
static void table_6a(void)
{
    static const struct {
        DWORD status, dos, wsa;
    } rows[] = {
        {0xc0000120, ERROR_OPERATION_ABORTED, WSA_OPERATION_ABORTED},
        {0xc000020d, ERROR_NETNAME_DELETED, WSAECONNRESET},
        {0xc0000236, ERROR_CONNECTION_REFUSED, WSAECONNREFUSED},
        {0xc0000241, ERROR_CONNECTION_ABORTED, WSAECONNABORTED},
        {0xc00000b5, ERROR_SEM_TIMEOUT, WSAETIMEDOUT},
        {0x80000005, ERROR_MORE_DATA, WSAEMSGSIZE},
        {0xc0000011, ERROR_HANDLE_EOF, 0},
        {0xc000014b, ERROR_BROKEN_PIPE, 0},
        {0xc000000d, ERROR_INVALID_PARAMETER, WSAEINVAL},
        {0xc0000023, ERROR_INSUFFICIENT_BUFFER, 0},
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

int main(void)
{
    Start();
    RUN("CX-1", cx_1);
    RUN("CX-2", cx_2);
    RUN("CX-3", cx_3);
    RUN("CX-4", cx_4);
    RUN("CX-6", cx_6);
    RUN("CX-6 (datagrams)", cx_6_udp);
    RUN("CX-7", cx_7);
    RUN("CX-8", cx_8);
    RUN("CX-8 (event)", cx_8_event);
    RUN("CX-9", cx_9);
    RUN("CX-9 (duplicate)", cx_9_duplicate);
    RUN("CX-11", cx_11);
    RUN("table 6a", table_6a);
    return 0;
}
