//! Chapter 5 for pipes.

use std::sync::Arc;
use std::time::Duration;

use overlapped::{Buffer, Endpoint, Kind, Operation, Start, Status};

use crate::world::{Op, Port, Sock, System, World, get, nothing, room, text};

/// A port with both ends of a pipe.
fn piped() -> (Port, Sock, Sock) {
    let port = System::new().port();
    let (reader, writer) = overlapped::pipe().unwrap();
    // PO-6: on Linux they share an inode, and are two things all the same.
    let reader = port.associate(reader, 1).unwrap();
    let writer = port.associate(writer, 2).unwrap();
    (port, reader, writer)
}

#[test]
fn io_5_io_6_a_pipe_moves_bytes_in_order() {
    let (port, reader, writer) = piped();
    let long: Vec<u8> = (0..500_000u32).map(|n| (n / 7) as u8).collect();
    for part in long.chunks(50_000) {
        writer.send(text(part, 0)).unwrap();
    }
    let (mut sent, mut received) = (0, Vec::<u8>::new());
    reader.recv(room(3000, 1)).unwrap();
    while sent < 10 || received.len() < long.len() {
        let packet = get(&port);
        if *packet.operation.user() == 0 {
            assert_eq!(packet.result().unwrap(), 50_000);
            sent += 1;
        } else {
            received.extend(packet.operation.bytes());
            reader.recv(packet.operation).unwrap();
        }
    }
    assert!(received == long);
    nothing(&port);
    // Several that wait, and one after the other is served.
    reader.recv(room(2, 2)).unwrap();
    for (user, byte) in [(1, b"x"), (2, b"y")] {
        writer.send(text(byte, 0)).unwrap();
        // The two ends' packets have no order between them.
        let packets = [get(&port), get(&port)];
        let received = packets.iter().find(|packet| *packet.operation.user() != 0);
        let operation = &received.unwrap().operation;
        assert_eq!((*operation.user(), operation.bytes()), (user, &byte[..]));
    }
}

#[test]
fn io_19_a_pipe_whose_writer_has_gone_is_broken() {
    for pending in [true, false] {
        let (port, reader, writer) = piped();
        writer.send(text(b"last", 0)).unwrap();
        get(&port);
        reader.recv(room(9, 0)).unwrap();
        assert_eq!(get(&port).operation.bytes(), b"last");
        if pending {
            reader.recv(room(9, 0)).unwrap();
            nothing(&port);
        }
        drop(writer);
        if !pending {
            reader.recv(room(9, 0)).unwrap();
        }
        let packet = get(&port);
        assert_eq!((packet.status, packet.bytes), (Status::PIPE_BROKEN, 0));
        assert_eq!(packet.status.win32(), 109);
        reader.recv_zero(room(0, 0)).unwrap();
        assert_eq!(get(&port).status, Status::PIPE_BROKEN);
    }
}

/// And no signal: the default action would end this process.
#[test]
fn io_19_a_pipe_whose_reader_has_gone_is_broken() {
    #[cfg(unix)]
    // SAFETY: sets a disposition; no handler is involved.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    for pending in [true, false] {
        let (port, reader, writer) = piped();
        let bytes = vec![1; if pending { 1_000_000 } else { 1 }];
        if pending {
            writer.send(text(&bytes, 0)).unwrap();
            nothing(&port);
            drop(reader);
        } else {
            drop(reader);
            writer.send(text(&bytes, 0)).unwrap();
        }
        assert_eq!(get(&port).status, Status::PIPE_BROKEN);
    }
    #[cfg(unix)]
    // SAFETY: as above.
    unsafe {
        libc::signal(libc::SIGPIPE, before)
    };
}

#[test]
fn io_4_a_zero_byte_receive_on_a_pipe_takes_nothing() {
    let (port, reader, writer) = piped();
    reader.recv_zero(room(0, 0)).unwrap();
    nothing(&port);
    writer.send(text(b"data", 1)).unwrap();
    for _ in 0..2 {
        assert_eq!(get(&port).status, Status::SUCCESS);
    }
    reader.recv(room(9, 0)).unwrap();
    assert_eq!(get(&port).operation.bytes(), b"data");
}

#[test]
fn what_an_end_of_a_pipe_cannot_do_is_refused_with_a_reason() {
    let (port, reader, writer) = piped();
    let refused = reader.send(text(b"x", 0)).unwrap_err();
    assert_eq!(refused.status, Status::NOT_SUPPORTED);
    assert!(refused.error.to_string().contains("a pipe's reading end"));
    let refused = writer.recv(room(1, 0)).unwrap_err();
    assert!(refused.error.to_string().contains("a pipe's writing end"));
    assert!(reader.accept(room(0, 0)).is_err());
    assert!(reader.shutdown(std::net::Shutdown::Both).is_err());
    nothing(&port);
    assert!(writer.recv_pooled(room(0, 0)).is_err());
    assert!(reader.local_addr().is_err());
    assert!(reader.set_nodelay(true).is_err());
}

/// PO-6.
#[test]
fn an_end_of_a_pipe_goes_back_to_std_where_anything_does() {
    let (_port, reader, _writer) = piped();
    #[cfg(unix)]
    {
        use std::os::fd::AsRawFd;
        let fd = reader.into_owned_fd().unwrap();
        // SAFETY: asks for the flags of an open descriptor.
        let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
        assert_eq!(flags & libc::O_NONBLOCK, 0);
    }
    #[cfg(windows)]
    assert!(reader.into_tcp_stream().is_err());
}

/// One that is taken by nobody, so that a send waits behind what the system keeps.
const LONG: usize = 1_000_000;

fn long(user: u64) -> Op {
    text(&vec![7; LONG], user)
}

#[test]
fn cx_1_cx_5_operations_on_a_pipe_are_cancelled() {
    let (port, reader, writer) = piped();
    let first = reader.recv(room(9, 1)).unwrap();
    reader.recv(room(9, 2)).unwrap();
    nothing(&port);
    assert!(reader.cancel(first));
    assert!(!reader.cancel(first), "CX-2");
    assert!(!writer.cancel(first));
    let packet = get(&port);
    assert_eq!(*packet.operation.user(), 1);
    assert_eq!((packet.status, packet.bytes), (Status::CANCELLED, 0));
    // The other one is served as if there had been none.
    writer.send(text(b"x", 3)).unwrap();
    let packets = [get(&port), get(&port)];
    let received = packets.iter().find(|packet| *packet.operation.user() == 2);
    assert_eq!(received.unwrap().operation.bytes(), b"x");

    let started = writer.send(long(4)).unwrap();
    writer.send(long(5)).unwrap();
    nothing(&port);
    assert!(writer.cancel(started));
    let packet = get(&port);
    assert_eq!(*packet.operation.user(), 4);
    assert_eq!(packet.status, Status::CANCELLED);
    assert!(packet.bytes < LONG);
    assert_eq!(writer.cancel_all(), 1);
    assert_eq!(get(&port).status, Status::CANCELLED);
    nothing(&port);
}

#[test]
fn tm_7_operations_on_a_pipe_can_have_a_deadline() {
    let within = |mut operation: Op, bound| {
        operation.set_timeout(Some(bound));
        operation
    };
    let (port, reader, writer) = piped();
    let at_once = Duration::ZERO;
    let late = || assert_eq!(get(&port).status, Status::IO_TIMEOUT);
    reader.recv(within(room(9, 0), at_once)).unwrap();
    late();
    reader.recv_zero(within(room(0, 0), at_once)).unwrap();
    late();
    writer.send(within(long(0), at_once)).unwrap();
    late();
    assert_eq!(port.stats().timers, 0);
    // It is as good as before. (Some of the long one may be in it.)
    let mut receive = within(room(LONG, 1), Duration::from_secs(3600));
    writer.send(text(b"end", 2)).unwrap();
    loop {
        reader.recv(receive).unwrap();
        let packet = loop {
            let packet = get(&port);
            assert_eq!(packet.status, Status::SUCCESS);
            if *packet.operation.user() == 1 {
                break packet;
            }
        };
        if packet.operation.bytes().ends_with(b"end") {
            break;
        }
        receive = packet.operation;
    }
    assert_eq!(port.stats().timers, 0);
}

#[test]
fn cx_6_closing_an_end_of_a_pipe() {
    let (port, reader, writer) = piped();
    reader.recv(room(9, 0)).unwrap();
    reader.close();
    let packet = get(&port);
    assert_eq!(packet.status, Status::CONNECTION_ABORTED);
    let refused = reader.recv(packet.operation).unwrap_err();
    assert_eq!(refused.status, Status::INVALID_HANDLE);
    writer.send(text(b"x", 0)).unwrap();
    assert_eq!(get(&port).status, Status::PIPE_BROKEN);

    // What was started before goes out.
    let (port, reader, writer) = piped();
    writer.send(long(1)).unwrap();
    nothing(&port);
    writer.close();
    let (mut received, mut sent) = (0, false);
    let mut receive = room(50_000, 0);
    while received < LONG || !sent {
        if received < LONG {
            reader.recv(receive).unwrap();
        }
        let mut packet = get(&port);
        if *packet.operation.user() == 1 {
            assert_eq!((packet.status, packet.bytes), (Status::SUCCESS, LONG));
            sent = true;
            if received == LONG {
                break;
            }
            packet = get(&port);
        }
        assert_eq!(packet.status, Status::SUCCESS);
        received += packet.bytes;
        receive = packet.operation;
    }
    reader.recv(room(9, 0)).unwrap();
    assert_eq!(get(&port).status, Status::PIPE_BROKEN);
}

/// The linger time over, they end; and the reader has what went out until then.
#[test]
fn cx_6_closing_a_writer_without_time_to_linger() {
    let builder = overlapped::CompletionPort::builder().linger(Duration::ZERO);
    let port = System::new().build(builder.concurrency(1));
    let (reader, writer) = overlapped::pipe().unwrap();
    let reader = port.associate(reader, 1).unwrap();
    let writer = port.associate(writer, 2).unwrap();
    writer.send(long(0)).unwrap();
    writer.close();
    assert_eq!(get(&port).status, Status::CONNECTION_ABORTED);
    let mut receive = room(LONG, 0);
    let status = loop {
        reader.recv(receive).unwrap();
        let packet = get(&port);
        if packet.bytes == 0 {
            break packet.status;
        }
        receive = packet.operation;
    };
    assert_eq!(status, Status::PIPE_BROKEN);
}

#[test]
fn cx_10_the_end_of_the_port_ends_what_a_pipe_has_under_way() {
    let bytes: Arc<[u8]> = vec![0; LONG].into();
    let (port, reader, writer) = piped();
    for user in 0..5 {
        writer.send(Operation::new(bytes.clone(), user)).unwrap();
    }
    let (other, _other_writer) = overlapped::pipe().unwrap();
    let other = port.associate(other, 3).unwrap();
    for user in 0..5 {
        other.recv(room(9, user)).unwrap();
    }
    assert_eq!(Arc::strong_count(&bytes), 6);
    port.close();
    assert_eq!(Arc::strong_count(&bytes), 1);
    assert!(reader.recv(room(9, 0)).is_err());
}

#[test]
fn what_is_under_way_is_counted_by_kind() {
    let (port, reader, writer) = piped();
    assert_eq!(port.under_way(), []);
    for user in 0..3 {
        reader.recv(room(9, user)).unwrap();
    }
    port.timer(text(b"", 4), Duration::from_secs(3600)).unwrap();
    let (_other, full) = overlapped::pipe().unwrap();
    let full = port.associate(full, 3).unwrap();
    full.send(long(5)).unwrap();
    full.send(long(6)).unwrap();
    nothing(&port);
    let expected = [(Kind::Recv, 3), (Kind::Send, 2), (Kind::Timer, 1)];
    assert_eq!(port.under_way(), expected);
    drop((reader, writer));
}

/// Each yields itself or its packet, and never both. Which of them is the engine's business.
#[test]
fn sk_1_a_pipe_can_skip_packets() {
    let (port, reader, writer) = piped();
    let ended = |start| match start {
        Start::Done(packet) => packet,
        Start::Pending(_) => get(&port),
    };
    for _ in 0..3 {
        let packet = ended(writer.direct().send(text(b"hello", 1)).unwrap());
        assert_eq!((packet.status, packet.bytes), (Status::SUCCESS, 5));
        let packet = ended(reader.direct().recv(room(9, 2)).unwrap());
        assert_eq!(packet.operation.bytes(), b"hello");
        nothing(&port);
        let Start::Pending(_) = reader.direct().recv(packet.operation).unwrap() else {
            panic!("there was nothing to receive");
        };
        writer.send(text(b"again", 1)).unwrap();
        let packets = [get(&port), get(&port)];
        let received = packets.iter().find(|packet| *packet.operation.user() == 2);
        assert_eq!(received.unwrap().operation.bytes(), b"again");
        nothing(&port);
    }
}

#[test]
fn vectored_operations_on_a_pipe_keep_their_pieces_in_order() {
    let (port, reader, writer) = piped();
    let pieces = vec![
        b"one ".to_vec(),
        Vec::new(),
        b"two ".to_vec(),
        b"three".to_vec(),
    ];
    let send = Operation::new(Buffer::Vectored(pieces), 0);
    writer.send(send).unwrap();
    assert_eq!(get(&port).bytes, 13);
    let rooms = vec![Vec::with_capacity(3), Vec::with_capacity(20)];
    let receive = Operation::new(Buffer::Vectored(rooms), 0);
    reader.recv(receive).unwrap();
    let packet = get(&port);
    assert_eq!(packet.bytes, 13);
    let Buffer::Vectored(pieces) = packet.operation.into_parts().0 else {
        panic!("it went in as such");
    };
    assert_eq!(pieces.concat(), b"one two three");
    // Nothing is nothing, and no end.
    writer.send(text(b"", 1)).unwrap();
    assert_eq!((get(&port).bytes, port.stats().queued), (0, 0));
    reader.recv(room(9, 2)).unwrap();
    nothing(&port);
    writer.send(text(b"x", 1)).unwrap();
    get(&port);
    get(&port);
}

/// What a child says, until it ends.
#[test]
fn io_19_a_childs_output_is_received() {
    let program = std::env::current_exe().unwrap();
    let mut child = std::process::Command::new(program)
        .arg("--list")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    #[cfg(unix)]
    let output = Endpoint::from(std::os::fd::OwnedFd::from(output));
    #[cfg(windows)]
    let output = Endpoint::from(std::os::windows::io::OwnedHandle::from(output));
    let port = System::new().port();
    let socket = port.associate(output, 1).unwrap();
    let (mut said, mut receive) = (Vec::new(), room(500, 0));
    loop {
        socket.recv(receive).unwrap();
        let packet = get(&port);
        said.extend_from_slice(packet.operation.bytes());
        match packet.status {
            Status::SUCCESS => receive = packet.operation,
            status => break assert_eq!(status, Status::PIPE_BROKEN),
        }
    }
    let said = String::from_utf8(said).unwrap();
    assert!(
        said.contains("io_19_a_childs_output_is_received: test"),
        "{said}"
    );
    assert!(child.wait().unwrap().success());
}

/// What cannot be waited for is not taken, and comes back.
#[cfg(windows)]
#[test]
fn po_5_handles_without_overlapped_operations_are_refused() {
    use std::os::windows::io::OwnedHandle;
    let port = System::new().port();
    let (reader, writer) = std::io::pipe().unwrap();
    for handle in [OwnedHandle::from(reader), writer.into()] {
        let refused = port.associate(handle, 5).unwrap_err();
        assert_eq!(refused.error.kind(), std::io::ErrorKind::Unsupported);
        assert!(matches!(refused.socket, Endpoint::Handle(_)));
        assert_eq!(refused.key, 5);
    }
    assert_eq!(port.stats().sockets, 0);
}
