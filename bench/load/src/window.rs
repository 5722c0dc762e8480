//! The measurement of one window of load.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use load::report::{self, Report};
use rustix::time::{ClockId, clock_gettime};

use crate::cli::Options;
use crate::net::Result;

/// A kind of load. Each window begins and ends with no request in flight, so that all the work the
/// server does for the window's requests, and no other, lies between the two ends.
pub trait Load {
    /// Keeps the server busy until the time of `window` is over, then lets the last answers arrive.
    fn run(&mut self, window: &mut Window) -> Result<()>;

    /// Closes everything and makes sure that the server does the same and says nothing more.
    fn finish(&mut self) -> Result<()>;

    /// What an open loop has to add about the last window.
    fn open(&self) -> Option<report::Open> {
        None
    }
}

pub struct Window {
    start: Instant,
    length: Duration,
    cpu_at_start: Duration,
    requests: u64,
    latency: Histogram<u64>,
}

impl Window {
    pub fn open(length: Duration) -> Self {
        Self {
            start: Instant::now(),
            length,
            cpu_at_start: own_cpu(),
            requests: 0,
            latency: histogram(),
        }
    }

    /// Nanoseconds since the window opened.
    #[inline]
    pub fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    pub fn length(&self) -> Duration {
        self.length
    }

    /// Whether a request may still begin at `now`.
    #[inline]
    pub fn issuing(&self, now: u64) -> bool {
        u128::from(now) < self.length.as_nanos()
    }

    #[inline]
    pub fn answered(&mut self, began: u64, now: u64) {
        self.requests += 1;
        self.latency.saturating_record(now - began);
    }

    /// A request was answered whose latency is none of the window's.
    pub fn answered_apart(&mut self) {
        self.requests += 1;
    }

    /// A request was given up before it was sent; it would have taken longer than this.
    pub fn abandoned(&mut self, began: u64, now: u64) {
        self.latency.saturating_record(now - began);
    }

    /// To be called when the last answer has arrived: this is the end of the window.
    pub fn report(&self, options: &Options, open: Option<report::Open>) -> Report {
        let seconds = self.start.elapsed().as_secs_f64();
        let cpu_s = (own_cpu() - self.cpu_at_start).as_secs_f64();
        let us = |quantile| self.latency.value_at_quantile(quantile) as f64 / 1e3;
        Report {
            churn: options.churn,
            connections: options.connections,
            size: options.size,
            depth: options.depth,
            requests: self.requests,
            seconds,
            req_per_s: self.requests as f64 / seconds,
            p50_us: us(0.5),
            p90_us: us(0.9),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: self.latency.max() as f64 / 1e3,
            cpu_s,
            open,
        }
    }
}

/// Of nanoseconds, up to a minute, to a thousandth.
pub fn histogram() -> Histogram<u64> {
    const LONGEST_NS: u64 = 60_000_000_000;
    Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("valid bounds")
}

fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("CPU time is never negative")
}
