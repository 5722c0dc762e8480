//! How long packets wait, measured on a sample.
//!
//! Reading a clock for each packet would cost more than all else that the queue does with it. So one
//! packet in about 128 is measured, and exactly: it is chosen by its number before it arrives, with
//! random distances between, so the choice cannot depend on how long it will wait. Since packets
//! leave in the order of their arrival, numbers are all that is needed: nothing is stored in the
//! packets, and for those that are not chosen arriving and leaving each cost a comparison.
//!
//! A packet's time begins when it is queued; for finished I/O that is when the leader is back from the
//! engine, and not when the system finished it. It ends when the thread that got the packet leaves
//! `get`, its wake included.

use std::collections::VecDeque;
use std::time::Duration;

use smallvec::SmallVec;

use crate::state::WorkerId;

/// Twice the mean distance of packets that are measured.
const STRIDE: u64 = 256;

/// How many may be under way. Beyond that, which takes thousands of queued packets, some are not
/// measured.
const MOST: usize = 64;

pub(crate) struct Waits {
    /// The number of the arrival that is measured next.
    next_in: u64,
    /// The number of the packet that is on its way and leaves next; the largest if there is none.
    next_out: u64,
    /// Numbers, and when they arrived; 0 if the clock has not been read yet.
    queued: VecDeque<(u64, u64)>,
    /// Who took one and has not left `get`, and when it arrived.
    leaving: SmallVec<[(WorkerId, u64); 4]>,
    /// Somebody should read the clock.
    unread: bool,
    random: u64,
    histogram: WaitHistogram,
}

impl Waits {
    pub(crate) fn new() -> Self {
        Waits {
            next_in: 1,
            next_out: u64::MAX,
            queued: VecDeque::with_capacity(MOST),
            leaving: SmallVec::new(),
            unread: false,
            random: 0x9e37_79b9_7f4a_7c15,
            histogram: WaitHistogram::default(),
        }
    }

    /// So many have arrived, all told.
    #[inline]
    pub(crate) fn arrived(&mut self, count: u64) {
        if count >= self.next_in {
            self.choose(count);
        }
    }

    #[cold]
    fn choose(&mut self, count: u64) {
        while self.next_in <= count {
            if self.queued.len() < MOST {
                self.queued.push_back((self.next_in, 0));
                self.unread = true;
            }
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.next_in += 1 + self.random % (STRIDE - 1);
        }
        self.next_out = self.queued.front().map_or(u64::MAX, |&(number, _)| number);
    }

    /// So many were taken, all told, the last by this worker.
    #[inline]
    pub(crate) fn taken(&mut self, count: u64, by: WorkerId) {
        if count == self.next_out {
            self.take(by);
        }
    }

    #[cold]
    fn take(&mut self, by: WorkerId) {
        // Beyond the inline places one is left out, because nothing is allocated under the lock.
        if let Some((_, at)) = self.queued.pop_front()
            && self.leaving.len() < self.leaving.inline_size()
        {
            self.leaving.push((by, at));
        }
        self.next_out = self.queued.front().map_or(u64::MAX, |&(number, _)| number);
    }

    /// Whether something has arrived that is measured: then [`read`](Self::read) follows, before the
    /// lock is let go.
    #[inline]
    pub(crate) fn wants_clock(&self) -> bool {
        self.unread
    }

    /// The clock was read.
    pub(crate) fn read(&mut self, now: u64) {
        self.unread = false;
        let queued = self.queued.iter_mut().rev().map(|(_, at)| at);
        let unread = queued.take_while(|at| **at == 0);
        let leaving = self.leaving.iter_mut().map(|(_, at)| at);
        for at in unread.chain(leaving.filter(|at| **at == 0)) {
            *at = now.max(1);
        }
    }

    /// Whether [`left`](Self::left) is to be called for a worker that leaves `get`.
    #[inline]
    pub(crate) fn wants_leave(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// A worker leaves `get`.
    #[cold]
    pub(crate) fn left(&mut self, me: WorkerId, now: impl Fn() -> u64) {
        let histogram = &mut self.histogram;
        self.leaving.retain(|&mut (who, at)| {
            if who == me {
                histogram.add(now().saturating_sub(at));
            }
            who != me
        });
    }

    /// A worker is gone.
    pub(crate) fn forget(&mut self, worker: WorkerId) {
        self.leaving.retain(|&mut (who, _)| who != worker);
    }

    pub(crate) fn histogram(&self) -> WaitHistogram {
        self.histogram
    }
}

/// How many buckets there are.
const BUCKETS: usize = 64;

/// The shortest wait that is told apart from none is a bucket's width of this, in nanoseconds.
const FIRST: u32 = 7;

/// How long packets waited: counts of a sample, by time. Two buckets for each power of two, so a bound
/// is at most half as long again as the one before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WaitHistogram {
    counts: [u64; BUCKETS],
}

impl WaitHistogram {
    fn add(&mut self, nanoseconds: u64) {
        self.counts[bucket(nanoseconds)] += 1;
    }

    /// How many packets were measured.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The buckets that are not empty: a time, and how many waited for less than that and not less than
    /// the bound before.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let counts = self.counts.into_iter().enumerate();
        counts
            .filter(|&(_, count)| count > 0)
            .map(|(index, count)| (Duration::from_nanos(bound(index)), count))
    }

    /// The buckets in which there is more than there was before, and by how much; `before` is of the
    /// same queue.
    pub fn since(&self, before: &Self) -> impl Iterator<Item = (Duration, u64)> {
        let counts = std::iter::zip(self.counts, before.counts).enumerate();
        counts
            .map(|(index, (now, before))| (index, now.saturating_sub(before)))
            .filter(|&(_, count)| count > 0)
            .map(|(index, count)| (Duration::from_nanos(bound(index)), count))
    }

    /// A time that this part of the packets did not exceed: 0.5 for the median. `None` if none was
    /// measured.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let wanted = (self.count() as f64 * part).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.buckets().find_map(|(bound, count)| {
            seen += count;
            (seen >= wanted).then_some(bound)
        })
    }
}

fn bucket(nanoseconds: u64) -> usize {
    let Some(octave) = (nanoseconds >> FIRST).checked_ilog2() else {
        return 0;
    };
    let half = nanoseconds >> (octave + FIRST - 1) & 1;
    (1 + 2 * octave as usize + half as usize).min(BUCKETS - 1)
}

/// What is in this bucket is less.
fn bound(bucket: usize) -> u64 {
    match (bucket.saturating_sub(1) / 2) as u32 {
        _ if bucket == 0 => 1 << FIRST,
        octave if bucket % 2 == 1 => 3 << (octave + FIRST - 1),
        octave => 2 << (octave + FIRST),
    }
}

impl Default for WaitHistogram {
    fn default() -> Self {
        WaitHistogram {
            counts: [0; BUCKETS],
        }
    }
}

impl std::fmt::Debug for WaitHistogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.buckets()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_bucket_below_whose_bound_it_is() {
        for bits in 0..38 {
            for time in [1u64 << bits, (3 << bits) / 2, (1 << bits) + (1 << bits) / 3] {
                let index = bucket(time);
                assert!(time < bound(index), "{time}");
                assert!(index == 0 || time >= bound(index - 1), "{time}");
            }
        }
        assert_eq!((bucket(0), bucket(127), bucket(128)), (0, 0, 1));
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_the_bounds_of_their_buckets() {
        let mut histogram = WaitHistogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for _ in 0..99 {
            histogram.add(1_000);
        }
        histogram.add(1_000_000);
        assert_eq!(histogram.count(), 100);
        let short = Some(Duration::from_nanos(1024));
        let long = Some(Duration::from_nanos(1 << 20));
        assert_eq!(
            (histogram.quantile(0.0), histogram.quantile(0.99)),
            (short, short)
        );
        assert_eq!(
            (histogram.quantile(0.999), histogram.quantile(1.0)),
            (long, long)
        );
    }

    #[test]
    fn what_is_new_is_told_apart() {
        let mut histogram = WaitHistogram::default();
        histogram.add(1_000);
        let before = histogram;
        assert_eq!(histogram.since(&before).count(), 0);
        histogram.add(1_000);
        histogram.add(1_000_000);
        let short = (Duration::from_nanos(1024), 1);
        let long = (Duration::from_nanos(1 << 20), 1);
        assert_eq!(histogram.since(&before).collect::<Vec<_>>(), [short, long]);
    }

    #[test]
    fn what_is_chosen_is_measured_whatever_its_wait_and_no_other() {
        let mut waits = Waits::new();
        let mut chosen = 0;
        for number in 1..=10_000u64 {
            waits.arrived(number);
            let measured = waits.wants_clock();
            if measured {
                waits.read(number * 10);
                chosen += 1;
            }
            waits.taken(number, 0);
            assert_eq!(waits.wants_leave(), measured);
            if measured {
                waits.left(1, || unreachable!("another one"));
                waits.left(0, || number * 10 + 1_000_000);
            }
        }
        let histogram = waits.histogram();
        assert_eq!(histogram.count(), chosen);
        assert!((40..160).contains(&chosen), "{chosen}");
        let all = vec![(Duration::from_nanos(1 << 20), chosen)];
        assert_eq!(histogram.buckets().collect::<Vec<_>>(), all);
    }

    #[test]
    fn a_backlog_is_measured_from_its_arrival() {
        let mut waits = Waits::new();
        waits.arrived(5_000);
        waits.read(1_000);
        for number in 1..=5_000 {
            waits.taken(number, 3);
            if waits.wants_leave() {
                waits.left(3, || 1_000 + number * 1_000);
            }
        }
        let count = waits.histogram().count();
        assert!((20..=64).contains(&count), "{count}");
        // Each thousandth of it takes a microsecond, so half of them have waited for half of it.
        let median = waits.histogram().quantile(0.5).unwrap().as_micros();
        assert!((1_000..6_000).contains(&median), "{median}");
    }
}
