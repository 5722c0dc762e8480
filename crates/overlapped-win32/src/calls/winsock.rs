//! Winsock itself: its beginning and end, its errors, its byte orders.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::{socket, zero};
use crate::abi::SOCKET;
use crate::error::{self, Error};
use crate::net::types::WSADATA;

static STARTED: AtomicUsize = AtomicUsize::new(0);

/// Begins to use Winsock. Calls work without it too.
///
/// # Safety
///
/// `data` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WSAStartup(version: u16, data: *mut WSADATA) -> i32 {
    // The low byte is the major version.
    if version & 0xff == 0 {
        return Error::WSAVERNOTSUPPORTED.0 as i32;
    }
    if data.is_null() {
        return Error::WSAEFAULT.0 as i32;
    }
    let highest = 0x0202;
    let given = match version & 0xff {
        1 => version.min(0x0101),
        _ => highest,
    };
    let text = |text: &[u8], to: &mut [std::ffi::c_char]| {
        for (to, &byte) in to.iter_mut().zip(text.iter().chain(&[0])) {
            *to = byte as std::ffi::c_char;
        }
    };
    // SAFETY: valid by the caller's word, and plain data.
    unsafe {
        data.write_bytes(0, 1);
        let data = &mut *data;
        data.wVersion = given;
        data.wHighVersion = highest;
        text(b"overlapped", &mut data.szDescription);
        text(b"Running", &mut data.szSystemStatus);
    }
    STARTED.fetch_add(1, SeqCst);
    0
}

/// Ends what [`WSAStartup`] began.
#[unsafe(no_mangle)]
pub extern "C" fn WSACleanup() -> i32 {
    let less = |count: usize| count.checked_sub(1);
    zero(match STARTED.fetch_update(SeqCst, SeqCst, less) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::WSANOTINITIALISED),
    })
}

/// The calling thread's last error; `GetLastError` shows the same.
#[unsafe(no_mangle)]
pub extern "C" fn WSAGetLastError() -> i32 {
    error::last() as i32
}

/// Sets it.
#[unsafe(no_mangle)]
pub extern "C" fn WSASetLastError(code: i32) {
    error::set_last(Error(code as u32));
}

/// To network byte order.
#[unsafe(no_mangle)]
pub extern "C" fn overlapped_htons(host: u16) -> u16 {
    host.to_be()
}

/// To network byte order.
#[unsafe(no_mangle)]
pub extern "C" fn overlapped_htonl(host: u32) -> u32 {
    host.to_be()
}

/// From network byte order.
#[unsafe(no_mangle)]
pub extern "C" fn overlapped_ntohs(net: u16) -> u16 {
    u16::from_be(net)
}

/// From network byte order.
#[unsafe(no_mangle)]
pub extern "C" fn overlapped_ntohl(net: u32) -> u32 {
    u32::from_be(net)
}

macro_rules! converted {
    ($($name:ident: $type:ty, $convert:path);* $(;)?) => {
        $(
            /// The same with the socket for whose network it is, which has to be one.
            ///
            /// # Safety
            ///
            /// `to` is NULL or valid.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name(s: SOCKET, from: $type, to: *mut $type) -> i32 {
                zero(socket(s).and_then(|_| {
                    // SAFETY: by the caller's word.
                    let to = unsafe { to.as_mut() }.ok_or(Error::WSAEFAULT)?;
                    *to = $convert(from);
                    Ok(())
                }))
            }
        )*
    };
}

converted! {
    WSAHtonl: u32, u32::to_be;
    WSAHtons: u16, u16::to_be;
    WSANtohl: u32, u32::from_be;
    WSANtohs: u16, u16::from_be;
}
