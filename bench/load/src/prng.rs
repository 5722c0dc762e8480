//! Splitmix64: two multiplications per 64 bits, so that making and checking the pattern costs the
//! load generator next to nothing, and every random choice can be repeated from a printed seed.

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Scrambles a counter so that neighbouring inputs give unrelated outputs.
#[inline]
pub fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The `index`-th number of the sequence that belongs to `key`, without computing those before it.
#[inline]
pub fn nth(key: u64, index: u64) -> u64 {
    mix(key.wrapping_add(index.wrapping_add(1).wrapping_mul(STEP)))
}

/// A sequence of pseudo-random numbers.
pub struct Prng {
    key: u64,
    next: u64,
}

impl Prng {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { key: seed, next: 0 }
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let bits = nth(self.key, self.next);
        self.next += 1;
        bits
    }

    /// A number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: usize) -> usize {
        // The bias of the multiplication is below bound / 2^64: far too small to be seen here.
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// Puts `items` into a random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence() {
        let draw = |seed| {
            let mut prng = Prng::new(seed);
            [prng.bits(), prng.bits(), prng.bits()]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut prng = Prng::new(1);
        let mut seen = [0; 6];
        for _ in 0..6000 {
            seen[prng.below(6)] += 1;
        }
        assert!(
            seen.iter().all(|&count| (800..1200).contains(&count)),
            "{seen:?}"
        );
    }

    #[test]
    fn shuffle_keeps_every_item_and_gives_every_order() {
        let mut prng = Prng::new(2);
        let mut orders = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let mut items = [1, 2, 3];
            prng.shuffle(&mut items);
            assert_eq!(items.iter().sum::<i32>(), 6);
            orders.insert(items);
        }
        assert_eq!(orders.len(), 6);
    }
}
