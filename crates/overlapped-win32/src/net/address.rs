//! Addresses. Their layout is the same on both systems, and only the families have other numbers.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use overlapped_core::Address;

use super::types::sockaddr;
use crate::error::Error;

pub(crate) const AF_UNSPEC: i32 = 0;
pub(crate) const AF_UNIX: i32 = 1;
pub(crate) const AF_INET: i32 = 2;
pub(crate) const AF_INET6: i32 = 23;

pub(crate) fn family_to_linux(family: i32) -> Option<i32> {
    Some(match family {
        AF_UNSPEC => libc::AF_UNSPEC,
        AF_UNIX => libc::AF_UNIX,
        AF_INET => libc::AF_INET,
        AF_INET6 => libc::AF_INET6,
        _ => return None,
    })
}

pub(crate) fn family_of_linux(family: i32) -> i32 {
    match family {
        libc::AF_INET6 => AF_INET6,
        same => same,
    }
}

/// An address of any family, as Linux has it.
#[derive(Clone, Copy)]
pub(crate) struct Any {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl Any {
    /// Has `fill` write one.
    pub(crate) fn filled_by(
        fill: impl FnOnce(*mut libc::sockaddr, *mut libc::socklen_t) -> i32,
    ) -> Result<Any, Error> {
        let mut any = Any::empty();
        any.length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        match fill((&raw mut any.storage).cast(), &mut any.length) {
            -1 => Err(super::last()),
            _ => Ok(any),
        }
    }

    pub(crate) fn empty() -> Any {
        Any {
            // SAFETY: it is plain data, and all zeroes are an address of no family.
            storage: unsafe { std::mem::zeroed() },
            length: 0,
        }
    }

    fn of_bytes(bytes: &[u8]) -> Any {
        let mut any = Any::empty();
        let length = bytes.len().min(size_of::<libc::sockaddr_storage>());
        // SAFETY: both are as long.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                (&raw mut any.storage).cast::<u8>(),
                length,
            );
        }
        any.length = length as libc::socklen_t;
        any
    }

    fn bytes(&self) -> &[u8] {
        let length = (self.length as usize).min(size_of::<libc::sockaddr_storage>());
        // SAFETY: the storage has so many bytes, all initialised.
        unsafe { std::slice::from_raw_parts((&raw const self.storage).cast(), length) }
    }

    pub(crate) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub(crate) fn len(&self) -> libc::socklen_t {
        self.length
    }

    /// Linux's number for its family.
    pub(crate) fn family(&self) -> i32 {
        i32::from(self.storage.ss_family)
    }

    pub(crate) fn internet(&self) -> Option<SocketAddr> {
        let bytes = self.bytes();
        let port = || u16::from_be_bytes([bytes[2], bytes[3]]);
        match self.family() {
            libc::AF_INET if bytes.len() >= 8 => {
                let ip: [u8; 4] = bytes[4..8].try_into().ok()?;
                Some((Ipv4Addr::from(ip), port()).into())
            }
            libc::AF_INET6 if bytes.len() >= 24 => {
                let word =
                    |at: usize| -> Option<[u8; 4]> { bytes.get(at..at + 4)?.try_into().ok() };
                let ip: [u8; 16] = bytes[8..24].try_into().ok()?;
                let scope = word(24).map_or(0, u32::from_ne_bytes);
                Some(SocketAddr::V6(std::net::SocketAddrV6::new(
                    Ipv6Addr::from(ip),
                    port(),
                    word(4).map_or(0, u32::from_ne_bytes),
                    scope,
                )))
            }
            _ => None,
        }
    }

    /// As the core has it.
    pub(crate) fn to_core(self) -> Result<Address, Error> {
        if let Some(address) = self.internet() {
            return Ok(address.into());
        }
        if self.family() != libc::AF_UNIX {
            return Err(Error::WSAEAFNOSUPPORT);
        }
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::net::SocketAddr as Unix;
        let made = match self.bytes().get(2..).unwrap_or_default() {
            [0, name @ ..] => Unix::from_abstract_name(name),
            path => {
                let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
                Unix::from_pathname(std::ffi::OsStr::from_bytes(path))
            }
        };
        made.map(Into::into).map_err(|_| Error::WSAEINVAL)
    }

    pub(crate) fn of_core(address: &Address) -> Any {
        match address {
            Address::Internet(address) => Any::from(*address),
            address => {
                let path = address.unix().and_then(|unix| unix.as_pathname());
                let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
                if let Some(path) = path {
                    bytes.extend_from_slice(path.as_os_str().as_encoded_bytes());
                    bytes.push(0);
                }
                Any::of_bytes(&bytes)
            }
        }
    }
}

impl From<SocketAddr> for Any {
    fn from(address: SocketAddr) -> Self {
        let mut bytes = Vec::with_capacity(28);
        match address {
            SocketAddr::V4(v4) => {
                bytes.extend_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
                bytes.extend_from_slice(&v4.port().to_be_bytes());
                bytes.extend_from_slice(&v4.ip().octets());
                bytes.extend_from_slice(&[0; 8]);
            }
            SocketAddr::V6(v6) => {
                bytes.extend_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
                bytes.extend_from_slice(&v6.port().to_be_bytes());
                bytes.extend_from_slice(&v6.flowinfo().to_ne_bytes());
                bytes.extend_from_slice(&v6.ip().octets());
                bytes.extend_from_slice(&v6.scope_id().to_ne_bytes());
            }
        }
        Any::of_bytes(&bytes)
    }
}

/// Reads a program's address.
///
/// # Safety
///
/// `address` is NULL or points to as many bytes as `length` says.
pub(crate) unsafe fn read(address: *const sockaddr, length: i32) -> Result<Any, Error> {
    let length = usize::try_from(length).unwrap_or(0);
    if address.is_null() || length < size_of::<u16>() {
        return Err(Error::WSAEFAULT);
    }
    let most = size_of::<libc::sockaddr_storage>();
    // SAFETY: by the caller's word.
    let bytes = unsafe { std::slice::from_raw_parts(address.cast::<u8>(), length.min(most)) };
    let mut any = Any::of_bytes(bytes);
    let family = family_to_linux(any.family()).ok_or(Error::WSAEAFNOSUPPORT)?;
    let needed = match family {
        libc::AF_INET => size_of::<libc::sockaddr_in>(),
        libc::AF_INET6 => size_of::<libc::sockaddr_in6>(),
        _ => size_of::<u16>(),
    };
    if bytes.len() < needed {
        return Err(Error::WSAEFAULT);
    }
    any.storage.ss_family = family as u16;
    if family == libc::AF_UNIX {
        // Programs give the whole structure for the length; Linux counts a name's zeroes.
        let path = &bytes[2..];
        if path.first().is_some_and(|&first| first != 0) {
            let end = path
                .iter()
                .position(|&byte| byte == 0)
                .unwrap_or(path.len());
            any.length = (2 + end + 1).min(2 + 108) as libc::socklen_t;
        }
    }
    Ok(any)
}

/// Writes an address to where a program wants it, if it wants it; its length as well.
///
/// # Safety
///
/// `to` is NULL or points to `*length` bytes; `length` is NULL or valid.
pub(crate) unsafe fn write(
    address: &Any,
    to: *mut sockaddr,
    length: *mut i32,
) -> Result<(), Error> {
    if to.is_null() {
        return Ok(());
    }
    if length.is_null() {
        return Err(Error::WSAEFAULT);
    }
    // SAFETY: by the caller's word.
    let room = usize::try_from(unsafe { *length }).unwrap_or(0);
    if room < address.bytes().len() {
        return Err(Error::WSAEFAULT);
    }
    // SAFETY: there is room, as was just seen.
    unsafe {
        write_length(address, to.cast());
        *length = address.length as i32;
    }
    Ok(())
}

/// Writes an address; how long it is.
///
/// # Safety
///
/// `to` has room for it.
pub(crate) unsafe fn write_length(address: &Any, to: *mut u8) -> usize {
    let bytes = address.bytes();
    // SAFETY: by the caller's word.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    if bytes.len() >= 2 {
        let family = family_of_linux(address.family()) as u16;
        // SAFETY: two bytes of those.
        unsafe { to.cast::<u16>().write_unaligned(family) };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_goes_to_the_program_and_back_with_windowss_family() {
        for text in ["127.0.0.1:80", "[fe80::1%3]:443", "[::1]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut room = [0u16; 64];
            let mut length = size_of_val(&room) as i32;
            // SAFETY: the room is as long as is said.
            let read = unsafe {
                write(&address.into(), room.as_mut_ptr().cast(), &mut length).unwrap();
                read(room.as_ptr().cast(), length).unwrap()
            };
            let family = if address.is_ipv6() { AF_INET6 } else { AF_INET };
            assert_eq!(i32::from(room[0]), family);
            assert_eq!(length, if address.is_ipv6() { 28 } else { 16 });
            assert_eq!(read.internet(), Some(address));
        }
    }

    #[test]
    fn what_is_too_short_or_of_no_family_is_refused() {
        let mut room = [0u16; 64];
        let loopback: SocketAddr = "127.0.0.1:80".parse().unwrap();
        // SAFETY: the lengths are at most the room's.
        unsafe {
            let mut length = 15;
            let to = room.as_mut_ptr().cast();
            assert_eq!(
                write(&loopback.into(), to, &mut length),
                Err(Error::WSAEFAULT)
            );
            room[0] = AF_INET as u16;
            assert_eq!(read(room.as_ptr().cast(), 15).err(), Some(Error::WSAEFAULT));
            room[0] = 77;
            assert_eq!(
                read(room.as_ptr().cast(), 16).err(),
                Some(Error::WSAEAFNOSUPPORT)
            );
            assert_eq!(read(std::ptr::null(), 16).err(), Some(Error::WSAEFAULT));
        }
    }
}
