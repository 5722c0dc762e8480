//! Windows: the kernel's own completion port.
//!
//! # How it works
//!
//! Everything that the Linux port builds, the kernel has: packets first in first out, threads last
//! in first out, the concurrency value, threads that block and are replaced. So this engine is not
//! a `System` below the queue; it replaces the port as a whole, behind the same `Port` and `Socket`.
//! An operation's memory begins with the `OVERLAPPED` that the kernel is given, and the address
//! that a packet carries is the operation's; the completion key is not used.
//!
//! ```text
//! port      packets in and out, the count of what is in flight, the end
//! socket    what a socket or pipe remembers, and how its operations start and end
//! file      the same of a file
//! flights   what the system has of their operations
//! jobs      what the system's thread pool has: opening, closing and synchronising files
//! calls     one call for each kind of operation; accept, connect, transmit and pipe have theirs
//! pieces    an operation's bytes in one piece, for calls that take no more
//! open      how a file is opened
//! clock     the thread that posts timers and ends what is late
//! nature    what the system says of a socket, pipe or file
//! status    from the system's codes to the model's
//! ```
//!
//! # What has to be managed: memory, and the end
//!
//! From the moment that a call such as `WSARecv` says that it is pending, or has succeeded, until
//! the packet is taken, the kernel may write to the operation. So the memory is out of anybody's
//! hands for that time: the engine gives it up (`into_raw`) before the call, and takes it back when
//! the packet comes, or at once if the call fails and says that none will come. What a call needs
//! beside the segments (the socket that an accept makes, the address of a datagram's sender) lies in
//! the operation too, in its `Scratch`.
//!
//! `CloseHandle` on a port with operations in flight would lose their packets, and with them the
//! memory. So a port ends in steps: the flag is set, so that nothing is started any more; every
//! socket's operations are cancelled; a stop packet wakes whoever waits (each that it wakes posts
//! the next, because one batch may swallow several); and packets are taken and dropped until as
//! many have come back as were started. The handle is closed when nobody can be waiting any more.
//!
//! # Order
//!
//! The system keeps the order of calls that are made one after another (IO-5, IO-6). So each socket
//! has a lock, which is held over the call that starts an operation.
//!
//! # Cancelling, deadlines, closing
//!
//! `CancelIoEx` takes an address, and the address may be another operation's by the time it is
//! called. So each socket keeps the addresses of what is in flight, by a number that is never used
//! twice; an entry is removed when its packet is taken, under the lock that a cancel holds.
//!
//! A cancel, a deadline and a close are one thing to the system. The entry remembers what was meant,
//! and when the packet says that the operation was cancelled, that is its status. If it had succeeded
//! already, it has: no byte is lost (CX-4).
//!
//! A socket that is closed with sends in flight stays open in the system until they have landed or
//! the port's linger time is over, because closing it there would cancel them. The peer is told of
//! the end at once, behind what is being sent (`shutdown`), so that it need not wait for a worker.
//!
//! # What is kept back
//!
//! Some operations are not always with the system, and may end without it:
//!
//! * A disconnect is a `shutdown`, which the system carries out behind the sends; the operation waits
//!   for their packets. (What `DisconnectEx` waits for is not specified.)
//! * What is to be sent behind a transmit, and the `shutdown`, wait for its packet. The system sends a
//!   file piece by piece, and no documentation says where other sends go meanwhile (IO-6).
//! * A receive from the port's pool is a receive of no bytes, which holds no buffer; when its packet
//!   is taken, the worker fetches the data into a buffer that it takes from the pool. Whatever is
//!   received after it must come after it, so later receives wait until then. If the pool is
//!   exhausted the socket is parked there, and whoever gives a buffer back makes it go on.
//!
//! # Skip on success
//!
//! That a handle queues no packets for what ends at once can be switched on and never off (SK-3),
//! and here each start chooses. So a socket's first direct start switches it on, and from then on
//! whatever is started in the usual way and ends at once is posted. It is left off for sockets of
//! layered providers, whose handles are not the file system's.

mod accept;
mod calls;
mod clock;
mod connect;
mod datagram;
mod file;
mod flights;
mod jobs;
mod nature;
mod open;
mod overlapped;
mod pieces;
mod pipe;
mod port;
mod socket;
mod status;
mod transmit;
mod winsock;

pub use file::File;
pub(crate) use file::FileState;
pub(crate) use overlapped::{Overlapped, Scratch};
pub(crate) use pipe::pair as pipe;
pub use port::Port;
pub(crate) use port::PortInner;
pub use socket::Socket;
pub(crate) use socket::SocketState;

/// Sockets that await a buffer of the pool.
pub(crate) type Parked = std::collections::VecDeque<std::sync::Arc<SocketState>>;
