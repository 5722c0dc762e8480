//! Chapter 1: ports and associations.

use std::io::Write;
use std::ptr::null_mut;

use overlapped_win32::abi::{HANDLE, INVALID_HANDLE_VALUE, INVALID_SOCKET};

use crate::world::*;

#[test]
fn po_2_no_file_with_a_port_is_refused() {
    let port = port();
    assert!(CreateIoCompletionPort(INVALID_HANDLE_VALUE, port, 0, 0).is_null());
    assert_eq!(GetLastError(), ERROR_INVALID_PARAMETER);
    close_handle(port);
}

#[test]
fn po_3_a_file_without_a_port_makes_one_and_is_associated() {
    let (socket, mut peer) = connected();
    let port = CreateIoCompletionPort(socket as HANDLE, null_mut(), 7, 0);
    assert!(!port.is_null());
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    peer.write_all(b"x").unwrap();
    assert_eq!(success(port, 7, &ov), 1);
    close(socket);
    close_handle(port);
}

#[test]
fn po_4_an_association_gives_the_same_handle() {
    let port = port();
    let (socket, _peer) = connected();
    assert_eq!(CreateIoCompletionPort(socket as HANDLE, port, 1, 99), port);
    close(socket);
    close_handle(port);
}

#[test]
fn po_5_what_is_not_overlapped_is_refused() {
    let port = port();
    let socket = not_overlapped();
    assert_ne!(socket, INVALID_SOCKET);
    assert!(CreateIoCompletionPort(socket as HANDLE, port, 0, 0).is_null());
    assert_eq!(GetLastError(), ERROR_INVALID_PARAMETER);
    close(socket);
    close_handle(port);
}

#[test]
fn po_6_a_second_association_is_refused_and_the_first_stays() {
    let (first, socket, mut peer) = associated(1);
    let second = port();
    for port in [first, second] {
        assert!(CreateIoCompletionPort(socket as HANDLE, port, 2, 0).is_null());
        assert_eq!(GetLastError(), ERROR_INVALID_PARAMETER);
    }
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    peer.write_all(b"x").unwrap();
    assert_eq!(success(first, 1, &ov), 1);
    close(socket);
    close_handle(first);
    close_handle(second);
}

#[test]
fn po_8_bad_handles_are_named() {
    let port = port();
    let (socket, _peer) = connected();
    let event = event(false, false);
    for (file, port) in [
        (0x1234_5678 as HANDLE, port),
        (null_mut(), port),
        (event, port),
        (port, port),
        (socket as HANDLE, event),
        (socket as HANDLE, socket as HANDLE),
        (socket as HANDLE, 0x1234_5678 as HANDLE),
    ] {
        assert!(CreateIoCompletionPort(file, port, 0, 0).is_null());
        assert_eq!(GetLastError(), ERROR_INVALID_HANDLE);
    }
    close(socket);
    close_handle(event);
    close_handle(port);
}

#[test]
fn po_9_duplicates_share_the_association() {
    let (port, socket, mut peer) = associated(5);
    let other = duplicate(socket as HANDLE) as usize;
    assert_ne!(other, socket);
    close(socket);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(other, &mut room, &mut ov), PENDING);
    peer.write_all(b"x").unwrap();
    assert_eq!(success(port, 5, &ov), 1);
    close(other);
    close_handle(port);
}

#[test]
fn po_10_what_was_started_before_the_association_queues_its_packet_too() {
    let (socket, mut peer) = connected();
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    let port = port();
    associate(socket, port, 125);
    peer.write_all(b"x").unwrap();
    assert_eq!(success(port, 125, &ov), 1);
    // And what comes after it.
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    peer.write_all(b"yz").unwrap();
    assert_eq!(success(port, 125, &ov), 2);
    close(socket);
    close_handle(port);
}

#[test]
fn po_10_a_socket_that_is_never_idle_goes_on() {
    let (socket, mut peer) = connected();
    let mut ovs: Vec<_> = (0..4).map(|_| overlapped()).collect();
    let mut rooms = [[0; 1]; 4];
    assert_eq!(recv(socket, &mut rooms[0], &mut ovs[0]), PENDING);
    let port = port();
    associate(socket, port, 1);
    for next in 1..4 {
        assert_eq!(recv(socket, &mut rooms[next], &mut ovs[next]), PENDING);
        peer.write_all(&[next as u8]).unwrap();
        assert_eq!(success(port, 1, &ovs[next - 1]), 1);
        assert_eq!(rooms[next - 1], [next as u8]);
    }
    close(socket);
    assert_eq!(failure(port, 1, &ovs[3]), ERROR_CONNECTION_ABORTED);
    close_handle(port);
}

#[test]
fn po_12_a_key_is_any_number() {
    for key in [0, usize::MAX] {
        let (port, socket, mut peer) = associated(key);
        let (mut ov, mut room) = (overlapped(), [0; 8]);
        assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
        peer.write_all(b"x").unwrap();
        assert_eq!(success(port, key, &ov), 1);
        close(socket);
        close_handle(port);
    }
}

#[test]
fn po_15_cx_11_a_socket_outlives_its_port() {
    let (port, socket, mut peer) = associated(1);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    close_handle(port);
    // Ended without a packet: nobody is left to take it.
    assert_eq!(ov.Internal, STATUS_CANCELLED);
    let event = event(true, false);
    let mut ov = overlapped();
    ov.hEvent = event;
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    peer.write_all(b"after").unwrap();
    assert_eq!(result(socket as HANDLE, &mut ov), Ok(5));
    assert_eq!(send_now(socket, b"me too"), Ok(6));
    assert_eq!(read_exactly(&mut peer, 6), b"me too");
    close(socket);
    close_handle(event);
}
