//! Chapter 1: the port and the association.

use std::net::TcpStream;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;

use overlapped::CompletionPort;

use crate::world::{Port, Remote, System, World, get, nothing, room, text};

crate::on_every_engine!(
    po_12_the_key_comes_back_as_it_was,
    po_15_sockets_outlive_the_port_and_start_nothing,
);

#[test]
fn po_1_any_concurrency_value_makes_a_port() {
    for concurrency in [0, 1, 7, 10_000] {
        let port: Port = CompletionPort::new(concurrency).unwrap();
        let counted = port.stats().concurrency;
        match concurrency {
            0 => assert_eq!(counted, std::thread::available_parallelism().unwrap().get()),
            n => assert_eq!(counted, n),
        }
    }
}

#[test]
fn po_5_what_cannot_be_waited_for_is_refused_with_a_reason() {
    #[cfg(target_os = "linux")]
    use std::os::fd::OwnedFd as Owned;
    #[cfg(windows)]
    use std::os::windows::io::OwnedHandle as Owned;
    let port: Port = CompletionPort::new(1).unwrap();
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    let refused = port.associate(Owned::from(file), 3).unwrap_err();
    assert_eq!(refused.error.kind(), std::io::ErrorKind::Unsupported);
    assert_eq!(refused.key, 3);
    assert!(refused.to_string().contains("associate_file"), "{refused}");
}

#[test]
fn a_port_has_as_many_sockets_as_it_was_made_for() {
    let world = System::new();
    let builder = CompletionPort::builder().max_sockets(2);
    #[cfg(target_os = "linux")]
    let builder = builder.engine(overlapped::Engine::Epoll);
    let port: Port = builder.build().unwrap();
    #[cfg(target_os = "linux")]
    assert_eq!(port.stats().engine, "epoll");
    let (one, _remote) = world.connected();
    let (two, _remote) = world.connected();
    let (three, _remote) = world.connected();
    let one = port.associate(one, 1).unwrap();
    let _two = port.associate(two, 2).unwrap();
    let refused = port.associate(three, 3).unwrap_err();
    assert_eq!(refused.error.kind(), std::io::ErrorKind::QuotaExceeded);
    drop(one);
    port.associate(refused.socket, 3).unwrap();
}

/// They are no sockets of the port's yet, and as many as accepts were started.
#[test]
fn connections_whose_first_data_is_awaited_do_not_use_the_limit_up() {
    let world = System::new();
    let port = world.build(CompletionPort::builder().concurrency(1).max_sockets(2));
    let (listener, address) = world.listener();
    let listener = port.associate(listener, 1).unwrap();
    for _ in 0..5 {
        listener.accept_with_data(room(8, 0)).unwrap();
    }
    let mut clients: Vec<_> = (0..5).map(|_| world.dial(address)).collect();
    nothing(&port);
    assert_eq!(port.stats().sockets, 1);
    clients[3].send(b"me");
    let mut packet = get(&port);
    let accepted = packet.operation.take_accepted().unwrap();
    let _connection = port.associate(accepted, 2).unwrap();
    let (other, _remote) = world.connected();
    assert!(port.associate(other, 3).is_err());
    assert_eq!(port.stats().sockets, 2);
}

#[test]
fn po_6_a_duplicate_belongs_to_the_same_port() {
    let port: Port = CompletionPort::new(1).unwrap();
    let other: Port = CompletionPort::new(1).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let duplicate = listener.try_clone().unwrap();
    let socket = port.associate(listener, 1).unwrap();
    let refused = other.associate(duplicate, 2).unwrap_err();
    assert_eq!(refused.error.kind(), std::io::ErrorKind::InvalidInput);
    // Until it is closed; on Windows, until its duplicates are closed too.
    drop(socket);
    #[cfg(windows)]
    assert!(other.associate(refused.socket, 2).is_err());
    #[cfg(not(windows))]
    other.associate(refused.socket, 2).unwrap();
}

#[test]
fn po_6_a_second_association_is_refused_and_the_first_stays() {
    let world = System::new();
    let (endpoint, mut remote) = world.connected();
    let stream = TcpStream::from(endpoint.into_os().unwrap());
    let (duplicate, port) = (stream.try_clone().unwrap(), world.port());
    let socket = port.associate(stream, 1).unwrap();
    let refused = port.associate(duplicate, 2).unwrap_err();
    assert_eq!(refused.error.kind(), std::io::ErrorKind::InvalidInput);
    assert_eq!(refused.key, 2);
    socket.recv(room(8, 0)).unwrap();
    remote.send(b"x");
    assert_eq!(*get(&port).socket.unwrap().key(), 1);
}

fn po_12_the_key_comes_back_as_it_was(world: &impl World) {
    for key in [0, u64::MAX, 0x1234_5678_9abc_def0] {
        let (port, socket, _remote) = world.port_and_socket(key);
        socket.send(text(b"x", 0)).unwrap();
        assert_eq!(*get(&port).socket.unwrap().key(), key);
    }
}

fn po_15_sockets_outlive_the_port_and_start_nothing(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    socket.recv(room(8, 0)).unwrap();
    drop(port);
    let refused = socket.send(text(b"late", 5)).unwrap_err();
    assert_eq!(refused.status, overlapped::Status::INVALID_HANDLE);
    assert_eq!(
        (*refused.operation.user(), refused.operation.bytes()),
        (5, &b"late"[..])
    );
    drop(socket);
    assert_eq!(remote.recv_to_end(), b"");
}

#[cfg(target_os = "linux")]
#[test]
fn a_socket_can_be_taken_back_when_nothing_is_under_way() {
    let (port, socket, mut remote) = System::new().port_and_socket(1);
    let started = socket.recv(room(8, 0)).unwrap();
    let socket = socket.into_tcp_stream().unwrap_err();
    assert!(socket.cancel(started));
    let packet = get(&port);
    // The packet holds a handle, which is one too many.
    drop(packet);
    let mut stream = socket.into_tcp_stream().unwrap();
    // SAFETY: asks about a descriptor that is open.
    let flags = unsafe { libc::fcntl(stream.as_raw_fd(), libc::F_GETFL) };
    assert_eq!(flags & libc::O_NONBLOCK, 0, "std's types block (PO-4)");
    remote.send(b"back");
    assert_eq!(Remote::recv(&mut stream, 4), b"back");
    nothing(&port);
    // And it can be associated again.
    port.associate(stream, 2).unwrap();
}

/// On Windows an association lasts as long as the socket.
#[cfg(windows)]
#[test]
fn po_6_an_associated_socket_cannot_be_taken_back() {
    let (port, socket, mut remote) = System::new().port_and_socket(1);
    let socket = socket.into_tcp_stream().unwrap_err();
    socket.recv(room(8, 0)).unwrap();
    remote.send(b"x");
    assert_eq!(get(&port).bytes, 1);
}
