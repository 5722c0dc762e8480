//! Sockets.
//!
//! A socket of Windows is more than its connection. It has a handle, a port and a key before an
//! `AcceptEx` puts a connection under it, and it keeps them when `DisconnectEx` takes that away again;
//! several handles may name it; it remembers what Linux tells once (that the peer has reset the
//! connection), and what Linux is not told at all (that receiving was shut down, that it is
//! non-blocking, how long blocking calls may take). So a [`Socket`] is this object, and the connection,
//! Linux's socket, has a *place* in it (`place.rs`): it is here, for blocking calls, or has a seat at
//! one of the core's ports, where overlapped operations are.
//!
//! ```text
//! place.rs      where Linux's socket is, and starting an operation on it
//! blocking.rs   calls that wait, and how closing ends them
//! accepting.rs  what an AcceptEx has to do with the socket that it is for
//! ```

mod accepting;
mod blocking;
mod place;

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{
    AtomicU32, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed,
};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use overlapped_core::{Endpoint, Status};

pub(crate) use accepting::{ADDRESS_AT, Accepting};
use blocking::Blocked;
pub(crate) use blocking::{Polled, entry, poll};
use place::Place;
pub(crate) use place::Started;

use super::Object;
use super::notification::Notification;
use super::operation::Memory;
use crate::dispatcher::Signal;
use crate::error::Error;
use crate::net;

/// What a socket is and was set to, one bit each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flag(u32);

impl Flag {
    pub(crate) const BOUND: Flag = Flag(1);
    pub(crate) const LISTENING: Flag = Flag(2);
    /// `SD_RECEIVE`: Linux is not told, since it would end the receives under way (IO-16).
    pub(crate) const RECV_SHUT: Flag = Flag(4);
    pub(crate) const SEND_SHUT: Flag = Flag(8);
    /// `FIONBIO`; Linux's socket is always non-blocking.
    pub(crate) const NON_BLOCKING: Flag = Flag(16);
    /// An `AcceptEx` is under way that is to put a connection here.
    pub(crate) const ACCEPTING: Flag = Flag(32);
    /// The program's own wish; Linux's flag has another meaning.
    pub(crate) const REUSE: Flag = Flag(64);
    pub(crate) const EXCLUSIVE: Flag = Flag(128);
    /// A blocking or non-blocking connect was begun and has not been seen to end.
    pub(crate) const CONNECTING: Flag = Flag(256);
    /// `SO_LINGER` with no time: closing resets the connection.
    pub(crate) const HARD_CLOSE: Flag = Flag(512);
    /// The connection came from an accept.
    pub(crate) const ACCEPTED: Flag = Flag(1024);
    /// Receives do not tell of datagrams that came back (`SIO_UDP_CONNRESET`).
    pub(crate) const NOT_TOLD: Flag = Flag(2048);
}

pub(crate) struct Socket {
    /// Linux's numbers.
    family: i32,
    kind: i32,
    protocol: i32,
    notification: Arc<Notification>,
    place: Mutex<Place>,
    flags: AtomicU32,
    /// In milliseconds, 0 for none; Linux is not told.
    recv_timeout: AtomicU32,
    send_timeout: AtomicU32,
    /// `SO_LINGER` as the program set it: whether, and above that for how many seconds.
    linger: AtomicU32,
    /// The Winsock error that ended the connection (IO-14).
    broken: AtomicU32,
    /// When the connection was seen to be there, in milliseconds of `started`; 0 if there is none.
    connected: AtomicU64,
    /// The address that the program has bound it to.
    bound_to: Mutex<Option<net::Any>>,
    /// Of a socket in a pending `AcceptEx`: the listener.
    listener: Mutex<Weak<Socket>>,
    blocked: Blocked,
}

impl Socket {
    /// Makes one; the numbers are Linux's.
    pub(crate) fn new(
        family: i32,
        kind: i32,
        protocol: i32,
        overlapped: bool,
    ) -> Result<Socket, Error> {
        let endpoint = Endpoint::from(linux_socket(family, kind, protocol)?);
        if kind == libc::SOCK_DGRAM {
            // From the first datagram on, whoever sends it (IO-13).
            let _ = endpoint.set_sent_back(true);
        }
        Ok(Self::of(endpoint, family, kind, protocol, overlapped))
    }

    fn of(endpoint: Endpoint, family: i32, kind: i32, protocol: i32, overlapped: bool) -> Socket {
        Socket {
            family,
            kind,
            protocol,
            notification: Notification::new(overlapped),
            place: Mutex::new(Place::Here(endpoint)),
            flags: AtomicU32::new(0),
            recv_timeout: AtomicU32::new(0),
            send_timeout: AtomicU32::new(0),
            linger: AtomicU32::new(0),
            broken: AtomicU32::new(0),
            connected: AtomicU64::new(0),
            bound_to: Mutex::new(None),
            listener: Mutex::default(),
            blocked: Blocked::default(),
        }
    }

    /// A connection that this listener has accepted. It is as the listener in all that a program has
    /// set.
    pub(crate) fn accepted(&self, fd: OwnedFd) -> Socket {
        let overlapped = self.notification.is_overlapped();
        let socket = Self::of(fd.into(), self.family, self.kind, self.protocol, overlapped);
        socket.set(Flag::BOUND);
        socket.set(Flag::ACCEPTED);
        let inherited = self.flags.load(Acquire) & (Flag::NON_BLOCKING.0 | Flag::HARD_CLOSE.0);
        socket.flags.fetch_or(inherited, AcqRel);
        socket
            .recv_timeout
            .store(self.recv_timeout.load(Relaxed), Relaxed);
        socket
            .send_timeout
            .store(self.send_timeout.load(Relaxed), Relaxed);
        socket.note_connected();
        socket
    }

    pub(crate) fn family(&self) -> i32 {
        self.family
    }

    pub(crate) fn kind(&self) -> i32 {
        self.kind
    }

    pub(crate) fn protocol(&self) -> i32 {
        self.protocol
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.kind == libc::SOCK_STREAM
    }

    pub(crate) fn notification(&self) -> &Arc<Notification> {
        &self.notification
    }

    pub(crate) fn has(&self, flag: Flag) -> bool {
        self.flags.load(Acquire) & flag.0 != 0
    }

    pub(crate) fn set(&self, flag: Flag) {
        self.flags.fetch_or(flag.0, AcqRel);
    }

    pub(crate) fn clear(&self, flag: Flag) {
        self.flags.fetch_and(!flag.0, AcqRel);
    }

    pub(crate) fn put(&self, flag: Flag, on: bool) {
        match on {
            true => self.set(flag),
            false => self.clear(flag),
        }
    }

    pub(crate) fn recv_timeout(&self) -> &AtomicU32 {
        &self.recv_timeout
    }

    pub(crate) fn send_timeout(&self) -> &AtomicU32 {
        &self.send_timeout
    }

    pub(crate) fn linger(&self) -> &AtomicU32 {
        &self.linger
    }

    /// The connection is there from now on.
    pub(crate) fn note_connected(&self) {
        self.clear(Flag::CONNECTING);
        self.set(Flag::BOUND);
        let now = since_start().as_millis() as u64;
        self.connected.store(now.max(1), Relaxed);
    }

    pub(crate) fn is_connected(&self) -> bool {
        if self.connected.load(Relaxed) != 0 {
            return true;
        }
        // A non-blocking connect ends without a call that says so.
        let connected = self.has(Flag::CONNECTING) && self.peer().is_ok();
        if connected {
            self.note_connected();
        }
        connected
    }

    /// The peer's address.
    pub(crate) fn peer(&self) -> Result<net::Any, Error> {
        self.with_fd(|fd| {
            net::Any::filled_by(|to, length| {
                // SAFETY: the descriptor is open, and there is room.
                unsafe { libc::getpeername(fd.as_raw_fd(), to, length) }
            })
        })?
    }

    /// For how long it has been connected.
    pub(crate) fn connected_for(self: &Arc<Self>) -> Option<Duration> {
        match self.connected.load(Relaxed) {
            0 => self.accepted_for(),
            since => Some(since_start().saturating_sub(Duration::from_millis(since))),
        }
    }

    /// The error that ended the connection, if one did; a call or an operation has met with it.
    pub(crate) fn broken(&self) -> Result<(), Error> {
        self.known_failure()?;
        if let Some(socket) = self.seated() {
            self.remember_failure(&socket);
        }
        self.known_failure()
    }

    fn known_failure(&self) -> Result<(), Error> {
        match self.broken.load(Relaxed) {
            0 => Ok(()),
            code => Err(Error(code)),
        }
    }

    fn remember_failure(&self, socket: &overlapped_core::Socket) {
        if let Some(status) = socket.failure() {
            self.broken.store(status.winsock(), Relaxed);
        }
    }

    /// A call on the connection failed with this; some errors are for ever (IO-14).
    pub(crate) fn note_failure(&self, error: Error) -> Error {
        if self.is_stream()
            && matches!(
                error,
                Error::WSAECONNRESET | Error::WSAECONNABORTED | Error::WSAETIMEDOUT
            )
            && self.is_connected()
        {
            // What is under way ends with it, too.
            let error = self.seated().map_or(error, |socket| {
                net::of_status(socket.note_failure(Status::from_win32(error.0)))
            });
            self.broken.store(error.0, Relaxed);
            return error;
        }
        error
    }

    /// A receive of datagrams has come back without one: what one that was sent has met with, if that
    /// is to be told (IO-13). Also because the queue of such errors has to be empty: otherwise the
    /// socket is ready for as long as they are there.
    pub(crate) fn sent_back(&self) -> Option<Status> {
        if self.is_stream() {
            return None;
        }
        let status = self.place().with_endpoint(Endpoint::sent_back).ok()??;
        (!self.has(Flag::NOT_TOLD)).then_some(match status {
            Status::CONNECTION_REFUSED => Status::PORT_UNREACHABLE,
            status => status,
        })
    }

    /// What a wait for the socket itself waits for (PK-8).
    pub(crate) fn signal(&self) -> &Signal {
        let signal = self.notification.signal(|| self.is_idle());
        // What is under way has to end without anybody who takes packets.
        if self.seated().is_some() {
            let _ = self.seat(true);
        }
        signal
    }

    /// Cancels what is under way and `wanted`; how many operations that was (CX-1).
    pub(crate) fn cancel_those(&self, wanted: impl Fn(&Memory) -> bool) -> usize {
        // The socket is not locked by us meanwhile: packets that are dropped may hold it.
        match self.seated() {
            Some(socket) => socket.cancel_those(|operation| wanted(Memory::look(operation))),
            None => 0,
        }
    }

    /// Its last handle was closed (CX-6).
    pub(crate) fn close(self: &Arc<Self>) {
        // What is being sent goes on, also if nobody takes packets any more.
        if self.seated().is_some_and(|socket| socket.is_sending()) {
            let _ = self.seat(true);
        }
        let place = std::mem::replace(&mut *self.place(), Place::Closed);
        self.blocked.end();
        self.stop_accepting();
        match place {
            Place::Seated { socket, .. } => {
                if self.has(Flag::HARD_CLOSE) {
                    socket.cancel_those(|operation| Memory::look(operation).is_send());
                }
                socket.close();
            }
            Place::Here(endpoint) => super::port::blocking(|| drop(endpoint)),
            Place::Closed => {}
        }
    }

    fn place(&self) -> std::sync::MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses Linux's socket, for a call that does not wait.
    pub(crate) fn with_fd<R>(&self, f: impl FnOnce(BorrowedFd<'_>) -> R) -> Result<R, Error> {
        self.place().with_fd(f)
    }

    /// As [`with_fd`](Socket::with_fd), for a call that returns -1 if it fails.
    pub(crate) fn call(&self, f: impl FnOnce(i32) -> i32) -> Result<i32, Error> {
        self.with_fd(|fd| match f(fd.as_raw_fd()) {
            -1 => Err(net::last()),
            value => Ok(value),
        })?
    }

    /// Gives it its address.
    pub(crate) fn bind(&self, address: &net::Any) -> Result<(), Error> {
        let fixed = address
            .internet()
            .is_some_and(|address| address.port() != 0);
        // A port in TIME_WAIT can be bound on Windows, and here only so. (With no port in particular
        // it would give away one that is in use.) For datagrams it is what the program's own flag
        // means.
        let reuse = match self.is_stream() {
            true => fixed,
            false => self.has(Flag::REUSE),
        };
        if reuse {
            self.with_fd(|fd| {
                let _ = socket2::SockRef::from(&fd).set_reuse_address(true);
            })?;
        }
        // SAFETY: the address is as long as it says.
        self.call(|fd| unsafe { libc::bind(fd, address.as_ptr(), address.len()) })?;
        *self.bound_to.lock().unwrap_or_else(PoisonError::into_inner) = Some(*address);
        self.set(Flag::BOUND);
        Ok(())
    }

    /// Has a fresh socket of Linux's in place of the one that was used; if it had connected it is
    /// bound as before (DX-2).
    pub(crate) fn renew(&self) -> Result<(), Error> {
        let fd = linux_socket(self.family, self.kind, self.protocol)?;
        self.replace(fd.into())?;
        let bound_to = *self.bound_to.lock().unwrap_or_else(PoisonError::into_inner);
        self.flags.fetch_and(
            !(Flag::RECV_SHUT.0
                | Flag::SEND_SHUT.0
                | Flag::CONNECTING.0
                | Flag::ACCEPTED.0
                | Flag::BOUND.0),
            AcqRel,
        );
        self.broken.store(0, Relaxed);
        self.connected.store(0, Relaxed);
        bound_to.map_or(Ok(()), |address| self.bind(&address))
    }
}

fn linux_socket(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd, Error> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: plain numbers.
    let fd = unsafe { libc::socket(family, kind | flags, protocol) };
    if fd == -1 {
        return Err(net::last());
    }
    // SAFETY: it has just been opened, and is nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    if family == libc::AF_INET6 {
        // As on Windows, unless the program says otherwise.
        let _ = socket2::SockRef::from(&fd).set_only_v6(true);
    }
    Ok(fd)
}

/// On a clock that begins with the first call.
fn since_start() -> Duration {
    static STARTED: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    STARTED.get_or_init(Instant::now).elapsed()
}

impl From<Socket> for Object {
    fn from(socket: Socket) -> Self {
        Object::Socket(Arc::new(socket))
    }
}
