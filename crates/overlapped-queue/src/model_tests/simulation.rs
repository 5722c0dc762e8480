//! A port under load, simulated: workers that compute and block, wakes that take their time, and a
//! clock that jumps from one event to the next.
//!
//! What the queue knows of its threads it asks a simulated presence; what is really so is known
//! here, and the promises are checked against that:
//!
//! * *The wait of a packet* (TM-9). While a worker waits and fewer than the limit run, a packet waits
//!   for [`bound`] at most, all told, if nobody blocks without a word.
//! * *The gap.* If somebody does (CC-8), no longer than [`gap`] passes before another worker takes
//!   something, from when a worker waits and fewer than the limit really run.
//!   Where as many ran as may, and one has blocked, it is [`release`].
//! * *The count* (CC-9). Where a look costs nothing, nobody takes anything while as many really run as may,
//!   those who came back from a block among them.
//! * *The limit* (CC-13). Not more run than the limit and those that came back from a block (CC-9) or
//!   without a packet (CC-4).
//! * *Nothing lost* (CC-11, PK-2). Each packet is taken once, those of one source in order, whatever
//!   calls time out; and when all is done every worker waits, one of them in the engine.
//!
//! The system's own delays, of a wake and of a timer, come on top of both bounds, so they are zero where
//! these are checked, and random where the rest is.

use std::time::Duration;

use super::*;

/// Two ticks until somebody gets up, and then, with the watcher at its shortest sleep again, another
/// worker every two, until as many run as may.
fn bound(limit: usize) -> Duration {
    TICK_MAX * 2 + TICK_MIN * 2 * (limit as u32 - 1)
}

/// Two ticks, each put off by one second look.
fn gap() -> Duration {
    (TICK_MAX + PATIENCE) * 2
}

/// A tick and two looks, of which another thread's may be the first.
fn release() -> Duration {
    TICK_MAX + PATIENCE * 2
}

/// What a handler does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Compute(Duration),
    /// Blocks without a word.
    Wait(Duration),
    /// Blocks, and says so.
    Block(Duration),
    Post,
}

/// What the load is like; all drawn from the seed.
struct Load {
    /// The mean time that a handler computes.
    handler: Duration,
    /// The mean time between two arrivals.
    between: Duration,
    /// How many come at once, at most.
    burst: usize,
    /// One handler in so many computes for long.
    long: usize,
    /// One handler in so many blocks for long; 0 for none.
    blocks: usize,
    /// Of those that block, without a word.
    silent: bool,
    /// One handler in so many takes a lock, and so waits for a moment; 0 for none.
    locks: usize,
    /// One handler in so many posts.
    posts: usize,
    /// One call in so many has a time-out; 0 for none.
    timeouts: usize,
    /// Wakes and reports take up to so long.
    latency: Duration,
}

impl Load {
    fn new(random: &mut Random) -> Self {
        let handler = Duration::from_micros([1, 20, 200, 2000][random.below(4)]);
        // From a fraction of what one worker can do to a multiple.
        let between = handler * [1, 2, 8, 40][random.below(4)] / 2;
        Load {
            handler,
            between,
            burst: [1, 1, 10, 60][random.below(4)],
            long: [20, 300][random.below(2)],
            blocks: 0,
            silent: false,
            locks: 0,
            posts: [2, 10, 100][random.below(3)],
            timeouts: 0,
            latency: Duration::ZERO,
        }
    }
}

fn upto(random: &mut Random, most: Duration) -> Duration {
    Duration::from_nanos(random.below(most.as_nanos() as usize + 1) as u64)
}

struct World<'a> {
    rig: Rig,
    random: &'a mut Random,
    load: Load,
    /// By thread: what is left of its handler, the last step first, and until when the current takes.
    plans: Vec<Vec<Step>>,
    until: Vec<u64>,
    /// Wakes that have not reached their threads.
    in_flight: Vec<(u64, Wake)>,
    /// When the leader hears of what has finished.
    report: Option<u64>,
    next_arrival: Option<u64>,
    /// How much of `rig.got` was seen.
    seen: usize,
    /// When.
    taken_at: Vec<u64>,
    /// For how long a worker waited in vain although it could have run, all told.
    wasted: u64,
    /// That, when each packet arrived.
    wasted_before: Vec<u64>,
    /// By packet: whether it came by way of the engine.
    finished: Vec<bool>,
    /// The same since a packet was taken last.
    stretch: u64,
    /// It began with a block, of one of as many as may run.
    began_with_a_block: bool,
    /// A look costs nothing, so admissions look as soon as it can matter.
    always_looks: bool,
    longest_release: Duration,
    longest_wait: Duration,
    longest_gap: Duration,
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

impl<'a> World<'a> {
    fn new(random: &'a mut Random, load: Load, (rig, config): (Rig, Config)) -> Self {
        let threads = rig.threads.len();
        let always_looks = config.look_every.is_zero();
        let mut world = World {
            rig,
            random,
            load,
            plans: vec![Vec::new(); threads],
            until: vec![0; threads],
            in_flight: Vec::new(),
            report: None,
            next_arrival: Some(1),
            seen: 0,
            taken_at: Vec::new(),
            wasted: 0,
            wasted_before: Vec::new(),
            finished: Vec::new(),
            stretch: 0,
            began_with_a_block: false,
            always_looks,
            longest_release: Duration::ZERO,
            longest_wait: Duration::ZERO,
            longest_gap: Duration::ZERO,
        };
        for thread in 0..threads {
            world.get(thread);
        }
        world
    }

    fn latency(&mut self) -> u64 {
        nanos(upto(self.random, self.load.latency))
    }

    // ---- what is really so ---------------------------------------------------------------------

    fn running(&self) -> usize {
        let runs = |&thread: &usize| {
            matches!(self.rig.threads[thread], Doing::Out) && !self.rig.is_in_a_wait(thread)
        };
        (0..self.plans.len()).filter(runs).count()
    }

    /// So much waits that more would only take time.
    fn is_flooded(&self) -> bool {
        self.rig.got.len() + 200 < self.rig.next_packet as usize
    }

    fn is_wasting(&self) -> bool {
        let packets = self.rig.got.len() < self.rig.next_packet as usize;
        packets
            && self.running() < self.rig.state.stats().concurrency
            && (0..self.plans.len()).any(|thread| self.rig.waits(thread))
    }

    // ---- what happens --------------------------------------------------------------------------

    /// The next thing happens; `false` if nothing will any more.
    fn step(&mut self) -> bool {
        let mut next: Option<(u64, Happens)> = None;
        let mut consider = |at: u64, what| {
            if next.is_none_or(|(known, _)| at < known) {
                next = Some((at, what));
            }
        };
        for (index, &(at, _)) in self.in_flight.iter().enumerate() {
            consider(at, Happens::Wake(index));
        }
        if let Some(at) = self.report {
            consider(at, Happens::Report);
        }
        for (thread, doing) in self.rig.threads.iter().enumerate() {
            match doing {
                Doing::Out | Doing::Blocked => consider(self.until[thread], Happens::Step(thread)),
                _ => {
                    if let Some(at) = self.rig.wakes_at(thread) {
                        consider(at, Happens::TimeOut(thread));
                    }
                }
            }
        }
        if let Some(at) = self.next_arrival {
            consider(at, Happens::Arrival);
        }
        let Some((at, what)) = next else {
            return false;
        };
        self.pass(at.max(self.rig.now));
        match what {
            Happens::Wake(index) => {
                let (_, wake) = self.in_flight.remove(index);
                self.rig.pending.push(wake);
                self.rig.deliver(0);
            }
            Happens::Report => {
                self.report = None;
                if let Some(leader) = self.rig.leader() {
                    self.rig.wake(leader);
                }
            }
            Happens::TimeOut(thread) => self.rig.wake(thread),
            Happens::Step(thread) => self.go_on(thread),
            Happens::Arrival => self.arrive(),
        }
        self.settle();
        true
    }

    fn pass(&mut self, until: u64) {
        let time = until - self.rig.now;
        if self.is_wasting() {
            self.wasted += time;
            self.stretch += time;
            let stretch = Duration::from_nanos(self.stretch);
            self.longest_gap = self.longest_gap.max(stretch);
            if self.began_with_a_block {
                self.longest_release = self.longest_release.max(stretch);
            }
        } else if time > 0 {
            self.stretch = 0;
            self.began_with_a_block = false;
        }
        self.rig.now = until;
    }

    /// After each event: what was taken, whom to wake, and what is promised at all times.
    fn settle(&mut self) {
        while let Some(&(thread, packet)) = self.rig.got.get(self.seen) {
            self.seen += 1;
            self.stretch = 0;
            self.began_with_a_block = false;
            self.taken_at.push(self.rig.now);
            if self.always_looks && self.load.latency.is_zero() {
                let (running, stats) = (self.running(), self.rig.state.stats());
                assert!(
                    running <= stats.concurrency,
                    "CC-9: {running} run, {stats:?}"
                );
            }
            let wasted = self.wasted - self.wasted_before[packet as usize];
            self.longest_wait = self.longest_wait.max(Duration::from_nanos(wasted));
            self.plans[thread] = self.plan();
            self.until[thread] = self.rig.now;
        }
        for wake in std::mem::take(&mut self.rig.pending) {
            let at = self.rig.now + self.latency();
            self.in_flight.push((at, wake));
        }
        if self.report.is_none() && !self.rig.finished.is_empty() && self.rig.leader().is_some() {
            self.report = Some(self.rig.now + self.latency());
        }
        let stats = self.rig.state.stats();
        let threads = 0..self.plans.len();
        let beyond = threads
            .filter(|&thread| matches!(self.rig.threads[thread], Doing::Out))
            .filter(|&thread| self.rig.beyond[thread])
            .count();
        let most = stats.concurrency + beyond;
        assert!(self.running() <= most, "CC-13: {stats:?}, {beyond} beyond");
        assert!(stats.active <= most, "CC-13: {stats:?}, {beyond} beyond");
    }

    fn plan(&mut self) -> Vec<Step> {
        let one_in = |random: &mut Random, many| many > 0 && random.below(many) == 0;
        let long = one_in(self.random, self.load.long);
        let compute = match long {
            true => Duration::from_millis(1 + self.random.below(30) as u64),
            false => upto(self.random, self.load.handler * 2),
        };
        let mut plan = vec![Step::Compute(compute)];
        // The last step first: so it posts before it computes for long.
        let posts = long || one_in(self.random, self.load.posts);
        if posts && !self.is_flooded() {
            plan.push(Step::Post);
            // At times a lot, of which the queue cannot know how long it will take.
            for _ in 0..[0, 0, 0, 50][self.random.below(4)] {
                plan.push(Step::Post);
            }
        }
        if one_in(self.random, self.load.locks) {
            plan.push(Step::Wait(upto(self.random, PATIENCE / 2)));
        }
        if one_in(self.random, self.load.blocks) {
            let time = upto(self.random, Duration::from_millis(20));
            plan.push(match self.load.silent {
                true => Step::Wait(time),
                false => Step::Block(time),
            });
        }
        plan.push(Step::Compute(upto(self.random, self.load.handler / 2)));
        plan
    }

    /// A thread's step is over.
    fn go_on(&mut self, thread: usize) {
        if self.rig.is_in_a_wait(thread) {
            self.rig.return_from_wait(thread);
        }
        if matches!(self.rig.threads[thread], Doing::Blocked) {
            self.rig.unblock(thread);
        }
        let time = match self.plans[thread].pop() {
            None => return self.get(thread),
            Some(Step::Post) => {
                self.post(Some(thread));
                Duration::ZERO
            }
            Some(Step::Compute(time)) => time,
            Some(Step::Wait(time)) => {
                let at_limit = self.running() == self.rig.state.stats().concurrency;
                self.rig.wait(thread);
                if at_limit && self.is_wasting() {
                    self.stretch = 0;
                    self.began_with_a_block = true;
                }
                time
            }
            Some(Step::Block(time)) => {
                self.rig.block(thread);
                time
            }
        };
        self.until[thread] = self.rig.now + nanos(time);
    }

    fn get(&mut self, thread: usize) {
        let times_out = self.load.timeouts > 0 && self.random.below(self.load.timeouts) == 0;
        let time = upto(self.random, Duration::from_millis(3));
        let deadline = times_out.then(|| self.rig.now + nanos(time));
        self.until[thread] = self.rig.now;
        self.rig.get(thread, deadline);
        // One that comes back without a packet calls again.
        self.until[thread] = self.rig.now + 1;
    }

    fn arrive(&mut self) {
        let burst = match self.is_flooded() {
            true => 0,
            false => 1 + self.random.below(self.load.burst),
        };
        for _ in 0..burst {
            match self.random.below(8) {
                0 => self.post(None),
                _ => {
                    self.rig.finish();
                    self.note(true);
                }
            }
        }
        let time = upto(self.random, self.load.between * 2);
        self.next_arrival = Some(self.rig.now + 1 + nanos(time));
    }

    fn post(&mut self, from: Option<usize>) {
        // Before it may be handed over.
        self.note(false);
        self.rig.post(from);
    }

    fn note(&mut self, finished: bool) {
        self.wasted_before.push(self.wasted);
        self.finished.push(finished);
    }

    // ---- the end -------------------------------------------------------------------------------

    /// Nothing arrives any more, and the handlers that there are end.
    fn finish(&mut self) {
        self.next_arrival = None;
        self.load.posts = 0;
        self.load.timeouts = 0;
        let began = self.rig.now;
        let idle = |world: &Self| {
            (0..world.plans.len()).all(|thread| world.rig.waits(thread))
                && world.in_flight.is_empty()
                && world.report.is_none()
        };
        // Long after the last handler: what waits then waits for ever.
        while self.rig.now < began + nanos(Duration::from_secs(60)) && self.step() {
            if idle(self) && self.rig.got.len() == self.rig.next_packet as usize {
                break;
            }
        }
        let stats = self.rig.state.stats();
        assert!(idle(self), "somebody never comes back: {stats:?}");
        assert_eq!(
            self.rig.got.len(),
            self.rig.next_packet as usize,
            "{stats:?}"
        );
        assert!(
            self.rig.leader().is_some(),
            "nobody is in the engine: {stats:?}"
        );
        assert_eq!((stats.active, stats.blocked, stats.overshoot), (0, 0, 0));
        if self.load.latency.is_zero() {
            self.check_order();
        }
    }

    /// PK-2. What was handed over is seen when its wake arrives, so at the same time there is no order.
    fn check_order(&self) {
        let taken = std::iter::zip(&self.rig.got, &self.taken_at);
        for by_engine in [false, true] {
            let of_source: Vec<(u64, u32)> = taken
                .clone()
                .map(|(&(_, packet), &at)| (at, packet))
                .filter(|&(_, packet)| self.finished[packet as usize] == by_engine)
                .collect();
            let mut sorted = of_source.clone();
            sorted.sort_unstable();
            assert!(sorted.is_sorted_by_key(|&(_, packet)| packet), "PK-2");
        }
    }
}

#[derive(Clone, Copy)]
enum Happens {
    Wake(usize),
    Report,
    TimeOut(usize),
    Step(usize),
    Arrival,
}

/// Economy or the literal rule, on more threads than may run.
fn rig(random: &mut Random, observed: bool) -> (Rig, Config) {
    let limit = 1 + random.below(4);
    let threads = limit + 1 + random.below(6);
    let config = Config {
        policy: [WakePolicy::Economy, WakePolicy::Windows][usize::from(random.below(4) == 0)],
        rescue_after: None,
        look_every: [Duration::ZERO, TICK_MIN][random.below(2)],
        ..Config::new(limit)
    };
    let mut rig = match observed {
        true => Rig::observed(config, threads),
        false => Rig::new(config, threads),
    };
    rig.has_alarm = random.below(3) > 0;
    rig.dated = random.below(2) == 0;
    (rig, config)
}

const EVENTS: usize = 4000;

/// TM-9, CC-7: with handlers that compute, some for long, and some that say that they block.
#[test]
fn a_packet_waits_for_a_bounded_time_while_a_worker_is_free() {
    let alarms = AtomicU64::new(0);
    for_each_seed(|random| {
        let mut load = Load::new(random);
        load.blocks = [0, 5, 50][random.below(3)];
        let observed = random.below(2) == 0;
        let rig = rig(random, observed);
        let limit = rig.1.concurrency;
        let mut world = World::new(random, load, rig);
        for event in 0..EVENTS {
            world.step();
            if event % 1000 == 999 {
                // Handlers become slower, or faster, than they were measured.
                world.load.handler = Load::new(world.random).handler;
            }
        }
        world.finish();
        assert!(
            world.longest_wait <= bound(limit),
            "it has waited for {:?}, and the bound is {:?}",
            world.longest_wait,
            bound(limit)
        );
        alarms.fetch_add(world.rig.state.stats().alarms, Relaxed);
    });
    assert!(alarms.into_inner() > 0, "nobody stood by");
}

/// TM-9: what a worker posts to itself, while another one leads, and handlers have become far slower than
/// they were measured: so it seems that it will soon be done.
#[test]
fn what_a_slow_worker_posts_to_itself_does_not_wait_for_it() {
    let mut rig = economy(3, 4);
    rig.get(0, None);
    for _ in 0..20 {
        rig.finish();
        rig.rest();
        rig.now += 1000;
        rig.get(0, None);
    }
    for thread in 1..4 {
        rig.get(thread, None);
    }
    rig.post(None);
    rig.rest();
    let worker = rig.got.last().unwrap().0;
    assert_eq!(rig.leader(), Some(0));
    for _ in 0..50 {
        rig.post(Some(worker));
    }
    rig.rest();
    let before = rig.got.len();
    // It takes one in each tick, so something always moves.
    let began = rig.now;
    while !rig.got[before..]
        .iter()
        .any(|&(thread, _)| thread != worker)
    {
        rig.pass(TICK_MIN * 7 / 8);
        let waited = Duration::from_nanos(rig.now - began);
        assert!(waited <= bound(3), "only one works after {waited:?}");
        rig.get(worker, None);
    }
}

/// CC-8, CC-9, CC-13: with handlers that block without a word, for long and for a moment.
#[test]
fn while_workers_block_unasked_others_go_on_within_a_bounded_time() {
    for_each_seed(|random| {
        let mut load = Load::new(random);
        load.blocks = [2, 10, 50][random.below(3)];
        load.silent = true;
        load.locks = [0, 3][random.below(2)];
        let rig = rig(random, true);
        let mut world = World::new(random, load, rig);
        for _ in 0..EVENTS {
            world.step();
        }
        world.finish();
        assert!(
            world.longest_gap <= gap(),
            "nobody took anything for {:?}, and the bound is {:?}",
            world.longest_gap,
            gap()
        );
        assert!(
            world.longest_release <= release(),
            "a block released nobody for {:?}, and the bound is {:?}",
            world.longest_release,
            release()
        );
    });
}

/// CC-11, CC-13, PK-2: with all of it at once, time-outs, and wakes that come late.
#[test]
fn nothing_is_lost_whatever_comes_late() {
    for_each_seed(|random| {
        let mut load = Load::new(random);
        load.blocks = [0, 5, 50][random.below(3)];
        load.silent = random.below(2) == 0;
        load.locks = [0, 3][random.below(2)];
        load.timeouts = [1, 4, 50][random.below(3)];
        load.latency = Duration::from_micros([0, 60, 3000][random.below(3)]);
        let rig = rig(random, true);
        let mut world = World::new(random, load, rig);
        for _ in 0..EVENTS {
            world.step();
        }
        world.finish();
    });
}
