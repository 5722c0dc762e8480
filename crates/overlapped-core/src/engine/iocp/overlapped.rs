//! What the kernel keeps in an operation, and what it reads and writes beside the segments.

use std::cell::UnsafeCell;
use std::os::windows::io::OwnedSocket;
use std::sync::Arc;

use windows_sys::Win32::Networking::WinSock::SOCKADDR_STORAGE;
use windows_sys::Win32::System::IO::OVERLAPPED;

use super::socket::SocketState;
use super::status;
use crate::Status;

/// The front of an operation's header on Windows.
#[repr(C)]
pub(crate) struct Overlapped {
    /// The kernel's; its address is the operation's.
    kernel: UnsafeCell<OVERLAPPED>,
    /// Where the operation is in flight. `None` for what is only posted: its outcome is in the
    /// header already.
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
        status::of_packet(self.kernel.get_mut().Internal as u32 as i32)
    }
}

/// The memory that some operations lend the kernel beside their segments.
pub(crate) struct Scratch {
    /// Of an accept: the socket that becomes the connection.
    pub(super) accepted: Option<OwnedSocket>,
    /// Of an accept: the first data, and the two addresses; of a connect: what it sends, in one
    /// piece.
    pub(super) buffer: Vec<u8>,
    /// Of a receive of a datagram: where it came from.
    pub(super) from: SOCKADDR_STORAGE,
    pub(super) from_len: i32,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch {
            accepted: None,
            buffer: Vec::new(),
            // SAFETY: all zeroes is an address of no family.
            from: unsafe { std::mem::zeroed() },
            from_len: 0,
        }
    }
}
