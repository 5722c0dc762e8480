//! What handles name.

mod event;

use std::sync::Arc;

use crate::dispatcher::Signal;
use crate::error::Error;

pub(crate) use event::Event;

/// An object, of one kind or another. Cloning gives another reference to it.
#[derive(Clone)]
pub(crate) enum Object {
    Event(Arc<Event>),
}

impl Object {
    /// Its last handle was closed. Whoever uses it now keeps its memory.
    pub(crate) fn last_handle_closed(&self) {
        match self {
            Object::Event(_) => {}
        }
    }

    /// What a wait for it waits for.
    pub(crate) fn signal(&self) -> Result<&Signal, Error> {
        match self {
            Object::Event(event) => Ok(event.signal()),
        }
    }

    /// The event, if it is one.
    pub(crate) fn event(&self) -> Result<&Arc<Event>, Error> {
        match self {
            Object::Event(event) => Ok(event),
        }
    }
}
