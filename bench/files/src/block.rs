//! A block of the file: it says which it is.

use crate::Result;

/// Bytes in a block.
pub const BLOCK: usize = 4096;

/// Aligned, because uncached reads demand it.
#[repr(C, align(4096))]
pub struct Block([u8; BLOCK]);

impl Block {
    /// An empty one, to be read into.
    pub fn new() -> Box<Block> {
        Box::new(Block([0; BLOCK]))
    }

    /// What the file has as its `number`-th.
    pub fn with(number: u64) -> Box<Block> {
        let mut block = Block::new();
        for (place, word) in block.0.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&load::prng::nth(number, place as u64).to_le_bytes());
        }
        block
    }
}

impl std::ops::Deref for Block {
    type Target = [u8; BLOCK];

    fn deref(&self) -> &[u8; BLOCK] {
        &self.0
    }
}

impl std::ops::DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8; BLOCK] {
        &mut self.0
    }
}

/// Looks at both ends: the check shall not be what is measured.
pub fn check(bytes: &[u8], number: u64) -> Result<()> {
    let last = BLOCK as u64 / 8 - 1;
    let word = |place: u64| load::prng::nth(number, place).to_le_bytes();
    if bytes.len() == BLOCK && bytes[..8] == word(0) && bytes[BLOCK - 8..] == word(last) {
        return Ok(());
    }
    Err(format!("block {number} is not what was written"))
}
