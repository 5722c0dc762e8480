//! Mutexes: owned by a thread, which may have them several times.

use std::sync::Arc;

use super::Object;
use crate::dispatcher::{Kind, Signal};
use crate::error::Error;

pub(crate) struct Mutex {
    signal: Signal,
}

impl Mutex {
    pub(crate) fn new() -> Self {
        Mutex {
            signal: Signal::new(Kind::Owned, 0),
        }
    }

    pub(crate) fn signal(&self) -> &Signal {
        &self.signal
    }

    pub(crate) fn release(&self) -> Result<(), Error> {
        match self.signal.let_go() {
            true => Ok(()),
            false => Err(Error::NOT_OWNER),
        }
    }
}

impl From<Mutex> for Object {
    fn from(mutex: Mutex) -> Self {
        Object::Mutex(Arc::new(mutex))
    }
}
