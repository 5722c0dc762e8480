//! Pipes: recv, recv-zero and send.

use smallvec::SmallVec;

use super::recv::MOST_PIECES;
use super::send;
use super::side::{Attempt, Turn};
use crate::Status;
use crate::engine::Refusal;
use crate::operation::Kind;

pub(super) fn attempt(turn: &mut Turn<'_>, kind: Kind) -> Attempt {
    match kind {
        Kind::Send => write(turn),
        Kind::RecvZero => look(turn),
        _ => read(turn),
    }
}

/// Reads for the first receive. A pipe whose last writer has gone is broken (IO-19); one that
/// never had a writer may yet get one.
fn read(turn: &mut Turn<'_>) -> Attempt {
    let first = turn.operations.first().expect("an attempt has one");
    let segments = first.segments();
    let segments = &segments[..segments.len().min(MOST_PIECES)];
    match turn.system.read(turn.endpoint, segments) {
        Ok(0) => match turn.system.look(turn.endpoint) {
            // Somebody has opened it meanwhile, and written.
            Ok(ready) if ready.readable => Attempt::Again,
            Ok(ready) if ready.hangup => finish(turn, Status::PIPE_BROKEN),
            _ => Attempt::Drained,
        },
        Ok(bytes) => {
            first.add_bytes(bytes);
            finish(turn, Status::SUCCESS)
        }
        Err(refusal) => refused(turn, refusal),
    }
}

/// Completes when a receive would find something.
fn look(turn: &mut Turn<'_>) -> Attempt {
    match turn.system.look(turn.endpoint) {
        Ok(ready) if ready.readable => finish(turn, Status::SUCCESS),
        Ok(ready) if ready.hangup => finish(turn, Status::PIPE_BROKEN),
        Ok(_) => Attempt::Drained,
        Err(refusal) => refused(turn, refusal),
    }
}

/// Writes what is left of the first send (IO-7).
fn write(turn: &mut Turn<'_>) -> Attempt {
    let first = turn.operations.first().expect("an attempt has one");
    let mut segments = SmallVec::new();
    if send::gather(first, &mut segments) == 0 {
        return finish(turn, Status::SUCCESS);
    }
    match turn.system.write(turn.endpoint, &segments) {
        Ok(bytes) => {
            first.add_bytes(bytes);
            // What is left is tried; a pipe that is full says so.
            Attempt::Again
        }
        Err(refusal) => refused(turn, refusal),
    }
}

fn finish(turn: &mut Turn<'_>, status: Status) -> Attempt {
    turn.finish_first(status);
    Attempt::Again
}

fn refused(turn: &mut Turn<'_>, refusal: Refusal) -> Attempt {
    match refusal {
        Refusal::NotReady => Attempt::Drained,
        // The reader has gone: what a socket calls so is a shutdown of its own.
        Refusal::Failed(Status::PIPE_DISCONNECTED) => finish(turn, Status::PIPE_BROKEN),
        Refusal::Failed(status) => finish(turn, status),
    }
}
