//! When the requests of an open loop are due, and which of them have a job.

use load::job::{Job, Mix, Share};
use load::prng::Prng;

/// A Poisson process: whether a request is due does not depend on when others were, or whether
/// they have been answered.
pub struct Schedule {
    prng: Prng,
    mix: Mix,
    /// In nanoseconds since the window opened; not rounded, so that errors do not add up.
    next: f64,
}

#[derive(Clone, Copy)]
pub struct Request {
    /// Nanoseconds after the window opened.
    pub due: u64,
    pub job: Job,
}

impl Schedule {
    pub fn new(mix: Mix, seed: u64) -> Self {
        Self {
            prng: Prng::new(seed),
            mix,
            next: 0.0,
        }
    }

    /// A window opens now. The random numbers go on.
    pub fn begin(&mut self) {
        self.next = 0.0;
        self.advance();
    }

    /// When the next request is due.
    pub fn due(&self) -> u64 {
        self.next as u64
    }

    /// Takes the next request.
    pub fn take(&mut self) -> Request {
        let due = self.due();
        let chosen = self.prng.below(Share::WHOLE) < self.mix.share.millionths();
        let job = match chosen {
            true => self.mix.job,
            false => Job::Nothing,
        };
        self.advance();
        Request { due, job }
    }

    fn advance(&mut self) {
        let uniform = (self.prng.bits() >> 11) as f64 / 2f64.powi(53);
        self.next += -(1.0 - uniform).ln() * 1e9 / f64::from(self.mix.rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(seed: u64, share: &str, count: usize) -> Vec<Request> {
        let mix = Mix {
            rate: 20_000,
            job: Job::Sleep,
            share: Share::percent(share).unwrap(),
        };
        let mut schedule = Schedule::new(mix, seed);
        schedule.begin();
        (0..count).map(|_| schedule.take()).collect()
    }

    #[test]
    fn a_seed_repeats_the_times_and_the_jobs() {
        let list = |seed| -> Vec<(u64, Job)> {
            let requests = draw(seed, "5", 1000);
            requests.iter().map(|one| (one.due, one.job)).collect()
        };
        assert_eq!(list(1), list(1));
        assert_ne!(list(1), list(2));
    }

    #[test]
    fn gaps_are_those_of_a_poisson_process() {
        const COUNT: usize = 100_000;
        let requests = draw(3, "5", COUNT);
        let gaps: Vec<f64> = requests
            .windows(2)
            .map(|pair| (pair[1].due - pair[0].due) as f64 / 50_000.0)
            .collect();
        let count = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / count;
        // The standard deviation of an exponential distribution is its mean.
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
        assert!((0.98..1.02).contains(&mean), "{mean}");
        assert!((0.96..1.04).contains(&variance), "{variance}");
        let long = gaps.iter().filter(|&&gap| gap > 3.0).count() as f64 / count;
        assert!((0.047..0.053).contains(&long), "{long}");
    }

    #[test]
    fn the_share_of_jobs_is_the_one_asked_for() {
        for (share, range) in [("0", 0..1), ("1", 900..1100), ("100", 100_000..100_001)] {
            let requests = draw(4, share, 100_000);
            let jobs = requests.iter().filter(|one| one.job == Job::Sleep).count();
            assert!(range.contains(&jobs), "{share} %: {jobs}");
        }
    }
}
