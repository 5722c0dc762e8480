//! Chapter 5: disconnecting.

use overlapped::{Kind, Status};

use crate::world::{Remote, World, get, nothing, room, text};

crate::on_every_engine!(
    dx_1_a_disconnect_follows_the_sends_and_leaves_receiving,
    dx_1_a_cancelled_disconnect_tells_the_peer_all_the_same,
);

/// Sends are refused from the start of a disconnect on, so there is no way back.
fn dx_1_a_cancelled_disconnect_tells_the_peer_all_the_same(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    let sent = socket.send(text(&vec![7; 16_000_000], 0)).unwrap();
    let disconnect = socket.disconnect(room(0, 1)).unwrap();
    assert!(socket.cancel(disconnect));
    assert_eq!(get(&port).status, Status::CANCELLED);
    assert!(socket.cancel(sent));
    let went_out = get(&port).bytes;
    assert_eq!(remote.recv_to_end().len(), went_out);
}

fn dx_1_a_disconnect_follows_the_sends_and_leaves_receiving(world: &impl World) {
    let port = world.port();
    let fresh = port.associate(world.fresh(), 0).unwrap();
    assert_eq!(
        fresh.disconnect(room(0, 0)).unwrap_err().status.winsock(),
        10057
    );

    let (endpoint, mut remote) = world.connected();
    let socket = port.associate(endpoint, 1).unwrap();
    socket.send(text(b"bye", 0)).unwrap();
    socket.disconnect(room(0, 1)).unwrap();
    assert_eq!(*get(&port).operation.user(), 0);
    let packet = get(&port);
    assert_eq!(
        (packet.kind, packet.status, packet.bytes),
        (Kind::Disconnect, Status::SUCCESS, 0)
    );
    assert_eq!(remote.recv_to_end(), b"bye");
    assert_eq!(
        socket.send(text(b"x", 0)).unwrap_err().status.winsock(),
        10058
    );
    // A second one succeeds, and the peer is still heard.
    socket.disconnect(packet.operation).unwrap();
    assert_eq!(get(&port).status, Status::SUCCESS);
    remote.send(b"z");
    socket.recv(room(8, 0)).unwrap();
    assert_eq!(get(&port).operation.bytes(), b"z");
    nothing(&port);
}
