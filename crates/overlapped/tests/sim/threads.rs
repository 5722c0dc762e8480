//! Several threads on one network: nothing reproducible, but nothing lost either.

use std::time::Duration;

use overlapped::sim::{Faults, Network};
use overlapped::{CompletionPort, Kind, Operation};

use crate::world::pattern;

const CONNECTIONS: usize = 8;
const BYTES: usize = 2000;

#[test]
fn threads_share_a_network() {
    let faults = Faults {
        reset: 0,
        register: 0,
        ..Faults::storm()
    };
    let network = Network::with_faults(1, faults);
    network.set_threaded(true);
    let port: CompletionPort<usize, ()> = CompletionPort::builder()
        .concurrency(2)
        .simulated(&network)
        .build()
        .unwrap();
    let mut peers = Vec::new();
    for key in 0..CONNECTIONS {
        let (socket, peer) = network.pair();
        let socket = port.associate(socket, key).unwrap();
        socket.recv(Operation::with_capacity(100, ())).unwrap();
        peer.send(&pattern(key, 0, BYTES));
        peer.finish();
        peers.push((peer, Vec::new()));
    }
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Ok(packet) = port.get() {
                    let socket = packet.socket.as_ref().unwrap();
                    match (packet.kind, packet.result().unwrap()) {
                        (Kind::Recv, 0) => {}
                        (Kind::Recv, _) => drop(socket.send(packet.operation).unwrap()),
                        _ => drop(socket.recv(packet.operation).unwrap()),
                    }
                }
            });
        }
        while peers.iter().any(|(peer, _)| !peer.has_end()) {
            for (peer, came) in &mut peers {
                came.extend(peer.take_received());
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        port.close();
    });
    for (key, (peer, came)) in peers.iter_mut().enumerate() {
        came.extend(peer.take_received());
        assert!(*came == pattern(key, 0, BYTES), "IO-5, IO-6");
    }
}
