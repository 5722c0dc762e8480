//! Asking for memory before it is needed.
//!
//! With a thousand connections nothing of one is left in the nearer caches, nor its page's address in the
//! processor's, when its turn comes, and a worker that meets it waits for one line of memory after
//! the other: a tenth of a microsecond each, measured. While the kernel works for the
//! connection before, there is time to bring them.

/// A line of memory, in bytes; where it is longer, some are asked for twice.
const LINE: usize = 64;

/// Has what is at `place` brought near. It is not looked at: nothing need be there.
#[inline]
pub(crate) fn fetch<T>(place: *const T) {
    let place = place.cast::<i8>();
    for offset in (0..size_of::<T>() + LINE).step_by(LINE) {
        fetch_line(place.wrapping_add(offset));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn fetch_line(place: *const i8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint, which accesses nothing and is ignored where there is no memory.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(place) };
}

/// There is no stable way to say it.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn fetch_line(_place: *const i8) {}
