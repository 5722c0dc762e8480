//! Several receives and sends outstanding on each socket, among cancels, closes, shutdowns,
//! disconnects, deadlines and handles that go: order, exactly once, whole sends, no byte lost.

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use overlapped::sim::Peer;
use overlapped::{Buffer, Kind, Operation, Packet, Refused, Started, Status};

use crate::world::{Key, Outcome, Socket, Work, World, pattern, run, weather};

/// What was started, in the order of the starts.
enum Record {
    Recv(Option<(Status, Vec<u8>)>),
    Send(Vec<u8>, Option<(Status, usize)>),
    Other(Kind, Option<Status>),
}

struct Connection {
    /// `None` when the test has let its handle go.
    socket: Option<Socket>,
    peer: Peer,
    records: BTreeMap<u64, Record>,
    tokens: Vec<(Started, u64)>,
    /// What has to come back cancelled.
    cancelled: Vec<u64>,
    /// Whose time will be up, and when.
    deadlines: BTreeMap<u64, Duration>,
    closed: bool,
    send_shut: bool,
    /// The peer has to hear of it: a disconnect that was cancelled is none.
    must_tell: bool,
    recv_shut: bool,
    peer_sent: usize,
    peer_finished: bool,
    peer_broke: bool,
    came: Vec<u8>,
    sent: usize,
}

impl Connection {
    /// Whether anything has happened that excuses a failure.
    fn is_broken(&self) -> bool {
        self.closed || self.peer.is_reset()
    }

    fn under_way(&self) -> Vec<u64> {
        let pending = |record: &Record| {
            matches!(
                record,
                Record::Recv(None) | Record::Send(_, None) | Record::Other(_, None)
            )
        };
        self.records
            .iter()
            .filter(|(_, record)| pending(record))
            .map(|(id, _)| *id)
            .collect()
    }
}

struct Storm {
    world: World,
    connections: Vec<Connection>,
}

/// The buffer of a send: every kind there is.
fn any_buffer(world: &mut World, bytes: &[u8]) -> Buffer {
    match world.random.below(3) {
        0 => bytes.to_vec().into(),
        1 => Arc::<[u8]>::from(bytes).into(),
        _ => {
            let cut = world.random.index(bytes.len() + 1);
            let (a, b) = bytes.split_at(cut);
            Buffer::Vectored(vec![a.to_vec(), Vec::new(), b.to_vec()])
        }
    }
}

/// What a receive brought.
fn content(buffer: &Buffer) -> Vec<u8> {
    match buffer {
        Buffer::Vectored(pieces) => pieces.concat(),
        other => other.as_slice().unwrap_or_default().to_vec(),
    }
}

impl Storm {
    fn note(
        &mut self,
        which: Key,
        id: u64,
        kind: Kind,
        record: Record,
        started: Result<Started, Refused<Work>>,
    ) {
        let connection = &mut self.connections[which];
        match started {
            Ok(token) => {
                connection.records.insert(id, record);
                connection.tokens.push((token, id));
            }
            Err(refused) => {
                assert_eq!(refused.operation.user().id, id, "PK-5: it comes back");
                let shut = match kind {
                    Kind::Recv | Kind::RecvZero => connection.recv_shut,
                    _ => connection.send_shut,
                };
                // A connect's cancel aside, only these can be a reason. A reset is known to the
                // port as soon as it is to the peer, or later.
                let excused = match refused.status {
                    Status::INVALID_HANDLE => connection.closed,
                    Status::PIPE_DISCONNECTED => shut,
                    Status::CONNECTION_RESET | Status::CONNECTION_ABORTED => connection.is_broken(),
                    _ => false,
                };
                assert!(excused, "{which}: {kind:?} refused: {:?}", refused.status);
            }
        }
    }

    /// An operation that may have little time.
    fn operation(&mut self, which: Key, buffer: impl Into<Buffer>) -> Operation<Work> {
        let mut operation = self.world.operation(buffer);
        if self.world.random.chance(150) {
            let timeout = match self.world.random.below(3) {
                0 => Duration::ZERO,
                _ => self.world.moment(Duration::from_millis(20)),
            };
            operation.set_timeout(Some(timeout));
            let deadline = self.world.network.now() + timeout;
            let deadlines = &mut self.connections[which].deadlines;
            deadlines.insert(operation.user().id, deadline);
        }
        operation
    }

    fn recv(&mut self, which: Key, socket: &Socket) {
        let buffer: Buffer = if self.world.random.chance(300) {
            let sizes = [1 + self.world.random.index(20), self.world.random.index(20)];
            Buffer::Vectored(Vec::from(sizes.map(Vec::with_capacity)))
        } else {
            Vec::with_capacity(1 + self.world.random.index(60)).into()
        };
        let operation = self.operation(which, buffer);
        let id = operation.user().id;
        let started = self.world.start(operation, |op| socket.recv(op));
        self.note(which, id, Kind::Recv, Record::Recv(None), started);
    }

    fn send(&mut self, which: Key, socket: &Socket) {
        let len = match self.world.random.below(4) {
            0 => self.world.random.index(3),
            1 => self.world.random.index(3000),
            _ => self.world.random.index(100),
        };
        let bytes = pattern(which, self.connections[which].sent, len);
        let buffer = any_buffer(&mut self.world, &bytes);
        let operation = self.operation(which, buffer);
        let id = operation.user().id;
        let started = self.world.start(operation, |op| socket.send(op));
        if started.is_ok() {
            self.connections[which].sent += len;
        }
        self.note(which, id, Kind::Send, Record::Send(bytes, None), started);
    }

    fn other(&mut self, which: Key, socket: &Socket, kind: Kind) {
        let operation = self.operation(which, Vec::new());
        let id = operation.user().id;
        let started = self.world.start(operation, |op| match kind {
            Kind::RecvZero => socket.recv_zero(op),
            _ => socket.disconnect(op),
        });
        if kind == Kind::Disconnect && started.is_ok() {
            self.connections[which].send_shut = true;
        }
        self.note(which, id, kind, Record::Other(kind, None), started);
    }

    fn cancel_one(&mut self, which: Key, socket: &Socket) {
        let connection = &mut self.connections[which];
        if connection.tokens.is_empty() {
            return;
        }
        let at = self.world.random.index(connection.tokens.len());
        let (token, id) = connection.tokens[at];
        let found = socket.cancel(token);
        if found {
            assert!(connection.under_way().contains(&id), "CX-2");
            connection.cancelled.push(id);
            assert!(!socket.cancel(token), "CX-2: it is not under way any more");
        }
    }

    fn cancel_all(&mut self, which: Key, socket: &Socket) {
        let count = socket.cancel_all();
        let connection = &mut self.connections[which];
        // What was under way and is not yet complete; the packets that are queued already say
        // otherwise. So no more than that, and nothing is left (CX-1, CX-2).
        let open = connection.under_way();
        assert!(count <= open.len(), "CX-1: more than there was");
        for (token, _) in &connection.tokens {
            assert!(!socket.cancel(*token), "CX-2: all were cancelled");
        }
    }

    fn act(&mut self, which: Key) {
        let dice = self.world.random.below(100);
        let Some(socket) = self.connections[which].socket.clone() else {
            self.act_as_peer(which);
            return;
        };
        self.world
            .network
            .note(format_args!("test: {which} {dice}"));
        match dice {
            0..18 => self.recv(which, &socket),
            18..33 => self.send(which, &socket),
            33..36 => self.other(which, &socket, Kind::RecvZero),
            36..42 => self.cancel_one(which, &socket),
            42 => self.cancel_all(which, &socket),
            43 if self.world.random.chance(200) => {
                socket.close();
                self.connections[which].closed = true;
            }
            44 if self.world.random.chance(200) => self.other(which, &socket, Kind::Disconnect),
            45 if self.world.random.chance(200) => {
                let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both];
                let how = how[self.world.random.index(3)];
                let connection = &mut self.connections[which];
                match socket.shutdown(how) {
                    Ok(()) => {
                        connection.recv_shut |= how != Shutdown::Write;
                        connection.send_shut |= how != Shutdown::Read;
                        connection.must_tell |= how != Shutdown::Read;
                    }
                    Err(error) => assert!(connection.closed, "{error}"),
                }
            }
            46 if self.world.random.chance(200) => self.connections[which].socket = None,
            // More than one turn of the engine serves.
            47 if self.world.random.chance(200) => {
                for _ in 0..40 {
                    self.other(which, &socket, Kind::RecvZero);
                }
            }
            _ => self.act_as_peer(which),
        }
    }

    fn act_as_peer(&mut self, which: Key) {
        let dice = self.world.random.below(50);
        let connection = &mut self.connections[which];
        match dice {
            0..15 if !connection.peer_finished => {
                let len = 1 + self.world.random.index(100);
                let bytes = pattern(!which, connection.peer_sent, len);
                connection.peer.send(&bytes);
                connection.peer_sent += len;
            }
            15..25 => {
                let most = self.world.random.index(200);
                connection.came.extend(connection.peer.take_some(most));
            }
            25 if self.world.random.chance(200) => {
                connection.peer.finish();
                connection.peer_finished = true;
            }
            26 if self.world.random.chance(100) => {
                connection.peer.reset();
                connection.peer_broke = true;
            }
            _ => {}
        }
    }

    fn step(&mut self, patience: Duration) {
        if self.world.random.chance(100) {
            let busy = self.world.moment(Duration::from_millis(20));
            self.world.network.pass(busy);
        }
        let timeout = self.world.moment(patience);
        if let Some(packet) = self.world.get(timeout) {
            self.settle(packet);
        }
    }

    /// Notes how an operation ended, and whether it may have ended so.
    fn settle(&mut self, packet: Packet<Key, Work>) {
        let id = packet.operation.user().id;
        let which = *packet.socket.as_ref().expect("nothing is posted").key();
        let connection = &mut self.connections[which];
        let status = packet.status;
        if connection.cancelled.contains(&id) {
            assert_eq!(status, Status::CANCELLED, "CX-1: #{id} was cancelled");
        }
        match status {
            Status::SUCCESS | Status::CANCELLED => {}
            Status::IO_TIMEOUT => {
                let deadline = connection.deadlines[&id];
                assert!(self.world.network.now() >= deadline, "TM-7: #{id} is early");
            }
            Status::CONNECTION_RESET | Status::CONNECTION_ABORTED => {
                assert!(connection.is_broken(), "{which}: {packet:?} for no reason");
            }
            _ => panic!("{which}: {packet:?}"),
        }
        let record = connection.records.get_mut(&id).expect("it was started");
        match (packet.kind, record) {
            (Kind::Recv, Record::Recv(result @ None)) => {
                let bytes = content(packet.operation.buffer());
                assert_eq!(bytes.len(), packet.bytes);
                assert!(status.is_success() || bytes.is_empty(), "CX-4");
                *result = Some((status, bytes));
            }
            (Kind::Send, Record::Send(bytes, result @ None)) => {
                assert!(
                    !status.is_success() || packet.bytes == bytes.len(),
                    "IO-7: {packet:?} of {}",
                    bytes.len()
                );
                *result = Some((status, packet.bytes));
            }
            (kind, Record::Other(what, result @ None)) if kind == *what => {
                assert_eq!(packet.bytes, 0, "IO-4");
                connection.must_tell |= kind == Kind::Disconnect && status.is_success();
                *result = Some(status);
            }
            _ => panic!("{which}: {packet:?} was something else"),
        }
    }

    /// After a long time without faults that last: what is still under way waits for the peer.
    fn check_calm(&self, which: Key) {
        let connection = &self.connections[which];
        if connection.is_broken() {
            return;
        }
        let mut received = 0;
        let mut waiting = false;
        for record in connection.records.values() {
            match record {
                Record::Recv(Some((_, bytes))) => received += bytes.len(),
                Record::Recv(None) | Record::Other(Kind::RecvZero, None) => waiting = true,
                Record::Send(_, None) | Record::Other(_, None) => {
                    panic!("{which}: stuck with a peer that reads")
                }
                Record::Send(..) | Record::Other(..) => {}
            }
        }
        assert!(
            !waiting || (received == connection.peer_sent && !connection.peer_finished),
            "{which}: stuck with {received} of {} bytes received",
            connection.peer_sent
        );
    }

    /// The order of the bytes, both ways (IO-5, IO-6).
    fn check(&self, which: Key) {
        let connection = &self.connections[which];
        let mut received = Vec::new();
        let mut ended = false;
        let mut sent = Vec::new();
        for record in connection.records.values() {
            match record {
                Record::Recv(Some((status, bytes))) if status.is_success() => {
                    assert!(!ended || bytes.is_empty(), "{which}: data after the end");
                    ended |= bytes.is_empty();
                    received.extend(bytes);
                }
                Record::Send(bytes, Some((_, count))) => sent.extend(&bytes[..*count]),
                _ => {}
            }
        }
        let stream = pattern(!which, 0, connection.peer_sent);
        assert!(stream.starts_with(&received), "{which}: IO-5");
        assert!(sent.starts_with(&connection.came), "{which}: IO-6");
        if ended {
            // IO-3, CX-4 and TM-8: no receive that was cancelled or late has taken any.
            assert_eq!(received.len(), stream.len(), "{which}: bytes lost");
        }
        if connection.peer.has_end() && !connection.peer.is_reset() {
            assert_eq!(sent.len(), connection.came.len(), "{which}: bytes lost");
        }
    }
}

fn scenario(seed: u64) -> Outcome {
    let mut world = World::new(seed, weather(seed));
    let mut connections = Vec::new();
    for which in 0..1 + world.random.index(4) {
        let (socket, peer) = world.network.pair();
        connections.push(Connection {
            socket: Some(world.associate(socket, which)),
            peer,
            records: BTreeMap::new(),
            tokens: Vec::new(),
            cancelled: Vec::new(),
            deadlines: BTreeMap::new(),
            closed: false,
            send_shut: false,
            must_tell: false,
            recv_shut: false,
            peer_sent: 0,
            peer_finished: false,
            peer_broke: false,
            came: Vec::new(),
            sent: 0,
        });
    }
    let mut storm = Storm { world, connections };
    for _ in 0..300 {
        let which = storm.world.random.index(storm.connections.len());
        storm.act(which);
        if storm.world.random.chance(400) {
            storm.step(Duration::from_millis(5));
        }
    }

    // The storm is over. Peers read, and so what can be done has to be done by itself, with
    // nothing cancelled or closed: no report may have been lost.
    let patience = Duration::from_secs(60);
    let mut calm = storm.world.network.now() + patience;
    while storm.world.network.now() < calm {
        let before = storm.world.started.len();
        let mut moved = false;
        for connection in &mut storm.connections {
            let bytes = connection.peer.take_received();
            moved |= !bytes.is_empty();
            connection.came.extend(bytes);
        }
        storm.step(Duration::from_secs(1));
        if moved || storm.world.started.len() < before {
            // Slowly, through a small window, but it moves.
            calm = storm.world.network.now() + patience;
        }
    }
    for which in 0..storm.connections.len() {
        storm.check_calm(which);
    }
    // And when they finish, so does everything.
    let mut bound = storm.world.network.now() + Duration::from_secs(6000);
    for connection in &mut storm.connections {
        connection.peer.finish();
    }
    while !storm.world.started.is_empty() {
        storm.world.watch(bound);
        for connection in &mut storm.connections {
            connection.came.extend(connection.peer.take_received());
        }
        storm.step(Duration::from_millis(100));
    }
    // Whoever was to be told that nothing follows is told, and sockets close with their handles.
    bound += Duration::from_secs(600);
    for connection in &mut storm.connections {
        if !connection.must_tell {
            connection.socket = None;
        }
    }
    let mut handles_gone = false;
    loop {
        let mut told = true;
        for connection in &mut storm.connections {
            connection.came.extend(connection.peer.take_received());
            told &= connection.peer.has_end() || connection.peer.is_reset();
        }
        if told && handles_gone {
            break;
        }
        if told {
            handles_gone = true;
            for connection in &mut storm.connections {
                connection.socket = None;
            }
        }
        storm.world.watch(bound);
        storm.step(Duration::from_millis(100));
    }
    for which in 0..storm.connections.len() {
        storm.check(which);
    }
    storm.world.finish()
}

#[test]
fn operations_survive_a_storm() {
    run("operations_survive_a_storm", scenario, |counts| {
        counts.resets > 0
            && counts.short_sends > 0
            && counts.full > 0
            && counts.stale_reports > 0
            && counts.late_reports > 0
            && counts.oversleeps > 0
    });
}
