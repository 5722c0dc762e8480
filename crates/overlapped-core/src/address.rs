//! Where a socket is, or its peer: on the internet, or in the machine.

use std::net::SocketAddr;
#[cfg(unix)]
use std::os::unix::net::SocketAddr as UnixSocketAddr;

#[cfg(target_os = "linux")]
use rustix::net::{SocketAddrAny, SocketAddrUnix};

/// The address of a socket.
///
/// ```
/// use std::net::SocketAddr;
/// use overlapped_core::Address;
///
/// let loopback: SocketAddr = "127.0.0.1:80".parse().unwrap();
/// assert_eq!(Address::from(loopback).internet(), Some(loopback));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Address {
    /// An internet address, of either version.
    Internet(SocketAddr),
    /// The address of a Unix socket: a path, or an abstract name (Linux).
    #[cfg(unix)]
    Unix(UnixSocketAddr),
}

impl Address {
    /// The internet address, if it is one.
    pub fn internet(&self) -> Option<SocketAddr> {
        match self {
            Address::Internet(address) => Some(*address),
            #[cfg(unix)]
            Address::Unix(_) => None,
        }
    }

    /// The address of a Unix socket, if it is one.
    #[cfg(unix)]
    pub fn unix(&self) -> Option<&UnixSocketAddr> {
        match self {
            Address::Unix(address) => Some(address),
            Address::Internet(_) => None,
        }
    }

    /// As the system has it. `None` for a Unix socket without a name.
    #[cfg(target_os = "linux")]
    pub(crate) fn to_system(&self) -> Option<SocketAddrAny> {
        use std::os::linux::net::SocketAddrExt;
        match self {
            Address::Internet(address) => Some((*address).into()),
            Address::Unix(address) => {
                let name = match (address.as_pathname(), address.as_abstract_name()) {
                    (Some(path), _) => SocketAddrUnix::new(path),
                    (_, Some(name)) => SocketAddrUnix::new_abstract_name(name),
                    _ => return None,
                };
                name.ok().map(Into::into)
            }
        }
    }

    /// From the system's. `None` for a Unix socket without a name, and for other families.
    #[cfg(target_os = "linux")]
    pub(crate) fn from_system(address: SocketAddrAny) -> Option<Address> {
        use std::ffi::OsStr;
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;
        if address.address_family() != rustix::net::AddressFamily::UNIX {
            return SocketAddr::try_from(address).ok().map(Address::Internet);
        }
        // Not by rustix's own conversion, which takes no address for the abstract one of no bytes,
        // and cannot bear the longest path, which has no zero behind it.
        let start = std::mem::offset_of!(libc::sockaddr_un, sun_path);
        // SAFETY: the address has so many initialised bytes.
        let bytes = unsafe {
            std::slice::from_raw_parts(address.as_ptr().cast::<u8>(), address.addr_len() as usize)
        };
        let made = match bytes.get(start..)? {
            [] => return None,
            [0, name @ ..] => UnixSocketAddr::from_abstract_name(name),
            path => {
                let path = path.split(|&byte| byte == 0).next()?;
                UnixSocketAddr::from_pathname(OsStr::from_bytes(path))
            }
        };
        made.ok().map(Address::Unix)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Internet(address)
    }
}

#[cfg(unix)]
impl From<UnixSocketAddr> for Address {
    fn from(address: UnixSocketAddr) -> Self {
        Address::Unix(address)
    }
}
