/* Chapter 5: receiving and sending on streams. Datagrams are in chapter5_datagrams.c, files in
   chapter5_files.c, AcceptEx in chapter5_accept.c, connecting and what is done with a connection in
   chapter5_connect.c. */
#include "associated.h"

static void io_1(void)
{
    OVERLAPPED ol = {0};
    u_long yes = 1;
    Open();
    ioctlsocket(Pair.one, FIONBIO, &yes);
    CHECK(recv(Pair.one, Buffer, 1, 0) == SOCKET_ERROR && WSAGetLastError() == WSAEWOULDBLOCK);
    CHECK(Recv(Pair.one, Buffer, 1, &ol) == WSA_IO_PENDING);
    send(Pair.other, "x", 1, 0);
    CHECK(Get(Queue, SOON).overlapped == &ol);
    Close();
}

static OVERLAPPED Elsewhere;
static DWORD WINAPI ReceiveElsewhere(LPVOID s)
{
    return (DWORD)Recv((SOCKET)s, Buffer, 8, &Elsewhere);
}

/* On a socket without the attribute the call waits, and has ended when it returns. */
static void io_1_not_overlapped(void)
{
    SOCKET listener = Listening(), s = WSASocketA(AF_INET, SOCK_STREAM, 0, NULL, 0, 0), other;
    SOCKADDR_IN name = NameOf(listener);
    HANDLE thread;
    memset(&Elsewhere, 0, sizeof(Elsewhere));
    CHECK(connect(s, (SOCKADDR *)&name, sizeof(name)) == 0);
    other = accept(listener, NULL, NULL);
    thread = CreateThread(NULL, 0, ReceiveElsewhere, (LPVOID)s, 0, NULL);
    CHECK(WaitForSingleObject(thread, NOTHING) == WAIT_TIMEOUT);
    send(other, "abc", 3, 0);
    CHECK(Joined(thread) == 0);
    CHECK(memcmp(Buffer, "abc", 3) == 0);
    closesocket(s);
    closesocket(other);
    closesocket(listener);
}

#define MUCH (48 * 1024 * 1024)
static char *Much;

static DWORD WINAPI ReadMuch(LPVOID s)
{
    static char part[1 << 20];
    int all = 0, got;
    while (all < MUCH && (got = recv((SOCKET)s, part, sizeof(part), 0)) > 0)
        all += got;
    return all;
}

static void io_2(void)
{
    OVERLAPPED in = {0}, out = {0};
    DWORD timeout = 20;
    HANDLE thread;
    PACKET packet;
    Open();
    setsockopt(Pair.one, SOL_SOCKET, SO_RCVTIMEO, (char *)&timeout, sizeof(timeout));
    setsockopt(Pair.one, SOL_SOCKET, SO_SNDTIMEO, (char *)&timeout, sizeof(timeout));
    CHECK(recv(Pair.one, Buffer, 1, 0) == SOCKET_ERROR && WSAGetLastError() == WSAETIMEDOUT, "error %d", WSAGetLastError());
    CHECK(Recv(Pair.one, Buffer, 1, &in) == WSA_IO_PENDING);
    CHECK(Get(Queue, 3 * NOTHING).error == WAIT_TIMEOUT);
    send(Pair.other, "x", 1, 0);
    CHECK(Get(Queue, SOON).ok);
    CHECK(Send(Pair.one, Much, MUCH, &out) == WSA_IO_PENDING);
    CHECK(Get(Queue, 3 * NOTHING).error == WAIT_TIMEOUT);
    thread = CreateThread(NULL, 0, ReadMuch, (LPVOID)Pair.other, 0, NULL);
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.bytes == MUCH, "error %lu, %lu bytes", packet.error, packet.bytes);
    CHECK(Joined(thread) == MUCH);
    Close();
}

static void io_3(void)
{
    int i;
    Open();
    shutdown(Pair.other, SD_SEND);
    for (i = 0; i < 3; i++) {
        OVERLAPPED ol = {0};
        PACKET packet;
        CHECK(Started(Recv(Pair.one, Buffer, 1, &ol)));
        packet = Get(Queue, SOON);
        CHECK(packet.ok && packet.bytes == 0);
    }
    CHECK(recv(Pair.one, Buffer, 1, 0) == 0);
    Close();
}

static void io_4(void)
{
    OVERLAPPED ol = {0};
    PACKET packet;
    Open();
    CHECK(Recv(Pair.one, Buffer, 0, &ol) == WSA_IO_PENDING);
    send(Pair.other, "abc", 3, 0);
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.bytes == 0);
    /* There is data already. */
    CHECK(Started(Recv(Pair.one, Buffer, 0, &ol)));
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.bytes == 0);
    CHECK(recv(Pair.one, Buffer, 8, 0) == 3);
    /* The end. */
    CHECK(Recv(Pair.one, Buffer, 0, &ol) == WSA_IO_PENDING);
    shutdown(Pair.other, SD_SEND);
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.bytes == 0);
    CHECK(recv(Pair.one, Buffer, 8, 0) == 0);
    Close();
}

static void io_4_none(void)
{
    static OVERLAPPED ol;
    DWORD flags = 0;
    WSABUF wsa = {0, Buffer};
    Open();
    CHECK(WSARecv(Pair.one, &wsa, 0, NULL, &flags, &ol, NULL) == SOCKET_ERROR && WSAGetLastError() == WSAEINVAL, "error %d",
          WSAGetLastError());
    CHECK(IsEmpty(Queue));
    Close();
}

static void io_5(void)
{
    OVERLAPPED ol[8];
    int i;
    Open();
    memset(ol, 0, sizeof(ol));
    for (i = 0; i < 8; i++)
        CHECK(Started(Recv(Pair.one, Buffer + 2 * i, 2, &ol[i])));
    send(Pair.other, "0011223344556677", 16, 0);
    for (i = 0; i < 8; i++)
        CHECK(Get(Queue, SOON).bytes == 2);
    CHECK(memcmp(Buffer, "0011223344556677", 16) == 0, "%.16s", Buffer);
    Close();
}

#define LARGE 300000
static char Large[8][LARGE];

static void FillLarge(void)
{
    int i;
    for (i = 0; i < 8; i++)
        memset(Large[i], 'a' + i, LARGE);
}

/* Whether what comes is the eight blocks, each in one piece; `in_order`: and in their order. */
static BOOL ReadBlocks(SOCKET s, BOOL in_order)
{
    static char seen[LARGE];
    int i, was_there = 0;
    for (i = 0; i < 8; i++) {
        int block;
        if (Receive(s, seen, LARGE) != LARGE)
            return FALSE;
        block = seen[0] - 'a';
        if (block < 0 || block >= 8 || (was_there & 1 << block) != 0 || (in_order && block != i))
            return FALSE;
        was_there |= 1 << block;
        if (memcmp(seen, Large[block], LARGE) != 0)
            return FALSE;
    }
    return TRUE;
}

static DWORD WINAPI ReadInOrder(LPVOID s)
{
    return ReadBlocks((SOCKET)s, TRUE);
}

static DWORD WINAPI ReadUnmixed(LPVOID s)
{
    return ReadBlocks((SOCKET)s, FALSE);
}

static OVERLAPPED Sends[8];

static void io_6(void)
{
    HANDLE thread;
    int i;
    Open();
    FillLarge();
    memset(Sends, 0, sizeof(Sends));
    for (i = 0; i < 8; i++)
        CHECK(Started(Send(Pair.one, Large[i], LARGE, &Sends[i])));
    thread = CreateThread(NULL, 0, ReadInOrder, (LPVOID)Pair.other, 0, NULL);
    for (i = 0; i < 8; i++) {
        PACKET packet = Get(Queue, SOON);
        CHECK(packet.ok && packet.bytes == LARGE, "%lu bytes", packet.bytes);
    }
    CHECK(Joined(thread) == TRUE);
    Close();
}

static DWORD WINAPI SendFour(LPVOID first)
{
    int i, from = (int)(ULONG_PTR)first;
    for (i = from; i < from + 4; i++)
        CHECK(Started(Send(Pair.one, Large[i], LARGE, &Sends[i])));
    return 0;
}

static void io_6_threads(void)
{
    HANDLE threads[2], reading;
    int i;
    Open();
    FillLarge();
    memset(Sends, 0, sizeof(Sends));
    reading = CreateThread(NULL, 0, ReadUnmixed, (LPVOID)Pair.other, 0, NULL);
    for (i = 0; i < 2; i++)
        threads[i] = CreateThread(NULL, 0, SendFour, (LPVOID)(ULONG_PTR)(4 * i), 0, NULL);
    for (i = 0; i < 8; i++) {
        PACKET packet = Get(Queue, SOON);
        CHECK(packet.ok && packet.bytes == LARGE, "%lu bytes", packet.bytes);
    }
    for (i = 0; i < 2; i++)
        Joined(threads[i]);
    CHECK(Joined(reading) == TRUE);
    Close();
}

static DWORD WINAPI SendAndEnd(LPVOID s)
{
    CHECK(Started(Send((SOCKET)s, Large[0], 20000, &Sends[0])));
    return 0;
}

/* What was sent is whole, and arrives although thread and socket have gone. */
static void io_7(void)
{
    static char seen[20001];
    PACKET packet;
    Open();
    FillLarge();
    memset(Sends, 0, sizeof(Sends));
    Joined(CreateThread(NULL, 0, SendAndEnd, (LPVOID)Pair.one, 0, NULL));
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.bytes == 20000, "%lu bytes", packet.bytes);
    closesocket(Pair.one);
    CHECK(Receive(Pair.other, seen, sizeof(seen)) == 20000 && memcmp(seen, Large[0], 20000) == 0);
    Pair.one = Overlapped(SOCK_STREAM);
    Close();
}

/* All of it arrives although nobody takes packets. */
static void io_7_nobody(void)
{
    static char part[1 << 20];
    static OVERLAPPED ol;
    int all = 0, got;
    Open();
    CHECK(Send(Pair.one, Much, MUCH, &ol) == WSA_IO_PENDING);
    while (all < MUCH && (got = ReceiveWithin(1000, Pair.other, part, sizeof(part))) > 0)
        all += got;
    CHECK(all == MUCH, "%d bytes", all);
    Reset(Pair.other);
    Pair.other = Overlapped(SOCK_STREAM);
    Close();
}

/* As long as there is room for something, there is for all. */
static void io_7_non_blocking(void)
{
    u_long yes = 1;
    int sent;
    Open();
    ioctlsocket(Pair.one, FIONBIO, &yes);
    sent = send(Pair.one, Much, MUCH, 0);
    CHECK(sent == MUCH, "%d bytes", sent);
    Reset(Pair.other);
    Pair.other = Overlapped(SOCK_STREAM);
    Close();
}

static int RecvAll(void *buffer, ULONG length, OVERLAPPED *ol)
{
    WSABUF wsa;
    DWORD flags = MSG_WAITALL;
    wsa.buf = (CHAR *)buffer;
    wsa.len = length;
    return WSARecv(Pair.one, &wsa, 1, NULL, &flags, ol, NULL) == 0 ? 0 : WSAGetLastError();
}

static void io_8(void)
{
    static OVERLAPPED ol, next;
    PACKET packet;
    int error;
    Open();
    CHECK(Recv(Pair.one, Buffer, 8, &ol) == WSA_IO_PENDING);
    send(Pair.other, "abc", 3, 0);
    CHECK(Get(Queue, SOON).bytes == 3);
    /* All of it. */
    memset(&ol, 0, sizeof(ol));
    error = RecvAll(Buffer, 8, &ol);
    CHECK(error == WSA_IO_PENDING, "error %d", error);
    send(Pair.other, "abc", 3, 0);
    CHECK(IsEmpty(Queue));
    send(Pair.other, "defgh", 5, 0);
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.bytes == 8 && memcmp(Buffer, "abcdefgh", 8) == 0, "%lu bytes", packet.bytes);
    /* Before another one, which gets what follows. */
    CHECK(RecvAll(Buffer, 4, &ol) == WSA_IO_PENDING && Recv(Pair.one, Buffer + 4, 4, &next) == WSA_IO_PENDING);
    send(Pair.other, "ab", 2, 0);
    CHECK(IsEmpty(Queue));
    send(Pair.other, "cdef", 4, 0);
    packet = Get(Queue, SOON);
    CHECK(packet.overlapped == &ol && packet.bytes == 4);
    packet = Get(Queue, SOON);
    CHECK(packet.overlapped == &next && packet.bytes == 2 && memcmp(Buffer, "abcdef", 6) == 0);
    /* Or until the end. */
    CHECK(RecvAll(Buffer, 8, &ol) == WSA_IO_PENDING);
    send(Pair.other, "xyz", 3, 0);
    CHECK(IsEmpty(Queue));
    shutdown(Pair.other, SD_SEND);
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.bytes == 3 && memcmp(Buffer, "xyz", 3) == 0, "%lu bytes", packet.bytes);
    Close();
}

/* It is cancelled with a part, which is not lost. */
static void io_8_cancelled(void)
{
    static OVERLAPPED ol;
    PACKET packet;
    Open();
    CHECK(RecvAll(Buffer, 8, &ol) == WSA_IO_PENDING);
    send(Pair.other, "abc", 3, 0);
    CHECK(IsEmpty(Queue));
    CHECK(CancelIoEx((HANDLE)Pair.one, &ol));
    packet = Get(Queue, SOON);
    CHECK(packet.overlapped == &ol && ol.InternalHigh == packet.bytes);
    if (packet.bytes == 0)
        CHECK(packet.error == ERROR_OPERATION_ABORTED && Receive(Pair.one, Buffer, 3) == 3, "error %lu", packet.error);
    else
        CHECK(packet.ok && packet.bytes == 3, "error %lu, %lu bytes", packet.error, packet.bytes);
    CHECK(memcmp(Buffer, "abc", 3) == 0);
    Close();
}

/* Or the connection fails, which is told. */
static void io_8_reset(void)
{
    static OVERLAPPED ol;
    PACKET packet;
    Open();
    CHECK(RecvAll(Buffer, 8, &ol) == WSA_IO_PENDING);
    send(Pair.other, "abc", 3, 0);
    CHECK(IsEmpty(Queue));
    Reset(Pair.other);
    packet = Get(Queue, SOON);
    CHECK(!packet.ok && packet.overlapped == &ol && packet.error == ERROR_NETNAME_DELETED, "error %lu", packet.error);
    Pair.other = Overlapped(SOCK_STREAM);
    Close();
}

static void io_8_peek(void)
{
    PAIR pair = Connected();
    send(pair.other, "abc", 3, 0);
    CHECK(recv(pair.one, Buffer, 8, MSG_PEEK) == 3 && recv(pair.one, Buffer, 8, 0) == 3);
    ClosePair(&pair);
}

static void io_11_stream(void)
{
    OVERLAPPED ol = {0};
    SOCKADDR_IN from;
    int length = sizeof(from);
    WSABUF wsa = {8, Buffer};
    DWORD flags = 0;
    memset(&from, 0x55, sizeof(from));
    Open();
    CHECK(WSARecvFrom(Pair.one, &wsa, 1, NULL, &flags, (SOCKADDR *)&from, &length, &ol, NULL) == SOCKET_ERROR &&
          WSAGetLastError() == WSA_IO_PENDING);
    send(Pair.other, "abc", 3, 0);
    CHECK(Get(Queue, SOON).bytes == 3);
    CHECK(from.sin_port == 0x5555 && from.sin_family == 0x5555);
    Close();
}

static void io_12(void)
{
    SOCKET stream = Bound(SOCK_STREAM);
    HANDLE port = Port(0);
    static OVERLAPPED ol;
    int error;
    CreateIoCompletionPort((HANDLE)stream, port, 0, 0);
    error = Recv(stream, Buffer, 1, &ol);
    CHECK(error == WSAENOTCONN, "receive: %d", error);
    CHECK(IsEmpty(port));
    closesocket(stream);
    CloseHandle(port);
}

static void io_12_send(void)
{
    SOCKET stream = Bound(SOCK_STREAM);
    HANDLE port = Port(0);
    static OVERLAPPED ol;
    int error;
    CreateIoCompletionPort((HANDLE)stream, port, 0, 0);
    error = Send(stream, "x", 1, &ol);
    CHECK(error == WSAENOTCONN, "send: %d", error);
    CHECK(IsEmpty(port));
    closesocket(stream);
    CloseHandle(port);
}

static void io_14(void)
{
    OVERLAPPED ol = {0};
    PACKET packet;
    int error, length = sizeof(error);
    Open();
    CHECK(Recv(Pair.one, Buffer, 1, &ol) == WSA_IO_PENDING);
    Reset(Pair.other);
    packet = Get(Queue, SOON);
    CHECK(!packet.ok && packet.error == ERROR_NETNAME_DELETED && (DWORD)ol.Internal == 0xc000020d, "error %lu", packet.error);
    error = Recv(Pair.one, Buffer, 1, &ol);
    CHECK(error == WSAECONNRESET, "receive: %d", error);
    error = Recv(Pair.one, Buffer, 1, &ol);
    CHECK(error == WSAECONNRESET, "receive again: %d", error);
    error = Send(Pair.one, "x", 1, &ol);
    CHECK(error == WSAECONNRESET, "send: %d", error);
    CHECK(recv(Pair.one, Buffer, 1, 0) == SOCKET_ERROR && WSAGetLastError() == WSAECONNRESET, "error %d", WSAGetLastError());
    CHECK(send(Pair.one, "x", 1, 0) == SOCKET_ERROR && WSAGetLastError() == WSAECONNRESET, "error %d", WSAGetLastError());
    CHECK(getsockopt(Pair.one, SOL_SOCKET, SO_ERROR, (char *)&error, &length) == 0 && error == 0);
    CHECK(IsEmpty(Queue));
    Pair.other = Overlapped(SOCK_STREAM);
    Close();
}

/* The peer has closed, and answers what is sent to it by a reset. */
static void io_15(void)
{
    OVERLAPPED ol = {0};
    PACKET packet;
    int error, overlapped;
    for (overlapped = 0; overlapped < 2; overlapped++) {
        Open();
        closesocket(Pair.other);
        CHECK(recv(Pair.one, Buffer, 1, 0) == 0);
        CHECK(send(Pair.one, "x", 1, 0) == 1);
        Sleep(NOTHING);
        if (overlapped) {
            error = Recv(Pair.one, Buffer, 1, &ol);
            if (error == WSA_IO_PENDING || error == 0) {
                packet = Get(Queue, SOON);
                CHECK(!packet.ok && packet.error == ERROR_CONNECTION_ABORTED, "packet: %lu", packet.error);
            } else {
                CHECK(error == WSAECONNABORTED, "receive: %d", error);
            }
        } else {
            CHECK(recv(Pair.one, Buffer, 1, 0) == SOCKET_ERROR && WSAGetLastError() == WSAECONNABORTED, "error %d",
                  WSAGetLastError());
        }
        Pair.other = Overlapped(SOCK_STREAM);
        Close();
    }
}

static void io_16(void)
{
    OVERLAPPED ol = {0}, more = {0};
    SOCKET fresh = Overlapped(SOCK_STREAM);
    int error;
    Open();
    CHECK(shutdown(fresh, SD_RECEIVE) == SOCKET_ERROR && WSAGetLastError() == WSAENOTCONN, "error %d", WSAGetLastError());
    CHECK(shutdown(fresh, SD_SEND) == SOCKET_ERROR && WSAGetLastError() == WSAENOTCONN, "error %d", WSAGetLastError());
    CHECK(Recv(Pair.one, Buffer, 8, &ol) == WSA_IO_PENDING);
    CHECK(shutdown(Pair.one, SD_RECEIVE) == 0);
    error = Recv(Pair.one, Buffer, 1, &more);
    CHECK(error == WSAESHUTDOWN, "receive: %d", error);
    CHECK(recv(Pair.one, Buffer, 1, 0) == SOCKET_ERROR && WSAGetLastError() == WSAESHUTDOWN, "error %d", WSAGetLastError());
    CHECK(IsEmpty(Queue));
    send(Pair.other, "hello", 5, 0);
    CHECK(Get(Queue, SOON).bytes == 5);
    CHECK(shutdown(Pair.one, SD_SEND) == 0 && shutdown(Pair.one, SD_SEND) == 0);
    error = Send(Pair.one, "x", 1, &more);
    CHECK(error == WSAESHUTDOWN, "send: %d", error);
    CHECK(send(Pair.one, "x", 1, 0) == SOCKET_ERROR && WSAGetLastError() == WSAESHUTDOWN, "error %d", WSAGetLastError());
    CHECK(recv(Pair.other, Buffer, 1, 0) == 0);
    closesocket(fresh);
    Close();
}

static void io_17(void)
{
    OVERLAPPED in = {0}, out = {0};
    DWORD bytes;
    PACKET packet;
    Open();
    in.Offset = 7;
    CHECK(!ReadFile((HANDLE)Pair.one, Buffer, 8, &bytes, &in) && GetLastError() == ERROR_IO_PENDING);
    send(Pair.other, "abc", 3, 0);
    packet = Get(Queue, SOON);
    CHECK(packet.overlapped == &in && packet.bytes == 3 && memcmp(Buffer, "abc", 3) == 0);
    out.Offset = 9;
    CHECK(WriteFile((HANDLE)Pair.one, "de", 2, &bytes, &out) || GetLastError() == ERROR_IO_PENDING);
    packet = Get(Queue, SOON);
    CHECK(packet.overlapped == &out && packet.bytes == 2 && out.Offset == 9 && in.Offset == 7);
    CHECK(recv(Pair.other, Buffer, 8, 0) == 2 && memcmp(Buffer, "de", 2) == 0);
    Close();
}

int main(void)
{
    Start();
    Much = (char *)VirtualAlloc(NULL, MUCH, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    RUN("IO-1", io_1);
    RUN("IO-1 (not overlapped)", io_1_not_overlapped);
    RUN("IO-2", io_2);
    RUN("IO-3", io_3);
    RUN("IO-4", io_4);
    RUN("IO-4 (no buffer)", io_4_none);
    RUN("IO-5", io_5);
    RUN("IO-6", io_6);
    RUN("IO-6 (several threads)", io_6_threads);
    RUN("IO-7", io_7);
    RUN("IO-7 (nobody takes packets)", io_7_nobody);
    RUN("IO-7 (non-blocking)", io_7_non_blocking);
    RUN("IO-8", io_8);
    RUN("IO-8 (cancelled)", io_8_cancelled);
    RUN("IO-8 (reset)", io_8_reset);
    RUN("IO-8 (peek)", io_8_peek);
    RUN("IO-11 (stream)", io_11_stream);
    RUN("IO-12", io_12);
    RUN("IO-12 (send)", io_12_send);
    RUN("IO-14", io_14);
    RUN("IO-15", io_15);
    RUN("IO-16", io_16);
    RUN("IO-17", io_17);
    return 0;
}
