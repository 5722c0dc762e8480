//! What each thread has.

use std::cell::Cell;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Names a thread for as long as the process lives; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadId(NonZeroU64);

thread_local! {
    static ID: Cell<Option<ThreadId>> = const { Cell::new(None) };
}

impl ThreadId {
    /// For a thread that will be started.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        ThreadId(NonZeroU64::new(NEXT.fetch_add(1, Relaxed)).expect("it began at 1"))
    }

    /// The calling thread's.
    pub(crate) fn current() -> Self {
        ID.get().unwrap_or_else(|| {
            let id = ThreadId::new();
            id.adopt();
            id
        })
    }

    /// The calling thread is this one.
    pub(crate) fn adopt(self) {
        ID.set(Some(self));
    }

    /// The number that programs see: a multiple of four, like Windows's, and not the kernel's,
    /// because it has to be known before the thread runs.
    pub(crate) fn number(self) -> u32 {
        (self.0.get() as u32).wrapping_mul(4)
    }
}

/// Runs what may block, so that the port that the calling thread is bound to lets another thread
/// take its place (CC-8).
pub(crate) fn blocking<R>(f: impl FnOnce() -> R) -> R {
    crate::objects::port::blocking(f)
}
