//! The tutorial's server, made real: it accepts TCP connections on a completion port and prints,
//! echoes or discards what arrives.
//!
//! # What runs where
//!
//! The server's logic is [`server::Server`]: a value with methods that say what happened (a packet
//! came out of a port, a piece of output was written, time has passed) and that start the next
//! operations. It creates no threads, never sleeps, never waits, asks no clock and opens no file.
//! What it needs of the world it gets through three narrow doors:
//!
//! * packets, from whoever calls [`CompletionPort::get`](overlapped::CompletionPort::get);
//! * the time, handed in by [`Server::tick`](server::Server::tick);
//! * the [`Output`](output::Output) for what is printed and the [`Log`](log::Log) for what is told.
//!
//! So the same logic runs with many threads on the system's network, and with one thread, step by
//! step, on a simulated one. The process around it (threads, signals, standard output, exit codes)
//! is in [`serve`].
//!
//! ```text
//! main -- args        the command line
//!      -- manual      the man page
//!      -- serve       the process: threads, housekeeping, drain, exit code
//!           |-- listen, limits, signals, output::writer
//!           |-- control, snapshot   what a running server tells of itself
//!           '-- server            what to do with a packet
//!                 |-- connection    what is kept for one connection
//!                 |-- connections   which there are, and whether there may be more
//!                 |-- output        escape -> lines -> Output
//!                 '-- log, summary
//!      -- top         shows what another process's control tells
//! ```
//!
//! # One operation at a time
//!
//! Each connection has exactly one operation, which goes round: receive, print (or send), receive.
//! That one decision gives most of what a server on the open internet needs:
//!
//! * **bounded memory**: a connection costs one buffer; a client that does not read what it is
//!   sent is not read from either, and a standard output that is slow stops the reading from the
//!   sockets whose bytes wait for it, because their one operation waits there;
//! * **order**: the bytes of a connection are printed as they came, with no lock;
//! * **no allocation per packet**: the operation that came back is the one that is started;
//! * **simple endings**: when the operation is back there is nothing else under way.

#![cfg_attr(not(windows), forbid(unsafe_code))]
// With two exceptions: the console's handler in `signals`, and a socket option in `listen`.
#![cfg_attr(windows, deny(unsafe_code))]

pub mod args;
pub mod connection;
pub mod connections;
#[cfg(unix)]
pub mod control;
pub mod limits;
pub mod listen;
pub mod log;
pub mod logger;
pub mod manual;
pub mod output;
pub mod serve;
pub mod server;
pub mod signals;
pub mod snapshot;
pub mod summary;
#[cfg(unix)]
pub mod top;
