//! What has come on a connection and was not received yet.

use std::collections::VecDeque;

use super::buffers::Buffers;
use crate::engine::Refusal;
use crate::operation::Segment;

/// Bytes in one of the ring's buffers.
struct Piece {
    buffer: u16,
    start: u32,
    end: u32,
}

/// What there is for a receive.
pub(super) enum Found {
    /// So many bytes were copied, or are there.
    Bytes(usize),
    /// Nothing will come any more.
    End(Result<usize, Refusal>),
    /// It will be reported.
    Nothing,
    /// Nothing, and nothing was asked for: the socket itself has to be looked at.
    LookDirectly,
}

#[derive(Default)]
pub(super) struct Inbox {
    pieces: VecDeque<Piece>,
    /// After the pieces: the end of the stream as `Ok(0)`, or the failure that ended it.
    end: Option<Result<usize, Refusal>>,
}

impl Inbox {
    /// Without memory to remember it, `false`; the buffer is then still the caller's.
    pub(super) fn push(&mut self, buffer: u16, bytes: u32) -> bool {
        if self.pieces.try_reserve(1).is_err() {
            return false;
        }
        self.pieces.push_back(Piece {
            buffer,
            start: 0,
            end: bytes,
        });
        true
    }

    pub(super) fn set_end(&mut self, end: Result<usize, Refusal>) {
        self.end = Some(end);
    }

    pub(super) fn end(&self) -> Option<Result<usize, Refusal>> {
        self.end
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Copies into the segments as much as there is and fits, and gives emptied buffers back.
    pub(super) fn copy(&mut self, into: &[Segment], buffers: &mut Buffers) -> usize {
        let mut copied = 0;
        for segment in into {
            let mut filled = 0;
            while filled < segment.len()
                && let Some(piece) = self.pieces.front_mut()
            {
                let count = (segment.len() - filled).min((piece.end - piece.start) as usize);
                let bytes = &buffers.bytes(piece.buffer)[piece.start as usize..][..count];
                // SAFETY: the segment is memory that the operation owns (`Segment::new`), the
                // operation is ours for the length of this call, and `count` is within what is left.
                unsafe {
                    let to = segment.as_ptr().add(filled);
                    to.copy_from_nonoverlapping(bytes.as_ptr(), count);
                }
                filled += count;
                piece.start += count as u32;
                if piece.start == piece.end {
                    let buffer = piece.buffer;
                    self.pieces.pop_front();
                    buffers.give(buffer);
                }
            }
            copied += filled;
            if filled < segment.len() {
                break;
            }
        }
        copied
    }

    /// Gives everything back.
    pub(super) fn clear(&mut self, buffers: &mut Buffers) {
        for piece in self.pieces.drain(..) {
            buffers.give(piece.buffer);
        }
        self.end = None;
    }
}
