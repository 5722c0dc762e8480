/* What the clause programs share: a line for each clause, sockets that are connected, packets. */
#pragma once
#include <winsock2.h>
#include <ws2tcpip.h>
#include <mswsock.h>
#include <windows.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Long enough for anything to come, and short enough for nothing. */
#define SOON 10000
#define NOTHING 60

static const char *Clause = "";
static char Detail[512];

/* What is wrong, if something is; the first thing counts. */
#define CHECK(condition, ...) \
    do { \
        if (!(condition) && Detail[0] == 0) { \
            int at = _snprintf(Detail, sizeof(Detail) - 1, "line %d: %s: ", __LINE__, #condition); \
            if (at > 0) \
                _snprintf(Detail + at, sizeof(Detail) - 1 - at, "" __VA_ARGS__); \
        } \
    } while (0)

static void Begin(const char *clause)
{
    Clause = clause;
    Detail[0] = 0;
}

static void End(void)
{
    if (Detail[0] == 0)
        printf("%s: ok\n", Clause);
    else
        printf("%s: FAILED %s\n", Clause, Detail);
    fflush(stdout);
}

#define RUN(clause, function) (Begin(clause), function(), End())

static SOCKET Overlapped(int type)
{
    return WSASocketA(AF_INET, type, 0, NULL, 0, WSA_FLAG_OVERLAPPED);
}

static SOCKADDR_IN Loopback(u_short port)
{
    SOCKADDR_IN name;
    memset(&name, 0, sizeof(name));
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    name.sin_port = port;
    return name;
}

static SOCKADDR_IN NameOf(SOCKET s)
{
    SOCKADDR_IN name;
    int length = sizeof(name);
    memset(&name, 0, sizeof(name));
    getsockname(s, (SOCKADDR *)&name, &length);
    return name;
}

static SOCKET Bound(int type)
{
    SOCKET s = Overlapped(type);
    SOCKADDR_IN name = Loopback(0);
    bind(s, (SOCKADDR *)&name, sizeof(name));
    return s;
}

static SOCKET Listening(void)
{
    SOCKET s = Bound(SOCK_STREAM);
    listen(s, 8);
    return s;
}

typedef struct _PAIR {
    SOCKET one, other;
} PAIR;

static PAIR Connected(void)
{
    PAIR pair;
    BOOL yes = TRUE;
    SOCKET listener = Listening();
    SOCKADDR_IN name = NameOf(listener);
    pair.one = Overlapped(SOCK_STREAM);
    connect(pair.one, (SOCKADDR *)&name, sizeof(name));
    pair.other = accept(listener, NULL, NULL);
    closesocket(listener);
    setsockopt(pair.one, IPPROTO_TCP, TCP_NODELAY, (char *)&yes, sizeof(yes));
    setsockopt(pair.other, IPPROTO_TCP, TCP_NODELAY, (char *)&yes, sizeof(yes));
    return pair;
}

static void ClosePair(PAIR *pair)
{
    closesocket(pair->one);
    closesocket(pair->other);
}

static HANDLE Port(DWORD concurrency)
{
    return CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, concurrency);
}

typedef struct _PACKET {
    BOOL ok;
    DWORD bytes;
    ULONG_PTR key;
    LPOVERLAPPED overlapped;
    DWORD error;
} PACKET;

static PACKET Get(HANDLE port, DWORD timeout)
{
    PACKET packet;
    memset(&packet, 0, sizeof(packet));
    packet.overlapped = (LPOVERLAPPED)0x1234;
    SetLastError(0);
    packet.ok = GetQueuedCompletionStatus(port, &packet.bytes, &packet.key, &packet.overlapped, timeout);
    packet.error = GetLastError();
    return packet;
}

/* A receive into `buffer`; 0, or the error, of which WSA_IO_PENDING is one. */
static int Recv(SOCKET s, void *buffer, ULONG length, LPOVERLAPPED overlapped)
{
    WSABUF wsa;
    DWORD flags = 0;
    wsa.buf = (CHAR *)buffer;
    wsa.len = length;
    return WSARecv(s, &wsa, 1, NULL, &flags, overlapped, NULL) == 0 ? 0 : WSAGetLastError();
}

static int Send(SOCKET s, const void *buffer, ULONG length, LPOVERLAPPED overlapped)
{
    WSABUF wsa;
    wsa.buf = (CHAR *)buffer;
    wsa.len = length;
    return WSASend(s, &wsa, 1, NULL, 0, overlapped, NULL) == 0 ? 0 : WSAGetLastError();
}

static BOOL Started(int result)
{
    return result == 0 || result == WSA_IO_PENDING;
}

static void Start(void)
{
    WSADATA data;
    WSAStartup(MAKEWORD(2, 2), &data);
}
