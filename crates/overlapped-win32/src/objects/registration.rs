//! Waits that call the program when they end: each is a thread of the library's that waits.

use std::sync::Arc;
use std::time::Duration;

use super::{Callbacks, Object};
use crate::abi::WAITORTIMERCALLBACK;
use crate::dispatcher::{self, Ended, Kind, Signal};
use crate::error::Error;
use crate::helpers;

pub(crate) struct Registration {
    ended: Signal,
    callbacks: Callbacks,
}

/// What is called, with the program's value.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) routine: WAITORTIMERCALLBACK,
    pub(crate) parameter: usize,
}

impl Call {
    /// Calls it; `timed_out` says why.
    pub(crate) fn make(self, timed_out: bool) {
        // SAFETY: the program gave the routine for this.
        unsafe { (self.routine)(self.parameter as *mut _, timed_out.into()) };
    }
}

impl Registration {
    /// Waits for an object, for this long each time; once, or again and again.
    pub(crate) fn new(
        object: Object,
        call: Call,
        timeout: Option<Duration>,
        once: bool,
    ) -> Result<Arc<Self>, Error> {
        object.signal()?;
        let registration = Arc::new(Registration {
            ended: Signal::new(Kind::Until, 0),
            callbacks: Callbacks::default(),
        });
        let waiting = registration.clone();
        helpers::spawn("overlapped-wait", move || {
            let signal = object.signal().expect("it had one");
            loop {
                let timed_out =
                    match dispatcher::wait(&[&waiting.ended, signal], false, timeout, false) {
                        Ended::Signalled(0) => return,
                        ended => ended == Ended::TimedOut,
                    };
                if !waiting.callbacks.call(|| call.make(timed_out)) || once {
                    return;
                }
            }
        })?;
        Ok(registration)
    }

    pub(crate) fn callbacks(&self) -> &Callbacks {
        &self.callbacks
    }

    /// It waits no more.
    pub(crate) fn end(&self) {
        self.ended.set();
    }
}

impl From<Arc<Registration>> for Object {
    fn from(registration: Arc<Registration>) -> Self {
        Object::Registration(registration)
    }
}
