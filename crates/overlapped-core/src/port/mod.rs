//! The port: the queue, an engine, and the sockets between them.

mod binding;
mod fork;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use overlapped_queue::{Config, Ended, Engine, Fifo, Queue};

use crate::engine::epoll::Epoll;
use crate::engine::files::{FileState, Files};
use crate::engine::readiness::{Linger, SocketState, Table};
use crate::engine::{Readiness, System};
use crate::operation::{Item, ItemList, Operation, OperationList};
use crate::{File, GetError, Options, Socket, Stats, Status};

pub(crate) struct PortInner {
    queue: Queue<ItemList>,
    system: Box<dyn System>,
    table: Table,
    /// What the leader is told, kept for the next one.
    reports: Mutex<Vec<(u64, Readiness)>>,
    files: Files,
    linger: Linger,
    linger_for: Duration,
    max_sockets: usize,
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
    /// When the system has no descriptors or no memory left.
    pub fn new(options: &Options) -> io::Result<Port> {
        Ok(Self::on(options, Box::new(Epoll::new()?)))
    }

    /// Makes a port on a simulated network.
    #[cfg(feature = "sim")]
    pub fn simulated(options: &Options, network: &crate::engine::sim::Network) -> Port {
        Self::on(options, network.system())
    }

    fn on(options: &Options, system: Box<dyn System>) -> Port {
        let concurrency = match options.concurrency {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            n => n,
        };
        let config = Config {
            policy: options.policy,
            rescue_after: options.rescue_after,
            ..Config::new(concurrency)
        };
        let inner = PortInner {
            queue: Queue::new(config),
            system,
            table: Table::default(),
            reports: Mutex::default(),
            files: Files::new(options.files),
            linger: Linger::new(),
            linger_for: options.linger,
            max_sockets: options.max_sockets,
            closed: AtomicBool::new(false),
            fork: fork::Generation::current(),
        };
        Port {
            inner: Arc::new(inner),
        }
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
        let most = self.inner.max_sockets;
        if self.inner.table.len() >= most {
            return Err((crate::too_many_sockets(most), endpoint));
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

    /// Waits for a packet; `None` waits for ever, zero only looks.
    ///
    /// # Errors
    ///
    /// When there was none in time, the port is closed, or the thread could not be bound to it.
    pub fn get(&self, timeout: Option<Duration>) -> Result<Operation, GetError> {
        let inner = &*self.inner;
        inner.fork.check().map_err(GetError::Failed)?;
        let deadline = timeout.map(|timeout| inner.deadline(timeout));
        binding::bound(&self.inner, |me| inner.get(me, deadline))
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
        let deadline = timeout.map(|timeout| inner.deadline(timeout));
        binding::bound(&self.inner, |me| {
            into.push(inner.get(me, deadline)?);
            let mut taken = 1;
            let mut items = ItemList::default();
            inner.queue.take_more(me, most - 1, &mut items);
            while let Some(item) = items.pop() {
                if let Some(operation) = inner.resolve(item, me) {
                    into.push(operation);
                    taken += 1;
                }
            }
            Ok(taken)
        })
    }

    /// Runs `f` with the calling thread's place given up (CC-8, CC-9), if it has one here.
    pub fn blocking<R>(&self, f: impl FnOnce() -> R) -> R {
        binding::blocking(&self.inner, f)
    }

    /// Ends the port: every wait ends, what is queued or under way is given back to its faces
    /// without a packet, and nothing can be started any more. Idempotent.
    pub fn close(&self) {
        let inner = &*self.inner;
        // The flag first: whoever starts an operation looks at it under the lane's lock, which is
        // taken below for each lane.
        inner.closed.store(true, SeqCst);
        drop(inner.queue.close(inner));
        for socket in inner.table.all() {
            drop(socket.abandon());
        }
        drop(inner.files.end(&self.inner));
    }

    /// Whether [`close`](Port::close) was called.
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    /// A snapshot of the counts.
    pub fn stats(&self) -> Stats {
        Stats {
            engine: self.inner.system.name(),
            engine_reason: self.inner.system.reason(),
            sockets: self.inner.table.len(),
            files: self.inner.files.stats(),
            queue: self.inner.queue.stats(),
        }
    }
}

impl PortInner {
    pub(crate) fn system(&self) -> &dyn System {
        &*self.system
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// Whether operations with files can be started here.
    pub(crate) fn admits_files(&self) -> Result<(), Status> {
        // In a forked child there is no thread to perform them.
        if self.fork.check().is_err() {
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

    fn deadline(&self, timeout: Duration) -> u64 {
        let timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        self.system.now().saturating_add(timeout)
    }

    fn get(
        &self,
        me: &mut overlapped_queue::Binding<ItemList>,
        deadline: Option<u64>,
    ) -> Result<Operation, GetError> {
        loop {
            let item = self
                .queue
                .get(self, me, deadline)
                .map_err(|ended| match ended {
                    Ended::TimedOut => GetError::TimedOut,
                    Ended::Closed => GetError::Closed,
                })?;
            // A side that was ready may yield nothing: another thread was faster, or the
            // operation was cancelled. Then this thread waits on.
            if let Some(operation) = self.resolve(item, me) {
                return Ok(operation);
            }
        }
    }

    /// See [`Port::post`].
    pub(crate) fn post(&self, operation: Operation) -> Result<(), Operation> {
        let item = Item::Packet(operation);
        binding::with_current(&self.queue, |from| self.queue.push(self, item, from)).map_err(
            |item| match item {
                Item::Packet(operation) => operation,
                Item::Ready(..) => unreachable!("it was a packet"),
            },
        )
    }

    /// Makes the transfer that an item stands for; what it completes beyond the first operation is
    /// queued.
    fn resolve(&self, item: Item, me: &overlapped_queue::Binding<ItemList>) -> Option<Operation> {
        let mut rest = ItemList::default();
        let operation = SocketState::resolve(item, &mut rest);
        self.queue.push_all(self, &mut rest, Some(me));
        operation
    }

    /// Queues packets that were completed outside the leader's wait; a closed port drops them.
    pub(crate) fn push_all(&self, items: &mut ItemList) {
        if !items.is_empty() {
            binding::with_current(&self.queue, |from| self.queue.push_all(self, items, from));
        }
    }

    /// Lets a closed socket send what it has, for as long as the port allows.
    pub(crate) fn linger(&self, socket: &Arc<SocketState>) {
        if self.linger.add(self.deadline(self.linger_for), socket) {
            // The leader may be waiting for longer than that.
            self.system.interrupt();
        }
    }
}

impl Engine<ItemList> for PortInner {
    fn wait(&self, timeout: Option<Duration>, into: &mut ItemList) {
        let timeout = match self.linger.earliest() {
            u64::MAX => timeout,
            earliest => {
                let left = Duration::from_nanos(earliest.saturating_sub(self.system.now()));
                Some(timeout.map_or(left, |timeout| timeout.min(left)))
            }
        };
        // Only the leader is in here, so nobody contends for the buffer.
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        self.system.wait(timeout, &mut |token, readiness| {
            reports.push((token, readiness))
        });
        self.table.deliver(&mut reports, into);
        drop(reports);
        if self.linger.earliest() != u64::MAX {
            self.linger.expire(self.system.now());
        }
    }

    fn interrupt(&self) {
        self.system.interrupt();
    }

    fn now(&self) -> u64 {
        self.system.now()
    }
}
