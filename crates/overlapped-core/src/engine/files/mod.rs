//! Files: what the page cache has is copied at once, the rest is done by the library's own thread.
//!
//! # How it works
//!
//! A regular file is always "ready", and a read of it may sit in the disk for milliseconds all the
//! same; so readiness is of no use here, and somebody has to wait. Who must it not be? Not the
//! starter, whose call promises not to block. And not a worker of the port, whose handler may block
//! for long: a request that was submitted to io_uring belongs to the thread that submitted it,
//! stands still while that thread does not look, and fails when it exits.
//!
//! So each port that uses files has one thread of its own that runs no handlers, started by the
//! first operation that needs it. It owns an io_uring (`ring.rs`), submits what was started, and
//! puts what completed into the port's queue, as packets like any others. Where the system refuses
//! io_uring the same thread becomes the first of a few that make blocking calls (`pool.rs`); why,
//! is in the port's `stats`.
//!
//! One thread for each port, not one for the process: a port's end is then the end of its thread,
//! a slow disk of one port delays no other, and a fork concerns a port as a whole. The thread costs
//! a port that uses no files nothing.
//!
//! 1. *Directly.* A read of what is in the page cache needs no waiting: the starter makes it, with
//!    `preadv2` and `RWF_NOWAIT` (`direct.rs`), and the packet is queued before `start` returns.
//! 2. *Waiting.* What is left goes into the list of waiting jobs, and the thread is woken if it
//!    sleeps. Nothing is allocated: the list is linked through the operations.
//! 3. *Running.* The thread takes jobs, as many as the ring may hold, and performs them step by step
//!    (`step.rs`): a step is one system call, and a result that is short or interrupted leads to
//!    another, so that no partial result and no internal error number of the kernel gets out.
//! 4. *Done.* The operation gets its status and is queued.
//!
//! # Whose memory it is
//!
//! From step 3 on the kernel writes into buffers on its own account. The operation is kept in the
//! table of running jobs until the kernel has given its last word on it, whatever happens to the
//! file, the port or its starter: a cancel only asks, and a port that ends asks for all, and leaves
//! the thread to wait for the answers. So `close` does not wait for a disk, and the memory of an
//! operation that was running then is given back a little later, by the thread.
//!
//! The bounds are the ring's: the completion queue has room for every job and every cancel that can
//! be under way at once, so it never overflows.
//!
//! # Where to find what
//!
//! `file.rs` has the file and what it admits, `step.rs` each kind of operation as system calls,
//! `ring.rs` and `pool.rs` who makes the calls, `direct.rs` the way without them, `warm.rs` how a
//! transmit has its file read before `sendfile` would wait for the disk.

mod direct;
mod file;
mod pool;
mod ring;
mod step;
mod warm;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use overlapped_queue::Fifo;
use slab::Slab;

use crate::operation::{Item, ItemList, Operation, OperationList, Refused};
use crate::port::PortInner;
use crate::{FileEngine, FileStats, Kind, Status, trace};

pub(crate) use direct::is_cached;
pub(crate) use file::{Descriptor, FileState};
use step::Step;
pub(crate) use warm::{WINDOW, Warm};

/// How many jobs run at once.
const MOST_RUNNING: usize = 127;

/// A port's files.
pub(crate) struct Files {
    choice: FileEngine,
    state: Mutex<State>,
    /// Where the threads of a pool sleep.
    work: Condvar,
}

struct State {
    engine: Engine,
    reason: Cow<'static, str>,
    waiting: OperationList,
    cold: VecDeque<Warm>,
    running: Slab<Running>,
    /// How many may run at once.
    most_running: usize,
    /// Running jobs that the ring has to be asked to cancel.
    cancels: Vec<usize>,
    threads: usize,
    sleeping: usize,
    ended: bool,
}

/// Who makes the calls.
enum Engine {
    /// Nobody yet.
    None,
    /// A thread that finds out what the system allows.
    Starting,
    /// A ring, and what wakes its thread.
    Ring(Arc<OwnedFd>),
    Pool,
}

/// A job that somebody performs.
struct Running {
    job: Job,
    /// It was asked to end, with this status if it can.
    asked: Option<Status>,
}

enum Job {
    Operation(Operation),
    Warm(Warm),
}

impl Files {
    pub(crate) fn new(choice: FileEngine) -> Self {
        Files {
            choice,
            state: Mutex::new(State {
                engine: Engine::None,
                reason: Cow::Borrowed("no operation has needed it yet"),
                waiting: OperationList::new(),
                cold: VecDeque::new(),
                running: Slab::new(),
                most_running: MOST_RUNNING,
                cancels: Vec::new(),
                threads: 0,
                sleeping: 0,
                ended: false,
            }),
            work: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        overlapped_queue::lock(&self.state)
    }

    /// Takes an operation that has to wait for something. `file` is who ends it when its time is up.
    fn start(
        &self,
        port: &Arc<PortInner>,
        mut operation: Operation,
        file: Option<&Arc<FileState>>,
    ) -> Result<(), Refused> {
        let mut state = self.lock();
        // Under the lock: whoever ends the port sets this under it.
        let admitted = if state.ended {
            Err(Status::INVALID_HANDLE)
        } else if !state.has_thread(port) {
            Err(Status::INSUFFICIENT_RESOURCES)
        } else {
            // Also under the lock, so that the deadline finds the operation here.
            file.map_or(Ok(()), |file| file.set_deadline(&mut operation))
        };
        match admitted {
            Ok(()) => {
                state.waiting.push(operation);
                self.wake(port, state);
                Ok(())
            }
            Err(status) => Err(Refused { status, operation }),
        }
    }

    /// Has a part of a file read into the page cache. `false`: it cannot be done.
    pub(crate) fn warm(&self, port: &Arc<PortInner>, warm: Warm) -> bool {
        let mut state = self.lock();
        let possible = !state.ended && state.has_thread(port) && state.cold.try_reserve(1).is_ok();
        if possible {
            state.cold.push_back(warm);
            self.wake(port, state);
        }
        possible
    }

    /// Sees to it that somebody takes what was put into the list.
    fn wake(&self, port: &Arc<PortInner>, mut state: MutexGuard<'_, State>) {
        match &state.engine {
            Engine::Ring(event) => {
                let event = event.clone();
                if std::mem::take(&mut state.sleeping) > 0 {
                    drop(state);
                    ring::wake(&event);
                }
            }
            Engine::Pool => {
                state.add_thread_if_needed(port);
                drop(state);
                self.work.notify_one();
            }
            // The thread looks before it sleeps for the first time.
            Engine::None | Engine::Starting => {}
        }
    }

    /// Ends the operations that `wanted` accepts: those that wait come back with the status, those
    /// that are running are only asked. How many both are.
    fn stop(
        &self,
        port: &Arc<PortInner>,
        status: Status,
        wanted: impl Fn(&mut Operation) -> bool,
    ) -> (OperationList, usize) {
        let mut state = self.lock();
        let mut found = OperationList::new();
        for mut operation in std::mem::take(&mut state.waiting) {
            if wanted(&mut operation) {
                let bytes = operation.bytes();
                operation.finish(status, bytes);
                found.push(operation);
            } else {
                state.waiting.push(operation);
            }
        }
        let mut count = found.len();
        let State {
            running, cancels, ..
        } = &mut *state;
        for (key, running) in running.iter_mut() {
            if let Job::Operation(operation) = &mut running.job
                && running.asked.is_none()
                && wanted(operation)
            {
                running.asked = Some(status);
                cancels.push(key);
                count += 1;
            }
        }
        if state.cancels.is_empty() {
            drop(state);
        } else {
            self.wake(port, state);
        }
        (found, count)
    }

    /// The port ends: what waits comes back, what is running ends as soon as the system lets it.
    pub(crate) fn end(&self, port: &Arc<PortInner>) -> OperationList {
        let mut state = self.lock();
        state.ended = true;
        let waiting = std::mem::take(&mut state.waiting);
        let cold = std::mem::take(&mut state.cold);
        let State {
            running, cancels, ..
        } = &mut *state;
        for (key, running) in running.iter_mut() {
            if running.asked.replace(Status::CANCELLED).is_none() {
                cancels.push(key);
            }
        }
        self.wake(port, state);
        self.work.notify_all();
        drop(cold);
        waiting
    }

    /// Visits the operations that are under way.
    pub(crate) fn visit(&self, mut f: impl FnMut(Kind)) {
        let mut state = self.lock();
        state.waiting.iter_mut().for_each(|header| f(header.kind()));
        for (_, running) in &state.running {
            if let Job::Operation(operation) = &running.job {
                f(operation.kind());
            }
        }
    }

    pub(crate) fn stats(&self) -> FileStats {
        let state = self.lock();
        FileStats {
            engine: match state.engine {
                Engine::None | Engine::Starting => "none",
                Engine::Ring(_) => "io_uring",
                Engine::Pool => "threads",
            },
            reason: state.reason.clone(),
            waiting: state.waiting.len() + state.cold.len(),
            running: state.running.len(),
        }
    }

    /// The life of the first thread.
    fn serve(port: &Arc<PortInner>) {
        let files = port.files();
        let refused = match files.choice {
            FileEngine::Threads => Cow::Borrowed("the port was made so"),
            FileEngine::Auto => match ring::Ring::new() {
                Ok(ring) => return ring.run(port),
                Err(reason) => Cow::Owned(reason),
            },
        };
        trace::files_by_threads(port.number(), &refused);
        let mut state = files.lock();
        state.engine = Engine::Pool;
        state.reason = refused;
        drop(state);
        pool::run(port);
    }

    /// Completes jobs. No lock is held.
    fn deliver(port: &PortInner, done: &mut Vec<Job>) {
        for job in done.drain(..) {
            // A port that has ended drops operations here, and with them values of the user's,
            // whose destructor may panic. The thread is needed for the others.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                let mut items = ItemList::default();
                match job {
                    Job::Operation(operation) => items.push(Item::Packet(operation)),
                    Job::Warm(warm) => warm.done(&mut items),
                }
                port.push_all(&mut items);
            }));
        }
    }
}

impl State {
    /// Starts the first thread if there is none. `false`: the system refused one.
    fn has_thread(&mut self, port: &Arc<PortInner>) -> bool {
        if self.threads == 0 {
            let port = port.clone();
            if !spawn(move || Files::serve(&port)) {
                return false;
            }
            self.threads = 1;
            self.engine = Engine::Starting;
        }
        true
    }

    /// In a pool: adds a thread if more jobs wait than threads sleep.
    fn add_thread_if_needed(&mut self, port: &Arc<PortInner>) {
        if self.waiting.len() + self.cold.len() > self.sleeping
            && self.threads < pool::MOST_THREADS
            && pool::spawn_another(port)
        {
            self.threads += 1;
        }
    }

    /// Takes the next waiting job, if another may run.
    fn next(&mut self) -> Option<usize> {
        if self.running.len() >= self.most_running {
            return None;
        }
        // Somebody's send waits for a cold file; there is at most one such job for each socket.
        let job = match self.cold.pop_front() {
            Some(warm) => Job::Warm(warm),
            None => Job::Operation(self.waiting.pop()?),
        };
        Some(self.running.insert(Running { job, asked: None }))
    }

    /// The system call that the job needs next.
    fn step(&mut self, key: usize) -> Step {
        match &mut self.running[key].job {
            Job::Operation(operation) => Step::of(operation),
            Job::Warm(warm) => warm.step(),
        }
    }

    /// The step is done. The job comes back if it was its last.
    fn advance(&mut self, key: usize, result: i64) -> Option<Job> {
        let running = &mut self.running[key];
        let ended = match &mut running.job {
            Job::Operation(operation) => step::advance(operation, result, running.asked),
            Job::Warm(_) => true,
        };
        ended.then(|| self.running.remove(key).job)
    }
}

/// Starts a thread that takes no signals: they are for the program's own.
fn spawn(life: impl FnOnce() + Send + 'static) -> bool {
    let builder = std::thread::Builder::new().name("overlapped-file".into());
    builder
        .spawn(move || {
            // SAFETY: both calls only read and write the set, which is plain data.
            unsafe {
                let mut all: libc::sigset_t = std::mem::zeroed();
                libc::sigfillset(&mut all);
                libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
            }
            life();
        })
        .is_ok()
}
