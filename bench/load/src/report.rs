//! The result of one measured window, as printed and as read back by the driver.

use serde::{Deserialize, Serialize};

use crate::job::Mix;

/// One line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Whether each request was a connection of its own.
    pub churn: bool,
    /// Connections open at the same time.
    pub connections: usize,
    /// Bytes per message.
    pub size: usize,
    /// Messages in flight per connection.
    pub depth: usize,
    /// Requests answered in the window.
    pub requests: u64,
    /// Length of the window, from the first request to the last answer.
    pub seconds: f64,
    /// Requests per second.
    pub req_per_s: f64,
    /// Median latency in microseconds.
    pub p50_us: f64,
    /// 90th percentile of the latency.
    pub p90_us: f64,
    /// 99th percentile of the latency.
    pub p99_us: f64,
    /// 99.9th percentile of the latency.
    pub p999_us: f64,
    /// The longest latency.
    pub max_us: f64,
    /// CPU seconds the generator itself used in the window. Near `seconds`, the generator is the
    /// bottleneck and the request rate says little about the server.
    pub cpu_s: f64,
    /// Of an open loop. The latencies above are then those of the requests without a job, counted
    /// from when they were due; one that was never sent counts with the time it waited.
    #[serde(default)]
    pub open: Option<Open>,
}

/// What an open loop has to add.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Open {
    /// The load.
    #[serde(flatten)]
    pub mix: Mix,
    /// Requests that were due in the window.
    pub due: u64,
    /// How many of them were answered until the window's time was over, per second.
    pub answered_per_s: f64,
    /// How many were never sent, since no connection was idle until then.
    pub unsent: u64,
    /// Whether the server did not keep up: the latencies depend on the length of the window.
    pub overloaded: bool,
    /// 99th percentile of how late the generator itself was, which is part of all latencies.
    pub late_p99_us: f64,
    /// Median latency of the requests with a job.
    pub job_p50_us: f64,
    /// 99th percentile of the latency of the requests with a job.
    pub job_p99_us: f64,
    /// Requests with a job that were sent since the generator started.
    pub jobs: u64,
}

/// Printed when the warm-up is over and every answer has arrived: the server is idle.
pub const MEASURING: &str = "measuring";

/// Printed when the measured window is over and every answer has arrived.
pub const MEASURED: &str = "measured";
