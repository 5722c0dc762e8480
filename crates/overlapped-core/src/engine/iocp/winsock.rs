//! What Winsock is asked for and told with pointers to something.

use std::ptr::null_mut;

use windows_sys::Win32::Networking::WinSock::{
    SIO_GET_EXTENSION_FUNCTION_POINTER, SOCKET, SOL_SOCKET, WSAIoctl, setsockopt,
};
use windows_sys::core::GUID;

use super::status;
use crate::Status;

/// Asks the socket's provider for a function that is no part of Winsock itself.
pub(super) fn extension<F: Copy + Extension>(
    socket: SOCKET,
    id: GUID,
) -> Result<F::Function, Status> {
    let mut function: F = F::NONE;
    let mut bytes = 0;
    // SAFETY: the pointers are valid for the call and as long as it says; what is asked for is a
    // pointer to a function of this very type.
    let failed = unsafe {
        WSAIoctl(
            socket,
            SIO_GET_EXTENSION_FUNCTION_POINTER,
            (&raw const id).cast(),
            size_of::<GUID>() as u32,
            (&raw mut function).cast(),
            size_of::<F>() as u32,
            &mut bytes,
            null_mut(),
            None,
        )
    };
    match function.function() {
        Some(function) if failed == 0 => Ok(function),
        _ => Err(Status::NOT_SUPPORTED),
    }
}

/// A pointer to an extension function, or none.
pub(super) trait Extension {
    type Function;
    const NONE: Self;
    fn function(self) -> Option<Self::Function>;
}

impl<T> Extension for Option<T> {
    type Function = T;
    const NONE: Self = None;
    fn function(self) -> Option<T> {
        self
    }
}

/// Sets an option of the socket level.
pub(super) fn set_option(socket: SOCKET, option: i32, value: &[u8]) -> Result<(), Status> {
    let length = value.len() as i32;
    // SAFETY: the value is as long as it says.
    match unsafe { setsockopt(socket, SOL_SOCKET, option, value.as_ptr(), length) } {
        0 => Ok(()),
        _ => Err(status::of_last_call()),
    }
}
