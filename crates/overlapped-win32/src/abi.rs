//! Types and structures in Windows's layout, for 64-bit programs.
//!
//! Names are Windows's, since that is what one searches for.
#![allow(
    non_camel_case_types,
    non_snake_case,
    clippy::upper_case_acronyms,
    missing_docs
)]

use std::ffi::c_void;
use std::mem::{offset_of, size_of};

mod system;

pub use system::*;

pub type BOOL = i32;
pub type DWORD = u32;
pub type HANDLE = *mut c_void;
pub type SOCKET = usize;
pub type ULONG_PTR = usize;

pub const FALSE: BOOL = 0;
pub const TRUE: BOOL = 1;
pub const INFINITE: DWORD = u32::MAX;
pub const INVALID_HANDLE_VALUE: HANDLE = usize::MAX as HANDLE;
pub const INVALID_SOCKET: SOCKET = usize::MAX;
pub const SOCKET_ERROR: i32 = -1;

/// An operation, as the program that starts it lays it out.
#[repr(C)]
pub struct OVERLAPPED {
    pub Internal: ULONG_PTR,
    pub InternalHigh: ULONG_PTR,
    pub Offset: DWORD,
    pub OffsetHigh: DWORD,
    pub hEvent: HANDLE,
}

/// A packet, as a batch dequeue gives it.
#[repr(C)]
pub struct OVERLAPPED_ENTRY {
    pub lpCompletionKey: ULONG_PTR,
    pub lpOverlapped: *mut OVERLAPPED,
    pub Internal: ULONG_PTR,
    pub dwNumberOfBytesTransferred: DWORD,
}

/// A piece of a buffer. Not `iovec`'s order.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WSABUF {
    pub len: u32,
    pub buf: *mut u8,
}

const _: () = {
    assert!(size_of::<OVERLAPPED>() == 32);
    assert!(offset_of!(OVERLAPPED, Offset) == 16);
    assert!(offset_of!(OVERLAPPED, hEvent) == 24);
    assert!(size_of::<OVERLAPPED_ENTRY>() == 32);
    assert!(offset_of!(OVERLAPPED_ENTRY, Internal) == 16);
    assert!(offset_of!(OVERLAPPED_ENTRY, dwNumberOfBytesTransferred) == 24);
    assert!(size_of::<WSABUF>() == 16);
    assert!(offset_of!(WSABUF, buf) == 8);
};
