//! Time: timers, the deadlines of operations, and the end of lingering.
//!
//! # How it works
//!
//! All that a port does at a time is in one heap, under one mutex: an operation that is a timer
//! (the heap owns it), the deadline of an operation on a socket or file (which owns that one; the
//! heap knows its number), a closed socket that may send until then. None belongs to an
//! engine, so the simulated network's clock drives them as the system's does.
//!
//! Nobody sleeps for a timer but the *leader*, who waits for I/O in any case: it waits until the
//! earliest deadline at most, and what is due when it comes back is part of its harvest, behind the
//! I/O that it found. A deadline that is added while the leader waits disturbs it only if it is
//! earlier than what the leader waits for. Two atomics decide that without the leader taking the
//! mutex (`horizon.rs`); a port without timers pays for two exchanges a wait.
//!
//! # A deadline costs nothing until there is one
//!
//! An operation's deadline is added when the operation is started and taken out when its *packet
//! is taken*, in the one place where all packets pass (`PortInner::resolve`). Meanwhile the
//! operation may end in any of the ways in which operations do, and none of them has to know of
//! deadlines: one that comes when its operation has ended finds nothing to end.
//!
//! When it finds its operation waiting, the transfer is tried once more, since data may be there
//! that no worker has had time to fetch; then the operation is taken out of its side's list as if
//! it was cancelled, and its buffer with it. Transfers are made late and under the side's lock, so
//! an operation is either still in the list and untouched since its last transfer, or it has
//! completed: no byte is lost (CX-4).
//!
//! # Periods
//!
//! An operation yields one packet for each start, so a periodic timer is started again by whoever
//! has got its packet. The operation remembers to which tick of its beat that packet belongs, and
//! the next start aims at the tick after it, however late the packet was or the start is. Ticks
//! that have passed meanwhile are counted in the next packet, so that all counts together are the
//! time that has passed: nothing drifts.

mod heap;
mod horizon;

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, Weak};
use std::time::Duration;

use self::heap::Heap;
pub(crate) use self::heap::Key;
use self::horizon::{Horizon, NEVER};
use crate::Status;
#[cfg(target_os = "linux")]
use crate::engine::files::FileState;
#[cfg(windows)]
use crate::engine::iocp::{FileState, SocketState};
#[cfg(target_os = "linux")]
use crate::engine::readiness::SocketState;
use crate::operation::{Operation, Token};

/// What is to be done at a time.
pub(crate) enum Due {
    /// The timer completes.
    Timer(Operation),
    /// The operation with this number ends, if it is still under way.
    Deadline(Weak<SocketState>, u64),
    /// Likewise, on a file.
    File(Weak<FileState>, u64),
    /// The closed socket's sends end.
    Linger(Weak<SocketState>),
}

/// Everything that a port does at a time.
pub(crate) struct Timers {
    guarded: Mutex<Guarded>,
    horizon: Horizon,
}

struct Guarded {
    heap: Heap<Due>,
    ended: bool,
}

impl Timers {
    pub(crate) fn new() -> Self {
        // A token is refused by every port but its own: the serial numbers of a process's ports
        // lie 2^44 apart.
        static PORTS: AtomicU64 = AtomicU64::new(0);
        let number = PORTS.fetch_add(1, Relaxed) % (1 << 19);

        Timers {
            guarded: Mutex::new(Guarded {
                heap: Heap::new(NonZeroU64::MIN.saturating_add(number << 44)),
                ended: false,
            }),
            horizon: Horizon::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Guarded> {
        overlapped_queue::lock(&self.guarded)
    }

    /// Adds something; whether the leader waits for too long now. It comes back if there is no
    /// memory for it, or the port has ended.
    pub(crate) fn add(&self, at: u64, due: Due) -> Result<(Key, bool), (Status, Due)> {
        let at = at.min(NEVER - 1);
        let mut guarded = self.lock();
        if guarded.ended {
            return Err((Status::INVALID_HANDLE, due));
        }
        let key = guarded
            .heap
            .insert(at, due)
            .map_err(|due| (Status::INSUFFICIENT_RESOURCES, due))?;
        let leader_is_late = at < self.horizon.earliest() && self.horizon.lower(at);
        Ok((key, leader_is_late))
    }

    /// Takes something out, if it is still there.
    pub(crate) fn remove(&self, key: Key) -> Option<Due> {
        let mut guarded = self.lock();
        let removed = guarded.heap.remove(key);
        self.note_earliest(&guarded);
        removed
    }

    /// Takes out a timer that is cancelled, if the token names one that is still there.
    pub(crate) fn cancel(&self, token: Token) -> Option<Operation> {
        let Due::Timer(mut operation) = self.remove(key(token)?)? else {
            return None;
        };
        *operation.beat() = None;
        operation.finish(Status::CANCELLED, 0);
        Some(operation)
    }

    /// Takes out the next that is due.
    pub(crate) fn pop(&self, now: u64) -> Option<(u64, Due)> {
        let mut guarded = self.lock();
        let popped = guarded.heap.pop(now);
        self.note_earliest(&guarded);
        popped
    }

    fn note_earliest(&self, guarded: &Guarded) {
        self.horizon.set(guarded.heap.earliest().unwrap_or(NEVER));
    }

    /// The leader is about to wait for `timeout`: for how long it may.
    pub(crate) fn bound(
        &self,
        timeout: Option<Duration>,
        now: impl Fn() -> u64,
    ) -> Option<Duration> {
        if timeout == Some(Duration::ZERO) {
            return timeout;
        }
        let earliest = self.horizon.approach();
        if earliest == NEVER {
            return timeout;
        }
        let left = Duration::from_nanos(earliest.saturating_sub(now()));
        Some(timeout.map_or(left, |timeout| timeout.min(left)))
    }

    /// The leader is back. Whether anything can be due.
    pub(crate) fn back(&self) -> bool {
        self.horizon.retreat();
        self.horizon.earliest() != NEVER
    }

    /// The port has ended: what is left, to be dropped without the lock.
    pub(crate) fn end(&self) -> impl Iterator<Item = Due> + use<> {
        let mut guarded = self.lock();
        guarded.ended = true;
        let mut left = std::mem::replace(&mut guarded.heap, Heap::new(NonZeroU64::MIN));
        self.note_earliest(&guarded);
        std::iter::from_fn(move || left.pop(NEVER).map(|(_, due)| due))
    }

    /// How much there is.
    pub(crate) fn len(&self) -> usize {
        self.lock().heap.len()
    }

    /// How many of them are timers; the others are deadlines.
    pub(crate) fn operations(&self) -> usize {
        let is_timer = |due: &&Due| matches!(due, Due::Timer(_));
        self.lock().heap.values().filter(is_timer).count()
    }
}

/// The names of timers lie between those of sockets, which count from 0, and those of files, which
/// count from twice this.
const TIMER: u64 = 1 << 62;

/// The token of a timer.
pub(crate) fn token(key: Key) -> Token {
    let (slot, serial) = key.parts();
    Token {
        socket: TIMER | u64::from(slot),
        operation: serial,
    }
}

/// The timer that a token names, if it names one.
fn key(token: Token) -> Option<Key> {
    if token.socket / TIMER != 1 {
        return None;
    }
    Key::from_parts(token.socket as u32, token.operation)
}

/// The beat of a periodic timer, in nanoseconds of its port's clock.
#[derive(Clone, Copy)]
pub(crate) struct Beat {
    period: NonZeroU64,
    /// The last tick that a packet has told of; at first, when the timer was started.
    tick: u64,
}

impl Beat {
    fn new(period: NonZeroU64, now: u64) -> Self {
        Beat { period, tick: now }
    }

    /// The beat of an operation that is to be started with this period: the one that it has, if that
    /// is the same, or else a new one. `None`: there is no such period.
    pub(crate) fn of(
        operation: &mut Operation,
        period: Duration,
        now: impl FnOnce() -> u64,
    ) -> Option<Self> {
        let period = NonZeroU64::new(nanoseconds(period))?;
        let beat = match *operation.beat() {
            Some(beat) if beat.period == period => beat,
            _ => Beat::new(period, now()),
        };
        *operation.beat() = Some(beat);
        Some(beat)
    }

    /// When the next tick is.
    pub(crate) fn next(self) -> u64 {
        self.tick.saturating_add(self.period.get())
    }

    /// Goes on to the last tick there has been; over how many.
    pub(crate) fn advance(&mut self, now: u64) -> u64 {
        let ticks = now.saturating_sub(self.tick) / self.period;
        self.tick += ticks * self.period.get();
        ticks
    }
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timers() -> Timers {
        Timers::new()
    }

    fn add(timers: &Timers, at: u64) -> (Key, bool) {
        let nothing = Due::Linger(Weak::new());
        timers
            .add(at, nothing)
            .map_err(|(status, _)| status)
            .unwrap()
    }

    #[test]
    fn only_what_is_earlier_than_its_wait_disturbs_the_leader() {
        let timers = timers();
        assert!(!add(&timers, 50).1, "nobody waits");
        let wait = timers.bound(None, || 10);
        assert_eq!(wait, Some(Duration::from_nanos(40)));
        assert!(!add(&timers, 60).1);
        assert!(!add(&timers, 50).1);
        assert!(add(&timers, 40).1);
        assert!(!add(&timers, 45).1, "it is on its way already");
        assert!(add(&timers, 30).1);
        assert!(timers.back());
        assert!(!add(&timers, 20).1, "nobody waits");
    }

    #[test]
    fn a_leader_that_waits_for_ever_is_told_of_the_first() {
        let timers = timers();
        assert_eq!(
            timers.bound(None, || unreachable!("no clock is needed")),
            None
        );
        assert!(add(&timers, 1_000_000).1);
        assert!(timers.back());
    }

    #[test]
    fn a_look_is_not_prolonged_and_a_short_wait_stays_short() {
        let timers = timers();
        add(&timers, 1000);
        let zero = Some(Duration::ZERO);
        assert_eq!(
            timers.bound(zero, || unreachable!("no clock is needed")),
            zero
        );
        let short = Some(Duration::from_nanos(7));
        assert_eq!(timers.bound(short, || 0), short);
        assert_eq!(timers.bound(None, || 2000), zero, "it is overdue");
    }

    #[test]
    fn a_token_is_refused_by_every_port_but_its_own() {
        let (ours, theirs) = (timers(), timers());
        let (key_of_ours, _) = add(&ours, 1);
        add(&theirs, 1);
        let key = key(token(key_of_ours)).unwrap();
        assert_eq!(key, key_of_ours);
        assert!(theirs.remove(key).is_none());
        assert!(ours.remove(key).is_some());
        assert!(!ours.back(), "nothing is left");
    }

    #[test]
    fn an_ended_port_takes_nothing_and_gives_everything_back() {
        let timers = timers();
        add(&timers, NEVER);
        add(&timers, 1);
        assert_eq!(timers.end().count(), 2);
        let refused = timers.add(1, Due::Linger(Weak::new()));
        assert!(matches!(refused, Err((Status::INVALID_HANDLE, _))));
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn a_beat_does_not_drift_and_counts_everything() {
        let period = NonZeroU64::new(10).unwrap();
        let mut beat = Beat::new(period, 5);
        assert_eq!(beat.next(), 15);
        assert_eq!(beat.advance(15), 1);
        assert_eq!(beat.advance(29), 1);
        assert_eq!(
            beat.next(),
            35,
            "on the beat, not 10 after it was looked at"
        );
        assert_eq!(beat.advance(68), 4);
        assert_eq!(beat.next(), 75);
    }
}
