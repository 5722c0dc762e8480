//! The server's logic on a simulated network, over many seeds: what clients see and what is
//! printed has to be right whatever the network does.
//!
//!     OVERLAPPED_SIM_SEEDS=1000 cargo test -p overlapped-server --test simulation
//!
//! One thread, a virtual clock, every decision from the seed: a failure names the seed that
//! repeats it.

// The network is simulated on Linux only so far.
#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overlapped::CompletionPort;
use overlapped::sim::{Counts, Faults, Network, Peer, Random};
use overlapped_server::connection::ServerPort;
use overlapped_server::log::{Event, Log};
use overlapped_server::output::{Output, Piece};
use overlapped_server::server::{Mode, Server, Settings};

const CLIENTS: usize = 20;

/// An output that keeps what it is given until somebody writes it.
#[derive(Default)]
struct Slow {
    kept: Mutex<VecDeque<Piece>>,
    printed: Mutex<Vec<u8>>,
}

impl Output for Slow {
    fn print(&self, piece: Piece) -> Option<Piece> {
        self.kept.lock().unwrap().push_back(piece);
        None
    }
}

struct Silent;

impl Log for Silent {
    fn log(&self, _: &Event<'_>) {}
}

struct Client {
    peer: Peer,
    sent: Vec<u8>,
    left: usize,
    received: Vec<u8>,
}

struct World {
    network: Network,
    random: Random,
    port: ServerPort,
    server: Server,
    output: Arc<Slow>,
    clients: Vec<Client>,
    address: SocketAddr,
}

fn settings(mode: Mode) -> Settings {
    Settings {
        mode,
        prefix: mode == Mode::Print,
        escape: false,
        max_connections: Some(7),
        idle_timeout: None,
        verbose: false,
    }
}

impl World {
    fn new(seed: u64, mode: Mode) -> World {
        let faults = match seed % 3 {
            0 => Faults::none(),
            1 => Faults::some(),
            _ => Faults::storm(),
        };
        World::with(settings(mode), Network::with_faults(seed, faults))
    }

    fn with(settings: Settings, network: Network) -> World {
        let port = CompletionPort::builder()
            .concurrency(1)
            .simulated(&network)
            .build()
            .unwrap();
        let output = Arc::new(Slow::default());
        let server = Server::new(settings, output.clone(), Arc::new(Silent));
        let address = SocketAddr::from(([10, 0, 0, 1], 4567));
        // The storm may refuse even this; then it is tried again.
        for attempt in 0.. {
            match server.listen(&port, network.listener(address)) {
                Ok(()) => break,
                Err(error) => assert!(attempt < 1000, "{error}"),
            }
        }
        let random = Random::new(network.seed() ^ 0x5eed);
        World {
            network,
            random,
            port,
            server,
            output,
            clients: Vec::new(),
            address,
        }
    }

    fn connect(&mut self) {
        let left = 1 + self.random.index(4000);
        let peer = self.network.connect(self.address);
        self.clients.push(Client {
            peer,
            sent: Vec::new(),
            left,
            received: Vec::new(),
        });
    }

    /// Everybody does something, and a little time passes.
    fn step(&mut self) {
        for client in &mut self.clients {
            client.received.extend(client.peer.take_received());
            if client.left > 0 && self.random.chance(300) {
                let piece = 1 + self.random.index(client.left.min(700));
                let bytes: Vec<u8> = (0..piece)
                    .map(|_| match self.random.index(12) {
                        0 => b'\n',
                        _ => b'%' + self.random.index(80) as u8,
                    })
                    .collect();
                client.peer.send(&bytes);
                client.sent.extend(bytes);
                client.left -= piece;
                if client.left == 0 {
                    client.peer.finish();
                }
            }
        }
        if self.random.chance(300)
            && let Some(piece) = { self.output.kept.lock().unwrap().pop_front() }
        {
            self.output
                .printed
                .lock()
                .unwrap()
                .extend_from_slice(piece.bytes());
            self.server.written(piece);
        }
        if let Ok(packet) = self.port.get_timeout(Duration::from_millis(1)) {
            self.server.handle(&self.port, packet);
        }
        self.server.tick(self.network.now());
    }

    fn over(&self) -> bool {
        self.clients.len() == CLIENTS
            && self.clients.iter().all(|client| {
                let peer = &client.peer;
                peer.refused().is_some() || peer.is_reset() || (client.left == 0 && peer.has_end())
            })
            && self.server.connections() == 0
            && self.output.kept.lock().unwrap().is_empty()
    }

    fn run(&mut self) {
        for _ in 0..2_000_000 {
            if self.clients.len() < CLIENTS && self.random.chance(50) {
                self.connect();
            }
            if self.over() {
                return;
            }
            self.step();
        }
        panic!("it does not end: {} connections", self.server.connections());
    }
}

fn for_each_seed(scenario: impl Fn(u64) -> Counts) {
    let seeds: u64 = std::env::var("OVERLAPPED_SIM_SEEDS").map_or(12, |text| {
        text.parse().expect("OVERLAPPED_SIM_SEEDS is a number")
    });
    let mut total = Counts::default();
    for seed in 0..seeds {
        match catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
            Ok(counts) => total += counts,
            Err(panic) => {
                eprintln!("seed {seed}");
                resume_unwind(panic);
            }
        }
    }
    assert!(total.resets > 0 && total.accept_failures > 0, "{total:?}");
}

#[test]
fn an_echo_is_what_was_sent() {
    for_each_seed(|seed| {
        let mut world = World::new(seed, Mode::Echo);
        world.run();
        for client in &mut world.clients {
            client.received.extend(client.peer.take_received());
            if client.peer.is_reset() || client.peer.refused().is_some() {
                assert!(client.sent.starts_with(&client.received));
            } else {
                assert!(client.received == client.sent);
            }
        }
        world.network.counts()
    });
}

#[test]
fn each_clients_lines_are_printed_however_slow_the_output() {
    for_each_seed(|seed| {
        let mut world = World::new(seed, Mode::Print);
        world.run();
        let printed = world.output.printed.lock().unwrap();
        let mut lines: HashMap<String, Vec<u8>> = HashMap::new();
        for line in printed.split_inclusive(|&byte| byte == b'\n') {
            let end = line
                .windows(2)
                .position(|two| two == b": ")
                .expect("a prefix");
            let peer = String::from_utf8(line[..end].to_vec()).expect("an address");
            lines.entry(peer).or_default().extend(&line[end + 2..]);
        }
        for client in &world.clients {
            let printed = lines
                .remove(&client.peer.address().to_string())
                .unwrap_or_default();
            // A last line without an end gets one.
            let mut sent = client.sent.clone();
            if !sent.ends_with(b"\n") {
                sent.push(b'\n');
            }
            if client.peer.is_reset() || client.peer.refused().is_some() {
                let printed = printed.strip_suffix(b"\n").unwrap_or(&printed);
                assert!(client.sent.starts_with(printed));
            } else {
                assert!(printed == sent, "{} of {} bytes", printed.len(), sent.len());
            }
        }
        assert!(lines.is_empty(), "lines of nobody");
        drop(printed);
        world.network.counts()
    });
}

/// Serves until this long after the network was made.
fn serve_until(world: &World, second: u64) {
    let until = Duration::from_secs(second);
    while world.network.now() < until {
        let left = until - world.network.now();
        if let Ok(packet) = world.port.get_timeout(left) {
            world.server.handle(&world.port, packet);
        }
        world.server.tick(world.network.now());
    }
}

#[test]
fn idle_time_is_counted_from_the_last_traffic_and_never_too_short() {
    for mode in [Mode::Discard, Mode::Echo] {
        let settings = Settings {
            idle_timeout: Some(Duration::from_secs(100)),
            ..settings(mode)
        };
        let world = World::with(settings, Network::new(1));
        let (talks, silent) = (
            world.network.connect(world.address),
            world.network.connect(world.address),
        );
        serve_until(&world, 90);
        assert_eq!(world.server.connections(), 2);
        talks.send(b"x");
        serve_until(&world, 100);
        assert_eq!(world.server.connections(), 2);
        serve_until(&world, 101);
        assert_eq!(world.server.connections(), 1);
        assert!(silent.has_end());
        serve_until(&world, 190);
        assert_eq!(world.server.connections(), 1);
        serve_until(&world, 191);
        assert_eq!(world.server.connections(), 0);
    }
}

#[test]
fn who_waits_for_the_output_is_not_idle_but_who_does_not_read_is() {
    let idle = |mode| Settings {
        idle_timeout: Some(Duration::from_secs(10)),
        ..settings(mode)
    };
    let world = World::with(idle(Mode::Print), Network::new(1));
    let client = world.network.connect(world.address);
    client.send(b"x\n");
    serve_until(&world, 1000);
    assert_eq!(world.server.connections(), 1);
    let piece = world.output.kept.lock().unwrap().pop_front();
    world.server.written(piece.expect("it was to be printed"));
    serve_until(&world, 1005);
    assert_eq!(world.server.connections(), 1);
    serve_until(&world, 1011);
    assert_eq!(world.server.connections(), 0);

    let world = World::with(idle(Mode::Echo), Network::new(1));
    let deaf = world.network.connect(world.address);
    deaf.send(&[b'x'; 100_000]);
    serve_until(&world, 5);
    assert_eq!(world.server.connections(), 1);
    serve_until(&world, 30);
    assert_eq!(world.server.connections(), 0);
}
