//! What a readiness operation waits for, and what it found.

/// What a readiness operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interest {
    /// Something can be read: data, an end, a connection, an event.
    Readable,
    /// Something can be written.
    Writable,
}

/// What a readiness operation found, as `poll(2)` says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Ready {
    /// A read would not wait (`POLLIN`), or there is something urgent (`POLLPRI`).
    pub readable: bool,
    /// A write would not wait (`POLLOUT`).
    pub writable: bool,
    /// An error is to be fetched, or a pipe's reader has gone (`POLLERR`).
    pub error: bool,
    /// The other end has gone (`POLLHUP`).
    pub hangup: bool,
}
