//! Events: manual-reset and auto-reset.

use std::sync::Arc;

use super::Object;
use crate::dispatcher::{Kind, Signal};

pub(crate) struct Event {
    signal: Signal,
}

impl Event {
    pub(crate) fn new(manual_reset: bool, set: bool) -> Self {
        let kind = match manual_reset {
            true => Kind::Until,
            false => Kind::Once,
        };
        Event {
            signal: Signal::new(kind, set.into()),
        }
    }

    pub(crate) fn signal(&self) -> &Signal {
        &self.signal
    }

    pub(crate) fn set(&self) {
        self.signal.set();
    }

    pub(crate) fn reset(&self) {
        self.signal.reset();
    }

    /// Ends the waits that are there now.
    pub(crate) fn pulse(&self) {
        self.signal.pulse();
    }
}

impl From<Event> for Object {
    fn from(event: Event) -> Self {
        Object::Event(Arc::new(event))
    }
}
