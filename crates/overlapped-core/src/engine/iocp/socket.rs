//! A socket of a port, and what it has in flight.

use std::io;
use std::os::windows::io::{AsRawSocket, OwnedSocket};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use overlapped_queue::Fifo;
use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Networking::WinSock::{
    SD_SEND, SIO_UDP_CONNRESET, SOCKET, WSAIoctl, shutdown,
};
use windows_sys::Win32::System::IO::{CancelIoEx, OVERLAPPED};

use super::Parked;
use super::calls::{self, Issued, Local};
use super::nature::{Nature, kind_of, listens, skip_on_success};
use super::overlapped::Whose;
use super::port::PortInner;
use super::status;
use super::transmit;
use crate::endpoint::Endpoint;
use crate::operation::{
    Header, Kind, Operation, OperationList, Outcome, Refused, ShutdownHow, Token,
};
use crate::pool::{Size, Taken};
use crate::port::timers::{Due, Key};
use crate::{Address, Status};

/// A socket that is associated with a port. Cloning gives another handle to the same socket.
#[derive(Clone)]
pub struct Socket(Arc<SocketState>);

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
/// threads' operations reach the system one after another (IO-5, IO-6), and an address is cancelled
/// only while it is that operation's.
struct Guarded {
    /// `None` once it is closed in the system too.
    open: Option<Open>,
    phase: Phase,
    closed: bool,
    recv_shut: bool,
    send_shut: bool,
    /// The failure that ended the connection (IO-14).
    broken: Option<Status>,
    /// The system queues no packet for what ends at once (SK-1).
    skips: bool,
    /// The end of lingering.
    linger: Option<Key>,
    next: u64,
    /// What the system has, the oldest first.
    flights: Vec<Flight>,
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

/// What became of an operation that was to be given to the system.
enum Launched {
    Flying,
    /// It has ended, and no packet of the system's will come.
    Ended(Operation),
    Refused(Status, Operation),
}

/// One operation that the system has.
struct Flight {
    number: u64,
    address: usize,
    kind: Kind,
    /// The system was asked to end it; what for.
    ending: Option<Status>,
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

impl Open {
    fn raw(&self) -> SOCKET {
        match &self.endpoint {
            Endpoint::Os(socket) => socket.as_raw_socket() as SOCKET,
            Endpoint::File(_) => unreachable!("a file is no socket"),
        }
    }
}

impl Drop for SocketState {
    fn drop(&mut self) {
        self.port.forget(self.number);
    }
}

impl Guarded {
    fn raw(&self) -> Option<SOCKET> {
        self.open.as_ref().map(Open::raw)
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.flights
            .binary_search_by_key(&number, |flight| flight.number)
            .ok()
    }

    /// Asks the system to end an operation; whether it will.
    fn ask(&mut self, place: usize, why: Status) -> bool {
        let Some(socket) = self.raw() else {
            return false;
        };
        let flight = &mut self.flights[place];
        if flight.ending.is_some() {
            return false;
        }
        // SAFETY: the socket is open and the address is that operation's while the lock is held.
        let asked =
            unsafe { CancelIoEx(socket as HANDLE, flight.address as *const OVERLAPPED) } != 0;
        if asked {
            flight.ending = Some(why);
        }
        asked
    }

    /// Asks for the end of all that `wanted` accepts; how many operations will end.
    fn ask_all(&mut self, why: Status, wanted: impl Fn(Kind) -> bool) -> usize {
        (0..self.flights.len())
            .filter(|&place| wanted(self.flights[place].kind) && self.ask(place, why))
            .count()
    }

    /// Tells the peer that nothing follows what is being sent.
    fn shut_sending(&mut self, socket: SOCKET) -> Result<(), Status> {
        // SAFETY: the socket is open while the lock is held.
        if !self.send_shut && unsafe { shutdown(socket, SD_SEND) } != 0 {
            return Err(status::of_last_call());
        }
        self.send_shut = true;
        Ok(())
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
        let disconnects = std::iter::from_fn(|| self.disconnects.remove(&wanted));
        for mut operation in late.chain(receives).chain(disconnects) {
            operation.finish(why, 0);
            ended.push(operation);
        }
        ended
    }

    /// Takes out what the system does not have.
    fn take_held(&mut self) -> OperationList {
        self.end_held(Status::CANCELLED, |_| true)
    }

    /// Notes an operation that is about to be given to the system.
    fn board(&mut self, flight: Flight) {
        let place = self
            .flights
            .partition_point(|other| other.number < flight.number);
        self.flights.insert(place, flight);
    }

    fn unboard(&mut self, number: u64) -> Option<Flight> {
        self.place(number).map(|place| self.flights.remove(place))
    }

    fn is_sending(&self) -> bool {
        self.flights.iter().any(|flight| flight.kind.is_send_side())
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
    /// Associates a socket with the port's handle (PO-4); an error gives it back.
    pub(super) fn associate(
        port: &Arc<PortInner>,
        socket: OwnedSocket,
    ) -> Result<Arc<Self>, (io::Error, OwnedSocket)> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);

        let raw = socket.as_raw_socket() as SOCKET;
        let (nature, family) = match kind_of(raw) {
            Ok(both) => both,
            Err(error) => return Err((error, socket)),
        };
        if !port.sockets().enter() {
            return Err((crate::too_many_sockets(port.sockets().most()), socket));
        }
        if let Err(error) = port.adopt(raw as HANDLE) {
            port.sockets().leave();
            return Err((error, socket));
        }
        let asked = socket2::SockRef::from(&socket);
        let phase = if listens(raw) {
            Phase::Listener
        } else if asked.peer_addr().is_ok() {
            Phase::Connected
        } else {
            Phase::Fresh
        };
        let open = Open {
            endpoint: Endpoint::Os(socket),
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
                broken: None,
                skips: false,
                linger: None,
                next: 0,
                flights: Vec::new(),
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

    // ---- starting ------------------------------------------------------------------------------

    /// Starts an operation. What is started directly and ends at once comes back (SK-1).
    fn start(self: &Arc<Self>, mut operation: Operation, direct: bool) -> Result<Outcome, Refused> {
        let kind = operation.kind();
        let mut guarded = self.lock();
        let socket = match self.admit(&guarded, kind) {
            Ok(socket) => socket,
            Err(status) => return Err(Refused { status, operation }),
        };
        if !self.port.depart() {
            let status = Status::INVALID_HANDLE;
            return Err(Refused { status, operation });
        }
        let number = guarded.next;
        guarded.next += 1;
        if let Err(status) = self.set_deadline(&mut operation, number) {
            self.port.arrive();
            return Err(Refused { status, operation });
        }
        if direct && !guarded.skips {
            guarded.skips = skip_on_success(socket);
        }
        operation.set_id(number);
        let pending = Outcome::Pending(Token {
            socket: self.number,
            operation: number,
        });
        if kind == Kind::Disconnect {
            return self.disconnect(guarded, socket, operation, direct);
        }
        if guarded.pooled && is_receive(kind) {
            guarded.receives.push(operation);
            return Ok(pending);
        }
        let mut unparked = Parked::default();
        let launched = self.launch(&mut guarded, socket, operation, &mut unparked);
        if kind == Kind::RecvPooled && !matches!(launched, Launched::Flying) {
            guarded.pooled = false;
        }
        drop(guarded);
        self.port.push_all(&mut unparked);
        match launched {
            Launched::Flying => Ok(pending),
            Launched::Ended(mut operation) if direct => {
                self.port.lift_deadline(&mut operation);
                self.port.arrive();
                Ok(Outcome::Done(operation))
            }
            Launched::Ended(operation) => {
                self.queue_all(OperationList::from_iter([operation]));
                Ok(pending)
            }
            Launched::Refused(status, operation) => Err(self.refused(operation, status)),
        }
    }

    /// Gives an operation to the system.
    fn launch(
        self: &Arc<Self>,
        guarded: &mut Guarded,
        socket: SOCKET,
        mut operation: Operation,
        unparked: &mut Parked,
    ) -> Launched {
        let (kind, number) = (operation.kind(), operation.id());
        if kind == Kind::RecvPooled && !guarded.nonblocking {
            guarded.nonblocking = calls::make_nonblocking(socket);
            if !guarded.nonblocking {
                return Launched::Refused(Status::NOT_SUPPORTED, operation);
            }
        }
        operation.overlapped.reset();
        operation.overlapped.whose = Whose::Socket(self.clone());
        let local = Local {
            socket,
            nature: self.nature,
            family: self.family,
        };
        let header = operation.into_raw();
        guarded.board(Flight {
            number,
            address: header.as_ptr() as usize,
            kind,
            ending: None,
        });
        guarded.pooled |= kind == Kind::RecvPooled;
        // SAFETY: the socket is open while the lock is held; the memory was just given up, and is
        // taken back in the cases that allow it, or else with its packet.
        let issued = unsafe { calls::issue(&local, header) };
        if issued.is_ok() && kind == Kind::Connect && self.nature == Nature::Stream {
            guarded.phase = Phase::Connecting;
        }
        let ended = match issued {
            Ok(Issued::Pending) => return Launched::Flying,
            Ok(Issued::AtOnce(..)) if !guarded.skips => return Launched::Flying,
            Ok(Issued::AtOnce(status, bytes)) => Ok((status, bytes as usize)),
            Ok(Issued::Ended(status)) => Ok((status, 0)),
            Err(status) => Err(status),
        };
        guarded.unboard(number);
        // SAFETY: the call failed, or no packet will come: the system is done with it.
        let mut operation = unsafe { Operation::from_raw(header) };
        operation.overlapped.whose = Whose::Nobody;
        match ended {
            Ok((status, bytes)) => {
                match self.arrived(guarded, None, operation, status, bytes, unparked) {
                    Some(operation) => Launched::Ended(operation),
                    None => Launched::Flying,
                }
            }
            Err(status) => {
                let status = match self.nature {
                    Nature::Stream => guarded.note_failure(status),
                    Nature::Datagram => status,
                };
                Launched::Refused(status, operation)
            }
        }
    }

    /// Has the peer told of the end, behind all that is being sent; the operation completes when the
    /// packets of that are out. (DisconnectEx would do the former too, but what it waits for differs
    /// from system to system.)
    fn disconnect(
        &self,
        mut guarded: MutexGuard<'_, Guarded>,
        socket: SOCKET,
        mut operation: Operation,
        direct: bool,
    ) -> Result<Outcome, Refused> {
        if let Err(status) = guarded.shut_sending(socket) {
            drop(guarded);
            return Err(self.refused(operation, status));
        }
        let pending = Outcome::Pending(Token {
            socket: self.number,
            operation: operation.id(),
        });
        if guarded.is_sending() {
            guarded.disconnects.push(operation);
            return Ok(pending);
        }
        drop(guarded);
        operation.finish(Status::SUCCESS, 0);
        self.port.lift_deadline(&mut operation);
        if direct {
            self.port.arrive();
            return Ok(Outcome::Done(operation));
        }
        self.port.queue_surely(operation);
        Ok(pending)
    }

    /// The refusal of an operation that had departed already.
    fn refused(&self, mut operation: Operation, status: Status) -> Refused {
        self.port.arrive();
        self.port.lift_deadline(&mut operation);
        if matches!(operation.kind(), Kind::Accept | Kind::AcceptRecv) {
            operation.scratch().accepted = None;
        }
        operation.overlapped.whose = Whose::Nobody;
        Refused { status, operation }
    }

    /// Sets the operation's deadline, if it has a time-out.
    fn set_deadline(self: &Arc<Self>, operation: &mut Operation, id: u64) -> Result<(), Status> {
        if let Some(timeout) = operation.timeout() {
            let due = Due::Deadline(Arc::downgrade(self), id);
            let key = self.port.schedule_after(timeout, due);
            operation.set_deadline(key.map_err(|(status, _)| status)?);
        }
        Ok(())
    }

    /// Whether the socket can start an operation of this kind now.
    fn admit(&self, guarded: &Guarded, kind: Kind) -> Result<SOCKET, Status> {
        let phase = guarded.phase;
        let socket = match guarded.raw() {
            Some(socket) if !guarded.closed => socket,
            _ => return Err(Status::INVALID_HANDLE),
        };
        if let Some(status) = guarded.broken {
            return Err(status);
        }
        let receives = is_receive(kind);
        let sends = matches!(kind, Kind::Send | Kind::SendTo | Kind::SendFile);
        match (self.nature, kind) {
            (Nature::Stream, Kind::RecvFrom | Kind::SendTo)
            | (Nature::Datagram, Kind::RecvPooled | Kind::SendFile) => Err(Status::NOT_SUPPORTED),
            (Nature::Stream, Kind::Send | Kind::SendFile | Kind::Disconnect)
            | (Nature::Datagram, Kind::Send)
                if phase != Phase::Connected =>
            {
                Err(Status::INVALID_CONNECTION)
            }
            (Nature::Stream, _) if receives && phase != Phase::Connected => {
                Err(Status::INVALID_CONNECTION)
            }
            _ if receives && guarded.recv_shut => Err(Status::PIPE_DISCONNECTED),
            _ if sends && guarded.send_shut => Err(Status::PIPE_DISCONNECTED),
            _ if receives || sends => Ok(socket),
            (Nature::Datagram, Kind::Connect) | (Nature::Stream, Kind::Disconnect) => Ok(socket),
            (Nature::Datagram, _) => Err(Status::NOT_SUPPORTED),
            (_, Kind::Accept | Kind::AcceptRecv) if phase == Phase::Listener => Ok(socket),
            (_, Kind::Accept | Kind::AcceptRecv) => Err(Status::INVALID_PARAMETER),
            (_, Kind::Connect) => match phase {
                Phase::Fresh => Ok(socket),
                Phase::Connected => Err(Status::CONNECTION_ACTIVE),
                Phase::Connecting | Phase::Listener => Err(Status::INVALID_PARAMETER),
            },
            _ => Err(Status::NOT_SUPPORTED),
        }
    }

    // ---- ending --------------------------------------------------------------------------------

    /// The packet of an operation was taken. The operation comes back, unless it is not over yet.
    pub(super) fn land(
        self: &Arc<Self>,
        operation: Operation,
        status: Status,
        bytes: usize,
    ) -> Option<Operation> {
        let mut guarded = self.lock();
        let flight = guarded.unboard(operation.id());
        let ending = flight.expect("what lands was in flight").ending;
        let mut unparked = Parked::default();
        let receives_pooled = operation.kind() == Kind::RecvPooled;
        let landed = self.arrived(
            &mut guarded,
            ending,
            operation,
            status,
            bytes,
            &mut unparked,
        );
        let mut ended = guarded.disconnected();
        if receives_pooled && landed.is_some() {
            self.launch_receives(&mut guarded, &mut ended, &mut unparked);
        }
        let (mut open, mut linger) = (None, None);
        if guarded.closed && !guarded.is_sending() {
            (open, linger) = (guarded.open.take(), guarded.linger.take());
        }
        drop(guarded);
        drop(open);
        self.queue_all(ended);
        self.port.push_all(&mut unparked);
        if let Some(linger) = linger {
            self.port.unschedule(linger);
        }
        landed
    }

    /// The system has done its part of an operation. It is over, unless it awaits a buffer, or has
    /// found no data.
    fn arrived(
        self: &Arc<Self>,
        guarded: &mut Guarded,
        ending: Option<Status>,
        mut operation: Operation,
        status: Status,
        bytes: usize,
        unparked: &mut Parked,
    ) -> Option<Operation> {
        if operation.kind() == Kind::RecvPooled && status.is_success() {
            return self.fetch(guarded, operation, unparked);
        }
        self.settle(guarded, ending, &mut operation, status, bytes);
        Some(operation)
    }

    /// Receives what is there into a buffer of the pool.
    fn fetch(
        self: &Arc<Self>,
        guarded: &mut Guarded,
        mut operation: Operation,
        unparked: &mut Parked,
    ) -> Option<Operation> {
        let socket = match guarded.raw() {
            Some(socket) if !guarded.closed => socket,
            _ => {
                operation.finish(guarded.status_of_close(), 0);
                return Some(operation);
            }
        };
        let pool = self.port.pool();
        let enlist = !guarded.parked;
        let taken = pool.take(&self.port, guarded.size, |parked| {
            if enlist {
                parked.push(self.clone());
            }
        });
        let mut buffer = match taken {
            Taken::Buffer(buffer) => buffer,
            Taken::Parked => {
                guarded.parked = true;
                guarded.late = Some(operation);
                return None;
            }
            Taken::NoMemory => {
                operation.finish(Status::INSUFFICIENT_RESOURCES, 0);
                return Some(operation);
            }
        };
        let (status, bytes) = match calls::receive_now(socket, buffer.room()) {
            Ok(Some(bytes)) => (Status::SUCCESS, bytes),
            // Somebody else was faster.
            Ok(None) => {
                pool.put(buffer, unparked);
                return match self.launch(guarded, socket, operation, unparked) {
                    Launched::Flying => None,
                    Launched::Ended(operation) => Some(operation),
                    Launched::Refused(status, mut operation) => {
                        operation.finish(status, 0);
                        Some(operation)
                    }
                };
            }
            Err(status) => (guarded.note_failure(status), 0),
        };
        if bytes > 0 {
            guarded.size = buffer.size().after(bytes);
            // SAFETY: the system has just written them.
            unsafe { buffer.filled(bytes) };
            operation.set_pooled(buffer);
        } else {
            pool.put(buffer, unparked);
        }
        operation.finish(status, bytes);
        Some(operation)
    }

    /// A buffer of the pool has come back, and this socket is the first that awaits one.
    pub(super) fn go_on(self: &Arc<Self>, unparked: &mut Parked) {
        let mut guarded = self.lock();
        guarded.parked = false;
        let mut ended = OperationList::new();
        if let Some(late) = guarded.late.take()
            && let Some(operation) = self.fetch(&mut guarded, late, unparked)
        {
            ended.push(operation);
            self.launch_receives(&mut guarded, &mut ended, unparked);
        }
        drop(guarded);
        self.queue_all(ended);
        // It may have had no use for the buffer any more.
        self.port.pool().pass_on(unparked);
    }

    /// The receive from the pool is over: those behind it go to the system, up to the next such.
    fn launch_receives(
        self: &Arc<Self>,
        guarded: &mut Guarded,
        ended: &mut OperationList,
        unparked: &mut Parked,
    ) {
        guarded.pooled = false;
        while !guarded.pooled
            && let Some(socket) = guarded.raw()
            && let Some(operation) = guarded.receives.pop()
        {
            let pooled = operation.kind() == Kind::RecvPooled;
            match self.launch(guarded, socket, operation, unparked) {
                Launched::Flying => continue,
                Launched::Ended(operation) => ended.push(operation),
                Launched::Refused(status, mut operation) => {
                    operation.finish(status, 0);
                    ended.push(operation);
                }
            }
            if pooled {
                guarded.pooled = false;
            }
        }
    }

    /// Queues what has ended here and not in the system. No lock is held.
    fn queue_all(&self, ended: OperationList) -> usize {
        let mut count = 0;
        for mut operation in ended {
            self.port.lift_deadline(&mut operation);
            self.port.queue_surely(operation);
            count += 1;
        }
        count
    }

    /// Makes the model's outcome of the system's, and fetches what belongs to it.
    fn settle(
        &self,
        guarded: &mut Guarded,
        ending: Option<Status>,
        operation: &mut Operation,
        mut status: Status,
        mut bytes: usize,
    ) {
        let ended =
            ending.filter(|_| matches!(status, Status::CANCELLED | Status::CONNECTION_ABORTED));
        if let Some(why) = ended {
            status = why;
        }
        match (self.nature, operation.kind()) {
            (_, Kind::RecvZero) => bytes = 0,
            (Nature::Datagram, Kind::Recv | Kind::RecvFrom) if status.is_success() => {
                if operation.kind() == Kind::RecvFrom {
                    calls::sender(operation);
                }
                let room = operation.capacity();
                if bytes > room {
                    // What is beyond lies in the sink (IO-9).
                    (status, bytes) = (Status::BUFFER_OVERFLOW, room);
                }
            }
            (_, Kind::Accept | Kind::AcceptRecv) => {
                if status.is_success() {
                    status = calls::accepted(guarded.raw(), operation, bytes)
                        .map_or_else(|status| status, |()| Status::SUCCESS);
                }
                if !status.is_success() {
                    operation.scratch().accepted = None;
                    bytes = 0;
                }
            }
            (Nature::Datagram, Kind::Connect) if status.is_success() => {
                guarded.phase = Phase::Connected;
            }
            (Nature::Stream, Kind::Connect) => {
                guarded.phase = Phase::Fresh;
                if status.is_success() {
                    guarded.phase = Phase::Connected;
                    guarded.raw().into_iter().for_each(calls::connected);
                } else if ended.is_some() {
                    // What the system has made of the attempt is not known.
                    guarded.note_failure(Status::CONNECTION_ABORTED);
                }
            }
            // The system calls a datagram that was too long to be sent what it calls one that was
            // too long to be received.
            (Nature::Datagram, Kind::Send | Kind::SendTo) if status == Status::BUFFER_OVERFLOW => {
                status = Status::INVALID_BUFFER_SIZE;
            }
            (Nature::Stream, Kind::SendFile) if status.is_success() => {
                status = transmit::status(operation, bytes);
            }
            (Nature::Stream, _) if !status.is_success() && ended.is_none() => {
                status = guarded.note_failure(status);
            }
            _ => {}
        }
        if operation.kind() == Kind::Recv && !status.is_success() && self.nature == Nature::Stream {
            bytes = 0;
        }
        operation.finish(status, bytes);
    }

    /// Ends one operation, or asks the system to; whether it will end.
    pub(super) fn end_one(self: &Arc<Self>, number: u64, why: Status) -> bool {
        let mut guarded = self.lock();
        if let Some(place) = guarded.place(number) {
            return guarded.ask(place, why);
        }
        let ended = guarded.end_held(why, |operation| operation.id() == number);
        self.after_held(guarded, ended) > 0
    }

    /// Queues what has ended without the system, and starts what waited for it; how many ended.
    fn after_held(
        self: &Arc<Self>,
        mut guarded: MutexGuard<'_, Guarded>,
        mut ended: OperationList,
    ) -> usize {
        let count = ended.len();
        let mut unparked = Parked::default();
        let flies = |flight: &Flight| flight.kind == Kind::RecvPooled;
        if guarded.pooled && guarded.late.is_none() && !guarded.flights.iter().any(flies) {
            self.launch_receives(&mut guarded, &mut ended, &mut unparked);
        }
        drop(guarded);
        self.queue_all(ended);
        self.port.push_all(&mut unparked);
        count
    }

    /// Cancels all that is under way; how many operations will end.
    fn cancel_all(self: &Arc<Self>) -> usize {
        let mut guarded = self.lock();
        let asked = guarded.ask_all(Status::CANCELLED, |_| true);
        let ended = guarded.end_held(Status::CANCELLED, |_| true);
        asked + self.after_held(guarded, ended)
    }

    /// The port has ended, and takes the operations' memory back.
    pub(super) fn abandon(&self, left: &mut OperationList) {
        let mut guarded = self.lock();
        guarded.ask_all(Status::CANCELLED, |_| true);
        let open = if guarded.closed {
            guarded.open.take()
        } else {
            None
        };
        let mut held = guarded.take_held();
        drop(guarded);
        drop(open);
        for _ in 0..held.len() {
            self.port.arrive();
        }
        left.append(&mut held);
    }

    /// Ends receives and accepts at once; sends that are under way may go out until the port's
    /// linger time is over.
    fn close(self: &Arc<Self>) {
        let mut guarded = self.lock();
        if std::mem::replace(&mut guarded.closed, true) {
            return;
        }
        let why = guarded.status_of_close();
        guarded.ask_all(why, |kind| !kind.is_send_side() || kind == Kind::Connect);
        let receives = guarded.end_held(why, |operation| is_receive(operation.kind()));
        let socket = guarded.raw();
        let linger = guarded.is_sending() && guarded.phase == Phase::Connected;
        let due = Due::Linger(Arc::downgrade(self));
        if linger && let Ok(key) = self.port.schedule_after(self.port.linger_for(), due) {
            guarded.linger = Some(key);
            if self.nature == Nature::Stream
                && let Some(socket) = socket
            {
                // The peer learns of the end behind what is being sent, though nobody may come for
                // its packet.
                let _ = guarded.shut_sending(socket);
            }
            drop(guarded);
            self.queue_all(receives);
            return;
        }
        drop(guarded);
        self.queue_all(receives);
        self.abort(why);
    }

    /// The linger time is over.
    pub(super) fn abort_sends(&self) {
        self.abort(Status::CONNECTION_ABORTED);
    }

    /// Ends everything, and closes the socket in the system.
    fn abort(&self, why: Status) {
        let mut guarded = self.lock();
        guarded.ask_all(why, |_| true);
        let ended = guarded.end_held(why, |_| true);
        let open = guarded.open.take();
        drop(guarded);
        drop(open);
        self.queue_all(ended);
    }

    fn shutdown(&self, how: ShutdownHow) -> Result<(), Status> {
        let mut guarded = self.lock();
        let socket = guarded.raw().filter(|_| !guarded.closed);
        let socket = socket.ok_or(Status::INVALID_HANDLE)?;
        if guarded.phase != Phase::Connected {
            return Err(Status::INVALID_CONNECTION);
        }
        if how != ShutdownHow::Send {
            // A flag only, as on the other engines: the system would reset the connection when more
            // data comes.
            guarded.recv_shut = true;
        }
        if how != ShutdownHow::Recv {
            guarded.shut_sending(socket)?;
        }
        Ok(())
    }

    fn with_endpoint<R>(&self, f: impl FnOnce(&Endpoint) -> R) -> Result<R, Status> {
        let guarded = self.lock();
        match &guarded.open {
            Some(open) if !guarded.closed => Ok(f(&open.endpoint)),
            _ => Err(Status::INVALID_HANDLE),
        }
    }
}

fn is_receive(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Recv | Kind::RecvPooled | Kind::RecvZero | Kind::RecvFrom
    )
}

impl Socket {
    pub(super) fn new(state: Arc<SocketState>) -> Self {
        Socket(state)
    }

    /// Starts an operation that was prepared; its packet comes out of the socket's port.
    ///
    /// # Errors
    ///
    /// The operation comes back with the reason, and queues no packet (PK-5).
    pub fn start(&self, operation: Operation) -> Result<Token, Refused> {
        match self.0.start(operation, false)? {
            Outcome::Pending(token) => Ok(token),
            Outcome::Done(_) => unreachable!("it was to be queued"),
        }
    }

    /// As [`start`](Socket::start); an operation that ends at once comes back, and queues no packet
    /// (SK-1).
    ///
    /// # Errors
    ///
    /// As [`start`](Socket::start).
    pub fn start_direct(&self, operation: Operation) -> Result<Outcome, Refused> {
        self.0.start(operation, true)
    }

    /// Queues an operation at the socket's port as it is (PQ-1).
    ///
    /// # Errors
    ///
    /// A closed port gives it back.
    pub fn post(&self, operation: Operation) -> Result<(), Operation> {
        self.0.port.post(operation)
    }

    /// Asks the system to cancel an operation; `false` if it is not under way (CX-2). Here `true`
    /// is no promise: the operation may complete all the same, and its packet says how (CX-1).
    pub fn cancel(&self, token: Token) -> bool {
        token.socket == self.0.number && self.0.end_one(token.operation, Status::CANCELLED)
    }

    /// Cancels all that is under way; how many operations that was.
    pub fn cancel_all(&self) -> usize {
        self.0.cancel_all()
    }

    /// Closes the socket, whatever handles there are; what is in flight ends with packets.
    pub fn close(&self) {
        self.0.close();
    }

    /// Shuts directions down.
    ///
    /// # Errors
    ///
    /// When it is closed or not connected.
    pub fn shutdown(&self, how: ShutdownHow) -> Result<(), Status> {
        self.0.shutdown(how)
    }

    /// Nothing: on Windows an association lasts until the socket is closed (PO-6).
    pub fn release(&self) -> Option<Endpoint> {
        None
    }

    /// Uses the endpoint, for options.
    ///
    /// # Errors
    ///
    /// When the socket is closed.
    pub fn with_endpoint<R>(&self, f: impl FnOnce(&Endpoint) -> R) -> Result<R, Status> {
        self.0.with_endpoint(f)
    }

    /// What it is and what it can do, for whoever asked for something else.
    pub fn describe(&self, _: Kind) -> &'static str {
        match (self.0.nature, self.0.lock().phase) {
            (Nature::Stream, Phase::Listener) => {
                "this is a listening socket; it can accept and accept_with_data"
            }
            (Nature::Stream, _) => {
                "this is a stream socket; it can recv, recv_zero, send, send_file, connect and \
                 disconnect, and the datagram operations it cannot"
            }
            (Nature::Datagram, _) => {
                "this is a datagram socket; it can recv, recv_from, recv_zero, send, send_to and \
                 connect"
            }
        }
    }

    /// Whether receives tell of datagrams that came back (IO-13).
    ///
    /// # Errors
    ///
    /// The system's, when the socket is closed, or not one for datagrams.
    pub fn set_sent_back(&self, told: bool) -> io::Result<()> {
        if self.0.nature != Nature::Datagram {
            return Err(Status::NOT_SUPPORTED.to_error());
        }
        let guarded = self.0.lock();
        let closed = Status::INVALID_HANDLE;
        let socket = guarded.raw().ok_or_else(|| closed.to_error())?;
        let (told, mut bytes) = (i32::from(told), 0);
        // SAFETY: the socket is open while the lock is held; the value lives for the call.
        let failed = unsafe {
            WSAIoctl(
                socket,
                SIO_UDP_CONNRESET,
                (&raw const told).cast(),
                size_of::<i32>() as u32,
                null_mut(),
                0,
                &mut bytes,
                null_mut(),
                None,
            )
        };
        match failed {
            0 => Ok(()),
            _ => Err(status::of_last_call().to_error()),
        }
    }

    /// The local address.
    ///
    /// # Errors
    ///
    /// When the socket is closed.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.address(|socket| socket.local_addr())
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// When the socket is closed or not connected.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.address(|socket| socket.peer_addr())
    }

    fn address(
        &self,
        ask: impl FnOnce(socket2::SockRef<'_>) -> io::Result<socket2::SockAddr>,
    ) -> io::Result<Address> {
        let address = self
            .with_endpoint(|endpoint| match endpoint {
                Endpoint::Os(socket) => ask(socket2::SockRef::from(socket)),
                Endpoint::File(_) => Err(Status::NOT_SUPPORTED.to_error()),
            })
            .map_err(Status::to_error)??;
        let unknown = || io::Error::new(io::ErrorKind::Unsupported, "not an internet address");
        address
            .as_socket()
            .map(Address::Internet)
            .ok_or_else(unknown)
    }
}
