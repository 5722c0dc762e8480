//! Handles and the last error.

use crate::abi::{BOOL, DWORD, FALSE, HANDLE, TRUE};
use crate::error::{self, Error};
use crate::handle;

/// Closes a handle of any kind.
#[unsafe(no_mangle)]
pub extern "C" fn CloseHandle(object: HANDLE) -> BOOL {
    error::or(handle::close(object).map(|()| TRUE), FALSE)
}

/// The calling thread's last error.
#[unsafe(no_mangle)]
pub extern "C" fn GetLastError() -> DWORD {
    error::last()
}

/// Sets the calling thread's last error.
#[unsafe(no_mangle)]
pub extern "C" fn SetLastError(code: DWORD) {
    error::set_last(Error(code));
}
