/* A connection of which one end is associated with a port. */
#pragma once
#include "clause.h"

#define KEY 42

/* An OVERLAPPED is static where its operation may outlive the function: here, or where it should have been
   refused. */

static PAIR Pair;
static HANDLE Queue;
static char Buffer[256];

static void Open(void)
{
    DWORD timeout = SOON;
    Pair = Connected();
    setsockopt(Pair.one, SOL_SOCKET, SO_RCVTIMEO, (char *)&timeout, sizeof(timeout));
    setsockopt(Pair.other, SOL_SOCKET, SO_RCVTIMEO, (char *)&timeout, sizeof(timeout));
    Queue = Port(0);
    CreateIoCompletionPort((HANDLE)Pair.one, Queue, KEY, 0);
}

static void Close(void)
{
    ClosePair(&Pair);
    CloseHandle(Queue);
}

/* Nothing is queued, and nothing comes. */
static BOOL IsEmpty(HANDLE port)
{
    PACKET packet = Get(port, NOTHING);
    return !packet.ok && packet.overlapped == NULL && packet.error == WAIT_TIMEOUT;
}

/* Waits for something that nobody tells of. */
#define EVENTUALLY(condition) \
    do { \
        ULONGLONG until = GetTickCount64() + SOON; \
        while (!(condition) && GetTickCount64() < until) \
            Sleep(1); \
        CHECK(condition); \
    } while (0)

/* A thread that has ended; what it returned. */
static DWORD Joined(HANDLE thread)
{
    DWORD code = 0xdead;
    CHECK(WaitForSingleObject(thread, SOON) == WAIT_OBJECT_0);
    GetExitCodeThread(thread, &code);
    CloseHandle(thread);
    return code;
}

/* The peer gives the connection up. */
static void Reset(SOCKET s)
{
    struct linger hard = {1, 0};
    setsockopt(s, SOL_SOCKET, SO_LINGER, (char *)&hard, sizeof(hard));
    closesocket(s);
}

/* The extension function with this id. */
static void *Extension(SOCKET s, GUID id)
{
    void *function = NULL;
    DWORD bytes;
    WSAIoctl(s, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof(id), &function, sizeof(function), &bytes, NULL, NULL);
    return function;
}

/* Receives all of `length` bytes, and waits for them, each time no longer than that; how many there were. */
static int ReceiveWithin(DWORD timeout, SOCKET s, char *to, int length)
{
    int all = 0, got;
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, (char *)&timeout, sizeof(timeout));
    while (all < length && (got = recv(s, to + all, length - all, 0)) > 0)
        all += got;
    return all;
}

static int Receive(SOCKET s, char *to, int length)
{
    return ReceiveWithin(SOON, s, to, length);
}
