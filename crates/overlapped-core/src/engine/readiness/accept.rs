//! accept, with optional first data.

use super::recv::MOST_PIECES;
use super::side::{Attempt, Turn};
use crate::Status;
use crate::engine::Refusal;
use crate::operation::Kind;

/// Accepts a connection for the first operation, in the order of the operations (AX-6).
///
/// One that also wants the first data moves on to the new connection and waits there, so that a
/// silent client holds up nobody but itself (AX-4).
#[inline(never)]
pub(super) fn attempt(turn: &mut Turn<'_>) -> Attempt {
    match turn.system.accept(turn.endpoint) {
        Ok((endpoint, peer)) => {
            let mut operation = turn
                .operations
                .pop()
                .expect("an attempt has a first operation");
            operation.set_peer(peer);
            if operation.kind() == Kind::Accept {
                operation.set_accepted(endpoint);
                operation.finish(Status::SUCCESS, 0);
                turn.done.push(operation);
            } else {
                turn.socket.await_first_data(endpoint, operation, turn.done);
            }
            Attempt::Again
        }
        Err(Refusal::NotReady) => Attempt::Drained,
        // Out of descriptors, say. The connection stays in the backlog, and the listener ready.
        Err(Refusal::Failed(status)) => {
            turn.finish_first(status);
            Attempt::Again
        }
    }
}

/// On the accepted connection: the first data, or the peer's end (success with 0 bytes).
#[inline(never)]
pub(super) fn attempt_first_data(turn: &mut Turn<'_>) -> Attempt {
    let first = turn
        .operations
        .first()
        .expect("an attempt has a first operation");
    let segments = first.segments();
    let segments = &segments[..segments.len().min(MOST_PIECES)];
    match turn.system.recv_only(turn.endpoint, segments) {
        Ok(received) => {
            first.add_bytes(received);
            turn.finish_first(Status::SUCCESS);
        }
        Err(Refusal::NotReady) => return Attempt::Drained,
        Err(Refusal::Failed(status)) => turn.finish_first(status),
    }
    Attempt::Drained
}
