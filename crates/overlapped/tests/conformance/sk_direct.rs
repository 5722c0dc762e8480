//! Chapter 4a: skip on success.

use overlapped::{Kind, Packet, Start, Status};

use crate::world::{Remote, World, get, nothing, room, text};

crate::on_every_engine!(
    sk_1_what_ends_at_once_comes_back_and_queues_no_packet,
    sk_1_what_pends_queues_its_packet,
    sk_1_what_is_refused_is_refused_here_too,
    sk_1_several_at_a_time_keep_their_order,
    sk_1_a_deadline_is_lifted,
);

fn done<K, T>(start: Start<K, T>) -> Packet<K, T> {
    match start {
        Start::Done(packet) => packet,
        Start::Pending(started) => panic!("{started:?} should have ended at once"),
    }
}

fn sk_1_what_ends_at_once_comes_back_and_queues_no_packet(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(6);
    let packet = done(socket.direct().send(text(b"hello", 1)).unwrap());
    assert_eq!(
        (packet.kind, packet.status, packet.bytes),
        (Kind::Send, Status::SUCCESS, 5)
    );
    assert_eq!(*packet.operation.user(), 1);
    assert_eq!(*packet.socket.as_ref().unwrap().key(), 6);
    nothing(&port);
    assert_eq!(remote.recv(5), b"hello");
    // The usual way is not affected.
    socket.send(packet.operation).unwrap();
    assert_eq!(get(&port).bytes, 5);
    nothing(&port);
}

fn sk_1_what_pends_queues_its_packet(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    let Start::Pending(_) = socket.direct().recv(room(8, 1)).unwrap() else {
        panic!("there was nothing to receive");
    };
    let Start::Pending(second) = socket.direct().recv(room(8, 2)).unwrap() else {
        panic!("one waits before it");
    };
    remote.send(b"x");
    let packet = get(&port);
    assert_eq!((*packet.operation.user(), packet.bytes), (1, 1));
    assert!(socket.cancel(second));
    let packet = get(&port);
    assert_eq!(
        (*packet.operation.user(), packet.status),
        (2, Status::CANCELLED)
    );
    nothing(&port);
}

fn sk_1_what_is_refused_is_refused_here_too(world: &impl World) {
    let (port, socket, remote) = world.port_and_socket(1);
    socket.recv(room(8, 1)).unwrap();
    remote.reset();
    assert_eq!(get(&port).status, Status::CONNECTION_RESET);
    // Known by now, so it is not even started.
    let refused = socket.direct().send(text(b"x", 2)).unwrap_err();
    assert_eq!(refused.status, Status::CONNECTION_RESET);
    assert_eq!(*refused.operation.user(), 2);
    nothing(&port);
}

fn sk_1_several_at_a_time_keep_their_order(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    let large = vec![7; 4_000_000];
    let Start::Pending(large_one) = socket.direct().send(text(&large, 1)).unwrap() else {
        panic!("more than a socket takes");
    };
    // What waits behind it pends, however small.
    assert!(matches!(
        socket.direct().send(text(b"", 2)).unwrap(),
        Start::Pending(_)
    ));
    assert!(socket.cancel(large_one));
    let packet = get(&port);
    assert_eq!(*packet.operation.user(), 1);
    assert_eq!(remote.recv(packet.bytes).len(), packet.bytes);
    let packet = get(&port);
    assert_eq!(
        (*packet.operation.user(), packet.status),
        (2, Status::SUCCESS)
    );
    nothing(&port);
}

fn sk_1_a_deadline_is_lifted(world: &impl World) {
    let (port, socket, _remote) = world.port_and_socket(1);
    let mut operation = text(b"x", 1);
    operation.set_timeout(Some(std::time::Duration::from_secs(1000)));
    let packet = done(socket.direct().send(operation).unwrap());
    assert_eq!(packet.bytes, 1);
    assert_eq!(port.stats().timers, 0);
}
