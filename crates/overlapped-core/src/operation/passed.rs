//! The descriptors that travel with an operation's bytes.

use std::os::fd::OwnedFd;

use super::{Header, Kind};

/// How many descriptors one message carries at most (`SCM_MAX_FD`).
pub const MOST_DESCRIPTORS: usize = 253;

/// The part of the header that only operations with descriptors need. Owns them, so they close with
/// the operation if nobody takes them.
#[derive(Default)]
pub(crate) struct Passed {
    /// To be sent, or received.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// How many a receive may bring.
    pub(crate) room: usize,
    /// The receiver has them. Ours close when the packet is taken, and not in the call that sent
    /// them: closing may wait, and starting an operation must not.
    pub(crate) sent: bool,
}

impl Passed {
    /// What has yet to go out.
    pub(crate) fn unsent(&self) -> &[OwnedFd] {
        if self.sent { &[] } else { &self.descriptors }
    }

    /// Closes what an earlier start has left, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.descriptors.clear();
        self.room = 0;
        self.sent = false;
    }
}

impl Header {
    /// Sets the descriptors that a send passes, after [`prepare`](Header::prepare).
    pub fn set_descriptors(&mut self, descriptors: Vec<OwnedFd>) {
        debug_assert_eq!(self.kind(), Kind::SendWithDescriptors);
        self.passed_mut().descriptors = descriptors;
    }

    /// Sets how many descriptors a receive has room for, after [`prepare`](Header::prepare).
    pub fn set_room_for_descriptors(&mut self, room: usize) {
        debug_assert_eq!(self.kind(), Kind::RecvWithDescriptors);
        let passed = self.passed_mut();
        passed.room = room.min(MOST_DESCRIPTORS);
        // Now, so that completing needs no memory.
        passed.descriptors.reserve(passed.room);
    }

    /// The descriptors that are here: that were received, or could not be sent.
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        self.close_sent_descriptors();
        let extra = self.extra.as_mut();
        extra.map_or_else(Vec::new, |extra| {
            std::mem::take(&mut extra.passed.descriptors)
        })
    }

    /// After the packet: closes the descriptors that were sent.
    pub fn close_sent_descriptors(&mut self) {
        if let Some(extra) = &mut self.extra
            && extra.passed.sent
        {
            extra.passed.clear();
        }
    }

    /// The descriptors that have yet to go out.
    pub fn unsent_descriptors(&self) -> &[OwnedFd] {
        let extra = self.extra.as_ref();
        extra.map_or(&[], |extra| extra.passed.unsent())
    }

    pub(crate) fn passed_mut(&mut self) -> &mut Passed {
        &mut self.extra().passed
    }
}
