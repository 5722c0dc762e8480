//! Completion ports.

use std::ptr::null_mut;
use std::sync::Arc;

use super::{timeout, truth};
use crate::abi::{
    BOOL, DWORD, FALSE, HANDLE, INVALID_HANDLE_VALUE, OVERLAPPED, OVERLAPPED_ENTRY, TRUE, ULONG_PTR,
};
use crate::error::{self, Error};
use crate::objects::Port;
use crate::objects::notification::Association;
use crate::{apc, handle, objects};

fn port(port: HANDLE) -> Result<Arc<Port>, Error> {
    handle::look(port, |object| object.port().cloned())?
}

/// Makes a port, associates a file object with one, or both (PO-1 to PO-6).
#[unsafe(no_mangle)]
pub extern "C" fn CreateIoCompletionPort(
    file: HANDLE,
    existing: HANDLE,
    key: ULONG_PTR,
    concurrency: DWORD,
) -> HANDLE {
    error::or(create(file, existing, key, concurrency), null_mut())
}

fn create(file: HANDLE, existing: HANDLE, key: usize, concurrency: u32) -> Result<HANDLE, Error> {
    if file == INVALID_HANDLE_VALUE {
        return match existing.is_null() {
            true => handle::open(Port::new(concurrency)?),
            false => Err(Error::INVALID_PARAMETER),
        };
    }
    let file = handle::find(file)?;
    let notification = file.notification()?;
    if !existing.is_null() {
        notification.associate(Association::Port(port(existing)?, key))?;
        return Ok(existing);
    }
    let made = handle::open(Port::new(concurrency)?)?;
    port(made)
        .and_then(|port| notification.associate(Association::Port(port, key)))
        .inspect_err(|_| {
            let _ = handle::close(made);
        })?;
    Ok(made)
}

/// Waits for a packet (table 2a).
///
/// # Safety
///
/// The pointers are NULL or valid; a NULL one fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetQueuedCompletionStatus(
    port_handle: HANDLE,
    bytes: *mut DWORD,
    key: *mut ULONG_PTR,
    overlapped: *mut *mut OVERLAPPED,
    milliseconds: DWORD,
) -> BOOL {
    if bytes.is_null() || key.is_null() || overlapped.is_null() {
        error::set_last(Error::INVALID_PARAMETER);
        return FALSE;
    }
    // SAFETY: valid, by the caller's word.
    unsafe { *overlapped = null_mut() };
    match objects::port::get(port_handle, timeout(milliseconds)) {
        Ok(packet) => {
            // SAFETY: as above.
            unsafe {
                *overlapped = packet.overlapped;
                *key = packet.key;
                *bytes = packet.bytes() as u32;
            }
            let status = packet.status();
            packet.give_back();
            if status.is_success() {
                return TRUE;
            }
            error::set_last(Error(status.win32()));
            FALSE
        }
        Err(error) => {
            error::set_last(error);
            FALSE
        }
    }
}

/// Waits for packets, and takes those that are there (GX-1 to GX-7).
///
/// # Safety
///
/// `entries` is NULL or has room for `count` of them; `taken` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetQueuedCompletionStatusEx(
    port_handle: HANDLE,
    entries: *mut OVERLAPPED_ENTRY,
    count: DWORD,
    taken: *mut DWORD,
    milliseconds: DWORD,
    alertable: BOOL,
) -> BOOL {
    if entries.is_null() || count == 0 || taken.is_null() {
        error::set_last(Error::INVALID_PARAMETER);
        return FALSE;
    }
    // SAFETY: by the caller's word; a program need not have initialised them, but any bytes are a
    // valid entry, and each is written before it is read.
    let room = unsafe { std::slice::from_raw_parts_mut(entries, count as usize) };
    let alertable = alertable != FALSE;
    let result = objects::port::get_many(port_handle, room, timeout(milliseconds), alertable);
    // SAFETY: valid, by the caller's word.
    unsafe { *taken = result.map_or(0, |count| count as u32) };
    if result == Err(Error::WAIT_IO_COMPLETION) {
        // With nothing held: a call may end the thread.
        apc::run();
    }
    truth(result.map(|_| ()))
}

/// Queues a packet of the program's own (PQ-1).
#[unsafe(no_mangle)]
pub extern "C" fn PostQueuedCompletionStatus(
    port_handle: HANDLE,
    bytes: DWORD,
    key: ULONG_PTR,
    overlapped: *mut OVERLAPPED,
) -> BOOL {
    let posted = port(port_handle).and_then(|port| port.post(overlapped, key, bytes as usize));
    truth(posted)
}
