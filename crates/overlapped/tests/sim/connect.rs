//! Connects to where it is not easy to get, with and without first data.

use std::net::SocketAddr;
use std::time::Duration;

use overlapped::sim::Peer;
use overlapped::{Kind, Started, Status};

use crate::world::{Outcome, Socket, World, address, pattern, run, weather};

struct Client {
    socket: Socket,
    address: SocketAddr,
    data: Vec<u8>,
    /// A connect said that the data was out.
    sent: bool,
    state: State,
    failures: usize,
}

#[derive(PartialEq)]
enum State {
    Idle,
    Connecting(u64, Started),
    Cancelled,
    Connected,
    Over,
}

/// The statuses after which the socket may try again (CE-3).
fn may_retry(status: Status) -> bool {
    matches!(
        status,
        Status::CONNECTION_REFUSED
            | Status::IO_TIMEOUT
            | Status::HOST_UNREACHABLE
            | Status::NETWORK_UNREACHABLE
    )
}

fn scenario(seed: u64) -> Outcome {
    let mut world = World::new(seed, weather(seed));
    let to = address("10.9.9.9:80");
    let nobody = address("10.9.9.9:81");
    let server = world.network.serve(to);
    let mut clients = Vec::new();
    for key in 0..3 + world.random.index(10) {
        let socket = world.network.socket();
        let socket = world.associate(socket, key);
        let len = world.random.index(2) * world.random.index(300);
        clients.push(Client {
            address: socket.local_addr().unwrap(),
            socket,
            data: pattern(key, 0, len),
            sent: false,
            state: State::Idle,
            failures: 0,
        });
    }
    let mut peers: Vec<(Peer, Vec<u8>)> = Vec::new();

    while clients.iter().any(|client| client.state != State::Over) {
        world.watch(Duration::from_secs(3600));
        let which = world.random.index(clients.len());
        let client = &mut clients[which];
        match client.state {
            State::Idle => {
                let operation = world.operation(client.data.clone());
                let id = operation.user().id;
                let socket = &client.socket;
                // Nobody listens at the wrong address, so the right one must still work after it.
                let wrong = client.failures == 0 && world.random.chance(200);
                let to = if wrong { nobody } else { to };
                let plain = client.data.is_empty() && world.random.chance(500);
                let started = world
                    .start(operation, |op| {
                        if plain {
                            socket.connect(op, to)
                        } else {
                            socket.connect_with_data(op, to)
                        }
                    })
                    .expect("CE-3: a socket that is not connected can connect");
                client.state = State::Connecting(id, started);
            }
            State::Connecting(_, started)
                if world.random.chance(20) && client.socket.cancel(started) =>
            {
                client.state = State::Cancelled;
                let operation = world.operation(Vec::new());
                let again = world.start(operation, |op| client.socket.connect(op, to));
                assert!(again.is_err(), "an attempt that was cancelled goes on");
            }
            _ => {}
        }
        if world.random.chance(300)
            && let Some(peer) = server.accept_peer()
        {
            peers.push((peer, Vec::new()));
        }
        for (peer, came) in &mut peers {
            came.extend(peer.take_received());
            if peer.has_end() {
                peer.finish();
            }
        }
        let timeout = world.moment(Duration::from_millis(20));
        let Some(packet) = world.get(timeout) else {
            continue;
        };
        let client = &mut clients[*packet.socket.as_ref().unwrap().key()];
        match (packet.kind, &client.state) {
            (Kind::Connect, State::Cancelled) => {
                assert_eq!(packet.status, Status::CANCELLED, "CX-1");
                client.state = State::Over;
                client.socket.close();
            }
            (Kind::Connect, State::Connecting(id, _)) => {
                assert_eq!(packet.operation.user().id, *id);
                if packet.status.is_success() {
                    // CE-2
                    assert_eq!(packet.bytes, client.data.len());
                    client.sent = true;
                    client.state = State::Connected;
                    let again = world.start(packet.operation, |op| client.socket.connect(op, to));
                    let refused = again.expect_err("CE-1: it is connected");
                    assert!(matches!(
                        refused.status,
                        Status::CONNECTION_ACTIVE | Status::CONNECTION_RESET
                    ));
                    let operation = world.operation(Vec::new());
                    let _ = world.start(operation, |op| client.socket.disconnect(op));
                    let operation = world.operation(Vec::with_capacity(8));
                    if world.start(operation, |op| client.socket.recv(op)).is_err() {
                        client.state = State::Over;
                    }
                } else if may_retry(packet.status) {
                    assert!(packet.bytes == 0);
                    client.failures += 1;
                    client.state = State::Idle;
                } else {
                    // The connection came about, and broke.
                    assert_eq!(packet.status, Status::CONNECTION_RESET);
                    client.state = State::Over;
                }
            }
            // The peer's end, which it says when it has seen ours.
            (Kind::Recv, _) => client.state = State::Over,
            (Kind::Disconnect, _) => {}
            (kind, _) => unreachable!("{kind:?}"),
        }
    }

    let patience = world.network.now() + Duration::from_secs(60);
    for client in &clients {
        client.socket.close();
    }
    while world.network.now() < patience {
        let timeout = world.moment(Duration::from_secs(1));
        world.get(timeout);
        while let Some(peer) = server.accept_peer() {
            peers.push((peer, Vec::new()));
        }
        for (peer, came) in &mut peers {
            came.extend(peer.take_received());
        }
    }
    for (peer, came) in &peers {
        let client = clients
            .iter()
            .find(|client| Some(client.address) == peer.remote_address())
            .expect("it came from one of ours");
        assert!(client.data.starts_with(came), "IO-6");
        if client.sent && !peer.is_reset() {
            assert_eq!(
                client.data.len(),
                came.len(),
                "CE-2: what was said to be sent"
            );
        }
    }
    drop(peers);
    drop(server);
    drop(clients);
    world.finish()
}

#[test]
fn connects_get_there_in_the_end() {
    run("connects_get_there_in_the_end", scenario, |counts| {
        counts.refusals > 0 && counts.connects_at_once > 0 && counts.stalls > 0
    });
}

#[test]
fn a_socket_connects_once_at_a_time() {
    let mut world = World::new(1, overlapped::sim::Faults::none());
    let to = address("10.9.9.9:80");
    let server = world.network.serve(to);
    let socket = world.network.socket();
    let socket = world.associate(socket, 0);
    let operation = world.operation("hello");
    world
        .start(operation, |op| socket.connect_with_data(op, to))
        .unwrap();
    let operation = world.operation("");
    let again = world.start(operation, |op| socket.connect(op, to));
    assert_eq!(again.unwrap_err().status, Status::INVALID_PARAMETER, "CE-1");

    let mut packet = None;
    while packet.is_none() {
        packet = world.get(Duration::from_secs(1));
    }
    assert_eq!(packet.unwrap().bytes, 5, "CE-2");
    world.network.pass(Duration::from_secs(1));
    let peer = server.accept_peer().expect("it has connected");
    assert_eq!(peer.take_received(), b"hello");
    drop((socket, peer, server));
    world.finish();
}
