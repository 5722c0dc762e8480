//! Chapter 2: getting packets.

use std::time::Duration;

use overlapped::{GetError, Status};

use crate::world::{Remote, World, get, nothing, room, text};

crate::on_every_engine!(
    gq_2a_a_failed_operation_is_a_packet_and_no_failed_get,
    gq_3_zero_polls,
    gx_1_a_batch_takes_what_is_there_in_order,
    gx_2_failed_operations_come_in_batches_too,
    gx_4_a_batch_of_none_is_refused,
);

fn gq_2a_a_failed_operation_is_a_packet_and_no_failed_get(world: &impl World) {
    let (port, socket, _remote) = world.port_and_socket(1);
    let started = socket.recv(room(8, 0)).unwrap();
    assert!(socket.cancel(started));
    let packet = get(&port);
    assert_eq!(packet.status, Status::CANCELLED);
    assert!(packet.result().is_err());
}

fn gq_3_zero_polls(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    assert!(matches!(
        port.get_timeout(Duration::ZERO),
        Err(GetError::TimedOut)
    ));
    socket.recv(room(8, 0)).unwrap();
    assert!(matches!(port.poll(), Err(GetError::TimedOut)));
    remote.send(b"x");
    assert_eq!(get(&port).bytes, 1);
    port.post(text(b"", 3), 0).unwrap();
    assert_eq!(*port.poll().unwrap().operation.user(), 3);
    nothing(&port);
}

fn gx_1_a_batch_takes_what_is_there_in_order(world: &impl World) {
    let port = world.port();
    for user in 0..5 {
        port.post(text(b"", user), 0).unwrap();
    }
    let mut packets = Vec::new();
    assert_eq!(port.get_many(&mut packets, 3, None).unwrap(), 3);
    assert_eq!(port.get_many(&mut packets, 100, None).unwrap(), 2);
    let users: Vec<u64> = packets
        .iter()
        .map(|packet| *packet.operation.user())
        .collect();
    assert_eq!(users, [0, 1, 2, 3, 4]);
    assert!(matches!(
        port.get_many(&mut packets, 1, Some(Duration::ZERO)),
        Err(GetError::TimedOut)
    ));
}

fn gx_2_failed_operations_come_in_batches_too(world: &impl World) {
    let (port, socket, _remote) = world.port_and_socket(1);
    for user in 0..3 {
        socket.recv(room(8, user)).unwrap();
    }
    port.post(text(b"", 9), 0).unwrap();
    assert_eq!(socket.cancel_all(), 3);
    let mut packets = Vec::new();
    while packets.len() < 4 {
        port.get_many(&mut packets, 8, None).unwrap();
    }
    let seen: Vec<_> = packets
        .iter()
        .map(|p| (*p.operation.user(), p.status))
        .collect();
    assert_eq!(
        seen,
        [
            (9, Status::SUCCESS),
            (0, Status::CANCELLED),
            (1, Status::CANCELLED),
            (2, Status::CANCELLED)
        ]
    );
}

fn gx_4_a_batch_of_none_is_refused(world: &impl World) {
    let port = world.port();
    match port.get_many(&mut Vec::new(), 0, None) {
        Err(GetError::Failed(error)) => {
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        }
        other => panic!("{other:?}"),
    }
}
