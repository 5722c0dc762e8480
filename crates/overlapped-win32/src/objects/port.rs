//! The completion port.
//!
//! Nearly all of it is the core's: the queue, who waits, whom a packet wakes, how many run. What a
//! port of Windows has beside that:
//!
//! * Its packets name a key, an `OVERLAPPED`, bytes and a status (PK-1), and the program may post any
//!   four such things (PQ-1). So a packet here is the operation's memory, from which the call reads
//!   them; when it is taken is also when the status block is written, and what a datagram's sender or
//!   an accepted connection is goes to where the program wants it (PK-10).
//! * A thread is told from others by the port that it is bound to. Waits elsewhere (`thread::blocking`)
//!   tell that port that the thread is away, so that another one may run (CC-8): nothing has to be
//!   detected. So the thread remembers its port here.
//! * Whom packets wake is for no call to say, so the environment says it (`policy`).
//! * It ends when its last handle is closed, not when nobody refers to it: whoever waits is sent away
//!   (CX-9), what is queued is dropped (CX-10), and file objects go on without it (CX-11).

use std::cell::RefCell;
use std::env;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use overlapped_core::{Alert, GetError, Operation, OperationList, Options, WakePolicy};

use super::operation::Memory;
use super::{Object, Thread};
use crate::abi::{HANDLE, OVERLAPPED, OVERLAPPED_ENTRY};
use crate::error::Error;
use crate::handle;

pub(crate) struct Port {
    core: overlapped_core::Port,
}

thread_local! {
    /// The port that the thread is bound to (CC-3).
    static BOUND: RefCell<Option<Bound>> = const { RefCell::new(None) };
}

struct Bound {
    port: Arc<Port>,
    /// The handle that it was named by: it is looked up once.
    handle: HANDLE,
}

/// Waits for a packet of the port that a handle names.
#[inline]
pub(crate) fn get(handle: HANDLE, timeout: Option<Duration>) -> Result<Box<Memory>, Error> {
    let of_bound = BOUND.try_with(|bound| match &*bound.borrow() {
        Some(bound) if bound.handle == handle && handle::is_open(handle) => {
            Some(bound.port.get(timeout))
        }
        _ => None,
    });
    let result = match of_bound {
        Ok(Some(result)) => result,
        _ => get_unbound(handle, timeout),
    };
    if matches!(result, Err(Error::ABANDONED_WAIT_0 | Error::INVALID_HANDLE)) {
        leave_ended();
    }
    result
}

/// The same on a thread that was bound elsewhere.
#[cold]
fn get_unbound(handle: HANDLE, timeout: Option<Duration>) -> Result<Box<Memory>, Error> {
    bind(handle)?.get(timeout)
}

/// A port that has ended is nobody's any more; otherwise its descriptors stayed open for the thread's
/// life.
#[cold]
fn leave_ended() {
    let left = BOUND.try_with(|bound| {
        let ended = |bound: &Bound| bound.port.core.is_closed();
        let ended = bound.borrow().as_ref().is_some_and(ended);
        ended.then(|| bound.take())
    });
    drop(left);
}

/// The port that a handle names, remembered as the thread's.
fn bind(handle: HANDLE) -> Result<Arc<Port>, Error> {
    let port = handle::look(handle, |object| object.port().cloned())??;
    let bound = Bound {
        port: port.clone(),
        handle,
    };
    let before = BOUND.try_with(|current| current.replace(Some(bound)));
    drop(before);
    Ok(port)
}

/// Waits for packets of the port that a handle names, and takes as many as there are and have room
/// (GX-1). If the wait is alertable, calls that are queued to the thread end it, and are then to be run;
/// they go first on a thread that is not the port's yet (GX-6), and packets on one that is (GX-7).
pub(crate) fn get_many(
    handle: HANDLE,
    entries: &mut [OVERLAPPED_ENTRY],
    timeout: Option<Duration>,
    alertable: bool,
) -> Result<usize, Error> {
    let port = handle::look(handle, |object| object.port().cloned())??;
    let me = alertable.then(Thread::current);
    let pending = || me.as_ref().is_some_and(|me| me.apcs().pending());
    if !port.is_bound() && pending() {
        return Err(Error::WAIT_IO_COMPLETION);
    }
    bind(handle)?;
    match port.get_many(entries, timeout, me.as_deref()) {
        Err(Error::WAIT_TIMEOUT) if pending() => Err(Error::WAIT_IO_COMPLETION),
        Err(Error::ABANDONED_WAIT_0) => {
            leave_ended();
            Err(Error::ABANDONED_WAIT_0)
        }
        result => result,
    }
}

impl Port {
    /// As many threads may run as there are processors if `concurrency` is 0 (CC-1).
    pub(crate) fn new(concurrency: u32) -> Result<Port, Error> {
        let options = Options {
            concurrency: concurrency as usize,
            policy: policy(),
            ..Options::default()
        };
        let core = overlapped_core::Port::new(&options).map_err(|_| Error::NOT_ENOUGH_MEMORY)?;
        Ok(Port { core })
    }

    pub(crate) fn core(&self) -> &overlapped_core::Port {
        &self.core
    }

    #[inline(always)]
    fn get(&self, timeout: Option<Duration>) -> Result<Box<Memory>, Error> {
        let mut waits = Waits::new(timeout);
        loop {
            let operation = self.core.get(waits.left()).map_err(of_get)?;
            if let Some(packet) = packet(operation) {
                return Ok(packet);
            }
        }
    }

    /// `alerts`: a thread of which queued calls end the wait.
    fn get_many(
        &self,
        entries: &mut [OVERLAPPED_ENTRY],
        timeout: Option<Duration>,
        alerts: Option<&Thread>,
    ) -> Result<usize, Error> {
        let mut waits = Waits::new(timeout);
        loop {
            let mut taken = OperationList::new();
            let (most, left) = (entries.len(), waits.left());
            let result = match alerts {
                None => self.core.get_many(&mut taken, most, left),
                Some(thread) => {
                    let arm =
                        |alert: Alert| thread.apcs().wake_with(Arc::new(move || alert.raise()));
                    let result = self.core.get_many_alertable(&mut taken, most, left, arm);
                    // Woken late, for a call that has been run since.
                    let mut is_over =
                        || thread.apcs().pending() || waits.left() == Some(Duration::ZERO);
                    if matches!(result, Err(GetError::TimedOut)) && !is_over() {
                        continue;
                    }
                    result
                }
            };
            result.map_err(of_get)?;
            let mut count = 0;
            for packet in taken.filter_map(packet) {
                entries[count] = OVERLAPPED_ENTRY {
                    lpCompletionKey: packet.key,
                    lpOverlapped: packet.overlapped,
                    Internal: packet.status().code() as u32 as usize,
                    dwNumberOfBytesTransferred: packet.bytes() as u32,
                };
                packet.give_back();
                count += 1;
            }
            if count > 0 {
                return Ok(count);
            }
        }
    }

    /// Queues a packet of the program's.
    pub(crate) fn post(
        &self,
        overlapped: *mut OVERLAPPED,
        key: usize,
        bytes: usize,
    ) -> Result<(), Error> {
        let operation = Memory::posted(overlapped, key, bytes).into_core();
        self.core.post(operation).map_err(|_| Error::INVALID_HANDLE)
    }

    /// Queues the packet of an operation that has ended; a port that has ended drops it.
    pub(crate) fn pass_on(&self, memory: Box<Memory>) {
        drop(self.core.post(memory.into_core()));
    }

    pub(crate) fn close(&self) {
        self.core.close();
    }

    /// Whether the calling thread is this port's.
    fn is_bound(self: &Arc<Self>) -> bool {
        let is = |bound: &RefCell<Option<Bound>>| match &*bound.borrow() {
            Some(bound) => Arc::ptr_eq(&bound.port, self),
            None => false,
        };
        BOUND.try_with(is).unwrap_or(false)
    }
}

/// Whom packets wake: who is worth it, or by the letter of CC-7.
fn policy() -> WakePolicy {
    static POLICY: OnceLock<WakePolicy> = OnceLock::new();
    *POLICY.get_or_init(|| {
        match env::var_os("OVERLAPPED_WAKE").is_some_and(|value| value == "windows") {
            true => WakePolicy::Windows,
            false => WakePolicy::default(),
        }
    })
}

/// The time that a wait for a packet may take, over all of its parts.
struct Waits {
    timeout: Option<Duration>,
    /// When it is over; known once the first part has begun.
    until: Option<Instant>,
}

impl Waits {
    #[inline]
    fn new(timeout: Option<Duration>) -> Self {
        Waits {
            timeout,
            until: None,
        }
    }

    /// How long the next part may take.
    #[inline]
    fn left(&mut self) -> Option<Duration> {
        let timeout = self.timeout?;
        if timeout.is_zero() {
            return self.timeout;
        }
        match self.until {
            Some(until) => Some(until.saturating_duration_since(Instant::now())),
            None => {
                self.until = Instant::now().checked_add(timeout);
                self.timeout
            }
        }
    }
}

/// Runs `f`, which may wait, with the thread's place in its port given to another (CC-8).
pub(crate) fn blocking<R>(f: impl FnOnce() -> R) -> R {
    let port = BOUND.try_with(|bound| bound.borrow().as_ref().map(|bound| bound.port.clone()));
    match port.ok().flatten() {
        Some(port) => port.core.blocking(f),
        None => f(),
    }
}

/// The packet of an operation that has come out, to be read and then given back; `None` if it goes
/// on, or has no packet.
#[inline(always)]
fn packet(operation: Operation) -> Option<Box<Memory>> {
    Memory::from_core(operation).settle()?.taken()
}

fn of_get(error: GetError) -> Error {
    match error {
        GetError::TimedOut => Error::WAIT_TIMEOUT,
        GetError::Closed => Error::ABANDONED_WAIT_0,
        _ => Error::NOT_ENOUGH_MEMORY,
    }
}

impl From<Port> for Object {
    fn from(port: Port) -> Self {
        Object::Port(Arc::new(port))
    }
}
