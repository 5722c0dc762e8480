//! The readiness engine: operations in order, transfers late, by whoever takes the packet.
//!
//! # How it works
//!
//! Each socket has two *sides*, receive and send, and each side keeps its started operations in a
//! list, first in first out, under a lock of its own. That list is what makes several operations
//! on one socket safe: bytes go into buffers and out of them in the order of the calls (IO-5,
//! IO-6), whatever thread does the work.
//!
//! A started operation needs nobody's further help. A send is tried at once; a receive is tried at
//! once if the side may have something, otherwise it is *armed*: it waits in the list, and the
//! side's bits say that the next report of the system is wanted.
//!
//! When a report comes, the leader does no transfer. It puts the side itself into the port's
//! queue, as an item behind the packets (`operation/items.rs`), and goes on. The transfer is made
//! by the worker that takes the item (*late transfer*), with direct calls that never wait. Four
//! things follow:
//!
//! * copying runs in parallel on all workers, and a slow one holds up no other socket;
//! * buffers are touched only inside the taker's own system call, so nothing can write into memory
//!   that an operation has given back: an operation that is cancelled or dropped is just taken out
//!   of a list;
//! * a thread can exit or block with operations started: nothing depends on who started them;
//! * an operation that is cancelled before the transfer has lost no data.
//!
//! The taker serves the successors in the same go: queued receives are filled by one call, queued
//! sends are gathered into one (`recv.rs`, `send.rs`), up to a bound, after which the side goes
//! back to the end of the port's queue so that one busy socket cannot keep a worker. The first
//! operation that completes is the taker's packet, unless packets wait already; the others are
//! queued behind those.
//!
//! # The bits of a side
//!
//! | bit | meaning | set by | cleared by |
//! |---|---|---|---|
//! | `READY` | a call may succeed | the leader, at a report; a receive that left something | who serves, *before* a call whose failure it believes |
//! | `WANTED` | operations wait and the next report must schedule the side | who arms | whoever schedules or serves |
//! | `SCHEDULED` | the side is in the port's queue | who queues it | who took it out, before serving |
//! | `DOUBT` | a short receive never proves that nothing is left (Unix sockets) | the association | nobody |
//! | `HANGUP` | the peer has finished, the connection broke, or urgent data came | the leader | a connect that begins |
//!
//! The invariant: operations in the list and nobody serving them means `WANTED` or `SCHEDULED`.
//! (A side that waits for a buffer of the port's pool is `SCHEDULED`: its place is in the pool's
//! list until it moves to the queue, see `pool.rs`.) Arming and reporting meet on one atomic: who arms sets `WANTED` and then looks at `READY`, the
//! leader sets `READY` and then looks at `WANTED`; both are read-modify-writes of the same byte, so
//! at least one sees the other, and if both do, the one that clears `WANTED` serves.
//!
//! # Where to find what
//!
//! One file for each kind of operation says how it is performed: `recv.rs`, `recv_pooled.rs`,
//! `send.rs`, `send_file.rs`, `accept.rs`, `connect.rs`, `disconnect.rs`, `ready.rs`,
//! `passing.rs`; `datagram.rs` and `pipe.rs` how datagram sockets and pipes perform theirs.
//! `side.rs` has the bits and the loop that serves, `socket.rs` starting, cancelling and closing,
//! `table.rs` the way from a report to its socket.

mod accept;
mod connect;
mod datagram;
mod disconnect;
mod passing;
mod pipe;
mod ready;
mod recv;
mod recv_pooled;
mod registered;
mod send;
mod send_file;
mod side;
mod socket;
mod table;

pub(crate) use registered::Registered;
pub(crate) use side::Direction;
pub(crate) use socket::{SocketState, address};
pub(crate) use table::Table;
