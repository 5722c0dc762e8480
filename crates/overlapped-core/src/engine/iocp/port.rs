//! The port: a kernel handle, and the count of what is in flight.

use std::io;
use std::os::windows::io::AsRawSocket;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    CloseHandle, GetLastError, HANDLE, INVALID_HANDLE_VALUE, WAIT_TIMEOUT,
};
use windows_sys::Win32::System::IO::{
    CreateIoCompletionPort, GetQueuedCompletionStatus, OVERLAPPED, PostQueuedCompletionStatus,
};
use windows_sys::Win32::System::Threading::INFINITE;

use super::socket::{Socket, SocketState};
use crate::endpoint::Endpoint;
use crate::operation::{Header, Kind, Operation, OperationList};
use crate::{GetError, Options, QueueStats, Refused, Stats, Status, Token};

/// The untyped completion port: the kernel's.
#[derive(Clone)]
pub struct Port {
    inner: Arc<PortInner>,
}

pub(super) struct PortInner {
    handle: HANDLE,
    closed: AtomicBool,
    /// Operations that the kernel has, or that are queued.
    in_flight: AtomicUsize,
    waiting: AtomicUsize,
    sockets: Mutex<Vec<Weak<SocketState>>>,
    max_sockets: usize,
}

// SAFETY: a port's handle may be used from any thread.
unsafe impl Send for PortInner {}
// SAFETY: as above, and by several at once.
unsafe impl Sync for PortInner {}

impl Drop for PortInner {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, and nobody waits on it: whoever does holds a reference.
        unsafe { CloseHandle(self.handle) };
    }
}

impl Port {
    /// Makes a port.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn new(options: &Options) -> io::Result<Port> {
        let threads = u32::try_from(options.concurrency).unwrap_or(u32::MAX);
        // SAFETY: no pointers are involved.
        let handle =
            unsafe { CreateIoCompletionPort(INVALID_HANDLE_VALUE, null_mut(), 0, threads) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        let inner = PortInner {
            handle,
            closed: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            sockets: Mutex::default(),
            max_sockets: options.max_sockets,
        };
        Ok(Port {
            inner: Arc::new(inner),
        })
    }

    /// Associates an endpoint (PO-4).
    ///
    /// # Errors
    ///
    /// The endpoint comes back with the reason.
    pub fn associate(&self, endpoint: Endpoint) -> Result<Socket, (io::Error, Endpoint)> {
        if self.inner.is_closed() {
            return Err((GetError::Closed.into(), endpoint));
        }
        let mut sockets = self.inner.sockets();
        sockets.retain(|socket| socket.strong_count() > 0);
        if sockets.len() >= self.inner.max_sockets {
            return Err((crate::too_many_sockets(self.inner.max_sockets), endpoint));
        }
        let Endpoint::Os(socket) = endpoint;
        let raw = socket.as_raw_socket() as HANDLE;
        // SAFETY: both handles are open.
        let result = unsafe { CreateIoCompletionPort(raw, self.inner.handle, 0, 0) };
        if result.is_null() {
            return Err((io::Error::last_os_error(), Endpoint::Os(socket)));
        }
        let state = SocketState::new(self.inner.clone(), socket);
        sockets.push(Arc::downgrade(&state));
        drop(sockets);
        Ok(Socket::new(state))
    }

    /// Queues an operation as it is (PQ-1).
    ///
    /// # Errors
    ///
    /// A closed port gives it back.
    pub fn post(&self, operation: Operation) -> Result<(), Operation> {
        self.inner.post(operation)
    }

    /// Refused: this engine has no timers yet.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn start_timer(&self, operation: Operation, _after: Duration) -> Result<Token, Refused> {
        let status = Status::NOT_SUPPORTED;
        Err(Refused { status, operation })
    }

    /// Refused, as [`start_timer`](Port::start_timer).
    ///
    /// # Errors
    ///
    /// Always.
    pub fn start_interval(&self, operation: Operation, period: Duration) -> Result<Token, Refused> {
        self.start_timer(operation, period)
    }

    /// `false`: there are none.
    pub fn cancel_timer(&self, _token: Token) -> bool {
        false
    }

    /// Waits for a packet; `None` waits for ever, zero only looks.
    ///
    /// # Errors
    ///
    /// When there was none in time, or the port is closed.
    pub fn get(&self, timeout: Option<Duration>) -> Result<Operation, GetError> {
        let milliseconds = timeout.map_or(INFINITE, |timeout| {
            let rounded_up = timeout.as_nanos().div_ceil(1_000_000);
            u32::try_from(rounded_up)
                .unwrap_or(INFINITE - 1)
                .min(INFINITE - 1)
        });
        if self.inner.is_closed() {
            return Err(GetError::Closed);
        }
        self.inner.waiting.fetch_add(1, SeqCst);
        let dequeued = self.inner.dequeue(milliseconds);
        self.inner.waiting.fetch_sub(1, SeqCst);
        if self.inner.is_closed() {
            // Dropped, if there is one; and the next that waits is told, too.
            drop(dequeued);
            self.inner.stop_a_waiter();
            return Err(GetError::Closed);
        }
        dequeued?.ok_or(GetError::TimedOut)
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
        into.push(self.get(timeout)?);
        let mut taken = 1;
        while taken < most
            && let Ok(operation) = self.get(Some(Duration::ZERO))
        {
            into.push(operation);
            taken += 1;
        }
        Ok(taken)
    }

    /// Runs `f`: the kernel notices by itself when it blocks.
    pub fn blocking<R>(&self, f: impl FnOnce() -> R) -> R {
        f()
    }

    /// Ends the port; see the module's introduction.
    pub fn close(&self) {
        if self.inner.closed.swap(true, SeqCst) {
            return;
        }
        let sockets = std::mem::take(&mut *self.inner.sockets());
        for socket in sockets.iter().filter_map(Weak::upgrade) {
            socket.cancel_all();
        }
        self.inner.stop_a_waiter();
        while self.inner.in_flight.load(SeqCst) > 0 {
            // Others may take some of them; so not for ever.
            drop(self.inner.dequeue(10));
        }
        // The loop may have taken the stop packet that was meant for another.
        self.inner.stop_a_waiter();
    }

    /// Whether [`close`](Port::close) was called.
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    /// What is known: the kernel does not tell the queue's counts.
    pub fn stats(&self) -> Stats {
        Stats {
            engine: "iocp",
            engine_reason: "it is the system's own",
            sockets: self
                .inner
                .sockets()
                .iter()
                .filter(|s| s.strong_count() > 0)
                .count(),
            timers: 0,
            files: crate::FileStats::default(),
            queue: QueueStats::default(),
        }
    }
}

impl PortInner {
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    fn sockets(&self) -> std::sync::MutexGuard<'_, Vec<Weak<SocketState>>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation that is about to be given to the kernel, unless the port has ended.
    pub(super) fn depart(&self) -> bool {
        self.in_flight.fetch_add(1, SeqCst);
        // In this order: whoever ends the port sets the flag and then reads the count.
        if self.is_closed() {
            self.arrive();
            return false;
        }
        true
    }

    /// It has come back.
    pub(super) fn arrive(&self) {
        self.in_flight.fetch_sub(1, SeqCst);
    }

    pub(super) fn post(&self, operation: Operation) -> Result<(), Operation> {
        if !self.depart() {
            return Err(operation);
        }
        let header = operation.into_raw();
        // SAFETY: the kernel does not look into what is posted; the memory comes back with the
        // packet.
        let posted = unsafe {
            PostQueuedCompletionStatus(self.handle, 0, 0, header.cast::<OVERLAPPED>().as_ptr())
        };
        if posted == 0 {
            self.arrive();
            // SAFETY: nothing was queued, so it is still ours.
            return Err(unsafe { Operation::from_raw(header) });
        }
        Ok(())
    }

    /// Wakes one waiting thread with a packet without an operation.
    fn stop_a_waiter(&self) {
        if self.waiting.load(SeqCst) > 0 {
            // SAFETY: no pointers are involved.
            unsafe { PostQueuedCompletionStatus(self.handle, 0, 0, null_mut()) };
        }
    }

    /// Takes a packet; `None` if none came in time, or a stop packet did.
    fn dequeue(&self, milliseconds: u32) -> Result<Option<Operation>, GetError> {
        let (mut bytes, mut key, mut overlapped) = (0, 0, null_mut());
        // SAFETY: the pointers are valid for the call.
        let ok = unsafe {
            GetQueuedCompletionStatus(
                self.handle,
                &mut bytes,
                &mut key,
                &mut overlapped,
                milliseconds,
            )
        };
        let Some(header) = NonNull::new(overlapped.cast::<Header>()) else {
            // SAFETY: no pointers are involved.
            return match (ok, unsafe { GetLastError() }) {
                (0, WAIT_TIMEOUT) | (1.., _) => Ok(None),
                (_, error) => Err(GetError::Failed(io::Error::from_raw_os_error(error as i32))),
            };
        };
        // SAFETY: the address is that of an operation whose memory was given up when it was
        // started, and the kernel is done with it.
        let mut operation = unsafe { Operation::from_raw(header) };
        if operation.kind() != Kind::Post {
            let status = operation.overlapped.status();
            if let Some(socket) = operation.overlapped.socket.take() {
                socket.landed(operation.id());
            }
            operation.finish(status, bytes as usize);
        }
        self.arrive();
        Ok(Some(operation))
    }
}
