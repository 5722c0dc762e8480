//! What the system under the port does where the specification leaves it open, as `key=value`.
//!
//!     cargo run -p overlapped --example probe [ENGINE]
//!
//! The output on Linux, with both of its engines, and under Wine is in `docs/engines.md`, side by side; whoever has a Windows
//! machine can add the third column in a minute. The keys name the clause, or the open point, that
//! they are about. Nothing here is an assertion: the conformance suite is for that.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::channel;
use std::time::Duration;

use overlapped::{CompletionPort, Engine, GetError, Kind, Operation, Packet, Socket, Start};

type Port = CompletionPort<u64, u64>;

/// Long enough for whatever the loopback interface does.
const SOON: Duration = Duration::from_millis(300);

fn main() -> io::Result<()> {
    let engine = std::env::args()
        .nth(1)
        .map_or(Ok(Engine::Auto), |name| name.parse())?;
    let port: Port = CompletionPort::builder()
        .concurrency(1)
        .engine(engine)
        .build()?;
    say("engine", port.stats().engine);
    say("os", std::env::consts::OS);
    // An exclusive port has one thread.
    if port.stats().engine != "io_uring" {
        at_the_limit()?;
        who_wakes_first()?;
    }
    closing(&port)?;
    a_cancelled_send(&port)?;
    accepts_in_order(&port)?;
    datagrams(&port)?;
    pipes(&port)?;
    after_a_reset(&port)?;
    at_once(&port)?;
    a_refused_connect(&port)
}

fn say(key: &str, value: impl std::fmt::Display) {
    println!("{key}={value}");
}

fn get(port: &Port) -> Option<Packet<u64, u64>> {
    port.get_timeout(SOON).ok()
}

fn told(packet: Option<Packet<u64, u64>>) -> String {
    packet.map_or("nothing".to_owned(), |packet| {
        format!("{:?}/{}", packet.status, packet.bytes)
    })
}

fn room(user: u64) -> Operation<u64> {
    Operation::with_capacity(64, user)
}

/// A connection of the port's, and its other end.
fn connection(port: &Port) -> io::Result<(Socket<u64, u64>, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let remote = TcpStream::connect(listener.local_addr()?)?;
    remote.set_read_timeout(Some(SOON))?;
    let (stream, _) = listener.accept()?;
    Ok((port.associate(stream, 1)?, remote))
}

/// Open points 1: does a poll at the limit time out although a packet is queued (CC-6)? Does a
/// thread count after a time-out (CC-4)?
fn at_the_limit() -> io::Result<()> {
    for (key, packets) in [("CC-6_at_the_limit", 2), ("CC-4_after_a_timeout", 0)] {
        let port: Port = CompletionPort::builder()
            .concurrency(1)
            .rescue_after(None)
            .build()?;
        for user in 0..packets {
            port.post(Operation::new("", user), 0)?;
        }
        let (go_on, gate) = channel::<()>();
        let (active, is_active) = channel();
        let busy = port.clone();
        let thread = std::thread::spawn(move || {
            let _ = busy.get_timeout(Duration::ZERO);
            let _ = active.send(());
            let _ = gate.recv();
        });
        let _ = is_active.recv();
        if packets == 0 {
            port.post(Operation::new("", 0), 0)?;
        }
        let got = match port.poll() {
            Ok(_) => "a packet",
            Err(GetError::TimedOut) => "timed out",
            Err(_) => "failed",
        };
        say(key, got);
        let _ = go_on.send(());
        let _ = thread.join();
    }
    Ok(())
}

/// CC-2: of two threads that wait, which gets the first packet?
fn who_wakes_first() -> io::Result<()> {
    let port: Port = CompletionPort::new(2)?;
    let (tell, order) = channel();
    for number in 1..=2 {
        let (port, tell) = (port.clone(), tell.clone());
        std::thread::spawn(move || {
            let got = port.get_timeout(SOON * 10).map(|p| *p.operation.user());
            let _ = tell.send((got.unwrap_or(99), number));
        });
        std::thread::sleep(SOON / 3);
    }
    port.post(Operation::new("", 0), 0)?;
    std::thread::sleep(SOON / 3);
    port.post(Operation::new("", 1), 0)?;
    let first = order.iter().take(2).find(|(packet, _)| *packet == 0);
    let who = match first {
        Some((_, 2)) => "the last that began to wait",
        Some(_) => "the first that began to wait",
        None => "nobody",
    };
    say("CC-2_first_packet", who);
    Ok(())
}

/// Open point 3: the status of what closing ends. (The library names it itself; see CX-6.)
fn closing(port: &Port) -> io::Result<()> {
    let (socket, mut remote) = connection(port)?;
    socket.recv(room(0))?;
    socket.close();
    say("CX-6_tcp_recv", told(get(port)));
    say(
        "CX-6_peer_reads",
        format!("{:?}", remote.read(&mut [0]).ok()),
    );
    let socket = port.associate(UdpSocket::bind("127.0.0.1:0")?, 2)?;
    socket.recv(room(0))?;
    socket.close();
    say("CX-6_udp_recv", told(get(port)));
    let listener = port.associate(TcpListener::bind("127.0.0.1:0")?, 3)?;
    listener.accept(Operation::new("", 0))?;
    listener.close();
    say("CX-6_accept", told(get(port)));
    Ok(())
}

/// Open point 4: the byte count of a send that was cancelled in the middle, and what the peer got.
fn a_cancelled_send(port: &Port) -> io::Result<()> {
    let (socket, mut remote) = connection(port)?;
    let started = socket.send(Operation::new(vec![7; 16_000_000], 0))?;
    std::thread::sleep(SOON);
    say("CX-5_asked", socket.cancel(started));
    let packet = get(port);
    let said = packet.as_ref().map_or(0, |packet| packet.bytes);
    say(
        "CX-5_status",
        packet.map_or("nothing".into(), |packet| format!("{:?}", packet.status)),
    );
    say("CX-5_partial", said > 0);
    socket.close();
    let mut came = Vec::new();
    let _ = remote.read_to_end(&mut came);
    say("CX-5_count_is_what_the_peer_got", came.len() == said);
    Ok(())
}

/// Open point 6: are several accepts served in the order of their start (AX-6)?
fn accepts_in_order(port: &Port) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let listener = port.associate(listener, 1)?;
    for user in 0..3 {
        listener.accept(Operation::new("", user))?;
    }
    let mut order = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(TcpStream::connect(address)?);
        order.extend(get(port).map(|packet| *packet.operation.user()));
    }
    say("AX-6_order", format!("{order:?}"));
    Ok(())
}

/// Open point 7 and IO-9, IO-13: a datagram that is too long, and one that finds nobody.
fn datagrams(port: &Port) -> io::Result<()> {
    let socket = port.associate(UdpSocket::bind("127.0.0.1:0")?, 1)?;
    let peer = UdpSocket::bind("127.0.0.1:0")?;
    peer.send_to(b"123456789", socket.local_addr()?)?;
    socket.recv(Operation::with_capacity(4, 0))?;
    say("IO-9_cut", told(get(port)));
    let to: SocketAddr = peer.local_addr()?;
    socket.send_to(Operation::new(vec![0; 70_000], 0), to)?;
    say("IO-9_too_long_to_send", told(get(port)));
    drop(peer);
    socket.send_to(Operation::new("anybody?", 0), to)?;
    say("IO-13_send", told(get(port)));
    socket.recv(room(0))?;
    say("IO-13_recv", told(get(port)));
    socket.cancel_all();
    while get(port).is_some() {}
    Ok(())
}

/// Of pipes: what a zero-byte receive waits for (IO-4), what a cancelled send says (CX-5), and what
/// each end is told when the other has gone (IO-19).
fn pipes(port: &Port) -> io::Result<()> {
    let pipe = || -> io::Result<_> {
        let (reader, writer) = overlapped::pipe()?;
        Ok((port.associate(reader, 1)?, port.associate(writer, 2)?))
    };
    let (reader, writer) = pipe()?;
    reader.recv_zero(room(0))?;
    say("IO-4_pipe_empty", told(get(port)));
    writer.send(Operation::new("x", 1))?;
    let packets = [get(port), get(port)].into_iter().flatten();
    let found = packets
        .filter(|packet| packet.kind == Kind::RecvZero)
        .last();
    say("IO-4_pipe_filled", told(found));
    let started = writer.send(Operation::new(vec![7; 1_000_000], 0))?;
    say("CX-5_pipe_send", told(get(port)));
    writer.cancel(started);
    let cancelled = get(port).map_or(0, |packet| packet.bytes);
    say("CX-5_pipe_partial", cancelled > 0);
    drop(writer);
    let mut came = 0;
    let last = loop {
        reader.recv(room(0))?;
        match get(port) {
            Some(packet) if packet.bytes > 0 => came += packet.bytes,
            last => break told(last),
        }
    };
    say("CX-5_pipe_count_is_what_came", came == 1 + cancelled);
    say("IO-19_pipe_recv", last);
    let (reader, writer) = pipe()?;
    drop(reader);
    writer.send(Operation::new("x", 0))?;
    say("IO-19_pipe_send", told(get(port)));
    Ok(())
}

/// IO-14: what follows a reset.
fn after_a_reset(port: &Port) -> io::Result<()> {
    let (socket, remote) = connection(port)?;
    socket.recv(room(0))?;
    socket2::SockRef::from(&remote).set_linger(Some(Duration::ZERO))?;
    drop(remote);
    say("IO-14_pending_recv", told(get(port)));
    let refused = socket.send(Operation::new("x", 0)).err();
    say(
        "IO-14_next_send",
        refused.map_or("started".to_owned(), |r| format!("{:?}", r.status)),
    );
    Ok(())
}

/// SK-5: what ends at once.
fn at_once(port: &Port) -> io::Result<()> {
    let (socket, mut remote) = connection(port)?;
    let said = |start: Start<u64, u64>| match start {
        Start::Done(_) => "at once",
        Start::Pending(_) => "pends",
    };
    say(
        "SK-5_send",
        said(socket.direct().send(Operation::new("x", 0))?),
    );
    remote.read_exact(&mut [0])?;
    io::Write::write_all(&mut remote, b"y")?;
    std::thread::sleep(SOON);
    say("SK-5_recv", said(socket.direct().recv(room(0))?));
    while get(port).is_some() {}
    Ok(())
}

/// CE-3: may a refused socket try again?
fn a_refused_connect(port: &Port) -> io::Result<()> {
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let socket = port.associate(overlapped::stream_socket(&nobody)?, 1)?;
    socket.connect(Operation::new("", 0), nobody)?;
    // Windows tries for some seconds.
    let packet = port.get_timeout(SOON * 20).ok();
    say("CE-3_refused", told(packet));
    let listener = TcpListener::bind("127.0.0.1:0")?;
    match socket.connect(Operation::new("", 0), listener.local_addr()?) {
        Err(refused) => say("CE-3_again", format!("refused {:?}", refused.status)),
        Ok(_) => {
            let packet = get(port);
            debug_assert!(packet.as_ref().is_none_or(|p| p.kind == Kind::Connect));
            say("CE-3_again", told(packet));
        }
    }
    Ok(())
}
