use crate::WaitHistogram;

/// A snapshot of a queue's counts. All totals are since the queue was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The concurrency value.
    pub concurrency: usize,
    /// Threads bound to the queue.
    pub bound: usize,
    /// Threads that came back from `get` and count against the concurrency value.
    pub active: usize,
    /// Threads that were found blocked outside, have not been seen running since, and do not count.
    pub blocked: usize,
    /// By how many `active` exceeds the concurrency value, because threads came back from a block.
    pub overshoot: usize,
    /// Threads that wait in `get`, the leader included.
    pub waiting: usize,
    /// Packets queued now.
    pub queued: usize,
    /// Packets that were pushed or came from the engine.
    pub arrived: u64,
    /// Packets that were taken.
    pub taken: u64,
    /// Packets that were put straight into a waiting thread's slot.
    pub handed_over: u64,
    /// Sleeping threads that were woken (hand-overs included).
    pub wakes: u64,
    /// Threads that were woken to look for work and found none.
    pub futile_wakes: u64,
    /// How often an alarm was set where a sleeper would have been woken, to watch or to take over the engine.
    pub alarms: u64,
    /// Visits to the engine.
    pub harvests: u64,
    /// Workers that were presumed blocked by the rescue release.
    pub rescues: u64,
    /// How often it was asked who is blocked.
    pub looks: u64,
    /// How often a worker was found blocked and its place given away.
    pub noticed: u64,
    /// How long packets waited, of a sample of them.
    pub waits: WaitHistogram,
}
