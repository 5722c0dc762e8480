/// A bound thread as the system sees it: what the queue asks of it when it matters whether the
/// thread blocks.
pub trait Presence: Send {
    /// Which wait the thread is in now; `None` while it runs or could run.
    ///
    /// The number tells one wait from the next, as far as the system can: a thread that is found
    /// twice in the same wait has not run in between.
    ///
    /// Called with the queue locked, so it must not block and must not call the queue.
    fn wait(&self) -> Option<u64>;
}
