//! What the tests need of an engine's surroundings: ports, sockets, and the other end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use overlapped::{Builder, CompletionPort, Endpoint, Operation, Packet, Socket};

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

    fn port(&self) -> Port {
        self.build(CompletionPort::builder().concurrency(1).rescue_after(None))
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
    assert_eq!(port.stats().queue.queued, 0);
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
            received.extend(remote.recv((bytes - received.len()).min(50_000)));
        }
    }
    (got, received)
}

/// Waits until `condition` holds.
pub fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < WATCHDOG, "never happened: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The operating system's sockets.
pub struct System;

impl System {
    pub fn new() -> Self {
        System
    }
}

impl World for System {
    type Remote = TcpStream;

    fn build(&self, builder: Builder<u64, u64>) -> Port {
        builder.build().unwrap()
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
