//! What may go wrong, how often, and how often it did.

use std::ops::{AddAssign, Range};
use std::time::Duration;

/// How a network behaves. Ratios are in thousandths.
///
/// ```
/// use overlapped_core::sim::Faults;
///
/// // As bad as it gets, but no connection breaks.
/// let faults = Faults { reset: 0, ..Faults::storm() };
/// assert!(faults.stall > 0);
/// ```
#[derive(Clone, Debug)]
pub struct Faults {
    /// How long a piece of data, or an acknowledgement, travels.
    pub latency: Range<Duration>,
    /// How often one takes longer, by [`stall_for`](Faults::stall_for).
    pub stall: u32,
    /// By how much.
    pub stall_for: Range<Duration>,
    /// How many bytes a connection takes before the reader has taken some; drawn for each
    /// direction of each connection.
    pub window: Range<usize>,
    /// How many connections wait to be accepted before further ones have to try again.
    pub backlog: usize,
    /// How often sent bytes travel in several pieces, each with a delay of its own.
    pub fragment: u32,
    /// How often a send finds no room although there is some.
    pub full: u32,
    /// How often a send takes less than there is room for.
    pub short_send: u32,
    /// How often the arrival of a piece breaks the connection instead.
    pub reset: u32,
    /// How often a connect fails although somebody listens.
    pub refuse: u32,
    /// How often a connect ends in the call itself, well or badly.
    pub connect_at_once: u32,
    /// How often an accept fails for want of descriptors or memory.
    pub accept: u32,
    /// How often registering a socket fails for want of memory.
    pub register: u32,
    /// How often a wait also reports a socket that nothing happened to.
    pub spurious: u32,
    /// How often a report of a socket that was deregistered still comes.
    pub stale: u32,
    /// How often a report is left for the next wait.
    pub late: u32,
    /// How often a wait comes back at once and with nothing.
    pub interrupt: u32,
    /// How often a wait comes back late, when more than its cause has happened.
    pub oversleep: u32,
}

impl Faults {
    /// A network without faults: everything arrives whole, in order of sending, after 50 us.
    pub fn none() -> Self {
        Faults {
            latency: Duration::from_micros(50)..Duration::from_micros(50),
            stall: 0,
            stall_for: Duration::ZERO..Duration::ZERO,
            window: 64 << 10..64 << 10,
            backlog: 128,
            fragment: 0,
            full: 0,
            short_send: 0,
            reset: 0,
            refuse: 0,
            connect_at_once: 0,
            accept: 0,
            register: 0,
            spurious: 0,
            stale: 0,
            late: 0,
            interrupt: 0,
            oversleep: 0,
        }
    }

    /// What an ordinary day brings.
    pub fn some() -> Self {
        Faults {
            latency: Duration::from_micros(20)..Duration::from_millis(2),
            stall: 20,
            stall_for: Duration::from_millis(5)..Duration::from_millis(100),
            window: 4 << 10..64 << 10,
            backlog: 128,
            fragment: 200,
            full: 20,
            short_send: 50,
            reset: 1,
            refuse: 20,
            connect_at_once: 100,
            accept: 20,
            register: 5,
            spurious: 20,
            stale: 100,
            late: 50,
            interrupt: 20,
            oversleep: 100,
        }
    }

    /// Nothing works at the first attempt.
    pub fn storm() -> Self {
        Faults {
            latency: Duration::from_nanos(1)..Duration::from_millis(20),
            stall: 150,
            stall_for: Duration::from_millis(1)..Duration::from_millis(500),
            window: 1..2 << 10,
            backlog: 4,
            fragment: 700,
            full: 200,
            short_send: 400,
            reset: 4,
            refuse: 250,
            connect_at_once: 250,
            accept: 200,
            register: 50,
            spurious: 250,
            stale: 500,
            late: 250,
            interrupt: 200,
            oversleep: 300,
        }
    }
}

/// How often each fault occurred, so that a test can tell that it tested something.
///
/// ```
/// use overlapped_core::sim::{Counts, Network};
///
/// let mut total = Counts::default();
/// for seed in 0..3 {
///     let network = Network::new(seed);
///     // ... the test ...
///     total += network.counts();
/// }
/// assert_eq!(total.resets, 0, "there was no test");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Events of every kind, faults or not.
    pub events: u64,
    /// Pieces or acknowledgements that took long.
    pub stalls: u64,
    /// Sends that were cut into several pieces.
    pub fragments: u64,
    /// Sends that found no room although there was some.
    pub full: u64,
    /// Sends that took less than there was room for.
    pub short_sends: u64,
    /// Connections that the network broke.
    pub resets: u64,
    /// Connects that failed although somebody listened.
    pub refusals: u64,
    /// Connects that ended in the call itself.
    pub connects_at_once: u64,
    /// Accepts that failed.
    pub accept_failures: u64,
    /// Registrations that failed.
    pub register_failures: u64,
    /// Reports without a cause.
    pub spurious_reports: u64,
    /// Reports of sockets that were deregistered.
    pub stale_reports: u64,
    /// Reports that were left for the next wait.
    pub late_reports: u64,
    /// Waits that came back with nothing.
    pub interrupts: u64,
    /// Waits that came back late.
    pub oversleeps: u64,
    /// Calls that did nothing although their socket had been reported.
    pub not_ready: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.events += other.events;
        self.stalls += other.stalls;
        self.fragments += other.fragments;
        self.full += other.full;
        self.short_sends += other.short_sends;
        self.resets += other.resets;
        self.refusals += other.refusals;
        self.connects_at_once += other.connects_at_once;
        self.accept_failures += other.accept_failures;
        self.register_failures += other.register_failures;
        self.spurious_reports += other.spurious_reports;
        self.stale_reports += other.stale_reports;
        self.late_reports += other.late_reports;
        self.interrupts += other.interrupts;
        self.oversleeps += other.oversleeps;
        self.not_ready += other.not_ready;
    }
}
