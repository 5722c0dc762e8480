//! The calls that are not I/O, through the functions that programs link.
#![cfg(target_os = "linux")]

mod apcs;
mod console;
mod locks;
mod memory;
mod modules;
mod pool;
mod strings;
mod sync;
mod threads;
mod time;

use std::ffi::c_void;
use std::process::{Command, Output};
use std::ptr::null_mut;

use overlapped_win32::abi::{DWORD, FALSE, HANDLE, LPTHREAD_START_ROUTINE, TRUE};
use overlapped_win32::calls::handles::{CloseHandle, GetLastError};
use overlapped_win32::calls::sync::CreateEventA;
use overlapped_win32::calls::threads::CreateThread;
use overlapped_win32::calls::waits::WaitForSingleObject;

/// Nothing takes as long.
const LONG: DWORD = 60_000;
const WAIT_TIMEOUT: DWORD = 258;
const WAIT_IO_COMPLETION: DWORD = 192;
const WAIT_FAILED: DWORD = DWORD::MAX;

const ERROR_INVALID_HANDLE: DWORD = 6;
const ERROR_INVALID_PARAMETER: DWORD = 87;

/// What is carried to another thread as it is: handles, and addresses that outlive it.
#[derive(Clone, Copy)]
struct Carried<T>(T);

// SAFETY: whoever carries it sees to it.
unsafe impl<T> Send for Carried<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Carried<T> {}

impl<T: Copy> Carried<T> {
    fn get(&self) -> T {
        self.0
    }
}

fn thread(routine: LPTHREAD_START_ROUTINE, parameter: *mut c_void) -> HANDLE {
    // SAFETY: the tests give what their routines take.
    let handle = unsafe { CreateThread(null_mut(), 0, Some(routine), parameter, 0, null_mut()) };
    assert!(!handle.is_null());
    handle
}

fn join(thread: HANDLE) {
    assert_eq!(WaitForSingleObject(thread, LONG), 0);
    assert_eq!(CloseHandle(thread), TRUE);
}

fn event(manual_reset: bool, set: bool) -> HANDLE {
    // SAFETY: without a name.
    let event = unsafe {
        CreateEventA(
            null_mut(),
            manual_reset.into(),
            set.into(),
            std::ptr::null(),
        )
    };
    assert!(!event.is_null());
    event
}

fn fails(result: i32, error: DWORD) {
    assert_eq!((result, GetLastError()), (FALSE, error));
}

/// Whether this process was started by [`again`].
fn is_child() -> bool {
    std::env::var_os("OVERLAPPED_TEST_CHILD").is_some()
}

/// Runs one test of these in a process of its own.
fn again(test: &str) -> Output {
    again_command(test).output().unwrap()
}

fn again_command(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("OVERLAPPED_TEST_CHILD", "1");
    command
}
