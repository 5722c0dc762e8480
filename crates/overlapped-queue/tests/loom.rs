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
use loom::sync::{Arc, Condvar, Mutex, mpsc};
use loom::thread;
use overlapped_queue::{
    Binding, Config, Deadline, Ended, Engine, Presence, Queue, Signals, ThreadWait, WakePolicy,
};

type Packets = VecDeque<u32>;

/// An engine that behaves like epoll with an eventfd: an interrupt stays until a wait has seen it; and
/// with a timerfd: that it went off stays until it is set or stopped.
struct Mock {
    inside: Mutex<Inside>,
    changed: Condvar,
    alarmed: Condvar,
    entered: Condvar,
    clock: AtomicU64,
    has_alarm: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Alarm {
    #[default]
    Stopped,
    Set,
    WentOff,
}

#[derive(Default)]
struct Inside {
    finished: Packets,
    interrupted: bool,
    ticked: bool,
    /// Somebody waits here, with a time-out or without.
    leads: Option<Option<Duration>>,
    alarm: Alarm,
    /// Somebody sleeps by it, with a time-out or without.
    stands_by: Option<Option<Duration>>,
}

impl Mock {
    fn new(has_alarm: bool) -> Arc<Mock> {
        Arc::new(Mock {
            inside: Mutex::new(Inside::default()),
            changed: Condvar::new(),
            alarmed: Condvar::new(),
            entered: Condvar::new(),
            clock: AtomicU64::new(0),
            has_alarm,
        })
    }

    fn stands_by(&self) -> bool {
        self.inside.lock().unwrap().stands_by.is_some()
    }

    /// Blocks until somebody has nothing to do but to wait here.
    fn wait_for_leader(&self) {
        let mut inside = self.inside.lock().unwrap();
        while inside.leads.is_none() || !inside.finished.is_empty() {
            inside = self.entered.wait(inside).unwrap();
        }
    }

    /// I/O finishes.
    fn finish(&self, packet: u32) {
        self.inside.lock().unwrap().finished.push_back(packet);
        self.changed.notify_one();
    }

    /// Time passes, and a wait with a time-out sees it, and so does the alarm.
    fn pass(&self, until: u64) {
        self.clock.store(until, SeqCst);
        let mut inside = self.inside.lock().unwrap();
        inside.ticked = true;
        if inside.alarm == Alarm::Set {
            inside.alarm = Alarm::WentOff;
        }
        // Nobody wakes who has no reason to: loom may go on with them alone for ever.
        let leader = matches!(inside.leads, Some(Some(_)));
        let standby = inside.alarm == Alarm::WentOff || matches!(inside.stands_by, Some(Some(_)));
        drop(inside);
        if leader {
            self.changed.notify_one();
        }
        if standby {
            self.alarmed.notify_one();
        }
    }
}

impl Signals for Mock {
    fn interrupt(&self) {
        self.inside.lock().unwrap().interrupted = true;
        self.changed.notify_one();
    }

    fn set_alarm(&self, after: Option<Duration>) {
        self.inside.lock().unwrap().alarm = match after {
            None => Alarm::Stopped,
            Some(Duration::ZERO) => Alarm::WentOff,
            Some(_) => Alarm::Set,
        };
        self.alarmed.notify_one();
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
                inside.leads = None;
                // With an alarm time passes many times, and each time is seen once: a leader that ticks
                // would let nobody else run.
                inside.ticked &= !self.has_alarm;
                return;
            }
            inside.leads = Some(timeout);
            self.entered.notify_one();
            inside = self.changed.wait(inside).unwrap();
        }
    }

    fn now(&self) -> u64 {
        self.clock.load(SeqCst)
    }

    fn has_alarm(&self) -> bool {
        self.has_alarm
    }

    fn wait_for_alarm(&self, timeout: Option<Duration>) {
        let mut inside = self.inside.lock().unwrap();
        let other = inside.stands_by.replace(timeout);
        assert_eq!(other, None, "two threads sleep by one alarm");
        while inside.alarm != Alarm::WentOff && !(timeout.is_some() && inside.ticked) {
            inside = self.alarmed.wait(inside).unwrap();
        }
        inside.stands_by = None;
    }
}

/// The engine's signals, kept by a thread.
struct Reach(Arc<Mock>);

impl Signals for Reach {
    fn interrupt(&self) {
        self.0.interrupt();
    }

    fn set_alarm(&self, after: Option<Duration>) {
        self.0.set_alarm(after);
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
    fn wait(&self) -> Option<ThreadWait> {
        let number = Some(self.0.load(SeqCst)).filter(|&wait| wait != 0)?;
        Some(ThreadWait {
            number,
            began: None,
        })
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
            engine: Mock::new(false),
        }
    }

    fn with_alarm(concurrency: usize) -> Port {
        Port {
            engine: Mock::new(true),
            ..Port::new(concurrency, WakePolicy::Economy)
        }
    }

    /// Ticks until one of two workers that were bound after another sleeps by the alarm. That this one is
    /// out is what they watch for.
    fn calm_down(&self) {
        while !self.engine.stands_by() {
            self.queue.expire(1);
            self.queue.expire(2);
            thread::yield_now();
        }
    }

    /// Has so often stayed away that somebody takes over from whoever leaves the engine; is out.
    fn often_absent(&self) -> Binding<Packets> {
        const ENOUGH: u64 = 16;
        let mut absent = self.bind();
        for absence in 1..=ENOUGH {
            self.engine.finish(0);
            assert_eq!(self.get(&mut absent), Ok(0));
            self.engine.clock.store(absence * 1_000_000, SeqCst);
        }
        absent
    }

    /// Is out, without a packet.
    fn active(&self) -> Binding<Packets> {
        let mut active = self.bind();
        assert_eq!(self.poll(&mut active), Err(Ended::TimedOut));
        active
    }

    /// Time passes until something is done, by one of the two workers that were bound after another.
    /// Nobody but that one may have anything left to do: to choose another thread at a yield is no
    /// preemption for loom, so with two it tries without end to starve one of them.
    fn pass_until(&self, done: &AtomicU64) {
        let began = self.engine.now().max(1_000_000);
        let mut clock = began;
        while done.load(SeqCst) == 0 {
            clock += 1_000_000;
            assert!(
                clock < began + 19_000_000,
                "stranded: {:?}",
                self.queue.stats()
            );
            self.engine.pass(clock);
            self.queue.expire(1);
            self.queue.expire(2);
            thread::yield_now();
        }
    }

    fn bind(&self) -> Binding<Packets> {
        let signals = Box::new(Reach(self.engine.clone()));
        self.queue.bind(signals, None).unwrap()
    }

    /// A thread that may block without a word.
    fn bind_observed(&self, wait: &Wait) -> Binding<Packets> {
        let signals = Box::new(Reach(self.engine.clone()));
        let presence = Box::new(wait.clone());
        self.queue.bind(signals, Some(presence)).unwrap()
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
    // Loops in which time passes take many.
    builder.max_branches = 5_000;
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
    check(|| {
        let port = Port::new(2, WakePolicy::Economy);
        let mut absent = port.often_absent();
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

/// A leader comes and goes, then stays away with a packet that it has posted to itself: the alarm that
/// was set, stopped and set again brings the standby, whenever it went off before.
#[test]
fn the_standby_takes_what_a_leader_left_that_comes_and_goes() {
    check(|| {
        let port = Port::with_alarm(2);
        let active = port.active();
        let done = Arc::new(AtomicU64::new(0));
        let (gone, goes) = mpsc::channel();
        let work = |mut me: Binding<Packets>| {
            let (port, done, gone) = (port.clone(), done.clone(), gone.clone());
            thread::spawn(move || {
                loop {
                    match port.get(&mut me).unwrap() {
                        1 => {}
                        2 => {
                            let member = Some(me.member());
                            port.queue.push(&*port.engine, 3, member).unwrap();
                            // It stays bound, and does not come back.
                            return gone.send(me).unwrap();
                        }
                        3 => return done.store(1, SeqCst),
                        _ => unreachable!(),
                    }
                }
            })
        };
        let workers = [work(port.bind()), work(port.bind())];
        port.calm_down();
        drop(active);
        let time = port.clone();
        let timer = thread::spawn(move || time.engine.pass(1_000_000));
        port.engine.finish(1);
        port.engine.finish(2);
        let computing = goes.recv().unwrap();
        timer.join().unwrap();
        port.pass_until(&done);
        for worker in workers {
            worker.join().unwrap();
        }
        assert!(port.queue.stats().alarms > 0);
        drop(computing);
    });
}

/// The same where leaders stay away often. What is left in the queue is worth a wake there, since handlers
/// take long; for what is left in the engine there is the alarm.
#[test]
fn economy_the_standby_takes_over_from_an_absent_leader() {
    check(|| {
        let port = Port::with_alarm(3);
        let absent = port.often_absent();
        let done = Arc::new(AtomicU64::new(0));
        let (gone, goes) = mpsc::channel();
        let work = |mut me: Binding<Packets>| {
            let (port, done, gone) = (port.clone(), done.clone(), gone.clone());
            thread::spawn(move || match port.get(&mut me).unwrap() {
                1 => gone.send(me).unwrap(),
                2 => done.store(1, SeqCst),
                _ => unreachable!(),
            })
        };
        let workers = [work(port.bind()), work(port.bind())];
        port.calm_down();
        port.engine.finish(1);
        port.engine.finish(2);
        let computing = goes.recv().unwrap();
        port.pass_until(&done);
        for worker in workers {
            worker.join().unwrap();
        }
        drop((computing, absent));
    });
}

/// A worker posts to itself and computes while the leader, who has been away, comes back: a stop of the
/// alarm that was decided before the post must not undo what the post has set.
#[test]
fn a_leader_that_comes_back_leaves_the_alarm_that_a_post_has_set() {
    check(|| {
        let port = Port::with_alarm(2);
        let computing = port.active();
        let done = Arc::new(AtomicU64::new(0));
        let work = |mut me: Binding<Packets>| {
            let (port, done) = (port.clone(), done.clone());
            thread::spawn(move || {
                loop {
                    match port.get(&mut me) {
                        Ok(1) => {}
                        Ok(2) => done.store(1, SeqCst),
                        ended => return assert_eq!(ended, Err(Ended::Closed)),
                    }
                }
            })
        };
        let workers = [work(port.bind()), work(port.bind())];
        port.calm_down();
        port.engine.finish(1);
        let member = Some(computing.member());
        port.queue.push(&*port.engine, 2, member).unwrap();
        port.engine.wait_for_leader();
        port.pass_until(&done);
        drop(port.queue.close(&*port.engine));
        for worker in workers {
            worker.join().unwrap();
        }
        drop(computing);
    });
}

/// Whoever may be alerted sleeps where an alert finds it, whatever it watches for.
#[test]
fn an_alert_against_a_watcher_that_could_stand_by() {
    check(|| {
        let port = Port::with_alarm(2);
        let active = port.active();
        let (mut leading, mut me) = (port.bind(), port.bind());
        let alert = me.begin_alerts();
        let leads = port.clone();
        let leader = thread::spawn(move || leads.get(&mut leading));
        let waits = port.clone();
        let alerted = thread::spawn(move || waits.get(&mut me));
        // It ticks, and nothing has moved.
        port.queue.expire(2);
        alert.raise();
        port.engine.interrupt();
        assert_eq!(alerted.join().unwrap(), Err(Ended::TimedOut));
        drop(active);
        port.post(1);
        assert_eq!(leader.join().unwrap(), Ok(1));
    });
}

/// A packet against the end of the standby's patience: it is received or it stays.
#[test]
fn cc_11_packet_against_timeout_of_the_standby() {
    check(|| {
        let port = Port::with_alarm(2);
        let active = port.active();
        let work = |mut me: Binding<Packets>| {
            let port = port.clone();
            thread::spawn(move || {
                port.queue
                    .get(&*port.engine, &mut me, &mut Deadline::At(10))
            })
        };
        let workers = [work(port.bind()), work(port.bind())];
        port.calm_down();
        drop(active);
        let time = port.clone();
        let timer = thread::spawn(move || time.engine.pass(10));
        port.post(7);
        timer.join().unwrap();
        let got = workers.map(|worker| worker.join().unwrap());
        let taken = got.iter().filter(|&&got| got == Ok(7)).count();
        assert!(
            got.iter()
                .all(|&got| got == Ok(7) || got == Err(Ended::TimedOut))
        );
        let left = port.poll(&mut port.bind());
        assert_eq!(taken + usize::from(left == Ok(7)), 1);
    });
}

/// Posts wake the standby like any other sleeper.
#[test]
fn cc_7_posts_against_the_standby() {
    check(|| {
        let port = Port::with_alarm(2);
        let active = port.active();
        let workers = [port.worker(), port.worker()];
        port.calm_down();
        drop(active);
        let posting = port.clone();
        let poster = thread::spawn(move || posting.post(1));
        port.engine.finish(2);
        poster.join().unwrap();
        let got = workers.map(|worker| worker.join().unwrap().unwrap());
        assert_eq!(got[0] + got[1], 3);
    });
}

/// The end of the queue against a departure that sets the alarm (CX-9).
#[test]
fn cx_9_close_against_the_standby() {
    check(|| {
        let port = Port::with_alarm(2);
        let active = port.active();
        let workers = [port.worker(), port.worker()];
        port.calm_down();
        drop(active);
        port.engine.finish(1);
        drop(port.queue.close(&*port.engine));
        let ends = workers.map(|worker| worker.join().unwrap());
        assert!(ends.contains(&Err(Ended::Closed)));
    });
}
