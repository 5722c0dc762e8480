use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use overlapped_win32::abi::*;
use overlapped_win32::calls::handles::*;
use overlapped_win32::calls::sync::*;
use overlapped_win32::calls::threads::*;
use overlapped_win32::calls::tls::*;
use overlapped_win32::calls::waits::*;

use crate::*;

const CREATE_SUSPENDED: DWORD = 4;
const STILL_ACTIVE: DWORD = 259;
const ERROR_NOT_SUPPORTED: DWORD = 50;

fn exit_code(thread: HANDLE) -> DWORD {
    let mut code = 0;
    // SAFETY: the code is there.
    assert_eq!(unsafe { GetExitCodeThread(thread, &mut code) }, TRUE);
    code
}

unsafe extern "C-unwind" fn returns(parameter: *mut c_void) -> DWORD {
    parameter as usize as DWORD + 1
}

#[test]
fn a_thread_ends_with_what_it_returns_and_its_handle_is_signalled() {
    let thread = thread(returns, 41 as *mut c_void);
    assert_eq!(WaitForSingleObject(thread, LONG), 0);
    assert_eq!(exit_code(thread), 42);
    // It stays signalled.
    assert_eq!(WaitForSingleObject(thread, 0), 0);
    assert_eq!(CloseHandle(thread), TRUE);
    assert_eq!(WaitForSingleObject(thread, 0), WAIT_FAILED);
    assert_eq!(GetLastError(), ERROR_INVALID_HANDLE);
}

/// Would be dropped if the stack were unwound.
struct Counted<'a>(&'a AtomicU32);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[inline(never)]
fn deeper(depth: u32, drops: &AtomicU32) -> u32 {
    if depth == 0 {
        // SAFETY: the test is that nothing is dropped.
        unsafe { ExitThread(7) };
    }
    let _counted = std::mem::ManuallyDrop::new(Counted(drops));
    deeper(depth - 1, drops) + 1
}

#[test]
fn exit_thread_ends_a_thread_from_any_depth_and_runs_its_thread_locals() {
    static DROPS: AtomicU32 = AtomicU32::new(0);
    static LOCALS: AtomicU32 = AtomicU32::new(0);

    unsafe extern "C-unwind" fn exits(_: *mut c_void) -> DWORD {
        thread_local! {
            static LOCAL: Counted<'static> = const { Counted(&LOCALS) };
        }
        LOCAL.with(|_| {});
        deeper(10, &DROPS)
    }

    for ended in 1..=3 {
        let thread = thread(exits, null_mut());
        assert_eq!(WaitForSingleObject(thread, LONG), 0);
        assert_eq!(exit_code(thread), 7);
        assert_eq!(DROPS.load(SeqCst), 0);
        // Whoever sees a thread end sees its thread-local variables gone.
        assert_eq!(LOCALS.load(SeqCst), ended);
        CloseHandle(thread);
    }
}

unsafe extern "C-unwind" fn counts(counter: *mut c_void) -> DWORD {
    // SAFETY: the tests give a counter that outlives the thread.
    unsafe { &*counter.cast::<AtomicU32>() }.fetch_add(1, SeqCst);
    0
}

#[test]
fn a_suspended_thread_runs_when_it_was_resumed_as_often() {
    let ran = AtomicU32::new(0);
    let mut number = 0;
    // SAFETY: the counter outlives the thread.
    let thread = unsafe {
        CreateThread(
            null_mut(),
            0,
            Some(counts),
            (&raw const ran).cast_mut().cast(),
            CREATE_SUSPENDED,
            &mut number,
        )
    };
    assert_eq!(number, GetThreadId(thread));
    assert_ne!(number, GetCurrentThreadId());
    assert_eq!(SuspendThread(thread), 1);
    assert_eq!(ResumeThread(thread), 2);
    assert_eq!(WaitForSingleObject(thread, 20), WAIT_TIMEOUT);
    assert_eq!((ran.load(SeqCst), exit_code(thread)), (0, STILL_ACTIVE));
    assert_eq!(ResumeThread(thread), 1);
    assert_eq!(WaitForSingleObject(thread, LONG), 0);
    assert_eq!(ran.load(SeqCst), 1);
    assert_eq!(ResumeThread(thread), 0);
    CloseHandle(thread);
}

#[test]
fn a_thread_that_does_not_run_yet_can_be_terminated_a_running_one_is_refused() {
    let ran = AtomicU32::new(0);
    let counter: *mut c_void = (&raw const ran).cast_mut().cast();
    // SAFETY: the counter outlives the thread.
    unsafe {
        let thread = CreateThread(
            null_mut(),
            0,
            Some(counts),
            counter,
            CREATE_SUSPENDED,
            null_mut(),
        );
        assert_eq!(TerminateThread(thread, 9), TRUE);
        assert_eq!(WaitForSingleObject(thread, LONG), 0);
        assert_eq!((exit_code(thread), ran.load(SeqCst)), (9, 0));
        CloseHandle(thread);
    }

    unsafe extern "C-unwind" fn waits(event: *mut c_void) -> DWORD {
        WaitForSingleObject(event, LONG)
    }
    let event = event(true, false);
    let running = thread(waits, event);
    // SAFETY: it is refused.
    fails(unsafe { TerminateThread(running, 9) }, ERROR_NOT_SUPPORTED);
    assert_eq!(SuspendThread(running), DWORD::MAX);
    assert_eq!(GetLastError(), ERROR_NOT_SUPPORTED);
    SetEvent(event);
    join(running);
    CloseHandle(event);
}

#[test]
fn the_c_librarys_way_to_start_threads() {
    let ran = AtomicU32::new(0);
    let counter: *mut c_void = (&raw const ran).cast_mut().cast();
    let mut number = 0;
    // SAFETY: the counter outlives the threads.
    unsafe {
        let thread = _beginthreadex(null_mut(), 0, Some(counts), counter, 0, &mut number);
        assert!(thread != 0 && number != 0);
        join(thread as HANDLE);
        assert_eq!(ran.load(SeqCst), 1);
        assert_eq!(
            _beginthreadex(null_mut(), 0, None, counter, 0, null_mut()),
            0
        );
        assert_eq!(_beginthread(None, 0, null_mut()), usize::MAX);
    }

    unsafe extern "C-unwind" fn sets(event: *mut c_void) {
        SetEvent(event);
        // SAFETY: nothing here is to be dropped.
        unsafe { _endthread() };
    }
    let event = event(true, false);
    // SAFETY: the event is closed later.
    let thread = unsafe { _beginthread(Some(sets), 0, event) } as HANDLE;
    assert_eq!(WaitForSingleObject(event, LONG), 0);
    // Its handle closes itself.
    while WaitForSingleObject(thread, LONG) != WAIT_FAILED {
        SwitchToThread();
    }
    CloseHandle(event);
}

#[test]
fn a_thread_is_opened_by_its_number() {
    let me = OpenThread(0, FALSE, GetCurrentThreadId());
    assert_eq!(GetThreadId(me), GetCurrentThreadId());
    CloseHandle(me);
    let ended = thread(returns, null_mut());
    let number = GetThreadId(ended);
    assert_eq!(WaitForSingleObject(ended, LONG), 0);
    let again = OpenThread(0, FALSE, number);
    assert_eq!(WaitForSingleObject(again, 0), 0);
    CloseHandle(ended);
    CloseHandle(again);
    // The thread itself holds its object a moment longer.
    loop {
        let thread = OpenThread(0, FALSE, number);
        if thread.is_null() {
            break;
        }
        CloseHandle(thread);
        SwitchToThread();
    }
    assert_eq!(GetLastError(), ERROR_INVALID_PARAMETER);
}

#[test]
fn pseudo_handles_mean_whoever_uses_them() {
    assert_eq!(GetCurrentThread() as isize, -2);
    assert_eq!(GetCurrentProcess() as isize, -1);
    assert_eq!(GetThreadId(GetCurrentThread()), GetCurrentThreadId());
    assert_eq!(GetProcessId(GetCurrentProcess()), std::process::id());
    assert_eq!(WaitForSingleObject(GetCurrentThread(), 0), WAIT_TIMEOUT);
    assert_eq!(WaitForSingleObject(GetCurrentProcess(), 0), WAIT_TIMEOUT);
    assert_eq!(CloseHandle(GetCurrentThread()), TRUE);
    let number = GetCurrentThreadId();
    assert_eq!(number % 4, 0);
    let other = std::thread::spawn(|| (GetCurrentThreadId(), GetThreadId(GetCurrentThread())));
    let (one, same) = other.join().unwrap();
    assert_eq!(one, same);
    assert_ne!(one, number);
}

#[test]
fn what_is_accepted_is_kept() {
    let me = GetCurrentThread();
    assert_eq!(GetThreadPriority(me), 0);
    assert_eq!(SetThreadPriority(me, -1), TRUE);
    assert_eq!(GetThreadPriority(me), -1);
    let event = event(true, false);
    fails(SetThreadPriority(event, 1), ERROR_INVALID_HANDLE);
    CloseHandle(event);
    let (mut process, mut system) = (0, 0);
    // SAFETY: the masks are there.
    unsafe { GetProcessAffinityMask(GetCurrentProcess(), &mut process, &mut system) };
    std::thread::spawn(move || {
        let lowest = process & process.wrapping_neg();
        assert_eq!(SetThreadAffinityMask(GetCurrentThread(), lowest), process);
        assert_eq!(SetThreadAffinityMask(GetCurrentThread(), process), lowest);
        assert_eq!(SetThreadAffinityMask(GetCurrentThread(), 0), 0);
        assert_eq!(GetLastError(), ERROR_INVALID_PARAMETER);
    })
    .join()
    .unwrap();
}

#[test]
fn a_mutex_is_abandoned_by_the_end_of_its_owner() {
    unsafe extern "C-unwind" fn takes(mutex: *mut c_void) -> DWORD {
        assert_eq!(WaitForSingleObject(mutex, LONG), 0);
        // SAFETY: nothing here is to be dropped.
        unsafe { ExitThread(0) }
    }
    // SAFETY: without a name.
    let mutex = unsafe { CreateMutexA(null_mut(), FALSE, null()) };
    join(thread(takes, mutex));
    assert_eq!(WaitForSingleObject(mutex, LONG), 0x80);
    assert_eq!(ReleaseMutex(mutex), TRUE);
    assert_eq!(WaitForSingleObject(mutex, LONG), 0);
    CloseHandle(mutex);
}

#[test]
fn values_are_each_threads_own_and_a_slot_begins_empty() {
    let slot = TlsAlloc();
    assert_eq!(TlsSetValue(slot, 5 as *mut c_void), TRUE);
    std::thread::spawn(move || assert!(TlsGetValue(slot).is_null()))
        .join()
        .unwrap();
    SetLastError(1);
    assert_eq!(TlsGetValue(slot) as usize, 5);
    assert_eq!(GetLastError(), 0);
    assert_eq!(TlsFree(slot), TRUE);
    fails(TlsFree(slot), ERROR_INVALID_PARAMETER);
    assert!(TlsGetValue(slot).is_null());
    assert_eq!(GetLastError(), ERROR_INVALID_PARAMETER);
    let mut slots = Vec::new();
    loop {
        let slot = TlsAlloc();
        if slot == DWORD::MAX {
            break;
        }
        assert!(TlsGetValue(slot).is_null());
        slots.push(slot);
    }
    // Others of these tests may have some.
    assert!((1000..=1088).contains(&slots.len()));
    for slot in slots {
        TlsFree(slot);
    }
}

#[test]
fn a_fibre_slots_callback_gets_the_value_of_a_thread_that_ends() {
    static SUM: AtomicU32 = AtomicU32::new(0);
    unsafe extern "C-unwind" fn adds(value: *mut c_void) {
        SUM.fetch_add(value as usize as u32, SeqCst);
    }
    // SAFETY: the callback takes any value.
    let slot = unsafe { FlsAlloc(Some(adds)) };
    let set = move |value: usize| {
        assert_eq!(FlsSetValue(slot, value as *mut c_void), TRUE);
        assert_eq!(FlsGetValue(slot) as usize, value);
    };
    std::thread::spawn(move || set(3)).join().unwrap();
    assert_eq!(SUM.load(SeqCst), 3);
    set(4);
    assert_eq!(FlsFree(slot), TRUE);
    assert_eq!(SUM.load(SeqCst), 7);
}

#[test]
fn exit_process_ends_it_with_the_code_while_others_run() {
    if is_child() {
        std::thread::spawn(|| Sleep(INFINITE));
        ExitProcess(3);
    }
    let output = again("threads::exit_process_ends_it_with_the_code_while_others_run");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn exit_process_does_not_wait_for_a_thread_that_prints_to_nobody() {
    static LINES: AtomicU32 = AtomicU32::new(0);
    if is_child() {
        std::thread::spawn(|| {
            loop {
                // SAFETY: the text ends with a zero.
                unsafe { libc::puts(c"a line of the many that nobody reads".as_ptr()) };
                LINES.fetch_add(1, SeqCst);
            }
        });
        // Until it prints no more, since nobody reads.
        let mut before = 0;
        loop {
            Sleep(100);
            match LINES.load(SeqCst) {
                now if now > 0 && now == before => ExitProcess(3),
                now => before = now,
            }
        }
    }
    let mut child =
        again_command("threads::exit_process_does_not_wait_for_a_thread_that_prints_to_nobody")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_millis(LONG.into());
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if std::time::Instant::now() > until {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        Sleep(5);
    };
    assert_eq!(status.expect("it ends").code(), Some(3));
}
