//! What will happen, and when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Network;
use super::node::Id;

/// Something that happens at a time.
pub(super) enum Event {
    /// The first piece on the wire from this end arrives at the other.
    Arrive(Id),
    /// The sender learns that the reader has taken so many bytes.
    Credit(Id, usize),
    /// A sender that was held up for no reason may go on.
    Unblock(Id),
    /// The first word of a connection arrives at the address.
    Syn(Id, std::net::SocketAddr),
    /// The client learns that it is connected, to this end.
    Established { client: Id, server: Id },
    /// The connection can be accepted.
    EnterBacklog { listener: Id, server: Id },
    /// The client learns that it is not.
    Refused(Id, crate::Status),
    /// A test wants to be called.
    Call(Box<dyn FnOnce(&Network) + Send>),
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Event::Arrive(from) => write!(f, "arrive from {from}"),
            Event::Credit(to, bytes) => write!(f, "credit {to} with {bytes}"),
            Event::Unblock(id) => write!(f, "unblock {id}"),
            Event::Syn(client, to) => write!(f, "syn {client} to {to}"),
            Event::Established { client, server } => write!(f, "established {client} {server}"),
            Event::EnterBacklog { listener, server } => write!(f, "backlog {listener} {server}"),
            Event::Refused(client, status) => write!(f, "refused {client} {status:?}"),
            Event::Call(_) => f.write_str("call"),
        }
    }
}

struct Entry {
    at: u64,
    /// Drawn at random: what happens at the same time happens in any order.
    tie: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.tie) == (other.at, other.tie)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.tie).cmp(&(other.at, other.tie))
    }
}

/// All events to come.
#[derive(Default)]
pub(super) struct Agenda(BinaryHeap<Reverse<Entry>>);

impl Agenda {
    pub(super) fn add(&mut self, at: u64, tie: u64, event: Event) {
        self.0.push(Reverse(Entry { at, tie, event }));
    }

    /// When the next event is.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.0.peek().map(|Reverse(entry)| entry.at)
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.0.pop().map(|Reverse(entry)| entry.event)
    }
}
