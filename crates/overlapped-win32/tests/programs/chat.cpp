// Chat: what one says, all hear, under one critical section that is entered three deep. The main thread waits for
// 64 handles: an event that "/quit" sets, and 63 workers.
#include "listener.h"
#include <windows.h>
#include <process.h>
#include <list>
#include <string>

#define WORKERS (MAXIMUM_WAIT_OBJECTS - 1)

struct Member
{
    OVERLAPPED ol;
    SOCKET s;
    std::string line;
    char buffer[256];
};

static HANDLE Port, Stop;
static SOCKET Listener;
static CRITICAL_SECTION Lock;
static std::list<Member *> Members;

static void Say(Member *to, const std::string &text)
{
    EnterCriticalSection(&Lock);
    send(to->s, text.data(), (int)text.size(), 0);
    LeaveCriticalSection(&Lock);
}

static void SayToAll(const std::string &text)
{
    EnterCriticalSection(&Lock);
    for (Member *member : Members)
        Say(member, text);
    LeaveCriticalSection(&Lock);
}

static void Leave(Member *member)
{
    EnterCriticalSection(&Lock);
    Members.remove(member);
    SayToAll("one has left\n");
    closesocket(member->s);
    LeaveCriticalSection(&Lock);
    delete member;
}

static bool Receive(Member *member)
{
    WSABUF wsa = {sizeof(member->buffer), member->buffer};
    DWORD flags = 0;
    ZeroMemory(&member->ol, sizeof(member->ol));
    return WSARecv(member->s, &wsa, 1, NULL, &flags, &member->ol, NULL) == 0 || WSAGetLastError() == WSA_IO_PENDING;
}

static unsigned __stdcall Worker(void *)
{
    for (;;) {
        DWORD bytes;
        ULONG_PTR key;
        LPOVERLAPPED ol;
        BOOL ok = GetQueuedCompletionStatus(Port, &bytes, &key, &ol, INFINITE);
        if (ol == NULL)
            return 0;
        Member *member = CONTAINING_RECORD(ol, Member, ol);
        if (!ok || bytes == 0) {
            Leave(member);
            continue;
        }
        for (DWORD i = 0; i < bytes; i++) {
            if (member->buffer[i] != '\n') {
                member->line += member->buffer[i];
                continue;
            }
            if (member->line == "/quit")
                SetEvent(Stop);
            else
                SayToAll(member->line + "\n");
            member->line.clear();
        }
        if (!Receive(member))
            Leave(member);
    }
}

static DWORD WINAPI Acceptor(LPVOID)
{
    for (;;) {
        SOCKET s = accept(Listener, NULL, NULL);
        if (s == INVALID_SOCKET)
            return WSAGetLastError();
        Member *member = new Member;
        member->s = s;
        CreateIoCompletionPort((HANDLE)s, Port, 0, 0);
        EnterCriticalSection(&Lock);
        Members.push_back(member);
        SayToAll("one has come\n");
        bool receiving = Receive(member);
        LeaveCriticalSection(&Lock);
        if (!receiving)
            Leave(member);
    }
}

int main(int argc, char **argv)
{
    InitializeCriticalSection(&Lock);
    Listener = Listen(argc, argv);
    Port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 0);
    Stop = CreateEvent(NULL, TRUE, FALSE, NULL);

    HANDLE handles[MAXIMUM_WAIT_OBJECTS];
    for (int i = 0; i < WORKERS; i++)
        handles[i] = (HANDLE)_beginthreadex(NULL, 0, Worker, NULL, 0, NULL);
    handles[WORKERS] = Stop;
    HANDLE acceptor = CreateThread(NULL, 0, Acceptor, NULL, 0, NULL);

    DWORD which = WaitForMultipleObjects(MAXIMUM_WAIT_OBJECTS, handles, FALSE, INFINITE);
    // Another thread is in accept; closing the listener ends that.
    closesocket(Listener);
    WaitForSingleObject(acceptor, INFINITE);
    DWORD error = 0;
    GetExitCodeThread(acceptor, &error);
    SayToAll("the end\n");
    for (int i = 0; i < WORKERS; i++)
        PostQueuedCompletionStatus(Port, 0, 0, NULL);
    WaitForMultipleObjects(WORKERS, handles, TRUE, INFINITE);
    while (!Members.empty()) {
        closesocket(Members.front()->s);
        Members.pop_front();
    }
    printf("stopped by handle %lu, accept ended: %s\n", which - WAIT_OBJECT_0, error != 0 ? "yes" : "no");
    return 0;
}
