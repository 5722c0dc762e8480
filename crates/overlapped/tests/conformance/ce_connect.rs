//! Chapter 5: connecting.

use overlapped::{Kind, Status};

use crate::world::{Remote, World, get, nothing, room, text};

crate::on_every_engine!(
    ce_1_a_socket_in_the_wrong_state_refuses,
    ce_2_the_first_data_goes_with_the_connect,
    ce_3_a_refused_socket_may_try_again,
);

fn ce_1_a_socket_in_the_wrong_state_refuses(world: &impl World) {
    let (port, connected, _remote) = world.port_and_socket(1);
    let to = world.nobody();
    let refused = connected.connect(room(0, 0), to).unwrap_err();
    assert_eq!(refused.status.winsock(), 10056);
    let (endpoint, _) = world.listener();
    let listener = port.associate(endpoint, 2).unwrap();
    let refused = listener.connect(room(0, 0), to).unwrap_err();
    assert_eq!(refused.status.winsock(), 10022);
    nothing(&port);
}

fn ce_2_the_first_data_goes_with_the_connect(world: &impl World) {
    let port = world.port();
    let (address, accept) = world.outside();
    let socket = port.associate(world.fresh(), 3).unwrap();
    socket.connect_with_data(text(b"abc", 9), address).unwrap();
    let packet = get(&port);
    assert_eq!(
        (packet.kind, packet.status, packet.bytes),
        (Kind::Connect, Status::SUCCESS, 3)
    );
    let mut remote = accept();
    assert_eq!(remote.recv(3), b"abc");
    // Without data.
    let socket = port.associate(world.fresh(), 4).unwrap();
    socket.connect(packet.operation, address).unwrap();
    let packet = get(&port);
    assert_eq!((packet.status, packet.bytes), (Status::SUCCESS, 0));
    let mut remote = accept();
    socket.send(packet.operation).unwrap();
    assert_eq!(get(&port).bytes, 3);
    assert_eq!(remote.recv(3), b"abc");
}

fn ce_3_a_refused_socket_may_try_again(world: &impl World) {
    let port = world.port();
    let socket = port.associate(world.fresh(), 1).unwrap();
    socket.connect(room(0, 0), world.nobody()).unwrap();
    let packet = get(&port);
    assert_eq!(packet.status, Status::CONNECTION_REFUSED);
    assert_eq!(
        (packet.status.win32(), packet.status.winsock()),
        (1225, 10061)
    );
    let (address, accept) = world.outside();
    socket.connect(packet.operation, address).unwrap();
    assert_eq!(get(&port).status, Status::SUCCESS);
    let mut remote = accept();
    remote.send(b"x");
    socket.recv(room(1, 0)).unwrap();
    assert_eq!(get(&port).bytes, 1);
}
