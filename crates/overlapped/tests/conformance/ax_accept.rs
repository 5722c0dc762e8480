//! Chapter 5: accepting.

use overlapped::{Buffer, Operation, Status};

use crate::world::{Remote, World, get, nothing, quiet, room, text};

crate::on_every_engine!(
    ax_1_only_a_listener_accepts,
    ax_4_the_first_data_comes_with_the_accept,
    ax_4_the_first_data_may_go_into_many_pieces,
    ax_4_a_silent_client_holds_up_nobody_else,
    ax_5_the_packet_has_the_listeners_key,
    ax_6_accepts_are_served_in_order,
    ax_8_closing_the_listener_cancels,
    ax_8_cancelling_an_accept_that_waits_for_data,
);

fn ax_1_only_a_listener_accepts(world: &impl World) {
    let (port, socket, _remote) = world.port_and_socket(1);
    let refused = socket.accept(room(0, 0)).unwrap_err();
    assert_eq!(refused.status.winsock(), 10022);
    let refused = socket.accept_with_data(room(8, 0)).unwrap_err();
    assert_eq!(refused.status.winsock(), 10022);
    nothing(&port);
}

fn ax_4_the_first_data_comes_with_the_accept(world: &impl World) {
    let port = world.port();
    let (endpoint, address) = world.listener();
    let listener = port.associate(endpoint, 125).unwrap();
    listener.accept_with_data(room(64, 1)).unwrap();
    let mut remote = world.dial(address);
    quiet(&port);
    remote.send(b"h");
    let mut packet = get(&port);
    assert_eq!((packet.status, packet.bytes), (Status::SUCCESS, 1));
    assert_eq!(packet.operation.bytes(), b"h");
    // The connection is usable, for what follows too.
    let socket = port
        .associate(packet.operation.take_accepted().unwrap(), 236)
        .unwrap();
    assert!(packet.operation.take_accepted().is_none());
    remote.send(b"i");
    socket.recv(packet.operation).unwrap();
    let packet = get(&port);
    assert_eq!(
        (packet.operation.bytes(), *packet.socket.unwrap().key()),
        (&b"i"[..], 236)
    );

    // The peer's end without data is a success with none.
    listener.accept_with_data(room(64, 2)).unwrap();
    let mut remote = world.dial(address);
    remote.finish();
    let mut packet = get(&port);
    assert_eq!((packet.status, packet.bytes), (Status::SUCCESS, 0));
    assert!(packet.operation.take_accepted().is_some());
}

fn ax_4_the_first_data_may_go_into_many_pieces(world: &impl World) {
    let port = world.port();
    let (listener, address) = world.listener();
    let listener = port.associate(listener, 1).unwrap();
    let pieces = (0..3000).map(|_| Vec::with_capacity(1)).collect();
    let operation = Operation::new(Buffer::Vectored(pieces), 0);
    listener.accept_with_data(operation).unwrap();
    let mut client = world.dial(address);
    client.send(b"x");
    let packet = get(&port);
    assert_eq!((packet.status, packet.bytes), (Status::SUCCESS, 1));
}

fn ax_4_a_silent_client_holds_up_nobody_else(world: &impl World) {
    let port = world.port();
    let (endpoint, address) = world.listener();
    let listener = port.associate(endpoint, 1).unwrap();
    for user in 0..3 {
        listener.accept_with_data(room(64, user)).unwrap();
    }
    let mut silent = world.dial(address);
    quiet(&port);
    let mut talking = world.dial(address);
    talking.send(b"b");
    let packet = get(&port);
    assert_eq!(
        (packet.operation.bytes(), *packet.operation.user()),
        (&b"b"[..], 1)
    );
    silent.send(b"a");
    let packet = get(&port);
    assert_eq!(
        (packet.operation.bytes(), *packet.operation.user()),
        (&b"a"[..], 0)
    );
    // The third still waits.
    assert_eq!(listener.cancel_all(), 1);
    assert_eq!(get(&port).status, Status::CANCELLED);
}

fn ax_5_the_packet_has_the_listeners_key(world: &impl World) {
    let port = world.port();
    let (endpoint, address) = world.listener();
    let listener = port.associate(endpoint, 125).unwrap();
    listener.accept(room(0, 0)).unwrap();
    let _remote = world.dial(address);
    let mut packet = get(&port);
    assert_eq!(*packet.socket.unwrap().key(), 125);
    assert_eq!(packet.bytes, 0);
    let accepted = packet.operation.take_accepted().unwrap();
    assert!(accepted.peer_addr().is_some());
    let socket = port.associate(accepted, 236).unwrap();
    socket.send(text(b"x", 0)).unwrap();
    assert_eq!(*get(&port).socket.unwrap().key(), 236);
}

fn ax_6_accepts_are_served_in_order(world: &impl World) {
    let port = world.port();
    let (endpoint, address) = world.listener();
    let listener = port.associate(endpoint, 1).unwrap();
    for user in 0..3 {
        listener.accept(room(0, user)).unwrap();
    }
    let mut remotes = Vec::new();
    for user in 0..3u64 {
        remotes.push(world.dial(address));
        let mut packet = get(&port);
        assert_eq!(*packet.operation.user(), user);
        let socket = port
            .associate(packet.operation.take_accepted().unwrap(), user)
            .unwrap();
        socket.send(text(&[user as u8], 0)).unwrap();
        assert_eq!(get(&port).bytes, 1);
        remotes.last_mut().unwrap().recv(1);
    }
}

fn ax_8_closing_the_listener_cancels(world: &impl World) {
    let port = world.port();
    let (endpoint, address) = world.listener();
    let listener = port.associate(endpoint, 1).unwrap();
    listener.accept_with_data(room(8, 0)).unwrap();
    listener.accept(room(8, 1)).unwrap();
    let mut remote = world.dial(address);
    // The first takes the connection and waits for its data.
    quiet(&port);
    listener.close();
    let mut ended: Vec<_> = (0..2)
        .map(|_| get(&port))
        .map(|packet| (*packet.operation.user(), packet.status))
        .collect();
    ended.sort_unstable_by_key(|(user, _)| *user);
    assert_eq!(ended, [(0, Status::CANCELLED), (1, Status::CANCELLED)]);
    assert_eq!(remote.recv_to_end(), b"");
    assert_eq!(
        listener.accept(room(0, 0)).unwrap_err().status,
        Status::INVALID_HANDLE
    );
    nothing(&port);
}

fn ax_8_cancelling_an_accept_that_waits_for_data(world: &impl World) {
    let port = world.port();
    let (endpoint, address) = world.listener();
    let listener = port.associate(endpoint, 1).unwrap();
    let started = listener.accept_with_data(room(8, 0)).unwrap();
    let mut remote = world.dial(address);
    quiet(&port);
    assert!(listener.cancel(started));
    assert!(!listener.cancel(started));
    assert_eq!(get(&port).status, Status::CANCELLED);
    assert_eq!(remote.recv_to_end(), b"");
    nothing(&port);
}
