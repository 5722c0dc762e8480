//! What the readiness engine needs of a system.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::epoll::Epoll;
#[cfg(feature = "sim")]
use super::sim::Simulated;
use crate::Status;
use crate::endpoint::Endpoint;
use crate::operation::Segment;

/// The system of a port. Not a box of `dyn System`: each transfer goes through here, and without
/// the simulation there is only one it can be.
pub(crate) enum Chosen {
    Epoll(Epoll),
    #[cfg(feature = "sim")]
    Simulated(Simulated),
}

impl Chosen {
    #[inline(always)]
    pub(crate) fn get(&self) -> &dyn System {
        match self {
            Chosen::Epoll(epoll) => epoll,
            #[cfg(feature = "sim")]
            Chosen::Simulated(simulated) => simulated,
        }
    }
}

/// What a socket is when it is associated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Listens.
    Listener,
    /// A stream that is connected.
    Connected,
    /// A stream that may yet connect.
    Fresh,
}

/// What the system reports of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness {
    pub(crate) recv: bool,
    pub(crate) send: bool,
    /// The peer will send nothing more, the connection is broken, or urgent data came: a short
    /// receive no longer means that nothing is left to be found out.
    pub(crate) hangup: bool,
}

/// Why a call that never waits did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not now; the system will report when.
    NotReady,
    /// Never: the operation ends with this status.
    Failed(Status),
}

/// A system that reports readiness and whose transfers never wait.
///
/// Edge-triggered: after [`Refusal::NotReady`], or a transfer that was shorter than asked for, the
/// next change is reported once.
pub(crate) trait System: Send + Sync {
    fn name(&self) -> &'static str;

    /// Why a port would be on this system.
    fn reason(&self) -> &'static str;

    /// Nanoseconds on a clock that never goes back.
    fn now(&self) -> u64;

    /// What the socket is. Refuses an endpoint that is not of this system's kind.
    fn role(&self, endpoint: &Endpoint) -> io::Result<Role>;

    /// What all duplicates of a socket have in common, and no other socket (PO-6).
    fn identity(&self, endpoint: &Endpoint) -> io::Result<(u64, u64)>;

    /// Begins to report the socket's readiness, under `token`; from now on its calls never wait.
    fn register(&self, endpoint: &Endpoint, token: u64) -> io::Result<()>;

    /// Ends that. Reports under way may still arrive.
    fn deregister(&self, endpoint: &Endpoint);

    /// Waits for reports; [`interrupt`](System::interrupt) ends the wait, or the next.
    fn wait(&self, timeout: Option<Duration>, report: &mut dyn FnMut(u64, Readiness));

    fn interrupt(&self);

    fn recv(&self, endpoint: &Endpoint, into: &[Segment]) -> Result<usize, Refusal>;

    /// Whether a receive would find something.
    fn peek(&self, endpoint: &Endpoint) -> Result<(), Refusal>;

    fn send(&self, endpoint: &Endpoint, from: &[Segment]) -> Result<usize, Refusal>;

    /// As [`send`](System::send), when more is sent at once.
    fn send_more(&self, endpoint: &Endpoint, from: &[Segment]) -> Result<usize, Refusal> {
        self.send(endpoint, from)
    }

    /// Sends at most `count` bytes of a file, from `offset` on; 0 at its end. May wait for the
    /// disk, not for the socket.
    fn send_file(
        &self,
        _endpoint: &Endpoint,
        _file: &OwnedFd,
        _offset: u64,
        _count: usize,
    ) -> Result<usize, Refusal> {
        Err(Refusal::Failed(Status::NOT_SUPPORTED))
    }

    fn accept(&self, endpoint: &Endpoint) -> Result<(Endpoint, Option<SocketAddr>), Refusal>;

    /// Begins to connect; `Ok` if that finished at once.
    fn connect(&self, endpoint: &Endpoint, to: &SocketAddr) -> Result<(), Refusal>;

    /// How a connect that was begun stands.
    fn connected(&self, endpoint: &Endpoint) -> Result<(), Refusal>;

    /// Tells the peer that nothing more will be sent.
    fn shutdown_send(&self, endpoint: &Endpoint) -> Result<(), Refusal>;
}
