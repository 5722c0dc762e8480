//! A few threads that make blocking calls, where the system refuses io_uring.
//!
//! As many as there is work for, up to a bound: a thread is added when more jobs wait than threads
//! sleep. A job that waits can be cancelled; one that somebody performs cannot be called back, and
//! ends as it ends.

use std::sync::{Arc, PoisonError};

use super::Files;
use crate::port::PortInner;

/// How many threads a port may have for its files.
pub(super) const MOST_THREADS: usize = 4;

/// Adds a thread. It need not succeed: there is one already.
pub(super) fn spawn_another(port: &Arc<PortInner>) -> bool {
    let port = port.clone();
    super::spawn(move || run(&port))
}

/// The life of a thread: until the port ends.
pub(super) fn run(port: &Arc<PortInner>) {
    let files = port.files();
    let mut done = Vec::with_capacity(1);
    let mut state = files.lock();
    loop {
        // Nobody can be asked to cancel.
        state.cancels.clear();
        if let Some(key) = state.next() {
            state.add_thread_if_needed(port);
            let job = loop {
                let step = state.step(key);
                drop(state);
                // SAFETY: a running job is touched by nobody but who runs it; a cancel only looks.
                let result = unsafe { step.perform(0) };
                state = files.lock();
                if let Some(job) = state.advance(key, result) {
                    break job;
                }
            };
            drop(state);
            done.push(job);
            Files::deliver(port, &mut done);
            state = files.lock();
        } else if state.ended {
            return;
        } else {
            state.sleeping += 1;
            state = files
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.sleeping -= 1;
        }
    }
}
