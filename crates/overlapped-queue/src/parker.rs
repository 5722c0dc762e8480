use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release};
use std::time::Duration;

use crate::sync::{Condvar, Mutex, lock};

/// Where one thread sleeps.
///
/// Not `std::thread::park`: its token belongs to the user's code, and a wake-up meant for that
/// code must not be swallowed here. A wake-up that comes too early is kept, so that between "the
/// state says sleep" and falling asleep none is lost.
pub(crate) struct Parker {
    woken: Mutex<bool>,
    condition: Condvar,
    /// Its wait is to end, if it is one that may.
    alerted: AtomicBool,
}

impl Parker {
    pub(crate) fn new() -> Self {
        Parker {
            woken: Mutex::new(false),
            condition: Condvar::new(),
            alerted: AtomicBool::new(false),
        }
    }

    /// Ends its wait, if it is one that may be ended so.
    pub(crate) fn alert(&self) {
        self.alerted.store(true, Release);
        self.unpark();
    }

    /// Whether it was alerted since it was asked last.
    pub(crate) fn take_alert(&self) -> bool {
        self.alerted.swap(false, AcqRel)
    }

    /// Sleeps until [`unpark`](Parker::unpark) or until `timeout` ran out.
    ///
    /// May come back for no reason; callers look at the state, never at how this returned.
    #[cfg(not(loom))]
    pub(crate) fn park(&self, timeout: Option<Duration>) {
        let mut woken = lock(&self.woken);
        if !*woken {
            woken = match timeout {
                None => self
                    .condition
                    .wait(woken)
                    .unwrap_or_else(|poisoned| poisoned.into_inner()),
                Some(timeout) => {
                    self.condition
                        .wait_timeout(woken, timeout)
                        .unwrap_or_else(|poisoned| poisoned.into_inner())
                        .0
                }
            };
        }
        *woken = false;
    }

    /// Under loom nothing ever times out: a model that wants time to pass moves its clock and
    /// calls [`Queue::expire`](crate::Queue::expire), which is a wake-up that races like a
    /// time-out does.
    #[cfg(loom)]
    pub(crate) fn park(&self, _timeout: Option<Duration>) {
        let mut woken = lock(&self.woken);
        while !*woken {
            woken = self.condition.wait(woken).unwrap();
        }
        *woken = false;
    }

    pub(crate) fn unpark(&self) {
        *lock(&self.woken) = true;
        self.condition.notify_one();
    }
}
