//! The queue under every interleaving of small programs (loom).
//!
//!     RUSTFLAGS="--cfg loom" cargo test -p overlapped-queue --release --test loom
//!
//! A thread that is never woken is a deadlock, which loom reports; so each model proves "no lost
//! wake-up" by ending. Time passes only where a model says so: it moves the engine's clock and
//! calls `expire`, which races like a time-out does.
#![cfg(loom)]

use std::collections::VecDeque;
use std::time::Duration;

use loom::sync::atomic::{AtomicU64, Ordering::SeqCst};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use overlapped_queue::{Binding, Config, Deadline, Ended, Engine, Presence, Queue, WakePolicy};

type Packets = VecDeque<u32>;

/// An engine that behaves like epoll with an eventfd: an interrupt stays until a wait has seen it.
struct Mock {
    inside: Mutex<Inside>,
    changed: Condvar,
    clock: AtomicU64,
}

#[derive(Default)]
struct Inside {
    finished: Packets,
    interrupted: bool,
    ticked: bool,
}

impl Mock {
    fn new() -> Arc<Mock> {
        Arc::new(Mock {
            inside: Mutex::new(Inside::default()),
            changed: Condvar::new(),
            clock: AtomicU64::new(0),
        })
    }

    /// I/O finishes.
    fn finish(&self, packet: u32) {
        self.inside.lock().unwrap().finished.push_back(packet);
        self.changed.notify_one();
    }

    /// Time passes, and a wait with a time-out sees it.
    fn pass(&self, until: u64) {
        self.clock.store(until, SeqCst);
        self.inside.lock().unwrap().ticked = true;
        self.changed.notify_one();
    }
}

impl Engine<Packets> for Mock {
    fn wait(&self, timeout: Option<Duration>, into: &mut Packets) {
        let mut inside = self.inside.lock().unwrap();
        loop {
            into.append(&mut inside.finished);
            let ended = inside.interrupted
                || (timeout.is_some() && inside.ticked)
                || timeout == Some(Duration::ZERO)
                || !into.is_empty();
            if ended {
                inside.interrupted = false;
                return;
            }
            inside = self.changed.wait(inside).unwrap();
        }
    }

    fn interrupt(&self) {
        self.inside.lock().unwrap().interrupted = true;
        self.changed.notify_one();
    }

    fn now(&self) -> u64 {
        self.clock.load(SeqCst)
    }
}

/// The wait that a thread is in, 0 for none.
#[derive(Clone)]
struct Wait(Arc<AtomicU64>);

impl Wait {
    fn new() -> Wait {
        Wait(Arc::new(AtomicU64::new(0)))
    }

    fn begin(&self) {
        self.0.store(1, SeqCst);
    }

    fn end(&self) {
        self.0.store(0, SeqCst);
    }
}

impl Presence for Wait {
    fn wait(&self) -> Option<u64> {
        Some(self.0.load(SeqCst)).filter(|&wait| wait != 0)
    }
}

#[derive(Clone)]
struct Port {
    queue: Queue<Packets>,
    engine: Arc<Mock>,
}

impl Port {
    fn new(concurrency: usize, policy: WakePolicy) -> Port {
        let config = Config {
            policy,
            rescue_after: None,
            ..Config::new(concurrency)
        };
        Port {
            queue: Queue::new(config),
            engine: Mock::new(),
        }
    }

    fn bind(&self) -> Binding<Packets> {
        let engine = self.engine.clone();
        self.queue
            .bind(Box::new(move || engine.interrupt()), None)
            .unwrap()
    }

    /// A thread that may block without a word.
    fn bind_observed(&self, wait: &Wait) -> Binding<Packets> {
        let engine = self.engine.clone();
        let presence = Box::new(wait.clone());
        self.queue
            .bind(Box::new(move || engine.interrupt()), Some(presence))
            .unwrap()
    }

    fn get(&self, me: &mut Binding<Packets>) -> Result<u32, Ended> {
        self.queue.get(&*self.engine, me, &mut Deadline::Never)
    }

    fn poll(&self, me: &mut Binding<Packets>) -> Result<u32, Ended> {
        self.queue.get(&*self.engine, me, &mut Deadline::At(0))
    }

    fn post(&self, packet: u32) {
        self.queue.push(&*self.engine, packet, None).unwrap();
    }

    /// A thread that gets one packet and ends.
    fn worker(&self) -> thread::JoinHandle<Result<u32, Ended>> {
        let port = self.clone();
        thread::spawn(move || {
            let mut me = port.bind();
            port.get(&mut me)
        })
    }
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

fn each_policy(model: impl Fn(WakePolicy) + Send + Sync + Copy + 'static) {
    for policy in [WakePolicy::Windows, WakePolicy::Economy] {
        check(move || model(policy));
    }
}

/// Two waiting threads, two posts: each gets one, whoever falls asleep when.
#[test]
fn posts_and_waiters() {
    each_policy(|policy| {
        let port = Port::new(2, policy);
        let workers = [port.worker(), port.worker()];
        port.post(1);
        port.post(2);
        let mut got = workers.map(|worker| worker.join().unwrap().unwrap());
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    });
}

/// I/O finishes twice: the leader leaves with the first, and somebody must be there for the second.
#[test]
fn leadership_is_passed_on() {
    each_policy(|policy| {
        let port = Port::new(1, policy);
        let workers = [port.worker(), port.worker()];
        port.engine.finish(1);
        port.engine.finish(2);
        let mut got = workers.map(|worker| worker.join().unwrap().unwrap());
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    });
}

/// A packet against the end of its receiver's patience: it is received or it stays (CC-11).
#[test]
fn cc_11_packet_against_timeout_of_the_leader() {
    each_policy(|policy| {
        let port = Port::new(1, policy);
        let waiting = port.clone();
        let worker = thread::spawn(move || {
            let mut me = waiting.bind();
            waiting
                .queue
                .get(&*waiting.engine, &mut me, &mut Deadline::At(10))
        });
        let time = port.clone();
        let timer = thread::spawn(move || time.engine.pass(10));
        port.post(7);
        timer.join().unwrap();
        match worker.join().unwrap() {
            Ok(packet) => assert_eq!(packet, 7),
            Err(ended) => {
                assert_eq!(ended, Ended::TimedOut);
                assert_eq!(port.poll(&mut port.bind()), Ok(7));
            }
        }
        assert_eq!(port.poll(&mut port.bind()), Err(Ended::TimedOut));
    });
}

/// The same for a follower, which sleeps in its parker.
#[test]
fn cc_11_packet_against_timeout_of_a_follower() {
    each_policy(|policy| {
        let port = Port::new(1, policy);
        // At the limit, so that the other one cannot lead.
        let mut active = port.bind();
        assert_eq!(port.poll(&mut active), Err(Ended::TimedOut));
        let waiting = port.clone();
        let mut me = port.bind();
        let worker = thread::spawn(move || {
            let got = waiting
                .queue
                .get(&*waiting.engine, &mut me, &mut Deadline::At(10));
            drop(me);
            got
        });
        let time = port.clone();
        let timer = thread::spawn(move || {
            time.engine.pass(10);
            // The second that was bound.
            time.queue.expire(1);
        });
        port.post(7);
        drop(active);
        timer.join().unwrap();
        match worker.join().unwrap() {
            Ok(packet) => assert_eq!(packet, 7),
            Err(ended) => {
                assert_eq!(ended, Ended::TimedOut);
                assert_eq!(port.poll(&mut port.bind()), Ok(7));
            }
        }
    });
}

/// Closing ends every wait, also one that is about to begin (CX-9).
#[test]
fn cx_9_close_against_waiters() {
    each_policy(|policy| {
        let port = Port::new(2, policy);
        let workers = [port.worker(), port.worker()];
        drop(port.queue.close(&*port.engine));
        for worker in workers {
            assert_eq!(worker.join().unwrap(), Err(Ended::Closed));
        }
    });
}

/// With a limit of one, a worker that says it blocks is replaced, whenever the packet comes (CC-8).
#[test]
fn cc_8_blocking_against_a_post() {
    each_policy(|policy| {
        let port = Port::new(1, policy);
        let other = port.worker();
        let mut me = port.bind();
        assert_eq!(port.poll(&mut me), Err(Ended::TimedOut));
        let posting = port.clone();
        let poster = thread::spawn(move || posting.post(5));
        assert!(port.queue.block(&*port.engine, &me));
        // Blocks until the other one has the packet: nobody else can help.
        assert_eq!(other.join().unwrap(), Ok(5));
        port.queue.unblock(&me);
        poster.join().unwrap();
        assert_eq!(port.queue.stats().active, 1);
    });
}

/// A thread that leaves makes room for one that waits (CC-10), for a post and for finished I/O.
#[test]
fn cc_10_leaving_against_waiting() {
    each_policy(|policy| {
        let port = Port::new(1, policy);
        let mut leaving = port.bind();
        assert_eq!(port.poll(&mut leaving), Err(Ended::TimedOut));
        let worker = port.worker();
        port.engine.finish(9);
        drop(leaving);
        assert_eq!(worker.join().unwrap(), Ok(9));
    });
}

/// Under economy a worker that posts to itself and then computes strands nobody: the watcher's
/// tick, which may come at any time, takes the packet.
#[test]
fn a_watcher_takes_what_a_computing_worker_left() {
    check(|| {
        let port = Port::new(2, WakePolicy::Economy);
        let mut computing = port.bind();
        assert_eq!(port.poll(&mut computing), Err(Ended::TimedOut));
        let waiting = port.clone();
        let mut me = port.bind();
        let worker = thread::spawn(move || waiting.get(&mut me));
        port.queue
            .push(&*port.engine, 3, Some(computing.member()))
            .unwrap();
        // Time passes: the sleeper's ticks, in the engine and in the parker.
        let time = port.clone();
        let timer = thread::spawn(move || {
            time.engine.pass(10_000_000);
            time.queue.expire(1);
        });
        assert_eq!(worker.join().unwrap(), Ok(3));
        timer.join().unwrap();
        drop(computing);
    });
}

/// Where leaders stay away often, who leaves the engine is replaced there although no time passes, and
/// although it never comes back.
#[test]
fn economy_an_absent_leader_is_replaced_at_once() {
    const ENOUGH: u64 = 16;
    check(|| {
        let port = Port::new(2, WakePolicy::Economy);
        let mut absent = port.bind();
        for absence in 1..=ENOUGH {
            port.engine.finish(0);
            assert_eq!(port.get(&mut absent), Ok(0));
            port.engine.clock.store(absence * 1_000_000, SeqCst);
        }
        let worker = port.worker();
        let finishing = port.clone();
        let finisher = thread::spawn(move || {
            finishing.engine.finish(1);
            finishing.engine.finish(2);
        });
        let mine = port.get(&mut absent).unwrap();
        let other = worker.join().unwrap().unwrap();
        assert_eq!(mine + other, 3);
        finisher.join().unwrap();
    });
}

/// A worker blocks without a word, and does not come back before another one has the packet: ticks
/// alone must bring it there, wherever they fall (CC-8).
#[test]
fn cc_8_an_unmarked_block_against_a_post() {
    each_policy(|policy| {
        let port = Port::new(1, policy);
        let wait = Wait::new();
        let mut blocking = port.bind_observed(&wait);
        assert_eq!(port.poll(&mut blocking), Err(Ended::TimedOut));
        let waiting = port.clone();
        let mut me = port.bind();
        let done = Arc::new(AtomicU64::new(0));
        let is_done = done.clone();
        let worker = thread::spawn(move || {
            let got = waiting.get(&mut me);
            is_done.store(1, SeqCst);
            got
        });
        wait.begin();
        port.post(5);
        let mut clock = 0;
        while done.load(SeqCst) == 0 {
            clock += 1_000_000;
            port.engine.pass(clock);
            port.queue.expire(1);
            thread::yield_now();
        }
        assert_eq!(worker.join().unwrap(), Ok(5));
        let stats = port.queue.stats();
        assert_eq!((stats.noticed, stats.blocked), (1, 1));
        wait.end();
        drop(blocking);
    });
}

/// The release of a blocked worker against its return: each packet has one taker, and the counts
/// are right whoever was faster (CC-9).
#[test]
fn cc_9_the_release_of_a_blocked_worker_against_its_return() {
    each_policy(|policy| {
        let port = Port::new(1, policy);
        let wait = Wait::new();
        let mut blocking = port.bind_observed(&wait);
        assert_eq!(port.poll(&mut blocking), Err(Ended::TimedOut));
        let waiting = port.clone();
        let mut me = port.bind();
        let worker = thread::spawn(move || waiting.get(&mut me));
        wait.begin();
        port.post(1);
        let time = port.clone();
        let timer = thread::spawn(move || {
            time.engine.pass(1_000_000);
            time.queue.expire(1);
            // Looks too, and at the second time it may find the wait long enough.
            time.post(2);
        });
        wait.end();
        let mine = port.get(&mut blocking).unwrap();
        drop(blocking);
        let its = worker.join().unwrap().unwrap();
        timer.join().unwrap();
        assert_eq!(mine + its, 3);
        let stats = port.queue.stats();
        assert_eq!((stats.active, stats.blocked, stats.bound), (0, 0, 0));
    });
}

/// The same against the end of the queue (CX-9) and of the waiting one's patience (CC-11).
#[test]
fn cx_9_cc_11_the_release_of_a_blocked_worker_against_close_and_timeout() {
    for closes in [true, false] {
        each_policy(move |policy| {
            let port = Port::new(1, policy);
            let wait = Wait::new();
            let mut blocking = port.bind_observed(&wait);
            assert_eq!(port.poll(&mut blocking), Err(Ended::TimedOut));
            let waiting = port.clone();
            let mut me = port.bind();
            let worker = thread::spawn(move || {
                let mut deadline = Deadline::At(1_000_000);
                waiting.queue.get(&*waiting.engine, &mut me, &mut deadline)
            });
            wait.begin();
            port.post(1);
            let time = port.clone();
            let timer = thread::spawn(move || {
                time.engine.pass(1_000_000);
                time.queue.expire(1);
            });
            let left = match closes {
                true => port.queue.close(&*port.engine).len(),
                false => 0,
            };
            let got = worker.join().unwrap();
            timer.join().unwrap();
            let stats = port.queue.stats();
            match got {
                Ok(packet) => assert_eq!((packet, left, stats.queued), (1, 0, 0)),
                Err(Ended::Closed) => assert_eq!((left, stats.queued), (1, 0)),
                Err(Ended::TimedOut) => assert_eq!(left + stats.queued, 1),
            }
            wait.end();
            drop(blocking);
            assert_eq!(port.queue.stats().bound, 0);
        });
    }
}
