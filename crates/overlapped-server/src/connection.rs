//! What is kept for one connection, and where.
//!
//! A completion port program keeps two kinds of data. What belongs to the *handle* is the
//! completion key, [`Key`]; several threads may look at it at once, so it holds atomics. What
//! belongs to the *operation* is [`Work`]; it has one owner at any time, so it is plain data, and
//! since each connection has one operation, that is where a half-received character or line waits
//! for its other half.
//!
//! Nothing here is shared between connections: counting a packet touches no memory that another
//! processor writes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

use overlapped::{Accepted, CompletionPort, Operation, Packet, Socket, Status};

use crate::output::Text;

/// The server's port.
pub type ServerPort = CompletionPort<Key, Work>;

/// A socket of the server's port.
pub type ServerSocket = Socket<Key, Work>;

/// An operation of the server's port.
pub type ServerOperation = Operation<Work>;

/// A packet of the server's port.
pub type ServerPacket = Packet<Key, Work>;

/// The completion key: what a socket is.
#[derive(Debug)]
pub enum Key {
    /// A listening socket.
    Listener,
    /// A connection.
    Connection(Connection),
}

/// What an operation carries besides its buffer.
#[derive(Debug)]
pub enum Work {
    /// It accepts connections.
    Accept {
        /// A connection that was accepted and has to wait because there are enough.
        held: Option<Accepted>,
        /// The number of the place that it was then given.
        place: Option<u64>,
    },
    /// It serves a connection.
    Serve(Serving),
}

/// The part of a connection that only its operation touches.
#[derive(Debug, Default)]
pub struct Serving {
    /// How much of the operation's buffer is printed or ready to be.
    pub consumed: usize,
    /// Where received bytes become text; `None` if they are printed as they are.
    pub text: Option<Box<Text>>,
    /// Set when nothing more will be received.
    pub ended: Option<Ended>,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client sent all it had to.
    Finished,
    /// The client reset the connection.
    Reset,
    /// There was no traffic for the idle time-out.
    Idle,
    /// The server ended.
    Drained,
    /// Something else failed.
    Failed(Status),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::Finished => f.write_str("the client finished"),
            Ended::Reset => f.write_str("the client reset it"),
            Ended::Idle => f.write_str("it was idle for too long"),
            Ended::Drained => f.write_str("the server ends"),
            Ended::Failed(status) => status.fmt(f),
        }
    }
}

/// Where a connection's operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// With the port, or with a worker that has just got it: the client has the next move.
    Receiving = 0,
    /// Under way to the client, which has to read.
    Sending = 1,
    /// With the output: the client can do nothing about it, so it is not idle.
    Printing = 2,
}

/// The completion key of a connection.
///
/// All counts are written by the one worker that has the connection's operation, so a load and a
/// store do; others read them.
#[derive(Debug)]
pub struct Connection {
    id: u64,
    peer: Option<SocketAddr>,
    /// In milliseconds of the server's coarse clock.
    active_at: AtomicU64,
    phase: AtomicU8,
    close_asked: AtomicBool,
    received: AtomicU64,
    sent: AtomicU64,
    packets: AtomicU64,
}

impl Connection {
    /// Makes the key of a new connection; `now` on the server's coarse clock.
    pub fn new(id: u64, peer: Option<SocketAddr>, now: u64) -> Self {
        Connection {
            id,
            peer,
            active_at: AtomicU64::new(now),
            phase: AtomicU8::new(Phase::Receiving as u8),
            close_asked: AtomicBool::new(false),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            packets: AtomicU64::new(0),
        }
    }

    /// Its number; never used twice.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where it comes from.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Bytes sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Packets handled so far.
    pub fn packets(&self) -> u64 {
        self.packets.load(Relaxed)
    }

    /// When there was traffic last.
    pub fn active_at(&self) -> u64 {
        self.active_at.load(Relaxed)
    }

    /// There is traffic.
    pub fn touch(&self, now: u64) {
        self.active_at.store(now, Relaxed);
    }

    /// Counts a packet.
    pub fn count_packet(&self) {
        add(&self.packets, 1);
    }

    /// Counts received bytes.
    pub fn count_received(&self, bytes: usize) {
        add(&self.received, bytes);
    }

    /// Counts sent bytes.
    pub fn count_sent(&self, bytes: usize) {
        add(&self.sent, bytes);
    }

    /// Where its operation is.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Receiving,
            1 => Phase::Sending,
            _ => Phase::Printing,
        }
    }

    /// Its operation goes elsewhere.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    /// Notes that the server closes it because it ends.
    pub fn ask_close(&self) {
        self.close_asked.store(true, Relaxed);
    }

    /// Why it ended, when an operation on it ended with this failure.
    pub fn ended_by(&self, status: Status) -> Ended {
        if self.close_asked.load(Relaxed) {
            return Ended::Drained;
        }
        match status {
            // The latter: it closed with our bytes still on their way, which TCP answers with a
            // reset.
            Status::CONNECTION_RESET | Status::CONNECTION_ABORTED => Ended::Reset,
            status => Ended::Failed(status),
        }
    }
}

fn add(count: &AtomicU64, more: usize) {
    count.store(count.load(Relaxed) + more as u64, Relaxed);
}
