//! Chapter 2: posting.

use overlapped::{Kind, Status};

use crate::world::{Remote, System, World, get, nothing, room, text};

crate::on_every_engine!(
    pq_1_a_post_comes_as_it_is,
    pq_2_posts_and_completions_share_one_fifo,
    // The Windows kernel receives when the data comes, and not when a worker does.
    #[cfg(not(windows))]
    pq_2_what_finishes_later_comes_later,
    pq_3_the_depth_has_no_limit,
);

fn pq_1_a_post_comes_as_it_is(world: &impl World) {
    let (port, socket, _remote) = world.port_and_socket(8);
    port.post(text(b"message", 1), usize::MAX).unwrap();
    socket.post(text(b"", 2), 0).unwrap();
    let packet = get(&port);
    assert!(packet.socket.is_none());
    assert_eq!(
        (packet.kind, packet.status, packet.bytes),
        (Kind::Post, Status::SUCCESS, usize::MAX)
    );
    assert_eq!(
        (packet.operation.bytes(), *packet.operation.user()),
        (&b"message"[..], 1)
    );
    let packet = get(&port);
    assert_eq!(*packet.socket.unwrap().key(), 8);
    assert_eq!(*packet.operation.user(), 2);
    nothing(&port);
}

fn pq_2_posts_and_completions_share_one_fifo(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    for user in (0..30).step_by(3) {
        port.post(text(b"", user), 0).unwrap();
        // Completes at once, and so at this place of the queue.
        socket.send(text(b"x", user + 1)).unwrap();
        let started = socket.recv(room(1, user + 2)).unwrap();
        assert!(socket.cancel(started));
    }
    assert_eq!(remote.recv(10), b"xxxxxxxxxx");
    let order: Vec<u64> = (0..30).map(|_| *get(&port).operation.user()).collect();
    assert_eq!(order, (0..30).collect::<Vec<_>>());
}

fn pq_3_the_depth_has_no_limit(world: &impl World) {
    let port = world.port();
    for user in 0..100_000 {
        port.post(text(b"", user), 0).unwrap();
    }
    assert_eq!(port.stats().queued, 100_000);
    for user in 0..100_000 {
        assert_eq!(*port.poll().unwrap().operation.user(), user);
    }
    nothing(&port);
}

/// A receive that can be made finishes when a worker gets to it, and comes behind what had finished
/// before.
#[cfg_attr(windows, expect(dead_code))]
fn pq_2_what_finishes_later_comes_later(world: &impl World) {
    let port = world.port();
    let mut connections = Vec::new();
    for key in 0..2 {
        let (endpoint, mut remote) = world.connected();
        let socket = port.associate(endpoint, key).unwrap();
        socket.recv(room(8, 100 + key)).unwrap();
        remote.send(b"data");
        connections.push((socket, remote));
    }
    // Both are found, and one of them is received.
    let first = *get(&port).operation.user();
    assert!(first >= 100);
    for user in 0..40 {
        port.post(text(b"", user), 0).unwrap();
    }
    for user in 0..40 {
        assert_eq!(*get(&port).operation.user(), user);
    }
    assert_eq!(*get(&port).operation.user(), 201 - first);
    nothing(&port);
}

#[test]
fn pq_2_work_that_posts_to_itself_does_not_starve_transfers() {
    let (port, socket, mut remote) = System::new().port_and_socket(1);
    socket.recv(room(8, 1)).unwrap();
    remote.send(b"data");
    port.post(text(b"", 0), 0).unwrap();
    let mut posts = 0;
    loop {
        let packet = get(&port);
        if packet.kind == Kind::Recv {
            break;
        }
        posts += 1;
        assert!(posts < 200, "nobody looks at the socket");
        port.post(packet.operation, 0).unwrap();
    }
}
