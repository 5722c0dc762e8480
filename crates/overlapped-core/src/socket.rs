//! A socket that is associated with a port.

use std::io;
use std::sync::Arc;

use crate::engine::readiness::{SocketState, address};
use crate::operation::{Kind, Operation, OperationList, Outcome};
use crate::{Address, Endpoint, Refused, ShutdownHow, Status, Token};

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
        self.0.start(operation)
    }

    /// As [`start`](Socket::start); an operation that ends at once comes back, and queues no packet
    /// (SK-1).
    ///
    /// # Errors
    ///
    /// As [`start`](Socket::start).
    pub fn start_direct(&self, operation: Operation) -> Result<Outcome, Refused> {
        self.0.start_direct(operation)
    }

    /// Queues an operation at the socket's port as it is (PQ-1).
    ///
    /// # Errors
    ///
    /// A closed port gives it back.
    pub fn post(&self, operation: Operation) -> Result<(), Operation> {
        self.0.port().post(operation)
    }

    /// Cancels an operation; `false` if it is not under way (CX-2).
    pub fn cancel(&self, token: Token) -> bool {
        self.0.cancel(token)
    }

    /// Cancels all that is under way; how many operations that was.
    pub fn cancel_all(&self) -> usize {
        self.0.cancel_all()
    }

    /// Cancels what is under way and `wanted`; how many operations that was. Called with the socket
    /// locked.
    pub fn cancel_those(&self, wanted: impl Fn(&Operation) -> bool) -> usize {
        self.0.cancel_those(wanted)
    }

    /// On a listener: for how long the connection has been there from which a `wanted` accept awaits
    /// the first data; `None` if there is none yet.
    pub fn awaited_for(&self, wanted: impl Fn(&Operation) -> bool) -> Option<std::time::Duration> {
        self.0.awaited_for(wanted)
    }

    /// Whether anything is under way.
    pub fn is_idle(&self) -> bool {
        let mut idle = true;
        self.0.visit(|_| idle = false);
        idle
    }

    /// Whether anything is being sent, so that closing lingers.
    pub fn is_sending(&self) -> bool {
        let mut sending = false;
        self.0.visit(|operation| {
            let kind = operation.kind();
            sending |= kind.is_send_side() && kind != Kind::Connect;
        });
        sending
    }

    /// Closes the socket, whatever handles there are.
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

    /// Gives the endpoint back, if no operation is under way.
    pub fn release(&self) -> Option<Endpoint> {
        self.0.release()
    }

    /// Gives the endpoint back with what is under way, in the order in which it was started, so that
    /// it can be started again on another port; `None` while somebody else is using it. Accepts that
    /// wait for the first data of a connection stay.
    pub fn withdraw(&self) -> Option<(Endpoint, OperationList)> {
        self.0.withdraw()
    }

    /// Uses the endpoint, for options.
    ///
    /// # Errors
    ///
    /// When the socket is closed.
    pub fn with_endpoint<R>(&self, f: impl FnOnce(&Endpoint) -> R) -> Result<R, Status> {
        self.0.with_endpoint(f)
    }

    /// Whether the descriptor is only watched, in whatever mode it is.
    pub fn is_watched(&self) -> bool {
        self.0.nature() == crate::engine::Nature::Watched
    }

    /// The failure that ended the connection, if one did: everything is refused with it (IO-14).
    pub fn failure(&self) -> Option<Status> {
        self.0.broken()
    }

    /// A call that the port does not know of has failed with this: what that is called. Some failures
    /// end the connection.
    pub fn note_failure(&self, status: Status) -> Status {
        self.0.note_failure(status)
    }

    /// What it is and what it can do, for whoever asked for an operation that it cannot do.
    pub fn describe(&self, kind: Kind) -> &'static str {
        self.0.describe(kind)
    }

    /// Whether receives tell of datagrams that came back (IO-13).
    ///
    /// # Errors
    ///
    /// The system's, when the socket is closed, or not one for datagrams.
    pub fn set_sent_back(&self, told: bool) -> io::Result<()> {
        self.0.set_sent_back(told)
    }

    /// The local address.
    ///
    /// # Errors
    ///
    /// When the socket is closed or has none.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.0
            .with_endpoint(|endpoint| address(endpoint, |fd| rustix::net::getsockname(fd)))
            .map_err(Status::to_error)?
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// When the socket is closed or not connected.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.0
            .with_endpoint(|endpoint| {
                #[cfg(feature = "sim")]
                if let Endpoint::Sim(socket) = endpoint {
                    let peer = socket.peer_address();
                    return peer
                        .map(Address::from)
                        .ok_or_else(|| Status::INVALID_CONNECTION.to_error());
                }
                address(endpoint, |fd| {
                    rustix::net::getpeername(fd)?.ok_or(rustix::io::Errno::NOTCONN)
                })
            })
            .map_err(Status::to_error)?
    }
}
