//! Runs servers side by side under the same load, interleaved, and prints ratios.
//!
//!     cargo run --release --bin compare -- --preset echo64
//!     cargo run --release --bin compare -- --baseline plain --connections 100 \
//!         --variant plain='epoll_plain' --variant ours='overlapped_echo --workers 2'
//!
//! A round runs every variant once at every load, in an order shuffled by the seed; so a machine
//! that drifts drifts for all. Ratios are taken within a round, and reported as their median with
//! a 95 % interval (bootstrap).

mod counters;
mod run;
mod statistics;
mod table;

use std::error::Error;
use std::io::Write;

use run::{Load, Variant};

struct Options {
    variants: Vec<Variant>,
    baseline: String,
    loads: Vec<Load>,
    rounds: usize,
    seconds: f64,
    warm_up: f64,
    seed: u64,
    out: Option<String>,
}

fn main() {
    if let Err(error) = options().and_then(|options| compare(&options)) {
        eprintln!("compare: {error}");
        std::process::exit(1);
    }
}

fn numbers(text: &str) -> Result<Vec<usize>, Box<dyn Error>> {
    text.split(',')
        .map(|part| {
            part.parse()
                .map_err(|_| format!("'{part}' is no number").into())
        })
        .collect()
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        variants: Vec::new(),
        baseline: String::new(),
        loads: Vec::new(),
        rounds: 15,
        seconds: 1.0,
        warm_up: 0.3,
        seed: 1,
        out: None,
    };
    let (mut connections, mut sizes, mut depths) = (vec![10, 100, 1000], vec![64], vec![1]);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments
            .next()
            .ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--preset" if value == "echo64" => {
                for (name, command) in [
                    ("epoll, 1 thread", "epoll_plain"),
                    ("epoll, 2 threads", "epoll_plain --workers 2"),
                    (
                        "epoll, 2 threads, shared",
                        "epoll_plain --workers 2 --shared",
                    ),
                    ("mio, 1 thread", "mio_echo"),
                    ("tokio, current thread", "tokio_echo"),
                    ("tokio, 2 workers", "tokio_echo --workers 2"),
                    ("overlapped, 1 worker", "overlapped_echo"),
                    ("overlapped, 2 workers", "overlapped_echo --workers 2"),
                    (
                        "overlapped, 2 workers, windows",
                        "overlapped_echo --workers 2 --windows",
                    ),
                ] {
                    options.variants.push(Variant::new(name, command));
                }
                options.baseline = "epoll, 1 thread".into();
            }
            "--variant" => {
                let (name, command) = value.split_once('=').ok_or("--variant NAME=COMMAND")?;
                options.variants.push(Variant::new(name, command));
            }
            "--baseline" => options.baseline = value,
            "--connections" => connections = numbers(&value)?,
            "--size" => sizes = numbers(&value)?,
            "--depth" => depths = numbers(&value)?,
            "--rounds" => options.rounds = value.parse()?,
            "--seconds" => options.seconds = value.parse()?,
            "--warm-up" => options.warm_up = value.parse()?,
            "--seed" => options.seed = value.parse()?,
            "--out" => options.out = Some(value),
            _ => return Err(format!("unknown option {name} {value}").into()),
        }
    }
    for &connections in &connections {
        for &size in &sizes {
            for &depth in &depths {
                options.loads.push(Load {
                    connections,
                    size,
                    depth,
                });
            }
        }
    }
    if !options
        .variants
        .iter()
        .any(|variant| variant.name == options.baseline)
    {
        return Err("name the variant to compare with: --baseline NAME".into());
    }
    Ok(options)
}

fn compare(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut out = options
        .out
        .as_ref()
        .map(std::fs::File::create)
        .transpose()?;
    let mut random = statistics::Random::new(options.seed);
    let mut measured = Vec::new();
    for round in 0..options.rounds {
        let mut order: Vec<(usize, usize)> = (0..options.loads.len())
            .flat_map(|load| (0..options.variants.len()).map(move |variant| (load, variant)))
            .collect();
        random.shuffle(&mut order);
        for (load, variant) in order {
            let sample = run::run(
                &options.variants[variant],
                options.loads[load],
                options.warm_up,
                options.seconds,
            )?;
            if let Some(out) = &mut out {
                writeln!(
                    out,
                    "{}",
                    sample.json(&options.variants[variant], options.loads[load])
                )?;
            }
            measured.push(table::Measured {
                round,
                load,
                variant,
                sample,
            });
        }
        eprintln!("round {} of {}", round + 1, options.rounds);
    }
    table::print(
        &options.variants,
        &options.baseline,
        &options.loads,
        &measured,
        options.seed,
    );
    Ok(())
}
