//! Connecting.

use std::ptr::{NonNull, null};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Networking::WinSock::{
    LPFN_CONNECTEX, SO_UPDATE_CONNECT_CONTEXT, SOCKET, WSAID_CONNECTEX,
};
use windows_sys::Win32::System::IO::OVERLAPPED;

use super::calls::{Issued, address_of_peer, outcome};
use super::pieces;
use super::winsock::{extension, set_option};
use crate::Status;
use crate::operation::Header;

/// Starts one on a stream.
///
/// # Safety
///
/// As for `calls::issue`.
pub(super) unsafe fn issue(socket: SOCKET, header: NonNull<Header>) -> Result<Issued, Status> {
    // SAFETY: nobody else has it, and this reference is not used any more when the call is made.
    let operation = unsafe { &mut *header.as_ptr() };
    let overlapped: *mut OVERLAPPED = header.as_ptr().cast();
    let connect_ex = extension::<LPFN_CONNECTEX>(socket, WSAID_CONNECTEX)?;
    let to = address_of_peer(operation)?;
    bind_if_unbound(socket, &to);
    let (data, length) = match operation.segments() {
        [] => (null(), 0),
        _ => pieces::gathered(operation),
    };
    let mut bytes = 0;
    // SAFETY: by the caller's word; the address lives for the call.
    let done = unsafe {
        connect_ex(
            socket,
            to.as_ptr().cast(),
            to.len(),
            data.cast(),
            length as u32,
            &mut bytes,
            overlapped,
        )
    };
    outcome(done != 0, bytes, overlapped)
}

/// ConnectEx wants a bound socket (CE-1). If this fails, so will that.
fn bind_if_unbound(socket: SOCKET, to: &socket2::SockAddr) {
    let any: std::net::IpAddr = if to.is_ipv6() {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    };
    // SAFETY: the caller's socket is open.
    let borrowed = unsafe { std::os::windows::io::BorrowedSocket::borrow_raw(socket as _) };
    let socket = socket2::SockRef::from(&borrowed);
    if socket.local_addr().is_err() {
        let _ = socket.bind(&std::net::SocketAddr::from((any, 0)).into());
    }
}

/// A connect has succeeded: the socket becomes one like others (CE-4).
pub(super) fn connected(socket: HANDLE) {
    // What would fail without it (`getpeername`, `shutdown`) says so itself.
    let _ = set_option(socket as SOCKET, SO_UPDATE_CONNECT_CONTEXT, &[]);
}
