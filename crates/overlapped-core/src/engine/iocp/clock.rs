//! Time: a thread that posts what is due.
//!
//! The kernel's port knows no timers. So a port that has any, or deadlines, has a thread that
//! sleeps until the earliest of them and posts its packet, or has its operation cancelled; it is
//! started with the first. The timers themselves are those of the other engines (`port/timers/`);
//! here the thread has the leader's part.
//!
//! It sleeps on a waitable timer, of high resolution where the system has that (Windows 10 1803),
//! because the usual one ticks every 15 ms; an event wakes it when something earlier is added.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{FALSE, HANDLE};
use windows_sys::Win32::System::Threading::{
    CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, CreateEventW, CreateWaitableTimerExW, INFINITE,
    SetEvent, SetWaitableTimer, TIMER_ALL_ACCESS, WaitForMultipleObjects,
};

use super::port::PortInner;
use crate::Status;
use crate::operation::Operation;
use crate::port::timers::{Due, Key, Timers, nanoseconds};

pub(super) struct Clock {
    pub(super) timers: Timers,
    epoch: Instant,
    ended: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

struct Thread {
    handle: JoinHandle<()>,
    wake: Arc<OwnedHandle>,
}

impl Clock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Clock {
            timers: Timers::new(),
            epoch: Instant::now(),
            ended: AtomicBool::new(false),
            thread: Mutex::default(),
        })
    }

    /// Nanoseconds since the port was made.
    pub(super) fn now(&self) -> u64 {
        nanoseconds(self.epoch.elapsed())
    }

    /// So long from now.
    pub(super) fn after(&self, duration: Duration) -> u64 {
        self.now().saturating_add(nanoseconds(duration))
    }

    /// Adds something to be done at a time; it comes back if there is no memory or no thread for
    /// it, or the port has ended.
    pub(super) fn schedule(
        self: &Arc<Self>,
        port: &Arc<PortInner>,
        at: u64,
        due: Due,
    ) -> Result<Key, (Status, Due)> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() && !self.ended.load(SeqCst) {
            match self.spawn(Arc::downgrade(port)) {
                Ok(spawned) => *thread = Some(spawned),
                Err(_) => return Err((Status::INSUFFICIENT_RESOURCES, due)),
            }
        }
        let (key, thread_is_late) = self.timers.add(at, due)?;
        if thread_is_late && let Some(thread) = &*thread {
            thread.wake();
        }
        Ok(key)
    }

    fn spawn(self: &Arc<Self>, port: Weak<PortInner>) -> io::Result<Thread> {
        let alarm = waitable_timer()?;
        // SAFETY: no attributes and no name: no pointers are involved.
        let event = unsafe { CreateEventW(null(), FALSE, FALSE, null()) };
        let wake = Arc::new(owned(event)?);
        let (clock, event) = (self.clone(), wake.clone());
        let handle = std::thread::Builder::new()
            .name("overlapped-clock".into())
            .spawn(move || clock.run(&port, &alarm, &event))?;
        Ok(Thread { handle, wake })
    }

    fn run(&self, port: &Weak<PortInner>, alarm: &OwnedHandle, wake: &OwnedHandle) {
        loop {
            sleep(alarm, wake, self.timers.bound(None, || self.now()));
            let due = self.timers.back();
            if self.ended.load(SeqCst) {
                return;
            }
            if due {
                let Some(port) = port.upgrade() else {
                    return;
                };
                self.expire(&port);
            }
        }
    }

    /// Does what is due.
    fn expire(&self, port: &PortInner) {
        let now = self.now();
        while let Some((_, due)) = self.timers.pop(now) {
            match due {
                Due::Timer(mut operation) => {
                    let expired = ticks(&mut operation, now);
                    operation.finish(Status::SUCCESS, expired);
                    port.post_surely(operation);
                }
                Due::Deadline(socket, operation) => {
                    if let Some(socket) = socket.upgrade() {
                        socket.end_one(operation, Status::IO_TIMEOUT);
                    }
                }
                Due::File(file, operation) => {
                    if let Some(file) = file.upgrade() {
                        file.end_one(operation, Status::IO_TIMEOUT);
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

    /// Ends the thread; what was not due yet comes back, to be dropped without a lock.
    pub(super) fn end(&self) -> impl Iterator<Item = Due> + use<> {
        self.ended.store(true, SeqCst);
        let left = self.timers.end();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            thread.wake();
            // The thread itself may be who drops the port's last handle.
            if thread.handle.thread().id() != std::thread::current().id() {
                // It panics if a destructor of the user's does, and has told of it.
                let _ = thread.handle.join();
            }
        }
        left
    }
}

impl Thread {
    fn wake(&self) {
        // SAFETY: the event is open.
        unsafe { SetEvent(self.wake.as_raw_handle()) };
    }
}

fn ticks(operation: &mut Operation, now: u64) -> usize {
    let ticks = operation
        .beat()
        .as_mut()
        .map_or(1, |beat| beat.advance(now));
    usize::try_from(ticks).unwrap_or(usize::MAX)
}

fn waitable_timer() -> io::Result<OwnedHandle> {
    let make = |flags| {
        // SAFETY: no attributes and no name: no pointers are involved.
        let timer = unsafe { CreateWaitableTimerExW(null(), null(), flags, TIMER_ALL_ACCESS) };
        owned(timer)
    };
    make(CREATE_WAITABLE_TIMER_HIGH_RESOLUTION).or_else(|_| make(0))
}

/// Takes over a handle that a call has just made.
fn owned(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and nobody else's.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// Sleeps until the time is over or somebody wakes the thread; too short a sleep does no harm.
fn sleep(alarm: &OwnedHandle, wake: &OwnedHandle, timeout: Option<Duration>) {
    let mut handles = [wake.as_raw_handle(), null_mut()];
    let mut count = 1;
    if let Some(timeout) = timeout {
        let hundreds = i64::try_from(timeout.as_nanos().div_ceil(100)).unwrap_or(i64::MAX);
        // SAFETY: the timer is open, and the time lives for the call.
        if unsafe { SetWaitableTimer(alarm.as_raw_handle(), &-hundreds, 0, None, null(), FALSE) }
            != 0
        {
            handles[1] = alarm.as_raw_handle();
            count = 2;
        } else {
            // It cannot fail on a timer of ours; if it does, time passes in the slow way.
            return std::thread::sleep(timeout.min(Duration::from_millis(1)));
        }
    }
    // SAFETY: the handles are open, and as many as it says.
    unsafe { WaitForMultipleObjects(count, handles.as_ptr(), FALSE, INFINITE) };
}
