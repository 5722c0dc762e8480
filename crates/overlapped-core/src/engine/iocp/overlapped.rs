//! What the kernel keeps in an operation, and what it reads and writes beside the segments.

use std::cell::UnsafeCell;
use std::os::windows::io::OwnedSocket;
use std::sync::Arc;

use windows_sys::Win32::Networking::WinSock::SOCKADDR_STORAGE;
use windows_sys::Win32::System::IO::OVERLAPPED;

use super::file::{FileState, Opening};
use super::socket::SocketState;
use super::transmit::Transmit;

/// The front of an operation's header on Windows.
#[repr(C)]
pub(crate) struct Overlapped {
    /// The kernel's; its address is the operation's.
    kernel: UnsafeCell<OVERLAPPED>,
    /// Where the operation is in flight.
    pub(super) whose: Whose,
}

/// Whom an operation in flight belongs to.
#[derive(Default)]
pub(super) enum Whose {
    /// It is only posted: its outcome is in the header already.
    #[default]
    Nobody,
    Socket(Arc<SocketState>),
    File(Arc<FileState>),
}

impl Overlapped {
    pub(crate) fn new() -> Self {
        Overlapped {
            // SAFETY: all zeroes is what a new OVERLAPPED is.
            kernel: UnsafeCell::new(unsafe { std::mem::zeroed() }),
            whose: Whose::Nobody,
        }
    }

    /// Readies it for another call.
    pub(super) fn reset(&mut self) {
        // SAFETY: as in `new`.
        *self.kernel.get_mut() = unsafe { std::mem::zeroed() };
    }

    /// Where in a file it begins.
    pub(super) fn set_offset(&mut self, offset: u64) {
        // SAFETY: the structure was zeroed, which is a value of each of the union's fields.
        let place = unsafe { &mut self.kernel.get_mut().Anonymous.Anonymous };
        place.Offset = offset as u32;
        place.OffsetHigh = (offset >> 32) as u32;
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
    /// Of an operation with a file: where it begins.
    pub(super) offset: u64,
    /// Of an open.
    pub(super) open: Option<Opening>,
    /// Of a transmit.
    pub(super) transmit: Option<Box<Transmit>>,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch {
            accepted: None,
            buffer: Vec::new(),
            // SAFETY: all zeroes is an address of no family.
            from: unsafe { std::mem::zeroed() },
            from_len: 0,
            offset: 0,
            open: None,
            transmit: None,
        }
    }
}
