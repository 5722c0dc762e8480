/* Chapter 5: receiving and sending datagrams. */
#include "associated.h"

static SOCKET One, Peer;
static HANDLE Packets;
static SOCKADDR_IN Name;

static void OpenDatagrams(void)
{
    One = Bound(SOCK_DGRAM);
    Peer = Bound(SOCK_DGRAM);
    Name = NameOf(One);
    Packets = Port(0);
    CreateIoCompletionPort((HANDLE)One, Packets, KEY, 0);
}

static void CloseDatagrams(void)
{
    closesocket(One);
    closesocket(Peer);
    CloseHandle(Packets);
}

static void Tell(const char *text)
{
    CHECK(sendto(Peer, text, (int)strlen(text), 0, (SOCKADDR *)&Name, sizeof(Name)) == (int)strlen(text));
}

/* It was too long: told so by the packet, and by both result calls. */
static void Cut(OVERLAPPED *ol)
{
    PACKET packet = Get(Packets, SOON);
    DWORD bytes = 0, flags;
    CHECK(!packet.ok && packet.overlapped == ol && packet.error == ERROR_MORE_DATA && packet.bytes == 6, "error %lu, %lu bytes",
          packet.error, packet.bytes);
    CHECK((DWORD)ol->Internal == 0x80000005 && ol->InternalHigh == 6 && memcmp(Buffer, "123456", 6) == 0);
    CHECK(!WSAGetOverlappedResult(One, ol, &bytes, FALSE, &flags) && WSAGetLastError() == WSAEMSGSIZE && bytes == 6, "error %d",
          WSAGetLastError());
    CHECK(!GetOverlappedResult((HANDLE)One, ol, &bytes, FALSE) && GetLastError() == ERROR_MORE_DATA, "error %lu", GetLastError());
}

static void io_9(void)
{
    OVERLAPPED ol = {0};
    WSABUF halves[2];
    DWORD flags = 0;
    PACKET packet;
    int result;
    OpenDatagrams();
    CHECK(Recv(One, Buffer, 6, &ol) == WSA_IO_PENDING);
    Tell("123456789");
    Cut(&ol);
    /* The next one is whole. */
    Tell("abc");
    memset(&ol, 0, sizeof(ol));
    CHECK(Started(Recv(One, Buffer, 6, &ol)));
    packet = Get(Packets, SOON);
    CHECK(packet.ok && packet.bytes == 3);
    /* The same in several buffers. */
    halves[0].buf = Buffer;
    halves[1].buf = Buffer + 3;
    halves[0].len = halves[1].len = 3;
    CHECK(WSARecv(One, halves, 2, NULL, &flags, &ol, NULL) == SOCKET_ERROR && WSAGetLastError() == WSA_IO_PENDING);
    Tell("123456789");
    Cut(&ol);
    /* A call that waits. */
    Tell("123456789");
    memset(Buffer, 0, sizeof(Buffer));
    result = recv(One, Buffer, 6, 0);
    CHECK(result == SOCKET_ERROR && WSAGetLastError() == WSAEMSGSIZE && memcmp(Buffer, "123456", 7) == 0, "%d, error %d", result,
          WSAGetLastError());
    CHECK(IsEmpty(Packets));
    CloseDatagrams();
}

/* The datagram is there already; whether the call or the packet tells is not said. */
static void io_9_at_once(void)
{
    OVERLAPPED ol = {0};
    int error;
    OpenDatagrams();
    Tell("123456789");
    Sleep(NOTHING);
    error = Recv(One, Buffer, 6, &ol);
    if (error == WSA_IO_PENDING)
        Cut(&ol);
    else
        CHECK(error == WSAEMSGSIZE && ol.InternalHigh == 6, "error %d", error);
    CloseDatagrams();
}

static void io_10(void)
{
    LPFN_WSARECVMSG WSARecvMsg_;
    OVERLAPPED ol = {0};
    WSAMSG message;
    WSABUF data;
    SOCKADDR_IN from;
    DWORD yes = 1, control_length;
    ULONG_PTR control[32];
    PACKET packet;
    OpenDatagrams();
    WSARecvMsg_ = (LPFN_WSARECVMSG)Extension(One, (GUID)WSAID_WSARECVMSG);
    CHECK(WSARecvMsg_ != NULL);
    if (WSARecvMsg_ == NULL)
        return;
    CHECK(setsockopt(One, IPPROTO_IP, IP_PKTINFO, (char *)&yes, sizeof(yes)) == 0);
    memset(&message, 0, sizeof(message));
    data.buf = Buffer;
    data.len = sizeof(Buffer);
    message.name = (SOCKADDR *)&from;
    message.namelen = sizeof(from);
    message.lpBuffers = &data;
    message.dwBufferCount = 1;
    message.Control.buf = (CHAR *)control;
    /* Enough room, then too little. */
    for (control_length = sizeof(control); control_length != 0; control_length = control_length > 4 ? 4 : 0) {
        message.Control.len = control_length;
        message.dwFlags = 0;
        memset(&ol, 0, sizeof(ol));
        CHECK(WSARecvMsg_(One, &message, NULL, &ol, NULL) == SOCKET_ERROR && WSAGetLastError() == WSA_IO_PENDING, "error %d",
              WSAGetLastError());
        Tell("hello");
        packet = Get(Packets, SOON);
        CHECK(packet.overlapped == &ol && ol.InternalHigh == 5 && memcmp(Buffer, "hello", 5) == 0, "%lu bytes", packet.bytes);
        CHECK(from.sin_port == NameOf(Peer).sin_port);
        if (control_length > 4) {
            CHECK(packet.ok && !(message.dwFlags & MSG_CTRUNC) && message.Control.len > 0);
            CHECK(((WSACMSGHDR *)control)->cmsg_level == IPPROTO_IP && ((WSACMSGHDR *)control)->cmsg_type == IP_PKTINFO);
        } else {
            CHECK(!packet.ok && packet.error == ERROR_MORE_DATA && (message.dwFlags & MSG_CTRUNC), "error %lu, flags %lx",
                  packet.error, message.dwFlags);
            CHECK(!WSAGetOverlappedResult(One, &ol, &yes, FALSE, &control_length) && WSAGetLastError() == WSAEMSGSIZE, "error %d",
                  WSAGetLastError());
            control_length = 4;
        }
    }
    CloseDatagrams();
}

static void io_11(void)
{
    SOCKADDR_IN from;
    int length = sizeof(from);
    OVERLAPPED ol = {0};
    WSABUF wsa = {sizeof(Buffer), Buffer};
    DWORD flags = 0;
    memset(&from, 0, sizeof(from));
    OpenDatagrams();
    length = sizeof(from) + 1;
    CHECK(WSARecvFrom(One, &wsa, 1, NULL, &flags, (SOCKADDR *)&from, &length, &ol, NULL) == SOCKET_ERROR &&
          WSAGetLastError() == WSA_IO_PENDING);
    CHECK(from.sin_port == 0 && length == sizeof(from) + 1);
    Tell("abc");
    CHECK(Get(Packets, SOON).bytes == 3);
    CHECK(from.sin_port == NameOf(Peer).sin_port && from.sin_family == AF_INET && length == sizeof(from), "length %d", length);
    CHECK(flags == 0);
    CloseDatagrams();
}

static void io_12(void)
{
    SOCKET s = Overlapped(SOCK_DGRAM);
    HANDLE port = Port(0);
    static OVERLAPPED ol;
    int error;
    CreateIoCompletionPort((HANDLE)s, port, 0, 0);
    error = Recv(s, Buffer, 1, &ol);
    CHECK(error == WSAEINVAL, "error %d", error);
    CHECK(IsEmpty(port));
    closesocket(s);
    CloseHandle(port);
}

/* An address at which nobody listens. */
static SOCKADDR_IN Nobody(void)
{
    SOCKET s = Bound(SOCK_DGRAM);
    SOCKADDR_IN name = NameOf(s);
    closesocket(s);
    return name;
}

/* A receive that is under way. */
static void io_13(void)
{
    static OVERLAPPED ol, out;
    SOCKADDR_IN nobody = Nobody();
    WSABUF wsa = {1, "x"};
    DWORD bytes, flags;
    PACKET packet;
    int i;
    OpenDatagrams();
    CHECK(Recv(One, Buffer, 8, &ol) == WSA_IO_PENDING);
    CHECK(sendto(One, "x", 1, 0, (SOCKADDR *)&nobody, sizeof(nobody)) == 1);
    packet = Get(Packets, SOON);
    CHECK(!packet.ok && packet.overlapped == &ol && packet.error == ERROR_PORT_UNREACHABLE && packet.bytes == 0, "error %lu",
          packet.error);
    CHECK(!WSAGetOverlappedResult(One, &ol, &bytes, FALSE, &flags) && WSAGetLastError() == WSAECONNRESET, "error %d",
          WSAGetLastError());
    /* Sends succeed, */
    for (i = 0; i < 3; i++) {
        CHECK(WSASendTo(One, &wsa, 1, NULL, 0, (SOCKADDR *)&nobody, sizeof(nobody), &out, NULL) == 0 ||
              WSAGetLastError() == WSA_IO_PENDING);
        packet = Get(Packets, SOON);
        CHECK(packet.ok && packet.overlapped == &out && packet.bytes == 1, "error %lu", packet.error);
    }
    /* and the socket is as good as before. */
    Tell("abc");
    for (i = 0; i < 4; i++) {
        int error = Recv(One, Buffer, 8, &ol);
        if (error == WSAECONNRESET)
            continue;
        CHECK(Started(error), "error %d", error);
        packet = Get(Packets, SOON);
        if (packet.ok)
            break;
        CHECK(packet.error == ERROR_PORT_UNREACHABLE, "error %lu", packet.error);
    }
    CHECK(packet.ok && packet.overlapped == &ol && packet.bytes == 3);
    CloseDatagrams();
}

/* One that comes later, and one that waits. */
static void io_13_later(void)
{
    static OVERLAPPED ol;
    SOCKADDR_IN nobody = Nobody();
    DWORD timeout = SOON;
    PACKET packet;
    int error;
    OpenDatagrams();
    setsockopt(One, SOL_SOCKET, SO_RCVTIMEO, (char *)&timeout, sizeof(timeout));
    CHECK(sendto(One, "x", 1, 0, (SOCKADDR *)&nobody, sizeof(nobody)) == 1);
    Sleep(NOTHING);
    error = Recv(One, Buffer, 8, &ol);
    if (error == WSA_IO_PENDING) {
        packet = Get(Packets, SOON);
        CHECK(!packet.ok && packet.error == ERROR_PORT_UNREACHABLE, "packet: %lu", packet.error);
    } else {
        CHECK(error == WSAECONNRESET && IsEmpty(Packets), "error %d", error);
    }
    CHECK(sendto(One, "x", 1, 0, (SOCKADDR *)&nobody, sizeof(nobody)) == 1);
    CHECK(recv(One, Buffer, 8, 0) == SOCKET_ERROR && WSAGetLastError() == WSAECONNRESET, "error %d", WSAGetLastError());
    CloseDatagrams();
}

#ifndef SIO_UDP_CONNRESET
#define SIO_UDP_CONNRESET _WSAIOW(IOC_VENDOR, 12)
#endif

static void io_13_off(void)
{
    OVERLAPPED ol = {0};
    SOCKADDR_IN nobody = Nobody();
    BOOL no = FALSE;
    DWORD bytes;
    PACKET packet;
    OpenDatagrams();
    CHECK(WSAIoctl(One, SIO_UDP_CONNRESET, &no, sizeof(no), NULL, 0, &bytes, NULL, NULL) == 0, "error %d", WSAGetLastError());
    CHECK(Recv(One, Buffer, 8, &ol) == WSA_IO_PENDING);
    CHECK(sendto(One, "x", 1, 0, (SOCKADDR *)&nobody, sizeof(nobody)) == 1);
    CHECK(IsEmpty(Packets));
    Tell("abc");
    packet = Get(Packets, SOON);
    CHECK(packet.ok && packet.bytes == 3, "error %lu", packet.error);
    CloseDatagrams();
}

int main(void)
{
    Start();
    RUN("IO-9", io_9);
    RUN("IO-9 (at once)", io_9_at_once);
    RUN("IO-10", io_10);
    RUN("IO-11", io_11);
    RUN("IO-12 (datagrams)", io_12);
    RUN("IO-13", io_13);
    RUN("IO-13 (later)", io_13_later);
    RUN("IO-13 (switched off)", io_13_off);
    return 0;
}
