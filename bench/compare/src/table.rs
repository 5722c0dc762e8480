//! The result, in Markdown.

use crate::run::{Load, Sample, Variant};
use crate::statistics::{Random, interval, median};

/// A sample and where it belongs.
pub struct Measured {
    pub round: usize,
    pub load: usize,
    pub variant: usize,
    pub sample: Sample,
}

pub fn print(
    variants: &[Variant],
    baseline: &str,
    loads: &[Load],
    measured: &[Measured],
    seed: u64,
) {
    let base = variants
        .iter()
        .position(|variant| variant.name == baseline)
        .unwrap_or(0);
    let of = |load: usize, variant: usize| -> Vec<(usize, Sample)> {
        let mut samples: Vec<(usize, Sample)> = measured
            .iter()
            .filter(|m| m.load == load && m.variant == variant)
            .map(|m| (m.round, m.sample))
            .collect();
        samples.sort_by_key(|(round, _)| *round);
        samples
    };
    let mut random = Random::new(seed);
    for (number, load) in loads.iter().enumerate() {
        println!(
            "\n{} connections, {} bytes, depth {}; ratios to '{baseline}'\n",
            load.connections, load.size, load.depth
        );
        println!(
            "| server | CPU/request | requests/s | CPU us/request | requests/s | p50 us | p99 us | \
             switches/request |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        let reference = of(number, base);
        for (place, variant) in variants.iter().enumerate() {
            let samples = of(number, place);
            let mut ratio = |value: fn(&Sample) -> f64| {
                let ratios: Vec<f64> = samples
                    .iter()
                    .zip(&reference)
                    .map(|((_, sample), (_, base))| value(sample) / value(base))
                    .collect();
                let (low, high) = interval(&ratios, &mut random);
                format!("{:.2} [{low:.2}-{high:.2}]", median(&ratios))
            };
            let absolute = |value: fn(&Sample) -> f64| {
                median(
                    &samples
                        .iter()
                        .map(|(_, sample)| value(sample))
                        .collect::<Vec<_>>(),
                )
            };
            println!(
                "| {} | {} | {} | {:.2} | {:.0} | {:.0} | {:.0} | {:.3} |",
                variant.name,
                ratio(|sample| sample.cpu_us_per_request),
                ratio(|sample| sample.requests_per_second),
                absolute(|sample| sample.cpu_us_per_request),
                absolute(|sample| sample.requests_per_second),
                absolute(|sample| sample.p50_us),
                absolute(|sample| sample.p99_us),
                absolute(|sample| sample.switches_per_request),
            );
        }
    }
}
