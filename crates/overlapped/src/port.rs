//! The completion port.

use std::io;
use std::marker::PhantomData;
#[cfg(unix)]
use std::os::fd::OwnedFd as OwnedFile;
#[cfg(windows)]
use std::os::windows::io::OwnedHandle as OwnedFile;
use std::sync::Arc;
use std::time::{Duration, Instant};

use overlapped_core::{Endpoint, GetError, Kind, OperationList, Options, Port, Stats, Status};
use overlapped_core::{Operation as Untyped, Refused as UntypedRefused, Token};

use crate::WorkersBuilder;
use crate::file::AssociatedFile;
use crate::memory::{self, Bytes};
use crate::socket::{Associated, give_back};
use crate::{
    Engine, File, FileEngine, Notice, OpenOptions, Operation, Packet, Refused, Socket, Started,
    WakePolicy,
};

/// A completion port: one object on which many threads wait, which hands each finished operation
/// to exactly one of them, and lets only as many run as the concurrency value says.
///
/// `K` is the completion key's type: what you want to know about a socket when one of its
/// operations ends. `T` is the type of your part of an operation.
///
/// A cheap handle: clone it for each thread. When the last clone goes, the port ends as by
/// [`close`](CompletionPort::close).
///
/// # Threads
///
/// A thread that has called [`get`](CompletionPort::get) is bound to the port (CC-3) and *active*
/// from the moment the call returns, for whatever reason, until it calls again, ends, or calls
/// `get` of another port (CC-4, CC-10). While as many threads are active as the concurrency value
/// allows, nobody else gets a packet. While a handler blocks, in whatever, its place is given to
/// another thread (CC-8): at once if it says so with [`blocking`](CompletionPort::blocking), and
/// without a word as soon as somebody looks while packets wait
/// ([`notice_blocked`](Builder::notice_blocked)). One that computes keeps its place, for however
/// long.
///
/// # Fork
///
/// A port belongs to the process that made it. In a forked child `get`, `associate`, starting and
/// posting fail with `Unsupported`; make a new port there. Copies of the port and of its sockets
/// may be dropped in the child, which closes its descriptors and leaves the parent's alone; do not
/// cancel, close or shut down there, since a lock may have been held by a thread that the child
/// does not have.
///
/// ```
/// use std::io::Read;
/// use std::net::{TcpListener, TcpStream};
/// use overlapped::{CompletionPort, Operation};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// let (server, _) = listener.accept()?;
///
/// let port: CompletionPort<&str, ()> = CompletionPort::new(0)?;
/// let socket = port.associate(server, "the only client")?;
/// socket.send(Operation::new("hello", ()))?;
///
/// let packet = port.get()?;
/// assert_eq!(packet.result()?, 5);
/// assert_eq!(packet.socket.unwrap().key(), &"the only client");
///
/// let mut text = [0; 5];
/// client.read_exact(&mut text)?;
/// assert_eq!(&text, b"hello");
/// # Ok(())
/// # }
/// ```
pub struct CompletionPort<K = (), T = ()> {
    handle: Arc<Handle>,
    types: Typed<K, T>,
}

/// Takes and gives keys and users' values, and holds none.
type Typed<K, T> = PhantomData<fn(K, T) -> (K, T)>;

/// What the clones of a port share; its end is the port's.
struct Handle {
    port: Port,
    /// A worker's does not: see [`CompletionPort::lent`].
    keeps_open: bool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.keeps_open {
            self.port.close();
        }
    }
}

impl<K: Send + Sync + 'static, T: Send + 'static> CompletionPort<K, T> {
    /// Makes a port with this concurrency value: how many threads may be active at once. 0 stands
    /// for the available parallelism (CC-1), which counts a quota and an affinity mask.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors or memory left.
    pub fn new(concurrency: usize) -> io::Result<Self> {
        Self::builder().concurrency(concurrency).build()
    }

    /// Makes a port with options.
    pub fn builder() -> Builder<K, T> {
        Builder {
            options: Options::default(),
            #[cfg(all(feature = "sim", target_os = "linux"))]
            network: None,
            types: PhantomData,
        }
    }

    /// Associates a socket with the port, under a key that comes with each of its packets.
    ///
    /// Takes std's `TcpStream` and `TcpListener`, a `socket2::Socket`, or an
    /// [`Accepted`](crate::Accepted) connection, `UdpSocket`, and the ends of a
    /// [`pipe`](crate::pipe). Set options such as broadcast, membership of multicast groups and reuse
    /// before. [`stream_socket`](crate::stream_socket) makes one to be connected.
    ///
    /// On Linux also `UnixStream`, `UnixListener`, `UnixDatagram`, `PipeReader`, `PipeWriter`, and any
    /// owned descriptor that can be waited for. A socket or pipe is put into non-blocking mode, which
    /// its duplicates share; anything else is left as it is, since all that can be done with it is to
    /// wait until it is ready (`Socket::ready`).
    ///
    /// On Windows also an end of a named pipe, as an `OwnedHandle`, if it was opened with
    /// `FILE_FLAG_OVERLAPPED`, is connected, and is read as bytes. What std has of a child process's
    /// input and output is such.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the socket, or a duplicate of it, is associated already, with whatever
    /// port (PO-6); duplicates of descriptors that are no sockets are not recognised, since the two
    /// ends of a pipe, or all eventfds, look the same there, and each then has its own operations;
    /// `Unsupported` for a file or directory, or what is always ready; `QuotaExceeded` beyond
    /// [`max_sockets`](Builder::max_sockets); the system's when there is no memory. The socket and
    /// the key come back.
    pub fn associate(
        &self,
        socket: impl Into<Endpoint>,
        key: K,
    ) -> Result<Socket<K, T>, AssociateError<K>> {
        match self.handle.port.associate(socket.into()) {
            Ok(socket) => Ok(Socket::new(Arc::new(Associated { socket, key }))),
            Err((error, socket)) => Err(AssociateError { error, socket, key }),
        }
    }

    /// Associates an open file with the port, under a key that comes with each of its packets:
    /// a regular file (on Linux also a block device), as std's `File` or an owned descriptor or
    /// handle. [`into_std`](File::into_std) gives it back. On Linux a file in non-blocking mode, which
    /// means nothing to files, is put into blocking mode; on Windows, where std's files are not open
    /// for overlapped operations, it is opened once more, for all that it is open for: its sharing has
    /// to allow that, as std's does, and a lock that it holds keeps the operations out.
    ///
    /// Files are not counted by [`max_sockets`](Builder::max_sockets), and nobody watches whether
    /// one is associated twice.
    ///
    /// # Errors
    ///
    /// `Unsupported` for anything else; the system's. The descriptor and the key come back.
    pub fn associate_file(
        &self,
        file: impl Into<OwnedFile>,
        key: K,
    ) -> Result<File<K, T>, AssociateError<K>> {
        match self.handle.port.associate_file(file.into()) {
            Ok(file) => Ok(File::new(Arc::new(AssociatedFile { file, key }))),
            Err((error, file)) => Err(AssociateError {
                error,
                #[cfg(unix)]
                socket: Endpoint::Os(file),
                #[cfg(windows)]
                socket: Endpoint::Handle(file),
                key,
            }),
        }
    }

    /// Opens a file as an operation, since that may block: its packet has the file, under
    /// this key, ready to be used if it succeeded. A path that is not absolute starts at the
    /// process's current directory.
    ///
    /// The same handle is returned; until the packet is out all but cancelling is refused on it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for options that contradict each other, or a path with a zero byte; a closed
    /// port. The key is dropped then. What the system says of the path is in the packet.
    ///
    /// ```
    /// # use overlapped::{CompletionPort, OpenOptions, Operation, Status};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let path = std::env::temp_dir().join(format!("overlapped-doc-open-{}", std::process::id()));
    /// let port: CompletionPort<&str, ()> = CompletionPort::new(1)?;
    /// let options = OpenOptions::new().write(true).create(true);
    /// port.open(Operation::new("", ()), &options, &path, "notes")?;
    ///
    /// let packet = port.get()?;
    /// packet.result()?;
    /// let file = packet.file.unwrap();
    /// file.write_at(Operation::new("some words", ()), 0)?;
    /// assert_eq!(port.get()?.result()?, 10);
    /// assert_eq!(std::fs::read(&path)?, b"some words");
    /// # std::fs::remove_file(&path)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(
        &self,
        operation: Operation<T>,
        options: &OpenOptions,
        path: impl AsRef<std::path::Path>,
        key: K,
    ) -> Result<File<K, T>, Refused<T>> {
        let file = self.handle.port.unopened_file();
        let file = File::new(Arc::new(AssociatedFile { file, key }));
        file.open(operation, options, path.as_ref())?;
        Ok(file)
    }

    /// Queues an operation as a packet of its own, with no socket and no I/O: a message to
    /// whoever gets it (PQ-1). The packet has this byte count, which nobody interprets.
    ///
    /// Posts and finished operations share one queue, first in first out (PQ-2); its length has no
    /// limit (PQ-3).
    ///
    /// # Errors
    ///
    /// A closed port gives the operation back.
    pub fn post(&self, mut operation: Operation<T>, bytes: usize) -> Result<(), Refused<T>> {
        operation.memory.prepare(Kind::Post, Bytes::None);
        operation.memory.header.finish(Status::SUCCESS, bytes);
        self.handle
            .port
            .post(memory::into_core(operation.memory))
            .map_err(|untyped| {
                // SAFETY: it is the one that was made a line above.
                let memory = unsafe { memory::from_core(untyped) };
                Refused {
                    status: Status::INVALID_HANDLE,
                    error: GetError::Closed.into(),
                    operation: Operation { memory },
                }
            })
    }

    // ---- time ----------------------------------------------------------------------------------

    /// Starts an operation as a timer: its packet comes after this long, with no socket, and 1 for
    /// the byte count. Does not block; may be called from any thread, also when no thread waits.
    ///
    /// Never early; how late depends on who could take notice:
    ///
    /// * While a thread waits for a packet: as late as the system ends a sleep, which is usually
    ///   less than 0.1 ms (the thread's timer slack, 50 us by default; on a kernel before 5.11 up
    ///   to 1 ms more).
    /// * While all who are awake are in handlers, but fewer than the concurrency value, and others
    ///   sleep: about 3 ms, as finished I/O; longer only where handlers suddenly take much longer
    ///   than those before them.
    /// * While as many workers are active as the concurrency value allows, they are what a packet
    ///   needs, and it waits for one of them to call [`get`](CompletionPort::get), or to block
    ///   ([`notice_blocked`](Builder::notice_blocked)). One that calls takes note of
    ///   timers at once if nothing else is queued, otherwise after 64 packets or 200 us of handler
    ///   time.
    ///
    /// Timers that are due together leave in the order of their deadlines, equal ones in the order
    /// of their start. Starting, cancelling and expiry take the logarithm of the number of timers;
    /// memory is allocated only when more are under way than ever before.
    ///
    /// On Windows none of this matters: a thread of the port's, made with its first timer, posts what
    /// is due, and a packet is a packet. It sleeps on a timer of high resolution where there is one.
    ///
    /// The clock is the monotonic one, which stands still while the machine sleeps; on a simulated
    /// network it is the network's.
    ///
    /// # Errors
    ///
    /// The operation comes back when the port is closed (`NotConnected`), without memory
    /// ([`Status::INSUFFICIENT_RESOURCES`]), and in a forked child (`Unsupported`).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// use overlapped::{CompletionPort, Kind, Operation};
    ///
    /// let port: CompletionPort<(), &str> = CompletionPort::new(1)?;
    /// port.timer(Operation::new("", "tea is ready"), Duration::from_millis(5))?;
    ///
    /// let packet = port.get()?;
    /// assert_eq!((packet.kind, packet.result()?), (Kind::Timer, 1));
    /// println!("{}", packet.operation.user());
    /// # Ok(())
    /// # }
    /// ```
    pub fn timer(&self, operation: Operation<T>, after: Duration) -> Result<Started, Refused<T>> {
        self.start_timer(operation, |port, untyped| port.start_timer(untyped, after))
    }

    /// As [`timer`](CompletionPort::timer), but at a moment; one that has passed is due at once. On
    /// a simulated network, as far from now on its clock as `at` is on the system's.
    ///
    /// # Errors
    ///
    /// As [`timer`](CompletionPort::timer).
    pub fn timer_at(&self, operation: Operation<T>, at: Instant) -> Result<Started, Refused<T>> {
        self.timer(operation, at.saturating_duration_since(Instant::now()))
    }

    /// Starts an operation as a periodic timer: its packet comes at the next tick, and its byte
    /// count says how many ticks there have been since the last.
    ///
    /// An operation yields one packet for each start, so start it again from its packet, with the
    /// same period, and it goes on in the same beat: the next tick is a period after the last one,
    /// not after this call, however late packet or call are. Ticks that nobody waited for are
    /// counted in the next packet, so all counts together are the periods that have passed. The
    /// first tick is a period from now; a beat begins anew with another period, and after the
    /// operation was cancelled or did something else. For lateness and clock see
    /// [`timer`](CompletionPort::timer).
    ///
    /// # Errors
    ///
    /// As [`timer`](CompletionPort::timer), and `InvalidInput` for a period of zero.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// use overlapped::{CompletionPort, Operation};
    ///
    /// const PERIOD: Duration = Duration::from_millis(2);
    ///
    /// let port: CompletionPort = CompletionPort::new(1)?;
    /// port.interval(Operation::new("", ()), PERIOD)?;
    /// let mut ticks = 0;
    /// while ticks < 5 {
    ///     let packet = port.get()?;
    ///     ticks += packet.result()?;
    ///     port.interval(packet.operation, PERIOD)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn interval(
        &self,
        operation: Operation<T>,
        period: Duration,
    ) -> Result<Started, Refused<T>> {
        self.start_timer(operation, |port, untyped| {
            port.start_interval(untyped, period)
        })
    }

    /// Cancels a timer, from any thread; its packet says [`Status::CANCELLED`] (CX-1). `false` if
    /// it has ended already (CX-2), or is not one of this port's timers: operations on sockets are
    /// cancelled [there](Socket::cancel).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// use overlapped::{CompletionPort, Operation, Status};
    ///
    /// let port: CompletionPort = CompletionPort::new(1)?;
    /// let started = port.timer(Operation::new("", ()), Duration::from_secs(3600))?;
    /// assert!(port.cancel(started));
    /// assert_eq!(port.get()?.status, Status::CANCELLED);
    /// assert!(!port.cancel(started));
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel(&self, timer: Started) -> bool {
        self.handle.port.cancel_timer(timer.token)
    }

    fn start_timer(
        &self,
        mut operation: Operation<T>,
        start: impl FnOnce(&Port, Untyped) -> Result<Token, UntypedRefused>,
    ) -> Result<Started, Refused<T>> {
        operation.memory.prepare(Kind::Timer, Bytes::None);
        match start(&self.handle.port, memory::into_core(operation.memory)) {
            Ok(token) => Ok(Started { token }),
            Err(refused) => {
                let mut refused = give_back(refused.operation, refused.status);
                if refused.status == Status::INVALID_HANDLE {
                    refused.error = GetError::Closed.into();
                }
                Err(refused)
            }
        }
    }

    // ---- packets -------------------------------------------------------------------------------

    /// Waits for a packet, for ever.
    ///
    /// # Errors
    ///
    /// [`GetError::Closed`] when the port was closed, before or while it waits (CX-9);
    /// [`GetError::Failed`] in a forked child or without memory to bind the thread.
    pub fn get(&self) -> Result<Packet<K, T>, GetError> {
        self.handle.port.get(None).map(packet)
    }

    /// Waits for a packet, for at most this long; zero is [`poll`](CompletionPort::poll).
    ///
    /// # Errors
    ///
    /// As [`get`](CompletionPort::get), and [`GetError::TimedOut`]: then no packet was consumed
    /// (CC-11), and the thread counts as active all the same (CC-4).
    pub fn get_timeout(&self, timeout: Duration) -> Result<Packet<K, T>, GetError> {
        self.handle.port.get(Some(timeout)).map(packet)
    }

    /// Takes a packet if there is one and the concurrency value allows; does not wait.
    ///
    /// # Errors
    ///
    /// As [`get_timeout`](CompletionPort::get_timeout). At the limit it times out although packets
    /// are queued (CC-6).
    pub fn poll(&self) -> Result<Packet<K, T>, GetError> {
        self.get_timeout(Duration::ZERO)
    }

    /// Waits for a packet, and takes up to `most` that are there then, in order (GX-1); returns
    /// how many were appended to `packets`. It never waits to fill up. The thread counts as one
    /// (CC-12), so the packets of a batch wait for each other: take one at a time
    /// ([`get`](CompletionPort::get)) unless handlers are short and never block. When one does, the
    /// others of its batch are stuck behind it, whichever threads are free: at 1 % of handlers that
    /// block for 10 ms, the 99th percentile of all others' latency was 10 to 20 ms with batches, and
    /// 0.5 ms without.
    ///
    /// # Errors
    ///
    /// As [`get_timeout`](CompletionPort::get_timeout); `InvalidInput` for a `most` of 0.
    pub fn get_many(
        &self,
        packets: &mut Vec<Packet<K, T>>,
        most: usize,
        timeout: Option<Duration>,
    ) -> Result<usize, GetError> {
        let mut operations = OperationList::new();
        self.handle.port.get_many(&mut operations, most, timeout)?;
        let count = operations.len();
        packets.extend(operations.map(packet));
        Ok(count)
    }

    /// Runs `f`, which is about to block, with this thread's place given to another (CC-8). When
    /// it is over the thread counts again at once, also beyond the limit (CC-9). On Windows it just
    /// runs `f`: the kernel notices by itself.
    ///
    /// On a thread that is not bound to this port it just runs `f`.
    ///
    /// ```
    /// # use overlapped::CompletionPort;
    /// # let port: CompletionPort = CompletionPort::new(1).unwrap();
    /// let row = port.blocking(|| "a row from a database that takes its time");
    /// # assert!(!row.is_empty());
    /// ```
    pub fn blocking<R>(&self, f: impl FnOnce() -> R) -> R {
        self.handle.port.blocking(f)
    }

    /// Prepares worker threads that take packets, one at a time, and call `handler` for each. They
    /// are started by [`start`](WorkersBuilder::start), replaced when they block, and end with the
    /// port: see [`Workers`](crate::Workers).
    ///
    /// The port that the handler gets is a lent one: it, and its clones, are good for everything, and
    /// do not keep the port open. A handle that `handler` has captured does, as long as there are
    /// workers; so with one inside, only [`close`](CompletionPort::close) ends them.
    ///
    /// ```
    /// # use std::io::{Read, Write};
    /// # use std::net::{TcpListener, TcpStream};
    /// use overlapped::{CompletionPort, Kind, Operation};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let listener = TcpListener::bind("127.0.0.1:0")?;
    /// # let mut client = TcpStream::connect(listener.local_addr()?)?;
    /// # let (connection, _) = listener.accept()?;
    /// let port: CompletionPort = CompletionPort::new(0)?;
    /// let workers = port
    ///     .workers(|packet, _| {
    ///         let Some(socket) = &packet.socket else { return };
    ///         let _ = match (packet.kind, packet.result()) {
    ///             (_, Err(_) | Ok(0)) => return,
    ///             (Kind::Recv, _) => socket.send(packet.operation),
    ///             _ => socket.recv(packet.operation),
    ///         };
    ///     })
    ///     .name("echo")
    ///     .start()?;
    ///
    /// let socket = port.associate(connection, ())?;
    /// socket.recv(Operation::with_capacity(1024, ()))?;
    /// # client.write_all(b"ping")?;
    /// # let mut echo = [0; 4];
    /// # client.read_exact(&mut echo)?;
    /// # assert_eq!(&echo, b"ping");
    ///
    /// port.close();
    /// workers.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn workers<H>(&self, handler: H) -> WorkersBuilder<K, T, H>
    where
        H: Fn(Packet<K, T>, &CompletionPort<K, T>) + Send + Sync + 'static,
    {
        WorkersBuilder::new(self.lent(), handler)
    }

    /// Ends the port. Every thread that waits gets [`GetError::Closed`], now and later (CX-9);
    /// packets that are queued and operations that are under way are dropped, each exactly once
    /// (CX-10); nothing can be started any more. Sockets stay open until their handles go.
    pub fn close(&self) {
        self.handle.port.close();
    }

    /// A snapshot of what the port counts.
    pub fn stats(&self) -> Stats {
        self.handle.port.stats()
    }

    /// The operations that are under way now, by kind, the most frequent first: those that were
    /// started and whose packets are not queued yet. Visits every socket, one after the other, so that
    /// nothing has to be counted when operations start and end; not for each request.
    pub fn under_way(&self) -> Vec<(Kind, usize)> {
        self.handle.port.under_way()
    }
}

/// For the port's own workers.
impl<K, T> CompletionPort<K, T> {
    /// A handle that does not keep the port open, nor do its clones.
    pub(crate) fn lent(&self) -> Self {
        CompletionPort {
            handle: Arc::new(Handle {
                port: self.handle.port.clone(),
                keeps_open: false,
            }),
            types: PhantomData,
        }
    }

    pub(crate) fn number(&self) -> overlapped_core::PortNumber {
        self.handle.port.number()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.handle.port.is_closed()
    }

    pub(crate) fn set_keeper(&self, keeper: impl Fn() + Send + Sync + 'static) -> bool {
        self.handle.port.set_keeper(keeper)
    }

    pub(crate) fn keep_vigil(&self, keep: bool) {
        self.handle.port.keep_vigil(keep);
    }

    pub(crate) fn is_deserted(&self) -> bool {
        self.handle.port.is_deserted()
    }
}

/// Makes a packet of an operation that came out of the port.
pub(crate) fn packet<K: Send + Sync + 'static, T: Send + 'static>(
    mut untyped: overlapped_core::Operation,
) -> Packet<K, T> {
    const ONE_TYPE: &str = "a port's sockets and files have keys of one type";
    let owner = untyped
        .take_owner()
        .map(|owner| owner.downcast::<Associated<K>>());
    let (socket, file) = match owner {
        None => (None, None),
        Some(Ok(socket)) => (Some(Socket::new(socket)), None),
        Some(Err(owner)) => {
            let file = owner.downcast::<AssociatedFile<K>>().expect(ONE_TYPE);
            (None, Some(File::new(file)))
        }
    };
    untyped.let_go_of_file();
    // SAFETY: operations enter a port by way of its own methods and its sockets', and all of them
    // take operations of this type only.
    let mut memory = unsafe { memory::from_core::<T>(untyped) };
    memory.settle();
    let header = &memory.header;
    let (kind, status, bytes) = (header.kind(), header.status(), header.bytes());
    Packet {
        socket,
        file,
        operation: Operation { memory },
        kind,
        status,
        bytes,
    }
}

impl<K, T> Clone for CompletionPort<K, T> {
    fn clone(&self) -> Self {
        CompletionPort {
            handle: self.handle.clone(),
            types: PhantomData,
        }
    }
}

impl<K, T> std::fmt::Debug for CompletionPort<K, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompletionPort")
            .field("stats", &self.handle.port.stats())
            .finish()
    }
}

/// Options of a port that is about to be made.
#[must_use = "a builder makes nothing until `build` is called"]
pub struct Builder<K, T> {
    options: Options,
    #[cfg(all(feature = "sim", target_os = "linux"))]
    network: Option<overlapped_core::sim::Network>,
    types: Typed<K, T>,
}

impl<K: Send + Sync + 'static, T: Send + 'static> Builder<K, T> {
    /// The concurrency value; 0, the default, stands for the available parallelism (CC-1).
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.options.concurrency = concurrency;
        self
    }

    /// Whom to wake when packets arrive; [`WakePolicy::Economy`] by default. On Windows the kernel
    /// decides, and this has no effect.
    pub fn wake_policy(mut self, policy: WakePolicy) -> Self {
        self.options.policy = policy;
        self
    }

    /// How it is noticed that a handler blocks without saying so; [`Notice::Auto`] by default. What
    /// the port does is in its [`stats`](CompletionPort::stats), with the reason. On Windows the kernel
    /// knows which threads are blocked, and this has no effect.
    pub fn notice_blocked(mut self, notice: Notice) -> Self {
        self.options.notice = notice;
        self
    }

    /// Where blocked threads cannot be [noticed](Builder::notice_blocked): after how long away from
    /// the port a thread is presumed blocked while others wait at the limit; 10 ms by default. `None`
    /// switches the rescue off: then the concurrency value holds exactly, and a handler that never
    /// comes back keeps its place for ever. Without effect on Windows.
    pub fn rescue_after(mut self, bound: Option<Duration>) -> Self {
        self.options.rescue_after = bound;
        self
    }

    /// Asks the scheduler for time slices so short for the threads that are bound to the port, as long
    /// as they are; from 100 us on, Linux 6.12 or later, without effect elsewhere. `None`, the default,
    /// leaves them as they are.
    ///
    /// For ports whose handlers compute for long while others should be quick: when something comes,
    /// the thread that waits for it need not wait for its processor until a computing one has used up
    /// a slice of some milliseconds. A thread's share of the processors stays the same. Threads that a
    /// bound thread starts begin with its slice.
    pub fn time_slice(mut self, slice: Option<Duration>) -> Self {
        self.options.time_slice = slice;
        self
    }

    /// How many bytes of buffers [`recv_pooled`](Socket::recv_pooled) may use at once, 64 MiB by
    /// default; one buffer is always possible.
    pub fn pool_limit(mut self, bytes: usize) -> Self {
        self.options.pool_limit = bytes;
        self
    }

    /// How long a closed socket may go on sending what was started before; 10 s by default. On Linux
    /// the time is looked at by the thread that waits in [`get`](CompletionPort::get), so while none
    /// does it runs on.
    pub fn linger(mut self, bound: Duration) -> Self {
        self.options.linger = bound;
        self
    }

    /// Which engine performs the operations; [`Engine::Auto`] by default.
    pub fn engine(mut self, engine: Engine) -> Self {
        self.options.engine = engine;
        self
    }

    /// How many sockets may be associated at once; as many as the system allows by default. One
    /// more is refused with `QuotaExceeded`. Connections that an
    /// [`accept_with_data`](Socket::accept_with_data) has taken, and whose data it awaits, do not
    /// count: there are never more of them than such accepts.
    pub fn max_sockets(mut self, most: usize) -> Self {
        self.options.max_sockets = most;
        self
    }

    /// Who performs the operations with files that cannot be completed at once;
    /// [`FileEngine::Auto`] by default. (On Windows the kernel does, and it has no effect.)
    pub fn files(mut self, files: FileEngine) -> Self {
        self.options.files = files;
        self
    }

    /// Makes a port on a simulated network instead of the system's.
    #[cfg(all(feature = "sim", target_os = "linux"))]
    pub fn simulated(mut self, network: &overlapped_core::sim::Network) -> Self {
        self.network = Some(network.clone());
        self
    }

    /// Makes the port.
    ///
    /// # Errors
    ///
    /// When the process has no descriptors or memory left; `Unsupported` for an engine that this
    /// system does not have; the system's refusal of a [`Notice`] that was asked for by name.
    pub fn build(self) -> io::Result<CompletionPort<K, T>> {
        #[cfg(all(feature = "sim", target_os = "linux"))]
        if let Some(network) = &self.network {
            return Ok(Self::made(Port::simulated(&self.options, network)));
        }
        if cfg!(not(target_os = "linux")) && self.options.engine != Engine::Auto {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "epoll and io_uring are Linux's; leave the engine at Auto here",
            ));
        }
        Port::new(&self.options).map(Self::made)
    }

    fn made(port: Port) -> CompletionPort<K, T> {
        CompletionPort {
            handle: Arc::new(Handle {
                port,
                keeps_open: true,
            }),
            types: PhantomData,
        }
    }
}

/// A socket or file that could not be associated; it comes back with its key and the reason. If
/// the system had no memory to watch a socket, it may have been put into non-blocking mode.
pub struct AssociateError<K> {
    /// The reason.
    pub error: io::Error,
    /// The socket, or the descriptor of the file.
    pub socket: Endpoint,
    /// The key.
    pub key: K,
}

impl<K> std::fmt::Display for AssociateError<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "cannot associate this with the completion port: {}",
            self.error
        )
    }
}

impl<K> std::fmt::Debug for AssociateError<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AssociateError")
            .field("error", &self.error)
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl<K> std::error::Error for AssociateError<K> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<K> From<AssociateError<K>> for io::Error {
    /// Drops the socket and the key.
    fn from(error: AssociateError<K>) -> Self {
        error.error
    }
}
