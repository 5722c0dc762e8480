//! Memory at an aligned address.

use std::ops::{Deref, DerefMut};

/// A buffer at an aligned address, as files that bypass the page cache need it
/// ([`OpenOptions::direct`](crate::OpenOptions::direct)); a `Vec<u8>` lies anywhere.
///
/// As with a `Vec<u8>`, a read fills its capacity and sets its length to what came, and a write
/// writes its length. It never grows.
///
/// ```
/// use overlapped::{AlignedBuffer, Operation};
///
/// let mut page = AlignedBuffer::new(4096, 4096);
/// page.set_len(4096);
/// page[..5].copy_from_slice(b"hello");
/// assert_eq!(page.as_ptr().addr() % 4096, 0);
/// let operation = Operation::new(page, ());
/// assert_eq!(operation.bytes().len(), 4096);
/// ```
#[derive(Debug)]
pub struct AlignedBuffer {
    /// Never grows, so that nothing moves.
    memory: Vec<u8>,
    start: usize,
    len: usize,
    capacity: usize,
}

impl AlignedBuffer {
    /// An empty buffer with room for `capacity` bytes at a multiple of `align` bytes.
    ///
    /// # Panics
    ///
    /// If `align` is not a power of two.
    pub fn new(capacity: usize, align: usize) -> Self {
        assert!(align.is_power_of_two(), "alignments are powers of two");
        let memory = vec![0; capacity + align - 1];
        let address = memory.as_ptr().addr();
        AlignedBuffer {
            start: address.next_multiple_of(align) - address,
            memory,
            len: 0,
            capacity,
        }
    }

    /// How many bytes it has room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Sets its length. What was never written is zero.
    ///
    /// # Panics
    ///
    /// If that is more than it has room for.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity, "longer than the buffer has room");
        self.len = len;
    }

    /// All of the room.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.capacity]
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..][..self.len]
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len]
    }
}
