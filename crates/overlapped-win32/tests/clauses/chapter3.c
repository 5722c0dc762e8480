/* Chapter 3: how many threads run, and which. Times are only waited for, never compared.

   Who computes must not count as blocked, so workers that do tell of it in variables that are polled, and
   call nothing meanwhile. */
#include "clause.h"
#include <stdlib.h>

/* What a worker does with a packet; the packet's key. */
enum {
    RETURN, /* nothing */
    COMPUTE, /* until it is released */
    BLOCK, /* waits for its event, then computes until it is released */
    YIELD, /* calls that do not wait, until it is released */
    LEAVE, /* computes until it is released, then goes over to its other port */
    EXIT /* computes until it is released, then ends */
};

typedef struct _WORKER {
    HANDLE port, other, thread, go;
    volatile LONG taken, back, yields, released;
    volatile DWORD last; /* the bytes of the packet that it took last */
} WORKER;

static DWORD WINAPI Work(LPVOID parameter)
{
    WORKER *worker = parameter;
    for (;;) {
        PACKET packet = Get(worker->port, INFINITE);
        LONG number;
        if (!packet.ok || packet.bytes == 0)
            return 0;
        worker->last = packet.bytes;
        number = InterlockedIncrement(&worker->taken);
        if (packet.key == RETURN)
            continue;
        if (packet.key == BLOCK) {
            WaitForSingleObject(worker->go, INFINITE);
            InterlockedIncrement(&worker->back);
        }
        while (worker->released < number)
            if (packet.key == YIELD) {
                WaitForSingleObject(worker->go, 0);
                Sleep(0);
                SwitchToThread();
                InterlockedIncrement(&worker->yields);
            }
        /* Unless it is to end: that is told at the port where it was. */
        if (packet.key == LEAVE && worker->released != MAXLONG)
            worker->port = worker->other;
        if (packet.key == EXIT)
            return 0;
    }
}

/* Workers are never freed: one that does not end, which is a failure, goes on using its structure. */
static WORKER *StartWorker(HANDLE port)
{
    WORKER *worker = calloc(1, sizeof(*worker));
    worker->port = port;
    worker->go = CreateEventA(NULL, TRUE, FALSE, NULL);
    worker->thread = CreateThread(NULL, 0, Work, worker, 0, NULL);
    return worker;
}

static void StartWorkers(WORKER **workers, int count, HANDLE port)
{
    int i;
    for (i = 0; i < count; i++)
        workers[i] = StartWorker(port);
    /* Probably they wait then. */
    Sleep(2 * NOTHING);
}

static void EndWorkers(WORKER **workers, int count)
{
    int i;
    for (i = 0; i < count; i++) {
        workers[i]->released = MAXLONG;
        SetEvent(workers[i]->go);
    }
    for (i = 0; i < count; i++)
        PostQueuedCompletionStatus(workers[i]->port, 0, 0, NULL);
    for (i = 0; i < count; i++) {
        CHECK(WaitForSingleObject(workers[i]->thread, SOON) == WAIT_OBJECT_0, "worker %d does not end", i);
        CloseHandle(workers[i]->thread);
        CloseHandle(workers[i]->go);
    }
}

static void Release(WORKER *worker)
{
    worker->released = worker->taken;
}

static BOOL Post(HANDLE port, DWORD bytes, ULONG_PTR what)
{
    return PostQueuedCompletionStatus(port, bytes, what, NULL);
}

/* All that several have taken. */
static LONG Taken(WORKER **workers, int count)
{
    LONG taken = 0;
    int i;
    for (i = 0; i < count; i++)
        taken += workers[i]->taken;
    return taken;
}

/* Whoever has taken this one last. */
static WORKER *Who(WORKER **workers, int count, DWORD bytes)
{
    int i;
    for (i = 0; i < count; i++)
        if (workers[i]->last == bytes)
            return workers[i];
    return NULL;
}

/* Nothing is waited for any more when something has gone wrong. */
#define EVENTUALLY(condition) \
    do { \
        int waited; \
        for (waited = 0; Detail[0] == 0 && waited < SOON && !(condition); waited++) \
            Sleep(1); \
        CHECK(condition, "it did not become so"); \
    } while (0)

/* A look at a port finds nothing, whatever is queued. */
static BOOL NothingToTake(HANDLE port)
{
    PACKET packet = Get(port, 0);
    return !packet.ok && packet.overlapped == NULL && packet.error == WAIT_TIMEOUT;
}

/* So many compute at once in a port of this value, and one more if there are packets for it does not. */
static void Computing(DWORD value, int expected)
{
    HANDLE port = Port(value);
    int count = expected + 1, i;
    WORKER **workers = calloc(count, sizeof(*workers));
    StartWorkers(workers, count, port);
    for (i = 0; i < count; i++)
        Post(port, 1 + i, COMPUTE);
    EVENTUALLY(Taken(workers, count) >= expected);
    CHECK(NothingToTake(port));
    Sleep(NOTHING);
    CHECK(Taken(workers, count) == expected, "%ld compute", Taken(workers, count));
    Release(Who(workers, count, 1) ? Who(workers, count, 1) : workers[0]);
    EVENTUALLY(Taken(workers, count) >= count);
    EndWorkers(workers, count);
    CloseHandle(port);
    free(workers);
}

static void cc_1(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    Computing(0, info.dwNumberOfProcessors);
    Computing(1, 1);
    Computing(info.dwNumberOfProcessors + 2, info.dwNumberOfProcessors + 2);
}

static void cc_2(void)
{
    WORKER *workers[3];
    HANDLE port = Port(8);
    int i;
    for (i = 0; i < 3; i++)
        StartWorkers(workers + i, 1, port);
    Post(port, 1, COMPUTE);
    Post(port, 2, COMPUTE);
    Post(port, 3, COMPUTE);
    EVENTUALLY(Taken(workers, 3) >= 3);
    CHECK(workers[2]->last == 1 && workers[1]->last == 2 && workers[0]->last == 3, "%lu %lu %lu", workers[2]->last,
          workers[1]->last, workers[0]->last);
    /* In the order in which they come back, and not in that of their making. */
    for (i = 0; i < 3; i++) {
        Release(workers[i]);
        Sleep(2 * NOTHING);
    }
    Post(port, 4, COMPUTE);
    EVENTUALLY(Taken(workers, 3) >= 4);
    CHECK(workers[2]->last == 4);
    EndWorkers(workers, 3);
    CloseHandle(port);
}

typedef struct _VISITOR {
    HANDLE first, second;
    volatile LONG at, released;
} VISITOR;

/* The thread is at this place of its way, and computes until it is released. */
static void Arrive(VISITOR *visitor, LONG at)
{
    visitor->at = at;
    while (visitor->released < at)
        ;
}

static DWORD WINAPI Visit(LPVOID parameter)
{
    VISITOR *visitor = parameter;
    Post(visitor->first, 1, RETURN);
    Arrive(visitor, 1);
    Get(visitor->first, 0);
    Arrive(visitor, 2);
    Get(visitor->second, 0);
    Arrive(visitor, 3);
    Get(visitor->second, 0);
    return 0;
}

/* A post binds nobody, a look does; a look at another port binds to that one, and to no other. */
static void cc_3(void)
{
    static VISITOR visitor;
    HANDLE thread;
    visitor.first = Port(1);
    visitor.second = Port(1);
    thread = CreateThread(NULL, 0, Visit, &visitor, 0, NULL);
    EVENTUALLY(visitor.at == 1);
    CHECK(Get(visitor.first, 0).bytes == 1, "who posts was bound");
    /* So that this thread does not count there any more. */
    Get(visitor.second, 0);
    visitor.released = 1;
    EVENTUALLY(visitor.at == 2);
    Post(visitor.first, 2, RETURN);
    CHECK(NothingToTake(visitor.first), "who looked was not bound");
    Post(visitor.second, 3, RETURN);
    CHECK(Get(visitor.second, 0).bytes == 3, "it was bound to the other port, too");
    Get(visitor.first, 0);
    visitor.released = 2;
    EVENTUALLY(visitor.at == 3);
    CHECK(Get(visitor.first, 0).bytes == 2, "it was still bound");
    Post(visitor.second, 4, RETURN);
    CHECK(NothingToTake(visitor.second), "it was not bound to the other port");
    /* The port that this thread is bound to ends, and it goes on elsewhere. */
    CloseHandle(visitor.first);
    visitor.released = 3;
    CHECK(WaitForSingleObject(thread, SOON) == WAIT_OBJECT_0);
    Post(visitor.second, 5, RETURN);
    CHECK(Get(visitor.second, SOON).ok);
    CloseHandle(thread);
    CloseHandle(visitor.second);
}

static VOID NTAPI Call(ULONG_PTR parameter)
{
    ++*(int *)parameter;
}

typedef struct _RETURNED {
    HANDLE port;
    int reason; /* 0: a packet, 1: no time left, 2: a call that was queued to it */
    volatile LONG is, released;
} RETURNED;

static DWORD WINAPI ReturnAndCompute(LPVOID parameter)
{
    RETURNED *returned = parameter;
    OVERLAPPED_ENTRY entry;
    ULONG count;
    int calls = 0;
    if (returned->reason == 0)
        Post(returned->port, 1, RETURN);
    CHECK(Get(returned->port, 0).ok == (returned->reason == 0));
    if (returned->reason == 2) {
        QueueUserAPC(Call, GetCurrentThread(), (ULONG_PTR)&calls);
        CHECK(!GetQueuedCompletionStatusEx(returned->port, &entry, 1, &count, SOON, TRUE) && calls == 1);
    }
    returned->is = 1;
    while (!returned->released)
        ;
    return 0;
}

/* Whatever a call came back for, its thread counts. */
static void cc_4(void)
{
    int reason;
    for (reason = 0; reason < 3 && Detail[0] == 0; reason++) {
        RETURNED *returned = calloc(1, sizeof(*returned));
        HANDLE thread;
        returned->port = Port(1);
        returned->reason = reason;
        thread = CreateThread(NULL, 0, ReturnAndCompute, returned, 0, NULL);
        EVENTUALLY(returned->is);
        Post(returned->port, 2, RETURN);
        CHECK(NothingToTake(returned->port), "reason %d", reason);
        returned->released = 1;
        CHECK(WaitForSingleObject(thread, SOON) == WAIT_OBJECT_0);
        CHECK(Detail[0] != 0 || Get(returned->port, SOON).bytes == 2, "reason %d", reason);
        CloseHandle(thread);
        CloseHandle(returned->port);
    }
}

/* One that loops takes packet after packet, the others sleep on. */
static void cc_5(void)
{
    WORKER *workers[4], *busy;
    HANDLE port = Port(1);
    DWORD i;
    StartWorkers(workers, 4, port);
    Post(port, 1, COMPUTE);
    EVENTUALLY(Taken(workers, 4) >= 1);
    busy = Who(workers, 4, 1);
    for (i = 2; i <= 41; i++)
        Post(port, i, RETURN);
    CHECK(Taken(workers, 4) == 1);
    if (busy != NULL) {
        Release(busy);
        EVENTUALLY(Taken(workers, 4) >= 41);
        CHECK(busy->taken == 41, "%ld", busy->taken);
    }
    EndWorkers(workers, 4);
    CloseHandle(port);
}

static void cc_6(void)
{
    WORKER *workers[2], *busy;
    PAIR pair = Connected();
    HANDLE port = Port(1);
    int i;
    /* PO-4: that value is ignored. */
    CHECK(CreateIoCompletionPort((HANDLE)pair.one, port, 0, 9) == port);
    StartWorkers(workers, 2, port);
    Post(port, 1, COMPUTE);
    EVENTUALLY(Taken(workers, 2) >= 1);
    busy = Who(workers, 2, 1);
    Post(port, 2, RETURN);
    for (i = 0; i < 100; i++)
        CHECK(NothingToTake(port));
    /* Neither with time to wait, nor for who waited before. */
    CHECK(Get(port, NOTHING).error == WAIT_TIMEOUT);
    CHECK(Taken(workers, 2) == 1);
    if (busy != NULL)
        Release(busy);
    EVENTUALLY(Taken(workers, 2) >= 2);
    EndWorkers(workers, 2);
    ClosePair(&pair);
    CloseHandle(port);
}

/* The first packet is the waiting thread's at once, and that thread counts before it runs: so the second is
   nobody's, neither this thread's nor the other waiting one's. */
static void cc_7(void)
{
    WORKER *workers[2];
    HANDLE port = Port(1);
    StartWorkers(workers, 2, port);
    Post(port, 1, COMPUTE);
    Post(port, 2, RETURN);
    CHECK(NothingToTake(port));
    EVENTUALLY(Taken(workers, 2) >= 1);
    CHECK(NothingToTake(port));
    Sleep(NOTHING);
    CHECK(Taken(workers, 2) == 1 && Who(workers, 2, 1) != NULL);
    EndWorkers(workers, 2);
    CloseHandle(port);
}

typedef struct _SELF {
    HANDLE port;
    PACKET packet;
} SELF;

static DWORD WINAPI PostToItself(LPVOID parameter)
{
    SELF *self = parameter;
    Get(self->port, 0);
    Post(self->port, 1, RETURN);
    self->packet = Get(self->port, 0);
    return 0;
}

/* What a thread of the port's posts itself goes to who waits, too. */
static void cc_7_own(void)
{
    WORKER *worker;
    HANDLE port = Port(2), thread;
    SELF self = {port};
    StartWorkers(&worker, 1, port);
    thread = CreateThread(NULL, 0, PostToItself, &self, 0, NULL);
    WaitForSingleObject(thread, INFINITE);
    CHECK(self.packet.error == WAIT_TIMEOUT, "it took it itself");
    CloseHandle(thread);
    if (!self.packet.ok)
        EVENTUALLY(worker->taken == 1);
    EndWorkers(&worker, 1);
    CloseHandle(port);
}

/* Ways to block. */
enum { EVENT, ALL, SLEEP, SECTION, SRW, CONDITION, RECEIVE, RESULT, WAYS };

typedef struct _BLOCKED {
    int way;
    HANDLE port, event;
    CRITICAL_SECTION section;
    SRWLOCK lock;
    CONDITION_VARIABLE condition;
    volatile LONG taken, end;
    PAIR pair;
} BLOCKED;

static DWORD WINAPI TakeAndBlock(LPVOID parameter)
{
    BLOCKED *blocked = parameter;
    OVERLAPPED ol = {0};
    HANDLE both[2];
    DWORD bytes;
    char room;
    if (!Get(blocked->port, SOON).ok)
        return 0;
    InterlockedIncrement(&blocked->taken);
    switch (blocked->way) {
    case EVENT:
        return WaitForSingleObject(blocked->event, INFINITE);
    case ALL:
        both[0] = blocked->event;
        both[1] = CreateEventA(NULL, TRUE, TRUE, NULL);
        WaitForMultipleObjects(2, both, TRUE, INFINITE);
        return CloseHandle(both[1]);
    case SLEEP:
        while (!blocked->end)
            Sleep(20);
        return 0;
    case SECTION:
        EnterCriticalSection(&blocked->section);
        LeaveCriticalSection(&blocked->section);
        return 0;
    case SRW:
        AcquireSRWLockExclusive(&blocked->lock);
        ReleaseSRWLockExclusive(&blocked->lock);
        return 0;
    case CONDITION:
        AcquireSRWLockShared(&blocked->lock);
        while (!blocked->end)
            SleepConditionVariableSRW(&blocked->condition, &blocked->lock, INFINITE, CONDITION_VARIABLE_LOCKMODE_SHARED);
        ReleaseSRWLockShared(&blocked->lock);
        return 0;
    case RECEIVE:
        return recv(blocked->pair.one, &room, 1, 0);
    case RESULT:
        ol.Internal = STATUS_PENDING;
        ol.hEvent = blocked->event;
        return GetOverlappedResult(NULL, &ol, &bytes, TRUE);
    }
    return 0;
}

/* Whoever has the first packet blocks, which lets the other one have the second: it ends only after that. */
static void cc_8(void)
{
    int way, i;
    for (way = 0; way < WAYS; way++) {
        BLOCKED *blocked = calloc(1, sizeof(*blocked));
        HANDLE threads[2];
        blocked->way = way;
        blocked->port = Port(1);
        blocked->event = CreateEventA(NULL, TRUE, FALSE, NULL);
        blocked->pair = Connected();
        InitializeCriticalSection(&blocked->section);
        InitializeSRWLock(&blocked->lock);
        InitializeConditionVariable(&blocked->condition);
        EnterCriticalSection(&blocked->section);
        if (way == SRW)
            AcquireSRWLockExclusive(&blocked->lock);
        for (i = 0; i < 2; i++)
            threads[i] = CreateThread(NULL, 0, TakeAndBlock, blocked, 0, NULL);
        Post(blocked->port, 1, 0);
        Post(blocked->port, 2, 0);
        EVENTUALLY(blocked->taken == 2);
        CHECK(blocked->taken == 2, "way %d", way);
        if (way != SRW)
            AcquireSRWLockExclusive(&blocked->lock);
        blocked->end = 1;
        ReleaseSRWLockExclusive(&blocked->lock);
        LeaveCriticalSection(&blocked->section);
        WakeAllConditionVariable(&blocked->condition);
        SetEvent(blocked->event);
        send(blocked->pair.other, "xy", 2, 0);
        CHECK(WaitForMultipleObjects(2, threads, TRUE, 2 * SOON) == WAIT_OBJECT_0, "way %d", way);
        for (i = 0; i < 2; i++)
            CloseHandle(threads[i]);
        ClosePair(&blocked->pair);
        CloseHandle(blocked->event);
        CloseHandle(blocked->port);
    }
}

/* One that was blocked runs again beside the one that has taken its place, and nobody is released until
   both are through. */
static void cc_9(void)
{
    WORKER *workers[3], *first, *second;
    HANDLE port = Port(1);
    StartWorkers(workers, 3, port);
    Post(port, 1, BLOCK);
    EVENTUALLY(Taken(workers, 3) >= 1);
    Post(port, 2, COMPUTE);
    EVENTUALLY(Taken(workers, 3) >= 2);
    first = Who(workers, 3, 1);
    second = Who(workers, 3, 2);
    CHECK(first != NULL && second != NULL && first != second);
    if (first != NULL && second != NULL) {
        SetEvent(first->go);
        EVENTUALLY(first->back == 1);
        Post(port, 3, RETURN);
        CHECK(NothingToTake(port), "two run");
        Sleep(NOTHING);
        CHECK(Taken(workers, 3) == 2, "two run");
        Release(second);
        Sleep(NOTHING);
        CHECK(NothingToTake(port), "one runs");
        CHECK(Taken(workers, 3) == 2, "one runs");
        Release(first);
        EVENTUALLY(Taken(workers, 3) >= 3);
    }
    EndWorkers(workers, 3);
    CloseHandle(port);
}

/* Neither calls that do not wait nor having no processor give a place away. */
static void cc_9_yield(void)
{
    WORKER *workers[2], *busy;
    HANDLE port = Port(1), spinners = Port(64);
    WORKER *others[4];
    LONG before;
    int i;
    StartWorkers(workers, 2, port);
    StartWorkers(others, 4, spinners);
    for (i = 0; i < 4; i++)
        Post(spinners, 1, COMPUTE);
    Post(port, 1, YIELD);
    EVENTUALLY(Taken(workers, 2) >= 1 && Taken(others, 4) == 4);
    busy = Who(workers, 2, 1);
    Post(port, 2, RETURN);
    if (busy != NULL) {
        before = busy->yields;
        EVENTUALLY(busy->yields - before > 100);
    }
    CHECK(NothingToTake(port));
    CHECK(Taken(workers, 2) == 1);
    EndWorkers(others, 4);
    EndWorkers(workers, 2);
    CloseHandle(port);
    CloseHandle(spinners);
}

/* Who goes over to another port, or ends, gives its place to one that waits. */
static void Departing(int how)
{
    WORKER *workers[2], *busy;
    HANDLE port = Port(1), other = Port(1);
    StartWorkers(workers, 2, port);
    workers[0]->other = workers[1]->other = other;
    Post(port, 1, how);
    EVENTUALLY(Taken(workers, 2) >= 1);
    busy = Who(workers, 2, 1);
    Post(port, 2, COMPUTE);
    CHECK(NothingToTake(port));
    Sleep(NOTHING);
    CHECK(Taken(workers, 2) == 1);
    if (busy != NULL) {
        Release(busy);
        EVENTUALLY(Taken(workers, 2) >= 2);
        CHECK(Who(workers, 2, 2) != busy && Who(workers, 2, 2) != NULL);
    }
    EndWorkers(workers, 2);
    CloseHandle(port);
    CloseHandle(other);
}

static void cc_10(void)
{
    Departing(LEAVE);
}

static void cc_10_exit(void)
{
    Departing(EXIT);
}

static volatile LONG Raced;
static DWORD WINAPI Race(LPVOID port)
{
    for (;;) {
        PACKET packet = Get((HANDLE)port, 1);
        if (packet.ok && packet.bytes == 0)
            return 0;
        if (packet.ok)
            InterlockedIncrement(&Raced);
    }
}

/* Waits that are ended by calls, too. */
static DWORD WINAPI RaceAlertably(LPVOID port)
{
    for (;;) {
        OVERLAPPED_ENTRY entries[2];
        ULONG count, i;
        BOOL end = FALSE;
        if (!GetQueuedCompletionStatusEx((HANDLE)port, entries, 2, &count, 1, TRUE))
            continue;
        for (i = 0; i < count; i++)
            if (entries[i].dwNumberOfBytesTransferred != 0)
                InterlockedIncrement(&Raced);
            else if (end)
                /* Another thread's. */
                Post((HANDLE)port, 0, 0);
            else
                end = TRUE;
        if (end)
            return 0;
    }
}

static void cc_11(void)
{
    HANDLE port = Port(0), threads[4];
    static int calls;
    int i;
    Raced = 0;
    for (i = 0; i < 4; i++)
        threads[i] = CreateThread(NULL, 0, i % 2 ? Race : RaceAlertably, port, 0, NULL);
    for (i = 0; i < 300; i++) {
        QueueUserAPC(Call, threads[i % 2 * 2], (ULONG_PTR)&calls);
        Post(port, 1, 0);
        Sleep(i % 3);
    }
    EVENTUALLY(Raced == 300);
    for (i = 0; i < 4; i++)
        Post(port, 0, 0);
    CHECK(WaitForMultipleObjects(4, threads, TRUE, 2 * SOON) == WAIT_OBJECT_0);
    CHECK(Raced == 300, "%ld", Raced);
    for (i = 0; i < 4; i++)
        CloseHandle(threads[i]);
    CloseHandle(port);
}

typedef struct _HOLDER {
    HANDLE port;
    volatile LONG taken, released;
} HOLDER;

static DWORD WINAPI TakeBatch(LPVOID parameter)
{
    HOLDER *holder = parameter;
    OVERLAPPED_ENTRY entries[8];
    ULONG count = 0;
    GetQueuedCompletionStatusEx(holder->port, entries, 8, &count, SOON, FALSE);
    holder->taken = count;
    while (!holder->released)
        ;
    return 0;
}

/* Eight packets and one thread: there is room for one thread more, and for no third. */
static void cc_12(void)
{
    WORKER *workers[2];
    HOLDER *holder = calloc(1, sizeof(*holder));
    HANDLE port = Port(2), thread;
    int i;
    for (i = 0; i < 8; i++)
        Post(port, 1, RETURN);
    holder->port = port;
    thread = CreateThread(NULL, 0, TakeBatch, holder, 0, NULL);
    EVENTUALLY(holder->taken != 0);
    CHECK(holder->taken == 8, "%ld", holder->taken);
    StartWorkers(workers, 2, port);
    Post(port, 2, COMPUTE);
    Post(port, 3, COMPUTE);
    EVENTUALLY(Taken(workers, 2) >= 1);
    CHECK(NothingToTake(port));
    Sleep(NOTHING);
    CHECK(Taken(workers, 2) == 1, "%ld", Taken(workers, 2));
    holder->released = 1;
    CHECK(WaitForSingleObject(thread, SOON) == WAIT_OBJECT_0);
    EVENTUALLY(Taken(workers, 2) >= 2);
    EndWorkers(workers, 2);
    CloseHandle(thread);
    CloseHandle(port);
}

#define VALUE 2
#define CROWD 6
#define PACKETS 400

/* Who has not blocked since it took its packet. */
static volatile LONG Fresh, Most, Handled;

static DWORD WINAPI Crowd(LPVOID port)
{
    for (;;) {
        PACKET packet = Get((HANDLE)port, INFINITE);
        LONG fresh, most;
        volatile int spin;
        if (!packet.ok || packet.bytes == 0)
            return 0;
        fresh = InterlockedIncrement(&Fresh);
        while ((most = Most) < fresh && InterlockedCompareExchange(&Most, fresh, most) != most)
            ;
        for (spin = 0; spin < 5000; spin++)
            ;
        InterlockedDecrement(&Fresh);
        if (packet.bytes % 4 == 0)
            Sleep(1);
        for (spin = 0; spin < 5000; spin++)
            ;
        InterlockedIncrement(&Handled);
    }
}

/* As many as the value says, and who has come back from blocking beside them. */
static void cc_13(void)
{
    HANDLE port = Port(VALUE), threads[CROWD];
    DWORD i;
    for (i = 0; i < CROWD; i++)
        threads[i] = CreateThread(NULL, 0, Crowd, port, 0, NULL);
    for (i = 1; i <= PACKETS; i++)
        Post(port, i, 0);
    EVENTUALLY(Handled == PACKETS);
    for (i = 0; i < CROWD; i++)
        Post(port, 0, 0);
    CHECK(WaitForMultipleObjects(CROWD, threads, TRUE, SOON) == WAIT_OBJECT_0);
    CHECK(Most <= VALUE, "%ld at once", Most);
    for (i = 0; i < CROWD; i++)
        CloseHandle(threads[i]);
    CloseHandle(port);
}

int main(void)
{
    Start();
    RUN("CC-1", cc_1);
    RUN("CC-2", cc_2);
    RUN("CC-3", cc_3);
    RUN("CC-4", cc_4);
    RUN("CC-5", cc_5);
    RUN("CC-6", cc_6);
    RUN("CC-7", cc_7);
    RUN("CC-7 (own)", cc_7_own);
    RUN("CC-8", cc_8);
    RUN("CC-9", cc_9);
    RUN("CC-9 (yield)", cc_9_yield);
    RUN("CC-10", cc_10);
    RUN("CC-10 (exit)", cc_10_exit);
    RUN("CC-11", cc_11);
    RUN("CC-12", cc_12);
    RUN("CC-13", cc_13);
    return 0;
}
