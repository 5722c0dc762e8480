//! Chapter 6: cancelling, closing, exiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use overlapped::{CompletionPort, GetError, Operation, Status};

use crate::world::{
    Remote, Sock, System, WATCHDOG, World, exchange, get, nothing, room, text, until,
};

crate::on_every_engine!(
    cx_1_a_cancelled_operation_delivers_its_one_packet,
    cx_2_what_is_not_under_way_cannot_be_cancelled,
    cx_4_no_data_is_lost_by_a_cancel,
    cx_5_a_cancelled_send_says_how_much_went_out,
    cx_5_what_waits_behind_a_cancelled_send_goes_on,
    cx_6_closing_ends_pending_receives,
    cx_6_closing_lets_started_sends_out,
    cx_6_closing_aborts_sends_after_the_linger_time,
    cx_10_the_end_of_the_port_drops_each_operation_once,
);

fn cx_1_a_cancelled_operation_delivers_its_one_packet(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(3);
    let first = socket.recv(room(4, 0)).unwrap();
    let second = socket.recv(room(4, 1)).unwrap();
    socket.recv(room(4, 2)).unwrap();
    assert!(socket.cancel(second));
    let packet = get(&port);
    assert_eq!(
        (*packet.operation.user(), packet.status, packet.bytes),
        (1, Status::CANCELLED, 0)
    );
    assert_eq!(packet.status.win32(), 995);
    assert_eq!(*packet.socket.unwrap().key(), 3);
    assert!(socket.cancel(first));
    assert_eq!(*get(&port).operation.user(), 0);
    // The third is untouched.
    remote.send(b"x");
    let packet = get(&port);
    assert_eq!(
        (*packet.operation.user(), packet.status),
        (2, Status::SUCCESS)
    );
    nothing(&port);
}

fn cx_2_what_is_not_under_way_cannot_be_cancelled(world: &impl World) {
    let (port, socket, _remote) = world.port_and_socket(1);
    let started = socket.send(text(b"x", 0)).unwrap();
    assert_eq!(get(&port).status, Status::SUCCESS);
    assert!(!socket.cancel(started));
    let started = socket.recv(room(8, 0)).unwrap();
    assert!(socket.cancel(started));
    assert!(!socket.cancel(started));
    assert_eq!(socket.cancel_all(), 0);
    // A token means one operation of one socket, and no other one ever.
    let (endpoint, _other_remote) = world.connected();
    let other = port.associate(endpoint, 2).unwrap();
    other.recv(room(8, 1)).unwrap();
    assert!(!other.cancel(started));
    let packet = get(&port);
    assert_eq!(
        (*packet.operation.user(), packet.status),
        (0, Status::CANCELLED)
    );
    nothing(&port);
}

fn cx_4_no_data_is_lost_by_a_cancel(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    let mut received = Vec::new();
    let mut sent = Vec::new();
    for round in 0..200u32 {
        let started = socket.recv(room(64, 0)).unwrap();
        let bytes = round.to_le_bytes();
        remote.send(&bytes);
        sent.extend(bytes);
        let cancelled = round % 3 != 0 && socket.cancel(started);
        let packet = get(&port);
        assert_eq!(packet.status == Status::CANCELLED, cancelled);
        received.extend_from_slice(packet.operation.bytes());
        nothing(&port);
    }
    while received.len() < sent.len() {
        socket.recv(room(4096, 0)).unwrap();
        received.extend_from_slice(get(&port).operation.bytes());
    }
    assert!(received == sent);
}

fn cx_5_a_cancelled_send_says_how_much_went_out(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    let bytes: Vec<u8> = (0..8_000_000u32).map(|i| (i % 251) as u8).collect();
    let started = socket.send(text(&bytes, 0)).unwrap();
    nothing(&port);
    assert!(socket.cancel(started));
    let packet = get(&port);
    assert_eq!(packet.status, Status::CANCELLED);
    assert!(packet.bytes < bytes.len());
    let went_out = packet.bytes;
    drop(packet);
    socket.close();
    drop(socket);
    let received = remote.recv_to_end();
    assert_eq!(received.len(), went_out);
    assert!(received == bytes[..went_out]);
}

fn cx_5_what_waits_behind_a_cancelled_send_goes_on(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    let large = socket.send(text(&vec![7; 8_000_000], 0)).unwrap();
    socket.send(text(b"", 1)).unwrap();
    socket.disconnect(text(b"", 2)).unwrap();
    nothing(&port);
    // The peer reads nothing, so there is no room; but neither needs any.
    assert!(socket.cancel(large));
    let cancelled = get(&port);
    assert_eq!(cancelled.status, Status::CANCELLED);
    for user in 1..=2 {
        let packet = get(&port);
        assert_eq!(
            (*packet.operation.user(), packet.status),
            (user, Status::SUCCESS)
        );
    }
    assert_eq!(remote.recv_to_end().len(), cancelled.bytes);
}

fn cx_6_closing_ends_pending_receives(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(6);
    for user in 0..3 {
        socket.recv(room(8, user)).unwrap();
    }
    // Other handles do not keep it open.
    let _handle = socket.clone();
    socket.close();
    for user in 0..3 {
        let packet = get(&port);
        assert_eq!(
            (*packet.operation.user(), packet.status),
            (user, Status::CONNECTION_ABORTED)
        );
        assert_eq!(
            (packet.status.win32(), *packet.socket.unwrap().key()),
            (1236, 6)
        );
    }
    assert_eq!(remote.recv_to_end(), b"");
    assert_eq!(
        socket.recv(room(8, 0)).unwrap_err().status,
        Status::INVALID_HANDLE
    );
    socket.close();
    nothing(&port);
}

fn cx_6_closing_lets_started_sends_out(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    let bytes: Vec<u8> = (0..4_000_000u32).map(|i| (i % 253) as u8).collect();
    socket.send(text(&bytes, 1)).unwrap();
    socket.send(text(b"the end", 2)).unwrap();
    socket.close();
    drop(socket);
    let (packets, mut received) = exchange(&port, &mut remote, 2, bytes.len());
    let ended: Vec<_> = packets
        .iter()
        .map(|p| (*p.operation.user(), p.status))
        .collect();
    assert_eq!(ended, [(1, Status::SUCCESS), (2, Status::SUCCESS)]);
    drop(packets);
    received.extend(remote.recv_to_end());
    assert!(received == [&bytes[..], b"the end"].concat());
}

fn cx_6_closing_aborts_sends_after_the_linger_time(world: &impl World) {
    let builder = CompletionPort::builder()
        .concurrency(1)
        .linger(Duration::from_millis(10));
    let port = world.build(builder);
    let (endpoint, _remote) = world.connected();
    let socket = port.associate(endpoint, 1).unwrap();
    socket.send(Operation::new(vec![0; 16_000_000], 1)).unwrap();
    socket.send(text(b"never", 2)).unwrap();
    socket.close();
    let first = get(&port);
    assert_eq!(
        (*first.operation.user(), first.status),
        (1, Status::CONNECTION_ABORTED)
    );
    assert!(first.bytes < 16_000_000);
    let second = get(&port);
    assert_eq!((*second.operation.user(), second.bytes), (2, 0));
    assert_eq!(second.status, Status::CONNECTION_ABORTED);
    nothing(&port);
}

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn cx_10_the_end_of_the_port_drops_each_operation_once(world: &impl World) {
    // The memory, by way of what the buffers share.
    let bytes: Arc<[u8]> = vec![0; 1_000_000].into();
    let (port, socket, _remote) = world.port_and_socket(1);
    for user in 0..20 {
        socket.send(Operation::new(bytes.clone(), user)).unwrap();
        port.post(Operation::new(bytes.clone(), user), 0).unwrap();
    }
    assert!(Arc::strong_count(&bytes) > 20);
    port.close();
    assert_eq!(Arc::strong_count(&bytes), 1);
    assert!(matches!(port.poll(), Err(GetError::Closed)));
    assert_eq!(
        port.post(text(b"", 0), 0).unwrap_err().status,
        Status::INVALID_HANDLE
    );
}

#[test]
fn cx_10_a_destructor_that_panics_takes_no_others_along() {
    /// Counts its drops, and panics at the third.
    struct Bomb(Arc<AtomicUsize>);

    impl Drop for Bomb {
        fn drop(&mut self) {
            let earlier = self.0.fetch_add(1, SeqCst);
            assert!(earlier != 2, "a destructor of the user's");
        }
    }

    let dropped = Arc::new(AtomicUsize::new(0));
    let port: CompletionPort<(), Bomb> = CompletionPort::new(1).unwrap();
    let world = System::new();
    let mut connections = Vec::new();
    for _ in 0..4 {
        let (endpoint, remote) = world.connected();
        let socket = port.associate(endpoint, ()).unwrap();
        for _ in 0..3 {
            let operation = Operation::with_capacity(8, Bomb(dropped.clone()));
            socket.recv(operation).unwrap();
        }
        port.post(Operation::new("", Bomb(dropped.clone())), 0)
            .unwrap();
        connections.push((socket, remote));
    }
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| port.close()));
    assert!(ended.is_err(), "the panic is the caller's");
    assert_eq!(dropped.load(SeqCst), 16);
}

#[test]
fn cx_10_dropping_the_last_handle_is_closing() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let port: CompletionPort<(), Counted> = CompletionPort::new(1).unwrap();
    let (endpoint, _remote) = System::new().connected();
    let socket = port.associate(endpoint, ()).unwrap();
    for _ in 0..5 {
        socket
            .recv(Operation::with_capacity(8, Counted(dropped.clone())))
            .unwrap();
        port.post(Operation::new("", Counted(dropped.clone())), 0)
            .unwrap();
    }
    let clone = port.clone();
    drop(port);
    assert_eq!(dropped.load(SeqCst), 0);
    drop(clone);
    assert_eq!(dropped.load(SeqCst), 10);
}

#[test]
fn cx_8_operations_survive_the_thread_that_started_them() {
    let (port, socket, mut remote) = System::new().port_and_socket(1);
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                assert!(port.poll().is_err());
                socket.recv(room(8, 5)).unwrap();
            })
            .join()
            .unwrap();
    });
    remote.send(b"x");
    let packet = get(&port);
    assert_eq!(
        (*packet.operation.user(), packet.status),
        (5, Status::SUCCESS)
    );
}

#[test]
fn cx_9_closing_ends_every_wait() {
    let port = System::for_several_threads().build(CompletionPort::builder().concurrency(4));
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| port.get_timeout(WATCHDOG)))
            .collect();
        until("all six wait", || port.stats().waiting == 6);
        port.close();
        for waiter in waiters {
            assert!(matches!(waiter.join().unwrap(), Err(GetError::Closed)));
        }
    });
    assert!(matches!(port.get(), Err(GetError::Closed)));
}

#[test]
fn cancelling_and_closing_from_another_thread() {
    let world = System::new();
    let (port, socket, _remote) = world.port_and_socket(1);
    let started = socket.recv(room(8, 0)).unwrap();
    let other: Sock = socket.clone();
    std::thread::spawn(move || assert!(other.cancel(started)))
        .join()
        .unwrap();
    assert_eq!(get(&port).status, Status::CANCELLED);
    socket.recv(room(8, 1)).unwrap();
    let other = socket.clone();
    std::thread::spawn(move || other.close()).join().unwrap();
    assert_eq!(get(&port).status, Status::CONNECTION_ABORTED);
}

#[test]
fn cx_2_a_token_names_nothing_of_another_port() {
    let world = System::new();
    let (one, other) = (world.port_and_socket(1), world.port_and_socket(2));
    let of_one = one.1.recv(room(8, 0)).unwrap();
    let of_other = other.1.recv(room(8, 0)).unwrap();
    assert_ne!(of_one, of_other);
    assert!(!other.1.cancel(of_one));
    assert!(one.1.cancel(of_one) && other.1.cancel(of_other));
}
