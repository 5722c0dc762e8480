//! Strings of either width, between the program's memory and here.
//!
//! The code page is UTF-8, as on every Linux; a wide character has 16 bits.

use std::ffi::{CStr, c_char};

/// A string of the program's; `None` if there is none.
///
/// # Safety
/// It is null or ends with a zero.
pub(crate) unsafe fn ansi(string: *const c_char) -> Option<String> {
    // SAFETY: the caller's promise.
    let string = (!string.is_null()).then(|| unsafe { CStr::from_ptr(string) });
    string.map(|string| string.to_string_lossy().into_owned())
}

/// The same, of wide characters.
///
/// # Safety
/// It is null or ends with a zero.
pub(crate) unsafe fn wide(string: *const u16) -> Option<String> {
    if string.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    let characters = unsafe { std::slice::from_raw_parts(string, wide_length(string)) };
    Some(String::from_utf16_lossy(characters))
}

/// How many wide characters come before the zero.
///
/// # Safety
/// It ends with a zero.
pub(crate) unsafe fn wide_length(string: *const u16) -> usize {
    let mut length = 0;
    // SAFETY: no further than to the zero.
    while unsafe { *string.add(length) } != 0 {
        length += 1;
    }
    length
}

/// Writes a string and its zero, if there is room for both; whether there was.
///
/// # Safety
/// There is room for so many characters, if it is not null.
pub(crate) unsafe fn put<C: Copy + From<u8>>(string: &[C], to: *mut C, room: usize) -> bool {
    if to.is_null() || string.len() >= room {
        return false;
    }
    // SAFETY: the caller's promise, and they are different memory: the string is ours.
    unsafe {
        to.copy_from_nonoverlapping(string.as_ptr(), string.len());
        *to.add(string.len()) = C::from(0);
    }
    true
}

/// Writes a result where the program wants it, if it does.
///
/// # Safety
/// It is null or can be written.
pub(crate) unsafe fn give<T>(to: *mut T, value: T) {
    if !to.is_null() {
        // SAFETY: the caller's promise; the program's structures may be packed.
        unsafe { to.write_unaligned(value) };
    }
}
