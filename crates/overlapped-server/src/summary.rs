//! What was done: the counts, and the line that tells them at the end.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::connection::Connection;

/// The counts of connections that have ended.
#[derive(Debug, Default)]
pub struct Totals {
    received: AtomicU64,
    sent: AtomicU64,
    packets: AtomicU64,
}

impl Totals {
    /// Adds a connection's.
    pub fn add(&self, connection: &Connection) {
        self.received.fetch_add(connection.received(), Relaxed);
        self.sent.fetch_add(connection.sent(), Relaxed);
        self.packets.fetch_add(connection.packets(), Relaxed);
    }

    /// Adds others.
    pub fn add_totals(&self, other: &Totals) {
        self.received
            .fetch_add(other.received.load(Relaxed), Relaxed);
        self.sent.fetch_add(other.sent.load(Relaxed), Relaxed);
        self.packets.fetch_add(other.packets.load(Relaxed), Relaxed);
    }

    /// Makes the summary.
    pub fn summary(&self, connections: u64, peak: usize, duration: Duration) -> Summary {
        Summary {
            connections,
            peak,
            received: self.received.load(Relaxed),
            sent: self.sent.load(Relaxed),
            packets: self.packets.load(Relaxed),
            duration,
        }
    }
}

/// What a server has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Connections that were served.
    pub connections: u64,
    /// The most that were open at once.
    pub peak: usize,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Packets of connections: receives and sends that ended, whichever way.
    pub packets: u64,
    /// For how long.
    pub duration: Duration,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "served {} (at most {} at once), received {}, sent {}, handled {} in {:.3} seconds",
            Counted(self.connections, "connection"),
            self.peak,
            Counted(self.received, "byte"),
            Counted(self.sent, "byte"),
            Counted(self.packets, "packet"),
            self.duration.as_secs_f64()
        )
    }
}

/// A number of things: "1 byte", "2 bytes".
pub struct Counted(pub u64, pub &'static str);

impl std::fmt::Display for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Counted(count, thing) = self;
        let plural = if *count == 1 { "" } else { "s" };
        write!(f, "{count} {thing}{plural}")
    }
}
