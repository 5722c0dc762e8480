//! What the page cache has, without waiting.

use super::file::Descriptor;
use super::step::{Pieces, Step};
use crate::operation::{Operation, Segment};

/// Reads what the page cache has; `true` if that completes the operation. What is missing is left
/// for somebody who may wait.
pub(super) fn try_read(operation: &mut Operation, descriptor: &Descriptor) -> bool {
    if descriptor.bypasses_cache() || descriptor.cannot_try() {
        return false;
    }
    loop {
        let step = Step::of(operation);
        // SAFETY: the operation is ours for the length of the call.
        let result = unsafe { step.perform(libc::RWF_NOWAIT) };
        match -result as i32 {
            libc::EAGAIN => return false,
            // This file system always waits.
            libc::EOPNOTSUPP => {
                descriptor.note_cannot_try();
                return false;
            }
            _ => {}
        }
        if super::step::advance(operation, result, None) {
            return true;
        }
    }
}

/// Whether the page cache has this byte of the file, as far as the file system says.
pub(crate) fn is_cached(descriptor: &Descriptor, offset: u64) -> bool {
    let mut byte = [0u8; 1];
    // SAFETY: the array is ours for the length of the call.
    let into = unsafe { Segment::new(byte.as_mut_ptr(), 1) };
    let step = Step::Read {
        fd: descriptor.raw(),
        into: Pieces::one(into),
        offset,
    };
    // SAFETY: as above.
    let result = unsafe { step.perform(libc::RWF_NOWAIT) };
    result != -i64::from(libc::EAGAIN)
}
