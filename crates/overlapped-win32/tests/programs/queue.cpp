// A queue of sends for each client, chained on their completions: "n text" is answered by n lines of the text, each a
// send of its own, at most one of them under way.
#include "listener.h"
#include <windows.h>
#include <algorithm>
#include <deque>
#include <string>

struct Connection;

struct Operation : OVERLAPPED
{
    Connection *connection;
    bool sending;
};

struct Connection
{
    SOCKET s;
    LONG references;
    CRITICAL_SECTION lock;
    std::deque<std::string> sends;
    std::string line;
    Operation receive, send;
    char buffer[512];

    explicit Connection(SOCKET socket) : s(socket), references(1)
    {
        InitializeCriticalSectionAndSpinCount(&lock, 4000);
        receive.connection = send.connection = this;
        receive.sending = false;
        send.sending = true;
    }

    ~Connection()
    {
        closesocket(s);
        DeleteCriticalSection(&lock);
    }

    void Release()
    {
        if (InterlockedDecrement(&references) == 0)
            delete this;
    }

    void Receive()
    {
        WSABUF wsa = {sizeof(buffer), buffer};
        DWORD flags = 0, bytes;
        memset(static_cast<OVERLAPPED *>(&receive), 0, sizeof(OVERLAPPED));
        InterlockedIncrement(&references);
        if (WSARecv(s, &wsa, 1, &bytes, &flags, &receive, NULL) == SOCKET_ERROR && WSAGetLastError() != WSA_IO_PENDING)
            Release();
    }

    // With the lock.
    void SendFirst()
    {
        WSABUF wsa = {(ULONG)sends.front().size(), &sends.front()[0]};
        DWORD bytes;
        memset(static_cast<OVERLAPPED *>(&send), 0, sizeof(OVERLAPPED));
        InterlockedIncrement(&references);
        if (WSASend(s, &wsa, 1, &bytes, 0, &send, NULL) == SOCKET_ERROR && WSAGetLastError() != WSA_IO_PENDING)
            Release();
    }

    void Queue(std::string text)
    {
        EnterCriticalSection(&lock);
        sends.push_back(std::move(text));
        if (sends.size() == 1)
            SendFirst();
        LeaveCriticalSection(&lock);
    }

    void Received(DWORD bytes)
    {
        for (DWORD i = 0; i < bytes; i++) {
            if (buffer[i] != '\n') {
                line += buffer[i];
                continue;
            }
            size_t space = line.find(' ');
            int times = std::min(atoi(line.c_str()), 10000);
            for (int n = 0; n < times && space != std::string::npos; n++)
                Queue(line.substr(space + 1) + "\n");
            line.clear();
        }
    }

    void Sent()
    {
        EnterCriticalSection(&lock);
        sends.pop_front();
        if (!sends.empty())
            SendFirst();
        LeaveCriticalSection(&lock);
    }
};

static DWORD WINAPI Worker(LPVOID parameter)
{
    for (;;) {
        DWORD bytes;
        DWORD_PTR key;
        LPOVERLAPPED overlapped;
        BOOL ok = GetQueuedCompletionStatus(parameter, &bytes, (PDWORD_PTR)&key, &overlapped, INFINITE);
        if (!overlapped)
            return 0;
        Operation *operation = static_cast<Operation *>(overlapped);
        Connection *connection = operation->connection;
        if (ok && operation->sending) {
            connection->Sent();
        } else if (ok && bytes > 0) {
            connection->Received(bytes);
            connection->Receive();
        }
        connection->Release();
    }
}

int main(int argc, char **argv)
{
    SOCKET listener = Listen(argc, argv);
    HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
    for (int i = 0; i < 3; i++)
        CloseHandle(CreateThread(NULL, 0, Worker, port, 0, NULL));
    for (;;) {
        SOCKET s = WSAAccept(listener, NULL, NULL, NULL, 0);
        if (s == INVALID_SOCKET)
            return 1;
        Connection *connection = new Connection(s);
        CreateIoCompletionPort((HANDLE)s, port, (ULONG_PTR)connection, 0);
        connection->Receive();
        connection->Release();
    }
}
