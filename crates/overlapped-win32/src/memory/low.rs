//! An allocator below 4 GiB.
//!
//! Pieces have the sizes of powers of two, and go back to a list of their size; large ones are
//! mapped each for itself. It is small rather than fast: it is for old programs that need it.

use std::ptr::null_mut;
use std::sync::{Mutex, PoisonError};

/// The smallest piece, and how many sizes there are: up to 64 KiB.
const LEAST: usize = 32;
const SIZES: usize = 12;
/// What is mapped at once for small pieces.
const CHUNK: usize = 1 << 18;

/// A size's number; `SIZES` for a mapping of its own.
pub(super) fn class(size: usize) -> u16 {
    let power = size.max(LEAST).next_power_of_two();
    let class = power.trailing_zeros() - LEAST.trailing_zeros();
    class.min(SIZES as u32) as u16
}

struct Free {
    /// Each a list through the pieces' first words.
    lists: [usize; SIZES],
    /// What is left of the chunk.
    next: usize,
    left: usize,
}

static FREE: Mutex<Free> = Mutex::new(Free {
    lists: [0; SIZES],
    next: 0,
    left: 0,
});

/// A piece of at least this size; null if there is none left.
pub(super) fn allocate(size: usize) -> *mut u8 {
    let class = class(size) as usize;
    if class == SIZES {
        return map(size);
    }
    let piece = LEAST << class;
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let first = free.lists[class] as *mut usize;
    if !first.is_null() {
        // SAFETY: it is a free piece, which holds the next one.
        free.lists[class] = unsafe { *first };
        return first.cast();
    }
    if free.left < piece {
        let chunk = map(CHUNK);
        if chunk.is_null() {
            return null_mut();
        }
        free.next = chunk as usize;
        free.left = CHUNK;
    }
    let new = free.next;
    free.next += piece;
    free.left -= piece;
    new as *mut u8
}

/// Takes one back.
///
/// # Safety
/// It came from `allocate` with a size of this class, and of this size if that is a mapping's.
pub(super) unsafe fn free(piece: *mut u8, class: u16, size: usize) {
    let class = class as usize;
    if class == SIZES {
        // SAFETY: the caller's promise.
        unsafe { libc::munmap(piece.cast(), size) };
        return;
    }
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: it is nobody's now, and has room for an address.
    unsafe { *piece.cast::<usize>() = free.lists[class] };
    free.lists[class] = piece as usize;
}

fn map(size: usize) -> *mut u8 {
    const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping.
    let mapped = unsafe { libc::mmap(null_mut(), size, READ_WRITE, flags(), -1, 0) };
    match mapped {
        libc::MAP_FAILED => null_mut(),
        // Where the kernel knows no such flag.
        mapped if mapped as usize + size > 1 << 32 => {
            // SAFETY: it was mapped just now.
            unsafe { libc::munmap(mapped, size) };
            null_mut()
        }
        mapped => mapped.cast(),
    }
}

/// How a mapping is made that lies below 4 GiB.
pub(super) fn flags() -> i32 {
    #[cfg(target_arch = "x86_64")]
    const BELOW: i32 = libc::MAP_32BIT;
    #[cfg(not(target_arch = "x86_64"))]
    const BELOW: i32 = 0;
    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | BELOW
}
