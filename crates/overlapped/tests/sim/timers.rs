//! Timers against a list, and deadlines among data that comes late: in virtual time, so that "when"
//! is exact. Deadlines among everything else are in `storm.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use overlapped::sim::{Faults, Network};
use overlapped::{CompletionPort, Kind, Operation, Started, Status};

use crate::world::{Outcome, World, address, run, weather};

/// A timer that is under way.
struct Timer {
    id: u64,
    due: Duration,
    /// Of a periodic one.
    period: Option<Duration>,
    started: Started,
}

#[derive(Default)]
struct Reference {
    /// In the order of their start.
    timers: BTreeMap<u64, Timer>,
    starts: u64,
    /// What has to come back cancelled, in this order.
    cancelled: Vec<u64>,
}

impl Reference {
    fn add(&mut self, timer: Timer) {
        self.timers.insert(self.starts, timer);
        self.starts += 1;
    }

    /// Takes out the next to expire.
    fn next(&mut self) -> Option<Timer> {
        let of = |(start, timer): (&u64, &Timer)| (timer.due, *start);
        let (_, start) = self.timers.iter().map(of).min()?;
        self.timers.remove(&start)
    }

    /// Cancels a timer that may have expired.
    fn cancel(&mut self, world: &World, start: u64) {
        let timer = &self.timers[&start];
        if world.port.cancel(timer.started) {
            assert!(!world.port.cancel(timer.started), "CX-2");
            self.cancelled.push(timer.id);
            self.timers.remove(&start);
        } else {
            assert!(timer.due <= world.network.now(), "CX-2: it was under way");
        }
    }
}

/// Which, when, in which order, and how many ticks.
fn timers(seed: u64) -> Outcome {
    let mut world = World::new(seed, weather(seed));
    let mut reference = Reference::default();
    // Few different times in some runs, so that there are ties.
    let grain = [1, 1000, 1_000_000][world.random.index(3)];
    for _ in 0..300 {
        match world.random.below(10) {
            0..4 => {
                let time = 1 + world.random.below(5_000_000) / grain * grain;
                let periodic = world.random.chance(300);
                let operation = world.operation(Vec::new());
                start(
                    &mut world,
                    &mut reference,
                    operation,
                    Duration::from_nanos(time),
                    periodic,
                );
            }
            4 if !reference.timers.is_empty() => {
                let at = world.random.index(reference.timers.len());
                let start = *reference.timers.keys().nth(at).expect("there are so many");
                reference.cancel(&world, start);
            }
            // A handler that takes long.
            5 => {
                let busy = world.moment(Duration::from_millis(3));
                world.network.pass(busy);
            }
            _ => {
                let timeout = world.moment(Duration::from_millis(2));
                take(&mut world, &mut reference, timeout, true);
            }
        }
    }
    let bound = world.network.now() + Duration::from_secs(1);
    while !world.started.is_empty() {
        take(&mut world, &mut reference, Duration::from_secs(1), false);
        world.watch(bound);
    }
    assert!(reference.timers.is_empty() && reference.cancelled.is_empty());
    assert_eq!(world.port.stats().timers, 0);
    world.finish()
}

fn start(
    world: &mut World,
    reference: &mut Reference,
    operation: Operation<crate::world::Work>,
    time: Duration,
    periodic: bool,
) {
    let (id, port, due) = (
        operation.user().id,
        world.port.clone(),
        world.network.now() + time,
    );
    let started = world.start(operation, |op| {
        if periodic {
            port.interval(op, time)
        } else {
            port.timer(op, time)
        }
    });
    reference.add(Timer {
        id,
        due,
        period: periodic.then_some(time),
        started: started.expect("the port is open"),
    });
}

/// Takes a packet, if there is one, and checks that it is the one to be expected.
fn take(world: &mut World, reference: &mut Reference, timeout: Duration, again: bool) {
    let before = world.network.now();
    let Some(packet) = world.get(timeout) else {
        return;
    };
    let (now, id) = (world.network.now(), packet.operation.user().id);
    assert_eq!(packet.kind, Kind::Timer);
    if packet.status == Status::CANCELLED {
        assert_eq!(reference.cancelled.remove(0), id, "PK-2");
        return;
    }
    let timer = reference.next().expect("nothing else expires");
    assert_eq!(id, timer.id, "TM-2");
    assert!(timer.due <= now, "TM-1: early");
    assert!(
        now <= timer.due.max(before),
        "TM-9: late, though a thread waited"
    );
    let Some(period) = timer.period else {
        assert_eq!(packet.bytes, 1, "TM-1");
        return;
    };
    // How many had passed when it was harvested, which was before now.
    let passed = (now - timer.due).as_nanos() / period.as_nanos() + 1;
    assert!((1..=passed).contains(&(packet.bytes as u128)), "TM-4");
    let next = timer.due + period * u32::try_from(packet.bytes).expect("a few");
    // Its place among others that are overdue already is that of its deadline, if they are not
    // harvested yet; which they are, the test does not know.
    if again && next > now {
        let port = world.port.clone();
        let started = world.start(packet.operation, |op| port.interval(op, period));
        reference.add(Timer {
            due: next,
            started: started.expect("the port is open"),
            ..timer
        });
    }
}

#[test]
fn timers_agree_with_a_list() {
    run("timers_agree_with_a_list", timers, |_| true);
}

fn port(network: &Network) -> CompletionPort<(), u64> {
    CompletionPort::builder()
        .concurrency(1)
        .simulated(network)
        .build()
        .unwrap()
}

fn room(timeout: Duration) -> Operation<u64> {
    let mut operation = Operation::with_capacity(100, 0);
    operation.set_timeout(Some(timeout));
    operation
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn ten_thousand_timers() {
    let network = Network::new(1);
    let port = port(&network);
    let due = |number: u64| Duration::from_micros(number * 7919 % 1_000_003);
    let started: Vec<_> = (0..10_000)
        .map(|number| port.timer(Operation::new("", number), due(number)).unwrap())
        .collect();
    assert!(started.iter().step_by(3).all(|timer| port.cancel(*timer)));
    let mut packets: Vec<_> = (0..10_000).map(|_| port.get().unwrap()).collect();
    assert!(port.poll().is_err());
    let expired = packets.split_off(started.iter().step_by(3).count());
    for (packet, number) in packets.iter().zip((0..).step_by(3)) {
        assert_eq!(
            (packet.status, *packet.operation.user()),
            (Status::CANCELLED, number)
        );
    }
    let mut expected: Vec<_> = (0..10_000).filter(|number| number % 3 != 0).collect();
    expected.sort_by_key(|number| due(*number));
    let got = expired.iter().map(|packet| *packet.operation.user());
    assert!(got.eq(expected.iter().copied()), "TM-2");
    assert_eq!(network.now(), due(*expected.last().unwrap()), "TM-9");
}

#[test]
fn no_tick_is_lost_and_none_drifts() {
    let network = Network::new(1);
    let port = port(&network);
    let (mut operation, mut ticks) = (Operation::new("", 0), 0);
    // Handlers of all lengths, some longer than the period.
    for busy in [0, 3, 999, 1000, 1001, 0, 5500, 1, 0].map(Duration::from_millis) {
        port.interval(operation, SECOND).unwrap();
        let packet = port.get().unwrap();
        ticks += packet.bytes as u32;
        assert!(
            network.now() >= SECOND * ticks && network.now() < SECOND * (ticks + 1),
            "TM-4: {ticks} ticks at {:?}",
            network.now()
        );
        operation = packet.operation;
        network.pass(busy);
    }
    // Another period is another beat.
    let began = network.now();
    port.interval(operation, SECOND / 3).unwrap();
    assert_eq!(port.get().unwrap().bytes, 1);
    assert_eq!(network.now(), began + SECOND / 3);
}

#[test]
fn a_beat_begins_anew_after_something_else() {
    let network = Network::new(1);
    let port = port(&network);
    let post: fn(&CompletionPort<(), u64>, Operation<u64>) =
        |port, operation| port.post(operation, 0).unwrap();
    let others = [post, |port, operation| {
        port.timer(operation, Duration::ZERO).unwrap();
    }];
    for other in others {
        port.interval(Operation::new("", 0), SECOND).unwrap();
        other(&port, port.get().unwrap().operation);
        let operation = port.get().unwrap().operation;
        network.pass(SECOND * 3 / 2);
        let began = network.now();
        port.interval(operation, SECOND).unwrap();
        assert_eq!(port.get().unwrap().bytes, 1, "TM-4");
        assert_eq!(network.now(), began + SECOND, "TM-4");
    }
    // And after it was cancelled, also as its packet waits.
    let started = port.interval(Operation::new("", 0), SECOND).unwrap();
    network.pass(SECOND / 2);
    assert!(port.cancel(started));
    let operation = port.get().unwrap().operation;
    let began = network.now();
    port.interval(operation, SECOND).unwrap();
    assert_eq!(port.get().unwrap().bytes, 1, "TM-4");
    assert_eq!(network.now(), began + SECOND, "TM-4");
}

#[test]
fn only_an_earlier_timer_disturbs_the_wait() {
    let network = Network::new(1);
    let port = port(&network);
    port.timer(Operation::new("", 5), SECOND * 5).unwrap();
    let at = |when, user, after| {
        let port = port.clone();
        // On the thread that waits, in the middle of its wait.
        network.after(SECOND * when, move |_| {
            port.timer(Operation::new("", user), SECOND * after)
                .unwrap();
        });
    };
    at(1, 6, 5);
    at(2, 7, 5);
    let harvests = || port.stats().queue.unwrap().harvests;
    let before = harvests();
    assert_eq!(*port.get().unwrap().operation.user(), 5);
    assert_eq!(network.now(), SECOND * 5);
    assert_eq!(harvests(), before + 1, "TM-5");
    at(0, 3, 0);
    assert_eq!(*port.get().unwrap().operation.user(), 3);
    assert_eq!(network.now(), SECOND * 5, "TM-5");
    for user in [6, 7] {
        assert_eq!(*port.get().unwrap().operation.user(), user);
    }
    // Also if it waits for no time at all, or for ever.
    at(1, 8, 1);
    let bound = port.get_timeout(SECOND * 60).unwrap();
    assert_eq!(*bound.operation.user(), 8);
    assert_eq!(network.now(), SECOND * 9);
}

#[test]
fn a_deadline_is_exact_and_data_in_time_lifts_it() {
    let network = Network::new(1);
    let port = port(&network);
    let (socket, peer) = network.pair();
    let socket = port.associate(socket, ()).unwrap();
    let peer = Arc::new(peer);
    let sender = peer.clone();
    network.after(SECOND / 2, move |_| sender.send(b"in time"));
    socket.recv(room(SECOND)).unwrap();
    let packet = port.get().unwrap();
    assert_eq!(packet.operation.bytes(), b"in time");
    assert!(network.now() < SECOND);
    assert_eq!(port.stats().timers, 0);
    // And then the peer stalls.
    let began = network.now();
    let sender = peer.clone();
    network.after(SECOND * 2, move |_| sender.send(b"late"));
    socket.recv(packet.operation).unwrap();
    let packet = port.get().unwrap();
    assert_eq!(packet.status, Status::IO_TIMEOUT);
    assert_eq!(network.now(), began + SECOND, "TM-7");
    // What came late is there for the next.
    network.pass(SECOND * 2);
    socket.recv(packet.operation).unwrap();
    assert_eq!(port.get().unwrap().operation.bytes(), b"late");
    drop(peer);
}

#[test]
fn data_that_came_in_time_counts_though_no_worker_had_time() {
    let network = Network::new(1);
    let port = port(&network);
    let (socket, peer) = network.pair();
    let socket = port.associate(socket, ()).unwrap();
    let server = address("10.0.0.1:80");
    let listener = port.associate(network.listener(server), ()).unwrap();
    socket.recv(room(SECOND)).unwrap();
    listener.accept_with_data(room(SECOND)).unwrap();
    let client = Arc::new(network.connect(server));
    let talker = client.clone();
    // By now it is accepted, and no socket of the port's yet.
    assert!(port.get_timeout(SECOND / 4).is_err());
    assert_eq!(port.stats().sockets, 2);
    network.after(SECOND / 4, move |_| {
        peer.send(b"x");
        talker.send(b"y");
    });
    // The only worker is away until long after the deadlines.
    network.pass(SECOND * 10);
    for _ in 0..2 {
        let packet = port.get().unwrap();
        assert!(packet.status.is_success(), "TM-8: {packet:?}");
        assert_eq!(packet.bytes, 1);
    }
    assert_eq!(network.now(), SECOND * 10 + SECOND / 4);
    assert_eq!(port.stats().timers, 0);
    drop(client);
}

#[test]
fn a_client_that_connects_late_and_stays_silent_does_not_outlive_the_deadline() {
    let network = Network::new(1);
    let port = port(&network);
    let server = address("10.0.0.1:80");
    let listener = port.associate(network.listener(server), ()).unwrap();
    listener.accept_with_data(room(SECOND)).unwrap();
    // It is accepted only as the deadline is looked at, and has sent nothing.
    let client = network.connect(server);
    network.pass(SECOND * 2);
    let packet = port.get().unwrap();
    assert_eq!(
        (packet.kind, packet.status),
        (Kind::AcceptRecv, Status::IO_TIMEOUT)
    );
    network.pass(SECOND);
    assert!(client.has_end() || client.is_reset());
    assert_eq!(port.stats().sockets, 1);
}

#[test]
fn a_connect_has_a_deadline() {
    let faults = Faults {
        latency: SECOND..SECOND * 2,
        ..Faults::none()
    };
    let network = Network::with_faults(1, faults);
    let port = port(&network);
    let far = address("10.0.0.1:80");
    let _server = network.serve(far);
    let socket = port.associate(network.socket(), ()).unwrap();
    socket.connect(room(SECOND / 2), far).unwrap();
    let packet = port.get().unwrap();
    assert_eq!(
        (packet.kind, packet.status),
        (Kind::Connect, Status::IO_TIMEOUT)
    );
    assert_eq!(network.now(), SECOND / 2, "TM-7");
    // The attempt goes on in the system, so the socket is of no use.
    let refused = socket.connect(packet.operation, far).unwrap_err();
    assert_eq!(refused.status, Status::CONNECTION_ABORTED);
    // In time it succeeds, and leaves no deadline.
    let socket = port.associate(network.socket(), ()).unwrap();
    socket.connect(room(SECOND * 60), far).unwrap();
    assert!(port.get().unwrap().status.is_success());
    assert_eq!(port.stats().timers, 0);
}

#[test]
fn a_closed_socket_sends_until_its_deadline_or_the_end_of_its_linger_time() {
    let faults = Faults {
        window: 10..11,
        ..Faults::none()
    };
    let network = Network::with_faults(1, faults);
    let port = port(&network);
    for (timeout, lasts, status) in [
        (SECOND, SECOND, Status::IO_TIMEOUT),
        (SECOND * 60, SECOND * 10, Status::CONNECTION_ABORTED),
    ] {
        let began = network.now();
        let (socket, peer) = network.pair();
        let socket = port.associate(socket, ()).unwrap();
        let mut operation = room(timeout);
        operation.set_buffer(vec![7; 100]);
        socket.send(operation).unwrap();
        socket.close();
        let packet = port.get().unwrap();
        assert_eq!((packet.kind, packet.status), (Kind::Send, status));
        assert_eq!(packet.bytes, 10, "CX-5");
        assert_eq!(network.now(), began + lasts);
        drop(peer);
    }
}
