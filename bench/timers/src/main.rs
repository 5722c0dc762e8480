//! Compares timers in interleaved rounds: what one costs to start and cancel, and to start and let
//! expire, among many or few others; and how late a single one is.
//!
//! One thread. Each round runs every contender once, in an order shuffled anew; what is reported is
//! the median of the ratios within a round, with a 95 % bootstrap interval. Before they expire, all
//! timers are let become due, so that no sleep is in the figures; nor is the first round, in which
//! memory grows.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use load::prng::Prng;
use load::stats::{median, median_interval};

use crate::contenders::{Contender, Heap, Overlapped, Tokio};

mod contenders;

const NAMES: [&str; 3] = ["binary heap", "tokio", "overlapped"];

fn contenders() -> [Box<dyn Contender>; 3] {
    [
        Box::new(Heap::default()),
        Box::new(Tokio::new()),
        Box::new(Overlapped::new()),
    ]
}

/// Nanoseconds for each timer, by contender and round.
type Samples = [Vec<f64>; 3];

fn main() -> ExitCode {
    let (mut rounds, mut counts, mut seed) = (15, vec![10, 10_000, 1_000_000], 1);
    let mut parser = lexopt::Parser::from_env();
    let parsed = (|| {
        use lexopt::prelude::*;
        while let Some(arg) = parser.next()? {
            match arg {
                Long("rounds") => rounds = parser.value()?.parse()?,
                Long("lateness") => counts.clear(),
                Long("seed") => seed = parser.value()?.parse()?,
                Long("timers") => {
                    let list = |list: &str| -> Result<Vec<usize>, std::num::ParseIntError> {
                        list.split(',').map(str::parse).collect()
                    };
                    counts = parser.value()?.parse_with(list)?;
                }
                _ => return Err(arg.unexpected()),
            }
        }
        Ok(())
    })();
    if let Err(error) = parsed {
        eprintln!(
            "timers: {error}\nusage: timers [--rounds N] [--timers N,N,... | --lateness] [--seed N]"
        );
        return ExitCode::from(2);
    }
    let mut prng = Prng::new(seed);
    println!("| timers | | {} |", NAMES.join(" | "));
    println!("|---|---|---|---|---|");
    for count in counts {
        eprintln!("{count} timers");
        let cancel = start_and_cancel(count, rounds, &mut prng);
        print_row(count, "start, cancel", &cancel);
        let expire = start_and_expire(count, rounds, &mut prng);
        print_row(count, "start, expire", &expire);
    }
    println!();
    lateness(rounds * 100, &mut prng);
    ExitCode::SUCCESS
}

fn shuffled(prng: &mut Prng) -> [usize; 3] {
    let mut order = [0, 1, 2];
    prng.shuffle(&mut order);
    order
}

/// Random moments within `window` from `from` on.
fn moments(count: usize, from: Instant, window: Duration, prng: &mut Prng) -> Vec<Instant> {
    (0..count)
        .map(|_| from + Duration::from_nanos(prng.below(window.as_nanos() as usize) as u64))
        .collect()
}

fn per_timer(took: Duration, timers: usize) -> f64 {
    took.as_nanos() as f64 / timers as f64
}

/// One timer after the other is started and cancelled, among `count` others.
fn start_and_cancel(count: usize, rounds: usize, prng: &mut Prng) -> Samples {
    const TIMERS: usize = 100_000;
    const HOUR: Duration = Duration::from_secs(3600);
    let mut contenders = contenders();
    for contender in &mut contenders {
        contender.start_all(&moments(count, Instant::now() + HOUR, HOUR, prng));
    }
    let mut samples = Samples::default();
    for round in 0..=rounds {
        let deadlines = moments(TIMERS, Instant::now() + HOUR, HOUR, prng);
        for which in shuffled(prng) {
            let began = Instant::now();
            contenders[which].start_and_cancel(&deadlines);
            if round > 0 {
                samples[which].push(per_timer(began.elapsed(), TIMERS));
            }
        }
    }
    samples
}

/// `count` timers are started, become due, and expire. Few are started often.
fn start_and_expire(count: usize, rounds: usize, prng: &mut Prng) -> Samples {
    let often = (10_000 / count).max(1);
    // Time to start them all before the first is due, so that all are in the structure.
    let lead = Duration::from_micros(50) + Duration::from_nanos(1000) * count as u32;
    let mut contenders = contenders();
    let mut samples = Samples::default();
    for round in 0..=rounds {
        for which in shuffled(prng) {
            let mut took = Duration::ZERO;
            for _ in 0..often {
                let deadlines = moments(count, Instant::now() + lead, lead, prng);
                let began = Instant::now();
                contenders[which].start_all(&deadlines);
                took += began.elapsed();
                // tokio rounds deadlines up to milliseconds.
                let all_due = deadlines.iter().max().copied().expect("there are some")
                    + Duration::from_millis(2);
                while Instant::now() < all_due {
                    std::hint::spin_loop();
                }
                let began = Instant::now();
                contenders[which].expire_all();
                took += began.elapsed();
            }
            if round > 0 {
                samples[which].push(per_timer(took, count * often));
            }
        }
    }
    samples
}

fn print_row(count: usize, what: &str, samples: &Samples) {
    print!("| {count} | {what} |");
    for (which, own) in samples.iter().enumerate() {
        let ratios: Vec<f64> = own.iter().zip(&samples[0]).map(|(a, b)| a / b).collect();
        let (low, high) = median_interval(&ratios, 1);
        match which {
            0 => print!(" {:.0} ns |", median(own)),
            _ => print!(
                " {:.0} ns, {:.2} [{low:.2}, {high:.2}] |",
                median(own),
                median(&ratios)
            ),
        }
    }
    println!();
}

/// How late a timer is for which a thread waits, and nothing else happens.
fn lateness(times: usize, prng: &mut Prng) {
    println!(
        "| microseconds late, {times} times | {} |",
        NAMES.join(" | ")
    );
    println!("|---|---|---|---|");
    let mut contenders = contenders();
    let mut late: [Vec<f64>; 3] = Default::default();
    for _ in 0..times {
        for which in shuffled(prng) {
            let at = Instant::now() + Duration::from_micros(100 + prng.below(4000) as u64);
            contenders[which].start_all(&[at]);
            contenders[which].expire_all();
            late[which].push(at.elapsed().as_nanos() as f64 / 1000.0);
        }
    }
    for late in &mut late {
        late.sort_unstable_by(f64::total_cmp);
    }
    for (name, share) in [("least", 0.0), ("median", 0.5), ("99 %", 0.99)] {
        print!("| {name} |");
        for late in &late {
            let place = ((times - 1) as f64 * share) as usize;
            print!(" {:.0} |", late[place]);
        }
        println!();
    }
}
