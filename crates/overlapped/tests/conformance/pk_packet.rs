//! Chapter 2: packets.

use overlapped::{Kind, Status};

use crate::world::{Remote, World, get, nothing, room, text};

crate::on_every_engine!(
    pk_1_a_packet_carries_key_operation_bytes_and_status,
    pk_4_an_operation_that_completes_at_once_queues_its_packet,
    pk_5_a_refused_operation_queues_none,
    pk_6_each_operation_yields_one_packet,
    pk_11_the_operation_that_comes_back_can_be_started_again,
);

fn pk_1_a_packet_carries_key_operation_bytes_and_status(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(7);
    socket.recv(room(100, 42)).unwrap();
    remote.send(b"seven");
    let packet = get(&port);
    assert_eq!(packet.socket.as_ref(), Some(&socket));
    assert_eq!(*packet.socket.as_ref().unwrap().key(), 7);
    assert_eq!((packet.status, packet.kind), (Status::SUCCESS, Kind::Recv));
    assert_eq!(packet.bytes, packet.operation.bytes().len());
    assert_eq!(*packet.operation.user(), 42);
    assert!(b"seven".starts_with(packet.operation.bytes()) && packet.bytes > 0);
}

fn pk_4_an_operation_that_completes_at_once_queues_its_packet(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    socket.send(text(b"now", 1)).unwrap();
    let packet = get(&port);
    assert_eq!(
        (packet.kind, packet.bytes, packet.status),
        (Kind::Send, 3, Status::SUCCESS)
    );
    assert_eq!(remote.recv(3), b"now");
    nothing(&port);
}

fn pk_5_a_refused_operation_queues_none(world: &impl World) {
    let (port, socket, _remote) = world.port_and_socket(1);
    let refused = socket.recv(room(0, 9)).unwrap_err();
    assert_eq!(refused.error.kind(), std::io::ErrorKind::InvalidInput);
    assert_eq!(*refused.operation.user(), 9);
    let refused = socket.accept(refused.operation).unwrap_err();
    assert_eq!(refused.status, Status::INVALID_PARAMETER);
    nothing(&port);
}

fn pk_6_each_operation_yields_one_packet(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    for user in 0..10 {
        socket.recv(room(1, user)).unwrap();
        socket.send(text(b"s", 100 + user)).unwrap();
    }
    remote.send(b"12345");
    let mut seen = Vec::new();
    for _ in 0..15 {
        seen.push(*get(&port).operation.user());
    }
    nothing(&port);
    assert_eq!(socket.cancel_all(), 5);
    for _ in 0..5 {
        seen.push(*get(&port).operation.user());
    }
    nothing(&port);
    seen.sort_unstable();
    assert_eq!(seen, (0..10).chain(100..110).collect::<Vec<_>>());
}

fn pk_11_the_operation_that_comes_back_can_be_started_again(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    let mut operation = room(16, 0);
    let address = operation.vec_mut().as_ptr();
    for round in 0..50u8 {
        remote.send(&[round]);
        socket.recv(operation).unwrap();
        operation = get(&port).operation;
        assert_eq!(operation.bytes(), [round]);
        socket.send(operation).unwrap();
        operation = get(&port).operation;
        assert_eq!(remote.recv(1), [round]);
    }
    assert_eq!(
        operation.vec_mut().as_ptr(),
        address,
        "the buffer is the same one"
    );
}
