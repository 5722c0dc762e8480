//! Threads that wait for a lock of the port's own.
//!
//! That is no block of a handler: whoever took the thread's place would need the same lock. It is
//! over when another thread has left a few dozen instructions, but lasts as long as the blocks that count where
//! that thread was preempted among them. So a thread says so before it waits. One that finds the lock
//! free says nothing, and pays nothing.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::{Presence, ThreadWait};

thread_local! {
    /// Of a thread that was bound: for others nobody asks, and nothing is allocated.
    static HELD_UP: OnceCell<Arc<AtomicBool>> = const { OnceCell::new() };
}

/// Locks one of the port's mutexes, also after a panic elsewhere: every critical section leaves what
/// it guards whole before it can panic. Meanwhile the thread is not [blocked](Presence).
#[inline]
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => {
            held_up(|| mutex.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }
}

/// Calls what waits for a lock of the port's, or may: the kernel has some as well. Meanwhile the thread
/// is not [blocked](Presence).
#[cold]
pub fn held_up<R>(wait: impl FnOnce() -> R) -> R {
    struct Back(Option<(Arc<AtomicBool>, bool)>);

    impl Drop for Back {
        fn drop(&mut self) {
            if let Some((flag, before)) = &self.0 {
                flag.store(*before, Release);
            }
        }
    }

    // Nobody looks at a thread whose locals are being destroyed.
    let flag = HELD_UP.try_with(|flag| flag.get().cloned()).ok().flatten();
    let _back = Back(flag.map(|flag| {
        let before = flag.swap(true, AcqRel);
        (flag, before)
    }));
    wait()
}

/// The calling thread's presence, for which these waits are none.
pub(crate) fn except_for_locks(presence: Box<dyn Presence>) -> Box<dyn Presence> {
    match HELD_UP.try_with(|flag| flag.get_or_init(Arc::default).clone()) {
        Ok(held_up) => Box::new(ExceptForLocks { held_up, presence }),
        Err(_) => presence,
    }
}

struct ExceptForLocks {
    held_up: Arc<AtomicBool>,
    presence: Box<dyn Presence>,
}

impl Presence for ExceptForLocks {
    fn wait(&self) -> Option<ThreadWait> {
        match self.held_up.load(Acquire) {
            true => None,
            false => self.presence.wait(),
        }
    }

    fn lasts(&self, wait: ThreadWait) -> bool {
        !self.held_up.load(Acquire) && self.presence.lasts(wait)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const THE_WAIT: ThreadWait = ThreadWait {
        number: 7,
        began: None,
    };

    struct Waits;

    impl Presence for Waits {
        fn wait(&self) -> Option<ThreadWait> {
            Some(THE_WAIT)
        }
    }

    /// A hang is the failure.
    #[test]
    fn a_wait_for_the_ports_own_lock_is_none() {
        let mutex = &Mutex::new(());
        let (send_presence, presences) = mpsc::channel();
        let (send_go, go) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let locked = lock(mutex);
            scope.spawn(move || {
                send_presence
                    .send(except_for_locks(Box::new(Waits)))
                    .unwrap();
                go.recv().unwrap();
                drop(lock(mutex));
                send_presence
                    .send(except_for_locks(Box::new(Waits)))
                    .unwrap();
            });
            let presence = presences.recv().unwrap();
            assert_eq!(
                presence.wait(),
                Some(THE_WAIT),
                "it waits for something else"
            );
            send_go.send(()).unwrap();
            while presence.wait().is_some() {
                std::thread::yield_now();
            }
            drop(locked);
            presences.recv().unwrap();
            assert_eq!(presence.wait(), Some(THE_WAIT), "it has had the lock");
        });
    }
}
