//! Timers that call the program on a thread of the pool, and the queues that end them together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::registration::Call;
use super::{Callbacks, Object};
use crate::error::Error;
use crate::helpers::{self, Due};

pub(crate) struct QueueTimer {
    call: Call,
    setting: Mutex<Setting>,
    callbacks: Callbacks,
}

struct Setting {
    /// A tick of an older one does nothing.
    number: u64,
    due: Option<Due>,
    period: Option<Duration>,
}

impl QueueTimer {
    /// One that is not due yet.
    pub(crate) fn new(call: Call) -> Arc<Self> {
        Arc::new(QueueTimer {
            call,
            setting: Mutex::new(Setting {
                number: 0,
                due: None,
                period: None,
            }),
            callbacks: Callbacks::default(),
        })
    }

    /// From now on it is due after this long, then every `period`; `None` is never.
    pub(crate) fn set(
        self: &Arc<Self>,
        after: Option<Duration>,
        period: Option<Duration>,
    ) -> Result<(), Error> {
        let mut setting = self.lock();
        setting.number += 1;
        setting.period = period;
        let before = setting.due.take();
        setting.due = match after {
            Some(after) => Some(self.schedule(setting.number, Instant::now() + after)?),
            None => None,
        };
        drop(setting);
        helpers::cancel(before);
        Ok(())
    }

    pub(crate) fn callbacks(&self) -> &Callbacks {
        &self.callbacks
    }

    /// It is due no more.
    pub(crate) fn end(&self) {
        let mut setting = self.lock();
        setting.number += 1;
        let before = setting.due.take();
        drop(setting);
        helpers::cancel(before);
    }

    fn schedule(self: &Arc<Self>, number: u64, at: Instant) -> Result<Due, Error> {
        let timer: Weak<QueueTimer> = Arc::downgrade(self);
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
        setting.due = match setting.period {
            Some(period) => self.schedule(number, at + period).ok(),
            None => None,
        };
        drop(setting);
        let timer = self.clone();
        // Without a thread this tick is lost, as on Windows.
        let _ = helpers::submit(move || {
            timer.callbacks.call(|| timer.call.make(true));
        });
    }

    fn lock(&self) -> MutexGuard<'_, Setting> {
        self.setting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Arc<QueueTimer>> for Object {
    fn from(timer: Arc<QueueTimer>) -> Self {
        Object::QueueTimer(timer)
    }
}

/// Timers that end together.
#[derive(Default)]
pub(crate) struct TimerQueue {
    timers: Mutex<Vec<Weak<QueueTimer>>>,
}

impl TimerQueue {
    pub(crate) fn add(&self, timer: &Arc<QueueTimer>) {
        let mut timers = self.timers.lock().unwrap_or_else(PoisonError::into_inner);
        timers.retain(|timer| timer.strong_count() > 0);
        timers.push(Arc::downgrade(timer));
    }

    /// Those that are there.
    pub(crate) fn timers(&self) -> Vec<Arc<QueueTimer>> {
        let timers = self.timers.lock().unwrap_or_else(PoisonError::into_inner);
        timers.iter().filter_map(Weak::upgrade).collect()
    }
}

impl From<TimerQueue> for Object {
    fn from(queue: TimerQueue) -> Self {
        Object::TimerQueue(Arc::new(queue))
    }
}
