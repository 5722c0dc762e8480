//! The overlapped operation.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use overlapped_core::{Address, Endpoint, Status};

use crate::Buffer;
use crate::memory::Memory;

/// An overlapped operation: a buffer, a value of yours, and room for what the port needs.
///
/// It is what the `OVERLAPPED` structure with its per-I/O data is to Windows programs. It is
/// allocated once; starting it moves it into the port, its [`Packet`](crate::Packet) moves it out
/// again, and it can be started anew, as the same or another kind of operation. So a server in its
/// steady state allocates nothing.
///
/// While it is started nobody can reach its buffer, whatever is dropped, forgotten or cancelled in
/// between: there is no handle to it but the port's.
///
/// ```
/// use overlapped::Operation;
///
/// enum Step { Greet, Read }
///
/// let mut operation = Operation::new("220 ready\r\n", Step::Greet);
/// assert_eq!(operation.bytes(), b"220 ready\r\n");
///
/// // Later, the same operation with another job:
/// *operation.user_mut() = Step::Read;
/// operation.set_buffer(Vec::with_capacity(4096));
/// assert_eq!(operation.buffer().capacity(), 4096);
/// ```
pub struct Operation<T> {
    pub(crate) memory: Box<Memory<T>>,
}

impl<T> Operation<T> {
    /// Makes an operation with this buffer and this value of yours.
    pub fn new(buffer: impl Into<Buffer>, user: T) -> Self {
        Operation {
            memory: Memory::new(buffer.into(), user),
        }
    }

    /// Makes an operation with room to receive `capacity` bytes.
    pub fn with_capacity(capacity: usize, user: T) -> Self {
        let mut operation = Self::new(Buffer::default(), user);
        // The long one last, so that the others are close to each other, and to the buffer's beginning.
        operation.set_buffer(Vec::with_capacity(capacity));
        operation
    }

    /// The value of yours.
    pub fn user(&self) -> &T {
        &self.memory.user
    }

    /// The value of yours, to be changed.
    pub fn user_mut(&mut self) -> &mut T {
        &mut self.memory.user
    }

    /// The buffer.
    pub fn buffer(&self) -> &Buffer {
        &self.memory.buffer
    }

    /// The buffer, to be changed.
    pub fn buffer_mut(&mut self) -> &mut Buffer {
        &mut self.memory.buffer
    }

    /// Puts another buffer in; the old one comes back.
    pub fn set_buffer(&mut self, buffer: impl Into<Buffer>) -> Buffer {
        std::mem::replace(&mut self.memory.buffer, buffer.into())
    }

    /// The buffer's bytes: after a receive, what was received. Empty for a
    /// [`Buffer::Vectored`], whose bytes are in pieces.
    pub fn bytes(&self) -> &[u8] {
        self.memory.buffer.as_slice().unwrap_or_default()
    }

    /// The buffer as a vector, for filling it: an emptied new one if it was something else.
    pub fn vec_mut(&mut self) -> &mut Vec<u8> {
        if self.memory.buffer.as_vec_mut().is_none() {
            self.memory.buffer = Buffer::default();
        }
        self.memory.buffer.as_vec_mut().expect("it is one now")
    }

    /// How long the operation may be under way on a socket or file; `None`, as at first, for ever.
    pub fn timeout(&self) -> Option<Duration> {
        self.memory.header.timeout()
    }

    /// Sets how long the operation may be under way on a socket or file, counted anew from each start,
    /// and until this is called again; `None` for ever. Not for posts, timers and closes, which ignore
    /// it.
    ///
    /// An operation whose time is up ends with [`Status::IO_TIMEOUT`](crate::Status::IO_TIMEOUT),
    /// an error of kind `TimedOut`; it is tried once more before, so a time-out of zero means "now
    /// or not at all". The socket is as good as before, and no byte is lost: a receive that took
    /// data has succeeded (CX-4), and what it had not taken is there for the next. A send says in
    /// its byte count how much had gone out; the stream is then cut in the middle of it (CX-5). An
    /// accept leaves the connections that wait to others, but one that was accepted and whose
    /// first data did not come is closed. A connect leaves its socket of no use. On a file it is asked
    /// to end as by [`File::cancel`](crate::File::cancel), and may yet succeed; it is not tried again.
    ///
    /// Never early, and late as a [timer](crate::CompletionPort::timer) can be. Setting the
    /// deadline needs memory in the port the first time that so many are under way; without it the
    /// start is refused ([`Status::INSUFFICIENT_RESOURCES`](crate::Status::INSUFFICIENT_RESOURCES)).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::{io, net, time::Duration};
    /// # use overlapped::{CompletionPort, Operation};
    /// # let listener = net::TcpListener::bind("127.0.0.1:0")?;
    /// # let silent_client = net::TcpStream::connect(listener.local_addr()?)?;
    /// # let (connection, _) = listener.accept()?;
    /// let port: CompletionPort = CompletionPort::new(1)?;
    /// let socket = port.associate(connection, ())?;
    ///
    /// let mut operation = Operation::with_capacity(1024, ());
    /// operation.set_timeout(Some(Duration::from_millis(20)));
    /// socket.recv(operation)?;
    ///
    /// let packet = port.get()?;
    /// assert_eq!(packet.result().unwrap_err().kind(), io::ErrorKind::TimedOut);
    /// socket.recv(packet.operation)?; // for another 20 ms
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.memory.header.set_timeout(timeout);
    }

    /// What [`send_file`](crate::Socket::send_file) sent after the file; an empty buffer takes its
    /// place.
    pub fn take_tail(&mut self) -> Buffer {
        let kept = self.memory.header.keep(None);
        let tail = kept.and_then(|kept| kept.downcast::<Buffer>().ok());
        tail.map_or_else(Buffer::default, |tail| *tail)
    }

    /// The internet address that the datagram came from, after a
    /// [`recv_from`](crate::Socket::recv_from); or the one that was sent or connected to.
    ///
    /// `None` for a sender without an address, as an unnamed Unix socket is, and for one of another
    /// family; see [`peer_address`](Operation::peer_address).
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer_address()?.internet()
    }

    /// As [`peer_addr`](Operation::peer_addr), for addresses of every family.
    pub fn peer_address(&self) -> Option<&Address> {
        self.memory.header.peer()
    }

    /// What a [`ready`](crate::Socket::ready) found; nothing before its packet is out.
    #[cfg(target_os = "linux")]
    pub fn ready(&self) -> crate::Ready {
        self.memory.header.ready()
    }

    /// The descriptors that a receive brought, in the order in which they were sent; or those that
    /// a send had to pass and did not, because it was refused, failed or was cancelled before its
    /// first byte had gone out (FD-1). The second call finds none.
    ///
    /// What is not taken is closed when the operation is dropped or started again.
    #[cfg(target_os = "linux")]
    pub fn take_descriptors(&mut self) -> Vec<std::os::fd::OwnedFd> {
        self.memory.header.take_descriptors()
    }

    /// The connection that an accept took; the second call finds none.
    pub fn take_accepted(&mut self) -> Option<Accepted> {
        let endpoint = self.memory.header.take_accepted()?;
        Some(Accepted {
            endpoint,
            peer: self.memory.header.peer().cloned(),
        })
    }

    /// The buffer and the value of yours.
    pub fn into_parts(self) -> (Buffer, T) {
        let memory = *self.memory;
        (memory.buffer, memory.user)
    }
}

/// Without your value, so that `unwrap` works whatever it is.
impl<T> fmt::Debug for Operation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = &self.memory.header;
        f.debug_struct("Operation")
            .field("kind", &header.kind())
            .field("status", &header.status())
            .field("bytes", &header.bytes())
            .finish_non_exhaustive()
    }
}

/// A connection that an accept took. It belongs to no port yet: associate it, or turn it into
/// one of std's.
#[derive(Debug)]
pub struct Accepted {
    endpoint: Endpoint,
    peer: Option<Address>,
}

impl Accepted {
    /// Where the connection came from; `None` if the system did not say.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer.as_ref()?.internet()
    }

    /// As [`peer_addr`](Accepted::peer_addr), for addresses of every family. Clients of a Unix
    /// listener usually have none.
    pub fn peer_address(&self) -> Option<&Address> {
        self.peer.as_ref()
    }

    /// The connection that a Unix listener took, as std's type, in blocking mode.
    ///
    /// # Errors
    ///
    /// The system's.
    #[cfg(target_os = "linux")]
    pub fn into_unix_stream(self) -> io::Result<std::os::unix::net::UnixStream> {
        let stream = std::os::unix::net::UnixStream::from(self.endpoint.into_os()?);
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// The connection as std's type, in blocking mode, as an accept of std's would give it.
    ///
    /// # Errors
    ///
    /// A simulated connection has no such form.
    pub fn into_std(self) -> io::Result<TcpStream> {
        let stream = TcpStream::from(self.endpoint.into_os()?);
        stream.set_nonblocking(false)?;
        Ok(stream)
    }
}

impl From<Accepted> for Endpoint {
    fn from(accepted: Accepted) -> Self {
        accepted.endpoint
    }
}

/// An operation that was not started: it comes back with the reason, and no packet will come for
/// it (PK-5).
pub struct Refused<T> {
    /// Why, as the specification names it.
    pub status: Status,
    /// Why, as an error.
    pub error: io::Error,
    /// The operation, as it was.
    pub operation: Operation<T>,
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the operation was not started: {}", self.error)
    }
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused")
            .field("status", &self.status)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl<T> std::error::Error for Refused<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<T> From<Refused<T>> for io::Error {
    /// Drops the operation.
    fn from(refused: Refused<T>) -> Self {
        refused.error
    }
}
