//! Reading a file for a transmit, so that `sendfile` finds it in the page cache.
//!
//! `sendfile` waits for the disk, and the worker that calls it would wait with it. So a transmit
//! that meets a part of a file that is not in the page cache has it read first, by the file thread,
//! and waits in its lane meanwhile as it does for a full socket.

use std::cell::UnsafeCell;
use std::sync::Arc;

use super::file::Descriptor;
use super::step::{Pieces, Step};
use crate::engine::readiness::SocketState;
use crate::operation::{ItemList, Segment};

/// How much is read at once, in bytes, and so how much a transmit sends with one call.
pub(crate) const WINDOW: usize = 256 * 1024;

/// Where the bytes go that nobody wants to see.
struct Nowhere(UnsafeCell<[u8; WINDOW]>);

// SAFETY: only the system touches it, and only to write; its bytes mean nothing.
unsafe impl Sync for Nowhere {}

/// Static, so that it outlives whatever the system still does.
static NOWHERE: Nowhere = Nowhere(UnsafeCell::new([0; WINDOW]));

/// A part of a file that a send needs.
pub(crate) struct Warm {
    pub(crate) socket: Arc<SocketState>,
    /// The send.
    pub(crate) operation: u64,
    pub(crate) descriptor: Arc<Descriptor>,
    pub(crate) offset: u64,
    pub(crate) bytes: usize,
}

impl Warm {
    pub(super) fn step(&self) -> Step {
        // SAFETY: a place that nobody reads and that stays for ever.
        let into = unsafe { Segment::new(NOWHERE.0.get().cast(), self.bytes.min(WINDOW)) };
        Step::Read {
            fd: self.descriptor.raw(),
            into: Pieces::one(into),
            offset: self.offset,
        }
    }

    /// It was read, or could not be, which `sendfile` will say better.
    pub(super) fn done(self, into: &mut ItemList) {
        let to = self.offset + self.bytes as u64;
        self.socket.file_is_warm(self.operation, to, into);
    }
}
