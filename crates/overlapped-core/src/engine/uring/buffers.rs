//! The buffers that the ring puts received bytes into.
//!
//! The system takes one from a ring of buffers when something has come, and whoever has copied the
//! bytes gives it back. There are few at first, and more when a receive has found none, up to a
//! limit: so few connections go round in little memory that stays in the processor's cache.

use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering::Release};

use io_uring::types::BufRingEntry;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// The size of a buffer, in bytes.
pub(super) const SIZE: usize = 16 * 1024;

/// How many there can be, a power of two; and how many there are at first.
pub(super) const MOST: u16 = 1024;
const FIRST: u16 = 16;

/// Memory from the system, in whole pages and zeroed.
struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it is memory, owned like a box's.
unsafe impl Send for Pages {}

impl Pages {
    fn new(len: usize) -> std::io::Result<Pages> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: new memory at a place of the system's choice.
        let start =
            unsafe { mmap_anonymous(std::ptr::null_mut(), len, protection, MapFlags::PRIVATE) }?;
        let start = NonNull::new(start.cast()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        Ok(Pages { start, len })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nobody uses it any more.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

pub(super) struct Buffers {
    /// The ring, which the system reads.
    ring: Pages,
    /// All that there can be; pages that no buffer has been made of take no memory.
    memory: Pages,
    /// Of each that there is, whether it is in the ring.
    in_ring: Vec<bool>,
    tail: u16,
}

impl Buffers {
    pub(super) fn new() -> std::io::Result<Buffers> {
        let mut buffers = Buffers {
            ring: Pages::new(usize::from(MOST) * size_of::<BufRingEntry>())?,
            memory: Pages::new(usize::from(MOST) * SIZE)?,
            in_ring: Vec::with_capacity(usize::from(MOST)),
            tail: 0,
        };
        buffers.make_more();
        Ok(buffers)
    }

    /// Where the ring is, for the system.
    pub(super) fn address(&self) -> u64 {
        self.ring.start.as_ptr() as u64
    }

    /// A receive has found none: makes as many again, if there can be more.
    pub(super) fn make_more(&mut self) {
        let made = self.in_ring.len() as u16;
        for buffer in made..made.saturating_mul(2).clamp(FIRST, MOST) {
            self.in_ring.push(false);
            self.give(buffer);
        }
    }

    /// The ring of buffers was given to a new ring of requests, which begins at its front.
    pub(super) fn begin_anew(&mut self) {
        self.tail = 0;
        for buffer in 0..self.in_ring.len() as u16 {
            if self.in_ring[usize::from(buffer)] {
                self.give(buffer);
            }
        }
    }

    /// The system has taken a buffer out of the ring and filled it.
    pub(super) fn taken(&mut self, buffer: u16) {
        self.in_ring[usize::from(buffer)] = false;
    }

    /// The bytes of a buffer that the system has filled and that was not given back since.
    pub(super) fn bytes(&self, buffer: u16) -> &[u8] {
        assert!(
            !self.in_ring[usize::from(buffer)],
            "only what the system has filled"
        );
        // SAFETY: within the mapping, which is initialised from the beginning; the system writes to
        // buffers in the ring only, and this one is not.
        unsafe {
            let start = self.memory.start.as_ptr().add(usize::from(buffer) * SIZE);
            std::slice::from_raw_parts(start, SIZE)
        }
    }

    /// Puts a buffer into the ring, for the system to fill.
    pub(super) fn give(&mut self, buffer: u16) {
        self.in_ring[usize::from(buffer)] = true;
        let place = usize::from(self.tail & (MOST - 1));
        let entries = self.ring.start.cast::<MaybeUninit<BufRingEntry>>();
        // SAFETY: within the mapping, zeroes are a valid entry, and the system reads none behind the
        // tail. There are never more buffers in the ring than places, since each is in it once.
        unsafe {
            let entry = (*entries.as_ptr().add(place)).assume_init_mut();
            let start = self.memory.start.as_ptr().add(usize::from(buffer) * SIZE);
            entry.set_addr(start as u64);
            entry.set_len(SIZE as u32);
            entry.set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is a field of the first entry that nothing else is kept in; the system
        // reads it atomically.
        let tail =
            unsafe { AtomicU16::from_ptr(BufRingEntry::tail(entries.as_ptr().cast()).cast_mut()) };
        // Release: the system must see the entry if it sees the tail.
        tail.store(self.tail, Release);
    }
}

/// What the system does, for tests.
#[cfg(test)]
impl Buffers {
    /// How many are not in the ring.
    pub(super) fn outside(&self) -> usize {
        self.in_ring.iter().filter(|in_ring| !**in_ring).count()
    }

    pub(super) fn in_ring(&self) -> impl Iterator<Item = u16> {
        let all = self.in_ring.iter().enumerate();
        all.filter(|(_, in_ring)| **in_ring)
            .map(|(buffer, _)| buffer as u16)
    }

    /// Writes a byte into a buffer that is in the ring.
    pub(super) fn put(&mut self, buffer: u16, place: usize, byte: u8) {
        assert!(self.in_ring[usize::from(buffer)] && place < SIZE);
        // SAFETY: within the mapping, and nobody else has a reference to what is in the ring.
        unsafe {
            let start = self.memory.start.as_ptr().add(usize::from(buffer) * SIZE);
            start.add(place).write(byte);
        }
    }
}
