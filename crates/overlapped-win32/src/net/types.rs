//! Winsock's structures in Windows's layout.
#![allow(non_camel_case_types, non_snake_case, missing_docs)]

use std::ffi::{c_char, c_void};
use std::mem::{offset_of, size_of};

use crate::abi::{OVERLAPPED, SOCKET, WSABUF};

/// What `WSAStartup` fills in, in its 64-bit order.
#[repr(C)]
pub struct WSADATA {
    pub wVersion: u16,
    pub wHighVersion: u16,
    pub iMaxSockets: u16,
    pub iMaxUdpDg: u16,
    pub lpVendorInfo: *mut c_char,
    pub szDescription: [c_char; 257],
    pub szSystemStatus: [c_char; 129],
}

/// What is told of a protocol, up to the beginning of its name; of either width.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct WSAPROTOCOL_INFO {
    pub dwServiceFlags: [u32; 4],
    pub dwProviderFlags: u32,
    pub ProviderId: [u32; 4],
    pub dwCatalogEntryId: u32,
    pub ProtocolChain: [u32; 8],
    pub iVersion: i32,
    pub iAddressFamily: i32,
    pub iMaxSockAddr: i32,
    pub iMinSockAddr: i32,
    pub iSocketType: i32,
    pub iProtocol: i32,
    pub iProtocolMaxOffset: i32,
    pub iNetworkByteOrder: i32,
    pub iSecurityScheme: i32,
    pub dwMessageSize: u32,
    pub dwProviderReserved: u32,
    pub szProtocol: [u16; 2],
}

/// The start of any address.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct sockaddr {
    pub sa_family: u16,
    pub sa_data: [u8; 14],
}

/// Sockets to select among; the array is as long as the program made it.
#[repr(C)]
pub struct fd_set {
    pub fd_count: u32,
    pub fd_array: [SOCKET; 64],
}

/// `struct linger`, shorter than Linux's.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct linger {
    pub l_onoff: u16,
    pub l_linger: u16,
}

/// The time to select for: a `long` of Windows has 32 bits.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct timeval {
    pub tv_sec: i32,
    pub tv_usec: i32,
}

#[repr(C)]
pub struct addrinfo<C = c_char> {
    pub ai_flags: i32,
    pub ai_family: i32,
    pub ai_socktype: i32,
    pub ai_protocol: i32,
    pub ai_addrlen: usize,
    pub ai_canonname: *mut C,
    pub ai_addr: *mut sockaddr,
    pub ai_next: *mut addrinfo<C>,
}

#[repr(C)]
pub struct hostent {
    pub h_name: *mut c_char,
    pub h_aliases: *mut *mut c_char,
    pub h_addrtype: i16,
    pub h_length: i16,
    pub h_addr_list: *mut *mut c_char,
}

#[repr(C)]
pub struct servent {
    pub s_name: *mut c_char,
    pub s_aliases: *mut *mut c_char,
    pub s_proto: *mut c_char,
    pub s_port: i16,
}

#[repr(C)]
pub struct protoent {
    pub p_name: *mut c_char,
    pub p_aliases: *mut *mut c_char,
    pub p_proto: i16,
}

#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GUID {
    pub Data1: u32,
    pub Data2: u16,
    pub Data3: u16,
    pub Data4: [u8; 8],
}

#[repr(C)]
pub struct WSAMSG {
    pub name: *mut sockaddr,
    pub namelen: i32,
    pub lpBuffers: *mut WSABUF,
    pub dwBufferCount: u32,
    pub Control: WSABUF,
    pub dwFlags: u32,
}

#[repr(C)]
pub struct TRANSMIT_FILE_BUFFERS {
    pub Head: *mut c_void,
    pub HeadLength: u32,
    pub Tail: *mut c_void,
    pub TailLength: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct tcp_keepalive {
    pub onoff: u32,
    pub keepalivetime: u32,
    pub keepaliveinterval: u32,
}

/// What is called when an operation without a port ends.
pub type WSAOVERLAPPED_COMPLETION_ROUTINE =
    unsafe extern "C" fn(error: u32, bytes: u32, overlapped: *mut OVERLAPPED, flags: u32);

/// The same for files.
pub type OVERLAPPED_COMPLETION_ROUTINE =
    unsafe extern "C" fn(error: u32, bytes: u32, overlapped: *mut OVERLAPPED);

const _: () = {
    assert!(size_of::<WSADATA>() == 408);
    assert!(offset_of!(WSADATA, lpVendorInfo) == 8);
    assert!(offset_of!(WSAPROTOCOL_INFO, iAddressFamily) == 76);
    assert!(offset_of!(WSAPROTOCOL_INFO, dwProviderReserved) == 112);
    assert!(offset_of!(WSAPROTOCOL_INFO, szProtocol) == 116);
    assert!(size_of::<fd_set>() == 520);
    assert!(size_of::<linger>() == 4);
    assert!(size_of::<addrinfo>() == 48);
    assert!(offset_of!(addrinfo, ai_canonname) == 24);
    assert!(size_of::<hostent>() == 32);
    assert!(size_of::<GUID>() == 16);
    assert!(size_of::<WSAMSG>() == 56);
    assert!(offset_of!(WSAMSG, Control) == 32);
    assert!(size_of::<TRANSMIT_FILE_BUFFERS>() == 32);
    assert!(size_of::<tcp_keepalive>() == 12);
};
