//! The bytes a connection sends: a function of the connection and of the position in its stream.
//!
//! Since each position has its own byte, a server that loses, doubles or reorders bytes, or mixes
//! two connections up, gives a stream that soon differs from the expected one. Nothing has to be
//! stored to check it.

use std::fmt;

use crate::prng;

const WORD: usize = size_of::<u64>();

/// The endless stream of bytes of one connection.
#[derive(Clone, Copy)]
pub struct Pattern {
    key: u64,
}

impl Pattern {
    /// The stream number `stream` of the run with this `seed`.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self {
            key: prng::nth(seed, stream),
        }
    }

    #[inline]
    fn word(self, index: u64) -> [u8; WORD] {
        prng::nth(self.key, index).to_le_bytes()
    }

    /// Writes the bytes from `position` on into `out`.
    pub fn fill(self, position: u64, out: &mut [u8]) {
        let (mut index, skip, head) = split(position, out.len());
        let (head, body) = out.split_at_mut(head);
        if !head.is_empty() {
            head.copy_from_slice(&self.word(index)[skip..skip + head.len()]);
            index += 1;
        }
        for chunk in body.chunks_mut(WORD) {
            chunk.copy_from_slice(&self.word(index)[..chunk.len()]);
            index += 1;
        }
    }

    /// The offset in `bytes` of the first byte that is not the one of its position.
    fn first_difference(self, position: u64, bytes: &[u8]) -> Option<usize> {
        let (mut index, skip, head) = split(position, bytes.len());
        let (head, body) = bytes.split_at(head);
        let difference = |offset: usize, got: &[u8], expected: &[u8]| {
            let found = got
                .iter()
                .zip(expected)
                .position(|(got, expected)| got != expected);
            found.map(|inside| offset + inside)
        };
        if !head.is_empty() {
            let expected = &self.word(index)[skip..skip + head.len()];
            if head != expected {
                return difference(0, head, expected);
            }
            index += 1;
        }
        let mut words = body.chunks_exact(WORD);
        let mut offset = head.len();
        for word in &mut words {
            let expected = self.word(index);
            if word != expected {
                return difference(offset, word, &expected);
            }
            index += 1;
            offset += WORD;
        }
        difference(offset, words.remainder(), &self.word(index))
    }
}

/// Index of the word at `position`, offset inside it, and how many of `len` bytes belong to it if
/// it is not a whole one.
fn split(position: u64, len: usize) -> (u64, usize, usize) {
    let skip = (position % WORD as u64) as usize;
    (
        position / WORD as u64,
        skip,
        ((WORD - skip) % WORD).min(len),
    )
}

/// Checks a stream of bytes as it arrives.
pub struct Verifier {
    pattern: Pattern,
    position: u64,
}

impl Verifier {
    /// Expects `pattern` from its beginning.
    pub fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            position: 0,
        }
    }

    /// How many bytes have been found right.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Accepts `bytes` as the continuation of the stream, or names the first wrong one.
    pub fn check(&mut self, bytes: &[u8]) -> Result<(), Mismatch> {
        let Some(offset) = self.pattern.first_difference(self.position, bytes) else {
            self.position += bytes.len() as u64;
            return Ok(());
        };
        let position = self.position + offset as u64;
        let mut expected = [0];
        self.pattern.fill(position, &mut expected);
        Err(Mismatch {
            position,
            expected: expected[0],
            got: bytes[offset],
        })
    }
}

/// A byte that is not the one its position must have.
#[derive(Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Position in the stream of the connection, from 0.
    pub position: u64,
    /// The byte of the pattern.
    pub expected: u8,
    /// The byte that came.
    pub got: u8,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            position,
            expected,
            got,
        } = self;
        write!(
            f,
            "byte {position} came back as {got:#04x} instead of {expected:#04x} \
             (lost, doubled, reordered or changed)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN: usize = 1000;
    const PIECES: [usize; 6] = [1, 3, 8, 13, 64, LEN];

    fn stream(number: u64) -> (Pattern, Vec<u8>) {
        let pattern = Pattern::new(42, number);
        let mut bytes = vec![0; LEN];
        pattern.fill(0, &mut bytes);
        (pattern, bytes)
    }

    /// Feeds `bytes` in pieces of `piece`, as a socket would hand them over.
    fn check(pattern: Pattern, bytes: &[u8], piece: usize) -> Result<u64, Mismatch> {
        let mut verifier = Verifier::new(pattern);
        for bytes in bytes.chunks(piece) {
            verifier.check(bytes)?;
        }
        Ok(verifier.position())
    }

    #[test]
    fn filling_in_pieces_is_filling_at_once() {
        let (pattern, whole) = stream(0);
        for piece in PIECES {
            let mut bytes = vec![0; LEN];
            for (number, part) in bytes.chunks_mut(piece).enumerate() {
                pattern.fill((number * piece) as u64, part);
            }
            assert_eq!(bytes, whole, "pieces of {piece}");
        }
    }

    #[test]
    fn the_right_stream_is_accepted() {
        let (pattern, bytes) = stream(0);
        for piece in PIECES {
            assert_eq!(check(pattern, &bytes, piece), Ok(LEN as u64));
        }
    }

    #[test]
    fn a_lost_byte_is_found() {
        let (pattern, bytes) = stream(0);
        for lost in 0..LEN - 16 {
            let mut damaged = bytes.clone();
            damaged.remove(lost);
            for piece in PIECES {
                let found = check(pattern, &damaged, piece).unwrap_err().position as usize;
                // The byte may equal its successor; then the damage shows a little later.
                assert!(
                    (lost..lost + 16).contains(&found),
                    "lost {lost}, found {found}"
                );
            }
        }
    }

    #[test]
    fn a_byte_lost_at_the_very_end_leaves_the_stream_short() {
        let (pattern, bytes) = stream(0);
        assert_eq!(check(pattern, &bytes[..LEN - 1], 64), Ok(LEN as u64 - 1));
    }

    #[test]
    fn a_doubled_byte_is_found() {
        let (pattern, bytes) = stream(0);
        for twice in 0..LEN - 16 {
            let mut damaged = bytes.clone();
            damaged.insert(twice, bytes[twice]);
            for piece in PIECES {
                let found = check(pattern, &damaged, piece).unwrap_err().position as usize;
                assert!(
                    (twice..twice + 16).contains(&found),
                    "doubled {twice}, found {found}"
                );
            }
        }
    }

    #[test]
    fn two_swapped_bytes_are_found() {
        let (pattern, bytes) = stream(0);
        for first in 0..LEN - 1 {
            // Swapping equal bytes changes nothing, so there is nothing to find.
            if bytes[first] == bytes[first + 1] {
                continue;
            }
            let mut damaged = bytes.clone();
            damaged.swap(first, first + 1);
            for piece in PIECES {
                let found = check(pattern, &damaged, piece).unwrap_err();
                assert_eq!(found.position as usize, first);
                assert_eq!(
                    (found.expected, found.got),
                    (bytes[first], bytes[first + 1])
                );
            }
        }
    }

    #[test]
    fn swapped_whole_messages_are_found() {
        let (pattern, bytes) = stream(0);
        let damaged = [&bytes[64..128], &bytes[..64]].concat();
        assert!(check(pattern, &damaged, 64).is_err());
    }

    #[test]
    fn bytes_of_another_connection_are_found() {
        let (pattern, _) = stream(0);
        let (_, foreign) = stream(1);
        assert!(check(pattern, &foreign, LEN).is_err());
    }
}
