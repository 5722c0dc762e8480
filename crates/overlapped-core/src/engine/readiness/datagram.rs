//! Datagrams: recv, recv-from, recv-zero, send, send-to and connect.
//!
//! One call moves one datagram for one operation, so nothing is shared among operations, and none
//! goes out in part. That a receive got less than it had room for says nothing about whether there
//! is another datagram: only a call that finds none has emptied the socket.

use super::side::{Attempt, Turn};
use super::socket::Phase;
use crate::Status;
use crate::engine::Refusal;
use crate::operation::Kind;

use super::recv::MOST_PIECES;

pub(super) fn attempt(turn: &mut Turn<'_>, kind: Kind) -> Attempt {
    turn.socket.ask_for_sent_back(turn.endpoint);
    match kind {
        Kind::Recv | Kind::RecvFrom => receive(turn),
        Kind::RecvZero => peek(turn),
        Kind::Connect => connect(turn),
        _ => send(turn),
    }
}

/// Fills the buffers of the first receive with one datagram; what does not fit is lost, and the
/// status says so (IO-9).
fn receive(turn: &mut Turn<'_>) -> Attempt {
    let first = turn.operations.first().expect("an attempt has one");
    let segments = first.segments();
    let segments = &segments[..segments.len().min(MOST_PIECES)];
    match turn.system.recv_datagram(turn.endpoint, segments) {
        Ok(received) => {
            first.add_bytes(received.bytes);
            if first.kind() == Kind::RecvFrom {
                first.set_peer(received.from);
            }
            turn.finish_first(if received.truncated {
                Status::BUFFER_OVERFLOW
            } else {
                Status::SUCCESS
            });
            Attempt::Again
        }
        Err(refusal) => receive_refused(turn, refusal),
    }
}

/// Completes when a receive would, and leaves the datagram there (IO-4).
fn peek(turn: &mut Turn<'_>) -> Attempt {
    match turn.system.peek(turn.endpoint) {
        Ok(()) => {
            turn.finish_first(Status::SUCCESS);
            Attempt::Again
        }
        Err(refusal) => receive_refused(turn, refusal),
    }
}

/// There is no datagram; but one that was sent may have come back (IO-13).
pub(super) fn receive_refused(turn: &mut Turn<'_>, refusal: Refusal) -> Attempt {
    let queued = match refusal {
        // Without a report of an error there is none in the queue.
        Refusal::NotReady if !turn.hangup => return Attempt::Drained,
        _ => turn.system.sent_back(turn.endpoint),
    };
    let status = match refusal {
        Refusal::Failed(status) => Some(status),
        Refusal::NotReady => queued,
    };
    let came_back = |status| {
        matches!(
            status,
            Status::CONNECTION_REFUSED | Status::HOST_UNREACHABLE | Status::NETWORK_UNREACHABLE
        )
    };
    match status {
        None => Attempt::Drained,
        // The failure was fetched, and that was all.
        Some(status) if came_back(status) && turn.socket.ignores_sent_back() => Attempt::Again,
        Some(Status::CONNECTION_REFUSED) => {
            turn.finish_first(Status::PORT_UNREACHABLE);
            Attempt::Again
        }
        Some(status) => {
            turn.finish_first(status);
            Attempt::Again
        }
    }
}

/// Sends the first operation's bytes as one datagram, of no bytes as well.
fn send(turn: &mut Turn<'_>) -> Attempt {
    let first = turn.operations.first().expect("an attempt has one");
    let to = match first.kind() {
        Kind::SendTo => Some(first.peer().expect("it has an address").clone()),
        _ => None,
    };
    let bytes = first.capacity();
    let sent = turn
        .system
        .send_datagram(turn.endpoint, first.segments(), to.as_ref());
    match sent {
        Ok(()) => {
            let first = turn.operations.first().expect("as above");
            first.add_bytes(bytes);
            turn.finish_first(Status::SUCCESS);
            Attempt::Again
        }
        Err(Refusal::NotReady) => Attempt::Drained,
        Err(Refusal::Failed(status)) => {
            turn.finish_first(status);
            Attempt::Again
        }
    }
}

/// Sets the peer, at once and as often as wanted, and sends the operation's bytes, if it has any.
fn connect(turn: &mut Turn<'_>) -> Attempt {
    let first = turn.operations.first().expect("an attempt has one");
    let bytes = first.capacity();
    let to = first.peer().expect("a connect has an address").clone();
    match turn.system.connect(turn.endpoint, &to) {
        Ok(()) => {
            turn.socket.set_phase(Phase::Connected);
            if bytes > 0 {
                return send(turn);
            }
            turn.finish_first(Status::SUCCESS);
        }
        Err(Refusal::NotReady) => turn.finish_first(Status::INSUFFICIENT_RESOURCES),
        Err(Refusal::Failed(status)) => turn.finish_first(status),
    }
    Attempt::Again
}
