//! A simulated network with a seed: no system calls, no threads, and a clock of its own.
//!
//! # How it works
//!
//! The readiness engine runs on a `System`: something that reports when a socket is ready, and
//! whose transfers never wait. Linux's epoll is one such system; this is the other. A
//! [`Network`] holds listeners and connections as plain data (`node.rs`) and an agenda of events
//! (`agenda.rs`): a piece of data arrives, an acknowledgement comes back, a connection is
//! established. An event happens when a port waits: the wait lets the clock jump to the next
//! event, until one of them gives this port something to report or the wait's time is over. So a
//! simulated hour takes as long as its events take to compute, and a server can be brought into
//! any state within milliseconds.
//!
//! Every decision (how long something travels, in how many pieces, whether it breaks, in which
//! order reports come) is drawn from one generator with a seed (`random.rs`), by ratios that the
//! test chooses ([`Faults`]). A test that uses one thread and derives its own decisions from the
//! seed does the same every time; [`Network::fingerprint`] proves it. A failure is therefore a
//! number, and a number can be replayed.
//!
//! The outside world is in the test's hands: a [`Peer`] is the other end of a connection, a
//! [`Server`] accepts what the port connects.
//!
//! # What it promises
//!
//! * **Reports are edge-triggered** as the engine's contract has it, and no better: one report for
//!   a change, several changes may become one report, the order is random, a report may come
//!   late, without a cause, or for a socket that is gone; it says all that is the case, as epoll
//!   does, or only what changed. A report that is not owed does not come, so a lost wake-up in the
//!   engine shows as a connection that stands still for ever.
//! * **Bytes** arrive in order, exactly once, in pieces of any size at any time. A receive gives
//!   all that has arrived: that the next data makes a new report is what the engine relies on
//!   after a short receive. A send takes what there is room for, or less, or nothing, and then the
//!   room is reported.
//! * **Ends** are TCP's: the end of the stream comes after the data. Closing with unread data, and
//!   sending to who has closed, resets. A reset may lose what was under way. An error is told
//!   once, as Linux does.
//!
//! # What it does not model
//!
//! Packets, congestion, urgent data, datagrams, socket options, half-open connections whose other
//! end has lost its memory, duplicates of a socket, and connecting anew a socket whose connection
//! broke. Memory visibility and true parallelism neither: with several threads (see
//! [`Network::set_threaded`]) the network is safe but the run is not reproducible, and time jumps
//! whenever somebody waits.
//!
//! # Where to find what
//!
//! `network.rs`, `socket.rs` and `peer.rs` are the handles, `system.rs` the way in for a port. The
//! inside is one `State` under one lock: `wire.rs` has the bytes, `handshake.rs` how connections
//! come about, `calls.rs` the calls, `reports.rs` the edges.

mod agenda;
mod calls;
mod faults;
mod handshake;
mod network;
mod node;
mod peer;
mod random;
mod reports;
mod socket;
mod state;
mod system;
mod wire;

pub use faults::{Counts, Faults};
pub use network::Network;
pub use peer::{Peer, Server};
pub use random::Random;
pub use socket::SimSocket;
pub(crate) use system::Simulated;
