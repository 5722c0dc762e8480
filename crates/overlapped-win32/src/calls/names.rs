//! Names and addresses: the resolver, and addresses as text.
//!
//! The resolver is libc's; what it gives is copied into Winsock's structures.

use std::cell::{Cell, UnsafeCell};
use std::ffi::{CStr, CString, c_char, c_void};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ptr::null_mut;

use super::zero;
use crate::abi::SOCKET_ERROR;
use crate::error::{self, Error};
use crate::net::types::{addrinfo, hostent, sockaddr};
use crate::net::{self, AF_INET, AF_INET6};

// ---- the resolver ------------------------------------------------------------------------------

/// Flags of Winsock's, and Linux's for them.
const AI: [(i32, i32); 7] = [
    (0x1, libc::AI_PASSIVE),
    (0x2, libc::AI_CANONNAME),
    (0x4, libc::AI_NUMERICHOST),
    (0x8, libc::AI_NUMERICSERV),
    (0x100, libc::AI_ALL),
    (0x400, libc::AI_ADDRCONFIG),
    (0x800, libc::AI_V4MAPPED),
];
const NI: [(i32, i32); 5] = [
    (0x1, libc::NI_NOFQDN),
    (0x2, libc::NI_NUMERICHOST),
    (0x4, libc::NI_NAMEREQD),
    (0x8, libc::NI_NUMERICSERV),
    (0x10, libc::NI_DGRAM),
];

fn flags(flags: i32, table: &[(i32, i32)]) -> i32 {
    let known = table.iter().filter(|(flag, _)| flags & flag != 0);
    known.fold(0, |made, (_, linux)| made | linux)
}

fn of_resolver(code: i32) -> Error {
    match code {
        libc::EAI_NONAME => Error::WSAHOST_NOT_FOUND,
        libc::EAI_NODATA => Error::WSANO_DATA,
        libc::EAI_AGAIN => Error::WSATRY_AGAIN,
        libc::EAI_FAMILY => Error::WSAEAFNOSUPPORT,
        libc::EAI_MEMORY => Error::WSA_NOT_ENOUGH_MEMORY,
        libc::EAI_BADFLAGS => Error::WSAEINVAL,
        libc::EAI_SERVICE => Error::WSATYPE_NOT_FOUND,
        libc::EAI_SOCKTYPE => Error::WSAESOCKTNOSUPPORT,
        libc::EAI_SYSTEM => net::last(),
        _ => Error::WSANO_RECOVERY,
    }
}

/// A unit of a program's text.
trait Unit: Copy + Default {
    fn text(units: &[Self]) -> String;
    fn units(text: &str) -> Vec<Self>;
}

impl Unit for c_char {
    fn text(units: &[Self]) -> String {
        let bytes: Vec<u8> = units.iter().map(|&unit| unit as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn units(text: &str) -> Vec<Self> {
        text.bytes().map(|byte| byte as c_char).collect()
    }
}

impl Unit for u16 {
    fn text(units: &[Self]) -> String {
        String::from_utf16_lossy(units)
    }

    fn units(text: &str) -> Vec<Self> {
        text.encode_utf16().collect()
    }
}

/// A program's text; `None` for NULL.
///
/// # Safety
///
/// `text` is NULL, or ends with a zero.
unsafe fn text<C: Unit + PartialEq>(text: *const C) -> Option<String> {
    if text.is_null() {
        return None;
    }
    let mut length = 0;
    // SAFETY: by the caller's word there is a zero.
    unsafe {
        while *text.add(length) != C::default() {
            length += 1;
        }
        Some(C::text(std::slice::from_raw_parts(text, length)))
    }
}

/// Writes text and a zero, if there is room.
///
/// # Safety
///
/// `to` has `room` units.
unsafe fn put<C: Unit>(text: &str, to: *mut C, room: usize) -> bool {
    let units = C::units(text);
    if units.len() >= room {
        return false;
    }
    // SAFETY: there is room.
    unsafe {
        to.copy_from(units.as_ptr(), units.len());
        to.add(units.len()).write(C::default());
    }
    true
}

/// What [`addrinfo`] points to, in the same piece of memory.
#[repr(C)]
struct Entry<C> {
    info: addrinfo<C>,
    address: [u64; 16],
    name: Box<[C]>,
}

unsafe fn resolve<C: Unit + PartialEq>(
    node: *const C,
    service: *const C,
    hints: *const addrinfo<C>,
    result: *mut *mut addrinfo<C>,
) -> Result<(), Error> {
    if result.is_null() {
        return Err(Error::WSAEFAULT);
    }
    // SAFETY: by the caller's word, here and below.
    let (node, service) = unsafe {
        *result = null_mut();
        (text(node), text(service))
    };
    if node.is_none() && service.is_none() {
        return Err(Error::WSAHOST_NOT_FOUND);
    }
    let c = |text: Option<String>| text.map(CString::new).transpose();
    let node = c(node.filter(|node| !node.is_empty()).or_else(|| {
        // An empty name is this machine's.
        service.is_none().then(host_name)
    }));
    let service = c(service);
    let (Ok(node), Ok(service)) = (node, service) else {
        return Err(Error::WSAHOST_NOT_FOUND);
    };
    // SAFETY: it is plain data, and all zeroes are no hints.
    let mut wanted: libc::addrinfo = unsafe { std::mem::zeroed() };
    // SAFETY: by the caller's word.
    if let Some(hints) = unsafe { hints.as_ref() } {
        wanted.ai_flags = flags(hints.ai_flags, &AI);
        wanted.ai_family = net::family_to_linux(hints.ai_family).ok_or(Error::WSAEAFNOSUPPORT)?;
        wanted.ai_socktype = hints.ai_socktype;
        wanted.ai_protocol = hints.ai_protocol;
    }
    let pointer = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |t| t.as_ptr());
    let mut found = null_mut();
    // It may ask the network.
    let code = crate::thread::blocking(|| {
        // SAFETY: the texts end with zeroes, and there is place for the result.
        unsafe { libc::getaddrinfo(pointer(&node), pointer(&service), &wanted, &mut found) }
    });
    if code != 0 {
        return Err(of_resolver(code));
    }
    let mut to = result;
    let mut next: *const libc::addrinfo = found;
    // SAFETY: the list is libc's, valid until it is freed; ours is made link by link.
    unsafe {
        while let Some(info) = next.as_ref() {
            next = info.ai_next;
            let made = Box::into_raw(Box::new(entry(info)));
            let entry = &mut *made;
            entry.info.ai_addr = (&raw mut entry.address).cast();
            if !entry.name.is_empty() {
                entry.info.ai_canonname = entry.name.as_mut_ptr();
            }
            *to = made.cast();
            to = &raw mut entry.info.ai_next;
        }
        libc::freeaddrinfo(found);
    }
    Ok(())
}

/// # Safety
///
/// `info` is one of libc's.
unsafe fn entry<C: Unit>(info: &libc::addrinfo) -> Entry<C> {
    let mut address = [0u64; 16];
    // SAFETY: libc's addresses are as long as they say, and no longer than this.
    unsafe {
        let to = address.as_mut_ptr().cast::<u8>();
        to.copy_from(info.ai_addr.cast(), info.ai_addrlen as usize);
        to.cast::<u16>()
            .write(net::family_of_linux(info.ai_family) as u16);
    }
    let name = match info.ai_canonname.is_null() {
        true => Box::default(),
        false => {
            // SAFETY: it ends with a zero.
            let name = unsafe { CStr::from_ptr(info.ai_canonname) }.to_string_lossy();
            let mut units = C::units(&name);
            units.push(C::default());
            units.into_boxed_slice()
        }
    };
    Entry {
        info: addrinfo {
            ai_flags: 0,
            ai_family: net::family_of_linux(info.ai_family),
            ai_socktype: info.ai_socktype,
            ai_protocol: info.ai_protocol,
            ai_addrlen: info.ai_addrlen as usize,
            ai_canonname: null_mut(),
            ai_addr: null_mut(),
            ai_next: null_mut(),
        },
        address,
        name,
    }
}

/// # Safety
///
/// `list` is NULL or came from [`resolve`] with the same `C`.
unsafe fn free<C>(mut list: *mut addrinfo<C>) {
    while !list.is_null() {
        // SAFETY: each link is a box that `resolve` made.
        let entry = unsafe { Box::from_raw(list.cast::<Entry<C>>()) };
        list = entry.info.ai_next;
    }
}

/// The error as these calls return it, beside setting it.
fn code(result: Result<(), Error>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            error::set_last(error);
            error.0 as i32
        }
    }
}

/// The addresses of a name.
///
/// # Safety
///
/// Texts are NULL or end with a zero; the other pointers are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const addrinfo,
    result: *mut *mut addrinfo,
) -> i32 {
    // SAFETY: by the caller's word.
    code(unsafe { resolve(node, service, hints, result) })
}

/// The addresses of a name.
///
/// # Safety
///
/// As [`overlapped_getaddrinfo`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetAddrInfoW(
    node: *const u16,
    service: *const u16,
    hints: *const addrinfo<u16>,
    result: *mut *mut addrinfo<u16>,
) -> i32 {
    // SAFETY: by the caller's word.
    code(unsafe { resolve(node, service, hints, result) })
}

/// Frees what [`overlapped_getaddrinfo`] gave.
///
/// # Safety
///
/// It did.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_freeaddrinfo(list: *mut addrinfo) {
    // SAFETY: by the caller's word.
    unsafe { free(list) }
}

/// Frees what [`GetAddrInfoW`] gave.
///
/// # Safety
///
/// It did.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FreeAddrInfoW(list: *mut addrinfo<u16>) {
    // SAFETY: by the caller's word.
    unsafe { free(list) }
}

unsafe fn name<C: Unit>(
    address: *const sockaddr,
    length: i32,
    (host, host_room): (*mut C, u32),
    (service, service_room): (*mut C, u32),
    asked: i32,
) -> Result<(), Error> {
    // SAFETY: by the caller's word.
    let address = unsafe { net::read(address, length) }?;
    let mut hosts = [0 as c_char; 1025];
    let mut services = [0 as c_char; 32];
    let code = crate::thread::blocking(|| {
        // SAFETY: as much room as is said.
        unsafe {
            libc::getnameinfo(
                address.as_ptr(),
                address.len(),
                hosts.as_mut_ptr(),
                hosts.len() as u32,
                services.as_mut_ptr(),
                services.len() as u32,
                flags(asked, &NI),
            )
        }
    });
    if code != 0 {
        return Err(of_resolver(code));
    }
    for (text, to, room) in [
        (&hosts[..], host, host_room),
        (&services[..], service, service_room),
    ] {
        if to.is_null() || room == 0 {
            continue;
        }
        // SAFETY: libc has ended it with a zero; the room is as the caller says.
        let fits = unsafe {
            let text = CStr::from_ptr(text.as_ptr()).to_string_lossy();
            put(&text, to, room as usize)
        };
        if !fits {
            return Err(Error(122));
        }
    }
    Ok(())
}

/// The name of an address.
///
/// # Safety
///
/// The pointers are NULL or valid for the lengths that go with them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_getnameinfo(
    address: *const sockaddr,
    length: i32,
    host: *mut c_char,
    host_room: u32,
    service: *mut c_char,
    service_room: u32,
    flags: i32,
) -> i32 {
    let (host, service) = ((host, host_room), (service, service_room));
    // SAFETY: by the caller's word.
    code(unsafe { name(address, length, host, service, flags) })
}

/// The name of an address.
///
/// # Safety
///
/// As [`overlapped_getnameinfo`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetNameInfoW(
    address: *const sockaddr,
    length: i32,
    host: *mut u16,
    host_room: u32,
    service: *mut u16,
    service_room: u32,
    flags: i32,
) -> i32 {
    let (host, service) = ((host, host_room), (service, service_room));
    // SAFETY: by the caller's word.
    code(unsafe { name(address, length, host, service, flags) })
}

/// One thread's answer of [`overlapped_gethostbyname`], until its next.
struct Host {
    entry: hostent,
    _name: CString,
    _addresses: Vec<[u8; 4]>,
    list: Vec<*mut c_char>,
}

thread_local! {
    static HOST: Cell<Option<Box<Host>>> = const { Cell::new(None) };
    static DOTTED: UnsafeCell<[c_char; 16]> = const { UnsafeCell::new([0; 16]) };
}

/// The IPv4 addresses of a name; good until the thread's next call.
///
/// # Safety
///
/// `name` is NULL or ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_gethostbyname(name: *const c_char) -> *mut hostent {
    let mut list: *mut addrinfo = null_mut();
    // SAFETY: plain data, of which all zeroes are no hints.
    let mut hints: addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = AF_INET;
    hints.ai_socktype = libc::SOCK_STREAM;
    let empty = c"".as_ptr();
    let asked = if name.is_null() { empty } else { name };
    // SAFETY: by the caller's word.
    if let Err(error) = unsafe { resolve(asked, std::ptr::null(), &hints, &mut list) } {
        return error::or(Err(error), null_mut());
    }
    let mut addresses = Vec::new();
    let mut next: *const addrinfo = list;
    // SAFETY: `resolve` has made the list, of IPv4 addresses.
    unsafe {
        while let Some(info) = next.as_ref() {
            addresses.push(info.ai_addr.cast::<u8>().add(4).cast::<[u8; 4]>().read());
            next = info.ai_next;
        }
        free(list);
    }
    // SAFETY: it ends with a zero.
    let name = unsafe { CStr::from_ptr(asked) }.to_owned();
    let mut host = Box::new(Host {
        entry: hostent {
            h_name: name.as_ptr().cast_mut(),
            h_aliases: null_mut(),
            h_addrtype: AF_INET as i16,
            h_length: 4,
            h_addr_list: null_mut(),
        },
        list: addresses
            .iter()
            .map(|address| address.as_ptr().cast_mut().cast())
            .chain([null_mut()])
            .collect(),
        _name: name,
        _addresses: addresses,
    });
    host.entry.h_addr_list = host.list.as_mut_ptr();
    // Its end is an empty list.
    host.entry.h_aliases = &raw mut host.list[host._addresses.len()];
    let entry = &raw mut host.entry;
    HOST.set(Some(host));
    entry
}

fn host_name() -> String {
    let mut name = [0u8; 256];
    // SAFETY: as much room as is said.
    unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    CStr::from_bytes_until_nul(&name).map_or_else(
        |_| String::from("localhost"),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// This machine's name.
///
/// # Safety
///
/// `name` is NULL or has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_gethostname(name: *mut c_char, length: i32) -> i32 {
    let room = usize::try_from(length).unwrap_or(0);
    // SAFETY: by the caller's word.
    let put = !name.is_null() && unsafe { put(&host_name(), name, room) };
    zero(if put { Ok(()) } else { Err(Error::WSAEFAULT) })
}

// ---- addresses as text -------------------------------------------------------------------------

const INADDR_NONE: u32 = u32::MAX;

/// An IPv4 address of a text, of one to four parts as of old.
///
/// # Safety
///
/// `text` is NULL or ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_inet_addr(text: *const c_char) -> u32 {
    if text.is_null() {
        return INADDR_NONE;
    }
    let mut address = libc::in_addr { s_addr: 0 };
    // SAFETY: by the caller's word; there is place for the address.
    match unsafe { inet_aton(text, &mut address) } {
        0 => INADDR_NONE,
        _ => address.s_addr,
    }
}

unsafe extern "C" {
    fn inet_aton(text: *const c_char, address: *mut libc::in_addr) -> i32;
}

/// An IPv4 address as text; good until the thread's next call.
#[unsafe(no_mangle)]
pub extern "C" fn overlapped_inet_ntoa(address: u32) -> *mut c_char {
    let text = Ipv4Addr::from(address.to_ne_bytes()).to_string();
    DOTTED.with(|room| {
        let to = room.get().cast::<c_char>();
        // SAFETY: the room is the thread's, and long enough for any.
        unsafe { put(&text, to, 16) };
        to
    })
}

unsafe fn presentation<C: Unit>(
    family: i32,
    address: *const u8,
    to: *mut C,
    room: usize,
) -> Result<*const C, Error> {
    if address.is_null() || to.is_null() {
        return Err(Error::WSAEFAULT);
    }
    // SAFETY: by the caller's word as many bytes as the family's addresses have.
    let ip = unsafe {
        match family {
            AF_INET => IpAddr::from(address.cast::<[u8; 4]>().read()),
            AF_INET6 => IpAddr::from(address.cast::<[u8; 16]>().read()),
            _ => return Err(Error::WSAEAFNOSUPPORT),
        }
    };
    // SAFETY: by the caller's word.
    match unsafe { put(&ip.to_string(), to, room) } {
        true => Ok(to),
        false => Err(Error::INVALID_PARAMETER),
    }
}

/// An address as text.
///
/// # Safety
///
/// The pointers are NULL or valid, `to` for `room`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_inet_ntop(
    family: i32,
    address: *const u8,
    to: *mut c_char,
    room: usize,
) -> *const c_char {
    // SAFETY: by the caller's word.
    error::or(
        unsafe { presentation(family, address, to, room) },
        null_mut(),
    )
}

/// An address as text.
///
/// # Safety
///
/// As [`overlapped_inet_ntop`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InetNtopW(
    family: i32,
    address: *const u8,
    to: *mut u16,
    room: usize,
) -> *const u16 {
    // SAFETY: by the caller's word.
    error::or(
        unsafe { presentation(family, address, to, room) },
        null_mut(),
    )
}

unsafe fn numeric<C: Unit + PartialEq>(
    family: i32,
    from: *const C,
    to: *mut u8,
) -> Result<i32, Error> {
    // SAFETY: by the caller's word.
    let text = unsafe { text(from) }.ok_or(Error::WSAEFAULT)?;
    if to.is_null() {
        return Err(Error::WSAEFAULT);
    }
    // SAFETY: by the caller's word there is room for an address of the family.
    unsafe {
        match family {
            AF_INET => text.parse::<Ipv4Addr>().map(|ip| {
                to.cast::<[u8; 4]>().write(ip.octets());
            }),
            AF_INET6 => text.parse::<Ipv6Addr>().map(|ip| {
                to.cast::<[u8; 16]>().write(ip.octets());
            }),
            _ => return Err(Error::WSAEAFNOSUPPORT),
        }
    }
    .map_or(Ok(0), |()| Ok(1))
}

/// An address of a text; 0 if it is none.
///
/// # Safety
///
/// `text` is NULL or ends with a zero; `to` is NULL or has room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn overlapped_inet_pton(
    family: i32,
    text: *const c_char,
    to: *mut u8,
) -> i32 {
    // SAFETY: by the caller's word.
    error::or(unsafe { numeric(family, text, to) }, SOCKET_ERROR)
}

/// An address of a text; 0 if it is none.
///
/// # Safety
///
/// As [`overlapped_inet_pton`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn InetPtonW(family: i32, text: *const u16, to: *mut u8) -> i32 {
    // SAFETY: by the caller's word.
    error::or(unsafe { numeric(family, text, to) }, SOCKET_ERROR)
}

/// An address with its port as text: `127.0.0.1:80`, `[::1]:80`; without a port if that is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WSAAddressToStringA(
    address: *const sockaddr,
    length: u32,
    _info: *mut c_void,
    to: *mut c_char,
    room: *mut u32,
) -> i32 {
    let put = || {
        // SAFETY: by the caller's word.
        let address = unsafe { net::read(address, i32::try_from(length).unwrap_or(i32::MAX)) }?;
        let address = address.internet().ok_or(Error::WSAEINVAL)?;
        let text = match address.port() {
            0 => address.ip().to_string(),
            _ => address.to_string(),
        };
        if to.is_null() || room.is_null() {
            return Err(Error::WSAEFAULT);
        }
        // SAFETY: by the caller's word there is so much room.
        let fits = unsafe {
            let fits = put(&text, to, *room as usize);
            *room = text.len() as u32 + 1;
            fits
        };
        match fits {
            true => Ok(()),
            false => Err(Error::WSAEFAULT),
        }
    };
    zero(put())
}

/// The address of a text such as [`WSAAddressToStringA`] makes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn WSAStringToAddressA(
    from: *const c_char,
    family: i32,
    _info: *mut c_void,
    to: *mut sockaddr,
    length: *mut i32,
) -> i32 {
    let read = || {
        // SAFETY: by the caller's word.
        let text = unsafe { text(from) }.ok_or(Error::WSAEFAULT)?;
        let address: SocketAddr = match text.parse() {
            Ok(address) => address,
            Err(_) => {
                let ip: IpAddr = text.parse().map_err(|_| Error::WSAEINVAL)?;
                (ip, 0).into()
            }
        };
        if address.is_ipv6() != (family == AF_INET6) {
            return Err(Error::WSAEINVAL);
        }
        if to.is_null() || length.is_null() {
            return Err(Error::WSAEFAULT);
        }
        // SAFETY: by the caller's word.
        unsafe { net::write(&address.into(), to, length) }
    };
    zero(read())
}
