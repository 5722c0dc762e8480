//! What works on every system, the Windows skeleton included.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use overlapped::{CompletionPort, GetError, Kind, Operation, Status};

const WATCHDOG: Duration = Duration::from_secs(60);

type Port = CompletionPort<u32, u32>;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(WATCHDOG)).unwrap();
    (listener.accept().unwrap().0, client)
}

#[test]
fn an_echo_of_several_messages() {
    let port: Port = CompletionPort::new(0).unwrap();
    let (server, mut client) = pair();
    let socket = port.associate(server, 7).unwrap();
    socket.recv(Operation::with_capacity(4096, 1)).unwrap();
    let worker = std::thread::spawn({
        let port = port.clone();
        move || {
            loop {
                let packet = port.get_timeout(WATCHDOG).unwrap();
                let socket = packet.socket.clone().unwrap();
                assert_eq!((*socket.key(), packet.status), (7, Status::SUCCESS));
                match (packet.kind, packet.bytes) {
                    (Kind::Recv, 0) => return,
                    (Kind::Recv, _) => socket.send(packet.operation).unwrap(),
                    (_, _) => socket.recv(packet.operation).unwrap(),
                };
            }
        }
    });
    for round in 1..200usize {
        let message = vec![round as u8; round * 13 % 3000 + 1];
        client.write_all(&message).unwrap();
        let mut answer = vec![0; message.len()];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, message);
    }
    client.shutdown(std::net::Shutdown::Write).unwrap();
    worker.join().unwrap();
}

#[test]
fn posts_come_in_order_and_a_poll_of_nothing_times_out() {
    let port: Port = CompletionPort::new(1).unwrap();
    assert!(matches!(port.poll(), Err(GetError::TimedOut)));
    for number in 0..5 {
        port.post(Operation::new("", number), number as usize)
            .unwrap();
    }
    let mut packets = Vec::new();
    while packets.len() < 5 {
        port.get_many(&mut packets, 3, Some(WATCHDOG)).unwrap();
    }
    for (number, packet) in packets.iter().enumerate() {
        assert_eq!(
            (*packet.operation.user(), packet.bytes),
            (number as u32, number)
        );
        assert!(packet.socket.is_none());
    }
}

#[test]
fn a_cancelled_receive_yields_its_packet() {
    let port: Port = CompletionPort::new(1).unwrap();
    let (server, _client) = pair();
    let socket = port.associate(server, 1).unwrap();
    let started = socket.recv(Operation::with_capacity(8, 5)).unwrap();
    assert!(socket.cancel(started));
    let packet = port.get_timeout(WATCHDOG).unwrap();
    assert_eq!(
        (packet.status, *packet.operation.user()),
        (Status::CANCELLED, 5)
    );
    assert!(!socket.cancel(started));
    assert!(port.poll().is_err());
}

#[test]
fn closing_a_socket_ends_its_receive() {
    let port: Port = CompletionPort::new(1).unwrap();
    let (server, mut client) = pair();
    let socket = port.associate(server, 1).unwrap();
    socket.recv(Operation::with_capacity(8, 0)).unwrap();
    socket.close();
    let packet = port.get_timeout(WATCHDOG).unwrap();
    // Which status it is differs: ABORTED by Wine's tests of Windows, CANCELLED by Microsoft's
    // documentation, and Wine 8 itself says something of its own (CX-6).
    assert!(!packet.status.is_success(), "{packet:?}");
    drop(packet);
    assert!(port.poll().is_err());
    assert_eq!(client.read(&mut [0; 8]).unwrap_or(0), 0);
    assert!(socket.recv(Operation::with_capacity(8, 0)).is_err());
}

#[test]
fn a_port_that_ends_releases_what_is_in_flight_once() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let port: CompletionPort<(), Counted> = CompletionPort::new(2).unwrap();
    let (server, _client) = pair();
    let socket = port.associate(server, ()).unwrap();
    for _ in 0..4 {
        socket
            .recv(Operation::with_capacity(100, Counted(dropped.clone())))
            .unwrap();
        port.post(Operation::new("", Counted(dropped.clone())), 0)
            .unwrap();
    }
    drop(port);
    assert_eq!(dropped.load(SeqCst), 8);
    assert!(
        socket
            .recv(Operation::with_capacity(1, Counted(dropped.clone())))
            .is_err()
    );
}

#[test]
fn closing_the_port_ends_every_wait() {
    let port: Port = CompletionPort::new(2).unwrap();
    let waiters: Vec<_> = (0..4)
        .map(|_| {
            let port = port.clone();
            std::thread::spawn(move || port.get())
        })
        .collect();
    std::thread::sleep(Duration::from_millis(50));
    port.close();
    for waiter in waiters {
        assert!(matches!(waiter.join().unwrap(), Err(GetError::Closed)));
    }
}
