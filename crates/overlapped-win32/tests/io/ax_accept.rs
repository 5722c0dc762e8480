//! Chapter 5: AcceptEx.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::ptr::null_mut;

use overlapped_win32::abi::{HANDLE, OVERLAPPED, SOCKET};
use overlapped_win32::net::types::sockaddr;

use crate::world::*;

const SO_UPDATE_ACCEPT_CONTEXT: i32 = 0x700b;
const SO_CONNECT_TIME: i32 = 0x700c;
const ADDRESS: u32 = 16 + 16;

/// Room for `data` bytes and both addresses.
fn room(data: u32) -> Vec<u8> {
    vec![0; (data + 2 * ADDRESS) as usize]
}

fn accept(
    listener: SOCKET,
    target: SOCKET,
    room: &mut [u8],
    [data, local, remote]: [u32; 3],
    ov: *mut OVERLAPPED,
) -> Result<(), u32> {
    let mut bytes = 0;
    // SAFETY: the tests keep room and structure until the packet.
    let ok = unsafe {
        let room = room.as_mut_ptr().cast();
        AcceptEx(listener, target, room, data, local, remote, &mut bytes, ov)
    };
    if ok != 0 { Ok(()) } else { Err(GetLastError()) }
}

/// The addresses in the room: local, and remote.
fn addresses(room: &mut [u8], data: u32) -> (SocketAddr, SocketAddr) {
    let (mut local, mut remote): (*mut sockaddr, *mut sockaddr) = (null_mut(), null_mut());
    let (mut local_length, mut remote_length) = (0, 0);
    // SAFETY: an accept has filled it.
    unsafe {
        GetAcceptExSockaddrs(
            room.as_mut_ptr().cast(),
            data,
            ADDRESS,
            ADDRESS,
            &mut local,
            &mut local_length,
            &mut remote,
            &mut remote_length,
        );
        assert_eq!((local_length, remote_length), (16, 16));
        let bytes = |at: *mut sockaddr| std::slice::from_raw_parts(at.cast::<u8>(), 16);
        (of_name(bytes(local)), of_name(bytes(remote)))
    }
}

fn serving(key: usize) -> (HANDLE, SOCKET, SocketAddr) {
    let port = port();
    let (listener, address) = listening();
    associate(listener, port, key);
    (port, listener, address)
}

#[test]
fn ax_1_bad_arguments_are_named() {
    let (port, listener, _) = serving(1);
    let (target, mut room, mut ov) = (tcp(), room(0), overlapped());
    let lengths = [0, ADDRESS, ADDRESS];
    let null: &mut OVERLAPPED = &mut ov;
    let ov = &raw mut *null;
    let mut ask = |listener, target, lengths, ov| accept(listener, target, &mut room, lengths, ov);
    assert_eq!(ask(tcp(), target, lengths, ov), Err(WSAEINVAL));
    assert_eq!(ask(0x1234, target, lengths, ov), Err(WSAENOTSOCK));
    assert_eq!(ask(listener, 0x1234, lengths, ov), Err(WSAENOTSOCK));
    assert_eq!(
        ask(listener, target, lengths, null_mut()),
        Err(ERROR_INVALID_PARAMETER)
    );
    assert_eq!(ask(listener, target, [0, ADDRESS, 0], ov), Err(WSAEFAULT));
    assert_eq!(ask(listener, udp(), lengths, ov), Err(WSAEINVAL));
    let bound = tcp();
    assert_eq!(bind(bound, any()), 0);
    assert_eq!(ask(listener, bound, lengths, ov), Err(WSAEINVAL));
    let (used, _peer) = connected();
    assert_eq!(ask(listener, used, lengths, ov), Err(WSAEINVAL));
    // SAFETY: a buffer is what is missing.
    let ok = unsafe {
        AcceptEx(
            listener,
            target,
            null_mut(),
            0,
            ADDRESS,
            ADDRESS,
            null_mut(),
            ov,
        )
    };
    assert_eq!((ok, GetLastError()), (0, WSAEFAULT));
    nothing(port);
    // One at a time.
    assert_eq!(ask(listener, target, lengths, ov), Err(WSA_IO_PENDING));
    let mut other = overlapped();
    assert_eq!(
        ask(listener, target, lengths, &raw mut *other),
        Err(WSAEINVAL)
    );
    assert_eq!(connect(target, nobody()), -1);
    assert_eq!(GetLastError(), WSAEINVAL);
    close(listener);
    close_handle(port);
}

#[test]
fn ax_2_ax_5_ax_7_a_connection_comes_under_the_handle_that_was_there() {
    let (port, listener, address) = serving(125);
    let (target, mut room, mut ov) = (tcp(), room(0), overlapped());
    associate(target, port, 236);
    assert_eq!(
        accept(listener, target, &mut room, [0, ADDRESS, ADDRESS], &mut *ov),
        Err(WSA_IO_PENDING)
    );
    assert_eq!(remote(target), Err(WSAENOTCONN));
    let mut peer = TcpStream::connect(address).unwrap();
    assert_eq!(success(port, 125, &ov), 0);
    let here = peer.local_addr().unwrap();
    assert_eq!(addresses(&mut room, 0), (address, here));
    let context = listener.to_ne_bytes();
    assert_eq!(
        set_option(target, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, &context),
        Ok(())
    );
    assert_eq!(remote(target), Ok(here));
    assert_eq!(local(target), address);
    let mut data = [0; 8];
    assert_eq!(recv(target, &mut data, &mut ov), PENDING);
    peer.write_all(b"abc").unwrap();
    assert_eq!(success(port, 236, &ov), 3);
    assert_eq!(send(target, b"back", &mut ov), PENDING);
    assert_eq!(success(port, 236, &ov), 4);
    assert_eq!(read_exactly(&mut peer, 4), b"back");
    close(target);
    close(listener);
    close_handle(port);
}

#[test]
fn ax_3_too_small_a_room_for_addresses_leaves_the_connection() {
    let (port, listener, address) = serving(1);
    let (target, mut room, mut ov) = (tcp(), room(0), overlapped());
    assert_eq!(
        accept(listener, target, &mut room, [0, ADDRESS, 1], &mut *ov),
        Err(WSA_IO_PENDING)
    );
    let peer = TcpStream::connect(address).unwrap();
    assert_eq!(failure(port, 1, &ov), 122);
    // SAFETY: no name is asked for.
    let accepted = unsafe { overlapped_accept(listener, NO_NAME, null_mut()) };
    assert_eq!(remote(accepted), Ok(peer.local_addr().unwrap()));
    close(accepted);
    close(listener);
    close_handle(port);
}

#[test]
fn ax_4_first_data_is_waited_for_and_the_time_tells() {
    let (port, listener, address) = serving(1);
    let (target, mut room, mut ov) = (tcp(), room(8), overlapped());
    assert_eq!(option(target, SOL_SOCKET, SO_CONNECT_TIME), Ok(u32::MAX));
    assert_eq!(
        accept(listener, target, &mut room, [8, ADDRESS, ADDRESS], &mut *ov),
        Err(WSA_IO_PENDING)
    );
    assert_eq!(option(target, SOL_SOCKET, SO_CONNECT_TIME), Ok(u32::MAX));
    let mut peer = TcpStream::connect(address).unwrap();
    until(|| {
        nothing(port);
        option(target, SOL_SOCKET, SO_CONNECT_TIME) != Ok(u32::MAX)
    });
    peer.write_all(b"abc").unwrap();
    assert_eq!(success(port, 1, &ov), 3);
    assert_eq!(&room[..3], b"abc");
    assert_eq!(
        addresses(&mut room, 8),
        (address, peer.local_addr().unwrap())
    );
    assert!(option(target, SOL_SOCKET, SO_CONNECT_TIME).unwrap() < 3600);
    close(target);
    close(listener);
    close_handle(port);
}

#[test]
fn ax_4_the_peers_end_completes_it_with_nothing() {
    let (port, listener, address) = serving(1);
    let (target, mut room, mut ov) = (tcp(), room(8), overlapped());
    let lengths = [8, ADDRESS, ADDRESS];
    assert_eq!(
        accept(listener, target, &mut room, lengths, &mut *ov),
        Err(WSA_IO_PENDING)
    );
    drop(TcpStream::connect(address).unwrap());
    assert_eq!(success(port, 1, &ov), 0);
    close(target);
    close(listener);
    close_handle(port);
}

#[test]
fn ax_4_ax_8_closing_the_accept_socket_ends_a_silent_client() {
    let (port, listener, address) = serving(1);
    for connects in [false, true] {
        let (target, mut room, mut ov) = (tcp(), room(8), overlapped());
        let lengths = [8, ADDRESS, ADDRESS];
        assert_eq!(
            accept(listener, target, &mut room, lengths, &mut *ov),
            Err(WSA_IO_PENDING)
        );
        let peer = connects.then(|| TcpStream::connect(address).unwrap());
        if connects {
            until(|| {
                nothing(port);
                option(target, SOL_SOCKET, SO_CONNECT_TIME) != Ok(u32::MAX)
            });
        }
        // Cancelling on it does nothing.
        assert_eq!(CancelIo(target as HANDLE), 1);
        nothing(port);
        close(target);
        assert_ne!(ov.Internal, STATUS_PENDING);
        let error = failure(port, 1, &ov);
        assert!([ERROR_OPERATION_ABORTED, ERROR_CONNECTION_ABORTED].contains(&error));
        drop(peer);
    }
    close(listener);
    close_handle(port);
}

#[test]
fn ax_6_connections_are_served_in_the_order_of_the_accepts() {
    let (port, listener, address) = serving(1);
    let mut slots: Vec<_> = (0..3).map(|_| (tcp(), room(0), overlapped())).collect();
    for (target, room, ov) in &mut slots {
        let lengths = [0, ADDRESS, ADDRESS];
        assert_eq!(
            accept(listener, *target, room, lengths, &mut **ov),
            Err(WSA_IO_PENDING)
        );
    }
    let peers: Vec<_> = (0..3)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    for _ in &peers {
        assert!(get(port).ok);
    }
    for ((_, room, _), peer) in slots.iter_mut().zip(&peers) {
        assert_eq!(addresses(room, 0).1, peer.local_addr().unwrap());
    }
    for (target, ..) in slots {
        close(target);
    }
    close(listener);
    close_handle(port);
}

#[test]
fn ax_8_closing_or_cancelling_on_the_listener_ends_the_accepts() {
    for closes in [true, false] {
        let (port, listener, _) = serving(1);
        let (target, mut room, mut ov) = (tcp(), room(0), overlapped());
        let lengths = [0, ADDRESS, ADDRESS];
        assert_eq!(
            accept(listener, target, &mut room, lengths, &mut *ov),
            Err(WSA_IO_PENDING)
        );
        match closes {
            true => close(listener),
            false => assert_eq!(CancelIo(listener as HANDLE), 1),
        }
        // It is as good as before.
        let (peers, address) = listening();
        assert_eq!(connect(target, address), 0);
        assert_eq!(failure(port, 1, &ov), ERROR_OPERATION_ABORTED);
        close(peers);
        close(target);
        if !closes {
            close(listener);
        }
        close_handle(port);
    }
}

#[test]
fn ax_without_a_port_an_event_tells() {
    let (listener, address) = listening();
    let (target, mut room, mut ov) = (tcp(), room(0), overlapped());
    ov.hEvent = event(true, false);
    let lengths = [0, ADDRESS, ADDRESS];
    assert_eq!(
        accept(listener, target, &mut room, lengths, &mut *ov),
        Err(WSA_IO_PENDING)
    );
    let peer = TcpStream::connect(address).unwrap();
    assert_eq!(result(listener as HANDLE, &mut ov), Ok(0));
    assert_eq!(remote(target), Ok(peer.local_addr().unwrap()));
    close(target);
    close(listener);
    close_handle(ov.hEvent);
}
