/* Chapter 5: what the operations do. */
#include "clause.h"

static PAIR Pair;
static HANDLE Queue;
static char Buffer[256];

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

static void io_2(void)
{
    OVERLAPPED ol = {0};
    DWORD timeout = 20;
    Open();
    setsockopt(Pair.one, SOL_SOCKET, SO_RCVTIMEO, (char *)&timeout, sizeof(timeout));
    CHECK(recv(Pair.one, Buffer, 1, 0) == SOCKET_ERROR && WSAGetLastError() == WSAETIMEDOUT, "error %d", WSAGetLastError());
    CHECK(Recv(Pair.one, Buffer, 1, &ol) == WSA_IO_PENDING);
    CHECK(Get(Queue, 3 * NOTHING).error == WAIT_TIMEOUT);
    send(Pair.other, "x", 1, 0);
    CHECK(Get(Queue, SOON).ok);
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
    Close();
}

static void io_4(void)
{
    OVERLAPPED ol = {0};
    DWORD flags = 0;
    PACKET packet;
    WSABUF wsa = {0, Buffer};
    Open();
    CHECK(Recv(Pair.one, Buffer, 0, &ol) == WSA_IO_PENDING);
    send(Pair.other, "abc", 3, 0);
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.bytes == 0);
    CHECK(recv(Pair.one, Buffer, 8, 0) == 3);
    CHECK(WSARecv(Pair.one, &wsa, 0, NULL, &flags, &ol, NULL) == SOCKET_ERROR && WSAGetLastError() == WSAEINVAL, "error %d",
          WSAGetLastError());
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

static char Large[8][300000];
static DWORD WINAPI ReadAll(LPVOID parameter)
{
    static char seen[300000];
    int i, at, got;
    for (i = 0; i < 8; i++)
        for (at = 0; at < (int)sizeof(seen); at += got) {
            got = recv(Pair.other, seen + at, (int)sizeof(seen) - at, 0);
            if (got <= 0)
                return 0;
            if (memcmp(seen + at, Large[i] + at, got) != 0)
                return 0;
        }
    return 1;
}

static void io_6(void)
{
    OVERLAPPED ol[8];
    HANDLE thread;
    DWORD code = 0;
    int i;
    Open();
    memset(ol, 0, sizeof(ol));
    for (i = 0; i < 8; i++)
        memset(Large[i], 'a' + i, sizeof(Large[i]));
    for (i = 0; i < 8; i++)
        CHECK(Started(Send(Pair.one, Large[i], sizeof(Large[i]), &ol[i])));
    thread = CreateThread(NULL, 0, ReadAll, NULL, 0, NULL);
    for (i = 0; i < 8; i++) {
        PACKET packet = Get(Queue, SOON);
        /* IO-7: the whole of it. */
        CHECK(packet.ok && packet.bytes == sizeof(Large[0]), "%lu bytes", packet.bytes);
    }
    WaitForSingleObject(thread, SOON);
    GetExitCodeThread(thread, &code);
    CHECK(code == 1);
    CloseHandle(thread);
    Close();
}

static void io_8(void)
{
    OVERLAPPED ol = {0};
    WSABUF wsa = {8, Buffer};
    DWORD flags = MSG_WAITALL;
    PACKET packet;
    Open();
    CHECK(Recv(Pair.one, Buffer, 8, &ol) == WSA_IO_PENDING);
    send(Pair.other, "abc", 3, 0);
    CHECK(Get(Queue, SOON).bytes == 3);
    memset(&ol, 0, sizeof(ol));
    CHECK(WSARecv(Pair.one, &wsa, 1, NULL, &flags, &ol, NULL) == SOCKET_ERROR && WSAGetLastError() == WSA_IO_PENDING,
          "error %d", WSAGetLastError());
    send(Pair.other, "abc", 3, 0);
    CHECK(Get(Queue, NOTHING).error == WAIT_TIMEOUT);
    send(Pair.other, "defgh", 5, 0);
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.bytes == 8);
    Close();
}

static void io_9(void)
{
    SOCKET s = Bound(SOCK_DGRAM), peer = Bound(SOCK_DGRAM);
    SOCKADDR_IN name = NameOf(s);
    HANDLE port = Port(0);
    OVERLAPPED ol = {0};
    PACKET packet;
    CreateIoCompletionPort((HANDLE)s, port, 0, 0);
    CHECK(Recv(s, Buffer, 6, &ol) == WSA_IO_PENDING);
    sendto(peer, "123456789", 9, 0, (SOCKADDR *)&name, sizeof(name));
    packet = Get(port, SOON);
    CHECK(!packet.ok && packet.error == ERROR_MORE_DATA && packet.bytes == 6, "error %lu, %lu bytes", packet.error, packet.bytes);
    sendto(peer, "abc", 3, 0, (SOCKADDR *)&name, sizeof(name));
    memset(&ol, 0, sizeof(ol));
    CHECK(Started(Recv(s, Buffer, 6, &ol)));
    CHECK(Get(port, SOON).bytes == 3);
    closesocket(s);
    closesocket(peer);
    CloseHandle(port);
}

static void io_11(void)
{
    SOCKET s = Bound(SOCK_DGRAM), peer = Bound(SOCK_DGRAM);
    SOCKADDR_IN name = NameOf(s), from;
    int length = sizeof(from);
    HANDLE port = Port(0);
    OVERLAPPED ol = {0};
    WSABUF wsa = {sizeof(Buffer), Buffer};
    DWORD flags = 0;
    memset(&from, 0, sizeof(from));
    CreateIoCompletionPort((HANDLE)s, port, 0, 0);
    CHECK(WSARecvFrom(s, &wsa, 1, NULL, &flags, (SOCKADDR *)&from, &length, &ol, NULL) == SOCKET_ERROR &&
          WSAGetLastError() == WSA_IO_PENDING);
    CHECK(from.sin_port == 0);
    sendto(peer, "abc", 3, 0, (SOCKADDR *)&name, sizeof(name));
    CHECK(Get(port, SOON).bytes == 3);
    CHECK(from.sin_port == NameOf(peer).sin_port && length == sizeof(from));
    closesocket(s);
    closesocket(peer);
    CloseHandle(port);
}

static void io_12(void)
{
    SOCKET stream = Bound(SOCK_STREAM), datagram = Overlapped(SOCK_DGRAM);
    OVERLAPPED ol = {0};
    int error = Recv(stream, Buffer, 1, &ol);
    CHECK(error == WSAENOTCONN, "receive: %d", error);
    error = Send(stream, "x", 1, &ol);
    CHECK(error == WSAENOTCONN, "send: %d", error);
    error = Recv(datagram, Buffer, 1, &ol);
    CHECK(error == WSAEINVAL, "datagram: %d", error);
    closesocket(stream);
    closesocket(datagram);
}

static void io_14(void)
{
    OVERLAPPED ol = {0};
    struct linger hard = {1, 0};
    PACKET packet;
    int error, length = sizeof(error);
    Open();
    CHECK(Recv(Pair.one, Buffer, 1, &ol) == WSA_IO_PENDING);
    setsockopt(Pair.other, SOL_SOCKET, SO_LINGER, (char *)&hard, sizeof(hard));
    closesocket(Pair.other);
    packet = Get(Queue, SOON);
    CHECK(!packet.ok && packet.error == ERROR_NETNAME_DELETED && (DWORD)ol.Internal == 0xc000020d, "error %lu", packet.error);
    error = Recv(Pair.one, Buffer, 1, &ol);
    CHECK(error == WSAECONNRESET, "receive: %d", error);
    error = Recv(Pair.one, Buffer, 1, &ol);
    CHECK(error == WSAECONNRESET, "receive again: %d", error);
    error = Send(Pair.one, "x", 1, &ol);
    CHECK(error == WSAECONNRESET, "send: %d", error);
    CHECK(getsockopt(Pair.one, SOL_SOCKET, SO_ERROR, (char *)&error, &length) == 0 && error == 0);
    Pair.other = Overlapped(SOCK_STREAM);
    Close();
}

static void io_16(void)
{
    OVERLAPPED ol = {0}, more = {0};
    int error;
    Open();
    CHECK(Recv(Pair.one, Buffer, 8, &ol) == WSA_IO_PENDING);
    CHECK(shutdown(Pair.one, SD_RECEIVE) == 0);
    error = Recv(Pair.one, Buffer, 1, &more);
    CHECK(error == WSAESHUTDOWN, "receive: %d", error);
    CHECK(Get(Queue, NOTHING).error == WAIT_TIMEOUT);
    send(Pair.other, "hello", 5, 0);
    CHECK(Get(Queue, SOON).bytes == 5);
    CHECK(shutdown(Pair.one, SD_SEND) == 0 && shutdown(Pair.one, SD_SEND) == 0);
    error = Send(Pair.one, "x", 1, &more);
    CHECK(error == WSAESHUTDOWN, "send: %d", error);
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
    CHECK(WriteFile((HANDLE)Pair.one, "de", 2, &bytes, &out) || GetLastError() == ERROR_IO_PENDING);
    packet = Get(Queue, SOON);
    CHECK(packet.overlapped == &out && packet.bytes == 2);
    CHECK(recv(Pair.other, Buffer, 8, 0) == 2);
    Close();
}

static void io_18(void)
{
    OVERLAPPED ol = {0};
    HANDLE port = Port(0), file;
    DWORD bytes;
    PACKET packet;
    BOOL ok;
    file = CreateFileA("io_18.tmp", GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                       FILE_FLAG_OVERLAPPED | FILE_FLAG_DELETE_ON_CLOSE, NULL);
    CHECK(file != INVALID_HANDLE_VALUE, "error %lu", GetLastError());
    CHECK(CreateIoCompletionPort(file, port, 3, 0) == port);
    ol.Offset = 4;
    CHECK(WriteFile(file, "abcdef", 6, NULL, &ol) || GetLastError() == ERROR_IO_PENDING);
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.key == 3 && packet.bytes == 6);
    memset(&ol, 0, sizeof(ol));
    ol.Offset = 8;
    CHECK(ReadFile(file, Buffer, 8, NULL, &ol) || GetLastError() == ERROR_IO_PENDING);
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.bytes == 2 && memcmp(Buffer, "ef", 2) == 0);
    memset(&ol, 0, sizeof(ol));
    ol.Offset = 10;
    ok = ReadFile(file, Buffer, 8, &bytes, &ol);
    if (!ok && GetLastError() == ERROR_IO_PENDING) {
        packet = Get(port, SOON);
        CHECK(!packet.ok && packet.error == ERROR_HANDLE_EOF && packet.bytes == 0, "error %lu", packet.error);
    } else {
        CHECK(!ok && GetLastError() == ERROR_HANDLE_EOF, "error %lu", GetLastError());
    }
    CloseHandle(file);
    CloseHandle(port);
}

#define ADDRESS (sizeof(SOCKADDR_IN) + 16)

static SOCKET Connect(SOCKET listener)
{
    SOCKET s = Overlapped(SOCK_STREAM);
    SOCKADDR_IN name = NameOf(listener);
    connect(s, (SOCKADDR *)&name, sizeof(name));
    return s;
}

static void ax_1(void)
{
    SOCKET plain = Bound(SOCK_STREAM), listener = Listening(), accepting = Overlapped(SOCK_STREAM);
    OVERLAPPED ol = {0};
    DWORD bytes;
    CHECK(!AcceptEx(plain, accepting, Buffer, 0, ADDRESS, ADDRESS, &bytes, &ol) && WSAGetLastError() == WSAEINVAL, "error %d",
          WSAGetLastError());
    CHECK(!AcceptEx(INVALID_SOCKET, accepting, Buffer, 0, ADDRESS, ADDRESS, &bytes, &ol) && WSAGetLastError() == WSAENOTSOCK,
          "error %d", WSAGetLastError());
    CHECK(!AcceptEx(listener, accepting, Buffer, 0, ADDRESS, ADDRESS, &bytes, NULL) &&
              WSAGetLastError() == ERROR_INVALID_PARAMETER,
          "error %d", WSAGetLastError());
    CHECK(!AcceptEx(listener, accepting, NULL, 0, ADDRESS, ADDRESS, &bytes, &ol) && WSAGetLastError() == WSAEFAULT, "error %d",
          WSAGetLastError());
    CHECK(!AcceptEx(listener, accepting, Buffer, 0, ADDRESS, 0, &bytes, &ol) && WSAGetLastError() == WSAEFAULT, "error %d",
          WSAGetLastError());
    closesocket(plain);
    closesocket(listener);
    closesocket(accepting);
}

static void ax_2(void)
{
    SOCKET listener = Listening(), accepting = Overlapped(SOCK_STREAM), client;
    HANDLE port = Port(0);
    OVERLAPPED ol = {0};
    DWORD bytes;
    PACKET packet;
    SOCKADDR *local, *remote;
    int local_length, remote_length, time = 0, length = sizeof(time);
    CreateIoCompletionPort((HANDLE)listener, port, 125, 0);
    CHECK(!AcceptEx(listener, accepting, Buffer, 0, ADDRESS, ADDRESS, &bytes, &ol) && WSAGetLastError() == ERROR_IO_PENDING);
    CHECK(getsockopt(accepting, SOL_SOCKET, SO_CONNECT_TIME, (char *)&time, &length) == 0 && time == -1);
    client = Connect(listener);
    packet = Get(port, SOON);
    /* AX-5: the listener's key. */
    CHECK(packet.ok && packet.key == 125 && packet.bytes == 0 && packet.overlapped == &ol);
    GetAcceptExSockaddrs(Buffer, 0, ADDRESS, ADDRESS, &local, &local_length, &remote, &remote_length);
    CHECK(((SOCKADDR_IN *)local)->sin_port == NameOf(listener).sin_port);
    CHECK(((SOCKADDR_IN *)remote)->sin_port == NameOf(client).sin_port);
    /* AX-7 */
    CHECK(setsockopt(accepting, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (char *)&listener, sizeof(listener)) == 0);
    CHECK(getsockopt(accepting, SOL_SOCKET, SO_CONNECT_TIME, (char *)&time, &length) == 0 && time >= 0);
    CHECK(NameOf(accepting).sin_port == NameOf(listener).sin_port);
    CHECK(send(accepting, "hi", 2, 0) == 2 && recv(client, Buffer, 8, 0) == 2);
    closesocket(client);
    closesocket(accepting);
    closesocket(listener);
    CloseHandle(port);
}

static void ax_4(void)
{
    SOCKET listener = Listening(), accepting = Overlapped(SOCK_STREAM), client;
    HANDLE port = Port(0);
    OVERLAPPED ol = {0};
    DWORD bytes;
    PACKET packet;
    CreateIoCompletionPort((HANDLE)listener, port, 0, 0);
    CHECK(!AcceptEx(listener, accepting, Buffer, 100, ADDRESS, ADDRESS, &bytes, &ol) && WSAGetLastError() == ERROR_IO_PENDING);
    client = Connect(listener);
    CHECK(Get(port, NOTHING).error == WAIT_TIMEOUT);
    send(client, "first", 5, 0);
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.bytes == 5 && memcmp(Buffer, "first", 5) == 0, "error %lu", packet.error);
    closesocket(client);
    closesocket(accepting);
    closesocket(listener);
    CloseHandle(port);
}

static void ax_8(void)
{
    SOCKET listener = Listening(), accepting = Overlapped(SOCK_STREAM);
    HANDLE port = Port(0);
    OVERLAPPED ol = {0};
    DWORD bytes;
    PACKET packet;
    CreateIoCompletionPort((HANDLE)listener, port, 0, 0);
    CHECK(!AcceptEx(listener, accepting, Buffer, 0, ADDRESS, ADDRESS, &bytes, &ol) && WSAGetLastError() == ERROR_IO_PENDING);
    closesocket(listener);
    packet = Get(port, SOON);
    CHECK(!packet.ok && packet.overlapped == &ol && packet.error == ERROR_OPERATION_ABORTED, "error %lu", packet.error);
    closesocket(accepting);
    CloseHandle(port);
}

static LPFN_CONNECTEX ConnectExOf(SOCKET s)
{
    GUID id = WSAID_CONNECTEX;
    LPFN_CONNECTEX function = NULL;
    DWORD bytes;
    WSAIoctl(s, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof(id), &function, sizeof(function), &bytes, NULL, NULL);
    return function;
}

static void ce_1(void)
{
    SOCKET listener = Listening(), s = Overlapped(SOCK_STREAM);
    SOCKADDR_IN name = NameOf(listener);
    LPFN_CONNECTEX ConnectEx_ = ConnectExOf(s);
    OVERLAPPED ol = {0};
    DWORD sent;
    CHECK(ConnectEx_ != NULL);
    if (ConnectEx_ == NULL)
        return;
    CHECK(!ConnectEx_(s, (SOCKADDR *)&name, sizeof(name), NULL, 0, &sent, &ol) && WSAGetLastError() == WSAEINVAL, "error %d",
          WSAGetLastError());
    closesocket(s);
    closesocket(listener);
}

static void ce_2(void)
{
    SOCKET listener = Listening(), s = Bound(SOCK_STREAM), accepted;
    SOCKADDR_IN name = NameOf(listener);
    LPFN_CONNECTEX ConnectEx_ = ConnectExOf(s);
    HANDLE port = Port(0);
    OVERLAPPED ol = {0};
    PACKET packet;
    DWORD sent;
    CreateIoCompletionPort((HANDLE)s, port, 0, 0);
    if (ConnectEx_ == NULL)
        return;
    CHECK(!ConnectEx_(s, (SOCKADDR *)&name, sizeof(name), "abc", 3, &sent, &ol) && WSAGetLastError() == ERROR_IO_PENDING,
          "error %d", WSAGetLastError());
    packet = Get(port, SOON);
    CHECK(packet.ok && packet.bytes == 3, "error %lu", packet.error);
    CHECK(setsockopt(s, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0) == 0);
    accepted = accept(listener, NULL, NULL);
    CHECK(recv(accepted, Buffer, 8, 0) == 3);
    closesocket(accepted);
    closesocket(s);
    closesocket(listener);
    CloseHandle(port);
}

static void ce_3(void)
{
    SOCKET taken = Bound(SOCK_STREAM), s = Bound(SOCK_STREAM);
    SOCKADDR_IN name = NameOf(taken);
    LPFN_CONNECTEX ConnectEx_ = ConnectExOf(s);
    HANDLE port = Port(0);
    OVERLAPPED ol = {0};
    PACKET packet;
    DWORD sent;
    CreateIoCompletionPort((HANDLE)s, port, 0, 0);
    if (ConnectEx_ == NULL)
        return;
    CHECK(!ConnectEx_(s, (SOCKADDR *)&name, sizeof(name), NULL, 0, &sent, &ol) && WSAGetLastError() == ERROR_IO_PENDING);
    packet = Get(port, SOON);
    CHECK(!packet.ok && packet.error == ERROR_CONNECTION_REFUSED, "error %lu", packet.error);
    closesocket(s);
    closesocket(taken);
    CloseHandle(port);
}

static void dx_1(void)
{
    GUID id = WSAID_DISCONNECTEX;
    LPFN_DISCONNECTEX DisconnectEx_ = NULL;
    SOCKET plain = Bound(SOCK_STREAM);
    OVERLAPPED ol = {0};
    PACKET packet;
    DWORD bytes;
    int error;
    Open();
    WSAIoctl(Pair.one, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof(id), &DisconnectEx_, sizeof(DisconnectEx_), &bytes, NULL,
             NULL);
    CHECK(DisconnectEx_ != NULL);
    if (DisconnectEx_ == NULL)
        return;
    CHECK(!DisconnectEx_(plain, &ol, 0, 0) && WSAGetLastError() == WSAENOTCONN, "error %d", WSAGetLastError());
    CHECK(!DisconnectEx_(Pair.one, &ol, 0, 0) && WSAGetLastError() == ERROR_IO_PENDING, "error %d", WSAGetLastError());
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.bytes == 0);
    error = Send(Pair.one, "x", 1, &ol);
    CHECK(error == WSAESHUTDOWN, "send: %d", error);
    send(Pair.other, "abc", 3, 0);
    CHECK(recv(Pair.one, Buffer, 8, 0) == 3);
    closesocket(plain);
    Close();
}

static void tf_1(void)
{
    TRANSMIT_FILE_BUFFERS buffers = {"head-", 5, "-tail", 5};
    OVERLAPPED ol = {0};
    HANDLE file;
    DWORD bytes;
    PACKET packet;
    char seen[64];
    int length = 0, got;
    Open();
    file = CreateFileA("tf_1.tmp", GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, FILE_FLAG_DELETE_ON_CLOSE, NULL);
    CHECK(WriteFile(file, "0123456789", 10, &bytes, NULL));
    ol.Offset = 2;
    CHECK(TransmitFile(Pair.one, file, 5, 0, &ol, &buffers, 0) || WSAGetLastError() == ERROR_IO_PENDING, "error %d",
          WSAGetLastError());
    packet = Get(Queue, SOON);
    CHECK(packet.ok && packet.bytes == 15, "%lu bytes", packet.bytes);
    while (length < 15 && (got = recv(Pair.other, seen + length, (int)sizeof(seen) - length, 0)) > 0)
        length += got;
    CHECK(length == 15 && memcmp(seen, "head-23456-tail", 15) == 0);
    CloseHandle(file);
    Close();
}

int main(void)
{
    Start();
    RUN("IO-1", io_1);
    RUN("IO-2", io_2);
    RUN("IO-3", io_3);
    RUN("IO-4", io_4);
    RUN("IO-5", io_5);
    RUN("IO-6", io_6);
    RUN("IO-8", io_8);
    RUN("IO-9", io_9);
    RUN("IO-11", io_11);
    RUN("IO-12", io_12);
    RUN("IO-14", io_14);
    RUN("IO-16", io_16);
    RUN("IO-17", io_17);
    RUN("IO-18", io_18);
    RUN("AX-1", ax_1);
    RUN("AX-2", ax_2);
    RUN("AX-4", ax_4);
    RUN("AX-8", ax_8);
    RUN("CE-1", ce_1);
    RUN("CE-2", ce_2);
    RUN("CE-3", ce_3);
    RUN("DX-1", dx_1);
    RUN("TF-1", tf_1);
    return 0;
}
