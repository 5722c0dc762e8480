//! Bytes, ends and resets between two streams.

use super::agenda::Event;
use super::node::{ALL, Id, Piece};
use super::state::State;
use crate::Status;
use crate::engine::Readiness;

const RECV: Readiness = Readiness {
    recv: true,
    send: false,
    hangup: false,
};

const SEND: Readiness = Readiness {
    recv: false,
    send: true,
    hangup: false,
};

const END: Readiness = Readiness {
    recv: true,
    send: false,
    hangup: true,
};

impl State {
    // ---- sending -------------------------------------------------------------------------------

    /// Puts bytes onto the wire, in one piece or several.
    pub(super) fn transmit(&mut self, from: Id, mut bytes: Vec<u8>) {
        self.held(from).used += bytes.len();
        let in_pieces = self.random.chance(self.faults.fragment);
        self.counts.fragments += u64::from(in_pieces);
        while in_pieces && bytes.len() > 1 {
            let cut = self.random.within(1..bytes.len() as u64) as usize;
            let rest = bytes.split_off(cut);
            self.post(from, Piece::Data(bytes));
            bytes = rest;
        }
        if !bytes.is_empty() {
            self.post(from, Piece::Data(bytes));
        }
    }

    /// Puts one piece onto the wire. Pieces of one direction never overtake each other.
    fn post(&mut self, from: Id, piece: Piece) {
        let arrival = self.now + self.delay();
        let stream = self.held(from);
        stream.last_arrival = stream.last_arrival.max(arrival);
        let at = stream.last_arrival;
        stream.wire.push_back((at, piece));
        self.schedule(at, Event::Arrive(from));
    }

    /// Sends what a test has queued, as far as there is room, and the end after it.
    pub(super) fn pump(&mut self, id: Id) {
        let Some(stream) = self.stream(id) else {
            return;
        };
        if stream.other.is_none() || stream.broken {
            return;
        }
        let bytes = stream.take_outbox();
        if !bytes.is_empty() {
            self.transmit(id, bytes);
        }
        let stream = self.held(id);
        if stream.fin_wanted && !stream.fin_sent && stream.outbox.is_empty() {
            stream.fin_sent = true;
            self.post(id, Piece::Fin);
        }
    }

    /// This end wants no more of the connection.
    pub(super) fn reset(&mut self, id: Id) {
        // What was sent before may be lost on the way, or arrive all the same.
        let lost = self.random.chance(500);
        let stream = self.held(id);
        if stream.broken || stream.other.is_none() {
            return;
        }
        stream.broken = true;
        stream.outbox.clear();
        if lost {
            stream.wire.clear();
        }
        self.post(id, Piece::Rst);
    }

    /// The connection is gone, as far as this end is concerned.
    fn break_down(&mut self, id: Id) {
        let Some(stream) = self.stream(id) else {
            return;
        };
        if stream.broken {
            return;
        }
        stream.broken = true;
        stream.error = Some(Status::CONNECTION_RESET);
        stream.outbox.clear();
        stream.wire.clear();
        let listener = stream.backlog_of;
        self.changed(id, ALL);
        // Some systems drop a connection that breaks before it is accepted, Linux does not.
        if let Some(listener) = listener
            && self.random.chance(500)
        {
            if let Some(listener) = self.listener(listener) {
                listener.backlog.retain(|waiting| *waiting != id);
            }
            self.nodes[id] = None;
        }
    }

    // ---- arriving ------------------------------------------------------------------------------

    /// The first piece on the wire from here is due.
    pub(super) fn arrive(&mut self, from: Id) {
        let now = self.now;
        let Some(stream) = self.stream(from) else {
            return;
        };
        // The piece that this event was for may have been lost by a reset.
        if stream.wire.front().is_none_or(|(at, _)| *at > now) {
            return;
        }
        let (_, piece) = stream.wire.pop_front().expect("there is a first one");
        let other = stream.other.expect("it sends, so it is connected");
        let open = self.node(other).is_some_and(|node| node.open);
        match piece {
            _ if self.stream(other).is_none_or(|stream| stream.broken) => {}
            Piece::Rst => self.break_down(other),
            Piece::Data(_) if !open => self.reset(other),
            Piece::Data(_) if self.random.chance(self.faults.reset) => {
                self.counts.resets += 1;
                self.note(format_args!("the network breaks {from}-{other}"));
                self.break_down(from);
                self.break_down(other);
            }
            Piece::Data(bytes) => {
                self.held(other).arrived.extend(bytes);
                self.changed(other, RECV);
            }
            Piece::Fin => {
                self.held(other).fin_arrived = true;
                self.changed(other, END);
            }
        }
        self.reap(from);
    }

    /// Bytes were read here: the sender will hear of it.
    pub(super) fn read(&mut self, id: Id, bytes: usize) {
        if bytes > 0
            && let Some(other) = self.held(id).other
        {
            self.schedule_soon(Event::Credit(other, bytes));
        }
    }

    pub(super) fn credit(&mut self, id: Id, bytes: usize) {
        let Some(stream) = self.stream(id) else {
            return;
        };
        stream.used -= bytes;
        self.pump(id);
        let petty = self.random.chance(500);
        self.offer_room(id, petty);
    }

    pub(super) fn unblock(&mut self, id: Id) {
        if let Some(stream) = self.stream(id) {
            stream.blocked = false;
            self.offer_room(id, true);
        }
    }

    /// Reports room to whoever was told that there is none. Unless `petty`, and like Linux, not
    /// for a few bytes while much is still under way, which will make room later.
    fn offer_room(&mut self, id: Id, petty: bool) {
        let Some(stream) = self.stream(id) else {
            return;
        };
        let room = stream.room();
        let worth = room > 0 && (petty || stream.used == 0 || room >= stream.window / 3);
        if stream.wants_room && !stream.blocked && worth {
            stream.wants_room = false;
            self.changed(id, SEND);
        }
    }

    // ---- closing -------------------------------------------------------------------------------

    /// Nobody holds the node any more.
    pub(super) fn close(&mut self, id: Id) {
        let Some(node) = self.node(id) else { return };
        node.open = false;
        if let Some(listener) = self.listener(id) {
            let backlog = std::mem::take(&mut listener.backlog);
            let local = self.node(id).expect("it is there").local;
            self.listeners.remove(&local);
            self.nodes[id] = None;
            for waiting in backlog {
                self.held(waiting).backlog_of = None;
                self.reset(waiting);
                self.close(waiting);
            }
            return;
        }
        let stream = self.held(id);
        if stream.other.is_none() {
            // A connect that is under way finds nobody.
            self.nodes[id] = None;
            return;
        }
        if stream.arrived.is_empty() {
            stream.fin_wanted = true;
            self.pump(id);
        } else {
            // As TCP does, so that the peer does not believe that all was read.
            stream.arrived.clear();
            self.reset(id);
        }
        self.reap(id);
    }

    /// Forgets a connection when nobody holds either end and nothing is under way.
    fn reap(&mut self, id: Id) {
        let Some(other) = self.stream(id).and_then(|stream| stream.other) else {
            return;
        };
        let done = [id, other].into_iter().all(|id| {
            self.node(id)
                .is_none_or(|node| !node.open && node.stream().is_none_or(|s| s.is_spent()))
        });
        if done {
            self.nodes[id] = None;
            self.nodes[other] = None;
        }
    }
}
