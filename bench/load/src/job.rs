//! What a request may ask of its server's handler, and how it says so.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes of a request: its mark, and the rest from the connection's pattern.
///
/// A connection has one request in flight, so that none waits behind another one's handler, and a
/// server reads it whole.
pub const MESSAGE: usize = 64;

/// What the handler does before it answers. The first byte of the request is its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Job {
    /// Nothing but the answer.
    Nothing,
    /// Sleeps.
    Sleep,
    /// Asks a database and waits for what it says.
    Database,
    /// Waits where no signal interrupts it, as for a disk.
    Disk,
    /// Does not block, but computes.
    Compute,
}

const NAMED: [(&str, Job); 5] = [
    ("nothing", Job::Nothing),
    ("sleep", Job::Sleep),
    ("database", Job::Database),
    ("disk", Job::Disk),
    ("compute", Job::Compute),
];

impl Job {
    /// The job of this name.
    pub fn named(name: &str) -> Option<Self> {
        let found = NAMED.iter().find(|(other, _)| *other == name);
        found.map(|&(_, job)| job)
    }

    /// The byte that stands for it.
    pub fn mark(self) -> u8 {
        self as u8
    }

    /// The job that this byte stands for.
    pub fn of(mark: u8) -> Option<Self> {
        let found = NAMED.iter().find(|(_, job)| job.mark() == mark);
        found.map(|&(_, job)| job)
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = NAMED.iter().find(|(_, job)| job == self);
        f.write_str(found.map_or("", |(name, _)| name))
    }
}

/// A share of the requests, to a millionth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share(u32);

impl Share {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// All of them, in millionths.
    pub const WHOLE: usize = 1_000_000;

    /// From text such as `0.1`, in percent.
    pub fn percent(text: &str) -> Option<Self> {
        let percent: f64 = text.parse().ok()?;
        let valid = (0.0..=100.0).contains(&percent);
        valid.then(|| Self((percent * Self::WHOLE as f64 / 100.0).round() as u32))
    }

    /// In millionths.
    pub fn millionths(self) -> usize {
        self.0 as usize
    }
}

/// In percent, as it is read.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) * 100.0 / Self::WHOLE as f64)
    }
}

/// The load of an open loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mix {
    /// Requests per second, over all connections.
    pub rate: u32,
    /// What some of them ask for.
    pub job: Job,
    /// How many of them.
    pub share: Share,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_marks_lead_back_to_their_job() {
        for (name, job) in NAMED {
            assert_eq!(Job::named(name), Some(job));
            assert_eq!(Job::of(job.mark()), Some(job));
            assert_eq!(job.to_string(), name);
        }
        assert_eq!(Job::named("dance"), None);
        assert_eq!(Job::of(NAMED.len() as u8), None);
    }

    #[test]
    fn a_share_is_written_as_it_is_read() {
        for text in ["0", "0.1", "1", "5", "12.3456", "100"] {
            assert_eq!(Share::percent(text).unwrap().to_string(), text);
        }
        assert_eq!(Share::percent("0.1").unwrap().millionths(), 1000);
        for text in ["-1", "101", "NaN", "many"] {
            assert_eq!(Share::percent(text), None);
        }
    }
}
