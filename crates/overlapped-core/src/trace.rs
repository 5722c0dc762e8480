//! What a port tells through `tracing`, with the feature of that name.
//!
//! A function for each event, empty without the feature, so that the code that tells has no
//! conditions in it. All are told where something rare has happened: no packet comes by here.

use crate::{Options, Port};

/// Tells a port from the others of the process, in events. Nothing without the feature.
#[derive(Clone, Copy, Debug)]
pub struct PortNumber(#[cfg(feature = "tracing")] u64);

impl PortNumber {
    pub(crate) fn next() -> Self {
        #[cfg(feature = "tracing")]
        {
            use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
            static NEXT: AtomicU64 = AtomicU64::new(1);
            PortNumber(NEXT.fetch_add(1, Relaxed))
        }
        #[cfg(not(feature = "tracing"))]
        PortNumber()
    }

    /// From 1.
    #[cfg(feature = "tracing")]
    pub fn get(self) -> u64 {
        self.0
    }
}

/// What all events are under, whichever crate they come from.
#[cfg(feature = "tracing")]
pub const TARGET: &str = "overlapped";

#[cfg(feature = "tracing")]
mod told {
    use super::*;
    use crate::{Engine, Notice};

    pub(crate) fn port_made(port: &Port, options: &Options) {
        let (stats, port) = (port.stats(), port.number().get());
        tracing::info!(
            target: TARGET,
            port,
            engine = stats.engine,
            engine_reason = &*stats.engine_reason,
            notice = stats.notice,
            notice_reason = &*stats.notice_reason,
            concurrency = stats.concurrency,
            policy = ?options.policy,
            "completion port made"
        );
        if options.engine == Engine::UringOrEpoll && stats.engine != "io_uring" {
            let reason = &*stats.engine_reason;
            tracing::warn!(target: TARGET, port, reason, "no io_uring: the port is on epoll");
        }
        if options.notice == Notice::Auto && stats.notice == "nothing" {
            let reason = &*stats.notice_reason;
            tracing::warn!(
                target: TARGET,
                port,
                reason,
                "workers that block are not noticed, only presumed to after a bound"
            );
        }
    }

    pub(crate) fn port_closed(port: PortNumber) {
        tracing::info!(target: TARGET, port = port.get(), "completion port closed");
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn files_by_threads(port: PortNumber, reason: &str) {
        tracing::info!(
            target: TARGET,
            port = port.get(),
            reason,
            "operations with files are performed by threads"
        );
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn unobserved(port: PortNumber) {
        tracing::warn!(
            target: TARGET,
            port = port.get(),
            "a worker cannot be observed, so it is only presumed to block: there is no descriptor \
             or memory left"
        );
    }
}

#[cfg(not(feature = "tracing"))]
mod told {
    use super::*;

    pub(crate) fn port_made(_: &Port, _: &Options) {}
    pub(crate) fn port_closed(_: PortNumber) {}
    #[cfg(target_os = "linux")]
    pub(crate) fn files_by_threads(_: PortNumber, _: &str) {}
    #[cfg(target_os = "linux")]
    pub(crate) fn unobserved(_: PortNumber) {}
}

pub(crate) use told::*;
