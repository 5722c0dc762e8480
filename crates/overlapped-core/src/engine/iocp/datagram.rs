//! Where a datagram came from.

use windows_sys::Win32::Networking::WinSock::{SOCKADDR, SOCKADDR_STORAGE};

use crate::Address;
use crate::operation::Header;

/// A datagram was received: where it came from.
pub(super) fn sender(operation: &mut Header) {
    let scratch = operation.scratch();
    let from: *const SOCKADDR = (&raw const scratch.from).cast();
    // SAFETY: the system has written an address of this length.
    let peer = unsafe { address(from, scratch.from_len) };
    operation.set_peer(peer);
}

/// # Safety
///
/// There are so many bytes of an address there, unless it points nowhere.
unsafe fn address(at: *const SOCKADDR, length: i32) -> Option<Address> {
    let length = usize::try_from(length).ok()?;
    if at.is_null() || length == 0 || length > size_of::<SOCKADDR_STORAGE>() {
        return None;
    }
    // SAFETY: the storage has room for so much, and by the caller's word the bytes are there.
    let made = unsafe {
        socket2::SockAddr::try_init(|storage, storage_len| {
            at.cast::<u8>()
                .copy_to_nonoverlapping(storage.cast(), length);
            *storage_len = length as _;
            Ok(())
        })
    };
    made.ok()?.1.as_socket().map(Address::Internet)
}
