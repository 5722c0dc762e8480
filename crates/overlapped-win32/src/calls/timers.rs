//! Waitable timers and timer queues.

use std::ffi::{c_char, c_void};
use std::ptr::null_mut;
use std::sync::Arc;
use std::time::Duration;

use super::pool::then;
use crate::abi::{BOOL, DWORD, FALSE, HANDLE, LONG, TRUE, WAITORTIMERCALLBACK, WCHAR};
use crate::error::{self, Error};
use crate::objects::{Call, Object, QueueTimer, Then, Timer, TimerQueue, TimerRoutine};
use crate::{handle, names, text, time};

const CREATE_WAITABLE_TIMER_MANUAL_RESET: DWORD = 1;

fn create(manual_reset: bool, name: Option<String>) -> HANDLE {
    error::or(names::create(name, Timer::new(manual_reset)), null_mut())
}

/// Makes a timer that can be waited for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateWaitableTimerA(
    _attributes: *mut c_void,
    manual_reset: BOOL,
    name: *const c_char,
) -> HANDLE {
    // SAFETY: a string of the program's.
    create(manual_reset != FALSE, unsafe { text::ansi(name) })
}

/// Makes a timer that can be waited for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateWaitableTimerW(
    _attributes: *mut c_void,
    manual_reset: BOOL,
    name: *const WCHAR,
) -> HANDLE {
    // SAFETY: a string of the program's.
    create(manual_reset != FALSE, unsafe { text::wide(name) })
}

/// Makes a timer that can be waited for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateWaitableTimerExW(
    _attributes: *mut c_void,
    name: *const WCHAR,
    flags: DWORD,
    _access: DWORD,
) -> HANDLE {
    let manual_reset = flags & CREATE_WAITABLE_TIMER_MANUAL_RESET != 0;
    // SAFETY: a string of the program's.
    create(manual_reset, unsafe { text::wide(name) })
}

fn find(timer: HANDLE) -> Result<Arc<Timer>, Error> {
    match handle::find(timer)? {
        Object::Timer(timer) => Ok(timer),
        _ => Err(Error::INVALID_HANDLE),
    }
}

/// Sets when a timer is due, how often then, and what this thread is to call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SetWaitableTimer(
    timer: HANDLE,
    due: *const i64,
    period: LONG,
    routine: Option<TimerRoutine>,
    parameter: *mut c_void,
    _resume: BOOL,
) -> BOOL {
    let set = || {
        let timer = find(timer)?;
        if due.is_null() || period < 0 {
            return Err(Error::INVALID_PARAMETER);
        }
        // SAFETY: the program's.
        let due = time::due(unsafe { due.read_unaligned() });
        let period = (period > 0).then(|| Duration::from_millis(period as u64));
        timer.set(
            due,
            period,
            routine.map(|routine| (routine, parameter as usize)),
        )?;
        Ok(TRUE)
    };
    error::or(set(), FALSE)
}

/// A timer will not be due.
#[unsafe(no_mangle)]
pub extern "C" fn CancelWaitableTimer(timer: HANDLE) -> BOOL {
    let result = find(timer).map(|timer| {
        timer.cancel();
        TRUE
    });
    error::or(result, FALSE)
}

/// Makes a queue of timers.
#[unsafe(no_mangle)]
pub extern "C" fn CreateTimerQueue() -> HANDLE {
    error::or(handle::open(TimerQueue::default()), null_mut())
}

fn find_queue(queue: HANDLE) -> Result<Arc<TimerQueue>, Error> {
    match handle::find(queue)? {
        Object::TimerQueue(queue) => Ok(queue),
        _ => Err(Error::INVALID_HANDLE),
    }
}

fn find_in_queue(timer: HANDLE) -> Result<Arc<QueueTimer>, Error> {
    match handle::find(timer)? {
        Object::QueueTimer(timer) => Ok(timer),
        _ => Err(Error::INVALID_HANDLE),
    }
}

/// A period of 0 is none.
fn period(milliseconds: DWORD) -> Option<Duration> {
    time::timeout(milliseconds).filter(|period| !period.is_zero())
}

/// Calls a function on a thread of the pool when a time has passed, then every period.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateTimerQueueTimer(
    timer: *mut HANDLE,
    queue: HANDLE,
    routine: Option<WAITORTIMERCALLBACK>,
    parameter: *mut c_void,
    after: DWORD,
    every: DWORD,
    _flags: DWORD,
) -> BOOL {
    let create = || {
        let queue = match queue.is_null() {
            true => None,
            false => Some(find_queue(queue)?),
        };
        let call = Call {
            routine: routine.ok_or(Error::INVALID_PARAMETER)?,
            parameter: parameter as usize,
        };
        // Not due before its handle is where the program may look for it.
        let new = QueueTimer::new(call);
        if let Some(queue) = queue {
            queue.add(&new);
        }
        let handle = handle::open(new.clone())?;
        // SAFETY: where the program wants it.
        unsafe { text::give(timer, handle) };
        new.set(time::timeout(after), period(every))?;
        Ok(TRUE)
    };
    error::or(create(), FALSE)
}

/// Sets anew when a timer is due.
#[unsafe(no_mangle)]
pub extern "C" fn ChangeTimerQueueTimer(
    _queue: HANDLE,
    timer: HANDLE,
    after: DWORD,
    every: DWORD,
) -> BOOL {
    let result = find_in_queue(timer)
        .and_then(|timer| timer.set(time::timeout(after), period(every)))
        .map(|()| TRUE);
    error::or(result, FALSE)
}

/// Ends a timer; an event is set when its function does not run any more, or this waits until then
/// (`INVALID_HANDLE_VALUE`).
#[unsafe(no_mangle)]
pub extern "C" fn DeleteTimerQueueTimer(_queue: HANDLE, timer: HANDLE, finished: HANDLE) -> BOOL {
    let end = || {
        let found = find_in_queue(timer)?;
        let then = then(finished)?;
        handle::close(timer)?;
        found.end();
        match found.callbacks().end(then) {
            true => Ok(TRUE),
            false => Err(Error::IO_PENDING),
        }
    };
    error::or(end(), FALSE)
}

/// Ends a queue and its timers, and waits until no function of theirs runs if that is asked
/// (`INVALID_HANDLE_VALUE`); an event is set at the end.
#[unsafe(no_mangle)]
pub extern "C" fn DeleteTimerQueueEx(queue: HANDLE, finished: HANDLE) -> BOOL {
    let end = || {
        let found = find_queue(queue)?;
        let then = then(finished)?;
        handle::close(queue)?;
        let timers = found.timers();
        for timer in &timers {
            timer.end();
        }
        match then {
            Then::GoOn => {
                for timer in &timers {
                    timer.callbacks().end(Then::GoOn);
                }
            }
            // An event is for all of them, so it is set after the wait for them.
            Then::Wait | Then::Set(_) => {
                for timer in &timers {
                    timer.callbacks().end(Then::Wait);
                }
                if let Then::Set(event) = then {
                    event.set();
                }
            }
        }
        Ok(TRUE)
    };
    error::or(end(), FALSE)
}

/// Ends a queue and its timers.
#[unsafe(no_mangle)]
pub extern "C" fn DeleteTimerQueue(queue: HANDLE) -> BOOL {
    DeleteTimerQueueEx(queue, null_mut())
}
