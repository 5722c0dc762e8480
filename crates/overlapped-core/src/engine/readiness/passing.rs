//! recv and send with descriptors, of Unix sockets of both natures.
//!
//! One call serves one operation: what came with descriptors is shared with no other receive, and
//! no other send may lend its bytes to them.

use smallvec::SmallVec;

use super::recv::MOST_PIECES;
use super::side::{Attempt, Turn};
use super::{datagram, send as sends};
use crate::Status;
use crate::engine::{Nature, Refusal};

/// Fills the buffers of the first receive with what one call brings, descriptors included.
#[inline(never)]
pub(super) fn receive(turn: &mut Turn<'_>) -> Attempt {
    let stream = turn.socket.nature() == Nature::Stream;
    let first = turn.operations.first().expect("an attempt has one");
    let passed = first.passed_mut();
    let room = passed.room;
    let mut descriptors = std::mem::take(&mut passed.descriptors);
    let segments = first.segments();
    let segments = &segments[..segments.len().min(MOST_PIECES)];
    let result = turn
        .system
        .recv_with_descriptors(turn.endpoint, segments, room, &mut descriptors);
    first.passed_mut().descriptors = descriptors;
    match result {
        Ok(received) => {
            first.add_bytes(received.bytes);
            if !stream {
                first.set_peer(received.from);
            } else if received.bytes == 0 {
                turn.socket.note_end_of_stream();
            }
            turn.finish_first(if received.truncated {
                Status::BUFFER_OVERFLOW
            } else {
                Status::SUCCESS
            });
            // It may have ended at descriptors although more has come.
            Attempt::Again
        }
        Err(refusal) if stream => turn.refused(refusal),
        Err(refusal) => datagram::receive_refused(turn, refusal),
    }
}

/// Sends the first operation's bytes, with its descriptors at the first of them.
#[inline(never)]
pub(super) fn send(turn: &mut Turn<'_>) -> Attempt {
    if turn.socket.nature() == Nature::Datagram {
        return send_datagram(turn);
    }
    let first = turn.operations.first().expect("an attempt has one");
    let mut segments = SmallVec::new();
    if sends::gather(first, &mut segments) == 0 {
        turn.finish_first(Status::SUCCESS);
        return Attempt::Again;
    }
    let descriptors = first.unsent_descriptors();
    let sent = turn
        .system
        .send_with_descriptors(turn.endpoint, &segments, None, descriptors);
    match sent {
        Ok(bytes) => {
            first.passed_mut().sent = true;
            first.add_bytes(bytes);
            // What is left is tried; a socket that is full says so.
            Attempt::Again
        }
        Err(refusal) => turn.refused(refusal),
    }
}

/// The same as one datagram, to the peer or to the address that the operation has.
fn send_datagram(turn: &mut Turn<'_>) -> Attempt {
    let first = turn.operations.first().expect("an attempt has one");
    let sent = turn.system.send_with_descriptors(
        turn.endpoint,
        first.segments(),
        first.peer(),
        first.unsent_descriptors(),
    );
    let status = match sent {
        Ok(bytes) => {
            first.passed_mut().sent = true;
            first.add_bytes(bytes);
            Status::SUCCESS
        }
        Err(Refusal::NotReady) => return Attempt::Drained,
        Err(Refusal::Failed(status)) => status,
    };
    turn.finish_first(status);
    Attempt::Again
}
