//! What each thread has.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Names a thread for as long as the process lives; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadId(NonZeroU64);

impl ThreadId {
    /// The calling thread's.
    pub(crate) fn current() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        thread_local! {
            static ID: ThreadId = ThreadId(
                NonZeroU64::new(NEXT.fetch_add(1, Relaxed)).expect("it began at 1"),
            );
        }
        ID.with(|id| *id)
    }
}

/// Runs what may block, so that the port that the calling thread is bound to lets another thread
/// take its place (CC-8).
pub(crate) fn blocking<R>(f: impl FnOnce() -> R) -> R {
    f()
}
