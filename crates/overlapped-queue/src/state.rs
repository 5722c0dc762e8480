//! The queue as a plain machine: what happened goes in, what a thread does next comes out.

use std::time::Duration;

use smallvec::SmallVec;

use crate::policy::{
    ABSENCE, ALARMS, BACKLOG, CALM, FREQUENT, HARVEST_AFTER, HARVEST_EVERY, LOOK_AFTER, LOOK_EVERY,
    OFTEN, PATIENCE, QUIET, TAKE_OVER, TICK_MAX, TICK_MIN, WATCHFUL,
};
use crate::waits::Waits;
use crate::{Config, Fifo, Presence, Stats, WakePolicy};

/// A bound thread's place in [`State::workers`].
pub(crate) type WorkerId = usize;

/// What a thread inside `get` does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<P> {
    /// Return with this packet; the thread is active now.
    Take(P),
    /// Wait in the engine for at most this long, then report with [`State::back_from_engine`].
    Lead { timeout: Option<Duration> },
    /// Sleep in the own parker for at most this long, then report with [`State::awake`].
    Sleep { timeout: Option<Duration> },
    /// The same, but until the engine's alarm goes off.
    StandBy { timeout: Option<Duration> },
    /// Return without a packet; the thread is active now (CC-4).
    TimedOut,
    /// Return without a packet: the queue is closed.
    Closed,
}

/// Whom to wake after unlocking, and what becomes of the alarm before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// A follower, in its parker.
    Follower(WorkerId),
    /// The leader, in the engine.
    Leader,
    /// The standby, by the alarm.
    Standby,
    /// Whoever wants to know that the queue is deserted.
    Keeper,
    /// Nobody yet: the alarm is to go off after this long, and not when it would have before.
    SetAlarm(Duration),
    /// Nobody: it is not to go off.
    StopAlarm,
}

/// Most critical sections wake nobody, nearly all others one.
pub(crate) type Wakes = SmallVec<[Wake; 4]>;

/// Where a bound thread stands with respect to the concurrency value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Has never come back from `get`: not counted.
    Fresh,
    /// Outside and counted.
    Active,
    /// Outside and not counted until it comes back: it said that it blocks, or was presumed to.
    Released,
    /// Outside and not counted until it is seen running: it was found blocked.
    Blocked,
    /// In `get`.
    Inside,
}

/// Whether somebody wants to know when the queue is deserted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Vigil {
    Off,
    /// Tell as soon as it is.
    Armed,
    /// It was told, and nobody has stayed inside since.
    Told,
}

/// What another thread left for a waiting one.
enum Order<P> {
    None,
    /// This packet is yours, and you are counted already (CC-7).
    Packet(P),
    /// Get up and look for work; you are off the stack.
    Look,
    /// Stay where you are on the stack, but sleep with a time-out from now on.
    Watch,
}

struct Worker<P> {
    standing: Standing,
    order: Order<P>,
    /// When it last called `get`, in calls.
    came: u64,
    presence: Option<Box<dyn Presence>>,
    /// The wait that it was found in at the last look, and when it was first found there.
    suspected: Option<(u64, u64)>,
    /// When it was last asked whether it runs again, where that costs something.
    asked_at: u64,
    /// When the watcher first saw that it is out and active, since it last went out.
    seen_out: Option<u64>,
    /// When it last left the engine, and how many packets it took since: the means of the handler
    /// time. Only a worker that comes back to the engine is measured, so waiting never counts.
    batch_began: Option<u64>,
    batch_taken: u32,
}

/// Until when a call of `get` waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// For ever.
    Never,
    /// For so long, from the moment when there is nothing to take: a call that need not wait does
    /// not read the clock.
    After(Duration),
    /// Until then, in nanoseconds on the engine's clock. What `After` becomes.
    At(u64),
}

/// One call of `get`.
pub(crate) struct Call {
    pub(crate) deadline: Deadline,
    /// Whether this call has looked into the engine: a poll does so once.
    looked: bool,
}

impl Call {
    pub(crate) fn until(deadline: Deadline) -> Self {
        Call {
            deadline,
            looked: false,
        }
    }

    /// How much time is left; `None` for ever.
    fn left(&mut self, now: u64) -> Option<Duration> {
        if let Deadline::After(timeout) = self.deadline {
            let timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
            self.deadline = Deadline::At(now.saturating_add(timeout));
        }
        match self.deadline {
            Deadline::At(deadline) => Some(Duration::from_nanos(deadline.saturating_sub(now))),
            _ => None,
        }
    }

    fn expired(&mut self, now: u64) -> bool {
        self.left(now).is_some_and(|left| left.is_zero())
    }
}

pub(crate) struct State<F: Fifo> {
    config: Config,
    packets: F,
    active: usize,
    /// How many were found blocked and have not been seen running since.
    blocked: usize,
    /// How many workers have a presence.
    observed: usize,
    workers: Vec<Option<Worker<F::Packet>>>,
    /// Everybody who waits, the leader included, in the order in which they came; the last is
    /// released first (CC-2).
    stack: Vec<WorkerId>,
    /// Who is in the engine.
    leader: Option<WorkerId>,
    /// Who sleeps with a tick, or stands by: a follower, or the leader itself while it is the only one
    /// waiting.
    watcher: Option<WorkerId>,
    /// Who sleeps by the alarm, or has been woken there and has not said so yet.
    standby: Option<WorkerId>,
    /// The alarm is to go off.
    alarm_is_set: bool,
    /// How often it was set since the watcher last began to stand by.
    alarms_in_a_row: u32,
    /// Somebody was told to look and has not looked yet.
    look_under_way: bool,
    vigil: Vigil,
    closed: bool,

    /// The last time that anybody read; good enough for decisions that span milliseconds.
    clock: u64,
    /// The watcher's current interval, and what it saw when it last looked.
    interval: Duration,
    taken_at_tick: u64,
    arrived_at_tick: u64,
    harvests_at_tick: u64,
    moved_at: u64,
    /// When more packets had been taken between two ticks than for which it stands by.
    busy_at: u64,
    /// The watcher disarmed itself because nothing moved, and nothing has moved since.
    quiet: bool,
    /// A worker is in a wait that is not long enough yet.
    suspicion: bool,
    /// The watcher sleeps for no longer than it takes to see whether that is so.
    hurried: bool,
    /// The last look at an admission.
    looked_at: u64,
    /// Admissions in a row that made no look, although it would have mattered.
    unlooked: u32,
    /// When workers were last found blocked, the earliest first.
    noticed_at: [Option<u64>; FREQUENT],
    /// When a leader last came back that had been away for long.
    absent_at: Option<u64>,
    /// The mean time between two of these, as far as measured.
    between_absences: u64,
    /// Mean handler time, as far as measured, and that of the last batch alone.
    handler_ns: u64,
    last_handler_ns: u64,
    taken_since_harvest: u32,

    calls: u64,
    pub(crate) waits: Waits,
    arrived: u64,
    taken: u64,
    handed_over: u64,
    wakes: u64,
    futile_wakes: u64,
    harvests: u64,
    alarms: u64,
    rescues: u64,
    looks: u64,
    noticed: u64,
}

impl<F: Fifo> State<F> {
    pub(crate) fn new(config: Config) -> Self {
        assert!(
            config.concurrency > 0,
            "a concurrency value of 0 is resolved by the caller"
        );
        State {
            config,
            packets: F::default(),
            active: 0,
            blocked: 0,
            observed: 0,
            workers: Vec::new(),
            stack: Vec::new(),
            leader: None,
            watcher: None,
            standby: None,
            alarm_is_set: false,
            alarms_in_a_row: 0,
            look_under_way: false,
            vigil: Vigil::Off,
            closed: false,
            clock: 0,
            interval: TICK_MIN,
            taken_at_tick: 0,
            arrived_at_tick: 0,
            harvests_at_tick: 0,
            moved_at: 0,
            busy_at: 0,
            quiet: false,
            suspicion: false,
            hurried: false,
            looked_at: 0,
            unlooked: 0,
            noticed_at: [None; FREQUENT],
            absent_at: None,
            between_absences: WATCHFUL.as_nanos() as u64,
            handler_ns: 0,
            last_handler_ns: LOOK_AFTER.as_nanos() as u64,
            taken_since_harvest: 0,
            calls: 0,
            waits: Waits::new(),
            arrived: 0,
            taken: 0,
            handed_over: 0,
            wakes: 0,
            futile_wakes: 0,
            harvests: 0,
            alarms: 0,
            rescues: 0,
            looks: 0,
            noticed: 0,
        }
    }

    // ---- threads come and go -------------------------------------------------------------------

    /// Binds a thread (CC-3). Reserves what waiting will need, so that waiting cannot fail.
    pub(crate) fn bind(
        &mut self,
        presence: Option<Box<dyn Presence>>,
    ) -> Result<WorkerId, std::collections::TryReserveError> {
        let observed = usize::from(presence.is_some());
        let worker = Worker {
            standing: Standing::Fresh,
            order: Order::None,
            came: 0,
            presence,
            suspected: None,
            asked_at: 0,
            seen_out: None,
            batch_began: None,
            batch_taken: 0,
        };
        let id = match self.workers.iter().position(Option::is_none) {
            Some(id) => id,
            None => {
                self.workers.try_reserve(1)?;
                self.workers.push(None);
                self.workers.len() - 1
            }
        };
        self.stack
            .try_reserve(self.workers.len() - self.stack.len())?;
        self.workers[id] = Some(worker);
        self.observed += observed;
        Ok(id)
    }

    /// A bound thread exits or moves to another port (CC-10). Its presence comes back to be dropped
    /// outside the lock.
    pub(crate) fn unbind(&mut self, me: WorkerId, wakes: &mut Wakes) -> Option<Box<dyn Presence>> {
        self.stand(me, Standing::Fresh);
        // A panic in the engine, or in a destructor that ran there, ends a thread inside `get`.
        self.leave_stack(me);
        if self.leader == Some(me) {
            self.leader = None;
        }
        if self.watcher == Some(me) {
            self.watcher = None;
        }
        if self.standby == Some(me) {
            self.standby = None;
        }
        let presence = self.workers[me].take().and_then(|worker| worker.presence);
        self.observed -= usize::from(presence.is_some());
        self.waits.forget(me);
        self.count_who_runs_again();
        self.settle(true, wakes);
        presence
    }

    /// A bound thread is about to block (CC-8). Whether it gave up its place, which is what
    /// [`unblock`](Self::unblock) takes back.
    pub(crate) fn block(&mut self, me: WorkerId, wakes: &mut Wakes) -> bool {
        if !matches!(
            self.worker(me).standing,
            Standing::Active | Standing::Blocked
        ) {
            return false;
        }
        self.stand(me, Standing::Released);
        // Others take over at once, so what follows leaves nobody waiting.
        self.worker(me).batch_began = None;
        self.count_who_runs_again();
        self.settle(true, wakes);
        true
    }

    /// It runs again, and counts at once, whatever the limit (CC-9).
    pub(crate) fn unblock(&mut self, me: WorkerId) {
        // If it has called `get` meanwhile it counts already.
        if self.worker(me).standing == Standing::Released {
            self.stand(me, Standing::Active);
        }
    }

    /// A thread enters `get` and so gives up its count (CC-5).
    pub(crate) fn arrive(&mut self, me: WorkerId) {
        self.calls += 1;
        let calls = self.calls;
        self.worker(me).came = calls;
        self.stand(me, Standing::Inside);
    }

    /// A thread leaves `get`, for whatever reason, and counts from now on (CC-4).
    fn go_out(&mut self, me: WorkerId) {
        self.stand(me, Standing::Active);
        if self.watcher == Some(me) {
            self.watcher = None;
        }
    }

    /// Every change of what a worker counts for.
    #[inline]
    fn stand(&mut self, me: WorkerId, standing: Standing) {
        let worker = self.worker(me);
        let before = std::mem::replace(&mut worker.standing, standing);
        worker.seen_out = None;
        worker.suspected = None;
        self.active -= usize::from(before == Standing::Active);
        self.blocked -= usize::from(before == Standing::Blocked);
        self.active += usize::from(standing == Standing::Active);
        self.blocked += usize::from(standing == Standing::Blocked);
    }

    // ---- packets come --------------------------------------------------------------------------

    /// A packet arrives from a thread that is not the leader. `from` is the worker that brings it,
    /// if a worker of this queue does.
    ///
    /// A closed queue does not take it: it comes back to be dropped outside the lock.
    pub(crate) fn push(
        &mut self,
        packet: F::Packet,
        from: Option<WorkerId>,
        now: impl Fn() -> u64,
        wakes: &mut Wakes,
    ) -> Option<F::Packet> {
        if self.closed {
            return Some(packet);
        }
        self.arrived += 1;
        self.waits.arrived(self.arrived);
        self.packets.push(packet);
        let urgent = !self.is_active(from);
        self.admit(urgent, now, wakes);
        None
    }

    /// Several packets at once, in order. What a closed queue does not take stays in `packets`.
    pub(crate) fn push_all(
        &mut self,
        packets: &mut F,
        from: Option<WorkerId>,
        now: impl Fn() -> u64,
        wakes: &mut Wakes,
    ) {
        if self.closed {
            return;
        }
        self.arrived += packets.len() as u64;
        self.waits.arrived(self.arrived);
        self.packets.append(packets);
        let urgent = !self.is_active(from);
        self.admit(urgent, now, wakes);
    }

    /// Whether this is a worker that counts. One that was found blocked, and does something, does
    /// so again (CC-9).
    fn is_active(&mut self, from: Option<WorkerId>) -> bool {
        let standing = |id: WorkerId| Some(self.workers.get(id)?.as_ref()?.standing);
        match (from, from.and_then(standing)) {
            (Some(id), Some(Standing::Blocked)) => {
                self.stand(id, Standing::Active);
                true
            }
            (_, standing) => standing == Some(Standing::Active),
        }
    }

    // ---- a thread inside get -------------------------------------------------------------------

    /// The usual case of [`arrive`](Self::arrive) and [`next`](Self::next) in one: a packet is there
    /// and the thread may take it. `None`: nothing was done.
    #[inline]
    pub(crate) fn take_at_once(
        &mut self,
        me: WorkerId,
        now: impl Fn() -> u64,
        wakes: &mut Wakes,
    ) -> Option<F::Packet> {
        if self.closed || (self.leader.is_none() && self.harvest_due()) || self.blocked > 0 {
            return None;
        }
        let counted = self.worker(me).standing == Standing::Active;
        if self.active - usize::from(counted) >= self.config.concurrency {
            return None;
        }
        let packet = self.packets.pop()?;
        self.arrive(me);
        self.go_out(me);
        self.count_taken(me);
        self.admit(false, now, wakes);
        Some(packet)
    }

    /// What a thread that is awake inside `get` does now.
    pub(crate) fn next(
        &mut self,
        me: WorkerId,
        call: &mut Call,
        now: impl Fn() -> u64,
        wakes: &mut Wakes,
    ) -> Next<F::Packet> {
        if self.closed {
            self.go_out(me);
            return Next::Closed;
        }
        let found = self.look_if_it_matters(false, &now);
        if self.active < self.config.concurrency {
            let nobody_leads = self.leader.is_none();
            if !(nobody_leads && self.harvest_due())
                && let Some(packet) = self.packets.pop()
            {
                self.go_out(me);
                self.count_taken(me);
                self.settle(found, wakes);
                return Next::Take(packet);
            }
            if nobody_leads {
                self.clock = now();
                if !(call.looked && call.expired(self.clock)) {
                    call.looked = true;
                    return self.lead(me, call, wakes);
                }
            }
        }
        self.clock = now();
        if call.expired(self.clock) {
            self.go_out(me);
            self.settle(false, wakes);
            return Next::TimedOut;
        }
        self.sleep(me, call, wakes)
    }

    fn lead(&mut self, me: WorkerId, call: &mut Call, wakes: &mut Wakes) -> Next<F::Packet> {
        self.measure_batch(me);
        self.rearm_vigil();
        self.leader = Some(me);
        if !self.packets.is_empty() || call.expired(self.clock) {
            return Next::Lead {
                timeout: Some(Duration::ZERO),
            };
        }
        self.enter_stack(me);
        // While others are out, they may post to themselves and then compute: somebody has to look.
        if self.watcher.is_none() && self.work_may_wait() {
            self.watch(me);
        }
        self.mind_the_alarm(wakes);
        Next::Lead {
            timeout: self.nap(me, call),
        }
    }

    fn sleep(&mut self, me: WorkerId, call: &mut Call, wakes: &mut Wakes) -> Next<F::Packet> {
        self.rearm_vigil();
        self.enter_stack(me);
        let leader_watches = self.watcher.is_some() && self.watcher == self.leader;
        // Somebody is to stand by before the next leader leaves.
        if (self.watcher.is_none() || leader_watches)
            && (self.work_may_wait() || self.replaces_absent())
        {
            self.watch(me);
        }
        self.mind_the_alarm(wakes);
        // What follows is not a handler's time.
        self.measure_batch(me);
        Next::Sleep {
            timeout: self.nap(me, call),
        }
    }

    /// How long a waiting thread may sleep: to its deadline, and the watcher to its next tick, unless
    /// it stands by.
    fn nap(&mut self, me: WorkerId, call: &mut Call) -> Option<Duration> {
        let until_deadline = call.left(self.clock);
        if self.watcher != Some(me) || self.standby == Some(me) {
            return until_deadline;
        }
        self.hurried = self.suspicion;
        let tick = match self.suspicion {
            true => PATIENCE.min(self.interval),
            false => self.interval,
        };
        Some(until_deadline.map_or(tick, |left| left.min(tick)))
    }

    /// The leader comes back from the engine with what it found there.
    ///
    /// `Some` if a packet was put into its slot meanwhile; otherwise ask [`next`](Self::next).
    pub(crate) fn back_from_engine(
        &mut self,
        me: WorkerId,
        harvest: &mut F,
        now: u64,
        wakes: &mut Wakes,
    ) -> Option<F::Packet> {
        debug_assert_eq!(self.leader, Some(me));
        self.clock = now;
        self.leader = None;
        self.harvests += 1;
        self.taken_since_harvest = 0;
        let found = harvest.len();
        if !self.closed {
            self.arrived += found as u64;
            self.waits.arrived(self.arrived);
            if self.waits.wants_clock() {
                self.waits.read(now);
            }
            self.packets.append(harvest);
        }
        self.leave_stack(me);
        if self.watcher == Some(me) {
            self.tick();
        }
        let worker = self.worker(me);
        worker.batch_began = Some(now);
        worker.batch_taken = 0;
        match std::mem::replace(&mut worker.order, Order::None) {
            Order::Packet(packet) => {
                self.settle(false, wakes);
                Some(packet)
            }
            Order::Look => {
                self.looked();
                None
            }
            Order::None | Order::Watch => None,
        }
    }

    /// A sleeper woke up, for whatever reason: `Err` says what it does next, `Ok` that it asks
    /// [`next`](Self::next). `has_alarm`: whether the engine has one, which is asked when somebody
    /// could stand by.
    pub(crate) fn awake(
        &mut self,
        me: WorkerId,
        call: &mut Call,
        now: u64,
        has_alarm: impl FnOnce() -> bool,
        wakes: &mut Wakes,
    ) -> Result<(), Next<F::Packet>> {
        self.clock = now;
        let stood_by = self.standby.take_if(|standby| *standby == me).is_some();
        let went_off = stood_by && std::mem::take(&mut self.alarm_is_set);
        let watches = self.watcher == Some(me);
        let may_stand_by = watches && self.may_stand_by();
        let mut stands_by = false;
        let gets_up = match self.worker(me).order {
            // Only armed: the next look is one interval from now.
            Order::Watch => {
                self.worker(me).order = Order::None;
                self.watch(me);
                self.look(|| now)
            }
            Order::None if watches && went_off => {
                self.watch(me);
                self.look(|| now) || self.takes_over()
            }
            // For no reason, or by an alarm that was stopped when it had gone off.
            Order::None if watches && stood_by => {
                stands_by = true;
                false
            }
            Order::None if may_stand_by && has_alarm() => {
                self.alarms_in_a_row = 0;
                stands_by = true;
                false
            }
            Order::None => watches && self.tick(),
            Order::Packet(_) | Order::Look => false,
        };
        if gets_up {
            if self.config.policy == WakePolicy::Economy {
                self.leave_stack(me);
                return Ok(());
            }
            // The literal rule releases who began to wait last, which may be this one.
            self.settle(true, wakes);
            wakes.retain(|wake| *wake != Wake::Follower(me));
        }
        match std::mem::replace(&mut self.worker(me).order, Order::None) {
            Order::Packet(packet) => {
                self.settle(false, wakes);
                return Err(Next::Take(packet));
            }
            Order::Look => {
                self.looked();
                return Ok(());
            }
            Order::None | Order::Watch => {}
        }
        if self.closed || call.expired(now) {
            self.leave_stack(me);
            return Ok(());
        }
        if stands_by {
            return Err(self.stand_by(me, call, wakes));
        }
        Err(Next::Sleep {
            timeout: self.nap(me, call),
        })
    }

    fn looked(&mut self) {
        self.look_under_way = false;
        let nothing_to_do = self.packets.is_empty() && self.leader.is_some();
        if nothing_to_do || self.active >= self.config.concurrency {
            self.futile_wakes += 1;
        }
    }

    /// Takes another packet for a thread that has just taken one (GX-1); it still counts once
    /// (CC-12).
    pub(crate) fn take_more(&mut self, me: WorkerId) -> Option<F::Packet> {
        let packet = self.packets.pop()?;
        self.count_taken(me);
        Some(packet)
    }

    fn count_taken(&mut self, me: WorkerId) {
        self.taken += 1;
        self.waits.taken(self.taken, me);
        self.quiet = false;
        self.taken_since_harvest = self.taken_since_harvest.saturating_add(1);
        self.worker(me).batch_taken += 1;
    }

    // ---- whom to wake --------------------------------------------------------------------------

    /// Every wake rule. Called at the end of each critical section that may have made work or
    /// room; `urgent` where economy too follows the literal rule: a packet from outside, a worker
    /// that leaves or blocks.
    ///
    /// Afterwards, as long as threads wait, nothing is stranded: either the leader is in the
    /// engine and no packet waits, or somebody is on the way, or (at the limit, or under economy)
    /// a watcher sleeps with a time-out or by the alarm.
    #[inline]
    fn settle(&mut self, urgent: bool, wakes: &mut Wakes) {
        if !self.closed && !self.stack.is_empty() {
            self.settle_waiters(urgent, wakes);
        } else if self.vigil == Vigil::Armed {
            self.tell_keeper(wakes);
        }
    }

    /// [`settle`](Self::settle) where the limit may be reached by some who are blocked.
    #[inline]
    fn admit(&mut self, urgent: bool, now: impl Fn() -> u64, wakes: &mut Wakes) {
        if !self.closed && !self.stack.is_empty() {
            let found = self.look_if_it_matters(urgent, now);
            self.settle_waiters(urgent || found, wakes);
        } else if self.vigil == Vigil::Armed {
            self.tell_keeper(wakes);
        }
    }

    #[cold]
    fn tell_keeper(&mut self, wakes: &mut Wakes) {
        if self.is_deserted() {
            self.vigil = Vigil::Told;
            wakes.push(Wake::Keeper);
        }
    }

    /// Whether all bound threads are outside, so that nobody would notice what comes. One that has
    /// bound itself is about to come in.
    pub(crate) fn is_deserted(&self) -> bool {
        let is_out = |worker: &Worker<_>| {
            matches!(
                worker.standing,
                Standing::Active | Standing::Released | Standing::Blocked
            )
        };
        !self.closed && self.workers.iter().flatten().all(is_out)
    }

    /// Somebody stays inside.
    fn rearm_vigil(&mut self) {
        if self.vigil == Vigil::Told {
            self.vigil = Vigil::Armed;
        }
    }

    /// From now on the keeper is told, or is not, each time the queue becomes deserted.
    pub(crate) fn keep_vigil(&mut self, keep: bool) {
        self.vigil = match (keep, self.vigil) {
            (false, _) => Vigil::Off,
            (true, Vigil::Off) => Vigil::Armed,
            // Told once is enough, as long as nobody has stayed inside.
            (true, vigil) => vigil,
        };
    }

    fn settle_waiters(&mut self, urgent: bool, wakes: &mut Wakes) {
        let literal = urgent || self.config.policy == WakePolicy::Windows;
        if literal {
            while self.room()
                && let Some(packet) = self.packets.pop()
            {
                self.hand_over(packet, wakes);
            }
        }
        if self.room() && !self.look_under_way {
            // Whoever stands by sees itself that the leader stays away, and only then.
            let stands_by =
                self.standby.is_some() && self.standby == self.watcher && self.replaces_absent();
            let engine_is_empty =
                self.leader.is_none() && (literal || (!stands_by && self.absences_are_frequent()));
            let work = (self.packets.len() as u64).saturating_mul(self.handler_ns);
            let backlog = work > BACKLOG.as_nanos() as u64;
            if engine_is_empty || backlog {
                self.tell_to_look(wakes);
            }
        }
        let unattended = self.leader.is_none() || !self.packets.is_empty();
        if self.watcher.is_none()
            && unattended
            && !self.look_under_way
            && !self.stack.is_empty()
            && (self.room() || self.observed > 0 || self.config.rescue_after.is_some())
        {
            self.tell_to_watch(wakes);
        }
        self.mind_the_alarm(wakes);
    }

    /// Whether somebody waits who may be released.
    fn room(&self) -> bool {
        self.active < self.config.concurrency && !self.stack.is_empty()
    }

    fn hand_over(&mut self, packet: F::Packet, wakes: &mut Wakes) {
        let top = self.pop_waiter(wakes);
        self.go_out(top);
        self.count_taken(top);
        self.handed_over += 1;
        self.worker(top).order = Order::Packet(packet);
    }

    fn tell_to_look(&mut self, wakes: &mut Wakes) {
        let top = self.pop_waiter(wakes);
        if self.watcher == Some(top) {
            self.watcher = None;
        }
        self.look_under_way = true;
        self.worker(top).order = Order::Look;
    }

    /// Arms a watcher where none armed itself by going to sleep. The one that has waited longest
    /// is the least likely to be released soon.
    fn tell_to_watch(&mut self, wakes: &mut Wakes) {
        let follower = self
            .stack
            .iter()
            .copied()
            .find(|&id| Some(id) != self.leader);
        if let Some(id) = follower.or(self.stack.first().copied()) {
            self.order_to_watch(id, wakes);
        }
    }

    fn order_to_watch(&mut self, id: WorkerId, wakes: &mut Wakes) {
        if !matches!(self.worker(id).order, Order::None) {
            return;
        }
        // It begins to watch when it has read the clock.
        self.worker(id).order = Order::Watch;
        self.watcher = Some(id);
        self.interval = self.shortest_interval();
        self.wake(id, wakes);
    }

    fn pop_waiter(&mut self, wakes: &mut Wakes) -> WorkerId {
        let top = self
            .stack
            .pop()
            .expect("callers have checked that somebody waits");
        self.wake(top, wakes);
        top
    }

    fn wake(&mut self, id: WorkerId, wakes: &mut Wakes) {
        self.wakes += 1;
        wakes.push(if self.leader == Some(id) {
            Wake::Leader
        } else if self.standby == Some(id) {
            Wake::Standby
        } else {
            Wake::Follower(id)
        });
    }

    // ---- the watcher ---------------------------------------------------------------------------

    /// Whether work can come to wait although nobody is told: somebody is out, or packets are
    /// queued at the limit.
    fn work_may_wait(&self) -> bool {
        let may_post = self.active > 0 && !self.quiet;
        let may = self.leader.is_none() || !self.packets.is_empty() || may_post;
        may && self.policy_watches()
    }

    fn policy_watches(&self) -> bool {
        self.config.policy == WakePolicy::Economy
            || self.observed > 0
            || self.config.rescue_after.is_some()
    }

    fn watch(&mut self, id: WorkerId) {
        self.watcher = Some(id);
        self.taken_at_tick = self.taken;
        self.arrived_at_tick = self.arrived;
        self.harvests_at_tick = self.harvests;
        self.moved_at = self.clock;
        self.busy_at = self.clock;
        self.interval = self.shortest_interval();
        self.presume_blocked();
    }

    /// Where only a rescue can be needed, ticks are as rare as rescues.
    fn shortest_interval(&self) -> Duration {
        match self.config.rescue_after {
            Some(rescue) if self.only_rescues() => rescue.max(TICK_MIN),
            _ => TICK_MIN,
        }
    }

    fn only_rescues(&self) -> bool {
        let no_room = self.config.policy == WakePolicy::Windows || self.config.concurrency == 1;
        no_room && self.observed == 0
    }

    /// The watcher looks. `true` if it should get up and work; otherwise it sleeps on, with a
    /// time-out if it still is the watcher.
    fn tick(&mut self) -> bool {
        // It has slept only to look twice: that nothing moved so soon means nothing.
        let hurried = std::mem::take(&mut self.hurried);
        let moved = hurried || self.taken != self.taken_at_tick;
        // Handlers that have become slower than they were measured make a backlog look like none ...
        let stale = !hurried && self.taken < self.arrived_at_tick;
        // ... and put the next look into the engine off for long.
        let unseen = !hurried && self.leader.is_none() && self.harvests == self.harvests_at_tick;
        if !hurried {
            if self.taken - self.taken_at_tick > CALM {
                self.busy_at = self.clock;
            }
            self.taken_at_tick = self.taken;
            self.arrived_at_tick = self.arrived;
            self.harvests_at_tick = self.harvests;
            if moved {
                self.moved_at = self.clock;
            }
        }
        let work_may_wait = self.leader.is_none() || !self.packets.is_empty();
        if !work_may_wait {
            self.suspicion = false;
            if self.clock.saturating_sub(self.moved_at) >= QUIET.as_nanos() as u64 {
                self.watcher = None;
                self.quiet = true;
            }
        } else {
            let clock = self.clock;
            self.looked_at = clock;
            let mut found = self.look(|| clock);
            // One second look for each tick, however many short waits there are.
            self.suspicion &= !hurried;
            if self.active >= self.config.concurrency {
                found |= self.presume_blocked();
            }
            if self.active < self.config.concurrency && (found || !moved || stale || unseen) {
                if unseen {
                    self.taken_since_harvest = HARVEST_EVERY;
                }
                self.interval = self.shortest_interval();
                return true;
            }
        }
        if self.is_watchful() {
            self.interval = self.shortest_interval();
        } else if !hurried && !self.only_rescues() {
            self.interval = (self.interval * 2).min(TICK_MAX);
        }
        false
    }

    /// Where workers block, one that does is to be noticed soon.
    fn is_watchful(&self) -> bool {
        self.noticed_at[0]
            .is_some_and(|at| self.clock.saturating_sub(at) < WATCHFUL.as_nanos() as u64)
    }

    fn count_absence(&mut self) {
        let longest = WATCHFUL.as_nanos() as u64;
        let gap = self
            .absent_at
            .map_or(longest, |at| self.clock.saturating_sub(at).min(longest));
        self.between_absences = (self.between_absences * 3 + gap) / 4;
        self.absent_at = Some(self.clock);
    }

    /// Whether somebody takes over the engine from leaders that stay away. The literal rule does that at each
    /// departure, and at a limit of one it would be one too many.
    fn replaces_absent(&self) -> bool {
        self.config.policy == WakePolicy::Economy
            && self.config.concurrency > 1
            && self.absences_are_frequent()
    }

    fn absences_are_frequent(&self) -> bool {
        let lately = |at| self.clock.saturating_sub(at) < WATCHFUL.as_nanos() as u64;
        self.between_absences < OFTEN.as_nanos() as u64 && self.absent_at.is_some_and(lately)
    }

    // ---- the standby ---------------------------------------------------------------------------

    /// Whether the watcher need not tick: for [`QUIET`] so few packets have come that setting an alarm for
    /// each is cheaper, or leaders are absent so often that it is cheaper than waking somebody for each.
    fn may_stand_by(&self) -> bool {
        // A loom model has no room for so many ticks.
        let for_long = cfg!(loom)
            || (self.interval >= TICK_MAX
                && self.clock.saturating_sub(self.busy_at) >= QUIET.as_nanos() as u64);
        let few = for_long && self.taken - self.taken_at_tick <= CALM;
        (few || self.replaces_absent())
            && self.standby.is_none()
            && !self.hurried
            && self.is_attended()
    }

    /// Somebody is in the engine, or on the way there, and no packet waits.
    fn is_attended(&self) -> bool {
        (self.leader.is_some() || self.look_under_way) && self.packets.is_empty()
    }

    /// Whether the alarm has found out that the leader stays away, and somebody may take its place.
    fn takes_over(&self) -> bool {
        self.leader.is_none() && !self.look_under_way && self.may_take_over()
    }

    /// At the limit nobody can.
    fn may_take_over(&self) -> bool {
        self.replaces_absent() && self.active < self.config.concurrency
    }

    /// Whether somebody can after all: the limit is reached by a leader that was taken over from, and blocks, and at
    /// which nobody has looked since, because nothing waited. Where a look costs nothing; the one that has left the
    /// engine has read the clock.
    fn finds_who_blocks(&mut self) -> bool {
        let clock = self.clock;
        self.replaces_absent()
            && self.leader.is_none()
            && self.config.look_every.is_zero()
            && self.look(|| clock)
    }

    fn stand_by(&mut self, me: WorkerId, call: &mut Call, wakes: &mut Wakes) -> Next<F::Packet> {
        self.standby = Some(me);
        // Whatever it was set for before.
        self.alarm_is_set = false;
        wakes.push(Wake::StopAlarm);
        Next::StandBy {
            timeout: self.nap(me, call),
        }
    }

    /// Sets the alarm where the standby has to watch, and stops it where it has not: called whenever
    /// that may have changed, before the lock is let go.
    #[inline]
    fn mind_the_alarm(&mut self, wakes: &mut Wakes) {
        if let Some(standby) = self.standby {
            self.turn_the_alarm(standby, wakes);
        }
    }

    #[inline(never)]
    fn turn_the_alarm(&mut self, standby: WorkerId, wakes: &mut Wakes) {
        // One that was handed a packet, or told to look, is the watcher no more; one that was told to watch has
        // not woken yet. Each is woken by the alarm, which must not be touched from then on.
        if self.watcher != Some(standby)
            || !matches!(self.worker(standby).order, Order::None)
            || self.is_attended() != self.alarm_is_set
        {
            return;
        }
        if self.alarm_is_set {
            self.alarm_is_set = false;
            wakes.push(Wake::StopAlarm);
            return;
        }
        let take_over = self.may_take_over() || self.finds_who_blocks();
        // If whoever is in a wait stays there, it can be told by then.
        let soon = take_over || (self.suspicion && self.replaces_absent());
        if take_over || self.alarms_in_a_row < ALARMS {
            self.alarms_in_a_row += u32::from(!take_over);
            self.alarms += 1;
            self.alarm_is_set = true;
            wakes.push(Wake::SetAlarm(match soon {
                true => TAKE_OVER,
                false => TICK_MIN,
            }));
        } else {
            // Once: it has the order until it is awake.
            self.order_to_watch(standby, wakes);
        }
    }

    // ---- who is blocked ------------------------------------------------------------------------

    /// Looks at an admission, if it can depend on that: packets wait at the limit, or somebody who
    /// was found blocked may run again. `true` if there is a place more.
    #[inline]
    fn look_if_it_matters(&mut self, urgent: bool, now: impl Fn() -> u64) -> bool {
        let at_limit = self.active >= self.config.concurrency && !self.packets.is_empty();
        if self.observed == 0 || !(at_limit || self.blocked > 0) {
            return false;
        }
        // While a worker moves packets fast, each admission would find what the one before found. Of a
        // packet from outside nobody knows how long ago that was. By the last handlers alone: one that was
        // preempted says nothing of the next.
        self.unlooked += 1;
        if !urgent
            && self.config.look_every.is_zero()
            && self.unlooked < LOOK_EVERY
            && takes_less_than(LOOK_AFTER, self.unlooked, self.last_handler_ns)
        {
            self.count_who_runs_again();
            return false;
        }
        self.unlooked = 0;
        if !self.config.look_every.is_zero() {
            let clock = now();
            let every = u64::try_from(self.config.look_every.as_nanos()).unwrap_or(u64::MAX);
            if clock.saturating_sub(self.looked_at) < every {
                return false;
            }
            self.looked_at = clock;
        }
        self.look(now)
    }

    /// Asks of everybody who is out whether it is blocked. Who has been in one wait for [`PATIENCE`], as far
    /// as is known, no longer counts (CC-8); who was found blocked and now runs counts again,
    /// whatever the limit (CC-9). `true` if somebody's place was given away and there is room.
    #[inline(never)]
    fn look(&mut self, now: impl Fn() -> u64) -> bool {
        if self.observed == 0 {
            return false;
        }
        let patience = PATIENCE.as_nanos() as u64;
        let seldom = TICK_MAX.as_nanos() as u64;
        let dear = !self.config.look_every.is_zero();
        let mut clock = None;
        let mut found = false;
        self.suspicion = false;
        self.looks += 1;
        for id in 0..self.workers.len() {
            let Some(worker) = &mut self.workers[id] else {
                continue;
            };
            // One that was handed a packet and has not picked it up waits for nothing but its wake.
            let (Some(presence), false) =
                (&worker.presence, matches!(worker.order, Order::Packet(_)))
            else {
                continue;
            };
            match worker.standing {
                Standing::Active => {
                    let Some(wait) = presence.wait() else {
                        worker.suspected = None;
                        continue;
                    };
                    let clock = *clock.get_or_insert_with(&now);
                    let since = match (wait.began, worker.suspected) {
                        (Some(began), _) => began,
                        (None, Some((same, since))) if same == wait.number => since,
                        _ => clock,
                    };
                    if clock.saturating_sub(since) < patience {
                        worker.suspected = Some((wait.number, since));
                        self.suspicion = true;
                    } else if presence.lasts(wait) {
                        self.stand(id, Standing::Blocked);
                        self.noticed += 1;
                        self.noticed_at.rotate_left(1);
                        self.noticed_at[FREQUENT - 1] = Some(clock);
                        found = true;
                    } else {
                        // It ended while the clock was read, or while this thread was preempted.
                        worker.suspected = None;
                    }
                }
                // Usually the first that is heard of these is that they are back.
                Standing::Blocked => {
                    if dear {
                        let clock = *clock.get_or_insert_with(&now);
                        if clock.saturating_sub(worker.asked_at) < seldom {
                            continue;
                        }
                        worker.asked_at = clock;
                    }
                    if presence.wait().is_none() {
                        self.stand(id, Standing::Active);
                    }
                }
                _ => {}
            }
        }
        found && self.active < self.config.concurrency
    }

    /// Before a place is given away without a look: whoever was found blocked and runs now has it
    /// already (CC-9). Where asking costs something, looks are frequent enough.
    fn count_who_runs_again(&mut self) {
        if self.blocked == 0 || !self.config.look_every.is_zero() {
            return;
        }
        for id in 0..self.workers.len() {
            let blocked = self.workers[id]
                .as_ref()
                .filter(|worker| worker.standing == Standing::Blocked);
            let presence = blocked.and_then(|worker| worker.presence.as_ref());
            if presence.is_some_and(|presence| presence.wait().is_none()) {
                self.stand(id, Standing::Active);
            }
        }
    }

    /// The rescue release: no longer counts workers that have been away too long. Their time
    /// begins when this first sees them out: nobody reads a clock for each packet. So it is at
    /// least the bound, and by as much more as lies between two looks. `true` if somebody's place was
    /// given away.
    fn presume_blocked(&mut self) -> bool {
        let Some(rescue) = self.config.rescue_after else {
            return false;
        };
        let before = self.rescues;
        let bound = u64::try_from(rescue.as_nanos()).unwrap_or(u64::MAX);
        let clock = self.clock;
        // Of one that has a presence it is known whether it blocks or computes.
        let unknown = |worker: &&mut Worker<F::Packet>| {
            worker.standing == Standing::Active && worker.presence.is_none()
        };
        for worker in self.workers.iter_mut().flatten().filter(unknown) {
            let seen = *worker.seen_out.get_or_insert(clock);
            if clock.saturating_sub(seen) >= bound {
                worker.standing = Standing::Released;
                self.active -= 1;
                self.rescues += 1;
            }
        }
        self.rescues > before
    }

    // ---- handler time --------------------------------------------------------------------------

    /// Called when a worker comes back to the engine: what it did since it left it were handlers.
    fn measure_batch(&mut self, me: WorkerId) {
        let clock = self.clock;
        let worker = self.worker(me);
        if let Some(began) = worker.batch_began.take()
            && worker.batch_taken > 0
        {
            let mean = clock.saturating_sub(began) / u64::from(worker.batch_taken);
            if mean > ABSENCE.as_nanos() as u64 {
                self.count_absence();
            }
            // However long a block was, it says no more of the next handlers than that.
            self.handler_ns = (self.handler_ns * 3 + mean.min(ABSENCE.as_nanos() as u64)) / 4;
            self.last_handler_ns = mean;
        }
    }

    fn harvest_due(&self) -> bool {
        let taken = self.taken_since_harvest;
        taken >= HARVEST_EVERY || !takes_less_than(HARVEST_AFTER, taken, self.handler_ns)
    }

    // ---- the end -------------------------------------------------------------------------------

    /// Ends every wait (CX-9). The packets that nobody will take come back (CX-10).
    pub(crate) fn close(&mut self, wakes: &mut Wakes) -> F {
        if !self.closed {
            self.closed = true;
            while !self.stack.is_empty() {
                self.pop_waiter(wakes);
            }
        }
        std::mem::take(&mut self.packets)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            concurrency: self.config.concurrency,
            bound: self.workers.iter().flatten().count(),
            active: self.active,
            blocked: self.blocked,
            overshoot: self.active.saturating_sub(self.config.concurrency),
            waiting: self.stack.len(),
            queued: self.packets.len(),
            arrived: self.arrived,
            taken: self.taken,
            handed_over: self.handed_over,
            wakes: self.wakes,
            futile_wakes: self.futile_wakes,
            harvests: self.harvests,
            alarms: self.alarms,
            rescues: self.rescues,
            looks: self.looks,
            noticed: self.noticed,
            waits: self.waits.histogram(),
        }
    }

    /// Who waits, the next to be released last.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> &[WorkerId] {
        &self.stack
    }

    #[cfg(test)]
    pub(crate) fn make_absences_frequent(&mut self) {
        self.between_absences = 0;
        self.absent_at = Some(self.clock);
    }

    #[cfg(test)]
    pub(crate) fn mean_handler_time(&self) -> Duration {
        Duration::from_nanos(self.handler_ns)
    }

    #[cfg(test)]
    pub(crate) fn counts(&self, id: WorkerId) -> bool {
        let worker = self.workers.get(id).and_then(Option::as_ref);
        worker.is_some_and(|worker| worker.standing == Standing::Active)
    }

    /// How many have a packet in their slot that they have not picked up.
    #[cfg(test)]
    pub(crate) fn handed(&self) -> usize {
        let has_packet = |worker: &&Worker<F::Packet>| matches!(worker.order, Order::Packet(_));
        self.workers.iter().flatten().filter(has_packet).count()
    }

    /// One that was awake for a moment, and waits on, has the place that it had.
    fn enter_stack(&mut self, me: WorkerId) {
        let came = |id: WorkerId| self.workers[id].as_ref().map(|worker| worker.came);
        let mine = came(me);
        let later = self.stack.iter().rev().take_while(|&&id| came(id) > mine);
        let place = self.stack.len() - later.count();
        self.stack.insert(place, me);
    }

    fn leave_stack(&mut self, me: WorkerId) {
        if let Some(place) = self.stack.iter().rposition(|&id| id == me) {
            self.stack.remove(place);
        }
    }

    fn worker(&mut self, id: WorkerId) -> &mut Worker<F::Packet> {
        self.workers[id]
            .as_mut()
            .expect("the caller holds the binding")
    }
}

/// Whether so many handlers of so many nanoseconds each are done in less than `time`.
fn takes_less_than(time: Duration, handlers: u32, each_ns: u64) -> bool {
    u64::from(handlers).saturating_mul(each_ns) < time.as_nanos() as u64
}
