//! The calls that start operations, and what is fetched when they have succeeded.
//!
//! A call that fails queues no packet (PK-5), with one exception: what is a warning to the system,
//! and so completes with a packet, is a failure to Winsock. Who errs in whether a packet comes loses
//! the operation's memory, or frees it twice. The usual warning is that a datagram was longer than
//! the memory that it is received into; to have none of it, behind the user's buffers every receive
//! of a datagram has a *sink*, where the rest goes and nobody reads it. Whether the datagram was too
//! long is told by the number of bytes (IO-9).

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::ptr::null_mut;

use smallvec::SmallVec;
use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Networking::WinSock::{
    self, FIONBIO, MSG_PEEK, SOCKADDR, SOCKADDR_STORAGE, SOCKET, SOCKET_ERROR, WSA_IO_PENDING,
    WSABUF, WSAEMSGSIZE, WSAEWOULDBLOCK, WSAGetLastError, WSARecv, WSARecvFrom, WSASend, WSASendTo,
    ioctlsocket, recv,
};
use windows_sys::Win32::System::IO::OVERLAPPED;

use super::nature::Nature;
use super::{accept, connect, pipe, status, transmit};
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

/// What a call has to know of the socket or pipe.
pub(super) struct Local {
    pub(super) handle: HANDLE,
    pub(super) nature: Nature,
    /// The address family, as Winsock counts them.
    pub(super) family: i32,
}

/// The most that one call can move.
pub(super) const MOST: usize = u32::MAX as usize;

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
    if matches!(local.nature, Nature::Pipe { .. }) {
        // SAFETY: the caller's word.
        return unsafe { pipe::issue(local.handle, header) };
    }
    let socket = local.handle as SOCKET;
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
            // SAFETY: the caller's word.
            let done = unsafe { transmit::issue(socket, header)? };
            if done {
                // SAFETY: it is over, so nobody writes to it.
                bytes = unsafe { (*overlapped).InternalHigh } as u32;
            }
            outcome(done, bytes, overlapped)
        }
        // SAFETY: the caller's word.
        Kind::Accept | Kind::AcceptRecv => unsafe { accept::issue(socket, local.family, header) },
        Kind::Connect if datagrams => {
            let to = address_of_peer(operation)?;
            // SAFETY: the address lives for the call.
            match unsafe { WinSock::connect(socket, to.as_ptr().cast(), to.len()) } {
                0 => Ok(Issued::Ended(Status::SUCCESS)),
                _ => Ok(Issued::Ended(status::of_last_call())),
            }
        }
        // SAFETY: as above.
        Kind::Connect => unsafe { connect::issue(socket, header) },
        _ => Err(Status::NOT_SUPPORTED),
    }
    .or_else(|status| match status {
        // Winsock has one number for both.
        Status::CONNECTION_RESET if datagrams => Ok(Issued::Ended(Status::PORT_UNREACHABLE)),
        status if told_in_packet(kind, datagrams, status) => Ok(Issued::Ended(status)),
        status => Err(status),
    })
}

/// Whether a call's failure says nothing about the socket, which is as good as before: how one
/// datagram fares, or one client of a listener (AX-9), or that there was no socket for it.
fn told_in_packet(kind: Kind, datagrams: bool, status: Status) -> bool {
    let accepts = matches!(kind, Kind::Accept | Kind::AcceptRecv);
    (datagrams || accepts) && !says_misuse(status)
}

/// What came of the call that has just returned.
pub(super) fn outcome(
    succeeded: bool,
    bytes: u32,
    overlapped: *const OVERLAPPED,
) -> Result<Issued, Status> {
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

/// The address to send or connect to.
pub(super) fn address_of_peer(operation: &Header) -> Result<socket2::SockAddr, Status> {
    let peer = operation.peer().and_then(Address::internet);
    peer.map(Into::into).ok_or(Status::INVALID_PARAMETER)
}

// ---- receives from the pool --------------------------------------------------------------------

/// From now on calls that are not overlapped do not wait; whether this worked. The others pend as
/// before (IO-1).
pub(super) fn make_nonblocking(socket: HANDLE) -> bool {
    let mut on = 1;
    // SAFETY: the value lives for the call.
    unsafe { ioctlsocket(socket as SOCKET, FIONBIO, &mut on) == 0 }
}

/// Receives what is there now, on a socket that does not wait. `None`: nothing is.
pub(super) fn receive_now(
    socket: HANDLE,
    room: &mut [MaybeUninit<u8>],
) -> Result<Option<usize>, Status> {
    let length = i32::try_from(room.len()).unwrap_or(i32::MAX);
    // SAFETY: the room is as long as it says, and the system only writes to it.
    match unsafe { recv(socket as SOCKET, room.as_mut_ptr().cast(), length, 0) } {
        // SAFETY: no pointers are involved.
        SOCKET_ERROR => match unsafe { WSAGetLastError() } {
            WSAEWOULDBLOCK => Ok(None),
            error => Err(Status::from_win32(error as u32)),
        },
        bytes => Ok(usize::try_from(bytes).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ax_9_a_client_that_gave_up_does_not_refuse_the_accept() {
        for kind in [Kind::Accept, Kind::AcceptRecv] {
            // What AcceptEx is documented to fail with.
            let reset = Status::from_win32(WinSock::WSAECONNRESET as u32);
            assert!(told_in_packet(kind, false, reset));
            assert!(told_in_packet(kind, false, Status::TOO_MANY_OPENED_FILES));
            assert!(!told_in_packet(kind, false, Status::INVALID_PARAMETER));
        }
        assert!(!told_in_packet(Kind::Recv, false, Status::CONNECTION_RESET));
        assert!(told_in_packet(Kind::Recv, true, Status::CONNECTION_RESET));
    }
}
