//! The I/O completion port as a library.
//!
//! A completion port is one object on which many threads wait. It hands each finished socket
//! operation to exactly one of them, the one that began to wait last, and lets only as many run as
//! the machine can use. Windows has had it for thirty years; this is the same model, with the same
//! rules, for Linux; and on Windows it is that very port.
//!
//! # Five steps
//!
//! ```
//! use std::io::{Read, Write};
//! use overlapped::{CompletionPort, Operation};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let mut client = std::net::TcpStream::connect(listener.local_addr()?)?;
//! # let (connection, peer) = listener.accept()?;
//! // 1. Create a completion port; 0 = as many active threads as the machine runs at once.
//! let port = CompletionPort::new(0)?;
//! // 2. Associate a socket with it, under a key of your own type.
//! let socket = port.associate(connection, peer)?;
//! // 3. Start an overlapped operation; the buffer is the operation's until its packet is out.
//! socket.recv(Operation::with_capacity(1024, ()))?;
//! # client.write_all(b"ping")?;
//! # std::thread::scope(|scope| -> Result<(), Box<dyn std::error::Error>> {
//! # let worker = scope.spawn(|| -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! loop {
//!     // 4. Get a completion packet. Any number of threads may wait here.
//!     let packet = port.get()?;
//!     // 5. Handle it, and start the next operation.
//!     let socket = packet.socket.as_ref().expect("nothing was posted");
//!     match packet.result() {
//!         Ok(0) => break println!("{} has finished", socket.key()),
//!         Ok(_) => println!("{}: {:?}", socket.key(), packet.operation.bytes()),
//!         Err(error) => break println!("{}: {error}", socket.key()),
//!     }
//!     socket.recv(packet.operation)?;
//! }
//! # Ok(()) });
//! # client.shutdown(std::net::Shutdown::Write)?;
//! # worker.join().unwrap().unwrap();
//! # Ok(()) })
//! # }
//! ```
//!
//! # Files
//!
//! Regular files can be associated too: `CompletionPort::associate_file` and `open` make a
//! `File`, whose reads, writes and appends complete in packets of the same port, and
//! `Socket::send_file` sends a file among a socket's other sends. No call waits for the disk.
//!
//! # Datagrams, Unix sockets, pipes, and what can only be watched
//!
//! `associate` also takes UDP sockets, the ends of pipes ([`pipe`] makes one) and, on Linux, Unix
//! sockets, for the operations that each of them has, and there any other descriptor that can be
//! waited for: `Socket::ready` completes when it is ready.
//!
//! # One thread
//!
//! Where one thread takes the packets, and its handlers do not block, `Builder::engine` can put the
//! port on io_uring ([`Engine::Uring`], Linux 6.1): a receive then costs no system call of its own.
//!
//! # What the model gives you
//!
//! * **Ownership.** An operation's buffer belongs to the port from start to packet. There is no
//!   handle with which it could be touched, freed or forgotten meanwhile.
//! * **Exactly once.** Each started operation yields exactly one packet, also when it fails, is
//!   cancelled or its socket is closed; or, when the port itself ends first, exactly one drop.
//! * **Order.** Bytes are received and sent in the order in which operations were started. (Operations
//!   on a file each have a place of their own, and no order.)
//! * **Time.** An operation can be a [timer](CompletionPort::timer), and any operation on a socket
//!   or file can have a [deadline](Operation::set_timeout).
//! * **The concurrency value.** However many threads wait, only so many are active, and when one
//!   says that it blocks, another takes its place.
//!
//! Clause names such as CC-6 refer to `docs/completion-port.md` of the project, which lists what a
//! completion port promises.
//!
//! # Features
//!
//! None is on by default.
//!
//! * `sim`: a simulated network with a seed, for deterministic tests (`sim` module).
//! * `tracing`: events for what an operator wants to know, such as a worker that blocks for long. Without
//!   it [`WorkersBuilder::on_away`] tells of these.
//! * `metrics`: the counts of a port, for a recorder of the crate `metrics` (`PortMetrics`).
//!
#![cfg_attr(feature = "tracing", doc = include_str!("tracing.md"))]

mod aligned;
mod buffer;
mod direct;
mod file;
mod memory;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(doctest)]
mod misuse;
mod operation;
mod packet;
mod port;
mod socket;
mod workers;

use std::io;
use std::net::SocketAddr;

pub use aligned::AlignedBuffer;
pub use buffer::Buffer;
pub use direct::{Direct, Start};
pub use file::File;
#[cfg(feature = "metrics")]
pub use metrics::PortMetrics;
pub use operation::{Accepted, Operation, Refused};
#[cfg(all(feature = "sim", target_os = "linux"))]
pub use overlapped_core::sim;
pub use overlapped_core::{
    Address, Endpoint, Engine, FileEngine, FileStats, GetError, Kind, Notice, OpenOptions,
    PoolStats, PooledBuffer, QueueStats, Stats, Status, WaitHistogram, WakePolicy,
};
#[cfg(target_os = "linux")]
pub use overlapped_core::{Interest, Ready};
pub use packet::Packet;
pub use port::{AssociateError, Builder, CompletionPort};
pub use socket::{Socket, Started};
pub use workers::{
    Away, Doing, PanicPolicy, SystemCall, Workers, WorkersBuilder, WorkersError, WorkersStats,
};

/// Makes a stream socket that can be associated and then connected to addresses of the family of
/// `to`.
///
/// # Errors
///
/// The system's, when there are no descriptors left.
///
/// ```
/// # use overlapped::{CompletionPort, Operation};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let to = listener.local_addr()?;
///
/// let port: CompletionPort = CompletionPort::new(1)?;
/// let socket = port.associate(overlapped::stream_socket(&to)?, ())?;
/// socket.connect(Operation::new("", ()), to)?;
/// port.get()?.result()?;
/// assert_eq!(socket.peer_addr()?, to);
/// # Ok(())
/// # }
/// ```
pub fn stream_socket(to: &SocketAddr) -> io::Result<Endpoint> {
    let domain = socket2::Domain::for_address(*to);
    socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))
        .map(Endpoint::from)
}

/// Makes a pipe: its reading and its writing end, ready to be associated.
///
/// On Linux it is what `std::io::pipe` makes. On Windows it is a named pipe whose ends are open for
/// overlapped operations, which std's are not.
///
/// # Errors
///
/// The system's, when there are no descriptors left.
///
/// ```
/// # use overlapped::{CompletionPort, Operation, Status};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let port: CompletionPort<&str, ()> = CompletionPort::new(1)?;
/// let (reader, writer) = overlapped::pipe()?;
/// let reader = port.associate(reader, "reader")?;
/// let writer = port.associate(writer, "writer")?;
///
/// writer.send(Operation::new("hello", ()))?;
/// assert_eq!(port.get()?.key(), Some(&"writer"));
/// reader.recv(Operation::with_capacity(100, ()))?;
/// assert_eq!(port.get()?.operation.bytes(), b"hello");
///
/// // There is no end of a stream here, but a writer that has gone (IO-19).
/// drop(writer);
/// reader.recv(Operation::with_capacity(100, ()))?;
/// assert_eq!(port.get()?.status, Status::PIPE_BROKEN);
/// # Ok(())
/// # }
/// ```
pub fn pipe() -> io::Result<(Endpoint, Endpoint)> {
    overlapped_core::pipe()
}

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
