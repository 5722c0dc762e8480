/* How workers are stopped: by packets without an OVERLAPPED, one for each, or by closing the port (second argument
   "post" or "close"). A client's connection is what it is stopped by, and is told what the workers said. */
#include "listener.h"
#include <Windows.h>

#define WORKERS 4

static HANDLE Port;
static LONG Posted, Abandoned, Other;

static DWORD WINAPI Worker(LPVOID param)
{
    for (;;) {
        DWORD bytes = 0;
        ULONG_PTR key = 0;
        LPOVERLAPPED ol = NULL;
        BOOL ok = GetQueuedCompletionStatus((HANDLE)param, &bytes, &key, &ol, INFINITE);
        if (ok && ol == NULL && key == 0) {
            InterlockedIncrement(&Posted);
            return 0;
        }
        if (!ok && ol == NULL) {
            InterlockedIncrement(GetLastError() == ERROR_ABANDONED_WAIT_0 ? &Abandoned : &Other);
            return 1;
        }
    }
}

int main(int argc, char **argv)
{
    SOCKET listener = Listen(argc, argv), s;
    HANDLE threads[WORKERS];
    DWORD code, i;
    char text[100];
    BOOL close = argc > 2 && strcmp(argv[2], "close") == 0;

    Port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 2);
    for (i = 0; i < WORKERS; i++) {
        threads[i] = CreateThread(NULL, 0, Worker, Port, 0, NULL);
        if (threads[i] == NULL)
            return 1;
    }
    s = accept(listener, NULL, NULL);
    Sleep(100); /* so that workers wait by then; nothing depends on it */
    if (close) {
        CloseHandle(Port);
    } else {
        for (i = 0; i < WORKERS; i++)
            PostQueuedCompletionStatus(Port, 0, 0, NULL);
    }
    if (WaitForMultipleObjects(WORKERS, threads, TRUE, 5000) == WAIT_TIMEOUT)
        Other += 1000;
    GetExitCodeThread(threads[0], &code);
    sprintf(text, "posted %ld abandoned %ld other %ld code %lu\n", Posted, Abandoned, Other, code);
    send(s, text, (int)strlen(text), 0);
    closesocket(s);
    closesocket(listener);
    if (!close)
        CloseHandle(Port);
    WSACleanup();
    return 0;
}
