//! What runs on threads of the library's: work items and registered waits.

use std::ffi::c_void;
use std::sync::Arc;

use crate::abi::{
    BOOL, DWORD, FALSE, HANDLE, INVALID_HANDLE_VALUE, LPTHREAD_START_ROUTINE, TRUE,
    WAITORTIMERCALLBACK,
};
use crate::error::{self, Error};
use crate::objects::{Call, Object, Registration, Then};
use crate::{handle, helpers, text, time};

const WT_EXECUTEONLYONCE: DWORD = 8;

/// Calls a function on a thread of the pool.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn QueueUserWorkItem(
    routine: Option<LPTHREAD_START_ROUTINE>,
    parameter: *mut c_void,
    _flags: DWORD,
) -> BOOL {
    let parameter = parameter as usize;
    let result = routine.ok_or(Error::INVALID_PARAMETER).and_then(|routine| {
        helpers::submit(move || {
            // SAFETY: the program gave them for this.
            unsafe { routine(parameter as *mut c_void) };
        })
    });
    error::or(result.map(|()| TRUE), FALSE)
}

/// Calls a function whenever a wait for an object ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RegisterWaitForSingleObject(
    registration: *mut HANDLE,
    object: HANDLE,
    routine: Option<WAITORTIMERCALLBACK>,
    parameter: *mut c_void,
    timeout: DWORD,
    flags: DWORD,
) -> BOOL {
    let register = || {
        let call = Call {
            routine: routine.ok_or(Error::INVALID_PARAMETER)?,
            parameter: parameter as usize,
        };
        let object = handle::find(object)?;
        let once = flags & WT_EXECUTEONLYONCE != 0;
        let registered = Registration::new(object, call, time::timeout(timeout), once)?;
        let handle = handle::open(registered.clone()).inspect_err(|_| registered.end())?;
        // SAFETY: where the program wants it.
        unsafe { text::give(registration, handle) };
        Ok(TRUE)
    };
    error::or(register(), FALSE)
}

/// Ends a registered wait. False with `ERROR_IO_PENDING` if its function runs.
#[unsafe(no_mangle)]
pub extern "C" fn UnregisterWait(registration: HANDLE) -> BOOL {
    UnregisterWaitEx(registration, std::ptr::null_mut())
}

/// Ends a registered wait; an event is set when its function does not run any more, or this waits
/// until then (`INVALID_HANDLE_VALUE`).
#[unsafe(no_mangle)]
pub extern "C" fn UnregisterWaitEx(registration: HANDLE, finished: HANDLE) -> BOOL {
    let end = || {
        let registered: Arc<Registration> = match handle::find(registration)? {
            Object::Registration(registered) => registered,
            _ => return Err(Error::INVALID_HANDLE),
        };
        let then = then(finished)?;
        handle::close(registration)?;
        registered.end();
        match registered.callbacks().end(then) {
            true => Ok(TRUE),
            false => Err(Error::IO_PENDING),
        }
    };
    error::or(end(), FALSE)
}

/// What a program that ends calls wants to happen about those that run.
pub(super) fn then(finished: HANDLE) -> Result<Then, Error> {
    Ok(match finished {
        finished if finished.is_null() => Then::GoOn,
        INVALID_HANDLE_VALUE => Then::Wait,
        finished => Then::Set(handle::find(finished)?.event()?.clone()),
    })
}
