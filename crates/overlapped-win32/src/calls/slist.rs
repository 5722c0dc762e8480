//! Singly linked lists that many threads push and pop.
//!
//! Under a lock that is a word of the header. Without one, a pop would have to read an entry that
//! somebody may have popped and freed meanwhile; Windows's kernel forgives that, Linux's does not.
//! With it an entry can come back at any time without being taken for what it was before.

use std::ptr::null_mut;
use std::sync::atomic::AtomicU32;

use crate::abi::{SLIST_ENTRY, SLIST_HEADER};
use crate::locks::exclusive;

/// A header, as it is used here.
#[repr(C)]
struct List {
    first: *mut SLIST_ENTRY,
    lock: AtomicU32,
    depth: u32,
}

const _: () = assert!(size_of::<List>() == size_of::<SLIST_HEADER>());

/// Calls `f` with the first entry and how many there are.
///
/// # Safety
/// It is a header that stays where it is.
unsafe fn with<R>(
    header: *mut SLIST_HEADER,
    f: impl FnOnce(&mut *mut SLIST_ENTRY, &mut u32) -> R,
) -> R {
    let list = header.cast::<List>();
    // SAFETY: the caller's promise; what is not the lock is touched by who has it only, so no
    // reference is made to the whole.
    unsafe {
        exclusive::lock(&(*list).lock);
        let result = f(&mut (*list).first, &mut (*list).depth);
        exclusive::unlock(&(*list).lock);
        result
    }
}

/// Initialises a list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InitializeSListHead(header: *mut SLIST_HEADER) {
    let new = SLIST_HEADER {
        Alignment: 0,
        Region: 0,
    };
    // SAFETY: the program's memory for one, which nobody uses yet.
    unsafe { header.write(new) };
}

/// Puts an entry first; which one was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InterlockedPushEntrySList(
    header: *mut SLIST_HEADER,
    entry: *mut SLIST_ENTRY,
) -> *mut SLIST_ENTRY {
    // SAFETY: the program's list and entry.
    unsafe {
        with(header, |first, depth| {
            let before = *first;
            (*entry).Next = before;
            *first = entry;
            *depth += 1;
            before
        })
    }
}

/// Takes the first entry.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InterlockedPopEntrySList(header: *mut SLIST_HEADER) -> *mut SLIST_ENTRY {
    // SAFETY: the program's list, and entries that it pushed.
    unsafe {
        with(header, |first, depth| {
            let entry = *first;
            if !entry.is_null() {
                *first = (*entry).Next;
                *depth -= 1;
            }
            entry
        })
    }
}

/// Takes all entries, as a list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InterlockedFlushSList(header: *mut SLIST_HEADER) -> *mut SLIST_ENTRY {
    // SAFETY: the program's list.
    unsafe {
        with(header, |first, depth| {
            *depth = 0;
            std::mem::replace(first, null_mut())
        })
    }
}

/// How many entries there are, in 16 bits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn QueryDepthSList(header: *mut SLIST_HEADER) -> u16 {
    // SAFETY: the program's list.
    unsafe { with(header, |_, depth| *depth as u16) }
}
