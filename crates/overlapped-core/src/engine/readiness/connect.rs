//! connect, with optional first data.

use smallvec::SmallVec;

use super::send;
use super::side::{Attempt, Turn};
use super::socket::Phase;
use crate::Status;
use crate::engine::Refusal;

/// Advances the connect at the front: begins it, looks how it stands, sends its data.
#[inline(never)]
pub(super) fn attempt(turn: &mut Turn<'_>) -> Attempt {
    let connected = match turn.socket.phase() {
        Phase::Connected => Ok(()),
        Phase::Connecting => turn.system.connected(turn.endpoint),
        Phase::Fresh | Phase::Listener => {
            let first = turn
                .operations
                .first()
                .expect("an attempt has a first operation");
            let to = first.peer().expect("a connect has an address").clone();
            turn.socket.set_phase(Phase::Connecting);
            turn.socket.begin_anew();
            turn.system.connect(turn.endpoint, &to)
        }
    };
    match connected {
        Ok(()) => {
            turn.socket.set_phase(Phase::Connected);
            send_first_data(turn)
        }
        Err(Refusal::NotReady) => Attempt::Drained,
        Err(Refusal::Failed(status)) => {
            // The socket may try again, elsewhere or later (CE-3).
            turn.socket.set_phase(Phase::Fresh);
            turn.finish_first(status);
            Attempt::Again
        }
    }
}

/// The operation completes when its data, if it has any, is out (CE-2).
fn send_first_data(turn: &mut Turn<'_>) -> Attempt {
    let first = turn
        .operations
        .first()
        .expect("an attempt has a first operation");
    let mut segments = SmallVec::new();
    let pending = send::gather(first, &mut segments);
    if pending == 0 {
        turn.finish_first(Status::SUCCESS);
        return Attempt::Again;
    }
    match turn.system.send(turn.endpoint, &segments) {
        Ok(sent) => {
            let first = turn
                .operations
                .first()
                .expect("an attempt has a first operation");
            first.add_bytes(sent);
            // Short of what was asked for: the socket is full, and the report of its next space
            // comes. Otherwise the next call finds nothing left and completes.
            if sent < pending {
                Attempt::Drained
            } else {
                Attempt::Again
            }
        }
        Err(refusal) => turn.refused(refusal),
    }
}
