//! The locks under every interleaving of small programs (loom).
//!
//! A thread that is never woken is a deadlock, which loom reports; so each model proves "no lost
//! wake-up" by ending. What the lock protects is a cell in which loom sees every race.

use std::time::Instant;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::{Word, condition, exclusive, shared};

/// A word, and who sleeps on it: the kernel's part is atomic under a lock.
struct Model {
    value: AtomicU32,
    asleep: Mutex<Asleep>,
    woken: Condvar,
}

#[derive(Default)]
struct Asleep {
    threads: usize,
    /// How many of those that slept were woken and do not know yet.
    woken: usize,
}

impl Model {
    fn new() -> Self {
        Model {
            value: AtomicU32::new(0),
            asleep: Mutex::new(Asleep::default()),
            woken: Condvar::new(),
        }
    }
}

impl Word for Model {
    fn load(&self) -> u32 {
        self.value.load(Ordering::Acquire)
    }

    fn swap(&self, new: u32) -> u32 {
        self.value.swap(new, Ordering::AcqRel)
    }

    fn compare_exchange(&self, old: u32, new: u32) -> Result<u32, u32> {
        self.value
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
    }

    fn fetch_add(&self, more: u32) -> u32 {
        self.value.fetch_add(more, Ordering::AcqRel)
    }

    fn fetch_sub(&self, less: u32) -> u32 {
        self.value.fetch_sub(less, Ordering::AcqRel)
    }

    fn sleep(&self, expected: u32, _until: Option<Instant>) -> bool {
        let mut asleep = self.asleep.lock().unwrap();
        // The kernel's look is in order with every change before a wake, which takes this lock.
        if self.value.load(Ordering::SeqCst) != expected {
            return true;
        }
        asleep.threads += 1;
        while asleep.woken == 0 {
            asleep = self.woken.wait(asleep).unwrap();
        }
        asleep.woken -= 1;
        true
    }

    fn wake_one(&self) -> bool {
        let mut asleep = self.asleep.lock().unwrap();
        if asleep.threads == 0 {
            return false;
        }
        asleep.threads -= 1;
        asleep.woken += 1;
        self.woken.notify_one();
        true
    }

    fn wake_all(&self) {
        while self.wake_one() {}
    }

    fn spin(&self, _busy: impl Fn(u32) -> bool) -> u32 {
        self.load()
    }
}

/// What a lock protects.
struct Guarded {
    words: [Model; 2],
    sum: UnsafeCell<u32>,
}

impl Guarded {
    fn new() -> Arc<Self> {
        Arc::new(Guarded {
            words: [Model::new(), Model::new()],
            sum: UnsafeCell::new(0),
        })
    }

    fn add(&self) {
        // SAFETY: loom reports who else is there.
        self.sum.with_mut(|sum| unsafe { *sum += 1 });
    }

    fn get(&self) -> u32 {
        // SAFETY: as above.
        self.sum.with(|sum| unsafe { *sum })
    }

    fn shared(&self) -> shared::Lock<'_, Model> {
        shared::Lock {
            state: &self.words[0],
            turn: &self.words[1],
        }
    }
}

fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn three_threads_have_an_exclusive_lock_one_after_the_other() {
    check(3, || {
        let it = Guarded::new();
        let add = |it: &Guarded| {
            exclusive::lock(&it.words[0]);
            it.add();
            exclusive::unlock(&it.words[0]);
        };
        let others: [_; 2] = std::array::from_fn(|_| {
            let it = it.clone();
            thread::spawn(move || add(&it))
        });
        add(&it);
        for other in others {
            other.join().unwrap();
        }
        assert!(exclusive::try_lock(&it.words[0]));
        assert_eq!(it.get(), 3);
    });
}

fn write(it: &Guarded) {
    it.shared().lock();
    it.add();
    it.shared().unlock();
}

fn read(it: &Guarded) {
    it.shared().lock_shared();
    assert!(it.get() <= 3);
    it.shared().unlock_shared();
}

fn each_of(program: [fn(&Guarded); 3]) {
    check(2, move || {
        let it = Guarded::new();
        let others: [_; 2] = std::array::from_fn(|index| {
            let it = it.clone();
            thread::spawn(move || program[index](&it))
        });
        program[2](&it);
        for other in others {
            other.join().unwrap();
        }
        // Free, and nobody is marked as asleep who is not: a writer may have been too careful.
        assert!(it.shared().try_lock());
    });
}

#[test]
fn writers_have_a_shared_lock_alone() {
    each_of([write, write, write]);
}

#[test]
fn readers_share_it_and_a_writer_gets_in() {
    each_of([read, read, write]);
}

#[test]
fn a_reader_gets_in_between_writers() {
    each_of([read, write, write]);
}

#[test]
fn a_wake_between_the_look_and_the_sleep_is_not_lost() {
    for wake in [condition::wake_one, condition::wake_all] {
        check(3, move || {
            let it = Guarded::new();
            let other = it.clone();
            let waits = thread::spawn(move || {
                let lock = &other.words[0];
                exclusive::lock(lock);
                while other.get() == 0 {
                    condition::sleep(
                        &other.words[1],
                        None,
                        || exclusive::unlock(lock),
                        || exclusive::lock(lock),
                    );
                }
                exclusive::unlock(lock);
            });
            exclusive::lock(&it.words[0]);
            it.add();
            exclusive::unlock(&it.words[0]);
            wake(&it.words[1]);
            waits.join().unwrap();
        });
    }
}
