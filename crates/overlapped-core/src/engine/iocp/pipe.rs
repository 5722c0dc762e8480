//! An end of a named pipe.
//!
//! The pipes that std makes (`std::io::pipe`) are not open for overlapped operations, and nobody can
//! make them so. What can be associated is an end of a named pipe that was opened with
//! `FILE_FLAG_OVERLAPPED`; [`pair`] makes two such.

use std::io;
use std::os::windows::io::{FromRawHandle, OwnedHandle};
use std::ptr::{NonNull, null, null_mut};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_IO_PENDING, ERROR_NO_DATA, ERROR_PIPE_BUSY, ERROR_PIPE_LISTENING,
    GENERIC_WRITE, GetLastError, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, FILE_READ_DATA,
    FILE_TYPE_DISK, FILE_TYPE_PIPE, FILE_WRITE_DATA, GetFileType, OPEN_EXISTING,
    PIPE_ACCESS_INBOUND, ReadFile, WriteFile,
};
use windows_sys::Win32::System::IO::OVERLAPPED;
use windows_sys::Win32::System::Pipes::{
    CreateNamedPipeW, GetNamedPipeHandleStateW, PIPE_NOWAIT, PIPE_READMODE_BYTE,
    PIPE_READMODE_MESSAGE, PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_BYTE, PIPE_WAIT,
};

use super::calls::Issued;
use super::nature::{Nature, access_of, is_overlapped};
use super::pieces;
use crate::Status;
use crate::operation::{Header, Kind};

/// How many bytes the system keeps for a reader.
const BUFFER: u32 = 1 << 16;

/// Makes a pipe: its reading and its writing end.
pub(crate) fn pair() -> io::Result<(OwnedHandle, OwnedHandle)> {
    static NEXT: AtomicU32 = AtomicU32::new(0);

    let mut others = 0..100;
    loop {
        let number = NEXT.fetch_add(1, Relaxed);
        let name = format!(r"\\.\pipe\overlapped-{}-{number}", std::process::id());
        let name: Vec<u16> = name.encode_utf16().chain([0]).collect();
        match between(&name) {
            // Somebody else has this name; or, in a sandbox, all are refused.
            Err(error) if is_taken(&error) && others.next().is_some() => continue,
            result => return result,
        }
    }
}

fn is_taken(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(|code| code as u32);
    matches!(code, Some(ERROR_ACCESS_DENIED | ERROR_PIPE_BUSY))
}

/// The two ends of a pipe that has this name, which ends with a zero.
fn between(name: &[u16]) -> io::Result<(OwnedHandle, OwnedHandle)> {
    // SAFETY: the name ends with a zero.
    let reader = unsafe {
        CreateNamedPipeW(
            name.as_ptr(),
            PIPE_ACCESS_INBOUND | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE,
            PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
            1,
            BUFFER,
            BUFFER,
            0,
            null(),
        )
    };
    let reader = opened(reader)?;
    // SAFETY: as above.
    let writer = unsafe {
        CreateFileW(
            name.as_ptr(),
            GENERIC_WRITE,
            0,
            null(),
            OPEN_EXISTING,
            FILE_FLAG_OVERLAPPED,
            null_mut(),
        )
    };
    Ok((reader, opened(writer)?))
}

fn opened(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just opened, and is nobody else's.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// What can be done with it, if it is an end of a pipe.
pub(super) fn nature(handle: HANDLE) -> io::Result<Nature> {
    // SAFETY: the handle is open.
    match unsafe { GetFileType(handle) } {
        FILE_TYPE_PIPE => {}
        FILE_TYPE_DISK => {
            return Err(unsupported(
                "this is a file, which has operations of its own: use associate_file",
            ));
        }
        _ => return Err(unsupported("only sockets and pipes have operations")),
    }
    if !is_overlapped(handle) {
        return Err(unsupported(
            "this pipe was not opened for overlapped operations (FILE_FLAG_OVERLAPPED); \
             overlapped::pipe makes one that is",
        ));
    }
    let access = access_of(handle)?;
    let reads = access & FILE_READ_DATA != 0;
    if reads && mode(handle)? & (PIPE_READMODE_MESSAGE | PIPE_NOWAIT) != 0 {
        return Err(unsupported(
            "this pipe is read message by message, or without waiting: \
             set PIPE_READMODE_BYTE | PIPE_WAIT before",
        ));
    }
    let writes = access & FILE_WRITE_DATA != 0;
    Ok(Nature::Pipe { reads, writes })
}

fn unsupported(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, text)
}

/// How it is read.
fn mode(pipe: HANDLE) -> io::Result<u32> {
    let (mut mode, none) = (0, null_mut());
    // SAFETY: the pipe is open, the mode lives for the call, and nothing else is asked for.
    let asked =
        unsafe { GetNamedPipeHandleStateW(pipe, &mut mode, none, none, none, null_mut(), 0) };
    match asked {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(mode),
    }
}

/// Starts an operation.
///
/// # Safety
///
/// As for `calls::issue`.
pub(super) unsafe fn issue(pipe: HANDLE, header: NonNull<Header>) -> Result<Issued, Status> {
    // SAFETY: nobody else has it, and this reference is not used any more when the call is made.
    let operation = unsafe { &mut *header.as_ptr() };
    let overlapped: *mut OVERLAPPED = header.as_ptr().cast();
    let (mut bytes, most) = (0, u32::MAX as usize);
    // SAFETY: the pipe is open; the OVERLAPPED is the front of memory that was just given up and
    // stays until its packet is taken; the bytes obey `Segment::new`, or are the operation's own.
    let done = unsafe {
        match operation.kind() {
            Kind::Send => {
                let (from, length) = pieces::gathered(operation);
                if length == 0 {
                    // To a reader it could look like the end.
                    return Ok(Issued::Ended(Status::SUCCESS));
                }
                WriteFile(pipe, from, length as u32, &mut bytes, overlapped)
            }
            // Completes when there is something to be read (IO-4).
            Kind::RecvZero => ReadFile(pipe, null_mut(), 0, &mut bytes, overlapped),
            _ => {
                let (into, length) = pieces::room(operation, most);
                ReadFile(pipe, into, length as u32, &mut bytes, overlapped)
            }
        }
    };
    // SAFETY: no pointers are involved.
    match unsafe { GetLastError() } {
        _ if done != 0 => Ok(Issued::AtOnce(Status::SUCCESS, bytes)),
        ERROR_IO_PENDING => Ok(Issued::Pending),
        // No client has connected yet.
        ERROR_PIPE_LISTENING => Err(Status::INVALID_CONNECTION),
        ERROR_NO_DATA => Ok(Issued::Ended(Status::PIPE_BROKEN)),
        error => Ok(Issued::Ended(status(Status::from_win32(error)))),
    }
}

/// The model has one status for a pipe whose other end has gone (IO-19), the system several.
pub(super) fn status(status: Status) -> Status {
    const PIPE_CLOSING: Status = Status::from_code(0xC000_00B1_u32 as i32);
    match status {
        Status::PIPE_DISCONNECTED | PIPE_CLOSING => Status::PIPE_BROKEN,
        status => status,
    }
}
