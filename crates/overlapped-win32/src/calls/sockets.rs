//! Making sockets, naming them, connecting and accepting, closing.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use overlapped_core::ShutdownHow;

use super::{socket, zero};
use crate::abi::{DWORD, HANDLE, INVALID_SOCKET, SOCKET};
use crate::error::{self, Error};
use crate::handle;
use crate::net::types::{WSAPROTOCOL_INFO, sockaddr};
use crate::net::{self, Any};
use crate::objects::Socket;
use crate::objects::socket::Flag;

const WSA_FLAG_OVERLAPPED: u32 = 1;
const SOCK_RAW: i32 = 3;

fn make(family: i32, kind: i32, protocol: i32, overlapped: bool) -> Result<SOCKET, Error> {
    let family = match net::family_to_linux(family) {
        // The protocol says which.
        Some(libc::AF_UNSPEC) if protocol != 0 => libc::AF_INET,
        Some(libc::AF_UNSPEC) => return Err(Error::WSAEINVAL),
        Some(family) => family,
        None => return Err(Error::WSAEAFNOSUPPORT),
    };
    let kind = match kind {
        libc::SOCK_STREAM | libc::SOCK_DGRAM | SOCK_RAW => kind,
        0 if protocol == libc::IPPROTO_UDP => libc::SOCK_DGRAM,
        0 => libc::SOCK_STREAM,
        _ => return Err(Error::WSAESOCKTNOSUPPORT),
    };
    let made = Socket::new(family, kind, protocol, overlapped)?;
    Ok(handle::open(made)? as SOCKET)
}

/// Makes a socket that may be overlapped.
#[unsafe(no_mangle)]
pub extern "C" fn overlapped_socket(family: i32, kind: i32, protocol: i32) -> SOCKET {
    error::or(make(family, kind, protocol, true), INVALID_SOCKET)
}

/// Makes a socket, or another handle of one that was described by [`WSADuplicateSocketA`]. Groups are not
/// looked at.
///
/// # Safety
///
/// `info` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WSASocketW(
    family: i32,
    kind: i32,
    protocol: i32,
    info: *mut WSAPROTOCOL_INFO,
    _group: u32,
    flags: DWORD,
) -> SOCKET {
    // SAFETY: by the caller's word.
    let result = match unsafe { info.as_mut() } {
        // It can be taken once.
        Some(info) if info.dwProviderReserved != 0 => {
            Ok(std::mem::take(&mut info.dwProviderReserved) as SOCKET)
        }
        _ => make(family, kind, protocol, flags & WSA_FLAG_OVERLAPPED != 0),
    };
    error::or(result, INVALID_SOCKET)
}

/// As [`WSASocketW`].
///
/// # Safety
///
/// The same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WSASocketA(
    family: i32,
    kind: i32,
    protocol: i32,
    info: *mut WSAPROTOCOL_INFO,
    group: u32,
    flags: DWORD,
) -> SOCKET {
    // SAFETY: the same call.
    unsafe { WSASocketW(family, kind, protocol, info, group, flags) }
}

/// Describes a socket for a `WSASocketA` of this process, which gets another handle of it (PO-9). The
/// handle is made here, as on Windows, and stays if nobody fetches it.
///
/// # Safety
///
/// `info` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WSADuplicateSocketA(
    s: SOCKET,
    process: DWORD,
    info: *mut WSAPROTOCOL_INFO,
) -> i32 {
    if info.is_null() {
        return zero(Err(Error::WSAEFAULT));
    }
    // SAFETY: by the caller's word.
    zero(describe(s, process).map(|description| unsafe { info.write(description) }))
}

fn describe(s: SOCKET, process: DWORD) -> Result<WSAPROTOCOL_INFO, Error> {
    let socket = socket(s)?;
    if process != std::process::id() {
        return Err(Error::WSAEINVAL);
    }
    let other = handle::duplicate(s as HANDLE).map_err(|_| Error::WSAENOTSOCK)?;
    Ok(WSAPROTOCOL_INFO {
        iAddressFamily: net::family_of_linux(socket.family()),
        iSocketType: socket.kind(),
        iProtocol: socket.protocol(),
        dwProviderReserved: other as usize as DWORD,
        ..WSAPROTOCOL_INFO::default()
    })
}

/// Closes a socket (CX-6, CX-7).
#[unsafe(no_mangle)]
pub extern "C" fn closesocket(s: SOCKET) -> i32 {
    zero(socket(s).and_then(|_| handle::close(s as HANDLE).map_err(|_| Error::WSAENOTSOCK)))
}

/// Gives a socket its address.
///
/// # Safety
///
/// `name` is NULL or has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_bind(s: SOCKET, name: *const sockaddr, length: i32) -> i32 {
    // SAFETY: by the caller's word.
    zero(socket(s).and_then(|socket| bind(&socket, unsafe { net::read(name, length) }?)))
}

fn bind(socket: &Socket, address: Any) -> Result<(), Error> {
    if socket.has(Flag::BOUND) || socket.has(Flag::ACCEPTING) {
        return Err(Error::WSAEINVAL);
    }
    if address.family() != socket.family() {
        return Err(Error::WSAEFAULT);
    }
    socket.bind(&address)
}

/// Lets connections come.
#[unsafe(no_mangle)]
pub extern "C" fn overlapped_listen(s: SOCKET, backlog: i32) -> i32 {
    zero(socket(s).and_then(|socket| listen(&socket, backlog)))
}

fn listen(socket: &Socket, backlog: i32) -> Result<(), Error> {
    if !socket.is_stream() {
        return Err(Error::WSAEOPNOTSUPP);
    }
    if socket.is_connected() {
        return Err(Error::WSAEISCONN);
    }
    if !socket.has(Flag::BOUND) || socket.has(Flag::ACCEPTING) {
        return Err(Error::WSAEINVAL);
    }
    socket.unseat();
    // So that another one can be bound there as soon as this one is closed, whatever its connections
    // are doing.
    socket.with_fd(|fd| {
        let _ = socket2::SockRef::from(&fd).set_reuse_address(true);
    })?;
    // A negative number is a hint (SOMAXCONN_HINT).
    // SAFETY: plain numbers.
    socket.call(|fd| unsafe { libc::listen(fd, backlog.saturating_abs()) })?;
    socket.set(Flag::LISTENING);
    Ok(())
}

/// Takes a connection; waits for one.
///
/// # Safety
///
/// `name` is NULL or has `*length` bytes; `length` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_accept(
    s: SOCKET,
    name: *mut sockaddr,
    length: *mut i32,
) -> SOCKET {
    // SAFETY: by the caller's word.
    error::or(
        unsafe { accept(s, name, length) }.and_then(opened),
        INVALID_SOCKET,
    )
}

fn opened(socket: Socket) -> Result<SOCKET, Error> {
    Ok(handle::open(socket)? as SOCKET)
}

unsafe fn accept(s: SOCKET, name: *mut sockaddr, length: *mut i32) -> Result<Socket, Error> {
    let listener = socket(s)?;
    if !listener.is_stream() {
        return Err(Error::WSAEOPNOTSUPP);
    }
    if !listener.has(Flag::LISTENING) {
        return Err(Error::WSAEINVAL);
    }
    // Before a connection is taken, so that none is lost by that.
    let least = match listener.family() {
        libc::AF_INET6 => size_of::<libc::sockaddr_in6>(),
        _ => size_of::<libc::sockaddr_in>(),
    };
    // SAFETY: by the caller's word.
    if !name.is_null() && (length.is_null() || unsafe { *length } < least as i32) {
        return Err(Error::WSAEFAULT);
    }
    let (fd, from) = listener.blocking(libc::POLLIN, None, accept_one)?;
    let accepted = listener.accepted(fd);
    // SAFETY: by the caller's word.
    unsafe { net::write(&from, name, length) }?;
    Ok(accepted)
}

fn accept_one(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, Any)> {
    let mut accepted = -1;
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let from = Any::filled_by(|to, length| {
        // SAFETY: the descriptor is open, and there is room.
        accepted = unsafe { libc::accept4(fd.as_raw_fd(), to, length, flags) };
        accepted
    });
    match from {
        // SAFETY: it is new, and nobody else's.
        Ok(from) => Ok((unsafe { OwnedFd::from_raw_fd(accepted) }, from)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// The program's say on a connection.
type Condition = unsafe extern "C" fn(
    caller: *mut crate::abi::WSABUF,
    caller_data: *mut crate::abi::WSABUF,
    *mut c_void,
    *mut c_void,
    callee: *mut crate::abi::WSABUF,
    callee_data: *mut crate::abi::WSABUF,
    group: *mut u32,
    callback_data: usize,
) -> i32;

const CF_ACCEPT: i32 = 0;
const CF_REJECT: i32 = 1;

/// As [`overlapped_accept`]; `condition` may reject the connection, which resets it. Deferring is not
/// supported, and rejects too.
///
/// # Safety
///
/// As [`overlapped_accept`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WSAAccept(
    s: SOCKET,
    name: *mut sockaddr,
    length: *mut i32,
    condition: Option<Condition>,
    callback_data: usize,
) -> SOCKET {
    let result = (|| {
        // SAFETY: by the caller's word.
        let accepted = unsafe { accept(s, name, length) }?;
        let Some(condition) = condition else {
            return opened(accepted);
        };
        let ask = |ask: unsafe extern "C" fn(i32, *mut libc::sockaddr, *mut u32) -> i32| {
            // SAFETY: the descriptor is open, and there is room.
            accepted.with_fd(|fd| Any::filled_by(|to, len| unsafe { ask(fd.as_raw_fd(), to, len) }))
        };
        let room = |name: &Any| {
            let mut bytes = [0u64; 16];
            // SAFETY: 128 bytes are room for any address.
            let length = unsafe { net::write_length(name, bytes.as_mut_ptr().cast()) };
            (bytes, length)
        };
        let (mut caller, caller_length) = room(&ask(libc::getpeername)??);
        let (mut callee, callee_length) = room(&ask(libc::getsockname)??);
        let piece = |bytes: &mut [u64; 16], length: usize| crate::abi::WSABUF {
            len: length as u32,
            buf: bytes.as_mut_ptr().cast(),
        };
        let (mut caller, mut callee) = (
            piece(&mut caller, caller_length),
            piece(&mut callee, callee_length),
        );
        let mut none = crate::abi::WSABUF {
            len: 0,
            buf: std::ptr::null_mut(),
        };
        let mut no_data = none;
        let mut group = 0;
        let null = std::ptr::null_mut();
        // SAFETY: the program gave it to be called so.
        let say = unsafe {
            condition(
                &mut caller,
                &mut none,
                null,
                null,
                &mut callee,
                &mut no_data,
                &mut group,
                callback_data,
            )
        };
        match say {
            CF_ACCEPT => opened(accepted),
            say => {
                accepted.with_fd(|fd| {
                    let now = Some(std::time::Duration::ZERO);
                    let _ = socket2::SockRef::from(&fd).set_linger(now);
                })?;
                Err(match say {
                    CF_REJECT => Error::WSAECONNREFUSED,
                    _ => Error::WSATRY_AGAIN,
                })
            }
        }
    })();
    error::or(result, INVALID_SOCKET)
}

/// Connects; waits until it is done, unless the socket is non-blocking.
///
/// # Safety
///
/// `name` is NULL or has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_connect(s: SOCKET, name: *const sockaddr, length: i32) -> i32 {
    // SAFETY: by the caller's word.
    zero(socket(s).and_then(|socket| connect(&socket, unsafe { net::read(name, length) }?)))
}

/// As [`overlapped_connect`]. Data and qualities of service are not looked at.
///
/// # Safety
///
/// As [`overlapped_connect`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WSAConnect(
    s: SOCKET,
    name: *const sockaddr,
    length: i32,
    _caller_data: *mut c_void,
    _callee_data: *mut c_void,
    _qos: *mut c_void,
    _group_qos: *mut c_void,
) -> i32 {
    // SAFETY: as there.
    unsafe { overlapped_connect(s, name, length) }
}

fn connect(socket: &Arc<Socket>, to: Any) -> Result<(), Error> {
    if socket.has(Flag::ACCEPTING) || socket.has(Flag::LISTENING) {
        return Err(Error::WSAEINVAL);
    }
    if to.family() != socket.family() {
        return Err(Error::WSAEAFNOSUPPORT);
    }
    if let Some(to) = to.internet()
        && (to.port() == 0 || to.ip().is_unspecified())
        && socket.is_stream()
    {
        return Err(Error::WSAEADDRNOTAVAIL);
    }
    socket.unseat();
    // SAFETY: the address is as long as it says.
    let call = || socket.call(|fd| unsafe { libc::connect(fd, to.as_ptr(), to.len()) });
    let result = match call() {
        // What Linux says once after an earlier attempt failed; then it begins anew (CE-3).
        Err(Error::WSAECONNABORTED) => call(),
        result => result,
    };
    match result {
        Ok(_) if socket.has(Flag::CONNECTING) => {
            // It was begun by an earlier call.
            socket.note_connected();
            Err(Error::WSAEISCONN)
        }
        Ok(_) => {
            socket.note_connected();
            socket.seat_again();
            Ok(())
        }
        Err(Error::WSAEINPROGRESS) => {
            socket.set(Flag::CONNECTING);
            socket.set(Flag::BOUND);
            if socket.has(Flag::NON_BLOCKING) {
                return Err(Error::WSAEWOULDBLOCK);
            }
            socket.wait(libc::POLLOUT, None)?;
            finish_connect(socket)
        }
        Err(error) => {
            if error != Error::WSAEALREADY {
                socket.clear(Flag::CONNECTING);
            }
            Err(error)
        }
    }
}

/// How a connect that was begun has ended.
fn finish_connect(socket: &Socket) -> Result<(), Error> {
    let error = socket.with_fd(|fd| socket2::SockRef::from(&fd).take_error())?;
    socket.clear(Flag::CONNECTING);
    match error {
        Ok(None) => {
            socket.note_connected();
            Ok(())
        }
        Ok(Some(error)) | Err(error) => Err(net::of_errno(error.raw_os_error().unwrap_or(0))),
    }
}

/// Shuts directions of a connection down (IO-16).
#[unsafe(no_mangle)]
pub extern "C" fn overlapped_shutdown(s: SOCKET, how: i32) -> i32 {
    zero(socket(s).and_then(|socket| {
        let how = match how {
            0 => ShutdownHow::Recv,
            1 => ShutdownHow::Send,
            2 => ShutdownHow::Both,
            _ => return Err(Error::WSAEINVAL),
        };
        socket.broken()?;
        if socket.is_stream() {
            socket.peer()?;
        }
        socket.shut(how)
    }))
}

/// The socket's own address.
///
/// # Safety
///
/// `name` is NULL or has `*length` bytes; `length` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_getsockname(
    s: SOCKET,
    name: *mut sockaddr,
    length: *mut i32,
) -> i32 {
    zero(socket(s).and_then(|socket| {
        if !socket.has(Flag::BOUND) {
            return Err(Error::WSAEINVAL);
        }
        let ask = |fd: BorrowedFd<'_>| {
            // SAFETY: the descriptor is open, and there is room.
            Any::filled_by(|to, len| unsafe { libc::getsockname(fd.as_raw_fd(), to, len) })
        };
        // SAFETY: by the caller's word.
        unsafe { write(&socket.with_fd(ask)??, name, length) }
    }))
}

/// The peer's address.
///
/// # Safety
///
/// As [`overlapped_getsockname`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_getpeername(
    s: SOCKET,
    name: *mut sockaddr,
    length: *mut i32,
) -> i32 {
    // SAFETY: by the caller's word.
    zero(socket(s).and_then(|socket| unsafe { write(&socket.peer()?, name, length) }))
}

unsafe fn write(address: &Any, name: *mut sockaddr, length: *mut i32) -> Result<(), Error> {
    if name.is_null() || length.is_null() {
        return Err(Error::WSAEFAULT);
    }
    // SAFETY: by the caller's word.
    unsafe { net::write(address, name, length) }
}

/// Ends the sending direction. Data cannot be sent with it.
#[unsafe(no_mangle)]
pub extern "C" fn WSASendDisconnect(s: SOCKET, _data: *mut c_void) -> i32 {
    overlapped_shutdown(s, 1)
}

/// Ends the receiving direction.
#[unsafe(no_mangle)]
pub extern "C" fn WSARecvDisconnect(s: SOCKET, _data: *mut c_void) -> i32 {
    overlapped_shutdown(s, 0)
}
