//! Opening, closing and synchronising: calls that block, made by the system's thread pool.
//!
//! The kernel has no overlapped calls for these. So the operation waits in a table of its file until
//! a thread of the pool takes it up, makes the call, and posts the packet. One that waits ends at once
//! when it is cancelled or its time is up. Of one that a thread performs the call is cancelled
//! (`CancelSynchronousIo`), and the packet says what became of it: not every call heeds that. A
//! close is never cancelled.
//!
//! The port does not count these operations as in flight, since the kernel has nothing of them. So a
//! port that ends does not wait for a disk; the memory of what is being performed then is given back
//! a little later, by the thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null;
use std::sync::Arc;

use windows_sys::Win32::Foundation::{CloseHandle, FALSE, GetLastError};
use windows_sys::Win32::Storage::FileSystem::FlushFileBuffers;
use windows_sys::Win32::System::IO::CancelSynchronousIo;
use windows_sys::Win32::System::Threading::{
    GetCurrentThreadId, OpenThread, PTP_CALLBACK_INSTANCE, THREAD_TERMINATE,
    TrySubmitThreadpoolCallback,
};

use super::file::{FileState, OpenFile};
use super::status;
use crate::Status;
use crate::operation::{Kind, Operation, OperationList};

/// The jobs of one file, under its lock.
#[derive(Default)]
pub(super) struct Jobs(Vec<Job>);

pub(super) struct Job {
    number: u64,
    kind: Kind,
    stage: Stage,
}

enum Stage {
    Waiting(Operation, Call),
    /// This thread makes the call, and was asked to end it.
    Running {
        thread: u32,
        asked: Option<Status>,
    },
}

/// A call that blocks.
pub(super) enum Call {
    /// Of what the operation has with it.
    Open,
    Synchronise(Arc<OpenFile>),
    /// Lets go of the last reference, unless a transmit has another.
    Close(Arc<OpenFile>),
    #[cfg(test)]
    Other(Box<dyn FnOnce() -> Status + Send>),
}

impl Call {
    pub(super) fn make(self, operation: &mut Operation) -> Status {
        match self {
            Call::Open => open(operation),
            Call::Synchronise(file) => synchronise(&file),
            Call::Close(file) => {
                drop(file);
                Status::SUCCESS
            }
            #[cfg(test)]
            Call::Other(call) => call(),
        }
    }
}

impl Job {
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl Jobs {
    /// Adds a job that nobody has begun.
    pub(super) fn enlist(&mut self, operation: Operation, call: Call) {
        self.0.push(Job {
            number: operation.id(),
            kind: operation.kind(),
            stage: Stage::Waiting(operation, call),
        });
    }

    /// The calling thread begins it, unless it has ended.
    pub(super) fn begin(&mut self, number: u64) -> Option<(Operation, Call)> {
        let job = self.0.iter_mut().find(|job| job.number == number)?;
        let running = Stage::Running {
            // SAFETY: no pointers are involved.
            thread: unsafe { GetCurrentThreadId() },
            asked: None,
        };
        match std::mem::replace(&mut job.stage, running) {
            Stage::Waiting(operation, call) => Some((operation, call)),
            Stage::Running { .. } => unreachable!("a job is begun once"),
        }
    }

    /// The call is over; what it was asked to end with.
    pub(super) fn finish(&mut self, number: u64) -> Option<Status> {
        let place = self.0.iter().position(|job| job.number == number)?;
        match self.0.swap_remove(place).stage {
            Stage::Running { asked, .. } => asked,
            Stage::Waiting(..) => unreachable!("it was begun"),
        }
    }

    /// Ends those that `wanted` accepts, but for closes: one that nobody has begun comes back with
    /// the status, the others are asked. How many both are.
    pub(super) fn end(
        &mut self,
        why: Status,
        wanted: impl Fn(&Job) -> bool,
        ended: &mut OperationList,
    ) -> usize {
        let mut count = 0;
        for mut job in std::mem::take(&mut self.0) {
            let concerned = job.kind != Kind::Close && wanted(&job);
            match job.stage {
                Stage::Waiting(mut operation, _) if concerned => {
                    operation.finish(why, 0);
                    ended.push(operation);
                    count += 1;
                    continue;
                }
                Stage::Running {
                    thread,
                    ref mut asked,
                } if concerned && asked.is_none() => {
                    *asked = Some(why);
                    cancel(thread);
                    count += 1;
                }
                _ => {}
            }
            self.0.push(job);
        }
        count
    }

    /// Visits each; whether a thread performs it.
    pub(super) fn visit(&self, f: &mut impl FnMut(Kind, bool)) {
        for job in &self.0 {
            f(job.kind, matches!(job.stage, Stage::Running { .. }));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Asks again those that were asked.
    #[cfg(test)]
    pub(super) fn ask_again(&self) {
        for job in &self.0 {
            if let Stage::Running { thread, .. } = job.stage {
                cancel(thread);
            }
        }
    }
}

/// Asks the system to end the call that a thread is in. The thread cannot have gone on to something
/// else: for that it needs the lock under which this is called.
fn cancel(thread: u32) {
    // SAFETY: no pointers are involved, and the handle is ours.
    unsafe {
        let handle = OpenThread(THREAD_TERMINATE, FALSE, thread);
        if !handle.is_null() {
            CancelSynchronousIo(handle);
            CloseHandle(handle);
        }
    }
}

/// What a thread of the pool is given.
struct Errand {
    file: Arc<FileState>,
    number: u64,
}

/// Has the system's thread pool perform a job of a file; whether it will.
pub(super) fn submit(file: Arc<FileState>, number: u64) -> bool {
    unsafe extern "system" fn run(_: PTP_CALLBACK_INSTANCE, context: *mut core::ffi::c_void) {
        // A port that has ended drops the operation here, and with it a value of the user's, whose
        // destructor may panic. The thread is the system's.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: the context is what was submitted, once.
            let errand = unsafe { Box::from_raw(context.cast::<Errand>()) };
            errand.file.perform(errand.number);
        }));
    }
    let context = Box::into_raw(Box::new(Errand { file, number }));
    // SAFETY: the context is the callback's from now on, if it is taken.
    if unsafe { TrySubmitThreadpoolCallback(Some(run), context.cast(), null()) } != 0 {
        return true;
    }
    // SAFETY: it was not taken.
    drop(unsafe { Box::from_raw(context) });
    false
}

fn synchronise(file: &OpenFile) -> Status {
    // SAFETY: the file is open.
    match unsafe { FlushFileBuffers(file.raw()) } {
        // SAFETY: no pointers are involved.
        0 => status::of_file(unsafe { GetLastError() }),
        _ => Status::SUCCESS,
    }
}

fn open(operation: &mut Operation) -> Status {
    let Some(opening) = operation.scratch().open.take() else {
        return Status::UNSUCCESSFUL;
    };
    match opening.plan.open(&opening.path) {
        Ok(handle) => opening.file.opened(handle),
        Err(status) => status,
    }
}

#[cfg(test)]
mod tests {
    use std::any::Any;
    use std::io::Read;
    use std::os::windows::io::OwnedHandle;
    use std::ptr::NonNull;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::operation::Header;
    use crate::{File, GetError, Options, Port, Token};

    const WATCHDOG: Duration = Duration::from_secs(60);

    /// # Safety
    ///
    /// The header is a box of its own.
    unsafe fn release(header: NonNull<Header>) {
        // SAFETY: the caller's word.
        drop(unsafe { Box::from_raw(header.as_ptr()) });
    }

    fn operation(kind: Kind) -> Operation {
        let mut header = Box::new(Header::new(release));
        header.prepare(kind, []);
        // SAFETY: a header of its own that `release` frees.
        unsafe { Operation::from_raw(NonNull::from(Box::leak(header))) }
    }

    fn until(what: &str, condition: impl Fn() -> bool) {
        let began = Instant::now();
        while !condition() {
            assert!(began.elapsed() < WATCHDOG, "never happened: {what}");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    struct World {
        port: Port,
        file: File,
    }

    impl World {
        fn new() -> Self {
            let port = Port::new(&Options::default()).unwrap();
            let this = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
            let file = port.associate_file(OwnedHandle::from(this));
            let file = file.map_err(|(error, _)| error).unwrap();
            World { port, file }
        }

        /// Starts a job. If it is not submitted, it is as if all threads were busy.
        fn start(&self, operation: Operation, call: Call, submitted: bool) -> Token {
            self.file.state().start_job(operation, call, submitted)
        }

        fn end(&self, token: Token, why: Status) -> bool {
            self.file.state().end_one(token.operation, why)
        }

        fn packet(&self) -> Status {
            self.port.get(Some(WATCHDOG)).unwrap().status()
        }

        fn nothing(&self) {
            let got = self.port.get(Some(Duration::ZERO));
            assert!(matches!(got, Err(GetError::TimedOut)));
        }

        fn counts(&self) -> (usize, usize) {
            let files = self.port.stats().files;
            (files.waiting, files.running)
        }
    }

    /// A call that says that it has begun, and ends when it is told with what.
    fn gate() -> (Call, Receiver<()>, Sender<Status>) {
        let (begun, has_begun) = channel();
        let (end, told) = channel();
        let call = move || {
            begun.send(()).unwrap();
            told.recv().unwrap()
        };
        (Call::Other(Box::new(call)), has_begun, end)
    }

    #[test]
    fn cx_1_tm_7_what_nobody_has_begun_ends_at_once() {
        let world = World::new();
        for (deadline, why) in [
            (None, Status::CANCELLED),
            (Some(Duration::ZERO), Status::IO_TIMEOUT),
        ] {
            let (call, _begun, _end) = gate();
            let mut operation = operation(Kind::SyncAll);
            operation.set_timeout(deadline);
            let token = world.start(operation, call, false);
            if deadline.is_none() {
                assert_eq!(world.counts(), (1, 0));
                assert!(world.file.cancel(token));
            }
            assert_eq!(world.packet(), why);
            assert!(!world.file.cancel(token), "CX-2");
            assert_eq!(world.counts(), (0, 0));
            // Then a thread comes for it.
            world.file.state().perform(token.operation);
            world.nothing();
        }
    }

    #[test]
    fn cx_1_what_a_thread_performs_is_asked_once_and_ends_as_it_ends() {
        let world = World::new();
        for outcome in [Status::SUCCESS, Status::CANCELLED] {
            let (call, begun, end) = gate();
            let token = world.start(operation(Kind::SyncAll), call, true);
            begun.recv_timeout(WATCHDOG).unwrap();
            assert_eq!(world.counts(), (0, 1));
            assert!(world.file.cancel(token));
            assert!(!world.file.cancel(token));
            assert_eq!(world.file.cancel_all(), 0);
            world.nothing();
            end.send(outcome).unwrap();
            assert_eq!(world.packet(), outcome);
            assert!(!world.file.cancel(token));
        }
    }

    #[test]
    fn a_close_is_not_cancelled() {
        let world = World::new();
        let (call, begun, end) = gate();
        let token = world.start(operation(Kind::Close), call, true);
        begun.recv_timeout(WATCHDOG).unwrap();
        assert!(!world.file.cancel(token));
        assert_eq!(world.file.cancel_all(), 0);
        end.send(Status::SUCCESS).unwrap();
        assert_eq!(world.packet(), Status::SUCCESS);
    }

    /// The call is the read of a pipe that nobody writes to, which the system does end.
    #[test]
    fn cx_1_tm_7_the_system_ends_the_call_that_a_thread_is_in() {
        for why in [Status::CANCELLED, Status::IO_TIMEOUT] {
            let world = World::new();
            let (mut reader, _writer) = std::io::pipe().unwrap();
            let (begun, has_begun) = channel();
            let call = move || {
                begun.send(()).unwrap();
                let error = reader.read(&mut [0]).unwrap_err();
                status::of_file(error.raw_os_error().unwrap() as u32)
            };
            let call = Call::Other(Box::new(call));
            let token = world.start(operation(Kind::Open), call, true);
            has_begun.recv_timeout(WATCHDOG).unwrap();
            assert!(world.end(token, why));
            // It may not have been in the call yet.
            until("the call ends", || {
                world.file.state().ask_again();
                world.port.stats().queued == 1
            });
            assert_eq!(world.packet(), why);
        }
    }

    #[test]
    fn cx_10_a_port_that_ends_waits_for_no_call() {
        let world = World::new();
        let marked = |marker: &Arc<()>| {
            let mut operation = operation(Kind::SyncAll);
            operation.set_owner(Some(marker.clone() as Arc<dyn Any + Send + Sync>));
            operation
        };
        let (running, waiting) = (Arc::new(()), Arc::new(()));
        let (call, begun, end) = gate();
        world.start(marked(&running), call, true);
        begun.recv_timeout(WATCHDOG).unwrap();
        let (call, _begun, _end) = gate();
        world.start(marked(&waiting), call, false);
        world.port.close();
        assert_eq!(Arc::strong_count(&waiting), 1);
        assert_eq!(Arc::strong_count(&running), 2, "the thread has it");
        end.send(Status::SUCCESS).unwrap();
        until("the thread drops it", || Arc::strong_count(&running) == 1);
    }
}
