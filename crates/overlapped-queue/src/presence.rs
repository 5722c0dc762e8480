/// A bound thread as the system sees it: what the queue asks of it when it matters whether the
/// thread blocks.
pub trait Presence: Send {
    /// The wait that the thread is in now; `None` while it runs or could run.
    ///
    /// Called with the queue locked, so it must not block and must not call the queue.
    fn wait(&self) -> Option<ThreadWait>;

    /// Whether it still is in that wait, as exactly as the system tells. Asked before a thread is taken for
    /// blocked, so it may cost more. Called with the queue locked as well.
    fn lasts(&self, wait: ThreadWait) -> bool {
        self.wait() == Some(wait)
    }
}

/// One wait of a thread's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadWait {
    /// Tells it from the thread's other waits, as far as the system can: a thread that is found
    /// twice in the same wait has not run in between.
    pub number: u64,
    /// When it began, in nanoseconds on the engine's clock, if the system tells. Otherwise it began
    /// when it was first found, at the latest.
    pub began: Option<u64>,
}
