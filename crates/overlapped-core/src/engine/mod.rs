//! Engines: who performs operations on sockets.
//!
//! ```text
//!             recv  -pooled  -zero  -all  send  send-file  accept  accept-recv  connect  disconnect
//! readiness    x       x       x      x     x       x         x         x           x         x
//!   on epoll   x       x       x      x     x       x         x         x           x         x
//!   on uring   x       x       x      x     x       x         x         x           x         x
//!   on sim     x       x       x      x     x       -         x         x           x         x
//! iocp         x       x       x      -     x       x         x         x           x         x
//!
//!             recv-from  send-to  ready      of a pipe: recv  recv-zero  send
//! readiness       x         x       x                     x        x        x
//!   on epoll      x         x       x                     x        x        x
//!   on uring      x         x       x                     x        x        x
//!   on sim        -         -       -                     -        -        -
//! iocp            x         x       -                     x        x        x
//!
//!             recv-with-descriptors  send-with-descriptors
//! readiness             x                      x
//!   on epoll            x                      x
//!   on uring            x                      x
//!   on sim              -                      -
//! iocp                  -                      -
//!
//!             read  write  append  sync  open  close
//! files        x      x      x      x     x      x
//!   directly   x      -      -      -     -      -
//!   ring       x      x      x      x     x      x
//!   pool       x      x      x      x     x      x
//! iocp         x      x      x      x     x      x
//! ```
//!
//! Time (timers, the deadlines of operations, the end of lingering) is the port's and not an
//! engine's, see `port/timers/`.
//!
//! The *readiness* engine keeps the operations of each socket in order and makes the transfers
//! itself, with calls that never wait, when a [`System`] says that a socket is ready. There are three
//! such systems: Linux's epoll; io_uring, for a port that one thread consumes; and a simulated network
//! with a seed. They share every line of the engine, so what the simulation proves holds for the real
//! ones.
//!
//! The *files* engine has a thread of its own that waits for disks, with io_uring or, where the
//! system refuses it, with a few others. It serves the files of a port of either system.
//!
//! The *iocp* engine (Windows) is the kernel's own port, and replaces queue, sockets and files too.

#[cfg(target_os = "linux")]
pub(crate) mod alarm;
#[cfg(target_os = "linux")]
mod datagram;
#[cfg(target_os = "linux")]
mod descriptor;
#[cfg(target_os = "linux")]
mod direct;
#[cfg(target_os = "linux")]
pub(crate) mod epoll;
#[cfg(target_os = "linux")]
pub(crate) mod files;
#[cfg(windows)]
pub(crate) mod iocp;
#[cfg(target_os = "linux")]
mod passing;
#[cfg(target_os = "linux")]
pub(crate) mod readiness;
#[cfg(target_os = "linux")]
mod sigpipe;
#[cfg(all(feature = "sim", target_os = "linux"))]
pub mod sim;
#[cfg(target_os = "linux")]
mod system;
#[cfg(target_os = "linux")]
pub(crate) mod uring;

#[cfg(target_os = "linux")]
pub(crate) use direct::{sent_back, set_sent_back};
#[cfg(target_os = "linux")]
pub(crate) use system::{Chosen, Nature, Readiness, Received, Refusal, Role, System};
