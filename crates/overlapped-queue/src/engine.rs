use std::time::Duration;

use crate::Fifo;

/// How those that wait in an engine are reached.
pub trait Signals {
    /// Makes the [`wait`](Engine::wait) that is under way return, or the next one if none is.
    fn interrupt(&self);

    /// From now on the alarm goes off after this long, or not at all, whatever was said before; after
    /// zero it makes the [`wait_for_alarm`](Engine::wait_for_alarm) that is under way return, or the next
    /// one if none is.
    ///
    /// Called with the queue locked, but for zero: so it must not call the queue.
    fn set_alarm(&self, _after: Option<Duration>) {}
}

/// What the leader waits in: the narrow side of an engine that the queue sees.
pub trait Engine<F: Fifo>: Signals {
    /// Waits until I/O finished, [`interrupt`](Signals::interrupt) was called, or `timeout` ran
    /// out (`None`: for ever; zero: only looks), and appends what finished to `into`.
    ///
    /// Only one thread at a time is in here. Coming back early and with nothing is always allowed.
    fn wait(&self, timeout: Option<Duration>, into: &mut F);

    /// Nanoseconds on a clock that never goes back.
    fn now(&self) -> u64;

    /// Whether there is an alarm: a sleep that others can shorten without waking the sleeper. Without
    /// one the queue never asks for it.
    ///
    /// Called with the queue locked: so it must not call the queue.
    fn has_alarm(&self) -> bool {
        false
    }

    /// Waits until the alarm goes off, or `timeout` ran out.
    ///
    /// Only one thread at a time is in here. Coming back early is always allowed.
    fn wait_for_alarm(&self, _timeout: Option<Duration>) {}
}
