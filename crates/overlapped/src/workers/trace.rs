//! What a pool tells through `tracing`, with the feature of that name; as in the core, a function for
//! each event, and none for a packet.

use std::io;
use std::time::Duration;

use overlapped_core::PortNumber;

use super::away::Away;

/// Whether anything is told at all.
pub(super) const ON: bool = cfg!(feature = "tracing");

#[cfg(feature = "tracing")]
mod told {
    use overlapped_core::TARGET;

    use super::*;
    use crate::Doing;

    pub(crate) fn started(port: PortNumber, worker: &str, threads: usize) {
        tracing::debug!(target: TARGET, port = port.get(), worker, threads, "worker started");
    }

    pub(crate) fn not_needed(port: PortNumber, threads: usize) {
        tracing::debug!(
            target: TARGET,
            port = port.get(),
            threads,
            "a worker has ended, because it was not needed"
        );
    }

    pub(crate) fn panicked(port: PortNumber, threads: usize) {
        tracing::error!(target: TARGET, port = port.get(), threads, "a handler has panicked");
    }

    pub(crate) fn failed(port: PortNumber, error: &io::Error) {
        let error: &(dyn std::error::Error + 'static) = error;
        tracing::error!(target: TARGET, port = port.get(), error, "a worker cannot get packets");
    }

    pub(crate) fn not_started(port: PortNumber, error: &io::Error, pause: Duration) {
        let error: &(dyn std::error::Error + 'static) = error;
        tracing::warn!(
            target: TARGET,
            port = port.get(),
            error,
            pause = pause.as_secs_f64(),
            "a worker could not be started; it is tried again after a pause"
        );
    }

    pub(crate) fn away(port: PortNumber, away: &Away) {
        let call = match away.doing {
            Doing::Blocked { call, .. } => call,
            _ => None,
        };
        tracing::warn!(
            target: TARGET,
            port = port.get(),
            worker = away.name,
            thread = away.thread,
            seconds = away.at_least.as_secs_f64(),
            doing = %away.doing,
            call = call.map(tracing::field::display),
            "{away}"
        );
    }

    pub(crate) fn presumed_blocked(port: PortNumber, times: u64) {
        tracing::debug!(
            target: TARGET,
            port = port.get(),
            times,
            "workers were presumed blocked, because nothing is known of them and they stayed away"
        );
    }
}

#[cfg(not(feature = "tracing"))]
mod told {
    use super::*;

    pub(crate) fn started(_: PortNumber, _: &str, _: usize) {}
    pub(crate) fn not_needed(_: PortNumber, _: usize) {}
    pub(crate) fn panicked(_: PortNumber, _: usize) {}
    pub(crate) fn failed(_: PortNumber, _: &io::Error) {}
    pub(crate) fn not_started(_: PortNumber, _: &io::Error, _: Duration) {}
    pub(crate) fn away(_: PortNumber, _: &Away) {}
    pub(crate) fn presumed_blocked(_: PortNumber, _: u64) {}
}

pub(super) use told::*;
