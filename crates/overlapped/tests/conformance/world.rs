//! What the tests need of an engine's surroundings: ports, sockets, and the other end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use overlapped::{Builder, CompletionPort, Endpoint, Engine, Notice, Operation, Packet, Socket};

/// Long enough that only a hang reaches it.
pub const WATCHDOG: Duration = Duration::from_secs(60);

pub type Port = CompletionPort<u64, u64>;
pub type Sock = Socket<u64, u64>;
pub type Op = Operation<u64>;
pub type Pack = Packet<u64, u64>;

/// The surroundings of a port.
pub trait World {
    /// The other end of a connection.
    type Remote: Remote;

    /// Makes a port.
    fn build(&self, builder: Builder<u64, u64>) -> Port;

    /// A connected stream and its other end.
    fn connected(&self) -> (Endpoint, Self::Remote);

    /// A listener, and the address to reach it.
    fn listener(&self) -> (Endpoint, SocketAddr);

    /// A stream that is yet to connect.
    fn fresh(&self) -> Endpoint;

    /// Connects from outside.
    fn dial(&self, to: SocketAddr) -> Self::Remote;

    /// A place outside that accepts: its address, and a way to take what connected.
    fn outside(&self) -> (SocketAddr, Box<dyn Fn() -> Self::Remote>);

    /// An address where nobody listens.
    fn nobody(&self) -> SocketAddr;

    /// A port on which whoever has come out counts until it comes back, whatever it does.
    fn port(&self) -> Port {
        let builder = CompletionPort::builder().concurrency(1);
        self.build(builder.notice_blocked(Notice::Nothing).rescue_after(None))
    }

    /// A port with one associated connection under `key`.
    fn port_and_socket(&self, key: u64) -> (Port, Sock, Self::Remote) {
        let port = self.port();
        let (endpoint, remote) = self.connected();
        let socket = port.associate(endpoint, key).unwrap();
        (port, socket, remote)
    }
}

/// The other end of a connection. Its calls block, or let the simulation run.
pub trait Remote {
    fn send(&mut self, bytes: &[u8]);
    /// Exactly this many bytes.
    fn recv(&mut self, count: usize) -> Vec<u8>;
    /// Some bytes, at most this many, or none if there are none yet.
    fn recv_some(&mut self, most: usize) -> Vec<u8>;
    /// Everything up to the end of the stream.
    fn recv_to_end(&mut self) -> Vec<u8>;
    /// Sends the end of the stream; receiving goes on.
    fn finish(&mut self);
    fn reset(self);
}

pub fn room(bytes: usize, user: u64) -> Op {
    Operation::with_capacity(bytes, user)
}

pub fn text(bytes: &[u8], user: u64) -> Op {
    Operation::new(bytes.to_vec(), user)
}

/// Gets a packet that must come.
pub fn get(port: &Port) -> Pack {
    port.get_timeout(WATCHDOG).expect("a packet must come")
}

/// Asserts that nothing is queued and nothing can be had.
pub fn nothing(port: &Port) {
    match port.poll() {
        Err(overlapped::GetError::TimedOut) => {}
        other => panic!("expected no packet, got {other:?}"),
    }
    assert_eq!(port.stats().queued, 0);
}

/// Asserts that nothing comes, and lets the port see what has happened so far.
pub fn quiet(port: &Port) {
    match port.get_timeout(Duration::from_millis(200)) {
        Err(overlapped::GetError::TimedOut) => {}
        other => panic!("expected no packet, got {other:?}"),
    }
}

/// Lets large sends go out: receives `bytes` bytes outside and gets `packets` packets, by turns.
pub fn exchange(
    port: &Port,
    remote: &mut impl Remote,
    packets: usize,
    bytes: usize,
) -> (Vec<Pack>, Vec<u8>) {
    let (mut got, mut received) = (Vec::new(), Vec::new());
    while got.len() < packets || received.len() < bytes {
        if got.len() < packets
            && let Ok(packet) = port.get_timeout(Duration::from_millis(1))
        {
            got.push(packet);
        } else {
            assert!(
                received.len() < bytes,
                "all bytes are out, and packets are missing"
            );
            received.extend(remote.recv_some((bytes - received.len()).min(50_000)));
        }
    }
    (got, received)
}

/// All that the queue counts, on systems where it is the library's.
#[cfg(target_os = "linux")]
pub fn counts(port: &Port) -> overlapped::QueueStats {
    port.stats().queue.expect("the queue is the library's")
}

/// Waits until `condition` holds.
pub fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < WATCHDOG, "never happened: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn chosen() -> Option<String> {
    std::env::var("OVERLAPPED_ENGINE").ok()
}

/// Whether a test of this engine is to run; if not, it is said.
#[cfg(target_os = "linux")]
pub fn is_chosen(engine: &str) -> bool {
    let is = chosen().is_none_or(|chosen| chosen == engine);
    if !is {
        eprintln!("NOT RUN on {engine}: OVERLAPPED_ENGINE chooses another engine");
    }
    is
}

/// The operating system's sockets.
pub struct System {
    engine: Engine,
}

impl System {
    /// On the engine that `OVERLAPPED_ENGINE` names, if it names one of the system's.
    pub fn new() -> Self {
        let engine = match chosen() {
            Some(name) if name != "sim" => name.parse().unwrap(),
            _ => Engine::Auto,
        };
        System { engine }
    }

    /// For tests in which several threads take packets, which an exclusive port refuses.
    pub fn for_several_threads() -> Self {
        System {
            engine: Engine::Auto,
        }
    }

    /// On an exclusive port; on epoll, and saying so, where io_uring is refused.
    #[cfg(target_os = "linux")]
    pub fn exclusive() -> Self {
        System {
            engine: Engine::UringOrEpoll,
        }
    }
}

impl World for System {
    type Remote = TcpStream;

    fn build(&self, builder: Builder<u64, u64>) -> Port {
        let port = builder.engine(self.engine).build().unwrap();
        let stats = port.stats();
        if self.engine == Engine::UringOrEpoll && stats.engine != "io_uring" {
            eprintln!(
                "NOT ON IO_URING, but {}: {}",
                stats.engine, stats.engine_reason
            );
        }
        port
    }

    fn connected(&self) -> (Endpoint, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let remote = self.dial(listener.local_addr().unwrap());
        (listener.accept().unwrap().0.into(), remote)
    }

    fn listener(&self) -> (Endpoint, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener.into(), address)
    }

    fn fresh(&self) -> Endpoint {
        overlapped::stream_socket(&"127.0.0.1:0".parse().unwrap()).unwrap()
    }

    fn dial(&self, to: SocketAddr) -> TcpStream {
        let remote = TcpStream::connect(to).unwrap();
        remote.set_nodelay(true).unwrap();
        remote.set_read_timeout(Some(WATCHDOG)).unwrap();
        remote
    }

    fn outside(&self) -> (SocketAddr, Box<dyn Fn() -> TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accept = move || {
            let remote = listener.accept().unwrap().0;
            remote.set_read_timeout(Some(WATCHDOG)).unwrap();
            remote
        };
        (address, Box::new(accept))
    }

    fn nobody(&self) -> SocketAddr {
        // Bound and never listening: refused for as long as this process lives.
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket
            .bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
            .unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        std::mem::forget(socket);
        address
    }
}

impl Remote for TcpStream {
    fn send(&mut self, bytes: &[u8]) {
        self.write_all(bytes).unwrap();
    }

    fn recv(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn recv_some(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most];
        // Not waiting: what is missing may need the port's help, and the caller is who gives it.
        self.set_nonblocking(true).unwrap();
        let count = match self.read(&mut bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
            result => result.unwrap(),
        };
        self.set_nonblocking(false).unwrap();
        bytes.truncate(count);
        bytes
    }

    fn recv_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn finish(&mut self) {
        self.shutdown(std::net::Shutdown::Write).unwrap();
    }

    fn reset(self) {
        socket2::SockRef::from(&self)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

/// The simulated network, with everything an ordinary day brings but breaking connections: data
/// comes in pieces, late and in odd order of reports.
#[cfg(all(feature = "sim", target_os = "linux"))]
pub use simulated::Sim;

#[cfg(all(feature = "sim", target_os = "linux"))]
mod simulated {
    use std::cell::Cell;
    use std::net::SocketAddr;
    use std::time::Duration;

    use overlapped::sim::{Faults, Network, Peer};
    use overlapped::{Builder, Endpoint};

    use super::{Port, Remote, World};

    pub struct Sim {
        network: Network,
        next_port: Cell<u16>,
    }

    /// A peer, and the network that has to run for it.
    pub struct SimRemote {
        network: Network,
        peer: Peer,
    }

    impl Sim {
        /// Runs the test on several networks; a failure names its seed.
        pub fn with_seeds(test: impl Fn(&Sim)) {
            let seeds: u64 = std::env::var("OVERLAPPED_SIM_SEEDS").map_or(3, |text| {
                text.parse().expect("OVERLAPPED_SIM_SEEDS is a number")
            });
            for seed in 0..seeds {
                let faults = Faults {
                    reset: 0,
                    refuse: 0,
                    accept: 0,
                    register: 0,
                    // A send that finds room goes out at once, as the tests expect.
                    full: 0,
                    short_send: 0,
                    ..if seed == 0 {
                        Faults::none()
                    } else {
                        Faults::some()
                    }
                };
                let world = Sim {
                    network: Network::with_faults(seed, faults),
                    next_port: Cell::new(1000),
                };
                let run = std::panic::AssertUnwindSafe(|| test(&world));
                if let Err(panic) = std::panic::catch_unwind(run) {
                    eprintln!("on the simulated network with seed {seed}");
                    std::panic::resume_unwind(panic);
                }
            }
        }

        fn address(&self) -> SocketAddr {
            let port = self.next_port.get();
            self.next_port.set(port + 1);
            SocketAddr::from(([10, 0, 0, 1], port))
        }

        fn remote(&self, peer: Peer) -> SimRemote {
            SimRemote {
                network: self.network.clone(),
                peer,
            }
        }
    }

    impl World for Sim {
        type Remote = SimRemote;

        fn build(&self, builder: Builder<u64, u64>) -> Port {
            builder.simulated(&self.network).build().unwrap()
        }

        fn connected(&self) -> (Endpoint, SimRemote) {
            let (socket, peer) = self.network.pair();
            (socket.into(), self.remote(peer))
        }

        fn listener(&self) -> (Endpoint, SocketAddr) {
            let address = self.address();
            (self.network.listener(address).into(), address)
        }

        fn fresh(&self) -> Endpoint {
            self.network.socket().into()
        }

        fn dial(&self, to: SocketAddr) -> SimRemote {
            let remote = self.remote(self.network.connect(to));
            remote.run(|peer| peer.is_connected());
            remote
        }

        fn outside(&self) -> (SocketAddr, Box<dyn Fn() -> SimRemote>) {
            let address = self.address();
            let (server, network) = (self.network.serve(address), self.network.clone());
            let accept = move || loop {
                if let Some(peer) = server.accept_peer() {
                    return SimRemote {
                        network: network.clone(),
                        peer,
                    };
                }
                network.pass(Duration::from_millis(1));
            };
            (address, Box::new(accept))
        }

        fn nobody(&self) -> SocketAddr {
            self.address()
        }
    }

    impl SimRemote {
        /// Lets time pass until this holds.
        fn run(&self, holds: impl Fn(&Peer) -> bool) {
            for _ in 0..600_000 {
                if holds(&self.peer) {
                    return;
                }
                self.network.pass(Duration::from_micros(100));
            }
            panic!("never happened within a simulated minute");
        }
    }

    impl Remote for SimRemote {
        fn send(&mut self, bytes: &[u8]) {
            self.peer.send(bytes);
        }

        fn recv(&mut self, count: usize) -> Vec<u8> {
            let mut bytes = Vec::new();
            while bytes.len() < count {
                bytes.extend(self.recv_some(count - bytes.len()));
                assert!(
                    self.network.now() < Duration::from_secs(3600),
                    "nothing comes"
                );
            }
            bytes
        }

        fn recv_some(&mut self, most: usize) -> Vec<u8> {
            self.network.pass(Duration::from_micros(100));
            self.peer.take_some(most)
        }

        fn recv_to_end(&mut self) -> Vec<u8> {
            let mut bytes = Vec::new();
            while !(self.peer.has_end() || self.peer.is_reset()) {
                bytes.extend(self.recv_some(usize::MAX));
                assert!(
                    self.network.now() < Duration::from_secs(3600),
                    "no end comes"
                );
            }
            bytes.extend(self.peer.take_received());
            bytes
        }

        fn finish(&mut self) {
            self.peer.finish();
        }

        fn reset(self) {
            self.peer.reset();
        }
    }
}
