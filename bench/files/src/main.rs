//! Random reads of 4 KiB from a file, cached and with `O_DIRECT`: how many a second, and how much
//! CPU time each costs, by hand over io_uring, with a thread pool, with tokio, and with a port.
//!
//! Every way keeps the same number of reads outstanding, driven by one thread, and checks each block
//! that comes back. In each round every way runs once, in an order shuffled anew; what counts is
//! the ratio to io_uring by hand within the round.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use load::prng::{Prng, nth};
use load::stats::{median, median_interval};

mod block;
mod ways;

use block::{BLOCK, Block};

/// A message for the person at the terminal: nothing here is handled, everything ends the run.
type Result<T> = std::result::Result<T, String>;

const HELP: &str = "\
Random reads of 4 KiB from a file, as many ways side by side.

Usage: files [OPTIONS]

  --file PATH      where to make the file [files-bench.tmp beside the binary]
  --blocks N       its size in blocks of 4 KiB [65536: 256 MiB]
  --depths N,...   reads outstanding [1,32]
  --reads N        reads in a cached run; an uncached one makes a tenth [50000]
  --rounds N       [15]
  --seed N         [1]
";

/// What one run is given.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    path: &'a Path,
    direct: bool,
    blocks: u64,
    depth: usize,
    reads: u64,
    seed: u64,
}

impl Load<'_> {
    /// Opens the file as every way does.
    fn open(&self) -> Result<File> {
        let mut options = OpenOptions::new();
        options.read(true);
        if self.direct {
            options.custom_flags(libc::O_DIRECT);
        }
        options
            .open(self.path)
            .map_err(|error| format!("{}: {error}", self.path.display()))
    }

    /// Which block the `number`-th read reads.
    fn block(&self, number: u64) -> u64 {
        ((u128::from(nth(self.seed, number)) * u128::from(self.blocks)) >> 64) as u64
    }
}

/// What one run took.
#[derive(Clone, Copy)]
struct Spent {
    cpu_us: f64,
    per_second: f64,
}

struct Options {
    file: PathBuf,
    blocks: u64,
    depths: Vec<usize>,
    reads: u64,
    rounds: usize,
    seed: u64,
}

fn main() -> ExitCode {
    match parse().and_then(|options| options.map_or(Ok(()), |options| compare(&options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("files: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse() -> Result<Option<Options>> {
    use lexopt::prelude::*;
    let own = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    let mut options = Options {
        file: own.with_file_name("files-bench.tmp"),
        blocks: 65_536,
        depths: vec![1, 32],
        reads: 50_000,
        rounds: 15,
        seed: 1,
    };
    let wrong = |error: lexopt::Error| error.to_string();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next().map_err(wrong)? {
        let Long(name) = argument else {
            return Err(argument.unexpected().to_string());
        };
        let name = name.to_owned();
        if name == "help" {
            print!("{HELP}");
            return Ok(None);
        }
        let value = arguments.value().map_err(wrong)?;
        let number = || value.parse().map_err(wrong);
        match name.as_str() {
            "file" => options.file = value.into(),
            "blocks" => options.blocks = number()?,
            "reads" => options.reads = number()?,
            "rounds" => options.rounds = number()? as usize,
            "seed" => options.seed = number()?,
            "depths" => {
                let parts = value.string().map_err(wrong)?;
                options.depths = parts
                    .split(',')
                    .map(|part| part.parse().map_err(|error| format!("--depths: {error}")))
                    .collect::<Result<_>>()?;
            }
            _ => return Err(format!("there is no option --{name}; see --help")),
        }
    }
    Ok(Some(options))
}

fn compare(options: &Options) -> Result<()> {
    let _temporary = make(options).map_err(|error| format!("making the file: {error}"))?;
    for direct in [false, true] {
        for &depth in &options.depths {
            let reads = if direct {
                options.reads / 10
            } else {
                options.reads
            };
            let load = Load {
                path: &options.file,
                direct,
                blocks: options.blocks,
                depth,
                reads: reads.max(depth as u64),
                seed: 0,
            };
            table(options, &load)?;
        }
    }
    Ok(())
}

/// The file, which goes when this goes.
struct Temporary<'a>(&'a Path);

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}

fn make(options: &Options) -> std::io::Result<Temporary<'_>> {
    let temporary = Temporary(&options.file);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&options.file)?);
    for number in 0..options.blocks {
        file.write_all(&Block::with(number)[..])?;
    }
    file.into_inner()?.sync_all()?;
    Ok(temporary)
}

fn table(options: &Options, load: &Load<'_>) -> Result<()> {
    let ways = ways::all(load.direct);
    let mut spent: Vec<Vec<Spent>> = vec![Vec::new(); ways.len()];
    let mut prng = Prng::new(options.seed);
    // The first round warms up, and is not counted.
    for round in 0..=options.rounds {
        let load = Load {
            seed: nth(options.seed, round as u64),
            ..*load
        };
        let mut order: Vec<usize> = (0..ways.len()).collect();
        prng.shuffle(&mut order);
        for way in order {
            let run = measure(&load, ways[way].run)
                .map_err(|error| format!("{}: {error}", ways[way].name))?;
            if round > 0 {
                spent[way].push(run);
            }
        }
    }
    println!(
        "### {} of {BLOCK} bytes, {} outstanding, {} rounds of {}\n",
        if load.direct {
            "O_DIRECT reads"
        } else {
            "cached reads"
        },
        load.depth,
        options.rounds,
        load.reads,
    );
    println!("| way | CPU/read vs by hand | reads/s vs by hand | CPU us/read | reads/s |");
    println!("|---|--:|--:|--:|--:|");
    for (number, way) in ways.iter().enumerate() {
        let ratio = |value: fn(&Spent) -> f64| {
            let pairs = spent[number].iter().zip(&spent[0]);
            let ratios: Vec<f64> = pairs.map(|(one, base)| value(one) / value(base)).collect();
            let (low, high) = median_interval(&ratios, options.seed);
            format!("{:.2} [{low:.2}, {high:.2}]", median(&ratios))
        };
        let middle =
            |value: fn(&Spent) -> f64| median(&spent[number].iter().map(value).collect::<Vec<_>>());
        println!(
            "| {} | {} | {} | {:.2} | {:.0} |",
            way.name,
            ratio(|run| run.cpu_us),
            ratio(|run| run.per_second),
            middle(|run| run.cpu_us),
            middle(|run| run.per_second),
        );
    }
    println!();
    Ok(())
}

fn measure(load: &Load<'_>, run: fn(&Load<'_>) -> Result<()>) -> Result<Spent> {
    let (cpu, wall) = (cpu_time(), Instant::now());
    run(load)?;
    let (cpu, wall) = (cpu_time() - cpu, wall.elapsed());
    Ok(Spent {
        cpu_us: cpu.as_secs_f64() * 1e6 / load.reads as f64,
        per_second: load.reads as f64 / wall.as_secs_f64(),
    })
}

/// Of all threads of this process, io_uring's workers and those that ended included.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
