//! recv, recv-all and recv-zero.

use smallvec::SmallVec;

use super::send;
use super::side::{Attempt, Turn};
use crate::Status;
use crate::engine::Refusal;
use crate::operation::{Kind, OperationList, Segment};

/// How many pieces of several operations' memory one call fills or empties.
pub(super) const PIECES: usize = 16;

/// How many pieces the system takes in one call (`IOV_MAX`).
pub(super) const MOST_PIECES: usize = 1024;

/// Fills the buffers of the receives at the front with one call.
pub(super) fn attempt(turn: &mut Turn<'_>) -> Attempt {
    let mut several = SmallVec::new();
    let segments = match turn.operations.only() {
        Some(operation) => operation.segments(),
        None => {
            gather(turn.operations, &mut several);
            &several
        }
    };
    let segments = &segments[..segments.len().min(MOST_PIECES)];
    let room = segments.iter().map(|segment| segment.len()).sum();
    match turn.system.recv(turn.endpoint, segments) {
        Ok(received) => {
            fill(turn, received);
            // A full house: there may be more. The end stays the end. Otherwise the socket is
            // empty, and what comes next is reported; see `Turn::hangup` for the exception.
            if received == room || received == 0 || turn.hangup {
                Attempt::Again
            } else {
                Attempt::Drained
            }
        }
        Err(refusal) => turn.refused(refusal),
    }
}

/// The buffers of the receives at the front, of as many as one call can fill.
fn gather(operations: &mut OperationList, into: &mut SmallVec<[Segment; PIECES]>) {
    for operation in operations.iter_mut() {
        let more = operation.segments();
        if operation.kind() != Kind::Recv || (!into.is_empty() && into.len() + more.len() > PIECES)
        {
            break;
        }
        into.extend_from_slice(more);
    }
}

/// Shares what one call received among the receives at the front: each takes what fits, and one
/// that gets nothing goes on waiting. The end of the stream completes the first only (IO-3).
fn fill(turn: &mut Turn<'_>, mut received: usize) {
    if received == 0 {
        turn.socket.note_end_of_stream();
        turn.finish_first(Status::SUCCESS);
        return;
    }
    while received > 0 {
        let first = turn
            .operations
            .first()
            .expect("no more was received than there was room for");
        let bytes = received.min(first.capacity());
        first.add_bytes(bytes);
        received -= bytes;
        turn.finish_first(Status::SUCCESS);
    }
}

/// Fills what is left of the first receive's memory. One that got a part stays at the front, as a
/// send does (IO-8).
#[inline(never)]
pub(super) fn attempt_all(turn: &mut Turn<'_>) -> Attempt {
    let first = turn
        .operations
        .first()
        .expect("an attempt has a first operation");
    let mut segments = SmallVec::new();
    let room = send::gather(first, &mut segments);
    match turn.system.recv(turn.endpoint, &segments) {
        Ok(0) => {
            turn.socket.note_end_of_stream();
            turn.finish_first(Status::SUCCESS);
            Attempt::Again
        }
        Ok(received) => {
            first.add_bytes(received);
            if first.bytes() == first.capacity() {
                turn.finish_first(Status::SUCCESS);
            }
            if received == room || turn.hangup {
                Attempt::Again
            } else {
                Attempt::Drained
            }
        }
        Err(refusal) => turn.refused(refusal),
    }
}

/// Completes when a receive would find something, and leaves it there (IO-4).
#[inline(never)]
pub(super) fn attempt_zero(turn: &mut Turn<'_>) -> Attempt {
    match turn.system.peek(turn.endpoint) {
        Ok(()) => turn.finish_first(Status::SUCCESS),
        Err(Refusal::NotReady) => return Attempt::Drained,
        Err(Refusal::Failed(status)) => {
            let status = turn.socket.note_failure(status);
            turn.finish_first(status);
        }
    }
    Attempt::Again
}
