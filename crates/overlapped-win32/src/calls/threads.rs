//! Threads and the process.

use std::ffi::{c_int, c_uint, c_void};
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use crate::abi::{
    BOOL, DWORD, FALSE, HANDLE, LONG, LPTHREAD_START_ROUTINE, TRUE, ULONG_PTR, WCHAR,
};
use crate::error::{self, Error};
use crate::objects::{Object, Thread};
use crate::thread::ThreadId;
use crate::{handle, objects, text};

const CREATE_SUSPENDED: DWORD = 4;
const STILL_ACTIVE: DWORD = 259;
const THREAD_PRIORITY_ERROR_RETURN: c_int = c_int::MAX;
const NORMAL_PRIORITY_CLASS: DWORD = 0x20;

fn with_thread<R>(thread: HANDLE, f: impl FnOnce(&Thread) -> Result<R, Error>) -> Result<R, Error> {
    handle::find(thread).and_then(|object| f(object.thread()?))
}

/// Starts a thread that is resumed when its handle and number are where the program wants them.
fn create(
    routine: LPTHREAD_START_ROUTINE,
    parameter: *mut c_void,
    stack: usize,
) -> Result<(Arc<Thread>, HANDLE), Error> {
    let thread = Thread::spawn(routine, parameter, stack)?;
    match handle::open(thread.clone()) {
        Ok(handle) => Ok((thread, handle)),
        Err(error) => {
            let _ = thread.terminate(0);
            Err(error)
        }
    }
}

/// Starts a thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateThread(
    _attributes: *mut c_void,
    stack: usize,
    routine: Option<LPTHREAD_START_ROUTINE>,
    parameter: *mut c_void,
    flags: DWORD,
    number: *mut DWORD,
) -> HANDLE {
    let created = routine
        .ok_or(Error::INVALID_PARAMETER)
        .and_then(|routine| create(routine, parameter, stack));
    let result = created.map(|(thread, handle)| {
        // SAFETY: where the program wants the number.
        unsafe { text::give(number, thread.id().number()) };
        if flags & CREATE_SUSPENDED == 0 {
            thread.resume();
        }
        handle
    });
    error::or(result, null_mut())
}

/// Starts a thread, as the C library does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _beginthreadex(
    attributes: *mut c_void,
    stack: c_uint,
    routine: Option<LPTHREAD_START_ROUTINE>,
    parameter: *mut c_void,
    flags: c_uint,
    number: *mut c_uint,
) -> usize {
    if routine.is_none() {
        set_errno(libc::EINVAL);
        return 0;
    }
    // SAFETY: the same call.
    let handle = unsafe {
        CreateThread(
            attributes,
            stack as usize,
            routine,
            parameter,
            flags,
            number,
        )
    };
    if handle.is_null() {
        set_errno(libc::EAGAIN);
    }
    handle as usize
}

/// Starts a thread whose handle is closed when it ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _beginthread(
    routine: Option<unsafe extern "C-unwind" fn(*mut c_void)>,
    stack: c_uint,
    parameter: *mut c_void,
) -> usize {
    struct Call(unsafe extern "C-unwind" fn(*mut c_void), *mut c_void);

    unsafe extern "C-unwind" fn run(call: *mut c_void) -> DWORD {
        // SAFETY: it was made below, for this.
        let Call(routine, parameter) = *unsafe { Box::from_raw(call.cast::<Call>()) };
        // SAFETY: the program gave them for this.
        unsafe { routine(parameter) };
        0
    }

    let Some(routine) = routine else {
        set_errno(libc::EINVAL);
        return usize::MAX;
    };
    let call = Box::into_raw(Box::new(Call(routine, parameter)));
    match create(run, call.cast(), stack as usize) {
        Ok((thread, handle)) => {
            let handle = handle as usize;
            thread.at_exit(move || {
                // The program may have closed it, though it should not.
                let _ = handle::close(handle as HANDLE);
            });
            thread.resume();
            handle
        }
        Err(error) => {
            // SAFETY: no thread runs with it.
            drop(unsafe { Box::from_raw(call) });
            error::set_last(error);
            set_errno(libc::EAGAIN);
            usize::MAX
        }
    }
}

/// Ends the calling thread. Nothing is unwound.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn ExitThread(code: DWORD) -> ! {
    // SAFETY: the program's frames are its own affair, and this one has nothing to drop.
    unsafe { objects::exit_thread(code) }
}

/// Ends the calling thread.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn _endthreadex(code: c_uint) {
    // SAFETY: the same call.
    unsafe { ExitThread(code) }
}

/// Ends the calling thread.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn _endthread() {
    // SAFETY: the same call.
    unsafe { ExitThread(0) }
}

/// Lets a thread run that was created suspended; how often it was suspended.
#[unsafe(no_mangle)]
pub extern "C" fn ResumeThread(thread: HANDLE) -> DWORD {
    error::or(
        with_thread(thread, |thread| Ok(thread.resume())),
        DWORD::MAX,
    )
}

/// Suspends a thread that does not run yet; others are refused.
#[unsafe(no_mangle)]
pub extern "C" fn SuspendThread(thread: HANDLE) -> DWORD {
    error::or(with_thread(thread, Thread::suspend), DWORD::MAX)
}

/// Ends the calling thread, or one that does not run yet; others are refused.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn TerminateThread(thread: HANDLE, code: DWORD) -> BOOL {
    let is_me = with_thread(thread, |thread| Ok(thread.id() == ThreadId::current()));
    if is_me == Ok(true) {
        // SAFETY: the same call.
        unsafe { ExitThread(code) };
    }
    let result = with_thread(thread, |thread| thread.terminate(code));
    error::or(result.map(|()| TRUE), FALSE)
}

/// How a thread ended, or `STILL_ACTIVE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetExitCodeThread(thread: HANDLE, code: *mut DWORD) -> BOOL {
    let result = with_thread(thread, |thread| Ok(thread.exit_code())).map(|value| {
        // SAFETY: where the program wants it.
        unsafe { text::give(code, value) };
        TRUE
    });
    error::or(result, FALSE)
}

/// A handle that means the thread that uses it.
#[unsafe(no_mangle)]
pub extern "C" fn GetCurrentThread() -> HANDLE {
    -2_isize as HANDLE
}

/// The calling thread's number.
#[unsafe(no_mangle)]
pub extern "C" fn GetCurrentThreadId() -> DWORD {
    ThreadId::current().number()
}

/// A thread's number.
#[unsafe(no_mangle)]
pub extern "C" fn GetThreadId(thread: HANDLE) -> DWORD {
    error::or(with_thread(thread, |thread| Ok(thread.id().number())), 0)
}

/// A handle for the thread of this number, of this process.
#[unsafe(no_mangle)]
pub extern "C" fn OpenThread(_access: DWORD, _inherit: BOOL, number: DWORD) -> HANDLE {
    let thread = Thread::of(number).ok_or(Error::INVALID_PARAMETER);
    error::or(thread.and_then(handle::open), null_mut())
}

/// Names a thread, for debuggers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SetThreadDescription(thread: HANDLE, name: *const WCHAR) -> LONG {
    const E_FAIL: LONG = 0x8000_4005_u32 as LONG;
    // SAFETY: a string of the program's.
    let name = unsafe { text::wide(name) }.unwrap_or_default();
    let tid = with_thread(thread, |thread| thread.tid().ok_or(Error::NOT_SUPPORTED));
    let named = tid.is_ok_and(|tid| {
        // The kernel takes as much of it as it has room for.
        std::fs::write(format!("/proc/self/task/{tid}/comm"), name).is_ok()
    });
    if named { 0 } else { E_FAIL }
}

/// Accepted, and kept for `GetThreadPriority`.
#[unsafe(no_mangle)]
pub extern "C" fn SetThreadPriority(thread: HANDLE, priority: c_int) -> BOOL {
    let result = with_thread(thread, |thread| {
        thread.priority().store(priority, SeqCst);
        Ok(TRUE)
    });
    error::or(result, FALSE)
}

/// What `SetThreadPriority` was given.
#[unsafe(no_mangle)]
pub extern "C" fn GetThreadPriority(thread: HANDLE) -> c_int {
    error::or(
        with_thread(thread, |thread| Ok(thread.priority().load(SeqCst))),
        THREAD_PRIORITY_ERROR_RETURN,
    )
}

/// Accepted.
#[unsafe(no_mangle)]
pub extern "C" fn SetThreadPriorityBoost(thread: HANDLE, _disabled: BOOL) -> BOOL {
    error::or(with_thread(thread, |_| Ok(TRUE)), FALSE)
}

/// Lets a running thread run on these processors only; on which it did before.
#[unsafe(no_mangle)]
pub extern "C" fn SetThreadAffinityMask(thread: HANDLE, mask: ULONG_PTR) -> ULONG_PTR {
    let result = with_thread(thread, |thread| {
        let tid = thread.tid().ok_or(Error::NOT_SUPPORTED)?;
        let before = affinity(tid)?;
        let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
        // SAFETY: zeros are an empty set, and its bits are 64 and more.
        let failed = unsafe {
            for processor in (0..64).filter(|processor| mask >> processor & 1 != 0) {
                libc::CPU_SET(processor, set.assume_init_mut());
            }
            libc::sched_setaffinity(tid, size_of::<libc::cpu_set_t>(), set.as_ptr())
        };
        match failed {
            0 => Ok(before),
            _ => Err(Error::INVALID_PARAMETER),
        }
    });
    error::or(result, 0)
}

/// On which processors a thread runs, of the first 64.
fn affinity(tid: libc::pid_t) -> Result<ULONG_PTR, Error> {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: the set is written, and was zeros before.
    unsafe {
        if libc::sched_getaffinity(tid, size_of::<libc::cpu_set_t>(), set.as_mut_ptr()) != 0 {
            return Err(Error::INVALID_PARAMETER);
        }
        let set = set.assume_init();
        Ok((0..64)
            .filter(|&processor| libc::CPU_ISSET(processor, &set))
            .fold(0, |mask, processor| mask | 1 << processor))
    }
}

/// Accepted.
#[unsafe(no_mangle)]
pub extern "C" fn SetThreadIdealProcessor(thread: HANDLE, processor: DWORD) -> DWORD {
    error::or(with_thread(thread, |_| Ok(processor)), DWORD::MAX)
}

/// Lets others run. Whether one did is not known, so it says no.
#[unsafe(no_mangle)]
pub extern "C" fn SwitchToThread() -> BOOL {
    std::thread::yield_now();
    FALSE
}

/// A handle that means this process.
#[unsafe(no_mangle)]
pub extern "C" fn GetCurrentProcess() -> HANDLE {
    -1_isize as HANDLE
}

/// This process's number.
#[unsafe(no_mangle)]
pub extern "C" fn GetCurrentProcessId() -> DWORD {
    std::process::id()
}

/// A handle for the process of this number, if it is this one.
#[unsafe(no_mangle)]
pub extern "C" fn OpenProcess(_access: DWORD, _inherit: BOOL, number: DWORD) -> HANDLE {
    let process = match number == std::process::id() {
        true => handle::duplicate(GetCurrentProcess()),
        false => Err(Error::INVALID_PARAMETER),
    };
    error::or(process, null_mut())
}

fn is_process(process: HANDLE) -> Result<(), Error> {
    match handle::find(process)? {
        Object::Process(_) => Ok(()),
        _ => Err(Error::INVALID_HANDLE),
    }
}

/// A process's number: this one's.
#[unsafe(no_mangle)]
pub extern "C" fn GetProcessId(process: HANDLE) -> DWORD {
    error::or(is_process(process).map(|()| std::process::id()), 0)
}

/// It has not ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetExitCodeProcess(process: HANDLE, code: *mut DWORD) -> BOOL {
    let result = is_process(process).map(|()| {
        // SAFETY: where the program wants it.
        unsafe { text::give(code, STILL_ACTIVE) };
        TRUE
    });
    error::or(result, FALSE)
}

/// On which processor the thread runs.
#[unsafe(no_mangle)]
pub extern "C" fn GetCurrentProcessorNumber() -> DWORD {
    // SAFETY: it takes nothing.
    unsafe { libc::sched_getcpu() as DWORD }
}

/// On which processors the process and the system run, of the first 64.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetProcessAffinityMask(
    process: HANDLE,
    of_process: *mut ULONG_PTR,
    of_system: *mut ULONG_PTR,
) -> BOOL {
    let result = is_process(process).and_then(|()| affinity(0)).map(|mask| {
        // SAFETY: where the program wants them.
        unsafe {
            text::give(of_process, mask);
            text::give(of_system, mask);
        }
        TRUE
    });
    error::or(result, FALSE)
}

/// Accepted.
#[unsafe(no_mangle)]
pub extern "C" fn SetPriorityClass(process: HANDLE, _class: DWORD) -> BOOL {
    error::or(is_process(process).map(|()| TRUE), FALSE)
}

/// Normal.
#[unsafe(no_mangle)]
pub extern "C" fn GetPriorityClass(process: HANDLE) -> DWORD {
    error::or(is_process(process).map(|()| NORMAL_PRIORITY_CLASS), 0)
}

/// Ends the process. Its other threads run no further, so what they use is not destroyed; what was
/// printed is written.
#[unsafe(no_mangle)]
pub extern "C" fn ExitProcess(code: DWORD) -> ! {
    objects::flush_stdout_last();
    // SAFETY: it takes nothing but a number.
    unsafe { libc::_exit(code as c_int) }
}

/// Ends this process at once; others are refused.
#[unsafe(no_mangle)]
pub extern "C" fn TerminateProcess(process: HANDLE, code: DWORD) -> BOOL {
    if let Err(error) = is_process(process) {
        error::set_last(error);
        return FALSE;
    }
    // SAFETY: it takes nothing but a number.
    unsafe { libc::_exit(code as c_int) }
}

fn set_errno(error: c_int) {
    // SAFETY: the address is the calling thread's own.
    unsafe { *libc::__errno_location() = error };
}
