//! Closed sockets that still have something to send, and until when they may.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::SocketState;

/// The deadlines of a port's closed sockets.
pub(crate) struct Linger {
    /// The earliest, for the leader's glance; `u64::MAX` for none.
    earliest: AtomicU64,
    deadlines: Mutex<BinaryHeap<Reverse<Deadline>>>,
}

struct Deadline {
    at: u64,
    socket: Weak<SocketState>,
}

impl PartialEq for Deadline {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Deadline {}

impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Deadline {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

impl Linger {
    pub(crate) fn new() -> Self {
        Linger {
            earliest: AtomicU64::new(u64::MAX),
            deadlines: Mutex::default(),
        }
    }

    /// When the leader has to look here again.
    pub(crate) fn earliest(&self) -> u64 {
        self.earliest.load(Relaxed)
    }

    /// Adds a socket. `true` if its deadline is the earliest now.
    pub(crate) fn add(&self, at: u64, socket: &Arc<SocketState>) -> bool {
        let mut deadlines = self
            .deadlines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        deadlines.push(Reverse(Deadline {
            at,
            socket: Arc::downgrade(socket),
        }));
        at < self.earliest.fetch_min(at, Relaxed)
    }

    /// Ends the sends of those whose time is up.
    pub(crate) fn expire(&self, now: u64) {
        loop {
            let mut deadlines = self
                .deadlines
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let due = deadlines
                .peek()
                .is_some_and(|Reverse(deadline)| deadline.at <= now);
            let Some(Reverse(deadline)) = (if due { deadlines.pop() } else { None }) else {
                let next = deadlines
                    .peek()
                    .map_or(u64::MAX, |Reverse(deadline)| deadline.at);
                self.earliest.store(next, Relaxed);
                return;
            };
            drop(deadlines);
            if let Some(socket) = deadline.socket.upgrade() {
                socket.abort_sends();
            }
        }
    }
}
