//! The calls that never wait.

use std::net::SocketAddr;

use super::agenda::Event;
use super::node::{Id, Phase, Stream};
use super::state::State;
use crate::Status;
use crate::engine::Refusal;
use crate::operation::Segment;

/// What keeps a receive from finding data, if there is none.
fn nothing_there(stream: &mut Stream) -> Result<usize, Refusal> {
    // In Linux's order: after the peer's end there is no error any more, and an error is told once.
    if stream.fin_arrived {
        return Ok(0);
    }
    if stream.broken {
        return stream
            .error
            .take()
            .map_or(Ok(0), |error| Err(Refusal::Failed(error)));
    }
    if stream.phase != Phase::Connected {
        return Err(Refusal::Failed(Status::INVALID_CONNECTION));
    }
    Err(Refusal::NotReady)
}

/// Fills the segments from the front of what has arrived.
fn fill(into: &[Segment], stream: &mut Stream) -> usize {
    let mut filled = 0;
    for segment in into {
        let take = segment.len().min(stream.arrived.len());
        let bytes = stream.take_arrived(take);
        // SAFETY: a segment is memory that its operation owns (`Segment::new`), and the operation
        // is the caller's for the length of this call; `take` is no more than its length.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), segment.as_ptr(), take) };
        filled += take;
    }
    filled
}

/// The first `take` bytes of the segments.
fn gather(from: &[Segment], take: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(take);
    for segment in from {
        let len = segment.len().min(take - bytes.len());
        if len > 0 {
            // SAFETY: as in `fill`; a segment that is sent from is initialised.
            bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(segment.as_ptr(), len) });
        }
    }
    bytes
}

impl State {
    /// Counts a call that a report had made hope for more.
    pub(super) fn account<T>(&mut self, id: Id, result: &Result<T, Refusal>) {
        if let Some(node) = self.node(id) {
            let hoped = std::mem::take(&mut node.reported);
            let in_vain = matches!(result, Err(Refusal::NotReady));
            self.counts.not_ready += u64::from(hoped && in_vain);
        }
    }

    pub(super) fn recv(&mut self, id: Id, into: &[Segment]) -> Result<usize, Refusal> {
        let stream = self.held(id);
        if stream.arrived.is_empty() {
            return nothing_there(stream);
        }
        let received = fill(into, stream);
        self.read(id, received);
        Ok(received)
    }

    pub(super) fn peek(&mut self, id: Id) -> Result<(), Refusal> {
        let stream = self.held(id);
        if stream.arrived.is_empty() {
            nothing_there(stream).map(|_| ())
        } else {
            Ok(())
        }
    }

    pub(super) fn send(&mut self, id: Id, from: &[Segment]) -> Result<usize, Refusal> {
        let asked: usize = from.iter().map(|segment| segment.len()).sum();
        let full = self.random.chance(self.faults.full);
        let short = self.random.chance(self.faults.short_send);
        let stream = self.held(id);
        if stream.broken {
            let error = stream.error.take().unwrap_or(Status::CONNECTION_RESET);
            return Err(Refusal::Failed(error));
        }
        if stream.phase != Phase::Connected {
            return Err(Refusal::Failed(Status::INVALID_CONNECTION));
        }
        assert!(
            !stream.fin_wanted,
            "simulation: a send after the sending direction was shut down"
        );
        let room = stream.room();
        if stream.blocked || room == 0 {
            stream.wants_room = true;
            return Err(Refusal::NotReady);
        }
        if full {
            self.counts.full += 1;
            self.block(id);
            return Err(Refusal::NotReady);
        }
        let mut take = asked.min(room);
        if short && take > 1 {
            self.counts.short_sends += 1;
            take = self.random.within(1..take as u64) as usize;
            self.block(id);
        } else {
            // Otherwise it is room that is missing.
            self.held(id).wants_room |= take < asked;
        }
        self.transmit(id, gather(from, take));
        Ok(take)
    }

    /// Takes nothing more for a while.
    fn block(&mut self, id: Id) {
        let stream = self.held(id);
        stream.blocked = true;
        stream.wants_room = true;
        self.schedule_soon(Event::Unblock(id));
    }

    /// The next connection, with its client's address.
    pub(super) fn accept(&mut self, id: Id) -> Result<(Id, Option<SocketAddr>), Refusal> {
        if self.random.chance(self.faults.accept) {
            self.counts.accept_failures += 1;
            let excuses = [
                Status::TOO_MANY_OPENED_FILES,
                Status::INSUFFICIENT_RESOURCES,
            ];
            return Err(Refusal::Failed(excuses[self.random.index(2)]));
        }
        self.take_waiting(id).ok_or(Refusal::NotReady)
    }

    pub(super) fn take_waiting(&mut self, listener: Id) -> Option<(Id, Option<SocketAddr>)> {
        let queue = self.listener(listener).expect("only listeners accept");
        let accepted = queue.backlog.pop_front()?;
        self.held(accepted).backlog_of = None;
        let from = self.node(accepted).and_then(|node| node.remote);
        Some((accepted, from))
    }

    pub(super) fn begin_connect(&mut self, id: Id, to: SocketAddr) -> Result<(), Refusal> {
        let stream = self.held(id);
        if stream.phase == Phase::Connected && stream.broken {
            // It was connected and broken before anybody looked. Linux would begin anew.
            return Err(Refusal::Failed(Status::CONNECTION_ABORTED));
        }
        assert_eq!(
            stream.phase,
            Phase::Fresh,
            "simulation: a connect on a socket that has, or is about to have, a connection"
        );
        self.held(id).refused = None;
        if let Some(ended) = self.connect_at_once(id, to) {
            return ended;
        }
        self.connect(id, to);
        Err(Refusal::NotReady)
    }

    pub(super) fn connected(&mut self, id: Id) -> Result<(), Refusal> {
        let stream = self.held(id);
        if let Some(error) = stream.refused.take().or(stream.error.take()) {
            return Err(Refusal::Failed(error));
        }
        match stream.phase {
            Phase::Connected if !stream.broken => Ok(()),
            Phase::Connected => Err(Refusal::Failed(Status::CONNECTION_RESET)),
            Phase::Fresh | Phase::Connecting => Err(Refusal::NotReady),
        }
    }

    pub(super) fn shutdown_send(&mut self, id: Id) -> Result<(), Refusal> {
        let stream = self.held(id);
        if stream.phase != Phase::Connected || stream.broken {
            return Err(Refusal::Failed(Status::INVALID_CONNECTION));
        }
        stream.fin_wanted = true;
        self.pump(id);
        Ok(())
    }
}
