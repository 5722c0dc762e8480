//! A socket of a port, and what it has in flight.
//!
//! ```text
//! handle   what a program does with it
//! start    whether an operation can be started, and giving it to the system
//! land     what becomes of an operation whose packet was taken
//! pooled   receives from the port's pool, and those that wait behind them
//! end      cancelling, closing, and the end of the port
//! ```

mod end;
mod handle;
mod land;
mod pooled;
mod start;

use std::io;
use std::os::windows::io::{AsRawHandle, AsRawSocket};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Networking::WinSock::{SD_SEND, SOCKET, shutdown};

use super::flights::Flights;
use super::nature::{Nature, kind_of, listens};
use super::port::PortInner;
use super::{pipe, status};
use crate::Status;
use crate::endpoint::Endpoint;
use crate::operation::{Header, Kind, Operation, OperationList};
use crate::pool::Size;
use crate::port::timers::Key;

pub use handle::Socket;

/// How far a socket is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Fresh,
    Connecting,
    Connected,
    Listener,
}

pub(crate) struct SocketState {
    port: Arc<PortInner>,
    number: u64,
    nature: Nature,
    family: i32,
    guarded: Mutex<Guarded>,
}

/// What the socket's lock guards. It is held over each call that starts or cancels, so that several
/// threads' operations reach the system one after another (IO-5, IO-6).
struct Guarded {
    /// `None` once it is closed in the system too.
    open: Option<Open>,
    phase: Phase,
    closed: bool,
    recv_shut: bool,
    send_shut: bool,
    /// The peer was told that nothing follows.
    peer_told: bool,
    /// The failure that ended the connection (IO-14).
    broken: Option<Status>,
    /// The system queues no packet for what ends at once (SK-1).
    skips: bool,
    /// The end of lingering.
    linger: Option<Key>,
    next: u64,
    /// What the system has.
    flights: Flights,
    /// Sends that wait for a transmit before them.
    sends: OperationList,
    /// Disconnects that wait for the sends before them.
    disconnects: OperationList,
    /// A receive from the pool is the last of the receives that the system has, or is late.
    pooled: bool,
    /// That receive, when its data is there and no buffer is.
    late: Option<Operation>,
    /// Receives that were started after it.
    receives: OperationList,
    /// The pool knows that a buffer is awaited here.
    parked: bool,
    /// How large the next buffer is to be.
    size: Size,
    /// The system was told that calls of its own must not wait.
    nonblocking: bool,
}

/// The open socket, which counts as one of the port's.
struct Open {
    endpoint: Endpoint,
    port: Arc<PortInner>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.port.sockets().leave();
    }
}

impl Drop for SocketState {
    fn drop(&mut self) {
        self.port.forget(self.number);
    }
}

impl Guarded {
    fn handle(&self) -> Option<HANDLE> {
        self.open.as_ref().map(|open| handle_of(&open.endpoint))
    }

    /// Asks the system for the end of all that `wanted` accepts; how many operations will end.
    fn ask_all(&mut self, why: Status, wanted: impl Fn(Kind) -> bool) -> usize {
        let handle = self.handle();
        handle.map_or(0, |handle| self.flights.end_all(handle, why, wanted))
    }

    /// Tells the peer that nothing follows what is being sent; behind a transmit when that is over.
    fn shut_sending(&mut self, socket: HANDLE) -> Result<(), Status> {
        if !self.peer_told && !self.transmits() {
            // SAFETY: the socket is open while the lock is held.
            if unsafe { shutdown(socket as SOCKET, SD_SEND) } != 0 {
                return Err(status::of_last_call());
            }
            self.peer_told = true;
        }
        self.send_shut = true;
        Ok(())
    }

    /// Whether what is to be sent has to wait: the system may have no more than a piece of what a
    /// transmit sends.
    fn transmits(&self) -> bool {
        !self.sends.is_empty() || self.flights.kinds().any(|kind| kind == Kind::SendFile)
    }

    /// The disconnects that need not wait any more: all sends before them have landed.
    fn disconnected(&mut self) -> OperationList {
        let mut done = OperationList::new();
        if self.is_sending() {
            return done;
        }
        let status = self.broken.unwrap_or(Status::SUCCESS);
        for mut operation in std::mem::take(&mut self.disconnects) {
            operation.finish(status, 0);
            done.push(operation);
        }
        done
    }

    /// Ends those operations that the system does not have and `wanted` accepts.
    fn end_held(&mut self, why: Status, wanted: impl Fn(&Header) -> bool) -> OperationList {
        let mut ended = OperationList::new();
        let late = self.late.take_if(|late| wanted(late)).into_iter();
        let receives = std::iter::from_fn(|| self.receives.remove(&wanted));
        let sends = std::iter::from_fn(|| self.sends.remove(&wanted));
        let disconnects = std::iter::from_fn(|| self.disconnects.remove(&wanted));
        for mut operation in late.chain(receives).chain(sends).chain(disconnects) {
            operation.finish(why, 0);
            ended.push(operation);
        }
        ended
    }

    /// Takes out what the system does not have.
    fn take_held(&mut self) -> OperationList {
        self.end_held(Status::CANCELLED, |_| true)
    }

    fn is_sending(&self) -> bool {
        !self.sends.is_empty() || self.flights.kinds().any(Kind::is_send_side)
    }

    /// A connection's operations end as aborted, a listener's as cancelled (CX-6, AX-8).
    fn status_of_close(&self) -> Status {
        if self.phase == Phase::Connected {
            Status::CONNECTION_ABORTED
        } else {
            Status::CANCELLED
        }
    }

    /// A transfer failed: remembers it if it ends the connection; the status that a socket whose
    /// connection has ended reports.
    fn note_failure(&mut self, status: Status) -> Status {
        if let Some(earlier) = self.broken {
            return earlier;
        }
        if matches!(
            status,
            Status::CONNECTION_RESET | Status::CONNECTION_ABORTED | Status::IO_TIMEOUT
        ) {
            self.broken = Some(status);
        }
        status
    }
}

impl SocketState {
    /// Associates a socket or pipe with the port's handle (PO-4); an error gives it back.
    pub(super) fn associate(
        port: &Arc<PortInner>,
        endpoint: Endpoint,
    ) -> Result<Arc<Self>, (io::Error, Endpoint)> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);

        let (nature, family, phase) = match examine(&endpoint) {
            Ok(all) => all,
            Err(error) => return Err((error, endpoint)),
        };
        if !port.sockets().enter() {
            return Err((crate::too_many_sockets(port.sockets().most()), endpoint));
        }
        if let Err(error) = port.adopt(handle_of(&endpoint)) {
            port.sockets().leave();
            return Err((error, endpoint));
        }
        let open = Open {
            endpoint,
            port: port.clone(),
        };
        Ok(Arc::new(SocketState {
            port: port.clone(),
            number: NUMBERS.fetch_add(1, Relaxed),
            nature,
            family,
            guarded: Mutex::new(Guarded {
                open: Some(open),
                phase,
                closed: false,
                recv_shut: false,
                send_shut: false,
                peer_told: false,
                broken: None,
                skips: false,
                linger: None,
                next: 0,
                flights: Flights::default(),
                sends: OperationList::new(),
                disconnects: OperationList::new(),
                pooled: false,
                late: None,
                receives: OperationList::new(),
                parked: false,
                size: Size::FIRST,
                nonblocking: false,
            }),
        }))
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    fn lock(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Visits the operations that are under way.
    pub(super) fn visit(&self, mut f: impl FnMut(Kind)) {
        let mut guarded = self.lock();
        guarded.flights.kinds().for_each(&mut f);
        let Guarded {
            late,
            receives,
            sends,
            disconnects,
            ..
        } = &mut *guarded;
        let receives = receives.iter_mut();
        let held = receives
            .chain(sends.iter_mut())
            .chain(disconnects.iter_mut());
        held.for_each(|operation| f(operation.kind()));
        late.iter().for_each(|operation| f(operation.kind()));
    }
}

fn handle_of(endpoint: &Endpoint) -> HANDLE {
    match endpoint {
        Endpoint::Os(socket) => socket.as_raw_socket() as HANDLE,
        Endpoint::Handle(handle) => handle.as_raw_handle(),
    }
}

/// What it is, its address family, and how far it is.
fn examine(endpoint: &Endpoint) -> io::Result<(Nature, i32, Phase)> {
    let socket = match endpoint {
        Endpoint::Os(socket) => socket,
        Endpoint::Handle(handle) => {
            let nature = pipe::nature(handle.as_raw_handle())?;
            return Ok((nature, 0, Phase::Connected));
        }
    };
    let raw = socket.as_raw_socket() as SOCKET;
    let (nature, family) = kind_of(raw)?;
    let phase = if listens(raw) {
        Phase::Listener
    } else if socket2::SockRef::from(socket).peer_addr().is_ok() {
        Phase::Connected
    } else {
        Phase::Fresh
    };
    Ok((nature, family, phase))
}

fn is_send(kind: Kind) -> bool {
    matches!(kind, Kind::Send | Kind::SendTo | Kind::SendFile)
}

fn is_receive(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Recv | Kind::RecvPooled | Kind::RecvZero | Kind::RecvFrom
    )
}
