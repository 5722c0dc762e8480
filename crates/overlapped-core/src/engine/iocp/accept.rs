//! Accepting: the socket that becomes the connection, and what comes with it.

use std::io;
use std::os::windows::io::{AsRawSocket, OwnedSocket};
use std::ptr::NonNull;

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Networking::WinSock::{
    LPFN_ACCEPTEX, SO_UPDATE_ACCEPT_CONTEXT, SOCKADDR_STORAGE, SOCKET, WSAID_ACCEPTEX,
};
use windows_sys::Win32::System::IO::OVERLAPPED;

use super::calls::{Issued, MOST, outcome};
use super::pieces;
use super::winsock::{extension, set_option};
use crate::endpoint::Endpoint;
use crate::operation::{Header, Kind};
use crate::{Address, Status};

/// Starts one.
///
/// # Safety
///
/// As for `calls::issue`.
pub(super) unsafe fn issue(
    listener: SOCKET,
    family: i32,
    header: NonNull<Header>,
) -> Result<Issued, Status> {
    // SAFETY: nobody else has it, and this reference is not used any more when the call is made.
    let operation = unsafe { &mut *header.as_ptr() };
    let overlapped: *mut OVERLAPPED = header.as_ptr().cast();
    let accept_ex = extension::<LPFN_ACCEPTEX>(listener, WSAID_ACCEPTEX)?;
    let accepted = new_stream(family)?;
    let raw = accepted.as_raw_socket() as SOCKET;
    let (room, mut bytes) = (data_room(operation), 0);
    let scratch = operation.scratch();
    scratch.accepted = Some(accepted);
    scratch.buffer.resize(room + 2 * ADDRESS, 0);
    let buffer = scratch.buffer.as_mut_ptr();
    // SAFETY: by the caller's word; the buffer and the new socket are kept in the operation's memory.
    let done = unsafe {
        accept_ex(
            listener,
            raw,
            buffer.cast(),
            room as u32,
            ADDRESS as u32,
            ADDRESS as u32,
            &mut bytes,
            overlapped,
        )
    };
    outcome(done != 0, bytes, overlapped)
}

/// What AcceptEx wants for an address: the longest there is, and 16 bytes more (AX-2).
const ADDRESS: usize = size_of::<SOCKADDR_STORAGE>() + 16;

fn data_room(operation: &Header) -> usize {
    match operation.kind() {
        Kind::AcceptRecv => operation.capacity().min(MOST - 2 * ADDRESS),
        _ => 0,
    }
}

fn new_stream(family: i32) -> Result<OwnedSocket, Status> {
    let made = socket2::Socket::new(family.into(), socket2::Type::STREAM, None);
    made.map(OwnedSocket::from)
        .map_err(|error| of_error(&error))
}

fn of_error(error: &io::Error) -> Status {
    let code = error.raw_os_error();
    code.map_or(Status::UNSUCCESSFUL, |code| Status::from_win32(code as u32))
}

/// An accept has succeeded: the connection, where it comes from, and its first data go to where
/// they belong. Fails if the listener has been closed meanwhile, since the connection needs it to
/// become a socket like others (AX-7).
pub(super) fn accepted(
    listener: Option<HANDLE>,
    operation: &mut Header,
    bytes: usize,
) -> Result<(), Status> {
    let room = data_room(operation);
    let scratch = operation.scratch();
    let connection = scratch.accepted.take().ok_or(Status::UNSUCCESSFUL)?;
    let listener = listener.ok_or(Status::CANCELLED)?;
    let raw = connection.as_raw_socket() as SOCKET;
    set_option(
        raw,
        SO_UPDATE_ACCEPT_CONTEXT,
        &(listener as SOCKET).to_ne_bytes(),
    )?;
    let peer = socket2::SockRef::from(&connection).peer_addr();
    pieces::scatter(operation, bytes.min(room));
    operation.set_peer(
        peer.ok()
            .and_then(|peer| peer.as_socket())
            .map(Address::Internet),
    );
    operation.set_accepted(Endpoint::Os(connection));
    Ok(())
}
