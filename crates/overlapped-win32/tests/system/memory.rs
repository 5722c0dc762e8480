use std::ffi::c_void;
use std::ptr::{null, null_mut};

use overlapped_win32::abi::*;
use overlapped_win32::calls::handles::*;
use overlapped_win32::calls::heap::*;
use overlapped_win32::calls::pages::*;

use crate::*;

const HEAP_ZERO_MEMORY: DWORD = 8;
const HEAP_REALLOC_IN_PLACE_ONLY: DWORD = 16;
const GPTR: UINT = 0x40;
const MEM_COMMIT: DWORD = 0x1000;
const MEM_RESERVE: DWORD = 0x2000;
const MEM_DECOMMIT: DWORD = 0x4000;
const MEM_RELEASE: DWORD = 0x8000;
const PAGE_READONLY: DWORD = 2;
const PAGE_READWRITE: DWORD = 4;
const ERROR_INVALID_ADDRESS: DWORD = 487;

/// # Safety
/// So many bytes are there.
unsafe fn bytes<'a>(memory: *mut c_void, size: usize) -> &'a mut [u8] {
    assert!(!memory.is_null());
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts_mut(memory.cast(), size) }
}

/// The same for every heap, and for both places that memory comes from.
fn use_heap(heap: HANDLE) {
    // SAFETY: what is used was allocated.
    unsafe {
        for size in [0, 1, 15, 16, 100, 4096, 100_000, 1 << 20] {
            let block = HeapAlloc(heap, HEAP_ZERO_MEMORY, size);
            assert_eq!(block as usize % 16, 0);
            assert_eq!(HeapSize(heap, 0, block), size);
            assert!(bytes(block, size).iter().all(|&byte| byte == 0));
            bytes(block, size).fill(7);
            let block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, size + 1000);
            assert_eq!(HeapSize(heap, 0, block), size + 1000);
            let (old, new) = bytes(block, size + 1000).split_at(size);
            assert!(old.iter().all(|&byte| byte == 7));
            assert!(new.iter().all(|&byte| byte == 0));
            let none = HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, block, size + 9000);
            assert!(none.is_null());
            assert_eq!(HeapValidate(heap, 0, block), TRUE);
            let block = HeapReAlloc(heap, 0, block, size / 2);
            assert!(bytes(block, size / 2).iter().all(|&byte| byte == 7));
            assert_eq!(HeapFree(heap, 0, block), TRUE);
        }
        assert_eq!(HeapFree(heap, 0, null_mut()), TRUE);
        assert!(HeapAlloc(heap, 0, usize::MAX - 8).is_null());
        let misplaced = HeapAlloc(heap, 0, 64);
        fails(
            HeapFree(heap, 0, misplaced.cast::<u8>().add(8).cast()),
            ERROR_INVALID_PARAMETER,
        );
        HeapFree(heap, 0, misplaced);
    }
}

#[test]
fn the_processs_heap_allocates() {
    use_heap(GetProcessHeap());
    fails(CloseHandle(GetProcessHeap()), ERROR_INVALID_HANDLE);
    fails(HeapDestroy(GetProcessHeap()), ERROR_INVALID_HANDLE);
}

#[test]
fn a_heap_takes_its_blocks_with_it_and_only_those_are_its() {
    let heap = HeapCreate(0, 0, 0);
    use_heap(heap);
    // SAFETY: blocks of these heaps.
    unsafe {
        let block = HeapAlloc(heap, 0, 10);
        fails(
            HeapFree(GetProcessHeap(), 0, block),
            ERROR_INVALID_PARAMETER,
        );
        assert_eq!(HeapValidate(heap, 0, null()), TRUE);
        assert_eq!(HeapDestroy(heap), TRUE);
        fails(HeapDestroy(heap), ERROR_INVALID_HANDLE);
        assert_eq!(HeapValidate(heap, 0, null()), FALSE);
        for wrong in [heap, null_mut(), INVALID_HANDLE_VALUE] {
            assert!(HeapAlloc(wrong, 0, 10).is_null());
            assert_eq!(GetLastError(), ERROR_INVALID_HANDLE);
        }
    }
}

#[test]
fn global_and_local_memory_is_its_own_handle() {
    // SAFETY: blocks that were allocated.
    unsafe {
        let block = GlobalAlloc(GPTR | 2, 100);
        let address = GlobalLock(block);
        assert!(bytes(address, 100).iter().all(|&byte| byte == 0));
        assert_eq!((GlobalUnlock(block), GetLastError()), (FALSE, 0));
        assert_eq!(GlobalHandle(address), block);
        assert_eq!(GlobalSize(block), 100);
        let block = GlobalReAlloc(block, 200, GPTR);
        assert_eq!(GlobalSize(block), 200);
        assert!(GlobalFree(block).is_null());
        assert!(GlobalFree(null_mut()).is_null());
        assert!(GlobalLock(null_mut()).is_null());
        assert_eq!(GetLastError(), ERROR_INVALID_HANDLE);
        let local = LocalAlloc(GPTR, 8);
        assert_eq!(LocalSize(local), 8);
        assert!(LocalFree(local).is_null());
    }
}

#[test]
fn aligned_blocks_are_aligned() {
    // SAFETY: blocks that were allocated.
    unsafe {
        for alignment in [1, 16, 64, 4096] {
            let block = _aligned_malloc(100, alignment);
            assert_eq!(block as usize % alignment, 0);
            bytes(block, 100).fill(3);
            let block = _aligned_realloc(block, 10_000, alignment);
            assert_eq!(block as usize % alignment, 0);
            assert!(bytes(block, 100).iter().all(|&byte| byte == 3));
            _aligned_free(block);
        }
        assert!(_aligned_malloc(1, 48).is_null());
        _aligned_free(null_mut());
    }
}

#[test]
fn pages_are_reserved_committed_and_protected() {
    const PAGE: usize = 4096;
    let protect = |address: *mut c_void, size, protection| {
        let mut before = 0;
        // SAFETY: pages of this test's.
        match unsafe { VirtualProtect(address, size, protection, &mut before) } {
            TRUE => Ok(before),
            _ => Err(GetLastError()),
        }
    };
    // SAFETY: what is used was committed.
    unsafe {
        let region = VirtualAlloc(null_mut(), 10 * PAGE, MEM_RESERVE, PAGE_READWRITE);
        assert_eq!(region as usize % 0x1_0000, 0);
        let third = region.cast::<u8>().add(2 * PAGE).cast::<c_void>();
        assert_eq!(
            protect(third, PAGE, PAGE_READONLY),
            Err(ERROR_INVALID_ADDRESS)
        );
        // A byte of the next page is a whole one more.
        let committed = VirtualAlloc(third, PAGE + 1, MEM_COMMIT, PAGE_READWRITE);
        assert_eq!(committed, third);
        bytes(third, 2 * PAGE).fill(1);
        assert_eq!(protect(third, PAGE, PAGE_READONLY), Ok(PAGE_READWRITE));
        assert_eq!(protect(third, 2 * PAGE, PAGE_READWRITE), Ok(PAGE_READONLY));
        assert_eq!(bytes(third, 1)[0], 1);
        assert_eq!(VirtualFree(third, PAGE, MEM_DECOMMIT), TRUE);
        VirtualAlloc(third, PAGE, MEM_COMMIT, PAGE_READWRITE);
        assert_eq!(bytes(third, PAGE + 1)[0], 0);
        assert_eq!(bytes(third, PAGE + 1)[PAGE], 1);
        fails(
            VirtualFree(region, PAGE, MEM_RELEASE),
            ERROR_INVALID_PARAMETER,
        );
        fails(VirtualFree(third, 0, MEM_RELEASE), ERROR_INVALID_ADDRESS);
        // Taken already.
        let taken = VirtualAlloc(region, PAGE, MEM_RESERVE, PAGE_READWRITE);
        assert_eq!((taken, GetLastError()), (null_mut(), ERROR_INVALID_ADDRESS));
        assert_eq!(VirtualFree(region, 0, MEM_RELEASE), TRUE);
        fails(VirtualFree(region, 0, MEM_RELEASE), ERROR_INVALID_ADDRESS);
        let both = VirtualAlloc(null_mut(), 1, MEM_COMMIT, PAGE_READWRITE);
        bytes(both, PAGE).fill(1);
        assert_eq!(VirtualLock(both, PAGE), TRUE);
        assert_eq!(VirtualUnlock(both, PAGE), TRUE);
        VirtualFree(both, 0, MEM_RELEASE);
        let none = VirtualAlloc(null_mut(), 0, MEM_COMMIT, PAGE_READWRITE);
        assert_eq!(
            (none, GetLastError()),
            (null_mut(), ERROR_INVALID_PARAMETER)
        );
    }
}

/// In a process of its own, because it is for a whole program.
#[cfg(target_arch = "x86_64")]
#[test]
fn with_the_switch_everything_is_below_4_gib() {
    if !is_child() {
        let output = again("memory::with_the_switch_everything_is_below_4_gib");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("all of it is low"));
        return;
    }
    // SAFETY: a block that was allocated.
    unsafe {
        let before = GlobalAlloc(GPTR, 10);
        overlapped_lp32(1);
        assert!(GlobalFree(before).is_null());
    }
    use_heap(GetProcessHeap());
    let small = (0..10_000).map(|size| GlobalAlloc(GPTR, size % 300));
    let large = (0..10).map(|_| HeapAlloc(GetProcessHeap(), 0, 1 << 20));
    let aligned = (0..10).map(|_| _aligned_malloc(5000, 4096));
    let pages = (0..10).map(|_| {
        VirtualAlloc(
            null_mut(),
            1 << 20,
            MEM_COMMIT | MEM_RESERVE,
            PAGE_READWRITE,
        )
    });
    for address in small.chain(large).chain(aligned).chain(pages) {
        assert!(!address.is_null());
        let squeezed = address as usize as DWORD;
        assert_eq!(squeezed as usize as *mut c_void, address);
    }
    println!("all of it is low");
}
