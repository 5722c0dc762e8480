//! The counts of a port, for a recorder of the `metrics` crate.
//!
//! # How it works
//!
//! The port counts anyway, under the lock that it takes anyway; so nothing is recorded for a packet.
//! [`PortMetrics::publish`] takes a snapshot and gives it to the recorder: call it as often as
//! somebody looks, about as often as the metrics are scraped. A snapshot takes the port's lock once, for
//! less than a microsecond, and visits each socket, one after the other, to count what is under way.

use std::collections::HashMap;

use metrics::{
    Counter, Gauge, Histogram, SharedString, Unit, counter, describe_counter, describe_gauge,
    describe_histogram, gauge, histogram,
};

use crate::{CompletionPort, Kind, Stats, WaitHistogram, Workers};

/// What publishes a port's counts, under a label `port`. It does not keep the port open.
///
/// | name | kind | what |
/// |---|---|---|
/// | `overlapped_concurrency` | gauge | the concurrency value |
/// | `overlapped_active` | gauge | threads that count against it |
/// | `overlapped_overshoot` | gauge | by how many these are more |
/// | `overlapped_blocked` | gauge | threads that were found blocked, and do not count |
/// | `overlapped_waiting` | gauge | threads that wait for packets |
/// | `overlapped_queued` | gauge | packets that wait for threads |
/// | `overlapped_sockets`, `overlapped_timers` | gauge | those that there are |
/// | `overlapped_under_way` | gauge | operations, by `kind` |
/// | `overlapped_workers` | gauge | threads of the pool |
/// | `overlapped_packets_total` | counter | packets taken |
/// | `overlapped_handed_over_total` | counter | those that were put into a waiting thread's hands |
/// | `overlapped_wakes_total` | counter | sleeping threads woken |
/// | `overlapped_futile_wakes_total` | counter | those that found nothing |
/// | `overlapped_harvests_total` | counter | visits to the engine |
/// | `overlapped_noticed_blocked_total` | counter | threads found blocked |
/// | `overlapped_presumed_blocked_total` | counter | threads presumed to be |
/// | `overlapped_workers_started_total` | counter | threads of the pool that were started |
/// | `overlapped_panics_total` | counter | handlers that panicked |
/// | `overlapped_wait_seconds` | histogram | how long packets waited, of a sample of them; what is recorded is at most half as long again |
///
/// Of these Windows tells only the concurrency value, what waits and is queued, and all that does not
/// come from its queue: the kernel keeps the other counts to itself, and they are not published there.
///
/// The metrics go to the recorder that is installed when this is made.
///
/// ```
/// use std::time::Duration;
/// use overlapped::{CompletionPort, PortMetrics};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // First the recorder, such as that of `metrics-exporter-prometheus`.
/// let port: CompletionPort = CompletionPort::new(2)?;
/// let workers = port.workers(|_packet, _port| { /* ... */ }).start()?;
///
/// let mut metrics = PortMetrics::new(&port, "web");
/// let publisher = std::thread::spawn(move || {
///     // The workers end with the port, and so does this.
///     while !workers.is_finished() {
///         metrics.publish(Some(&workers));
///         std::thread::sleep(Duration::from_millis(10)); // Rather 10 s.
///     }
///     workers.join()
/// });
///
/// port.close();
/// publisher.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
pub struct PortMetrics<K = (), T = ()> {
    port: CompletionPort<K, T>,
    label: SharedString,
    gauges: Vec<(Gauge, Of<usize>)>,
    counters: Vec<(Counter, Of<u64>)>,
    waits: Histogram,
    /// What has been recorded of them.
    recorded: WaitHistogram,
    /// What has ever been under way.
    kinds: HashMap<Kind, Gauge>,
}

/// Where a count is in a snapshot, if the system tells it.
type Of<N> = fn(&Stats) -> Option<N>;

/// A gauge or counter of a port: its name, what it says, and where it is.
type Count<N> = (&'static str, &'static str, Of<N>);

const GAUGES: &[Count<usize>] = &[
    ("overlapped_concurrency", "The concurrency value", |stats| {
        Some(stats.concurrency)
    }),
    (
        "overlapped_active",
        "Threads that count against the concurrency value",
        |stats| Some(stats.queue.as_ref()?.active),
    ),
    (
        "overlapped_overshoot",
        "Active threads beyond the concurrency value",
        |stats| Some(stats.queue.as_ref()?.overshoot),
    ),
    (
        "overlapped_blocked",
        "Threads that were found blocked, and do not count",
        |stats| Some(stats.queue.as_ref()?.blocked),
    ),
    (
        "overlapped_waiting",
        "Threads that wait for packets",
        |stats| Some(stats.waiting),
    ),
    (
        "overlapped_queued",
        "Packets that wait for threads",
        |stats| Some(stats.queued),
    ),
    ("overlapped_sockets", "Associated sockets", |stats| {
        Some(stats.sockets)
    }),
    (
        "overlapped_timers",
        "Timers and deadlines under way",
        |stats| Some(stats.timers),
    ),
];

const COUNTERS: &[Count<u64>] = &[
    ("overlapped_packets_total", "Packets taken", |stats| {
        Some(stats.queue.as_ref()?.taken)
    }),
    (
        "overlapped_handed_over_total",
        "Packets that were put into a waiting thread's hands",
        |stats| Some(stats.queue.as_ref()?.handed_over),
    ),
    (
        "overlapped_wakes_total",
        "Sleeping threads woken",
        |stats| Some(stats.queue.as_ref()?.wakes),
    ),
    (
        "overlapped_futile_wakes_total",
        "Threads that were woken and found nothing",
        |stats| Some(stats.queue.as_ref()?.futile_wakes),
    ),
    (
        "overlapped_harvests_total",
        "Visits to the engine",
        |stats| Some(stats.queue.as_ref()?.harvests),
    ),
    (
        "overlapped_noticed_blocked_total",
        "Threads found blocked",
        |stats| Some(stats.queue.as_ref()?.noticed),
    ),
    (
        "overlapped_presumed_blocked_total",
        "Threads presumed blocked",
        |stats| Some(stats.queue.as_ref()?.rescues),
    ),
];

const WAITS: &str = "overlapped_wait_seconds";
const UNDER_WAY: &str = "overlapped_under_way";
const WORKERS: &str = "overlapped_workers";
const STARTED: &str = "overlapped_workers_started_total";
const PANICS: &str = "overlapped_panics_total";

impl<K: Send + Sync + 'static, T: Send + 'static> PortMetrics<K, T> {
    /// For this port, whose metrics have this label.
    pub fn new(port: &CompletionPort<K, T>, label: impl Into<SharedString>) -> Self {
        let label = label.into();
        for &(name, what, _) in GAUGES {
            describe_gauge!(name, what);
        }
        for &(name, what, _) in COUNTERS {
            describe_counter!(name, what);
        }
        describe_histogram!(WAITS, Unit::Seconds, "How long packets waited");
        describe_gauge!(UNDER_WAY, "Operations under way");
        describe_gauge!(WORKERS, "Threads of the pool");
        describe_counter!(STARTED, "Threads of the pool that were started");
        describe_counter!(PANICS, "Handlers that panicked");
        let stats = port.stats();
        let gauges = GAUGES.iter().filter(|(_, _, of)| of(&stats).is_some());
        let counters = COUNTERS.iter().filter(|(_, _, of)| of(&stats).is_some());
        PortMetrics {
            port: port.lent(),
            gauges: gauges
                .map(|&(name, _, of)| (gauge!(name, "port" => label.clone()), of))
                .collect(),
            counters: counters
                .map(|&(name, _, of)| (counter!(name, "port" => label.clone()), of))
                .collect(),
            waits: histogram!(WAITS, "port" => label.clone()),
            recorded: WaitHistogram::default(),
            kinds: HashMap::new(),
            label,
        }
    }

    /// Gives the recorder what the port counts now, and its pool, if it has one.
    pub fn publish(&mut self, workers: Option<&Workers>) {
        let stats = self.port.stats();
        for (gauge, of) in &self.gauges {
            if let Some(count) = of(&stats) {
                gauge.set(count as f64);
            }
        }
        for (counter, of) in &self.counters {
            if let Some(count) = of(&stats) {
                counter.absolute(count);
            }
        }
        if let Some(queue) = stats.queue {
            for (below, count) in queue.waits.since(&self.recorded) {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                self.waits.record_many(below.as_secs_f64(), count);
            }
            self.recorded = queue.waits;
        }
        self.publish_under_way();
        if let Some(workers) = workers {
            let stats = workers.stats();
            let label = || self.label.clone();
            gauge!(WORKERS, "port" => label()).set(stats.threads as f64);
            counter!(STARTED, "port" => label()).absolute(stats.started);
            counter!(PANICS, "port" => label()).absolute(stats.panics);
        }
    }

    fn publish_under_way(&mut self) {
        let counts: HashMap<Kind, usize> = self.port.under_way().into_iter().collect();
        for kind in counts.keys() {
            let gauge = || {
                let name = format!("{kind:?}");
                gauge!(UNDER_WAY, "port" => self.label.clone(), "kind" => name)
            };
            self.kinds.entry(*kind).or_insert_with(gauge);
        }
        for (kind, gauge) in &self.kinds {
            // One of which there are no more is 0.
            gauge.set(counts.get(kind).copied().unwrap_or_default() as f64);
        }
    }
}
