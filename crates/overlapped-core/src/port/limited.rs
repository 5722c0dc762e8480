//! A count with a limit.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many there are, and how many there may be.
pub(crate) struct Limited {
    count: AtomicUsize,
    most: usize,
}

impl Limited {
    pub(crate) fn new(most: usize) -> Self {
        Limited {
            count: AtomicUsize::new(0),
            most,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Counts one more, if the limit allows.
    pub(crate) fn enter(&self) -> bool {
        let more = |count| (count < self.most).then_some(count + 1);
        self.count.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// One that [`enter`](Limited::enter) counted is gone.
    pub(crate) fn leave(&self) {
        self.count.fetch_sub(1, Relaxed);
    }
}
