//! send-file: bytes, a range of a file, and bytes, in order and as one send (TF-1).

use smallvec::SmallVec;

use super::send;
use super::side::{Attempt, Turn};
use crate::Status;
use crate::engine::files::{WINDOW, Warm, is_cached};

/// Sends what comes next of the transmit at the front.
///
/// It keeps its place in the lane until all of it is out, so other sends precede and follow it as
/// a whole (IO-6, IO-7).
pub(super) fn attempt(turn: &mut Turn<'_>) -> Attempt {
    let first = turn
        .operations
        .first()
        .expect("an attempt has a first operation");
    let done = first.bytes();
    let transmit = &first.file().transmit;
    let (head, sent, over) = (transmit.head, transmit.sent, transmit.left == Some(0));
    let (head, tail) = first.segments().split_at(head);
    let head_bytes: usize = head.iter().map(|segment| segment.len()).sum();

    let mut segments = SmallVec::new();
    let sending = if done < head_bytes {
        send::collect(head, done, &mut segments);
        turn.system.send_more(turn.endpoint, &segments)
    } else if !over {
        return send_range(turn);
    } else if send::collect(tail, done - head_bytes - sent, &mut segments) > 0 {
        turn.system.send(turn.endpoint, &segments)
    } else {
        turn.finish_first(Status::SUCCESS);
        return Attempt::Again;
    };
    match sending {
        Ok(bytes) => {
            let first = turn.operations.first().expect("as above");
            first.add_bytes(bytes);
            Attempt::Again
        }
        Err(refusal) => turn.refused(refusal),
    }
}

/// Sends from the file, if that need not wait for the disk; otherwise has it read first.
fn send_range(turn: &mut Turn<'_>) -> Attempt {
    let first = turn
        .operations
        .first()
        .expect("an attempt has a first operation");
    let id = first.id();
    let part = first.file();
    let descriptor = part.descriptor.clone().expect("a transmit has a file");
    let transmit = &mut part.transmit;
    let left = transmit.left.map_or(WINDOW, |left| {
        usize::try_from(left).map_or(WINDOW, |left| left.min(WINDOW))
    });
    if transmit.warming {
        return Attempt::Drained;
    }
    if part.offset >= transmit.warm_to {
        let last = part.offset + left as u64 - 1;
        if !is_cached(&descriptor, part.offset) || !is_cached(&descriptor, last) {
            let warm = Warm {
                socket: turn.socket.clone(),
                operation: id,
                descriptor: descriptor.clone(),
                offset: part.offset,
                bytes: left,
            };
            let port = turn.socket.port();
            // Where nobody can read it first, this thread waits for the disk.
            if port.files().warm(port, warm) {
                transmit.warming = true;
                return Attempt::Drained;
            }
        }
        transmit.warm_to = part.offset + left as u64;
    }
    let count = left.min((transmit.warm_to - part.offset) as usize);
    match turn
        .system
        .send_file(turn.endpoint, descriptor.fd(), part.offset, count)
    {
        // The file ends here.
        Ok(0) if transmit.left.is_none() => transmit.left = Some(0),
        Ok(0) => turn.finish_first(Status::END_OF_FILE),
        Ok(bytes) => {
            part.offset += bytes as u64;
            transmit.sent += bytes;
            transmit.left = transmit.left.map(|left| left - bytes as u64);
            first.add_bytes(bytes);
        }
        Err(refusal) => return turn.refused(refusal),
    }
    Attempt::Again
}
