//! Blocks of heaps.
//!
//! Each begins with a header that has its exact size, whose heap it is, and where it came from. A
//! pointer that has no header before it, or whose block was freed, is refused (as far as one can
//! see that).

use std::collections::HashSet;
use std::ptr::null_mut;
use std::sync::{Mutex, PoisonError};

use super::{is_low, low};
use crate::error::Error;

/// Before the block, which is aligned like it.
#[repr(C, align(16))]
struct Header {
    size: usize,
    heap: u32,
    /// A class of the low allocator, or [`C_LIBRARY`].
    place: u16,
    mark: u16,
}

const HEADER: usize = size_of::<Header>();
const MARK: u16 = 0xA110;
const C_LIBRARY: u16 = u16::MAX;

/// The heap that every process has.
pub(crate) const PROCESS: u32 = 0;

/// What is in the other heaps, by their numbers from 1 on.
static HEAPS: Mutex<Vec<Option<HashSet<usize>>>> = Mutex::new(Vec::new());

fn with_heap<R>(heap: u32, f: impl FnOnce(&mut HashSet<usize>) -> R) -> Option<R> {
    let mut heaps = HEAPS.lock().unwrap_or_else(PoisonError::into_inner);
    let blocks = heaps.get_mut((heap as usize).checked_sub(1)?)?.as_mut()?;
    Some(f(blocks))
}

/// Makes a heap.
pub(crate) fn create() -> u32 {
    let mut heaps = HEAPS.lock().unwrap_or_else(PoisonError::into_inner);
    heaps.push(Some(HashSet::new()));
    heaps.len() as u32
}

/// Frees a heap and what is in it.
pub(crate) fn destroy(heap: u32) -> Result<(), Error> {
    let mut heaps = HEAPS.lock().unwrap_or_else(PoisonError::into_inner);
    let index = (heap as usize).checked_sub(1);
    let blocks = index.and_then(|index| heaps.get_mut(index)?.take());
    drop(heaps);
    for block in blocks.ok_or(Error::INVALID_HANDLE)? {
        // SAFETY: it was not freed, or it would not be there.
        unsafe { give_back(block as *mut u8) };
    }
    Ok(())
}

/// Whether it is one.
pub(crate) fn is_heap(heap: u32) -> bool {
    heap == PROCESS || with_heap(heap, |_| ()).is_some()
}

/// A new block; null if there is no memory.
pub(crate) fn allocate(heap: u32, size: usize, zeroed: bool) -> *mut u8 {
    let Some(whole) = size
        .checked_add(HEADER)
        .filter(|&whole| whole <= isize::MAX as usize)
    else {
        return null_mut();
    };
    let (memory, place) = match is_low() {
        true => (low::allocate(whole), low::class(whole)),
        // SAFETY: any size will do.
        false => unsafe {
            let memory = match zeroed {
                true => libc::calloc(1, whole),
                false => libc::malloc(whole),
            };
            (memory.cast::<u8>(), C_LIBRARY)
        },
    };
    if memory.is_null() {
        return null_mut();
    }
    // SAFETY: it is that large; the allocators align to 16 bytes.
    let block = unsafe {
        memory.cast::<Header>().write(Header {
            size,
            heap,
            place,
            mark: MARK,
        });
        let block = memory.add(HEADER);
        if zeroed && place != C_LIBRARY {
            block.write_bytes(0, size);
        }
        block
    };
    if heap != PROCESS {
        with_heap(heap, |blocks| blocks.insert(block as usize));
    }
    block
}

/// # Safety
/// It can be read before it, if it is aligned and not null.
unsafe fn header(block: *mut u8) -> Result<*mut Header, Error> {
    if block.is_null() || !block.cast::<Header>().is_aligned() {
        return Err(Error::INVALID_PARAMETER);
    }
    let header = block.wrapping_sub(HEADER).cast::<Header>();
    // SAFETY: the caller's promise.
    match unsafe { (*header).mark } {
        MARK => Ok(header),
        _ => Err(Error::INVALID_PARAMETER),
    }
}

/// A block's size.
///
/// # Safety
/// It came from here, or can be read before it.
pub(crate) unsafe fn size(heap: u32, block: *mut u8) -> Result<usize, Error> {
    // SAFETY: the caller's promise.
    let header = unsafe { &*header(block)? };
    match header.heap == heap {
        true => Ok(header.size),
        false => Err(Error::INVALID_PARAMETER),
    }
}

/// Frees a block.
///
/// # Safety
/// It came from here and nobody uses it, or it can be read before it.
pub(crate) unsafe fn free(heap: u32, block: *mut u8) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    unsafe { size(heap, block)? };
    if heap != PROCESS && with_heap(heap, |blocks| blocks.remove(&(block as usize))) != Some(true) {
        return Err(Error::INVALID_PARAMETER);
    }
    // SAFETY: it is one of ours.
    unsafe { give_back(block) };
    Ok(())
}

/// # Safety
/// It is a block.
unsafe fn give_back(block: *mut u8) {
    // SAFETY: so there is a header before it, and it goes back where it came from.
    unsafe {
        let memory = block.sub(HEADER);
        let header = memory.cast::<Header>();
        (*header).mark = 0;
        match (*header).place {
            C_LIBRARY => libc::free(memory.cast()),
            class => low::free(memory, class, (*header).size + HEADER),
        }
    }
}

/// Changes a block's size, and its place unless it has to stay. The old one is kept if this fails.
///
/// # Safety
/// It came from here, or can be read before it.
pub(crate) unsafe fn resize(
    heap: u32,
    block: *mut u8,
    size: usize,
    zeroed: bool,
    in_place: bool,
) -> Result<*mut u8, Error> {
    // SAFETY: the caller's promise, and it is one of ours after the look at its size.
    unsafe {
        let before = self::size(heap, block)?;
        if size <= before {
            // A mapping is given back by its size, and so is a class found by it.
            let header = block.sub(HEADER).cast::<Header>();
            if (*header).place == C_LIBRARY {
                (*header).size = size;
                return Ok(block);
            }
        }
        if in_place {
            return match size <= before {
                true => Ok(block),
                false => Err(Error::NOT_ENOUGH_MEMORY),
            };
        }
        let new = allocate(heap, size, false);
        if new.is_null() {
            return Err(Error::NOT_ENOUGH_MEMORY);
        }
        new.copy_from_nonoverlapping(block, before.min(size));
        if zeroed && size > before {
            new.add(before).write_bytes(0, size - before);
        }
        free(heap, block)?;
        Ok(new)
    }
}
