//! What the kernel keeps in an operation.

use std::cell::UnsafeCell;
use std::sync::Arc;

use windows_sys::Win32::System::IO::OVERLAPPED;

use super::socket::SocketState;
use crate::Status;

/// The front of an operation's header on Windows.
#[repr(C)]
pub(crate) struct Overlapped {
    /// The kernel's; its address is the operation's.
    kernel: UnsafeCell<OVERLAPPED>,
    /// Where the operation is in flight.
    pub(super) socket: Option<Arc<SocketState>>,
}

impl Overlapped {
    pub(crate) fn new() -> Self {
        Overlapped {
            // SAFETY: all zeroes is what a new OVERLAPPED is.
            kernel: UnsafeCell::new(unsafe { std::mem::zeroed() }),
            socket: None,
        }
    }

    /// Readies it for another call.
    pub(super) fn reset(&mut self) {
        // SAFETY: as in `new`.
        *self.kernel.get_mut() = unsafe { std::mem::zeroed() };
    }

    /// How the operation ended, once its packet was taken.
    pub(super) fn status(&mut self) -> Status {
        Status::from_code(self.kernel.get_mut().Internal as u32 as i32)
    }
}
