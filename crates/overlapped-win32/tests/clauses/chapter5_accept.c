/* Chapter 5: AcceptEx. */
#include "associated.h"

#define ADDRESS (sizeof(SOCKADDR_IN) + 16)
#define LISTENER_KEY 125

static SOCKET Listener, Accepting;
static HANDLE Packets;

static void OpenListener(void)
{
    Listener = Listening();
    Accepting = Overlapped(SOCK_STREAM);
    Packets = Port(0);
    CreateIoCompletionPort((HANDLE)Listener, Packets, LISTENER_KEY, 0);
}

static void CloseListener(void)
{
    closesocket(Accepting);
    closesocket(Listener);
    CloseHandle(Packets);
}

static SOCKET Connect(SOCKET listener)
{
    SOCKET s = Overlapped(SOCK_STREAM);
    SOCKADDR_IN name = NameOf(listener);
    CHECK(connect(s, (SOCKADDR *)&name, sizeof(name)) == 0);
    return s;
}

/* 0, or the error, of which ERROR_IO_PENDING is one. */
static int Accept(SOCKET listener, SOCKET accepting, void *buffer, DWORD data, DWORD local, DWORD remote, OVERLAPPED *ol)
{
    DWORD bytes;
    return AcceptEx(listener, accepting, buffer, data, local, remote, &bytes, ol) ? 0 : WSAGetLastError();
}

static int AcceptInto(SOCKET accepting, DWORD data, OVERLAPPED *ol)
{
    return Accept(Listener, accepting, Buffer, data, ADDRESS, ADDRESS, ol);
}

static void ax_1_listener(void)
{
    SOCKET plain = Bound(SOCK_STREAM);
    static OVERLAPPED ol;
    int error;
    OpenListener();
    error = Accept(plain, Accepting, Buffer, 0, ADDRESS, ADDRESS, &ol);
    CHECK(error == WSAEINVAL, "error %d", error);
    closesocket(plain);
    CloseListener();
}

static void ax_1(void)
{
    SOCKET closed = Overlapped(SOCK_STREAM);
    static OVERLAPPED ol, under_way;
    PAIR pair = Connected();
    int error;
    OpenListener();
    error = Accept(INVALID_SOCKET, Accepting, Buffer, 0, ADDRESS, ADDRESS, &ol);
    CHECK(error == WSAENOTSOCK, "bad listener: %d", error);
    error = AcceptInto(Accepting, 0, NULL);
    CHECK(error == ERROR_INVALID_PARAMETER, "no OVERLAPPED: %d", error);
    error = Accept(Listener, Accepting, Buffer, 0, ADDRESS, 0, &ol);
    CHECK(error == WSAEFAULT, "no remote address: %d", error);
    closesocket(closed);
    error = AcceptInto(closed, 0, &ol);
    CHECK(error == WSAENOTSOCK, "closed: %d", error);
    error = AcceptInto(pair.one, 0, &ol);
    CHECK(error == WSAEINVAL, "connected: %d", error);
    error = AcceptInto(Accepting, 0, &under_way);
    CHECK(error == ERROR_IO_PENDING, "error %d", error);
    error = AcceptInto(Accepting, 0, &ol);
    CHECK(error == WSAEINVAL, "under way: %d", error);
    CHECK(IsEmpty(Packets));
    ClosePair(&pair);
    CloseListener();
}

static void ax_1_buffer(void)
{
    static OVERLAPPED ol;
    int error;
    OpenListener();
    error = Accept(Listener, Accepting, NULL, 0, ADDRESS, ADDRESS, &ol);
    CHECK(error == WSAEFAULT, "error %d", error);
    CloseListener();
}

static void ax_1_bound(void)
{
    SOCKET bound = Bound(SOCK_STREAM);
    static OVERLAPPED ol;
    int error;
    OpenListener();
    error = AcceptInto(bound, 0, &ol);
    CHECK(error == WSAEINVAL, "error %d", error);
    closesocket(bound);
    CloseListener();
}

static void ax_1_datagram(void)
{
    SOCKET datagram = Overlapped(SOCK_DGRAM);
    static OVERLAPPED ol;
    int error;
    OpenListener();
    error = AcceptInto(datagram, 0, &ol);
    CHECK(error == WSAEINVAL, "error %d", error);
    closesocket(datagram);
    CloseListener();
}

/* What is to get a connection cannot connect. */
static void ax_1_connect(void)
{
    SOCKET other = Listening();
    SOCKADDR_IN name = NameOf(other);
    LPFN_CONNECTEX ConnectEx_ = (LPFN_CONNECTEX)Extension(other, (GUID)WSAID_CONNECTEX);
    static OVERLAPPED under_way, ol;
    u_long yes = 1;
    DWORD sent;
    OpenListener();
    CHECK(AcceptInto(Accepting, 0, &under_way) == ERROR_IO_PENDING);
    ioctlsocket(Accepting, FIONBIO, &yes);
    CHECK(connect(Accepting, (SOCKADDR *)&name, sizeof(name)) == SOCKET_ERROR && WSAGetLastError() == WSAEINVAL, "connect: %d",
          WSAGetLastError());
    CHECK(!ConnectEx_(Accepting, (SOCKADDR *)&name, sizeof(name), NULL, 0, &sent, &ol) && WSAGetLastError() == WSAEINVAL,
          "ConnectEx: %d", WSAGetLastError());
    closesocket(other);
    CloseListener();
}

static void ax_2(void)
{
    SOCKET client;
    OVERLAPPED ol = {0};
    PACKET packet;
    SOCKADDR *local, *remote;
    int local_length, remote_length, data;
    /* With data and without. */
    for (data = 0; data <= 100; data += 100) {
        OpenListener();
        memset(Buffer, 0, sizeof(Buffer));
        CHECK(AcceptInto(Accepting, data, &ol) == ERROR_IO_PENDING);
        client = Connect(Listener);
        if (data > 0)
            send(client, "first", 5, 0);
        packet = Get(Packets, SOON);
        CHECK(packet.ok && packet.overlapped == &ol && packet.bytes == (data > 0 ? 5 : 0));
        GetAcceptExSockaddrs(Buffer, data, ADDRESS, ADDRESS, &local, &local_length, &remote, &remote_length);
        CHECK(local_length == sizeof(SOCKADDR_IN) && remote_length == sizeof(SOCKADDR_IN));
        CHECK(((SOCKADDR_IN *)local)->sin_port == NameOf(Listener).sin_port && local->sa_family == AF_INET);
        CHECK(((SOCKADDR_IN *)remote)->sin_port == NameOf(client).sin_port && remote->sa_family == AF_INET);
        CHECK((char *)local >= Buffer + data && (char *)remote + remote_length <= Buffer + data + 2 * ADDRESS);
        closesocket(client);
        CloseListener();
    }
}

/* Too little room for an address is told when a connection comes, which stays for another. */
static void ax_3(void)
{
    SOCKET client, accepted;
    OVERLAPPED ol = {0};
    u_long yes = 1;
    PACKET packet;
    OpenListener();
    CHECK(Accept(Listener, Accepting, Buffer, 0, ADDRESS, sizeof(SOCKADDR_IN) + 15, &ol) == ERROR_IO_PENDING);
    CHECK(IsEmpty(Packets));
    client = Connect(Listener);
    packet = Get(Packets, SOON);
    CHECK(!packet.ok && packet.overlapped == &ol && packet.error == ERROR_INSUFFICIENT_BUFFER && (DWORD)ol.Internal == 0xc0000023,
          "error %lu", packet.error);
    /* It is there for an accept, which has not to wait. */
    ioctlsocket(Listener, FIONBIO, &yes);
    accepted = accept(Listener, NULL, NULL);
    CHECK(accepted != INVALID_SOCKET, "error %d", WSAGetLastError());
    CHECK(send(accepted, "hi", 2, 0) == 2 && Receive(client, Buffer, 2) == 2);
    closesocket(accepted);
    closesocket(client);
    CloseListener();
}

static void ax_3_local(void)
{
    SOCKET client;
    OVERLAPPED ol = {0};
    PACKET packet;
    SOCKADDR *local, *remote;
    int local_length, remote_length;
    OpenListener();
    CHECK(Accept(Listener, Accepting, Buffer, 0, 0, ADDRESS, &ol) == ERROR_IO_PENDING);
    client = Connect(Listener);
    packet = Get(Packets, SOON);
    CHECK(packet.ok && packet.overlapped == &ol, "error %lu", packet.error);
    GetAcceptExSockaddrs(Buffer, 0, 0, ADDRESS, &local, &local_length, &remote, &remote_length);
    CHECK(((SOCKADDR_IN *)remote)->sin_port == NameOf(client).sin_port);
    closesocket(client);
    CloseListener();
}

static int ConnectTime(SOCKET s)
{
    int time = 77, length = sizeof(time);
    CHECK(getsockopt(s, SOL_SOCKET, SO_CONNECT_TIME, (char *)&time, &length) == 0, "error %d", WSAGetLastError());
    return time;
}

static void ax_4(void)
{
    SOCKET client, silent;
    OVERLAPPED ol = {0};
    PACKET packet;
    OpenListener();
    CHECK(AcceptInto(Accepting, 100, &ol) == ERROR_IO_PENDING);
    CHECK(ConnectTime(Accepting) == -1);
    client = Connect(Listener);
    CHECK(IsEmpty(Packets));
    send(client, "first", 5, 0);
    packet = Get(Packets, SOON);
    CHECK(packet.ok && packet.bytes == 5 && memcmp(Buffer, "first", 5) == 0, "error %lu", packet.error);
    CHECK(ConnectTime(Accepting) >= 0);
    closesocket(client);
    closesocket(Accepting);
    /* The end is as good as data. */
    Accepting = Overlapped(SOCK_STREAM);
    CHECK(AcceptInto(Accepting, 100, &ol) == ERROR_IO_PENDING);
    client = Connect(Listener);
    CHECK(IsEmpty(Packets));
    shutdown(client, SD_SEND);
    packet = Get(Packets, SOON);
    CHECK(packet.ok && packet.bytes == 0, "error %lu", packet.error);
    closesocket(client);
    closesocket(Accepting);
    /* One that is silent holds it up until the socket is closed. */
    Accepting = Overlapped(SOCK_STREAM);
    CHECK(AcceptInto(Accepting, 100, &ol) == ERROR_IO_PENDING);
    silent = Connect(Listener);
    CHECK(IsEmpty(Packets));
    closesocket(Accepting);
    packet = Get(Packets, SOON);
    CHECK(!packet.ok && packet.overlapped == &ol &&
              (packet.error == ERROR_OPERATION_ABORTED || packet.error == ERROR_CONNECTION_ABORTED),
          "error %lu", packet.error);
    CHECK(Receive(silent, Buffer, 8) == 0);
    closesocket(silent);
    Accepting = Overlapped(SOCK_STREAM);
    CloseListener();
}

/* It is connected although no data has come. */
static void ax_4_time(void)
{
    SOCKET client;
    OVERLAPPED ol = {0};
    OpenListener();
    CHECK(AcceptInto(Accepting, 100, &ol) == ERROR_IO_PENDING);
    CHECK(ConnectTime(Accepting) == -1);
    client = Connect(Listener);
    CHECK(IsEmpty(Packets));
    CHECK(ConnectTime(Accepting) >= 0, "%d", ConnectTime(Accepting));
    closesocket(client);
    CloseListener();
}

static void ax_5(void)
{
    SOCKET client;
    OVERLAPPED ol = {0};
    PACKET packet;
    OpenListener();
    CHECK(CreateIoCompletionPort((HANDLE)Accepting, Packets, 236, 0) == Packets);
    CHECK(AcceptInto(Accepting, 10, &ol) == ERROR_IO_PENDING);
    client = Connect(Listener);
    send(client, "abc", 3, 0);
    packet = Get(Packets, SOON);
    CHECK(packet.ok && packet.key == LISTENER_KEY && packet.bytes == 3, "key %lu", (DWORD)packet.key);
    CHECK(Recv(Accepting, Buffer, 8, &ol) == WSA_IO_PENDING);
    send(client, "de", 2, 0);
    packet = Get(Packets, SOON);
    CHECK(packet.ok && packet.key == 236 && packet.bytes == 2, "key %lu", (DWORD)packet.key);
    closesocket(client);
    closesocket(Accepting);
    /* One that was not associated has no packets. */
    Accepting = Overlapped(SOCK_STREAM);
    CHECK(AcceptInto(Accepting, 0, &ol) == ERROR_IO_PENDING);
    client = Connect(Listener);
    CHECK(Get(Packets, SOON).key == LISTENER_KEY);
    CHECK(Recv(Accepting, Buffer, 8, &ol) == WSA_IO_PENDING);
    send(client, "x", 1, 0);
    CHECK(IsEmpty(Packets));
    EVENTUALLY(HasOverlappedIoCompleted(&ol));
    closesocket(client);
    CloseListener();
}

static void ax_6(void)
{
    SOCKET accepting[3], clients[3];
    OVERLAPPED ol[3];
    static char buffers[3][2 * ADDRESS];
    int i;
    OpenListener();
    memset(ol, 0, sizeof(ol));
    for (i = 0; i < 3; i++) {
        accepting[i] = Overlapped(SOCK_STREAM);
        CHECK(Accept(Listener, accepting[i], buffers[i], 0, ADDRESS, ADDRESS, &ol[i]) == ERROR_IO_PENDING);
    }
    for (i = 0; i < 3; i++)
        clients[i] = Connect(Listener);
    for (i = 0; i < 3; i++) {
        SOCKADDR *local, *remote;
        int local_length, remote_length;
        PACKET packet = Get(Packets, SOON);
        CHECK(packet.ok && packet.overlapped == &ol[i]);
        GetAcceptExSockaddrs(buffers[i], 0, ADDRESS, ADDRESS, &local, &local_length, &remote, &remote_length);
        CHECK(((SOCKADDR_IN *)remote)->sin_port == NameOf(clients[i]).sin_port);
    }
    for (i = 0; i < 3; i++) {
        closesocket(clients[i]);
        closesocket(accepting[i]);
    }
    CloseListener();
}

/* What an AcceptEx waits for, an accept does not get. */
static void ax_6_accept(void)
{
    SOCKET first, second, accepted;
    OVERLAPPED ol = {0};
    u_long yes = 1;
    PACKET packet;
    OpenListener();
    CHECK(AcceptInto(Accepting, 0, &ol) == ERROR_IO_PENDING);
    ioctlsocket(Listener, FIONBIO, &yes);
    first = Connect(Listener);
    second = Connect(Listener);
    accepted = accept(Listener, NULL, NULL);
    packet = Get(Packets, SOON);
    CHECK(packet.ok && packet.overlapped == &ol);
    CHECK(send(Accepting, "1", 1, 0) == 1 && send(accepted, "2", 1, 0) == 1, "error %d", WSAGetLastError());
    CHECK(Receive(first, Buffer, 1) == 1 && Buffer[0] == '1', "%c", Buffer[0]);
    closesocket(first);
    closesocket(second);
    closesocket(accepted);
    CloseListener();
}

static void ax_7(void)
{
    SOCKET client;
    SOCKADDR_IN peer;
    OVERLAPPED ol = {0};
    int length = sizeof(peer);
    OpenListener();
    CHECK(AcceptInto(Accepting, 0, &ol) == ERROR_IO_PENDING);
    client = Connect(Listener);
    CHECK(Get(Packets, SOON).ok);
    CHECK(setsockopt(Accepting, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (char *)&Listener, sizeof(Listener)) == 0);
    CHECK(NameOf(Accepting).sin_port == NameOf(Listener).sin_port);
    CHECK(getpeername(Accepting, (SOCKADDR *)&peer, &length) == 0 && peer.sin_port == NameOf(client).sin_port);
    CHECK(send(Accepting, "hi", 2, 0) == 2 && Receive(client, Buffer, 2) == 2);
    CHECK(shutdown(Accepting, SD_SEND) == 0 && Receive(client, Buffer, 8) == 0);
    closesocket(client);
    CloseListener();
}

/* What is no listener is no context. */
static void ax_7_validates(void)
{
    SOCKET client, none = INVALID_SOCKET;
    OVERLAPPED ol = {0};
    OpenListener();
    CHECK(AcceptInto(Accepting, 0, &ol) == ERROR_IO_PENDING);
    client = Connect(Listener);
    CHECK(Get(Packets, SOON).ok);
    CHECK(setsockopt(Accepting, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (char *)&none, sizeof(none)) == SOCKET_ERROR);
    closesocket(client);
    CloseListener();
}

static void Cancelled(OVERLAPPED *ol)
{
    PACKET packet = Get(Packets, SOON);
    CHECK(!packet.ok && packet.overlapped == ol && packet.error == ERROR_OPERATION_ABORTED && packet.key == LISTENER_KEY,
          "error %lu", packet.error);
    CHECK((DWORD)ol->Internal == 0xc0000120);
}

static void ax_8(void)
{
    OVERLAPPED ol = {0};
    OpenListener();
    /* The listener is closed, */
    CHECK(AcceptInto(Accepting, 0, &ol) == ERROR_IO_PENDING);
    closesocket(Listener);
    Cancelled(&ol);
    CloseListener();
    OpenListener();
    /* or what it was for; */
    CHECK(AcceptInto(Accepting, 0, &ol) == ERROR_IO_PENDING);
    closesocket(Accepting);
    Cancelled(&ol);
    /* or it is cancelled, which is done on the listener. */
    Accepting = Overlapped(SOCK_STREAM);
    CHECK(AcceptInto(Accepting, 0, &ol) == ERROR_IO_PENDING);
    CHECK(CancelIo((HANDLE)Accepting));
    CHECK(IsEmpty(Packets));
    CHECK(CancelIo((HANDLE)Listener));
    Cancelled(&ol);
    /* The socket is as good as before. */
    CHECK(AcceptInto(Accepting, 0, &ol) == ERROR_IO_PENDING);
    CHECK(CancelIoEx((HANDLE)Listener, &ol));
    Cancelled(&ol);
    CloseListener();
}

/* A client that has given up before is passed over, or told of; the next one is accepted. */
static void ax_9(void)
{
    SOCKET client;
    OVERLAPPED ol = {0};
    PACKET packet;
    OpenListener();
    Reset(Connect(Listener));
    client = Connect(Listener);
    send(client, "x", 1, 0);
    CHECK(AcceptInto(Accepting, 10, &ol) == ERROR_IO_PENDING);
    packet = Get(Packets, SOON);
    CHECK(packet.overlapped == &ol);
    if (!packet.ok) {
        CHECK(packet.error == ERROR_NETNAME_DELETED, "error %lu", packet.error);
        closesocket(Accepting);
        Accepting = Overlapped(SOCK_STREAM);
        CHECK(AcceptInto(Accepting, 10, &ol) == ERROR_IO_PENDING);
        packet = Get(Packets, SOON);
    }
    CHECK(packet.ok && packet.bytes == 1, "error %lu", packet.error);
    closesocket(client);
    CloseListener();
}

int main(void)
{
    Start();
    RUN("AX-1", ax_1);
    RUN("AX-1 (no listener)", ax_1_listener);
    RUN("AX-1 (no buffer)", ax_1_buffer);
    RUN("AX-1 (bound)", ax_1_bound);
    RUN("AX-1 (datagrams)", ax_1_datagram);
    RUN("AX-1 (connect)", ax_1_connect);
    RUN("AX-2", ax_2);
    RUN("AX-3", ax_3);
    RUN("AX-3 (no local address)", ax_3_local);
    RUN("AX-4", ax_4);
    RUN("AX-4 (time)", ax_4_time);
    RUN("AX-5", ax_5);
    RUN("AX-6", ax_6);
    RUN("AX-6 (accept)", ax_6_accept);
    RUN("AX-7", ax_7);
    RUN("AX-7 (validates)", ax_7_validates);
    RUN("AX-8", ax_8);
    RUN("AX-9", ax_9);
    return 0;
}
