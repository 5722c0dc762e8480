//! What the readiness engine needs of a system.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::alarm::Alarm;
use super::direct;
use super::epoll::Epoll;
#[cfg(feature = "sim")]
use super::sim::Simulated;
use super::uring::Uring;
use crate::endpoint::Endpoint;
use crate::operation::Segment;
use crate::{Address, Ready, Status};

/// The system of a port. Not a box of `dyn System`: each transfer goes through here, and without
/// the simulation there is only one it can be.
pub(crate) enum Chosen {
    Epoll(Epoll),
    Uring(Box<Uring>),
    #[cfg(feature = "sim")]
    Simulated(Simulated),
}

impl Chosen {
    #[inline(always)]
    pub(crate) fn get(&self) -> &dyn System {
        match self {
            Chosen::Epoll(epoll) => epoll,
            Chosen::Uring(uring) => &**uring,
            #[cfg(feature = "sim")]
            Chosen::Simulated(simulated) => simulated,
        }
    }
}

/// What can be done with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// A stream socket.
    Stream,
    /// A datagram socket.
    Datagram,
    /// An end of a pipe, or a FIFO.
    Pipe { reads: bool, writes: bool },
    /// Anything else that can be waited for. It is watched, and left as it is.
    Watched,
}

/// What a receive of a datagram brought, or one with descriptors.
pub(crate) struct Received {
    pub(crate) bytes: usize,
    /// The datagram was longer, or more descriptors came than there was room for.
    pub(crate) truncated: bool,
    /// Where it came from; `None` if that has no address.
    pub(crate) from: Option<Address>,
}

/// What a socket is when it is associated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Listens.
    Listener,
    /// Is connected.
    Connected,
    /// May yet connect.
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
///
/// What is done with an endpoint is, unless a system says otherwise, done by Linux's own calls.
pub(crate) trait System: Send + Sync {
    fn name(&self) -> &'static str;

    /// Why a port would be on this system.
    fn reason(&self) -> &'static str;

    /// Nanoseconds on a clock that never goes back.
    fn now(&self) -> u64 {
        direct::now()
    }

    /// An alarm by the same clock.
    fn alarm(&self) -> io::Result<Alarm> {
        Alarm::new()
    }

    /// What the socket is. Refuses an endpoint that is not of this system's kind.
    fn role(&self, endpoint: &Endpoint) -> io::Result<(Nature, Role)> {
        direct::role(endpoint)
    }

    /// What all duplicates of a socket have in common, and no other socket (PO-6). `None` if there
    /// is no such thing: the two ends of a pipe share an inode, and all eventfds one.
    fn identity(&self, endpoint: &Endpoint) -> io::Result<Option<NonZeroU64>> {
        direct::identity(endpoint)
    }

    /// Whether descriptors can be passed over the socket. A receive then ends where bytes with
    /// descriptors end, although more has come: that it was shorter than asked for proves nothing.
    fn passes_descriptors(&self, endpoint: &Endpoint) -> bool {
        direct::passes_descriptors(endpoint)
    }

    /// Whether a socket is to begin as ready: so that its first operation is tried, and asks for what
    /// it waits for.
    fn starts_ready(&self) -> bool {
        false
    }

    /// The calling thread will take packets, until it [leaves](System::leave).
    fn arrive(&self) -> io::Result<()> {
        Ok(())
    }

    /// It will not any more.
    fn leave(&self) {}

    /// The port has ended: nothing will be reported any more.
    fn end(&self) {}

    /// Whether bytes were taken from the socket that nobody has received.
    fn holds_bytes(&self, _endpoint: &Endpoint) -> bool {
        false
    }

    /// Begins to report the socket's readiness, under `token`; from now on its calls never wait.
    fn register(&self, endpoint: &Endpoint, token: u64, nature: Nature) -> io::Result<()>;

    /// Ends that. Reports under way may still arrive.
    fn deregister(&self, endpoint: &Endpoint);

    /// Waits for reports; [`interrupt`](System::interrupt) ends the wait, or the next.
    fn wait(&self, timeout: Option<Duration>, report: &mut dyn FnMut(u64, Readiness));

    fn interrupt(&self);

    fn recv(&self, endpoint: &Endpoint, into: &[Segment]) -> Result<usize, Refusal> {
        direct::recv(endpoint, into)
    }

    /// As [`recv`](System::recv), of a socket that is given back afterwards: whatever this does not
    /// return stays in it.
    fn recv_only(&self, endpoint: &Endpoint, into: &[Segment]) -> Result<usize, Refusal> {
        self.recv(endpoint, into)
    }

    /// Whether a receive would find something.
    fn peek(&self, endpoint: &Endpoint) -> Result<(), Refusal> {
        direct::peek(endpoint)
    }

    fn send(&self, endpoint: &Endpoint, from: &[Segment]) -> Result<usize, Refusal> {
        direct::send(endpoint, from)
    }

    /// As [`send`](System::send), when more is sent at once.
    fn send_more(&self, endpoint: &Endpoint, from: &[Segment]) -> Result<usize, Refusal> {
        direct::send_more(endpoint, from)
    }

    /// Sends at most `count` bytes of a file, from `offset` on; 0 at its end. May wait for the
    /// disk, not for the socket.
    fn send_file(
        &self,
        endpoint: &Endpoint,
        file: &OwnedFd,
        offset: u64,
        count: usize,
    ) -> Result<usize, Refusal> {
        direct::send_file(endpoint, file, offset, count)
    }

    fn accept(&self, endpoint: &Endpoint) -> Result<(Endpoint, Option<Address>), Refusal> {
        direct::accept(endpoint)
    }

    /// Begins to connect; `Ok` if that finished at once.
    fn connect(&self, endpoint: &Endpoint, to: &Address) -> Result<(), Refusal> {
        direct::connect(endpoint, to)
    }

    /// How a connect that was begun stands.
    fn connected(&self, endpoint: &Endpoint) -> Result<(), Refusal> {
        direct::connected(endpoint)
    }

    /// Fills the segments from one datagram.
    fn recv_datagram(&self, endpoint: &Endpoint, into: &[Segment]) -> Result<Received, Refusal> {
        direct::recv_datagram(endpoint, into)
    }

    /// Sends the segments as one datagram, to the peer or to an address.
    fn send_datagram(
        &self,
        endpoint: &Endpoint,
        from: &[Segment],
        to: Option<&Address>,
    ) -> Result<(), Refusal> {
        direct::send_datagram(endpoint, from, to)
    }

    /// Fills the segments, and `descriptors`, which is empty, with at most `room` of those that came.
    fn recv_with_descriptors(
        &self,
        endpoint: &Endpoint,
        into: &[Segment],
        room: usize,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Result<Received, Refusal> {
        direct::recv_with_descriptors(endpoint, into, room, descriptors)
    }

    /// Sends the segments with descriptors at their first byte: they are out if this succeeds.
    fn send_with_descriptors(
        &self,
        endpoint: &Endpoint,
        from: &[Segment],
        to: Option<&Address>,
        descriptors: &[OwnedFd],
    ) -> Result<usize, Refusal> {
        direct::send_with_descriptors(endpoint, from, to, descriptors)
    }

    /// Fetches the errors that datagrams have brought back; the first.
    fn sent_back(&self, endpoint: &Endpoint) -> Option<Status> {
        direct::sent_back(endpoint)
    }

    /// Whether there are such errors for a socket that is not connected.
    fn set_sent_back(&self, endpoint: &Endpoint, on: bool) -> io::Result<()> {
        direct::set_sent_back(endpoint, on)
    }

    /// Reads from a pipe.
    fn read(&self, endpoint: &Endpoint, into: &[Segment]) -> Result<usize, Refusal> {
        direct::read(endpoint, into)
    }

    /// Writes to a pipe.
    fn write(&self, endpoint: &Endpoint, from: &[Segment]) -> Result<usize, Refusal> {
        direct::write(endpoint, from)
    }

    /// What the endpoint is ready for now, its level and not its edges.
    fn look(&self, endpoint: &Endpoint) -> Result<Ready, Refusal> {
        direct::look(endpoint)
    }

    /// Tells the peer that nothing more will be sent.
    fn shutdown_send(&self, endpoint: &Endpoint) -> Result<(), Refusal> {
        direct::shutdown_send(endpoint)
    }
}
