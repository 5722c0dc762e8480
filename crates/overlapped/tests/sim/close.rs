//! Closing with sends under way: they go out while the linger time lasts, and not longer.

use std::time::Duration;

use overlapped::{Kind, Status};

use crate::world::{Outcome, World, pattern, run, weather};

/// The port's default.
const LINGER: Duration = Duration::from_secs(10);

fn scenario(seed: u64) -> Outcome {
    let mut world = World::new(seed, weather(seed));
    let (socket, peer) = world.network.pair();
    let socket = world.associate(socket, 0);
    let mut data = Vec::new();
    // More than the window takes.
    for _ in 0..1 + world.random.index(5) {
        let len = 20_000 + world.random.index(20_000);
        let bytes = pattern(0, data.len(), len);
        data.extend(&bytes);
        let operation = world.operation(bytes);
        world
            .start(operation, |op| socket.send(op))
            .expect("it is connected");
    }
    let operation = world.operation(Vec::with_capacity(8));
    world
        .start(operation, |op| socket.recv(op))
        .expect("it is connected");
    let time = world.moment(Duration::from_secs(1));
    world.network.pass(time);

    socket.close();
    let deadline = world.network.now() + LINGER;
    // When the peer begins to read, if it ever does.
    let patience = world.random.chance(700).then(|| world.moment(2 * LINGER));
    let reads_from = patience.map(|time| world.network.now() + time);
    let mut came = Vec::new();
    let mut gone = 0;
    let mut aborted_at = None;
    while !world.started.is_empty() {
        world.watch(Duration::from_secs(60));
        if reads_from.is_some_and(|from| world.network.now() >= from) {
            came.extend(peer.take_received());
        }
        let timeout = world.moment(Duration::from_secs(1));
        let Some(packet) = world.get(timeout) else {
            continue;
        };
        match (packet.kind, packet.status) {
            // CX-6
            (Kind::Recv, Status::CONNECTION_ABORTED) => {}
            (Kind::Send, Status::SUCCESS) => {
                assert_eq!(packet.bytes, packet.operation.buffer().len(), "IO-7");
                assert_eq!(aborted_at, None, "IO-6: a later send went out");
                gone += packet.bytes;
            }
            (Kind::Send, Status::CONNECTION_ABORTED) => {
                aborted_at = Some(world.network.now());
                gone += packet.bytes;
            }
            // The network's own doing.
            (_, Status::CONNECTION_RESET) => assert!(world.network.counts().resets > 0),
            _ => panic!("{packet:?}"),
        }
    }
    match aborted_at {
        Some(at) => {
            assert!(at >= deadline, "aborted before its time");
            assert!(at <= deadline + 3 * LINGER / 10, "aborted too late: {at:?}");
        }
        None => assert!(
            world.network.now() <= deadline + LINGER / 2,
            "it went on sending"
        ),
    }
    // The last operation closed the socket, although there is a handle.
    assert_eq!(world.network.sockets(), 0);

    // What went out arrives, and then the end.
    let bound = world.network.now() + Duration::from_secs(3600);
    while !peer.has_end() && !peer.is_reset() {
        world.watch(bound);
        came.extend(peer.take_received());
        world.network.pass(Duration::from_millis(100));
    }
    came.extend(peer.take_received());
    if !peer.is_reset() {
        assert_eq!(came.len(), gone, "CX-5: the byte counts are true");
    }
    assert!(data.starts_with(&came), "IO-6");
    drop(socket);
    drop(peer);
    world.finish()
}

#[test]
fn a_closed_socket_sends_what_it_can_in_time() {
    run(
        "a_closed_socket_sends_what_it_can_in_time",
        scenario,
        |counts| counts.stalls > 0 && counts.full > 0,
    );
}

#[test]
fn a_closed_socket_whose_sends_are_cancelled_is_gone() {
    let mut world = World::new(1, overlapped::sim::Faults::none());
    let (socket, peer) = world.network.pair();
    let socket = world.associate(socket, 0);
    let operation = world.operation(vec![1; 1 << 20]);
    world.start(operation, |op| socket.send(op)).unwrap();
    socket.close();
    assert_eq!(socket.cancel_all(), 1);
    let packet = world
        .get(Duration::from_secs(1))
        .or_else(|| world.get(Duration::from_secs(1)));
    assert_eq!(packet.unwrap().status, Status::CANCELLED);
    assert_eq!(world.network.sockets(), 0, "nothing is left to linger for");
    drop((socket, peer));
    world.finish();
}

#[test]
fn after_a_shutdown_the_peer_is_told_although_the_sends_were_cancelled() {
    let mut world = World::new(1, overlapped::sim::Faults::none());
    let (socket, peer) = world.network.pair();
    let socket = world.associate(socket, 0);
    let operation = world.operation(vec![1; 1 << 20]);
    world.start(operation, |op| socket.send(op)).unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(socket.cancel_all(), 1);
    while !world.started.is_empty() {
        world.get(Duration::from_secs(1));
    }
    // Without reading: the end does not need room.
    world.network.pass(Duration::from_secs(1));
    assert!(peer.has_end(), "nobody told the peer");
    drop((socket, peer));
    world.finish();
}

#[test]
fn a_started_of_a_socket_that_is_gone_names_nothing() {
    let mut world = World::new(1, overlapped::sim::Faults::none());
    let (socket, old_peer) = world.network.pair();
    let socket = world.associate(socket, 0);
    let operation = world.operation(Vec::with_capacity(1));
    let old = world.start(operation, |op| socket.recv(op)).unwrap();
    socket.close();
    drop(socket);
    while !world.started.is_empty() {
        world.get(Duration::from_secs(1));
    }
    assert_eq!(world.network.sockets(), 0);

    // It takes the other's place in the port's table.
    let (socket, peer) = world.network.pair();
    let socket = world.associate(socket, 1);
    let operation = world.operation(Vec::with_capacity(1));
    let started = world.start(operation, |op| socket.recv(op)).unwrap();
    assert!(!socket.cancel(old), "CX-2");
    assert!(socket.cancel(started), "CX-1");
    while !world.started.is_empty() {
        world.get(Duration::from_secs(1));
    }
    drop((socket, peer, old_peer));
    world.finish();
}
