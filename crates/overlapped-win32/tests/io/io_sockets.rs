//! Chapter 5: transfers on sockets.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::ptr::null_mut;

use overlapped_win32::abi::{SOCKET, WSABUF};
use overlapped_win32::calls::wsamsg;
use overlapped_win32::net::types::WSAMSG;

use crate::world::*;

#[test]
fn io_1_a_non_blocking_socket_pends_all_the_same() {
    let (port, socket, mut peer) = associated(1);
    let mut on = 1;
    // SAFETY: it is a number.
    assert_eq!(unsafe { ioctlsocket(socket, FIONBIO, &mut on) }, 0);
    assert_eq!(recv_now(socket, &mut [0; 8]), Err(WSAEWOULDBLOCK));
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    peer.write_all(b"x").unwrap();
    assert_eq!(success(port, 1, &ov), 1);
    close(socket);
    close_handle(port);
}

const FIONBIO: i32 = 0x8004_667e_u32 as i32;
const SO_RCVTIMEO: i32 = 0x1006;

#[test]
fn io_2_time_outs_are_for_calls_that_wait() {
    let (port, socket, mut peer) = associated(1);
    let time = 20u32.to_ne_bytes();
    assert_eq!(set_option(socket, SOL_SOCKET, SO_RCVTIMEO, &time), Ok(()));
    assert_eq!(option(socket, SOL_SOCKET, SO_RCVTIMEO), Ok(20));
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv_now(socket, &mut [0; 8]), Err(10060));
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    assert_eq!(get_within(port, 50).error, WAIT_TIMEOUT);
    peer.write_all(b"x").unwrap();
    assert_eq!(success(port, 1, &ov), 1);
    close(socket);
    close_handle(port);
}

#[test]
fn io_3_the_end_of_the_stream_comes_again_and_again() {
    let (port, socket, peer) = associated(1);
    drop(peer);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    for _ in 0..3 {
        assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
        assert_eq!(success(port, 1, &ov), 0);
    }
    close(socket);
    close_handle(port);
}

#[test]
fn io_4_a_receive_of_nothing_waits_for_data_and_leaves_it() {
    let (port, socket, mut peer) = associated(1);
    let mut ov = overlapped();
    assert_eq!(recv(socket, &mut [], &mut ov), PENDING);
    nothing(port);
    peer.write_all(b"abc").unwrap();
    assert_eq!(success(port, 1, &ov), 0);
    let mut room = [0; 8];
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    assert_eq!(success(port, 1, &ov), 3);
    // No buffers at all is another thing.
    let (mut bytes, mut flags) = (0, 0);
    // SAFETY: all are valid, and there are no buffers.
    let refused = unsafe {
        WSARecv(
            socket,
            null_mut(),
            0,
            &mut bytes,
            &mut flags,
            &mut *ov,
            None,
        )
    };
    assert_eq!((refused, GetLastError()), (-1, WSAEINVAL));
    close(socket);
    close_handle(port);
}

#[test]
fn io_5_io_6_several_at_once_keep_their_order() {
    let (port, socket, mut peer) = associated(1);
    let mut ovs: Vec<_> = (0..8).map(|_| overlapped()).collect();
    let mut rooms = [[0; 4]; 8];
    for (ov, room) in ovs.iter_mut().zip(&mut rooms) {
        assert_eq!(recv(socket, room, ov), PENDING);
    }
    let content: Vec<u8> = (0..32).collect();
    peer.write_all(&content).unwrap();
    for _ in 0..8 {
        assert_eq!(get(port).bytes, 4);
    }
    assert_eq!(rooms.concat(), content);
    let big: Vec<Vec<u8>> = (0..4).map(|at| vec![at; 2 << 20]).collect();
    for (ov, content) in ovs.iter_mut().zip(&big) {
        assert_eq!(send(socket, content, ov), PENDING);
    }
    let reads = std::thread::spawn(move || read_exactly(&mut peer, 8 << 20));
    for _ in 0..4 {
        let got = get(port);
        // IO-7
        assert_eq!((got.ok, got.bytes), (true, 2 << 20));
    }
    assert!(reads.join().unwrap() == big.concat());
    close(socket);
    close_handle(port);
}

#[test]
fn io_5_several_buffers_are_one_receive() {
    let (port, socket, mut peer) = associated(1);
    let (mut ov, mut one, mut two) = (overlapped(), [0; 2], [0; 8]);
    let piece = |room: &mut [u8]| WSABUF {
        len: room.len() as u32,
        buf: room.as_mut_ptr(),
    };
    let mut pieces = [piece(&mut one), piece(&mut []), piece(&mut two)];
    let (mut bytes, mut flags) = (0, 0);
    // SAFETY: the rooms live until the packet.
    let started = unsafe {
        let to = pieces.as_mut_ptr();
        WSARecv(socket, to, 3, &mut bytes, &mut flags, &mut *ov, None)
    };
    assert_eq!((started, GetLastError()), (-1, WSA_IO_PENDING));
    // PK-11
    pieces.fill(piece(&mut []));
    peer.write_all(b"abcde").unwrap();
    assert_eq!(success(port, 1, &ov), 5);
    assert_eq!((&one, &two[..3]), (b"ab", &b"cde"[..]));
    close(socket);
    close_handle(port);
}

#[test]
fn io_12_what_is_not_bound_or_connected_is_named() {
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(udp(), &mut room, &mut ov), Err(WSAEINVAL));
    assert_eq!(recv(tcp(), &mut room, &mut ov), Err(WSAENOTCONN));
    assert_eq!(recv_now(udp(), &mut room), Err(WSAEINVAL));
    assert_eq!(recv_now(tcp(), &mut room), Err(WSAENOTCONN));
    assert_eq!(send_now(tcp(), b"x"), Err(WSAENOTCONN));
}

#[test]
fn io_14_a_reset_is_for_ever() {
    let (port, socket, peer) = associated(1);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    reset(peer);
    assert_eq!(failure(port, 1, &ov), ERROR_NETNAME_DELETED);
    assert_eq!(ov.Internal, 0xc000_020d);
    for _ in 0..2 {
        assert_eq!(recv(socket, &mut room, &mut ov), Err(WSAECONNRESET));
        assert_eq!(send(socket, b"x", &mut ov), Err(WSAECONNRESET));
    }
    nothing(port);
    assert_eq!(option(socket, SOL_SOCKET, 0x1007), Ok(0));
    close(socket);
    close_handle(port);
}

#[test]
fn io_14_calls_that_wait_keep_it_too() {
    let (socket, peer) = connected();
    reset(peer);
    for _ in 0..2 {
        assert_eq!(recv_now(socket, &mut [0; 8]), Err(WSAECONNRESET));
        assert_eq!(send_now(socket, b"x"), Err(WSAECONNRESET));
    }
    close(socket);
}

#[test]
fn io_16_directions_are_shut_down() {
    let (port, socket, mut peer) = associated(1);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    assert_eq!(overlapped_shutdown(socket, 0), 0);
    let mut other = overlapped();
    assert_eq!(recv(socket, &mut [0; 8], &mut other), Err(WSAESHUTDOWN));
    assert_eq!(recv_now(socket, &mut [0; 8]), Err(WSAESHUTDOWN));
    peer.write_all(b"after").unwrap();
    assert_eq!(success(port, 1, &ov), 5);
    for _ in 0..2 {
        assert_eq!(overlapped_shutdown(socket, 1), 0);
    }
    assert_eq!(send(socket, b"x", &mut ov), Err(WSAESHUTDOWN));
    assert_eq!(send_now(socket, b"x"), Err(WSAESHUTDOWN));
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(overlapped_shutdown(tcp(), 1), -1);
    assert_eq!(GetLastError(), WSAENOTCONN);
    assert_eq!(overlapped_shutdown(socket, 3), -1);
    assert_eq!(GetLastError(), WSAEINVAL);
    close(socket);
    close_handle(port);
}

#[test]
fn io_16_what_was_shut_before_the_first_operation_is_shut() {
    let (port, socket, _peer) = associated(1);
    assert_eq!(overlapped_shutdown(socket, 2), 0);
    let mut ov = overlapped();
    assert_eq!(recv(socket, &mut [0; 8], &mut ov), Err(WSAESHUTDOWN));
    assert_eq!(send(socket, b"x", &mut ov), Err(WSAESHUTDOWN));
    close(socket);
    close_handle(port);
}

// ---- datagrams ---------------------------------------------------------------------------------

fn datagrams(key: usize) -> (overlapped_win32::abi::HANDLE, SOCKET, UdpSocket) {
    let (port, socket) = (port(), udp());
    assert_eq!(bind(socket, any()), 0);
    associate(socket, port, key);
    (port, socket, UdpSocket::bind(any()).unwrap())
}

#[test]
fn io_9_a_datagram_that_is_too_long_is_cut() {
    let (port, socket, peer) = datagrams(1);
    let (mut ov, mut room) = (overlapped(), [0; 6]);
    peer.send_to(b"123456789", local(socket)).unwrap();
    peer.send_to(b"next", local(socket)).unwrap();
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    let got = get(port);
    assert_eq!((got.ok, got.error, got.bytes), (false, 234, 6));
    assert_eq!(ov.Internal, 0x8000_0005);
    assert_eq!(&room, b"123456");
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    assert_eq!(success(port, 1, &ov), 4);
    peer.send_to(b"123456789", local(socket)).unwrap();
    assert_eq!(recv_now(socket, &mut room), Err(10040));
    close(socket);
    close_handle(port);
}

#[test]
fn io_11_a_datagrams_sender_is_written_at_the_end() {
    let (port, socket, peer) = datagrams(1);
    let (mut ov, mut room) = (overlapped(), [0u8; 8]);
    let mut from = [0u8; 16];
    let mut length = 16;
    let mut piece = WSABUF {
        len: 8,
        buf: room.as_mut_ptr(),
    };
    let (mut bytes, mut flags) = (0, 0);
    // SAFETY: all live until the packet.
    let started = unsafe {
        WSARecvFrom(
            socket,
            &mut piece,
            1,
            &mut bytes,
            &mut flags,
            from.as_mut_ptr().cast(),
            &mut length,
            &mut *ov,
            None,
        )
    };
    assert_eq!((started, GetLastError()), (-1, WSA_IO_PENDING));
    peer.send_to(b"abc", local(socket)).unwrap();
    assert_eq!(success(port, 1, &ov), 3);
    assert_eq!(length, 16);
    assert_eq!(of_name(&from), peer.local_addr().unwrap());
    // And back.
    let mut piece = WSABUF {
        len: 3,
        buf: room.as_mut_ptr(),
    };
    // SAFETY: as above.
    let started = unsafe {
        let to = from.as_ptr().cast();
        WSASendTo(socket, &mut piece, 1, &mut bytes, 0, to, 16, &mut *ov, None)
    };
    assert_eq!((started, GetLastError()), (-1, WSA_IO_PENDING));
    assert_eq!(success(port, 1, &ov), 3);
    let mut back = [0; 8];
    assert_eq!(peer.recv_from(&mut back).unwrap(), (3, local(socket)));
    assert_eq!(&back[..3], b"abc");
    close(socket);
    close_handle(port);
}

#[test]
fn io_13_a_datagram_that_came_back_is_told_to_a_receive() {
    let (port, socket, peer) = datagrams(1);
    let nobody = peer.local_addr().unwrap();
    drop(peer);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    let to = name(nobody);
    // SAFETY: as long as is said.
    let sent = unsafe { overlapped_sendto(socket, b"x".as_ptr(), 1, 0, to.as_ptr().cast(), 16) };
    assert_eq!(sent, 1);
    assert_eq!(failure(port, 1, &ov), ERROR_PORT_UNREACHABLE);
    close(socket);
    close_handle(port);
}

#[test]
fn io_10_a_message_brings_where_it_was_sent_to() {
    let (port, socket, peer) = datagrams(1);
    let on = 1u32.to_ne_bytes();
    // IP_PKTINFO
    assert_eq!(set_option(socket, 0, 19, &on), Ok(()));
    let (mut ov, mut room, mut from) = (overlapped(), [0u8; 8], [0u8; 16]);
    let mut control = [0u64; 4];
    for (space, cut) in [(32, false), (4, true)] {
        let mut piece = WSABUF {
            len: 8,
            buf: room.as_mut_ptr(),
        };
        let mut message = WSAMSG {
            name: from.as_mut_ptr().cast(),
            namelen: 16,
            lpBuffers: &mut piece,
            dwBufferCount: 1,
            Control: WSABUF {
                len: space,
                buf: control.as_mut_ptr().cast(),
            },
            dwFlags: 0,
        };
        let mut bytes = 0;
        // SAFETY: all live until the packet.
        let started =
            unsafe { wsamsg::WSARecvMsg(socket, &mut message, &mut bytes, &mut *ov, None) };
        assert_eq!((started, GetLastError()), (-1, WSA_IO_PENDING));
        peer.send_to(b"abc", local(socket)).unwrap();
        match cut {
            false => assert_eq!(success(port, 1, &ov), 3),
            true => assert_eq!(failure(port, 1, &ov), 234),
        }
        assert_eq!((ov.InternalHigh, &room[..3]), (3, &b"abc"[..]));
        assert_eq!(of_name(&from), peer.local_addr().unwrap());
        // MSG_CTRUNC
        assert_eq!(message.dwFlags, if cut { 0x200 } else { 0 });
        if !cut {
            // A header of 16 bytes, address, interface.
            assert_eq!(message.Control.len, 24);
            assert_eq!(control[0], 24);
            assert_eq!(control[1], 19 << 32);
            assert_eq!(control[2].to_ne_bytes()[..4], [127, 0, 0, 1]);
        }
    }
    // And out.
    let mut piece = WSABUF {
        len: 3,
        buf: room.as_mut_ptr(),
    };
    let mut to = name(peer.local_addr().unwrap());
    let mut message = WSAMSG {
        name: to.as_mut_ptr().cast(),
        namelen: 16,
        lpBuffers: &mut piece,
        dwBufferCount: 1,
        Control: WSABUF {
            len: 0,
            buf: null_mut(),
        },
        dwFlags: 0,
    };
    // SAFETY: as above.
    let started =
        unsafe { wsamsg::WSASendMsg(socket, &mut message, 0, null_mut(), &mut *ov, None) };
    assert_eq!((started, GetLastError()), (-1, WSA_IO_PENDING));
    assert_eq!(success(port, 1, &ov), 3);
    assert_eq!(peer.recv(&mut room).unwrap(), 3);
    close(socket);
    close_handle(port);
}

#[test]
fn io_11_a_datagram_socket_is_connected_while_it_receives() {
    let (port, socket, peer) = datagrams(1);
    let (mut ov, mut sends, mut room) = (overlapped(), overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    assert_eq!(send(socket, b"abc", &mut sends), Err(WSAENOTCONN));
    assert_eq!(connect(socket, peer.local_addr().unwrap()), 0);
    assert_eq!(send(socket, b"abc", &mut sends), PENDING);
    assert_eq!(success(port, 1, &sends), 3);
    peer.send_to(b"back", local(socket)).unwrap();
    assert_eq!(success(port, 1, &ov), 4);
    close(socket);
    close_handle(port);
}
