//! Memory by the page.

use std::ffi::c_void;
use std::ptr::null_mut;

use crate::abi::{BOOL, DWORD, FALSE, TRUE};
use crate::error::{self, Error};
use crate::memory::pages;
use crate::text;

const MEM_COMMIT: DWORD = 0x1000;
const MEM_RESERVE: DWORD = 0x2000;
const MEM_DECOMMIT: DWORD = 0x4000;
const MEM_RELEASE: DWORD = 0x8000;
const MEM_RESET: DWORD = 0x8_0000;

/// Reserves pages, gives them memory, or both.
#[unsafe(no_mangle)]
pub extern "C" fn VirtualAlloc(
    address: *mut c_void,
    size: usize,
    kind: DWORD,
    protection: DWORD,
) -> *mut c_void {
    let at = address as usize;
    let commits = kind & MEM_COMMIT != 0;
    let reserves = kind & MEM_RESERVE != 0 || commits && address.is_null();
    let result = match (reserves, commits) {
        _ if size == 0 => Err(Error::INVALID_PARAMETER),
        (true, true) => pages::reserve_and_commit(at, size, protection),
        (true, false) => pages::reserve(at, size, protection),
        (false, true) => pages::commit(at, size, protection),
        // Its contents may be dropped, and need not be.
        (false, false) if kind & MEM_RESET != 0 => Ok(at),
        (false, false) => Err(Error::INVALID_PARAMETER),
    };
    error::or(result.map(|at| at as *mut c_void), null_mut())
}

/// Takes the memory from pages, or gives up a region.
///
/// The program sees to it that nobody uses them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn VirtualFree(address: *mut c_void, size: usize, kind: DWORD) -> BOOL {
    let result = match kind {
        MEM_RELEASE if size == 0 => pages::release(address as usize),
        MEM_DECOMMIT => pages::decommit(address as usize, size),
        _ => Err(Error::INVALID_PARAMETER),
    };
    error::or(result.map(|()| TRUE), FALSE)
}

/// Changes what may be done with pages; what could be before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn VirtualProtect(
    address: *mut c_void,
    size: usize,
    protection: DWORD,
    before: *mut DWORD,
) -> BOOL {
    let result = pages::protect(address as usize, size, protection).map(|was| {
        // SAFETY: where the program wants it.
        unsafe { text::give(before, was) };
        TRUE
    });
    error::or(result, FALSE)
}

/// Keeps pages in memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn VirtualLock(address: *mut c_void, size: usize) -> BOOL {
    // SAFETY: it changes nothing that can be seen.
    let locked = unsafe { libc::mlock(address, size) } == 0;
    let result = locked.then_some(TRUE).ok_or(Error::WORKING_SET_QUOTA);
    error::or(result, FALSE)
}

/// They need not be there any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn VirtualUnlock(address: *mut c_void, size: usize) -> BOOL {
    // SAFETY: it changes nothing that can be seen.
    let unlocked = unsafe { libc::munlock(address, size) } == 0;
    let result = unlocked.then_some(TRUE).ok_or(Error::NOT_LOCKED);
    error::or(result, FALSE)
}
