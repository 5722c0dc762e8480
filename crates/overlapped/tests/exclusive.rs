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
    match peer.read(&mut [0]) {
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

    /// A connection with a receive in the ring and, for good measure, a send that waits for room.
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
