//! The port: a kernel handle, and the count of what is in flight.

use std::collections::HashMap;
use std::io;
use std::os::windows::io::OwnedHandle;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use overlapped_queue::Fifo;
use smallvec::SmallVec;
use windows_sys::Win32::Foundation::{
    CloseHandle, FALSE, GetLastError, HANDLE, INVALID_HANDLE_VALUE, WAIT_TIMEOUT,
};
use windows_sys::Win32::System::IO::{
    CreateIoCompletionPort, GetQueuedCompletionStatusEx, OVERLAPPED, OVERLAPPED_ENTRY,
    PostQueuedCompletionStatus,
};
use windows_sys::Win32::System::Threading::INFINITE;

use super::Parked;
use super::clock::Clock;
use super::file::{File, FileState};
use super::overlapped::Whose;
use super::socket::{Socket, SocketState};
use super::status;
use crate::endpoint::Endpoint;
use crate::operation::{Header, Operation, OperationList};
use crate::pool::Pool;
use crate::port::limited::Limited;
use crate::port::tally::Tally;
use crate::port::timers::{self, Beat, Due, Key};
use crate::trace::{self, PortNumber};
use crate::{FileStats, GetError, Kind, Options, Refused, Stats, Status, Token};

/// The untyped completion port: the kernel's.
#[derive(Clone)]
pub struct Port {
    inner: Arc<PortInner>,
}

pub(crate) struct PortInner {
    number: PortNumber,
    handle: HANDLE,
    concurrency: usize,
    closed: AtomicBool,
    /// Operations that the kernel has, or that are queued.
    in_flight: AtomicUsize,
    /// Threads that wait.
    waiting: AtomicUsize,
    /// Who is told when none does, and whether.
    keeper: OnceLock<Box<dyn Fn() + Send + Sync>>,
    vigil: AtomicBool,
    /// Open sockets, counted.
    sockets: Limited,
    /// Those that there are, for the end of the port.
    known: Mutex<HashMap<u64, Weak<SocketState>>>,
    known_files: Mutex<HashMap<u64, Weak<FileState>>>,
    clock: Arc<Clock>,
    pool: Pool,
    linger_for: Duration,
}

// SAFETY: a port's handle may be used from any thread.
unsafe impl Send for PortInner {}
// SAFETY: as above, and by several at once.
unsafe impl Sync for PortInner {}

impl Drop for PortInner {
    fn drop(&mut self) {
        drop(self.clock.end());
        // SAFETY: the handle is ours, and nobody waits on it: whoever does holds a reference.
        unsafe { CloseHandle(self.handle) };
    }
}

/// How many packets are taken in one call at most.
const BATCH: usize = 64;

type Entries = SmallVec<[OVERLAPPED_ENTRY; 1]>;

impl Port {
    /// Makes a port.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn new(options: &Options) -> io::Result<Port> {
        let concurrency = match options.concurrency {
            // Not the system's meaning of 0, which knows no affinity mask.
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            n => n,
        };
        let threads = u32::try_from(concurrency).unwrap_or(u32::MAX);
        // SAFETY: no pointers are involved.
        let handle =
            unsafe { CreateIoCompletionPort(INVALID_HANDLE_VALUE, null_mut(), 0, threads) };
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        let inner = PortInner {
            number: PortNumber::next(),
            handle,
            concurrency,
            closed: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            keeper: OnceLock::new(),
            vigil: AtomicBool::new(false),
            sockets: Limited::new(options.max_sockets),
            known: Mutex::default(),
            known_files: Mutex::default(),
            clock: Clock::new(),
            pool: Pool::new(options.pool_limit),
            linger_for: options.linger,
        };
        let port = Port {
            inner: Arc::new(inner),
        };
        trace::port_made(&port, options);
        Ok(port)
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
    pub fn associate(&self, endpoint: Endpoint) -> Result<Socket, (io::Error, Endpoint)> {
        if self.inner.is_closed() {
            return Err((GetError::Closed.into(), endpoint));
        }
        let state = SocketState::associate(&self.inner, endpoint)?;
        let weak = Arc::downgrade(&state);
        self.inner.known().insert(state.number(), weak);
        Ok(Socket::new(state))
    }

    /// Associates an open file.
    ///
    /// # Errors
    ///
    /// The handle comes back with the reason.
    pub fn associate_file(&self, handle: OwnedHandle) -> Result<File, (io::Error, OwnedHandle)> {
        if self.inner.is_closed() {
            return Err((GetError::Closed.into(), handle));
        }
        FileState::associate(&self.inner, handle).map(|state| self.known_file(state))
    }

    /// A file for an open to open.
    pub fn unopened_file(&self) -> File {
        self.known_file(FileState::unopened(&self.inner))
    }

    fn known_file(&self, state: Arc<FileState>) -> File {
        let weak = Arc::downgrade(&state);
        self.inner.known_files().insert(state.number(), weak);
        File::new(state)
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
    /// The operation comes back when the port is closed, or there is no memory or no thread.
    pub fn start_timer(&self, mut operation: Operation, after: Duration) -> Result<Token, Refused> {
        *operation.beat() = None;
        let at = self.inner.clock.after(after);
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
        let clock = &self.inner.clock;
        let Some(beat) = Beat::of(&mut operation, period, || clock.now()) else {
            let status = Status::INVALID_PARAMETER;
            return Err(Refused { status, operation });
        };
        self.inner.start_timer(operation, beat.next())
    }

    /// Cancels a timer; `false` if it is not under way (CX-2).
    pub fn cancel_timer(&self, token: Token) -> bool {
        let Some(operation) = self.inner.clock.timers.cancel(token) else {
            return false;
        };
        self.inner.post_surely(operation);
        true
    }

    /// Waits for a packet; `None` waits for ever, zero only looks.
    ///
    /// # Errors
    ///
    /// When there was none in time, or the port is closed.
    pub fn get(&self, timeout: Option<Duration>) -> Result<Operation, GetError> {
        let mut one = OperationList::new();
        self.get_many(&mut one, 1, timeout)?;
        Ok(one.pop().expect("at least one was taken"))
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
        // A time that is beyond the clock is for ever.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let mut taken = OperationList::new();
            let result = inner.wait(&mut taken, most, deadline);
            if inner.is_closed() {
                // The next that waits is told, too; what was taken is dropped.
                inner.stop_a_waiter();
                return Err(GetError::Closed);
            }
            let came = result.map_err(GetError::Failed)?;
            let count = taken.len();
            if count > 0 {
                into.append(&mut taken);
                return Ok(count);
            }
            if !came && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(GetError::TimedOut);
            }
        }
    }

    /// Runs `f`: the kernel notices by itself when it blocks.
    pub fn blocking<R>(&self, f: impl FnOnce() -> R) -> R {
        f()
    }

    /// Ends the port; see the module's introduction.
    pub fn close(&self) {
        let inner = &*self.inner;
        if inner.closed.swap(true, SeqCst) {
            return;
        }
        let due: Vec<Due> = inner.clock.end().collect();
        drop(inner.pool.end());
        inner.stop_a_waiter();
        let mut left = OperationList::new();
        while inner.in_flight.load(SeqCst) > 0 {
            // Not only once: what the system would not cancel at one time it may at another.
            inner.abandon(&mut left);
            // Others may take some of them; so not for ever. An error is no reason to give up what
            // the system still writes to.
            if inner.take(&mut left, BATCH, 10).is_err() {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        inner.abandon(&mut left);
        // The loop may have taken the stop packet that was meant for another.
        inner.stop_a_waiter();
        // At the end, because this runs subscribers and destructors of the user's, which may panic.
        trace::port_closed(inner.number);
        drop(due);
        drop(left);
    }

    /// Whether [`close`](Port::close) was called.
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    /// Says who is told, from now on, each time the port becomes *deserted*: nobody waits for its
    /// packets. Nothing is told before [`keep_vigil`](Port::keep_vigil). `false` if somebody is
    /// already.
    pub fn set_keeper(&self, keeper: impl Fn() + Send + Sync + 'static) -> bool {
        self.inner.keeper.set(Box::new(keeper)).is_ok()
    }

    /// Whether the keeper is to be told. It is not told of what is so already: look afterwards.
    pub fn keep_vigil(&self, keep: bool) {
        self.inner.vigil.store(keep, SeqCst);
    }

    /// Whether nobody waits, and the port is open.
    pub fn is_deserted(&self) -> bool {
        !self.inner.is_closed() && self.inner.waiting.load(SeqCst) == 0
    }

    /// The operations that are under way, by kind. Visits all sockets, so that starting and ending an
    /// operation need not count.
    pub fn under_way(&self) -> Vec<(Kind, usize)> {
        let mut tally = Tally::default();
        for socket in self.inner.all_sockets() {
            socket.visit(|kind| tally.count(kind, 1));
        }
        for file in self.inner.all_files() {
            file.visit(|kind, _| tally.count(kind, 1));
        }
        tally.count(Kind::Timer, self.inner.clock.timers.operations());
        tally.sorted()
    }

    /// A snapshot of the counts. Of its queue the kernel tells the length only.
    pub fn stats(&self) -> Stats {
        let inner = &*self.inner;
        Stats {
            engine: "iocp",
            engine_reason: "it is the system's own".into(),
            notice: "the kernel",
            notice_reason: "it is the kernel's own port".into(),
            sockets: inner.sockets.count(),
            timers: inner.clock.timers.len(),
            files: inner.file_stats(),
            pool: inner.pool.stats(),
            concurrency: inner.concurrency,
            waiting: inner.waiting.load(SeqCst),
            queued: inner.depth(),
            queue: None,
        }
    }
}

impl PortInner {
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    pub(super) fn sockets(&self) -> &Limited {
        &self.sockets
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u64, Weak<SocketState>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A socket is no more.
    pub(super) fn forget(&self, number: u64) {
        self.known().remove(&number);
    }

    fn known_files(&self) -> MutexGuard<'_, HashMap<u64, Weak<FileState>>> {
        self.known_files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A file is no more.
    pub(super) fn forget_file(&self, number: u64) {
        self.known_files().remove(&number);
    }

    /// To be visited without the lock: the last reference may be the one here.
    fn all_sockets(&self) -> Vec<Arc<SocketState>> {
        self.known().values().filter_map(Weak::upgrade).collect()
    }

    fn all_files(&self) -> Vec<Arc<FileState>> {
        let known = self.known_files();
        known.values().filter_map(Weak::upgrade).collect()
    }

    fn abandon(&self, left: &mut OperationList) {
        for socket in self.all_sockets() {
            socket.abandon(left);
        }
        for file in self.all_files() {
            file.abandon(left);
        }
    }

    fn file_stats(&self) -> FileStats {
        let (mut waiting, mut running) = (0, 0);
        for file in self.all_files() {
            file.visit(|_, performed| match performed {
                true => running += 1,
                false => waiting += 1,
            });
        }
        FileStats {
            engine: "iocp",
            reason: "it is the system's own".into(),
            waiting,
            running,
        }
    }

    /// Associates a handle with the kernel's port.
    pub(super) fn adopt(&self, handle: HANDLE) -> io::Result<()> {
        // The key is not used: the operation knows its socket.
        // SAFETY: the port's handle is open; the other is looked at only.
        if unsafe { CreateIoCompletionPort(handle, self.handle, 0, 0) }.is_null() {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    // ---- packets -------------------------------------------------------------------------------

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
        self.queue(operation).inspect_err(|_| self.arrive())
    }

    /// Posts what must not be lost for want of memory; only a port that has ended drops it.
    pub(super) fn post_surely(&self, operation: Operation) {
        if self.depart() {
            self.queue_surely(operation);
        }
    }

    /// Queues an operation that has departed and ended.
    pub(super) fn queue_surely(&self, mut operation: Operation) {
        while let Err(back) = self.queue(operation) {
            // For want of the kernel's memory.
            operation = back;
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn queue(&self, operation: Operation) -> Result<(), Operation> {
        debug_assert!(matches!(operation.overlapped.whose, Whose::Nobody));
        let header = operation.into_raw();
        // SAFETY: the kernel does not look into what is posted; the memory comes back with the
        // packet.
        let posted = unsafe {
            PostQueuedCompletionStatus(self.handle, 0, 0, header.cast::<OVERLAPPED>().as_ptr())
        };
        if posted == 0 {
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

    /// Waits until the deadline for packets; whether any came, stop packets among them.
    fn wait(
        &self,
        into: &mut OperationList,
        most: usize,
        deadline: Option<Instant>,
    ) -> io::Result<bool> {
        let milliseconds = deadline.map_or(INFINITE, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            let rounded_up = left.as_nanos().div_ceil(1_000_000);
            u32::try_from(rounded_up).map_or(INFINITE - 1, |ms| ms.min(INFINITE - 1))
        });
        // In this order: whoever ends the port sets the flag and then looks who waits.
        self.waiting.fetch_add(1, SeqCst);
        let result = if self.is_closed() {
            Ok(false)
        } else {
            self.take(into, most, milliseconds)
        };
        if self.waiting.fetch_sub(1, SeqCst) == 1
            && self.vigil.load(SeqCst)
            && let Some(keeper) = self.keeper.get()
        {
            keeper();
        }
        result
    }

    /// Takes packets out of the kernel's queue.
    fn take(&self, into: &mut OperationList, most: usize, milliseconds: u32) -> io::Result<bool> {
        let mut entries: Entries = SmallVec::new();
        entries.resize_with(most.min(BATCH), OVERLAPPED_ENTRY::default);
        let mut count = 0;
        // SAFETY: there are as many entries as it says, and the count lives for the call.
        let ok = unsafe {
            GetQueuedCompletionStatusEx(
                self.handle,
                entries.as_mut_ptr(),
                entries.len() as u32,
                &mut count,
                milliseconds,
                FALSE,
            )
        };
        if ok == 0 {
            // SAFETY: no pointers are involved.
            return match unsafe { GetLastError() } {
                WAIT_TIMEOUT => Ok(false),
                error => Err(io::Error::from_raw_os_error(error as i32)),
            };
        }
        for entry in &entries[..count as usize] {
            if let Some(header) = NonNull::new(entry.lpOverlapped.cast::<Header>()) {
                // SAFETY: the address is that of an operation whose memory was given up when it
                // was started or posted, and the kernel is done with it.
                let operation = unsafe { Operation::from_raw(header) };
                // The packet's own status (GX-2), which the operation's structure holds too by now;
                // but under Wine not when the thread that started it has exited (PK-10).
                let code = entry.Internal as u32 as i32;
                let bytes = entry.dwNumberOfBytesTransferred as usize;
                if let Some(operation) = self.landed(operation, code, bytes) {
                    into.push(operation);
                }
            }
        }
        Ok(true)
    }

    /// An operation has come back with its packet, and is over or not.
    fn landed(&self, mut operation: Operation, code: i32, bytes: usize) -> Option<Operation> {
        match std::mem::take(&mut operation.overlapped.whose) {
            Whose::Nobody => {}
            Whose::Socket(socket) => {
                operation = socket.land(operation, status::of_packet(code), bytes)?;
                self.lift_deadline(&mut operation);
            }
            Whose::File(file) => {
                file.land(&mut operation, status::of_packet(code), bytes);
                self.lift_deadline(&mut operation);
            }
        }
        self.arrive();
        Some(operation)
    }

    // ---- the pool ------------------------------------------------------------------------------

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Sockets for which there are buffers now go on.
    pub(crate) fn push_all(&self, unparked: &mut Parked) {
        while let Some(socket) = unparked.pop() {
            socket.go_on(unparked);
        }
    }

    /// There is no fork.
    pub(crate) fn is_forked(&self) -> bool {
        false
    }

    /// How many packets are queued; 0 if the system does not say.
    fn depth(&self) -> usize {
        #[link(name = "ntdll")]
        unsafe extern "system" {
            fn NtQueryIoCompletion(
                port: HANDLE,
                class: i32,
                information: *mut core::ffi::c_void,
                length: u32,
                returned: *mut u32,
            ) -> i32;
        }
        const BASIC: i32 = 0;
        let mut depth = 0u32;
        // SAFETY: the depth is what this class writes, and lives for the call.
        let status = unsafe {
            NtQueryIoCompletion(
                self.handle,
                BASIC,
                (&raw mut depth).cast(),
                size_of::<u32>() as u32,
                null_mut(),
            )
        };
        if status < 0 { 0 } else { depth as usize }
    }

    // ---- time ----------------------------------------------------------------------------------

    fn start_timer(self: &Arc<Self>, operation: Operation, at: u64) -> Result<Token, Refused> {
        match self.clock.schedule(self, at, Due::Timer(operation)) {
            Ok(key) => Ok(timers::token(key)),
            Err((status, Due::Timer(operation))) => Err(Refused { status, operation }),
            Err(_) => unreachable!("it was a timer"),
        }
    }

    /// Has something done after this long.
    pub(super) fn schedule_after(
        self: &Arc<Self>,
        duration: Duration,
        due: Due,
    ) -> Result<Key, (Status, Due)> {
        self.clock.schedule(self, self.clock.after(duration), due)
    }

    pub(super) fn unschedule(&self, key: Key) {
        self.clock.timers.remove(key);
    }

    /// Takes the deadline of an operation out, if it has one.
    pub(super) fn lift_deadline(&self, operation: &mut Operation) {
        if let Some(key) = operation.take_deadline() {
            self.clock.timers.remove(key);
        }
    }

    pub(super) fn linger_for(&self) -> Duration {
        self.linger_for
    }
}
