//! The untyped completion port under `overlapped`.
//!
//! ```text
//! faces      overlapped (safe Rust)   ...
//!               |  typed operations become `Operation`, typed sockets their owners
//! core       Port = queue + engine + sockets + files     this crate
//!               |                \
//! queue      overlapped-queue     engine/readiness  on  engine/epoll | uring | sim
//!                                 engine/files      on  io_uring | threads
//! ```
//!
//! Programs use a face; this crate is for who writes one. Its own contract is small: a face
//! allocates operation memory with a [`Header`] at its front, wraps it in an [`Operation`],
//! prepares it and starts it on a [`Socket`] or a `File`; it comes out of [`Port::get`] exactly once, or, when
//! the port ends first, its memory is released exactly once.

mod address;
#[cfg(target_os = "linux")]
mod ahead;
mod endpoint;
mod engine;
#[cfg(target_os = "linux")]
mod file;
#[cfg(any(target_os = "linux", windows))]
mod open;
mod operation;
mod pool;
#[cfg(target_os = "linux")]
mod port;
/// What the port of Windows has in common with the other.
#[cfg(windows)]
mod port {
    pub(crate) mod limited;
    pub(crate) mod tally;
    pub(crate) mod timers;

    pub(crate) use crate::engine::iocp::PortInner;
}
#[cfg(target_os = "linux")]
mod presence;
mod ready;
#[cfg(target_os = "linux")]
mod socket;
mod status;
mod trace;

#[cfg(not(any(target_os = "linux", windows)))]
compile_error!(
    "overlapped has no engine for this system yet: it runs on Linux and on Windows (docs/engines.md)"
);

use std::borrow::Cow;
use std::io;
use std::time::Duration;

pub use address::Address;
#[cfg(target_os = "linux")]
pub use endpoint::Connection;
pub use endpoint::Endpoint;
#[cfg(any(target_os = "linux", windows))]
pub use endpoint::pipe;
#[cfg(windows)]
pub use engine::iocp::{File, Port, Socket};
#[cfg(all(feature = "sim", target_os = "linux"))]
pub use engine::sim;
#[cfg(target_os = "linux")]
pub use file::File;
#[cfg(any(target_os = "linux", windows))]
pub use open::OpenOptions;
#[cfg(target_os = "linux")]
pub use operation::MOST_DESCRIPTORS;
pub use operation::{
    Header, Kind, Operation, OperationList, Outcome, Refused, Segment, ShutdownHow, Token,
};
pub use overlapped_queue::{Presence, Stats as QueueStats, ThreadWait, WaitHistogram, WakePolicy};
pub use pool::{PoolStats, PooledBuffer};
#[cfg(target_os = "linux")]
pub use port::{Alert, Port};
#[cfg(target_os = "linux")]
pub use presence::Watch;
pub use ready::{Interest, Ready};
#[cfg(target_os = "linux")]
pub use socket::Socket;
pub use status::Status;
pub use trace::PortNumber;
#[cfg(feature = "tracing")]
pub use trace::TARGET;

/// What a port is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The concurrency value; 0 stands for the available parallelism (CC-1).
    pub concurrency: usize,
    /// Whom to wake when.
    pub policy: WakePolicy,
    /// How workers that block are noticed.
    pub notice: Notice,
    /// After how long an absent worker, of which it is not known whether it blocks, is presumed to
    /// while others wait.
    pub rescue_after: Option<Duration>,
    /// The time slice that the scheduler is asked for, for each thread that is bound.
    pub time_slice: Option<Duration>,
    /// How long a closed socket may go on sending what was started before.
    pub linger: Duration,
    /// How many sockets may be associated at once.
    pub max_sockets: usize,
    /// Who performs operations with sockets.
    pub engine: Engine,
    /// Who performs operations with files.
    pub files: FileEngine,
    /// How many bytes of buffers receives from the pool may use at once.
    pub pool_limit: usize,
}

/// Which engine performs a port's operations with sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// The one that serves the model best on this system, whatever handlers do: on Linux epoll, on
    /// Windows the kernel's own port. [`Stats`] tell which, and why.
    #[default]
    Auto,
    /// Linux's epoll, and direct calls that never wait.
    Epoll,
    /// Linux's io_uring (6.1 or later), for an *exclusive* port. With it you promise that one thread
    /// takes the port's packets, and that handlers do not block: what comes meanwhile is seen when
    /// that thread gets its next packet, and what other threads start, except for sends, is begun
    /// then. A second thread's get is refused with `Unsupported`, until the first one ends or turns
    /// to another port.
    ///
    /// Making the port fails with the reason where io_uring cannot be had, as in most containers.
    Uring,
    /// The same where io_uring can be had, and [`Engine::Epoll`] elsewhere.
    UringOrEpoll,
}

impl std::str::FromStr for Engine {
    type Err = io::Error;

    /// From `auto`, `epoll`, `uring` or `uring-or-epoll`.
    fn from_str(name: &str) -> io::Result<Self> {
        match name {
            "auto" => Ok(Engine::Auto),
            "epoll" => Ok(Engine::Epoll),
            "uring" => Ok(Engine::Uring),
            "uring-or-epoll" => Ok(Engine::UringOrEpoll),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("there is no engine {name:?}; choose auto, epoll, uring or uring-or-epoll"),
            )),
        }
    }
}

/// How a port notices that a worker blocks without saying so, so that another one takes its place
/// (CC-8). On Windows the kernel knows, and this has no effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The best that the system allows, in the order of this list. [`Stats`] tell which, and why.
    #[default]
    Auto,
    /// Records of each worker's context switches, which the kernel keeps (`perf_event_open`, of the
    /// process's own threads). A look costs nothing, each switch of a worker some tenths of a
    /// microsecond, and each worker two descriptors and two pages. Making the port fails with the reason
    /// where this is refused, as in most containers.
    PerfEvents,
    /// Workers' states in `/proc`, read while packets wait and nobody may take them. Each worker
    /// costs two descriptors. Making the port fails where there is no `/proc`.
    ThreadStates,
    /// Not at all: a worker that does not say that it blocks is presumed to after a bound.
    Nothing,
}

impl std::str::FromStr for Notice {
    type Err = io::Error;

    /// From `auto`, `perf-events`, `thread-states` or `nothing`.
    fn from_str(name: &str) -> io::Result<Self> {
        match name {
            "auto" => Ok(Notice::Auto),
            "perf-events" => Ok(Notice::PerfEvents),
            "thread-states" => Ok(Notice::ThreadStates),
            "nothing" => Ok(Notice::Nothing),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "blocked workers cannot be noticed by {name:?}; choose auto, perf-events, \
                     thread-states or nothing"
                ),
            )),
        }
    }
}

/// Who performs the operations with files that cannot be completed at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileEngine {
    /// io_uring, and where the system refuses it, threads.
    #[default]
    Auto,
    /// A few threads that make blocking calls.
    Threads,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            concurrency: 0,
            policy: WakePolicy::default(),
            notice: Notice::default(),
            rescue_after: Some(overlapped_queue::Config::RESCUE_AFTER),
            time_slice: None,
            linger: Duration::from_secs(10),
            max_sockets: usize::MAX,
            engine: Engine::default(),
            files: FileEngine::default(),
            pool_limit: 64 << 20,
        }
    }
}

/// A snapshot of a port's counts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// The engine's name.
    pub engine: &'static str,
    /// Why it is this one.
    pub engine_reason: Cow<'static, str>,
    /// How it is noticed that workers block: `perf events`, `thread states` or `nothing`; on
    /// Windows `the kernel`.
    pub notice: &'static str,
    /// Why it is this way.
    pub notice_reason: Cow<'static, str>,
    /// Associated sockets.
    pub sockets: usize,
    /// Timers and deadlines under way; also of closed sockets that may still send.
    pub timers: usize,
    /// Operations with files.
    pub files: FileStats,
    /// Receive buffers.
    pub pool: PoolStats,
    /// The concurrency value.
    pub concurrency: usize,
    /// Threads that wait for packets.
    pub waiting: usize,
    /// Packets that are queued now.
    pub queued: usize,
    /// Everything that the queue counts, the above included. `None` on Windows: the queue is the
    /// kernel's there, and active threads, wakes and the rest are known to nobody else.
    pub queue: Option<QueueStats>,
}

/// A snapshot of a port's operations with files.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FileStats {
    /// Who performs what cannot be completed at once: `io_uring`, `threads`, or `none` before the
    /// first of these.
    pub engine: &'static str,
    /// Why it is this one.
    pub reason: Cow<'static, str>,
    /// Operations that nobody has taken up yet, sends that wait for a cold file included.
    pub waiting: usize,
    /// Operations that are being performed, likewise.
    pub running: usize,
}

/// The refusal of one socket more than the port may have.
fn too_many_sockets(most: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::QuotaExceeded,
        format!("the port has {most} sockets already, as many as it was made for"),
    )
}

/// Why a get brought no packet.
#[derive(Debug)]
#[non_exhaustive]
pub enum GetError {
    /// None came in time. Packets may be queued all the same, if as many threads as the
    /// concurrency value allows are active (CC-6).
    TimedOut,
    /// The port is closed (CX-9).
    Closed,
    /// The call itself failed.
    Failed(io::Error),
}

impl std::fmt::Display for GetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GetError::TimedOut => f.write_str("no packet came in time"),
            GetError::Closed => f.write_str("the completion port is closed"),
            GetError::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for GetError {}

impl From<GetError> for io::Error {
    fn from(error: GetError) -> Self {
        match error {
            GetError::TimedOut => io::Error::new(io::ErrorKind::TimedOut, error),
            GetError::Closed => io::Error::new(io::ErrorKind::NotConnected, error),
            GetError::Failed(error) => error,
        }
    }
}
