//! What `join` reports.

use std::any::Any;
use std::io;
use std::sync::{Mutex, PoisonError};

pub(super) type Payload = Box<dyn Any + Send>;

/// Why workers ended otherwise than with their port.
pub struct WorkersError {
    why: Why,
}

enum Why {
    Panicked {
        count: u64,
        message: String,
        /// In a mutex only so that the error can be shared between threads.
        first: Mutex<Payload>,
    },
    Failed(io::Error),
}

impl WorkersError {
    pub(super) fn panicked(count: u64, first: Payload) -> Self {
        let message = first
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| first.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "it did not say why".to_owned());
        WorkersError {
            why: Why::Panicked {
                count,
                message,
                first: Mutex::new(first),
            },
        }
    }

    pub(super) fn failed(error: io::Error) -> Self {
        WorkersError {
            why: Why::Failed(error),
        }
    }

    /// How many handlers panicked.
    pub fn panics(&self) -> u64 {
        match &self.why {
            Why::Panicked { count, .. } => *count,
            Why::Failed(_) => 0,
        }
    }

    /// What the first of them panicked with, for `std::panic::resume_unwind`; the error itself if none
    /// did.
    pub fn into_panic(self) -> Result<Box<dyn Any + Send>, Self> {
        match self.why {
            Why::Panicked { first, .. } => {
                Ok(first.into_inner().unwrap_or_else(PoisonError::into_inner))
            }
            why => Err(WorkersError { why }),
        }
    }
}

impl std::fmt::Display for WorkersError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.why {
            Why::Panicked {
                count: 1, message, ..
            } => write!(f, "a handler panicked: {message}"),
            Why::Panicked { count, message, .. } => {
                write!(f, "{count} handlers panicked, the first: {message}")
            }
            Why::Failed(error) => write!(f, "a worker could not get packets: {error}"),
        }
    }
}

impl std::fmt::Debug for WorkersError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WorkersError({self})")
    }
}

impl std::error::Error for WorkersError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.why {
            Why::Panicked { .. } => None,
            Why::Failed(error) => Some(error),
        }
    }
}
