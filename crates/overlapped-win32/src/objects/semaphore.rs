//! Semaphores: as many waits end as were released.

use std::sync::Arc;

use super::Object;
use crate::dispatcher::{Kind, Signal};
use crate::error::Error;

pub(crate) struct Semaphore {
    signal: Signal,
}

impl Semaphore {
    pub(crate) fn new(count: i32, most: i32) -> Result<Self, Error> {
        match (u32::try_from(count), u32::try_from(most)) {
            (Ok(count), Ok(most)) if most > 0 && count <= most => Ok(Semaphore {
                signal: Signal::new(Kind::Counted(most), count),
            }),
            _ => Err(Error::INVALID_PARAMETER),
        }
    }

    pub(crate) fn signal(&self) -> &Signal {
        &self.signal
    }

    /// Adds to the count, and gives what it was before.
    pub(crate) fn release(&self, more: i32) -> Result<i32, Error> {
        let more = u32::try_from(more).ok().filter(|&more| more > 0);
        let before = self.signal.release(more.ok_or(Error::INVALID_PARAMETER)?);
        before
            .map(|before| before as i32)
            .ok_or(Error::TOO_MANY_POSTS)
    }
}

impl From<Semaphore> for Object {
    fn from(semaphore: Semaphore) -> Self {
        Object::Semaphore(Arc::new(semaphore))
    }
}
