//! Heaps, and the calls that allocate from the process's.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use crate::abi::{BOOL, DWORD, FALSE, HANDLE, HGLOBAL, TRUE, UINT};
use crate::error::{self, Error};
use crate::memory::{self, blocks};

const HEAP_ZERO_MEMORY: DWORD = 8;
const HEAP_REALLOC_IN_PLACE_ONLY: DWORD = 16;
const ZEROINIT: UINT = 0x40;
const MODIFY: UINT = 0x80;

/// Heaps' handles: no multiples of the handle table's, so `CloseHandle` refuses them.
const HEAPS: usize = 0x8000_0000;

fn to_handle(heap: u32) -> HANDLE {
    (HEAPS | (heap as usize) << 4) as HANDLE
}

fn heap_of(handle: HANDLE) -> Result<u32, Error> {
    let number = (handle as usize).wrapping_sub(HEAPS) >> 4;
    u32::try_from(number)
        .ok()
        .filter(|&heap| to_handle(heap) == handle && blocks::is_heap(heap))
        .ok_or(Error::INVALID_HANDLE)
}

/// The process's heap.
#[unsafe(no_mangle)]
pub extern "C" fn GetProcessHeap() -> HANDLE {
    to_handle(blocks::PROCESS)
}

/// Makes a heap. Its sizes are accepted; it grows as it has to.
#[unsafe(no_mangle)]
pub extern "C" fn HeapCreate(_options: DWORD, _initial: usize, _most: usize) -> HANDLE {
    to_handle(blocks::create())
}

/// Frees a heap and what is in it.
#[unsafe(no_mangle)]
pub extern "C" fn HeapDestroy(heap: HANDLE) -> BOOL {
    error::or(
        heap_of(heap).and_then(blocks::destroy).map(|()| TRUE),
        FALSE,
    )
}

fn allocate(heap: u32, size: usize, zeroed: bool) -> Result<*mut c_void, Error> {
    let block = blocks::allocate(heap, size, zeroed);
    match block.is_null() {
        true => Err(Error::NOT_ENOUGH_MEMORY),
        false => Ok(block.cast()),
    }
}

/// Allocates.
#[unsafe(no_mangle)]
pub extern "C" fn HeapAlloc(heap: HANDLE, flags: DWORD, size: usize) -> *mut c_void {
    let block = heap_of(heap).and_then(|heap| allocate(heap, size, flags & HEAP_ZERO_MEMORY != 0));
    error::or(block, null_mut())
}

/// Frees; nothing if it is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn HeapFree(heap: HANDLE, _flags: DWORD, block: *mut c_void) -> BOOL {
    let result = heap_of(heap).and_then(|heap| match block.is_null() {
        true => Ok(()),
        // SAFETY: the program's block.
        false => unsafe { blocks::free(heap, block.cast()) },
    });
    error::or(result.map(|()| TRUE), FALSE)
}

/// Changes a block's size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn HeapReAlloc(
    heap: HANDLE,
    flags: DWORD,
    block: *mut c_void,
    size: usize,
) -> *mut c_void {
    let zeroed = flags & HEAP_ZERO_MEMORY != 0;
    let in_place = flags & HEAP_REALLOC_IN_PLACE_ONLY != 0;
    let result = heap_of(heap)
        // SAFETY: the program's block.
        .and_then(|heap| unsafe { blocks::resize(heap, block.cast(), size, zeroed, in_place) });
    error::or(result.map(<*mut u8>::cast), null_mut())
}

/// A block's size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn HeapSize(heap: HANDLE, _flags: DWORD, block: *const c_void) -> usize {
    let result = heap_of(heap)
        // SAFETY: the program's block.
        .and_then(|heap| unsafe { blocks::size(heap, block.cast_mut().cast()) });
    error::or(result, usize::MAX)
}

/// Whether it is a block of the heap; without one, whether it is a heap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn HeapValidate(heap: HANDLE, flags: DWORD, block: *const c_void) -> BOOL {
    let valid = match block.is_null() {
        true => heap_of(heap).is_ok(),
        // SAFETY: the same call.
        false => unsafe { HeapSize(heap, flags, block) != usize::MAX },
    };
    valid.into()
}

/// Allocates. All blocks are fixed, so the handle of one is its address.
#[unsafe(no_mangle)]
pub extern "C" fn GlobalAlloc(flags: UINT, size: usize) -> HGLOBAL {
    let block = allocate(blocks::PROCESS, size, flags & ZEROINIT != 0);
    error::or(block, null_mut())
}

/// Frees; null if it did.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GlobalFree(block: HGLOBAL) -> HGLOBAL {
    if block.is_null() {
        return null_mut();
    }
    // SAFETY: the program's block.
    match unsafe { blocks::free(blocks::PROCESS, block.cast()) } {
        Ok(()) => null_mut(),
        Err(_) => {
            error::set_last(Error::INVALID_HANDLE);
            block
        }
    }
}

/// Changes a block's size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GlobalReAlloc(block: HGLOBAL, size: usize, flags: UINT) -> HGLOBAL {
    if flags & MODIFY != 0 {
        return block;
    }
    let zeroed = flags & ZEROINIT != 0;
    // SAFETY: the program's block.
    let result = unsafe { blocks::resize(blocks::PROCESS, block.cast(), size, zeroed, false) };
    error::or(result.map(<*mut u8>::cast), null_mut())
}

/// A block's size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GlobalSize(block: HGLOBAL) -> usize {
    // SAFETY: the program's block.
    let size = unsafe { blocks::size(blocks::PROCESS, block.cast()) };
    error::or(size.map_err(|_| Error::INVALID_HANDLE), 0)
}

/// Its address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GlobalLock(block: HGLOBAL) -> *mut c_void {
    // SAFETY: the program's block.
    let size = unsafe { blocks::size(blocks::PROCESS, block.cast()) };
    error::or(
        size.map(|_| block).map_err(|_| Error::INVALID_HANDLE),
        null_mut(),
    )
}

/// It is not locked any more: false, without an error.
#[unsafe(no_mangle)]
pub extern "C" fn GlobalUnlock(_block: HGLOBAL) -> BOOL {
    error::set_last(Error::SUCCESS);
    FALSE
}

/// The block at an address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GlobalHandle(address: *const c_void) -> HGLOBAL {
    // SAFETY: the same call.
    unsafe { GlobalLock(address.cast_mut()) }
}

/// As `GlobalAlloc`.
#[unsafe(no_mangle)]
pub extern "C" fn LocalAlloc(flags: UINT, size: usize) -> HGLOBAL {
    GlobalAlloc(flags, size)
}

/// As `GlobalFree`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn LocalFree(block: HGLOBAL) -> HGLOBAL {
    // SAFETY: the same call.
    unsafe { GlobalFree(block) }
}

/// As `GlobalReAlloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn LocalReAlloc(block: HGLOBAL, size: usize, flags: UINT) -> HGLOBAL {
    // SAFETY: the same call.
    unsafe { GlobalReAlloc(block, size, flags) }
}

/// As `GlobalSize`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn LocalSize(block: HGLOBAL) -> usize {
    // SAFETY: the same call.
    unsafe { GlobalSize(block) }
}

/// As `GlobalLock`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn LocalLock(block: HGLOBAL) -> *mut c_void {
    // SAFETY: the same call.
    unsafe { GlobalLock(block) }
}

/// As `GlobalUnlock`.
#[unsafe(no_mangle)]
pub extern "C" fn LocalUnlock(block: HGLOBAL) -> BOOL {
    GlobalUnlock(block)
}

/// Before an aligned block: the block that it lies in, and its size.
#[repr(C)]
struct Aligned {
    block: *mut u8,
    size: usize,
}

/// Allocates, aligned to a power of two.
#[unsafe(no_mangle)]
pub extern "C" fn _aligned_malloc(size: usize, alignment: usize) -> *mut c_void {
    let alignment = alignment.max(align_of::<Aligned>());
    let whole = size
        .checked_add(alignment)
        .and_then(|whole| whole.checked_add(size_of::<Aligned>()));
    let (Some(whole), true) = (whole, alignment.is_power_of_two()) else {
        set_errno(libc::EINVAL);
        return null_mut();
    };
    let block = blocks::allocate(blocks::PROCESS, whole, false);
    if block.is_null() {
        set_errno(libc::ENOMEM);
        return null_mut();
    }
    let first = block as usize + size_of::<Aligned>();
    let before = first.next_multiple_of(alignment) - first;
    // SAFETY: the block is larger by the alignment and the note.
    unsafe {
        let aligned = block.add(size_of::<Aligned>() + before);
        aligned
            .cast::<Aligned>()
            .sub(1)
            .write(Aligned { block, size });
        aligned.cast()
    }
}

/// Frees it; nothing if it is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _aligned_free(aligned: *mut c_void) {
    if !aligned.is_null() {
        // SAFETY: it came from `_aligned_malloc`, so the note is before it.
        unsafe {
            let note = aligned.cast::<Aligned>().sub(1).read();
            let _ = blocks::free(blocks::PROCESS, note.block);
        }
    }
}

/// Changes its size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _aligned_realloc(
    aligned: *mut c_void,
    size: usize,
    alignment: usize,
) -> *mut c_void {
    let new = _aligned_malloc(size, alignment);
    if !aligned.is_null() && !new.is_null() {
        // SAFETY: it came from `_aligned_malloc`, so the note is before it; the new one is other
        // memory.
        unsafe {
            let before = (*aligned.cast::<Aligned>().sub(1)).size;
            new.cast::<u8>()
                .copy_from_nonoverlapping(aligned.cast(), before.min(size));
            _aligned_free(aligned);
        }
    }
    new
}

/// Whether what is allocated from now on has to lie below 4 GiB, for programs that keep pointers in
/// a `DWORD`. The compiler wrapper's `--lp32` calls it before `main`.
#[unsafe(no_mangle)]
pub extern "C" fn overlapped_lp32(on: c_int) {
    memory::set_low(on != 0);
}

fn set_errno(error: c_int) {
    // SAFETY: the address is the calling thread's own.
    unsafe { *libc::__errno_location() = error };
}
