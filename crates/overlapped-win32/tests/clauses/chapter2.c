/* Chapter 2: packets, the queue, the calls that dequeue. */
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

static void CALLBACK Routine(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
}

static void pk_1(void)
{
    OVERLAPPED ol = {0};
    OVERLAPPED_ENTRY entry;
    ULONG count = 0;
    Open();
    CHECK(Recv(Pair.one, Buffer, sizeof(Buffer), &ol) == WSA_IO_PENDING);
    send(Pair.other, "hello", 5, 0);
    CHECK(GetQueuedCompletionStatusEx(Queue, &entry, 1, &count, SOON, FALSE) && count == 1);
    CHECK(entry.lpCompletionKey == 42 && entry.lpOverlapped == &ol && entry.dwNumberOfBytesTransferred == 5);
    CHECK((DWORD)entry.Internal == 0);
    CHECK(memcmp(Buffer, "hello", 5) == 0);
    CHECK(ol.Internal == 0 && ol.InternalHigh == 5);
    Close();
}

static void pk_2(void)
{
    HANDLE port = Port(0);
    DWORD i;
    for (i = 1; i <= 100; i++)
        PostQueuedCompletionStatus(port, i, 0, NULL);
    for (i = 1; i <= 100; i++) {
        PACKET packet = Get(port, SOON);
        CHECK(packet.ok && packet.bytes == i, "packet %lu was %lu", i, packet.bytes);
    }
    CloseHandle(port);
}

/* Packets come in the order in which operations end, not in that in which they were started. */
static void pk_2_completion(void)
{
    OVERLAPPED first = {0}, second = {0}, out = {0};
    PAIR another = Connected();
    char more[8];
    Open();
    CreateIoCompletionPort((HANDLE)another.one, Queue, 43, 0);
    CHECK(Recv(Pair.one, Buffer, sizeof(Buffer), &first) == WSA_IO_PENDING);
    CHECK(Recv(another.one, more, sizeof(more), &second) == WSA_IO_PENDING);
    send(another.other, "x", 1, 0);
    CHECK(Get(Queue, SOON).overlapped == &second);
    /* On one handle, too. */
    CHECK(Started(Send(Pair.one, "y", 1, &out)));
    CHECK(Get(Queue, SOON).overlapped == &out);
    send(Pair.other, "z", 1, 0);
    CHECK(Get(Queue, SOON).overlapped == &first);
    ClosePair(&another);
    Close();
}

static void pk_3(void)
{
    SOCKET listener = Listening(), late = Overlapped(SOCK_STREAM), accepted;
    SOCKADDR_IN name = NameOf(listener);
    GUID id = WSAID_DISCONNECTEX;
    LPFN_DISCONNECTEX DisconnectEx_ = NULL;
    DWORD bytes, flags = 0;
    WSABUF wsa = {1, Buffer};
    Open();
    CreateIoCompletionPort((HANDLE)listener, Queue, 1, 0);
    CreateIoCompletionPort((HANDLE)late, Queue, 2, 0);
    CHECK(connect(late, (SOCKADDR *)&name, sizeof(name)) == 0);
    accepted = accept(listener, NULL, NULL);
    CHECK(accepted != INVALID_SOCKET);
    CHECK(send(Pair.other, "xy", 2, 0) == 2);
    CHECK(recv(Pair.one, Buffer, 1, 0) == 1);
    CHECK(WSARecv(Pair.one, &wsa, 1, &bytes, &flags, NULL, NULL) == 0 && bytes == 1);
    CHECK(send(Pair.one, "x", 1, 0) == 1);
    CHECK(WSASend(Pair.one, &wsa, 1, &bytes, 0, NULL, NULL) == 0 && bytes == 1);
    CHECK(shutdown(Pair.one, SD_SEND) == 0);
    WSAIoctl(late, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof(id), &DisconnectEx_, sizeof(DisconnectEx_), &bytes, NULL,
             NULL);
    CHECK(DisconnectEx_ != NULL && DisconnectEx_(late, NULL, 0, 0), "error %d", WSAGetLastError());
    CHECK(Get(Queue, NOTHING).error == WAIT_TIMEOUT);
    closesocket(accepted);
    closesocket(late);
    closesocket(listener);
    Close();
}

static void pk_3_disconnect(void)
{
    Open();
    CHECK(WSASendDisconnect(Pair.one, NULL) == 0);
    CHECK(WSARecvDisconnect(Pair.one, NULL) == 0);
    CHECK(Get(Queue, NOTHING).error == WAIT_TIMEOUT);
    Close();
}

static void pk_4(void)
{
    OVERLAPPED ol = {0};
    PACKET packet;
    Open();
    CHECK(Started(Send(Pair.one, "x", 1, &ol)));
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.overlapped == &ol && packet.bytes == 1);
    /* A receive of what is there. */
    memset(&ol, 0, sizeof(ol));
    send(Pair.other, "abc", 3, 0);
    CHECK(recv(Pair.one, Buffer, 1, MSG_PEEK) == 1);
    CHECK(Started(Recv(Pair.one, Buffer, sizeof(Buffer), &ol)));
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.overlapped == &ol && packet.bytes == 3 && packet.key == 42);
    CHECK(Get(Queue, NOTHING).error == WAIT_TIMEOUT);
    Close();
}

static void pk_5(void)
{
    OVERLAPPED ol = {0};
    HANDLE port = Port(0);
    SOCKET s = Bound(SOCK_STREAM);
    WSABUF wsa = {sizeof(Buffer), Buffer};
    DWORD flags = 0;
    C_ASSERT(WSA_IO_PENDING == 997 && ERROR_IO_PENDING == 997);
    CreateIoCompletionPort((HANDLE)s, port, 0, 0);
    CHECK(Recv(s, Buffer, sizeof(Buffer), &ol) == WSAENOTCONN, "error %d", WSAGetLastError());
    CHECK(!Started(Send(s, Buffer, 1, &ol)));
    CHECK(WSARecv(s, &wsa, 1, NULL, &flags, &ol, Routine) == SOCKET_ERROR && WSAGetLastError() != WSA_IO_PENDING);
    CHECK(Get(port, NOTHING).error == WAIT_TIMEOUT);
    closesocket(s);
    CHECK(Recv(s, Buffer, sizeof(Buffer), &ol) == WSAENOTSOCK);
    CHECK(Get(port, NOTHING).error == WAIT_TIMEOUT);
    CloseHandle(port);
}

/* After a reset a receive fails at once, or it is started and ends so: it is told once. The error is IO-14's. */
static void pk_5_reset(void)
{
    OVERLAPPED ol = {0};
    LINGER hard = {1, 0};
    Open();
    setsockopt(Pair.other, SOL_SOCKET, SO_LINGER, (char *)&hard, sizeof(hard));
    closesocket(Pair.other);
    Pair.other = INVALID_SOCKET;
    if (Started(Recv(Pair.one, Buffer, sizeof(Buffer), &ol)))
        CHECK(Get(Queue, SOON).overlapped == &ol);
    CHECK(Get(Queue, NOTHING).error == WAIT_TIMEOUT);
    closesocket(Pair.one);
    CloseHandle(Queue);
}

/* Successes, cancelled ones, the end of the stream: one packet for each that was started. */
static void pk_6(void)
{
    OVERLAPPED ol[10];
    PACKET packet;
    int packets[10] = {0}, i;
    Open();
    memset(ol, 0, sizeof(ol));
    for (i = 0; i < 10; i++)
        CHECK(Started(Recv(Pair.one, Buffer + i, 1, &ol[i])));
    send(Pair.other, "abc", 3, 0);
    for (i = 0; i < 3; i++) {
        packet = Get(Queue, SOON);
        CHECK(packet.ok && packet.overlapped == &ol[i] && packet.bytes == 1, "packet %d: error %lu", i, packet.error);
        packets[i]++;
    }
    CHECK(CancelIoEx((HANDLE)Pair.one, &ol[4]) && CancelIoEx((HANDLE)Pair.one, &ol[7]));
    closesocket(Pair.other);
    Pair.other = Overlapped(SOCK_STREAM);
    for (i = 3; i < 10; i++) {
        ptrdiff_t which;
        packet = Get(Queue, SOON);
        which = packet.overlapped - ol;
        CHECK(packet.overlapped != NULL && which >= 3 && which < 10, "packet %d: error %lu", i, packet.error);
        if (packet.overlapped == NULL || which < 3 || which >= 10)
            break;
        CHECK(packet.bytes == 0 && packet.ok == (which != 4 && which != 7), "%d: error %lu", (int)which, packet.error);
        packets[which]++;
    }
    for (i = 0; i < 10; i++)
        CHECK(packets[i] == 1, "%d had %d packets", i, packets[i]);
    packet = Get(Queue, NOTHING);
    CHECK(packet.error == WAIT_TIMEOUT, "error %lu, operation %d", packet.error, (int)(packet.overlapped - ol));
    Close();
}

static void pk_7(void)
{
    OVERLAPPED ol = {0};
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    Open();
    ol.hEvent = (HANDLE)((ULONG_PTR)event | 1);
    CHECK(Started(Recv(Pair.one, Buffer, sizeof(Buffer), &ol)));
    CHECK(WaitForSingleObject(ol.hEvent, 0) == WAIT_TIMEOUT);
    send(Pair.other, "x", 1, 0);
    /* With the mark and without. */
    CHECK(WaitForSingleObject(ol.hEvent, SOON) == WAIT_OBJECT_0);
    CHECK(WaitForSingleObject(event, 0) == WAIT_OBJECT_0);
    CHECK(ol.Internal == 0 && ol.InternalHigh == 1);
    /* And of one that ends at once. */
    ResetEvent(event);
    CHECK(Started(Send(Pair.one, "y", 1, &ol)));
    CHECK(WaitForSingleObject(event, SOON) == WAIT_OBJECT_0 && ol.Internal == 0 && ol.InternalHigh == 1);
    CHECK(Get(Queue, NOTHING).error == WAIT_TIMEOUT);
    Close();
    CloseHandle(event);
}

static void pk_8(void)
{
    OVERLAPPED ol = {0};
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    Open();
    ol.hEvent = event;
    CHECK(Started(Recv(Pair.one, Buffer, sizeof(Buffer), &ol)));
    CHECK(WaitForSingleObject(event, 0) == WAIT_TIMEOUT);
    send(Pair.other, "x", 1, 0);
    CHECK(WaitForSingleObject(event, SOON) == WAIT_OBJECT_0);
    CHECK(Get(Queue, SOON).overlapped == &ol);
    Close();
    CloseHandle(event);
}

/* Without an event it is the socket that is signalled. */
static void pk_8_handle(void)
{
    OVERLAPPED ol = {0};
    Open();
    CHECK(Recv(Pair.one, Buffer, sizeof(Buffer), &ol) == WSA_IO_PENDING);
    CHECK(WaitForSingleObject((HANDLE)Pair.one, 0) == WAIT_TIMEOUT);
    send(Pair.other, "x", 1, 0);
    CHECK(WaitForSingleObject((HANDLE)Pair.one, SOON) == WAIT_OBJECT_0);
    CHECK(Get(Queue, SOON).overlapped == &ol);
    Close();
}

static void pk_9(void)
{
    OVERLAPPED ol = {0};
    HANDLE event = CreateEventA(NULL, TRUE, TRUE, NULL);
    Open();
    ol.Internal = 1;
    ol.InternalHigh = 99;
    ol.Offset = 7;
    ol.OffsetHigh = 8;
    ol.hEvent = event;
    CHECK(Recv(Pair.one, Buffer, sizeof(Buffer), &ol) == WSA_IO_PENDING);
    CHECK(ol.Internal == STATUS_PENDING && ol.InternalHigh == 99 && ol.Offset == 7 && ol.OffsetHigh == 8);
    CHECK(WaitForSingleObject(event, 0) == WAIT_TIMEOUT);
    send(Pair.other, "x", 1, 0);
    Get(Queue, SOON);
    Close();
    CloseHandle(event);
}

/* The extensions mark the structure as under way before they look at what they are to do. */
static void pk_9_extensions(void)
{
    SOCKET s = Bound(SOCK_STREAM), fresh = Overlapped(SOCK_STREAM);
    SOCKADDR_IN name = Loopback(htons(9));
    GUID id = WSAID_CONNECTEX;
    LPFN_CONNECTEX ConnectEx_ = NULL;
    DWORD bytes;
    /* In case that they are started after all. */
    static OVERLAPPED ol;
    static char room[2 * (sizeof(SOCKADDR_IN) + 16)];
    ol.Internal = 0xdead;
    CHECK(!AcceptEx(s, fresh, room, 0, sizeof(SOCKADDR_IN) + 16, sizeof(SOCKADDR_IN) + 16, &bytes, &ol));
    CHECK(WSAGetLastError() == WSAEINVAL, "AcceptEx: error %d", WSAGetLastError());
    CHECK(ol.Internal == STATUS_PENDING, "AcceptEx: %lx", (DWORD)ol.Internal);
    WSAIoctl(s, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof(id), &ConnectEx_, sizeof(ConnectEx_), &bytes, NULL, NULL);
    ol.Internal = 0xdead;
    /* It was not bound. */
    CHECK(ConnectEx_ != NULL && !ConnectEx_(fresh, (SOCKADDR *)&name, sizeof(name), NULL, 0, &bytes, &ol));
    CHECK(WSAGetLastError() == WSAEINVAL, "ConnectEx: error %d", WSAGetLastError());
    CHECK(ol.Internal == STATUS_PENDING, "ConnectEx: %lx", (DWORD)ol.Internal);
    closesocket(s);
    closesocket(fresh);
}

/* Nobody has to take the packet for these. */
static void pk_10_event(void)
{
    OVERLAPPED ol = {0};
    HANDLE event = CreateEventA(NULL, TRUE, FALSE, NULL);
    PAIR alone = Connected();
    int waited;
    Open();
    ol.hEvent = event;
    CHECK(Recv(Pair.one, Buffer, sizeof(Buffer), &ol) == WSA_IO_PENDING);
    send(Pair.other, "abc", 3, 0);
    CHECK(WaitForSingleObject(event, SOON) == WAIT_OBJECT_0);
    CHECK(ol.Internal == 0 && ol.InternalHigh == 3);
    CHECK(Get(Queue, SOON).overlapped == &ol);
    /* Without a port. */
    memset(&ol, 0, sizeof(ol));
    CHECK(Recv(alone.one, Buffer, sizeof(Buffer), &ol) == WSA_IO_PENDING);
    send(alone.other, "abcd", 4, 0);
    for (waited = 0; waited < SOON && !HasOverlappedIoCompleted(&ol); waited++)
        Sleep(1);
    CHECK(ol.Internal == 0 && ol.InternalHigh == 4);
    /* What has ended when the call returns is written then. */
    memset(&ol, 0, sizeof(ol));
    if (Send(Pair.one, "x", 1, &ol) == 0)
        CHECK(ol.Internal == 0 && ol.InternalHigh == 1);
    CHECK(Get(Queue, SOON).overlapped == &ol && ol.Internal == 0 && ol.InternalHigh == 1);
    ClosePair(&alone);
    Close();
    CloseHandle(event);
}

static void pk_10(void)
{
    OVERLAPPED ol = {0};
    Open();
    ol.InternalHigh = 99;
    CHECK(Recv(Pair.one, Buffer, sizeof(Buffer), &ol) == WSA_IO_PENDING);
    send(Pair.other, "abc", 3, 0);
    Sleep(NOTHING);
    CHECK(!HasOverlappedIoCompleted(&ol) && ol.InternalHigh == 99, "%lx", (DWORD)ol.Internal);
    CHECK(Get(Queue, SOON).overlapped == &ol && ol.Internal == 0 && ol.InternalHigh == 3);
    Close();
}

static void pk_10_cancelled(void)
{
    OVERLAPPED ol = {0};
    Open();
    CHECK(Recv(Pair.one, Buffer, sizeof(Buffer), &ol) == WSA_IO_PENDING);
    CHECK(CancelIoEx((HANDLE)Pair.one, &ol));
    Sleep(NOTHING);
    CHECK(!HasOverlappedIoCompleted(&ol), "%lx", (DWORD)ol.Internal);
    CHECK(Get(Queue, SOON).error == ERROR_OPERATION_ABORTED && (DWORD)ol.Internal == 0xc0000120);
    Close();
}

static void pk_11(void)
{
    OVERLAPPED ol = {0};
    WSABUF wsa[2];
    DWORD flags = 0;
    char one[3], two[3];
    Open();
    wsa[0].buf = one;
    wsa[0].len = 3;
    wsa[1].buf = two;
    wsa[1].len = 3;
    CHECK(WSARecv(Pair.one, wsa, 2, NULL, &flags, &ol, NULL) == SOCKET_ERROR && WSAGetLastError() == WSA_IO_PENDING);
    memset(wsa, 0xff, sizeof(wsa));
    send(Pair.other, "abcdef", 6, 0);
    CHECK(Get(Queue, SOON).bytes == 6);
    CHECK(memcmp(one, "abc", 3) == 0 && memcmp(two, "def", 3) == 0);
    Close();
}

#define HALF (2 * 1024 * 1024)

/* Of a send that does not fit at once. */
static void pk_11_send(void)
{
    OVERLAPPED ol = {0};
    WSABUF wsa[2];
    char *content = VirtualAlloc(NULL, 2 * HALF, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE), room[4096];
    int i, at = 0, count, wrong = 0;
    PACKET packet;
    Open();
    for (i = 0; i < 2 * HALF; i++)
        content[i] = (char)(i % 251);
    wsa[0].buf = content;
    wsa[0].len = HALF;
    wsa[1].buf = content + HALF;
    wsa[1].len = HALF;
    CHECK(WSASend(Pair.one, wsa, 2, NULL, 0, &ol, NULL) == 0 || WSAGetLastError() == WSA_IO_PENDING);
    memset(wsa, 0xff, sizeof(wsa));
    while (at < 2 * HALF) {
        /* Whoever takes the packet may be who sends. */
        packet = Get(Queue, 0);
        if (packet.overlapped != NULL)
            CHECK(packet.ok && packet.bytes == 2 * HALF, "error %lu", packet.error);
        count = recv(Pair.other, room, sizeof(room), 0);
        if (count <= 0)
            break;
        for (i = 0; i < count; i++)
            wrong += room[i] != (char)((at + i) % 251);
        at += count;
    }
    CHECK(at == 2 * HALF && wrong == 0, "%d bytes, %d wrong", at, wrong);
    Close();
    VirtualFree(content, 0, MEM_RELEASE);
}

/* GetQueuedCompletionStatus, with what it writes and what it does not. */
static PACKET Untouched(HANDLE port, DWORD timeout)
{
    PACKET packet;
    packet.bytes = 0x5a5a5a5a;
    packet.key = 0x5a5a;
    packet.overlapped = (LPOVERLAPPED)&packet;
    SetLastError(0xdeadbeef);
    packet.ok = GetQueuedCompletionStatus(port, &packet.bytes, &packet.key, &packet.overlapped, timeout);
    packet.error = GetLastError();
    return packet;
}

#define WROTE_ONLY_NULL(packet) \
    (!(packet).ok && (packet).overlapped == NULL && (packet).bytes == 0x5a5a5a5a && (packet).key == 0x5a5a)

static void gq_1(void)
{
    HANDLE port = Port(0), event = CreateEventA(NULL, TRUE, TRUE, NULL), closed = Port(0), wrong[4];
    PACKET packet = Untouched(port, 0);
    int i;
    CHECK(WROTE_ONLY_NULL(packet) && packet.error == WAIT_TIMEOUT, "error %lu", packet.error);
    packet = Untouched(port, NOTHING);
    CHECK(WROTE_ONLY_NULL(packet) && packet.error == WAIT_TIMEOUT, "error %lu", packet.error);
    CloseHandle(closed);
    wrong[0] = (HANDLE)(ULONG_PTR)0xdeadbee0;
    wrong[1] = event;
    wrong[2] = closed;
    wrong[3] = NULL;
    for (i = 0; i < 4; i++) {
        packet = Untouched(wrong[i], SOON);
        CHECK(WROTE_ONLY_NULL(packet) && packet.error == ERROR_INVALID_HANDLE, "case %d: error %lu", i, packet.error);
    }
    CloseHandle(event);
    CloseHandle(port);
}

static void table_2a(void)
{
    OVERLAPPED ol = {0};
    PACKET packet;
    Open();
    CHECK(Recv(Pair.one, Buffer, sizeof(Buffer), &ol) == WSA_IO_PENDING);
    send(Pair.other, "abc", 3, 0);
    packet = Untouched(Queue, SOON);
    CHECK(packet.ok && packet.overlapped == &ol && packet.bytes == 3 && packet.key == 42);
    CHECK(packet.error == 0xdeadbeef, "error %lu", packet.error);
    CHECK(Recv(Pair.one, Buffer, sizeof(Buffer), &ol) == WSA_IO_PENDING);
    CHECK(CancelIoEx((HANDLE)Pair.one, NULL));
    packet = Untouched(Queue, SOON);
    CHECK(!packet.ok && packet.overlapped == &ol && packet.bytes == 0 && packet.key == 42);
    CHECK(packet.error == ERROR_OPERATION_ABORTED, "error %lu", packet.error);
    Close();
}

/* A warning is a failure that has moved bytes. */
static void table_2a_warning(void)
{
    OVERLAPPED ol = {0};
    HANDLE port = Port(0);
    SOCKET to = Bound(SOCK_DGRAM), from = Bound(SOCK_DGRAM);
    SOCKADDR_IN name = NameOf(to);
    PACKET packet;
    CreateIoCompletionPort((HANDLE)to, port, 7, 0);
    CHECK(Recv(to, Buffer, 4, &ol) == WSA_IO_PENDING);
    sendto(from, "0123456789", 10, 0, (SOCKADDR *)&name, sizeof(name));
    packet = Untouched(port, SOON);
    CHECK(!packet.ok && packet.overlapped == &ol && packet.bytes == 4 && packet.key == 7, "bytes %lu", packet.bytes);
    CHECK(packet.error == ERROR_MORE_DATA, "error %lu", packet.error);
    CHECK((DWORD)ol.Internal == 0x80000005, "status %lx", (DWORD)ol.Internal);
    closesocket(to);
    closesocket(from);
    CloseHandle(port);
}

static DWORD WINAPI WaitUntouched(LPVOID parameter)
{
    PACKET *packet = parameter;
    HANDLE port = (HANDLE)packet->key;
    *packet = Untouched(port, SOON / 4);
    return 0;
}

/* The port is closed while somebody waits. */
static void table_2a_abandoned(void)
{
    PACKET packet;
    HANDLE port = Port(0), thread;
    packet.key = (ULONG_PTR)port;
    thread = CreateThread(NULL, 0, WaitUntouched, &packet, 0, NULL);
    Sleep(2 * NOTHING);
    CloseHandle(port);
    WaitForSingleObject(thread, INFINITE);
    CHECK(WROTE_ONLY_NULL(packet));
    CHECK(packet.error == ERROR_ABANDONED_WAIT_0, "error %lu", packet.error);
    CloseHandle(thread);
}

static void gq_2(void)
{
    HANDLE port = Port(0);
    OVERLAPPED_ENTRY entry;
    ULONG count;
    DWORD bytes;
    ULONG_PTR key;
    LPOVERLAPPED overlapped;
    PostQueuedCompletionStatus(port, 1, 2, NULL);
    SetLastError(0xdeadbeef);
    CHECK(GetQueuedCompletionStatus(port, &bytes, &key, &overlapped, 0));
    CHECK(GetLastError() == 0xdeadbeef, "error %lu", GetLastError());
    CHECK(PostQueuedCompletionStatus(port, 1, 2, NULL));
    CHECK(GetLastError() == 0xdeadbeef, "post: error %lu", GetLastError());
    CHECK(GetQueuedCompletionStatusEx(port, &entry, 1, &count, 0, FALSE));
    CHECK(GetLastError() == 0xdeadbeef, "Ex: error %lu", GetLastError());
    CloseHandle(port);
}

static DWORD WINAPI WaitForEver(LPVOID port)
{
    return Get((HANDLE)port, INFINITE).bytes;
}

/* 0 looks and does not wait; INFINITE waits for as long as it takes. That sleep of the machine does not
   count cannot be shown here. */
static void gq_3(void)
{
    HANDLE port = Port(0), thread;
    DWORD code = 0;
    int i;
    for (i = 0; i < 1000; i++)
        CHECK(Get(port, 0).error == WAIT_TIMEOUT);
    PostQueuedCompletionStatus(port, 1, 0, NULL);
    CHECK(Get(port, 0).ok);
    CHECK(Get(port, 1).error == WAIT_TIMEOUT);
    thread = CreateThread(NULL, 0, WaitForEver, port, 0, NULL);
    CHECK(WaitForSingleObject(thread, 3 * NOTHING) == WAIT_TIMEOUT);
    PostQueuedCompletionStatus(port, 17, 0, NULL);
    CHECK(WaitForSingleObject(thread, SOON) == WAIT_OBJECT_0);
    CHECK(GetExitCodeThread(thread, &code) && code == 17, "code %lu", code);
    CloseHandle(thread);
    CloseHandle(port);
}

static void gx_1(void)
{
    HANDLE port = Port(0);
    OVERLAPPED_ENTRY entries[4];
    ULONG count = 0, i;
    PostQueuedCompletionStatus(port, 1, 10, NULL);
    PostQueuedCompletionStatus(port, 2, 20, NULL);
    CHECK(GetQueuedCompletionStatusEx(port, entries, 4, &count, INFINITE, FALSE));
    CHECK(count == 2 && entries[0].lpCompletionKey == 10 && entries[1].lpCompletionKey == 20, "count %lu", count);
    CHECK(entries[1].dwNumberOfBytesTransferred == 2 && entries[0].Internal == 0);
    for (i = 0; i < 6; i++)
        PostQueuedCompletionStatus(port, i, 0, NULL);
    CHECK(GetQueuedCompletionStatusEx(port, entries, 1, &count, SOON, FALSE) && count == 1);
    CHECK(entries[0].dwNumberOfBytesTransferred == 0);
    CHECK(GetQueuedCompletionStatusEx(port, entries, 4, &count, SOON, FALSE) && count == 4);
    for (i = 0; i < 4; i++)
        CHECK(entries[i].dwNumberOfBytesTransferred == 1 + i);
    CHECK(GetQueuedCompletionStatusEx(port, entries, 4, &count, 0, FALSE) && count == 1);
    CHECK(entries[0].dwNumberOfBytesTransferred == 5);
    CloseHandle(port);
}

/* A failure among successes. */
static void gx_2(void)
{
    OVERLAPPED ol = {0};
    OVERLAPPED_ENTRY entries[3];
    ULONG count = 0, taken = 0;
    Open();
    CHECK(PostQueuedCompletionStatus(Queue, 1, 0, NULL));
    CHECK(Recv(Pair.one, Buffer, sizeof(Buffer), &ol) == WSA_IO_PENDING);
    CHECK(CancelIoEx((HANDLE)Pair.one, &ol));
    CHECK(PostQueuedCompletionStatus(Queue, 2, 0, NULL));
    while (taken < 3) {
        CHECK(GetQueuedCompletionStatusEx(Queue, entries + taken, 3 - taken, &count, SOON, FALSE) && count > 0);
        if (count == 0)
            break;
        taken += count;
    }
    CHECK(entries[0].lpOverlapped == NULL && (DWORD)entries[0].Internal == 0 && (DWORD)entries[2].Internal == 0);
    CHECK(entries[1].lpOverlapped == &ol && (DWORD)entries[1].Internal == 0xc0000120 && (DWORD)ol.Internal == 0xc0000120,
          "status %lx", (DWORD)entries[1].Internal);
    CHECK(entries[1].lpCompletionKey == 42 && entries[1].dwNumberOfBytesTransferred == 0);
    Close();
}

static void gx_3(void)
{
    HANDLE port = Port(0);
    OVERLAPPED_ENTRY entries[2];
    ULONG count;
    C_ASSERT(sizeof(OVERLAPPED_ENTRY) == 4 * sizeof(void *));
    C_ASSERT(FIELD_OFFSET(OVERLAPPED_ENTRY, lpCompletionKey) == 0);
    C_ASSERT(FIELD_OFFSET(OVERLAPPED_ENTRY, lpOverlapped) == sizeof(void *));
    C_ASSERT(FIELD_OFFSET(OVERLAPPED_ENTRY, Internal) == 2 * sizeof(void *));
    C_ASSERT(FIELD_OFFSET(OVERLAPPED_ENTRY, dwNumberOfBytesTransferred) == 3 * sizeof(void *));
    /* As what lies in memory. */
    PostQueuedCompletionStatus(port, 0x01020304, 0x1111, (LPOVERLAPPED)(ULONG_PTR)0x2222);
    PostQueuedCompletionStatus(port, 0x05060708, 0x3333, (LPOVERLAPPED)(ULONG_PTR)0x4444);
    CHECK(GetQueuedCompletionStatusEx(port, entries, 2, &count, SOON, FALSE) && count == 2);
    CHECK(((ULONG_PTR *)entries)[0] == 0x1111 && ((ULONG_PTR *)entries)[1] == 0x2222);
    CHECK((DWORD)((ULONG_PTR *)entries)[2] == 0 && (DWORD)((ULONG_PTR *)entries)[3] == 0x01020304);
    CHECK(((ULONG_PTR *)entries)[4] == 0x3333 && ((ULONG_PTR *)entries)[5] == 0x4444);
    CHECK((DWORD)((ULONG_PTR *)entries)[7] == 0x05060708);
    CloseHandle(port);
}

/* The fifth, WAIT_IO_COMPLETION, is a part of GX-5. */
static void gx_4(void)
{
    HANDLE port = Port(0), event = CreateEventA(NULL, TRUE, TRUE, NULL);
    OVERLAPPED_ENTRY entry;
    ULONG count;
    CHECK(!GetQueuedCompletionStatusEx(port, &entry, 1, &count, 0, FALSE) && GetLastError() == WAIT_TIMEOUT);
    CHECK(!GetQueuedCompletionStatusEx(port, &entry, 1, &count, NOTHING, TRUE) && GetLastError() == WAIT_TIMEOUT);
    CHECK(!GetQueuedCompletionStatusEx(event, &entry, 1, &count, SOON, FALSE) && GetLastError() == ERROR_INVALID_HANDLE);
    CloseHandle(port);
    CHECK(!GetQueuedCompletionStatusEx(port, &entry, 1, &count, 0, FALSE) && GetLastError() == ERROR_INVALID_HANDLE);
    CloseHandle(event);
}

static void gx_4_none(void)
{
    HANDLE port = Port(0);
    OVERLAPPED_ENTRY entry;
    ULONG count;
    SetLastError(0);
    CHECK(!GetQueuedCompletionStatusEx(port, &entry, 0, &count, 0, FALSE) && GetLastError() == ERROR_INVALID_PARAMETER,
          "error %lu", GetLastError());
    CloseHandle(port);
}

typedef struct _BATCH {
    HANDLE port;
    BOOL ok;
    DWORD error;
} BATCH;

static DWORD WINAPI WaitForBatch(LPVOID parameter)
{
    BATCH *batch = parameter;
    OVERLAPPED_ENTRY entries[4];
    ULONG count;
    batch->ok = GetQueuedCompletionStatusEx(batch->port, entries, 4, &count, SOON / 4, TRUE);
    batch->error = GetLastError();
    return 0;
}

static void gx_4_abandoned(void)
{
    BATCH batch = {Port(0)};
    HANDLE thread = CreateThread(NULL, 0, WaitForBatch, &batch, 0, NULL);
    Sleep(2 * NOTHING);
    CloseHandle(batch.port);
    WaitForSingleObject(thread, INFINITE);
    CHECK(!batch.ok && batch.error == ERROR_ABANDONED_WAIT_0, "error %lu", batch.error);
    CloseHandle(thread);
}

static int Apcs;
static VOID NTAPI Apc(ULONG_PTR parameter)
{
    Apcs++;
}

static void gx_5(void)
{
    HANDLE port = Port(0);
    OVERLAPPED_ENTRY entry;
    ULONG count;
    Apcs = 0;
    QueueUserAPC(Apc, GetCurrentThread(), 0);
    CHECK(!GetQueuedCompletionStatusEx(port, &entry, 1, &count, 0, FALSE) && GetLastError() == WAIT_TIMEOUT);
    CHECK(!GetQueuedCompletionStatusEx(port, &entry, 1, &count, NOTHING, FALSE) && GetLastError() == WAIT_TIMEOUT);
    CHECK(Get(port, NOTHING).error == WAIT_TIMEOUT);
    CHECK(Apcs == 0);
    CHECK(!GetQueuedCompletionStatusEx(port, &entry, 1, &count, SOON, TRUE) && GetLastError() == WAIT_IO_COMPLETION);
    CHECK(Apcs == 1);
    CloseHandle(port);
}

/* A thread that is not associated yet: the APC first, and no packet is taken. */
static DWORD WINAPI Unassociated(LPVOID port)
{
    OVERLAPPED_ENTRY entry;
    ULONG count;
    Apcs = 0;
    PostQueuedCompletionStatus(port, 1, 0, NULL);
    QueueUserAPC(Apc, GetCurrentThread(), 0);
    CHECK(!GetQueuedCompletionStatusEx(port, &entry, 1, &count, SOON, TRUE) && GetLastError() == WAIT_IO_COMPLETION);
    CHECK(Apcs == 1);
    CHECK(Get(port, 0).bytes == 1);
    return 0;
}

/* One that is: packets first, and the APC when there are none. */
static DWORD WINAPI Associated(LPVOID port)
{
    OVERLAPPED_ENTRY entry;
    ULONG count;
    Apcs = 0;
    Get(port, 0);
    PostQueuedCompletionStatus(port, 1, 0, NULL);
    QueueUserAPC(Apc, GetCurrentThread(), 0);
    CHECK(GetQueuedCompletionStatusEx(port, &entry, 1, &count, SOON, TRUE) && entry.dwNumberOfBytesTransferred == 1);
    CHECK(Apcs == 0);
    CHECK(!GetQueuedCompletionStatusEx(port, &entry, 1, &count, SOON, TRUE) && GetLastError() == WAIT_IO_COMPLETION);
    CHECK(Apcs == 1);
    return 0;
}

static void OnThread(LPTHREAD_START_ROUTINE routine)
{
    HANDLE port = Port(0), thread = CreateThread(NULL, 0, routine, port, 0, NULL);
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
    CloseHandle(port);
}

static void gx_6(void)
{
    OnThread(Unassociated);
}

static void gx_7(void)
{
    OnThread(Associated);
}

/* A wait that timed out has bound the thread: packets go before calls now (GX-7). */
static DWORD WINAPI BoundByTimeout(LPVOID port)
{
    OVERLAPPED_ENTRY entry;
    ULONG count;
    Apcs = 0;
    CHECK(!GetQueuedCompletionStatusEx(port, &entry, 1, &count, 0, FALSE) && GetLastError() == WAIT_TIMEOUT);
    PostQueuedCompletionStatus(port, 1, 0, NULL);
    QueueUserAPC(Apc, GetCurrentThread(), 0);
    CHECK(GetQueuedCompletionStatusEx(port, &entry, 1, &count, SOON, TRUE) && Apcs == 0);
    CHECK(!GetQueuedCompletionStatusEx(port, &entry, 1, &count, SOON, TRUE) && Apcs == 1);
    return 0;
}

/* By the single form, too, which is a part of GX-7; that it counts from then on is CC-4. */
static void gq_4(void)
{
    OnThread(BoundByTimeout);
}

static void pq_1(void)
{
    HANDLE port = Port(0);
    OVERLAPPED mine, before;
    PACKET packet;
    CHECK(PostQueuedCompletionStatus(port, 0xffffffff, ~(ULONG_PTR)0, NULL));
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.overlapped == NULL && packet.bytes == 0xffffffff && packet.key == ~(ULONG_PTR)0);
    CHECK(PostQueuedCompletionStatus(port, 1, 2, (LPOVERLAPPED)(ULONG_PTR)3));
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.overlapped == (LPOVERLAPPED)(ULONG_PTR)3);
    CHECK(PostQueuedCompletionStatus(port, 0, 0, NULL));
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.overlapped == NULL && packet.bytes == 0 && packet.key == 0);
    /* Nothing of it is looked at or written: not the event, not the status. */
    memset(&mine, 0x5a, sizeof(mine));
    before = mine;
    CHECK(PostQueuedCompletionStatus(port, 4, 5, &mine));
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.overlapped == &mine && packet.bytes == 4);
    CHECK(memcmp(&mine, &before, sizeof(mine)) == 0);
    CloseHandle(port);
}

static void pq_2(void)
{
    OVERLAPPED ol = {0}, in = {0};
    PACKET packets[4];
    int i;
    Open();
    /* They have ended when they are posted around: a send that fits, and a receive that is cancelled. */
    CHECK(Recv(Pair.one, Buffer, sizeof(Buffer), &in) == WSA_IO_PENDING);
    PostQueuedCompletionStatus(Queue, 1, 0, NULL);
    CHECK(Started(Send(Pair.one, "x", 1, &ol)));
    CHECK(recv(Pair.other, Buffer, 1, 0) == 1);
    CHECK(CancelIoEx((HANDLE)Pair.one, &in));
    Sleep(NOTHING);
    PostQueuedCompletionStatus(Queue, 3, 0, NULL);
    for (i = 0; i < 4; i++)
        packets[i] = Get(Queue, SOON);
    CHECK(packets[0].ok && packets[0].overlapped == NULL && packets[0].bytes == 1);
    CHECK(packets[1].ok && packets[1].overlapped == &ol);
    CHECK(!packets[2].ok && packets[2].overlapped == &in);
    CHECK(packets[3].ok && packets[3].overlapped == NULL && packets[3].bytes == 3);
    Close();
}

#define POSTERS 3
#define POSTS 2000

static HANDLE Posted;
static DWORD WINAPI PostInOrder(LPVOID key)
{
    DWORD i;
    for (i = 1; i <= POSTS; i++)
        PostQueuedCompletionStatus(Posted, i, (ULONG_PTR)key, NULL);
    return 0;
}

/* Each thread's posts keep their order, whoever else posts. */
static void pq_2_threads(void)
{
    HANDLE threads[POSTERS];
    DWORD last[POSTERS] = {0};
    ULONG_PTR i;
    Posted = Port(0);
    for (i = 0; i < POSTERS; i++)
        threads[i] = CreateThread(NULL, 0, PostInOrder, (LPVOID)i, 0, NULL);
    for (i = 0; i < POSTERS * POSTS; i++) {
        PACKET packet = Get(Posted, SOON);
        CHECK(packet.ok && packet.key < POSTERS, "error %lu", packet.error);
        if (!packet.ok || packet.key >= POSTERS)
            break;
        CHECK(packet.bytes == ++last[packet.key], "%d: %lu for %lu", (int)packet.key, packet.bytes, last[packet.key]);
    }
    WaitForMultipleObjects(POSTERS, threads, TRUE, SOON);
    for (i = 0; i < POSTERS; i++)
        CloseHandle(threads[i]);
    CloseHandle(Posted);
}

static void pq_3(void)
{
    HANDLE port = Port(0), event = CreateEventA(NULL, TRUE, TRUE, NULL), wrong[5];
    OVERLAPPED_ENTRY entries[64];
    DWORD i, taken = 0;
    ULONG count;
    for (i = 0; i < 100000; i++)
        CHECK(PostQueuedCompletionStatus(port, i, 0, NULL));
    while (taken < 100000 && GetQueuedCompletionStatusEx(port, entries, 64, &count, SOON, FALSE))
        for (i = 0; i < count; i++, taken++)
            CHECK(entries[i].dwNumberOfBytesTransferred == taken, "%lu for %lu", entries[i].dwNumberOfBytesTransferred, taken);
    CHECK(taken == 100000, "%lu", taken);
    CHECK(Get(port, 0).error == WAIT_TIMEOUT);
    CloseHandle(port);
    wrong[0] = port;
    wrong[1] = event;
    wrong[2] = NULL;
    wrong[3] = INVALID_HANDLE_VALUE;
    wrong[4] = (HANDLE)(ULONG_PTR)0xdeadbee0;
    for (i = 0; i < 5; i++) {
        SetLastError(0);
        CHECK(!PostQueuedCompletionStatus(wrong[i], 0, 0, NULL) && GetLastError() == ERROR_INVALID_HANDLE,
              "case %lu: error %lu", i, GetLastError());
    }
    CloseHandle(event);
}

int main(void)
{
    Start();
    RUN("PK-1", pk_1);
    RUN("PK-2", pk_2);
    RUN("PK-2 (completion)", pk_2_completion);
    RUN("PK-3", pk_3);
    RUN("PK-3 (disconnect)", pk_3_disconnect);
    RUN("PK-4", pk_4);
    RUN("PK-5", pk_5);
    RUN("PK-5 (reset)", pk_5_reset);
    RUN("PK-6", pk_6);
    RUN("PK-7", pk_7);
    RUN("PK-8", pk_8);
    RUN("PK-8 (handle)", pk_8_handle);
    RUN("PK-9", pk_9);
    RUN("PK-9 (extensions)", pk_9_extensions);
    RUN("PK-10", pk_10);
    RUN("PK-10 (told)", pk_10_event);
    RUN("PK-10 (cancelled)", pk_10_cancelled);
    RUN("PK-11", pk_11);
    RUN("PK-11 (send)", pk_11_send);
    RUN("GQ-1", gq_1);
    RUN("2a", table_2a);
    RUN("2a (warning)", table_2a_warning);
    RUN("2a (abandoned)", table_2a_abandoned);
    RUN("GQ-2", gq_2);
    RUN("GQ-3", gq_3);
    RUN("GQ-4", gq_4);
    RUN("GX-1", gx_1);
    RUN("GX-2", gx_2);
    RUN("GX-3", gx_3);
    RUN("GX-4", gx_4);
    RUN("GX-4 (none)", gx_4_none);
    RUN("GX-4 (abandoned)", gx_4_abandoned);
    RUN("GX-5", gx_5);
    RUN("GX-6", gx_6);
    RUN("GX-7", gx_7);
    RUN("PQ-1", pq_1);
    RUN("PQ-2", pq_2);
    RUN("PQ-2 (threads)", pq_2_threads);
    RUN("PQ-3", pq_3);
    return 0;
}
