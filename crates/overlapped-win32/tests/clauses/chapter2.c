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

static void pk_1(void)
{
    OVERLAPPED ol = {0};
    PACKET packet;
    Open();
    CHECK(Recv(Pair.one, Buffer, sizeof(Buffer), &ol) == WSA_IO_PENDING);
    send(Pair.other, "hello", 5, 0);
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.key == 42 && packet.overlapped == &ol && packet.bytes == 5);
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

static void pk_3(void)
{
    Open();
    CHECK(send(Pair.other, "x", 1, 0) == 1);
    CHECK(recv(Pair.one, Buffer, 1, 0) == 1);
    CHECK(send(Pair.one, "y", 1, 0) == 1);
    CHECK(shutdown(Pair.one, SD_SEND) == 0);
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
    CHECK(Get(Queue, NOTHING).error == WAIT_TIMEOUT);
    Close();
}

static void pk_5(void)
{
    OVERLAPPED ol = {0};
    HANDLE port = Port(0);
    SOCKET s = Bound(SOCK_STREAM);
    CreateIoCompletionPort((HANDLE)s, port, 0, 0);
    CHECK(Recv(s, Buffer, sizeof(Buffer), &ol) == WSAENOTCONN, "error %d", WSAGetLastError());
    CHECK(Get(port, NOTHING).error == WAIT_TIMEOUT);
    closesocket(s);
    CloseHandle(port);
}

static void pk_6(void)
{
    OVERLAPPED ol[8];
    PACKET packet;
    int i, seen = 0;
    Open();
    memset(ol, 0, sizeof(ol));
    for (i = 0; i < 8; i++)
        CHECK(Started(Recv(Pair.one, Buffer + i, 1, &ol[i])));
    send(Pair.other, "abc", 3, 0);
    for (i = 0; i < 3; i++)
        seen += Get(Queue, SOON).ok;
    CHECK(seen == 3);
    closesocket(Pair.other);
    Pair.other = Overlapped(SOCK_STREAM);
    for (i = 3; i < 8; i++) {
        packet = Get(Queue, SOON);
        CHECK(packet.overlapped != NULL && packet.bytes == 0, "packet %d: error %lu", i, packet.error);
    }
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
    send(Pair.other, "x", 1, 0);
    CHECK(WaitForSingleObject(event, SOON) == WAIT_OBJECT_0);
    CHECK(ol.Internal == 0 && ol.InternalHigh == 1);
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
    send(Pair.other, "x", 1, 0);
    CHECK(WaitForSingleObject(event, SOON) == WAIT_OBJECT_0);
    CHECK(Get(Queue, SOON).overlapped == &ol);
    Close();
    CloseHandle(event);
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

static void gq_1(void)
{
    HANDLE port = Port(0);
    PACKET packet = Get(port, 0);
    CHECK(!packet.ok && packet.overlapped == NULL && packet.error == WAIT_TIMEOUT);
    packet = Get((HANDLE)(ULONG_PTR)0xdeadbee0, 0);
    CHECK(!packet.ok && packet.overlapped == NULL && packet.error == ERROR_INVALID_HANDLE, "error %lu", packet.error);
    CloseHandle(port);
}

static void gq_2(void)
{
    HANDLE port = Port(0);
    DWORD bytes;
    ULONG_PTR key;
    LPOVERLAPPED overlapped;
    PostQueuedCompletionStatus(port, 1, 2, NULL);
    SetLastError(0xdeadbeef);
    CHECK(GetQueuedCompletionStatus(port, &bytes, &key, &overlapped, 0));
    CHECK(GetLastError() == 0xdeadbeef, "error %lu", GetLastError());
    CloseHandle(port);
}

static void gx_1(void)
{
    HANDLE port = Port(0);
    OVERLAPPED_ENTRY entries[4];
    ULONG count = 0;
    PostQueuedCompletionStatus(port, 1, 10, NULL);
    PostQueuedCompletionStatus(port, 2, 20, NULL);
    CHECK(GetQueuedCompletionStatusEx(port, entries, 4, &count, SOON, FALSE));
    CHECK(count == 2 && entries[0].lpCompletionKey == 10 && entries[1].lpCompletionKey == 20, "count %lu", count);
    CHECK(entries[1].dwNumberOfBytesTransferred == 2 && entries[0].Internal == 0);
    PostQueuedCompletionStatus(port, 1, 10, NULL);
    PostQueuedCompletionStatus(port, 2, 20, NULL);
    CHECK(GetQueuedCompletionStatusEx(port, entries, 1, &count, SOON, FALSE) && count == 1);
    CloseHandle(port);
}

static void gx_2(void)
{
    OVERLAPPED ol = {0};
    OVERLAPPED_ENTRY entry;
    ULONG count = 0;
    Open();
    CHECK(Recv(Pair.one, Buffer, sizeof(Buffer), &ol) == WSA_IO_PENDING);
    CHECK(CancelIoEx((HANDLE)Pair.one, &ol));
    CHECK(GetQueuedCompletionStatusEx(Queue, &entry, 1, &count, SOON, FALSE) && count == 1);
    CHECK(entry.lpOverlapped == &ol && (DWORD)entry.Internal == 0xc0000120 && (DWORD)ol.Internal == 0xc0000120,
          "status %lx", (DWORD)entry.Internal);
    Close();
}

static void gx_4(void)
{
    HANDLE port = Port(0);
    OVERLAPPED_ENTRY entry;
    ULONG count;
    CHECK(!GetQueuedCompletionStatusEx(port, &entry, 1, &count, 0, FALSE) && GetLastError() == WAIT_TIMEOUT);
    CloseHandle(port);
    CHECK(!GetQueuedCompletionStatusEx(port, &entry, 1, &count, 0, FALSE) && GetLastError() == ERROR_INVALID_HANDLE);
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

static void pq_1(void)
{
    HANDLE port = Port(0);
    PACKET packet;
    CHECK(PostQueuedCompletionStatus(port, 0xffffffff, ~(ULONG_PTR)0, NULL));
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.overlapped == NULL && packet.bytes == 0xffffffff && packet.key == ~(ULONG_PTR)0);
    CHECK(PostQueuedCompletionStatus(port, 1, 2, (LPOVERLAPPED)(ULONG_PTR)3));
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.overlapped == (LPOVERLAPPED)(ULONG_PTR)3);
    CloseHandle(port);
}

static void pq_2(void)
{
    OVERLAPPED ol = {0};
    PACKET one, two, three;
    Open();
    PostQueuedCompletionStatus(Queue, 1, 0, NULL);
    CHECK(Started(Send(Pair.one, "x", 1, &ol)));
    one = Get(Queue, SOON);
    two = Get(Queue, SOON);
    PostQueuedCompletionStatus(Queue, 3, 0, NULL);
    three = Get(Queue, SOON);
    CHECK(one.overlapped == NULL && two.overlapped == &ol && three.bytes == 3);
    Close();
}

static void pq_3(void)
{
    HANDLE port = Port(0);
    DWORD i;
    for (i = 0; i < 20000; i++)
        CHECK(PostQueuedCompletionStatus(port, i, 0, NULL));
    for (i = 0; i < 20000; i++)
        CHECK(Get(port, SOON).bytes == i);
    CloseHandle(port);
    SetLastError(0);
    CHECK(!PostQueuedCompletionStatus(port, 0, 0, NULL) && GetLastError() == ERROR_INVALID_HANDLE);
}

int main(void)
{
    Start();
    RUN("PK-1", pk_1);
    RUN("PK-2", pk_2);
    RUN("PK-3", pk_3);
    RUN("PK-4", pk_4);
    RUN("PK-5", pk_5);
    RUN("PK-6", pk_6);
    RUN("PK-7", pk_7);
    RUN("PK-8", pk_8);
    RUN("PK-9", pk_9);
    RUN("PK-11", pk_11);
    RUN("GQ-1", gq_1);
    RUN("GQ-2", gq_2);
    RUN("GX-1", gx_1);
    RUN("GX-2", gx_2);
    RUN("GX-4", gx_4);
    RUN("GX-5", gx_5);
    RUN("GX-6", gx_6);
    RUN("GX-7", gx_7);
    RUN("PQ-1", pq_1);
    RUN("PQ-2", pq_2);
    RUN("PQ-3", pq_3);
    return 0;
}
