//! Ctrl-C, Ctrl-Break, and the end of the console or of the session.

use std::io;
use std::sync::{Mutex, PoisonError};

use windows_sys::Win32::Foundation::{FALSE, TRUE};
use windows_sys::Win32::System::Console::{
    CTRL_BREAK_EVENT, CTRL_C_EVENT, CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT,
    SetConsoleCtrlHandler,
};
use windows_sys::core::BOOL;

type First = Box<dyn FnOnce(i32) + Send>;

/// Whom to tell of the first event.
static FIRST: Mutex<Option<First>> = Mutex::new(None);

/// An event's name.
pub fn name(signal: i32) -> &'static str {
    match signal as u32 {
        CTRL_C_EVENT => "Ctrl-C",
        CTRL_BREAK_EVENT => "Ctrl-Break",
        CTRL_CLOSE_EVENT => "the end of the console",
        CTRL_LOGOFF_EVENT => "the end of the session",
        CTRL_SHUTDOWN_EVENT => "the end of the system",
        _ => "an event",
    }
}

/// From now on the first event is told to `first`, on a thread of the system's, and the second ends
/// the process at once, with the exit code that the system gives to such an end.
///
/// # Errors
///
/// The system's.
pub fn watch(first: impl FnOnce(i32) + Send + 'static) -> io::Result<()> {
    *lock() = Some(Box::new(first));
    // A process that begins a group of its own ignores Ctrl-C, which it can be asked to undo.
    // SAFETY: the handler lives for ever.
    #[allow(unsafe_code)]
    let set = unsafe {
        SetConsoleCtrlHandler(None, FALSE) != 0 && SetConsoleCtrlHandler(Some(handle), TRUE) != 0
    };
    if set {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn lock() -> std::sync::MutexGuard<'static, Option<First>> {
    FIRST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called by the system, on a thread of its own for each event.
#[allow(unsafe_code)]
unsafe extern "system" fn handle(event: u32) -> BOOL {
    let Some(first) = lock().take() else {
        // The handler behind this one ends the process.
        return FALSE;
    };
    first(event as i32);
    if !matches!(event, CTRL_C_EVENT | CTRL_BREAK_EVENT) {
        // When this returns the process is ended, so it does not: the system waits a few seconds.
        loop {
            std::thread::park();
        }
    }
    TRUE
}
