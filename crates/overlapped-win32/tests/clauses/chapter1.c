/* Chapter 1: the port, and what is associated with it. */
#include "clause.h"

/* A file, which goes when it is closed. */
static HANDLE TemporaryFile(const char *name, DWORD flags)
{
    return CreateFileA(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                       FILE_FLAG_DELETE_ON_CLOSE | flags, NULL);
}

/* A port that takes and gives a packet. */
static BOOL Works(HANDLE port)
{
    PACKET packet;
    if (!PostQueuedCompletionStatus(port, 3, 4, NULL))
        return FALSE;
    packet = Get(port, SOON);
    return packet.ok && packet.bytes == 3 && packet.key == 4;
}

static void po_1(void)
{
    DWORD values[] = {0, 1, 3, 1000}, i;
    for (i = 0; i < 4; i++) {
        HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 77, values[i]);
        CHECK(port != NULL && port != INVALID_HANDLE_VALUE, "value %lu: error %lu", values[i], GetLastError());
        CHECK(Works(port), "value %lu", values[i]);
        CHECK(CloseHandle(port));
    }
}

static void po_2(void)
{
    HANDLE port = Port(0);
    SetLastError(0);
    CHECK(CreateIoCompletionPort(INVALID_HANDLE_VALUE, port, 0, 0) == NULL);
    CHECK(GetLastError() == ERROR_INVALID_PARAMETER, "error %lu", GetLastError());
    CHECK(Works(port));
    CloseHandle(port);
}

static void po_3(void)
{
    PAIR pair = Connected();
    HANDLE port = CreateIoCompletionPort((HANDLE)pair.one, NULL, 5, 0);
    OVERLAPPED ol = {0};
    PACKET packet;
    char buffer[8];
    CHECK(port != NULL, "error %lu", GetLastError());
    CHECK(Started(Recv(pair.one, buffer, sizeof(buffer), &ol)));
    send(pair.other, "x", 1, 0);
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.key == 5 && packet.overlapped == &ol && packet.bytes == 1);
    ClosePair(&pair);
    CloseHandle(port);
}

/* Ports that were made in vain, more of them than a process could have if they stayed. */
static void po_3_refused(void)
{
    SOCKET s = WSASocketA(AF_INET, SOCK_STREAM, 0, NULL, 0, 0);
    HANDLE port;
    int i;
    for (i = 0; i < 3000; i++) {
        SetLastError(0);
        CHECK(CreateIoCompletionPort((HANDLE)s, NULL, 0, 0) == NULL && GetLastError() == ERROR_INVALID_PARAMETER,
              "error %lu", GetLastError());
    }
    port = Port(0);
    CHECK(port != NULL && Works(port), "error %lu", GetLastError());
    closesocket(s);
    CloseHandle(port);
}

/* That the value of an association is ignored is a part of CC-6. */
static void po_4(void)
{
    PAIR pair = Connected();
    HANDLE port = Port(0);
    SetLastError(0xdeadbeef);
    CHECK(CreateIoCompletionPort((HANDLE)pair.one, port, 1, 9) == port);
    CHECK(CreateIoCompletionPort((HANDLE)pair.other, port, 2, 0) == port);
    CHECK(Works(port));
    ClosePair(&pair);
    CloseHandle(port);
}

static void po_5(void)
{
    HANDLE port = Port(0);
    SOCKET s = WSASocketA(AF_INET, SOCK_STREAM, 0, NULL, 0, 0);
    HANDLE file = TemporaryFile("po_5.tmp", 0);
    SetLastError(0);
    CHECK(CreateIoCompletionPort((HANDLE)s, port, 0, 0) == NULL);
    CHECK(GetLastError() == ERROR_INVALID_PARAMETER, "error %lu", GetLastError());
    SetLastError(0);
    CHECK(file != INVALID_HANDLE_VALUE && CreateIoCompletionPort(file, port, 0, 0) == NULL);
    CHECK(GetLastError() == ERROR_INVALID_PARAMETER, "a file: error %lu", GetLastError());
    closesocket(s);
    CloseHandle(file);
    /* socket() makes overlapped ones. */
    s = socket(AF_INET, SOCK_STREAM, 0);
    file = TemporaryFile("po_5.tmp", FILE_FLAG_OVERLAPPED);
    CHECK(CreateIoCompletionPort((HANDLE)s, port, 0, 0) == port, "error %lu", GetLastError());
    CHECK(CreateIoCompletionPort(file, port, 0, 0) == port, "a file: error %lu", GetLastError());
    closesocket(s);
    CloseHandle(file);
    CloseHandle(port);
}

static void po_6(void)
{
    PAIR pair = Connected();
    HANDLE first = Port(0), second = Port(0), ports[3];
    OVERLAPPED ol = {0};
    PACKET packet;
    char buffer[8];
    ULONG_PTR i;
    CHECK(CreateIoCompletionPort((HANDLE)pair.one, first, 1, 0) == first);
    /* Another port, the same one, a new one; other keys and the same one. */
    ports[0] = second;
    ports[1] = first;
    ports[2] = NULL;
    for (i = 0; i < 6; i++) {
        SetLastError(0);
        CHECK(CreateIoCompletionPort((HANDLE)pair.one, ports[i / 2], 1 + i % 2, 0) == NULL, "case %d", (int)i);
        CHECK(GetLastError() == ERROR_INVALID_PARAMETER, "case %d: error %lu", (int)i, GetLastError());
    }
    CHECK(Started(Recv(pair.one, buffer, sizeof(buffer), &ol)));
    send(pair.other, "x", 1, 0);
    packet = Get(first, SOON);
    CHECK(packet.ok && packet.key == 1 && packet.overlapped == &ol);
    CHECK(Get(second, 0).error == WAIT_TIMEOUT);
    ClosePair(&pair);
    CloseHandle(first);
    CloseHandle(second);
}

static void po_8(void)
{
    HANDLE port = Port(0), event = CreateEventA(NULL, TRUE, FALSE, NULL), closed_port = Port(0);
    PAIR pair = Connected();
    SOCKET closed = Overlapped(SOCK_STREAM);
    struct {
        HANDLE file, port;
    } wrong[] = {
        {(HANDLE)closed, port},
        {(HANDLE)(ULONG_PTR)0xdeadbee0, port},
        {event, port},
        {port, port},
        {NULL, port},
        {(HANDLE)pair.one, event},
        {(HANDLE)pair.one, (HANDLE)pair.one},
        {(HANDLE)pair.one, closed_port},
        {(HANDLE)pair.one, (HANDLE)(ULONG_PTR)0xdeadbee0},
        {(HANDLE)closed, NULL},
    };
    int i;
    closesocket(closed);
    CloseHandle(closed_port);
    for (i = 0; i < (int)(sizeof(wrong) / sizeof(wrong[0])); i++) {
        SetLastError(0);
        CHECK(CreateIoCompletionPort(wrong[i].file, wrong[i].port, 0, 0) == NULL, "case %d", i);
        CHECK(GetLastError() == ERROR_INVALID_HANDLE, "case %d: error %lu", i, GetLastError());
    }
    /* It is as free as before. */
    CHECK(CreateIoCompletionPort((HANDLE)pair.one, port, 0, 0) == port, "error %lu", GetLastError());
    ClosePair(&pair);
    CloseHandle(event);
    CloseHandle(port);
}

static void po_9(void)
{
    PAIR pair = Connected();
    HANDLE port = Port(0), other = Port(0), before = NULL, after = NULL, self = GetCurrentProcess();
    SOCKET third = INVALID_SOCKET, through[3];
    WSAPROTOCOL_INFOA information;
    char buffer[8];
    int i;
    CHECK(DuplicateHandle(self, (HANDLE)pair.one, self, &before, 0, FALSE, DUPLICATE_SAME_ACCESS));
    CreateIoCompletionPort((HANDLE)pair.one, port, 9, 0);
    CHECK(DuplicateHandle(self, (HANDLE)pair.one, self, &after, 0, FALSE, DUPLICATE_SAME_ACCESS));
    if (WSADuplicateSocketA(pair.one, GetCurrentProcessId(), &information) == 0)
        third = WSASocketA(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &information, 0, WSA_FLAG_OVERLAPPED);
    CHECK(third != INVALID_SOCKET, "error %d", WSAGetLastError());
    /* The duplicates belong to the port as well. */
    CHECK(CreateIoCompletionPort(before, other, 1, 0) == NULL && GetLastError() == ERROR_INVALID_PARAMETER);
    /* And do so without what they are duplicates of. */
    closesocket(pair.one);
    through[0] = (SOCKET)before;
    through[1] = (SOCKET)after;
    through[2] = third;
    for (i = 0; i < 3; i++) {
        OVERLAPPED ol = {0};
        PACKET packet;
        int result = Recv(through[i], buffer, sizeof(buffer), &ol);
        CHECK(Started(result), "%d: error %d", i, result);
        if (!Started(result))
            continue;
        send(pair.other, "x", 1, 0);
        packet = Get(port, SOON);
        CHECK(packet.ok && packet.key == 9 && packet.overlapped == &ol, "%d: error %lu", i, packet.error);
    }
    for (i = 0; i < 3; i++)
        closesocket(through[i]);
    closesocket(pair.other);
    CloseHandle(port);
    CloseHandle(other);
}

static void po_10(void)
{
    PAIR pair = Connected();
    HANDLE port = Port(0);
    OVERLAPPED ol = {0};
    PACKET packet;
    char buffer[8];
    CHECK(Recv(pair.one, buffer, sizeof(buffer), &ol) == WSA_IO_PENDING);
    CHECK(CreateIoCompletionPort((HANDLE)pair.one, port, 125, 0) == port);
    send(pair.other, "x", 1, 0);
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.key == 125 && packet.overlapped == &ol && packet.bytes == 1, "error %lu", packet.error);
    ClosePair(&pair);
    CloseHandle(port);
}

static int Called;
static void CALLBACK Routine(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
    Called++;
}

static void CALLBACK FileRoutine(DWORD error, DWORD bytes, LPOVERLAPPED overlapped)
{
    Called++;
}

/* What was started with a routine before there was a port ends with it. */
static void po_10_routine(void)
{
    PAIR pair = Connected();
    HANDLE port = Port(0);
    OVERLAPPED ol = {0};
    char buffer[8];
    WSABUF wsa = {sizeof(buffer), buffer};
    DWORD flags = 0;
    Called = 0;
    CHECK(WSARecv(pair.one, &wsa, 1, NULL, &flags, &ol, Routine) == SOCKET_ERROR && WSAGetLastError() == WSA_IO_PENDING);
    CHECK(CreateIoCompletionPort((HANDLE)pair.one, port, 125, 0) == port);
    send(pair.other, "x", 1, 0);
    CHECK(SleepEx(SOON, TRUE) == WAIT_IO_COMPLETION);
    CHECK(Called == 1 && ol.Internal == 0 && ol.InternalHigh == 1);
    CHECK(Get(port, NOTHING).error == WAIT_TIMEOUT);
    ClosePair(&pair);
    CloseHandle(port);
}

static void po_11(void)
{
    PAIR pair = Connected();
    HANDLE port = Port(0);
    OVERLAPPED ol = {0};
    char buffer[8] = {0};
    WSABUF wsa = {sizeof(buffer), buffer};
    DWORD flags = 0;
    Called = 0;
    CreateIoCompletionPort((HANDLE)pair.one, port, 0, 0);
    CHECK(WSARecv(pair.one, &wsa, 1, NULL, &flags, &ol, Routine) == SOCKET_ERROR);
    CHECK(WSAGetLastError() == WSAEINVAL, "receive: error %d", WSAGetLastError());
    CHECK(WSASend(pair.one, &wsa, 1, NULL, 0, &ol, Routine) == SOCKET_ERROR);
    CHECK(WSAGetLastError() == WSAEINVAL, "send: error %d", WSAGetLastError());
    CHECK(SleepEx(0, TRUE) == 0 && Called == 0);
    CHECK(Get(port, 0).error == WAIT_TIMEOUT);
    ClosePair(&pair);
    CloseHandle(port);
}

static void po_11_file(void)
{
    HANDLE port = Port(0), file = TemporaryFile("po_11.tmp", FILE_FLAG_OVERLAPPED);
    OVERLAPPED ol = {0};
    char buffer[8] = {0};
    Called = 0;
    CHECK(CreateIoCompletionPort(file, port, 0, 0) == port);
    SetLastError(0);
    CHECK(!WriteFileEx(file, buffer, sizeof(buffer), &ol, FileRoutine));
    CHECK(GetLastError() == ERROR_INVALID_PARAMETER, "write: error %lu", GetLastError());
    SetLastError(0);
    CHECK(!ReadFileEx(file, buffer, sizeof(buffer), &ol, FileRoutine));
    CHECK(GetLastError() == ERROR_INVALID_PARAMETER, "read: error %lu", GetLastError());
    CHECK(SleepEx(0, TRUE) == 0 && Called == 0);
    CHECK(Get(port, 0).error == WAIT_TIMEOUT);
    CloseHandle(file);
    CloseHandle(port);
}

static void po_12(void)
{
    ULONG_PTR keys[] = {0, ~(ULONG_PTR)0, (ULONG_PTR)keys};
    int i;
    for (i = 0; i < 3; i++) {
        PAIR pair = Connected();
        HANDLE port = Port(0);
        OVERLAPPED ol = {0};
        PACKET packet;
        char buffer[8];
        CreateIoCompletionPort((HANDLE)pair.one, port, keys[i], 0);
        Recv(pair.one, buffer, sizeof(buffer), &ol);
        send(pair.other, "x", 1, 0);
        packet = Get(port, SOON);
        CHECK(packet.ok && packet.key == keys[i]);
        ClosePair(&pair);
        CloseHandle(port);
    }
}

static BOOL Signalled(SOCKET s)
{
    return WaitForSingleObject((HANDLE)s, 0) == WAIT_OBJECT_0;
}

static void po_13(void)
{
    PAIR pair = Connected();
    HANDLE port = Port(0);
    OVERLAPPED ols[2];
    char buffer[8];
    memset(ols, 0, sizeof(ols));
    /* An operation that is under way has reset it. */
    CHECK(Recv(pair.one, buffer, 1, &ols[0]) == WSA_IO_PENDING);
    CHECK(!Signalled(pair.one));
    CreateIoCompletionPort((HANDLE)pair.one, port, 0, 0);
    CHECK(Signalled(pair.one));
    CHECK(SetFileCompletionNotificationModes((HANDLE)pair.other, FILE_SKIP_SET_EVENT_ON_HANDLE));
    CHECK(Recv(pair.other, buffer, 1, &ols[1]) == WSA_IO_PENDING);
    CHECK(!Signalled(pair.other));
    CreateIoCompletionPort((HANDLE)pair.other, port, 0, 0);
    CHECK(!Signalled(pair.other), "although FILE_SKIP_SET_EVENT_ON_HANDLE is set");
    send(pair.one, "x", 1, 0);
    send(pair.other, "x", 1, 0);
    CHECK(Get(port, SOON).ok && Get(port, SOON).ok);
    ClosePair(&pair);
    CloseHandle(port);
}

static void po_14(void)
{
    HANDLE port = Port(0);
    CHECK(WaitForSingleObject(port, 0) == WAIT_TIMEOUT, "error %lu", GetLastError());
    PostQueuedCompletionStatus(port, 0, 0, NULL);
    CHECK(WaitForSingleObject(port, SOON) == WAIT_OBJECT_0);
    Get(port, SOON);
    CHECK(WaitForSingleObject(port, 0) == WAIT_TIMEOUT);
    CloseHandle(port);
}

static void po_15(void)
{
    PAIR pair = Connected();
    HANDLE port = Port(0), next;
    OVERLAPPED ol = {0};
    char buffer[8], more[8];
    int i;
    CreateIoCompletionPort((HANDLE)pair.one, port, 0, 0);
    /* What is queued goes with the port: posts, and an operation that has ended. */
    for (i = 0; i < 100; i++)
        CHECK(PostQueuedCompletionStatus(port, 1, 0, NULL));
    CHECK(Started(Send(pair.one, "0", 1, &ol)));
    CHECK(recv(pair.other, more, sizeof(more), 0) == 1);
    memset(&ol, 0, sizeof(ol));
    CHECK(Started(Recv(pair.one, buffer, sizeof(buffer), &ol)));
    CHECK(CloseHandle(port));
    next = Port(0);
    /* The sockets are usable, and go on belonging to that port. */
    CHECK(CreateIoCompletionPort((HANDLE)pair.one, next, 0, 0) == NULL && GetLastError() == ERROR_INVALID_PARAMETER,
          "error %lu", GetLastError());
    CHECK(send(pair.other, "abc", 3, 0) == 3);
    CHECK(send(pair.one, "def", 3, 0) == 3);
    CHECK(recv(pair.other, more, sizeof(more), 0) == 3);
    CHECK(Get(next, NOTHING).error == WAIT_TIMEOUT);
    ClosePair(&pair);
    CHECK(Get(next, NOTHING).error == WAIT_TIMEOUT);
    CloseHandle(next);
}

/* A port ends with its last handle, and not with the one that it was made with. */
static void po_15_duplicate(void)
{
    PAIR pair = Connected();
    HANDLE port = Port(0), other = NULL, self = GetCurrentProcess();
    OVERLAPPED ol = {0};
    PACKET packet;
    char buffer[8];
    CHECK(DuplicateHandle(self, port, self, &other, 0, FALSE, DUPLICATE_SAME_ACCESS) && other != port);
    CHECK(PostQueuedCompletionStatus(port, 1, 2, NULL));
    CreateIoCompletionPort((HANDLE)pair.one, port, 5, 0);
    CHECK(CloseHandle(port));
    packet = Get(other, SOON);
    CHECK(packet.ok && packet.bytes == 1 && packet.key == 2);
    CHECK(Started(Recv(pair.one, buffer, sizeof(buffer), &ol)));
    send(pair.other, "x", 1, 0);
    packet = Get(other, SOON);
    CHECK(packet.ok && packet.key == 5 && packet.overlapped == &ol);
    SetLastError(0);
    CHECK(!CloseHandle(port) && GetLastError() == ERROR_INVALID_HANDLE);
    ClosePair(&pair);
    CHECK(CloseHandle(other));
}

int main(void)
{
    Start();
    RUN("PO-1", po_1);
    RUN("PO-2", po_2);
    RUN("PO-3", po_3);
    RUN("PO-3 (refused)", po_3_refused);
    RUN("PO-4", po_4);
    RUN("PO-5", po_5);
    RUN("PO-6", po_6);
    RUN("PO-8", po_8);
    RUN("PO-9", po_9);
    RUN("PO-10", po_10);
    RUN("PO-10 (routine)", po_10_routine);
    RUN("PO-11", po_11);
    RUN("PO-11 (files)", po_11_file);
    RUN("PO-12", po_12);
    RUN("PO-13", po_13);
    RUN("PO-14", po_14);
    RUN("PO-15", po_15);
    RUN("PO-15 (duplicate)", po_15_duplicate);
    return 0;
}
