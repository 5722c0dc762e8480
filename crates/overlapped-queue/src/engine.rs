use std::time::Duration;

use crate::Fifo;

/// What the leader waits in: the narrow side of an engine that the queue sees.
pub trait Engine<F: Fifo> {
    /// Waits until I/O finished, [`interrupt`](Engine::interrupt) was called, or `timeout` ran
    /// out (`None`: for ever; zero: only looks), and appends what finished to `into`.
    ///
    /// Only one thread at a time is in here. Coming back early and with nothing is always allowed.
    fn wait(&self, timeout: Option<Duration>, into: &mut F);

    /// Makes the [`wait`](Engine::wait) that is under way return, or the next one if none is.
    fn interrupt(&self);

    /// Nanoseconds on a clock that never goes back.
    fn now(&self) -> u64;
}
