//! Receiving and sending.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use overlapped_core::{Header, Kind, Segment};
use smallvec::SmallVec;

use super::{socket, zero};
use crate::abi::{DWORD, HANDLE, OVERLAPPED, SOCKET, SOCKET_ERROR, WSABUF};
use crate::error::{self, Error};
use crate::handle;
use crate::net::types::{WSAOVERLAPPED_COMPLETION_ROUTINE, sockaddr};
use crate::net::{self, Any};
use crate::objects::Socket;
use crate::objects::operation::{self, Memory, Told};
use crate::objects::socket::{Flag, Started};

const MSG_OOB: u32 = 1;
const MSG_PEEK: u32 = 2;
const MSG_DONTROUTE: u32 = 4;
const MSG_WAITALL: u32 = 8;
/// What Linux has nothing like, and does as if it were asked for.
const MSG_IGNORED: u32 = 0x20 | 0x8000;

/// A completion routine, if one is given.
pub(super) type Routine = Option<WSAOVERLAPPED_COMPLETION_ROUTINE>;
type Pieces = SmallVec<[libc::iovec; 4]>;

/// The pieces of a program's buffers.
///
/// # Safety
///
/// `buffers` is NULL or valid for `count`.
pub(super) unsafe fn pieces<'a>(buffers: *const WSABUF, count: u32) -> Result<&'a [WSABUF], Error> {
    if count == 0 {
        return Err(Error::WSAEINVAL);
    }
    if buffers.is_null() {
        return Err(Error::WSAEFAULT);
    }
    // SAFETY: by the caller's word.
    let pieces = unsafe { std::slice::from_raw_parts(buffers, count as usize) };
    match pieces
        .iter()
        .any(|piece| piece.buf.is_null() && piece.len > 0)
    {
        true => Err(Error::WSAEFAULT),
        false => Ok(pieces),
    }
}

fn segment(piece: &WSABUF) -> Segment {
    // SAFETY: the program gives the buffer until the operation has ended (PK-11).
    unsafe { Segment::new(piece.buf, piece.len as usize) }
}

/// Readies the header of a receive into these buffers.
fn prepare_recv(header: &mut Header, kind: Kind, pieces: &[WSABUF]) {
    if let [only] = pieces
        && only.len > 0
    {
        return header.prepare_one(kind, segment(only));
    }
    let room = pieces.iter().filter(|piece| piece.len > 0);
    match room.clone().next() {
        Some(_) => header.prepare(kind, room.map(segment)),
        // It waits for data and leaves it there (IO-4).
        None => header.prepare(Kind::RecvZero, []),
    }
}

/// The same for a send.
fn prepare_send(header: &mut Header, kind: Kind, pieces: &[WSABUF]) {
    if let [only] = pieces
        && only.len > 0
    {
        return header.prepare_one(kind, segment(only));
    }
    let content = pieces.iter().filter(|piece| piece.len > 0);
    header.prepare(kind, content.map(segment));
}

/// Who is told beside the port: a completion routine, or the event.
///
/// # Safety
///
/// `overlapped` is valid.
#[inline]
pub(super) unsafe fn told(
    overlapped: *mut OVERLAPPED,
    routine: Routine,
) -> Result<Option<Told>, Error> {
    match routine {
        // SAFETY: by the caller's word.
        None => unsafe { Told::of(overlapped) },
        Some(routine) => Ok(Some(Told::Routine(operation::Routine::Winsock(routine)))),
    }
}

/// Starts an operation: at once on the port's socket, if packets are all that it is about. `None` if
/// the socket is not for overlapped calls: then they just wait (IO-1).
///
/// # Safety
///
/// `overlapped` is valid.
#[inline]
pub(super) unsafe fn start(
    s: SOCKET,
    overlapped: *mut OVERLAPPED,
    told: Option<Told>,
    admit: impl FnOnce(&Socket) -> Result<(), Error>,
    prepare: impl FnOnce(&mut Memory, bool),
) -> Result<Option<Started>, Error> {
    if told.is_none()
        && let Ok(Some(ready)) = handle::look(s as HANDLE, |object| object.socket().ok()?.ready())
    {
        let mut memory = Memory::take(overlapped);
        prepare(&mut memory, ready.is_stream());
        return match ready.start(memory) {
            Ok(result) => result,
            Err(memory) => socket(s)?.start(memory, None, false),
        }
        .map(Some);
    }
    start_with_ado(s, overlapped, told, admit, prepare)
}

/// As [`start`], of whatever socket, and whoever is told.
#[cold]
fn start_with_ado(
    s: SOCKET,
    overlapped: *mut OVERLAPPED,
    told: Option<Told>,
    admit: impl FnOnce(&Socket) -> Result<(), Error>,
    prepare: impl FnOnce(&mut Memory, bool),
) -> Result<Option<Started>, Error> {
    let socket = socket(s)?;
    if !socket.notification().is_overlapped() {
        return Ok(None);
    }
    // PO-11
    if matches!(told, Some(Told::Routine(_))) && socket.notification().is_associated() {
        return Err(Error::WSAEINVAL);
    }
    socket.broken()?;
    admit(&socket)?;
    let mut memory = Memory::take(overlapped);
    prepare(&mut memory, socket.is_stream());
    socket.start(memory, told, false).map(Some)
}

/// What a call that started an operation returns: 0, or that it is under way.
///
/// # Safety
///
/// `moved` is NULL or valid.
pub(super) unsafe fn started(result: Result<Started, Error>, moved: *mut DWORD) -> i32 {
    match result {
        Ok(Started::Done(bytes)) => {
            if !moved.is_null() {
                // SAFETY: by the caller's word.
                unsafe { *moved = bytes as u32 };
            }
            0
        }
        Ok(Started::Pending) => {
            error::set_last(Error::WSA_IO_PENDING);
            SOCKET_ERROR
        }
        Err(error) => {
            error::set_last(error);
            SOCKET_ERROR
        }
    }
}

/// The end of an operation that blocked.
///
/// # Safety
///
/// `overlapped` is NULL or valid.
unsafe fn blocked(overlapped: *mut OVERLAPPED, bytes: usize) {
    if !overlapped.is_null() {
        // SAFETY: by the caller's word.
        unsafe {
            (*overlapped).InternalHigh = bytes;
            (*overlapped).Internal = 0;
        }
    }
}

// ---- receiving ---------------------------------------------------------------------------------

/// Receives; overlapped, or waiting.
///
/// # Safety
///
/// The pointers are NULL or valid; the buffers until the operation has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WSARecv(
    s: SOCKET,
    buffers: *mut WSABUF,
    count: DWORD,
    received: *mut DWORD,
    flags: *mut DWORD,
    overlapped: *mut OVERLAPPED,
    routine: Routine,
) -> i32 {
    // SAFETY: by the caller's word.
    unsafe {
        let no_name = (std::ptr::null_mut(), std::ptr::null_mut());
        if overlapped.is_null() || flags.is_null() || !can_overlap(*flags) {
            return recv_now(s, buffers, count, received, flags, no_name, overlapped);
        }
        let all = *flags & MSG_WAITALL != 0;
        let result = pieces(buffers, count).and_then(|pieces| {
            let told = told(overlapped, routine)?;
            start(s, overlapped, told, can_recv, |memory, stream| {
                prepare_recv(memory.header(), kind_of_recv(stream && all), pieces);
            })
        });
        match result.transpose() {
            Some(result) => started(result, received),
            None => recv_now(s, buffers, count, received, flags, no_name, overlapped),
        }
    }
}

/// Receives a datagram and where it came from; of a stream, as [`WSARecv`] (IO-11).
///
/// # Safety
///
/// As [`WSARecv`]; also address and length until the operation has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WSARecvFrom(
    s: SOCKET,
    buffers: *mut WSABUF,
    count: DWORD,
    received: *mut DWORD,
    flags: *mut DWORD,
    from: *mut sockaddr,
    from_length: *mut i32,
    overlapped: *mut OVERLAPPED,
    routine: Routine,
) -> i32 {
    // SAFETY: by the caller's word.
    unsafe {
        let from = (from, from_length);
        if overlapped.is_null() || flags.is_null() || !can_overlap(*flags) {
            return recv_now(s, buffers, count, received, flags, from, overlapped);
        }
        let all = *flags & MSG_WAITALL != 0;
        let result = pieces(buffers, count).and_then(|pieces| {
            let told = told(overlapped, routine)?;
            start(s, overlapped, told, can_recv, |memory, stream| {
                if stream || from.0.is_null() {
                    return prepare_recv(memory.header(), kind_of_recv(stream && all), pieces);
                }
                prepare_recv(memory.header(), Kind::RecvFrom, pieces);
                memory.more().from = Some(from);
            })
        });
        match result.transpose() {
            Some(result) => started(result, received),
            None => recv_now(s, buffers, count, received, flags, from, overlapped),
        }
    }
}

fn is_plain(flags: u32) -> bool {
    flags & !MSG_IGNORED == 0
}

/// Whether an overlapped receive can have these flags: peeking and urgent data are for calls that wait
/// (IO-8).
fn can_overlap(flags: u32) -> bool {
    is_plain(flags & !MSG_WAITALL)
}

/// A receive that takes what there is, or one that waits for all (IO-8).
fn kind_of_recv(all: bool) -> Kind {
    if all { Kind::RecvAll } else { Kind::Recv }
}

fn can_recv(socket: &Socket) -> Result<(), Error> {
    match socket.is_stream() || socket.has(Flag::BOUND) {
        true => Ok(()),
        false => Err(Error::WSAEINVAL),
    }
}

/// What is seldom: a receive that waits, or is refused because of its flags.
#[cold]
unsafe fn recv_now(
    s: SOCKET,
    buffers: *mut WSABUF,
    count: u32,
    received: *mut u32,
    flags: *mut u32,
    from: (*mut sockaddr, *mut i32),
    overlapped: *mut OVERLAPPED,
) -> i32 {
    // SAFETY: by the caller's word.
    let result = unsafe {
        socket(s).and_then(|socket| {
            let flags = flags.as_mut().ok_or(Error::WSAEFAULT)?;
            if !overlapped.is_null() && socket.notification().is_overlapped() {
                return Err(Error::WSAEOPNOTSUPP);
            }
            let room = iovecs(pieces(buffers, count)?);
            let bytes = recv(&socket, room, flags, from)?;
            if !received.is_null() {
                *received = bytes as u32;
            }
            blocked(overlapped, bytes);
            Ok(())
        })
    };
    zero(result)
}

fn iovecs(pieces: &[WSABUF]) -> Pieces {
    let piece = |piece: &WSABUF| libc::iovec {
        iov_base: piece.buf.cast(),
        iov_len: piece.len as usize,
    };
    pieces.iter().map(piece).collect()
}

fn limit(milliseconds: u32) -> Option<Duration> {
    (milliseconds != 0).then(|| Duration::from_millis(milliseconds.into()))
}

/// Receives, and waits if need be.
///
/// # Safety
///
/// The pointers are NULL or valid.
unsafe fn recv(
    socket: &Arc<Socket>,
    mut room: Pieces,
    flags: &mut u32,
    from: (*mut sockaddr, *mut i32),
) -> Result<usize, Error> {
    socket.broken()?;
    if socket.has(Flag::RECV_SHUT) {
        return Err(Error::WSAESHUTDOWN);
    }
    if !socket.is_stream() && !socket.has(Flag::BOUND) {
        return Err(Error::WSAEINVAL);
    }
    let known = MSG_OOB | MSG_PEEK | MSG_WAITALL | MSG_IGNORED;
    if *flags & !known != 0 {
        return Err(Error::WSAEOPNOTSUPP);
    }
    let mut asked = 0;
    for (flag, linux) in [(MSG_OOB, libc::MSG_OOB), (MSG_PEEK, libc::MSG_PEEK)] {
        if *flags & flag != 0 {
            asked |= linux;
        }
    }
    let all = *flags & MSG_WAITALL != 0 && socket.is_stream() && *flags & MSG_PEEK == 0;
    let timeout = limit(socket.recv_timeout().load(Relaxed));
    let mut received = 0;
    loop {
        let (bytes, truncated, address) = socket
            .blocking(libc::POLLIN, timeout, |fd| recv_one(fd, &mut room, asked))
            .map_err(|error| match error {
                // A datagram that was sent has found nobody (IO-13).
                Error::WSAECONNREFUSED if !socket.is_stream() => Error::WSAECONNRESET,
                error => error,
            })?;
        received += bytes;
        *flags = 0;
        if let Some(address) = address
            && !socket.is_stream()
            && !from.0.is_null()
        {
            // SAFETY: by the caller's word.
            unsafe { net::write(&address, from.0, from.1) }?;
        }
        if truncated {
            return Err(Error::WSAEMSGSIZE);
        }
        advance(&mut room, bytes);
        if !all || bytes == 0 || room.is_empty() {
            return Ok(received);
        }
    }
}

/// Leaves out what is full, or has gone out.
fn advance(pieces: &mut Pieces, mut bytes: usize) {
    while let Some(first) = pieces.first_mut() {
        if bytes < first.iov_len {
            first.iov_base = first.iov_base.cast::<u8>().wrapping_add(bytes).cast();
            first.iov_len -= bytes;
            return;
        }
        bytes -= first.iov_len;
        pieces.remove(0);
    }
}

fn message(pieces: &mut [libc::iovec]) -> libc::msghdr {
    // SAFETY: it is plain data, and all zeroes mean nothing.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = pieces.as_mut_ptr();
    header.msg_iovlen = pieces.len().min(1024) as _;
    header
}

fn recv_one(
    fd: BorrowedFd<'_>,
    room: &mut [libc::iovec],
    flags: i32,
) -> io::Result<(usize, bool, Option<Any>)> {
    let mut header = message(room);
    let mut received = 0;
    let mut full = false;
    let from = Any::filled_by(|to, length| {
        header.msg_name = to.cast();
        // SAFETY: the length is there.
        header.msg_namelen = unsafe { *length };
        // SAFETY: the header names memory that is the program's for this, and ours.
        received = unsafe { libc::recvmsg(fd.as_raw_fd(), &mut header, flags) };
        // SAFETY: as above.
        unsafe { *length = header.msg_namelen };
        full = header.msg_flags & libc::MSG_TRUNC != 0;
        received.min(0) as i32
    });
    match from {
        Ok(from) => Ok((received as usize, full, (from.len() >= 2).then_some(from))),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Receives; waits until there is something.
///
/// # Safety
///
/// `buffer` is NULL or has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_recv(
    s: SOCKET,
    buffer: *mut u8,
    length: i32,
    flags: i32,
) -> i32 {
    let null = std::ptr::null_mut();
    // SAFETY: by the caller's word.
    unsafe { overlapped_recvfrom(s, buffer, length, flags, null, std::ptr::null_mut()) }
}

/// Receives, and where it came from.
///
/// # Safety
///
/// `buffer` is NULL or has `length` bytes; the other pointers are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_recvfrom(
    s: SOCKET,
    buffer: *mut u8,
    length: i32,
    flags: i32,
    from: *mut sockaddr,
    from_length: *mut i32,
) -> i32 {
    let result = socket(s).and_then(|socket| {
        let room = iovecs(&[one(buffer, length)?]);
        let mut flags = flags as u32;
        // SAFETY: by the caller's word.
        unsafe { recv(&socket, room, &mut flags, (from, from_length)) }
    });
    error::or(result.map(|bytes| bytes as i32), SOCKET_ERROR)
}

fn one(buffer: *mut u8, length: i32) -> Result<WSABUF, Error> {
    let len = u32::try_from(length).map_err(|_| Error::WSAEFAULT)?;
    match buffer.is_null() && len > 0 {
        true => Err(Error::WSAEFAULT),
        false => Ok(WSABUF { len, buf: buffer }),
    }
}

// ---- sending -----------------------------------------------------------------------------------

/// Sends; overlapped, or waiting.
///
/// # Safety
///
/// The pointers are NULL or valid; the buffers until the operation has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WSASend(
    s: SOCKET,
    buffers: *mut WSABUF,
    count: DWORD,
    sent: *mut DWORD,
    flags: DWORD,
    overlapped: *mut OVERLAPPED,
    routine: Routine,
) -> i32 {
    // SAFETY: by the caller's word.
    unsafe {
        if overlapped.is_null() || !is_plain(flags) {
            return send_now(s, buffers, count, sent, flags, None, overlapped);
        }
        let result = pieces(buffers, count).and_then(|pieces| {
            let told = told(overlapped, routine)?;
            start(s, overlapped, told, bind_before_sending, |memory, _| {
                prepare_send(memory.header(), Kind::Send, pieces);
            })
        });
        match result.transpose() {
            Some(result) => started(result, sent),
            None => send_now(s, buffers, count, sent, flags, None, overlapped),
        }
    }
}

/// Sends a datagram to an address; on a stream, as [`WSASend`].
///
/// # Safety
///
/// As [`WSASend`]; `to` is NULL or has `to_length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WSASendTo(
    s: SOCKET,
    buffers: *mut WSABUF,
    count: DWORD,
    sent: *mut DWORD,
    flags: DWORD,
    to: *const sockaddr,
    to_length: i32,
    overlapped: *mut OVERLAPPED,
    routine: Routine,
) -> i32 {
    // SAFETY: by the caller's word.
    unsafe {
        let address = match to.is_null() {
            true => None,
            false => match net::read(to, to_length) {
                Ok(address) => Some(address),
                Err(error) => return zero(Err(error)),
            },
        };
        if overlapped.is_null() || !is_plain(flags) {
            return send_now(s, buffers, count, sent, flags, address, overlapped);
        }
        let result = pieces(buffers, count).and_then(|pieces| {
            let told = told(overlapped, routine)?;
            let to = address.map(Any::to_core).transpose()?;
            let prepare = |memory: &mut Memory, stream: bool| match to {
                Some(to) if !stream => {
                    prepare_send(memory.header(), Kind::SendTo, pieces);
                    memory.header().set_peer(Some(to));
                }
                _ => prepare_send(memory.header(), Kind::Send, pieces),
            };
            start(s, overlapped, told, bind_before_sending, prepare)
        });
        match result.transpose() {
            Some(result) => started(result, sent),
            None => send_now(s, buffers, count, sent, flags, address, overlapped),
        }
    }
}

/// A datagram socket that sends has an address from then on.
fn bind_before_sending(socket: &Socket) -> Result<(), Error> {
    if !socket.is_stream() {
        socket.set(Flag::BOUND);
    }
    Ok(())
}

/// What is seldom: a send that waits, or is refused because of its flags.
#[cold]
unsafe fn send_now(
    s: SOCKET,
    buffers: *mut WSABUF,
    count: u32,
    sent: *mut u32,
    flags: u32,
    to: Option<Any>,
    overlapped: *mut OVERLAPPED,
) -> i32 {
    // SAFETY: by the caller's word.
    let result = unsafe {
        socket(s).and_then(|socket| {
            if !overlapped.is_null() && socket.notification().is_overlapped() {
                return Err(Error::WSAEOPNOTSUPP);
            }
            let bytes = send(&socket, iovecs(pieces(buffers, count)?), flags, to)?;
            if !sent.is_null() {
                *sent = bytes as u32;
            }
            blocked(overlapped, bytes);
            Ok(())
        })
    };
    zero(result)
}

/// Sends all of it, if the socket may block; else what there is room for.
fn send(
    socket: &Arc<Socket>,
    mut content: Pieces,
    flags: u32,
    to: Option<Any>,
) -> Result<usize, Error> {
    socket.broken()?;
    if socket.has(Flag::SEND_SHUT) {
        return Err(Error::WSAESHUTDOWN);
    }
    if flags & !(MSG_OOB | MSG_DONTROUTE | MSG_IGNORED) != 0 {
        return Err(Error::WSAEOPNOTSUPP);
    }
    let mut asked = libc::MSG_NOSIGNAL;
    for (flag, linux) in [
        (MSG_OOB, libc::MSG_OOB),
        (MSG_DONTROUTE, libc::MSG_DONTROUTE),
    ] {
        if flags & flag != 0 {
            asked |= linux;
        }
    }
    let to = to.filter(|_| !socket.is_stream());
    if to.is_none() && !socket.is_stream() && !socket.is_connected() {
        return Err(Error::WSAENOTCONN);
    }
    bind_before_sending(socket)?;
    let timeout = limit(socket.send_timeout().load(Relaxed));
    let mut sent = 0;
    loop {
        let result = socket.blocking(libc::POLLOUT, timeout, |fd| {
            send_one(fd, &mut content, asked, to.as_ref())
        });
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(Error::WSAEWOULDBLOCK) if sent > 0 => return Ok(sent),
            Err(Error::WSAESHUTDOWN) if !socket.is_connected() => return Err(Error::WSAENOTCONN),
            // Shut down by nobody here: the peer has gone.
            Err(Error::WSAESHUTDOWN) => {
                return Err(socket.note_failure(Error::WSAECONNABORTED));
            }
            Err(error) => return Err(error),
        };
        sent += bytes;
        advance(&mut content, bytes);
        if !socket.is_stream() || content.is_empty() {
            return Ok(sent);
        }
    }
}

fn send_one(
    fd: BorrowedFd<'_>,
    content: &mut [libc::iovec],
    flags: i32,
    to: Option<&Any>,
) -> io::Result<usize> {
    let mut header = message(content);
    if let Some(to) = to {
        header.msg_name = to.as_ptr().cast_mut().cast();
        header.msg_namelen = to.len();
    }
    let mut tries = 0;
    loop {
        // SAFETY: the header names memory that is the program's for this; Linux only reads it.
        match unsafe { libc::sendmsg(fd.as_raw_fd(), &header, flags) } {
            -1 => match io::Error::last_os_error() {
                // What an earlier datagram has brought back is for receives to tell (IO-13).
                error if error.kind() == io::ErrorKind::ConnectionRefused && tries < 8 => {
                    tries += 1;
                }
                error => return Err(error),
            },
            sent => return Ok(sent as usize),
        }
    }
}

/// Sends; waits until all of it is with the system.
///
/// # Safety
///
/// `buffer` is NULL or has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_send(
    s: SOCKET,
    buffer: *const u8,
    length: i32,
    flags: i32,
) -> i32 {
    // SAFETY: by the caller's word.
    unsafe { overlapped_sendto(s, buffer, length, flags, std::ptr::null(), 0) }
}

/// Sends to an address.
///
/// # Safety
///
/// `buffer` is NULL or has `length` bytes, `to` is NULL or has `to_length`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_sendto(
    s: SOCKET,
    buffer: *const u8,
    length: i32,
    flags: i32,
    to: *const sockaddr,
    to_length: i32,
) -> i32 {
    let result = socket(s).and_then(|socket| {
        let content = iovecs(&[one(buffer.cast_mut(), length)?]);
        let to = match to.is_null() {
            true => None,
            // SAFETY: by the caller's word.
            false => Some(unsafe { net::read(to, to_length) }?),
        };
        send(&socket, content, flags as u32, to)
    });
    error::or(result.map(|bytes| bytes as i32), SOCKET_ERROR)
}
