//! What the tests need: sockets on both sides, packets, and the numbers of Windows.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

use overlapped_win32::abi::{
    DWORD, HANDLE, INVALID_HANDLE_VALUE, INVALID_SOCKET, OVERLAPPED, SOCKET, WSABUF,
};
pub use overlapped_win32::calls::extension::*;
pub use overlapped_win32::calls::handles::*;
pub use overlapped_win32::calls::io::*;
pub use overlapped_win32::calls::options::*;
pub use overlapped_win32::calls::ports::*;
pub use overlapped_win32::calls::results::*;
pub use overlapped_win32::calls::sockets::*;
pub use overlapped_win32::calls::transfer::*;
use overlapped_win32::net::types::sockaddr;

/// Long enough that only a hang reaches it.
pub const WATCHDOG: DWORD = 60_000;

pub const AF_INET: i32 = 2;
pub const SOCK_STREAM: i32 = 1;
pub const SOCK_DGRAM: i32 = 2;
pub const STATUS_PENDING: usize = 0x103;
pub const STATUS_CANCELLED: usize = 0xc000_0120;
pub const SOL_SOCKET: i32 = 0xffff;
pub const SO_LINGER: i32 = 0x80;

pub const ERROR_INVALID_HANDLE: u32 = 6;
pub const ERROR_NETNAME_DELETED: u32 = 64;
pub const ERROR_PORT_UNREACHABLE: u32 = 1234;
pub const ERROR_INVALID_PARAMETER: u32 = 87;
pub const WAIT_TIMEOUT: u32 = 258;
pub const ERROR_ABANDONED_WAIT_0: u32 = 735;
pub const ERROR_OPERATION_ABORTED: u32 = 995;
pub const ERROR_IO_INCOMPLETE: u32 = 996;
pub const WSA_IO_PENDING: u32 = 997;
pub const ERROR_NOT_FOUND: u32 = 1168;
pub const ERROR_CONNECTION_REFUSED: u32 = 1225;
pub const ERROR_CONNECTION_ABORTED: u32 = 1236;
pub const WSAEFAULT: u32 = 10014;
pub const WSAEINVAL: u32 = 10022;
pub const WSAEWOULDBLOCK: u32 = 10035;
pub const WSAENOTSOCK: u32 = 10038;
pub const WSAEOPNOTSUPP: u32 = 10045;
pub const WSAECONNRESET: u32 = 10054;
pub const WSAEISCONN: u32 = 10056;
pub const WSAENOTCONN: u32 = 10057;
pub const WSAESHUTDOWN: u32 = 10058;

/// What a get has brought.
#[derive(Debug, PartialEq, Eq)]
pub struct Got {
    pub ok: bool,
    pub error: u32,
    pub bytes: u32,
    pub key: usize,
    pub overlapped: *mut OVERLAPPED,
}

pub const UNTOUCHED: u32 = 0xdead_beef;

/// One `GetQueuedCompletionStatus`; what it does not write is `UNTOUCHED`.
pub fn get_within(port: HANDLE, milliseconds: u32) -> Got {
    let (mut bytes, mut key) = (UNTOUCHED, UNTOUCHED as usize);
    let mut overlapped = UNTOUCHED as usize as *mut OVERLAPPED;
    SetLastError(UNTOUCHED);
    // SAFETY: all are valid.
    let ok = unsafe {
        GetQueuedCompletionStatus(port, &mut bytes, &mut key, &mut overlapped, milliseconds)
    };
    Got {
        ok: ok != 0,
        error: GetLastError(),
        bytes,
        key,
        overlapped,
    }
}

/// A packet that must come.
pub fn get(port: HANDLE) -> Got {
    let got = get_within(port, WATCHDOG);
    assert!(got.ok || got.error != WAIT_TIMEOUT, "no packet came");
    got
}

/// The packet of this operation, which succeeded.
pub fn success(port: HANDLE, key: usize, overlapped: &OVERLAPPED) -> u32 {
    let got = get(port);
    assert!(got.ok, "{got:?}");
    assert_eq!(got.error, UNTOUCHED);
    assert_eq!(got.key, key);
    assert!(std::ptr::eq(got.overlapped, overlapped));
    assert_eq!(overlapped.Internal, 0);
    assert_eq!(overlapped.InternalHigh, got.bytes as usize);
    got.bytes
}

/// The packet of this operation, which failed.
pub fn failure(port: HANDLE, key: usize, overlapped: &OVERLAPPED) -> u32 {
    let got = get(port);
    assert!(!got.ok, "{got:?}");
    assert_eq!(got.key, key);
    assert!(std::ptr::eq(got.overlapped, overlapped));
    got.error
}

/// No packet is there.
pub fn nothing(port: HANDLE) {
    let got = get_within(port, 0);
    assert!(!got.ok && got.overlapped.is_null(), "{got:?}");
    assert_eq!(got.error, WAIT_TIMEOUT);
}

/// A port on which any number of threads may run.
pub fn port() -> HANDLE {
    let port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, null_mut(), 0, 64);
    assert!(!port.is_null());
    port
}

pub fn overlapped() -> Box<OVERLAPPED> {
    Box::new(OVERLAPPED {
        Internal: 0,
        InternalHigh: 0,
        Offset: 0,
        OffsetHigh: 0,
        hEvent: null_mut(),
    })
}

pub fn tcp() -> SOCKET {
    let socket = overlapped_socket(AF_INET, SOCK_STREAM, 6);
    assert_ne!(socket, INVALID_SOCKET);
    socket
}

pub fn not_overlapped() -> SOCKET {
    // SAFETY: nothing is described.
    let socket = unsafe { WSASocketW(AF_INET, SOCK_STREAM, 6, null_mut(), 0, 0) };
    assert_ne!(socket, INVALID_SOCKET);
    socket
}

pub fn udp() -> SOCKET {
    let socket = overlapped_socket(AF_INET, SOCK_DGRAM, 17);
    assert_ne!(socket, INVALID_SOCKET);
    socket
}

/// Winsock's form of an address.
pub fn name(address: SocketAddr) -> [u8; 16] {
    let SocketAddr::V4(address) = address else {
        panic!("IPv4 only");
    };
    let mut name = [0; 16];
    name[..2].copy_from_slice(&(AF_INET as u16).to_ne_bytes());
    name[2..4].copy_from_slice(&address.port().to_be_bytes());
    name[4..8].copy_from_slice(&address.ip().octets());
    name
}

pub fn of_name(name: &[u8]) -> SocketAddr {
    assert_eq!(name[..2], (AF_INET as u16).to_ne_bytes());
    let ip: [u8; 4] = name[4..8].try_into().unwrap();
    let port = u16::from_be_bytes([name[2], name[3]]);
    SocketAddrV4::new(ip.into(), port).into()
}

pub fn any() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

pub fn bind(socket: SOCKET, to: SocketAddr) -> i32 {
    let name = name(to);
    // SAFETY: the name is as long as is said.
    unsafe { overlapped_bind(socket, name.as_ptr().cast(), 16) }
}

pub fn connect(socket: SOCKET, to: SocketAddr) -> i32 {
    let name = name(to);
    // SAFETY: as above.
    unsafe { overlapped_connect(socket, name.as_ptr().cast(), 16) }
}

pub fn local(socket: SOCKET) -> SocketAddr {
    let mut name = [0u8; 16];
    let mut length = 16;
    // SAFETY: as above.
    let asked = unsafe { overlapped_getsockname(socket, name.as_mut_ptr().cast(), &mut length) };
    assert_eq!(asked, 0, "{}", GetLastError());
    of_name(&name)
}

pub fn remote(socket: SOCKET) -> Result<SocketAddr, u32> {
    let mut name = [0u8; 16];
    let mut length = 16;
    // SAFETY: as above.
    match unsafe { overlapped_getpeername(socket, name.as_mut_ptr().cast(), &mut length) } {
        0 => Ok(of_name(&name)),
        _ => Err(GetLastError()),
    }
}

/// A socket of ours that is connected, and its peer.
pub fn connected() -> (SOCKET, TcpStream) {
    let listener = TcpListener::bind(any()).unwrap();
    let socket = tcp();
    assert_eq!(connect(socket, listener.local_addr().unwrap()), 0);
    let (peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(Duration::from_millis(WATCHDOG.into())))
        .unwrap();
    (socket, peer)
}

/// The same, associated with a port.
pub fn associated(key: usize) -> (HANDLE, SOCKET, TcpStream) {
    let port = port();
    let (socket, peer) = connected();
    associate(socket, port, key);
    (port, socket, peer)
}

pub fn associate(socket: SOCKET, port: HANDLE, key: usize) {
    assert_eq!(CreateIoCompletionPort(socket as HANDLE, port, key, 0), port);
}

pub fn listening() -> (SOCKET, SocketAddr) {
    let listener = tcp();
    assert_eq!(bind(listener, any()), 0);
    assert_eq!(overlapped_listen(listener, 5), 0);
    (listener, local(listener))
}

/// An address where nobody listens.
pub fn nobody() -> SocketAddr {
    TcpListener::bind(any()).unwrap().local_addr().unwrap()
}

/// Starts a receive; what the call has returned.
pub fn recv(socket: SOCKET, room: &mut [u8], overlapped: &mut OVERLAPPED) -> Result<u32, u32> {
    let mut piece = WSABUF {
        len: room.len() as u32,
        buf: room.as_mut_ptr(),
    };
    let (mut bytes, mut flags) = (UNTOUCHED, 0);
    // SAFETY: the tests keep room and structure until the packet.
    let result = unsafe {
        WSARecv(
            socket, &mut piece, 1, &mut bytes, &mut flags, overlapped, None,
        )
    };
    // PK-11: the array is the caller's again at once.
    std::hint::black_box(&mut piece).buf = null_mut();
    if result == 0 {
        Ok(bytes)
    } else {
        Err(GetLastError())
    }
}

/// Starts a send; what the call has returned.
pub fn send(socket: SOCKET, content: &[u8], overlapped: &mut OVERLAPPED) -> Result<u32, u32> {
    let mut piece = WSABUF {
        len: content.len() as u32,
        buf: content.as_ptr().cast_mut(),
    };
    let mut bytes = UNTOUCHED;
    // SAFETY: as for `recv`.
    let result = unsafe { WSASend(socket, &mut piece, 1, &mut bytes, 0, overlapped, None) };
    if result == 0 {
        Ok(bytes)
    } else {
        Err(GetLastError())
    }
}

pub const PENDING: Result<u32, u32> = Err(WSA_IO_PENDING);

/// A receive that waits.
pub fn recv_now(socket: SOCKET, room: &mut [u8]) -> Result<i32, u32> {
    // SAFETY: the room is as long as is said.
    match unsafe { overlapped_recv(socket, room.as_mut_ptr(), room.len() as i32, 0) } {
        -1 => Err(GetLastError()),
        bytes => Ok(bytes),
    }
}

/// A send that waits.
pub fn send_now(socket: SOCKET, content: &[u8]) -> Result<i32, u32> {
    // SAFETY: as above.
    match unsafe { overlapped_send(socket, content.as_ptr(), content.len() as i32, 0) } {
        -1 => Err(GetLastError()),
        bytes => Ok(bytes),
    }
}

pub fn set_option(socket: SOCKET, level: i32, name: i32, value: &[u8]) -> Result<(), u32> {
    // SAFETY: as above.
    let set =
        unsafe { overlapped_setsockopt(socket, level, name, value.as_ptr(), value.len() as i32) };
    if set == 0 {
        Ok(())
    } else {
        Err(GetLastError())
    }
}

pub fn option(socket: SOCKET, level: i32, name: i32) -> Result<u32, u32> {
    let mut value = [0u8; 4];
    let mut length = 4;
    // SAFETY: as above.
    match unsafe { overlapped_getsockopt(socket, level, name, value.as_mut_ptr(), &mut length) } {
        0 => Ok(u32::from_ne_bytes(value)),
        _ => Err(GetLastError()),
    }
}

pub fn read_exactly(peer: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    peer.read_exact(&mut bytes).unwrap();
    bytes
}

/// Has the peer end with a reset.
pub fn reset(peer: TcpStream) {
    let socket = socket2::Socket::from(peer);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

/// A hang is the failure.
pub fn until(mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(
            began.elapsed() < Duration::from_millis(WATCHDOG.into()),
            "never happened"
        );
        std::thread::yield_now();
    }
}

pub fn close(socket: SOCKET) {
    assert_eq!(closesocket(socket), 0);
}

pub fn close_handle(handle: HANDLE) {
    assert_eq!(CloseHandle(handle), 1);
}

pub const NO_NAME: *mut sockaddr = null_mut();
pub const NO_TIME: *const overlapped_win32::net::types::timeval = null();

pub fn event(manual: bool, set: bool) -> HANDLE {
    // SAFETY: no attributes and no name.
    unsafe {
        overlapped_win32::calls::sync::CreateEventA(null_mut(), manual.into(), set.into(), null())
    }
}

/// Another handle for what `handle` names.
pub fn duplicate(handle: HANDLE) -> HANDLE {
    let mut other = null_mut();
    let me = INVALID_HANDLE_VALUE;
    // SAFETY: there is place for the handle.
    let made = unsafe { DuplicateHandle(me, handle, me, &mut other, 0, 0, 2) };
    assert_eq!(made, 1);
    other
}

/// How an operation ended, waiting for that.
pub fn result(file: HANDLE, overlapped: &mut OVERLAPPED) -> Result<u32, u32> {
    let mut bytes = UNTOUCHED;
    // SAFETY: both are valid.
    match unsafe { GetOverlappedResult(file, overlapped, &mut bytes, 1) } {
        0 => Err(GetLastError()),
        _ => Ok(bytes),
    }
}

/// How it stands.
pub fn result_now(file: HANDLE, overlapped: &mut OVERLAPPED) -> Result<u32, u32> {
    let mut bytes = UNTOUCHED;
    // SAFETY: both are valid.
    match unsafe { GetOverlappedResult(file, overlapped, &mut bytes, 0) } {
        0 => Err(GetLastError()),
        _ => Ok(bytes),
    }
}
