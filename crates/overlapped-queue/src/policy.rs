use std::time::Duration;

/// Whom to wake when packets arrive. See the crate's introduction for both rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WakePolicy {
    /// Wake another worker only when that is worth more than it costs. While a worker is free and
    /// fewer than the limit are active, a packet waits no longer than two ticks of the watcher's, of at
    /// most [`TICK_MAX`] each, and two of [`TICK_MIN`] for each further worker that the limit allows.
    #[default]
    Economy,
    /// The literal rule of Windows: wake for every packet while fewer than the limit are active.
    Windows,
}

/// Under economy, how much queued work (packets times the mean time of a handler) justifies waking
/// another worker: four to five times what a wake across processors takes.
pub const BACKLOG: Duration = Duration::from_micros(200);

/// The watcher's first and shortest sleep.
pub const TICK_MIN: Duration = Duration::from_micros(200);

/// The watcher's longest sleep while packets move.
pub const TICK_MAX: Duration = Duration::from_micros(1600);

/// Where absences are frequent, how long a leader may stay away before whoever stands by takes over the
/// engine: longer than several short handlers, and short beside an absence.
pub(crate) const TAKE_OVER: Duration = Duration::from_micros(50);

/// If for [`QUIET`] no more packets than this were taken between any two ticks, the watcher stands by
/// where it can.
pub(crate) const CALM: u64 = 3;

/// After so many alarms in a row, while absences are not frequent, the standby watches again, to see whether packets still are few.
pub(crate) const ALARMS: u32 = if cfg!(loom) { 2 } else { 64 };

/// After this long without a packet, or with few of them, the watcher sleeps without a time-out.
pub const QUIET: Duration = Duration::from_millis(5);

/// How long a worker must have been in one wait to be taken for blocked: about what a wake across
/// processors takes. A shorter wait is over before another thread could have taken its place.
pub const PATIENCE: Duration = Duration::from_micros(50);

/// Blocks are frequent, so that the watcher keeps to its shortest sleep, if four were found within this time.
pub const WATCHFUL: Duration = Duration::from_secs(1);

/// See [`WATCHFUL`]: one now and then, in the system's code for one, says nothing of the next.
pub(crate) const FREQUENT: usize = 4;

/// A handler that takes longer than this, whether it blocks or computes, is an absence: whoever left
/// the engine for it should have been replaced there.
pub const ABSENCE: Duration = Duration::from_micros(400);

/// Where absences are more frequent than this, on average, somebody takes over the engine from a leader that
/// leaves it: at once, or, if there is an alarm to tell, when it stays away.
pub const OFTEN: Duration = Duration::from_millis(20);

/// After this many packets taken in a row from a queue that never ran empty, somebody looks into
/// the engine, so that work that posts to itself cannot starve I/O.
pub(crate) const HARVEST_EVERY: u32 = 64;

/// The same in handler time, for handlers that take long.
pub(crate) const HARVEST_AFTER: Duration = Duration::from_micros(200);

/// So many admissions in a row share one look: one that is made again before anything can have
/// changed finds the same.
pub(crate) const LOOK_EVERY: u32 = 16;

/// The same in handler time: well below [`PATIENCE`], before which nobody is found.
pub(crate) const LOOK_AFTER: Duration = Duration::from_micros(25);

/// What a queue is created with.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The concurrency value: how many threads may be active at once; at least 1.
    pub concurrency: usize,
    /// Whom to wake when.
    pub policy: WakePolicy,
    /// How often at most an admission looks who is blocked. For a means that costs nothing, zero;
    /// the watcher's looks do not ask.
    pub look_every: Duration,
    /// After how long an absent worker of which nothing is known is presumed blocked while others
    /// wait at the limit; `None` for never, which makes CC-4 and CC-6 exact and lets a worker that never comes back hold its
    /// place for ever.
    pub rescue_after: Option<Duration>,
}

impl Config {
    /// The default rescue bound: long beside any handler that does not block, short beside what a
    /// client notices.
    pub const RESCUE_AFTER: Duration = Duration::from_millis(10);

    /// Economy, with the rescue release after [`Config::RESCUE_AFTER`].
    pub fn new(concurrency: usize) -> Self {
        Config {
            concurrency,
            policy: WakePolicy::default(),
            look_every: Duration::ZERO,
            rescue_after: Some(Self::RESCUE_AFTER),
        }
    }
}
