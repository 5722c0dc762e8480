//! Chapter 5 for datagrams, on the system's sockets.

use std::collections::HashSet;
use std::net::{Shutdown, SocketAddr, UdpSocket};

use overlapped::{Buffer, CompletionPort, Kind, Operation, Status};

use crate::world::{Port, Sock, System, WATCHDOG, World, get, nothing, room, text};

fn udp() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(WATCHDOG)).unwrap();
    socket
}

/// A port with a socket, and another one that is connected to it.
fn port_socket_peer() -> (Port, Sock, UdpSocket) {
    let port = System::new().port();
    let socket = port.associate(udp(), 1).unwrap();
    let peer = udp();
    peer.connect(socket.local_addr().unwrap()).unwrap();
    (port, socket, peer)
}

/// An address where nobody is, now and soon.
fn nobody() -> SocketAddr {
    udp().local_addr().unwrap()
}

#[test]
fn io_5_each_receive_gets_one_datagram_in_the_order_of_their_start() {
    let (port, socket, peer) = port_socket_peer();
    for user in 0..3 {
        socket.recv_from(room(100, user)).unwrap();
    }
    nothing(&port);
    for length in 1..=6 {
        peer.send(&vec![length; usize::from(length)]).unwrap();
    }
    for user in 0..3 {
        let packet = get(&port);
        let length = user as u8 + 1;
        assert_eq!(
            (packet.kind, packet.status),
            (Kind::RecvFrom, Status::SUCCESS)
        );
        assert_eq!(*packet.operation.user(), user);
        assert_eq!(packet.operation.bytes(), vec![length; usize::from(length)]);
        assert_eq!(
            packet.operation.peer_addr(),
            Some(peer.local_addr().unwrap())
        );
    }
    // Those that have come before, too, and without the address.
    for length in 4..=6 {
        socket.recv(room(100, 0)).unwrap();
        assert_eq!(
            get(&port).operation.bytes(),
            vec![length; usize::from(length)]
        );
    }
}

#[test]
fn io_9_a_longer_datagram_is_cut_and_the_next_is_intact() {
    for pending in [true, false] {
        let (port, socket, peer) = port_socket_peer();
        let start = || {
            socket.recv_from(room(6, 0)).unwrap();
            socket.recv(room(6, 1)).unwrap();
            let pieces = vec![Vec::with_capacity(4), Vec::with_capacity(2)];
            socket
                .recv(Operation::new(Buffer::Vectored(pieces), 2))
                .unwrap();
        };
        let send = || {
            for bytes in [&b"123456789"[..], b"123456", b"abcdefg"] {
                peer.send(bytes).unwrap();
            }
        };
        if pending {
            start();
            send();
        } else {
            send();
            start();
        }
        let cut = get(&port);
        assert_eq!((cut.status, cut.bytes), (Status::BUFFER_OVERFLOW, 6));
        assert_eq!(cut.operation.bytes(), b"123456");
        assert!(cut.result().is_err());
        assert_eq!((cut.status.win32(), cut.status.winsock()), (234, 10040));
        let whole = get(&port);
        assert_eq!(
            (whole.status, whole.operation.bytes()),
            (Status::SUCCESS, &b"123456"[..])
        );
        let pieces = get(&port);
        assert_eq!((pieces.status, pieces.bytes), (Status::BUFFER_OVERFLOW, 6));
        let Buffer::Vectored(pieces) = pieces.operation.into_parts().0 else {
            panic!("another buffer came back");
        };
        assert_eq!(pieces, [b"abcd".to_vec(), b"ef".to_vec()]);
    }
}

#[test]
fn io_3_a_datagram_of_no_bytes_is_no_end() {
    let (port, socket, peer) = port_socket_peer();
    socket.recv(room(10, 0)).unwrap();
    peer.send(b"").unwrap();
    let packet = get(&port);
    assert_eq!((packet.status, packet.bytes), (Status::SUCCESS, 0));
    socket.recv(room(10, 0)).unwrap();
    nothing(&port);
    peer.send(b"more").unwrap();
    assert_eq!(get(&port).operation.bytes(), b"more");
    // The other way as well.
    socket
        .send_to(text(b"", 0), peer.local_addr().unwrap())
        .unwrap();
    assert_eq!(get(&port).status, Status::SUCCESS);
    assert_eq!(peer.recv(&mut [1; 4]).unwrap(), 0);
}

#[test]
fn io_4_a_zero_byte_receive_leaves_the_datagram() {
    let (port, socket, peer) = port_socket_peer();
    socket.recv_zero(room(0, 0)).unwrap();
    nothing(&port);
    peer.send(b"datagram").unwrap();
    for _ in 0..2 {
        let packet = get(&port);
        assert_eq!((packet.status, packet.bytes), (Status::SUCCESS, 0));
        socket.recv_zero(packet.operation).unwrap();
    }
    get(&port);
    socket.recv(room(20, 0)).unwrap();
    assert_eq!(get(&port).operation.bytes(), b"datagram");
}

#[test]
fn io_7_a_datagram_goes_out_whole_or_not_at_all() {
    let (port, socket, peer) = port_socket_peer();
    let to = peer.local_addr().unwrap();
    let pieces = vec![b"one ".to_vec(), Vec::new(), b"datagram".to_vec()];
    socket
        .send_to(Operation::new(Buffer::Vectored(pieces), 0), to)
        .unwrap();
    assert_eq!(get(&port).bytes, 12);
    let mut bytes = [0; 20];
    let length = peer.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"one datagram");

    socket.send_to(text(&[7; 70_000], 0), to).unwrap();
    let packet = get(&port);
    assert_eq!(
        (packet.status, packet.bytes),
        (Status::INVALID_BUFFER_SIZE, 0)
    );
    // And nothing of it is left behind in the socket.
    socket.send_to(text(b"short", 0), to).unwrap();
    assert_eq!(get(&port).result().unwrap(), 5);
}

#[test]
fn connecting_a_datagram_socket_sets_its_peer() {
    let (port, socket, peer) = port_socket_peer();
    let refused = socket.send(text(b"to whom", 0)).unwrap_err();
    assert_eq!(refused.status, Status::INVALID_CONNECTION);
    let other = udp();
    for to in [&peer, &other] {
        socket
            .connect(room(0, 0), to.local_addr().unwrap())
            .unwrap();
        assert_eq!(get(&port).status, Status::SUCCESS);
        assert_eq!(socket.peer_addr().unwrap(), to.local_addr().unwrap());
        socket.send(text(b"hello", 0)).unwrap();
        assert_eq!(get(&port).bytes, 5);
        assert_eq!(to.recv(&mut [0; 9]).unwrap(), 5);
    }
    // IO-16.
    socket.shutdown(Shutdown::Both).unwrap();
    assert_eq!(
        socket.send(text(b"x", 0)).unwrap_err().status,
        Status::PIPE_DISCONNECTED
    );
    assert_eq!(
        socket.recv(room(1, 0)).unwrap_err().status,
        Status::PIPE_DISCONNECTED
    );
}

/// On sockets of both versions, connected or not, with the receive pending or not.
#[test]
fn io_13_what_finds_nobody_fails_a_receive_and_no_send() {
    if !crate::wine::obeys("io_13_what_finds_nobody_fails_a_receive_and_no_send") {
        return;
    }
    for version in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(probe) = UdpSocket::bind(version) else {
            eprintln!("not checked: no address {version} here");
            continue;
        };
        let closed = probe.local_addr().unwrap();
        drop(probe);
        for connected in [false, true] {
            for pending in [true, false] {
                let port = System::new().port();
                let own = UdpSocket::bind(version).unwrap();
                let socket = port.associate(own, 1).unwrap();
                if connected {
                    socket.connect(room(0, 0), closed).unwrap();
                    get(&port);
                }
                if pending {
                    socket.recv(room(9, 77)).unwrap();
                }
                for _ in 0..3 {
                    if connected {
                        socket.send(text(b"anybody?", 0)).unwrap();
                    } else {
                        socket.send_to(text(b"anybody?", 0), closed).unwrap();
                    }
                }
                if !pending {
                    socket.recv(room(9, 77)).unwrap();
                }
                let mut failed = 0;
                for _ in 0..4 {
                    let packet = get(&port);
                    if *packet.operation.user() == 77 {
                        assert_eq!(packet.status, Status::PORT_UNREACHABLE);
                        failed += 1;
                    } else {
                        assert_eq!((packet.status, packet.bytes), (Status::SUCCESS, 8));
                    }
                }
                assert_eq!(failed, 1);
                // The socket is as good as before.
                let peer = UdpSocket::bind(version).unwrap();
                socket
                    .connect(room(0, 0), peer.local_addr().unwrap())
                    .unwrap();
                get(&port);
                peer.send_to(b"here", socket.local_addr().unwrap()).unwrap();
                loop {
                    socket.recv(room(9, 0)).unwrap();
                    let packet = get(&port);
                    // The other sends have come back in their own time.
                    if packet.status != Status::PORT_UNREACHABLE {
                        assert_eq!(packet.operation.bytes(), b"here");
                        break;
                    }
                }
            }
        }
    }
}

/// Whoever only waits with the port, and receives elsewhere, has his socket as it was.
#[cfg(target_os = "linux")]
#[test]
fn a_socket_that_is_only_watched_has_no_queue_of_errors() {
    use overlapped::Interest;
    use std::os::fd::AsRawFd;
    let recverr = |fd: i32| {
        let (mut on, mut length) = (-1i32, 4);
        // SAFETY: an int and its length.
        let result = unsafe {
            libc::getsockopt(
                fd,
                libc::SOL_IP,
                libc::IP_RECVERR,
                (&raw mut on).cast(),
                &mut length,
            )
        };
        assert_eq!(result, 0);
        on
    };
    let port = System::new().port();
    let own = udp();
    let twin = own.try_clone().unwrap();
    let socket = port.associate(own, 1).unwrap();
    socket.ready(room(0, 0), Interest::Writable).unwrap();
    get(&port);
    assert_eq!(recverr(twin.as_raw_fd()), 0);
    socket.send_to(text(b"x", 0), nobody()).unwrap();
    get(&port);
    assert_eq!(recverr(twin.as_raw_fd()), 1);
    drop(socket.into_owned_fd().unwrap());
    assert_eq!(recverr(twin.as_raw_fd()), 0);
}

#[test]
fn io_13_can_be_switched_off() {
    if !crate::wine::obeys("io_13_can_be_switched_off") {
        return;
    }
    for connected in [false, true] {
        let (port, socket, peer) = port_socket_peer();
        socket.set_reports_unreachable(false).unwrap();
        socket.recv(room(9, 77)).unwrap();
        let closed = nobody();
        if connected {
            socket.connect(room(0, 0), closed).unwrap();
            get(&port);
        }
        for _ in 0..3 {
            if connected {
                socket.send(text(b"anybody?", 0)).unwrap();
            } else {
                socket.send_to(text(b"anybody?", 0), closed).unwrap();
            }
            assert_eq!(get(&port).result().unwrap(), 8);
        }
        if connected {
            socket
                .connect(room(0, 0), peer.local_addr().unwrap())
                .unwrap();
            get(&port);
        }
        peer.send(b"here").unwrap();
        assert_eq!(get(&port).operation.bytes(), b"here");
    }
}

/// IO-5 and PK-1 with several workers on one socket: every datagram once, in one packet.
#[test]
fn several_threads_share_one_socket() {
    const DATAGRAMS: u32 = 20_000;
    const WINDOW: u32 = 16;

    let port: Port = CompletionPort::new(4).unwrap();
    let socket = port.associate(udp(), 1).unwrap();
    let peer = udp();
    peer.connect(socket.local_addr().unwrap()).unwrap();
    for user in 0..8 {
        socket.recv_from(room(16, user)).unwrap();
    }
    let workers = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let port = port.clone();
                scope.spawn(move || {
                    let mut seen = Vec::new();
                    while let Ok(packet) = port.get_timeout(WATCHDOG) {
                        let socket = packet.socket.unwrap();
                        match packet.kind {
                            Kind::RecvFrom if packet.status == Status::SUCCESS => {
                                let bytes = packet.operation.bytes().try_into().unwrap();
                                seen.push(u32::from_ne_bytes(bytes));
                                let from = packet.operation.peer_addr().unwrap();
                                // The answer lets the peer go on, so nothing is lost.
                                socket.send_to(Operation::new(&b"!"[..], 0), from).unwrap();
                                // At the end the port may be closed by now.
                                if let Err(refused) = socket.recv_from(packet.operation) {
                                    assert_eq!(refused.status, Status::INVALID_HANDLE);
                                    break;
                                }
                            }
                            kind => assert_eq!((kind, packet.bytes), (Kind::SendTo, 1)),
                        }
                    }
                    seen
                })
            })
            .collect();
        for number in 0..DATAGRAMS {
            if number >= WINDOW {
                assert_eq!(peer.recv(&mut [0; 4]).unwrap(), 1);
            }
            peer.send(&number.to_ne_bytes()).unwrap();
        }
        for _ in 0..WINDOW {
            assert_eq!(peer.recv(&mut [0; 4]).unwrap(), 1);
        }
        port.close();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect::<Vec<_>>()
    });
    let all: Vec<u32> = workers.into_iter().flatten().collect();
    assert_eq!(all.len(), DATAGRAMS as usize);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), DATAGRAMS as usize);
}

#[test]
fn cx_1_a_receive_of_a_datagram_can_be_cancelled_and_loses_none() {
    let (port, socket, peer) = port_socket_peer();
    let started = socket.recv_from(room(10, 0)).unwrap();
    assert!(socket.cancel(started));
    assert_eq!(get(&port).status, Status::CANCELLED);
    peer.send(b"kept").unwrap();
    socket.recv(room(10, 0)).unwrap();
    assert_eq!(get(&port).operation.bytes(), b"kept");
}

#[test]
fn what_a_datagram_socket_cannot_do_is_refused_with_a_reason() {
    let (port, socket, _peer) = port_socket_peer();
    let refused = socket.accept(room(0, 0)).unwrap_err();
    assert_eq!(refused.status, Status::NOT_SUPPORTED);
    assert!(
        refused
            .error
            .to_string()
            .contains("this is a datagram socket")
    );
    assert_eq!(
        socket.disconnect(room(0, 0)).unwrap_err().status,
        Status::NOT_SUPPORTED
    );
    let stream = port.associate(System::new().connected().0, 2).unwrap();
    let refused = stream.recv_from(room(9, 0)).unwrap_err();
    assert_eq!(refused.status, Status::NOT_SUPPORTED);
    let to = nobody();
    assert!(stream.send_to(text(b"x", 0), to).is_err());
    nothing(&port);
}

#[test]
fn po_6_a_duplicate_is_recognised_and_a_release_gives_std_back() {
    let (port, socket, peer) = port_socket_peer();
    let other = udp();
    let twin = other.try_clone().unwrap();
    let first = port.associate(other, 2).unwrap();
    assert!(port.associate(twin, 3).is_err());
    drop(first);
    if cfg!(windows) {
        assert!(socket.into_udp_socket().is_err());
        return;
    }
    let back = socket.into_udp_socket().unwrap();
    peer.send(b"blocking").unwrap();
    assert_eq!(back.recv(&mut [0; 20]).unwrap(), 8);
}
