//! What the system says of a socket, pipe or file, and is told of it.

use std::io;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Networking::WinSock::{
    SO_PROTOCOL_INFOW, SOCKET, SOL_SOCKET, WSAPROTOCOL_INFOW, XP1_IFS_HANDLES, getsockopt,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_NO_BUFFERING, FILE_FLAG_WRITE_THROUGH, SetFileCompletionNotificationModes,
};

use super::status;
use crate::Status;

/// What a socket moves, or that it is a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Stream,
    Datagram,
    Pipe { reads: bool, writes: bool },
}

/// What kind of socket it is, and of which address family.
pub(super) fn kind_of(socket: SOCKET) -> io::Result<(Nature, i32)> {
    let info = protocol(socket)?;
    let (stream, datagram) = (socket2::Type::STREAM, socket2::Type::DGRAM);
    let nature = match socket2::Type::from(info.iSocketType) {
        kind if kind == stream => Nature::Stream,
        kind if kind == datagram => Nature::Datagram,
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "only stream and datagram sockets have operations",
            ));
        }
    };
    Ok((nature, info.iAddressFamily))
}

fn protocol(socket: SOCKET) -> io::Result<WSAPROTOCOL_INFOW> {
    // SAFETY: all zeroes is a value of this plain structure.
    let mut info: WSAPROTOCOL_INFOW = unsafe { std::mem::zeroed() };
    option(socket, SO_PROTOCOL_INFOW, &mut info)?;
    Ok(info)
}

pub(super) fn listens(socket: SOCKET) -> bool {
    const SO_ACCEPTCONN: i32 = 2;
    let mut listens = 0i32;
    option(socket, SO_ACCEPTCONN, &mut listens).is_ok() && listens != 0
}

/// Reads an option whose value is a plain structure.
fn option<T: Copy>(socket: SOCKET, option: i32, value: &mut T) -> io::Result<()> {
    let mut length = size_of::<T>() as i32;
    let at = std::ptr::from_mut(value).cast();
    // SAFETY: the value has room for as many bytes as it says.
    match unsafe { getsockopt(socket, SOL_SOCKET, option, at, &mut length) } {
        0 => Ok(()),
        _ => Err(status::of_last_call().to_error()),
    }
}

/// Has the system queue no packets for what ends at once, if it is a pipe, or a provider's socket of
/// which that can be said: one whose handles are the file system's own.
pub(super) fn skip_on_success(handle: HANDLE, nature: Nature) -> bool {
    const FILE_SKIP_COMPLETION_PORT_ON_SUCCESS: u8 = 1;
    // Up to Windows 7 it cannot be relied on for datagrams, as .NET and libuv have found; of newer
    // ones nobody says so. The usual targets run on Windows 10 and later only.
    if cfg!(target_vendor = "win7") && nature == Nature::Datagram {
        return false;
    }
    let own = matches!(nature, Nature::Pipe { .. })
        || protocol(handle as SOCKET).is_ok_and(|info| info.dwServiceFlags1 & XP1_IFS_HANDLES != 0);
    // SAFETY: the socket or pipe is open.
    own && unsafe {
        SetFileCompletionNotificationModes(handle, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS)
    } != 0
}

/// What may be done with a file or pipe.
pub(super) fn access_of(handle: HANDLE) -> io::Result<u32> {
    const ACCESS: i32 = 8;
    information(handle, ACCESS).map_err(Status::to_error)
}

/// Whether operations on a pipe can be overlapped, as far as the system says.
pub(super) fn is_overlapped(handle: HANDLE) -> bool {
    const SYNCHRONOUS: u32 = 0x10 | 0x20;
    !mode_of(handle).is_ok_and(|mode| mode & SYNCHRONOUS != 0)
}

/// The flags that a file was opened with, those that are a promise: where its bytes are when a
/// transfer has completed.
pub(super) fn flags_of(file: HANDLE) -> u32 {
    const WRITES_THROUGH: u32 = 2;
    const UNBUFFERED: u32 = 8;
    let mode = mode_of(file).unwrap_or(0);
    let flag = |bit, flag| if mode & bit != 0 { flag } else { 0 };
    flag(WRITES_THROUGH, FILE_FLAG_WRITE_THROUGH) | flag(UNBUFFERED, FILE_FLAG_NO_BUFFERING)
}

fn mode_of(handle: HANDLE) -> Result<u32, Status> {
    const MODE: i32 = 16;
    information(handle, MODE)
}

/// One of the classes of which the answer is a number.
fn information(handle: HANDLE, class: i32) -> Result<u32, Status> {
    #[link(name = "ntdll")]
    unsafe extern "system" {
        fn NtQueryInformationFile(
            file: HANDLE,
            status: *mut [usize; 2],
            information: *mut core::ffi::c_void,
            length: u32,
            class: i32,
        ) -> i32;
    }
    let (mut answer, mut block) = (0u32, [0; 2]);
    // SAFETY: a number is what these classes write; both live for the call.
    let code =
        unsafe { NtQueryInformationFile(handle, &mut block, (&raw mut answer).cast(), 4, class) };
    match status::of_packet(code) {
        status if status.is_success() => Ok(answer),
        status => Err(status),
    }
}
