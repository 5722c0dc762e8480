//! An operation's bytes in one piece, for calls that take no more than one.
//!
//! Several pieces go by way of the operation's own memory.

use crate::operation::{Header, Segment};

/// Where a call is to write at most so many bytes; [`scatter`] brings them to where they belong.
pub(super) fn room(operation: &mut Header, most: usize) -> (*mut u8, usize) {
    let capacity = operation.capacity().min(most);
    if let [one] = operation.segments() {
        return (one.as_ptr(), capacity);
    }
    let buffer = &mut operation.scratch().buffer;
    buffer.clear();
    buffer.resize(capacity, 0);
    (buffer.as_mut_ptr(), capacity)
}

/// Where a call finds the operation's bytes.
pub(super) fn gathered(operation: &mut Header) -> (*const u8, usize) {
    if let [one] = operation.segments() {
        return (one.as_ptr(), one.len());
    }
    let mut all = std::mem::take(&mut operation.scratch().buffer);
    gather(operation.segments(), &mut all);
    let buffer = &mut operation.scratch().buffer;
    *buffer = all;
    (buffer.as_ptr(), buffer.len())
}

/// Copies the pieces together.
pub(super) fn gather(pieces: &[Segment], into: &mut Vec<u8>) {
    into.clear();
    for piece in pieces {
        // SAFETY: the segment obeys `Segment::new`.
        into.extend_from_slice(unsafe { std::slice::from_raw_parts(piece.as_ptr(), piece.len()) });
    }
}

/// Brings the first bytes of the operation's own memory to where they belong.
pub(super) fn scatter(operation: &mut Header, bytes: usize) {
    let buffer = std::mem::take(&mut operation.scratch().buffer);
    let mut data = &buffer[..bytes.min(buffer.len())];
    for segment in operation.segments() {
        let (piece, rest) = data.split_at(segment.len().min(data.len()));
        // SAFETY: the segment obeys `Segment::new`, and has room for the piece.
        unsafe {
            piece
                .as_ptr()
                .copy_to_nonoverlapping(segment.as_ptr(), piece.len())
        };
        data = rest;
    }
    operation.scratch().buffer = buffer;
}

/// The same after a read into [`room`].
pub(super) fn scatter_if_several(operation: &mut Header, bytes: usize) {
    if operation.segments().len() > 1 {
        scatter(operation, bytes);
    }
}
