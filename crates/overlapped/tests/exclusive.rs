//! What is particular to an exclusive port: one thread that takes the packets, a ring that has
//! asked for bytes before anybody receives them, and requests that keep sockets open.
//!
//! What a completion port promises on every engine is in `conformance/`. Where io_uring is refused
//! these tests say so and test nothing.
#![cfg(target_os = "linux")]

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use overlapped::{CompletionPort, Engine, GetError, Interest, Kind, Operation, Status};

/// Long enough that only a hang reaches it.
const WATCHDOG: Duration = Duration::from_secs(60);

type Port = CompletionPort<u64, u64>;
type Socket = overlapped::Socket<u64, u64>;
type Packet = overlapped::Packet<u64, u64>;

fn exclusive() -> Option<Port> {
    match CompletionPort::builder().engine(Engine::Uring).build() {
        Ok(port) => Some(port),
        Err(error) => {
            eprintln!("NOT TESTED, since io_uring is refused here: {error}");
            None
        }
    }
}

/// A connection: what is to be associated, and the other end.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_nodelay(true).unwrap();
    peer.set_read_timeout(Some(WATCHDOG)).unwrap();
    (listener.accept().unwrap().0, peer)
}

fn connection(port: &Port, key: u64) -> (Socket, TcpStream) {
    let (ours, peer) = pair();
    (port.associate(ours, key).unwrap(), peer)
}

fn room(bytes: usize, user: u64) -> Operation<u64> {
    Operation::with_capacity(bytes, user)
}

fn text(bytes: &[u8], user: u64) -> Operation<u64> {
    Operation::new(bytes.to_vec(), user)
}

/// Gets a packet that must come.
fn get(port: &Port) -> Packet {
    port.get_timeout(WATCHDOG).expect("a packet must come")
}

/// Lets the ring see what has been asked for and what has come; no packet is due.
fn nothing(port: &Port) {
    match port.get_timeout(Duration::from_millis(30)) {
        Err(GetError::TimedOut) => {}
        other => panic!("expected no packet, got {other:?}"),
    }
}

/// Asserts that the end of the stream comes, and nothing before it.
fn assert_ends(mut peer: TcpStream) {
    match peer.read_to_end(&mut Vec::new()) {
        Ok(0) => {}
        other => panic!("expected the end of the stream, got {other:?}"),
    }
}

/// A thread that takes a port's packets when it is told to, and lives until this is dropped.
struct Consumer {
    tell: Option<Sender<Box<dyn FnOnce() + Send>>>,
    thread: Option<JoinHandle<()>>,
}

impl Consumer {
    fn new() -> Self {
        let (tell, told) = channel::<Box<dyn FnOnce() + Send>>();
        let thread = std::thread::spawn(move || told.into_iter().for_each(|what| what()));
        Consumer {
            tell: Some(tell),
            thread: Some(thread),
        }
    }

    /// Has something done there, and does not wait for it.
    fn begin<R: Send + 'static>(&self, what: impl FnOnce() -> R + Send + 'static) -> Receiver<R> {
        let (answer, answered) = channel();
        let what = move || drop(answer.send(what()));
        self.tell.as_ref().unwrap().send(Box::new(what)).unwrap();
        answered
    }

    fn run<R: Send + 'static>(&self, what: impl FnOnce() -> R + Send + 'static) -> R {
        self.begin(what)
            .recv_timeout(WATCHDOG)
            .expect("it must end")
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.tell = None;
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

/// Of `port`: makes the thread its consumer, which then does not wait.
fn consumes(consumer: &Consumer, port: &Port) {
    let port = port.clone();
    consumer.run(move || nothing(&port));
}

/// Has the consumer wait until a packet comes that was posted to the port.
fn waits(consumer: &Consumer, port: &Port) -> Receiver<()> {
    let port = port.clone();
    consumer.begin(move || while get(&port).kind != Kind::Post {})
}

// ---- who takes the packets -------------------------------------------------------------------------

/// CC-3 on an exclusive port.
#[test]
fn a_second_thread_is_refused_while_the_first_is_bound() {
    let Some(port) = exclusive() else { return };
    let other: Port = CompletionPort::new(1).unwrap();
    let consumer = Consumer::new();
    consumes(&consumer, &port);
    for _ in 0..3 {
        let Err(GetError::Failed(error)) = port.poll() else {
            panic!("two threads take an exclusive port's packets");
        };
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let said = error.to_string();
        assert!(said.contains("another thread takes its packets"), "{said}");
    }
    // It turns to another port: now this thread may, and that one may not.
    consumer.run(move || assert!(matches!(other.poll(), Err(GetError::TimedOut))));
    port.post(text(b"", 1), 0).unwrap();
    assert_eq!(*get(&port).operation.user(), 1);
    let theirs = port.clone();
    consumer.run(move || assert!(matches!(theirs.poll(), Err(GetError::Failed(_)))));
    nothing(&port);
}

/// CX-8: what a thread has started outlives it, here together with the ring that it took along.
#[test]
fn the_next_thread_takes_over_what_is_under_way() {
    let Some(port) = exclusive() else { return };
    const CONNECTIONS: u64 = 20;
    let (mut sockets, mut peers) = (Vec::new(), Vec::new());
    for key in 0..CONNECTIONS {
        let (socket, peer) = connection(&port, key);
        sockets.push(socket);
        peers.push(peer);
    }
    let mut received = vec![Vec::new(); CONNECTIONS as usize];
    // Each consumer receives a part, and leaves receives, bytes in the inboxes, bytes in the
    // sockets and requests in its ring behind.
    for round in 0..6u8 {
        for (socket, peer) in sockets.iter().zip(&mut peers) {
            // Some have two, some none.
            for _ in 0..(socket.key() + u64::from(round)) % 3 {
                socket.recv(room(5, 0)).unwrap();
            }
            peer.write_all(&[round; 4]).unwrap();
        }
        let port = port.clone();
        let taken = std::thread::spawn(move || {
            let mut taken = Vec::new();
            while let Ok(packet) = port.get_timeout(Duration::from_millis(20)) {
                let key = *packet.socket.as_ref().unwrap().key();
                assert_eq!(packet.status, Status::SUCCESS);
                taken.push((key, packet.operation.bytes().to_vec()));
            }
            taken
        });
        for (key, bytes) in taken.join().unwrap() {
            received[key as usize].extend(bytes);
        }
    }
    for (socket, peer) in sockets.iter().zip(&mut peers) {
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        socket.recv(room(100, 0)).unwrap();
    }
    let mut open = CONNECTIONS;
    while open > 0 {
        let packet = get(&port);
        assert_eq!(packet.status, Status::SUCCESS);
        let socket = packet.socket.unwrap();
        received[*socket.key() as usize].extend(packet.operation.bytes());
        match packet.bytes {
            0 => open -= 1,
            _ => drop(socket.recv(packet.operation).unwrap()),
        }
    }
    let sent: Vec<u8> = (0..6).flat_map(|round| [round; 4]).collect();
    assert!(received.iter().all(|bytes| *bytes == sent));
}

// ---- the end of the stream -------------------------------------------------------------------------

/// A request in the ring keeps the socket open in the kernel, so whoever closes it sees to it that
/// the request goes too.
mod closing {
    use super::*;

    /// A connection with a receive in the ring.
    fn waiting(port: &Port, consumer: &Consumer) -> (Socket, TcpStream) {
        let (socket, peer) = connection(port, 0);
        socket.recv(room(8, 0)).unwrap();
        consumes(consumer, port);
        (socket, peer)
    }

    #[test]
    fn by_the_consumer() {
        let Some(port) = exclusive() else { return };
        let (socket, peer) = connection(&port, 0);
        socket.recv(room(8, 0)).unwrap();
        nothing(&port);
        socket.close();
        assert_ends(peer);
        assert_eq!(get(&port).status, Status::CONNECTION_ABORTED);
    }

    #[test]
    fn by_another_thread_while_the_consumer_waits() {
        let Some(port) = exclusive() else { return };
        let consumer = Consumer::new();
        let (socket, peer) = waiting(&port, &consumer);
        let done = waits(&consumer, &port);
        socket.close();
        assert_ends(peer);
        port.post(text(b"", 0), 0).unwrap();
        done.recv_timeout(WATCHDOG).unwrap();
    }

    #[test]
    fn by_another_thread_before_the_consumer_waits_again() {
        let Some(port) = exclusive() else { return };
        let consumer = Consumer::new();
        let (socket, peer) = waiting(&port, &consumer);
        socket.close();
        let done = waits(&consumer, &port);
        assert_ends(peer);
        port.post(text(b"", 0), 0).unwrap();
        done.recv_timeout(WATCHDOG).unwrap();
    }

    #[test]
    fn after_the_consumer_has_gone() {
        let Some(port) = exclusive() else { return };
        let consumer = Consumer::new();
        let (socket, peer) = waiting(&port, &consumer);
        drop(consumer);
        socket.close();
        assert_ends(peer);
    }

    #[test]
    fn after_the_consumer_has_turned_to_another_port() {
        let Some(port) = exclusive() else { return };
        let consumer = Consumer::new();
        let (socket, peer) = waiting(&port, &consumer);
        let other = exclusive().unwrap();
        consumes(&consumer, &other);
        socket.close();
        assert_ends(peer);
    }

    #[test]
    fn after_the_port_was_closed_while_the_consumer_waited() {
        let Some(port) = exclusive() else { return };
        let consumer = Consumer::new();
        let (socket, peer) = waiting(&port, &consumer);
        let theirs = port.clone();
        let done = consumer.begin(move || assert!(matches!(theirs.get(), Err(GetError::Closed))));
        port.close();
        done.recv_timeout(WATCHDOG).unwrap();
        drop(socket);
        assert_ends(peer);
    }

    #[test]
    fn after_the_port_was_closed_and_the_consumer_never_came_again() {
        let Some(port) = exclusive() else { return };
        let consumer = Consumer::new();
        let (socket, peer) = waiting(&port, &consumer);
        port.close();
        drop(socket);
        assert_ends(peer);
    }

    #[test]
    fn after_the_consumer_has_closed_the_port() {
        let Some(port) = exclusive() else { return };
        let consumer = Consumer::new();
        let (socket, peer) = waiting(&port, &consumer);
        consumer.run(move || port.close());
        drop(socket);
        assert_ends(peer);
    }

    #[test]
    fn with_the_port_itself() {
        let Some(port) = exclusive() else { return };
        let consumer = Consumer::new();
        let (socket, peer) = waiting(&port, &consumer);
        drop(socket);
        drop(port);
        assert_ends(peer);
    }
}

// ---- bytes that the ring took ----------------------------------------------------------------------

/// AX-3, AX-5: the operation takes what fits, and the rest stays with the connection that it gives.
#[test]
fn an_accepted_connection_keeps_what_its_first_receive_left() {
    let Some(port) = exclusive() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listener = port.associate(listener, 0).unwrap();
    for late in [false, true] {
        listener.accept_with_data(room(4, 0)).unwrap();
        let mut peer = TcpStream::connect(address).unwrap();
        if late {
            nothing(&port);
        }
        peer.write_all(b"first and all the rest").unwrap();
        let mut packet = get(&port);
        assert_eq!(packet.operation.bytes(), b"firs");
        peer.write_all(b", and more").unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        nothing(&port);
        let accepted = packet.operation.take_accepted().unwrap();
        let mut rest = String::new();
        accepted
            .into_std()
            .unwrap()
            .read_to_string(&mut rest)
            .unwrap();
        assert_eq!(rest, "t and all the rest, and more");
    }
}

/// PO-6: a socket is given back only if nothing of it is in the ring's hands.
#[test]
fn a_socket_is_given_back_with_all_its_bytes() {
    let Some(port) = exclusive() else { return };
    // Its bytes are in the inbox: refused, until they are received.
    let (socket, mut peer) = connection(&port, 0);
    socket.recv(room(2, 0)).unwrap();
    peer.write_all(b"abcdef").unwrap();
    assert_eq!(get(&port).operation.bytes(), b"ab");
    let socket = socket.into_tcp_stream().unwrap_err();
    socket.recv(room(100, 0)).unwrap();
    assert_eq!(get(&port).operation.bytes(), b"cdef");
    // The request that brought them is called back.
    let mut stream = socket.into_tcp_stream().unwrap();
    peer.write_all(b"ghi").unwrap();
    let mut bytes = [0; 3];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"ghi");
}

/// The same from a thread that is not the consumer: refused once at most, while nothing comes.
#[test]
fn a_socket_is_given_back_to_another_thread() {
    let Some(port) = exclusive() else { return };
    let consumer = Consumer::new();
    let (socket, mut peer) = connection(&port, 0);
    let started = socket.recv(room(2, 0)).unwrap();
    consumes(&consumer, &port);
    assert!(socket.cancel(started));
    consumes_cancelled(&consumer, &port);
    let done = waits(&consumer, &port);
    let mut socket = socket;
    let mut stream = loop {
        match socket.into_tcp_stream() {
            Ok(stream) => break stream,
            Err(back) => socket = back,
        }
        std::thread::yield_now();
    };
    peer.write_all(b"abc").unwrap();
    let mut bytes = [0; 3];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"abc");
    port.post(text(b"", 0), 0).unwrap();
    done.recv_timeout(WATCHDOG).unwrap();
}

/// The consumer gets the packet of a receive that was cancelled.
fn consumes_cancelled(consumer: &Consumer, port: &Port) {
    let port = port.clone();
    consumer.run(move || assert_eq!(get(&port).status, Status::CANCELLED));
}

/// What was asked for before anybody consumes is in nobody's hands.
#[test]
fn a_socket_is_given_back_before_anybody_consumes() {
    let Some(port) = exclusive() else { return };
    let (socket, mut peer) = connection(&port, 0);
    let started = socket.recv(room(2, 0)).unwrap();
    assert!(socket.cancel(started));
    let mut stream = socket.into_tcp_stream().unwrap();
    peer.write_all(b"abc").unwrap();
    let mut bytes = [0; 3];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"abc");
    assert_eq!(get(&port).status, Status::CANCELLED);
}

/// While the consumer changes and others ask for sockets back, no request is forgotten.
#[test]
fn asking_for_a_socket_back_disturbs_no_hand_over() {
    let Some(port) = exclusive() else { return };
    let (socket, mut peer) = connection(&port, 1);
    socket.recv(room(1, 0)).unwrap();
    std::thread::scope(|scope| {
        let (over, stop) = channel::<()>();
        let port = &port;
        scope.spawn(move || {
            let (other, _peer) = connection(port, 2);
            let mut other = other;
            while stop.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                let started = other.recv(room(1, 0)).unwrap();
                other.cancel(started);
                match other.into_tcp_stream() {
                    Ok(stream) => other = port.associate(stream, 2).unwrap(),
                    Err(back) => other = back,
                }
            }
        });
        for round in 0..200u8 {
            peer.write_all(&[round]).unwrap();
            // Each round another thread.
            let packet = std::thread::scope(|scope| {
                let take = move || loop {
                    let packet = get(port);
                    if packet
                        .socket
                        .as_ref()
                        .is_some_and(|socket| *socket.key() == 1)
                    {
                        return packet;
                    }
                };
                scope.spawn(take).join().unwrap()
            });
            assert_eq!(packet.operation.bytes(), [round]);
            socket.recv(packet.operation).unwrap();
        }
        drop(over);
    });
}

// ---- nothing goes round for ever -------------------------------------------------------------------

/// Sends an urgent byte, if that is possible over such a socket.
fn send_urgent(peer: &impl AsRawFd) -> bool {
    // SAFETY: one byte, from a buffer of one.
    unsafe { libc::send(peer.as_raw_fd(), [b'!'].as_ptr().cast(), 1, libc::MSG_OOB) == 1 }
}

/// The time that this thread has computed.
fn computed() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call fills the structure.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// An urgent byte that nobody fetches stays there, and must not be reported for ever: whatever
/// waits on the connection, the consumer sleeps. (Not a test of speed: it would compute all the time.)
#[test]
fn urgent_data_does_not_keep_the_consumer_busy() {
    let Some(port) = exclusive() else { return };
    // (A Unix socket calls itself readable while an urgent byte is all that it has, for a receive that
    // looks only: not waited for here.)
    for (tcp, zero) in [(true, false), (true, true), (false, false)] {
        let (ours, peer): (OwnedFd, OwnedFd) = if tcp {
            let (ours, peer) = pair();
            (ours.into(), peer.into())
        } else {
            let (ours, peer) = UnixStream::pair().unwrap();
            (ours.into(), peer.into())
        };
        let socket = port.associate(ours, 0).unwrap();
        let kind = match zero {
            false => socket.recv(room(8, 0)).map(|_| "receive"),
            true => socket.recv_zero(room(8, 0)).map(|_| "wait for data"),
        };
        let kind = kind.unwrap();
        nothing(&port);
        if !send_urgent(&peer) {
            assert!(!tcp, "TCP has urgent data");
            continue;
        }
        let before = computed();
        let ended = port.get_timeout(Duration::from_millis(500));
        assert!(matches!(ended, Err(GetError::TimedOut)), "{ended:?}");
        let spent = computed() - before;
        assert!(spent < Duration::from_millis(250), "{kind}: {spent:?}");
        std::fs::File::from(peer).write_all(b"hello").unwrap();
        let packet = get(&port);
        assert_eq!(packet.status, Status::SUCCESS, "{kind}");
        if packet.kind == Kind::Recv {
            assert_eq!(packet.operation.bytes(), b"hello");
        }
    }
}

/// IO-20: readiness includes what is urgent.
#[test]
fn urgent_data_is_readiness() {
    let Some(port) = exclusive() else { return };
    let (socket, peer) = connection(&port, 0);
    socket.ready(text(b"", 0), Interest::Readable).unwrap();
    nothing(&port);
    assert!(send_urgent(&peer));
    assert!(get(&port).operation.ready().readable);
}

// ---- under load ------------------------------------------------------------------------------------

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// The byte at this place of a connection's stream.
fn byte_at(connection: u64, position: u64) -> u8 {
    let mixed = (position ^ connection << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}

/// Raises the limit of descriptors to what it may be, and says how many that is.
fn descriptors() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls get a valid structure.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
    }
    limit.rlim_cur
}

/// What one connection's stream is, and how far it was received.
struct Stream {
    length: u64,
    checked: u64,
    /// By number, what came out of order of the packets.
    arrived: std::collections::BTreeMap<u64, Vec<u8>>,
    next_number: u64,
    next_to_check: u64,
    out: usize,
    ended: bool,
}

impl Stream {
    fn new(length: u64) -> Self {
        Stream {
            length,
            checked: 0,
            arrived: Default::default(),
            next_number: 0,
            next_to_check: 0,
            out: 0,
            ended: false,
        }
    }

    fn receive(&mut self, socket: &Socket, random: &mut Random, outstanding: usize) {
        while self.out < outstanding && !self.ended {
            let capacity = match random.below(8) {
                0 => 1 + random.below(100),
                1 => 40_000,
                _ => 1 + random.below(6_000),
            };
            let operation = room(capacity as usize, self.next_number);
            match random.below(3) {
                0 => socket.recv_pooled(operation).unwrap(),
                _ => socket.recv(operation).unwrap(),
            };
            self.next_number += 1;
            self.out += 1;
        }
    }

    /// Takes what a receive brought; whether the stream is over and all receives are back.
    fn take(&mut self, key: u64, packet: &Packet) -> bool {
        self.out -= 1;
        assert_eq!(packet.status, Status::SUCCESS);
        assert_eq!(packet.bytes, packet.operation.bytes().len());
        self.ended |= packet.bytes == 0;
        let bytes = packet.operation.bytes().to_vec();
        self.arrived.insert(*packet.operation.user(), bytes);
        while let Some(bytes) = self.arrived.remove(&self.next_to_check) {
            self.next_to_check += 1;
            for byte in bytes {
                assert_eq!(
                    byte,
                    byte_at(key, self.checked),
                    "{key} at {}",
                    self.checked
                );
                self.checked += 1;
            }
        }
        self.ended && self.out == 0
    }
}

/// IO-5 with more connections than the ring has buffers, of bytes that come in ones and in hundreds
/// of thousands: through full inboxes, exhausted buffers and direct receives.
#[test]
fn every_byte_of_thousands_of_connections_arrives_in_order() {
    let Some(port) = exclusive() else { return };
    // Both ends are here, other tests too.
    let connections = (descriptors() / 4).min(2_000);
    let mut random = Random(7);
    let mut streams = Vec::new();
    let (mut sockets, mut peers) = (Vec::new(), Vec::new());
    for key in 0..connections {
        let (socket, peer) = connection(&port, key);
        let length = match key % 10 {
            0 => 200_000,
            1..4 => 20_000 + random.below(20_000),
            _ => 1 + random.below(3_000),
        };
        streams.push(Stream::new(length));
        sockets.push(socket);
        peers.push(peer);
    }
    let lengths: Vec<u64> = streams.iter().map(|stream| stream.length).collect();
    let sender = std::thread::spawn(move || {
        let mut random = Random(8);
        for peer in &peers {
            peer.set_nonblocking(true).unwrap();
        }
        let mut sent = vec![0; lengths.len()];
        let mut left: Vec<usize> = (0..lengths.len()).collect();
        while !left.is_empty() {
            left.retain(|&index| {
                let most = [1, 700, 16_384, 70_000][random.below(4) as usize];
                let end = lengths[index].min(sent[index] + most);
                let bytes: Vec<u8> = (sent[index]..end)
                    .map(|position| byte_at(index as u64, position))
                    .collect();
                match (&peers[index]).write(&bytes) {
                    Ok(count) => sent[index] += count as u64,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
                if sent[index] == lengths[index] {
                    peers[index].shutdown(std::net::Shutdown::Write).unwrap();
                }
                sent[index] < lengths[index]
            });
        }
        peers
    });
    for (socket, stream) in sockets.iter().zip(&mut streams) {
        let outstanding = 1 + (socket.key() % 3) as usize;
        stream.receive(socket, &mut random, outstanding);
    }
    // Handlers that are slow to receive again let inboxes fill.
    let mut later = Vec::new();
    let mut open = connections;
    while open > 0 {
        let packet = match port.get_timeout(Duration::from_millis(20)) {
            Ok(packet) => Some(packet),
            Err(GetError::TimedOut) if !later.is_empty() => None,
            Err(GetError::TimedOut) => Some(get(&port)),
            Err(other) => panic!("{other}"),
        };
        if let Some(packet) = &packet {
            let key = *packet.socket.as_ref().unwrap().key();
            open -= u64::from(streams[key as usize].take(key, packet));
            later.push(key);
        }
        if packet.is_none() || later.len() > 1_000 {
            for key in later.drain(..) {
                let socket = &sockets[key as usize];
                let outstanding = 1 + (key % 3) as usize;
                streams[key as usize].receive(socket, &mut random, outstanding);
            }
        }
    }
    drop(sender.join().unwrap());
    for stream in &streams {
        assert_eq!(stream.checked, stream.length);
        assert!(stream.arrived.is_empty());
    }
    nothing(&port);
}

/// The ring has room for so many results, and the rest is kept by the system: also when the
/// consumer goes before it has seen them.
#[test]
fn more_results_than_there_is_room_for_survive_the_consumer() {
    let Some(port) = exclusive() else { return };
    const ROOM: u64 = 4_096;
    let connections = (ROOM + 500).min(descriptors() / 4);
    if connections <= ROOM {
        eprintln!("ONLY {connections} connections, since there are not more descriptors");
    }
    let (mut sockets, mut peers) = (Vec::new(), Vec::new());
    for key in 0..connections {
        let (socket, peer) = connection(&port, key);
        socket.recv(room(4, 0)).unwrap();
        sockets.push(socket);
        peers.push(peer);
    }
    let theirs = port.clone();
    std::thread::spawn(move || {
        nothing(&theirs);
        for peer in &mut peers {
            peer.write_all(b"abc").unwrap();
        }
        // Brings the results, and takes one of them.
        let first = get(&theirs);
        theirs.post(first.operation, 0).unwrap();
        peers
    })
    .join()
    .map(|peers| {
        let mut packets = 0;
        while packets < connections {
            let packet = get(&port);
            assert_eq!(packet.operation.bytes(), b"abc");
            packets += 1;
        }
        nothing(&port);
        drop(peers);
    })
    .unwrap();
}

/// PK-6, IO-5, CX-1, CX-2, CX-4: one thread consumes, and others start, cancel and close.
#[test]
fn a_storm_of_starts_cancels_and_closes_from_other_threads() {
    const CONNECTIONS: u64 = 24;
    const STARTERS: u64 = 3;
    const BYTES: u64 = 150_000;
    let Some(port) = exclusive() else { return };
    let rounds = std::env::var("OVERLAPPED_STRESS_PACKETS")
        .map_or(1, |text| text.parse::<u64>().unwrap() / 100_000 + 1);
    for round in 1..=rounds {
        let (mut sockets, mut peers) = (Vec::new(), Vec::new());
        for key in 0..CONNECTIONS {
            let (socket, peer) = connection(&port, key);
            sockets.push(socket);
            peers.push(peer);
        }
        let started = AtomicU64::new(0);
        let over = AtomicU64::new(0);
        // Of each connection: how many receives are out, the number of the next, and if it is over.
        let lanes: Vec<Mutex<(usize, u64, bool)>> =
            (0..CONNECTIONS).map(|_| Mutex::default()).collect();
        let (sockets, lanes, started, over, port) = (&sockets, &lanes, &started, &over, &port);
        // The last ones are closed in the middle.
        let is_cut = |key: u64| key >= CONNECTIONS - 4;
        std::thread::scope(|scope| {
            for (key, mut peer) in peers.into_iter().enumerate() {
                scope.spawn(move || {
                    let bytes: Vec<u8> = (0..BYTES).map(|at| byte_at(key as u64, at)).collect();
                    for piece in bytes.chunks(7_001) {
                        if peer.write_all(piece).is_err() {
                            assert!(is_cut(key as u64));
                            return;
                        }
                    }
                    let _ = peer.shutdown(std::net::Shutdown::Write);
                    // Until we have closed, which is the last thing: nothing is reset.
                    let _ = peer.read(&mut [0]);
                });
            }
            for starter in 0..STARTERS {
                scope.spawn(move || {
                    let mut random = Random(round << 8 | starter << 4 | 1);
                    let mut handles = Vec::new();
                    while over.load(SeqCst) < CONNECTIONS {
                        let key = random.below(CONNECTIONS);
                        let mut lane = lanes[key as usize].lock().unwrap();
                        if lane.0 < 4 && !lane.2 {
                            let size = 1 + random.below(9_000) as usize;
                            match sockets[key as usize].recv(room(size, lane.1)) {
                                Ok(handle) => {
                                    started.fetch_add(1, SeqCst);
                                    lane.0 += 1;
                                    lane.1 += 1;
                                    handles.push((key, handle));
                                }
                                Err(refused) => {
                                    assert!(is_cut(key), "{}", refused.error);
                                    lane.2 = true;
                                }
                            }
                        }
                        drop(lane);
                        if random.below(6) == 0 && !handles.is_empty() {
                            let which = random.below(handles.len() as u64) as usize;
                            let (key, handle) = handles.swap_remove(which);
                            sockets[key as usize].cancel(handle);
                        }
                        if is_cut(key) && random.below(400) == 0 {
                            sockets[key as usize].close();
                        }
                        if random.below(50) == 0 {
                            std::thread::sleep(Duration::from_micros(100));
                        }
                    }
                });
            }
            // This thread consumes.
            let mut streams: Vec<Stream> = (0..CONNECTIONS).map(|_| Stream::new(BYTES)).collect();
            let mut done = vec![false; CONNECTIONS as usize];
            let mut packets = 0;
            loop {
                let packet = match port.get_timeout(Duration::from_millis(20)) {
                    Ok(packet) => packet,
                    Err(GetError::TimedOut) => {
                        let all = over.load(SeqCst) == CONNECTIONS;
                        if all && started.load(SeqCst) == packets {
                            break;
                        }
                        for (key, done) in done.iter_mut().enumerate() {
                            let lane = lanes[key].lock().unwrap();
                            if lane.2 && lane.0 == 0 && !std::mem::replace(done, true) {
                                over.fetch_add(1, SeqCst);
                            }
                        }
                        continue;
                    }
                    Err(other) => panic!("{other}"),
                };
                packets += 1;
                let key = *packet.socket.as_ref().unwrap().key();
                let stream = &mut streams[key as usize];
                let mut lane = lanes[key as usize].lock().unwrap();
                lane.0 -= 1;
                match packet.status {
                    Status::SUCCESS => lane.2 |= packet.bytes == 0,
                    Status::CANCELLED => assert_eq!(packet.bytes, 0),
                    status => {
                        assert!(is_cut(key), "{status}");
                        assert_eq!(packet.bytes, 0);
                        lane.2 = true;
                    }
                }
                // Each number once.
                let bytes = packet.operation.bytes().to_vec();
                let before = stream.arrived.insert(*packet.operation.user(), bytes);
                assert!(before.is_none());
                while let Some(bytes) = stream.arrived.remove(&stream.next_to_check) {
                    stream.next_to_check += 1;
                    for byte in bytes {
                        assert_eq!(byte, byte_at(key, stream.checked));
                        stream.checked += 1;
                    }
                }
            }
            assert_eq!(started.load(SeqCst), packets);
            for (key, stream) in streams.iter().enumerate() {
                assert!(stream.arrived.is_empty());
                assert_eq!(stream.next_to_check, lanes[key].lock().unwrap().1);
                assert!(is_cut(key as u64) || stream.checked == BYTES);
                sockets[key].close();
            }
        });
    }
}
