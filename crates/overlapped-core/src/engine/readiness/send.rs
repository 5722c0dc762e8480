//! send.

use smallvec::SmallVec;

use super::recv::{MOST_PIECES, PIECES};
use super::side::{Attempt, Turn};
use crate::Status;
use crate::operation::{Header, Kind, Segment};

/// Empties the buffers of the sends at the front with one call.
///
/// A send that went out in part stays at the front and remembers how far it is: it completes whole
/// or fails (IO-7).
pub(super) fn attempt(turn: &mut Turn<'_>) -> Attempt {
    let mut several = SmallVec::new();
    let segments = match turn.operations.only() {
        Some(operation) if operation.bytes() == 0 => operation.segments(),
        _ => {
            for operation in turn.operations.iter_mut() {
                if operation.kind() != Kind::Send || several.len() >= PIECES {
                    break;
                }
                gather(operation, &mut several);
            }
            &several
        }
    };
    let segments = &segments[..segments.len().min(MOST_PIECES)];
    let pending: usize = segments.iter().map(|segment| segment.len()).sum();
    if pending == 0 {
        // Nothing to send is sent; also in the middle of others.
        turn.finish_first(Status::SUCCESS);
        return Attempt::Again;
    }
    match turn.system.send(turn.endpoint, segments) {
        Ok(sent) => {
            account(turn, sent);
            if sent == pending {
                Attempt::Again
            } else {
                Attempt::Drained
            }
        }
        Err(refusal) => turn.refused(refusal),
    }
}

/// Adds what is left of an operation, as far as there is place; says how much that is.
pub(super) fn gather(operation: &Header, into: &mut SmallVec<[Segment; PIECES]>) -> usize {
    collect(operation.segments(), operation.bytes(), into)
}

/// Adds what is behind the first `skip` bytes, as far as there is place; says how much that is.
pub(super) fn collect(
    segments: &[Segment],
    mut skip: usize,
    into: &mut SmallVec<[Segment; PIECES]>,
) -> usize {
    let mut gathered = 0;
    for segment in segments {
        if into.len() == PIECES {
            break;
        }
        let skipped = skip.min(segment.len());
        skip -= skipped;
        let rest = segment.after(skipped);
        if !rest.is_empty() {
            gathered += rest.len();
            into.push(rest);
        }
    }
    gathered
}

/// Completes the sends at the front that are out now.
fn account(turn: &mut Turn<'_>, mut sent: usize) {
    while let Some(first) = turn.operations.first() {
        if first.kind() != Kind::Send {
            break;
        }
        let bytes = sent.min(first.capacity() - first.bytes());
        first.add_bytes(bytes);
        sent -= bytes;
        if first.bytes() < first.capacity() {
            break;
        }
        turn.finish_first(Status::SUCCESS);
    }
    debug_assert_eq!(sent, 0, "more was sent than was given");
}
