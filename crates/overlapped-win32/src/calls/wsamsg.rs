//! Datagrams with control messages.
//!
//! The core moves datagrams without. So an overlapped call waits until the socket is ready, and moves the
//! datagram when the operation comes out; if another receive was faster, it waits once more.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use overlapped_core::{Header, Kind, Status};
use smallvec::SmallVec;

use super::transfer::{self, Routine, pieces};
use super::{socket, zero};
use crate::abi::{DWORD, OVERLAPPED, SOCKET};
use crate::error::Error;
use crate::net::types::WSAMSG;
use crate::net::{self, Any, control};
use crate::objects::Socket;
use crate::objects::operation::{Finished, Memory};
use crate::objects::socket::{Flag, Started};

const MSG_TRUNC: u32 = 0x100;
const MSG_CTRUNC: u32 = 0x200;

/// What a call needs of the program's message while it is under way.
struct Message {
    of: *mut WSAMSG,
    pieces: SmallVec<[libc::iovec; 4]>,
}

impl Message {
    /// # Safety
    ///
    /// `of` is NULL or valid, also what it points to.
    unsafe fn new(of: *mut WSAMSG) -> Result<Message, Error> {
        // SAFETY: by the caller's word.
        unsafe {
            let message = of.as_ref().ok_or(Error::WSAEFAULT)?;
            let pieces = pieces(message.lpBuffers, message.dwBufferCount)?;
            let piece = |piece: &crate::abi::WSABUF| libc::iovec {
                iov_base: piece.buf.cast(),
                iov_len: piece.len as usize,
            };
            Ok(Message {
                of,
                pieces: pieces.iter().map(piece).collect(),
            })
        }
    }

    /// Receives one datagram: its bytes, and whether something was cut.
    fn recv(&mut self, fd: BorrowedFd<'_>) -> io::Result<(usize, bool)> {
        // SAFETY: the program keeps the message until the operation has ended.
        let message = unsafe { &mut *self.of };
        let mut room = [0u64; 32];
        // SAFETY: it is plain data, and all zeroes mean nothing.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = self.pieces.as_mut_ptr();
        header.msg_iovlen = self.pieces.len() as _;
        header.msg_control = room.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&room) as _;
        let mut received = 0;
        let from = Any::filled_by(|to, length| {
            header.msg_name = to.cast();
            // SAFETY: the length is there; the header names memory that is the program's for this,
            // and ours.
            unsafe {
                header.msg_namelen = *length;
                received = libc::recvmsg(fd.as_raw_fd(), &mut header, 0);
                *length = header.msg_namelen;
            }
            received.min(0) as i32
        });
        let Ok(from) = from else {
            return Err(io::Error::last_os_error());
        };
        message.dwFlags = 0;
        if header.msg_flags & libc::MSG_TRUNC != 0 {
            message.dwFlags |= MSG_TRUNC;
        }
        if from.len() >= 2 {
            // SAFETY: the program has said how much room there is.
            let _ = unsafe { net::write(&from, message.name, &mut message.namelen) };
        }
        let used = header.msg_controllen as usize;
        // SAFETY: the system has filled in so many bytes of the room.
        let used = unsafe { std::slice::from_raw_parts(room.as_ptr().cast::<u8>(), used) };
        let made = control::of_linux(used);
        let to = &mut message.Control;
        if made.len() > to.len as usize || (to.buf.is_null() && !made.is_empty()) {
            message.dwFlags |= MSG_CTRUNC;
            to.len = 0;
        } else {
            // SAFETY: there is room, as was just seen.
            unsafe { to.buf.copy_from(made.as_ptr(), made.len()) };
            to.len = made.len() as u32;
        }
        Ok((received as usize, message.dwFlags != 0))
    }

    /// Sends it.
    fn send(&mut self, fd: BorrowedFd<'_>, to: Option<&Any>, control: &[u8]) -> io::Result<usize> {
        // SAFETY: it is plain data, and all zeroes mean nothing.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = self.pieces.as_mut_ptr();
        header.msg_iovlen = self.pieces.len() as _;
        if let Some(to) = to {
            header.msg_name = to.as_ptr().cast_mut().cast();
            header.msg_namelen = to.len();
        }
        if !control.is_empty() {
            header.msg_control = control.as_ptr().cast_mut().cast();
            header.msg_controllen = control.len() as _;
        }
        // SAFETY: the header names memory that is the program's for this; Linux only reads it.
        match unsafe { libc::sendmsg(fd.as_raw_fd(), &header, libc::MSG_NOSIGNAL) } {
            -1 => Err(io::Error::last_os_error()),
            sent => Ok(sent as usize),
        }
    }
}

/// Ends an operation with what a call has brought, or has it wait once more.
fn end(
    socket: &Socket,
    header: &mut Header,
    kind: Kind,
    result: Result<io::Result<(usize, bool)>, Error>,
) -> Finished {
    let error = match result {
        Ok(Ok((bytes, cut))) => {
            let status = match cut {
                true => Status::BUFFER_OVERFLOW,
                false => Status::SUCCESS,
            };
            header.finish(status, bytes);
            return Finished::Ended;
        }
        Ok(Err(error)) => error.raw_os_error().unwrap_or(0),
        Err(_) => libc::ECANCELED,
    };
    // What an earlier datagram has brought back (IO-13).
    let sent_back = match (kind, error) {
        (Kind::Readable, libc::EAGAIN | libc::ECONNREFUSED) => socket.sent_back(),
        _ => None,
    };
    let status = match (sent_back, error) {
        (Some(status), _) => status,
        (None, libc::ECONNREFUSED) if !socket.has(Flag::NOT_TOLD) => Status::PORT_UNREACHABLE,
        (None, libc::EAGAIN | libc::EINTR | libc::ECONNREFUSED) => {
            header.prepare(kind, []);
            return Finished::Again;
        }
        (None, errno) => Status::from_errno(errno),
    };
    header.finish(status, 0);
    Finished::Ended
}

/// Only datagrams have messages, and routines are for sockets without a port (PO-11).
fn admit(socket: &Socket, routine: Routine) -> Result<(), Error> {
    let refused = routine.is_some() && socket.notification().is_associated();
    match socket.is_stream() || refused {
        true => Err(Error::WSAEINVAL),
        false => Ok(()),
    }
}

/// Receives a datagram, where it came from, and its control messages (IO-10).
///
/// # Safety
///
/// The pointers are NULL or valid; the message and what it points to until the operation has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WSARecvMsg(
    s: SOCKET,
    message: *mut WSAMSG,
    received: *mut DWORD,
    overlapped: *mut OVERLAPPED,
    routine: Routine,
) -> i32 {
    // SAFETY: by the caller's word.
    unsafe {
        let result = recv(s, message, overlapped, routine);
        transfer::started(result, received)
    }
}

unsafe fn recv(
    s: SOCKET,
    message: *mut WSAMSG,
    overlapped: *mut OVERLAPPED,
    routine: Routine,
) -> Result<Started, Error> {
    let socket = socket(s)?;
    admit(&socket, routine)?;
    if !socket.has(Flag::BOUND) {
        return Err(Error::WSAEINVAL);
    }
    // SAFETY: by the caller's word.
    let mut message = unsafe { Message::new(message) }?;
    if overlapped.is_null() {
        let (bytes, cut) = socket.blocking(libc::POLLIN, None, |fd| message.recv(fd))?;
        return match cut {
            true => Err(Error::WSAEMSGSIZE),
            false => Ok(Started::Done(bytes)),
        };
    }
    let of = socket.clone();
    let finish = move |header: &mut Header| match header.status().is_success() {
        true => {
            let result = of.with_fd(|fd| message.recv(fd));
            end(&of, header, Kind::Readable, result)
        }
        false => Finished::Ended,
    };
    // SAFETY: by the caller's word.
    unsafe { start(&socket, overlapped, routine, Kind::Readable, finish) }
}

/// Sends a datagram with control messages; those that are not known are refused.
///
/// # Safety
///
/// The pointers are NULL or valid; the message and what it points to until the operation has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WSASendMsg(
    s: SOCKET,
    message: *mut WSAMSG,
    flags: DWORD,
    sent: *mut DWORD,
    overlapped: *mut OVERLAPPED,
    routine: Routine,
) -> i32 {
    if flags != 0 {
        return zero(Err(Error::WSAEOPNOTSUPP));
    }
    // SAFETY: by the caller's word.
    unsafe {
        let result = send(s, message, overlapped, routine);
        transfer::started(result, sent)
    }
}

unsafe fn send(
    s: SOCKET,
    message: *mut WSAMSG,
    overlapped: *mut OVERLAPPED,
    routine: Routine,
) -> Result<Started, Error> {
    let socket = socket(s)?;
    admit(&socket, routine)?;
    // SAFETY: by the caller's word.
    let (mut message, to, control) = unsafe {
        let made = Message::new(message)?;
        let message = &*message;
        let to = match message.name.is_null() {
            true => None,
            false => Some(net::read(message.name, message.namelen)?),
        };
        let control = match message.Control.buf.is_null() {
            true => &[][..],
            false => std::slice::from_raw_parts(message.Control.buf, message.Control.len as usize),
        };
        let control = control::to_linux(control).ok_or(Error::WSAEINVAL)?;
        (made, to, control)
    };
    if to.is_none() && !socket.is_connected() {
        return Err(Error::WSAENOTCONN);
    }
    socket.set(Flag::BOUND);
    if overlapped.is_null() {
        let attempt = |fd: BorrowedFd<'_>| message.send(fd, to.as_ref(), &control);
        return socket
            .blocking(libc::POLLOUT, None, attempt)
            .map(Started::Done);
    }
    let of = socket.clone();
    let finish = move |header: &mut Header| {
        let send = |fd: BorrowedFd<'_>| {
            let sent = message.send(fd, to.as_ref(), &control);
            sent.map(|bytes| (bytes, false))
        };
        match header.status().is_success() {
            true => end(&of, header, Kind::Writable, of.with_fd(send)),
            false => Finished::Ended,
        }
    };
    // SAFETY: by the caller's word.
    unsafe { start(&socket, overlapped, routine, Kind::Writable, finish) }
}

/// Starts the wait that precedes the call.
///
/// # Safety
///
/// `overlapped` is valid.
unsafe fn start(
    socket: &Arc<Socket>,
    overlapped: *mut OVERLAPPED,
    routine: Routine,
    kind: Kind,
    finish: impl FnMut(&mut Header) -> Finished + 'static,
) -> Result<Started, Error> {
    // SAFETY: by the caller's word.
    let told = unsafe { transfer::told(overlapped, routine) }?;
    let mut memory = Memory::take(overlapped);
    memory.header().prepare(kind, []);
    let more = memory.more();
    more.finish = Some(Box::new(finish));
    more.socket = Some(socket.clone());
    socket.start(memory, told, true)
}
