//! Exactly once and in order, under stress: many sockets, more workers than the concurrency value,
//! random cancels, deadlines, timers, closes and thread exits, and every byte and every operation accounted for.
//!
//! Each connection has both of its ends in the port. One end sends a stream whose bytes tell their
//! position, several sends outstanding; the other receives it with several receives outstanding,
//! some of which are cancelled or have little time. Receives are numbered in the order of their start, so that the
//! stream can be put together again whoever handled which packet when.
//!
//! `OVERLAPPED_STRESS_PACKETS` sets about how many packets each test handles.

use std::collections::{BTreeMap, HashSet};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overlapped::{
    CompletionPort, GetError, Kind, Operation, Packet, Socket, Started, Status, WakePolicy,
};

const SOCKETS: usize = 64;
const WORKERS: usize = 8;
const OUTSTANDING: usize = 4;

/// The byte at this place of a connection's stream.
fn byte_at(connection: usize, position: u64) -> u8 {
    let mixed = (position ^ (connection as u64) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
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

#[derive(Clone, Copy)]
struct Tag {
    /// Never used twice.
    id: u64,
    /// Of a receive: which of its connection, in order of start.
    number: u64,
}

type Port = CompletionPort<Key, Tag>;
type Sock = Socket<Key, Tag>;

/// Which end of which connection.
#[derive(Clone, Copy, Debug)]
struct Key {
    connection: usize,
    sender: bool,
}

/// In place of a connection's index: the one whose peer never sends.
const SILENT: usize = usize::MAX;

#[derive(Default)]
struct Connection {
    sender: Option<Sock>,
    receiver: Option<Sock>,
    // The sending end.
    position: u64,
    sends_out: usize,
    disconnecting: bool,
    // The receiving end.
    next_number: u64,
    receives_out: usize,
    started: Vec<Started>,
    arrived: BTreeMap<u64, Vec<u8>>,
    next_to_check: u64,
    checked: u64,
    ended: bool,
    /// Closed in the middle: what arrived is only a beginning.
    cut: bool,
}

struct World {
    port: Port,
    connections: Vec<Mutex<Connection>>,
    /// Whatever is received here ends by a cancel or by its deadline: elsewhere the data may always
    /// be faster.
    silent: Sock,
    bytes_each: u64,
    ids: AtomicU64,
    outstanding: Mutex<HashSet<u64>>,
    packets: AtomicU64,
    /// Receives from the silent peer that were cancelled, and those whose time was up.
    cancelled: AtomicU64,
    late: AtomicU64,
    stop: AtomicBool,
}

impl World {
    fn tag(&self, number: u64) -> Tag {
        let id = self.ids.fetch_add(1, SeqCst);
        assert!(self.outstanding.lock().unwrap().insert(id));
        Tag { id, number }
    }

    fn forget(&self, tag: &Tag) {
        assert!(
            self.outstanding.lock().unwrap().remove(&tag.id),
            "a packet came twice"
        );
    }

    /// Keeps sends outstanding until the stream is over, then disconnects.
    fn send_more(&self, index: usize, connection: &mut Connection, random: &mut Random) {
        let Some(socket) = connection.sender.clone() else {
            return;
        };
        while connection.sends_out < OUTSTANDING && !connection.disconnecting {
            let left = self.bytes_each - connection.position;
            let result = if left == 0 {
                connection.disconnecting = true;
                socket.disconnect(Operation::new("", self.tag(0)))
            } else {
                let most = if random.below(20) == 0 {
                    300_000
                } else {
                    3_000
                };
                let len = left.min(1 + random.below(most));
                let bytes: Vec<u8> = (connection.position..connection.position + len)
                    .map(|position| byte_at(index, position))
                    .collect();
                connection.position += len;
                socket.send(Operation::new(bytes, self.tag(0)))
            };
            match result {
                Ok(_) => connection.sends_out += 1,
                Err(refused) => {
                    self.forget(refused.operation.user());
                    assert!(connection.cut, "refused: {}", refused.error);
                    connection.disconnecting = true;
                }
            }
        }
    }

    fn recv_more(&self, connection: &mut Connection, random: &mut Random) {
        let Some(socket) = connection.receiver.clone() else {
            return;
        };
        while connection.receives_out < OUTSTANDING && !connection.ended {
            let capacity = 1 + random.below(8_000) as usize;
            let tag = self.tag(connection.next_number);
            let mut operation = Operation::with_capacity(capacity, tag);
            if random.below(3) == 0 {
                operation.set_timeout(Some(Duration::from_micros(random.below(2_000))));
            }
            match socket.recv(operation) {
                Ok(started) => {
                    connection.next_number += 1;
                    connection.receives_out += 1;
                    connection.started.push(started);
                    if connection.started.len() > 16 {
                        connection.started.remove(0);
                    }
                }
                Err(refused) => {
                    self.forget(refused.operation.user());
                    assert!(connection.cut, "refused: {}", refused.error);
                    connection.ended = true;
                }
            }
        }
    }

    fn handle(&self, packet: Packet<Key, Tag>, random: &mut Random) {
        self.packets.fetch_add(1, SeqCst);
        let tag = *packet.operation.user();
        self.forget(&tag);
        let Some(socket) = &packet.socket else { return };
        let key = *socket.key();
        if key.connection == SILENT {
            match packet.status {
                Status::CANCELLED => self.cancelled.fetch_add(1, SeqCst),
                Status::IO_TIMEOUT => self.late.fetch_add(1, SeqCst),
                other => panic!("{other} from a silent peer"),
            };
            assert_eq!(packet.bytes, 0);
            return;
        }
        let mut connection = self.connections[key.connection].lock().unwrap();
        if key.sender {
            connection.sends_out -= 1;
            let whole =
                packet.kind == Kind::Disconnect || packet.bytes == packet.operation.bytes().len();
            assert!(
                packet.status.is_success() && whole || connection.cut,
                "{packet:?} on an uncut connection"
            );
            self.send_more(key.connection, &mut connection, random);
        } else {
            connection.receives_out -= 1;
            match packet.status {
                Status::SUCCESS if packet.bytes == 0 => connection.ended = true,
                Status::SUCCESS | Status::CANCELLED | Status::IO_TIMEOUT => {}
                status => {
                    assert!(connection.cut, "{status} on an uncut connection");
                    connection.ended = true;
                }
            }
            assert!(packet.status.is_success() || packet.bytes == 0);
            connection
                .arrived
                .insert(tag.number, packet.operation.bytes().to_vec());
            self.check(key.connection, &mut connection);
            self.recv_more(&mut connection, random);
        }
        match random.below(400) {
            // Cancel something that may or may not be under way.
            0..40 if !connection.started.is_empty() => {
                let which = random.below(connection.started.len() as u64) as usize;
                let started = connection.started[which];
                if let Some(receiver) = connection.receiver.clone() {
                    receiver.cancel(started);
                }
            }
            40..44 => {
                if let Some(receiver) = connection.receiver.clone() {
                    receiver.cancel_all();
                }
            }
            44 => {
                connection.cut = true;
                let end = if random.below(2) == 0 {
                    connection.sender.take()
                } else {
                    connection.receiver.take()
                };
                if let Some(socket) = end {
                    socket.close();
                }
            }
            45..60 => {
                let operation = Operation::new("", self.tag(0));
                let after = Duration::from_micros(random.below(2_000));
                let timer = self.port.timer(operation, after).unwrap();
                if random.below(2) == 0 {
                    self.port.cancel(timer);
                }
            }
            60..65 => {
                let tag = self.tag(0);
                self.port.post(Operation::new("", tag), 0).unwrap();
            }
            65..70 => {
                let operation = Operation::with_capacity(8, self.tag(0));
                let started = self.silent.recv(operation).unwrap();
                self.silent.cancel(started);
            }
            70..75 => {
                let mut operation = Operation::with_capacity(8, self.tag(0));
                operation.set_timeout(Some(Duration::from_micros(random.below(2_000))));
                self.silent.recv(operation).unwrap();
            }
            _ => {}
        }
    }

    /// Compares what has arrived without a gap.
    fn check(&self, index: usize, connection: &mut Connection) {
        while let Some(bytes) = connection.arrived.remove(&connection.next_to_check) {
            connection.next_to_check += 1;
            for byte in bytes {
                let position = connection.checked;
                assert_eq!(
                    byte,
                    byte_at(index, position),
                    "connection {index} at {position}"
                );
                connection.checked += 1;
            }
        }
    }

    fn idle(&self) -> bool {
        self.outstanding.lock().unwrap().is_empty()
    }
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

fn packets_wanted() -> u64 {
    std::env::var("OVERLAPPED_STRESS_PACKETS").map_or(60_000, |text| {
        text.parse().expect("OVERLAPPED_STRESS_PACKETS is a number")
    })
}

fn stress(policy: WakePolicy, concurrency: usize, seed: u64) {
    let wanted = packets_wanted();
    let mut handled = 0;
    let mut round = 0;
    while handled < wanted {
        round += 1;
        handled += one_round(policy, concurrency, seed + round);
    }
}

fn one_round(policy: WakePolicy, concurrency: usize, seed: u64) -> u64 {
    let port: Port = CompletionPort::builder()
        .concurrency(concurrency)
        .wake_policy(policy)
        .linger(Duration::from_millis(100))
        .build()
        .unwrap();
    let (silent, _its_peer) = pair();
    let key = Key {
        connection: SILENT,
        sender: false,
    };
    let silent = port.associate(silent, key).unwrap();
    let world = Arc::new(World {
        port,
        silent,
        connections: (0..SOCKETS / 2).map(|_| Mutex::default()).collect(),
        bytes_each: 600_000,
        ids: AtomicU64::new(0),
        outstanding: Mutex::default(),
        packets: AtomicU64::new(0),
        cancelled: AtomicU64::new(0),
        late: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1);
    for (index, connection) in world.connections.iter().enumerate() {
        let (one, other) = pair();
        let mut connection = connection.lock().unwrap();
        let key = |sender| Key {
            connection: index,
            sender,
        };
        connection.sender = Some(world.port.associate(one, key(true)).unwrap());
        connection.receiver = Some(world.port.associate(other, key(false)).unwrap());
        world.send_more(index, &mut connection, &mut random);
        world.recv_more(&mut connection, &mut random);
    }
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| {
            let world = world.clone();
            let seed = random.below(u64::MAX) | 1;
            std::thread::spawn(move || generations_of_a_worker(&world, number, seed))
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    // All of it is accounted for.
    assert!(world.idle());
    assert!(matches!(world.port.poll(), Err(GetError::TimedOut)));
    assert!(world.cancelled.load(SeqCst) > 0);
    assert!(world.late.load(SeqCst) > 0);
    for (index, connection) in world.connections.iter().enumerate() {
        let connection = connection.lock().unwrap();
        assert!(
            connection.arrived.is_empty(),
            "a receive of connection {index} never came back"
        );
        assert_eq!((connection.sends_out, connection.receives_out), (0, 0));
        assert!(connection.cut || connection.checked == world.bytes_each);
    }
    world.packets.load(SeqCst)
}

/// Worker threads that live for a while, leave operations behind and exit.
fn generations_of_a_worker(world: &Arc<World>, number: usize, seed: u64) {
    let mut random = Random(seed);
    while !world.stop.load(SeqCst) {
        let mut inner = Random(random.below(u64::MAX) | 1);
        let life = 200 + inner.below(2_000);
        let world = world.clone();
        std::thread::Builder::new()
            .name(format!("worker {number}"))
            .spawn(move || {
                for _ in 0..life {
                    match world.port.get_timeout(Duration::from_millis(5)) {
                        Ok(packet) => world.handle(packet, &mut inner),
                        Err(GetError::TimedOut) if world.idle() => {
                            world.stop.store(true, SeqCst);
                            return;
                        }
                        Err(GetError::TimedOut) => {}
                        Err(other) => panic!("{other}"),
                    }
                    if inner.below(300) == 0 {
                        world
                            .port
                            .blocking(|| std::thread::sleep(Duration::from_micros(300)));
                    }
                }
            })
            .unwrap()
            .join()
            .unwrap();
    }
}

#[test]
fn exactly_once_and_in_order_under_economy() {
    stress(WakePolicy::Economy, 2, 1);
}

#[test]
fn exactly_once_and_in_order_under_the_windows_rule() {
    stress(WakePolicy::Windows, 3, 2);
}

/// The port ends with everything in flight: each operation is dropped once, and nothing is touched
/// afterwards (the address sanitizer and the quarantining allocator look at that).
#[test]
fn a_port_that_ends_in_the_middle_drops_each_operation_once() {
    const TICK: Duration = Duration::from_micros(300);

    struct Counted(Arc<AtomicU64>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let mut random = Random(99);
    for _ in 0..30 {
        let drops = Arc::new(AtomicU64::new(0));
        let made = Arc::new(AtomicU64::new(0));
        let port: CompletionPort<(), Counted> = CompletionPort::new(2).unwrap();
        let sockets: Vec<_> = (0..8)
            .flat_map(|_| {
                let (one, other) = pair();
                [one, other].map(|stream| port.associate(stream, ()).unwrap())
            })
            .collect();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| {
                    let port = port.clone();
                    scope.spawn(move || {
                        while let Ok(packet) = port.get() {
                            let Some(socket) = packet.socket.clone() else {
                                let _ = port.interval(packet.operation, TICK);
                                continue;
                            };
                            // Refused when the port is closed: dropped here.
                            let _ = match packet.kind {
                                Kind::Recv => socket.recv(packet.operation),
                                _ => socket.send(packet.operation),
                            };
                        }
                    })
                })
                .collect();
            for _ in 0..10 {
                made.fetch_add(1, SeqCst);
                let timer = Operation::new("", Counted(drops.clone()));
                port.interval(timer, TICK).unwrap();
            }
            for socket in &sockets {
                for _ in 0..3 {
                    made.fetch_add(2, SeqCst);
                    let mut recv = Operation::with_capacity(5_000, Counted(drops.clone()));
                    recv.set_timeout((random.below(2) == 0).then_some(TICK));
                    socket.recv(recv).unwrap();
                    let send = Operation::new(vec![7; 20_000], Counted(drops.clone()));
                    socket.send(send).unwrap();
                }
            }
            std::thread::sleep(Duration::from_micros(random.below(3_000)));
            for socket in sockets.iter().filter(|_| random.below(4) == 0) {
                socket.close();
            }
            port.close();
            for worker in workers {
                worker.join().unwrap();
            }
        });
        drop(port);
        drop(sockets);
        assert_eq!(drops.load(SeqCst), made.load(SeqCst));
    }
}
