//! How far the leader may wait, and how far it does.
//!
//! Who adds writes what is earliest and then looks how far the leader waits; the leader writes how
//! far it waits and then looks what is earliest. All of that are read-modify-writes, so at least
//! one sees the other. If both do, the leader's wait is cut short for nothing, which is always
//! allowed.
//!
//! The model of it runs under loom: `RUSTFLAGS="--cfg loom" cargo test -p overlapped-core --lib`.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Relaxed};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Relaxed};

/// No deadline.
pub(super) const NEVER: u64 = u64::MAX;

pub(super) struct Horizon {
    /// The earliest deadline, or [`NEVER`]. Written under the heap's lock only.
    earliest: AtomicU64,
    /// Up to when the leader waits; 0 while nobody does, [`NEVER`] while it looks.
    until: AtomicU64,
}

impl Horizon {
    pub(super) fn new() -> Self {
        Horizon {
            earliest: AtomicU64::new(NEVER),
            until: AtomicU64::new(0),
        }
    }

    pub(super) fn earliest(&self) -> u64 {
        self.earliest.load(Relaxed)
    }

    /// Something was added that is due before all others. Whether the leader waits for too long
    /// now, and the caller has to end that.
    pub(super) fn lower(&self, at: u64) -> bool {
        self.earliest.swap(at, AcqRel);
        // Lowered, so that only one of those who are early sees to it.
        self.until.fetch_min(at, AcqRel) > at
    }

    /// Something was taken out. A leader that waits for it comes back for nothing.
    pub(super) fn set(&self, earliest: u64) {
        if self.earliest() != earliest {
            self.earliest.swap(earliest, AcqRel);
        }
    }

    /// The leader is about to wait: up to when it may.
    pub(super) fn approach(&self) -> u64 {
        self.until.swap(NEVER, AcqRel);
        let earliest = self.earliest.fetch_add(0, AcqRel);
        if earliest != NEVER {
            // Who is overtaken by this has ended the wait already, or is not the earliest.
            self.until.store(earliest, Relaxed);
        }
        earliest
    }

    /// The leader is back.
    pub(super) fn retreat(&self) {
        // Nobody relies on it: who still sees the leader waiting interrupts it for nothing.
        self.until.store(0, Relaxed);
    }
}

#[cfg(all(test, loom))]
mod model {
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    use super::*;

    /// An engine's wait: an interrupt stays until a wait has seen it.
    #[derive(Default)]
    struct Wait {
        interrupted: Mutex<bool>,
        changed: Condvar,
    }

    impl Wait {
        fn interrupt(&self) {
            *self.interrupted.lock().unwrap() = true;
            self.changed.notify_one();
        }

        fn wait(&self) {
            let mut interrupted = self.interrupted.lock().unwrap();
            while !std::mem::take(&mut *interrupted) {
                interrupted = self.changed.wait(interrupted).unwrap();
            }
        }
    }

    /// One thread adds, another leads until it knows of the earliest. A wait up to anything later
    /// would be too long, so it lasts until an interrupt; one that never comes is a deadlock.
    fn the_leader_learns_of_the_earliest(pending: u64) {
        loom::model(move || {
            let shared = Arc::new((Horizon::new(), Wait::default()));
            shared.0.set(pending);
            let leader = shared.clone();
            let leader = thread::spawn(move || {
                while leader.0.approach() > 5 {
                    leader.1.wait();
                    leader.0.retreat();
                }
            });
            for at in [7, 5] {
                shared.0.set(pending);
                if shared.0.lower(at) {
                    shared.1.interrupt();
                }
            }
            leader.join().unwrap();
        });
    }

    #[test]
    fn tm_5_a_leader_that_waits_for_ever() {
        the_leader_learns_of_the_earliest(NEVER);
    }

    #[test]
    fn tm_5_a_leader_that_waits_for_another() {
        the_leader_learns_of_the_earliest(100);
    }
}
