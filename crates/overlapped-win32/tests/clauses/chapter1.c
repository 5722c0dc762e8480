/* Chapter 1: the port, and what is associated with it. */
#include "clause.h"

static void po_1(void)
{
    HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 77, 3);
    CHECK(port != NULL, "error %lu", GetLastError());
    CHECK(CloseHandle(port));
}

static void po_2(void)
{
    HANDLE port = Port(0);
    SetLastError(0);
    CHECK(CreateIoCompletionPort(INVALID_HANDLE_VALUE, port, 0, 0) == NULL);
    CHECK(GetLastError() == ERROR_INVALID_PARAMETER, "error %lu", GetLastError());
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

static void po_4(void)
{
    PAIR pair = Connected();
    HANDLE port = Port(0);
    CHECK(CreateIoCompletionPort((HANDLE)pair.one, port, 1, 9) == port);
    ClosePair(&pair);
    CloseHandle(port);
}

static void po_5(void)
{
    HANDLE port = Port(0);
    SOCKET s = WSASocketA(AF_INET, SOCK_STREAM, 0, NULL, 0, 0);
    SetLastError(0);
    CHECK(CreateIoCompletionPort((HANDLE)s, port, 0, 0) == NULL);
    CHECK(GetLastError() == ERROR_INVALID_PARAMETER, "error %lu", GetLastError());
    closesocket(s);
    CloseHandle(port);
}

static void po_6(void)
{
    PAIR pair = Connected();
    HANDLE first = Port(0), second = Port(0);
    OVERLAPPED ol = {0};
    PACKET packet;
    char buffer[8];
    CHECK(CreateIoCompletionPort((HANDLE)pair.one, first, 1, 0) == first);
    SetLastError(0);
    CHECK(CreateIoCompletionPort((HANDLE)pair.one, second, 2, 0) == NULL);
    CHECK(GetLastError() == ERROR_INVALID_PARAMETER, "error %lu", GetLastError());
    CHECK(CreateIoCompletionPort((HANDLE)pair.one, first, 1, 0) == NULL);
    CHECK(Started(Recv(pair.one, buffer, sizeof(buffer), &ol)));
    send(pair.other, "x", 1, 0);
    packet = Get(first, SOON);
    CHECK(packet.ok && packet.key == 1);
    ClosePair(&pair);
    CloseHandle(first);
    CloseHandle(second);
}

static void po_8(void)
{
    HANDLE port = Port(0), event = CreateEventA(NULL, TRUE, FALSE, NULL);
    PAIR pair = Connected();
    SOCKET closed = Overlapped(SOCK_STREAM);
    closesocket(closed);
    SetLastError(0);
    CHECK(CreateIoCompletionPort((HANDLE)closed, port, 0, 0) == NULL && GetLastError() == ERROR_INVALID_HANDLE,
          "a closed socket: %lu", GetLastError());
    SetLastError(0);
    CHECK(CreateIoCompletionPort((HANDLE)pair.one, event, 0, 0) == NULL && GetLastError() == ERROR_INVALID_HANDLE,
          "an event as the port: %lu", GetLastError());
    ClosePair(&pair);
    CloseHandle(event);
    CloseHandle(port);
}

static void po_9(void)
{
    PAIR pair = Connected();
    HANDLE port = Port(0), duplicate = NULL, self = GetCurrentProcess();
    OVERLAPPED ol = {0};
    PACKET packet;
    char buffer[8];
    CreateIoCompletionPort((HANDLE)pair.one, port, 9, 0);
    CHECK(DuplicateHandle(self, (HANDLE)pair.one, self, &duplicate, 0, FALSE, DUPLICATE_SAME_ACCESS));
    CHECK(Started(Recv((SOCKET)duplicate, buffer, sizeof(buffer), &ol)));
    send(pair.other, "x", 1, 0);
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.key == 9 && packet.overlapped == &ol);
    closesocket((SOCKET)duplicate);
    ClosePair(&pair);
    CloseHandle(port);
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

static void CALLBACK Routine(DWORD error, DWORD bytes, LPWSAOVERLAPPED overlapped, DWORD flags)
{
}

static void po_11(void)
{
    PAIR pair = Connected();
    HANDLE port = Port(0);
    OVERLAPPED ol = {0};
    char buffer[8];
    WSABUF wsa = {sizeof(buffer), buffer};
    DWORD flags = 0;
    CreateIoCompletionPort((HANDLE)pair.one, port, 0, 0);
    CHECK(WSARecv(pair.one, &wsa, 1, NULL, &flags, &ol, Routine) == SOCKET_ERROR);
    CHECK(WSAGetLastError() == WSAEINVAL, "error %d", WSAGetLastError());
    ClosePair(&pair);
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
    HANDLE port = Port(0);
    OVERLAPPED ol = {0};
    char buffer[8], more[8];
    CreateIoCompletionPort((HANDLE)pair.one, port, 0, 0);
    CHECK(Started(Recv(pair.one, buffer, sizeof(buffer), &ol)));
    CHECK(CloseHandle(port));
    /* The sockets are usable. */
    CHECK(send(pair.other, "abc", 3, 0) == 3);
    CHECK(send(pair.one, "def", 3, 0) == 3);
    CHECK(recv(pair.other, more, sizeof(more), 0) == 3);
    ClosePair(&pair);
}

int main(void)
{
    Start();
    RUN("PO-1", po_1);
    RUN("PO-2", po_2);
    RUN("PO-3", po_3);
    RUN("PO-4", po_4);
    RUN("PO-5", po_5);
    RUN("PO-6", po_6);
    RUN("PO-8", po_8);
    RUN("PO-9", po_9);
    RUN("PO-10", po_10);
    RUN("PO-11", po_11);
    RUN("PO-12", po_12);
    RUN("PO-14", po_14);
    RUN("PO-15", po_15);
    return 0;
}
