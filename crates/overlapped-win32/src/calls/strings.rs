//! Strings: between the widths, and the few calls on them that kernel32 has.

use std::ffi::{c_char, c_int};
use std::ptr::null_mut;

use crate::abi::{BOOL, DWORD, FALSE, UINT, WCHAR};
use crate::error::{self, Error};
use crate::text;

const MB_ERR_INVALID_CHARS: DWORD = 8;
const WC_ERR_INVALID_CHARS: DWORD = 0x80;

/// The program's own code pages are UTF-8; others are not known.
fn is_utf8(page: UINT) -> bool {
    const ACP: UINT = 0;
    const OEMCP: UINT = 1;
    const THREAD_ACP: UINT = 3;
    matches!(page, ACP | OEMCP | THREAD_ACP | 65001)
}

/// # Safety
/// So many are there, or, if that is negative, it ends with a zero, which counts.
unsafe fn input<'a, C>(
    string: *const C,
    length: c_int,
    until_zero: unsafe fn(*const C) -> usize,
) -> Result<&'a [C], Error> {
    if string.is_null() || length == 0 {
        return Err(Error::INVALID_PARAMETER);
    }
    // SAFETY: the caller's promise.
    unsafe {
        let length = match usize::try_from(length) {
            Ok(length) => length,
            Err(_) => until_zero(string) + 1,
        };
        Ok(std::slice::from_raw_parts(string, length))
    }
}

/// Writes all of it, or says how much room it needs.
///
/// # Safety
/// There is so much room.
unsafe fn output<C: Copy>(result: &[C], buffer: *mut C, size: c_int) -> Result<c_int, Error> {
    let length = c_int::try_from(result.len()).map_err(|_| Error::INVALID_PARAMETER)?;
    if size < 0 || size > 0 && buffer.is_null() {
        return Err(Error::INVALID_PARAMETER);
    }
    if size == 0 {
        return Ok(length);
    }
    if length > size {
        return Err(Error::INSUFFICIENT_BUFFER);
    }
    // SAFETY: the caller's promise; the result is ours.
    unsafe { buffer.copy_from_nonoverlapping(result.as_ptr(), result.len()) };
    Ok(length)
}

/// From the code page, which is UTF-8, to wide characters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn MultiByteToWideChar(
    page: UINT,
    flags: DWORD,
    string: *const c_char,
    length: c_int,
    buffer: *mut WCHAR,
    size: c_int,
) -> c_int {
    let convert = || {
        if !is_utf8(page) {
            return Err(Error::INVALID_PARAMETER);
        }
        // SAFETY: the program's string.
        let bytes = unsafe { input(string.cast::<u8>(), length, |it| libc::strlen(it.cast()))? };
        let text = String::from_utf8_lossy(bytes);
        if flags & MB_ERR_INVALID_CHARS != 0 && str::from_utf8(bytes).is_err() {
            return Err(Error::NO_UNICODE_TRANSLATION);
        }
        let wide: Vec<u16> = text.encode_utf16().collect();
        // SAFETY: the program's buffer.
        unsafe { output(&wide, buffer, size) }
    };
    error::or(convert(), 0)
}

/// From wide characters to the code page, which is UTF-8. Nothing needs a default character.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WideCharToMultiByte(
    page: UINT,
    flags: DWORD,
    string: *const WCHAR,
    length: c_int,
    buffer: *mut c_char,
    size: c_int,
    _default: *const c_char,
    used_default: *mut BOOL,
) -> c_int {
    let convert = || {
        if !is_utf8(page) {
            return Err(Error::INVALID_PARAMETER);
        }
        // SAFETY: the program's string.
        let wide = unsafe { input(string, length, |it| text::wide_length(it))? };
        if flags & WC_ERR_INVALID_CHARS != 0 && String::from_utf16(wide).is_err() {
            return Err(Error::NO_UNICODE_TRANSLATION);
        }
        let text = String::from_utf16_lossy(wide);
        // SAFETY: the program's buffer.
        unsafe { output(text.as_bytes(), buffer.cast::<u8>(), size) }
    };
    // SAFETY: where the program wants it.
    unsafe { text::give(used_default, FALSE) };
    error::or(convert(), 0)
}

/// How long a string is; 0 for none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lstrlenA(string: *const c_char) -> c_int {
    match string.is_null() {
        true => 0,
        // SAFETY: a string of the program's.
        false => unsafe { libc::strlen(string) as c_int },
    }
}

/// How long a string is; 0 for none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lstrlenW(string: *const WCHAR) -> c_int {
    match string.is_null() {
        true => 0,
        // SAFETY: a string of the program's.
        false => unsafe { text::wide_length(string) as c_int },
    }
}

/// Copies at most `room` characters, the zero among them, to behind `skip` that are there.
///
/// # Safety
/// There is a string and room for it.
unsafe fn copy<C: Copy + PartialEq + Default>(
    to: *mut C,
    skip: usize,
    from: *const C,
    room: usize,
) {
    let zero = C::default();
    let mut place = 0;
    // SAFETY: up to the zero there is a string, and up to the room there is room.
    unsafe {
        while place + 1 < room && *from.add(place) != zero {
            *to.add(skip + place) = *from.add(place);
            place += 1;
        }
        *to.add(skip + place) = zero;
    }
}

/// Copies a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lstrcpyA(to: *mut c_char, from: *const c_char) -> *mut c_char {
    // SAFETY: the same call.
    unsafe { lstrcpynA(to, from, c_int::MAX) }
}

/// Copies a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lstrcpyW(to: *mut WCHAR, from: *const WCHAR) -> *mut WCHAR {
    // SAFETY: the same call.
    unsafe { lstrcpynW(to, from, c_int::MAX) }
}

/// Copies as much of a string as there is room for, with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lstrcpynA(
    to: *mut c_char,
    from: *const c_char,
    room: c_int,
) -> *mut c_char {
    if to.is_null() || from.is_null() || room <= 0 {
        return null_mut();
    }
    // SAFETY: the program's string and buffer.
    unsafe { copy(to, 0, from, room as usize) };
    to
}

/// Copies as much of a string as there is room for, with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lstrcpynW(to: *mut WCHAR, from: *const WCHAR, room: c_int) -> *mut WCHAR {
    if to.is_null() || from.is_null() || room <= 0 {
        return null_mut();
    }
    // SAFETY: the program's string and buffer.
    unsafe { copy(to, 0, from, room as usize) };
    to
}

/// Appends a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lstrcatA(to: *mut c_char, from: *const c_char) -> *mut c_char {
    if to.is_null() || from.is_null() {
        return null_mut();
    }
    // SAFETY: the program's strings, and its room.
    unsafe { copy(to, libc::strlen(to), from, usize::MAX) };
    to
}

/// Appends a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lstrcatW(to: *mut WCHAR, from: *const WCHAR) -> *mut WCHAR {
    if to.is_null() || from.is_null() {
        return null_mut();
    }
    // SAFETY: the program's strings, and its room.
    unsafe { copy(to, text::wide_length(to), from, usize::MAX) };
    to
}

/// Compares by value, and without case if asked; no string is less than any.
fn compare(one: Option<String>, other: Option<String>, caseless: bool) -> c_int {
    let fold = |string: Option<String>| match caseless {
        true => string.map(|string| string.to_lowercase()),
        false => string,
    };
    fold(one).cmp(&fold(other)) as c_int
}

/// Compares strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lstrcmpA(one: *const c_char, other: *const c_char) -> c_int {
    // SAFETY: strings of the program's.
    unsafe { compare(text::ansi(one), text::ansi(other), false) }
}

/// Compares strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lstrcmpW(one: *const WCHAR, other: *const WCHAR) -> c_int {
    // SAFETY: strings of the program's.
    unsafe { compare(text::wide(one), text::wide(other), false) }
}

/// Compares strings without case.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lstrcmpiA(one: *const c_char, other: *const c_char) -> c_int {
    // SAFETY: strings of the program's.
    unsafe { compare(text::ansi(one), text::ansi(other), true) }
}

/// Compares strings without case.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lstrcmpiW(one: *const WCHAR, other: *const WCHAR) -> c_int {
    // SAFETY: strings of the program's.
    unsafe { compare(text::wide(one), text::wide(other), true) }
}

/// Changes the letters of a string, or one that is given instead of it.
///
/// # Safety
/// It is a string, or a letter.
unsafe fn change(string: *mut c_char, f: impl Fn(u8) -> u8) -> *mut c_char {
    if string as usize >> 16 == 0 {
        return f(string as usize as u8) as usize as *mut c_char;
    }
    let mut place = string.cast::<u8>();
    // SAFETY: up to the zero.
    unsafe {
        while *place != 0 {
            *place = f(*place);
            place = place.add(1);
        }
    }
    string
}

/// To upper case, the letters of ASCII.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CharUpperA(string: *mut c_char) -> *mut c_char {
    // SAFETY: the program's.
    unsafe { change(string, |letter| letter.to_ascii_uppercase()) }
}

/// To lower case, the letters of ASCII.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CharLowerA(string: *mut c_char) -> *mut c_char {
    // SAFETY: the program's.
    unsafe { change(string, |letter| letter.to_ascii_lowercase()) }
}
