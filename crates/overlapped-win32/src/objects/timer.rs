//! Waitable timers.
//!
//! A timer that is set again forgets what it was set to: each setting has a number, and a tick that
//! belongs to an older one does nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::{Object, Thread};
use crate::apc::Apc;
use crate::dispatcher::{Kind, Signal};
use crate::error::Error;
use crate::helpers::{self, Due};

/// What is called on the thread that set a timer: with the program's value, and when it was due.
pub(crate) type Routine = unsafe extern "C-unwind" fn(usize, u32, u32);

pub(crate) struct Timer {
    signal: Signal,
    setting: Mutex<Setting>,
}

#[derive(Default)]
struct Setting {
    number: u64,
    due: Option<Due>,
    period: Option<Duration>,
    routine: Option<Call>,
}

#[derive(Clone)]
struct Call {
    thread: Arc<Thread>,
    routine: Routine,
    parameter: usize,
}

impl Timer {
    pub(crate) fn new(manual_reset: bool) -> Self {
        let kind = match manual_reset {
            true => Kind::Until,
            false => Kind::Once,
        };
        Timer {
            signal: Signal::new(kind, 0),
            setting: Mutex::default(),
        }
    }

    pub(crate) fn signal(&self) -> &Signal {
        &self.signal
    }

    /// Lets it be signalled at a time, then every `period`, and the routine called on this thread.
    pub(crate) fn set(
        self: &Arc<Self>,
        at: Instant,
        period: Option<Duration>,
        routine: Option<(Routine, usize)>,
    ) -> Result<(), Error> {
        let mut setting = self.lock();
        let before = setting.due.take();
        setting.number += 1;
        setting.period = period;
        setting.routine = routine.map(|(routine, parameter)| Call {
            thread: Thread::current(),
            routine,
            parameter,
        });
        self.signal.reset();
        setting.due = Some(self.schedule(setting.number, at)?);
        drop(setting);
        helpers::cancel(before);
        Ok(())
    }

    /// It will not be signalled; it stays as it is.
    pub(crate) fn cancel(&self) {
        let mut setting = self.lock();
        setting.number += 1;
        setting.routine = None;
        let before = setting.due.take();
        drop(setting);
        helpers::cancel(before);
    }

    fn schedule(self: &Arc<Self>, number: u64, at: Instant) -> Result<Due, Error> {
        let timer: Weak<Timer> = Arc::downgrade(self);
        helpers::at(at, move || {
            if let Some(timer) = timer.upgrade() {
                timer.tick(number, at);
            }
        })
    }

    fn tick(self: &Arc<Self>, number: u64, at: Instant) {
        let mut setting = self.lock();
        if setting.number != number {
            return;
        }
        self.signal.set();
        if let Some(call) = setting.routine.clone() {
            let now = crate::time::file_time();
            call.thread.apcs().queue(Apc::Own(Box::new(move || {
                // SAFETY: the program gave the routine for this.
                unsafe { (call.routine)(call.parameter, now as u32, (now >> 32) as u32) };
            })));
        }
        // From when it was due, so that it does not drift.
        setting.due = match setting.period {
            Some(period) => self.schedule(number, at + period).ok(),
            None => None,
        };
    }

    fn lock(&self) -> MutexGuard<'_, Setting> {
        self.setting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Timer> for Object {
    fn from(timer: Timer) -> Self {
        Object::Timer(Arc::new(timer))
    }
}
