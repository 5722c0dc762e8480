//! Calls of the program's that happen again and again until they are ended.
//!
//! Whoever ends them may want to know when the last one is over.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Event;

/// The calls of one registration.
#[derive(Default)]
pub(crate) struct Callbacks {
    state: Mutex<State>,
    idle: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    ended: bool,
    /// To be set when the last one is over.
    finished: Vec<Arc<Event>>,
}

/// What whoever ends the calls does about those that run.
pub(crate) enum Then {
    /// Goes on, and learns whether there are any.
    GoOn,
    Wait,
    /// Has an event set after them.
    Set(Arc<Event>),
}

impl Callbacks {
    /// Calls `f`, unless they are ended; whether it did.
    pub(crate) fn call(&self, f: impl FnOnce()) -> bool {
        let mut state = self.lock();
        if state.ended {
            return false;
        }
        state.running += 1;
        drop(state);
        f();
        let mut state = self.lock();
        state.running -= 1;
        if state.running == 0 && state.ended {
            for event in state.finished.drain(..) {
                event.set();
            }
            self.idle.notify_all();
        }
        true
    }

    /// No more calls begin; whether none runs.
    pub(crate) fn end(&self, then: Then) -> bool {
        let mut state = self.lock();
        state.ended = true;
        match then {
            Then::GoOn => {}
            Then::Wait => {
                while state.running > 0 {
                    state = self
                        .idle
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
            Then::Set(event) if state.running > 0 => state.finished.push(event),
            Then::Set(event) => event.set(),
        }
        state.running == 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
