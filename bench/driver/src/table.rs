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
        let _ = table(&mut text, options, rows, point);
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
         | p99.9 us | switches/req | load CPU |",
        baseline.name
    )?;
    writeln!(text, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    let base = of(options, rows, baseline, point);
    for variant in &options.variants {
        let runs = of(options, rows, variant, point);
        let ratio = |value: fn(&Measured) -> f64| {
            // Rows are in the order of the rounds, so these are pairs of the same round.
            let pairs = runs.iter().zip(&base);
            let ratios: Vec<f64> = pairs.map(|(run, base)| value(run) / value(base)).collect();
            let (low, high) = median_interval(&ratios, options.seed);
            format!("{:.3} [{low:.3}, {high:.3}]", median(&ratios))
        };
        let middle = |value: fn(&Measured) -> f64| {
            median(&runs.iter().map(|run| value(run)).collect::<Vec<_>>())
        };
        let (cpu_ratio, rate_ratio) = match variant.name == baseline.name {
            true => ("1".to_owned(), "1".to_owned()),
            false => (ratio(Measured::cpu_us), ratio(|run| run.load.req_per_s)),
        };
        writeln!(
            text,
            "| {} | {cpu_ratio} | {rate_ratio} | {:.2} | {:.0} | {:.0} | {:.0} | {:.0} | {:.3} \
             | {:.0} % |",
            variant.name,
            middle(Measured::cpu_us),
            middle(|run| run.load.req_per_s),
            middle(|run| run.load.p50_us),
            middle(|run| run.load.p99_us),
            middle(|run| run.load.p999_us),
            middle(Measured::switches),
            middle(|run| 100.0 * run.load.cpu_s / run.load.seconds),
        )?;
    }
    writeln!(text)
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
    if *rounds < FEWEST_ROUNDS {
        writeln!(
            text,
            "**Fewer than {FEWEST_ROUNDS} rounds: the intervals are narrower than 95 % ones.**"
        )?;
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
