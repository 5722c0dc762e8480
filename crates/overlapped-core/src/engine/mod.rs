//! Engines: who performs operations on sockets.
//!
//! ```text
//!             recv  recv-zero  send  accept  accept-recv  connect  disconnect
//! readiness    x        x        x      x         x           x         x      engine/readiness/
//!   on epoll                                                                   engine/epoll.rs
//!   on sim                                                                     engine/sim/
//! iocp         x        x        x      -         -           -         -      engine/iocp/
//! ```
//!
//! Time (timers, the deadlines of operations, the end of lingering) is the port's and not an
//! engine's, see `port/timers/`. On *iocp* there is none yet: it refuses timers, and operations that
//! have a time-out.
//!
//! The *readiness* engine keeps the operations of each socket in order and makes the transfers
//! itself, with calls that never wait, when a [`System`] says that a socket is ready. There are two
//! such systems: Linux's epoll, and a simulated network with a seed. They share every line of the
//! engine, so what the simulation proves holds for the real one.
//!
//! The *iocp* engine (Windows) is the kernel's own port, and replaces queue and sockets too; it is a
//! skeleton so far.

#[cfg(target_os = "linux")]
pub(crate) mod epoll;
#[cfg(windows)]
pub(crate) mod iocp;
#[cfg(target_os = "linux")]
pub(crate) mod readiness;
#[cfg(all(feature = "sim", target_os = "linux"))]
pub mod sim;
#[cfg(target_os = "linux")]
mod system;

#[cfg(target_os = "linux")]
pub(crate) use system::{Readiness, Refusal, Role, System};
