//! The port: the queue, an engine, and the sockets between them.

mod binding;
pub(crate) mod fork;
mod limited;
mod slice;
mod tally;
pub(crate) mod timers;

use std::borrow::Cow;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::time::Duration;

use overlapped_queue::{Config, Deadline, Ended, Engine, Fifo, Queue, Signals};

use crate::engine::alarm::{Alarm, LazyAlarm};
use crate::engine::epoll::Epoll;
use crate::engine::files::{FileState, Files};
use crate::engine::readiness::{SocketState, Table};
use crate::engine::uring::Uring;
use crate::engine::{Chosen, System};
use crate::operation::{Item, ItemList, Kind, Operation, OperationList};
use crate::pool::Pool;
use crate::presence::Watch;
use crate::trace::{self, PortNumber};
use crate::{File, GetError, Options, Refused, Socket, Stats, Status, Token};
pub(crate) use limited::Limited;
use tally::Tally;
pub(crate) use timers::Due;
use timers::{Beat, Key, Timers, nanoseconds};

pub(crate) struct PortInner {
    number: PortNumber,
    queue: Queue<ItemList>,
    system: Chosen,
    /// Why it is this one.
    reason: Cow<'static, str>,
    watch: Watch,
    time_slice: Option<Duration>,
    table: Table,
    files: Files,
    pool: Pool,
    timers: Timers,
    alarm: Arc<LazyAlarm>,
    linger_for: Duration,
    sockets: Limited,
    closed: AtomicBool,
    fork: fork::Generation,
}

/// The untyped completion port.
///
/// Cloning gives another handle; the port ends with [`close`](Port::close), which the face calls
/// when its last handle goes.
#[derive(Clone)]
pub struct Port {
    inner: Arc<PortInner>,
}

impl Port {
    /// Makes a port on the system's engine.
    ///
    /// # Errors
    ///
    /// When the system has no descriptors or no memory left, or refuses what was asked for by name.
    pub fn new(options: &Options) -> io::Result<Port> {
        let epoll = || Epoll::new().map(Chosen::Epoll);
        let uring = || Uring::new().map(|uring| Chosen::Uring(Box::new(uring)));
        let (system, reason) = match options.engine {
            crate::Engine::Auto => (epoll()?, None),
            crate::Engine::Epoll => (epoll()?, Some(Cow::Borrowed("it was asked for"))),
            crate::Engine::Uring => (uring()?, None),
            crate::Engine::UringOrEpoll => match uring() {
                Ok(uring) => (uring, None),
                Err(error) => (epoll()?, Some(Cow::Owned(error.to_string()))),
            },
        };
        let watch = Watch::new(options.notice)?;
        Ok(Self::on(options, system, reason, watch))
    }

    /// Makes a port on a simulated network.
    #[cfg(feature = "sim")]
    pub fn simulated(options: &Options, network: &crate::engine::sim::Network) -> Port {
        let system = Chosen::Simulated(network.system());
        Self::on(options, system, None, Watch::nobody())
    }

    /// `reason`: why it is this system, if not for its own reason.
    fn on(
        options: &Options,
        system: Chosen,
        reason: Option<Cow<'static, str>>,
        watch: Watch,
    ) -> Port {
        let concurrency = match options.concurrency {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            n => n,
        };
        let config = Config {
            policy: options.policy,
            look_every: watch.look_every(),
            rescue_after: options.rescue_after,
            ..Config::new(concurrency)
        };
        let reason = reason.unwrap_or(Cow::Borrowed(system.get().reason()));
        let inner = PortInner {
            number: PortNumber::next(),
            queue: Queue::new(config),
            system,
            reason,
            watch,
            time_slice: options.time_slice,
            table: Table::default(),
            files: Files::new(options.files),
            pool: Pool::new(options.pool_limit),
            timers: Timers::new(),
            alarm: Arc::default(),
            linger_for: options.linger,
            sockets: Limited::new(options.max_sockets),
            closed: AtomicBool::new(false),
            fork: fork::Generation::current(),
        };
        let port = Port {
            inner: Arc::new(inner),
        };
        trace::port_made(&port, options);
        port
    }

    /// Which one it is, in events.
    pub fn number(&self) -> PortNumber {
        self.inner.number
    }

    /// Associates an endpoint (PO-4).
    ///
    /// # Errors
    ///
    /// The endpoint comes back with the reason.
    pub fn associate(
        &self,
        endpoint: crate::Endpoint,
    ) -> Result<Socket, (io::Error, crate::Endpoint)> {
        if self.inner.is_closed() {
            return Err((GetError::Closed.into(), endpoint));
        }
        if let Err(error) = self.inner.fork.check() {
            return Err((error, endpoint));
        }
        SocketState::associate(&self.inner, endpoint).map(Socket::new)
    }

    /// Associates an open file, a regular one or a block device.
    ///
    /// # Errors
    ///
    /// The descriptor comes back with the reason.
    pub fn associate_file(&self, fd: OwnedFd) -> Result<File, (io::Error, OwnedFd)> {
        if self.inner.is_closed() {
            return Err((GetError::Closed.into(), fd));
        }
        if let Err(error) = self.inner.fork.check() {
            return Err((error, fd));
        }
        FileState::associate(&self.inner, fd).map(File::new)
    }

    /// A file for an open to open.
    pub fn unopened_file(&self) -> File {
        File::new(FileState::unopened(&self.inner))
    }

    /// Queues an operation as it is (PQ-1).
    ///
    /// # Errors
    ///
    /// A closed port gives it back.
    pub fn post(&self, operation: Operation) -> Result<(), Operation> {
        self.inner.post(operation)
    }

    /// Starts an operation that was prepared as a timer: it completes after this long.
    ///
    /// # Errors
    ///
    /// The operation comes back when the port is closed, there is no memory, or this is a forked
    /// child.
    pub fn start_timer(&self, mut operation: Operation, after: Duration) -> Result<Token, Refused> {
        *operation.beat() = None;
        let at = self.inner.deadline(after);
        self.inner.start_timer(operation, at)
    }

    /// Starts an operation that was prepared as a timer: it completes at the next tick of its beat.
    ///
    /// # Errors
    ///
    /// As [`start_timer`](Port::start_timer), and for a period of zero.
    pub fn start_interval(
        &self,
        mut operation: Operation,
        period: Duration,
    ) -> Result<Token, Refused> {
        let now = || self.inner.system().now();
        let Some(beat) = Beat::of(&mut operation, period, now) else {
            let status = Status::INVALID_PARAMETER;
            return Err(Refused { status, operation });
        };
        self.inner.start_timer(operation, beat.next())
    }

    /// Cancels a timer; `false` if it is not under way (CX-2).
    pub fn cancel_timer(&self, token: Token) -> bool {
        let Some(operation) = self.inner.timers.cancel(token) else {
            return false;
        };
        // A closed port drops it.
        drop(self.inner.post(operation));
        true
    }

    /// Waits for a packet; `None` waits for ever, zero only looks.
    ///
    /// # Errors
    ///
    /// When there was none in time, the port is closed, or the thread could not be bound to it.
    pub fn get(&self, timeout: Option<Duration>) -> Result<Operation, GetError> {
        let inner = &*self.inner;
        inner.fork.check().map_err(GetError::Failed)?;
        binding::bound(&self.inner, |me| inner.get(me, timeout))
    }

    /// Waits for a packet and takes up to `most` that are there then (GX-1).
    ///
    /// # Errors
    ///
    /// As [`get`](Port::get).
    pub fn get_many(
        &self,
        into: &mut OperationList,
        most: usize,
        timeout: Option<Duration>,
    ) -> Result<usize, GetError> {
        if most == 0 {
            return Err(GetError::Failed(io::Error::new(
                io::ErrorKind::InvalidInput,
                "asked for at most 0 packets; ask for at least 1",
            )));
        }
        let inner = &*self.inner;
        inner.fork.check().map_err(GetError::Failed)?;
        binding::bound(&self.inner, |me| inner.get_many(me, into, most, timeout))
    }

    /// As [`get_many`](Port::get_many), but the wait also ends, as if its time were up, when the alert
    /// is raised that `arm` is given; packets that are there go first. What `arm` returns is dropped when
    /// the wait is over.
    ///
    /// # Errors
    ///
    /// As [`get_many`](Port::get_many).
    pub fn get_many_alertable<G>(
        &self,
        into: &mut OperationList,
        most: usize,
        timeout: Option<Duration>,
        arm: impl FnOnce(Alert) -> G,
    ) -> Result<usize, GetError> {
        let inner = &*self.inner;
        inner.fork.check().map_err(GetError::Failed)?;
        binding::bound(&self.inner, |me| {
            let armed = arm(Alert {
                thread: me.begin_alerts(),
                port: Arc::downgrade(&self.inner),
            });
            let result = inner.get_many(me, into, most, timeout);
            drop(armed);
            me.end_alerts();
            result
        })
    }

    /// Cancels what is under way on the port's sockets and files and `wanted`; how many operations that
    /// was. Visits all sockets, each locked meanwhile.
    pub fn cancel_those(&self, wanted: impl Fn(&Operation) -> bool) -> usize {
        let mut cancelled = 0;
        for socket in self.inner.table.all() {
            cancelled += socket.cancel_those(&wanted);
        }
        cancelled + FileState::cancel_of_all(&self.inner, wanted)
    }

    /// Runs `f` with the calling thread's place given up (CC-8, CC-9), if it has one here.
    pub fn blocking<R>(&self, f: impl FnOnce() -> R) -> R {
        binding::blocking(&self.inner, f)
    }

    /// Ends the port: every wait ends, what is queued or under way is given back to its faces
    /// without a packet, and nothing can be started any more. Idempotent.
    pub fn close(&self) {
        let inner = &*self.inner;
        // The parent's threads may have held any lock when it forked.
        if inner.is_forked() {
            return;
        }
        // The flag first: whoever starts an operation looks at it under the lane's lock, which is
        // taken below for each lane.
        let open = !inner.closed.swap(true, SeqCst);
        let packets = inner.queue.close(inner);
        inner.system().end();
        drop(inner.pool.end());
        let due: Vec<Due> = inner.timers.end().collect();
        let mut under_way = OperationList::new();
        for socket in inner.table.all() {
            under_way.append(&mut socket.abandon());
        }
        let of_files = inner.files.end(&self.inner);
        // At the end, because this runs subscribers and destructors of the user's, which may panic.
        if open {
            trace::port_closed(inner.number);
        }
        drop(packets);
        drop(due);
        drop(under_way);
        drop(of_files);
    }

    /// Whether [`close`](Port::close) was called.
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    /// Says who is told, from now on, each time the port becomes *deserted*: all of its threads are
    /// outside, so that nobody would notice what comes. Nothing is told before
    /// [`keep_vigil`](Port::keep_vigil). `false` if somebody is already.
    pub fn set_keeper(&self, keeper: impl Fn() + Send + Sync + 'static) -> bool {
        self.inner.queue.set_keeper(keeper)
    }

    /// Whether the keeper is to be told. It is not told of what is so already: look afterwards.
    pub fn keep_vigil(&self, keep: bool) {
        self.inner.queue.keep_vigil(keep);
    }

    /// Whether all of the port's threads are outside, and it is open.
    pub fn is_deserted(&self) -> bool {
        self.inner.queue.is_deserted()
    }

    /// The operations that are under way, by kind. Visits all sockets, so that starting and ending an
    /// operation need not count.
    pub fn under_way(&self) -> Vec<(Kind, usize)> {
        let mut tally = Tally::default();
        for socket in self.inner.table.all() {
            socket.visit(|operation| tally.count(operation.kind(), 1));
        }
        self.inner.files.visit(|kind| tally.count(kind, 1));
        tally.count(Kind::Timer, self.inner.timers.operations());
        tally.sorted()
    }

    /// A snapshot of the counts.
    pub fn stats(&self) -> Stats {
        let queue = self.inner.queue.stats();
        Stats {
            engine: self.inner.system().name(),
            engine_reason: self.inner.reason.clone(),
            notice: self.inner.watch.name(),
            notice_reason: self.inner.watch.reason().clone(),
            sockets: self.inner.sockets.count(),
            timers: self.inner.timers.len(),
            files: self.inner.files.stats(),
            pool: self.inner.pool.stats(),
            concurrency: queue.concurrency,
            waiting: queue.waiting,
            queued: queue.queued,
            queue: Some(queue),
        }
    }
}

/// Ends a thread's alertable wait at a port.
#[derive(Clone)]
pub struct Alert {
    thread: overlapped_queue::Alert,
    port: Weak<PortInner>,
}

impl Alert {
    /// Ends the wait, or, if it has not begun, lets it end at once.
    pub fn raise(&self) {
        self.thread.raise();
        // It may be who waits in the engine.
        if let Some(port) = self.port.upgrade() {
            port.system().interrupt();
        }
    }
}

impl PortInner {
    #[inline]
    pub(crate) fn system(&self) -> &dyn System {
        self.system.get()
    }

    pub(crate) fn number(&self) -> PortNumber {
        self.number
    }

    pub(crate) fn sockets(&self) -> &Limited {
        &self.sockets
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// Whether operations with files can be started here.
    pub(crate) fn admits_files(&self) -> Result<(), Status> {
        // In a forked child there is no thread to perform them.
        if self.is_forked() {
            return Err(Status::NOT_SUPPORTED);
        }
        if self.is_closed() {
            return Err(Status::INVALID_HANDLE);
        }
        Ok(())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    fn made_alarm(&self) -> Option<&Alarm> {
        self.alarm.get()?.as_ref()
    }

    fn deadline(&self, timeout: Duration) -> u64 {
        self.system().now().saturating_add(nanoseconds(timeout))
    }

    fn get(
        &self,
        me: &mut overlapped_queue::Binding<ItemList>,
        timeout: Option<Duration>,
    ) -> Result<Operation, GetError> {
        let mut deadline = timeout.map_or(Deadline::Never, Deadline::After);
        loop {
            let item = self
                .queue
                .get(self, me, &mut deadline)
                .map_err(|ended| match ended {
                    Ended::TimedOut => GetError::TimedOut,
                    Ended::Closed => {
                        self.system().leave();
                        GetError::Closed
                    }
                })?;
            // A side that was ready may yield nothing: another thread was faster, or the
            // operation was cancelled. Then this thread waits on.
            if let Some(operation) = self.resolve(item, me) {
                return Ok(operation);
            }
        }
    }

    fn get_many(
        &self,
        me: &mut overlapped_queue::Binding<ItemList>,
        into: &mut OperationList,
        most: usize,
        timeout: Option<Duration>,
    ) -> Result<usize, GetError> {
        into.push(self.get(me, timeout)?);
        let mut taken = 1;
        let mut items = ItemList::default();
        self.queue.take_more(self, me, most - 1, &mut items);
        while let Some(item) = items.pop() {
            if let Some(operation) = self.resolve(item, me) {
                into.push(operation);
                taken += 1;
            }
        }
        Ok(taken)
    }

    /// Whether this process is a child of the one that made the port.
    pub(crate) fn is_forked(&self) -> bool {
        self.fork.is_over()
    }

    /// See [`Port::post`].
    pub(crate) fn post(&self, operation: Operation) -> Result<(), Operation> {
        if self.is_forked() {
            return Err(operation);
        }
        let item = Item::Packet(operation);
        self.queue
            .push(self, item, binding::member())
            .map_err(|item| match item {
                Item::Packet(operation) => operation,
                Item::Ready(..) => unreachable!("it was a packet"),
            })
    }

    /// Makes the transfer that an item stands for; what it completes beyond the first operation is
    /// queued.
    #[inline]
    fn resolve(&self, item: Item, me: &overlapped_queue::Binding<ItemList>) -> Option<Operation> {
        let mut operation = match item {
            Item::Packet(operation) => Some(operation),
            Item::Ready(socket, direction, place) => {
                let mut rest = ItemList::default();
                let first = socket.take_turn(direction, place, &mut rest);
                if !rest.is_empty() {
                    self.queue.push_all(self, &mut rest, Some(me.member()));
                }
                first
            }
        };
        if let Some(operation) = &mut operation {
            self.lift_deadline(operation);
        }
        operation
    }

    /// Queues a packet that was completed outside the leader's wait; a closed port drops it.
    pub(crate) fn push(&self, operation: Operation) {
        let item = Item::Packet(operation);
        drop(self.queue.push(self, item, binding::member()));
    }

    /// Queues packets that were completed outside the leader's wait; a closed port drops them.
    #[inline]
    pub(crate) fn push_all(&self, items: &mut ItemList) {
        if !items.is_empty() {
            self.queue.push_all(self, items, binding::member());
        }
    }

    // ---- time ----------------------------------------------------------------------------------

    /// Adds something to be done at a time.
    fn schedule(&self, at: u64, due: Due) -> Result<Key, (Status, Due)> {
        let (key, leader_is_late) = self.timers.add(at, due)?;
        if leader_is_late {
            self.system().interrupt();
        }
        Ok(key)
    }

    fn start_timer(&self, operation: Operation, at: u64) -> Result<Token, Refused> {
        debug_assert_eq!(operation.kind(), Kind::Timer);
        if self.is_forked() {
            let status = Status::NOT_SUPPORTED;
            return Err(Refused { status, operation });
        }
        match self.schedule(at, Due::Timer(operation)) {
            Ok(key) => Ok(timers::token(key)),
            Err((status, Due::Timer(operation))) => Err(Refused { status, operation }),
            Err((_, Due::Deadline(..) | Due::File(..) | Due::Linger(_))) => {
                unreachable!("it was a timer")
            }
        }
    }

    /// Sets the deadline of an operation that is about to be started.
    pub(crate) fn deadline_of(&self, due: Due, timeout: Duration) -> Result<Key, Status> {
        self.schedule(self.deadline(timeout), due)
            .map_err(|(status, _)| status)
    }

    /// Takes the deadline of an operation out, if it has one.
    #[inline(always)]
    pub(crate) fn lift_deadline(&self, operation: &mut Operation) {
        if let Some(key) = operation.take_deadline() {
            self.forget_deadline(key);
        }
    }

    #[cold]
    pub(crate) fn forget_deadline(&self, key: Key) {
        self.timers.remove(key);
    }

    /// Lets a closed socket send what it has, for as long as the port allows.
    pub(crate) fn linger(&self, socket: &Arc<SocketState>) {
        let until = self.deadline(self.linger_for);
        if self
            .schedule(until, Due::Linger(Arc::downgrade(socket)))
            .is_err()
        {
            // Without memory to remember it, its time is over.
            socket.abort_sends();
        }
    }

    /// Does what is due.
    fn expire(&self, into: &mut ItemList) {
        let now = self.system().now();
        while let Some((_, due)) = self.timers.pop(now) {
            match due {
                Due::Timer(mut operation) => {
                    let expired = operation
                        .beat()
                        .as_mut()
                        .map_or(1, |beat| beat.advance(now));
                    operation.finish(
                        Status::SUCCESS,
                        usize::try_from(expired).unwrap_or(usize::MAX),
                    );
                    into.push(Item::Packet(operation));
                }
                Due::Deadline(socket, operation) => {
                    if let Some(socket) = socket.upgrade() {
                        socket.time_out(operation, into);
                    }
                }
                Due::File(file, operation) => {
                    if let Some(file) = file.upgrade() {
                        file.time_out(operation, into);
                    }
                }
                Due::Linger(socket) => {
                    if let Some(socket) = socket.upgrade() {
                        socket.abort_sends();
                    }
                }
            }
        }
    }
}

impl Signals for PortInner {
    fn interrupt(&self) {
        self.system().interrupt();
    }

    fn set_alarm(&self, after: Option<Duration>) {
        if let Some(alarm) = self.made_alarm() {
            alarm.set(after);
        }
    }
}

impl Engine<ItemList> for PortInner {
    fn wait(&self, timeout: Option<Duration>, into: &mut ItemList) {
        let timeout = self.timers.bound(timeout, || self.system().now());
        let mut delivery = self.table.delivery(into);
        self.system().wait(timeout, &mut |token, readiness| {
            delivery.bring(token, readiness);
        });
        drop(delivery);
        if self.timers.back() {
            self.expire(into);
        }
    }

    fn now(&self) -> u64 {
        self.system().now()
    }

    fn has_alarm(&self) -> bool {
        let make = || self.system().alarm().ok();
        self.alarm.get_or_init(make).is_some()
    }

    fn wait_for_alarm(&self, timeout: Option<Duration>) {
        if let Some(alarm) = self.made_alarm() {
            alarm.wait(timeout);
        }
    }
}
