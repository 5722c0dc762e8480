//! Chapter 5 for what stays in the machine: Unix sockets, and pipes with a name.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;

use overlapped::{CompletionPort, Endpoint, Status};

use crate::world::{Port, System, World, get, nothing, room, text};

/// A path that is this test's own, and gone with it.
struct Path(PathBuf);

impl Path {
    fn new(name: &str) -> Self {
        let name = format!("overlapped-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        Path(path)
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn abstract_name(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(format!("overlapped-{}-{name}", std::process::id())).unwrap()
}

fn fresh_stream() -> Endpoint {
    let (domain, kind) = (socket2::Domain::UNIX, socket2::Type::STREAM);
    socket2::Socket::new(domain, kind, None).unwrap().into()
}

#[test]
fn a_pair_of_unix_streams_receives_and_sends() {
    let port = System::new().port();
    let (own, mut peer) = UnixStream::pair().unwrap();
    let socket = port.associate(own, 1).unwrap();
    socket.recv(room(10, 0)).unwrap();
    nothing(&port);
    peer.write_all(b"question").unwrap();
    assert_eq!(get(&port).operation.bytes(), b"question");
    // More than the socket takes at once: IO-7.
    let long: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
    socket.send(text(&long, 0)).unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = vec![0; 1_000_000];
        peer.read_exact(&mut bytes).unwrap();
        (peer, bytes)
    });
    assert_eq!(get(&port).result().unwrap(), long.len());
    let (peer, bytes) = reader.join().unwrap();
    assert!(bytes == long);
    // IO-3.
    drop(peer);
    socket.recv(room(10, 0)).unwrap();
    let packet = get(&port);
    assert_eq!((packet.status, packet.bytes), (Status::SUCCESS, 0));
}

#[test]
fn unix_streams_are_accepted_and_connected_by_path_and_abstract_name() {
    let path = Path::new("listener");
    let at_path = SocketAddr::from_pathname(&path.0).unwrap();
    for address in [at_path, abstract_name("listener")] {
        let port = System::new().port();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let listener = port.associate(listener, 1).unwrap();
        let client = port.associate(fresh_stream(), 2).unwrap();
        listener.accept(room(0, 1)).unwrap();
        client.connect(room(0, 2), address.clone()).unwrap();
        let mut accepted = None;
        for _ in 0..2 {
            let mut packet = get(&port);
            assert_eq!(packet.status, Status::SUCCESS);
            accepted = accepted.or(packet.operation.take_accepted());
        }
        let accepted = accepted.unwrap();
        assert!(accepted.peer_addr().is_none());
        let from = accepted.peer_address();
        assert!(from.is_none(), "{from:?}");
        let mut server = accepted.into_unix_stream().unwrap();
        let peer = client.peer_address().unwrap();
        let peer = peer.unix().unwrap();
        assert_eq!(peer.as_pathname(), address.as_pathname());
        assert_eq!(peer.as_abstract_name(), address.as_abstract_name());
        assert!(client.peer_addr().is_err(), "it is no internet address");

        client.send(text(b"hello", 0)).unwrap();
        assert_eq!(get(&port).bytes, 5);
        let mut bytes = [0; 5];
        server.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"hello");
    }
}

#[test]
fn ce_3_a_unix_connect_to_nobody_fails_and_can_be_tried_again() {
    let port = System::new().port();
    let socket = port.associate(fresh_stream(), 1).unwrap();
    let address = abstract_name("nobody yet");
    socket.connect(room(0, 0), address.clone()).unwrap();
    assert_eq!(get(&port).status, Status::CONNECTION_REFUSED);
    let nowhere = SocketAddr::from_pathname("/nowhere/at/all").unwrap();
    socket.connect(room(0, 0), nowhere).unwrap();
    assert_eq!(get(&port).status, Status::OBJECT_NAME_NOT_FOUND);
    let _listener = UnixListener::bind_addr(&address).unwrap();
    socket.connect(room(0, 0), address).unwrap();
    assert_eq!(get(&port).status, Status::SUCCESS);
}

#[test]
fn unix_datagrams_carry_addresses_of_every_kind() {
    let path = Path::new("datagrams");
    let port = System::new().port();
    let own = UnixDatagram::bind(&path.0).unwrap();
    let socket = port.associate(own, 1).unwrap();
    let to = SocketAddr::from_pathname(&path.0).unwrap();

    let named = UnixDatagram::bind_addr(&abstract_name("sender")).unwrap();
    named.send_to_addr(b"named", &to).unwrap();
    UnixDatagram::unbound()
        .unwrap()
        .send_to_addr(b"unnamed", &to)
        .unwrap();

    socket.recv_from(room(20, 0)).unwrap();
    let packet = get(&port);
    assert_eq!(packet.operation.bytes(), b"named");
    let from = packet.operation.peer_address().unwrap().clone();
    let name = abstract_name("sender");
    assert_eq!(
        from.unix().unwrap().as_abstract_name(),
        name.as_abstract_name()
    );
    socket.send_to(text(b"answer", 0), from).unwrap();
    assert_eq!(get(&port).bytes, 6);
    assert_eq!(named.recv(&mut [0; 20]).unwrap(), 6);

    // The same operation, so the address of the one before must not stay.
    socket.recv_from(packet.operation).unwrap();
    let packet = get(&port);
    assert_eq!(packet.operation.bytes(), b"unnamed");
    assert!(packet.operation.peer_address().is_none());

    // IO-9.
    named.send_to_addr(b"too long", &to).unwrap();
    let mut short = packet.operation;
    short.set_buffer(Vec::with_capacity(3));
    socket.recv_from(short).unwrap();
    let packet = get(&port);
    assert_eq!((packet.status, packet.bytes), (Status::BUFFER_OVERFLOW, 3));
}

/// As long as a path can be, and one byte longer than std would have it.
#[test]
fn a_sender_may_have_the_longest_path() {
    let port = System::new().port();
    let name = abstract_name("of the receiver");
    let own = UnixDatagram::bind_addr(&name).unwrap();
    let socket = port.associate(own, 1).unwrap();
    for length in [107, 108] {
        let base = Path::new(&format!("{length}-"));
        let text = format!("{:x<length$}", base.0.display());
        let path = Path(PathBuf::from(&text));
        // SAFETY: plain numbers and bytes.
        let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        for (to, byte) in address.sun_path.iter_mut().zip(text.bytes()) {
            *to = byte as libc::c_char;
        }
        let sender = UnixDatagram::unbound().unwrap();
        // SAFETY: a valid address of this length.
        let bound = unsafe {
            libc::bind(
                sender.as_raw_fd(),
                (&raw const address).cast(),
                (2 + length) as libc::socklen_t,
            )
        };
        assert_eq!(bound, 0);
        sender.send_to_addr(b"long", &name).unwrap();
        socket.recv_from(room(20, 0)).unwrap();
        let packet = get(&port);
        assert_eq!(packet.operation.bytes(), b"long");
        let from = packet
            .operation
            .peer_address()
            .and_then(|from| from.unix()?.as_pathname());
        assert_eq!(from, (length == 107).then_some(path.0.as_path()));
    }
}

#[test]
fn a_unix_datagram_waits_for_its_peer_and_for_nobody_else() {
    let port = System::new().port();
    let (own, peer) = UnixDatagram::pair().unwrap();
    let socket = port.associate(own, 1).unwrap();
    // Until the peer's queue is full, and on.
    const SENDS: u64 = 2000;
    for user in 0..SENDS {
        socket.send(text(&user.to_ne_bytes(), user)).unwrap();
    }
    peer.set_nonblocking(true).unwrap();
    let (mut packets, mut received) = (0, 0);
    while packets < SENDS || received < SENDS {
        while let Ok(packet) = port.get_timeout(std::time::Duration::from_millis(1)) {
            assert_eq!(
                (packet.status, *packet.operation.user()),
                (Status::SUCCESS, packets)
            );
            packets += 1;
        }
        let mut bytes = [0; 8];
        while peer.recv(&mut bytes).is_ok() {
            assert_eq!(u64::from_ne_bytes(bytes), received);
            received += 1;
        }
    }

    // Not connected, it is told.
    let name = abstract_name("slow reader");
    let _slow = UnixDatagram::bind_addr(&name).unwrap();
    let socket = port.associate(UnixDatagram::unbound().unwrap(), 2).unwrap();
    for _ in 0..SENDS {
        socket.send_to(text(b"x", 0), name.clone()).unwrap();
        let packet = get(&port);
        if packet.status != Status::SUCCESS {
            assert_eq!(packet.status, Status::INSUFFICIENT_RESOURCES);
            return;
        }
    }
    panic!("a queue without end");
}

#[test]
fn a_fifo_waits_for_its_first_writer_and_breaks_with_its_last() {
    let path = Path::new("fifo");
    let name = std::ffi::CString::new(path.0.to_str().unwrap()).unwrap();
    // SAFETY: a valid path.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let open = |options: &mut std::fs::OpenOptions| {
        use std::os::unix::fs::OpenOptionsExt;
        OwnedFd::from(
            options
                .custom_flags(libc::O_NONBLOCK)
                .open(&path.0)
                .unwrap(),
        )
    };
    let port = System::new().port();
    let reader = open(std::fs::OpenOptions::new().read(true));
    let reader = port.associate(reader, 1).unwrap();
    reader.recv(room(9, 0)).unwrap();
    crate::world::quiet(&port);
    let writer = open(std::fs::OpenOptions::new().write(true));
    let writer = port.associate(writer, 2).unwrap();
    writer.send(text(b"first", 1)).unwrap();
    let packets = [get(&port), get(&port)];
    let received = packets.iter().find(|packet| *packet.operation.user() == 0);
    assert_eq!(received.unwrap().operation.bytes(), b"first");
    drop(packets);
    reader.recv(room(9, 0)).unwrap();
    drop(writer);
    assert_eq!(get(&port).status, Status::PIPE_BROKEN);
}

/// Bytes that come with descriptors end a receive, and what follows them must not wait for an edge
/// that has been.
#[test]
fn io_8_bytes_with_descriptors_do_not_hide_what_follows() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let port: Port = CompletionPort::new(1).unwrap();
    let socket = port.associate(ours, 1).unwrap();
    send_with_descriptor(&theirs, b"abc");
    theirs.write_all(b"def").unwrap();
    let mut received = Vec::new();
    let mut operation = room(64, 0);
    while received.len() < 6 {
        socket.recv(operation).unwrap();
        let packet = get(&port);
        assert_eq!(packet.status, Status::SUCCESS);
        received.extend_from_slice(packet.operation.bytes());
        operation = packet.operation;
    }
    assert_eq!(received, b"abcdef");
}

/// Sends bytes with a duplicate of the socket's own descriptor.
fn send_with_descriptor(socket: &UnixStream, bytes: &[u8]) {
    let mut piece = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let mut control = [0u64; 4];
    let size = size_of::<libc::c_int>() as u32;
    // SAFETY: the header describes memory that lives until the call returns; the control buffer is
    // aligned, and longer than one descriptor takes.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut piece;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size) as _;
        libc::CMSG_DATA(header)
            .cast::<libc::c_int>()
            .write_unaligned(socket.as_raw_fd());
        let sent = libc::sendmsg(socket.as_raw_fd(), &message, 0);
        assert_eq!(sent, bytes.len() as isize);
    }
}
