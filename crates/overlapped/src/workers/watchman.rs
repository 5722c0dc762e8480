//! Who tells of workers that do not come back, without being asked.
//!
//! # How it works
//!
//! The keeper is the watchman too: while workers move it wakes twice in each bound and looks at all
//! places, a load for each. An outing that it has seen for as long as the bound is told of, and again
//! when it has lasted twice as long, four times, and so on: a worker that hangs for a night is a
//! dozen lines.
//!
//! While nobody moves it does not wake at all. When a round has found everybody inside, and nobody
//! has gone out since the last, it asks for the next outing to be announced, which costs each worker
//! a look at a flag that is on a cache line of its own, and the one that goes out first a wake. To ask
//! and to see that nobody has gone out meanwhile would need a fence for each packet, on either side;
//! so it makes one more round before it relies on being told, and what a worker wrote before it
//! looked at the flag has long been seen by then.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::away::{Away, Place};

/// What is called for a worker that stays away.
pub(super) type Report = Box<dyn FnMut(&Away) + Send>;

/// Between two rounds there is at least that.
const PAUSE: Duration = Duration::from_millis(1);

pub(super) struct Watchman {
    bound: Duration,
    report: Report,
    /// Who was told of: the outing, and how long it has to last to be told of again.
    told: BTreeMap<u64, (u64, Duration)>,
    /// Each place's outing in the last round.
    before: BTreeMap<u64, u64>,
    /// The next outing will be announced.
    asked: bool,
    next: Option<Instant>,
}

impl Watchman {
    pub(super) fn new(bound: Duration, report: Report) -> Self {
        Watchman {
            bound,
            report,
            told: BTreeMap::new(),
            before: BTreeMap::new(),
            asked: false,
            next: Some(Instant::now()),
        }
    }

    /// When the next round is due; `None` until an outing is announced.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Somebody has gone out, after all had been inside for long.
    pub(super) fn hear(&mut self, now: Instant) {
        self.asked = false;
        self.next.get_or_insert(now);
    }

    /// Makes the round if it is due; whether it was.
    pub(super) fn look(&mut self, places: impl FnOnce() -> BTreeMap<u64, Arc<Place>>) -> bool {
        let now = Instant::now();
        if self.next.is_none_or(|next| now < next) {
            return false;
        }
        let places = places();
        self.tell(&places, now);
        let seen = places
            .iter()
            .map(|(&number, place)| (number, place.outing()));
        let seen: BTreeMap<u64, u64> = seen.collect();
        let all_inside = seen.values().all(|outing| outing.is_multiple_of(2));
        let quiet = all_inside && seen == self.before;
        self.before = seen;
        if quiet && self.asked {
            self.next = None;
            return true;
        }
        if quiet != self.asked {
            self.asked = quiet;
            places.values().for_each(|place| place.set_announce(quiet));
        }
        self.next = now.checked_add(PAUSE.max(self.bound / 2));
        true
    }

    fn tell(&mut self, places: &BTreeMap<u64, Arc<Place>>, now: Instant) {
        self.told.retain(|number, (outing, _)| {
            let place = places.get(number);
            place.is_some_and(|place| place.outing() == *outing)
        });
        for (number, place) in places {
            let outing = place.outing();
            let wanted = match self.told.get(number) {
                Some(&(_, again)) => again,
                None => self.bound,
            };
            if let Some(away) = place.look(now, wanted) {
                let again = away.at_least.saturating_mul(2);
                self.told.insert(*number, (outing, again));
                // Its panic has been printed, and is no reason to start no more workers.
                let _ = catch_unwind(AssertUnwindSafe(|| (self.report)(&away)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::mpsc::channel;

    use super::*;

    /// A hang is the failure.
    fn until(mut so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !so() {
            assert!(began.elapsed() < Duration::from_secs(60), "never happened");
            std::thread::yield_now();
        }
    }

    #[test]
    fn while_nobody_goes_out_nobody_looks_and_who_does_then_says_so_once() {
        let (sender, told) = channel();
        let report = move |away: &Away| sender.send(away.name.clone()).unwrap();
        let mut watchman = Watchman::new(Duration::ZERO, Box::new(report));
        let places: BTreeMap<u64, Arc<Place>> = (0..3)
            .map(|number| (number, Arc::new(Place::new(format!("w {number}")))))
            .collect();
        let announced = Cell::new(0);
        let go_out = |number, f: &mut dyn FnMut()| {
            places[&number].while_out(|| announced.set(announced.get() + 1), f);
        };

        go_out(1, &mut || ());
        assert_eq!(announced.get(), 0, "it makes its rounds");
        until(|| {
            watchman.look(|| places.clone());
            watchman.next().is_none()
        });
        watchman.look(|| unreachable!("it is not due"));
        go_out(2, &mut || {
            assert_eq!(announced.get(), 1);
            watchman.hear(Instant::now());
            until(|| {
                watchman.look(|| places.clone());
                told.try_recv().is_ok_and(|name| name == "w 2")
            });
            assert!(watchman.next().is_some());
        });
        go_out(2, &mut || ());
        assert_eq!(announced.get(), 1);
    }
}
