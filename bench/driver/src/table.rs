//! The Markdown the comparison ends with.

use std::fmt::Write;

use crate::cli::Options;
use crate::plan::{Point, Variant};
use crate::run::{Measured, Row};
use load::stats::{median, median_interval};

/// Below this many rounds not even the whole range of the ratios covers the median with 95 %.
const FEWEST_ROUNDS: usize = 6;

pub fn render(options: &Options, rows: &[Row]) -> String {
    let mut text = String::new();
    for &point in &options.points {
        // Writing to a string cannot fail.
        let _ = match point.mix {
            None => table(&mut text, options, rows, point),
            Some(_) => open_table(&mut text, options, rows, point),
        };
    }
    let _ = notes(&mut text, options, rows);
    text
}

fn table(text: &mut String, options: &Options, rows: &[Row], point: Point) -> std::fmt::Result {
    let baseline = &options.variants[options.baseline];
    writeln!(text, "### {point}\n")?;
    writeln!(
        text,
        "| server | CPU/req vs {0} | req/s vs {0} | CPU us/req | req/s | p50 us | p99 us \
         | p99.9 us | p99/p50 | switches/req | wakes/req | load CPU |",
        baseline.name
    )?;
    writeln!(text, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    let base = of(options, rows, baseline, point);
    for variant in &options.variants {
        let runs = of(options, rows, variant, point);
        let ratio = |value| ratio(options, &runs, &base, value);
        let middle = |value: fn(&Measured) -> f64| middle(&runs, value);
        let (cpu_ratio, rate_ratio) = match variant.name == baseline.name {
            true => ("1".to_owned(), "1".to_owned()),
            false => (ratio(Measured::cpu_us), ratio(|run| run.load.req_per_s)),
        };
        writeln!(
            text,
            "| {} | {cpu_ratio} | {rate_ratio} | {:.2} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} \
             | {:.3} | {} | {:.0} % |",
            variant.name,
            middle(Measured::cpu_us),
            middle(|run| run.load.req_per_s),
            middle(|run| run.load.p50_us),
            middle(|run| run.load.p99_us),
            middle(|run| run.load.p999_us),
            middle(|run| run.load.p99_us / run.load.p50_us),
            middle(Measured::switches),
            wakes(&runs),
            middle(|run| 100.0 * run.load.cpu_s / run.load.seconds),
        )?;
    }
    writeln!(text)
}

/// The latencies of the requests that have no job, and what they cost.
fn open_table(
    text: &mut String,
    options: &Options,
    rows: &[Row],
    point: Point,
) -> std::fmt::Result {
    let baseline = &options.variants[options.baseline];
    writeln!(text, "### {point}\n")?;
    writeln!(
        text,
        "| server | p50 ms | p99 ms | p99.9 ms | max ms | req/s | overloaded | CPU us/req \
         | CPU/req vs {} | switches/req | wakes/req | threads | load late p99 ms |",
        baseline.name
    )?;
    writeln!(
        text,
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    let base = of(options, rows, baseline, point);
    for variant in &options.variants {
        let runs = of(options, rows, variant, point);
        let interval = |value: fn(&Measured) -> f64| {
            let values: Vec<f64> = runs.iter().map(|run| value(run)).collect();
            let (low, high) = median_interval(&values, options.seed);
            format!("{:.2} [{low:.2}, {high:.2}]", median(&values))
        };
        let cpu_ratio = match variant.name == baseline.name {
            true => "1".to_owned(),
            false => ratio(options, &runs, &base, Measured::cpu_us),
        };
        let overloaded = runs.iter().filter(|run| run.open().overloaded).count();
        let overloaded = match overloaded {
            0 => "no".to_owned(),
            some if some == options.rounds => "**yes**".to_owned(),
            some => format!("{some} of {}", options.rounds),
        };
        let threads = runs.iter().filter_map(|run| run.handlers.as_ref());
        writeln!(
            text,
            "| {} | {:.2} | {} | {} | {:.1} | {:.0} | {overloaded} | {:.2} | {cpu_ratio} | {:.3} \
             | {} | {} | {:.2} |",
            variant.name,
            middle(&runs, |run| run.load.p50_us / 1e3),
            interval(|run| run.load.p99_us / 1e3),
            interval(|run| run.load.p999_us / 1e3),
            middle(&runs, |run| run.load.max_us / 1e3),
            middle(&runs, |run| run.open().answered_per_s),
            middle(&runs, Measured::cpu_us),
            middle(&runs, Measured::switches),
            wakes(&runs),
            threads.map(|handlers| handlers.threads).max().unwrap_or(0),
            middle(&runs, |run| run.open().late_p99_us / 1e3),
        )?;
    }
    writeln!(text)
}

/// Only some servers count them.
fn wakes(runs: &[&Measured]) -> String {
    let counted: Option<Vec<f64>> = runs.iter().map(|run| run.wakes).collect();
    counted.map_or_else(String::new, |counted| format!("{:.4}", median(&counted)))
}

fn middle(runs: &[&Measured], value: impl Fn(&Measured) -> f64) -> f64 {
    median(&runs.iter().map(|run| value(run)).collect::<Vec<_>>())
}

fn ratio(
    options: &Options,
    runs: &[&Measured],
    base: &[&Measured],
    value: fn(&Measured) -> f64,
) -> String {
    // Rows are in the order of the rounds, so these are pairs of the same round.
    let pairs = runs.iter().zip(base);
    let ratios: Vec<f64> = pairs.map(|(run, base)| value(run) / value(base)).collect();
    let (low, high) = median_interval(&ratios, options.seed);
    format!("{:.3} [{low:.3}, {high:.3}]", median(&ratios))
}

fn of<'a>(
    options: &Options,
    rows: &'a [Row],
    variant: &Variant,
    point: Point,
) -> Vec<&'a Measured> {
    let belongs = |row: &&Row| row.variant == variant.name && row.measured.is_at(point);
    let runs: Vec<&Measured> = rows
        .iter()
        .filter(belongs)
        .map(|row| &row.measured)
        .collect();
    assert_eq!(runs.len(), options.rounds, "one run per round");
    runs
}

fn notes(text: &mut String, options: &Options, rows: &[Row]) -> std::fmt::Result {
    let Options {
        rounds,
        seconds,
        warmup,
        seed,
        ..
    } = options;
    let cpus = std::thread::available_parallelism().map_or(0, |count| count.get());
    let kernel = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    writeln!(
        text,
        "Medians of {rounds} rounds of {seconds} s each after {warmup} s of warm-up; ratios are \
         medians of the ratios within a round, with a bootstrap 95 % interval. Seed {seed}, \
         {cpus} CPUs, Linux {kernel}."
    )?;
    let others: Vec<f64> = rows
        .iter()
        .map(|row| row.measured.others_cpu_s / row.measured.load.seconds)
        .collect();
    let most = others.iter().copied().fold(0.0, f64::max);
    writeln!(
        text,
        "Everything else on the machine used {:.2} CPUs while this was measured (median; most \
         {most:.2}).",
        median(&others)
    )?;
    if let Some(most) = options.on_time {
        let thrown_away: u32 = rows.iter().map(|row| row.thrown_away).sum();
        let late = rows
            .iter()
            .filter(|row| row.measured.open().late_p99_us > most)
            .count();
        writeln!(
            text,
            "{thrown_away} runs were thrown away and made again, because the load was late by more \
             than {} ms (p99); of the {} that count, {late} still are.",
            most / 1e3,
            rows.len()
        )?;
    }
    if *rounds < FEWEST_ROUNDS {
        writeln!(
            text,
            "**Fewer than {FEWEST_ROUNDS} rounds: the intervals are narrower than 95 % ones.**"
        )?;
    }
    for variant in &options.variants {
        let own = rows.iter().filter(|row| row.variant == variant.name);
        let handlers = own.filter_map(|row| row.measured.handlers.as_ref());
        let interrupted: u64 = handlers.map(|handlers| handlers.interrupted).sum();
        if interrupted > 0 {
            writeln!(
                text,
                "**{}: {interrupted} waits for the database were interrupted.**",
                variant.name
            )?;
        }
    }
    let vanished = rows
        .iter()
        .filter(|row| row.measured.server.vanished > 0)
        .count();
    if vanished > 0 {
        writeln!(
            text,
            "In {vanished} runs threads of the server ended: their context switches are missing."
        )?;
    }
    Ok(())
}
