/* A shutdown that waits for what is under way by looking at it: the workers are gone, the sockets are closed, and each
   OVERLAPPED is watched until HasOverlappedIoCompleted says so. A client that says "stop" begins it. */
#include "listener.h"
#include <windows.h>

#define MOST 16

typedef struct _CLIENT {
    OVERLAPPED ol;
    SOCKET s;
    char data[256];
} CLIENT;

static CLIENT Clients[MOST];

static BOOL Receive(CLIENT *c)
{
    WSABUF wsa;
    DWORD flags = 0;
    wsa.buf = c->data;
    wsa.len = sizeof(c->data);
    ZeroMemory(&c->ol, sizeof(c->ol));
    return WSARecv(c->s, &wsa, 1, NULL, &flags, &c->ol, NULL) == 0 || WSAGetLastError() == WSA_IO_PENDING;
}

static DWORD WINAPI Worker(LPVOID param)
{
    for (;;) {
        DWORD bytes;
        ULONG_PTR key;
        LPOVERLAPPED ol;
        BOOL ok = GetQueuedCompletionStatus((HANDLE)param, &bytes, &key, &ol, INFINITE);
        CLIENT *c = (CLIENT *)ol;
        if (ol == NULL)
            return 1;
        if (!ok || bytes == 0)
            continue;
        if (bytes >= 4 && memcmp(c->data, "stop", 4) == 0) {
            Receive(c);
            return 0;
        }
        send(c->s, c->data, (int)bytes, 0);
        Receive(c);
    }
}

int main(int argc, char **argv)
{
    SOCKET listener = Listen(argc, argv);
    HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    HANDLE worker = CreateThread(NULL, 0, Worker, port, 0, NULL);
    int count = 0, i;

    /* The worker's end is looked for between connections. */
    while (WaitForSingleObject(worker, 0) == WAIT_TIMEOUT) {
        fd_set set;
        struct timeval wait = {0, 20000};
        FD_ZERO(&set);
        FD_SET(listener, &set);
        if (count < MOST && select(0, &set, NULL, NULL, &wait) == 1) {
            CLIENT *c = &Clients[count++];
            c->s = accept(listener, NULL, NULL);
            CreateIoCompletionPort((HANDLE)c->s, port, 0, 0);
            Receive(c);
        }
    }
    for (i = 0; i < count; i++) {
        closesocket(Clients[i].s);
        while (!HasOverlappedIoCompleted(&Clients[i].ol))
            Sleep(0);
    }
    printf("all %d have completed\n", count);
    closesocket(listener);
    CloseHandle(worker);
    CloseHandle(port);
    WSACleanup();
    return 0;
}
