// C++20 coroutines whose awaiters are OVERLAPPEDs: each connection is a function that reads lines and turns them round.
#include "listener.h"
#include <windows.h>
#include <algorithm>
#include <coroutine>
#include <exception>
#include <string>

struct Task
{
    struct promise_type
    {
        Task get_return_object() { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
    };
};

struct Awaiter : OVERLAPPED
{
    std::coroutine_handle<> waiting;
    DWORD bytes = 0;
    DWORD error = 0;

    Awaiter() : OVERLAPPED{} {}
    bool await_ready() const noexcept { return false; }
    DWORD await_resume() const noexcept { return error == 0 ? bytes : 0; }
};

struct Recv : Awaiter
{
    SOCKET s;
    WSABUF wsa;

    Recv(SOCKET socket, char *buffer, ULONG length) : s(socket), wsa{length, buffer} {}
    bool await_suspend(std::coroutine_handle<> handle)
    {
        waiting = handle;
        DWORD flags = 0;
        // After this the awaiter may be gone already: another thread may have resumed it.
        int result = WSARecv(s, &wsa, 1, NULL, &flags, this, NULL);
        if (result == SOCKET_ERROR && WSAGetLastError() != WSA_IO_PENDING) {
            error = WSAGetLastError();
            return false;
        }
        return true;
    }
};

struct Send : Awaiter
{
    SOCKET s;
    WSABUF wsa;

    Send(SOCKET socket, std::string &text) : s(socket), wsa{(ULONG)text.size(), text.data()} {}
    bool await_suspend(std::coroutine_handle<> handle)
    {
        waiting = handle;
        int result = WSASend(s, &wsa, 1, NULL, 0, this, NULL);
        if (result == SOCKET_ERROR && WSAGetLastError() != WSA_IO_PENDING) {
            error = WSAGetLastError();
            return false;
        }
        return true;
    }
};

static Task Serve(SOCKET s)
{
    std::string line;
    char buffer[256];
    while (DWORD bytes = co_await Recv(s, buffer, sizeof(buffer))) {
        for (DWORD i = 0; i < bytes; i++) {
            if (buffer[i] != '\n') {
                line += buffer[i];
                continue;
            }
            std::string answer(line.rbegin(), line.rend());
            answer += '\n';
            line.clear();
            if (co_await Send(s, answer) == 0)
                break;
        }
    }
    closesocket(s);
}

int main(int argc, char **argv)
{
    SOCKET listener = Listen(argc, argv);
    HANDLE port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
    for (int i = 0; i < 2; i++) {
        HANDLE thread = CreateThread(
            NULL, 0,
            [](LPVOID port) -> DWORD {
                OVERLAPPED_ENTRY entries[16];
                ULONG count;
                while (GetQueuedCompletionStatusEx(port, entries, 16, &count, INFINITE, FALSE))
                    for (ULONG n = 0; n < count; n++) {
                        Awaiter *awaiter = static_cast<Awaiter *>(entries[n].lpOverlapped);
                        awaiter->bytes = entries[n].dwNumberOfBytesTransferred;
                        awaiter->error = (DWORD)entries[n].lpOverlapped->Internal;
                        awaiter->waiting.resume();
                    }
                return 0;
            },
            port, 0, NULL);
        CloseHandle(thread);
    }
    for (;;) {
        SOCKET s = accept(listener, NULL, NULL);
        if (s == INVALID_SOCKET)
            return 1;
        CreateIoCompletionPort((HANDLE)s, port, 0, 0);
        Serve(s);
    }
}
