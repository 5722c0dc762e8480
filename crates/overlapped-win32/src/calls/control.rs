//! Control handlers: what the user or the system asks of the program.
//!
//! Ctrl-C is SIGINT, Ctrl-Break is SIGQUIT, and the end of the console is SIGHUP or SIGTERM. The
//! signals are caught from the first handler on, unless they were ignored (`nohup`). The signal's
//! handler only writes to a pipe; a thread of the library's reads that and starts one for each
//! event, as Windows does, since a handler may wait for the program to end. What no handler takes
//! ends the process by its signal, and so does a close that was handled: it is the program's last
//! chance.

use std::mem;
use std::os::fd::RawFd;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::abi::{BOOL, DWORD, FALSE, PHANDLER_ROUTINE, TRUE};
use crate::error::{self, Error};
use crate::{helpers, objects};

const CTRL_C_EVENT: DWORD = 0;
const CTRL_BREAK_EVENT: DWORD = 1;
const CTRL_CLOSE_EVENT: DWORD = 2;

/// The last one is asked first.
static HANDLERS: Mutex<Vec<PHANDLER_ROUTINE>> = Mutex::new(Vec::new());
static IGNORES_C: AtomicBool = AtomicBool::new(false);
/// Where signals are written to.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// What a signal means.
const SIGNALS: [(libc::c_int, DWORD); 4] = [
    (libc::SIGINT, CTRL_C_EVENT),
    (libc::SIGQUIT, CTRL_BREAK_EVENT),
    (libc::SIGTERM, CTRL_CLOSE_EVENT),
    (libc::SIGHUP, CTRL_CLOSE_EVENT),
];

/// Catches the signals, once.
fn start() -> Result<(), Error> {
    static STARTED: OnceLock<Result<(), Error>> = OnceLock::new();
    *STARTED.get_or_init(|| {
        let mut ends = [-1; 2];
        // SAFETY: both ends are written.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
            return Err(Error::NOT_ENOUGH_MEMORY);
        }
        PIPE.store(ends[1], SeqCst);
        helpers::spawn("overlapped-control", move || read(ends[0]))?;
        for (signal, _) in SIGNALS {
            // SAFETY: the actions are whole, and the handler is safe at any time.
            unsafe {
                let mut action: libc::sigaction = mem::zeroed();
                libc::sigaction(signal, std::ptr::null(), &mut action);
                if action.sa_sigaction != libc::SIG_IGN {
                    action.sa_sigaction = caught as *const () as libc::sighandler_t;
                    action.sa_flags = libc::SA_RESTART;
                    libc::sigaction(signal, &action, null_mut());
                }
            }
        }
        Ok(())
    })
}

/// A signal came: to whatever thread, in the middle of anything.
extern "C" fn caught(signal: libc::c_int) {
    // SAFETY: these may be called here; what they change is put back.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        write(signal);
        *errno = before;
    }
}

fn write(signal: libc::c_int) {
    let signal = signal as u8;
    // SAFETY: it is one byte.
    unsafe { libc::write(PIPE.load(SeqCst), (&raw const signal).cast(), 1) };
}

fn read(pipe: RawFd) {
    let mut signal = 0_u8;
    // SAFETY: it is one byte.
    while unsafe { libc::read(pipe, (&raw mut signal).cast(), 1) } == 1 {
        let signal = signal.into();
        if helpers::spawn("overlapped-control", move || handle(signal)).is_err() {
            handle(signal);
        }
    }
}

fn handle(signal: libc::c_int) {
    let event = SIGNALS.iter().find(|(other, _)| *other == signal);
    let event = event.map_or(CTRL_C_EVENT, |&(_, event)| event);
    if event == CTRL_C_EVENT && IGNORES_C.load(SeqCst) {
        return;
    }
    let handlers = HANDLERS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    // SAFETY: the program gave them for this.
    let is_taken = handlers
        .into_iter()
        .rev()
        .any(|handler| unsafe { handler(event) } != FALSE);
    if !is_taken || event == CTRL_CLOSE_EVENT {
        end(signal);
    }
}

/// Ends the process by a signal, so that its parent sees why.
fn end(signal: libc::c_int) {
    objects::flush_stdout_last();
    // SAFETY: signals and a mask of this thread.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        let mut only: libc::sigset_t = mem::zeroed();
        libc::sigaddset(&mut only, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &only, null_mut());
        libc::raise(signal);
    }
}

/// Adds or removes a handler; without one, lets Ctrl-C be ignored or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SetConsoleCtrlHandler(
    handler: Option<PHANDLER_ROUTINE>,
    add: BOOL,
) -> BOOL {
    let result = start().and_then(|()| {
        let Some(handler) = handler else {
            IGNORES_C.store(add != FALSE, SeqCst);
            return Ok(TRUE);
        };
        let mut handlers = HANDLERS.lock().unwrap_or_else(PoisonError::into_inner);
        if add != FALSE {
            handlers.push(handler);
            return Ok(TRUE);
        }
        let is_it = |other: &PHANDLER_ROUTINE| std::ptr::fn_addr_eq(*other, handler);
        let place = handlers.iter().rposition(is_it);
        handlers.remove(place.ok_or(Error::INVALID_PARAMETER)?);
        Ok(TRUE)
    });
    error::or(result, FALSE)
}

/// Lets a control event happen in this process, which is a group of its own.
#[unsafe(no_mangle)]
pub extern "C" fn GenerateConsoleCtrlEvent(event: DWORD, group: DWORD) -> BOOL {
    let signal = match event {
        CTRL_C_EVENT => libc::SIGINT,
        CTRL_BREAK_EVENT => libc::SIGQUIT,
        _ => {
            error::set_last(Error::INVALID_PARAMETER);
            return FALSE;
        }
    };
    if group != 0 && group != std::process::id() {
        error::set_last(Error::INVALID_PARAMETER);
        return FALSE;
    }
    error::or(
        start().map(|()| {
            write(signal);
            TRUE
        }),
        FALSE,
    )
}
