//! Calls that are queued to a thread (APCs), and run in its alertable waits.
//!
//! Programs queue them with `QueueUserAPC`; timers and operations with a completion routine queue
//! theirs with [`Apcs::queue`]. A wait that is alertable does three things:
//!
//! 1. it looks whether calls are [`pending`](Apcs::pending), in the place that its rules give that
//!    (GX-6 and GX-7 for a port's batch dequeue);
//! 2. before it sleeps it leaves with [`wake_with`](Apcs::wake_with) how it can be woken, which
//!    happens at once if a call came meanwhile;
//! 3. when it was woken so, it calls [`run`], with nothing locked, and says `WAIT_IO_COMPLETION`.
//!
//! Waits that are not alertable leave the calls where they are (GX-5). What a thread did not run
//! when it ends is dropped.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::objects::Thread;

/// A call for a thread.
pub(crate) enum Apc {
    /// The program's. Kept plain, so that nothing is left behind if it ends its thread.
    User(unsafe extern "C-unwind" fn(usize), usize),
    Own(Box<dyn FnOnce() + Send>),
}

type Wake = Arc<dyn Fn() + Send + Sync>;

/// The calls of one thread.
#[derive(Default)]
pub(crate) struct Apcs(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    queued: VecDeque<Apc>,
    /// How the thread's alertable wait is ended, while it is in one.
    wake: Option<Wake>,
    /// The thread has ended.
    closed: bool,
}

impl Apcs {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a call; `false` if the thread has ended.
    pub(crate) fn queue(&self, apc: Apc) -> bool {
        let mut inside = self.lock();
        if inside.closed {
            return false;
        }
        inside.queued.push_back(apc);
        let wake = inside.wake.clone();
        // Not under the lock: a wait leaves its waker with its own locks held.
        drop(inside);
        if let Some(wake) = wake {
            wake();
        }
        true
    }

    /// Whether an alertable wait would not sleep.
    pub(crate) fn pending(&self) -> bool {
        !self.lock().queued.is_empty()
    }

    /// Until what this gives is dropped, `wake` is called whenever a call is queued; at once, if
    /// one is there. It may be called once more shortly after.
    pub(crate) fn wake_with(&self, wake: Wake) -> impl Drop {
        struct Armed<'a>(&'a Apcs);

        impl Drop for Armed<'_> {
            fn drop(&mut self) {
                self.0.lock().wake = None;
            }
        }

        let mut inside = self.lock();
        inside.wake = Some(wake.clone());
        let pending = !inside.queued.is_empty();
        drop(inside);
        let armed = Armed(self);
        if pending {
            wake();
        }
        armed
    }

    /// No call will run any more.
    pub(crate) fn close(&self) {
        let mut inside = self.lock();
        inside.closed = true;
        let dropped = std::mem::take(&mut inside.queued);
        drop(inside);
        drop(dropped);
    }

    fn pop(&self) -> Option<Apc> {
        self.lock().queued.pop_front()
    }
}

/// Runs the calls that were queued to the calling thread, also those that they queue; whether there
/// were any.
pub(crate) fn run() -> bool {
    let next = || Thread::current().apcs().pop();
    let mut ran = false;
    while let Some(apc) = next() {
        ran = true;
        match apc {
            // SAFETY: whoever queued it promised that it can be called with this.
            Apc::User(routine, parameter) => unsafe { routine(parameter) },
            Apc::Own(call) => call(),
        }
    }
    ran
}
