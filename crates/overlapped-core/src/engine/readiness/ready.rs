//! Readiness itself: an operation that moves nothing, and says what poll(2) finds.

use super::side::{Attempt, Turn};
use crate::Status;
use crate::engine::Refusal;
use crate::operation::Kind;

/// Completes when the descriptor is ready as wished, has an error, or its other end has gone.
///
/// The level is looked at and not the edge, so what was there before the operation was started,
/// and what somebody has taken away since it was reported, are both seen.
#[inline(never)]
pub(super) fn attempt(turn: &mut Turn<'_>, kind: Kind) -> Attempt {
    match turn.system.look(turn.endpoint) {
        Ok(ready) => {
            let wished = if kind == Kind::Readable {
                ready.readable
            } else {
                ready.writable
            };
            if !(wished || ready.error || ready.hangup) {
                return Attempt::Drained;
            }
            let first = turn.operations.first().expect("an attempt has one");
            first.set_ready(ready);
            turn.finish_first(Status::SUCCESS);
        }
        Err(Refusal::NotReady) => return Attempt::Drained,
        Err(Refusal::Failed(status)) => turn.finish_first(status),
    }
    Attempt::Again
}
