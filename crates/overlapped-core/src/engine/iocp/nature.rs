//! What the system says of a socket, and is told of it.

use std::io;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Networking::WinSock::{
    SO_PROTOCOL_INFOW, SOCKET, SOL_SOCKET, WSAPROTOCOL_INFOW, XP1_IFS_HANDLES, getsockopt,
};
use windows_sys::Win32::Storage::FileSystem::SetFileCompletionNotificationModes;

use super::status;

/// What a socket moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Stream,
    Datagram,
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

/// Has the system queue no packets for what ends at once, if it is a provider's socket of which
/// that can be said: one whose handles are the file system's own.
pub(super) fn skip_on_success(socket: SOCKET) -> bool {
    const FILE_SKIP_COMPLETION_PORT_ON_SUCCESS: u8 = 1;
    let own = protocol(socket).is_ok_and(|info| info.dwServiceFlags1 & XP1_IFS_HANDLES != 0);
    // SAFETY: the socket is open.
    own && unsafe {
        SetFileCompletionNotificationModes(socket as HANDLE, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS)
    } != 0
}
