//! From the system's codes to the model's statuses.

use windows_sys::Win32::Foundation::{
    ERROR_FILE_EXISTS, ERROR_FILENAME_EXCED_RANGE, ERROR_HANDLE_DISK_FULL, ERROR_LOCK_VIOLATION,
    ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY, ERROR_PATH_NOT_FOUND, ERROR_SHARING_VIOLATION,
    RtlNtStatusToDosError,
};
use windows_sys::Win32::Networking::WinSock::WSAGetLastError;

use crate::Status;

/// The closing of the last handle ended it.
const HANDLES_CLOSED: i32 = 0x8000_000A_u32 as i32;
const LOCAL_DISCONNECT: i32 = 0xC000_013B_u32 as i32;
const REMOTE_DISCONNECT: i32 = 0xC000_013C_u32 as i32;

/// The status that a packet has. One that is not in table 6a is looked up by the number that
/// `GetLastError` would show, and stays as it is if that tells nothing either.
pub(super) fn of_packet(code: i32) -> Status {
    match code {
        HANDLES_CLOSED => return Status::CANCELLED,
        LOCAL_DISCONNECT => return Status::CONNECTION_ABORTED,
        REMOTE_DISCONNECT => return Status::CONNECTION_RESET,
        _ => {}
    }
    let status = Status::from_code(code);
    if status.is_success() || status.is_named() {
        return status;
    }
    // SAFETY: no pointers are involved.
    match Status::from_win32(unsafe { RtlNtStatusToDosError(code) }) {
        Status::UNSUCCESSFUL => status,
        named => named,
    }
}

/// The status of the Winsock call that has just failed.
pub(super) fn of_last_call() -> Status {
    // SAFETY: no pointers are involved.
    Status::from_win32(unsafe { WSAGetLastError() } as u32)
}

/// The status that an error number stands for, of a call with a file.
pub(super) fn of_file(error: u32) -> Status {
    match error {
        ERROR_PATH_NOT_FOUND => Status::OBJECT_NAME_NOT_FOUND,
        ERROR_FILE_EXISTS => Status::OBJECT_NAME_COLLISION,
        ERROR_FILENAME_EXCED_RANGE => Status::OBJECT_NAME_INVALID,
        ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION => Status::ACCESS_DENIED,
        ERROR_HANDLE_DISK_FULL => Status::DISK_FULL,
        ERROR_NOT_ENOUGH_MEMORY | ERROR_OUTOFMEMORY => Status::INSUFFICIENT_RESOURCES,
        error => Status::from_win32(error),
    }
}
