//! The library's own threads: a pool that runs what is handed to it, and one thread that keeps
//! time.
//!
//! The pool has a thread for everything that is to run, since the program's callbacks may block for
//! as long as they like; idle threads are used first, and end after some seconds. A callback that ends
//! its thread (`ExitThread`) costs the pool this one only. Signals of the process go to the program's
//! threads.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{mem, ptr, thread};

use crate::error::Error;
use crate::objects::run_for_program;

const IDLE: Duration = Duration::from_secs(10);
/// As many as Windows's pool has.
const MOST: usize = 512;

type Job = Box<dyn FnOnce() + Send>;

struct Pool {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    jobs: VecDeque::new(),
    threads: 0,
    idle: 0,
});
static MORE: Condvar = Condvar::new();

/// Runs `f` on a thread of the pool.
pub(crate) fn submit(f: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let mut pool = lock(&POOL);
    pool.jobs.push_back(Box::new(f));
    pool.staff();
    if pool.threads == 0 {
        // Nobody looks at it before the lock is given back, so it is still the last.
        pool.jobs.pop_back();
        return Err(Error::NOT_ENOUGH_MEMORY);
    }
    Ok(())
}

impl Pool {
    /// Sees to it that somebody takes the newest job.
    fn staff(&mut self) {
        if self.idle >= self.jobs.len() {
            MORE.notify_one();
        } else if self.threads < MOST && start("overlapped-pool", work, left).is_ok() {
            self.threads += 1;
        }
    }
}

/// A thread of the pool.
fn work() {
    let mut pool = lock(&POOL);
    loop {
        if let Some(job) = pool.jobs.pop_front() {
            drop(pool);
            job();
            pool = lock(&POOL);
            continue;
        }
        pool.idle += 1;
        let waited = MORE.wait_timeout(pool, IDLE);
        let (back, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        pool = back;
        pool.idle -= 1;
        if timeout.timed_out() && pool.jobs.is_empty() {
            pool.threads -= 1;
            return;
        }
    }
}

/// A thread of the pool was ended by what it ran.
fn left() {
    let mut pool = lock(&POOL);
    pool.threads -= 1;
    if !pool.jobs.is_empty() {
        // They may have counted on this thread.
        pool.staff();
    }
}

/// Starts a thread of the library's, which handles none of the process's signals.
pub(crate) fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    start(name, f, || {})
}

/// The same; `left` is done if what the program does there ends the thread.
fn start(name: &str, f: impl FnOnce() + Send + 'static, left: fn()) -> Result<(), Error> {
    let run = move || {
        if !run_for_program(Box::new(f)) {
            left();
        }
    };
    // SAFETY: the sets are initialised before they are read. A thread begins with the mask of the
    // one that starts it, which gets its own back.
    unsafe {
        let mut all: libc::sigset_t = mem::zeroed();
        let mut before: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&mut all);
        // A thread's own faults are not the process's signals.
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
            libc::sigdelset(&mut all, fault);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let started = thread::Builder::new().name(name.to_owned()).spawn(run);
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
        started.map(drop).map_err(|_| Error::NOT_ENOUGH_MEMORY)
    }
}

/// Names something that is to be done later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    at: Instant,
    number: u64,
}

struct Clock {
    due: BTreeMap<Due, Job>,
    numbers: u64,
    running: bool,
}

static CLOCK: Mutex<Clock> = Mutex::new(Clock {
    due: BTreeMap::new(),
    numbers: 0,
    running: false,
});
static EARLIER: Condvar = Condvar::new();

/// Does something at a time, on the thread that keeps it: nothing that may block.
pub(crate) fn at(at: Instant, f: impl FnOnce() + Send + 'static) -> Result<Due, Error> {
    let mut clock = lock(&CLOCK);
    if !clock.running {
        spawn("overlapped-clock", keep_time)?;
        clock.running = true;
    }
    clock.numbers += 1;
    let due = Due {
        at,
        number: clock.numbers,
    };
    clock.due.insert(due, Box::new(f));
    if clock
        .due
        .first_key_value()
        .is_some_and(|(&first, _)| first == due)
    {
        EARLIER.notify_one();
    }
    Ok(due)
}

/// What was due, if something was, is not done any more, unless it is being done.
pub(crate) fn cancel(due: Option<Due>) {
    let job = due.and_then(|due| lock(&CLOCK).due.remove(&due));
    // Not under the lock: it drops what it holds.
    drop(job);
}

fn keep_time() {
    let mut clock = lock(&CLOCK);
    loop {
        let Some((&first, _)) = clock.due.first_key_value() else {
            clock = EARLIER.wait(clock).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let left = first.at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let job = clock.due.remove(&first).expect("it was there");
            drop(clock);
            job();
            clock = lock(&CLOCK);
        } else {
            let waited = EARLIER.wait_timeout(clock, left);
            clock = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
