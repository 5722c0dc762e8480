//! Chapter 6: cancelling and closing.

use std::io::{Read, Write};
use std::ptr::null_mut;

use overlapped_win32::abi::HANDLE;
use overlapped_win32::calls::select;

use crate::world::*;

#[test]
fn cx_1_one_operation_is_cancelled_and_the_others_stay() {
    let (port, socket, mut peer) = associated(1);
    let mut ovs: Vec<_> = (0..3).map(|_| overlapped()).collect();
    let mut rooms = [[0; 1]; 3];
    for (ov, room) in ovs.iter_mut().zip(&mut rooms) {
        assert_eq!(recv(socket, room, ov), PENDING);
    }
    let wanted = &raw mut *ovs[1];
    let (handle, address) = (socket, wanted as usize);
    // From any thread.
    std::thread::spawn(move || assert_eq!(CancelIoEx(handle as HANDLE, address as *mut _), 1))
        .join()
        .unwrap();
    assert_eq!(failure(port, 1, &ovs[1]), ERROR_OPERATION_ABORTED);
    peer.write_all(b"ac").unwrap();
    assert_eq!(success(port, 1, &ovs[0]), 1);
    assert_eq!(success(port, 1, &ovs[2]), 1);
    assert_eq!((rooms[0], rooms[2]), (*b"a", *b"c"));
    close(socket);
    close_handle(port);
}

#[test]
fn cx_2_nothing_to_be_cancelled() {
    let (port, socket, _peer) = associated(1);
    let mut ov = overlapped();
    for asked in [null_mut(), &raw mut *ov] {
        assert_eq!(CancelIoEx(socket as HANDLE, asked), 0);
        assert_eq!(GetLastError(), ERROR_NOT_FOUND);
    }
    assert_eq!(CancelIo(socket as HANDLE), 1);
    close(socket);
    assert_eq!(CancelIoEx(socket as HANDLE, null_mut()), 0);
    assert_eq!(GetLastError(), ERROR_INVALID_HANDLE);
    close_handle(port);
}

#[test]
fn cx_3_cancel_io_is_for_the_threads_own() {
    let (port, socket, _peer) = associated(1);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    std::thread::spawn(move || assert_eq!(CancelIo(socket as HANDLE), 1))
        .join()
        .unwrap();
    assert_eq!(ov.Internal, STATUS_PENDING);
    nothing(port);
    assert_eq!(CancelIo(socket as HANDLE), 1);
    assert_eq!(failure(port, 1, &ov), ERROR_OPERATION_ABORTED);
    close(socket);
    close_handle(port);
}

#[test]
fn cx_4_a_cancel_loses_no_data() {
    let (port, socket, mut peer) = associated(1);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    peer.write_all(b"abc").unwrap();
    CancelIoEx(socket as HANDLE, null_mut());
    let got = get(port);
    if !got.ok {
        assert_eq!((got.error, got.bytes), (ERROR_OPERATION_ABORTED, 0));
        assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
        assert_eq!(success(port, 1, &ov), 3);
    }
    assert_eq!(&room[..3], b"abc");
    close(socket);
    close_handle(port);
}

#[test]
fn cx_6_closing_ends_what_is_under_way_and_tells_the_peer() {
    let (port, socket, mut peer) = associated(8);
    let mut ovs: Vec<_> = (0..3).map(|_| overlapped()).collect();
    let mut rooms = [[0; 4]; 3];
    for (ov, room) in ovs.iter_mut().zip(&mut rooms) {
        assert_eq!(recv(socket, room, ov), PENDING);
    }
    close(socket);
    for ov in &ovs {
        assert_eq!(failure(port, 8, ov), ERROR_CONNECTION_ABORTED);
    }
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(closesocket(socket), -1);
    assert_eq!(GetLastError(), WSAENOTSOCK);
    close_handle(port);
}

#[test]
fn cx_6_a_datagram_socket_and_a_listener_end_as_cancelled() {
    let port = port();
    let socket = udp();
    assert_eq!(bind(socket, any()), 0);
    associate(socket, port, 1);
    let (mut ov, mut room) = (overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
    close(socket);
    assert_eq!(failure(port, 1, &ov), ERROR_OPERATION_ABORTED);
    close_handle(port);
}

#[test]
fn cx_6_what_was_sent_before_the_close_arrives() {
    let (port, socket, mut peer) = associated(1);
    // More than the system takes at once.
    let content: Vec<u8> = (0..8 << 20).map(|at: u32| (at % 251) as u8).collect();
    let mut ov = overlapped();
    assert_eq!(send(socket, &content, &mut ov), PENDING);
    close(socket);
    let handle = port as usize;
    let takes = std::thread::spawn(move || {
        let got = get(handle as HANDLE);
        (got.ok, got.bytes)
    });
    let mut received = Vec::new();
    peer.read_to_end(&mut received).unwrap();
    assert!(received == content);
    assert_eq!(takes.join().unwrap(), (true, 8 << 20));
    close_handle(port);
}

#[test]
fn cx_6_what_was_sent_before_the_close_arrives_though_nobody_takes_packets() {
    let (port, socket, mut peer) = associated(1);
    let content: Vec<u8> = (0..8 << 20).map(|at: u32| (at % 251) as u8).collect();
    let mut ov = overlapped();
    assert_eq!(send(socket, &content, &mut ov), PENDING);
    assert_eq!(ov.Internal, STATUS_PENDING);
    close(socket);
    let mut received = Vec::new();
    peer.read_to_end(&mut received).unwrap();
    assert!(received == content);
    // HasOverlappedIoCompleted (PK-10).
    let internal = &raw const ov.Internal;
    // SAFETY: it is there, and written by another thread.
    until(|| unsafe { internal.read_volatile() } != STATUS_PENDING);
    assert_eq!(success(port, 1, &ov), 8 << 20);
    close_handle(port);
}

#[test]
fn cx_7_operations_stay_until_the_last_handle_is_closed() {
    for original_first in [true, false] {
        let (port, socket, mut peer) = associated(1);
        let other = duplicate(socket as HANDLE) as usize;
        let (first, last) = match original_first {
            true => (socket, other),
            false => (other, socket),
        };
        let (mut ov, mut room) = (overlapped(), [0; 8]);
        assert_eq!(recv(socket, &mut room, &mut ov), PENDING);
        close(first);
        nothing(port);
        peer.write_all(b"x").unwrap();
        assert_eq!(success(port, 1, &ov), 1);
        assert_eq!(recv(last, &mut room, &mut ov), PENDING);
        close(last);
        assert_eq!(failure(port, 1, &ov), ERROR_CONNECTION_ABORTED);
        close_handle(port);
    }
}

#[test]
fn cx_8_an_associated_receive_outlives_its_thread() {
    let (port, socket, mut peer) = associated(1);
    let mut ov = overlapped();
    let mut room = [0u8; 8];
    std::thread::scope(|scope| {
        let (ov, room) = (&mut *ov as *mut _ as usize, room.as_mut_ptr() as usize);
        scope.spawn(move || {
            // SAFETY: both live longer than the operation.
            let (ov, room) = unsafe {
                (
                    &mut *(ov as *mut _),
                    std::slice::from_raw_parts_mut(room as *mut u8, 8),
                )
            };
            assert_eq!(recv(socket, room, ov), PENDING);
        });
    });
    peer.write_all(b"abc").unwrap();
    assert_eq!(success(port, 1, &ov), 3);
    close(socket);
    close_handle(port);
}

#[test]
fn cx_10_queued_packets_are_discarded_with_the_port() {
    let (port, socket, mut peer) = associated(1);
    let mut ov = overlapped();
    assert_eq!(send(socket, b"x", &mut ov), PENDING);
    assert_eq!(PostQueuedCompletionStatus(port, 0, 0, null_mut()), 1);
    close_handle(port);
    assert_eq!(read_exactly(&mut peer, 1), b"x");
    assert_ne!(ov.Internal, STATUS_PENDING);
    close(socket);
}

#[test]
fn cx_10_a_discarded_packet_is_not_written_to_what_may_be_gone() {
    let (port, socket, mut peer) = associated(1);
    let (mut sent, mut received, mut room) = (overlapped(), overlapped(), [0; 8]);
    assert_eq!(recv(socket, &mut room, &mut received), PENDING);
    assert_eq!(send(socket, b"x", &mut sent), PENDING);
    close(socket);
    assert_eq!(read_exactly(&mut peer, 1), b"x");
    // Both are over, as the program can see, and it uses the memory otherwise.
    assert_ne!(sent.Internal, STATUS_PENDING);
    assert_ne!(received.Internal, STATUS_PENDING);
    for ov in [&mut sent, &mut received] {
        (ov.Internal, ov.InternalHigh) = (4711, 4712);
    }
    close_handle(port);
    for ov in [sent, received] {
        assert_eq!((ov.Internal, ov.InternalHigh), (4711, 4712));
    }
}

#[test]
fn closesocket_ends_a_select() {
    let (socket, _peer) = connected();
    let selects = std::thread::spawn(move || {
        let mut set = overlapped_win32::net::types::fd_set {
            fd_count: 1,
            fd_array: [0; 64],
        };
        set.fd_array[0] = socket;
        let null = null_mut();
        // SAFETY: the set is valid.
        let count = unsafe { select::overlapped_select(0, &mut set, null, null, NO_TIME) };
        (count, GetLastError())
    });
    std::thread::sleep(std::time::Duration::from_millis(20));
    close(socket);
    assert_eq!(selects.join().unwrap(), (-1, WSAENOTSOCK));
}

#[test]
fn closesocket_wakes_a_blocked_accept_and_a_blocked_receive() {
    let (listener, _) = listening();
    let accepts = std::thread::spawn(move || {
        // SAFETY: no name is asked for.
        let accepted = unsafe { overlapped_accept(listener, NO_NAME, null_mut()) };
        (accepted, GetLastError())
    });
    let (socket, _peer) = connected();
    let receives = std::thread::spawn(move || recv_now(socket, &mut [0; 8]));
    std::thread::sleep(std::time::Duration::from_millis(20));
    close(listener);
    close(socket);
    let (accepted, error) = accepts.join().unwrap();
    assert_eq!(accepted, usize::MAX);
    // The latter if it had not begun yet.
    assert!([10004, WSAENOTSOCK].contains(&error), "{error}");
    let error = receives.join().unwrap().unwrap_err();
    assert!([10053, WSAENOTSOCK].contains(&error), "{error}");
}

#[test]
fn cx_8_without_a_port_or_with_an_event_operations_end_with_their_thread() {
    for with_port in [false, true] {
        let (socket, _peer) = connected();
        let port = port();
        if with_port {
            associate(socket, port, 1);
        }
        let mut ov = overlapped();
        ov.hEvent = event(true, false);
        let mut room = [0u8; 8];
        std::thread::scope(|scope| {
            let (ov, room) = (&raw mut *ov as usize, room.as_mut_ptr() as usize);
            scope.spawn(move || {
                // SAFETY: both live longer than the operation.
                let (ov, room) = unsafe {
                    let room = std::slice::from_raw_parts_mut(room as *mut u8, 8);
                    (&mut *(ov as *mut _), room)
                };
                assert_eq!(recv(socket, room, ov), PENDING);
            });
        });
        assert_eq!(
            result(socket as HANDLE, &mut ov),
            Err(ERROR_OPERATION_ABORTED)
        );
        match with_port {
            true => assert_eq!(failure(port, 1, &ov), ERROR_OPERATION_ABORTED),
            false => nothing(port),
        }
        close(socket);
        close_handle(ov.hEvent);
        close_handle(port);
    }
}

#[test]
fn a_threads_last_destructor_may_wait_for_a_socket() {
    use std::cell::Cell;
    use std::sync::mpsc::{Sender, channel};

    /// Receives when its thread ends.
    struct Last {
        socket: usize,
        told: Sender<Result<i32, u32>>,
    }

    impl Drop for Last {
        fn drop(&mut self) {
            let received = recv_now(self.socket, &mut [0; 8]);
            self.told.send(received).unwrap();
        }
    }

    thread_local!(static LAST: Cell<Option<Last>> = const { Cell::new(None) });

    let (socket, mut peer) = connected();
    let (told, tells) = channel();
    let thread = std::thread::spawn(move || {
        LAST.set(Some(Last { socket, told }));
        // What waits for this is made after the variable, and is gone before it.
        assert_eq!(recv_now(socket, &mut [0; 8]), Ok(1));
    });
    // Long enough, mostly, that both have to wait.
    for byte in [b"a", b"b"] {
        std::thread::sleep(std::time::Duration::from_millis(50));
        peer.write_all(byte).unwrap();
    }
    assert_eq!(tells.recv().unwrap(), Ok(1));
    thread.join().unwrap();
    close(socket);
}
