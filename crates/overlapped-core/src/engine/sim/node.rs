//! What a network consists of: listeners, and the ends of connections.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::Status;
use crate::engine::Readiness;

/// Names a node; never used twice.
pub(super) type Id = usize;

/// A listener or an end of a connection, whoever holds it: a port, a test, or nobody yet.
pub(super) struct Node {
    pub(super) local: SocketAddr,
    pub(super) remote: Option<SocketAddr>,
    /// Somebody has, or may yet accept, the node. Afterwards it only sends what it still has.
    pub(super) open: bool,
    /// A test holds it, not a port.
    pub(super) scripted: bool,
    pub(super) registration: Option<Registration>,
    /// It was reported, and no call has been made since.
    pub(super) reported: bool,
    pub(super) what: What,
}

/// Who hears of a node.
#[derive(Clone, Copy)]
pub(super) struct Registration {
    pub(super) system: usize,
    pub(super) token: u64,
}

pub(super) enum What {
    Listener(Listener),
    Stream(Box<Stream>),
}

#[derive(Default)]
pub(super) struct Listener {
    /// Connections that can be accepted.
    pub(super) backlog: VecDeque<Id>,
    /// Connections that soon can be.
    pub(super) coming: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Fresh,
    Connecting,
    Connected,
}

/// What travels.
pub(super) enum Piece {
    Data(Vec<u8>),
    Fin,
    Rst,
}

/// One end of a connection.
pub(super) struct Stream {
    pub(super) phase: Phase,
    pub(super) other: Option<Id>,
    /// In whose backlog it is.
    pub(super) backlog_of: Option<Id>,
    /// Why the last attempt to connect failed.
    pub(super) refused: Option<Status>,

    /// Bytes that a test has sent and that have found no room yet.
    pub(super) outbox: VecDeque<u8>,
    /// On the way to the other end, in order, with their times of arrival.
    pub(super) wire: VecDeque<(u64, Piece)>,
    pub(super) last_arrival: u64,
    /// Bytes that were sent and not yet acknowledged as read, and how many there may be.
    pub(super) used: usize,
    pub(super) window: usize,
    /// Somebody was told that there is no room.
    pub(super) wants_room: bool,
    /// Held up for no reason, until an event.
    pub(super) blocked: bool,
    /// Nothing more will be sent, and whether that is on the wire.
    pub(super) fin_wanted: bool,
    pub(super) fin_sent: bool,

    pub(super) arrived: VecDeque<u8>,
    pub(super) fin_arrived: bool,
    /// The connection broke, and nobody has been told yet why.
    pub(super) broken: bool,
    pub(super) error: Option<Status>,
}

impl Stream {
    pub(super) fn new(window: usize) -> Self {
        Stream {
            phase: Phase::Fresh,
            other: None,
            backlog_of: None,
            refused: None,
            outbox: VecDeque::new(),
            wire: VecDeque::new(),
            last_arrival: 0,
            used: 0,
            window,
            wants_room: false,
            blocked: false,
            fin_wanted: false,
            fin_sent: false,
            arrived: VecDeque::new(),
            fin_arrived: false,
            broken: false,
            error: None,
        }
    }

    /// Takes so many bytes of what has arrived.
    pub(super) fn take_arrived(&mut self, bytes: usize) -> Vec<u8> {
        take_front(&mut self.arrived, bytes)
    }

    /// Takes what there is room for of what a test has queued.
    pub(super) fn take_outbox(&mut self) -> Vec<u8> {
        let bytes = self.room().min(self.outbox.len());
        take_front(&mut self.outbox, bytes)
    }

    pub(super) fn room(&self) -> usize {
        self.window.saturating_sub(self.used)
    }

    /// Nothing of it is under way any more.
    pub(super) fn is_spent(&self) -> bool {
        self.wire.is_empty() && self.outbox.is_empty()
    }
}

fn take_front(queue: &mut VecDeque<u8>, bytes: usize) -> Vec<u8> {
    let taken = queue.make_contiguous()[..bytes].to_vec();
    queue.drain(..bytes);
    taken
}

/// Every bit set.
pub(super) const ALL: Readiness = Readiness {
    recv: true,
    send: true,
    hangup: true,
};

impl Node {
    pub(super) fn stream(&mut self) -> Option<&mut Stream> {
        match &mut self.what {
            What::Stream(stream) => Some(stream),
            What::Listener(_) => None,
        }
    }

    /// It waits to be accepted.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(&self.what, What::Stream(stream) if stream.backlog_of.is_some())
    }

    /// What is the case now, as `poll` of Linux would say.
    pub(super) fn level(&self) -> Readiness {
        match &self.what {
            What::Listener(listener) => Readiness {
                recv: !listener.backlog.is_empty(),
                ..Readiness::default()
            },
            What::Stream(stream) => match stream.phase {
                // Neither connected nor about to be: Linux calls that hung up.
                Phase::Fresh => ALL,
                Phase::Connecting => Readiness::default(),
                Phase::Connected => Readiness {
                    recv: !stream.arrived.is_empty() || stream.fin_arrived || stream.broken,
                    send: stream.broken
                        || stream.fin_wanted
                        || (!stream.blocked && stream.room() > 0),
                    hangup: stream.fin_arrived || stream.broken,
                },
            },
        }
    }
}
