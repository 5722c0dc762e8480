//! What a program does with a socket.

use std::io;
use std::ptr::null_mut;
use std::sync::Arc;

use windows_sys::Win32::Networking::WinSock::{SIO_UDP_CONNRESET, SOCKET, WSAIoctl};

use super::{Phase, SocketState};
use crate::endpoint::Endpoint;
use crate::engine::iocp::nature::Nature;
use crate::engine::iocp::status;
use crate::operation::{Kind, Operation, Outcome, Refused, ShutdownHow, Token};
use crate::{Address, Status};

/// A socket that is associated with a port. Cloning gives another handle to the same socket.
#[derive(Clone)]
pub struct Socket(Arc<SocketState>);

impl Socket {
    pub(crate) fn new(state: Arc<SocketState>) -> Self {
        Socket(state)
    }

    /// Starts an operation that was prepared; its packet comes out of the socket's port.
    ///
    /// # Errors
    ///
    /// The operation comes back with the reason, and queues no packet (PK-5).
    pub fn start(&self, operation: Operation) -> Result<Token, Refused> {
        match self.0.start(operation, false)? {
            Outcome::Pending(token) => Ok(token),
            Outcome::Done(_) => unreachable!("it was to be queued"),
        }
    }

    /// As [`start`](Socket::start); an operation that ends at once comes back, and queues no packet
    /// (SK-1).
    ///
    /// # Errors
    ///
    /// As [`start`](Socket::start).
    pub fn start_direct(&self, operation: Operation) -> Result<Outcome, Refused> {
        self.0.start(operation, true)
    }

    /// Queues an operation at the socket's port as it is (PQ-1).
    ///
    /// # Errors
    ///
    /// A closed port gives it back.
    pub fn post(&self, operation: Operation) -> Result<(), Operation> {
        self.0.port.post(operation)
    }

    /// Asks the system to cancel an operation; `false` if it is not under way (CX-2). Here `true`
    /// is no promise: the operation may complete all the same, and its packet says how (CX-1).
    pub fn cancel(&self, token: Token) -> bool {
        token.socket == self.0.number && self.0.end_one(token.operation, Status::CANCELLED)
    }

    /// Cancels all that is under way; how many operations that was.
    pub fn cancel_all(&self) -> usize {
        self.0.cancel_all()
    }

    /// Closes the socket, whatever handles there are; what is in flight ends with packets.
    pub fn close(&self) {
        self.0.close();
    }

    /// Shuts directions down.
    ///
    /// # Errors
    ///
    /// When it is closed or not connected.
    pub fn shutdown(&self, how: ShutdownHow) -> Result<(), Status> {
        self.0.shutdown(how)
    }

    /// Nothing: on Windows an association lasts until the socket is closed (PO-6).
    pub fn release(&self) -> Option<Endpoint> {
        None
    }

    /// Uses the endpoint, for options.
    ///
    /// # Errors
    ///
    /// When the socket is closed.
    pub fn with_endpoint<R>(&self, f: impl FnOnce(&Endpoint) -> R) -> Result<R, Status> {
        self.0.with_endpoint(f)
    }

    /// What it is and what it can do, for whoever asked for something else.
    pub fn describe(&self, _: Kind) -> &'static str {
        match (self.0.nature, self.0.lock().phase) {
            (Nature::Stream, Phase::Listener) => {
                "this is a listening socket; it can accept and accept_with_data"
            }
            (Nature::Stream, _) => {
                "this is a stream socket; it can recv, recv_zero, send, send_file, connect and \
                 disconnect, and the datagram operations it cannot"
            }
            (Nature::Datagram, _) => {
                "this is a datagram socket; it can recv, recv_from, recv_zero, send, send_to and \
                 connect"
            }
            (
                Nature::Pipe {
                    reads: true,
                    writes: false,
                },
                _,
            ) => "this is a pipe's reading end; it can recv and recv_zero",
            (Nature::Pipe { reads: false, .. }, _) => "this is a pipe's writing end; it can send",
            (Nature::Pipe { .. }, _) => "this is a pipe; it can recv, recv_zero and send",
        }
    }

    /// Whether receives tell of datagrams that came back (IO-13).
    ///
    /// # Errors
    ///
    /// The system's, when the socket is closed, or not one for datagrams.
    pub fn set_sent_back(&self, told: bool) -> io::Result<()> {
        if self.0.nature != Nature::Datagram {
            return Err(Status::NOT_SUPPORTED.to_error());
        }
        let guarded = self.0.lock();
        let closed = Status::INVALID_HANDLE;
        let socket = guarded.handle().ok_or_else(|| closed.to_error())?;
        let (told, mut bytes) = (i32::from(told), 0);
        // SAFETY: the socket is open while the lock is held; the value lives for the call.
        let failed = unsafe {
            WSAIoctl(
                socket as SOCKET,
                SIO_UDP_CONNRESET,
                (&raw const told).cast(),
                size_of::<i32>() as u32,
                null_mut(),
                0,
                &mut bytes,
                null_mut(),
                None,
            )
        };
        match failed {
            0 => Ok(()),
            _ => Err(status::of_last_call().to_error()),
        }
    }

    /// The local address.
    ///
    /// # Errors
    ///
    /// When the socket is closed.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.address(|socket| socket.local_addr())
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// When the socket is closed or not connected.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.address(|socket| socket.peer_addr())
    }

    fn address(
        &self,
        ask: impl FnOnce(socket2::SockRef<'_>) -> io::Result<socket2::SockAddr>,
    ) -> io::Result<Address> {
        let address = self
            .with_endpoint(|endpoint| match endpoint {
                Endpoint::Os(socket) => ask(socket2::SockRef::from(socket)),
                Endpoint::Handle(_) => Err(Status::NOT_SUPPORTED.to_error()),
            })
            .map_err(Status::to_error)??;
        let unknown = || io::Error::new(io::ErrorKind::Unsupported, "not an internet address");
        address
            .as_socket()
            .map(Address::Internet)
            .ok_or_else(unknown)
    }
}
