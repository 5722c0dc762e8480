/* Chapter 3: how many threads run, and which. Times are only waited for, never compared. */
#include "clause.h"

typedef struct _WORKER {
    HANDLE port, thread, got, go;
    DWORD bytes; /* of the packet that it got; a wait that ended without one is 0 */
    BOOL spin;
    volatile LONG stop;
} WORKER;

static DWORD WINAPI Work(LPVOID parameter)
{
    WORKER *worker = parameter;
    for (;;) {
        PACKET packet = Get(worker->port, INFINITE);
        worker->bytes = packet.ok ? packet.bytes : 0;
        SetEvent(worker->got);
        if (!packet.ok || packet.bytes == 0)
            return 0;
        if (worker->spin)
            while (!worker->stop)
                ;
        else
            WaitForSingleObject(worker->go, INFINITE);
    }
}

static void StartWorker(WORKER *worker, HANDLE port, BOOL spin)
{
    memset(worker, 0, sizeof(*worker));
    worker->port = port;
    worker->spin = spin;
    worker->got = CreateEventA(NULL, FALSE, FALSE, NULL);
    worker->go = CreateEventA(NULL, FALSE, FALSE, NULL);
    worker->thread = CreateThread(NULL, 0, Work, worker, 0, NULL);
}

static void EndWorker(WORKER *worker)
{
    worker->stop = 1;
    SetEvent(worker->go);
    PostQueuedCompletionStatus(worker->port, 0, 0, NULL);
}

static void JoinWorker(WORKER *worker)
{
    WaitForSingleObject(worker->thread, SOON);
    CloseHandle(worker->thread);
    CloseHandle(worker->got);
    CloseHandle(worker->go);
}

static BOOL Got(WORKER *worker, DWORD timeout)
{
    return WaitForSingleObject(worker->got, timeout) == WAIT_OBJECT_0;
}

static void cc_2(void)
{
    WORKER first, second;
    HANDLE port = Port(8);
    StartWorker(&first, port, FALSE);
    Sleep(2 * NOTHING);
    StartWorker(&second, port, FALSE);
    Sleep(2 * NOTHING);
    PostQueuedCompletionStatus(port, 1, 0, NULL);
    CHECK(Got(&second, SOON) && second.bytes == 1);
    PostQueuedCompletionStatus(port, 2, 0, NULL);
    CHECK(Got(&first, SOON) && first.bytes == 2);
    EndWorker(&first);
    EndWorker(&second);
    JoinWorker(&first);
    JoinWorker(&second);
    CloseHandle(port);
}

static void cc_6(void)
{
    WORKER busy;
    HANDLE port = Port(1);
    StartWorker(&busy, port, TRUE);
    PostQueuedCompletionStatus(port, 1, 0, NULL);
    CHECK(Got(&busy, SOON));
    PostQueuedCompletionStatus(port, 2, 0, NULL);
    CHECK(Get(port, 0).error == WAIT_TIMEOUT);
    EndWorker(&busy);
    JoinWorker(&busy);
    CloseHandle(port);
}

static void cc_8(void)
{
    WORKER one, other;
    HANDLE port = Port(1);
    StartWorker(&one, port, FALSE);
    StartWorker(&other, port, FALSE);
    PostQueuedCompletionStatus(port, 1, 0, NULL);
    PostQueuedCompletionStatus(port, 2, 0, NULL);
    /* Whoever has the first waits for its event; that lets the other have the second. */
    CHECK(Got(&one, SOON) && Got(&other, SOON));
    CHECK(one.bytes + other.bytes == 3);
    EndWorker(&one);
    EndWorker(&other);
    JoinWorker(&one);
    JoinWorker(&other);
    CloseHandle(port);
}

static DWORD WINAPI LeaveForAnother(LPVOID parameter)
{
    HANDLE *handles = parameter;
    Get(handles[0], SOON);
    SetEvent(handles[2]);
    return Get(handles[1], SOON).bytes;
}

static void cc_10(void)
{
    /* Two ports and an event. */
    HANDLE ports[3], thread;
    ports[0] = Port(1);
    ports[1] = Port(1);
    ports[2] = CreateEventA(NULL, TRUE, FALSE, NULL);
    PostQueuedCompletionStatus(ports[0], 1, 0, NULL);
    thread = CreateThread(NULL, 0, LeaveForAnother, ports, 0, NULL);
    CHECK(WaitForSingleObject(ports[2], SOON) == WAIT_OBJECT_0);
    /* It has taken the first packet and is bound to its port; once it waits on the other, its place is free. */
    PostQueuedCompletionStatus(ports[0], 2, 0, NULL);
    CHECK(Get(ports[0], SOON).bytes == 2);
    PostQueuedCompletionStatus(ports[1], 3, 0, NULL);
    WaitForSingleObject(thread, SOON);
    CloseHandle(thread);
    CloseHandle(ports[0]);
    CloseHandle(ports[1]);
    CloseHandle(ports[2]);
}

static DWORD WINAPI TakeAndEnd(LPVOID port)
{
    return Get((HANDLE)port, SOON).bytes;
}

static void cc_10_exit(void)
{
    HANDLE port = Port(1), thread;
    PostQueuedCompletionStatus(port, 1, 0, NULL);
    thread = CreateThread(NULL, 0, TakeAndEnd, port, 0, NULL);
    WaitForSingleObject(thread, SOON);
    CloseHandle(thread);
    PostQueuedCompletionStatus(port, 2, 0, NULL);
    CHECK(Get(port, SOON).bytes == 2);
    CloseHandle(port);
}

static LONG Taken;
static DWORD WINAPI Race(LPVOID port)
{
    for (;;) {
        PACKET packet = Get((HANDLE)port, 1);
        if (packet.ok && packet.bytes == 0)
            return 0;
        if (packet.ok)
            InterlockedIncrement(&Taken);
    }
}

static void cc_11(void)
{
    HANDLE port = Port(0), threads[3];
    int i;
    Taken = 0;
    for (i = 0; i < 3; i++)
        threads[i] = CreateThread(NULL, 0, Race, port, 0, NULL);
    for (i = 0; i < 300; i++) {
        PostQueuedCompletionStatus(port, 1, 0, NULL);
        Sleep(i % 3);
    }
    for (i = 0; i < 3; i++)
        PostQueuedCompletionStatus(port, 0, 0, NULL);
    WaitForMultipleObjects(3, threads, TRUE, 2 * SOON);
    CHECK(Taken == 300, "%ld", Taken);
    for (i = 0; i < 3; i++)
        CloseHandle(threads[i]);
    CloseHandle(port);
}

static void cc_12(void)
{
    HANDLE port = Port(1);
    OVERLAPPED_ENTRY entries[8];
    ULONG count;
    int i;
    for (i = 0; i < 8; i++)
        PostQueuedCompletionStatus(port, 1, 0, NULL);
    CHECK(GetQueuedCompletionStatusEx(port, entries, 8, &count, SOON, FALSE) && count == 8);
    CloseHandle(port);
}

int main(void)
{
    Start();
    RUN("CC-2", cc_2);
    RUN("CC-6", cc_6);
    RUN("CC-8", cc_8);
    RUN("CC-10", cc_10);
    RUN("CC-10 (exit)", cc_10_exit);
    RUN("CC-11", cc_11);
    RUN("CC-12", cc_12);
    return 0;
}
