//! recv-pooled: a receive whose buffer is bound when the data is there.

use super::side::{Attempt, Direction, Turn};
use crate::Status;
use crate::operation::Segment;
use crate::pool::Taken;

/// Receives into a buffer of the pool for the first operation.
#[inline(never)]
pub(super) fn attempt(turn: &mut Turn<'_>) -> Attempt {
    let (side, socket) = (turn.side, turn.socket);
    let port = socket.port();
    let taken = port.pool().take(port, side.size(), |parked| {
        // If it is queued already it has another turn in any case.
        if side.schedule() {
            // SAFETY: `schedule` has just set the bit, which was clear.
            unsafe { parked.push_ready(socket.clone(), Direction::Recv) };
        }
    });
    let mut buffer = match taken {
        Taken::Buffer(buffer) => buffer,
        Taken::Parked => return Attempt::Parked,
        Taken::NoMemory => {
            turn.finish_first(Status::INSUFFICIENT_RESOURCES);
            return Attempt::Again;
        }
    };
    let room = buffer.room();
    // SAFETY: the buffer is ours, and outlives the call that the segment is for.
    let segment = unsafe { Segment::new(room.as_mut_ptr().cast(), room.len()) };
    let capacity = room.len();
    match turn.system.recv(turn.endpoint, &[segment]) {
        Ok(0) => {
            port.pool().put(buffer, turn.unparked);
            turn.socket.note_end_of_stream();
            turn.finish_first(Status::SUCCESS);
            Attempt::Again
        }
        Ok(received) => {
            side.set_size(buffer.size().after(received));
            // SAFETY: the system has just written them.
            unsafe { buffer.filled(received) };
            let first = turn
                .operations
                .first()
                .expect("an attempt has a first operation");
            first.set_pooled(buffer);
            first.add_bytes(received);
            turn.finish_first(Status::SUCCESS);
            if received == capacity || turn.hangup {
                Attempt::Again
            } else {
                Attempt::Drained
            }
        }
        Err(refusal) => {
            port.pool().put(buffer, turn.unparked);
            turn.refused(refusal)
        }
    }
}
