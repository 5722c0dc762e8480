//! The associated socket: where operations are started.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

#[cfg(target_os = "linux")]
use overlapped_core::MOST_DESCRIPTORS;
use overlapped_core::{Address, Endpoint, Kind, Outcome, ShutdownHow, Status, Token};

use crate::memory::{self, Bytes, Memory};
use crate::{Direct, Operation, Refused};

/// A socket that is associated with a completion port, with its key.
///
/// A cheap handle: cloning gives another to the same socket. The socket closes when its last
/// handle and its last operation are gone, or by [`close`](Socket::close). Dropping a handle
/// aborts nothing.
///
/// Operations may be started from any thread, several at a time. Receives are filled in the order
/// in which they were started, and the bytes of sends leave in that order, never mixed (IO-5,
/// IO-6); their packets may be picked up by different threads in any order. No call of this type
/// blocks.
pub struct Socket<K, T> {
    associated: Arc<Associated<K>>,
    operations: PhantomData<fn(T) -> T>,
}

/// What the handles and the operations of a socket share.
pub(crate) struct Associated<K> {
    pub(crate) socket: overlapped_core::Socket,
    pub(crate) key: K,
}

/// A started operation, for whoever may want to cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Started {
    pub(crate) token: Token,
}

impl<K: Send + Sync + 'static, T: Send + 'static> Socket<K, T> {
    pub(crate) fn new(associated: Arc<Associated<K>>) -> Self {
        Socket {
            associated,
            operations: PhantomData,
        }
    }

    /// The completion key: what the socket was associated with.
    pub fn key(&self) -> &K {
        &self.associated.key
    }

    // ---- operations ----------------------------------------------------------------------------

    /// Receives: completes with at least one byte as soon as there are any, or with 0 bytes when
    /// the peer has finished (IO-3, IO-8). The buffer is filled from its beginning up to its
    /// capacity.
    ///
    /// On a datagram socket it gets one datagram, as [`recv_from`](Socket::recv_from) says;
    /// from a pipe what is in it, and [`Status::PIPE_BROKEN`] once the last writer has gone
    /// (IO-19). Descriptors that come with a Unix socket's bytes are closed (FD-4); `recv_with_descriptors`
    /// is for those.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a buffer without room (give it capacity, or use
    /// [`recv_zero`](Socket::recv_zero)); `NotConnected`; `BrokenPipe` after a shutdown;
    /// `ConnectionReset` once a reset was seen.
    pub fn recv(&self, operation: Operation<T>) -> Result<Started, Refused<T>> {
        let operation = with_room(operation)?;
        self.start(operation, Kind::Recv, Bytes::Receive)
    }

    /// Receives as [`recv`](Socket::recv) does, into memory of the port's: the operation's buffer is
    /// given up, and the packet's is a [`Buffer::Pooled`](crate::Buffer::Pooled) with what came (or
    /// an empty one at the end of the stream).
    ///
    /// No memory is held while the receive waits: it is taken from the port's pool when the data is
    /// there and a worker comes to fetch it. So ten thousand idle connections need no buffers. How
    /// large a buffer is follows the connection's traffic, from 2 to 64 KiB. It goes back to the
    /// pool when it is dropped, or the operation is started as such a receive again; keep it no
    /// longer than the packet. When as many bytes are in use as the
    /// [limit](crate::Builder::pool_limit) allows, receives wait for buffers to come back; they do
    /// not fail.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::io::Write;
    /// # use std::net::{TcpListener, TcpStream};
    /// # use overlapped::{CompletionPort, Operation};
    /// # let listener = TcpListener::bind("127.0.0.1:0")?;
    /// # let mut client = TcpStream::connect(listener.local_addr()?)?;
    /// # let (connection, _) = listener.accept()?;
    /// let port: CompletionPort = CompletionPort::new(1)?;
    /// let socket = port.associate(connection, ())?;
    /// socket.recv_pooled(Operation::new("", ()))?;
    /// client.write_all(b"hello")?;
    ///
    /// let packet = port.get()?;
    /// assert_eq!(packet.operation.bytes(), b"hello");
    /// // An echo sends it from where it is.
    /// socket.send(packet.operation)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`recv`](Socket::recv).
    pub fn recv_pooled(&self, mut operation: Operation<T>) -> Result<Started, Refused<T>> {
        operation.set_buffer(crate::Buffer::default());
        self.start(operation, Kind::RecvPooled, Bytes::None)
    }

    /// Receives one datagram, with its sender's address
    /// ([`peer_addr`](Operation::peer_addr)); [`recv`](Socket::recv) does without. Several receives
    /// get one datagram each, in the order in which they were started (IO-5). A datagram of no
    /// bytes is a success with 0 bytes, and no end.
    ///
    /// One that is longer than the buffer fills it and loses the rest: its packet has the status
    /// [`Status::BUFFER_OVERFLOW`], which is a failure, and in its byte count what was copied; the
    /// next datagram is untouched (IO-9). If a datagram that this socket has sent found nobody, a
    /// receive fails with [`Status::PORT_UNREACHABLE`] (IO-13), after which the socket is as good as
    /// before; see [`set_reports_unreachable`](Socket::set_reports_unreachable).
    ///
    /// # Errors
    ///
    /// `Unsupported` for what is no datagram socket; `InvalidInput` for a buffer without room;
    /// `BrokenPipe` after a shutdown.
    ///
    /// ```
    /// # use std::net::UdpSocket;
    /// # use overlapped::{CompletionPort, Operation};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = UdpSocket::bind("127.0.0.1:0")?;
    /// let port: CompletionPort = CompletionPort::new(1)?;
    /// let socket = port.associate(UdpSocket::bind("127.0.0.1:0")?, ())?;
    ///
    /// client.send_to(b"ping", socket.local_addr()?)?;
    /// socket.recv_from(Operation::with_capacity(1500, ()))?;
    /// let packet = port.get()?;
    /// assert_eq!(packet.operation.bytes(), b"ping");
    /// assert_eq!(packet.operation.peer_addr(), Some(client.local_addr()?));
    /// # Ok(())
    /// # }
    /// ```
    pub fn recv_from(&self, operation: Operation<T>) -> Result<Started, Refused<T>> {
        if operation.buffer().capacity() == 0 {
            return Err(refused(
                operation,
                Status::INVALID_PARAMETER,
                "no datagram can be received into a buffer without capacity; \
                 give it some, or use recv_zero to wait for one",
            ));
        }
        self.start(operation, Kind::RecvFrom, Bytes::Receive)
    }

    /// Sends the buffer's bytes as one datagram to `to`: completes when it is with the system,
    /// whatever becomes of it, or fails. One that is too long fails with
    /// [`Status::INVALID_BUFFER_SIZE`] in its packet.
    ///
    /// While the socket's own buffer is full it waits. A Unix socket whose queue is full makes it
    /// fail with [`Status::INSUFFICIENT_RESOURCES`], since the system tells nobody when there is
    /// place again; a connected socket's [`send`](Socket::send) waits for it.
    ///
    /// # Errors
    ///
    /// `Unsupported` for what is no datagram socket; `BrokenPipe` after a shutdown.
    ///
    /// ```
    /// # use std::net::UdpSocket;
    /// # use overlapped::{CompletionPort, Operation};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let peer = UdpSocket::bind("127.0.0.1:0")?;
    /// let port: CompletionPort = CompletionPort::new(1)?;
    /// let socket = port.associate(UdpSocket::bind("127.0.0.1:0")?, ())?;
    ///
    /// socket.send_to(Operation::new("ping", ()), peer.local_addr()?)?;
    /// assert_eq!(port.get()?.result()?, 4);
    /// assert_eq!(peer.recv(&mut [0; 10])?, 4);
    /// # Ok(())
    /// # }
    /// ```
    pub fn send_to(
        &self,
        mut operation: Operation<T>,
        to: impl Into<Address>,
    ) -> Result<Started, Refused<T>> {
        operation.memory.header.set_peer(Some(to.into()));
        self.start(operation, Kind::SendTo, Bytes::Send)
    }

    /// On a Unix socket: sends the buffer's bytes as [`send`](Socket::send) does, and passes
    /// descriptors with them. The receiver, in whatever process, has then open what they stand for:
    /// a file, a pipe, a connection, anything (FD-1). (Linux.)
    ///
    /// They belong to the operation from now on. On a stream they travel with the first byte,
    /// exactly once, also if the bytes go out in pieces; what has gone out is closed here when its
    /// packet is taken, so keep a duplicate (`try_clone`) of what you need yourself. If they have
    /// not gone out when the operation ends, whether it was refused, failed or was cancelled, they
    /// are in it: [`take_descriptors`](Operation::take_descriptors).
    ///
    /// How many may be on their way at once is limited (`ulimit -n`, for each user without
    /// privileges); a send above that fails with [`Status::TOO_MANY_OPENED_FILES`].
    ///
    /// # Errors
    ///
    /// As [`send`](Socket::send); `Unsupported` for what is no Unix socket; `InvalidInput` for more
    /// than 253 descriptors, and for a stream and a buffer without bytes (FD-5).
    ///
    /// ```
    /// # use std::fs::File;
    /// # use std::io::Read;
    /// # use std::os::unix::net::UnixStream;
    /// # use overlapped::{CompletionPort, Kind, Operation};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let path = std::env::temp_dir().join(format!("overlapped-doc-pass-{}", std::process::id()));
    /// # std::fs::write(&path, "its content")?;
    /// let (here, there) = UnixStream::pair()?;
    /// let port: CompletionPort = CompletionPort::new(1)?;
    /// let (here, there) = (port.associate(here, ())?, port.associate(there, ())?);
    ///
    /// there.recv_with_descriptors(Operation::with_capacity(100, ()), 1)?;
    /// here.send_with_descriptors(Operation::new("a file", ()), [File::open(&path)?])?;
    /// for _ in 0..2 {
    ///     let mut packet = port.get()?;
    ///     packet.result()?;
    ///     if packet.kind == Kind::RecvWithDescriptors {
    ///         assert_eq!(packet.operation.bytes(), b"a file");
    ///         let mut content = String::new();
    ///         let received = packet.operation.take_descriptors().remove(0);
    ///         File::from(received).read_to_string(&mut content)?;
    ///         assert_eq!(content, "its content");
    ///     }
    /// }
    /// # std::fs::remove_file(&path)?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(target_os = "linux")]
    pub fn send_with_descriptors(
        &self,
        operation: Operation<T>,
        descriptors: impl IntoIterator<Item: Into<OwnedFd>>,
    ) -> Result<Started, Refused<T>> {
        self.pass(operation, None, descriptors)
    }

    /// As [`send_with_descriptors`](Socket::send_with_descriptors), as one datagram to `to`, which
    /// it waits for as [`send_to`](Socket::send_to) does. A datagram may have descriptors and no
    /// bytes. (Linux.)
    ///
    /// # Errors
    ///
    /// As [`send_to`](Socket::send_to); `InvalidInput` for more than 253 descriptors.
    #[cfg(target_os = "linux")]
    pub fn send_to_with_descriptors(
        &self,
        operation: Operation<T>,
        to: impl Into<Address>,
        descriptors: impl IntoIterator<Item: Into<OwnedFd>>,
    ) -> Result<Started, Refused<T>> {
        self.pass(operation, Some(to.into()), descriptors)
    }

    #[cfg(target_os = "linux")]
    fn pass(
        &self,
        mut operation: Operation<T>,
        to: Option<Address>,
        descriptors: impl IntoIterator<Item: Into<OwnedFd>>,
    ) -> Result<Started, Refused<T>> {
        let descriptors = descriptors.into_iter().map(Into::into).collect();
        operation
            .memory
            .prepare(Kind::SendWithDescriptors, Bytes::Send);
        let header = &mut operation.memory.header;
        header.set_peer(to);
        header.set_descriptors(descriptors);
        self.hand_over(operation)
    }

    /// On a Unix socket: receives as [`recv`](Socket::recv) does, or on one for datagrams as
    /// [`recv_from`](Socket::recv_from), and at most `at_most` of the descriptors that came with the
    /// bytes; [`take_descriptors`](Operation::take_descriptors) has them (FD-2). They are closed
    /// when the process executes another program (`O_CLOEXEC`). (Linux.)
    ///
    /// On a stream they come with the receive that takes the first byte they were sent with. Its
    /// buffer may begin with earlier bytes, and ends where the bytes of that send do, or before; what
    /// follows is the next receive's. A receive that is not for descriptors closes those that come
    /// (FD-4). When the peer has finished there are 0 bytes and no descriptors; a datagram may have
    /// descriptors and no bytes.
    ///
    /// If more came, or the process can open no more, the bytes and what there was room for are in
    /// the operation, the others are closed, and its status is [`Status::BUFFER_OVERFLOW`], which
    /// is a failure (FD-3). Then as ever, descriptors that nobody takes are closed with the
    /// operation.
    ///
    /// # Errors
    ///
    /// As [`recv`](Socket::recv); `Unsupported` for what is no Unix socket; `InvalidInput` for more
    /// than 253, which no message carries.
    #[cfg(target_os = "linux")]
    pub fn recv_with_descriptors(
        &self,
        operation: Operation<T>,
        at_most: usize,
    ) -> Result<Started, Refused<T>> {
        let mut operation = with_room(operation)?;
        if at_most > MOST_DESCRIPTORS {
            return Err(refused(
                operation,
                Status::INVALID_PARAMETER,
                "no message carries more than 253 descriptors: room for more is never used",
            ));
        }
        operation
            .memory
            .prepare(Kind::RecvWithDescriptors, Bytes::Receive);
        operation.memory.header.set_room_for_descriptors(at_most);
        self.hand_over(operation)
    }

    /// Completes when the descriptor is ready as `interest` says, has an error, or its other end
    /// has gone; [`Operation::ready`] says which. Moves nothing, and has 0 bytes. (Linux; a
    /// simulated socket fails it with `Unsupported` in the packet.)
    ///
    /// It works with everything that can be associated, and is all there is for what the port
    /// cannot read itself: eventfd, timerfd, signalfd, inotify, pidfd, terminals, the socket of
    /// another library. Such a descriptor stays in the mode it was in, and is not touched
    /// otherwise; read it when the packet is there, in non-blocking mode if somebody else may.
    /// (Your own duplicate of it is needed for that: associate `try_clone`.)
    ///
    /// The level is looked at when the operation is started, so nothing that came before is
    /// missed; it may have changed again when the packet is there. Waiting to read takes its turn
    /// among the receives of the same socket, waiting to write among the sends.
    ///
    /// # Errors
    ///
    /// When the socket or the port is closed.
    ///
    /// ```
    /// # use std::io::Write;
    /// # use overlapped::{CompletionPort, Interest, Operation};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (reader, mut writer) = std::io::pipe()?;
    /// let port: CompletionPort = CompletionPort::new(1)?;
    /// let socket = port.associate(reader, ())?;
    /// socket.ready(Operation::new("", ()), Interest::Readable)?;
    ///
    /// writer.write_all(b"x")?;
    /// let ready = port.get()?.operation.ready();
    /// assert!(ready.readable && !ready.hangup);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(target_os = "linux")]
    pub fn ready(
        &self,
        operation: Operation<T>,
        interest: crate::Interest,
    ) -> Result<Started, Refused<T>> {
        let kind = match interest {
            crate::Interest::Readable => Kind::Readable,
            crate::Interest::Writable => Kind::Writable,
        };
        self.start(operation, kind, Bytes::None)
    }

    /// Completes with 0 bytes as soon as a receive would complete, and leaves the data where it
    /// is (IO-4): a way to wait on many idle connections without a buffer for each.
    ///
    /// # Errors
    ///
    /// As [`recv`](Socket::recv), but the buffer may be of any kind.
    pub fn recv_zero(&self, operation: Operation<T>) -> Result<Started, Refused<T>> {
        self.start(operation, Kind::RecvZero, Bytes::None)
    }

    /// Sends all of the buffer's bytes: completes when they are with the system, or fails (IO-7).
    ///
    /// What the system can take is taken before this returns. On a datagram socket it is one
    /// datagram to the peer; to a pipe whose reader has gone it fails with
    /// [`Status::PIPE_BROKEN`] and raises no signal.
    ///
    /// # Errors
    ///
    /// `NotConnected`; `BrokenPipe` after a shutdown; `ConnectionReset` once a reset was seen.
    pub fn send(&self, operation: Operation<T>) -> Result<Started, Refused<T>> {
        self.start(operation, Kind::Send, Bytes::Send)
    }

    /// Sends the buffer's bytes, `length` bytes of the file from `offset` on, and the bytes of
    /// `tail`, in this order and as one send (TF-1); a length of 0 stands for all up to the file's
    /// end. Completes when all of it is with the system, or fails (IO-7); the packet's byte count
    /// is the sum. The tail stays in the operation
    /// ([`take_tail`](Operation::take_tail)).
    ///
    /// The file's bytes are not copied through the process (`sendfile`). What is not in the page
    /// cache is read first, by the file thread of the socket's port, so that a cold file holds up
    /// this socket's sends and no other's; as with a full socket, a thread that gets packets goes on
    /// with it. There are exceptions, in which the worker that sends
    /// waits for the disk: pages that the system drops between the look and the send, or in the
    /// middle of a piece of 256 KiB of which the first and last page were found; and file systems
    /// that cannot say what they have.
    ///
    /// A file that ends before `length` is reached fails the operation with
    /// [`Status::END_OF_FILE`]; what was sent stays sent, as after a cancel (CX-5). So does a file
    /// that cannot be read. (Simulated sockets refuse it in their packet. On Windows, where
    /// `TransmitFile` does it, at most 2 GiB less 2 bytes can be sent at once, and editions that are no
    /// servers perform two at a time in the whole system: others wait for those, however slow their
    /// peers are.)
    ///
    /// # Errors
    ///
    /// As [`send`](Socket::send); `PermissionDenied` for a file that is open for writing only;
    /// `InvalidInput` for one that is closed, or a range beyond `i64::MAX`.
    ///
    /// ```
    /// # use std::io::Read;
    /// # use std::net::{TcpListener, TcpStream};
    /// # use overlapped::{CompletionPort, Operation};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let path = std::env::temp_dir().join(format!("overlapped-doc-send-{}", std::process::id()));
    /// # let listener = TcpListener::bind("127.0.0.1:0")?;
    /// # let mut client = TcpStream::connect(listener.local_addr()?)?;
    /// # let (server, _) = listener.accept()?;
    /// # let port: CompletionPort<u32, ()> = CompletionPort::new(0)?;
    /// std::fs::write(&path, "content")?;
    /// let file = port.associate_file(std::fs::File::open(&path)?, 1)?;
    /// let socket = port.associate(server, 2)?;
    /// socket.send_file(Operation::new("head ", ()), &file, 0, 0, " tail")?;
    /// assert_eq!(port.get()?.result()?, 17);
    ///
    /// let mut text = [0; 17];
    /// client.read_exact(&mut text)?;
    /// assert_eq!(&text, b"head content tail");
    /// # std::fs::remove_file(&path)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn send_file(
        &self,
        mut operation: Operation<T>,
        file: &crate::File<K, T>,
        offset: u64,
        length: u64,
        tail: impl Into<crate::Buffer>,
    ) -> Result<Started, Refused<T>> {
        let head = operation.memory.prepare_transmit(tail.into());
        let length = (length > 0).then_some(length);
        let header = &mut operation.memory.header;
        match header.set_transmit(file.core(), offset, length, head) {
            Ok(()) => self.hand_over(operation),
            Err(status) => Err(refused_because(operation, status, status.to_error())),
        }
    }

    /// On a listening socket: accepts a connection, which is then in the operation
    /// ([`take_accepted`](Operation::take_accepted)). Several accepts are served in order (AX-6).
    ///
    /// Without descriptors it ends as [`Status::TOO_MANY_OPENED_FILES`], and the connection stays
    /// in the listener's backlog: accepting again at once fails again at once, so wait until
    /// something was closed. On Windows a client that gave up while it was queued may end it as
    /// [`Status::CONNECTION_RESET`] (AX-9): accept again.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a socket that does not listen.
    pub fn accept(&self, operation: Operation<T>) -> Result<Started, Refused<T>> {
        self.start(operation, Kind::Accept, Bytes::None)
    }

    /// As [`accept`](Socket::accept), but completes only with the connection's first data, which
    /// is in the buffer, or with 0 bytes if the peer finished without any (AX-4). A client that
    /// stays silent holds up this operation and no other.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a socket that does not listen, or a buffer without room.
    pub fn accept_with_data(&self, operation: Operation<T>) -> Result<Started, Refused<T>> {
        if operation.buffer().capacity() == 0 {
            return Err(refused(
                operation,
                Status::INVALID_PARAMETER,
                "the first data needs a buffer with capacity; to do without, use accept",
            ));
        }
        self.start(operation, Kind::AcceptRecv, Bytes::Receive)
    }

    /// Connects. A datagram socket completes at once, and may be connected again, to another peer.
    /// After a refusal, the same socket may try again (CE-3); after a cancel it is of no
    /// use any more, since the attempt goes on in the system.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` for a socket that is connected; `InvalidInput` for one that listens or is
    /// connecting.
    pub fn connect(
        &self,
        operation: Operation<T>,
        to: impl Into<Address>,
    ) -> Result<Started, Refused<T>> {
        self.start_connect(operation, to.into(), Bytes::None)
    }

    /// Connects, then sends the buffer's bytes; completes when they are out (CE-2).
    ///
    /// # Errors
    ///
    /// As [`connect`](Socket::connect).
    pub fn connect_with_data(
        &self,
        operation: Operation<T>,
        to: impl Into<Address>,
    ) -> Result<Started, Refused<T>> {
        self.start_connect(operation, to.into(), Bytes::Send)
    }

    /// After all sends that were started before it: tells the peer that nothing follows (DX-1).
    /// Receiving goes on; further sends are refused at once.
    ///
    /// # Errors
    ///
    /// `NotConnected`.
    pub fn disconnect(&self, operation: Operation<T>) -> Result<Started, Refused<T>> {
        self.start(operation, Kind::Disconnect, Bytes::None)
    }

    /// Posts a packet with this socket and its key, and no I/O (PQ-1).
    ///
    /// # Errors
    ///
    /// A closed port refuses it.
    pub fn post(&self, mut operation: Operation<T>, bytes: usize) -> Result<(), Refused<T>> {
        operation.memory.prepare(Kind::Post, Bytes::None);
        operation.memory.header.finish(Status::SUCCESS, bytes);
        self.associated
            .socket
            .post(self.untyped(operation))
            .map_err(|untyped| give_back(untyped, Status::INVALID_HANDLE))
    }

    fn start_connect(
        &self,
        mut operation: Operation<T>,
        to: Address,
        bytes: Bytes,
    ) -> Result<Started, Refused<T>> {
        operation.memory.header.set_peer(Some(to));
        self.start(operation, Kind::Connect, bytes)
    }

    fn start(
        &self,
        mut operation: Operation<T>,
        kind: Kind,
        bytes: Bytes,
    ) -> Result<Started, Refused<T>> {
        operation.memory.prepare(kind, bytes);
        self.hand_over(operation)
    }

    fn hand_over(&self, operation: Operation<T>) -> Result<Started, Refused<T>> {
        let started = self.associated.socket.start(self.untyped(operation));
        started
            .map(|token| Started { token })
            .map_err(|refused| self.explain(give_back(refused.operation, refused.status)))
    }

    /// The operation as the core's, with what it keeps until it comes back.
    fn untyped(&self, operation: Operation<T>) -> overlapped_core::Operation {
        let mut untyped = memory::into_core(operation.memory);
        untyped.set_owner(Some(self.associated.clone()));
        untyped
    }

    /// The socket with *skip on success* (SK-1): what is started through this and ends at once is
    /// returned, and queues no packet.
    pub fn direct(&self) -> Direct<'_, K, T> {
        Direct { socket: self }
    }

    pub(crate) fn start_direct(
        &self,
        mut operation: Operation<T>,
        kind: Kind,
        bytes: Bytes,
    ) -> Result<Outcome, Refused<T>> {
        operation.memory.prepare(kind, bytes);
        self.associated
            .socket
            .start_direct(self.untyped(operation))
            .map_err(|refused| self.explain(give_back(refused.operation, refused.status)))
    }

    /// Says what the socket is, if it is not one for such an operation, and what is wrong with
    /// descriptors that cannot be passed.
    fn explain(&self, mut refused: Refused<T>) -> Refused<T> {
        match (refused.status, refused.operation.memory.header.kind()) {
            (Status::NOT_SUPPORTED, kind) => {
                let text = self.associated.socket.describe(kind);
                refused.error = io::Error::new(io::ErrorKind::Unsupported, text);
            }
            #[cfg(target_os = "linux")]
            (Status::INVALID_PARAMETER, Kind::SendWithDescriptors) => {
                let header = &refused.operation.memory.header;
                let text = if header.unsent_descriptors().len() > MOST_DESCRIPTORS {
                    "a message carries at most 253 descriptors: pass the others with another"
                } else {
                    "on a stream descriptors travel with a byte: send at least one with them"
                };
                refused.error = io::Error::new(io::ErrorKind::InvalidInput, text);
            }
            _ => {}
        }
        refused
    }

    // ---- cancelling and closing ----------------------------------------------------------------

    /// Cancels one operation, from any thread (CX-1). `false`: it has ended already, and its packet
    /// says how (CX-2). `true`: on Linux its packet says [`Status::CANCELLED`]; on Windows the
    /// system was asked, and the packet says what became of it. No byte is lost either way: a
    /// receive that has taken data has succeeded (CX-4).
    ///
    /// A cancelled send tells in its byte count how much had gone out (CX-5); the stream is then
    /// cut in the middle of it.
    pub fn cancel(&self, started: Started) -> bool {
        self.associated.socket.cancel(started.token)
    }

    /// Cancels every operation on the socket; how many those were. Each still yields its packet.
    pub fn cancel_all(&self) -> usize {
        self.associated.socket.cancel_all()
    }

    /// Closes the socket, whatever handles there are. Receives and accepts end at once, as
    /// [`Status::CONNECTION_ABORTED`] on a connection and [`Status::CANCELLED`] on a listener
    /// (CX-6, AX-8); sends that were started may still go out, until the port's
    /// [linger time](crate::Builder::linger) is over.
    pub fn close(&self) {
        self.associated.socket.close();
    }

    /// Shuts directions of the connection down. `Write`: after the sends under way the peer is
    /// told that nothing follows. `Read`: receives under way go on, new ones are refused (IO-16).
    ///
    /// # Errors
    ///
    /// `NotConnected`, or when the socket is closed.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => ShutdownHow::Recv,
            Shutdown::Write => ShutdownHow::Send,
            Shutdown::Both => ShutdownHow::Both,
        };
        self.associated
            .socket
            .shutdown(how)
            .map_err(Status::to_error)
    }

    /// Ends the association and gives the connection back as std's type, in blocking mode.
    ///
    /// # Errors
    ///
    /// The socket comes back if operations are under way (cancel them and get their packets
    /// first), if it is a simulated one, and always on Windows, where an association lasts until
    /// the socket is closed (PO-6).
    pub fn into_tcp_stream(self) -> Result<TcpStream, Self> {
        self.into_std()
    }

    /// As [`into_tcp_stream`](Socket::into_tcp_stream), for a listener.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn into_tcp_listener(self) -> Result<TcpListener, Self> {
        self.into_std()
    }

    /// As [`into_tcp_stream`](Socket::into_tcp_stream), for a UDP socket.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn into_udp_socket(self) -> Result<std::net::UdpSocket, Self> {
        self.into_std()
    }

    /// As [`into_tcp_stream`](Socket::into_tcp_stream), for a Unix stream.
    ///
    /// # Errors
    ///
    /// As there.
    #[cfg(target_os = "linux")]
    pub fn into_unix_stream(self) -> Result<std::os::unix::net::UnixStream, Self> {
        self.into_owned_fd().map(Into::into)
    }

    /// As [`into_tcp_stream`](Socket::into_tcp_stream), for a Unix listener.
    ///
    /// # Errors
    ///
    /// As there.
    #[cfg(target_os = "linux")]
    pub fn into_unix_listener(self) -> Result<std::os::unix::net::UnixListener, Self> {
        self.into_owned_fd().map(Into::into)
    }

    /// As [`into_tcp_stream`](Socket::into_tcp_stream), for a Unix datagram socket.
    ///
    /// # Errors
    ///
    /// As there.
    #[cfg(target_os = "linux")]
    pub fn into_unix_datagram(self) -> Result<std::os::unix::net::UnixDatagram, Self> {
        self.into_owned_fd().map(Into::into)
    }

    /// As [`into_tcp_stream`](Socket::into_tcp_stream), for a descriptor of any kind. A socket or
    /// pipe is put into blocking mode.
    ///
    /// # Errors
    ///
    /// As there.
    #[cfg(target_os = "linux")]
    pub fn into_owned_fd(self) -> Result<std::os::fd::OwnedFd, Self> {
        self.into_std()
    }

    fn into_std<S: From<socket2::Socket>>(self) -> Result<S, Self> {
        // Looked at first: a simulated one has no such form, and stays what it is.
        let is_os = |endpoint: &Endpoint| endpoint.os().is_some();
        if self.associated.socket.with_endpoint(is_os) != Ok(true) {
            return Err(self);
        }
        #[cfg(target_os = "linux")]
        let watched = self.associated.socket.is_watched();
        #[cfg(not(target_os = "linux"))]
        let watched = false;
        let released = self.associated.socket.release();
        let Some(endpoint) = released.and_then(|endpoint| endpoint.into_os().ok()) else {
            return Err(self);
        };
        let socket = socket2::Socket::from(endpoint);
        if !watched {
            // Cannot fail on a descriptor that was a socket a moment ago.
            let _ = socket.set_nonblocking(false);
        }
        Ok(S::from(socket))
    }

    // ---- addresses and options -----------------------------------------------------------------

    /// The local address.
    ///
    /// # Errors
    ///
    /// When the socket is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        internet(self.local_address()?)
    }

    /// As [`local_addr`](Socket::local_addr), for addresses of every family.
    ///
    /// # Errors
    ///
    /// When the socket is closed, or has no address.
    pub fn local_address(&self) -> io::Result<Address> {
        self.associated.socket.local_addr()
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// When the socket is closed or not connected.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        internet(self.peer_address()?)
    }

    /// As [`peer_addr`](Socket::peer_addr), for addresses of every family.
    ///
    /// # Errors
    ///
    /// When the socket is closed or not connected, or the peer has no address.
    pub fn peer_address(&self) -> io::Result<Address> {
        self.associated.socket.peer_addr()
    }

    /// Whether a receive fails with [`Status::PORT_UNREACHABLE`] when a datagram that was sent has
    /// found nobody (IO-13), as the model wants it and as it is at first; `SIO_UDP_CONNRESET` of
    /// Windows. On a server with many clients that is often only noise.
    ///
    /// # Errors
    ///
    /// `Unsupported` for what is no datagram socket; when the socket is closed.
    pub fn set_reports_unreachable(&self, on: bool) -> io::Result<()> {
        self.associated.socket.set_sent_back(on)
    }

    /// Whether small sends leave at once instead of waiting for more (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// The system's, or when the socket is closed.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.option(|socket| socket.set_tcp_nodelay(on))
    }

    /// Whether the system probes an idle connection (`SO_KEEPALIVE`), first after `idle`.
    ///
    /// # Errors
    ///
    /// The system's, or when the socket is closed.
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        self.option(|socket| match idle {
            None => socket.set_keepalive(false),
            Some(idle) => socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(idle)),
        })
    }

    /// What closing does with data that has not left the system yet (`SO_LINGER`): `Some(0)`
    /// discards it and resets the connection.
    ///
    /// # Errors
    ///
    /// The system's, or when the socket is closed.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.option(|socket| socket.set_linger(linger))
    }

    /// The size of the system's receive buffer, in bytes (`SO_RCVBUF`).
    ///
    /// # Errors
    ///
    /// The system's, or when the socket is closed.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.option(|socket| socket.set_recv_buffer_size(bytes))
    }

    /// The size of the system's send buffer, in bytes (`SO_SNDBUF`).
    ///
    /// # Errors
    ///
    /// The system's, or when the socket is closed.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.option(|socket| socket.set_send_buffer_size(bytes))
    }

    /// The time to live of packets, in hops (`IP_TTL`).
    ///
    /// # Errors
    ///
    /// The system's, or when the socket is closed.
    pub fn set_ttl(&self, hops: u32) -> io::Result<()> {
        self.option(|socket| socket.set_ttl_v4(hops))
    }

    fn option(&self, set: impl FnOnce(socket2::SockRef<'_>) -> io::Result<()>) -> io::Result<()> {
        self.associated
            .socket
            .with_endpoint(|endpoint| match endpoint.os() {
                Some(socket) => set(socket2::SockRef::from(socket)),
                // A pipe.
                None if cfg!(windows) => Err(Status::NOT_SUPPORTED.to_error()),
                // A simulated connection has nothing that an option could change.
                None => Ok(()),
            })
            .map_err(Status::to_error)?
    }
}

fn internet(address: Address) -> io::Result<SocketAddr> {
    address
        .internet()
        .ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "not an internet address"))
}

/// Makes the typed refusal of an untyped one.
pub(crate) fn give_back<T>(mut untyped: overlapped_core::Operation, status: Status) -> Refused<T> {
    untyped.set_owner(None);
    untyped.let_go_of_file();
    // SAFETY: the callers have just made it with `into_core` from an operation of this type.
    let memory: Box<Memory<T>> = unsafe { memory::from_core(untyped) };
    Refused {
        status,
        error: status.to_error(),
        operation: Operation { memory },
    }
}

/// Refuses a receive for which there is no room.
pub(crate) fn with_room<T>(operation: Operation<T>) -> Result<Operation<T>, Refused<T>> {
    if operation.buffer().capacity() > 0 {
        return Ok(operation);
    }
    Err(refused(
        operation,
        Status::INVALID_PARAMETER,
        "nothing can be received into a buffer without capacity; \
         give it some, or use recv_zero to wait for data without a buffer",
    ))
}

pub(crate) fn refused<T>(
    operation: Operation<T>,
    status: Status,
    text: &'static str,
) -> Refused<T> {
    let error = io::Error::new(io::ErrorKind::InvalidInput, text);
    refused_because(operation, status, error)
}

pub(crate) fn refused_because<T>(
    operation: Operation<T>,
    status: Status,
    error: io::Error,
) -> Refused<T> {
    Refused {
        status,
        error,
        operation,
    }
}

impl<K, T> Clone for Socket<K, T> {
    fn clone(&self) -> Self {
        Socket {
            associated: self.associated.clone(),
            operations: PhantomData,
        }
    }
}

impl<K, T> PartialEq for Socket<K, T> {
    /// Whether both are handles to the same socket.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.associated, &other.associated)
    }
}

impl<K, T> Eq for Socket<K, T> {}

impl<K: fmt::Debug, T> fmt::Debug for Socket<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("key", &self.associated.key)
            .finish_non_exhaustive()
    }
}
