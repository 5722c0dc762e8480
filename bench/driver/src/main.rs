//! Compares echo servers in interleaved rounds and prints a table of paired ratios.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use load::prng::{self, Prng};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cli::Options;
use crate::run::Row;

mod child;
mod cli;
mod counters;
mod plan;
mod run;
mod table;

/// A message for the person at the terminal: nothing here is handled, everything ends the run.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let directory = match own_directory() {
        Ok(directory) => directory,
        Err(error) => return fail(&error, 1),
    };
    let options = match cli::parse(&directory) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{}", cli::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&error.to_string(), 2),
    };
    match compare(&options, &directory) {
        Ok(rows) => {
            print!("{}", table::render(&options, &rows));
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error, 1),
    }
}

fn fail(error: &str, code: u8) -> ExitCode {
    eprintln!("compare: {error}");
    ExitCode::from(code)
}

/// Where cargo puts all the binaries of the workspace.
fn own_directory() -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    own.parent()
        .map(Path::to_owned)
        .ok_or_else(|| "own path has no directory".to_owned())
}

fn compare(options: &Options, directory: &Path) -> Result<Vec<Row>> {
    // The children inherit the limit, and so need not raise it themselves.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
    .map_err(|error| format!("setrlimit: {error}"))?;

    let out = options
        .out
        .clone()
        .unwrap_or_else(|| directory.join("compare-rows.jsonl"));
    let file = File::create(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let mut file = BufWriter::new(file);

    let runs = options.rounds * options.points.len() * options.variants.len();
    let expected = runs as f64 * (options.seconds + options.warmup);
    eprintln!(
        "{runs} runs, at least {:.1} minutes; seed {}; rows go to {}",
        expected / 60.0,
        options.seed,
        out.display()
    );

    let mut rows = Vec::with_capacity(runs);
    for round in 0..options.rounds {
        let load_seed = prng::nth(!options.seed, round as u64);
        for (point_number, &point) in options.points.iter().enumerate() {
            // A key of its own for each shuffle, so that the order of a round does not depend on
            // how many rounds or load points there are.
            let key = prng::nth(prng::nth(options.seed, round as u64), point_number as u64);
            let mut order: Vec<usize> = (0..options.variants.len()).collect();
            Prng::new(key).shuffle(&mut order);
            for (turn, &number) in order.iter().enumerate() {
                let variant = &options.variants[number];
                let (measured, thrown_away) =
                    run::run_on_time(options, directory, variant, point, load_seed).map_err(
                        |error| format!("round {}, {}, {point}: {error}", round + 1, variant.name),
                    )?;
                let row = Row {
                    seed: options.seed,
                    round,
                    turn,
                    variant: variant.name.clone(),
                    command: variant.command.join(" "),
                    thrown_away,
                    measured,
                };
                // Flushed at once: what has been measured is kept even if a later run fails.
                serde_json::to_writer(&mut file, &row)
                    .map_err(std::io::Error::from)
                    .and_then(|()| file.write_all(b"\n"))
                    .and_then(|()| file.flush())
                    .map_err(|error| format!("{}: {error}", out.display()))?;
                rows.push(row);
            }
        }
        eprintln!("round {} of {}", round + 1, options.rounds);
    }
    Ok(rows)
}
