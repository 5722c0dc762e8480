//! A socket of a port: starting, cancelling, closing, and what it remembers.

use std::io;
use std::mem::offset_of;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use overlapped_queue::Fifo;

use super::side::{Lane, Served, Side};
use super::{Direction, Registered, usual};
use crate::endpoint::Endpoint;
use crate::engine::{Nature, Role};
use crate::operation::{
    Header, ItemList, Kind, MOST_DESCRIPTORS, Operation, OperationList, Outcome, Place, ReadyNode,
    Refused, ShutdownHow, Token,
};
use crate::port::{Due, PortInner};
use crate::{Address, Status};

/// How far a socket is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Fresh,
    Connecting,
    Connected,
    Listener,
}

const PHASES: [Phase; 4] = [
    Phase::Fresh,
    Phase::Connecting,
    Phase::Connected,
    Phase::Listener,
];

/// The flags of [`SocketState::flags`].
const CLOSED: u8 = 1;
const RECV_SHUT: u8 = 2;
const SEND_SHUT: u8 = 4;
/// The peer's end was received.
const SAW_END: u8 = 8;
/// The send lane is to be ended by a shutdown once it is empty.
const SHUT_WHEN_DRAINED: u8 = 16;
/// Receives do not tell of datagrams that came back.
const IGNORES_SENT_BACK: u8 = 32;
/// The system was told whether datagrams that came back are wanted.
const ASKED_FOR_SENT_BACK: u8 = 64;
/// Descriptors can be passed over it.
const PASSES_DESCRIPTORS: u8 = 128;

pub(crate) struct SocketState {
    port: Arc<PortInner>,
    /// Of all sockets of the process, so that a token of one port names nothing of another.
    number: u64,
    recv: Side,
    send: Side,
    phase: AtomicU8,
    flags: AtomicU8,
    nature: Nature,
    /// The failure that ended the connection; Linux reports it once, the model for ever (IO-14).
    broken: AtomicI32,
    part: Part,
}

/// What a socket has to do with accepts that await the first data.
enum Part {
    Stream,
    /// Holds the connections whose first data is awaited.
    Listener(Box<Mutex<Vec<Arc<SocketState>>>>),
    /// Is such a connection, of this listener, accepted at this time.
    Awaited(Weak<SocketState>, u64),
}

impl SocketState {
    /// How far into a socket the node of its receive side is.
    pub(crate) const RECV_NODE: usize = offset_of!(SocketState, recv) + Side::NODE;

    /// Associates an endpoint with a port; an error gives it back.
    pub(crate) fn associate(
        port: &Arc<PortInner>,
        endpoint: Endpoint,
    ) -> Result<Arc<SocketState>, (io::Error, Endpoint)> {
        let (nature, role) = match port.system().role(&endpoint) {
            Ok(both) => both,
            Err(error) => return Err((error, endpoint)),
        };
        let phase = match role {
            Role::Listener => Phase::Listener,
            Role::Connected => Phase::Connected,
            Role::Fresh => Phase::Fresh,
        };
        Self::register(port, endpoint, nature, phase, None)
    }

    fn register(
        port: &Arc<PortInner>,
        endpoint: Endpoint,
        nature: Nature,
        phase: Phase,
        listener: Option<Weak<SocketState>>,
    ) -> Result<Arc<SocketState>, (io::Error, Endpoint)> {
        let part = match (listener, phase) {
            (Some(listener), _) => Part::Awaited(listener, port.system().now()),
            (None, Phase::Listener) => Part::Listener(Box::default()),
            (None, _) => Part::Stream,
        };
        let counted = !matches!(part, Part::Awaited(..));
        let registered = Arc::new(Registered::reserve(port, endpoint, counted)?);
        let passes = port.system().passes_descriptors(registered.endpoint());
        let ready = port.system().starts_ready();
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let socket = Arc::new(SocketState {
            port: port.clone(),
            number: NUMBERS.fetch_add(1, Relaxed),
            recv: Side::new(Direction::Recv, registered.clone(), passes, ready),
            send: Side::new(Direction::Send, registered.clone(), passes, ready),
            phase: AtomicU8::new(phase as u8),
            flags: AtomicU8::new(if passes { PASSES_DESCRIPTORS } else { 0 }),
            nature,
            broken: AtomicI32::new(0),
            part,
        });
        // The table first: a report that finds no socket is lost, and an edge comes only once.
        port.table().insert(registered.token(), &socket);
        if let Err(error) =
            port.system()
                .register(registered.endpoint(), registered.token(), nature)
        {
            socket.recv.lock().registered = None;
            socket.send.lock().registered = None;
            let registered = Arc::into_inner(registered).expect("the sides had the other two");
            return Err((error, registered.into_endpoint()));
        }
        Ok(socket)
    }

    pub(crate) fn port(&self) -> &Arc<PortInner> {
        &self.port
    }

    fn side(&self, direction: Direction) -> &Side {
        match direction {
            Direction::Recv => &self.recv,
            Direction::Send => &self.send,
        }
    }

    pub(crate) fn ready_node(&self, direction: Direction) -> &ReadyNode {
        &self.side(direction).node
    }

    // ---- starting ------------------------------------------------------------------------------

    /// Starts an operation: when this returns, it needs nobody's further help.
    pub(crate) fn start(self: &Arc<Self>, operation: Operation) -> Result<Token, Refused> {
        match self.start_as(operation, Place::Last)? {
            Outcome::Pending(token) => Ok(token),
            Outcome::Done(_) => unreachable!("it was to be queued"),
        }
    }

    /// As [`start`](Self::start), but what ends at once is given back instead of queued (SK-1).
    pub(crate) fn start_direct(self: &Arc<Self>, operation: Operation) -> Result<Outcome, Refused> {
        self.start_as(operation, Place::First)
    }

    /// Where the operation belongs if it ends at once: into the caller's hands, or behind the
    /// packets that wait.
    #[inline]
    fn start_as(
        self: &Arc<Self>,
        mut operation: Operation,
        place: Place,
    ) -> Result<Outcome, Refused> {
        let kind = operation.kind();
        let direction = if kind.is_send_side() {
            Direction::Send
        } else {
            Direction::Recv
        };
        let side = self.side(direction);
        if self.port.is_forked() {
            let status = Status::NOT_SUPPORTED;
            return Err(Refused { status, operation });
        }
        let mut lane = side.lock();
        let id = lane.next_id << 1 | u64::from(direction == Direction::Send);
        // Under the lock: whoever closes sets the flag first and then empties the lanes.
        let admitted = self
            .set_deadline(&mut operation, id)
            .and_then(|()| self.admit(&operation));
        if let Err(status) = admitted {
            drop(lane);
            self.port.lift_deadline(&mut operation);
            return Err(Refused { status, operation });
        }
        lane.next_id += 1;
        operation.set_id(id);
        let alone = lane.operations.is_empty();
        let token = Token {
            socket: self.number,
            operation: id,
        };
        // One that was withdrawn may be partly out.
        let whole = kind == Kind::Send && operation.bytes() == 0;
        if alone && whole && usual::send(self, &lane, &mut operation) {
            drop(lane);
            if place == Place::First {
                self.port.lift_deadline(&mut operation);
                return Ok(Outcome::Done(operation));
            }
            self.port.push(operation);
            return Ok(Outcome::Pending(token));
        }
        lane.operations.push(operation);
        if alone {
            let looks = kind == Kind::Readable;
            let try_now = direction == Direction::Send || looks || side.is_ready() || !side.arm();
            if try_now {
                let mut served = side.serve(self, &mut lane);
                drop(lane);
                // The only one, so the first that ended is this one.
                let ended = match place {
                    Place::First => served.done.pop(),
                    Place::Last => None,
                };
                self.port.push_all(&mut self.items(direction, served));
                if let Some(mut operation) = ended {
                    self.port.lift_deadline(&mut operation);
                    return Ok(Outcome::Done(operation));
                }
            }
        }
        Ok(Outcome::Pending(token))
    }

    /// Sets the operation's deadline, if it has a time-out. The lane is held, so that the deadline
    /// finds it there.
    fn set_deadline(self: &Arc<Self>, operation: &mut Operation, id: u64) -> Result<(), Status> {
        if let Some(timeout) = operation.timeout() {
            let due = Due::Deadline(Arc::downgrade(self), id);
            operation.set_deadline(self.port.deadline_of(due, timeout)?);
        }
        Ok(())
    }

    /// Whether the socket can start such an operation now.
    #[inline]
    fn admit(&self, operation: &Header) -> Result<(), Status> {
        let usual = matches!(operation.kind(), Kind::Recv | Kind::Send) && !self.port.is_closed();
        if usual && self.is_plain_connection() {
            return Ok(());
        }
        self.admit_any(operation)
    }

    /// A stream that is connected, and nothing else: not closed, shut down, or broken.
    #[inline]
    pub(super) fn is_plain_connection(&self) -> bool {
        self.nature == Nature::Stream
            && self.phase() == Phase::Connected
            && !self.has(CLOSED | RECV_SHUT | SEND_SHUT | SHUT_WHEN_DRAINED)
            && self.broken.load(Relaxed) == 0
            && matches!(self.part, Part::Stream)
    }

    #[inline(never)]
    fn admit_any(&self, operation: &Header) -> Result<(), Status> {
        if self.port.is_closed() || self.has(CLOSED) {
            return Err(Status::INVALID_HANDLE);
        }
        if let Some(status) = self.broken() {
            return Err(status);
        }
        let phase = self.phase();
        let kind = match operation.kind() {
            Kind::Readable | Kind::Writable => return Ok(()),
            Kind::RecvWithDescriptors | Kind::SendWithDescriptors => {
                self.admit_passing(operation)?
            }
            kind => kind,
        };
        if self.nature != Nature::Stream {
            return self.admit_other(kind);
        }
        match kind {
            Kind::RecvFrom | Kind::SendTo => Err(Status::NOT_SUPPORTED),
            Kind::Recv | Kind::RecvAll | Kind::RecvPooled | Kind::RecvZero
                if phase != Phase::Connected =>
            {
                Err(Status::INVALID_CONNECTION)
            }
            Kind::Recv | Kind::RecvAll | Kind::RecvPooled | Kind::RecvZero
                if self.has(RECV_SHUT) =>
            {
                Err(Status::PIPE_DISCONNECTED)
            }
            Kind::Send | Kind::SendFile | Kind::Disconnect if phase != Phase::Connected => {
                Err(Status::INVALID_CONNECTION)
            }
            Kind::Send | Kind::SendFile if self.has(SEND_SHUT) => Err(Status::PIPE_DISCONNECTED),
            Kind::Disconnect => {
                // Also if it is cancelled: further sends are refused from now on, so the peer
                // has to be told.
                self.flags.fetch_or(SEND_SHUT | SHUT_WHEN_DRAINED, SeqCst);
                Ok(())
            }
            Kind::Accept | Kind::AcceptRecv if phase != Phase::Listener => {
                Err(Status::INVALID_PARAMETER)
            }
            Kind::Connect => match phase {
                Phase::Fresh => Ok(()),
                Phase::Connected => Err(Status::CONNECTION_ACTIVE),
                Phase::Connecting | Phase::Listener => Err(Status::INVALID_PARAMETER),
            },
            Kind::Recv
            | Kind::RecvAll
            | Kind::RecvPooled
            | Kind::RecvZero
            | Kind::Send
            | Kind::SendFile
            | Kind::Accept
            | Kind::AcceptRecv => Ok(()),
            _ => Err(Status::INVALID_PARAMETER),
        }
    }

    /// Whether the socket can pass descriptors; as what else the operation has to be admitted.
    #[cold]
    fn admit_passing(&self, operation: &Header) -> Result<Kind, Status> {
        if !self.has(PASSES_DESCRIPTORS) {
            return Err(Status::NOT_SUPPORTED);
        }
        if operation.kind() == Kind::RecvWithDescriptors {
            return Ok(Kind::Recv);
        }
        let descriptors = operation.unsent_descriptors().len();
        // On a stream they travel with a byte; without one the system would drop them in silence.
        let homeless = self.nature == Nature::Stream && operation.capacity() == 0;
        if descriptors > MOST_DESCRIPTORS || (descriptors > 0 && homeless) {
            return Err(Status::INVALID_PARAMETER);
        }
        Ok(match operation.peer() {
            Some(_) => Kind::SendTo,
            None => Kind::Send,
        })
    }

    /// The same for what is no stream of a socket.
    #[cold]
    fn admit_other(&self, kind: Kind) -> Result<(), Status> {
        match (self.nature, kind) {
            (Nature::Datagram, Kind::Recv | Kind::RecvFrom | Kind::RecvZero) => {
                if self.has(RECV_SHUT) {
                    return Err(Status::PIPE_DISCONNECTED);
                }
            }
            (Nature::Datagram, Kind::Send | Kind::SendTo) => {
                if self.has(SEND_SHUT) {
                    return Err(Status::PIPE_DISCONNECTED);
                }
                if kind == Kind::Send && self.phase() != Phase::Connected {
                    return Err(Status::INVALID_CONNECTION);
                }
            }
            (Nature::Datagram, Kind::Connect) => {}
            (Nature::Pipe { reads: true, .. }, Kind::Recv | Kind::RecvZero) => {}
            (Nature::Pipe { writes: true, .. }, Kind::Send) => {}
            _ => return Err(Status::NOT_SUPPORTED),
        }
        Ok(())
    }

    /// What serving a side brought, as items for the port's queue. No lane is held.
    #[inline]
    fn items(self: &Arc<Self>, direction: Direction, served: Served) -> ItemList {
        let mut items = ItemList::from(served.done);
        if served.unparked.is_empty() && !served.again {
            return items;
        }
        let mut unparked = served.unparked;
        items.append(&mut unparked);
        if served.again && self.side(direction).schedule() {
            // SAFETY: `schedule` has just set the bit, which was clear.
            unsafe { items.push_ready(self.clone(), direction) };
        }
        items
    }

    // ---- reports and turns ---------------------------------------------------------------------

    /// The system says that the socket is ready: the leader queues the sides that wait for it.
    /// The reference comes back if the queue did not take it.
    pub(super) fn report(
        self: Arc<Self>,
        readiness: crate::engine::Readiness,
        into: &mut ItemList,
    ) -> Option<Arc<Self>> {
        let send = readiness.send && self.send.report(readiness.hangup);
        let recv = readiness.recv && self.recv.report(readiness.hangup);
        if send {
            // SAFETY: `report` has just set the scheduled bit, which was clear.
            unsafe { into.push_ready(self.clone(), Direction::Send) };
        }
        if recv {
            // SAFETY: as above.
            unsafe { into.push_ready(self, Direction::Recv) };
            return None;
        }
        Some(self)
    }

    /// The file that a send at the front waits for can be read up to here without waiting.
    pub(crate) fn file_is_warm(self: Arc<Self>, send: u64, to: u64, into: &mut ItemList) {
        if let Some(first) = self.send.lock().operations.first()
            && first.id() == send
        {
            let transmit = &mut first.file().transmit;
            transmit.warming = false;
            transmit.warm_to = to;
        }
        self.sends_may_go_on(into);
    }

    /// Has the send lane looked at again, as if the system had reported it.
    fn sends_may_go_on(self: Arc<Self>, into: &mut ItemList) {
        let ready = crate::engine::Readiness {
            send: true,
            ..Default::default()
        };
        self.report(ready, into);
    }

    /// A worker took the side out of the port's queue: it serves, and the first operation that
    /// completed is its packet, unless packets wait already. The others go to the queue by way of
    /// `rest`.
    pub(crate) fn take_turn(
        self: &Arc<Self>,
        direction: Direction,
        place: Place,
        rest: &mut ItemList,
    ) -> Option<Operation> {
        let side = self.side(direction);
        let mut lane = side.lock();
        side.taken(&lane);
        if place == Place::First
            && direction == Direction::Recv
            && let Some(received) = usual::receive(self, side, &mut lane)
        {
            drop(lane);
            self.port.pool().pass_on(rest);
            return Some(received);
        }
        let mut served = side.serve(self, &mut lane);
        drop(lane);
        let first = match place {
            Place::First => served.done.pop(),
            Place::Last => None,
        };
        *rest = self.items(direction, served);
        self.port.pool().pass_on(rest);
        first
    }

    /// A side has no operation left: does what waited for that.
    #[inline]
    pub(super) fn lane_drained(
        &self,
        direction: Direction,
        lane: &mut Lane,
        done: &mut OperationList,
    ) {
        if self.has(SHUT_WHEN_DRAINED | CLOSED) || matches!(self.part, Part::Awaited(..)) {
            self.do_what_waited(direction, lane, done);
        }
    }

    #[cold]
    fn do_what_waited(&self, direction: Direction, lane: &mut Lane, done: &mut OperationList) {
        if matches!(self.part, Part::Awaited(..)) {
            self.hand_over_connection(lane, done);
            return;
        }
        if direction == Direction::Send
            && self.has(SHUT_WHEN_DRAINED)
            && let Some(registered) = &lane.registered
            && self.flags.fetch_and(!SHUT_WHEN_DRAINED, SeqCst) & SHUT_WHEN_DRAINED != 0
        {
            let _ = self.port.system().shutdown_send(registered.endpoint());
        }
        if self.has(CLOSED) {
            lane.registered = None;
            // Whoever calls has another reference.
            lane.closing = None;
        }
    }

    // ---- accept with first data ----------------------------------------------------------------

    /// On a listener, which holds its receive lane: lets `operation` wait for the first data of
    /// the connection that it accepted.
    pub(super) fn await_first_data(
        self: &Arc<Self>,
        endpoint: Endpoint,
        mut operation: Operation,
        done: &mut OperationList,
    ) {
        let listener = Some(Arc::downgrade(self));
        let child = match Self::register(
            &self.port,
            endpoint,
            Nature::Stream,
            Phase::Connected,
            listener,
        ) {
            Ok(child) => child,
            Err(_) => {
                operation.finish(Status::INSUFFICIENT_RESOURCES, 0);
                done.push(operation);
                return;
            }
        };
        // Before serving, so that what completes finds its way out of here again.
        self.awaited_mut().push(child.clone());
        let mut lane = child.recv.lock();
        lane.operations.push(operation);
        let served = child.recv.serve(&child, &mut lane);
        drop(lane);
        let mut completed = served.done;
        done.append(&mut completed);
        debug_assert!(
            served.unparked.is_empty(),
            "an accept takes no pooled buffer"
        );
    }

    /// On such a connection, which holds its receive lane: the operation is complete and takes the
    /// connection with it.
    fn hand_over_connection(&self, lane: &mut Lane, done: &mut OperationList) {
        let Some(mut operation) = done.pop() else {
            return;
        };
        self.send.lock().registered = None;
        if let Some(registered) = lane.registered.take()
            && operation.status().is_success()
            && let Some(registered) = Arc::into_inner(registered)
        {
            operation.set_accepted(registered.into_endpoint());
        }
        done.push(operation);
        self.leave_listener();
    }

    fn leave_listener(&self) {
        if let Part::Awaited(listener, _) = &self.part
            && let Some(listener) = listener.upgrade()
        {
            let own = |child: &Arc<SocketState>| std::ptr::eq(Arc::as_ptr(child), self);
            listener.awaited_mut().retain(|child| !own(child));
        }
    }

    /// Of a listener: the connections whose first data is awaited.
    fn awaited_mut(&self) -> MutexGuard<'_, Vec<Arc<SocketState>>> {
        let Part::Listener(awaited) = &self.part else {
            unreachable!("only a listener accepts");
        };
        overlapped_queue::lock(awaited)
    }

    /// For how long the connection of such an accept has been there.
    pub(crate) fn awaited_for(&self, wanted: impl Fn(&Operation) -> bool) -> Option<Duration> {
        let now = self.port.system().now();
        self.awaited().into_iter().find_map(|child| {
            let Part::Awaited(_, since) = child.part else {
                return None;
            };
            let is_it = child.recv.lock().operations.has(&wanted);
            is_it.then(|| Duration::from_nanos(now.saturating_sub(since)))
        })
    }

    fn awaited(&self) -> Vec<Arc<SocketState>> {
        match &self.part {
            Part::Listener(_) => self.awaited_mut().clone(),
            _ => Vec::new(),
        }
    }

    // ---- cancelling ----------------------------------------------------------------------------

    /// Cancels one operation. `false` if it is not under way any more (CX-2).
    pub(crate) fn cancel(self: &Arc<Self>, token: Token) -> bool {
        if token.socket != self.number {
            return false;
        }
        let mut ended = ItemList::default();
        let found = self.end_one(token.operation, Status::CANCELLED, &mut ended);
        self.port.push_all(&mut ended);
        found
    }

    /// The deadline of an operation has come: it ends if it is still under way. What completes here
    /// is part of the leader's harvest.
    pub(crate) fn time_out(self: &Arc<Self>, id: u64, harvest: &mut ItemList) {
        // What is there counts as having come in time, though no worker has had time to fetch it.
        self.try_once_more(id, harvest);
        if direction_of(id) == Direction::Recv {
            for child in self.awaited() {
                child.try_once_more(id, harvest);
            }
        }
        self.end_one(id, Status::IO_TIMEOUT, harvest);
    }

    /// Serves the side in which this operation waits, if it waits here.
    fn try_once_more(self: &Arc<Self>, id: u64, done: &mut ItemList) {
        let direction = direction_of(id);
        let side = self.side(direction);
        let mut lane = side.lock();
        if lane.operations.iter_mut().any(|op| op.id() == id) {
            let served = side.serve(self, &mut lane);
            drop(lane);
            done.append(&mut self.items(direction, served));
        }
    }

    /// Ends one operation; whether it was still under way.
    fn end_one(self: &Arc<Self>, id: u64, status: Status, ended: &mut ItemList) -> bool {
        let direction = direction_of(id);
        let found = self.take_out(direction, |lane| lane.operations.remove(|op| op.id() == id));
        if let Some(operation) = found {
            ended.append(&mut self.ended(OperationList::from_iter([operation]), status));
            ended.append(&mut self.serve_successors(direction));
            return true;
        }
        direction == Direction::Recv
            && self
                .awaited()
                .iter()
                .any(|child| child.end_awaited(status, |other| other.id() == id) > 0)
    }

    /// Cancels everything that is under way; how many operations that was (CX-1).
    pub(crate) fn cancel_all(self: &Arc<Self>) -> usize {
        self.cancel_those(|_| true)
    }

    /// Cancels what is under way and `wanted`; how many operations that was.
    pub(crate) fn cancel_those(self: &Arc<Self>, wanted: impl Fn(&Operation) -> bool) -> usize {
        let mut cancelled = 0;
        // Its listener's, and cancelled there.
        if matches!(self.part, Part::Awaited(..)) {
            return cancelled;
        }
        for direction in [Direction::Recv, Direction::Send] {
            let operations = self.take_out(direction, |lane| lane.operations.take_those(&wanted));
            let count = operations.len();
            if count > 0 {
                cancelled += count;
                self.end_all(operations, Status::CANCELLED);
                self.port.push_all(&mut self.serve_successors(direction));
            }
        }
        for child in self.awaited() {
            cancelled += child.end_awaited(Status::CANCELLED, &wanted);
        }
        cancelled
    }

    /// Takes operations out of a lane, and does what waited for it to be empty if it is now.
    fn take_out<R>(&self, direction: Direction, take: impl FnOnce(&mut Lane) -> R) -> R {
        let mut lane = self.side(direction).lock();
        let taken = take(&mut lane);
        if lane.operations.is_empty() {
            self.lane_drained(direction, &mut lane, &mut OperationList::new());
        }
        taken
    }

    /// What waited behind an operation that was taken out may need less than that did: a
    /// disconnect needs no room in the socket.
    fn serve_successors(self: &Arc<Self>, direction: Direction) -> ItemList {
        let side = self.side(direction);
        let mut lane = side.lock();
        if direction == Direction::Recv || lane.operations.is_empty() {
            return ItemList::default();
        }
        let served = side.serve(self, &mut lane);
        drop(lane);
        self.items(direction, served)
    }

    /// On a connection whose first data is awaited: ends the accept, and the connection with it.
    fn end_awaited(self: &Arc<Self>, status: Status, wanted: impl Fn(&Operation) -> bool) -> usize {
        let mut lane = self.recv.lock();
        let operations = lane.operations.take_those(wanted);
        if operations.is_empty() {
            return 0;
        }
        lane.registered = None;
        drop(lane);
        self.send.lock().registered = None;
        self.leave_listener();
        let ended = operations.len();
        self.end_all(operations, status);
        ended
    }

    /// Completes operations that were taken out of their lane. No lane is held.
    fn end_all(&self, operations: OperationList, status: Status) {
        self.port.push_all(&mut self.ended(operations, status));
    }

    /// The packets of operations that were taken out of their lane.
    fn ended(&self, operations: OperationList, status: Status) -> ItemList {
        let mut done = OperationList::new();
        for mut operation in operations {
            if operation.kind() == Kind::Connect && self.nature == Nature::Stream {
                // The attempt goes on in the system, so the socket is of no use any more.
                self.note_failure(Status::CONNECTION_ABORTED);
            }
            let bytes = operation.bytes();
            // What it has taken is not lost (CX-4).
            let has_taken = operation.kind() == Kind::RecvAll && bytes > 0;
            let status = match status {
                Status::CANCELLED if has_taken => Status::SUCCESS,
                status => status,
            };
            operation.finish(status, bytes);
            operation.tell_ended();
            done.push(operation);
        }
        ItemList::from(done)
    }

    // ---- closing -------------------------------------------------------------------------------

    /// Ends receives and accepts at once; sends that are under way may go out until the port's
    /// linger time is over. The socket closes after its last operation, handles or not.
    pub(crate) fn close(self: &Arc<Self>) {
        if self.flags.fetch_or(CLOSED, SeqCst) & CLOSED != 0 {
            return;
        }
        let mut lane = self.recv.lock();
        let receives = std::mem::take(&mut lane.operations);
        lane.registered = None;
        drop(lane);
        let mut lane = self.send.lock();
        let connecting = lane
            .operations
            .first()
            .is_some_and(|op| op.kind() == Kind::Connect);
        let linger = !lane.operations.is_empty() && !connecting;
        let sends = if linger {
            lane.closing = Some(self.clone());
            OperationList::new()
        } else {
            lane.registered = None;
            std::mem::take(&mut lane.operations)
        };
        drop(lane);
        let status = self.status_of_close();
        self.end_all(receives, status);
        self.end_all(sends, status);
        for child in self.awaited() {
            child.end_awaited(Status::CANCELLED, |_| true);
        }
        if linger {
            self.port.linger(self);
        }
    }

    /// A connection's operations end as aborted, a listener's as cancelled (CX-6, AX-8).
    fn status_of_close(&self) -> Status {
        if self.phase() == Phase::Connected {
            Status::CONNECTION_ABORTED
        } else {
            Status::CANCELLED
        }
    }

    /// The linger time is over.
    pub(crate) fn abort_sends(self: &Arc<Self>) {
        let mut lane = self.send.lock();
        let sends = std::mem::take(&mut lane.operations);
        lane.registered = None;
        lane.closing = None;
        drop(lane);
        self.end_all(sends, Status::CONNECTION_ABORTED);
    }

    /// Visits the operations that are under way. (Those of an accept that awaits first data are with
    /// the connection that they accepted.)
    pub(crate) fn visit(&self, mut f: impl FnMut(&Header)) {
        let mut visit = |side: &Side| {
            for operation in side.lock().operations.iter_mut() {
                f(operation);
            }
        };
        visit(&self.recv);
        visit(&self.send);
        for child in self.awaited() {
            visit(&child.recv);
        }
    }

    /// The port has ended: nobody will take a packet. The operations' memory comes back here.
    pub(crate) fn abandon(self: &Arc<Self>) -> OperationList {
        let mut operations = std::mem::take(&mut self.recv.lock().operations);
        operations.append(&mut self.send.lock().operations);
        // Not under that lock: a child takes it while it holds its own lane.
        let children = match &self.part {
            Part::Listener(_) => std::mem::take(&mut *self.awaited_mut()),
            _ => Vec::new(),
        };
        for child in children {
            operations.append(&mut child.recv.lock().operations);
        }
        if self.has(CLOSED) {
            let mut lane = self.send.lock();
            lane.registered = None;
            lane.closing = None;
        }
        operations
    }

    /// Gives the endpoint back, if no operation is under way and nobody else is using it.
    pub(crate) fn release(&self) -> Option<Endpoint> {
        let mut recv = self.recv.lock();
        let mut send = self.send.lock();
        let idle =
            recv.operations.is_empty() && send.operations.is_empty() && self.awaited().is_empty();
        if !idle {
            return None;
        }
        self.let_go(&mut recv, &mut send)
    }

    /// Gives the endpoint back, and what is under way, in the order in which it was started, to be
    /// started again elsewhere; unless somebody else is using the endpoint.
    pub(crate) fn withdraw(&self) -> Option<(Endpoint, OperationList)> {
        let mut recv = self.recv.lock();
        let mut send = self.send.lock();
        let endpoint = self.let_go(&mut recv, &mut send)?;
        let mut operations = std::mem::take(&mut recv.operations);
        operations.append(&mut send.operations);
        drop((recv, send));
        for operation in operations.iter_mut() {
            if let Some(deadline) = operation.take_deadline() {
                self.port.forget_deadline(deadline);
            }
        }
        Some((endpoint, operations))
    }

    /// Ends the registration with the endpoint kept open, if nobody else is using it.
    fn let_go(&self, recv: &mut Lane, send: &mut Lane) -> Option<Endpoint> {
        let held =
            |registered: &Arc<Registered>| self.port.system().holds_bytes(registered.endpoint());
        if recv.registered.as_ref().is_some_and(held) {
            return None;
        }
        let (ours, theirs) = (recv.registered.take()?, send.registered.take()?);
        drop(theirs);
        match Arc::try_unwrap(ours) {
            Ok(registered) => {
                self.flags.fetch_or(CLOSED, SeqCst);
                if self.has(ASKED_FOR_SENT_BACK) {
                    let system = self.port.system();
                    let _ = system.set_sent_back(registered.endpoint(), false);
                }
                Some(registered.into_endpoint())
            }
            Err(shared) => {
                recv.registered = Some(shared.clone());
                send.registered = Some(shared);
                None
            }
        }
    }

    /// Shuts directions of the connection down.
    pub(crate) fn shutdown(self: &Arc<Self>, how: ShutdownHow) -> Result<(), Status> {
        if self.has(CLOSED) {
            return Err(Status::INVALID_HANDLE);
        }
        if !matches!(self.nature, Nature::Stream | Nature::Datagram) {
            return Err(Status::NOT_SUPPORTED);
        }
        if self.phase() != Phase::Connected {
            return Err(Status::INVALID_CONNECTION);
        }
        if how != ShutdownHow::Send {
            // A flag only: to the system, shutting down receiving would end those under way.
            self.flags.fetch_or(RECV_SHUT, SeqCst);
        }
        if how != ShutdownHow::Recv {
            let mut lane = self.send.lock();
            self.flags.fetch_or(SEND_SHUT | SHUT_WHEN_DRAINED, SeqCst);
            if lane.operations.is_empty() {
                self.lane_drained(Direction::Send, &mut lane, &mut OperationList::new());
            }
        }
        Ok(())
    }

    /// Uses the endpoint, if the socket is open.
    pub(crate) fn with_endpoint<R>(&self, f: impl FnOnce(&Endpoint) -> R) -> Result<R, Status> {
        let registered = self.recv.lock().registered.clone();
        registered
            .map(|registered| f(registered.endpoint()))
            .ok_or(Status::INVALID_HANDLE)
    }

    // ---- what the socket remembers -------------------------------------------------------------

    pub(crate) fn nature(&self) -> Nature {
        self.nature
    }

    /// Whether receives say nothing of datagrams that came back (IO-13).
    pub(super) fn ignores_sent_back(&self) -> bool {
        self.has(IGNORES_SENT_BACK)
    }

    /// Before the first datagram is moved: what comes back is wanted (IO-13). Not earlier, since a
    /// socket that is only watched has nobody to fetch it.
    pub(super) fn ask_for_sent_back(&self, endpoint: &Endpoint) {
        if !self.has(ASKED_FOR_SENT_BACK)
            && self.flags.fetch_or(ASKED_FOR_SENT_BACK, SeqCst) & ASKED_FOR_SENT_BACK == 0
        {
            // Where it is refused, only connected sockets are told.
            let _ = self.port.system().set_sent_back(endpoint, true);
        }
    }

    /// Whether receives tell of datagrams that came back.
    pub(crate) fn set_sent_back(&self, told: bool) -> io::Result<()> {
        if self.nature != Nature::Datagram {
            return Err(Status::NOT_SUPPORTED.to_error());
        }
        self.flags.fetch_or(ASKED_FOR_SENT_BACK, SeqCst);
        if told {
            self.flags.fetch_and(!IGNORES_SENT_BACK, SeqCst);
        } else {
            self.flags.fetch_or(IGNORES_SENT_BACK, SeqCst);
        }
        self.with_endpoint(|endpoint| self.port.system().set_sent_back(endpoint, told))
            .map_err(Status::to_error)?
    }

    /// What it is and what it can do, for whoever asked for an operation that it cannot do.
    pub(crate) fn describe(&self, kind: Kind) -> &'static str {
        if matches!(kind, Kind::RecvWithDescriptors | Kind::SendWithDescriptors)
            && !self.has(PASSES_DESCRIPTORS)
        {
            return "descriptors can be passed over Unix sockets only, and this is none";
        }
        match (self.nature, self.phase()) {
            (Nature::Stream, Phase::Listener) => {
                "this is a listening socket; it can accept, accept_with_data and ready"
            }
            (Nature::Stream, _) => {
                "this is a stream socket; it can recv, recv_zero, send, send_file, connect, \
                 disconnect and ready, and the datagram operations it cannot"
            }
            (Nature::Datagram, _) => {
                "this is a datagram socket; it can recv, recv_from, recv_zero, send, send_to, \
                 connect and ready"
            }
            (
                Nature::Pipe {
                    reads: true,
                    writes: false,
                },
                _,
            ) => "this is a pipe's reading end; it can recv, recv_zero and ready",
            (Nature::Pipe { reads: false, .. }, _) => {
                "this is a pipe's writing end; it can send and ready"
            }
            (Nature::Pipe { .. }, _) => "this is a pipe; it can recv, recv_zero, send and ready",
            (Nature::Watched, _) => {
                "this descriptor can only be watched: wait with ready, then use it yourself"
            }
        }
    }

    pub(super) fn is_listener(&self) -> bool {
        self.phase() == Phase::Listener
    }

    pub(super) fn phase(&self) -> Phase {
        PHASES[usize::from(self.phase.load(Relaxed))]
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    /// A connect begins: what the system said of the socket before is of no interest.
    pub(super) fn begin_anew(&self) {
        self.recv.forget_hangup();
        self.send.forget_hangup();
    }

    /// The peer was told that nothing more is sent.
    pub(super) fn note_shut_down(&self) {
        self.flags.fetch_and(!SHUT_WHEN_DRAINED, SeqCst);
    }

    fn has(&self, flag: u8) -> bool {
        self.flags.load(SeqCst) & flag != 0
    }

    /// The failure that ended the connection, if one did.
    pub(crate) fn broken(&self) -> Option<Status> {
        match self.broken.load(Relaxed) {
            0 => None,
            code => Some(Status::from_code(code)),
        }
    }

    pub(super) fn note_end_of_stream(&self) {
        self.flags.fetch_or(SAW_END, SeqCst);
    }

    /// A transfer failed: remembers it if it ends the connection, and names it as the model does.
    pub(crate) fn note_failure(&self, status: Status) -> Status {
        if let Some(earlier) = self.broken() {
            return earlier;
        }
        let status = match status {
            // We had sent to a peer that had closed (IO-15).
            Status::CONNECTION_RESET if self.has(SAW_END) => Status::CONNECTION_ABORTED,
            status => status,
        };
        if matches!(
            status,
            Status::CONNECTION_RESET | Status::CONNECTION_ABORTED | Status::IO_TIMEOUT
        ) {
            self.broken.store(status.code(), Relaxed);
        }
        status
    }
}

/// In which direction of its socket the operation with this number is.
fn direction_of(id: u64) -> Direction {
    if id & 1 == 1 {
        Direction::Send
    } else {
        Direction::Recv
    }
}

/// An address of the socket, for diagnosis.
pub(crate) fn address(
    endpoint: &Endpoint,
    ask: impl Fn(&std::os::fd::OwnedFd) -> rustix::io::Result<rustix::net::SocketAddrAny>,
) -> io::Result<Address> {
    match endpoint {
        #[cfg(feature = "sim")]
        Endpoint::Sim(socket) => Ok(socket.address().into()),
        endpoint => {
            let fd = endpoint.os().expect("the others are the system's");
            Address::from_system(ask(fd)?).ok_or_else(|| {
                io::Error::new(io::ErrorKind::Unsupported, "the socket has no address")
            })
        }
    }
}
