//! Chapter 5: ConnectEx.

use std::net::{SocketAddr, TcpListener};
use std::ptr::{null, null_mut};

use overlapped_win32::abi::{OVERLAPPED, SOCKET};

use crate::world::*;

const SO_UPDATE_CONNECT_CONTEXT: i32 = 0x7010;

fn connect_ex(socket: SOCKET, to: SocketAddr, data: &[u8], ov: *mut OVERLAPPED) -> Result<(), u32> {
    let name = name(to);
    let data_at = if data.is_empty() {
        null()
    } else {
        data.as_ptr()
    };
    // SAFETY: the tests keep data and structure until the packet.
    let ok = unsafe {
        let name = name.as_ptr().cast();
        let length = data.len() as u32;
        ConnectEx(socket, name, 16, data_at.cast(), length, null_mut(), ov)
    };
    if ok != 0 { Ok(()) } else { Err(GetLastError()) }
}

fn bound() -> SOCKET {
    let socket = tcp();
    assert_eq!(bind(socket, any()), 0);
    socket
}

#[test]
fn ce_1_bad_states_are_named() {
    let mut ov = overlapped();
    let ov = &raw mut *ov;
    let to = nobody();
    assert_eq!(connect_ex(tcp(), to, b"", ov), Err(WSAEINVAL));
    let (listener, address) = listening();
    assert_eq!(connect_ex(listener, to, b"", ov), Err(WSAEINVAL));
    let (used, _peer) = connected();
    assert_eq!(connect_ex(used, to, b"", ov), Err(WSAEISCONN));
    assert_eq!(
        connect_ex(bound(), address, b"", null_mut()),
        Err(ERROR_INVALID_PARAMETER)
    );
    assert_eq!(connect_ex(0x1234, address, b"", ov), Err(WSAENOTSOCK));
    let datagrams = udp();
    assert_eq!(bind(datagrams, any()), 0);
    assert_eq!(connect_ex(datagrams, address, b"", ov), Err(WSAEINVAL));
}

#[test]
fn ce_1_ce_2_ce_4_a_connection_and_its_first_data() {
    let listener = TcpListener::bind(any()).unwrap();
    for data in [&b""[..], b"abc"] {
        let (port, socket, mut ov) = (port(), bound(), overlapped());
        associate(socket, port, 1);
        let to = listener.local_addr().unwrap();
        assert_eq!(connect_ex(socket, to, data, &mut *ov), Err(WSA_IO_PENDING));
        let (mut peer, _) = listener.accept().unwrap();
        assert_eq!(success(port, 1, &ov), data.len() as u32);
        assert_eq!(read_exactly(&mut peer, data.len()), data);
        assert_eq!(
            set_option(socket, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, &[]),
            Ok(())
        );
        assert_eq!(remote(socket), Ok(to));
        assert_eq!(send(socket, b"more", &mut ov), PENDING);
        assert_eq!(success(port, 1, &ov), 4);
        assert_eq!(read_exactly(&mut peer, 4), b"more");
        close(socket);
        close_handle(port);
    }
}

#[test]
fn ce_3_refused_and_tried_again() {
    let (port, socket, mut ov) = (port(), bound(), overlapped());
    associate(socket, port, 1);
    assert_eq!(
        connect_ex(socket, nobody(), b"", &mut *ov),
        Err(WSA_IO_PENDING)
    );
    assert_eq!(failure(port, 1, &ov), ERROR_CONNECTION_REFUSED);
    let listener = TcpListener::bind(any()).unwrap();
    let to = listener.local_addr().unwrap();
    assert_eq!(connect_ex(socket, to, b"", &mut *ov), Err(WSA_IO_PENDING));
    assert_eq!(success(port, 1, &ov), 0);
    close(socket);
    close_handle(port);
}
