//! An echo server and its clients: every client gets its own bytes back, in order, or a reset.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use overlapped::sim::Peer;
use overlapped::{Kind, Operation};

use crate::world::{Outcome, Socket, Work, World, address, pattern, run, weather};

const LISTENER: usize = 0;

struct Client {
    number: usize,
    peer: Peer,
    data: Vec<u8>,
    sent: usize,
    received: Vec<u8>,
    finished: bool,
    /// Says that it has finished only when all has come back, so that nothing but the data
    /// itself can wake the server.
    patient: bool,
}

impl Client {
    fn may_finish(&self) -> bool {
        let all_back = self.received.len() == self.data.len() || self.peer.has_end();
        self.sent == self.data.len() && !self.finished && (all_back || !self.patient)
    }

    /// Takes what came. Whether the connection has ended, however.
    fn is_over(&mut self) -> bool {
        self.received.extend(self.peer.take_received());
        self.peer.is_reset() || (self.peer.has_end() && self.finished)
    }
}

struct Server {
    world: World,
    listener: Option<Socket>,
    connections: BTreeMap<usize, Socket>,
    next_key: usize,
    /// Clients whose connection could not be associated, and was closed.
    turned_away: BTreeSet<SocketAddr>,
}

impl Server {
    fn accept(&mut self, operation: Operation<Work>) {
        if let Some(listener) = self.listener.clone() {
            self.world
                .start(operation, |op| listener.accept(op))
                .expect("a listener accepts");
        }
    }

    fn recv(&mut self, key: usize, mut operation: Operation<Work>) {
        let room = 1 + self.world.random.index(200);
        operation.set_buffer(Vec::with_capacity(room));
        let socket = self.connections[&key].clone();
        if self.world.start(operation, |op| socket.recv(op)).is_err() {
            self.end(key);
        }
    }

    fn end(&mut self, key: usize) {
        let socket = self.connections.remove(&key).expect("it is served");
        if self.world.random.chance(300) {
            socket.close();
        }
    }

    /// Gets a packet, and does with it what an echo server does.
    fn step(&mut self, patience: Duration) {
        let timeout = self.world.moment(patience);
        let Some(mut packet) = self.world.get(timeout) else {
            return;
        };
        let key = *packet.socket.as_ref().expect("nothing is posted").key();
        match (packet.kind, packet.result()) {
            (Kind::Accept, result) => {
                if result.is_ok() {
                    let accepted = packet.operation.take_accepted().expect("a connection");
                    let from = accepted.peer_addr().expect("an address");
                    let key = self.next_key;
                    match self.world.port.associate(accepted, key) {
                        Ok(socket) => {
                            self.next_key += 1;
                            self.connections.insert(key, socket);
                            let operation = self.world.operation(Vec::new());
                            self.recv(key, operation);
                        }
                        Err(_) => drop(self.turned_away.insert(from)),
                    }
                }
                self.accept(packet.operation);
            }
            (_, Err(_)) | (Kind::Recv, Ok(0)) => self.end(key),
            (Kind::Recv, Ok(_)) => {
                let socket = self.connections[&key].clone();
                let started = self.world.start(packet.operation, |op| socket.send(op));
                if started.is_err() {
                    self.end(key);
                }
            }
            (Kind::Send, Ok(bytes)) => {
                // IO-7
                assert_eq!(bytes, packet.operation.buffer().len());
                self.recv(key, packet.operation);
            }
            (kind, result) => unreachable!("{kind:?} {result:?}"),
        }
    }
}

fn scenario(seed: u64) -> Outcome {
    let mut world = World::new(seed, weather(seed));
    let to = address("192.168.0.1:4567");
    let listener = world.network.listener(to);
    let listener = world.associate(listener, LISTENER);
    let mut server = Server {
        world,
        listener: Some(listener),
        connections: BTreeMap::new(),
        next_key: LISTENER + 1,
        turned_away: BTreeSet::new(),
    };
    for _ in 0..1 + server.world.random.index(4) {
        let operation = server.world.operation(Vec::new());
        server.accept(operation);
    }

    let wanted = 20 + server.world.random.index(31);
    let mut made = 0;
    let mut over = 0;
    let mut clients: Vec<Client> = Vec::new();
    while over < wanted {
        server.world.watch(Duration::from_secs(3600));
        if made < wanted && server.world.random.chance(300) {
            let len = server.world.random.index(400);
            clients.push(Client {
                number: made,
                peer: server.world.network.connect(to),
                data: pattern(made, 0, len),
                sent: 0,
                received: Vec::new(),
                finished: false,
                patient: server.world.random.chance(500),
            });
            made += 1;
        }
        if !clients.is_empty() {
            let which = server.world.random.index(clients.len());
            let client = &mut clients[which];
            if client.peer.refused().is_some() {
                client.peer = server.world.network.connect(to);
                client.sent = 0;
            }
            match server.world.random.below(20) {
                0..8 if client.sent < client.data.len() => {
                    let left = client.data.len() - client.sent;
                    let len = 1 + server.world.random.index(left);
                    client
                        .peer
                        .send(&client.data[client.sent..client.sent + len]);
                    client.sent += len;
                }
                8..10 if client.may_finish() => {
                    client.peer.finish();
                    client.finished = true;
                }
                10 if client.peer.is_connected() && server.world.random.chance(50) => {
                    client.peer.reset();
                }
                _ => {}
            }
            if client.is_over() || (client.finished && client.peer.is_reset()) {
                let client = clients.swap_remove(which);
                check(&client, &server.turned_away);
                over += 1;
            }
        }
        if server.world.random.chance(100) {
            let busy = server.world.moment(Duration::from_millis(20));
            server.world.network.pass(busy);
        }
        server.step(Duration::from_millis(5));
    }

    server.listener.take().expect("it listens").close();
    let patience = server.world.network.now() + Duration::from_secs(600);
    while !server.world.started.is_empty() || !server.connections.is_empty() {
        server.world.watch(patience);
        server.step(Duration::from_millis(100));
    }
    server.world.finish()
}

fn check(client: &Client, turned_away: &BTreeSet<SocketAddr>) {
    let sent = &client.data[..client.sent];
    // IO-5, IO-6: what came back is what was sent, from its beginning and in order.
    assert!(
        sent.starts_with(&client.received),
        "client {} of {}: other bytes came back",
        client.number,
        client.peer.address()
    );
    let excused = client.peer.is_reset() || turned_away.contains(&client.peer.address());
    if !excused {
        assert!(
            client.received == client.data,
            "client {} at {}: {} bytes came back of {}, and then the end",
            client.number,
            client.peer.address(),
            client.received.len(),
            client.data.len()
        );
    }
}

#[test]
fn every_client_gets_its_bytes_back() {
    run("every_client_gets_its_bytes_back", scenario, |counts| {
        counts.resets > 0
            && counts.refusals > 0
            && counts.accept_failures > 0
            && counts.register_failures > 0
            && counts.short_sends > 0
            && counts.full > 0
            && counts.stalls > 0
            && counts.not_ready > 0
            && counts.interrupts > 0
    });
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..5 {
        let (one, other) = (scenario(seed), scenario(seed));
        assert_eq!(one.fingerprint, other.fingerprint);
        assert_eq!(one.counts, other.counts);
    }
}
