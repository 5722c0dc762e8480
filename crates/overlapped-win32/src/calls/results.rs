//! How an operation stands, by its `OVERLAPPED`.

use std::sync::atomic::{AtomicUsize, Ordering::Acquire};
use std::time::Duration;

use overlapped_core::Status;

use super::{socket, timeout, truth};
use crate::abi::{BOOL, DWORD, FALSE, HANDLE, OVERLAPPED, SOCKET};
use crate::dispatcher::{self, Ended};
use crate::error::Error;
use crate::{apc, handle};

const STATUS_PENDING: usize = 0x103;

/// How it ended; `None` if it has not.
///
/// # Safety
///
/// `overlapped` is valid.
unsafe fn status(overlapped: *mut OVERLAPPED) -> Option<Status> {
    // SAFETY: by the caller's word; whoever writes it does so last.
    let internal = unsafe { AtomicUsize::from_ptr(&raw mut (*overlapped).Internal) };
    match internal.load(Acquire) {
        STATUS_PENDING => None,
        status => Some(Status::from_code(status as u32 as i32)),
    }
}

/// Waits for an operation, for its event or the file object (GO-1, GO-2).
unsafe fn wait(
    file: HANDLE,
    overlapped: *mut OVERLAPPED,
    limit: Option<Duration>,
    alertable: bool,
) -> Result<(), Error> {
    if limit == Some(Duration::ZERO) {
        return Err(Error::IO_INCOMPLETE);
    }
    // SAFETY: by the caller's word.
    let event = unsafe { (*overlapped).hEvent };
    let object = handle::find(if event.is_null() { file } else { event })?;
    let signal = object.signal()?;
    // A file object that nobody has waited for before does not know of ends in the past.
    // SAFETY: by the caller's word.
    if unsafe { status(overlapped) }.is_some() {
        return Ok(());
    }
    match dispatcher::wait(&[signal], false, limit, alertable) {
        Ended::TimedOut => Err(Error::WAIT_TIMEOUT),
        Ended::Alerted => Err(Error::WAIT_IO_COMPLETION),
        Ended::Signalled(_) | Ended::Abandoned(_) => Ok(()),
    }
}

/// The result: bytes, or the error that `name` gives to the status.
unsafe fn result(
    file: HANDLE,
    overlapped: *mut OVERLAPPED,
    bytes: *mut DWORD,
    limit: Option<Duration>,
    alertable: bool,
    name: fn(Status) -> u32,
) -> Result<(), Error> {
    if overlapped.is_null() || bytes.is_null() {
        return Err(Error::INVALID_PARAMETER);
    }
    // SAFETY: both are valid, by the caller's word.
    unsafe {
        if status(overlapped).is_none() {
            wait(file, overlapped, limit, alertable)?;
        }
        // If its event was set by somebody else, it is as good as ended.
        let status = status(overlapped).unwrap_or(Status::SUCCESS);
        *bytes = (*overlapped).InternalHigh as u32;
        match name(status) {
            0 => Ok(()),
            error => Err(Error(error)),
        }
    }
}

/// What `GetLastError` shows of a status, also of one that is none of ours: a program may have written
/// it (table 6a).
fn win32(status: Status) -> u32 {
    match Error(status.win32()) {
        Error::MR_MID_NOT_FOUND => super::system::RtlNtStatusToDosError(status.code()),
        Error(known) => known,
    }
}

/// The same for `WSAGetLastError`.
fn winsock(status: Status) -> u32 {
    match status.code() as u32 {
        0xC000_0024 => Error::WSAENOTSOCK.0,
        0xC000_0043 => Error::WSAEADDRINUSE.0,
        _ => status.winsock(),
    }
}

/// How an operation of our own ended, of which this event tells.
///
/// # Safety
///
/// `overlapped` is valid.
pub(super) unsafe fn ended(
    event: HANDLE,
    overlapped: *mut OVERLAPPED,
    name: fn(Status) -> u32,
) -> Result<usize, Error> {
    let mut bytes = 0;
    // SAFETY: by the caller's word.
    unsafe { result(event, overlapped, &mut bytes, None, false, name) }?;
    Ok(bytes as usize)
}

/// How an operation ended; waits for that if it is to.
///
/// # Safety
///
/// The pointers are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetOverlappedResult(
    file: HANDLE,
    overlapped: *mut OVERLAPPED,
    bytes: *mut DWORD,
    wait: BOOL,
) -> BOOL {
    let limit = if wait == FALSE {
        Some(Duration::ZERO)
    } else {
        None
    };
    // SAFETY: by the caller's word.
    truth(unsafe { result(file, overlapped, bytes, limit, false, win32) })
}

/// The same, with a time-out, and alertable.
///
/// # Safety
///
/// The pointers are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetOverlappedResultEx(
    file: HANDLE,
    overlapped: *mut OVERLAPPED,
    bytes: *mut DWORD,
    milliseconds: DWORD,
    alertable: BOOL,
) -> BOOL {
    let (limit, alertable) = (timeout(milliseconds), alertable != FALSE);
    // SAFETY: by the caller's word.
    let result = unsafe { result(file, overlapped, bytes, limit, alertable, win32) };
    if result == Err(Error::WAIT_IO_COMPLETION) {
        apc::run();
    }
    truth(result)
}

/// The same for a socket, with Winsock's errors (GO-3).
///
/// # Safety
///
/// The pointers are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WSAGetOverlappedResult(
    s: SOCKET,
    overlapped: *mut OVERLAPPED,
    bytes: *mut DWORD,
    wait: BOOL,
    flags: *mut DWORD,
) -> BOOL {
    if let Err(error) = socket(s) {
        return truth(Err(error));
    }
    if overlapped.is_null() || bytes.is_null() || flags.is_null() {
        return truth(Err(Error::WSAEFAULT));
    }
    // SAFETY: by the caller's word.
    unsafe { *flags = 0 };
    let limit = if wait == FALSE {
        Some(Duration::ZERO)
    } else {
        None
    };
    // SAFETY: by the caller's word.
    truth(unsafe { result(s as HANDLE, overlapped, bytes, limit, false, winsock) })
}
