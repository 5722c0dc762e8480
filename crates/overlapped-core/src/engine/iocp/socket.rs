//! A socket of a port, and what it has in flight.

use std::io;
use std::os::windows::io::{AsRawSocket, OwnedSocket};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::Networking::WinSock::{
    SD_SEND, SIO_UDP_CONNRESET, SO_PROTOCOL_INFOW, SOCKET, SOL_SOCKET, WSAIoctl, WSAPROTOCOL_INFOW,
    XP1_IFS_HANDLES, getsockopt, shutdown,
};
use windows_sys::Win32::Storage::FileSystem::SetFileCompletionNotificationModes;
use windows_sys::Win32::System::IO::{CancelIoEx, OVERLAPPED};

use super::calls::{self, Issued, Local};
use super::port::PortInner;
use super::status;
use crate::endpoint::Endpoint;
use crate::operation::{Kind, Operation, OperationList, Outcome, Refused, ShutdownHow, Token};
use crate::port::timers::{Due, Key};
use crate::{Address, Status};

/// A socket that is associated with a port. Cloning gives another handle to the same socket.
#[derive(Clone)]
pub struct Socket(Arc<SocketState>);

/// What a socket moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Stream,
    Datagram,
}

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
        let Endpoint::Os(socket) = &self.endpoint;
        socket.as_raw_socket() as SOCKET
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

    /// Ends the disconnects that `wanted` accepts.
    fn end_disconnects(&mut self, why: Status, wanted: impl Fn(u64) -> bool) -> OperationList {
        let mut ended = OperationList::new();
        while let Some(mut operation) = self.disconnects.remove(|header| wanted(header.id())) {
            operation.finish(why, 0);
            ended.push(operation);
        }
        ended
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
        if kind == Kind::Disconnect {
            return self.disconnect(guarded, socket, operation, direct);
        }
        operation.overlapped.reset();
        operation.overlapped.socket = Some(self.clone());
        let local = Local {
            socket,
            nature: self.nature,
            family: self.family,
        };
        let header = operation.into_raw();
        guarded.flights.push(Flight {
            number,
            address: header.as_ptr() as usize,
            kind,
            ending: None,
        });
        // SAFETY: the socket is open while the lock is held; the memory was just given up, and is
        // taken back in the cases that allow it, or else with its packet.
        let issued = unsafe { calls::issue(&local, header) };
        let pending = Outcome::Pending(Token {
            socket: self.number,
            operation: number,
        });
        match issued {
            Ok(issued) => {
                if kind == Kind::Connect && self.nature == Nature::Stream {
                    guarded.phase = Phase::Connecting;
                }
                let (status, bytes) = match issued {
                    Issued::Pending => return Ok(pending),
                    Issued::AtOnce(..) if !guarded.skips => return Ok(pending),
                    Issued::AtOnce(status, bytes) => (status, bytes),
                    Issued::Ended(status) => (status, 0),
                };
                // SAFETY: no packet will come, so the system is done with it.
                let mut operation = unsafe { Operation::from_raw(header) };
                guarded.flights.pop();
                self.settle(&mut guarded, None, &mut operation, status, bytes as usize);
                drop(guarded);
                operation.overlapped.socket = None;
                self.port.lift_deadline(&mut operation);
                if direct {
                    self.port.arrive();
                    return Ok(Outcome::Done(operation));
                }
                self.port.queue_surely(operation);
                Ok(pending)
            }
            Err(mut status) => {
                guarded.flights.pop();
                if self.nature == Nature::Stream {
                    status = guarded.note_failure(status);
                }
                drop(guarded);
                // SAFETY: the call failed, so the system has not kept the address.
                let operation = unsafe { Operation::from_raw(header) };
                Err(self.refused(operation, status))
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
        operation.overlapped.socket = None;
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
        let receives = matches!(kind, Kind::Recv | Kind::RecvZero | Kind::RecvFrom);
        let sends = matches!(kind, Kind::Send | Kind::SendTo);
        match (self.nature, kind) {
            (Nature::Stream, Kind::RecvFrom | Kind::SendTo) => Err(Status::NOT_SUPPORTED),
            (Nature::Stream, Kind::Recv | Kind::RecvZero | Kind::Send | Kind::Disconnect)
            | (Nature::Datagram, Kind::Send)
                if phase != Phase::Connected =>
            {
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

    /// The packet of an operation was taken.
    pub(super) fn land(&self, operation: &mut Operation, status: Status, bytes: usize) {
        let mut guarded = self.lock();
        let place = guarded.place(operation.id());
        let flight = guarded
            .flights
            .remove(place.expect("what lands was in flight"));
        self.settle(&mut guarded, flight.ending, operation, status, bytes);
        let (mut open, mut linger) = (None, None);
        if guarded.closed && !guarded.is_sending() {
            (open, linger) = (guarded.open.take(), guarded.linger.take());
        }
        let disconnected = guarded.disconnected();
        drop(guarded);
        drop(open);
        self.queue_all(disconnected);
        if let Some(linger) = linger {
            self.port.unschedule(linger);
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
    pub(super) fn end_one(&self, number: u64, why: Status) -> bool {
        let mut guarded = self.lock();
        if let Some(place) = guarded.place(number) {
            return guarded.ask(place, why);
        }
        let ended = guarded.end_disconnects(why, |id| id == number);
        drop(guarded);
        self.queue_all(ended) > 0
    }

    /// Cancels all that is under way; how many operations will end.
    fn cancel_all(&self) -> usize {
        let mut guarded = self.lock();
        let asked = guarded.ask_all(Status::CANCELLED, |_| true);
        let ended = guarded.end_disconnects(Status::CANCELLED, |_| true);
        drop(guarded);
        asked + self.queue_all(ended)
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
        let mut ended = std::mem::take(&mut guarded.disconnects);
        drop(guarded);
        drop(open);
        for _ in 0..ended.len() {
            self.port.arrive();
        }
        left.append(&mut ended);
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
            return;
        }
        drop(guarded);
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
        let ended = guarded.end_disconnects(why, |_| true);
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

/// What kind of socket it is, and of which address family.
fn kind_of(socket: SOCKET) -> io::Result<(Nature, i32)> {
    let info = protocol(socket)?;
    let (stream, datagram) = (socket2::Type::STREAM, socket2::Type::DGRAM);
    let nature = match socket2::Type::from(info.iSocketType) {
        kind if kind == stream => Nature::Stream,
        kind if kind == datagram => Nature::Datagram,
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "only stream and datagram sockets have operations",
            ));
        }
    };
    Ok((nature, info.iAddressFamily))
}

fn protocol(socket: SOCKET) -> io::Result<WSAPROTOCOL_INFOW> {
    // SAFETY: all zeroes is a value of this plain structure.
    let mut info: WSAPROTOCOL_INFOW = unsafe { std::mem::zeroed() };
    option(socket, SO_PROTOCOL_INFOW, &mut info)?;
    Ok(info)
}

fn listens(socket: SOCKET) -> bool {
    const SO_ACCEPTCONN: i32 = 2;
    let mut listens = 0i32;
    option(socket, SO_ACCEPTCONN, &mut listens).is_ok() && listens != 0
}

/// Reads an option whose value is a plain structure.
fn option<T: Copy>(socket: SOCKET, option: i32, value: &mut T) -> io::Result<()> {
    let mut length = size_of::<T>() as i32;
    let at = std::ptr::from_mut(value).cast();
    // SAFETY: the value has room for as many bytes as it says.
    match unsafe { getsockopt(socket, SOL_SOCKET, option, at, &mut length) } {
        0 => Ok(()),
        _ => Err(status::of_last_call().to_error()),
    }
}

/// Has the system queue no packets for what ends at once, if it is a provider's socket of which
/// that can be said: one whose handles are the file system's own.
fn skip_on_success(socket: SOCKET) -> bool {
    const FILE_SKIP_COMPLETION_PORT_ON_SUCCESS: u8 = 1;
    let own = protocol(socket).is_ok_and(|info| info.dwServiceFlags1 & XP1_IFS_HANDLES != 0);
    // SAFETY: the socket is open.
    own && unsafe {
        SetFileCompletionNotificationModes(socket as HANDLE, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS)
    } != 0
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
    pub fn describe(&self) -> &'static str {
        match (self.0.nature, self.0.lock().phase) {
            (Nature::Stream, Phase::Listener) => {
                "this is a listening socket; it can accept and accept_with_data"
            }
            (Nature::Stream, _) => {
                "this is a stream socket; it can recv, recv_zero, send, connect and disconnect, \
                 and the datagram operations it cannot"
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
            .with_endpoint(|Endpoint::Os(socket)| ask(socket2::SockRef::from(socket)))
            .map_err(Status::to_error)??;
        let unknown = || io::Error::new(io::ErrorKind::Unsupported, "not an internet address");
        address
            .as_socket()
            .map(Address::Internet)
            .ok_or_else(unknown)
    }
}
