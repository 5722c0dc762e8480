//! The calls that start operations, and what is fetched when they have succeeded.
//!
//! A call that fails queues no packet (PK-5), with one exception: what is a warning to the system,
//! and so completes with a packet, is a failure to Winsock. Who errs in whether a packet comes loses
//! the operation's memory, or frees it twice. The usual warning is that a datagram was longer than
//! the memory that it is received into; to have none of it, behind the user's buffers every receive of a datagram
//! has a *sink*, where the rest goes and nobody reads it. Whether the datagram was too long
//! is told by the number of bytes (IO-9).

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;
use std::os::windows::io::{AsRawSocket, OwnedSocket};
use std::ptr::{NonNull, null, null_mut};

use smallvec::SmallVec;
use windows_sys::Win32::Networking::WinSock::{
    FIONBIO, LPFN_ACCEPTEX, LPFN_CONNECTEX, MSG_PEEK, SIO_GET_EXTENSION_FUNCTION_POINTER,
    SO_UPDATE_ACCEPT_CONTEXT, SO_UPDATE_CONNECT_CONTEXT, SOCKADDR, SOCKADDR_STORAGE, SOCKET,
    SOCKET_ERROR, SOL_SOCKET, WSA_IO_PENDING, WSABUF, WSAEMSGSIZE, WSAEWOULDBLOCK, WSAGetLastError,
    WSAID_ACCEPTEX, WSAID_CONNECTEX, WSAIoctl, WSARecv, WSARecvFrom, WSASend, WSASendTo, connect,
    ioctlsocket, recv, setsockopt,
};
use windows_sys::Win32::System::IO::OVERLAPPED;
use windows_sys::core::GUID;

use super::nature::Nature;
use super::status;
use super::transmit;
use crate::endpoint::Endpoint;
use crate::operation::{Header, Kind};
use crate::{Address, Status};

/// What came of a call.
pub(super) enum Issued {
    /// Its packet will come.
    Pending,
    /// It has completed, with so many bytes. Its packet will come all the same, unless the socket
    /// skips those.
    AtOnce(Status, u32),
    /// It has ended, and the system knows nothing of it: no packet of its own will come.
    Ended(Status),
}

/// What a call has to know of the socket.
pub(super) struct Local {
    pub(super) socket: SOCKET,
    pub(super) nature: Nature,
    /// The address family, as Winsock counts them.
    pub(super) family: i32,
}

/// The most that one call can move.
const MOST: usize = u32::MAX as usize;

/// As much as any datagram has.
struct Sink(UnsafeCell<[u8; 1 << 16]>);

// SAFETY: nobody reads it, and only the system writes to it.
unsafe impl Sync for Sink {}

static SINK: Sink = Sink(UnsafeCell::new([0; 1 << 16]));

fn sink() -> WSABUF {
    WSABUF {
        len: 1 << 16,
        buf: SINK.0.get().cast(),
    }
}

type Buffers = SmallVec<[WSABUF; 8]>;

/// The operation's segments, for the system; never none.
fn buffers(header: &Header) -> Buffers {
    let mut left = MOST;
    let mut buffers: Buffers = header
        .segments()
        .iter()
        .map(|segment| {
            let len = segment.len().min(left);
            left -= len;
            WSABUF {
                len: len as u32,
                buf: segment.as_ptr(),
            }
        })
        .collect();
    if buffers.is_empty() {
        buffers.push(WSABUF {
            len: 0,
            buf: null_mut(),
        });
    }
    buffers
}

/// Starts an operation.
///
/// # Safety
///
/// The socket is open, and `header` is an operation's whose memory was given up. Unless this fails
/// or says that the operation has ended, it stays where it is and nobody touches it until its
/// packet was taken.
pub(super) unsafe fn issue(local: &Local, header: NonNull<Header>) -> Result<Issued, Status> {
    // SAFETY: nobody else has it, and this reference is not used any more when the call is made.
    let operation = unsafe { &mut *header.as_ptr() };
    let kind = operation.kind();
    let overlapped: *mut OVERLAPPED = header.as_ptr().cast();
    let is_send = matches!(kind, Kind::Send | Kind::SendTo | Kind::Connect);
    if is_send && operation.capacity() > MOST {
        return Err(Status::INVALID_BUFFER_SIZE);
    }
    let socket = local.socket;
    let datagrams = local.nature == Nature::Datagram;
    let (mut bytes, mut flags) = (0, 0);
    // The system copies the arrays of buffers and the addresses before the calls return (PK-11).
    match kind {
        Kind::Recv | Kind::RecvZero | Kind::RecvPooled => {
            let mut buffers = buffers(operation);
            if datagrams {
                buffers.push(sink());
                if kind == Kind::RecvZero {
                    flags = MSG_PEEK as u32;
                }
            }
            let count = buffers.len() as u32;
            // SAFETY: the OVERLAPPED is the front of the memory that the caller speaks for; the
            // buffers obey `Segment::new`, or are the sink.
            let failed = unsafe {
                WSARecv(
                    socket,
                    buffers.as_ptr(),
                    count,
                    &mut bytes,
                    &mut flags,
                    overlapped,
                    None,
                )
            };
            outcome(failed == 0, bytes, overlapped)
        }
        Kind::RecvFrom => {
            let mut buffers = buffers(operation);
            buffers.push(sink());
            let count = buffers.len() as u32;
            let scratch = operation.scratch();
            scratch.from_len = size_of::<SOCKADDR_STORAGE>() as i32;
            let from: *mut SOCKADDR = (&raw mut scratch.from).cast();
            let from_len = &raw mut scratch.from_len;
            // SAFETY: as above; the address and its length are in the operation's memory too.
            let failed = unsafe {
                WSARecvFrom(
                    socket,
                    buffers.as_ptr(),
                    count,
                    &mut bytes,
                    &mut flags,
                    from,
                    from_len,
                    overlapped,
                    None,
                )
            };
            outcome(failed == 0, bytes, overlapped)
        }
        Kind::Send => {
            let buffers = buffers(operation);
            let count = buffers.len() as u32;
            // SAFETY: as for a receive.
            let failed = unsafe {
                WSASend(
                    socket,
                    buffers.as_ptr(),
                    count,
                    &mut bytes,
                    0,
                    overlapped,
                    None,
                )
            };
            outcome(failed == 0, bytes, overlapped)
        }
        Kind::SendTo => {
            let to = address_of_peer(operation)?;
            let buffers = buffers(operation);
            let count = buffers.len() as u32;
            // SAFETY: as for a receive; the address lives for the call.
            let failed = unsafe {
                WSASendTo(
                    socket,
                    buffers.as_ptr(),
                    count,
                    &mut bytes,
                    0,
                    to.as_ptr().cast(),
                    to.len(),
                    overlapped,
                    None,
                )
            };
            outcome(failed == 0, bytes, overlapped)
        }
        Kind::SendFile => {
            // SAFETY: by the caller's word; the reference to the operation ends here.
            let done = unsafe { transmit::issue(socket, operation, overlapped)? };
            if done {
                // SAFETY: it is over, so nobody writes to it.
                bytes = unsafe { (*overlapped).InternalHigh } as u32;
            }
            outcome(done, bytes, overlapped)
        }
        Kind::Accept | Kind::AcceptRecv => {
            let accept_ex = extension::<LPFN_ACCEPTEX>(socket, WSAID_ACCEPTEX)?;
            let accepted = new_stream(local.family)?;
            let raw = accepted.as_raw_socket() as SOCKET;
            let room = data_room(operation);
            let scratch = operation.scratch();
            scratch.accepted = Some(accepted);
            scratch.buffer.resize(room + 2 * ADDRESS, 0);
            let buffer = scratch.buffer.as_mut_ptr();
            // SAFETY: as above: the buffer and the new socket are kept in the operation's memory.
            let done = unsafe {
                accept_ex(
                    socket,
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
        Kind::Connect if datagrams => {
            let to = address_of_peer(operation)?;
            // SAFETY: the address lives for the call.
            match unsafe { connect(socket, to.as_ptr().cast(), to.len()) } {
                0 => Ok(Issued::Ended(Status::SUCCESS)),
                _ => Ok(Issued::Ended(status::of_last_call())),
            }
        }
        Kind::Connect => {
            let connect_ex = extension::<LPFN_CONNECTEX>(socket, WSAID_CONNECTEX)?;
            let to = address_of_peer(operation)?;
            bind_if_unbound(socket, &to);
            let (data, length) = in_one_piece(operation);
            // SAFETY: as for a send; the address lives for the call.
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
        _ => Err(Status::NOT_SUPPORTED),
    }
    .or_else(|status| match status {
        // How a datagram fares says nothing about the socket: it is told in the packet.
        _ if datagrams && !says_misuse(status) => Ok(Issued::Ended(status)),
        _ => Err(status),
    })
}

/// What came of the call that has just returned.
fn outcome(succeeded: bool, bytes: u32, overlapped: *const OVERLAPPED) -> Result<Issued, Status> {
    if succeeded {
        return Ok(Issued::AtOnce(Status::SUCCESS, bytes));
    }
    // SAFETY: no pointers are involved.
    match unsafe { WSAGetLastError() } {
        WSA_IO_PENDING => Ok(Issued::Pending),
        // Winsock fails it, but to the system a warning is a completion, with a packet. (Seen with
        // Wine, of a datagram that was too long to be sent.)
        // SAFETY: nobody writes to it now: the call is over and nothing is pending.
        WSAEMSGSIZE if unsafe { (*overlapped).Internal as u32 >> 30 } == WARNING => {
            Ok(Issued::AtOnce(Status::INVALID_BUFFER_SIZE, 0))
        }
        error => Err(Status::from_win32(error as u32)),
    }
}

/// The severity of a status that is neither a success nor an error.
const WARNING: u32 = 2;

fn says_misuse(status: Status) -> bool {
    matches!(
        status,
        Status::INVALID_HANDLE
            | Status::INVALID_PARAMETER
            | Status::INVALID_CONNECTION
            | Status::PIPE_DISCONNECTED
            | Status::NOT_SUPPORTED
    )
}

/// Asks the socket's provider for a function that is no part of Winsock itself.
fn extension<F: Copy + Extension>(socket: SOCKET, id: GUID) -> Result<F::Function, Status> {
    let mut function: F = F::NONE;
    let mut bytes = 0;
    // SAFETY: the pointers are valid for the call and as long as it says; what is asked for is a
    // pointer to a function of this very type.
    let failed = unsafe {
        WSAIoctl(
            socket,
            SIO_GET_EXTENSION_FUNCTION_POINTER,
            (&raw const id).cast(),
            size_of::<GUID>() as u32,
            (&raw mut function).cast(),
            size_of::<F>() as u32,
            &mut bytes,
            null_mut(),
            None,
        )
    };
    match function.function() {
        Some(function) if failed == 0 => Ok(function),
        _ => Err(Status::NOT_SUPPORTED),
    }
}

/// A pointer to an extension function, or none.
trait Extension {
    type Function;
    const NONE: Self;
    fn function(self) -> Option<Self::Function>;
}

impl<T> Extension for Option<T> {
    type Function = T;
    const NONE: Self = None;
    fn function(self) -> Option<T> {
        self
    }
}

// ---- accept ------------------------------------------------------------------------------------

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
    listener: Option<SOCKET>,
    operation: &mut Header,
    bytes: usize,
) -> Result<(), Status> {
    let room = data_room(operation);
    let scratch = operation.scratch();
    let connection = scratch.accepted.take().ok_or(Status::UNSUCCESSFUL)?;
    let listener = listener.ok_or(Status::CANCELLED)?;
    let raw = connection.as_raw_socket() as SOCKET;
    set_option(raw, SO_UPDATE_ACCEPT_CONTEXT, &listener.to_ne_bytes())?;
    let peer = socket2::SockRef::from(&connection).peer_addr();
    let buffer = std::mem::take(&mut scratch.buffer);
    let mut data = &buffer[..bytes.min(room)];
    for segment in operation.segments() {
        let (piece, rest) = data.split_at(segment.len().min(data.len()));
        // SAFETY: the segment obeys `Segment::new`, and has room for the piece.
        unsafe {
            piece
                .as_ptr()
                .copy_to_nonoverlapping(segment.as_ptr(), piece.len())
        };
        data = rest;
    }
    operation.scratch().buffer = buffer;
    operation.set_peer(
        peer.ok()
            .and_then(|peer| peer.as_socket())
            .map(Address::Internet),
    );
    operation.set_accepted(Endpoint::Os(connection));
    Ok(())
}

// ---- connect -----------------------------------------------------------------------------------

/// The address to send or connect to.
fn address_of_peer(operation: &Header) -> Result<socket2::SockAddr, Status> {
    let peer = operation.peer().and_then(Address::internet);
    peer.map(Into::into).ok_or(Status::INVALID_PARAMETER)
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

/// The operation's bytes as ConnectEx takes them: several pieces are copied together.
fn in_one_piece(operation: &mut Header) -> (*const u8, usize) {
    match operation.segments() {
        [] => (null(), 0),
        [one] => (one.as_ptr(), one.len()),
        several => {
            let mut all = Vec::with_capacity(operation.capacity());
            for segment in several {
                // SAFETY: the segment obeys `Segment::new`.
                all.extend_from_slice(unsafe {
                    std::slice::from_raw_parts(segment.as_ptr(), segment.len())
                });
            }
            let buffer = &mut operation.scratch().buffer;
            *buffer = all;
            (buffer.as_ptr(), buffer.len())
        }
    }
}

/// A connect has succeeded: the socket becomes one like others (CE-4).
pub(super) fn connected(socket: SOCKET) {
    // What would fail without it (`getpeername`, `shutdown`) says so itself.
    let _ = set_option(socket, SO_UPDATE_CONNECT_CONTEXT, &[]);
}

fn set_option(socket: SOCKET, option: i32, value: &[u8]) -> Result<(), Status> {
    let length = value.len() as i32;
    // SAFETY: the value is as long as it says.
    match unsafe { setsockopt(socket, SOL_SOCKET, option, value.as_ptr(), length) } {
        0 => Ok(()),
        _ => Err(status::of_last_call()),
    }
}

// ---- receives from the pool --------------------------------------------------------------------

/// From now on calls that are not overlapped do not wait; whether this worked. The others pend as
/// before (IO-1).
pub(super) fn make_nonblocking(socket: SOCKET) -> bool {
    let mut on = 1;
    // SAFETY: the value lives for the call.
    unsafe { ioctlsocket(socket, FIONBIO, &mut on) == 0 }
}

/// Receives what is there now, on a socket that does not wait. `None`: nothing is.
pub(super) fn receive_now(
    socket: SOCKET,
    room: &mut [MaybeUninit<u8>],
) -> Result<Option<usize>, Status> {
    let length = i32::try_from(room.len()).unwrap_or(i32::MAX);
    // SAFETY: the room is as long as it says, and the system only writes to it.
    match unsafe { recv(socket, room.as_mut_ptr().cast(), length, 0) } {
        // SAFETY: no pointers are involved.
        SOCKET_ERROR => match unsafe { WSAGetLastError() } {
            WSAEWOULDBLOCK => Ok(None),
            error => Err(Status::from_win32(error as u32)),
        },
        bytes => Ok(usize::try_from(bytes).ok()),
    }
}

// ---- datagrams ---------------------------------------------------------------------------------

/// A datagram was received: where it came from.
pub(super) fn sender(operation: &mut Header) {
    let scratch = operation.scratch();
    let from: *const SOCKADDR = (&raw const scratch.from).cast();
    // SAFETY: the system has written an address of this length.
    let peer = unsafe { address(from, scratch.from_len) };
    operation.set_peer(peer);
}

/// # Safety
///
/// There are so many bytes of an address there, unless it points nowhere.
unsafe fn address(at: *const SOCKADDR, length: i32) -> Option<Address> {
    let length = usize::try_from(length).ok()?;
    if at.is_null() || length == 0 || length > size_of::<SOCKADDR_STORAGE>() {
        return None;
    }
    // SAFETY: the storage has room for so much, and by the caller's word the bytes are there.
    let made = unsafe {
        socket2::SockAddr::try_init(|storage, storage_len| {
            at.cast::<u8>()
                .copy_to_nonoverlapping(storage.cast(), length);
            *storage_len = length as _;
            Ok(())
        })
    };
    made.ok()?.1.as_socket().map(Address::Internet)
}
