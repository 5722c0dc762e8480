//! Chapter 4: timers, and operations whose time is up.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

#[cfg(not(windows))]
use overlapped::Notice;
use overlapped::{CompletionPort, Kind, Operation, Status};

use crate::world::{
    Op, Port, Remote, System, WATCHDOG, World, get, nothing, quiet, room, text, until,
};

crate::on_every_engine!(
    tm_1_a_timer_yields_one_packet_at_its_time,
    tm_1_the_same_operation_is_started_again,
    tm_2_timers_that_are_overdue_leave_in_order_too,
    tm_3_a_cancelled_timer_yields_its_one_packet,
    tm_3_what_is_no_timer_under_way_cannot_be_cancelled,
    tm_4_ticks_that_have_passed_are_counted,
    tm_4_a_period_of_zero_is_refused,
    tm_5_a_timer_needs_nobody_who_waits,
    tm_6_the_end_of_the_port_drops_timers_once,
    tm_7_an_operation_ends_when_its_time_is_up,
    tm_7_each_start_counts_anew_until_the_timeout_is_taken_away,
    tm_7_only_the_operation_whose_time_is_up_ends,
    tm_7_a_deadline_goes_with_its_operation,
    tm_7_a_refused_start_leaves_no_deadline,
    tm_7_a_zero_receive_and_a_disconnect_have_deadlines_too,
    tm_7_an_accept_ends_when_its_time_is_up,
    tm_7_an_accept_that_waits_for_data_closes_the_silent_connection,
    tm_8_now_or_not_at_all,
    tm_8_no_data_is_lost_by_a_deadline,
    tm_8_a_send_says_how_much_went_out,
);

const SOON: Duration = Duration::from_millis(2);
const NEVER: Duration = Duration::from_secs(1_000_000);

fn timer(user: u64) -> Op {
    Operation::new("", user)
}

fn within(mut operation: Op, timeout: Duration) -> Op {
    operation.set_timeout(Some(timeout));
    operation
}

fn nothing_under_way(port: &Port) {
    nothing(port);
    assert_eq!(port.stats().timers, 0);
}

fn tm_1_a_timer_yields_one_packet_at_its_time(world: &impl World) {
    let port = world.port();
    // One that has passed is due at once.
    port.timer_at(timer(6), Instant::now()).unwrap();
    port.timer(timer(7), SOON).unwrap();
    port.timer_at(timer(8), Instant::now() + SOON * 20).unwrap();
    for user in [6, 7, 8] {
        let packet = get(&port);
        assert_eq!(
            (packet.kind, packet.status, packet.bytes),
            (Kind::Timer, Status::SUCCESS, 1)
        );
        assert_eq!(*packet.operation.user(), user);
        assert!(packet.socket.is_none());
    }
    nothing_under_way(&port);
}

fn tm_1_the_same_operation_is_started_again(world: &impl World) {
    let port = world.port();
    let (endpoint, mut remote) = world.connected();
    let socket = port.associate(endpoint, 1).unwrap();
    let mut operation = text(b"x", 0);
    for _ in 0..3 {
        port.timer(operation, SOON).unwrap();
        let packet = get(&port);
        assert_eq!(packet.kind, Kind::Timer);
        // What it was a timer with is what it can send.
        socket.send(packet.operation).unwrap();
        operation = get(&port).operation;
    }
    assert_eq!(remote.recv(3), b"xxx");
}

fn tm_2_timers_that_are_overdue_leave_in_order_too(world: &impl World) {
    let port = world.port();
    for user in 0..100 {
        port.timer(timer(user), Duration::ZERO).unwrap();
    }
    for user in 0..100 {
        assert_eq!(*get(&port).operation.user(), user);
    }
}

fn tm_3_a_cancelled_timer_yields_its_one_packet(world: &impl World) {
    let port = world.port();
    let first = port.timer(timer(1), NEVER).unwrap();
    let second = port.interval(timer(2), NEVER).unwrap();
    // Before there is one that may end by itself.
    assert_eq!(port.stats().timers, 2);
    port.timer(timer(3), SOON).unwrap();
    // From any thread.
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(port.cancel(second)));
    });
    assert!(port.cancel(first));
    let mut ended: Vec<_> = (0..3).map(|_| get(&port)).collect();
    ended.sort_by_key(|packet| *packet.operation.user());
    for packet in &ended[..2] {
        assert_eq!((packet.status, packet.bytes), (Status::CANCELLED, 0));
        assert_eq!((packet.kind, &packet.socket), (Kind::Timer, &None));
    }
    // The third is untouched.
    assert_eq!(
        (*ended[2].operation.user(), ended[2].status),
        (3, Status::SUCCESS)
    );
    nothing_under_way(&port);
}

fn tm_3_what_is_no_timer_under_way_cannot_be_cancelled(world: &impl World) {
    let (port, socket, _remote) = world.port_and_socket(1);
    let expired = port.timer(timer(0), SOON).unwrap();
    let packet = get(&port);
    assert!(!port.cancel(expired));
    // Nor by the token of an earlier start.
    let again = port.timer(packet.operation, NEVER).unwrap();
    assert!(!port.cancel(expired));
    // Tokens of sockets and of other ports name no timers of this one, and the other way round.
    let received = socket.recv(room(8, 1)).unwrap();
    assert!(!port.cancel(received));
    assert!(!socket.cancel(again));
    let other = world.port();
    other.timer(timer(2), NEVER).unwrap();
    assert!(!other.cancel(again));
    nothing(&port);
    assert!(port.cancel(again));
    assert!(!port.cancel(again));
    assert!(socket.cancel(received));
}

fn tm_4_ticks_that_have_passed_are_counted(world: &impl World) {
    let port = world.port();
    let (began, mut ticks) = (Instant::now(), 0);
    let mut operation = timer(0);
    while ticks < 20 {
        port.interval(operation, SOON).unwrap();
        let packet = get(&port);
        assert!(packet.status.is_success() && packet.bytes >= 1);
        ticks += packet.bytes;
        operation = packet.operation;
        // A handler that takes longer than a period, or two. On the simulated network it takes no
        // time, and so each tick is one packet.
        if ticks % 3 == 0 {
            std::thread::sleep(SOON * 2);
        }
    }
    if port.stats().engine != "sim" {
        // No tick too many, however late each of them was looked at.
        let passed = began.elapsed().as_nanos() / SOON.as_nanos();
        assert!(ticks as u128 <= passed, "{ticks} ticks in {passed} periods");
    }
}

fn tm_4_a_period_of_zero_is_refused(world: &impl World) {
    let port = world.port();
    let refused = port.interval(timer(5), Duration::ZERO).unwrap_err();
    assert_eq!(refused.error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(*refused.operation.user(), 5);
    nothing_under_way(&port);
}

fn tm_5_a_timer_needs_nobody_who_waits(world: &impl World) {
    let port = world.port();
    // A thread that is bound to no port, and ends.
    std::thread::scope(|scope| {
        scope.spawn(|| port.timer(timer(1), SOON).unwrap());
    });
    let bound = port.stats().queue.map(|queue| queue.bound);
    assert!(bound.is_none_or(|bound| bound == 0));
    assert_eq!(*get(&port).operation.user(), 1);
}

fn tm_6_the_end_of_the_port_drops_timers_once(world: &impl World) {
    /// Counts its end, and uses the port in it.
    struct Counted(Arc<AtomicUsize>, CompletionPort<u64, Counted>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
            assert_eq!(self.1.stats().queued, 0);
        }
    }

    let _ = world.port();
    let port: CompletionPort<u64, Counted> = CompletionPort::new(1).unwrap();
    let dropped = Arc::new(AtomicUsize::new(0));
    let counted = || Operation::new("", Counted(dropped.clone(), port.clone()));
    port.timer(counted(), NEVER).unwrap();
    port.interval(counted(), NEVER).unwrap();
    let cancelled = port.timer(counted(), NEVER).unwrap();
    assert!(port.cancel(cancelled));
    port.close();
    assert_eq!(dropped.load(SeqCst), 3);
    let refused = port.timer(counted(), SOON).unwrap_err();
    assert_eq!(refused.error.kind(), io::ErrorKind::NotConnected);
    assert!(!port.cancel(cancelled));
    drop(refused);
    assert_eq!(dropped.load(SeqCst), 4);
}

fn tm_7_an_operation_ends_when_its_time_is_up(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(9);
    socket.recv(within(room(8, 5), SOON)).unwrap();
    assert_eq!(port.stats().timers, 1);
    let packet = get(&port);
    assert_eq!(
        (packet.kind, packet.status, packet.bytes),
        (Kind::Recv, Status::IO_TIMEOUT, 0)
    );
    assert_eq!(
        (packet.status.win32(), packet.status.winsock()),
        (121, 10060)
    );
    assert_eq!(packet.result().unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(*packet.operation.user(), 5);
    assert_eq!(*packet.socket.as_ref().unwrap().key(), 9);
    assert!(packet.operation.bytes().is_empty());
    nothing_under_way(&port);
    // The socket is as good as before.
    let mut operation = packet.operation;
    operation.set_timeout(None);
    remote.send(b"x");
    socket.recv(operation).unwrap();
    assert_eq!(get(&port).operation.bytes(), b"x");
    nothing_under_way(&port);
}

fn tm_7_each_start_counts_anew_until_the_timeout_is_taken_away(world: &impl World) {
    let (port, socket, _remote) = world.port_and_socket(1);
    let mut operation = within(room(8, 0), SOON);
    for _ in 0..3 {
        assert_eq!(operation.timeout(), Some(SOON));
        socket.recv(operation).unwrap();
        let packet = get(&port);
        assert_eq!(packet.status, Status::IO_TIMEOUT);
        operation = packet.operation;
    }
    operation.set_timeout(None);
    let started = socket.recv(operation).unwrap();
    quiet(&port);
    assert!(socket.cancel(started));
    assert_eq!(get(&port).status, Status::CANCELLED);
}

fn tm_7_only_the_operation_whose_time_is_up_ends(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    socket.recv(room(1, 0)).unwrap();
    socket.recv(within(room(1, 1), SOON)).unwrap();
    socket.recv(within(room(1, 2), NEVER)).unwrap();
    let packet = get(&port);
    assert_eq!(
        (*packet.operation.user(), packet.status),
        (1, Status::IO_TIMEOUT)
    );
    remote.send(b"ab");
    let (first, second) = (get(&port), get(&port));
    assert_eq!(
        (first.operation.bytes(), *first.operation.user()),
        (&b"a"[..], 0)
    );
    assert_eq!(
        (second.operation.bytes(), *second.operation.user()),
        (&b"b"[..], 2)
    );
    nothing_under_way(&port);
}

fn tm_7_a_deadline_goes_with_its_operation(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    // Whatever way it ends.
    socket.send(within(text(b"x", 0), NEVER)).unwrap();
    assert_eq!(get(&port).status, Status::SUCCESS);
    let started = socket.recv(within(room(8, 1), NEVER)).unwrap();
    assert!(socket.cancel(started));
    assert_eq!(get(&port).status, Status::CANCELLED);
    socket.recv(within(room(8, 2), NEVER)).unwrap();
    remote.send(b"y");
    assert_eq!(get(&port).status, Status::SUCCESS);
    socket.recv(within(room(8, 3), NEVER)).unwrap();
    socket.close();
    assert_eq!(get(&port).status, Status::CONNECTION_ABORTED);
    nothing_under_way(&port);
    // Also one that comes between the operation's end and its packet.
    let (endpoint, _remote) = world.connected();
    let socket = port.associate(endpoint, 2).unwrap();
    socket.send(within(text(b"x", 4), Duration::ZERO)).unwrap();
    assert_eq!(get(&port).status, Status::SUCCESS);
    nothing_under_way(&port);
}

fn tm_7_a_refused_start_leaves_no_deadline(world: &impl World) {
    let port = world.port();
    let socket = port.associate(world.fresh(), 1).unwrap();
    let refused = socket.recv(within(room(8, 0), NEVER)).unwrap_err();
    assert_eq!(refused.status, Status::INVALID_CONNECTION);
    assert_eq!(refused.operation.timeout(), Some(NEVER));
    nothing_under_way(&port);
}

fn tm_7_a_zero_receive_and_a_disconnect_have_deadlines_too(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    socket.recv_zero(within(room(0, 0), SOON)).unwrap();
    let packet = get(&port);
    assert_eq!(
        (packet.kind, packet.status),
        (Kind::RecvZero, Status::IO_TIMEOUT)
    );
    // A disconnect waits for the sends before it, and those for a peer that reads.
    let bytes = vec![7; 8_000_000];
    let stuck = socket.send(text(&bytes, 1)).unwrap();
    socket.disconnect(within(room(0, 2), SOON)).unwrap();
    let packet = get(&port);
    assert_eq!(
        (packet.kind, packet.status),
        (Kind::Disconnect, Status::IO_TIMEOUT)
    );
    assert!(socket.cancel(stuck));
    let went_out = get(&port).bytes;
    // The peer is told all the same, as after a disconnect that was cancelled.
    assert_eq!(remote.recv_to_end().len(), went_out);
    nothing_under_way(&port);
}

fn tm_7_an_accept_ends_when_its_time_is_up(world: &impl World) {
    let port = world.port();
    let (endpoint, address) = world.listener();
    let listener = port.associate(endpoint, 1).unwrap();
    listener.accept(within(room(0, 0), SOON)).unwrap();
    let packet = get(&port);
    assert_eq!(
        (packet.kind, packet.status),
        (Kind::Accept, Status::IO_TIMEOUT)
    );
    listener.accept(within(packet.operation, NEVER)).unwrap();
    let _remote = world.dial(address);
    let mut packet = get(&port);
    assert!(packet.status.is_success() && packet.operation.take_accepted().is_some());
    nothing_under_way(&port);
}

fn tm_7_an_accept_that_waits_for_data_closes_the_silent_connection(world: &impl World) {
    let port = world.port();
    let (endpoint, address) = world.listener();
    let listener = port.associate(endpoint, 1).unwrap();
    // Without a client, on the listener itself.
    listener.accept_with_data(within(room(8, 0), SOON)).unwrap();
    assert_eq!(get(&port).status, Status::IO_TIMEOUT);
    // With a silent one, on its connection.
    // Long enough for the client to come.
    let long = Duration::from_secs(2);
    listener.accept_with_data(within(room(8, 1), long)).unwrap();
    let mut silent = world.dial(address);
    let mut packet = get(&port);
    assert_eq!(
        (packet.kind, packet.status),
        (Kind::AcceptRecv, Status::IO_TIMEOUT)
    );
    assert!(packet.operation.take_accepted().is_none());
    assert!(silent.recv_to_end().is_empty());
    assert_eq!(port.stats().sockets, 1);
    nothing_under_way(&port);
    // The next is served.
    listener
        .accept_with_data(within(room(8, 2), NEVER))
        .unwrap();
    let mut remote = world.dial(address);
    remote.send(b"x");
    assert_eq!(get(&port).operation.bytes(), b"x");
    nothing_under_way(&port);
}

fn tm_8_now_or_not_at_all(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    socket.recv(within(room(8, 0), Duration::ZERO)).unwrap();
    assert_eq!(get(&port).status, Status::IO_TIMEOUT);
    remote.send(b"x");
    socket.recv_zero(room(0, 1)).unwrap();
    assert!(get(&port).status.is_success());
    // Overdue when somebody looks: what is there is had.
    socket.recv(within(room(8, 2), Duration::ZERO)).unwrap();
    assert_eq!(get(&port).operation.bytes(), b"x");
    nothing_under_way(&port);
}

fn tm_8_no_data_is_lost_by_a_deadline(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    let (mut received, mut sent, mut late) = (Vec::new(), Vec::new(), 0);
    for round in 0..200u32 {
        // Around the time that the data takes.
        let timeout = Duration::from_micros(u64::from(round % 5) * 20);
        socket.recv(within(room(64, 0), timeout)).unwrap();
        let bytes = round.to_le_bytes();
        remote.send(&bytes);
        sent.extend(bytes);
        let packet = get(&port);
        if packet.status == Status::IO_TIMEOUT {
            assert_eq!(packet.bytes, 0);
            late += 1;
        }
        received.extend_from_slice(packet.operation.bytes());
        nothing_under_way(&port);
    }
    while received.len() < sent.len() {
        socket.recv(room(4096, 0)).unwrap();
        received.extend_from_slice(get(&port).operation.bytes());
    }
    assert!(received == sent, "{late} were late");
}

fn tm_8_a_send_says_how_much_went_out(world: &impl World) {
    let (port, socket, mut remote) = world.port_and_socket(1);
    let bytes: Vec<u8> = (0..8_000_000u32).map(|i| (i % 251) as u8).collect();
    socket.send(within(text(&bytes, 0), SOON)).unwrap();
    let packet = get(&port);
    assert_eq!(packet.status, Status::IO_TIMEOUT);
    assert!(packet.bytes < bytes.len());
    let went_out = packet.bytes;
    drop(packet);
    socket.close();
    drop(socket);
    let received = remote.recv_to_end();
    assert_eq!(received.len(), went_out);
    assert!(received == bytes[..went_out]);
}

#[test]
fn tm_1_a_timer_is_never_early() {
    let port = System::new().port();
    for micros in (0..3000).step_by(97) {
        let after = Duration::from_micros(micros);
        let began = Instant::now();
        port.timer(timer(0), after).unwrap();
        get(&port);
        assert!(began.elapsed() >= after);
    }
}

#[test]
fn tm_2_timers_leave_in_the_order_of_their_deadlines() {
    let port = System::new().port();
    // Between which moments each is due.
    let mut due = Vec::new();
    for user in 0..200 {
        let after = Duration::from_micros(user * 7919 % 20_011);
        let before = Instant::now();
        port.timer(timer(user), after).unwrap();
        due.push((before + after, Instant::now() + after));
    }
    let order: Vec<_> = (0..200).map(|_| *get(&port).operation.user()).collect();
    assert!(!order.is_sorted(), "they were not due as they were started");
    for (place, first) in order.iter().enumerate() {
        for second in &order[place..] {
            assert!(due[*first as usize].0 <= due[*second as usize].1);
        }
    }
}

#[test]
fn tm_5_an_earlier_timer_shortens_the_wait() {
    let port = System::new().port();
    for pending in [None, Some(NEVER)] {
        if let Some(time) = pending {
            port.timer(timer(0), time).unwrap();
        }
        let mine = port.clone();
        // Not a scope's, which would wait for it if it never ended.
        let waiter = std::thread::spawn(move || *mine.get().unwrap().operation.user());
        until("it waits", || port.stats().waiting == 1);
        port.timer(timer(1), SOON).unwrap();
        until("its wait is over", || waiter.is_finished());
        assert_eq!(waiter.join().unwrap(), 1);
    }
}

/// A timer that is started just as the leader goes to wait is either seen by it or ends its wait.
#[test]
fn tm_5_no_wake_up_is_lost() {
    let port = System::new().port();
    let (expired, come) = channel();
    let mine = port.clone();
    let worker = std::thread::spawn(move || {
        while let Ok(packet) = mine.get() {
            if packet.status.is_success() {
                expired.send(()).unwrap();
            }
        }
    });
    let mut later = None;
    for round in 0..20_000_u64 {
        // The leader's wait ends never, or much later, or is about to be asked to end for nothing.
        if round % 3 == 0 {
            later = Some(port.timer(timer(1), NEVER).unwrap());
        }
        for _ in 0..round % 97 * 20 {
            std::hint::spin_loop();
        }
        let after = Duration::from_nanos(round % 5 * 300);
        port.timer(timer(0), after).unwrap();
        if round % 3 == 2 {
            assert!(later.take().is_some_and(|later| port.cancel(later)));
        }
        come.recv_timeout(WATCHDOG).expect("a timer expires");
    }
    port.close();
    worker.join().unwrap();
}

/// On Windows the kernel does not tell.
#[cfg(not(windows))]
#[test]
fn tm_9_a_timer_does_not_wait_for_a_worker_that_stays_away() {
    for notice in [Notice::Nothing, Notice::Auto] {
        let builder = CompletionPort::builder().concurrency(1);
        let port: Port = builder.notice_blocked(notice).build().unwrap();
        std::thread::scope(|scope| {
            let (go_on, gate) = channel();
            let (away, is_away) = channel();
            let port = &port;
            port.post(timer(0), 0).unwrap();
            scope.spawn(move || {
                get(port);
                away.send(()).unwrap();
                gate.recv().unwrap();
            });
            is_away.recv().unwrap();
            // The limit is reached, so this thread has it only if the other one no longer counts.
            port.timer(timer(1), SOON).unwrap();
            assert_eq!(*get(port).operation.user(), 1);
            let stats = crate::world::counts(port);
            assert_eq!(stats.rescues + stats.noticed, 1);
            assert!(stats.rescues == 1 || notice == Notice::Auto);
            go_on.send(()).unwrap();
        });
    }
}

#[test]
fn tm_9_at_the_limit_a_timer_waits_for_a_worker() {
    if !crate::wine::obeys("tm_9_at_the_limit_a_timer_waits_for_a_worker") {
        return;
    }
    let port = System::for_several_threads().port();
    std::thread::scope(|scope| {
        let (go_on, gate) = channel();
        let (away, is_away) = channel();
        let port = &port;
        port.post(timer(0), 0).unwrap();
        scope.spawn(move || {
            get(port);
            away.send(()).unwrap();
            gate.recv().unwrap();
            assert_eq!(*get(port).operation.user(), 1);
        });
        is_away.recv().unwrap();
        port.timer(timer(1), Duration::ZERO).unwrap();
        // Nobody else may have it (CC-6). Its own thread, which counts until it ends (CC-4, CC-10).
        scope.spawn(|| quiet(port)).join().unwrap();
        go_on.send(()).unwrap();
    });
}

#[test]
fn tm_3_a_cancel_races_with_expiry() {
    // Either the cancel finds the timer, or it expires; one packet either way.
    let port = System::new().port();
    let (mut cancelled, mut expired) = (0, 0);
    std::thread::scope(|scope| {
        let (started, tokens) = channel();
        let other = port.clone();
        let canceller = scope.spawn(move || {
            let mut found = 0;
            for token in tokens {
                found += u32::from(other.cancel(token));
            }
            found
        });
        for round in 0..2000 {
            let after = Duration::from_micros(round % 50);
            started.send(port.timer(timer(0), after).unwrap()).unwrap();
            match get(&port).status {
                Status::CANCELLED => cancelled += 1,
                Status::SUCCESS => expired += 1,
                other => panic!("{other:?}"),
            }
        }
        drop(started);
        assert_eq!(canceller.join().unwrap(), cancelled);
    });
    assert_eq!(cancelled + expired, 2000);
    nothing_under_way(&port);
}

/// CX-2: one type of token for sockets, files and timers, and none names what is another's.
#[test]
fn tm_3_a_files_token_names_no_timer() {
    let port: Port = overlapped::CompletionPort::new(1).unwrap();
    let long = Duration::from_secs(1000);
    for user in 0..64 {
        port.timer(text(b"", user), long).unwrap();
    }
    let program = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    let file = port.associate_file(program, 1).unwrap();
    for user in 0..64 {
        let started = file.read_at(room(1, user), 0).unwrap();
        assert!(!port.cancel(started));
        get(&port);
    }
    assert_eq!(port.stats().timers, 64);
}
