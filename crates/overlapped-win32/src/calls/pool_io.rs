//! Packets that are brought to functions, on threads of the library's.

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;

use super::truth;
use crate::abi::{BOOL, DWORD, FALSE, HANDLE, OVERLAPPED};
use crate::error::{self, Error};
use crate::handle;
use crate::objects::notification::Association;
use crate::objects::{PoolIo, PoolIoCallback};

/// A function that is called with packets.
type IoRoutine = unsafe extern "C" fn(error: u32, bytes: u32, overlapped: *mut OVERLAPPED);

/// Has a function called with the packets of a file object (TP-1).
#[unsafe(no_mangle)]
pub extern "C" fn BindIoCompletionCallback(
    file: HANDLE,
    routine: Option<IoRoutine>,
    flags: DWORD,
) -> BOOL {
    let bound = handle::find(file).and_then(|object| {
        let (Some(routine), 0) = (routine, flags) else {
            return Err(Error::INVALID_PARAMETER);
        };
        let callback = Association::Callback(Arc::new(move |status, bytes, overlapped| {
            let overlapped = overlapped as usize;
            Some(Box::new(move || {
                let overlapped = overlapped as *mut OVERLAPPED;
                // SAFETY: the program gave the function for this.
                unsafe { routine(status.win32(), bytes as u32, overlapped) };
            }))
        }));
        object.notification()?.associate(callback)
    });
    truth(bound)
}

/// Makes the thread pool's object for a file object's packets (TP-2). Environments are not looked at.
#[unsafe(no_mangle)]
pub extern "C" fn CreateThreadpoolIo(
    file: HANDLE,
    callback: Option<PoolIoCallback>,
    context: *mut c_void,
    _environment: *mut c_void,
) -> *mut c_void {
    let made = handle::find(file).and_then(|object| {
        let callback = callback.ok_or(Error::INVALID_PARAMETER)?;
        let io = PoolIo::new(callback, context);
        let told = io.clone();
        let callback = Association::Callback(Arc::new(move |status, bytes, overlapped| {
            told.packet(status, bytes, overlapped)
        }));
        object.notification()?.associate(callback)?;
        Ok(Arc::into_raw(io).cast_mut().cast())
    });
    error::or(made, null_mut())
}

/// # Safety
///
/// `io` is NULL, or came from [`CreateThreadpoolIo`] and is not closed.
unsafe fn of<'a>(io: *mut c_void) -> Option<&'a PoolIo> {
    // SAFETY: by the caller's word.
    unsafe { io.cast::<PoolIo>().as_ref() }
}

/// An operation is about to be started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn StartThreadpoolIo(io: *mut c_void) {
    // SAFETY: by the caller's word.
    if let Some(io) = unsafe { of(io) } {
        io.start();
    }
}

/// It was not, or its packet was skipped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CancelThreadpoolIo(io: *mut c_void) {
    // SAFETY: by the caller's word.
    if let Some(io) = unsafe { of(io) } {
        io.cancel();
    }
}

/// Waits for the calls that are to come, or has those not come that have not begun.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WaitForThreadpoolIoCallbacks(io: *mut c_void, cancels: BOOL) {
    // SAFETY: by the caller's word.
    if let Some(io) = unsafe { of(io) } {
        crate::thread::blocking(|| io.wait(cancels != FALSE));
    }
}

/// Gives the object up; calls that are under way go on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CloseThreadpoolIo(io: *mut c_void) {
    if !io.is_null() {
        // SAFETY: by the caller's word it is what `CreateThreadpoolIo` gave.
        drop(unsafe { Arc::from_raw(io.cast::<PoolIo>().cast_const()) });
    }
}
