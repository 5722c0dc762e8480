//! The driver around the state machine: lock, ask, unlock, wake, sleep.

use std::time::Duration;

use crate::held_up::except_for_locks;
use crate::parker::Parker;
use crate::state::{Call, Deadline, Next, State, Wake, Wakes, WorkerId};
use crate::sync::{Arc, Mutex, MutexGuard, lock};
use crate::{Config, Ended, Engine, Fifo, Presence, Signals, Stats};

/// The queue of one completion port. Cloning gives another handle to the same queue.
pub struct Queue<F: Fifo> {
    shared: Arc<Shared<F>>,
}

struct Shared<F: Fifo> {
    guarded: Mutex<Guarded<F>>,
}

struct Guarded<F: Fifo> {
    state: State<F>,
    /// By worker.
    parkers: Vec<Option<Arc<Parker>>>,
    keeper: Option<Keeper>,
}

/// What is called when the queue is deserted.
type Keeper = std::sync::Arc<dyn Fn() + Send + Sync>;

/// A thread's membership in a queue (CC-3). The thread that made it is the one that uses it, and
/// dropping it is what the queue takes for that thread's end or departure (CC-10).
pub struct Binding<F: Fifo> {
    queue: Queue<F>,
    id: WorkerId,
    parker: Arc<Parker>,
    /// Its waits may be ended by an [`Alert`].
    alertable: bool,
    /// What it takes to release a waiter when this thread goes.
    signals: Box<dyn Signals + Send>,
}

/// Names a binding without holding it: whoever pushes a packet says with it who brings it. One that
/// has outlived its binding names nobody, or at worst another worker, which only matters for whether
/// somebody is woken at once.
#[derive(Clone, Copy)]
pub struct Member {
    /// The queue's address.
    queue: usize,
    id: WorkerId,
}

impl<F: Fifo> Queue<F> {
    /// Makes a queue.
    ///
    /// # Panics
    ///
    /// If the concurrency value is 0.
    pub fn new(config: Config) -> Self {
        let guarded = Guarded {
            state: State::new(config),
            parkers: Vec::new(),
            keeper: None,
        };
        Queue {
            shared: Arc::new(Shared {
                guarded: Mutex::new(guarded),
            }),
        }
    }

    /// Binds the calling thread. `signals` are the engine's; they are kept so that a departing thread
    /// can wake the leader. `presence` tells whether the thread is blocked;
    /// without it, that is only presumed.
    ///
    /// # Errors
    ///
    /// When there is no memory for another thread's place; nothing is bound then.
    pub fn bind(
        &self,
        signals: Box<dyn Signals + Send>,
        presence: Option<Box<dyn Presence>>,
    ) -> Result<Binding<F>, std::collections::TryReserveError> {
        let parker = Arc::new(Parker::new());
        let presence = presence.map(except_for_locks);
        let mut guarded = self.lock();
        // For the new place, if it needs one: the machine fills places from the front.
        guarded.parkers.try_reserve(1)?;
        let id = guarded.state.bind(presence)?;
        if guarded.parkers.len() <= id {
            guarded.parkers.push(None);
        }
        guarded.parkers[id] = Some(parker.clone());
        drop(guarded);
        Ok(Binding {
            queue: self.clone(),
            id,
            parker,
            alertable: false,
            signals,
        })
    }

    /// Whether both are the same queue.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Queues a packet. `from` says who the calling thread is, if it is bound to a queue.
    ///
    /// # Errors
    ///
    /// A closed queue gives the packet back.
    pub fn push(
        &self,
        engine: &impl Engine<F>,
        packet: F::Packet,
        from: Option<Member>,
    ) -> Result<(), F::Packet> {
        let mut wakes = Wakes::new();
        let mut guarded = self.lock();
        let from = self.worker(from);
        let refused = guarded
            .state
            .push(packet, from, || engine.now(), &mut wakes);
        guarded.clock_arrivals(engine);
        guarded.unlock_and_wake(wakes, engine);
        refused.map_or(Ok(()), Err)
    }

    /// Queues several packets in order, under one lock. What stays in `packets` was refused
    /// because the queue is closed.
    pub fn push_all(&self, engine: &impl Engine<F>, packets: &mut F, from: Option<Member>) {
        if packets.is_empty() {
            return;
        }
        let mut wakes = Wakes::new();
        let mut guarded = self.lock();
        guarded
            .state
            .push_all(packets, self.worker(from), || engine.now(), &mut wakes);
        guarded.clock_arrivals(engine);
        guarded.unlock_and_wake(wakes, engine);
    }

    /// Who it is here.
    fn worker(&self, member: Option<Member>) -> Option<WorkerId> {
        member
            .filter(|member| member.queue == self.address())
            .map(|member| member.id)
    }

    fn address(&self) -> usize {
        &raw const *self.shared as usize
    }

    /// Waits for a packet until `deadline`; one that has passed already looks once, at the engine
    /// too. What is left of the deadline stays there for another call.
    ///
    /// # Errors
    ///
    /// [`Ended::TimedOut`] or [`Ended::Closed`]; no packet was consumed then (CC-11).
    pub fn get(
        &self,
        engine: &impl Engine<F>,
        me: &mut Binding<F>,
        deadline: &mut Deadline,
    ) -> Result<F::Packet, Ended> {
        debug_assert!(self.same(&me.queue));
        let mut wakes = Wakes::new();
        let mut guarded = self.lock();
        if let Some(packet) = guarded
            .state
            .take_at_once(me.id, || engine.now(), &mut wakes)
        {
            guarded.clock_leave(me.id, engine);
            guarded.unlock_and_wake(wakes, engine);
            return Ok(packet);
        }
        self.wait(engine, me, deadline, guarded)
    }

    /// [`get`](Queue::get) when it is not a matter of just taking a packet. A function of its own,
    /// because the code that each packet runs through is best small: it shares the processor's
    /// first cache with the kernel's.
    #[inline(never)]
    fn wait<'a>(
        &'a self,
        engine: &impl Engine<F>,
        me: &mut Binding<F>,
        deadline: &mut Deadline,
        mut guarded: Unlocker<'a, F>,
    ) -> Result<F::Packet, Ended> {
        let mut wakes = Wakes::new();
        let mut call = Call::until(*deadline);
        guarded.state.arrive(me.id);
        let mut next = guarded
            .state
            .next(me.id, &mut call, || engine.now(), &mut wakes);
        loop {
            match next {
                Next::Take(packet) => {
                    guarded.clock_leave(me.id, engine);
                    guarded.unlock_and_wake(wakes, engine);
                    *deadline = call.deadline;
                    return Ok(packet);
                }
                Next::TimedOut => {
                    guarded.unlock_and_wake(wakes, engine);
                    return Err(Ended::TimedOut);
                }
                Next::Closed => return Err(Ended::Closed),
                Next::Lead { timeout } => {
                    guarded.unlock_and_wake(std::mem::take(&mut wakes), engine);
                    let mut harvest = F::default();
                    engine.wait(timeout, &mut harvest);
                    me.look_for_alert(&mut call);
                    let now = engine.now();
                    guarded = self.lock();
                    let handed =
                        guarded
                            .state
                            .back_from_engine(me.id, &mut harvest, now, &mut wakes);
                    next = match handed {
                        Some(packet) => Next::Take(packet),
                        None => guarded
                            .state
                            .next(me.id, &mut call, || engine.now(), &mut wakes),
                    };
                    // A closed queue left the harvest to us; dropping it must not hold the lock.
                    if !harvest.is_empty() {
                        drop(guarded);
                        drop(harvest);
                        guarded = self.lock();
                    }
                }
                Next::Sleep { timeout } | Next::StandBy { timeout } => {
                    let stands_by = matches!(next, Next::StandBy { .. });
                    guarded.unlock_and_wake(std::mem::take(&mut wakes), engine);
                    match stands_by {
                        true => engine.wait_for_alarm(timeout),
                        false => me.parker.park(timeout),
                    }
                    me.look_for_alert(&mut call);
                    let now = engine.now();
                    guarded = self.lock();
                    // An alert wakes whoever sleeps in its parker.
                    let has_alarm = || !me.alertable && engine.has_alarm();
                    let state = &mut guarded.state;
                    next = match state.awake(me.id, &mut call, now, has_alarm, &mut wakes) {
                        Err(next) => next,
                        Ok(()) => guarded
                            .state
                            .next(me.id, &mut call, || engine.now(), &mut wakes),
                    };
                }
            }
        }
    }

    /// Takes up to `most` packets that are queued now, for a thread that has just got one (GX-1).
    pub fn take_more(&self, engine: &impl Engine<F>, me: &Binding<F>, most: usize, into: &mut F) {
        let mut guarded = self.lock();
        for _ in 0..most {
            let Some(packet) = guarded.state.take_more(me.id) else {
                break;
            };
            into.push(packet);
        }
        guarded.clock_leave(me.id, engine);
    }

    /// The bound thread gives up its place because it is about to block (CC-8). `true` if it had
    /// one; then [`unblock`](Queue::unblock) must follow.
    pub fn block(&self, engine: &impl Engine<F>, me: &Binding<F>) -> bool {
        let mut wakes = Wakes::new();
        let mut guarded = self.lock();
        let released = guarded.state.block(me.id, &mut wakes);
        guarded.unlock_and_wake(wakes, engine);
        released
    }

    /// The bound thread runs again and counts at once (CC-9).
    pub fn unblock(&self, me: &Binding<F>) {
        self.lock().state.unblock(me.id);
    }

    /// Ends every wait, now and later (CX-9). Returns the packets that nobody will take (CX-10).
    pub fn close(&self, engine: &impl Engine<F>) -> F {
        let mut wakes = Wakes::new();
        let mut guarded = self.lock();
        let left = guarded.state.close(&mut wakes);
        guarded.unlock_and_wake(wakes, engine);
        left
    }

    /// Whether the queue was closed.
    pub fn is_closed(&self) -> bool {
        self.lock().state.is_closed()
    }

    /// Says who is told, from now on, each time the queue becomes *deserted*: all bound threads are
    /// outside, so that nobody would notice what comes. For whoever can send another thread. It is
    /// called by the thread that went out last, with no lock held; nothing is told before
    /// [`keep_vigil`](Queue::keep_vigil). `false` if somebody is already.
    pub fn set_keeper(&self, keeper: impl Fn() + Send + Sync + 'static) -> bool {
        let mut guarded = self.lock();
        let first = guarded.keeper.is_none();
        if first {
            guarded.keeper = Some(std::sync::Arc::new(keeper));
        }
        first
    }

    /// Whether the keeper is to be told. It is not told of what is so already: look afterwards.
    pub fn keep_vigil(&self, keep: bool) {
        self.lock().state.keep_vigil(keep);
    }

    /// Whether all bound threads are outside, and the queue is open.
    pub fn is_deserted(&self) -> bool {
        self.lock().state.is_deserted()
    }

    /// A snapshot of the counts.
    pub fn stats(&self) -> Stats {
        self.lock().state.stats()
    }

    /// Wakes a sleeping thread so that it sees that the model's clock has moved.
    #[cfg(loom)]
    pub fn expire(&self, worker: usize) {
        let parker = self.lock().parkers.get(worker).cloned().flatten();
        if let Some(parker) = parker {
            parker.unpark();
        }
    }

    fn lock(&self) -> Unlocker<'_, F> {
        Unlocker {
            guard: lock(&self.shared.guarded),
        }
    }
}

impl<F: Fifo> Clone for Queue<F> {
    fn clone(&self) -> Self {
        Queue {
            shared: self.shared.clone(),
        }
    }
}

/// Ends a thread's wait as if its time were up, if its waits may be ended so.
#[derive(Clone)]
pub struct Alert(Arc<Parker>);

impl Alert {
    /// Ends the wait, or the next. If the thread leads, the engine has to be interrupted too.
    pub fn raise(&self) {
        self.0.alert();
    }
}

impl<F: Fifo> Binding<F> {
    /// Lets the thread's waits be ended by what this gives, until
    /// [`end_alerts`](Binding::end_alerts).
    pub fn begin_alerts(&mut self) -> Alert {
        self.parker.take_alert();
        self.alertable = true;
        Alert(self.parker.clone())
    }

    /// Its waits are ended by packets and time alone again.
    pub fn end_alerts(&mut self) {
        self.alertable = false;
    }

    /// The time of an alerted wait is up.
    fn look_for_alert(&self, call: &mut Call) {
        if self.alertable && self.parker.take_alert() {
            call.deadline = Deadline::At(0);
        }
    }

    /// The queue that the thread is bound to.
    pub fn queue(&self) -> &Queue<F> {
        &self.queue
    }

    /// What names it.
    pub fn member(&self) -> Member {
        Member {
            queue: self.queue.address(),
            id: self.id,
        }
    }
}

impl<F: Fifo> Drop for Binding<F> {
    fn drop(&mut self) {
        let mut wakes = Wakes::new();
        let mut guarded = self.queue.lock();
        let presence = guarded.state.unbind(self.id, &mut wakes);
        guarded.parkers[self.id] = None;
        guarded.unlock_and_wake(wakes, &*self.signals);
        drop(presence);
    }
}

impl<F: Fifo> Guarded<F> {
    /// For packets that have just arrived, if their waits are measured.
    #[inline]
    fn clock_arrivals(&mut self, engine: &impl Engine<F>) {
        if self.state.waits.wants_clock() {
            self.state.waits.read(engine.now());
        }
    }

    /// For a worker that leaves with a packet, if its wait is measured.
    #[inline]
    fn clock_leave(&mut self, me: WorkerId, engine: &impl Engine<F>) {
        if self.state.waits.wants_leave() {
            self.state.waits.left(me, || engine.now());
        }
    }
}

/// The locked queue. Wakes happen after the lock is gone: a wake costs its waker as much as
/// several requests, and the woken thread's first act is to lock.
struct Unlocker<'a, F: Fifo> {
    guard: MutexGuard<'a, Guarded<F>>,
}

impl<F: Fifo> Unlocker<'_, F> {
    #[inline]
    fn unlock_and_wake(self, wakes: Wakes, signals: &(impl Signals + ?Sized)) {
        if !wakes.is_empty() {
            self.wake(wakes, signals);
        }
    }

    #[inline(never)]
    fn wake(self, wakes: Wakes, signals: &(impl Signals + ?Sized)) {
        // Under the lock, unlike the wakes: a stop that comes late would undo what was set meanwhile,
        // and leave nobody who watches.
        for wake in &wakes {
            match wake {
                Wake::SetAlarm(after) => signals.set_alarm(Some(*after)),
                Wake::StopAlarm => signals.set_alarm(None),
                _ => {}
            }
        }
        let whom: smallvec::SmallVec<[Option<Arc<Parker>>; 4]> = wakes
            .iter()
            .map(|wake| match wake {
                Wake::Follower(id) => self.guard.parkers[*id].clone(),
                _ => None,
            })
            .collect();
        let keeper = wakes
            .contains(&Wake::Keeper)
            .then(|| self.guard.keeper.clone())
            .flatten();
        drop(self.guard);
        for (wake, parker) in wakes.iter().zip(whom) {
            match (wake, parker) {
                (Wake::Leader, _) => signals.interrupt(),
                (Wake::Standby, _) => signals.set_alarm(Some(Duration::ZERO)),
                (Wake::Keeper, _) => keeper.iter().for_each(|keeper| keeper()),
                (Wake::Follower(_), Some(parker)) => parker.unpark(),
                (Wake::Follower(_) | Wake::SetAlarm(_) | Wake::StopAlarm, _) => {}
            }
        }
    }
}

impl<F: Fifo> std::ops::Deref for Unlocker<'_, F> {
    type Target = Guarded<F>;

    fn deref(&self) -> &Guarded<F> {
        &self.guard
    }
}

impl<F: Fifo> std::ops::DerefMut for Unlocker<'_, F> {
    fn deref_mut(&mut self) -> &mut Guarded<F> {
        &mut self.guard
    }
}
