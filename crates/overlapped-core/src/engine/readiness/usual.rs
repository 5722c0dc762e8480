//! The usual case: one operation waits on a connection, and it has one piece of memory.
//!
//! `side.rs` serves every case, this one included; here it is done with far fewer instructions, on
//! fewer lines of code that the processor has to fetch, which is what a small request costs beside
//! the kernel's part (counted in `docs/design/readiness.md`). Whatever is not usual is left to the
//! loop there, and a call that found nothing is made again by it.

use std::slice;

use super::SocketState;
use super::side::{Lane, Side};
use crate::Status;
use crate::engine::Refusal;
use crate::operation::{Kind, Operation};

/// Receives for the only operation of a side that was reported; the operation, if it has ended.
#[inline]
pub(super) fn receive(socket: &SocketState, side: &Side, lane: &mut Lane) -> Option<Operation> {
    let only = lane.operations.only()?;
    let room = only.only_segment()?;
    if only.kind() != Kind::Recv || !socket.is_plain_connection() {
        return None;
    }
    let endpoint = lane.registered.as_ref()?.endpoint();
    let (status, received) = match socket
        .port()
        .system()
        .recv(endpoint, slice::from_ref(&room))
    {
        Ok(received) => (Status::SUCCESS, received),
        Err(Refusal::NotReady) => return None,
        Err(Refusal::Failed(status)) => (socket.note_failure(status), 0),
    };
    if received == 0 && status == Status::SUCCESS {
        socket.note_end_of_stream();
    }
    // As in the loop: only a receive that was short has emptied the socket.
    if received == room.len() || received == 0 || side.hangup() {
        side.set_ready();
    }
    let mut operation = lane.operations.pop()?;
    operation.finish(status, received);
    Some(operation)
}

/// Sends for an operation that is about to be started and would be the only one; whether it has
/// ended. Otherwise it is to be started, with what went out accounted for.
#[inline]
pub(super) fn send(socket: &SocketState, lane: &Lane, operation: &mut Operation) -> bool {
    let (Some(segment), Some(registered)) = (operation.only_segment(), &lane.registered) else {
        return false;
    };
    if !socket.is_plain_connection() {
        return false;
    }
    match socket
        .port()
        .system()
        .send(registered.endpoint(), slice::from_ref(&segment))
    {
        Ok(sent) => {
            operation.finish(Status::PENDING, sent);
            if sent < segment.len() {
                return false;
            }
            operation.finish(Status::SUCCESS, sent);
        }
        Err(Refusal::NotReady) => return false,
        Err(Refusal::Failed(status)) => operation.finish(socket.note_failure(status), 0),
    }
    true
}
