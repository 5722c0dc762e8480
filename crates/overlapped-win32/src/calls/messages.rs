//! The text of errors.

use std::ffi::{c_char, c_void};

use crate::abi::{DWORD, WCHAR};
use crate::calls::heap::LocalAlloc;
use crate::error::{self, Error};
use crate::{messages, text};

const ALLOCATE_BUFFER: DWORD = 0x100;
const IGNORE_INSERTS: DWORD = 0x200;
const FROM_STRING: DWORD = 0x400;
const MAX_WIDTH_MASK: DWORD = 0xFF;

/// The message as a whole.
fn message(flags: DWORD, string: Option<String>, error: DWORD) -> Result<String, Error> {
    if flags & FROM_STRING != 0 {
        let string = string.ok_or(Error::INVALID_PARAMETER)?;
        return match flags & IGNORE_INSERTS != 0 || !string.contains('%') {
            true => Ok(string),
            false => Err(Error::NOT_SUPPORTED),
        };
    }
    let text = messages::of(error).ok_or(Error::MR_MID_NOT_FOUND)?;
    // With this mask line breaks are blanks.
    let end = match flags & MAX_WIDTH_MASK {
        MAX_WIDTH_MASK => " ",
        _ => "\r\n",
    };
    Ok(format!("{text}{end}"))
}

/// # Safety
/// The buffer has so many characters, or is where the address of a new one is wanted.
unsafe fn format<C: Copy + From<u8>>(
    flags: DWORD,
    text: Vec<C>,
    buffer: *mut C,
    size: DWORD,
) -> Result<DWORD, Error> {
    if buffer.is_null() {
        return Err(Error::INVALID_PARAMETER);
    }
    let mut to = buffer;
    let mut room = size as usize;
    if flags & ALLOCATE_BUFFER != 0 {
        room = room.max(text.len() + 1);
        to = LocalAlloc(0, room * size_of::<C>()).cast();
        // SAFETY: the caller's promise.
        unsafe { text::give(buffer.cast::<*mut C>(), to) };
        if to.is_null() {
            return Err(Error::NOT_ENOUGH_MEMORY);
        }
    }
    // SAFETY: the caller's promise, or it was made as large.
    match unsafe { text::put(&text, to, room) } {
        true => Ok(text.len() as DWORD),
        false => Err(Error::INSUFFICIENT_BUFFER),
    }
}

/// The text of an error. Inserts are left as they are, or refused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FormatMessageA(
    flags: DWORD,
    source: *const c_void,
    error: DWORD,
    _language: DWORD,
    buffer: *mut c_char,
    size: DWORD,
    _arguments: *mut c_void,
) -> DWORD {
    // SAFETY: the program's string, if it is one, and buffer.
    let result = unsafe {
        let string = (flags & FROM_STRING != 0).then(|| text::ansi(source.cast()));
        message(flags, string.flatten(), error)
            .and_then(|text| format(flags, text.into_bytes(), buffer.cast::<u8>(), size))
    };
    error::or(result, 0)
}

/// The text of an error. Inserts are left as they are, or refused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FormatMessageW(
    flags: DWORD,
    source: *const c_void,
    error: DWORD,
    _language: DWORD,
    buffer: *mut WCHAR,
    size: DWORD,
    _arguments: *mut c_void,
) -> DWORD {
    // SAFETY: the program's string, if it is one, and buffer.
    let result = unsafe {
        let string = (flags & FROM_STRING != 0).then(|| text::wide(source.cast()));
        message(flags, string.flatten(), error)
            .and_then(|text| format(flags, text.encode_utf16().collect(), buffer, size))
    };
    error::or(result, 0)
}
