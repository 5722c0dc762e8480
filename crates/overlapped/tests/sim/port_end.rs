//! The port ends at any moment, with everything in flight: memory comes back exactly once, and
//! sockets close with their handles.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use overlapped::sim::Peer;
use overlapped::{GetError, Status};

use crate::world::{Outcome, Socket, World, address, pattern, run, weather};

/// Starts something on every kind of socket, and lets it get as far as it gets.
fn busy(world: &mut World) -> (Vec<Socket>, Vec<Peer>) {
    let ours = address("192.168.0.1:4567");
    let theirs = address("10.9.9.9:80");
    let server = world.network.serve(theirs);
    let listener = world.network.listener(ours);
    let mut sockets = vec![world.associate(listener, 0)];
    let mut peers = Vec::new();
    for key in 1..6 {
        let (socket, peer) = world.network.pair();
        sockets.push(world.associate(socket, key));
        peers.push(peer);
    }
    for key in 6..9 {
        let socket = world.network.socket();
        sockets.push(world.associate(socket, key));
    }
    for _ in 0..world.random.index(200) {
        let which = world.random.index(sockets.len());
        let socket = sockets[which].clone();
        let len = world.random.index(3000);
        let mut bytes = pattern(which, 0, len);
        bytes.reserve(1);
        let operation = world.operation(bytes);
        let dice = world.random.below(8);
        let _ = match which {
            0 if dice < 3 => world.start(operation, |op| socket.accept(op)),
            0 => world.start(operation, |op| socket.accept_with_data(op)),
            1..6 if dice < 3 => world.start(operation, |op| socket.send(op)),
            1..6 if dice < 7 => world.start(operation, |op| socket.recv(op)),
            1..6 => world.start(operation, |op| socket.disconnect(op)),
            _ => world.start(operation, |op| socket.connect_with_data(op, theirs)),
        };
        match world.random.below(40) {
            0..8 => peers.push(world.network.connect(ours)),
            8..20 => {
                let which = world.random.index(peers.len());
                if peers[which].is_connected() {
                    peers[which].send(b"some bytes");
                }
            }
            20..22 => socket.close(),
            22..24 => {
                socket.cancel_all();
            }
            24 => {
                let operation = owed(world);
                world.port.post(operation, 0).unwrap();
            }
            25..34 => {
                let timeout = world.moment(Duration::from_millis(10));
                world.get(timeout);
            }
            34 => {
                if let Some(peer) = server.accept_peer() {
                    peers.push(peer);
                }
            }
            _ => {
                let time = world.moment(Duration::from_millis(10));
                world.network.pass(time);
            }
        }
    }
    (sockets, peers)
}

/// An operation to be posted, whose packet is owed.
fn owed(world: &mut World) -> overlapped::Operation<crate::world::Work> {
    let operation = world.operation(Vec::new());
    world.started.insert(operation.user().id);
    operation
}

fn scenario(seed: u64) -> Outcome {
    let mut world = World::new(seed, weather(seed));
    let (mut sockets, peers) = busy(&mut world);
    let live = world.live();

    // Some handles go before the port does, some after it.
    let keep = world.random.index(sockets.len() + 1);
    sockets.truncate(keep);
    world.port.close();
    assert_eq!(
        live.load(SeqCst),
        0,
        "CX-10: operations that nobody released"
    );
    world.started.clear();
    assert!(
        world.network.sockets() <= keep,
        "a socket without a handle is open"
    );

    assert!(matches!(world.port.poll(), Err(GetError::Closed)), "CX-9");
    for socket in &sockets {
        let operation = world.operation(Vec::with_capacity(1));
        let refused = world
            .start(operation, |op| socket.recv(op))
            .expect_err("the port has ended");
        assert_eq!(refused.status, Status::INVALID_HANDLE);
        if world.random.chance(300) {
            socket.close();
        }
    }
    let time = world.moment(Duration::from_secs(20));
    world.network.pass(time);
    drop(sockets);
    assert_eq!(
        world.network.sockets(),
        0,
        "sockets close with their handles"
    );
    world.network.pass(Duration::from_secs(60));
    for peer in &peers {
        assert!(
            !peer.is_connected() || peer.has_end() || peer.is_reset() || peer.unsent() == 0,
            "nobody told {peer:?}"
        );
    }
    drop(peers);
    world.finish()
}

#[test]
fn the_end_of_a_port_releases_everything_once() {
    run(
        "the_end_of_a_port_releases_everything_once",
        scenario,
        |counts| counts.stalls > 0 && counts.refusals > 0,
    );
}
