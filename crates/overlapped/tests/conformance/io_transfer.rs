//! Chapter 5: receiving and sending.

use std::net::Shutdown;
use std::time::Duration;

use overlapped::{Buffer, Kind, Operation, Status};

use crate::world::{Op, Port, Remote, Sock, System, World, exchange, get, nothing, room, text};

crate::on_every_engine!(
    io_3_the_end_of_the_stream_comes_again_and_again,
    io_4_a_zero_byte_receive_waits_and_takes_nothing,
    io_5_receives_are_filled_in_the_order_of_their_start,
    io_6_sends_leave_in_the_order_of_their_start,
    io_7_a_send_completes_whole,
    io_8_a_receive_completes_with_what_is_there,
    io_12_a_stream_that_is_not_connected_refuses,
    io_14_a_reset_is_reported_for_ever,
    io_16_shutting_down_receiving_leaves_pending_receives,
    io_16_shutting_down_sending_lets_queued_sends_out,
    vectored_operations_fill_and_send_their_pieces_in_order,
    vectored_operations_may_have_more_pieces_than_a_system_call,
    shared_bytes_go_to_several_sockets,
    a_send_of_nothing_completes,
);

/// Receives until this many bytes came.
fn receive(port: &Port, socket: &Sock, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        socket.recv(room(count - bytes.len(), 0)).unwrap();
        let packet = get(port);
        assert_eq!(packet.status, Status::SUCCESS);
        assert!(
            packet.bytes > 0,
            "the stream ended after {} of {count} bytes",
            bytes.len()
        );
        bytes.extend_from_slice(packet.operation.bytes());
    }
    bytes
}

fn pattern(len: usize, seed: u32) -> Vec<u8> {
    (0..len as u32)
        .map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

#[test]
fn io_2_socket_timeouts_do_not_end_overlapped_operations() {
    let world = System::new();
    let port = world.port();
    let (endpoint, mut remote) = world.connected();
    let stream = std::net::TcpStream::from(endpoint.into_os().unwrap());
    stream
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    let socket = port.associate(stream, 1).unwrap();
    socket.recv(room(8, 0)).unwrap();
    assert!(port.get_timeout(Duration::from_millis(20)).is_err());
    remote.send(b"x");
    assert_eq!(get(&port).status, Status::SUCCESS);
}

/// Data and end are there before the association, and another thread waits in the engine: the one
/// edge that tells of both must not get lost on its way to a socket that is just being made.
#[test]
fn io_3_an_end_that_was_there_before_the_association_is_seen() {
    let world = System::new();
    let port: Port = world.build(overlapped::CompletionPort::builder().concurrency(4));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Ok(packet) = port.get_timeout(crate::world::WATCHDOG) {
                    let socket = packet.socket.unwrap();
                    if packet.bytes > 0 {
                        socket.recv(packet.operation).unwrap();
                    } else if *socket.key() == 1999 {
                        break;
                    }
                }
            });
        }
        let mut open = Vec::new();
        for key in 0..2000 {
            let (endpoint, mut remote) = world.connected();
            remote.send(b"all there is");
            remote.finish();
            let socket = port.associate(endpoint, key).unwrap();
            socket.recv(room(100, 0)).unwrap();
            drop(socket);
            open.push(remote);
            // The socket closes when its end was received.
            if open.len() == 50 {
                for remote in open.drain(..) {
                    assert_eq!({ remote }.recv_to_end(), b"");
                }
            }
        }
        port.close();
    });
}

fn io_3_the_end_of_the_stream_comes_again_and_again(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    remote.send(b"last");
    remote.finish();
    assert_eq!(receive(&port, &socket, 4), b"last");
    for _ in 0..3 {
        socket.recv(room(8, 0)).unwrap();
        let packet = get(&port);
        assert_eq!((packet.status, packet.bytes), (Status::SUCCESS, 0));
    }
    // Several at once, too.
    for user in 0..3 {
        socket.recv(room(8, user)).unwrap();
    }
    for user in 0..3 {
        let packet = get(&port);
        assert_eq!((*packet.operation.user(), packet.bytes), (user, 0));
    }
    // The other direction is untouched.
    socket.send(text(b"reply", 0)).unwrap();
    assert_eq!(get(&port).bytes, 5);
    assert_eq!(remote.recv(5), b"reply");
}

fn io_4_a_zero_byte_receive_waits_and_takes_nothing(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    socket.recv_zero(room(0, 0)).unwrap();
    nothing(&port);
    remote.send(b"data");
    let packet = get(&port);
    assert_eq!(
        (packet.kind, packet.status, packet.bytes),
        (Kind::RecvZero, Status::SUCCESS, 0)
    );
    // At once when data is there, and as often as asked.
    socket.recv_zero(packet.operation).unwrap();
    assert_eq!(get(&port).status, Status::SUCCESS);
    assert_eq!(receive(&port, &socket, 4), b"data");
    socket.recv_zero(room(0, 0)).unwrap();
    nothing(&port);
    remote.finish();
    assert_eq!(get(&port).status, Status::SUCCESS);
}

fn io_5_receives_are_filled_in_the_order_of_their_start(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    let sent = pattern(4 * 8, 5);
    for user in 0..8 {
        socket.recv(room(4, user)).unwrap();
    }
    remote.send(&sent);
    let mut received = vec![Vec::new(); 8];
    for _ in 0..8 {
        let packet = get(&port);
        received[*packet.operation.user() as usize] = packet.operation.bytes().to_vec();
    }
    // Each got at least one byte, and together they are a beginning of what was sent.
    assert!(received.iter().all(|piece| !piece.is_empty()));
    let received = received.concat();
    assert!(
        sent.starts_with(&received),
        "{received:?} is not the beginning of {sent:?}"
    );
    assert_eq!(
        receive(&port, &socket, sent.len() - received.len()),
        sent[received.len()..]
    );
}

fn io_6_sends_leave_in_the_order_of_their_start(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    // Together far more than the system buffers.
    let pieces: Vec<Vec<u8>> = (0..6).map(|n| pattern(400_000, n)).collect();
    for (user, piece) in pieces.iter().enumerate() {
        socket.send(text(piece, user as u64)).unwrap();
    }
    let sent = pieces.concat();
    let (packets, received) = exchange(&port, &mut remote, 6, sent.len());
    for (packet, user) in packets.iter().zip(0..) {
        assert_eq!(*packet.operation.user(), user);
        assert_eq!((packet.status, packet.bytes), (Status::SUCCESS, 400_000));
    }
    assert!(received == sent, "the bytes were mixed, lost or doubled");
    nothing(&port);
}

fn io_7_a_send_completes_whole(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    let bytes = pattern(3_000_000, 7);
    socket.send(text(&bytes, 0)).unwrap();
    let (packets, received) = exchange(&port, &mut remote, 1, bytes.len());
    assert_eq!(
        (packets[0].status, packets[0].bytes),
        (Status::SUCCESS, bytes.len())
    );
    assert!(received == bytes);
    nothing(&port);
}

fn io_8_a_receive_completes_with_what_is_there(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    socket.recv(room(10, 0)).unwrap();
    remote.send(b"abc");
    let packet = get(&port);
    assert!(packet.bytes >= 1 && packet.bytes <= 3);
    assert!(b"abc".starts_with(packet.operation.bytes()));
}

fn io_12_a_stream_that_is_not_connected_refuses(world: &impl World) {
    let port = world.port();
    let socket = port.associate(world.fresh(), 1).unwrap();
    let refused = socket.recv(room(8, 0)).unwrap_err();
    assert_eq!(refused.status, Status::INVALID_CONNECTION);
    let refused = socket.send(refused.operation).unwrap_err();
    assert_eq!(refused.status, Status::INVALID_CONNECTION);
    assert_eq!(refused.status.winsock(), 10057);
    nothing(&port);
}

fn io_14_a_reset_is_reported_for_ever(world: &impl World) {
    let (port, socket, remote) = world.port_and_socket(1);
    socket.recv(room(8, 0)).unwrap();
    socket.recv(room(8, 1)).unwrap();
    remote.reset();
    for user in 0..2 {
        let packet = get(&port);
        assert_eq!(*packet.operation.user(), user);
        assert_eq!(packet.status, Status::CONNECTION_RESET);
        assert_eq!(packet.status.win32(), 64);
    }
    for _ in 0..3 {
        let refused = socket.recv(room(8, 0)).unwrap_err();
        assert_eq!(refused.status, Status::CONNECTION_RESET);
        assert_eq!(refused.error.kind(), std::io::ErrorKind::ConnectionReset);
        let refused = socket.send(text(b"x", 0)).unwrap_err();
        assert_eq!(refused.status.winsock(), 10054);
    }
    nothing(&port);
}

fn io_16_shutting_down_receiving_leaves_pending_receives(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    socket.recv(room(8, 0)).unwrap();
    socket.shutdown(Shutdown::Read).unwrap();
    nothing(&port);
    remote.send(b"x");
    let packet = get(&port);
    assert_eq!((packet.status, packet.bytes), (Status::SUCCESS, 1));
    let refused = socket.recv(packet.operation).unwrap_err();
    assert_eq!(refused.status.winsock(), 10058);
    socket.shutdown(Shutdown::Read).unwrap();
}

fn io_16_shutting_down_sending_lets_queued_sends_out(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    let bytes = pattern(6_000_000, 16);
    socket.send(text(&bytes, 0)).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let refused = socket.send(text(b"x", 0)).unwrap_err();
    assert_eq!(refused.status.winsock(), 10058);
    let (packets, mut received) = exchange(&port, &mut remote, 1, bytes.len());
    assert_eq!(
        (packets[0].status, packets[0].bytes),
        (Status::SUCCESS, bytes.len())
    );
    received.extend(remote.recv_to_end());
    assert!(received == bytes);
    socket.shutdown(Shutdown::Write).unwrap();
}

fn vectored_operations_fill_and_send_their_pieces_in_order(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    let pieces = vec![
        b"one ".to_vec(),
        Vec::new(),
        b"two ".to_vec(),
        b"three".to_vec(),
    ];
    socket
        .send(Operation::new(Buffer::Vectored(pieces), 0))
        .unwrap();
    assert_eq!(get(&port).bytes, 13);
    assert_eq!(remote.recv(13), b"one two three");

    remote.send(b"abcdefghij");
    let mut received = Vec::new();
    while received.len() < 10 {
        let rooms = vec![
            Vec::with_capacity(3),
            Vec::with_capacity(2),
            Vec::with_capacity(8),
        ];
        let rooms_len: usize = rooms.iter().map(Vec::capacity).sum();
        socket
            .recv(Operation::new(Buffer::Vectored(rooms), 0))
            .unwrap();
        let packet = get(&port);
        assert!(packet.bytes >= 1 && packet.bytes <= rooms_len);
        let Buffer::Vectored(pieces) = packet.operation.into_parts().0 else {
            panic!()
        };
        assert_eq!(pieces.iter().map(Vec::len).sum::<usize>(), packet.bytes);
        // A later piece has bytes only if the earlier ones are full.
        for (piece, next) in pieces.iter().zip(&pieces[1..]) {
            assert!(next.is_empty() || piece.len() == piece.capacity());
        }
        received.extend(pieces.concat());
    }
    assert_eq!(received, b"abcdefghij");
}

fn vectored_operations_may_have_more_pieces_than_a_system_call(world: &impl World) {
    const EMPTY: usize = 1500;
    const PIECES: usize = 3000;
    let (port, socket, mut remote) = world.port_and_socket(1);
    let bytes = pattern(PIECES, 7);
    let pieces = |filled: fn(u8) -> Vec<u8>| {
        let empty = std::iter::repeat_with(Vec::new).take(EMPTY);
        empty
            .chain(bytes.iter().map(|byte| filled(*byte)))
            .collect()
    };
    let sent = Buffer::Vectored(pieces(|byte| vec![byte]));
    socket.send(Operation::new(sent, 0)).unwrap();
    assert_eq!(get(&port).bytes, PIECES);
    assert!(remote.recv(PIECES) == bytes);

    remote.send(&bytes);
    let mut received = Vec::new();
    while received.len() < PIECES {
        let rooms = Buffer::Vectored(pieces(|_| Vec::with_capacity(1)));
        socket.recv(Operation::new(rooms, 0)).unwrap();
        let packet = get(&port);
        assert!(packet.bytes > 0, "nothing had ended");
        let Buffer::Vectored(pieces) = packet.operation.into_parts().0 else {
            panic!()
        };
        received.extend(pieces.concat());
    }
    assert!(received == bytes);
}

fn shared_bytes_go_to_several_sockets(world: &impl World) {
    let port = world.port();
    let news: std::sync::Arc<[u8]> = b"news".as_slice().into();
    let mut remotes = Vec::new();
    for key in 0..4 {
        let (endpoint, remote) = world.connected();
        let socket = port.associate(endpoint, key).unwrap();
        let operation: Op = Operation::new(news.clone(), key);
        socket.send(operation).unwrap();
        remotes.push((socket, remote));
    }
    for (_socket, remote) in &mut remotes {
        assert_eq!(remote.recv(4), b"news");
    }
    for _ in 0..4 {
        let packet = get(&port);
        assert_eq!(packet.socket.unwrap().key(), packet.operation.user());
        let refused = remotes[0].0.recv(packet.operation).unwrap_err();
        assert_eq!(refused.error.kind(), std::io::ErrorKind::InvalidInput);
    }
    assert_eq!(std::sync::Arc::strong_count(&news), 1);
}

fn a_send_of_nothing_completes(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    socket.send(text(b"", 0)).unwrap();
    socket.send(text(b"x", 1)).unwrap();
    socket.send(text(b"", 2)).unwrap();
    for user in 0..3 {
        let packet = get(&port);
        assert_eq!(
            (*packet.operation.user(), packet.status),
            (user, Status::SUCCESS)
        );
    }
    assert_eq!(remote.recv(1), b"x");
}

#[test]
fn io_8_urgent_data_does_not_hide_what_follows() {
    let (port, socket, mut remote) = System::new().port_and_socket(1);
    remote.send(b"abc");
    socket2::SockRef::from(&remote)
        .send_out_of_band(b"x")
        .unwrap();
    remote.send(b"def");
    // All has arrived when the end has.
    remote.finish();
    let mut received = Vec::new();
    socket.recv(room(64, 0)).unwrap();
    loop {
        let packet = get(&port);
        assert_eq!(packet.status, Status::SUCCESS);
        if packet.bytes == 0 {
            break;
        }
        received.extend_from_slice(packet.operation.bytes());
        socket.recv(packet.operation).unwrap();
    }
    assert_eq!(received, b"abcdef");
}

/// The same while nothing tells of an end.
#[test]
fn io_8_urgent_data_comes_and_the_stream_goes_on() {
    let (port, socket, mut remote) = System::new().port_and_socket(1);
    let mut expected = Vec::new();
    let mut received = Vec::new();
    socket.recv(room(64, 0)).unwrap();
    for round in 100..150u8 {
        for part in [[round, 1], [round, 2]] {
            remote.send(&part);
            expected.extend_from_slice(&part);
            if part[1] == 1 {
                socket2::SockRef::from(&remote)
                    .send_out_of_band(b"!")
                    .unwrap();
            }
        }
        // Only the newest urgent byte is apart; an older one counts as data of the stream.
        while !received.ends_with(&[round, 2]) {
            let packet = get(&port);
            received.extend(
                packet
                    .operation
                    .bytes()
                    .iter()
                    .filter(|byte| **byte != b'!'),
            );
            socket.recv(packet.operation).unwrap();
        }
    }
    expected.retain(|byte| *byte != b'!');
    assert_eq!(received, expected);
}

#[test]
fn a_direction_that_was_shut_down_elsewhere_is_no_reset() {
    let (endpoint, mut remote) = System::new().connected();
    let stream = std::net::TcpStream::from(endpoint.into_os().unwrap());
    stream.shutdown(Shutdown::Write).unwrap();
    let port = System::new().port();
    let socket = port.associate(stream, 1).unwrap();
    // At once or in the packet (PK-5).
    let status = match socket.send(text(b"x", 0)) {
        Ok(_) => get(&port).status,
        Err(refused) => refused.status,
    };
    assert_eq!(status, Status::PIPE_DISCONNECTED);
    remote.send(b"hello");
    socket.recv(room(8, 0)).unwrap();
    assert_eq!(get(&port).operation.bytes(), b"hello");
}

#[test]
fn pk_5_a_refused_receive_leaves_its_buffer_alone() {
    let (_port, socket, _remote) = System::new().port_and_socket(1);
    socket.close();
    let mut operation = room(16, 0);
    operation.vec_mut().extend_from_slice(b"before");
    let refused = socket.recv(operation).unwrap_err();
    assert_eq!(refused.operation.bytes(), b"before");
}

/// So that a busy socket cannot keep a worker: a turn ends, and the rest waits like all others. On
/// Windows no worker makes transfers.
#[cfg(not(windows))]
#[test]
fn a_turn_has_an_end() {
    const RECEIVES: usize = 2000;
    let (port, socket, mut remote) = System::new().port_and_socket(1);
    for user in 0..RECEIVES as u64 {
        socket.recv(room(1, user)).unwrap();
    }
    let bytes = pattern(RECEIVES, 3);
    remote.send(&bytes);
    let first = get(&port);
    assert!(port.stats().queued < RECEIVES / 2);
    let mut received = first.operation.bytes().to_vec();
    for user in 1..RECEIVES as u64 {
        let packet = get(&port);
        assert_eq!(*packet.operation.user(), user);
        received.extend_from_slice(packet.operation.bytes());
    }
    assert!(received == bytes);
}
