//! Chapters 2 and 4: packets, status blocks, events.

use std::io::Write;

use overlapped_win32::abi::HANDLE;

use crate::world::*;

#[test]
fn pk_4_what_ends_at_once_queues_its_packet_too() {
    let (port, socket, mut peer) = associated(1);
    let mut ov = overlapped();
    assert!([Ok(5), PENDING].contains(&send(socket, b"hello", &mut ov)));
    assert_eq!(success(port, 1, &ov), 5);
    assert_eq!(read_exactly(&mut peer, 5), b"hello");
    peer.write_all(b"there").unwrap();
    let mut room = [0; 8];
    assert!([Ok(5), PENDING].contains(&recv(socket, &mut room, &mut ov)));
    assert_eq!(success(port, 1, &ov), 5);
    assert_eq!(&room[..5], b"there");
    nothing(port);
    close(socket);
    close_handle(port);
}

#[test]
fn pk_5_what_is_refused_queues_none() {
    let port = port();
    let socket = tcp();
    associate(socket, port, 1);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), Err(WSAENOTCONN));
    assert_eq!(send(socket, b"x", &mut ov), Err(WSAENOTCONN));
    assert_ne!(ov.Internal, STATUS_PENDING);
    nothing(port);
    close(socket);
    assert_eq!(send(socket, b"x", &mut ov), Err(WSAENOTSOCK));
    close_handle(port);
}

#[test]
fn pk_7_a_marked_event_is_set_and_no_packet_comes() {
    let (port, socket, mut peer) = associated(1);
    let event = event(true, true);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    ov.hEvent = (event as usize | 1) as HANDLE;
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    peer.write_all(b"abc").unwrap();
    assert_eq!(result(socket as HANDLE, &mut ov), Ok(3));
    nothing(port);
    close(socket);
    close_handle(event);
    close_handle(port);
}

#[test]
fn pk_8_pk_10_an_event_is_set_at_the_end_and_the_packet_comes() {
    let (port, socket, mut peer) = associated(1);
    let event = event(true, true);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    ov.hEvent = event;
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    // EV-1: it was reset.
    assert_eq!(
        result_now(socket as HANDLE, &mut ov),
        Err(ERROR_IO_INCOMPLETE)
    );
    peer.write_all(b"abc").unwrap();
    // Nobody has to take the packet for it.
    assert_eq!(result(socket as HANDLE, &mut ov), Ok(3));
    assert_eq!(success(port, 1, &ov), 3);
    close(socket);
    close_handle(event);
    close_handle(port);
}

#[test]
fn pk_8_what_was_started_without_an_event_goes_on_when_one_with_an_event_comes() {
    let (port, socket, mut peer) = associated(1);
    let (mut first, mut second) = (overlapped(), overlapped());
    let mut rooms = [[0; 3]; 2];
    assert_eq!(recv(socket, &mut rooms[0], &mut first), PENDING);
    let event = event(true, false);
    second.hEvent = event;
    assert_eq!(recv(socket, &mut rooms[1], &mut second), PENDING);
    peer.write_all(b"abcdef").unwrap();
    // IO-5: in the order of the calls.
    assert_eq!(result(socket as HANDLE, &mut second), Ok(3));
    assert_eq!(rooms, [*b"abc", *b"def"]);
    assert_eq!(success(port, 1, &first), 3);
    assert_eq!(success(port, 1, &second), 3);
    close(socket);
    close_handle(event);
    close_handle(port);
}

#[test]
fn pk_8_a_send_that_is_partly_out_goes_on_when_an_event_comes() {
    let (port, socket, mut peer) = associated(1);
    // More than the system takes at once.
    let content: Vec<u8> = (0..8 << 20).map(|at: u32| (at % 251) as u8).collect();
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(send(socket, &content, &mut ov), PENDING);
    let mut with_event = overlapped();
    with_event.hEvent = event(true, false);
    assert_eq!(recv(socket, &mut room, &mut with_event), PENDING);
    assert!(read_exactly(&mut peer, 8 << 20) == content);
    peer.write_all(b"x").unwrap();
    assert_eq!(result(socket as HANDLE, &mut with_event), Ok(1));
    assert_eq!(success(port, 1, &ov), 8 << 20);
    assert_eq!(success(port, 1, &with_event), 1);
    close(socket);
    close_handle(with_event.hEvent);
    close_handle(port);
}

#[test]
fn pk_9_an_operation_that_was_started_is_pending() {
    let (port, socket, _peer) = associated(1);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    (ov.InternalHigh, ov.Offset, ov.OffsetHigh) = (1, 2, 3);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    assert_eq!(ov.Internal, STATUS_PENDING);
    assert_eq!((ov.InternalHigh, ov.Offset, ov.OffsetHigh), (1, 2, 3));
    close(socket);
    close_handle(port);
}

#[test]
fn pk_10_the_status_is_written_when_the_packet_is_taken() {
    let (port, socket, mut peer) = associated(1);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(send(socket, b"x", &mut ov), PENDING);
    assert_eq!(read_exactly(&mut peer, 1), b"x");
    // What has ended at once is written at once.
    assert_eq!((ov.Internal, ov.InternalHigh), (0, 1));
    assert_eq!(success(port, 1, &ov), 1);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    peer.write_all(b"x").unwrap();
    assert_eq!(ov.Internal, STATUS_PENDING);
    assert_eq!(success(port, 1, &ov), 1);
    close(socket);
    close_handle(port);
}

#[test]
fn pk_10_a_program_that_spins_after_closesocket_goes_on() {
    let (port, socket, _peer) = associated(1);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    close(socket);
    // HasOverlappedIoCompleted, and nobody takes packets.
    assert_ne!(ov.Internal, STATUS_PENDING);
    assert_eq!(failure(port, 1, &ov), ERROR_CONNECTION_ABORTED);
    close_handle(port);
}

#[test]
fn pk_10_without_a_port_it_is_written_at_the_end() {
    let (socket, mut peer) = connected();
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    peer.write_all(b"abc").unwrap();
    let internal = &raw const ov.Internal;
    // SAFETY: it is there, and written by another thread.
    until(|| unsafe { internal.read_volatile() } != STATUS_PENDING);
    assert_eq!(result_now(socket as HANDLE, &mut ov), Ok(3));
    close(socket);
}

#[test]
fn pk_8_without_an_event_the_socket_is_signalled() {
    let (socket, mut peer) = connected();
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    for text in [&b"a"[..], b"bc"] {
        assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
        assert_eq!(
            result_now(socket as HANDLE, &mut ov),
            Err(ERROR_IO_INCOMPLETE)
        );
        peer.write_all(text).unwrap();
        assert_eq!(result(socket as HANDLE, &mut ov), Ok(text.len() as u32));
    }
    close(socket);
}

#[test]
fn pk_8_a_wait_for_an_associated_socket_needs_nobody_who_takes_packets() {
    let (port, socket, mut peer) = associated(1);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    peer.write_all(b"abc").unwrap();
    assert_eq!(result(socket as HANDLE, &mut ov), Ok(3));
    assert_eq!(success(port, 1, &ov), 3);
    close(socket);
    close_handle(port);
}

#[test]
fn go_1_the_result_looks_at_the_structure_alone() {
    let mut ov = overlapped();
    (ov.Internal, ov.InternalHigh) = (0, 42);
    // No file at all.
    let nothing = 0x1234_5678 as HANDLE;
    assert_eq!(result_now(nothing, &mut ov), Ok(42));
    ov.Internal = STATUS_CANCELLED;
    assert_eq!(result_now(nothing, &mut ov), Err(ERROR_OPERATION_ABORTED));
    ov.Internal = STATUS_PENDING;
    assert_eq!(result_now(nothing, &mut ov), Err(ERROR_IO_INCOMPLETE));
    let event = event(true, true);
    ov.hEvent = event;
    assert_eq!(result(nothing, &mut ov), Ok(42));
    close_handle(event);
}

#[test]
fn go_2_the_result_can_be_waited_for_for_a_time() {
    let event = event(true, false);
    let mut ov = overlapped();
    ov.Internal = STATUS_PENDING;
    ov.hEvent = event;
    let mut bytes = UNTOUCHED;
    for (time, error) in [(0, ERROR_IO_INCOMPLETE), (10, WAIT_TIMEOUT)] {
        // SAFETY: all are valid.
        let ok =
            unsafe { GetOverlappedResultEx(std::ptr::null_mut(), &mut *ov, &mut bytes, time, 0) };
        assert_eq!((ok, GetLastError(), bytes), (0, error, UNTOUCHED));
    }
    close_handle(event);
}

#[test]
fn go_3_winsocks_result_knows_the_socket_and_winsocks_errors() {
    let (socket, _peer) = connected();
    let mut ov = overlapped();
    let (mut bytes, mut flags) = (0, 0);
    let mut ask = |socket, ov: &mut _| {
        // SAFETY: all are valid.
        match unsafe { WSAGetOverlappedResult(socket, ov, &mut bytes, 0, &mut flags) } {
            0 => Err(GetLastError()),
            _ => Ok(bytes),
        }
    };
    ov.InternalHigh = 3;
    assert_eq!(ask(socket, &mut *ov), Ok(3));
    for (status, error) in [
        (0xc000_020d, WSAECONNRESET),
        (0x8000_0005, 10040),
        (0xc000_0236, 10061),
        (0xc000_0241, 10053),
        (STATUS_CANCELLED, 995),
        (0xc123_4567, WSAEINVAL),
        (STATUS_PENDING, ERROR_IO_INCOMPLETE),
    ] {
        ov.Internal = status;
        assert_eq!(ask(socket, &mut *ov), Err(error), "{status:x}");
    }
    close(socket);
    assert_eq!(ask(socket, &mut *ov), Err(WSAENOTSOCK));
}
