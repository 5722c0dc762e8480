/* C and C++: names that Windows and libc both have mean Windows's, whatever is included before or after, and what
   64 bits change compiles. The macro STANDARD_FIRST says where the standard headers are. */
#ifdef STANDARD_FIRST
#include "standard.h"
#endif
#include <WinSock2.h>
#include <Windows.h>
#include <WS2tcpip.h>
#include <MSWSock.h>
#include <conio.h>
#include <crtdbg.h>
#include <direct.h>
#include <intrin.h>
#include <io.h>
#include <malloc.h>
#include <mstcpip.h>
#include <ntstatus.h>
#include <process.h>
#include <strsafe.h>
#include <tchar.h>
#ifndef STANDARD_FIRST
#include "standard.h"
#endif

#ifdef __cplusplus
using namespace std;
#define STATIC_ASSERT(condition) static_assert(condition, #condition)

struct Server {
    int accept() { return 1; }
    int send(const char *) { return 2; }
    int printf(int n) { return n; }
};

int members(void)
{
    Server server;
    auto accept = std::bind(&Server::accept, &server);
    std::filesystem::path path("a/b");
    std::min(3, 4);
    return accept() + server.send("x") + server.printf(3) + min(1, 2) + (int)max(1L, 2) + (int)path.string().size();
}

int slips(HANDLE port, SOCKET s)
{
    DWORD bytes;
    LPOVERLAPPED overlapped;
    ULONG_PTR one;
    size_t two;
    uint64_t three;
    ULONGLONG four;
    void *five;
    unsigned long wide = 0, mode = 1, flags = 0;
    GetQueuedCompletionStatus(port, &bytes, &one, &overlapped, INFINITE);
    GetQueuedCompletionStatus(port, &bytes, &two, &overlapped, INFINITE);
    GetQueuedCompletionStatus(port, &bytes, &three, &overlapped, INFINITE);
    GetQueuedCompletionStatus(port, &bytes, &four, &overlapped, INFINITE);
    GetQueuedCompletionStatus(port, &bytes, (PDWORD_PTR)&five, &overlapped, INFINITE);
    GetQueuedCompletionStatus(port, &wide, &one, &overlapped, INFINITE);
#ifdef OVERLAPPED_LP32
    GetQueuedCompletionStatus(port, &bytes, (LPDWORD)&five, &overlapped, INFINITE);
#endif
    CreateIoCompletionPort(INVALID_HANDLE_VALUE, 0, 0, 0);
    CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, (ULONG_PTR)NULL, 0);
    CreateIoCompletionPort((HANDLE)s, port, &bytes, 0);
    PostQueuedCompletionStatus(port, 0, 0, NULL);
    CreateThread(NULL, 0, 0, 0, 0, 0);
    CreateThread(NULL, 0, 0, 0, 0, NULL);
    CreateThread(NULL, 0, 0, 0, 0, nullptr);
    CreateThread(NULL, 0, 0, 0, 0, &wide);
    WSARecv(s, NULL, 0, &wide, &flags, NULL, NULL);
    WSASend(s, NULL, 0, &wide, 0, NULL, NULL);
    ioctlsocket(s, FIONBIO, &mode);
    long counter = 0;
    InterlockedIncrement(&counter);
    InterlockedCompareExchange(&counter, 0, 1);
    LONG64 wide_counter = 0;
    ULONGLONG unsigned_wide = 1;
    size_t size = sizeof(s);
    InterlockedExchangeAdd64(&wide_counter, bytes);
    InterlockedExchangeAdd64(&wide_counter, size);
    InterlockedExchange64(&wide_counter, unsigned_wide);
    InterlockedCompareExchange64(&wide_counter, 1, wide_counter);
    InterlockedCompareExchange64(&wide_counter, 0LL, 0);
    LONG64 was = InterlockedAdd64(&wide_counter, bytes);
    ::accept(s, NULL, NULL);
    char text[10];
    sprintf_s(text, "%d", 1);
    strcpy_s(text, "x");
    std::printf("%s", text);
    __try {
        __leave;
    } __finally {
        puts("finally");
    }
    __try {
        throw 1;
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        puts("except");
    }
    return 0;
}
#else
#define STATIC_ASSERT(condition) _Static_assert(condition, #condition)
#endif

STATIC_ASSERT(sizeof(struct timeval) == 8);
STATIC_ASSERT(sizeof(u_long) == 4 && sizeof(DWORD) == 4 && sizeof(LONG) == 4);
STATIC_ASSERT(FD_SETSIZE == 64 && AF_INET6 == 23 && SOL_SOCKET == 0xffff);

int calls(SOCKET s)
{
    struct sockaddr_in name;
    int length = sizeof(name);
    fd_set set;
    struct timeval wait = {1, 0};
    u_long mode = 1;
    char text[40];
    LONG counter = 0;
    static __declspec(align(16)) int aligned;
    static __declspec(thread) int of_thread;

    name.sin_addr.S_un.S_addr = htonl(INADDR_LOOPBACK);
    name.sin_addr.s_addr++;
    name.sin_port = htons(1);
    FD_ZERO(&set);
    FD_SET(s, &set);
    bind(s, (struct sockaddr *)&name, sizeof(name));
    listen(s, SOMAXCONN);
    connect(s, (SOCKADDR *)&name, sizeof(name));
    accept(s, (SOCKADDR *)&name, &length);
    getsockname(s, (SOCKADDR *)&name, &length);
    getpeername(s, (SOCKADDR *)&name, &length);
    setsockopt(s, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0);
    select(0, &set, NULL, NULL, &wait);
    send(s, text, sizeof(text), 0);
    recv(s, text, sizeof(text), 0);
    shutdown(s, SD_BOTH);
    gethostname(text, sizeof(text));
    ioctlsocket(s, FIONBIO, &mode);
    closesocket(s);
    InterlockedIncrement(&counter);
    InterlockedCompareExchange(&counter, 2, 1);
    CreateEvent(NULL, TRUE, FALSE, NULL);
    StringCchPrintf(text, sizeof(text), TEXT("%s"), "x");
    of_thread = aligned + _stricmp("a", "A") + (int)_countof(text);
    return FD_ISSET(s, &set) + MAKEWORD(2, 2) + of_thread;
}
