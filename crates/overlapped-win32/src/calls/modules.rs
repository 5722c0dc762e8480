//! Modules: the program itself, and the libraries whose calls are here.
//!
//! All libraries are this one; a handle of one is a number. What `GetProcAddress` gives are the
//! functions that this library exports, under Windows's names.

use std::ffi::{CStr, CString, OsString, c_char, c_void};
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::LazyLock;

use crate::abi::{BOOL, DWORD, FALSE, HANDLE, HMODULE, TRUE, WCHAR};
use crate::error::{self, Error};
use crate::text;

const LIBRARIES: [&str; 7] = [
    "kernel32",
    "kernelbase",
    "ntdll",
    "ws2_32",
    "wsock32",
    "mswsock",
    "winmm",
];

/// The program's handle: where its image would be.
const PROGRAM: usize = 0x1_4000_0000;
/// The first library's.
const LIBRARY: usize = 0x7FF8_0000_0000;
const APART: usize = 0x20_0000;

fn find(name: Option<String>) -> Result<HMODULE, Error> {
    let Some(name) = name else {
        return Ok(PROGRAM as HMODULE);
    };
    let file = name.rsplit(['\\', '/']).next().unwrap_or_default();
    let stem = file.to_ascii_lowercase();
    let stem = stem.strip_suffix(".dll").unwrap_or(&stem);
    LIBRARIES
        .iter()
        .position(|&library| library == stem)
        .map(|place| (LIBRARY + place * APART) as HMODULE)
        .ok_or(Error::MOD_NOT_FOUND)
}

fn is_module(module: HMODULE) -> bool {
    let libraries = (0..LIBRARIES.len()).map(|place| LIBRARY + place * APART);
    module.is_null()
        || module as usize == PROGRAM
        || libraries
            .into_iter()
            .any(|library| library == module as usize)
}

/// The program's handle, or a library's that is here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetModuleHandleA(name: *const c_char) -> HMODULE {
    // SAFETY: a string of the program's.
    error::or(find(unsafe { text::ansi(name) }), null_mut())
}

/// The program's handle, or a library's that is here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetModuleHandleW(name: *const WCHAR) -> HMODULE {
    // SAFETY: a string of the program's.
    error::or(find(unsafe { text::wide(name) }), null_mut())
}

/// A handle of a library that is here. Others are not loaded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn LoadLibraryA(name: *const c_char) -> HMODULE {
    // SAFETY: a string of the program's.
    let name = unsafe { text::ansi(name) }.ok_or(Error::INVALID_PARAMETER);
    error::or(name.and_then(|name| find(Some(name))), null_mut())
}

/// A handle of a library that is here. Others are not loaded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn LoadLibraryW(name: *const WCHAR) -> HMODULE {
    // SAFETY: a string of the program's.
    let name = unsafe { text::wide(name) }.ok_or(Error::INVALID_PARAMETER);
    error::or(name.and_then(|name| find(Some(name))), null_mut())
}

/// As `LoadLibraryA`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn LoadLibraryExA(
    name: *const c_char,
    _file: HANDLE,
    _flags: DWORD,
) -> HMODULE {
    // SAFETY: the same call.
    unsafe { LoadLibraryA(name) }
}

/// As `LoadLibraryW`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn LoadLibraryExW(
    name: *const WCHAR,
    _file: HANDLE,
    _flags: DWORD,
) -> HMODULE {
    // SAFETY: the same call.
    unsafe { LoadLibraryW(name) }
}

/// Nothing is unloaded.
#[unsafe(no_mangle)]
pub extern "C" fn FreeLibrary(module: HMODULE) -> BOOL {
    match !module.is_null() && is_module(module) {
        true => TRUE,
        false => {
            error::set_last(Error::INVALID_HANDLE);
            FALSE
        }
    }
}

/// A function that this library exports; null for others, and for numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetProcAddress(module: HMODULE, name: *const c_char) -> *mut c_void {
    let found = if !is_module(module) {
        Err(Error::INVALID_HANDLE)
    } else if name as usize >> 16 == 0 {
        Err(Error::PROC_NOT_FOUND)
    } else {
        // SAFETY: a string of the program's.
        exported(unsafe { CStr::from_ptr(name) }).ok_or(Error::PROC_NOT_FOUND)
    };
    error::or(found, null_mut())
}

/// An exported function's address. Those whose names libc has as well have their prefix here.
fn exported(name: &CStr) -> Option<*mut c_void> {
    let prefixed = CString::new([b"overlapped_", name.to_bytes()].concat()).ok()?;
    let here = image(GetProcAddress as *const c_void)?;
    [prefixed.as_c_str(), name]
        .into_iter()
        .map(|name| {
            // SAFETY: the name ends with a zero.
            unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
        })
        .find(|&address| !address.is_null() && image(address) == Some(here))
}

/// The image that an address lies in.
fn image(address: *const c_void) -> Option<*mut c_void> {
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: it is written if the call succeeds.
    unsafe { (libc::dladdr(address, info.as_mut_ptr()) != 0).then(|| info.assume_init().dli_fbase) }
}

/// # Safety
/// The buffer has so many characters.
unsafe fn file_name<C: Copy + From<u8>>(
    module: HMODULE,
    buffer: *mut C,
    size: DWORD,
    encode: impl FnOnce(&str) -> Vec<C>,
) -> Result<DWORD, Error> {
    if !module.is_null() && module as usize != PROGRAM {
        return Err(Error::MOD_NOT_FOUND);
    }
    let path = std::env::current_exe().map_err(|_| Error::FILE_NOT_FOUND)?;
    let path = encode(&path.to_string_lossy());
    let size = size as usize;
    // SAFETY: the caller's promise.
    unsafe {
        if text::put(&path, buffer, size) {
            return Ok(path.len() as DWORD);
        }
        // As much as there is room for.
        if size > 0 {
            text::put(&path[..size - 1], buffer, size);
        }
    }
    error::set_last(Error::INSUFFICIENT_BUFFER);
    Ok(size as DWORD)
}

/// The path of the program.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetModuleFileNameA(
    module: HMODULE,
    buffer: *mut c_char,
    size: DWORD,
) -> DWORD {
    // SAFETY: the program's buffer.
    let result = unsafe {
        file_name(module, buffer.cast::<u8>(), size, |path| {
            path.as_bytes().to_vec()
        })
    };
    error::or(result, 0)
}

/// The path of the program.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetModuleFileNameW(
    module: HMODULE,
    buffer: *mut WCHAR,
    size: DWORD,
) -> DWORD {
    // SAFETY: the program's buffer.
    let result = unsafe { file_name(module, buffer, size, |path| path.encode_utf16().collect()) };
    error::or(result, 0)
}

/// # Safety
/// The buffer has so many characters.
unsafe fn environment<C: Copy + From<u8>>(
    name: Option<String>,
    buffer: *mut C,
    size: DWORD,
    encode: impl FnOnce(&str) -> Vec<C>,
) -> Result<DWORD, Error> {
    let name = name.filter(|name| !name.is_empty() && !name.contains('='));
    let value = name
        .and_then(std::env::var_os)
        .ok_or(Error::ENVVAR_NOT_FOUND)?;
    let value = encode(&value.to_string_lossy());
    // SAFETY: the caller's promise.
    match unsafe { text::put(&value, buffer, size as usize) } {
        true => Ok(value.len() as DWORD),
        false => Ok(value.len() as DWORD + 1),
    }
}

/// The value of an environment variable; how much room it needs if there is not enough.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetEnvironmentVariableA(
    name: *const c_char,
    buffer: *mut c_char,
    size: DWORD,
) -> DWORD {
    // SAFETY: the program's string and buffer.
    let result = unsafe {
        environment(text::ansi(name), buffer.cast::<u8>(), size, |value| {
            value.as_bytes().to_vec()
        })
    };
    error::or(result, 0)
}

/// The value of an environment variable; how much room it needs if there is not enough.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetEnvironmentVariableW(
    name: *const WCHAR,
    buffer: *mut WCHAR,
    size: DWORD,
) -> DWORD {
    // SAFETY: the program's string and buffer.
    let result = unsafe {
        environment(text::wide(name), buffer, size, |value| {
            value.encode_utf16().collect()
        })
    };
    error::or(result, 0)
}

/// Sets an environment variable, or removes it. As everywhere on Linux, no other thread may use the
/// environment meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SetEnvironmentVariableA(
    name: *const c_char,
    value: *const c_char,
) -> BOOL {
    // SAFETY: the program's strings, and its promise.
    let done = unsafe {
        match (name.is_null(), value.is_null()) {
            (true, _) => false,
            (false, true) => libc::unsetenv(name) == 0,
            (false, false) => libc::setenv(name, value, 1) == 0,
        }
    };
    let result = done.then_some(TRUE).ok_or(Error::INVALID_PARAMETER);
    error::or(result, FALSE)
}

/// The command line, put together again.
#[unsafe(no_mangle)]
pub extern "C" fn GetCommandLineA() -> *const c_char {
    static LINE: LazyLock<CString> = LazyLock::new(|| {
        let quote = |word: OsString| {
            let word = word.to_string_lossy().into_owned();
            match word.is_empty() || word.contains([' ', '\t', '"']) {
                true => format!("\"{}\"", word.replace('"', "\\\"")),
                false => word,
            }
        };
        let words: Vec<String> = std::env::args_os().map(quote).collect();
        CString::new(words.join(" ")).unwrap_or_default()
    });
    LINE.as_ptr()
}
