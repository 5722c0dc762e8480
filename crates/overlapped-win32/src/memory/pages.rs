//! Memory by the page: reserved, committed, protected.
//!
//! A region is a mapping without access; committing pages gives it to them. Each page's protection
//! is kept, because the program is told what it was.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use super::{is_low, low};
use crate::error::Error;

/// Where regions begin, as on Windows.
pub(crate) const GRANULARITY: usize = 1 << 16;

/// The pages of a region: their protection, 0 while one is only reserved.
type Pages = Vec<u8>;

static REGIONS: Mutex<BTreeMap<usize, Pages>> = Mutex::new(BTreeMap::new());

fn regions() -> MutexGuard<'static, BTreeMap<usize, Pages>> {
    REGIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn page_size() -> usize {
    static SIZE: LazyLock<usize> = LazyLock::new(|| {
        // SAFETY: it takes a number.
        unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
    });
    *SIZE
}

/// What `PAGE_...` means here.
fn access(protection: u32) -> Result<i32, Error> {
    const READ: i32 = libc::PROT_READ;
    const WRITE: i32 = libc::PROT_WRITE;
    const EXECUTE: i32 = libc::PROT_EXEC;
    Ok(match protection {
        0x01 => libc::PROT_NONE,
        0x02 => READ,
        0x04 => READ | WRITE,
        0x10 => EXECUTE,
        0x20 => READ | EXECUTE,
        0x40 => READ | WRITE | EXECUTE,
        _ => return Err(Error::INVALID_PARAMETER),
    })
}

/// Reserves a region, where it is wanted if that is not null.
pub(crate) fn reserve(at: usize, size: usize, protection: u32) -> Result<usize, Error> {
    access(protection)?;
    let begin = at & !(GRANULARITY - 1);
    let size = at
        .checked_add(size)
        .and_then(|end| (end - begin).checked_next_multiple_of(page_size()))
        .ok_or(Error::INVALID_PARAMETER)?;
    let base = match begin {
        0 => anywhere(size)?,
        wanted => {
            let flags = libc::MAP_FIXED_NOREPLACE;
            let mapped = map(wanted, size, flags, Error::INVALID_ADDRESS)?;
            if mapped != wanted {
                unmap(mapped, size);
                return Err(Error::INVALID_ADDRESS);
            }
            mapped
        }
    };
    regions().insert(base, vec![0; size / page_size()]);
    Ok(base)
}

/// A mapping that begins where regions do: a larger one without its ends.
fn anywhere(size: usize) -> Result<usize, Error> {
    let larger = size
        .checked_add(GRANULARITY)
        .ok_or(Error::NOT_ENOUGH_MEMORY)?;
    let mapped = map(0, larger, 0, Error::NOT_ENOUGH_MEMORY)?;
    let base = mapped.next_multiple_of(GRANULARITY);
    if base > mapped {
        unmap(mapped, base - mapped);
    }
    unmap(base + size, mapped + larger - base - size);
    Ok(base)
}

fn map(at: usize, size: usize, more: i32, otherwise: Error) -> Result<usize, Error> {
    let flags = match is_low() {
        true => low::flags(),
        false => libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    };
    let flags = flags | libc::MAP_NORESERVE | more;
    // SAFETY: a new mapping, or one over reserved pages that are given up.
    let mapped = unsafe { libc::mmap(at as *mut c_void, size, libc::PROT_NONE, flags, -1, 0) };
    match mapped {
        libc::MAP_FAILED => Err(otherwise),
        mapped => Ok(mapped as usize),
    }
}

fn unmap(at: usize, size: usize) {
    if size > 0 {
        // SAFETY: it was mapped here, and is nobody's any more.
        unsafe { libc::munmap(at as *mut c_void, size) };
    }
}

/// The pages that a range touches: of a region, and where they begin.
fn pages(
    regions: &mut BTreeMap<usize, Pages>,
    at: usize,
    size: usize,
) -> Result<(usize, &mut [u8]), Error> {
    let page = page_size();
    let begin = at & !(page - 1);
    let end = at
        .checked_add(size)
        .and_then(|end| end.checked_next_multiple_of(page))
        .ok_or(Error::INVALID_ADDRESS)?;
    let region = regions.range_mut(..=begin).next_back();
    let (&base, pages) = region.ok_or(Error::INVALID_ADDRESS)?;
    let first = (begin - base) / page;
    let count = (end - begin) / page;
    let pages = pages.get_mut(first..first + count);
    Ok((begin, pages.ok_or(Error::INVALID_ADDRESS)?))
}

fn set_access(at: usize, pages: &[u8], access: i32) -> Result<(), Error> {
    // SAFETY: pages of a region, which the program asks this for.
    match unsafe { libc::mprotect(at as *mut c_void, pages.len() * page_size(), access) } {
        0 => Ok(()),
        _ => Err(Error::NOT_ENOUGH_MEMORY),
    }
}

/// Gives pages of a region memory; those that have it keep what is in them.
pub(crate) fn commit(at: usize, size: usize, protection: u32) -> Result<usize, Error> {
    let access = access(protection)?;
    let mut regions = regions();
    let (begin, pages) = pages(&mut regions, at, size)?;
    set_access(begin, pages, access)?;
    pages.fill(protection as u8);
    Ok(begin)
}

/// Takes the memory from pages again; of a whole region if the size is 0.
pub(crate) fn decommit(at: usize, size: usize) -> Result<(), Error> {
    let mut regions = regions();
    let size = match (size, regions.get(&at)) {
        (0, Some(pages)) => pages.len() * page_size(),
        (0, None) => return Err(Error::INVALID_ADDRESS),
        (size, _) => size,
    };
    let (begin, pages) = pages(&mut regions, at, size)?;
    let bytes = pages.len() * page_size();
    map(begin, bytes, libc::MAP_FIXED, Error::NOT_ENOUGH_MEMORY)?;
    pages.fill(0);
    Ok(())
}

/// Gives up a region.
pub(crate) fn release(at: usize) -> Result<(), Error> {
    let pages = regions().remove(&at).ok_or(Error::INVALID_ADDRESS)?;
    unmap(at, pages.len() * page_size());
    Ok(())
}

/// Changes the protection of committed pages; what the first one's was.
pub(crate) fn protect(at: usize, size: usize, protection: u32) -> Result<u32, Error> {
    let access = access(protection)?;
    let mut regions = regions();
    let (begin, pages) = pages(&mut regions, at, size)?;
    if pages.is_empty() || pages.contains(&0) {
        return Err(Error::INVALID_ADDRESS);
    }
    let before = pages[0];
    set_access(begin, pages, access)?;
    pages.fill(protection as u8);
    Ok(before.into())
}

/// Both; nothing if the second fails.
pub(crate) fn reserve_and_commit(at: usize, size: usize, protection: u32) -> Result<usize, Error> {
    let base = reserve(at, size, protection)?;
    // From where it was wanted, which may be further on in the region.
    let from = if at == 0 { base } else { at };
    commit(from, size, protection).inspect_err(|_| {
        let _ = release(base);
    })?;
    Ok(base)
}
