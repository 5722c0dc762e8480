//! The median, and how sure it is.

use crate::prng::Prng;

const RESAMPLES: usize = 10_000;

/// The middle of `values`, which must not be empty.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    median_in_place(&mut values)
}

fn median_in_place(values: &mut [f64]) -> f64 {
    let half = values.len() / 2;
    let (below, &mut middle, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    match below.iter().copied().reduce(f64::max) {
        Some(lower) if values.len().is_multiple_of(2) => (lower + middle) / 2.0,
        _ => middle,
    }
}

/// A 95 % confidence interval of the median: the percentile bootstrap.
///
/// Makes no assumption on how the noise is distributed, which on a shared machine is anything but
/// normal.
pub fn median_interval(values: &[f64], seed: u64) -> (f64, f64) {
    let mut prng = Prng::new(seed);
    let mut resample = vec![0.0; values.len()];
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            resample.fill_with(|| values[prng.below(values.len())]);
            median_in_place(&mut resample)
        })
        .collect();
    medians.sort_unstable_by(f64::total_cmp);
    let tail = RESAMPLES / 40;
    (medians[tail], medians[RESAMPLES - 1 - tail])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_odd_number_is_the_middle_one() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[7.0]), 7.0);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median(&[4.0, 1.0, 10.0, 2.0]), 3.0);
        assert_eq!(median(&[1.0, 2.0]), 1.5);
    }

    #[test]
    fn an_outlier_does_not_move_the_median() {
        assert_eq!(median(&[1.0, 1.1, 0.9, 1000.0, 1.0]), 1.0);
    }

    #[test]
    fn equal_values_leave_no_doubt() {
        assert_eq!(median_interval(&[1.5; 9], 1), (1.5, 1.5));
        assert_eq!(median_interval(&[2.5], 1), (2.5, 2.5));
    }

    #[test]
    fn the_interval_repeats_with_its_seed_and_holds_the_median() {
        let values: Vec<f64> = (0..15).map(f64::from).collect();
        let (low, high) = median_interval(&values, 3);
        assert_eq!((low, high), median_interval(&values, 3));
        assert!(low < 7.0 && 7.0 < high, "{low} {high}");
    }

    /// For 15 different values the bootstrap distribution of the median is known exactly: it is
    /// at most the k-th value when at least 8 of 15 draws are, which is a sum of binomials. The
    /// 2.5 % point is the 4th value from below, and the 97.5 % point the 4th from above.
    #[test]
    fn the_interval_is_the_exact_one_for_fifteen_values() {
        let values: Vec<f64> = (1..=15).map(f64::from).collect();
        let at_most = |k: u32| -> f64 {
            let p = f64::from(k) / 15.0;
            let choose = |n: u32, r: u32| {
                (0..r).fold(1.0, |product, i| {
                    product * f64::from(n - i) / f64::from(i + 1)
                })
            };
            (8..=15)
                .map(|n| choose(15, n) * p.powi(n as i32) * (1.0 - p).powi(15 - n as i32))
                .sum()
        };
        let expected = (1..=15).find(|&k| at_most(k) >= 0.025).unwrap();
        assert_eq!(expected, 4);
        assert_eq!(median_interval(&values, 4), (4.0, 12.0));
    }

    #[test]
    fn the_interval_covers_the_true_median_about_as_often_as_it_says() {
        let mut prng = Prng::new(5);
        let trials = 200;
        let covered = (0..trials)
            .filter(|&trial| {
                let uniform = |_| prng.bits() as f64 / 2f64.powi(64);
                let sample: Vec<f64> = (0..15).map(uniform).collect();
                let (low, high) = median_interval(&sample, trial);
                (low..=high).contains(&0.5)
            })
            .count();
        assert!((180..=200).contains(&covered), "{covered} of {trials}");
    }
}
