use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::SeqCst};

use overlapped_win32::abi::*;
use overlapped_win32::calls::handles::*;
use overlapped_win32::calls::pool::*;
use overlapped_win32::calls::sync::*;
use overlapped_win32::calls::threads::*;
use overlapped_win32::calls::timers::*;
use overlapped_win32::calls::waits::*;

use crate::*;

const ERROR_IO_PENDING: DWORD = 997;

/// What callbacks share with their test: a count, an event for each call, and one that they wait
/// for first, if it is there.
struct Shared {
    count: AtomicU32,
    timed_out: AtomicU32,
    called: HANDLE,
    first: AtomicPtr<c_void>,
}

impl Shared {
    fn new() -> Self {
        // SAFETY: without a name.
        let called = unsafe { CreateSemaphoreA(null_mut(), 0, i32::MAX, null()) };
        Shared {
            count: AtomicU32::new(0),
            timed_out: AtomicU32::new(0),
            called,
            first: AtomicPtr::new(null_mut()),
        }
    }

    fn pointer(&self) -> *mut c_void {
        (&raw const *self).cast_mut().cast()
    }

    /// Waits for a call.
    fn wait(&self) {
        assert_eq!(WaitForSingleObject(self.called, LONG), 0);
    }
}

unsafe extern "C-unwind" fn called(shared: *mut c_void, timed_out: u8) {
    // SAFETY: the tests give it, and wait for the last call.
    let shared = unsafe { &*shared.cast::<Shared>() };
    shared.count.fetch_add(1, SeqCst);
    shared.timed_out.store(timed_out.into(), SeqCst);
    // SAFETY: the count before is not wanted.
    unsafe { ReleaseSemaphore(shared.called, 1, null_mut()) };
    let first = shared.first.load(SeqCst);
    if !first.is_null() {
        WaitForSingleObject(first, LONG);
    }
}

unsafe extern "C-unwind" fn item(shared: *mut c_void) -> DWORD {
    // SAFETY: as above.
    unsafe { called(shared, 0) };
    0
}

#[test]
fn work_items_run_also_when_others_block() {
    let shared = Shared::new();
    let gate = event(true, false);
    shared.first.store(gate, SeqCst);
    for _ in 0..20 {
        // SAFETY: the test waits for all of them.
        let queued = unsafe { QueueUserWorkItem(Some(item), shared.pointer(), 0) };
        assert_eq!(queued, TRUE);
    }
    for _ in 0..20 {
        shared.wait();
    }
    SetEvent(gate);
    // SAFETY: it is refused.
    fails(
        unsafe { QueueUserWorkItem(None, null_mut(), 0) },
        ERROR_INVALID_PARAMETER,
    );
}

/// A callback that ends its thread, and leaves a handle of it.
unsafe extern "C-unwind" fn exits(shared: *mut c_void, _: u8) {
    let me = OpenThread(0, FALSE, GetCurrentThreadId());
    // SAFETY: the tests give it, and wait for the call.
    unsafe {
        (*shared.cast::<Shared>()).first.store(me, SeqCst);
        ReleaseSemaphore((*shared.cast::<Shared>()).called, 1, null_mut());
        ExitThread(7);
    }
}

unsafe extern "C-unwind" fn item_exits(shared: *mut c_void) -> DWORD {
    // SAFETY: as above.
    unsafe { exits(shared, 0) };
    0
}

/// The thread of a callback that `exits` ends, with what it said.
fn ends(shared: &Shared) {
    shared.wait();
    let thread = shared.first.swap(null_mut(), SeqCst);
    assert_eq!(WaitForSingleObject(thread, LONG), 0);
    let mut code = 0;
    // SAFETY: the code is there.
    assert_eq!(unsafe { GetExitCodeThread(thread, &mut code) }, TRUE);
    assert_eq!(code, 7);
    assert_eq!(CloseHandle(thread), TRUE);
}

#[test]
fn a_callback_may_end_its_thread_and_the_pool_goes_on() {
    let shared = Shared::new();
    // More than there may be threads.
    for _ in 0..600 {
        // SAFETY: the test waits for each.
        unsafe { QueueUserWorkItem(Some(item_exits), shared.pointer(), 0) };
        ends(&shared);
    }
    // SAFETY: the test waits for it.
    unsafe { QueueUserWorkItem(Some(item), shared.pointer(), 0) };
    shared.wait();
    // The thread of a registered wait as well.
    let object = event(false, true);
    let mut handle = null_mut();
    // SAFETY: the test waits for the call.
    let result = unsafe {
        RegisterWaitForSingleObject(
            &mut handle,
            object,
            Some(exits),
            shared.pointer(),
            INFINITE,
            0,
        )
    };
    assert_eq!(result, TRUE);
    ends(&shared);
}

fn register(shared: &Shared, object: HANDLE, timeout: DWORD, flags: DWORD) -> HANDLE {
    let mut handle = null_mut();
    // SAFETY: the test ends it before what it uses.
    let result = unsafe {
        RegisterWaitForSingleObject(
            &mut handle,
            object,
            Some(called),
            shared.pointer(),
            timeout,
            flags,
        )
    };
    assert_eq!(result, TRUE);
    handle
}

#[test]
fn a_registered_wait_calls_each_time_until_it_is_ended() {
    let shared = Shared::new();
    let object = event(false, false);
    let wait = register(&shared, object, INFINITE, 0);
    for count in 1..=3 {
        SetEvent(object);
        shared.wait();
        assert_eq!(shared.count.load(SeqCst), count);
    }
    assert_eq!(UnregisterWaitEx(wait, INVALID_HANDLE_VALUE), TRUE);
    fails(UnregisterWait(wait), ERROR_INVALID_HANDLE);
    SetEvent(object);
    assert_eq!(WaitForSingleObject(shared.called, 10), WAIT_TIMEOUT);
    CloseHandle(object);
}

#[test]
fn a_registered_wait_times_out_once_or_again() {
    let shared = Shared::new();
    let object = event(false, false);
    let wait = register(&shared, object, 1, 0);
    for _ in 0..3 {
        shared.wait();
    }
    assert_eq!(shared.timed_out.load(SeqCst), 1);
    UnregisterWaitEx(wait, INVALID_HANDLE_VALUE);
    let once = Shared::new();
    let wait = register(&once, object, 1, 8);
    once.wait();
    assert_eq!(WaitForSingleObject(once.called, 20), WAIT_TIMEOUT);
    assert_eq!(UnregisterWaitEx(wait, INVALID_HANDLE_VALUE), TRUE);
    CloseHandle(object);
}

#[test]
fn who_ends_a_wait_learns_when_its_last_call_is_over() {
    let shared = Shared::new();
    let (object, gate, finished) = (event(true, true), event(true, false), event(true, false));
    shared.first.store(gate, SeqCst);
    let wait = register(&shared, object, INFINITE, 8);
    shared.wait();
    fails(UnregisterWaitEx(wait, finished), ERROR_IO_PENDING);
    assert_eq!(WaitForSingleObject(finished, 10), WAIT_TIMEOUT);
    SetEvent(gate);
    assert_eq!(WaitForSingleObject(finished, LONG), 0);
    for handle in [object, gate, finished] {
        CloseHandle(handle);
    }
}

#[test]
fn timers_of_a_queue_call_until_they_are_deleted() {
    let shared = Shared::new();
    let queue = CreateTimerQueue();
    let mut timer = null_mut();
    let create = |timer: &mut HANDLE, queue, after, every| {
        // SAFETY: the test ends it before what it uses.
        unsafe {
            CreateTimerQueueTimer(
                timer,
                queue,
                Some(called),
                shared.pointer(),
                after,
                every,
                0,
            )
        }
    };
    assert_eq!(create(&mut timer, null_mut(), 0, 1), TRUE);
    for _ in 0..3 {
        shared.wait();
    }
    assert_eq!(
        DeleteTimerQueueTimer(null_mut(), timer, INVALID_HANDLE_VALUE),
        TRUE
    );
    let count = shared.count.load(SeqCst);
    assert_eq!(shared.timed_out.load(SeqCst), 1);
    Sleep(10);
    assert_eq!(shared.count.load(SeqCst), count);
    while WaitForSingleObject(shared.called, 0) == 0 {}
    // Not due in this test, then at once.
    assert_eq!(create(&mut timer, queue, LONG * 60, 0), TRUE);
    assert_eq!(ChangeTimerQueueTimer(queue, timer, 0, 0), TRUE);
    shared.wait();
    assert_eq!(create(&mut timer, queue, LONG * 60, 0), TRUE);
    assert_eq!(DeleteTimerQueueEx(queue, INVALID_HANDLE_VALUE), TRUE);
    assert_eq!(shared.count.load(SeqCst), count + 1);
    fails(create(&mut timer, queue, 0, 0), ERROR_INVALID_HANDLE);
}

#[test]
fn a_waitable_timer_is_signalled_when_it_is_due() {
    let set = |timer, due: i64, period| {
        // SAFETY: the time is there.
        unsafe { SetWaitableTimer(timer, &due, period, None, null_mut(), FALSE) }
    };
    // SAFETY: without names.
    let (auto, manual) = unsafe {
        (
            CreateWaitableTimerA(null_mut(), FALSE, null()),
            CreateWaitableTimerA(null_mut(), TRUE, null()),
        )
    };
    assert_eq!(WaitForSingleObject(auto, 0), WAIT_TIMEOUT);
    assert_eq!(set(auto, -10_000, 1), TRUE);
    for _ in 0..3 {
        assert_eq!(WaitForSingleObject(auto, LONG), 0);
    }
    assert_eq!(CancelWaitableTimer(auto), TRUE);
    WaitForSingleObject(auto, 0);
    assert_eq!(WaitForSingleObject(auto, 20), WAIT_TIMEOUT);
    // By the clock, and long ago.
    assert_eq!(set(manual, 1, 0), TRUE);
    assert_eq!(WaitForSingleObject(manual, LONG), 0);
    assert_eq!(WaitForSingleObject(manual, 0), 0);
    // Set again it is not signalled.
    assert_eq!(set(manual, -36_000_000_000_000, 0), TRUE);
    assert_eq!(WaitForSingleObject(manual, 0), WAIT_TIMEOUT);
    fails(set(manual, 1, -1), ERROR_INVALID_PARAMETER);
    fails(SetEvent(manual), ERROR_INVALID_HANDLE);
    CloseHandle(auto);
    CloseHandle(manual);
    fails(CancelWaitableTimer(manual), ERROR_INVALID_HANDLE);
}

#[test]
fn a_timers_routine_runs_on_the_thread_that_set_it() {
    static GOT: AtomicU32 = AtomicU32::new(0);
    unsafe extern "C-unwind" fn due(value: usize, _low: u32, high: u32) {
        assert!(high > 0);
        GOT.store(value as u32, SeqCst);
    }
    // SAFETY: without a name; the time is there.
    unsafe {
        let timer = CreateWaitableTimerA(null_mut(), FALSE, null());
        let now = -1_i64;
        SetWaitableTimer(timer, &now, 0, Some(due), 9 as *mut c_void, FALSE);
        assert_eq!(SleepEx(INFINITE, TRUE), WAIT_IO_COMPLETION);
        assert_eq!(GOT.load(SeqCst), 9);
        CloseHandle(timer);
    }
}
