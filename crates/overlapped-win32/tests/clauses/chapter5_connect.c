/* Chapter 5: ConnectEx, DisconnectEx, TransmitFile.

   Not expressible here:
   CE-3   a connect that runs out of time, and a network that cannot be reached: there is loopback only */
#include "associated.h"

static LPFN_CONNECTEX ConnectEx_;
static LPFN_DISCONNECTEX DisconnectEx_;

/* 0, or the error, of which ERROR_IO_PENDING is one. */
static int Connect(SOCKET s, SOCKADDR_IN *name, const void *data, DWORD length, OVERLAPPED *ol)
{
    DWORD sent;
    return ConnectEx_(s, (SOCKADDR *)name, sizeof(*name), (PVOID)data, length, &sent, ol) ? 0 : WSAGetLastError();
}

static int Disconnect(SOCKET s, OVERLAPPED *ol, DWORD flags, DWORD reserved)
{
    return DisconnectEx_(s, ol, flags, reserved) ? 0 : WSAGetLastError();
}

static HANDLE Associated(SOCKET s)
{
    HANDLE port = Port(0);
    CHECK(CreateIoCompletionPort((HANDLE)s, port, KEY, 0) == port);
    return port;
}

static void ce_1(void)
{
    SOCKET listener = Listening(), unbound = Overlapped(SOCK_STREAM), bound = Bound(SOCK_STREAM);
    SOCKADDR_IN name = NameOf(listener);
    PAIR pair = Connected();
    static OVERLAPPED ol;
    int error = Connect(unbound, &name, NULL, 0, &ol);
    CHECK(error == WSAEINVAL, "unbound: %d", error);
    error = Connect(listener, &name, NULL, 0, &ol);
    CHECK(error == WSAEINVAL, "listening: %d", error);
    error = Connect(pair.one, &name, NULL, 0, &ol);
    CHECK(error == WSAEISCONN, "connected: %d", error);
    error = Connect(bound, &name, NULL, 0, NULL);
    CHECK(error == ERROR_INVALID_PARAMETER, "no OVERLAPPED: %d", error);
    error = Connect(INVALID_SOCKET, &name, NULL, 0, &ol);
    CHECK(error == WSAENOTSOCK, "no socket: %d", error);
    closesocket(unbound);
    closesocket(bound);
    closesocket(listener);
    ClosePair(&pair);
}

static void ce_1_datagram(void)
{
    SOCKET s = Bound(SOCK_DGRAM);
    SOCKADDR_IN name = NameOf(s);
    static OVERLAPPED ol;
    int error = Connect(s, &name, NULL, 0, &ol);
    CHECK(error != 0 && error != ERROR_IO_PENDING, "error %d", error);
    closesocket(s);
}

static char Seen[2000000];

static DWORD WINAPI AcceptAndReceive(LPVOID listener)
{
    SOCKET accepted = accept((SOCKET)listener, NULL, NULL);
    int all = Receive(accepted, Seen, sizeof(Seen));
    closesocket(accepted);
    return all;
}

static void ce_2(void)
{
    static char content[sizeof(Seen)];
    SOCKET listener = Listening();
    SOCKADDR_IN name = NameOf(listener);
    /* None, some, and more than the socket has room for at once. */
    DWORD lengths[] = {0, 3, sizeof(content)};
    int i;
    memset(content, 'x', sizeof(content));
    for (i = 0; i < 3; i++) {
        OVERLAPPED ol = {0};
        SOCKET s = Bound(SOCK_STREAM);
        HANDLE port = Associated(s), thread = CreateThread(NULL, 0, AcceptAndReceive, (LPVOID)listener, 0, NULL);
        PACKET packet;
        CHECK(Connect(s, &name, content, lengths[i], &ol) == ERROR_IO_PENDING);
        packet = Get(port, SOON);
        CHECK(packet.ok && packet.overlapped == &ol && packet.bytes == lengths[i] && packet.key == KEY, "error %lu, %lu bytes",
              packet.error, packet.bytes);
        closesocket(s);
        CHECK(Joined(thread) == lengths[i]);
        CHECK(memcmp(Seen, content, lengths[i]) == 0);
        CloseHandle(port);
        if (Detail[0] != 0)
            break;
    }
    closesocket(listener);
}

static void ce_3(void)
{
    SOCKET taken = Bound(SOCK_STREAM), s = Bound(SOCK_STREAM), accepted;
    SOCKADDR_IN name = NameOf(taken);
    HANDLE port = Associated(s);
    OVERLAPPED ol = {0};
    PACKET packet;
    DWORD bytes, flags;
    CHECK(Connect(s, &name, NULL, 0, &ol) == ERROR_IO_PENDING);
    packet = Get(port, SOON);
    CHECK(!packet.ok && packet.overlapped == &ol && packet.error == ERROR_CONNECTION_REFUSED, "error %lu", packet.error);
    CHECK(!WSAGetOverlappedResult(s, &ol, &bytes, FALSE, &flags) && WSAGetLastError() == WSAECONNREFUSED, "error %d",
          WSAGetLastError());
    /* It may try again. */
    CHECK(listen(taken, 1) == 0);
    CHECK(Connect(s, &name, NULL, 0, &ol) == ERROR_IO_PENDING, "error %d", WSAGetLastError());
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.overlapped == &ol, "error %lu", packet.error);
    if (packet.ok) {
        accepted = accept(taken, NULL, NULL);
        CHECK(send(s, "x", 1, 0) == 1 && recv(accepted, Buffer, 1, 0) == 1);
        closesocket(accepted);
    }
    closesocket(s);
    closesocket(taken);
    CloseHandle(port);
}

static void ce_4(void)
{
    SOCKET listener = Listening(), s = Bound(SOCK_STREAM), accepted;
    SOCKADDR_IN name = NameOf(listener), own = NameOf(s), peer;
    HANDLE port = Associated(s);
    OVERLAPPED ol = {0};
    int length = sizeof(peer);
    CHECK(Connect(s, &name, NULL, 0, &ol) == ERROR_IO_PENDING);
    CHECK(Get(port, SOON).ok);
    CHECK(setsockopt(s, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0) == 0, "error %d", WSAGetLastError());
    CHECK(getpeername(s, (SOCKADDR *)&peer, &length) == 0 && peer.sin_port == name.sin_port);
    CHECK(NameOf(s).sin_port == own.sin_port);
    accepted = accept(listener, NULL, NULL);
    CHECK(shutdown(s, SD_SEND) == 0 && recv(accepted, Buffer, 1, 0) == 0);
    closesocket(accepted);
    closesocket(s);
    closesocket(listener);
    CloseHandle(port);
}

/* Without a connection there is no context. */
static void ce_4_validates(void)
{
    SOCKET s = Bound(SOCK_STREAM);
    CHECK(setsockopt(s, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0) == SOCKET_ERROR && WSAGetLastError() == WSAENOTCONN,
          "error %d", WSAGetLastError());
    closesocket(s);
}

static void dx_1(void)
{
    SOCKET plain = Bound(SOCK_STREAM), listener = Listening();
    SOCKADDR_IN name = NameOf(listener);
    OVERLAPPED ol = {0};
    PACKET packet;
    int error, i;
    Open();
    error = Disconnect(plain, &ol, 0, 0);
    CHECK(error == WSAENOTCONN, "not connected: %d", error);
    /* A second one succeeds as well. */
    for (i = 0; i < 2; i++) {
        memset(&ol, 0, sizeof(ol));
        error = Disconnect(Pair.one, &ol, 0, 0);
        CHECK(error == ERROR_IO_PENDING, "error %d", error);
        packet = Get(Queue, SOON);
        CHECK(packet.ok && packet.overlapped == &ol && packet.bytes == 0);
    }
    CHECK(recv(Pair.other, Buffer, 8, 0) == 0);
    error = Send(Pair.one, "x", 1, &ol);
    CHECK(error == WSAESHUTDOWN, "send: %d", error);
    send(Pair.other, "abc", 3, 0);
    CHECK(recv(Pair.one, Buffer, 8, 0) == 3);
    CHECK(connect(Pair.one, (SOCKADDR *)&name, sizeof(name)) == SOCKET_ERROR && WSAGetLastError() == WSAEISCONN, "connect: %d",
          WSAGetLastError());
    closesocket(plain);
    closesocket(listener);
    Close();
}

static void dx_1_arguments(void)
{
    static OVERLAPPED ol;
    int error;
    Open();
    error = Disconnect(Pair.one, &ol, 0, 1);
    CHECK(error == WSAEINVAL, "reserved: %d", error);
    error = Disconnect(Pair.one, &ol, 0x80, 0);
    CHECK(error == WSAEINVAL, "flags: %d", error);
    CHECK(IsEmpty(Queue));
    Close();
}

#define ADDRESS (sizeof(SOCKADDR_IN) + 16)

/* A socket that has come from an accept is used for a hundred connections. */
static void dx_2_accept(void)
{
    SOCKET listener = Listening(), s = Overlapped(SOCK_STREAM), client;
    SOCKADDR_IN name = NameOf(listener);
    HANDLE listening = Associated(listener), port = Associated(s);
    static OVERLAPPED ol;
    PACKET packet;
    DWORD bytes;
    int i, error;
    for (i = 0; i < 100; i++) {
        CHECK(!AcceptEx(listener, s, Buffer, 0, ADDRESS, ADDRESS, &bytes, &ol) && WSAGetLastError() == ERROR_IO_PENDING,
              "round %d, error %d", i, WSAGetLastError());
        if (Detail[0] != 0)
            break;
        client = Overlapped(SOCK_STREAM);
        CHECK(connect(client, (SOCKADDR *)&name, sizeof(name)) == 0);
        CHECK(Get(listening, SOON).ok);
        CHECK(Recv(s, Buffer, 8, &ol) == WSA_IO_PENDING);
        send(client, "abc", 3, 0);
        packet = Get(port, SOON);
        CHECK(packet.ok && packet.key == KEY && packet.bytes == 3, "round %d, error %lu", i, packet.error);
        /* The client closes first, so that the port that is used again is not in TIME_WAIT here. */
        closesocket(client);
        if (Detail[0] != 0)
            break;
        CHECK(Receive(s, Buffer, 8) == 0);
        error = Disconnect(s, &ol, TF_REUSE_SOCKET, 0);
        CHECK(error == ERROR_IO_PENDING, "round %d, error %d", i, error);
        packet = Get(port, SOON);
        CHECK(packet.ok && packet.key == KEY && packet.overlapped == &ol, "round %d, error %lu", i, packet.error);
    }
    closesocket(s);
    closesocket(listener);
    CloseHandle(listening);
    CloseHandle(port);
}

/* The same for one that has connected, which is still bound. */
static void dx_2_connect(void)
{
    SOCKET listener = Listening(), s = Bound(SOCK_STREAM), accepted;
    SOCKADDR_IN name = NameOf(listener);
    u_short own = NameOf(s).sin_port;
    HANDLE port = Associated(s);
    static OVERLAPPED ol;
    PACKET packet;
    int i, error;
    for (i = 0; i < 100; i++) {
        error = Connect(s, &name, NULL, 0, &ol);
        CHECK(error == ERROR_IO_PENDING, "round %d, error %d", i, error);
        packet = Get(port, SOON);
        CHECK(packet.ok && packet.key == KEY, "round %d, error %lu", i, packet.error);
        if (Detail[0] != 0)
            break;
        accepted = accept(listener, NULL, NULL);
        CHECK(i > 0 || NameOf(s).sin_port == own);
        CHECK(Recv(s, Buffer, 8, &ol) == WSA_IO_PENDING);
        send(accepted, "abc", 3, 0);
        packet = Get(port, SOON);
        CHECK(packet.ok && packet.key == KEY && packet.bytes == 3, "round %d, error %lu", i, packet.error);
        closesocket(accepted);
        if (Detail[0] != 0)
            break;
        CHECK(Receive(s, Buffer, 8) == 0);
        error = Disconnect(s, &ol, TF_REUSE_SOCKET, 0);
        CHECK(error == ERROR_IO_PENDING, "round %d, error %d", i, error);
        packet = Get(port, SOON);
        CHECK(packet.ok && packet.key == KEY && packet.overlapped == &ol, "round %d, error %lu", i, packet.error);
    }
    closesocket(s);
    closesocket(listener);
    CloseHandle(port);
}

static HANDLE Digits(void)
{
    HANDLE file = CreateFileA("tf_1.tmp", GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, FILE_FLAG_DELETE_ON_CLOSE, NULL);
    DWORD bytes;
    CHECK(WriteFile(file, "0123456789", 10, &bytes, NULL) && bytes == 10);
    return file;
}

/* Transmits, and looks what comes. */
static void Transmits(HANDLE file, DWORD length, DWORD offset, TRANSMIT_FILE_BUFFERS *buffers, const char *wanted)
{
    OVERLAPPED ol = {0};
    PACKET packet;
    char seen[64];
    ol.Offset = offset;
    CHECK(TransmitFile(Pair.one, file, length, 0, &ol, buffers, 0) || WSAGetLastError() == ERROR_IO_PENDING, "error %d",
          WSAGetLastError());
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.overlapped == &ol && packet.bytes == strlen(wanted), "%lu bytes", packet.bytes);
    CHECK(Receive(Pair.other, seen, (int)strlen(wanted)) == (int)strlen(wanted) && memcmp(seen, wanted, strlen(wanted)) == 0,
          "not %s", wanted);
}

static void tf_1(void)
{
    TRANSMIT_FILE_BUFFERS both = {"head-", 5, "-tail", 5};
    OVERLAPPED ol[3];
    HANDLE file;
    char seen[64];
    Open();
    file = Digits();
    Transmits(file, 5, 2, &both, "head-23456-tail");
    /* To the end; without buffers; without a file. */
    Transmits(file, 0, 7, &both, "head-789-tail");
    Transmits(file, 4, 0, NULL, "0123");
    Transmits(NULL, 0, 0, &both, "head--tail");
    /* Without an OVERLAPPED from the file's pointer on. */
    SetFilePointer(file, 6, NULL, FILE_BEGIN);
    CHECK(TransmitFile(Pair.one, file, 2, 0, NULL, NULL, 0), "error %d", WSAGetLastError());
    CHECK(Receive(Pair.other, seen, 2) == 2 && memcmp(seen, "67", 2) == 0);
    CHECK(IsEmpty(Queue));
    /* It keeps its place among sends. */
    memset(ol, 0, sizeof(ol));
    CHECK(Started(Send(Pair.one, "a", 1, &ol[0])));
    CHECK(TransmitFile(Pair.one, file, 3, 0, &ol[1], NULL, 0) || WSAGetLastError() == ERROR_IO_PENDING);
    CHECK(Started(Send(Pair.one, "b", 1, &ol[2])));
    CHECK(Get(Queue, SOON).ok && Get(Queue, SOON).ok && Get(Queue, SOON).ok);
    CHECK(Receive(Pair.other, seen, 5) == 5 && memcmp(seen, "a012b", 5) == 0);
    CloseHandle(file);
    Close();
}

static int Transmit(SOCKET s, DWORD length, DWORD flags)
{
    static OVERLAPPED ol;
    return TransmitFile(s, NULL, length, 0, &ol, NULL, flags) ? 0 : WSAGetLastError();
}

static void tf_1_refused(void)
{
    SOCKET datagram = Bound(SOCK_DGRAM), plain = Overlapped(SOCK_STREAM);
    int error;
    Open();
    error = Transmit(plain, 0, 0);
    CHECK(error == WSAENOTCONN, "not connected: %d", error);
    error = Transmit(datagram, 0, 0);
    CHECK(error == WSAENOTCONN || error == WSAEINVAL, "datagrams: %d", error);
    error = Transmit(Pair.one, 0, TF_REUSE_SOCKET);
    CHECK(error == WSAEINVAL, "flags: %d", error);
    CHECK(IsEmpty(Queue));
    closesocket(datagram);
    closesocket(plain);
    Close();
}

static void tf_1_long(void)
{
    int error;
    Open();
    error = Transmit(Pair.one, 0x7fffffff, 0);
    CHECK(error == WSAEINVAL, "error %d", error);
    Close();
}

int main(void)
{
    SOCKET s;
    Start();
    s = Overlapped(SOCK_STREAM);
    ConnectEx_ = (LPFN_CONNECTEX)Extension(s, (GUID)WSAID_CONNECTEX);
    DisconnectEx_ = (LPFN_DISCONNECTEX)Extension(s, (GUID)WSAID_DISCONNECTEX);
    closesocket(s);
    RUN("CE-1", ce_1);
    RUN("CE-1 (datagrams)", ce_1_datagram);
    RUN("CE-2", ce_2);
    RUN("CE-3", ce_3);
    RUN("CE-4", ce_4);
    RUN("CE-4 (validates)", ce_4_validates);
    RUN("DX-1", dx_1);
    RUN("DX-1 (arguments)", dx_1_arguments);
    RUN("DX-2 (accept)", dx_2_accept);
    RUN("DX-2 (connect)", dx_2_connect);
    RUN("TF-1", tf_1);
    RUN("TF-1 (refused)", tf_1_refused);
    RUN("TF-1 (too long)", tf_1_long);
    return 0;
}
