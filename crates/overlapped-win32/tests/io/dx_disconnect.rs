//! Chapter 5: DisconnectEx.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ptr::null_mut;

use overlapped_win32::abi::{OVERLAPPED, SOCKET};

use crate::world::*;

const TF_REUSE_SOCKET: u32 = 2;

fn disconnect(socket: SOCKET, ov: *mut OVERLAPPED, flags: u32) -> Result<(), u32> {
    // SAFETY: the tests keep the structure until the packet.
    match unsafe { DisconnectEx(socket, ov, flags, 0) } {
        0 => Err(GetLastError()),
        _ => Ok(()),
    }
}

#[test]
fn dx_1_it_is_the_end_of_sending() {
    let (port, socket, mut peer) = associated(1);
    let mut ov = overlapped();
    assert_eq!(disconnect(tcp(), &mut *ov, 0), Err(WSAENOTCONN));
    assert_eq!(disconnect(socket, &mut *ov, 0x40), Err(WSAEINVAL));
    // SAFETY: the reserved argument is what is wrong.
    assert_eq!(unsafe { DisconnectEx(socket, &mut *ov, 0, 1) }, 0);
    assert_eq!(GetLastError(), WSAEINVAL);
    assert_eq!(disconnect(socket, &mut *ov, 0), Err(WSA_IO_PENDING));
    assert_eq!(success(port, 1, &ov), 0);
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(send(socket, b"x", &mut ov), Err(WSAESHUTDOWN));
    peer.write_all(b"abc").unwrap();
    let mut room = [0; 8];
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    assert_eq!(success(port, 1, &ov), 3);
    assert_eq!(connect(socket, nobody()), -1);
    assert_eq!(GetLastError(), WSAEISCONN);
    close(socket);
    close_handle(port);
}

#[test]
fn dx_2_an_accepted_socket_is_used_again_and_again() {
    let port = port();
    let (listener, address) = listening();
    associate(listener, port, 1);
    let target = tcp();
    associate(target, port, 2);
    let (mut ov, mut room) = (overlapped(), [0u8; 64]);
    for round in 0..100u8 {
        // SAFETY: room and structure live until the packet.
        let ok = unsafe {
            let room = room.as_mut_ptr().cast();
            AcceptEx(listener, target, room, 0, 32, 32, null_mut(), &mut *ov)
        };
        assert_eq!((ok, GetLastError()), (0, WSA_IO_PENDING), "{round}");
        let mut peer = TcpStream::connect(address).unwrap();
        assert_eq!(success(port, 1, &ov), 0);
        peer.write_all(&[round]).unwrap();
        let mut data = [0; 8];
        assert_eq!(recv(target, &mut data, &mut ov), PENDING);
        assert_eq!(success(port, 2, &ov), 1);
        assert_eq!(data[0], round);
        assert_eq!(
            disconnect(target, &mut *ov, TF_REUSE_SOCKET),
            Err(WSA_IO_PENDING)
        );
        assert_eq!(success(port, 2, &ov), 0);
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
    }
    close(target);
    close(listener);
    close_handle(port);
}

#[test]
fn dx_2_a_connected_socket_is_bound_and_connects_again() {
    let (port, mut ov) = (port(), overlapped());
    let (listener, address) = listening();
    let socket = tcp();
    assert_eq!(bind(socket, any()), 0);
    associate(socket, port, 2);
    for _ in 0..3 {
        let name = name(address);
        // SAFETY: the structure lives until the packet.
        let ok = unsafe {
            let name = name.as_ptr().cast();
            ConnectEx(socket, name, 16, null_mut(), 0, null_mut(), &mut *ov)
        };
        assert_eq!((ok, GetLastError()), (0, WSA_IO_PENDING));
        assert_eq!(success(port, 2, &ov), 0);
        assert_eq!(
            disconnect(socket, &mut *ov, TF_REUSE_SOCKET),
            Err(WSA_IO_PENDING)
        );
        assert_eq!(success(port, 2, &ov), 0);
        // SAFETY: no name is asked for.
        let accepted = unsafe { overlapped_accept(listener, NO_NAME, null_mut()) };
        assert_eq!(recv_now(accepted, &mut [0; 8]), Ok(0));
        close(accepted);
    }
    close(socket);
    close(listener);
    close_handle(port);
}
