//! The locks that live in the program's memory: critical sections, SRW locks, condition variables,
//! one-time initialisation.
//!
//! The program gives a few words that begin as zeros, may be copied nowhere and are never
//! destroyed. So all state is in these words, and who has to wait sleeps on them (a futex). The
//! algorithms are written over [`Word`], and loom runs them over words of its own (the tests
//! below).
//!
//! - [`exclusive`]: free, held, or held with somebody asleep. Who had to wait takes it as the
//!   third, because others may be asleep as well; so whoever gives it back knows whom to wake.
//! - [`shared`]: a count of readers with two marks for who sleeps, and a second word on which
//!   writers sleep, so that one of them is woken and not all. A writer that waits keeps new readers
//!   out.
//! - [`condition`]: a number that every wake changes. Who waits reads it before it gives back the
//!   lock, and sleeps only if it has not changed.

pub(crate) mod condition;
pub(crate) mod exclusive;
pub(crate) mod shared;

use std::hint::spin_loop;
use std::io;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::thread;

/// A word in memory that threads can sleep on.
pub(crate) trait Word {
    fn load(&self) -> u32;
    fn swap(&self, new: u32) -> u32;
    fn compare_exchange(&self, old: u32, new: u32) -> Result<u32, u32>;
    fn fetch_add(&self, more: u32) -> u32;
    fn fetch_sub(&self, less: u32) -> u32;
    /// Sleeps if it is still `expected`; may come back for no reason. `false` if the time is up.
    fn sleep(&self, expected: u32, until: Option<Instant>) -> bool;
    /// Wakes one; whether there was one.
    fn wake_one(&self) -> bool;
    fn wake_all(&self);
    /// Looks a few times whether it becomes other than `busy` says, before somebody sleeps.
    fn spin(&self, busy: impl Fn(u32) -> bool) -> u32;
}

/// The kernel's.
impl Word for AtomicU32 {
    fn load(&self) -> u32 {
        self.load(Ordering::Acquire)
    }

    fn swap(&self, new: u32) -> u32 {
        self.swap(new, Ordering::AcqRel)
    }

    fn compare_exchange(&self, old: u32, new: u32) -> Result<u32, u32> {
        self.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
    }

    fn fetch_add(&self, more: u32) -> u32 {
        self.fetch_add(more, Ordering::AcqRel)
    }

    fn fetch_sub(&self, less: u32) -> u32 {
        self.fetch_sub(less, Ordering::AcqRel)
    }

    fn sleep(&self, expected: u32, until: Option<Instant>) -> bool {
        let left = match until {
            None => None,
            Some(until) => match until.checked_duration_since(Instant::now()) {
                None | Some(Duration::ZERO) => return false,
                left => left,
            },
        };
        thread::blocking(|| futex_wait(self, expected, left))
    }

    fn wake_one(&self) -> bool {
        futex_wake(self, 1) > 0
    }

    fn wake_all(&self) {
        futex_wake(self, i32::MAX);
    }

    fn spin(&self, busy: impl Fn(u32) -> bool) -> u32 {
        static SPINS: LazyLock<u32> = LazyLock::new(|| {
            // On one processor whoever holds it cannot run meanwhile.
            match std::thread::available_parallelism().map_or(1, usize::from) {
                1 => 0,
                _ => 100,
            }
        });
        for _ in 0..*SPINS {
            let value = Word::load(self);
            if !busy(value) {
                return value;
            }
            spin_loop();
        }
        Word::load(self)
    }
}

/// `false` if the time is up.
fn futex_wait(word: &AtomicU32, expected: u32, left: Option<Duration>) -> bool {
    let left = left.map(|left| libc::timespec {
        tv_sec: left.as_secs() as libc::time_t,
        tv_nsec: left.subsec_nanos().into(),
    });
    // SAFETY: the word and the time are there during the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            expected,
            left.as_ref().map_or(std::ptr::null(), std::ptr::from_ref),
        )
    };
    result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ETIMEDOUT)
}

fn futex_wake(word: &AtomicU32, most: i32) -> i64 {
    // SAFETY: the call uses the address as a name only.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            most,
        )
    }
}

#[cfg(test)]
mod models;
