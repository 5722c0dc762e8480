//! The keeper, the workers, and what they tell each other.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::away::{Away, Place};
use super::error::{Payload, WorkersError};
use super::trace;
use super::watchman::Watchman;
use super::{PanicPolicy, WorkersStats};
use crate::{CompletionPort, GetError, Packet};

/// After a thread could not be started, how long to wait at first before the next attempt ...
const PAUSE: Duration = Duration::from_millis(10);

/// ... and at most, after more of them.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Plan {
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) name: String,
    pub(super) stack_size: Option<usize>,
    pub(super) on_panic: PanicPolicy,
    pub(super) keep_alive: Duration,
}

/// What the threads of a pool share.
#[derive(Default)]
pub(super) struct House {
    guarded: Mutex<Guarded>,
    changed: Condvar,
}

#[derive(Default)]
struct Guarded {
    gate: Gate,
    /// The keeper should look.
    news: bool,
    /// A worker has gone out, and the watchman wanted to know; or there is a new one.
    announced: bool,
    /// Workers that have not come back from their first `get`.
    on_the_way: usize,
    /// By number.
    places: BTreeMap<u64, Arc<Place>>,
    /// Who ended, and has not been joined.
    ended: Vec<(u64, Ending)>,
    stats: WorkersStats,
    first_panic: Option<Payload>,
    failure: Option<io::Error>,
}

/// Workers wait here until all of them are there: so a pool is either started or has done nothing.
#[derive(Default)]
enum Gate {
    #[default]
    Shut,
    Open,
    Abandoned(Option<io::Error>),
}

/// Why a worker ended.
enum Ending {
    /// The port was closed, or the pool never opened.
    Told,
    NotNeeded,
    Panicked(Payload),
    /// It could not even begin.
    NotBound(io::Error),
    Failed(io::Error),
}

impl House {
    fn lock(&self) -> MutexGuard<'_, Guarded> {
        // Every critical section is whole before it can panic.
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, guarded: MutexGuard<'a, Guarded>) -> MutexGuard<'a, Guarded> {
        self.changed
            .wait(guarded)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the keeper look.
    fn tell(&self, what: impl FnOnce(&mut Guarded)) {
        let mut guarded = self.lock();
        what(&mut guarded);
        guarded.news = true;
        drop(guarded);
        self.changed.notify_all();
    }

    fn set_gate(&self, gate: Gate) {
        self.tell(|guarded| guarded.gate = gate);
    }

    /// Whether the pool is opened, when that is decided.
    fn opens(&self) -> bool {
        let mut guarded = self.lock();
        loop {
            match guarded.gate {
                Gate::Shut => guarded = self.wait(guarded),
                Gate::Open => return true,
                Gate::Abandoned(_) => return false,
            }
        }
    }

    pub(super) fn stats(&self) -> WorkersStats {
        self.lock().stats
    }

    fn places(&self) -> BTreeMap<u64, Arc<Place>> {
        self.lock().places.clone()
    }

    pub(super) fn away(&self, at_least: Duration) -> Vec<Away> {
        let places = self.places();
        let now = Instant::now();
        let long = |place: &Arc<Place>| place.look(now, at_least);
        places.values().filter_map(long).collect()
    }

    pub(super) fn verdict(&self, keeper: thread::Result<()>) -> Result<(), WorkersError> {
        let mut guarded = self.lock();
        if let Some(error) = guarded.failure.take() {
            return Err(WorkersError::failed(error));
        }
        let panics = guarded.stats.panics;
        match (guarded.first_panic.take(), keeper) {
            (Some(first), _) => Err(WorkersError::panicked(panics, first)),
            (None, Err(payload)) => Err(WorkersError::panicked(1, payload)),
            (None, Ok(())) => Ok(()),
        }
    }
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.stats().fmt(f)
    }
}

/// What a thread needs to be a worker.
pub(super) struct Crew<K, T, H> {
    house: Arc<House>,
    /// One that does not keep the port open.
    port: CompletionPort<K, T>,
    handler: Arc<H>,
    plan: Arc<Plan>,
    watchman: Option<Watchman>,
}

/// A thread, and whether it is of the minimum.
struct Hired {
    thread: JoinHandle<()>,
    permanent: bool,
}

impl<K, T, H> Crew<K, T, H>
where
    K: Send + Sync + 'static,
    T: Send + 'static,
    H: Fn(Packet<K, T>, &CompletionPort<K, T>) + Send + Sync + 'static,
{
    pub(super) fn new(
        house: Arc<House>,
        port: &CompletionPort<K, T>,
        handler: H,
        plan: Plan,
        watchman: Option<Watchman>,
    ) -> Self {
        Crew {
            house,
            port: port.lent(),
            handler: Arc::new(handler),
            plan: Arc::new(plan),
            watchman,
        }
    }

    /// Starts the keeper, and waits until it has started the others.
    pub(super) fn begin(self, on_end: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
        let house = self.house.clone();
        let keeper = thread::Builder::new()
            .name(format!("{} keeper", self.plan.name))
            .spawn(move || {
                if self.keep() {
                    on_end();
                }
            })?;
        if house.opens() {
            return Ok(keeper);
        }
        let _ = keeper.join();
        match &mut house.lock().gate {
            Gate::Abandoned(error) => Err(error.take().unwrap_or_else(|| {
                io::Error::other("the workers' keeper ended before it had started them")
            })),
            _ => unreachable!("it did not open"),
        }
    }

    fn hire(&self, number: u64, permanent: bool) -> io::Result<Hired> {
        let name = format!("{} {number}", self.plan.name);
        let mut builder = thread::Builder::new().name(name.clone());
        if let Some(bytes) = self.plan.stack_size {
            builder = builder.stack_size(bytes);
        }
        let place = Arc::new(Place::new(name.clone()));
        let worker = Worker {
            house: self.house.clone(),
            port: self.port.lent(),
            handler: self.handler.clone(),
            patience: (!permanent).then_some(self.plan.keep_alive),
            place: place.clone(),
        };
        let mut guarded = self.house.lock();
        let peak = guarded.stats.peak;
        guarded.on_the_way += 1;
        guarded.places.insert(number, place);
        // A new one has not been asked to announce itself.
        guarded.announced = true;
        // Before it runs, so that what it does is never seen without it.
        let stats = &mut guarded.stats;
        stats.threads += 1;
        stats.started += 1;
        stats.peak = stats.peak.max(stats.threads);
        let threads = stats.threads;
        drop(guarded);
        match builder.spawn(move || worker.run(number)) {
            Ok(thread) => {
                trace::started(self.port.number(), &name, threads);
                Ok(Hired { thread, permanent })
            }
            Err(error) => {
                let mut guarded = self.house.lock();
                let stats = &mut guarded.stats;
                stats.threads -= 1;
                stats.started -= 1;
                stats.peak = peak;
                guarded.on_the_way -= 1;
                guarded.places.remove(&number);
                Err(error)
            }
        }
    }

    /// The keeper. Returns whether the pool ever began.
    fn keep(mut self) -> bool {
        let mut watchman = self.watchman.take();
        let mut hired = BTreeMap::new();
        let mut number = 0;
        // The last number is its thread's; numbers are not used again.
        let mut hire = |hired: &mut BTreeMap<u64, Hired>, permanent| {
            let worker = self.hire(number, permanent)?;
            hired.insert(number, worker);
            number += 1;
            io::Result::Ok(())
        };
        let mut begun = Ok(());
        while begun.is_ok() && hired.len() < self.plan.min {
            begun = hire(&mut hired, true);
        }
        let house = Arc::downgrade(&self.house);
        let tell = move || {
            if let Some(house) = house.upgrade() {
                house.tell(|_| ());
            }
        };
        if begun.is_ok() && !self.port.set_keeper(tell) {
            let text = "the port has workers already";
            begun = Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        if let Err(error) = begun {
            self.house.set_gate(Gate::Abandoned(Some(error)));
            for (_, Hired { thread, .. }) in hired {
                let _ = thread.join();
            }
            return false;
        }
        self.house.set_gate(Gate::Open);

        let port_number = self.port.number();
        let mut rescues = 0;
        // After an attempt that failed: when the next one is due, and how long to wait after it.
        let mut pause: Option<Instant> = None;
        let mut next_pause = PAUSE;
        loop {
            let mut failed = self.take_leave(&mut hired);
            if self.port.is_closed() && hired.is_empty() {
                return true;
            }
            let paused = pause.is_some_and(|until| Instant::now() < until);
            if !paused && failed.is_none() && !self.port.is_closed() {
                pause = None;
                while failed.is_none()
                    && hired.values().filter(|hired| hired.permanent).count() < self.plan.min
                {
                    failed = hire(&mut hired, true).err();
                }
                // First the vigil, then the look: so nothing is missed between.
                self.port.keep_vigil(hired.len() < self.plan.max);
                if failed.is_none() && hired.len() < self.plan.max && self.nobody_is_in_reserve() {
                    failed = hire(&mut hired, false).err();
                    self.port.keep_vigil(hired.len() < self.plan.max);
                    if failed.is_none() {
                        next_pause = PAUSE;
                    }
                }
            }
            if let Some(error) = failed {
                trace::not_started(port_number, &error, next_pause);
                self.house.lock().stats.failures += 1;
                pause = Some(Instant::now() + next_pause);
                next_pause = (next_pause * 2).min(LONGEST_PAUSE);
            }
            let next_round = match &mut watchman {
                None => None,
                Some(watchman) => {
                    if std::mem::take(&mut self.house.lock().announced) {
                        watchman.hear(Instant::now());
                    }
                    if watchman.look(|| self.house.places()) && trace::ON {
                        let before = rescues;
                        rescues = self.port.stats().queue.map_or(0, |queue| queue.rescues);
                        if rescues > before {
                            trace::presumed_blocked(port_number, rescues - before);
                        }
                    }
                    watchman.next()
                }
            };
            self.await_news([pause, next_round].into_iter().flatten().min());
        }
    }

    fn nobody_is_in_reserve(&self) -> bool {
        self.house.lock().on_the_way == 0 && self.port.is_deserted()
    }

    fn await_news(&self, until: Option<Instant>) {
        let mut guarded = self.house.lock();
        while !guarded.news {
            guarded = match until {
                None => self.house.wait(guarded),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    let waited = self.house.changed.wait_timeout(guarded, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        guarded.news = false;
    }

    /// Joins those who have ended. Why one of them could not begin, if so.
    fn take_leave(&self, hired: &mut BTreeMap<u64, Hired>) -> Option<io::Error> {
        let ended = std::mem::take(&mut self.house.lock().ended);
        let mut not_bound = None;
        for (number, ending) in ended {
            let permanent = hired.remove(&number).is_some_and(|hired| {
                // Only now it is gone from the port, too.
                let _ = hired.thread.join();
                hired.permanent
            });
            let (port, threads) = (self.port.number(), hired.len());
            match &ending {
                Ending::NotNeeded => trace::not_needed(port, threads),
                Ending::Panicked(_) => trace::panicked(port, threads),
                Ending::Failed(error) => trace::failed(port, error),
                Ending::Told | Ending::NotBound(_) => {}
            }
            let mut guarded = self.house.lock();
            guarded.places.remove(&number);
            guarded.stats.threads -= 1;
            let mut closes = false;
            match ending {
                Ending::Told => {}
                Ending::NotNeeded => guarded.stats.idled_out += 1,
                Ending::Panicked(payload) => {
                    guarded.stats.panics += 1;
                    closes = self.plan.on_panic == PanicPolicy::End;
                    if guarded.first_panic.is_none() {
                        guarded.first_panic = Some(payload);
                    }
                }
                Ending::NotBound(error) if !permanent => not_bound = Some(error),
                Ending::NotBound(error) | Ending::Failed(error) => {
                    guarded.failure = Some(error);
                    closes = true;
                }
            }
            drop(guarded);
            if closes {
                // It runs destructors of the user's, and the others must be joined all the same.
                let _ = catch_unwind(AssertUnwindSafe(|| self.port.close()));
            }
        }
        not_bound
    }
}

impl<K, T, H> Drop for Crew<K, T, H> {
    /// Whoever waits for the pool to begin need not wait for ever.
    fn drop(&mut self) {
        if matches!(self.house.lock().gate, Gate::Shut) {
            self.house.set_gate(Gate::Abandoned(None));
        }
    }
}

/// When it ends, the worker has come back from its first `get`. Whether it was needed at once decides
/// if another one is.
struct OnTheWay<'a>(&'a House);

impl Drop for OnTheWay<'_> {
    fn drop(&mut self) {
        self.0.tell(|guarded| guarded.on_the_way -= 1);
    }
}

struct Worker<K, T, H> {
    house: Arc<House>,
    port: CompletionPort<K, T>,
    handler: Arc<H>,
    /// How long it waits to be needed.
    patience: Option<Duration>,
    place: Arc<Place>,
}

impl<K, T, H> Worker<K, T, H>
where
    K: Send + Sync + 'static,
    T: Send + 'static,
    H: Fn(Packet<K, T>, &CompletionPort<K, T>) + Send + Sync + 'static,
{
    fn run(self, number: u64) {
        self.place.occupy();
        let house = self.house.clone();
        let ending = catch_unwind(AssertUnwindSafe(|| {
            if house.opens() {
                self.work()
            } else {
                Ending::Told
            }
        }));
        let ending = ending.unwrap_or_else(Ending::Panicked);
        house.tell(|guarded| guarded.ended.push((number, ending)));
    }

    /// By value: what the handler has captured may go with the last of the workers.
    fn work(self) -> Ending {
        let way = OnTheWay(&self.house);
        let first = self.get();
        drop(way);
        let mut next = match first {
            Err(GetError::Failed(error)) => return Ending::NotBound(error),
            other => other,
        };
        let announce = || self.house.tell(|guarded| guarded.announced = true);
        loop {
            match next {
                Ok(packet) => self
                    .place
                    .while_out(announce, || (self.handler)(packet, &self.port)),
                Err(GetError::Closed) => return Ending::Told,
                // The last one stays: it would be missed at once.
                Err(GetError::TimedOut) if self.port.is_deserted() => {}
                Err(GetError::TimedOut) => return Ending::NotNeeded,
                Err(error) => return Ending::Failed(error.into()),
            }
            next = self.get();
        }
    }

    /// One packet at a time: those of a batch would wait behind a handler that blocks.
    fn get(&self) -> Result<Packet<K, T>, GetError> {
        match self.patience {
            None => self.port.get(),
            Some(patience) => self.port.get_timeout(patience),
        }
    }
}
