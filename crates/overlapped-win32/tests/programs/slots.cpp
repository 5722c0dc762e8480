// Slots that accept by AcceptEx and are used again and again, and CancelIoEx: a client that says "bye" has what
// the server waits for from all others cancelled; they are told so.
#include "listener.h"
#include <MSWSock.h>
#include <Windows.h>
#include <algorithm>
#include <memory>
#include <set>
#include <vector>

static LPFN_ACCEPTEX AcceptExFn;
static LPFN_GETACCEPTEXSOCKADDRS GetAcceptExSockaddrsFn;
static HANDLE Port;
static SOCKET Listener;
static SRWLOCK Lock = SRWLOCK_INIT;

struct Locked
{
    Locked() { AcquireSRWLockExclusive(&Lock); }
    ~Locked() { ReleaseSRWLockExclusive(&Lock); }
};

class Slot : public OVERLAPPED
{
public:
    enum State { Accepting, Receiving, Sending, Telling };

    void Accept()
    {
        socket_ = WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, NULL, 0, WSA_FLAG_OVERLAPPED);
        Begin(Accepting);
        DWORD bytes = 0;
        const DWORD address = sizeof(SOCKADDR_IN) + 16;
        if (!AcceptExFn(Listener, socket_, buffer_, 0, address, address, &bytes, this) &&
            WSAGetLastError() != ERROR_IO_PENDING)
            printf("AcceptEx failed: %d\n", WSAGetLastError());
    }

    void Complete(BOOL ok, DWORD bytes)
    {
        switch (state_) {
        case Accepting: {
            if (!ok)
                return;
            setsockopt(socket_, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (char *)&Listener, sizeof(Listener));
            SOCKADDR *local = NULL, *remote = NULL;
            int localLength = 0, remoteLength = 0;
            const DWORD address = sizeof(SOCKADDR_IN) + 16;
            GetAcceptExSockaddrsFn(buffer_, 0, address, address, &local, &localLength, &remote, &remoteLength);
            SOCKADDR_IN peer;
            int length = sizeof(peer);
            getpeername(socket_, (SOCKADDR *)&peer, &length);
            CreateIoCompletionPort((HANDLE)socket_, Port, 0, 0);
            bool same = ((SOCKADDR_IN *)remote)->sin_port == peer.sin_port;
            Tell(same ? "welcome\n" : "who are you?\n", Sending);
            return;
        }
        case Receiving:
            if (!ok && GetLastError() == ERROR_OPERATION_ABORTED)
                Tell("cancelled\n", Telling);
            else if (!ok || bytes == 0)
                Again();
            else if (bytes >= 3 && memcmp(buffer_, "bye", 3) == 0)
                CancelOthers();
            else
                Send(bytes, Sending);
            return;
        case Sending:
            ok ? Receive() : Again();
            return;
        case Telling:
            Again();
            return;
        }
    }

private:
    void Begin(State state)
    {
        ZeroMemory(static_cast<OVERLAPPED *>(this), sizeof(OVERLAPPED));
        state_ = state;
    }

    void Receive()
    {
        Begin(Receiving);
        WSABUF wsa = {sizeof(buffer_), buffer_};
        DWORD flags = 0;
        Locked lock;
        receiving.insert(this);
        if (WSARecv(socket_, &wsa, 1, NULL, &flags, this, NULL) == SOCKET_ERROR && WSAGetLastError() != WSA_IO_PENDING) {
            receiving.erase(this);
            PostQueuedCompletionStatus(Port, 0, 0, this);
        }
    }

    void Send(DWORD bytes, State state)
    {
        Begin(state);
        WSABUF wsa = {bytes, buffer_};
        if (WSASend(socket_, &wsa, 1, NULL, 0, this, NULL) == SOCKET_ERROR && WSAGetLastError() != WSA_IO_PENDING)
            Again();
    }

    void Tell(const char *text, State state)
    {
        strcpy_s(buffer_, sizeof(buffer_), text);
        Send((DWORD)strlen(text), state);
    }

    void CancelOthers()
    {
        {
            Locked lock;
            for (Slot *other : receiving)
                if (other != this)
                    CancelIoEx((HANDLE)other->socket_, other);
        }
        Tell("bye\n", Telling);
    }

    void Again()
    {
        {
            Locked lock;
            receiving.erase(this);
        }
        shutdown(socket_, SD_SEND);
        closesocket(socket_);
        Accept();
    }

    SOCKET socket_ = INVALID_SOCKET;
    State state_ = Accepting;
    char buffer_[1024];

    static std::set<Slot *> receiving;
    friend void Work();
};
std::set<Slot *> Slot::receiving;

void Work()
{
    for (;;) {
        DWORD bytes;
        ULONG_PTR key;
        OVERLAPPED *overlapped;
        BOOL ok = GetQueuedCompletionStatus(Port, &bytes, &key, &overlapped, INFINITE);
        if (overlapped == nullptr)
            return;
        DWORD error = GetLastError();
        Slot *slot = static_cast<Slot *>(overlapped);
        {
            Locked lock;
            Slot::receiving.erase(slot);
        }
        SetLastError(error);
        slot->Complete(ok, bytes);
    }
}

template <class Function> static bool Extension(GUID guid, Function &function)
{
    DWORD bytes = 0;
    return WSAIoctl(Listener, SIO_GET_EXTENSION_FUNCTION_POINTER, &guid, sizeof(guid), &function, sizeof(function),
                    &bytes, NULL, NULL) == 0;
}

int main(int argc, char **argv)
{
    Listener = Listen(argc, argv);
    if (!Extension(WSAID_ACCEPTEX, AcceptExFn) || !Extension(WSAID_GETACCEPTEXSOCKADDRS, GetAcceptExSockaddrsFn)) {
        printf("no extension functions: %d\n", WSAGetLastError());
        return 1;
    }
    Port = CreateIoCompletionPort((HANDLE)Listener, NULL, 0, 0);
    std::vector<std::unique_ptr<Slot>> slots;
    for (int i = 0; i < 8; i++) {
        slots.push_back(std::make_unique<Slot>());
        slots.back()->Accept();
    }
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    DWORD workers = std::max(info.dwNumberOfProcessors, (DWORD)2);
    std::vector<HANDLE> threads;
    for (DWORD i = 0; i < workers; i++)
        threads.push_back(CreateThread(NULL, 0, [](LPVOID) -> DWORD { Work(); return 0; }, NULL, 0, NULL));
    WaitForMultipleObjects((DWORD)threads.size(), threads.data(), TRUE, INFINITE);
    return 0;
}
