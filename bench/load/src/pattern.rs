//! Bytes that tell their place: which connection, and where in its stream.

const PERIOD: usize = 1 << 16;

/// The longest piece that can be had at once.
pub const LONGEST: usize = PERIOD;

/// A stream of bytes for each connection.
pub struct Pattern {
    /// The period twice, so that a piece is contiguous wherever it begins.
    bytes: Vec<u8>,
}

impl Pattern {
    pub fn new() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut bytes: Vec<u8> = (0..PERIOD)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        bytes.extend_from_within(..);
        Pattern { bytes }
    }

    /// The piece of a connection's stream that begins at `position`.
    pub fn piece(&self, connection: usize, position: u64, len: usize) -> &[u8] {
        let begin = (position as usize).wrapping_add(connection.wrapping_mul(7919)) % PERIOD;
        &self.bytes[begin..begin + len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_a_doubled_and_a_swapped_byte_are_seen() {
        let pattern = Pattern::new();
        for position in [0, 1, 63, 65_535, 65_536, 1 << 40] {
            let right = pattern.piece(3, position, 64).to_vec();
            let mut lost = right.clone();
            lost.remove(10);
            lost.extend(pattern.piece(3, position + 64, 1));
            let mut doubled = right.clone();
            doubled.insert(10, right[10]);
            doubled.pop();
            let mut swapped = right.clone();
            swapped.swap(20, 40);
            for wrong in [lost, doubled, swapped] {
                assert_ne!(wrong, right, "at {position}");
            }
            assert_ne!(pattern.piece(4, position, 64), right);
        }
    }
}
