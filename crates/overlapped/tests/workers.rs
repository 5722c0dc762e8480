//! The pool of worker threads: how it grows and shrinks, what panics do, how it ends.
//!
//! No test asserts elapsed time: what must happen is awaited under a long watchdog.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

#[cfg(not(windows))]
use overlapped::Notice;
use overlapped::{CompletionPort, Operation, PanicPolicy, Workers};

const WATCHDOG: Duration = Duration::from_secs(60);

/// Handlers that stay until they are let go.
#[derive(Default)]
struct Door {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Door {
    fn wait(&self) {
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

/// What the handlers of these tests do.
#[derive(Clone)]
enum Task {
    /// Says that it was here.
    Tell(usize),
    /// Says so, and then blocks, with the port's knowledge.
    Block(usize, Arc<Door>),
    Panic(&'static str),
}

type Port = CompletionPort<(), Task>;

fn post(port: &Port, task: Task) {
    port.post(Operation::new("", task), 0).unwrap();
}

/// What handles tasks, and where it tells of them.
fn teller() -> (
    impl Fn(Task, &Port) + Send + Sync + 'static,
    Receiver<usize>,
) {
    let (sender, receiver): (Sender<usize>, _) = channel();
    let handle = move |task, port: &Port| match task {
        Task::Tell(number) => sender.send(number).unwrap(),
        Task::Block(number, door) => {
            sender.send(number).unwrap();
            port.blocking(|| door.wait());
        }
        Task::Panic(message) => panic!("{message}"),
    };
    (handle, receiver)
}

/// Waits until it is so.
fn until(what: &str, so: impl Fn() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < WATCHDOG, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn told(receiver: &Receiver<usize>, count: usize) -> HashSet<usize> {
    (0..count)
        .map(|_| receiver.recv_timeout(WATCHDOG).expect("a handler's word"))
        .collect()
}

/// How many threads are bound to the port and how many of them active, unless the queue is the
/// system's own, which does not tell.
fn bound_and_active(port: &Port) -> Option<(usize, usize)> {
    port.stats().queue.map(|queue| (queue.bound, queue.active))
}

/// A port whose workers handle tasks. Nobody is presumed blocked, so that all is exact.
fn pool(concurrency: usize, min: usize, max: usize) -> (Port, Workers, Receiver<usize>) {
    let port: Port = CompletionPort::builder()
        .concurrency(concurrency)
        .rescue_after(None)
        .build()
        .unwrap();
    let (handle, receiver) = teller();
    let workers = port
        .workers(move |packet, port| handle(packet.operation.into_parts().1, port))
        .min(min)
        .max(max)
        .keep_alive(Duration::from_millis(20))
        .start()
        .unwrap();
    (port, workers, receiver)
}

#[test]
fn cc_8_the_pool_grows_as_workers_block_and_shrinks_to_its_minimum() {
    let (port, workers, receiver) = pool(1, 2, 10);
    until("the minimum waits", || port.stats().waiting == 2);
    assert_eq!(workers.stats().threads, 2);
    let door = Arc::new(Door::default());
    for number in 0..9 {
        post(&port, Task::Block(number, door.clone()));
    }
    // Each that blocks makes room for the next, and the last thread is the reserve.
    assert_eq!(told(&receiver, 9), (0..9).collect());
    until("there is a reserve", || workers.stats().threads == 10);
    post(&port, Task::Tell(100));
    assert_eq!(told(&receiver, 1), HashSet::from([100]));
    assert_eq!(workers.stats().peak, 10);
    door.open();
    until("only the minimum is left", || workers.stats().threads == 2);
    until("and it waits", || port.stats().waiting == 2);
    assert!(bound_and_active(&port).is_none_or(|(bound, _)| bound == 2));
    let stats = workers.stats();
    assert_eq!(stats.started, 2 + stats.idled_out);
    // It can do it again.
    let door = Arc::new(Door::default());
    for number in 0..5 {
        post(&port, Task::Block(number, door.clone()));
    }
    assert_eq!(told(&receiver, 5), (0..5).collect());
    door.open();
    port.close();
    workers.join().unwrap();
}

#[test]
fn the_maximum_holds_and_packets_wait() {
    let (port, workers, receiver) = pool(1, 1, 3);
    let door = Arc::new(Door::default());
    for number in 0..5 {
        post(&port, Task::Block(number, door.clone()));
    }
    assert_eq!(told(&receiver, 3), (0..3).collect());
    until("all are blocked", || {
        let stats = port.stats();
        bound_and_active(&port).is_none_or(|counts| counts == (3, 0))
            && (stats.waiting, stats.queued) == (0, 2)
    });
    assert_eq!(workers.stats().threads, 3);
    door.open();
    assert_eq!(told(&receiver, 2), (3..5).collect());
    assert_eq!(workers.stats().peak, 3);
    port.close();
    workers.join().unwrap();
}

/// Not under Wine, which has no limit: three workers are out at once there.
#[cfg(not(windows))]
#[test]
fn without_blocked_workers_the_usual_minimum_is_enough() {
    let port: Port = CompletionPort::builder()
        .concurrency(2)
        .rescue_after(None)
        // Telling takes a lock, which on a busy machine may be noticed as a block.
        .notice_blocked(Notice::Nothing)
        .build()
        .unwrap();
    let (handle, receiver) = teller();
    let workers = port
        .workers(move |packet, port| handle(packet.operation.into_parts().1, port))
        .start()
        .unwrap();
    for round in 0..50 {
        for number in 0..200 {
            post(&port, Task::Tell(round * 200 + number));
        }
        told(&receiver, 200);
    }
    assert_eq!(
        workers.stats().started,
        3,
        "one more than the concurrency value"
    );
    port.close();
    workers.join().unwrap();
}

#[test]
fn a_worker_that_blocks_without_a_word_is_replaced_too() {
    let port: Port = CompletionPort::new(1).unwrap();
    let (sender, receiver) = channel();
    let workers = port
        .workers(move |packet, _| match packet.operation.into_parts().1 {
            Task::Tell(number) => sender.send(number).unwrap(),
            Task::Block(number, door) => {
                sender.send(number).unwrap();
                door.wait();
            }
            Task::Panic(_) => unreachable!(),
        })
        .min(1)
        .max(8)
        .start()
        .unwrap();
    let door = Arc::new(Door::default());
    for number in 0..5 {
        post(&port, Task::Block(number, door.clone()));
    }
    assert_eq!(told(&receiver, 5), (0..5).collect());
    door.open();
    port.close();
    workers.join().unwrap();
}

#[test]
fn a_panic_ends_the_pool_by_default() {
    let (port, workers, receiver) = pool(1, 2, 4);
    post(&port, Task::Tell(0));
    told(&receiver, 1);
    post(&port, Task::Panic("on purpose"));
    let error = workers.join().unwrap_err();
    assert_eq!(error.panics(), 1);
    assert_eq!(error.to_string(), "a handler panicked: on purpose");
    assert_eq!(
        error
            .into_panic()
            .unwrap()
            .downcast_ref::<String>()
            .unwrap(),
        "on purpose"
    );
    let refused = port.post(Operation::new("", Task::Tell(1)), 0);
    assert_eq!(refused.unwrap_err().error.kind(), ErrorKind::NotConnected);
}

#[test]
fn a_worker_that_panicked_can_be_replaced() {
    let port: Port = CompletionPort::new(1).unwrap();
    let (handle, receiver) = teller();
    let (ended, end) = channel();
    let workers = port
        .workers(move |packet, port| handle(packet.operation.into_parts().1, port))
        .min(1)
        .max(1)
        .on_panic(PanicPolicy::Replace)
        .on_end(move || ended.send(()).unwrap())
        .start()
        .unwrap();
    for round in 0..3 {
        post(&port, Task::Panic("on purpose, and replaced"));
        post(&port, Task::Tell(round));
        assert_eq!(told(&receiver, 1), HashSet::from([round]));
    }
    assert_eq!(end.try_recv().ok(), None);
    let stats = workers.stats();
    assert_eq!((stats.panics, stats.started, stats.threads), (3, 4, 1));
    port.close();
    end.recv_timeout(WATCHDOG).unwrap();
    let error = workers.join().unwrap_err();
    assert_eq!(
        error.to_string(),
        "3 handlers panicked, the first: on purpose, and replaced"
    );
}

#[test]
fn cx_9_the_workers_end_with_the_last_handle_of_the_port() {
    let (port, workers, receiver) = pool(2, 3, 3);
    post(&port, Task::Tell(0));
    told(&receiver, 1);
    let other = port.clone();
    drop(port);
    post(&other, Task::Tell(1));
    told(&receiver, 1);
    assert!(!workers.is_finished());
    drop(other);
    workers.join().unwrap();
}

#[test]
fn what_the_handler_has_captured_is_dropped_with_the_workers() {
    let held = Arc::new(());
    let of_handler = held.clone();
    let port: Port = CompletionPort::new(1).unwrap();
    let workers = port
        .workers(move |_, _| {
            let _ = &of_handler;
        })
        .start()
        .unwrap();
    assert_eq!(Arc::strong_count(&held), 2);
    drop(port);
    workers.join().unwrap();
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let port: Port = CompletionPort::new(1).unwrap();
    let kind = |min, max, name| {
        let builder = port.workers(|_, _| ()).min(min).max(max).name(name);
        builder.start().map(|_| ()).unwrap_err().kind()
    };
    assert_eq!(kind(0, 1, "worker"), ErrorKind::InvalidInput);
    assert_eq!(kind(2, 1, "worker"), ErrorKind::InvalidInput);
    assert_eq!(kind(1, 1, "wor\0ker"), ErrorKind::InvalidInput);
    let workers = port.workers(|_, _| ()).start().unwrap();
    assert_eq!(kind(1, 1, "worker"), ErrorKind::AlreadyExists);
    port.close();
    workers.join().unwrap();
    assert_eq!(kind(1, 1, "worker"), ErrorKind::NotConnected);
}

#[test]
fn threads_that_cannot_be_started_are_an_error_and_the_port_is_as_it_was() {
    let port: Port = CompletionPort::new(1).unwrap();
    let started = Arc::new(AtomicUsize::new(0));
    let count = started.clone();
    post(&port, Task::Tell(0));
    let refused = port
        .workers(move |_, _| {
            count.fetch_add(1, SeqCst);
        })
        // More than any machine has addresses for.
        .stack_size(1 << 56)
        .start();
    assert!(refused.is_err());
    assert_eq!(started.load(SeqCst), 0);
    assert!(bound_and_active(&port).is_none_or(|counts| counts == (0, 0)));
    assert_eq!(port.stats().queued, 1);
    // It can be tried again.
    let (handle, receiver) = teller();
    let workers = port
        .workers(move |packet, port| handle(packet.operation.into_parts().1, port))
        .start()
        .unwrap();
    told(&receiver, 1);
    port.close();
    workers.join().unwrap();
}

/// A second thread would be refused there.
#[cfg(target_os = "linux")]
#[test]
fn an_exclusive_port_has_one_worker() {
    let built = CompletionPort::builder()
        .engine(overlapped::Engine::Uring)
        .build();
    let Ok(port): Result<Port, _> = built else {
        println!("this machine has no io_uring");
        return;
    };
    let (handle, receiver) = teller();
    let workers = port
        .workers(move |packet, port| handle(packet.operation.into_parts().1, port))
        .min(4)
        .start()
        .unwrap();
    for number in 0..10 {
        post(&port, Task::Tell(number));
    }
    told(&receiver, 10);
    let stats = workers.stats();
    assert_eq!((stats.started, stats.failures), (1, 0));
    port.close();
    workers.join().unwrap();
}

/// In the system's own words.
#[cfg(target_os = "linux")]
#[test]
fn who_is_away_and_why_is_told() {
    use overlapped::Doing;
    use std::io::Read;
    use std::sync::atomic::AtomicBool;

    let (reader, writer) = std::io::pipe().unwrap();
    let computing = Arc::new(AtomicBool::new(true));
    let port: CompletionPort<(), bool> = CompletionPort::new(2).unwrap();
    let goes_on = computing.clone();
    let workers = port
        .workers(move |packet, _| {
            if packet.operation.into_parts().1 {
                while goes_on.load(SeqCst) {
                    std::hint::spin_loop();
                }
            } else {
                let _ = (&reader).read(&mut [0]);
            }
        })
        .name("away")
        .start()
        .unwrap();
    assert_eq!(workers.away(Duration::ZERO), []);
    port.post(Operation::new("", true), 0).unwrap();
    port.post(Operation::new("", false), 0).unwrap();
    let seen = Mutex::new(Vec::new());
    until("both are seen for a while", || {
        let mut away = workers.away(Duration::from_millis(50));
        away.sort_by_key(|away| away.doing.to_string());
        let said: Vec<_> = away.iter().map(|away| away.doing.to_string()).collect();
        *seen.lock().unwrap() = away;
        said == ["blocked in read", "computing"]
    });
    let seen = seen.into_inner().unwrap();
    assert!(seen.iter().all(|away| away.name.starts_with("away ")));
    assert!(
        seen.iter()
            .all(|away| away.at_least >= Duration::from_millis(50))
    );
    assert!(matches!(
        seen[0].doing,
        Doing::Blocked {
            uninterruptible: false,
            ..
        }
    ));
    assert_ne!(seen[0].thread, seen[1].thread);
    drop(writer);
    computing.store(false, SeqCst);
    until("both are back", || workers.away(Duration::ZERO).is_empty());
    port.close();
    workers.join().unwrap();
}

/// Two tasks: to read from a pipe, and to compute until told otherwise.
#[cfg(target_os = "linux")]
#[test]
fn who_stays_away_is_told_of_unasked_and_again_when_it_has_been_twice_as_long() {
    use overlapped::{Away, Doing};
    use std::io::Read;
    use std::sync::atomic::AtomicBool;

    let (reader, writer) = std::io::pipe().unwrap();
    let computing = Arc::new(AtomicBool::new(true));
    let port: CompletionPort<(), bool> = CompletionPort::new(2).unwrap();
    let goes_on = computing.clone();
    let (sender, told) = channel();
    let workers = port
        .workers(move |packet, _| {
            if packet.operation.into_parts().1 {
                while goes_on.load(SeqCst) {
                    std::hint::spin_loop();
                }
            } else {
                let _ = (&reader).read(&mut [0]);
            }
        })
        .name("away")
        .away_after(Some(Duration::from_millis(20)))
        .on_away(move |away| {
            let _ = sender.send(away.clone());
            panic!("it changes nothing");
        })
        .start()
        .unwrap();
    let next = || told.recv_timeout(WATCHDOG).expect("a report");
    let long = |away: &Away| assert!(away.at_least >= Duration::from_millis(20));
    // All rest, so nobody looks, and whoever goes out has to say so.
    std::thread::sleep(Duration::from_millis(200));

    port.post(Operation::new("", false), 0).unwrap();
    // On a busy machine it may be seen before it has come to the pipe.
    let first = loop {
        let away = next();
        if away.doing != Doing::Computing {
            break away;
        }
    };
    long(&first);
    let expected = format!("{} has blocked in read for ", first.name);
    assert!(first.to_string().starts_with(&expected), "{first}");
    let again = next();
    assert_eq!((&again.name, again.thread), (&first.name, first.thread));
    assert!(again.at_least >= 2 * first.at_least, "{first:?}, {again:?}");

    port.post(Operation::new("", true), 0).unwrap();
    let computes = loop {
        let away = next();
        if away.thread != first.thread {
            break away;
        }
    };
    long(&computes);
    assert_eq!(computes.doing, Doing::Computing, "{computes}");

    // Another outing of the same worker, or not: it is told of anew.
    computing.store(false, SeqCst);
    drop(writer);
    until("both are back", || workers.away(Duration::ZERO).is_empty());
    while told.try_recv().is_ok() {}
    computing.store(true, SeqCst);
    port.post(Operation::new("", true), 0).unwrap();
    let anew = next();
    long(&anew);
    computing.store(false, SeqCst);
    port.close();
    workers.join().unwrap();
}

/// Threads that start and end, and those that rest: nobody who comes back in time is told of.
#[test]
fn who_comes_back_is_not_told_of() {
    let (sender, told) = channel();
    let port: Port = CompletionPort::new(2).unwrap();
    let (handle, receiver) = teller();
    let workers = port
        .workers(move |packet, port| handle(packet.operation.into_parts().1, port))
        .away_after(Some(WATCHDOG))
        .on_away(move |away| sender.send(away.to_string()).unwrap())
        .start()
        .unwrap();
    for number in 0..1000 {
        post(&port, Task::Tell(number));
    }
    assert_eq!(self::told(&receiver, 1000).len(), 1000);
    port.close();
    workers.join().unwrap();
    assert_eq!(told.try_iter().count(), 0);
}
