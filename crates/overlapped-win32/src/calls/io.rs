//! Cancelling, and how the ends of operations are told.

use super::truth;
use crate::abi::{BOOL, HANDLE, OVERLAPPED};
use crate::error::Error;
use crate::handle;
use crate::thread::ThreadId;

/// Cancels the operations of a file object that have this `OVERLAPPED`, or all (CX-1, CX-2).
#[unsafe(no_mangle)]
pub extern "C" fn CancelIoEx(file: HANDLE, overlapped: *mut OVERLAPPED) -> BOOL {
    let cancelled = handle::find(file).and_then(|object| {
        object.cancel_those(|memory| {
            overlapped.is_null() || std::ptr::eq(memory.overlapped, overlapped)
        })
    });
    truth(match cancelled {
        Ok(0) => Err(Error::NOT_FOUND),
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    })
}

/// Cancels what the calling thread has started on a file object (CX-3).
#[unsafe(no_mangle)]
pub extern "C" fn CancelIo(file: HANDLE) -> BOOL {
    let me = ThreadId::current();
    let cancelled =
        handle::find(file).and_then(|object| object.cancel_those(|memory| memory.thread == me));
    truth(cancelled.map(|_| ()))
}

/// Skips packets of operations that end at once, or the signal of the object itself (SK-1 to SK-3).
#[unsafe(no_mangle)]
pub extern "C" fn SetFileCompletionNotificationModes(file: HANDLE, modes: u8) -> BOOL {
    let set = handle::find(file).and_then(|object| object.notification()?.add_modes(modes));
    truth(set)
}

const DUPLICATE_CLOSE_SOURCE: u32 = 1;

/// Another handle for the same object, in this process (PO-9, CX-7). Rights are not looked at.
///
/// # Safety
///
/// `to` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn DuplicateHandle(
    _from_process: HANDLE,
    from: HANDLE,
    _to_process: HANDLE,
    to: *mut HANDLE,
    _access: u32,
    _inherit: BOOL,
    options: u32,
) -> BOOL {
    let made = handle::duplicate(from).and_then(|made| {
        if options & DUPLICATE_CLOSE_SOURCE != 0 {
            handle::close(from).inspect_err(|_| {
                let _ = handle::close(made);
            })?;
        }
        if to.is_null() {
            return handle::close(made);
        }
        // SAFETY: by the caller's word.
        unsafe { *to = made };
        Ok(())
    });
    truth(made)
}

/// What a handle is marked with: nothing here, since no handle is inherited and all can be closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetHandleInformation(object: HANDLE, flags: *mut u32) -> BOOL {
    let asked = handle::find(object).and_then(|_| {
        if flags.is_null() {
            return Err(Error::INVALID_PARAMETER);
        }
        // SAFETY: by the caller's word.
        unsafe { *flags = 0 };
        Ok(())
    });
    truth(asked)
}

/// Accepted.
#[unsafe(no_mangle)]
pub extern "C" fn SetHandleInformation(object: HANDLE, _mask: u32, _flags: u32) -> BOOL {
    truth(handle::find(object).map(|_| ()))
}
