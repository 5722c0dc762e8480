//! Threads.
//!
//! The object exists before its thread runs and after it ended, for as long as there are handles. A
//! thread that this library did not start gets one when it first needs it. The object of a running
//! thread is held by a thread-specific value, whose destructor is the thread's end: it runs after
//! all destructors of thread-local variables, so whoever waits for a thread knows that nothing of
//! it is left.
//!
//! At its end a thread gives up its calls, then does what was registered with [`Thread::at_exit`];
//! what it owns is abandoned, and last it is signalled.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use super::Object;
use crate::apc::Apcs;
use crate::dispatcher::{self, Kind, Signal};
use crate::error::Error;
use crate::leave::{self, Routine};
use crate::thread::ThreadId;

/// The exit code of a thread that has not ended.
const STILL_ACTIVE: u32 = 259;
/// What Windows reserves for a stack at least, unless less is the default here.
const LEAST_STACK: usize = 1 << 20;

pub(crate) struct Thread {
    id: ThreadId,
    signal: Signal,
    code: AtomicU32,
    priority: AtomicI32,
    /// The kernel's number of it, as soon as it runs.
    tid: AtomicI32,
    start: Mutex<Start>,
    changed: Condvar,
    apcs: Apcs,
    at_exit: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

/// Whether it runs yet.
#[derive(Clone, Copy)]
enum Start {
    /// Suspended so many times since it was created.
    Suspended(u32),
    Started,
    /// Ended before it ran.
    Terminated,
}

/// What a new thread is given.
struct Work {
    thread: Arc<Thread>,
    routine: Routine,
    parameter: *mut c_void,
}

thread_local! {
    /// Where a thread that was started here can be left to.
    static BOTTOM: Cell<*mut c_void> = const { Cell::new(null_mut()) };
}

/// Holds a running thread's object.
static KEY: LazyLock<libc::pthread_key_t> = LazyLock::new(|| {
    let mut key = 0;
    // SAFETY: `key` is written; the destructor takes what `adopt` puts there.
    let failed = unsafe { libc::pthread_key_create(&mut key, Some(end)) };
    assert_eq!(
        failed, 0,
        "no thread-specific value is left for this library"
    );
    key
});

/// All of them, by number.
static THREADS: LazyLock<Mutex<HashMap<u32, Weak<Thread>>>> = LazyLock::new(Mutex::default);

fn threads() -> MutexGuard<'static, HashMap<u32, Weak<Thread>>> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Thread {
    fn new(id: ThreadId, start: Start) -> Arc<Self> {
        let thread = Arc::new(Thread {
            id,
            signal: Signal::new(Kind::Until, 0),
            code: AtomicU32::new(STILL_ACTIVE),
            priority: AtomicI32::new(0),
            tid: AtomicI32::new(0),
            start: Mutex::new(start),
            changed: Condvar::new(),
            apcs: Apcs::default(),
            at_exit: Mutex::default(),
        });
        threads().insert(id.number(), Arc::downgrade(&thread));
        thread
    }

    /// The one of this number, which may have ended; of others that were not started here only
    /// those that used this library as threads.
    pub(crate) fn of(number: u32) -> Option<Arc<Self>> {
        // It may not have an object yet.
        if number == ThreadId::current().number() {
            return Some(Thread::current());
        }
        threads().get(&number).and_then(Weak::upgrade)
    }

    /// Makes a thread, which waits to be resumed first.
    pub(crate) fn spawn(
        routine: Routine,
        parameter: *mut c_void,
        stack: usize,
    ) -> Result<Arc<Self>, Error> {
        let thread = Thread::new(ThreadId::new(), Start::Suspended(1));
        let work = Box::into_raw(Box::new(Work {
            thread: thread.clone(),
            routine,
            parameter,
        }));
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the attributes are initialised first and destroyed last; `run` takes `work`,
        // unless no thread was created.
        unsafe {
            libc::pthread_attr_init(attributes.as_mut_ptr());
            libc::pthread_attr_setdetachstate(
                attributes.as_mut_ptr(),
                libc::PTHREAD_CREATE_DETACHED,
            );
            if stack > 0 {
                let stack = stack.max(LEAST_STACK).next_multiple_of(1 << 16);
                libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack);
            }
            let mut created = MaybeUninit::uninit();
            let failed =
                libc::pthread_create(created.as_mut_ptr(), attributes.as_ptr(), run, work.cast());
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            if failed != 0 {
                drop(Box::from_raw(work));
                return Err(Error::NOT_ENOUGH_MEMORY);
            }
        }
        Ok(thread)
    }

    /// The calling thread's.
    pub(crate) fn current() -> Arc<Self> {
        // SAFETY: what is there was put there by `adopt`, and its reference is held until the end.
        unsafe {
            let held = libc::pthread_getspecific(*KEY).cast::<Thread>();
            if !held.is_null() {
                Arc::increment_strong_count(held);
                return Arc::from_raw(held);
            }
        }
        // It may have a name from before, which its mutexes know.
        let thread = Thread::new(ThreadId::current(), Start::Started);
        thread.adopt();
        thread
    }

    /// The calling thread is this one.
    fn adopt(self: &Arc<Self>) {
        self.id.adopt();
        // SAFETY: it takes nothing.
        self.tid.store(unsafe { libc::gettid() }, SeqCst);
        // SAFETY: the value is a reference, which `end` takes.
        unsafe { libc::pthread_setspecific(*KEY, Arc::into_raw(self.clone()).cast()) };
    }

    pub(crate) fn id(&self) -> ThreadId {
        self.id
    }

    pub(crate) fn signal(&self) -> &Signal {
        &self.signal
    }

    /// The calls that are queued to it.
    pub(crate) fn apcs(&self) -> &Apcs {
        &self.apcs
    }

    pub(crate) fn exit_code(&self) -> u32 {
        self.code.load(SeqCst)
    }

    /// What the program gave it; the kernel's scheduling stays as it is.
    pub(crate) fn priority(&self) -> &AtomicI32 {
        &self.priority
    }

    /// The kernel's number of it, while it runs.
    pub(crate) fn tid(&self) -> Option<libc::pid_t> {
        Some(self.tid.load(SeqCst)).filter(|&tid| tid != 0 && !self.signal.is_set())
    }

    /// To be run by this thread at its end, before anybody can see that it ended.
    ///
    /// Thread-local variables are gone by then.
    pub(crate) fn at_exit(&self, f: impl FnOnce() + Send + 'static) {
        let mut at_exit = self.at_exit.lock().unwrap_or_else(PoisonError::into_inner);
        at_exit.push(Box::new(f));
    }

    /// Lets it run if this was the last time it was suspended; how often it was.
    pub(crate) fn resume(&self) -> u32 {
        let mut start = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        let Start::Suspended(times) = *start else {
            return 0;
        };
        *start = match times {
            1 => Start::Started,
            _ => Start::Suspended(times - 1),
        };
        self.changed.notify_one();
        times
    }

    /// Suspends it once more, which only works while it does not run yet.
    pub(crate) fn suspend(&self) -> Result<u32, Error> {
        let mut start = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        let Start::Suspended(times) = *start else {
            return Err(Error::NOT_SUPPORTED);
        };
        *start = Start::Suspended(times + 1);
        Ok(times)
    }

    /// Ends it, which only works for another thread while it does not run yet.
    pub(crate) fn terminate(&self, code: u32) -> Result<(), Error> {
        let mut start = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        match *start {
            Start::Suspended(_) => {
                self.code.store(code, SeqCst);
                *start = Start::Terminated;
                self.changed.notify_one();
                Ok(())
            }
            Start::Started if self.signal.is_set() => Err(Error::ACCESS_DENIED),
            Start::Started => Err(Error::NOT_SUPPORTED),
            Start::Terminated => Ok(()),
        }
    }

    /// Waits until it may run; whether it may.
    fn started(&self) -> bool {
        let mut start = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        while let Start::Suspended(_) = *start {
            let waited = self.changed.wait(start);
            start = waited.unwrap_or_else(PoisonError::into_inner);
        }
        matches!(*start, Start::Started)
    }

    fn ended(&self) {
        self.apcs.close();
        let at_exit = {
            let mut at_exit = self.at_exit.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *at_exit)
        };
        for f in at_exit {
            f();
        }
        dispatcher::abandon(self.id);
        // One that ended by its own pthread_exit has not said how.
        let _ = self.code.compare_exchange(STILL_ACTIVE, 0, SeqCst, SeqCst);
        self.signal.set();
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let mut threads = threads();
        let number = self.id.number();
        // A thread that comes back at its very end has a new object by then.
        if threads
            .get(&number)
            .is_some_and(|it| it.strong_count() == 0)
        {
            threads.remove(&number);
        }
    }
}

impl From<Arc<Thread>> for Object {
    fn from(thread: Arc<Thread>) -> Self {
        Object::Thread(thread)
    }
}

/// A new thread.
extern "C" fn run(work: *mut c_void) -> *mut c_void {
    // SAFETY: `spawn` gave it to this thread.
    let work = unsafe { Box::from_raw(work.cast::<Work>()) };
    let Work {
        thread,
        routine,
        parameter,
    } = *work;
    thread.adopt();
    if thread.started() {
        // SAFETY: the bottom is used on this thread only, and until `enter` returns.
        let code = unsafe { leave::enter(BOTTOM.with(Cell::as_ptr), routine, parameter) };
        BOTTOM.set(null_mut());
        thread.code.store(code, SeqCst);
    }
    null_mut()
}

/// Runs what calls the program on a thread of the library's own. False if the program has ended the
/// thread (`ExitThread`), which then is to return: of what was on the stack above nothing is dropped,
/// nobody is told, and no lock may be held there while the program is called.
pub(crate) fn run_for_program(f: Box<dyn FnOnce() + Send>) -> bool {
    struct Run {
        f: Option<Box<dyn FnOnce() + Send>>,
        is_over: bool,
    }
    unsafe extern "C-unwind" fn run(it: *mut c_void) -> u32 {
        // SAFETY: it lives until `enter` returns.
        let it = unsafe { &mut *it.cast::<Run>() };
        if let Some(f) = it.f.take() {
            f();
        }
        it.is_over = true;
        0
    }
    let mut it = Run {
        f: Some(f),
        is_over: false,
    };
    // SAFETY: the bottom is used on this thread only, and until `enter` returns.
    let code = unsafe { leave::enter(BOTTOM.with(Cell::as_ptr), run, (&raw mut it).cast()) };
    BOTTOM.set(null_mut());
    if !it.is_over {
        Thread::current().code.store(code, SeqCst);
    }
    it.is_over
}

/// A thread has ended.
unsafe extern "C" fn end(held: *mut c_void) {
    // SAFETY: it is what `adopt` put there.
    let thread = unsafe { Arc::from_raw(held.cast_const().cast::<Thread>()) };
    // What runs at its end still has to find it.
    // SAFETY: it is taken out again below, while the reference is held.
    unsafe { libc::pthread_setspecific(*KEY, held) };
    thread.ended();
    // SAFETY: as above.
    unsafe { libc::pthread_setspecific(*KEY, null_mut()) };
}

unsafe extern "C-unwind" {
    fn pthread_exit(value: *mut c_void) -> !;
}

/// Ends the calling thread.
///
/// # Safety
/// No frame below the thread's routine has anything that has to be dropped.
pub(crate) unsafe fn exit(code: u32) -> ! {
    let bottom = BOTTOM.get();
    if !bottom.is_null() {
        // SAFETY: the thread's routine runs above it; the rest is the caller's promise.
        unsafe { leave::leave(bottom, code) };
    }
    // Somebody else started it, and knows how it ends.
    Thread::current().code.store(code, SeqCst);
    // SAFETY: the caller's promise.
    unsafe { pthread_exit(null_mut()) }
}
