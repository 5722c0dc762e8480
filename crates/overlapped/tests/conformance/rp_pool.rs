//! Chapter 5b: receives from the port's pool.

use std::collections::HashMap;
use std::time::Duration;

use overlapped::{Buffer, CompletionPort, Kind, Packet, Status};

use crate::world::{Port, Remote, System, World, get, nothing, quiet, room, text};

crate::on_every_engine!(
    rp_1_a_buffer_comes_with_the_data_and_not_before,
    rp_1_the_end_and_failures_bring_no_buffer,
    rp_2_sizes_follow_the_traffic,
    rp_3_exhaustion_parks_and_fails_nobody,
    rp_3_who_is_parked_and_gives_up_holds_up_nobody,
    rp_3_tm_7_cx_1_who_has_data_and_no_buffer_can_be_ended,
    rp_4_the_order_of_receives_of_both_kinds_is_kept,
    rp_5_the_end_of_the_port_reclaims_everything,
);

fn in_use(port: &Port) -> usize {
    port.stats().pool.in_use
}

fn text_of(packet: &Packet<u64, u64>) -> &[u8] {
    assert_eq!(packet.status, Status::SUCCESS);
    packet.operation.bytes()
}

fn rp_1_a_buffer_comes_with_the_data_and_not_before(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    for _ in 0..3 {
        socket.recv_pooled(room(0, 7)).unwrap();
    }
    nothing(&port);
    assert_eq!(in_use(&port), 0);
    remote.send(b"hello");
    let packet = get(&port);
    assert_eq!((packet.kind, packet.bytes), (Kind::RecvPooled, 5));
    assert_eq!(text_of(&packet), b"hello");
    assert!(matches!(packet.operation.buffer(), Buffer::Pooled(_)));
    assert_eq!(in_use(&port), 1);
    // It is sent from where it is, and comes back with the next such receive.
    let socket = packet.socket.unwrap();
    socket.send(packet.operation).unwrap();
    assert_eq!(remote.recv(5), b"hello");
    let packet = get(&port);
    assert_eq!(in_use(&port), 1);
    socket.recv_pooled(packet.operation).unwrap();
    assert_eq!(in_use(&port), 0);
    remote.send(b"x");
    drop(get(&port));
    assert_eq!(in_use(&port), 0);
}

fn rp_1_the_end_and_failures_bring_no_buffer(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    let started = socket.recv_pooled(room(100, 1)).unwrap();
    assert!(socket.cancel(started));
    let packet = get(&port);
    assert_eq!(packet.status, Status::CANCELLED);
    assert_eq!(packet.operation.buffer().capacity(), 0);
    remote.finish();
    socket.recv_pooled(packet.operation).unwrap();
    let packet = get(&port);
    assert_eq!((packet.status, packet.bytes), (Status::SUCCESS, 0));
    assert!(packet.operation.bytes().is_empty());
    assert_eq!(in_use(&port), 0);
    // Nothing can be received into what the pool gave, or gave not.
    assert!(socket.recv(packet.operation).is_err());
}

fn rp_2_sizes_follow_the_traffic(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    let bytes: Vec<u8> = (0..600_000u32).map(|i| (i % 251) as u8).collect();
    let (mut received, mut sent, mut largest) = (Vec::new(), 0, 0);
    let mut operation = room(0, 1);
    while received.len() < bytes.len() {
        if sent == received.len() {
            // As much at once as the largest buffer, so that it is worth its size.
            let more = (bytes.len() - sent).min(60_000);
            remote.send(&bytes[sent..sent + more]);
            sent += more;
        }
        socket.recv_pooled(operation).unwrap();
        let packet = get(&port);
        assert_eq!(in_use(&port), 1);
        largest = largest.max(packet.bytes);
        received.extend_from_slice(text_of(&packet));
        operation = packet.operation;
    }
    assert!(received == bytes);
    assert!(largest > 4096, "all pieces were small: {largest}");
    assert!(largest <= 64 * 1024);
}

fn rp_3_exhaustion_parks_and_fails_nobody(world: &impl World) {
    const CONNECTIONS: u64 = 20;
    // Room for two of the first size.
    let builder = CompletionPort::builder().concurrency(1).pool_limit(8192);
    let port = world.build(builder.rescue_after(None));
    let mut connections = Vec::new();
    for key in 0..CONNECTIONS {
        let (endpoint, mut remote) = world.connected();
        let socket = port.associate(endpoint, key).unwrap();
        socket.recv_pooled(room(0, key)).unwrap();
        remote.send(&[key as u8]);
        connections.push((socket, remote));
    }
    let mut held = Vec::new();
    let mut seen = HashMap::new();
    while seen.len() < CONNECTIONS as usize {
        match port.get_timeout(Duration::from_millis(100)) {
            Ok(packet) => {
                let key = *packet.socket.as_ref().unwrap().key();
                assert_eq!(text_of(&packet), [key as u8]);
                assert_eq!(*seen.entry(key).or_insert(0), 0, "{key} came twice");
                seen.insert(key, 1);
                held.push(packet);
                let stats = port.stats().pool;
                assert!(stats.bytes <= 8192 && stats.in_use <= 4, "{stats:?}");
            }
            // All are parked but those whose buffers are held here; one comes back.
            Err(_) => {
                assert!(!held.is_empty(), "parked for ever: {:?}", port.stats().pool);
                assert!(port.stats().pool.parked > 0);
                held.remove(0);
            }
        }
    }
    drop(held);
    assert_eq!((in_use(&port), port.stats().pool.parked), (0, 0));
    nothing(&port);
}

fn rp_3_who_is_parked_and_gives_up_holds_up_nobody(world: &impl World) {
    let builder = CompletionPort::builder().concurrency(1).pool_limit(1);
    let port = world.build(builder.rescue_after(None));
    let mut connections = Vec::new();
    for key in 0..4 {
        let (endpoint, mut remote) = world.connected();
        let socket = port.associate(endpoint, key).unwrap();
        let started = socket.recv_pooled(room(0, key)).unwrap();
        remote.send(b"x");
        connections.push((socket, remote, started));
    }
    let first = get(&port);
    quiet(&port);
    assert_eq!(port.stats().pool.parked, 3);
    // Two of those that are parked give up, in whatever order they are parked.
    let holder = *first.operation.user();
    let mut parked: Vec<u64> = (0..4).filter(|key| *key != holder).collect();
    let last = parked.pop().unwrap();
    for key in parked {
        let (socket, _, started) = &connections[key as usize];
        assert!(socket.cancel(*started));
        assert_eq!(get(&port).status, Status::CANCELLED);
    }
    drop(first);
    assert_eq!(*get(&port).operation.user(), last);
    nothing(&port);
    assert_eq!((in_use(&port), port.stats().pool.parked), (0, 0));
}

fn rp_3_tm_7_cx_1_who_has_data_and_no_buffer_can_be_ended(world: &impl World) {
    let builder = CompletionPort::builder().concurrency(1).pool_limit(1);
    let port = world.build(builder.rescue_after(None));
    let (endpoint, mut remote) = world.connected();
    let holder = port.associate(endpoint, 1).unwrap();
    holder.recv_pooled(room(0, 1)).unwrap();
    remote.send(b"x");
    let held = get(&port);

    let (endpoint, mut remote) = world.connected();
    let socket = port.associate(endpoint, 2).unwrap();
    let mut operation = room(0, 2);
    operation.set_timeout(Some(Duration::from_millis(1)));
    socket.recv_pooled(operation).unwrap();
    remote.send(b"y");
    // The data comes, and the time passes, before anybody looks.
    std::thread::sleep(Duration::from_millis(100));
    let packet = get(&port);
    assert_eq!(packet.status, Status::IO_TIMEOUT);

    let mut operation = packet.operation;
    operation.set_timeout(None);
    let started = socket.recv_pooled(operation).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert!(socket.cancel(started));
    let packet = get(&port);
    assert_eq!(packet.status, Status::CANCELLED);

    // Neither has taken anything.
    socket.recv_pooled(packet.operation).unwrap();
    drop(held);
    assert_eq!(text_of(&get(&port)), b"y");
}

fn rp_4_the_order_of_receives_of_both_kinds_is_kept(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    socket.recv(room(2, 1)).unwrap();
    socket.recv_pooled(room(0, 2)).unwrap();
    socket.recv(room(2, 3)).unwrap();
    let mut received = Vec::new();
    for (user, bytes) in [(1, b"a"), (2, b"b"), (3, b"c")] {
        remote.send(bytes);
        let packet = get(&port);
        assert_eq!(*packet.operation.user(), user);
        received.extend_from_slice(text_of(&packet));
    }
    assert_eq!(received, b"abc");
}

fn rp_5_the_end_of_the_port_reclaims_everything(world: &impl World) {
    let builder = CompletionPort::builder().concurrency(1).pool_limit(1);
    let port = world.build(builder.rescue_after(None));
    let mut connections = Vec::new();
    for key in 0..3 {
        let (endpoint, mut remote) = world.connected();
        let socket = port.associate(endpoint, key).unwrap();
        socket.recv_pooled(room(0, key)).unwrap();
        remote.send(b"x");
        connections.push((socket, remote));
    }
    let held = get(&port);
    quiet(&port);
    port.close();
    assert_eq!(port.stats().pool.parked, 0);
    drop(connections);
    // The buffer outlives the port.
    assert_eq!(held.operation.bytes(), b"x");
    drop(port);
    assert_eq!(held.operation.bytes(), b"x");
}

#[test]
fn rp_1_idle_receives_hold_no_buffer() {
    let world = System::new();
    let port = world.port();
    let connections: Vec<_> = (0..200)
        .map(|key| {
            let (endpoint, remote) = world.connected();
            let socket = port.associate(endpoint, key).unwrap();
            socket.recv_pooled(text(b"given up", key)).unwrap();
            (socket, remote)
        })
        .collect();
    nothing(&port);
    // One, free, if each of them was tried once.
    let pool = port.stats().pool;
    assert_eq!(pool.in_use, 0);
    assert!(pool.bytes <= 4096, "{pool:?}");
    assert_eq!(connections.len(), 200);
}
