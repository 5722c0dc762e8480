//! What happens to a port in a forked child: it refuses.
//!
//! The child shares the parent's epoll, its threads do not exist there, and locks may be held for
//! ever. A port therefore belongs to the process that made it; the child's calls fail with a clear
//! error, and dropping its copies of port and sockets there closes descriptors and does nothing else.

use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

static FORKS: AtomicU32 = AtomicU32::new(0);

/// How many forks lie between the first process and the one that made a port.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation(u32);

impl Generation {
    pub(crate) fn current() -> Self {
        static REGISTER: Once = Once::new();
        REGISTER.call_once(|| {
            extern "C" fn in_child() {
                FORKS.fetch_add(1, Relaxed);
            }
            // SAFETY: the handler touches one atomic, which is all that a forked child may do.
            // Without memory for the handler forks go unnoticed, which is what they would be
            // anyway.
            unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        });
        Generation(FORKS.load(Relaxed))
    }

    /// Whether this is another process than the one that made the port.
    pub(crate) fn is_over(self) -> bool {
        self.0 != FORKS.load(Relaxed)
    }

    pub(super) fn check(self) -> io::Result<()> {
        if !self.is_over() {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this completion port was made before a fork; make a new one in the child",
        ))
    }
}
