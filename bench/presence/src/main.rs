//! How soon a worker that blocks without a word is replaced, and what one look at it costs.
//!
//! A port with a concurrency value of 1 and two workers. One takes a packet, computes for a random
//! time and sleeps for 30 ms; the other one takes what waits. Measured is the time from just before
//! the sleep to the moment at which the other one has the packet, which waits already (*queued*), or
//! is posted within the sleep, and then from the post (*posted*). *Often*: one block follows the
//! other. *Rarely*: there was none for longer than the queue remembers.
//!
//! Each round runs every means once, in an order shuffled anew.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use load::prng::Prng;
use overlapped::{CompletionPort, Notice, Operation};
use overlapped_core::Watch;

type Port = CompletionPort<(), u64>;

const BLOCK: Duration = Duration::from_millis(30);
/// Longer than the queue remembers a block.
const CALM: Duration = Duration::from_millis(1200);

#[derive(Clone, Copy)]
enum Means {
    Notice(Notice),
    /// The worker says that it blocks.
    Guard,
}

const MEANS: [(&str, Means); 4] = [
    ("guard", Means::Guard),
    ("perf events", Means::Notice(Notice::PerfEvents)),
    ("thread states", Means::Notice(Notice::ThreadStates)),
    ("nothing (rescue)", Means::Notice(Notice::Nothing)),
];

fn main() -> ExitCode {
    let (mut often, mut rarely, mut seed) = (400, 25, 1);
    let mut parser = lexopt::Parser::from_env();
    let parsed = (|| {
        use lexopt::prelude::*;
        while let Some(arg) = parser.next()? {
            match arg {
                Long("often") => often = parser.value()?.parse()?,
                Long("rarely") => rarely = parser.value()?.parse()?,
                Long("seed") => seed = parser.value()?.parse()?,
                _ => return Err(arg.unexpected()),
            }
        }
        Ok(())
    })();
    if let Err(error) = parsed {
        eprintln!("presence: {error}\nusage: presence [--often N] [--rarely N] [--seed N]");
        return ExitCode::from(2);
    }
    looks();
    let mut prng = Prng::new(seed);
    println!("\n| packet | blocks | means | p10 | p50 | p90 | p99 | max (us) | n |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for (when, samples, calm) in [("often", often, Duration::ZERO), ("rarely", rarely, CALM)] {
        for queued in [true, false] {
            let mut times = [const { Vec::new() }; MEANS.len()];
            let rigs: Vec<Option<Rig>> = MEANS.iter().map(|&(_, means)| Rig::new(means)).collect();
            for _ in 0..samples {
                let mut order: Vec<usize> = (0..MEANS.len()).collect();
                prng.shuffle(&mut order);
                std::thread::sleep(calm);
                for which in order {
                    if let Some(rig) = &rigs[which] {
                        times[which].push(rig.sample(queued, &mut prng));
                    }
                }
            }
            for ((name, _), times) in MEANS.iter().zip(&mut times) {
                print_row(if queued { "queued" } else { "posted" }, when, name, times);
            }
        }
    }
    ExitCode::SUCCESS
}

fn print_row(packet: &str, when: &str, name: &str, times: &mut [u64]) {
    times.sort_unstable();
    if times.is_empty() {
        println!("| {packet} | {when} | {name} | refused here |");
        return;
    }
    let at = |percent: usize| times[(times.len() - 1) * percent / 100] / 1000;
    println!(
        "| {packet} | {when} | {name} | {} | {} | {} | {} | {} | {} |",
        at(10),
        at(50),
        at(90),
        at(99),
        at(100),
        times.len()
    );
}

// ---- what a look costs -------------------------------------------------------------------------

fn looks() {
    println!("| | means | ns |");
    println!("|---|---|---|");
    for notice in [Notice::PerfEvents, Notice::ThreadStates] {
        let Ok(watch) = Watch::new(notice) else {
            println!("| | {notice:?} | refused here |");
            continue;
        };
        let opens = mean_of(100, || drop(black_box(watch.this_thread())));
        println!(
            "| to begin and end with a thread | {} | {opens:.0} |",
            watch.name()
        );
        for runs in [true, false] {
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let (give, take) = channel();
                let (watch, stop) = (&watch, &stop);
                let thread = scope.spawn(move || {
                    give.send(watch.this_thread().expect("tried above"))
                        .unwrap();
                    while !stop.load(SeqCst) {
                        if !runs {
                            std::thread::park();
                        }
                    }
                });
                let presence = take.recv().unwrap();
                std::thread::sleep(Duration::from_millis(20));
                let look = mean_of(10_000, || {
                    black_box(presence.wait());
                });
                let what = if runs { "runs" } else { "waits" };
                println!(
                    "| to look at one that {what} | {} | {look:.1} |",
                    watch.name()
                );
                stop.store(true, SeqCst);
                thread.thread().unpark();
            });
        }
    }
}

/// Nanoseconds for each call: the median of the means of 21 rows.
fn mean_of(calls: u32, mut call: impl FnMut()) -> f64 {
    let mut means: Vec<f64> = (0..21)
        .map(|_| {
            let began = Instant::now();
            (0..calls).for_each(|_| call());
            began.elapsed().as_nanos() as f64 / f64::from(calls)
        })
        .collect();
    means.sort_by(f64::total_cmp);
    means[means.len() / 2]
}

// ---- how soon it is replaced -------------------------------------------------------------------

/// A port with two workers.
struct Rig {
    port: Port,
    jobs: Sender<Job>,
    reports: std::sync::mpsc::Receiver<(u64, Instant)>,
}

/// What the worker that gets the first packet does.
struct Job {
    compute: Duration,
    began: Sender<Instant>,
}

/// The first packet of a sample; the other one is 1.
const FIRST: u64 = 0;

impl Rig {
    /// `None` where the system refuses the means.
    fn new(means: Means) -> Option<Rig> {
        let notice = match means {
            Means::Notice(notice) => notice,
            Means::Guard => Notice::Nothing,
        };
        let port = CompletionPort::builder()
            .concurrency(1)
            .notice_blocked(notice)
            .build()
            .ok()?;
        let (jobs, todo) = channel::<Job>();
        let (report, reports) = channel();
        let todo = std::sync::Arc::new(std::sync::Mutex::new(todo));
        for _ in 0..2 {
            let (todo, report): (_, Sender<_>) = (todo.clone(), report.clone());
            let port: Port = port.clone();
            std::thread::spawn(move || {
                while let Ok(packet) = port.get() {
                    let now = Instant::now();
                    let user = *packet.operation.user();
                    report.send((user, now)).unwrap();
                    if user == FIRST {
                        let job = todo.lock().unwrap().recv().unwrap();
                        while now.elapsed() < job.compute {
                            std::hint::spin_loop();
                        }
                        let block = || {
                            job.began.send(Instant::now()).unwrap();
                            std::thread::sleep(BLOCK);
                        };
                        match means {
                            Means::Guard => port.blocking(block),
                            Means::Notice(_) => block(),
                        }
                    }
                }
            });
        }
        Some(Rig {
            port,
            jobs,
            reports,
        })
    }

    fn post(&self, user: u64) {
        self.port.post(Operation::new("", user), 0).unwrap();
    }

    /// Nanoseconds from the block, or from the post within it, to the other worker's packet.
    fn sample(&self, queued: bool, prng: &mut Prng) -> u64 {
        while self.port.stats().waiting < 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let (began, begins) = channel();
        let compute = Duration::from_micros(prng.below(8000) as u64);
        self.jobs.send(Job { compute, began }).unwrap();
        self.post(FIRST);
        assert_eq!(self.reports.recv().unwrap().0, FIRST);
        if queued {
            self.post(1);
        }
        let mut from = begins.recv().unwrap();
        if !queued {
            std::thread::sleep(Duration::from_millis(3));
            from = Instant::now();
            self.post(1);
        }
        let (user, at) = self.reports.recv().unwrap();
        assert_eq!(user, 1);
        at.saturating_duration_since(from).as_nanos() as u64
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.port.close();
    }
}
