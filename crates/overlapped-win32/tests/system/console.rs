use std::os::unix::process::ExitStatusExt;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::SeqCst};

use overlapped_win32::abi::*;
use overlapped_win32::calls::console::*;
use overlapped_win32::calls::control::*;
use overlapped_win32::calls::handles::*;
use overlapped_win32::calls::waits::*;

use crate::*;

const STD_INPUT: DWORD = -10_i32 as DWORD;
const STD_OUTPUT: DWORD = -11_i32 as DWORD;
const CTRL_C: DWORD = 0;
const CTRL_CLOSE: DWORD = 2;

#[test]
fn what_is_written_to_the_console_is_standard_output() {
    if !is_child() {
        let output = again("console::what_is_written_to_the_console_is_standard_output");
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("first second third größer"), "{text}");
        return;
    }
    let out = GetStdHandle(STD_OUTPUT);
    let wide: Vec<u16> = "third größer\n".encode_utf16().collect();
    let mut written = 0;
    // SAFETY: the lengths are those of the texts.
    unsafe {
        WriteConsoleA(out, c"first ".as_ptr().cast(), 6, &mut written, null_mut());
        assert_eq!(written, 6);
        // What the program printed goes before what it writes later.
        libc::printf(c"second ".as_ptr());
        let length = wide.len() as DWORD;
        WriteConsoleW(out, wide.as_ptr().cast(), length, null_mut(), null_mut());
    }
}

#[test]
fn standard_handles_stay_the_same_and_are_no_terminals_in_a_pipe() {
    assert_eq!(GetStdHandle(STD_OUTPUT), GetStdHandle(STD_OUTPUT));
    assert_ne!(GetStdHandle(STD_OUTPUT), GetStdHandle(STD_INPUT));
    for wrong in [0, -9_i32 as DWORD, -13_i32 as DWORD] {
        assert_eq!(GetStdHandle(wrong), INVALID_HANDLE_VALUE);
        assert_eq!(GetLastError(), ERROR_INVALID_HANDLE);
    }
    let mut written = 1;
    // SAFETY: nothing is written.
    unsafe {
        let none = WriteConsoleA(null_mut(), c"".as_ptr().cast(), 0, &mut written, null_mut());
        fails(none, ERROR_INVALID_HANDLE);
    }
    assert_eq!(written, 0);
    assert_eq!(
        WaitForSingleObject(GetStdHandle(STD_OUTPUT), 0),
        WAIT_FAILED
    );
    assert_eq!(GetConsoleOutputCP(), 65001);
    assert_eq!(GetAsyncKeyState(27), 0);
}

static GOT: AtomicU32 = AtomicU32::new(u32::MAX);
static EVENT: AtomicPtr<std::ffi::c_void> = AtomicPtr::new(null_mut());

unsafe extern "C-unwind" fn takes(event: DWORD) -> BOOL {
    GOT.store(event, SeqCst);
    SetEvent(EVENT.load(SeqCst));
    TRUE
}

unsafe extern "C-unwind" fn passes(_event: DWORD) -> BOOL {
    FALSE
}

use overlapped_win32::calls::sync::SetEvent;

/// Sends the child a signal of its own, and waits until the handler has it.
fn child_gets(signal: i32) -> DWORD {
    let event = event(true, false);
    EVENT.store(event, SeqCst);
    // SAFETY: the handlers are good for ever; a signal to this process.
    unsafe {
        assert_eq!(SetConsoleCtrlHandler(Some(takes), TRUE), TRUE);
        assert_eq!(SetConsoleCtrlHandler(Some(passes), TRUE), TRUE);
        libc::kill(libc::getpid(), signal);
    }
    assert_eq!(WaitForSingleObject(event, LONG), 0);
    GOT.load(SeqCst)
}

#[test]
fn ctrl_c_goes_to_the_handlers_and_the_program_goes_on() {
    if !is_child() {
        let output = again("console::ctrl_c_goes_to_the_handlers_and_the_program_goes_on");
        assert!(output.status.success(), "{output:?}");
        return;
    }
    assert_eq!(child_gets(libc::SIGINT), CTRL_C);
    let event = EVENT.load(SeqCst);
    overlapped_win32::calls::sync::ResetEvent(event);
    assert_eq!(GenerateConsoleCtrlEvent(CTRL_C, 0), TRUE);
    assert_eq!(WaitForSingleObject(event, LONG), 0);
    fails(
        GenerateConsoleCtrlEvent(CTRL_CLOSE, 0),
        ERROR_INVALID_PARAMETER,
    );
    // SAFETY: it is removed, and then it is not there.
    unsafe {
        assert_eq!(SetConsoleCtrlHandler(Some(takes), FALSE), TRUE);
        fails(
            SetConsoleCtrlHandler(Some(takes), FALSE),
            ERROR_INVALID_PARAMETER,
        );
    }
}

#[test]
fn ctrl_c_that_nobody_takes_ends_the_program_by_its_signal() {
    if !is_child() {
        let output = again("console::ctrl_c_that_nobody_takes_ends_the_program_by_its_signal");
        assert_eq!(output.status.signal(), Some(libc::SIGINT));
        return;
    }
    // SAFETY: the handler is good for ever.
    unsafe { SetConsoleCtrlHandler(Some(passes), TRUE) };
    assert_eq!(GenerateConsoleCtrlEvent(CTRL_C, 0), TRUE);
    Sleep(LONG);
}

#[test]
fn a_close_is_handled_and_ends_the_program() {
    if !is_child() {
        let output = again("console::a_close_is_handled_and_ends_the_program");
        assert_eq!(output.status.signal(), Some(libc::SIGTERM));
        assert!(String::from_utf8_lossy(&output.stdout).contains("closing"));
        return;
    }
    unsafe extern "C-unwind" fn says(event: DWORD) -> BOOL {
        if event == CTRL_CLOSE {
            println!("closing");
        }
        TRUE
    }
    // SAFETY: the handler is good for ever; a signal to this process.
    unsafe {
        SetConsoleCtrlHandler(Some(says), TRUE);
        libc::kill(libc::getpid(), libc::SIGTERM);
    }
    Sleep(LONG);
}
