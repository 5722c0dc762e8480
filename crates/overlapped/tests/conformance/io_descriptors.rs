//! Chapter 5c: descriptors that are passed over Unix sockets.
//!
//! What is passed here is mostly the writing end of a pipe: its reader is told when the last copy of
//! it is closed, in whatever hands that was, so nothing that leaks stays unnoticed.

use std::collections::HashSet;
use std::fs::File;
use std::io::{ErrorKind, PipeReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::time::Duration;

use overlapped::{Kind, Status};

use crate::world::{Op, Pack, Port, Sock, System, World, get, nothing, quiet, room, text, until};

/// The reading ends of pipes whose writing ends are on their way.
struct Lifelines(Vec<PipeReader>);

impl Lifelines {
    /// So many, and what hangs on them.
    fn new(count: usize) -> (Self, Vec<OwnedFd>) {
        let pipes = (0..count).map(|_| std::io::pipe().unwrap());
        let (readers, writers): (Vec<_>, Vec<_>) = pipes.unzip();
        let writers = writers.into_iter().map(OwnedFd::from).collect();
        (Lifelines(readers), writers)
    }

    /// Whether somebody has the other end of this one.
    fn is_held(&self, index: usize) -> bool {
        let mut asked = libc::pollfd {
            fd: self.0[index].as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid entry, and no wait.
        assert!(unsafe { libc::poll(&mut asked, 1, 0) } >= 0);
        asked.revents & libc::POLLHUP == 0
    }

    fn held(&self) -> usize {
        (0..self.0.len())
            .filter(|&index| self.is_held(index))
            .count()
    }

    /// That this is the other end of that one.
    fn assert_is(&mut self, index: usize, descriptor: OwnedFd) {
        File::from(descriptor).write_all(b"!").unwrap();
        let mut byte = [0];
        self.0[index].read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"!");
    }
}

/// A port with both ends of a connection.
fn connected() -> (Port, Sock, Sock) {
    let port = System::new().port();
    let (one, other) = UnixStream::pair().unwrap();
    let one = port.associate(one, 1).unwrap();
    let other = port.associate(other, 2).unwrap();
    (port, one, other)
}

/// The same with datagrams.
fn datagrams() -> (Port, Sock, Sock) {
    let port = System::new().port();
    let (one, other) = UnixDatagram::pair().unwrap();
    let one = port.associate(one, 1).unwrap();
    let other = port.associate(other, 2).unwrap();
    (port, one, other)
}

fn ended(packet: &Pack) -> (Status, usize) {
    (packet.status, packet.bytes)
}

/// Sends, and gets the packet of it.
fn pass(port: &Port, socket: &Sock, bytes: &[u8], descriptors: Vec<OwnedFd>) {
    let sent = text(bytes, 0);
    socket.send_with_descriptors(sent, descriptors).unwrap();
    let packet = get(port);
    assert_eq!(packet.kind, Kind::SendWithDescriptors);
    assert_eq!(ended(&packet), (Status::SUCCESS, bytes.len()));
}

fn is_closed_on_exec(descriptor: &OwnedFd) -> bool {
    // SAFETY: asks for the flags of an open descriptor.
    let flags = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_GETFD) };
    assert!(flags >= 0);
    flags & libc::FD_CLOEXEC != 0
}

#[test]
fn fd_1_fd_2_a_file_is_passed_and_read() {
    let path = std::env::temp_dir().join(format!("overlapped-passed-{}", std::process::id()));
    std::fs::write(&path, "content").unwrap();
    for (port, here, there) in [connected(), datagrams()] {
        let file = File::open(&path).unwrap();
        there.recv_with_descriptors(room(100, 0), 1).unwrap();
        nothing(&port);
        here.send_with_descriptors(text(b"a file", 1), [file])
            .unwrap();
        for _ in 0..2 {
            let mut packet = get(&port);
            assert_eq!(ended(&packet), (Status::SUCCESS, 6));
            let descriptors = packet.operation.take_descriptors();
            if *packet.operation.user() == 1 {
                assert_eq!(packet.kind, Kind::SendWithDescriptors);
                assert!(descriptors.is_empty(), "they are gone");
                continue;
            }
            assert_eq!(packet.kind, Kind::RecvWithDescriptors);
            assert_eq!(packet.operation.bytes(), b"a file");
            let [received] = <[OwnedFd; 1]>::try_from(descriptors).unwrap();
            assert!(is_closed_on_exec(&received));
            let mut content = String::new();
            File::from(received).read_to_string(&mut content).unwrap();
            assert_eq!(content, "content");
            assert!(packet.operation.take_descriptors().is_empty());
        }
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn fd_1_fd_2_several_keep_their_order_up_to_the_most_that_there_can_be() {
    for (port, here, there) in [connected(), datagrams()] {
        for count in [0, 1, 2, 3, 253] {
            let (mut lifelines, descriptors) = Lifelines::new(count);
            pass(&port, &here, b"x", descriptors);
            assert_eq!(lifelines.held(), count, "on their way");
            there.recv_with_descriptors(room(9, 0), 253).unwrap();
            let mut packet = get(&port);
            assert_eq!(ended(&packet), (Status::SUCCESS, 1));
            let descriptors = packet.operation.take_descriptors();
            assert_eq!(descriptors.len(), count);
            for (index, descriptor) in descriptors.into_iter().enumerate() {
                lifelines.assert_is(index, descriptor);
            }
            assert_eq!(lifelines.held(), 0, "no second copy");
        }
    }
}

/// Not later than by its packet, and not before: it belongs to the operation.
#[test]
fn fd_1_what_was_sent_is_closed_when_its_packet_is_taken() {
    for (port, here, there) in [connected(), datagrams()] {
        let (lifelines, descriptors) = Lifelines::new(1);
        here.send_with_descriptors(text(b"x", 0), descriptors)
            .unwrap();
        let packet = get(&port);
        assert!(lifelines.is_held(0), "on its way");
        there.recv(room(1, 0)).unwrap();
        get(&port);
        assert!(!lifelines.is_held(0));
        drop(packet);
    }
}

/// One that is not taken is closed when the operation is dropped, or started again.
#[test]
fn fd_6_what_nobody_takes_is_closed() {
    let (port, here, there) = connected();
    let (lifelines, descriptors) = Lifelines::new(2);
    for descriptor in descriptors {
        pass(&port, &here, b"x", vec![descriptor]);
    }
    there.recv_with_descriptors(room(1, 0), 1).unwrap();
    let packet = get(&port);
    assert!(lifelines.is_held(0));
    there.recv_with_descriptors(packet.operation, 1).unwrap();
    assert!(!lifelines.is_held(0));
    let packet = get(&port);
    assert!(lifelines.is_held(1));
    drop(packet);
    assert_eq!(lifelines.held(), 0);
}

/// The bytes stay in order among receives of both kinds, and each descriptor comes with its byte.
#[test]
fn fd_2_io_5_descriptors_come_with_their_bytes_under_several_receives() {
    let (port, here, there) = connected();
    let (mut lifelines, descriptors) = Lifelines::new(3);
    for number in 0..6 {
        there.recv_with_descriptors(room(4, number), 9).unwrap();
    }
    // A send of bytes before, between and after those with descriptors.
    here.send(text(b"ab", 100)).unwrap();
    for (index, descriptor) in descriptors.into_iter().enumerate() {
        let bytes = [b'0' + index as u8; 6];
        let send = text(&bytes, 100);
        here.send_with_descriptors(send, [descriptor]).unwrap();
        here.send(text(b"-", 100)).unwrap();
    }
    here.disconnect(text(b"", 100)).unwrap();
    let mut packets: Vec<Pack> = Vec::new();
    for number in 6.. {
        let packet = get(&port);
        assert_eq!(packet.status, Status::SUCCESS);
        let ends = packet.kind == Kind::RecvWithDescriptors && packet.bytes == 0;
        if packet.kind == Kind::RecvWithDescriptors {
            packets.push(packet);
            let _ = there.recv_with_descriptors(room(4, number), 9);
        }
        if ends {
            break;
        }
    }
    there.cancel_all();
    packets.sort_by_key(|packet| *packet.operation.user());
    let mut received = Vec::new();
    let mut next = 0;
    for packet in &mut packets {
        let bytes = packet.operation.bytes().to_vec();
        let descriptors = packet.operation.take_descriptors();
        assert!(descriptors.len() <= 1, "they are not merged");
        for descriptor in descriptors {
            // The first byte of its send is in this buffer, and no byte behind that send.
            let digit = b'0' + next as u8;
            let first = received.len() + bytes.iter().position(|&byte| byte == digit).unwrap();
            assert_eq!(first, 2 + 7 * next);
            assert!(received.len() + bytes.len() <= first + 6);
            lifelines.assert_is(next, descriptor);
            next += 1;
        }
        received.extend(bytes);
    }
    assert_eq!(next, 3);
    assert_eq!(received, b"ab000000-111111-222222-");
    assert_eq!(lifelines.held(), 0);
}

/// Only the first piece of a long send has the descriptor, and no other send lends its bytes.
#[test]
fn fd_1_io_7_descriptors_go_out_once_though_the_bytes_go_out_in_pieces() {
    let (port, here, there) = connected();
    here.set_send_buffer_size(1).unwrap();
    let (mut lifelines, descriptors) = Lifelines::new(2);
    let long: Vec<u8> = (0..700_000u32).map(|n| (n / 3) as u8).collect();
    here.send(text(&long, 100)).unwrap();
    for descriptor in descriptors {
        let send = text(&long, 100);
        here.send_with_descriptors(send, [descriptor]).unwrap();
        here.send(text(b"and more", 100)).unwrap();
    }
    nothing(&port);
    let total = 3 * long.len() + 2 * 8;
    let mut expected = long.clone();
    for _ in 0..2 {
        expected.extend(&long);
        expected.extend(b"and more");
    }
    there.recv_with_descriptors(room(3000, 0), 2).unwrap();
    let (mut received, mut came, mut sent) = (Vec::<u8>::new(), Vec::new(), 0);
    while received.len() < total || sent < 5 {
        let mut packet = get(&port);
        assert_eq!(packet.status, Status::SUCCESS);
        if *packet.operation.user() == 100 {
            sent += 1;
            continue;
        }
        let at = received.len()..received.len() + packet.bytes;
        received.extend(packet.operation.bytes());
        let descriptors = packet.operation.take_descriptors();
        came.extend(descriptors.into_iter().map(|one| (at.clone(), one)));
        if received.len() < total {
            there.recv_with_descriptors(packet.operation, 2).unwrap();
        }
    }
    assert!(received == expected);
    assert_eq!(came.len(), 2);
    for (index, (at, descriptor)) in came.into_iter().enumerate() {
        let first = long.len() + index * (long.len() + 8);
        assert!(at.contains(&first), "{first} in {at:?}");
        lifelines.assert_is(index, descriptor);
    }
    assert_eq!(lifelines.held(), 0);
}

#[test]
fn fd_3_descriptors_without_room_are_closed_and_the_status_says_so() {
    for (port, here, there) in [connected(), datagrams()] {
        // Also room for one where the system would, for alignment's sake, let two in.
        for (count, at_most) in [(1, 0), (2, 1), (3, 1), (20, 1), (253, 252)] {
            let (mut lifelines, descriptors) = Lifelines::new(count);
            pass(&port, &here, b"bytes", descriptors);
            pass(&port, &here, b"next", Vec::new());
            there.recv_with_descriptors(room(5, 0), at_most).unwrap();
            let mut packet = get(&port);
            assert_eq!(ended(&packet), (Status::BUFFER_OVERFLOW, 5));
            assert!(packet.result().is_err());
            assert_eq!(packet.operation.bytes(), b"bytes");
            assert_eq!(lifelines.held(), at_most);
            let descriptors = packet.operation.take_descriptors();
            assert_eq!(descriptors.len(), at_most);
            for (index, descriptor) in descriptors.into_iter().enumerate() {
                lifelines.assert_is(index, descriptor);
            }
            assert_eq!(lifelines.held(), 0);
            there
                .recv_with_descriptors(packet.operation, at_most)
                .unwrap();
            let packet = get(&port);
            assert_eq!(packet.operation.bytes(), b"next");
            assert_eq!(packet.status, Status::SUCCESS);
        }
    }
}

/// In a process of its own, since the limit is the process's.
#[test]
fn fd_3_descriptors_that_the_process_cannot_open_are_closed_and_the_status_says_so() {
    const CHILD: &str = "OVERLAPPED_FEW_DESCRIPTORS";
    let name = "io_descriptors::\
        fd_3_descriptors_that_the_process_cannot_open_are_closed_and_the_status_says_so";
    if std::env::var_os(CHILD).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", name, "--nocapture"]).env(CHILD, "1");
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    let (port, here, there) = connected();
    let (mut lifelines, descriptors) = Lifelines::new(3);
    pass(&port, &here, b"x", descriptors);
    // The second that can be opened is the last.
    let two = [0, 1].map(|index| lifelines.0[index].try_clone().unwrap());
    set_limit_of_descriptors(two[1].as_raw_fd() + 1);
    drop(two);
    there.recv_with_descriptors(room(9, 0), 9).unwrap();
    let mut packet = get(&port);
    assert_eq!(ended(&packet), (Status::BUFFER_OVERFLOW, 1));
    let descriptors = packet.operation.take_descriptors();
    assert_eq!((descriptors.len(), lifelines.held()), (2, 2));
    for (index, descriptor) in descriptors.into_iter().enumerate() {
        lifelines.assert_is(index, descriptor);
    }
    assert_eq!(lifelines.held(), 0);
}

fn set_limit_of_descriptors(limit: i32) {
    let mut limits = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: plain numbers, which live for the calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limits), 0);
        limits.rlim_cur = limit as libc::rlim_t;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limits), 0);
    }
}

/// What a socket brings beside descriptors neither takes their room nor leaks.
#[test]
fn fd_3_credentials_and_pidfds_do_not_take_their_room() {
    const SO_PASSPIDFD: libc::c_int = 76;
    let (ours, theirs) = UnixStream::pair().unwrap();
    for option in [libc::SO_PASSCRED, SO_PASSPIDFD] {
        let on: libc::c_int = 1;
        // SAFETY: the option's value is an int, which lives for the call. (Kernels before 6.5 do
        // not know the second.)
        unsafe {
            libc::setsockopt(
                ours.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const on).cast(),
                size_of_val(&on) as libc::socklen_t,
            );
        }
    }
    let pidfds = || {
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        let targets = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        targets
            .filter(|to| to.to_string_lossy().contains("pidfd"))
            .count()
    };
    let before = pidfds();
    let port = System::new().port();
    let there = port.associate(ours, 1).unwrap();
    let here = port.associate(theirs, 2).unwrap();
    for count in [0, 1, 2] {
        let (mut lifelines, descriptors) = Lifelines::new(count);
        pass(&port, &here, b"x", descriptors);
        there.recv_with_descriptors(room(5, 0), count).unwrap();
        let mut packet = get(&port);
        assert_eq!(ended(&packet), (Status::SUCCESS, 1));
        let descriptors = packet.operation.take_descriptors();
        assert_eq!(descriptors.len(), count);
        for (index, descriptor) in descriptors.into_iter().enumerate() {
            lifelines.assert_is(index, descriptor);
        }
    }
    assert_eq!(pidfds(), before);
}

#[test]
fn fd_4_a_receive_that_is_not_for_descriptors_closes_them() {
    type Start = fn(&Sock) -> Result<overlapped::Started, overlapped::Refused<u64>>;
    let streams: [Start; 2] = [|s| s.recv(room(9, 0)), |s| s.recv_pooled(room(0, 0))];
    for start in streams {
        let (port, here, there) = connected();
        let (lifelines, descriptors) = Lifelines::new(2);
        pass(&port, &here, b"x", descriptors);
        start(&there).unwrap();
        let mut packet = get(&port);
        assert_eq!(ended(&packet), (Status::SUCCESS, 1));
        assert!(packet.operation.take_descriptors().is_empty());
        assert_eq!(lifelines.held(), 0);
    }
    let messages: [Start; 2] = [|s| s.recv(room(9, 0)), |s| s.recv_from(room(9, 0))];
    for start in messages {
        let (port, here, there) = datagrams();
        let (lifelines, descriptors) = Lifelines::new(2);
        pass(&port, &here, b"x", descriptors);
        start(&there).unwrap();
        assert_eq!(ended(&get(&port)), (Status::SUCCESS, 1));
        assert_eq!(lifelines.held(), 0);
    }
}

#[test]
fn fd_4_io_4_a_receive_of_nothing_leaves_the_descriptors_there() {
    let (port, here, there) = connected();
    there.recv_zero(room(0, 0)).unwrap();
    let (mut lifelines, mut descriptors) = Lifelines::new(1);
    here.send_with_descriptors(text(b"x", 0), descriptors.drain(..))
        .unwrap();
    for _ in 0..2 {
        assert_eq!(get(&port).status, Status::SUCCESS);
    }
    there.recv_with_descriptors(room(1, 0), 1).unwrap();
    let received = get(&port).operation.take_descriptors().remove(0);
    lifelines.assert_is(0, received);
}

/// Refused at the start, with a reason, and nothing is lost or leaks.
#[test]
fn fd_5_what_cannot_be_passed_is_refused() {
    let (port, here, there) = connected();
    let cases: [(usize, &[u8], &str); 2] = [(254, b"x", "at most 253"), (1, b"", "at least one")];
    for (count, bytes, reason) in cases {
        let (lifelines, descriptors) = Lifelines::new(count);
        let send = text(bytes, 0);
        let mut refused = here.send_with_descriptors(send, descriptors).unwrap_err();
        assert_eq!(refused.status, Status::INVALID_PARAMETER);
        assert_eq!(refused.error.kind(), ErrorKind::InvalidInput);
        assert!(refused.error.to_string().contains(reason), "{refused}");
        assert_eq!(refused.operation.bytes(), bytes);
        let descriptors = refused.operation.take_descriptors();
        assert_eq!((descriptors.len(), lifelines.held()), (count, count));
        drop(descriptors);
        assert_eq!(lifelines.held(), 0);
    }
    let refused = there.recv_with_descriptors(room(9, 0), 254).unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::InvalidInput);
    let refused = there.recv_with_descriptors(room(0, 0), 1).unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::InvalidInput);
    // Without descriptors, nothing is as good as ever.
    pass(&port, &here, b"", Vec::new());
    // A stream sends to nobody else.
    let elsewhere = SocketAddr::from_abstract_name("overlapped-nobody").unwrap();
    let (lifelines, descriptors) = Lifelines::new(1);
    let refused = here
        .send_to_with_descriptors(text(b"x", 0), elsewhere, descriptors)
        .unwrap_err();
    assert_eq!(refused.status, Status::NOT_SUPPORTED);
    assert!(refused.error.to_string().contains("a stream socket"));
    assert_eq!(lifelines.held(), 1);
    drop(refused);
    assert_eq!(lifelines.held(), 0);
    nothing(&port);
}

#[test]
fn fd_5_only_unix_sockets_pass_descriptors() {
    let port = System::new().port();
    let (tcp, _remote) = System::new().connected();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(udp.local_addr().unwrap()).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let endpoints = [tcp, udp.into(), reader.into(), writer.into()];
    for (key, endpoint) in endpoints.into_iter().enumerate() {
        let socket = port.associate(endpoint, key as u64).unwrap();
        let (lifelines, descriptors) = Lifelines::new(1);
        let sent = socket.send_with_descriptors(text(b"x", 0), descriptors);
        let received = socket.recv_with_descriptors(room(9, 0), 1);
        for refused in [sent.unwrap_err(), received.unwrap_err()] {
            assert_eq!(refused.status, Status::NOT_SUPPORTED);
            assert_eq!(refused.error.kind(), ErrorKind::Unsupported);
            assert!(refused.error.to_string().contains("Unix sockets only"));
        }
        assert_eq!(lifelines.held(), 0);
    }
    nothing(&port);
    // A listener, and a stream that is not connected: IO-12.
    let name = format!("overlapped-{}-passing", std::process::id());
    let name = SocketAddr::from_abstract_name(name).unwrap();
    let listener = port.associate(UnixListener::bind_addr(&name).unwrap(), 5);
    let refused = listener
        .unwrap()
        .recv_with_descriptors(room(9, 0), 1)
        .unwrap_err();
    assert_eq!(refused.status, Status::INVALID_CONNECTION);
}

#[test]
fn fd_1_fd_2_a_datagram_passes_descriptors_to_an_address() {
    let port = System::new().port();
    let named = |end: &str| {
        let name = format!("overlapped-{}-passing-{end}", std::process::id());
        SocketAddr::from_abstract_name(name).unwrap()
    };
    let (from, to) = (named("from"), named("to"));
    let bind = |at| UnixDatagram::bind_addr(at).unwrap();
    let here = port.associate(bind(&from), 1).unwrap();
    let there = port.associate(bind(&to), 2).unwrap();
    // Also of no bytes, which is no end.
    for bytes in [&b"hello"[..], b""] {
        let (mut lifelines, descriptors) = Lifelines::new(2);
        here.send_to_with_descriptors(text(bytes, 0), to.clone(), descriptors)
            .unwrap();
        assert_eq!(ended(&get(&port)), (Status::SUCCESS, bytes.len()));
        there.recv_with_descriptors(room(9, 0), 2).unwrap();
        let mut packet = get(&port);
        assert_eq!(ended(&packet), (Status::SUCCESS, bytes.len()));
        let sender = packet.operation.peer_address().unwrap().unix().unwrap();
        assert_eq!(sender.as_abstract_name(), from.as_abstract_name());
        let descriptors = packet.operation.take_descriptors();
        for (index, descriptor) in descriptors.into_iter().enumerate() {
            lifelines.assert_is(index, descriptor);
        }
        assert_eq!(lifelines.held(), 0);
    }
    // IO-9: too long, and the descriptors are there all the same.
    let (lifelines, descriptors) = Lifelines::new(1);
    here.send_to_with_descriptors(text(b"too long", 0), to, descriptors)
        .unwrap();
    get(&port);
    there.recv_with_descriptors(room(3, 0), 1).unwrap();
    let mut packet = get(&port);
    assert_eq!(ended(&packet), (Status::BUFFER_OVERFLOW, 3));
    assert_eq!(packet.operation.take_descriptors().len(), 1);
    assert_eq!(lifelines.held(), 0);
    // Nobody there, and an address that no earlier use of the operation has left.
    let (lifelines, descriptors) = Lifelines::new(1);
    let mut failed = packet.operation;
    failed.set_buffer("x");
    here.send_to_with_descriptors(failed, named("nobody"), descriptors)
        .unwrap();
    let mut packet = get(&port);
    assert_eq!(packet.status, Status::CONNECTION_REFUSED);
    let descriptors = packet.operation.take_descriptors();
    assert_eq!((descriptors.len(), lifelines.held()), (1, 1));
    let refused = here.send_with_descriptors(packet.operation, descriptors);
    assert_eq!(refused.unwrap_err().status, Status::INVALID_CONNECTION);
    assert_eq!(lifelines.held(), 0);
}

#[test]
fn fd_1_a_datagram_waits_for_its_peer_with_its_descriptors() {
    let (port, here, there) = datagrams();
    const SENDS: usize = 600;
    let (mut lifelines, descriptors) = Lifelines::new(SENDS);
    for descriptor in descriptors {
        here.send_with_descriptors(text(b"x", 0), [descriptor])
            .unwrap();
    }
    let (mut sent, mut received) = (0, 0);
    there.recv_with_descriptors(room(1, 1), 1).unwrap();
    while sent < SENDS || received < SENDS {
        let mut packet = get(&port);
        assert_eq!(ended(&packet), (Status::SUCCESS, 1));
        if *packet.operation.user() == 0 {
            sent += 1;
            continue;
        }
        for descriptor in packet.operation.take_descriptors() {
            lifelines.assert_is(received, descriptor);
            received += 1;
        }
        if received < SENDS {
            there.recv_with_descriptors(packet.operation, 1).unwrap();
        }
    }
    assert_eq!(lifelines.held(), 0);
}

/// Fills the socket, so that what is sent next waits.
fn fill(socket: &Sock) {
    socket.send(text(&vec![0; 1_000_000], 100)).unwrap();
}

#[test]
fn fd_6_cx_1_what_a_cancelled_send_has_not_passed_comes_back() {
    let (port, here, _there) = connected();
    fill(&here);
    let (lifelines, descriptors) = Lifelines::new(3);
    let started = here.send_with_descriptors(text(b"x", 0), descriptors);
    nothing(&port);
    assert!(here.cancel(started.unwrap()));
    let mut packet = get(&port);
    assert_eq!(ended(&packet), (Status::CANCELLED, 0));
    let descriptors = packet.operation.take_descriptors();
    assert_eq!((descriptors.len(), lifelines.held()), (3, 3));
    drop(descriptors);
    assert_eq!(lifelines.held(), 0);
}

/// CX-5: the byte count says whether they have gone.
#[test]
fn fd_6_cx_5_what_a_cancelled_send_has_passed_does_not_come_back() {
    let (port, here, there) = connected();
    let (mut lifelines, descriptors) = Lifelines::new(1);
    let send = text(&vec![0; 1_000_000], 0);
    let started = here.send_with_descriptors(send, descriptors).unwrap();
    nothing(&port);
    assert!(here.cancel(started));
    let mut packet = get(&port);
    assert_eq!(packet.status, Status::CANCELLED);
    assert!(packet.bytes > 0);
    assert!(packet.operation.take_descriptors().is_empty());
    there.recv_with_descriptors(room(9, 0), 1).unwrap();
    let received = get(&port).operation.take_descriptors().remove(0);
    lifelines.assert_is(0, received);
    assert_eq!(lifelines.held(), 0);
}

#[test]
fn fd_6_closing_either_end_leaks_no_descriptor() {
    // Sends that wait: the linger time ends them.
    let builder = overlapped::CompletionPort::builder().linger(Duration::ZERO);
    let port = System::new().build(builder.concurrency(1));
    let (ours, theirs) = UnixStream::pair().unwrap();
    let here = port.associate(ours, 1).unwrap();
    fill(&here);
    let (lifelines, descriptors) = Lifelines::new(2);
    here.send_with_descriptors(text(b"x", 0), descriptors)
        .unwrap();
    here.close();
    for _ in 0..2 {
        assert_eq!(get(&port).status, Status::CONNECTION_ABORTED);
    }
    assert_eq!(lifelines.held(), 0, "they went with their packet");
    drop((here, theirs));

    // What is on its way to a receiver that closes.
    let (port, here, there) = connected();
    let (lifelines, descriptors) = Lifelines::new(2);
    pass(&port, &here, b"x", descriptors);
    there.close();
    drop(there);
    until("the system closes them", || lifelines.held() == 0);

    // A peer that has gone.
    let (lifelines, descriptors) = Lifelines::new(2);
    here.send_with_descriptors(text(b"x", 0), descriptors)
        .unwrap();
    let mut packet = get(&port);
    assert!(!packet.status.is_success());
    assert_eq!(packet.operation.take_descriptors().len(), 2);
    assert_eq!(lifelines.held(), 0);
}

#[test]
fn fd_6_cx_10_the_end_of_the_port_leaks_no_descriptor() {
    for drops in [false, true] {
        let (port, here, there) = connected();
        // Received, and in a packet that nobody gets; waiting to be sent; and sent, with a packet
        // that nobody gets.
        let (lifelines, mut descriptors) = Lifelines::new(4);
        pass(&port, &here, b"x", descriptors.split_off(3));
        there.recv_with_descriptors(room(1, 0), 1).unwrap();
        let sent = descriptors.split_off(2);
        here.send_with_descriptors(text(b"y", 0), sent).unwrap();
        fill(&here);
        here.send_with_descriptors(text(b"z", 0), descriptors)
            .unwrap();
        assert_eq!(lifelines.held(), 4);
        if !drops {
            port.close();
        }
        drop((port, here, there));
        until("all are closed", || lifelines.held() == 0);
    }
}

#[test]
fn fd_6_tm_7_a_send_that_times_out_gives_its_descriptors_back() {
    let (port, here, _there) = connected();
    fill(&here);
    let (lifelines, descriptors) = Lifelines::new(1);
    let mut send = text(b"x", 0);
    send.set_timeout(Some(Duration::from_millis(1)));
    here.send_with_descriptors(send, descriptors).unwrap();
    let mut packet = get(&port);
    assert_eq!(ended(&packet), (Status::IO_TIMEOUT, 0));
    assert_eq!(packet.operation.take_descriptors().len(), 1);
    assert_eq!(lifelines.held(), 0);
    // And a receive that does loses nothing.
    let mut receive = room(9, 0);
    receive.set_timeout(Some(Duration::ZERO));
    here.recv_with_descriptors(receive, 1).unwrap();
    assert_eq!(ended(&get(&port)), (Status::IO_TIMEOUT, 0));
    quiet(&port);
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Sends with and without descriptors and receives of both kinds, cancelled at random: each
/// descriptor ends in one pair of hands, or is closed.
#[test]
fn fd_6_random_cancels_neither_leak_nor_double_a_descriptor() {
    for seed in 1..=8 {
        let (port, here, there) = if seed % 2 == 0 {
            connected()
        } else {
            datagrams()
        };
        if seed % 4 < 2 {
            here.set_send_buffer_size(1).unwrap();
        }
        let mut random = Random(seed * 0x9e37_79b9);
        let (mut lifelines, descriptors) = Lifelines::new(300);
        let mut waiting: Vec<OwnedFd> = descriptors;
        let (mut under_way, mut seen) = (Vec::new(), HashSet::new());
        let mut outstanding = 0;
        while !waiting.is_empty() || outstanding > 0 {
            if !waiting.is_empty() && outstanding < 30 {
                let count = waiting.len().min(1 + random.below(3) as usize);
                let send = text(&vec![7; 1 + random.below(9000) as usize], 0);
                let started = match random.below(3) {
                    0 => here.send(send),
                    _ => here.send_with_descriptors(send, waiting.split_off(waiting.len() - count)),
                };
                under_way.push((true, started.unwrap()));
                let receive: Op = room(1 + random.below(9000) as usize, 0);
                let started = match random.below(4) {
                    0 => there.recv(receive),
                    _ => there.recv_with_descriptors(receive, random.below(4) as usize),
                };
                under_way.push((false, started.unwrap()));
                outstanding += 2;
            }
            if !under_way.is_empty() && (random.below(3) == 0 || waiting.is_empty()) {
                let (sends, started) =
                    under_way.swap_remove(random.below(under_way.len() as u64) as usize);
                let socket = if sends { &here } else { &there };
                socket.cancel(started);
            }
            while let Ok(mut packet) = port.poll() {
                outstanding -= 1;
                let descriptors = packet.operation.take_descriptors();
                let ended = packet.kind == Kind::SendWithDescriptors && packet.bytes > 0;
                assert!(!ended || descriptors.is_empty(), "both here and there");
                for descriptor in descriptors {
                    let index =
                        (0..300).find(|&index| is_other_end(&lifelines, index, &descriptor));
                    let index = index.expect("it is one of ours");
                    lifelines.assert_is(index, descriptor);
                    assert!(seen.insert(index), "twice");
                }
            }
        }
        assert!(!seen.is_empty(), "nothing was tried");
        let twice = seen.iter().find(|&&index| lifelines.is_held(index));
        assert_eq!(twice, None);
        // What is on its way still, or was on the way to nobody.
        drop((here, there, port));
        until("all are closed", || lifelines.held() == 0);
    }
}

/// The ends of a pipe share an inode.
fn is_other_end(lifelines: &Lifelines, index: usize, descriptor: &OwnedFd) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |fd: OwnedFd| File::from(fd).metadata().unwrap().ino();
    let reader = lifelines.0[index].try_clone().unwrap();
    inode(reader.into()) == inode(descriptor.try_clone().unwrap())
}
