//! What every echo server of the comparison has in common: its command line, its listening socket,
//! the size of its buffers and the way it is told to stop.
//!
//! A server that joins the comparison does this:
//!
//! 1. `Options::from_command_line`, with the number of workers it can make use of,
//! 2. `listen`, which also announces the address,
//! 3. `BUFFER` bytes of read buffer per connection, `TCP_NODELAY` on each accepted socket,
//! 4. end when `Stdin` says so. No server spends a thread on that: a process with one thread
//!    makes cheaper system calls than one with two, and the servers with one worker are to be
//!    measured as such.
//!
//! One that joins the blocking comparison too gives each request it has read to its
//! [`Handler`] before it answers.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::process::exit;
use std::time::Duration;

use lexopt::prelude::*;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::handler::{Handler, Way};

pub mod handler;

/// Read buffer of each connection in bytes.
pub const BUFFER: usize = 16 * 1024;

/// Room for a burst of a thousand connections, which is what the load generator may open.
const BACKLOG: i32 = 1024;

const USAGE: &str = "[--workers W] [--shared] [--direct] [--exclusive] [--coop] [--buffer SIZE] \
                     [--concurrency N] [--slice MICROSECONDS] \
                     [--handler plain|marked|offloaded [--database ADDRESS:PORT]]";

/// The command line of a server.
pub struct Options {
    /// How many threads serve connections.
    pub workers: usize,
    /// Whether the workers wait on the same queue, where a server offers both.
    pub shared: bool,
    /// Whether what ends at once is handled at once, where a server offers both.
    pub direct: bool,
    /// Whether one thread has everything to itself, where a server offers both.
    pub exclusive: bool,
    /// Whether its ring interrupts nobody (`COOP_TASKRUN`), where a server offers both.
    pub coop: bool,
    /// The size of a shared buffer, where a server has such.
    pub buffer: usize,
    /// How many workers may be active at once, where a server limits that; if not said, its own choice.
    pub concurrency: Option<usize>,
    /// The time slice that the workers ask for, where a server can.
    pub slice: Option<Duration>,
    /// What is done about the marks of requests.
    pub handler: Handler,
}

/// What a server has beside one worker.
#[derive(Clone, Copy)]
pub struct Can {
    /// The most workers it can make use of.
    pub workers: usize,
    /// A mode `--shared`.
    pub share: bool,
    /// A mode `--direct`.
    pub direct: bool,
    /// A mode `--exclusive`.
    pub exclusive: bool,
    /// A mode `--coop`.
    pub coop: bool,
    /// Buffers of its own, of a size `--buffer`.
    pub buffer: bool,
    /// A `--concurrency` value, and a `--slice`.
    pub limit: bool,
    /// Handlers, called in these ways.
    pub handler: &'static [Way],
}

impl Can {
    /// So many workers, and no modes.
    pub const fn work(workers: usize) -> Self {
        Self {
            workers,
            share: false,
            direct: false,
            exclusive: false,
            coop: false,
            buffer: false,
            limit: false,
            handler: &[],
        }
    }
}

impl Options {
    /// Reads the command line. A server refuses what it cannot do: a table must never name a variant
    /// that did not run.
    pub fn from_command_line(can: Can) -> Self {
        match Self::parse(can) {
            Ok(options) => options,
            Err(error) => {
                eprintln!("{error}\nusage: {USAGE}");
                exit(2);
            }
        }
    }

    fn parse(can: Can) -> Result<Self, lexopt::Error> {
        let mut options = Self {
            workers: 1,
            shared: false,
            direct: false,
            exclusive: false,
            coop: false,
            buffer: BUFFER,
            concurrency: None,
            slice: None,
            handler: Handler {
                way: None,
                database: None,
            },
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("workers") => options.workers = parser.value()?.parse()?,
                Long("shared") if can.share => options.shared = true,
                Long("direct") if can.direct => options.direct = true,
                Long("exclusive") if can.exclusive => options.exclusive = true,
                Long("coop") if can.coop => options.coop = true,
                Long("buffer") if can.buffer => options.buffer = parser.value()?.parse()?,
                Long("concurrency") if can.limit => {
                    options.concurrency = Some(parser.value()?.parse()?);
                }
                Long("slice") if can.limit => {
                    options.slice = Some(Duration::from_micros(parser.value()?.parse()?));
                }
                Long("handler") if !can.handler.is_empty() => {
                    let name = parser.value()?.string()?;
                    let way = Way::named(&name).filter(|way| can.handler.contains(way));
                    let way = way.ok_or_else(|| format!("no handler {name} here"))?;
                    options.handler.way = Some(way);
                    handler::begin();
                }
                Long("database") if !can.handler.is_empty() => {
                    options.handler.database = Some(parser.value()?.parse()?);
                }
                other => return Err(other.unexpected()),
            }
        }
        if !(1..=can.workers).contains(&options.workers) {
            return Err(format!("--workers must be between 1 and {}", can.workers).into());
        }
        if !(1..=1 << 20).contains(&options.buffer) {
            return Err("--buffer must be between 1 and 1048576".into());
        }
        Ok(options)
    }
}

/// Listens, without blocking, on a free port of the loopback interface and prints where.
///
/// Done here for all servers because the defaults of their libraries differ in the length of the
/// accept queue.
pub fn listen() -> io::Result<TcpListener> {
    let mut one = listeners(1)?;
    Ok(one.remove(0))
}

/// Several listeners on the same port, among which the kernel deals out the connections: for
/// libraries of which one program runs several instances (`SO_REUSEPORT`).
pub fn listeners(count: usize) -> io::Result<Vec<TcpListener>> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?;

    let mut address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
        let socket = rustix::net::socket_with(family, kind, flags, None)?;
        if count > 1 {
            sockopt::set_socket_reuseport(&socket, true)?;
        }
        rustix::net::bind(&socket, &address)?;
        rustix::net::listen(&socket, BACKLOG)?;
        let listener = TcpListener::from(socket);
        address = listener.local_addr()?;
        listeners.push(listener);
    }
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening {address}")?;
    stdout.flush()?;
    Ok(listeners)
}

/// A server that has lost a worker must not go on as if it had not.
pub fn die(error: io::Error) -> ! {
    eprintln!("server: {error}");
    exit(1)
}

/// Ends the process, after what a handler has to say.
pub fn end() -> ! {
    handler::announce();
    exit(0)
}

/// Stdin, whose end ends the server.
///
/// To be watched by the server's own event loop, as one more descriptor to read from. It is left
/// blocking, since it may be shared with the terminal: one `read` per readiness.
pub struct Stdin(());

impl Stdin {
    /// Stdin, or the end of the process if the event loop cannot watch it: a regular file or
    /// `/dev/null` has nothing to wait for. `watch` is to register it.
    pub fn watched<T>(watch: impl FnOnce(Self) -> io::Result<T>) -> io::Result<T> {
        match watch(Self(())) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => end(),
            outcome => outcome,
        }
    }

    /// To be called when stdin is readable: ends the process if that was the end.
    pub fn readable(&self) {
        let mut ignored = [0; 512];
        match rustix::io::read(self, &mut ignored) {
            Ok(0) => end(),
            Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(_) => end(),
        }
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        rustix::stdio::stdin()
    }
}

impl AsRawFd for Stdin {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
