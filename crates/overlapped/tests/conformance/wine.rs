//! Where Wine, on which the Windows engine is tested, differs from Windows.
//!
//! The one list of what is not tested there. Nothing is skipped on Windows itself.

/// The tests, by name, and what Wine does instead.
const DIFFERS: &[(&str, &str)] = &[];

/// Whether the system under this test is one on which it can succeed.
pub fn obeys(test: &str) -> bool {
    let Some((_, reason)) = DIFFERS.iter().find(|(name, _)| *name == test) else {
        return true;
    };
    let skipped = is_wine();
    if skipped {
        println!("not under Wine: {test}: {reason}");
    }
    !skipped
}

#[cfg(not(windows))]
fn is_wine() -> bool {
    false
}

/// Wine's system library says so.
#[cfg(windows)]
fn is_wine() -> bool {
    use std::ffi::{c_char, c_void};
    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn GetModuleHandleA(name: *const c_char) -> *mut c_void;
        fn GetProcAddress(module: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    // SAFETY: both names are C strings, and the library is in every process.
    unsafe {
        let ntdll = GetModuleHandleA(c"ntdll.dll".as_ptr());
        !GetProcAddress(ntdll, c"wine_get_version".as_ptr()).is_null()
    }
}
