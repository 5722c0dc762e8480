//! Skip on success: operations that end at once come back from their start.

use std::fmt;

use overlapped_core::{Kind, Outcome};

use crate::memory::Bytes;
use crate::port::packet;
use crate::socket::{Started, with_room};
use crate::{Operation, Packet, Refused, Socket};

/// A socket whose operations, if they end at once, come back from their start instead of by way of
/// the port (SK-1, `FILE_SKIP_COMPLETION_PORT_ON_SUCCESS`). Made by [`Socket::direct`].
///
/// Most sends end at once, and so do receives for which data is there. What does not is
/// [`Start::Pending`], and its packet comes as ever; so a caller has both cases to handle. It saves
/// a round through the port's queue, and with it the port's fairness: a thread that goes on with
/// one connection for as long as its operations end at once lets all others wait.
///
/// Whether an operation ends at once is the system's choice (SK-5). On Windows the first operation that
/// is started directly puts the socket into that mode; what is started in the usual way is then
/// queued by the library if it ends at once.
///
/// ```
/// use overlapped::{CompletionPort, Operation, Start};
/// # use std::net::{TcpListener, TcpStream};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// # let _client = TcpStream::connect(listener.local_addr()?)?;
/// # let (connection, _) = listener.accept()?;
/// let port: CompletionPort = CompletionPort::new(1)?;
/// let socket = port.associate(connection, ())?;
///
/// let packet = match socket.direct().send(Operation::new("hello", ()))? {
///     Start::Done(packet) => packet,
///     Start::Pending(_) => port.get()?,
/// };
/// assert_eq!(packet.result()?, 5);
/// # Ok(())
/// # }
/// ```
pub struct Direct<'a, K, T> {
    pub(crate) socket: &'a Socket<K, T>,
}

/// What became of an operation that was started directly.
#[derive(Debug)]
#[must_use = "an operation that has ended at once is in here"]
pub enum Start<K, T> {
    /// It has ended, well or not: this is its packet, and no other will come.
    Done(Packet<K, T>),
    /// It is under way; its packet comes out of the port.
    Pending(Started),
}

impl<K: Send + Sync + 'static, T: Send + 'static> Direct<'_, K, T> {
    /// As [`Socket::recv`].
    ///
    /// # Errors
    ///
    /// As [`Socket::recv`].
    pub fn recv(&self, operation: Operation<T>) -> Result<Start<K, T>, Refused<T>> {
        let operation = with_room(operation)?;
        self.start(operation, Kind::Recv, Bytes::Receive)
    }

    /// As [`Socket::recv_zero`].
    ///
    /// # Errors
    ///
    /// As [`Socket::recv_zero`].
    pub fn recv_zero(&self, operation: Operation<T>) -> Result<Start<K, T>, Refused<T>> {
        self.start(operation, Kind::RecvZero, Bytes::None)
    }

    /// As [`Socket::send`].
    ///
    /// # Errors
    ///
    /// As [`Socket::send`].
    pub fn send(&self, operation: Operation<T>) -> Result<Start<K, T>, Refused<T>> {
        self.start(operation, Kind::Send, Bytes::Send)
    }

    fn start(
        &self,
        operation: Operation<T>,
        kind: Kind,
        bytes: Bytes,
    ) -> Result<Start<K, T>, Refused<T>> {
        Ok(match self.socket.start_direct(operation, kind, bytes)? {
            Outcome::Done(ended) => Start::Done(packet(ended)),
            Outcome::Pending(token) => Start::Pending(Started { token }),
        })
    }
}

impl<K, T> fmt::Debug for Direct<'_, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct").finish_non_exhaustive()
    }
}
