/* What `overlapped_echo` is in Rust, in C and for Windows: one operation under way on each connection. What has
   been received is sent, and when its packet has come, the next is received.

     plain WORKERS */
#include <winsock2.h>
#include <ws2tcpip.h>
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>

#define BUFFER 16384

typedef struct _CLIENT {
    OVERLAPPED ol;
    SOCKET s;
    BOOL sending;
    WSABUF wsa;
    char data[BUFFER];
} CLIENT;

static void Release(CLIENT *c)
{
    closesocket(c->s);
    HeapFree(GetProcessHeap(), 0, c);
}

static void Receive(CLIENT *c)
{
    DWORD flags = 0;
    c->sending = FALSE;
    c->wsa.buf = c->data;
    c->wsa.len = BUFFER;
    if (WSARecv(c->s, &c->wsa, 1, NULL, &flags, &c->ol, NULL) == SOCKET_ERROR && WSAGetLastError() != WSA_IO_PENDING)
        Release(c);
}

static void Send(CLIENT *c, DWORD bytes)
{
    c->sending = TRUE;
    c->wsa.len = bytes;
    if (WSASend(c->s, &c->wsa, 1, NULL, 0, &c->ol, NULL) == SOCKET_ERROR && WSAGetLastError() != WSA_IO_PENDING)
        Release(c);
}

static DWORD WINAPI Work(LPVOID port)
{
    for (;;) {
        DWORD bytes = 0;
        ULONG_PTR key = 0;
        LPOVERLAPPED ol = NULL;
        BOOL ok = GetQueuedCompletionStatus((HANDLE)port, &bytes, &key, &ol, INFINITE);
        CLIENT *c;

        if (ol == NULL)
            return 1;
        c = CONTAINING_RECORD(ol, CLIENT, ol);
        if (!ok || bytes == 0)
            Release(c);
        else if (c->sending)
            Receive(c);
        else
            Send(c, bytes);
    }
}

int main(int argc, char **argv)
{
    int workers = argc > 1 ? atoi(argv[1]) : 1;
    WSADATA data;
    SOCKADDR_IN addr;
    int len = sizeof(addr), i;
    SOCKET listener;
    HANDLE port;

    WSAStartup(MAKEWORD(2, 2), &data);
    listener = WSASocket(AF_INET, SOCK_STREAM, IPPROTO_TCP, NULL, 0, WSA_FLAG_OVERLAPPED);
    ZeroMemory(&addr, sizeof(addr));
    addr.sin_family = AF_INET;
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (SOCKADDR *)&addr, sizeof(addr)) == SOCKET_ERROR || listen(listener, SOMAXCONN) == SOCKET_ERROR) {
        printf("cannot listen: %d\n", WSAGetLastError());
        return 1;
    }
    getsockname(listener, (SOCKADDR *)&addr, &len);
    port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, workers < 2 ? workers : 2);
    for (i = 0; i < workers; i++)
        CloseHandle(CreateThread(NULL, 0, Work, port, 0, NULL));
    printf("listening on %d\n", ntohs(addr.sin_port));
    fflush(stdout);
    for (;;) {
        CLIENT *c;
        int one = 1;
        SOCKET s = accept(listener, NULL, NULL);
        if (s == INVALID_SOCKET)
            return 1;
        setsockopt(s, IPPROTO_TCP, TCP_NODELAY, (char *)&one, sizeof(one));
        c = (CLIENT *)HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, sizeof(CLIENT));
        c->s = s;
        CreateIoCompletionPort((HANDLE)s, port, (ULONG_PTR)c, 0);
        Receive(c);
    }
}
