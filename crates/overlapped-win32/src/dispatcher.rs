//! Who waits for which object.
//!
//! Windows decides every wait under one lock, and so does this: a wait for all of several objects
//! takes them together or not at all, a mutex knows its owner, and nobody can slip in between the
//! look at an object and the sleep. Each object that can be waited for has a [`Signal`], which is
//! a place in the dispatcher; each thread that waits stands in the lists of what it waits for, first
//! come first served, with a condition variable of its own. Whoever signals decides on the spot
//! whose wait that ends, takes for it what it waited for, and takes it out of its lists; a thread
//! whose time is up finds under the lock that it was decided or takes itself out. So a signal is
//! never lost between the two, and never given twice.
//!
//! A call that is queued to a thread (an APC) ends an alertable wait in the same way: the thread
//! leaves with its queue how to end its wait, and whoever queues a call does that here, under the
//! lock. What the objects allow goes before the calls, and the calls before the end of time.
//!
//! One lock is no bottleneck: events and mutexes are what servers start and stop with. The port, and
//! the locks that live in the program's memory, do not pass through here.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slab::Slab;
use smallvec::SmallVec;

use crate::objects::Thread;
use crate::thread::{self, ThreadId};

/// What ending a wait for an object does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: it stays signalled until somebody resets it.
    Until,
    /// Takes the signal.
    Once,
    /// Takes one of as many as there are (a semaphore), at most this many.
    Counted(u32),
    /// Makes the waiter its owner, again if it is (a mutex).
    Owned,
}

/// An object's place here.
pub(crate) struct Signal {
    key: usize,
}

struct State {
    kind: Kind,
    /// How many waits could end now; of a mutex, how often its owner has it.
    count: u32,
    owner: Option<ThreadId>,
    /// Its owner ended without letting go.
    abandoned: bool,
    waiters: VecDeque<Arc<Waiter>>,
}

struct Waiter {
    thread: ThreadId,
    keys: SmallVec<[usize; 4]>,
    all: bool,
    /// Under the dispatcher's lock.
    ended: Mutex<Option<Ended>>,
    wake: Condvar,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By this one of the objects, the first one of all.
    Signalled(usize),
    /// As before, and a mutex among them was abandoned.
    Abandoned(usize),
    TimedOut,
    /// A call was queued to the thread, which may be called in this wait.
    Alerted,
}

static SIGNALS: Mutex<Slab<State>> = Mutex::new(Slab::new());

fn signals() -> MutexGuard<'static, Slab<State>> {
    SIGNALS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Signal {
    pub(crate) fn new(kind: Kind, count: u32) -> Self {
        let state = State {
            kind,
            count,
            owner: (kind == Kind::Owned && count > 0).then(ThreadId::current),
            abandoned: false,
            waiters: VecDeque::new(),
        };
        Signal {
            key: signals().insert(state),
        }
    }

    /// Signals it.
    pub(crate) fn set(&self) {
        let mut signals = signals();
        signals[self.key].count = 1;
        serve(&mut signals, self.key);
    }

    pub(crate) fn reset(&self) {
        signals()[self.key].count = 0;
    }

    /// Ends the waits that are there, and is not signalled after them.
    pub(crate) fn pulse(&self) {
        let mut signals = signals();
        signals[self.key].count = 1;
        serve(&mut signals, self.key);
        signals[self.key].count = 0;
    }

    /// Whether a wait of the calling thread would end now.
    pub(crate) fn is_set(&self) -> bool {
        signals()[self.key].admits(ThreadId::current())
    }

    /// Adds to a semaphore; its count before, or `None` if that would be too many.
    pub(crate) fn release(&self, more: u32) -> Option<u32> {
        let mut signals = signals();
        let state = &mut signals[self.key];
        let Kind::Counted(most) = state.kind else {
            unreachable!("only a semaphore is released");
        };
        let before = state.count;
        state.count = before.checked_add(more).filter(|&count| count <= most)?;
        serve(&mut signals, self.key);
        Some(before)
    }

    /// Lets go of a mutex once; `false` if the thread does not own it.
    pub(crate) fn let_go(&self) -> bool {
        let mut signals = signals();
        let state = &mut signals[self.key];
        if state.owner != Some(ThreadId::current()) {
            return false;
        }
        state.count -= 1;
        if state.count == 0 {
            state.owner = None;
            serve(&mut signals, self.key);
        }
        true
    }
}

/// A thread has ended: what it owns is free, and whoever has it next learns that it was abandoned.
pub(crate) fn abandon(thread: ThreadId) {
    let mut signals = signals();
    // All of them are looked at, so that taking a mutex has no list to keep.
    let owned: Vec<usize> = signals
        .iter()
        .filter(|(_, state)| state.owner == Some(thread))
        .map(|(key, _)| key)
        .collect();
    for key in owned {
        let state = &mut signals[key];
        state.owner = None;
        state.count = 0;
        state.abandoned = true;
        serve(&mut signals, key);
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        let state = signals().remove(self.key);
        debug_assert!(state.waiters.is_empty(), "whoever waits holds the object");
    }
}

impl State {
    fn admits(&self, thread: ThreadId) -> bool {
        match self.kind {
            Kind::Owned => self.owner.is_none_or(|owner| owner == thread),
            _ => self.count > 0,
        }
    }

    /// Ends a wait of `thread`; whether it was abandoned.
    fn take(&mut self, thread: ThreadId) -> bool {
        match self.kind {
            Kind::Until => {}
            Kind::Once | Kind::Counted(_) => self.count -= 1,
            Kind::Owned => {
                self.owner = Some(thread);
                self.count += 1;
            }
        }
        std::mem::take(&mut self.abandoned)
    }
}

/// Takes for a thread what it wants, if it is there.
fn take(signals: &mut Slab<State>, keys: &[usize], all: bool, thread: ThreadId) -> Option<Ended> {
    let admits = |&key: &usize| signals[key].admits(thread);
    if all {
        if !keys.iter().all(admits) {
            return None;
        }
        let mut abandoned = None;
        for (place, &key) in keys.iter().enumerate() {
            if signals[key].take(thread) {
                abandoned.get_or_insert(place);
            }
        }
        return Some(abandoned.map_or(Ended::Signalled(0), Ended::Abandoned));
    }
    let place = keys.iter().position(admits)?;
    Some(match signals[keys[place]].take(thread) {
        false => Ended::Signalled(place),
        true => Ended::Abandoned(place),
    })
}

/// Ends the waits that what was just signalled allows, the oldest first.
fn serve(signals: &mut Slab<State>, key: usize) {
    let mut place = 0;
    while let Some(waiter) = signals[key].waiters.get(place).cloned() {
        match take(signals, &waiter.keys, waiter.all, waiter.thread) {
            Some(ended) => end(signals, &waiter, ended),
            None => place += 1,
        }
    }
}

fn end(signals: &mut Slab<State>, waiter: &Arc<Waiter>, ended: Ended) {
    leave(signals, waiter);
    *waiter.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
    waiter.wake.notify_one();
}

fn leave(signals: &mut Slab<State>, waiter: &Arc<Waiter>) {
    for &key in &waiter.keys {
        signals[key]
            .waiters
            .retain(|other| !Arc::ptr_eq(other, waiter));
    }
}

/// Waits for one of the objects, or for all of them; `None` waits for ever, zero only looks. An
/// alertable wait also ends when calls are queued to the thread; running them is the caller's.
pub(crate) fn wait(
    objects: &[&Signal],
    all: bool,
    timeout: Option<Duration>,
    alertable: bool,
) -> Ended {
    let me = ThreadId::current();
    let alerts = alertable.then(Thread::current);
    let keys: SmallVec<[usize; 4]> = objects.iter().map(|signal| signal.key).collect();
    let mut guard = signals();
    if let Some(ended) = take(&mut guard, &keys, all, me) {
        return ended;
    }
    if alerts.as_ref().is_some_and(|me| me.apcs().pending()) {
        return Ended::Alerted;
    }
    if timeout == Some(Duration::ZERO) {
        return Ended::TimedOut;
    }
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let waiter = Arc::new(Waiter {
        thread: me,
        keys,
        all,
        ended: Mutex::new(None),
        wake: Condvar::new(),
    });
    for &key in &waiter.keys {
        guard[key].waiters.push_back(waiter.clone());
    }
    drop(guard);
    let armed = alerts.as_ref().map(|me| {
        let waiter = waiter.clone();
        me.apcs().wake_with(Arc::new(move || alert(&waiter)))
    });
    let ended = thread::blocking(|| sleep(&waiter, deadline));
    drop(armed);
    ended
}

/// Sleeps until the wait was ended, or until its time is up.
fn sleep(waiter: &Arc<Waiter>, deadline: Option<Instant>) -> Ended {
    let mut guard = signals();
    loop {
        if let Some(ended) = waiter.ended() {
            return ended;
        }
        guard = match deadline {
            None => waiter
                .wake
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    // Said, so that a call that comes now ends nothing any more.
                    end(&mut guard, waiter, Ended::TimedOut);
                    continue;
                }
                let waited = waiter.wake.wait_timeout(guard, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}

/// A call was queued to the thread.
fn alert(waiter: &Arc<Waiter>) {
    let mut signals = signals();
    if waiter.ended().is_none() {
        end(&mut signals, waiter, Ended::Alerted);
    }
}

impl Waiter {
    fn ended(&self) -> Option<Ended> {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Option<Duration> = Some(Duration::from_secs(60));
    const NOW: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn an_auto_reset_signal_ends_one_wait_a_manual_one_all() {
        let once = Signal::new(Kind::Once, 1);
        assert_eq!(wait(&[&once], false, NOW, false), Ended::Signalled(0));
        assert_eq!(wait(&[&once], false, NOW, false), Ended::TimedOut);
        let until = Signal::new(Kind::Until, 1);
        assert_eq!(wait(&[&until], false, NOW, false), Ended::Signalled(0));
        assert_eq!(wait(&[&until], false, NOW, false), Ended::Signalled(0));
        until.reset();
        assert_eq!(wait(&[&once, &until], false, NOW, false), Ended::TimedOut);
    }

    #[test]
    fn a_wait_for_all_takes_nothing_until_it_can_take_everything() {
        let one = Signal::new(Kind::Once, 1);
        let other = Signal::new(Kind::Once, 0);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| wait(&[&one, &other], true, LONG, false));
            while signals()[other.key].waiters.is_empty() {
                std::thread::yield_now();
            }
            assert_eq!(signals()[one.key].count, 1);
            assert_eq!(wait(&[&one], false, NOW, false), Ended::Signalled(0));
            other.set();
            assert_eq!(signals()[other.key].count, 1);
            one.set();
            assert_eq!(waits.join().unwrap(), Ended::Signalled(0));
        });
        assert_eq!(wait(&[&one, &other], false, NOW, false), Ended::TimedOut);
    }

    #[test]
    fn a_mutex_is_its_owners_again_and_again_and_abandoned_when_that_ends() {
        let mutex = Signal::new(Kind::Owned, 0);
        assert_eq!(wait(&[&mutex], false, NOW, false), Ended::Signalled(0));
        assert_eq!(wait(&[&mutex], false, NOW, false), Ended::Signalled(0));
        let me = ThreadId::current();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                assert!(!mutex.let_go());
                assert_eq!(wait(&[&mutex], false, NOW, false), Ended::TimedOut);
                wait(&[&mutex], false, LONG, false)
            });
            assert!(mutex.let_go());
            while signals()[mutex.key].waiters.is_empty() {
                std::thread::yield_now();
            }
            abandon(me);
            assert_eq!(other.join().unwrap(), Ended::Abandoned(0));
        });
    }

    #[test]
    fn a_semaphore_counts_up_to_its_limit() {
        let semaphore = Signal::new(Kind::Counted(3), 1);
        assert_eq!(semaphore.release(3), None);
        assert_eq!(semaphore.release(2), Some(1));
        for _ in 0..3 {
            assert_eq!(wait(&[&semaphore], false, NOW, false), Ended::Signalled(0));
        }
        assert_eq!(wait(&[&semaphore], false, NOW, false), Ended::TimedOut);
    }
}
