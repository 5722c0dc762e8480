/* Echo in plain C: two operations under way on each socket, one that receives and one that sends, each with a
   buffer; what one has received it sends, while the other receives. Workers are _beginthreadex's. */
#include "listener.h"
#include <windows.h>
#include <process.h>

#define BUFSIZE 4096
#define WORKERS 4

typedef enum { FREE, RECEIVING, WAITING, SENDING } STATE;

typedef struct _IO {
    OVERLAPPED ol;
    WSABUF wsa;
    STATE state;
    char data[BUFSIZE];
} IO, *PIO;

typedef struct _CLIENT {
    SOCKET s;
    IO io[2];
    BOOL ended;
    LONG uses; /* operations under way, and whoever is at it */
    CRITICAL_SECTION cs;
} CLIENT, *PCLIENT;

static void Release(PCLIENT c)
{
    if (InterlockedDecrement(&c->uses) == 0) {
        closesocket(c->s);
        DeleteCriticalSection(&c->cs);
        HeapFree(GetProcessHeap(), 0, c);
    }
}

static PIO Find(PCLIENT c, STATE state)
{
    int i;
    for (i = 0; i < 2; i++)
        if (c->io[i].state == state)
            return &c->io[i];
    return NULL;
}

/* Starts what can be started. The critical section is entered. */
static void Next(PCLIENT c)
{
    PIO io;
    DWORD bytes = 0, flags = 0;
    int result;

    if (!Find(c, SENDING) && (io = Find(c, WAITING)) != NULL) {
        io->state = SENDING;
        ZeroMemory(&io->ol, sizeof(io->ol));
        InterlockedIncrement(&c->uses);
        result = WSASend(c->s, &io->wsa, 1, &bytes, 0, &io->ol, NULL);
        if (result == SOCKET_ERROR && WSAGetLastError() != WSA_IO_PENDING) {
            c->ended = TRUE;
            InterlockedDecrement(&c->uses);
        }
    }
    if (!c->ended && !Find(c, RECEIVING) && (io = Find(c, FREE)) != NULL) {
        io->state = RECEIVING;
        ZeroMemory(&io->ol, sizeof(io->ol));
        io->wsa.buf = io->data;
        io->wsa.len = BUFSIZE;
        InterlockedIncrement(&c->uses);
        result = WSARecv(c->s, &io->wsa, 1, &bytes, &flags, &io->ol, NULL);
        if (result == SOCKET_ERROR && WSAGetLastError() != WSA_IO_PENDING) {
            c->ended = TRUE;
            InterlockedDecrement(&c->uses);
        }
    }
}

static unsigned __stdcall Worker(void *param)
{
    HANDLE port = (HANDLE)param;
    for (;;) {
        DWORD bytes = 0;
        ULONG_PTR key = 0;
        LPOVERLAPPED ol = NULL;
        BOOL ok = GetQueuedCompletionStatus(port, &bytes, &key, &ol, INFINITE);
        PCLIENT c = (PCLIENT)key;
        PIO io;

        if (ol == NULL)
            return 1;
        io = CONTAINING_RECORD(ol, IO, ol);
        EnterCriticalSection(&c->cs);
        if (io->state == SENDING) {
            io->state = FREE;
        } else {
            io->state = bytes != 0 ? WAITING : FREE;
            io->wsa.len = bytes;
        }
        if (!ok || bytes == 0)
            c->ended = TRUE;
        Next(c);
        LeaveCriticalSection(&c->cs);
        Release(c);
    }
}

int main(int argc, char *argv[])
{
    SOCKET listener = Listen(argc, argv);
    HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
    int i;

    for (i = 0; i < WORKERS; i++) {
        unsigned id;
        HANDLE thread = (HANDLE)_beginthreadex(NULL, 0, Worker, port, 0, &id);
        CloseHandle(thread);
    }
    for (;;) {
        SOCKADDR_IN from;
        int len = sizeof(from);
        PCLIENT c;
        SOCKET s = accept(listener, (SOCKADDR *)&from, &len);
        if (s == INVALID_SOCKET)
            break;
        c = (PCLIENT)HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, sizeof(CLIENT));
        c->s = s;
        c->uses = 1;
        InitializeCriticalSection(&c->cs);
        CreateIoCompletionPort((HANDLE)s, port, (ULONG_PTR)c, 0);
        EnterCriticalSection(&c->cs);
        Next(c);
        LeaveCriticalSection(&c->cs);
        Release(c);
    }
    printf("accept failed: %d\n", WSAGetLastError());
    return 1;
}
