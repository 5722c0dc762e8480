//! Waits.

use smallvec::SmallVec;

use crate::abi::{BOOL, DWORD, FALSE, HANDLE, INFINITE};
use crate::dispatcher::{self, Ended, Signal};
use crate::error::{self, Error};
use crate::objects::Object;
use crate::{apc, handle, thread, time};

/// How many objects a wait may be for.
const MAXIMUM_WAIT_OBJECTS: usize = 64;
const WAIT_OBJECT_0: DWORD = 0;
const WAIT_ABANDONED_0: DWORD = 0x80;
const WAIT_IO_COMPLETION: DWORD = 0xC0;
const WAIT_TIMEOUT: DWORD = 258;
const WAIT_FAILED: DWORD = DWORD::MAX;

fn wait(objects: &[Object], all: bool, timeout: DWORD, alertable: BOOL) -> Result<DWORD, Error> {
    let signals: SmallVec<[&Signal; 4]> = objects
        .iter()
        .map(Object::signal)
        .collect::<Result<_, _>>()?;
    if all {
        let twice = |(place, signal): (usize, &&Signal)| {
            signals[..place]
                .iter()
                .any(|other| std::ptr::eq(*other, *signal))
        };
        if signals.iter().enumerate().any(twice) {
            return Err(Error::INVALID_PARAMETER);
        }
    }
    let timeout = time::timeout(timeout);
    Ok(result(dispatcher::wait(
        &signals,
        all,
        timeout,
        alertable != FALSE,
    )))
}

/// What programs see of a wait, after the calls that ended it.
fn result(ended: Ended) -> DWORD {
    match ended {
        Ended::Signalled(place) => WAIT_OBJECT_0 + place as DWORD,
        Ended::Abandoned(place) => WAIT_ABANDONED_0 + place as DWORD,
        Ended::TimedOut => WAIT_TIMEOUT,
        Ended::Alerted => WAIT_IO_COMPLETION,
    }
}

/// Runs what is queued to the thread if that ended the wait.
///
/// After everything that the wait held is dropped, since a call may end the thread.
fn run_calls(result: DWORD) -> DWORD {
    if result == WAIT_IO_COMPLETION {
        apc::run();
    }
    result
}

/// Waits for an object.
#[unsafe(no_mangle)]
pub extern "C" fn WaitForSingleObject(object: HANDLE, timeout: DWORD) -> DWORD {
    WaitForSingleObjectEx(object, timeout, FALSE)
}

/// Waits for an object, and for calls if it is alertable.
#[unsafe(no_mangle)]
pub extern "C" fn WaitForSingleObjectEx(object: HANDLE, timeout: DWORD, alertable: BOOL) -> DWORD {
    let result = handle::find(object).and_then(|object| wait(&[object], false, timeout, alertable));
    run_calls(error::or(result, WAIT_FAILED))
}

/// Waits for one of the objects, or for all of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WaitForMultipleObjects(
    count: DWORD,
    handles: *const HANDLE,
    all: BOOL,
    timeout: DWORD,
) -> DWORD {
    // SAFETY: the same call.
    unsafe { WaitForMultipleObjectsEx(count, handles, all, timeout, FALSE) }
}

/// Waits for one of the objects, or for all of them, and for calls if it is alertable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WaitForMultipleObjectsEx(
    count: DWORD,
    handles: *const HANDLE,
    all: BOOL,
    timeout: DWORD,
    alertable: BOOL,
) -> DWORD {
    let count = count as usize;
    let result = if count == 0 || count > MAXIMUM_WAIT_OBJECTS || handles.is_null() {
        Err(Error::INVALID_PARAMETER)
    } else {
        // SAFETY: the program has so many handles there.
        let handles = unsafe { std::slice::from_raw_parts(handles, count) };
        let objects: Result<SmallVec<[Object; 4]>, _> =
            handles.iter().map(|&handle| handle::find(handle)).collect();
        objects.and_then(|objects| wait(&objects, all != FALSE, timeout, alertable))
    };
    run_calls(error::or(result, WAIT_FAILED))
}

/// Signals an object, and waits for another one.
#[unsafe(no_mangle)]
pub extern "C" fn SignalObjectAndWait(
    signal: HANDLE,
    object: HANDLE,
    timeout: DWORD,
    alertable: BOOL,
) -> DWORD {
    let result = handle::find(object).and_then(|object| {
        // Before the signal: a wait that cannot be is an error that changes nothing.
        object.signal()?;
        match handle::find(signal)? {
            Object::Event(event) => event.set(),
            Object::Mutex(mutex) => mutex.release()?,
            Object::Semaphore(semaphore) => semaphore.release(1).map(drop)?,
            _ => return Err(Error::INVALID_HANDLE),
        }
        wait(&[object], false, timeout, alertable)
    });
    run_calls(error::or(result, WAIT_FAILED))
}

/// Sleeps.
#[unsafe(no_mangle)]
pub extern "C" fn Sleep(milliseconds: DWORD) {
    SleepEx(milliseconds, FALSE);
}

/// Sleeps, until there are calls if it is alertable.
#[unsafe(no_mangle)]
pub extern "C" fn SleepEx(milliseconds: DWORD, alertable: BOOL) -> DWORD {
    let ended = match (alertable != FALSE, milliseconds) {
        (false, 0) => {
            std::thread::yield_now();
            Ended::TimedOut
        }
        (false, milliseconds) if milliseconds != INFINITE => {
            let time = std::time::Duration::from_millis(milliseconds.into());
            thread::blocking(|| std::thread::sleep(time));
            Ended::TimedOut
        }
        (alertable, _) => dispatcher::wait(&[], false, time::timeout(milliseconds), alertable),
    };
    match run_calls(result(ended)) {
        WAIT_IO_COMPLETION => WAIT_IO_COMPLETION,
        _ => 0,
    }
}
