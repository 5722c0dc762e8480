//! Windows: the kernel's own completion port. A skeleton: receive, zero-byte receive, send, post,
//! cancel and close work; accept, connect and disconnect are refused as not supported yet.
//!
//! # How it works
//!
//! Everything that the Linux port builds, the kernel has: packets first in first out, threads last
//! in first out, the concurrency value, threads that block and are replaced. So this engine is not
//! a `System` below the queue; it replaces the port as a whole, behind the same `Port` and `Socket`.
//! An operation's memory begins with the `OVERLAPPED` that the kernel is given, and the address
//! that a packet carries is the operation's.
//!
//! # What has to be managed: memory, and the end
//!
//! From the moment that a call such as `WSARecv` says that it is pending, or has succeeded, until
//! the packet is taken, the kernel may write to the operation. So the memory is out of anybody's
//! hands for that time: the engine gives it up (`into_raw`) before the call, and takes it back when
//! the packet comes, or at once if the call fails.
//!
//! `CloseHandle` on a port with operations in flight would lose their packets, and with them the
//! memory. So a port ends in steps: the flag is set, so that nothing is started any more; every
//! socket's operations are cancelled; a stop packet wakes whoever waits (each that it wakes posts
//! the next, because one batch may swallow several); and packets are taken and dropped until as
//! many have come back as were started. The handle is closed when nobody can be waiting any more.
//!
//! # Cancelling
//!
//! `CancelIoEx` takes an address, and the address may be another operation's by the time it is
//! called. So each socket keeps the addresses of what is in flight, by a number that is never used
//! twice; an entry is removed when its packet is taken, under the lock that a cancel holds.

mod calls;
mod clock;
mod overlapped;
mod port;
mod socket;
mod status;

pub(crate) use overlapped::{Overlapped, Scratch};
pub use port::Port;
pub(crate) use port::PortInner;
pub use socket::Socket;
pub(crate) use socket::SocketState;

/// Sockets that await a buffer of the pool.
pub(crate) type Parked = std::collections::VecDeque<std::sync::Arc<SocketState>>;
