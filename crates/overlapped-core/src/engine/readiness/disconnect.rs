//! disconnect.

use super::side::{Attempt, Turn};
use crate::Status;
use crate::engine::Refusal;

/// All that was queued before it is out: tells the peer that nothing follows (DX-1).
#[inline(never)]
pub(super) fn attempt(turn: &mut Turn<'_>) -> Attempt {
    match turn.system.shutdown_send(turn.endpoint) {
        // A connection that is gone is disconnected too.
        Ok(()) | Err(Refusal::NotReady | Refusal::Failed(Status::INVALID_CONNECTION)) => {
            turn.socket.note_shut_down();
            turn.finish_first(Status::SUCCESS);
        }
        Err(Refusal::Failed(status)) => turn.finish_first(status),
    }
    Attempt::Again
}
