use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use overlapped_win32::abi::*;
use overlapped_win32::calls::apc::*;
use overlapped_win32::calls::handles::*;
use overlapped_win32::calls::sync::*;
use overlapped_win32::calls::threads::*;
use overlapped_win32::calls::waits::*;

use crate::*;

unsafe extern "C-unwind" fn counts(counter: usize) {
    // SAFETY: the tests give a counter that outlives the call.
    unsafe { &*(counter as *const AtomicUsize) }.fetch_add(1, SeqCst);
}

fn queue(thread: HANDLE, counter: &AtomicUsize) {
    // SAFETY: the counter outlives the call.
    let queued = unsafe { QueueUserAPC(Some(counts), thread, &raw const *counter as usize) };
    assert_eq!(queued, 1);
}

#[test]
fn calls_run_in_alertable_waits_only() {
    let count = AtomicUsize::new(0);
    queue(GetCurrentThread(), &count);
    queue(GetCurrentThread(), &count);
    assert_eq!(SleepEx(0, FALSE), 0);
    Sleep(1);
    let event = event(true, false);
    assert_eq!(WaitForSingleObject(event, 0), WAIT_TIMEOUT);
    assert_eq!(count.load(SeqCst), 0);
    // What is signalled goes before them, they go before the time.
    SetEvent(event);
    assert_eq!(WaitForSingleObjectEx(event, 0, TRUE), 0);
    assert_eq!(count.load(SeqCst), 0);
    ResetEvent(event);
    assert_eq!(WaitForSingleObjectEx(event, 0, TRUE), WAIT_IO_COMPLETION);
    assert_eq!(count.load(SeqCst), 2);
    assert_eq!(SleepEx(0, TRUE), 0);
    CloseHandle(event);
}

/// What a waiting thread is given, and how it waits.
struct Waits {
    wait: fn(HANDLE) -> DWORD,
    event: HANDLE,
    begun: HANDLE,
    result: AtomicUsize,
}

unsafe extern "C-unwind" fn waits(waits: *mut c_void) -> DWORD {
    // SAFETY: the test gives it, and it outlives the thread.
    let waits = unsafe { &*waits.cast::<Waits>() };
    SetEvent(waits.begun);
    let result = (waits.wait)(waits.event);
    waits.result.store(result as usize, SeqCst);
    0
}

#[test]
fn a_call_ends_a_wait_that_sleeps_and_runs_on_that_thread() {
    let each: [fn(HANDLE) -> DWORD; 4] = [
        |_| SleepEx(INFINITE, TRUE),
        |event| WaitForSingleObjectEx(event, INFINITE, TRUE),
        // SAFETY: one handle.
        |event| unsafe { WaitForMultipleObjectsEx(1, &event, TRUE, LONG, TRUE) },
        |event| {
            let other = crate::event(false, false);
            let result = SignalObjectAndWait(other, event, INFINITE, TRUE);
            assert_eq!(WaitForSingleObject(other, 0), 0);
            CloseHandle(other);
            result
        },
    ];
    for wait in each {
        let count = AtomicUsize::new(0);
        let it = Waits {
            wait,
            event: event(true, false),
            begun: event(true, false),
            result: AtomicUsize::new(0),
        };
        let thread = thread(waits, (&raw const it).cast_mut().cast());
        assert_eq!(WaitForSingleObject(it.begun, LONG), 0);
        queue(thread, &count);
        assert_eq!(WaitForSingleObject(thread, LONG), 0);
        assert_eq!(count.load(SeqCst), 1);
        assert_eq!(it.result.load(SeqCst), WAIT_IO_COMPLETION as usize);
        for handle in [thread, it.event, it.begun] {
            CloseHandle(handle);
        }
    }
}

#[test]
fn a_call_that_queues_another_has_it_run_in_the_same_wait() {
    unsafe extern "C-unwind" fn again(counter: usize) {
        // SAFETY: the counter outlives the call.
        let counter = unsafe { &*(counter as *const AtomicUsize) };
        if counter.fetch_add(1, SeqCst) < 4 {
            // SAFETY: the same.
            unsafe {
                QueueUserAPC(
                    Some(again),
                    GetCurrentThread(),
                    &raw const *counter as usize,
                )
            };
        }
    }
    let count = AtomicUsize::new(0);
    // SAFETY: the counter outlives the call.
    unsafe { QueueUserAPC(Some(again), GetCurrentThread(), &raw const count as usize) };
    assert_eq!(SleepEx(INFINITE, TRUE), WAIT_IO_COMPLETION);
    assert_eq!(count.load(SeqCst), 5);
}

#[test]
fn a_call_may_end_its_thread() {
    unsafe extern "C-unwind" fn ends(code: usize) {
        // SAFETY: nothing here is to be dropped.
        unsafe { ExitThread(code as DWORD) };
    }
    unsafe extern "C-unwind" fn sleeps(_: *mut c_void) -> DWORD {
        SleepEx(INFINITE, TRUE)
    }
    let thread = thread(sleeps, null_mut());
    // SAFETY: it takes any number.
    unsafe { QueueUserAPC(Some(ends), thread, 17) };
    assert_eq!(WaitForSingleObject(thread, LONG), 0);
    let mut code = 0;
    // SAFETY: the code is there.
    unsafe { GetExitCodeThread(thread, &mut code) };
    assert_eq!(code, 17);
    // Nobody would run it any more.
    // SAFETY: as above.
    let queued = unsafe { QueueUserAPC(Some(ends), thread, 17) };
    assert_eq!((queued, GetLastError()), (0, 31));
    CloseHandle(thread);
}

/// Calls against the ends of waits: none is lost, none runs twice.
#[test]
fn calls_from_many_threads_all_run() {
    const EACH: usize = 2000;
    struct Shared {
        count: AtomicUsize,
        event: HANDLE,
    }
    unsafe extern "C-unwind" fn takes(shared: *mut c_void) -> DWORD {
        // SAFETY: it outlives the thread.
        let shared = unsafe { &*shared.cast::<Shared>() };
        while shared.count.load(SeqCst) < 2 * EACH {
            // Now and then another reason to wake.
            WaitForSingleObjectEx(shared.event, 1, TRUE);
        }
        0
    }
    let shared = Shared {
        count: AtomicUsize::new(0),
        event: event(false, false),
    };
    let thread = thread(takes, (&raw const shared).cast_mut().cast());
    let (carried, event) = (Carried(thread), Carried(shared.event));
    let count = &shared.count;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                for turn in 0..EACH {
                    queue(carried.get(), count);
                    if turn % 16 == 0 {
                        SetEvent(event.get());
                    }
                }
            });
        }
    });
    join(thread);
    assert_eq!(shared.count.load(SeqCst), 2 * EACH);
    CloseHandle(shared.event);
}
