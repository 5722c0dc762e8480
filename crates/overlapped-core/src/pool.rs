//! The port's receive buffers, for receives that bring none.
//!
//! # How it works
//!
//! A receive from the pool holds no buffer while it waits, neither started nor queued. Its buffer
//! is bound *late*: by the worker that makes the transfer, when the socket is ready. So as many
//! buffers are in use as there are packets that workers handle or have not taken yet, and not as
//! many as there are connections. The buffer travels in the operation to its packet, and comes back
//! when the user drops it or starts the operation again.
//!
//! Buffers come in sizes, powers of two from 2 to 64 KiB. Each socket remembers which one its
//! traffic needs: one larger after a receive that filled its buffer, one smaller after one that
//! used at most a quarter. What comes back is kept for the next, up to a number for each size.
//!
//! The pool has a limit. When it is reached, the side that needs a buffer is *parked*: its place
//! for the port's queue waits in the pool's list instead, and moves to the queue when a buffer comes
//! back. So exhaustion delays receives and never fails them. Taking a buffer and parking happen
//! under one lock, as do returning one and unparking, so nothing is parked while a buffer is free.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use overlapped_queue::Fifo;

#[cfg(windows)]
use crate::engine::iocp::Parked as ItemList;
#[cfg(target_os = "linux")]
use crate::operation::ItemList;
use crate::port::PortInner;

/// The number of sizes.
const SIZES: usize = 6;

/// The smallest size, in bytes.
const SMALLEST: usize = 2048;

/// How many free buffers of a size are kept.
const KEPT: usize = 64;

/// One of the pool's sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(u8);

impl Size {
    /// What a socket begins with.
    pub(crate) const FIRST: Size = Size(1);

    #[cfg(target_os = "linux")]
    pub(crate) fn from_index(index: u8) -> Size {
        debug_assert!(usize::from(index) < SIZES);
        Size(index)
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn index(self) -> u8 {
        self.0
    }

    fn bytes(self) -> usize {
        SMALLEST << self.0
    }

    /// The size for a socket whose last receive with this size brought so much.
    pub(crate) fn after(self, received: usize) -> Size {
        if received >= self.bytes() {
            Size((self.0 + 1).min(SIZES as u8 - 1))
        } else if received <= self.bytes() / 4 {
            Size(self.0.saturating_sub(1))
        } else {
            self
        }
    }
}

/// A snapshot of a port's receive buffers.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct PoolStats {
    /// How many bytes of buffers there may be.
    pub limit: usize,
    /// How many bytes of buffers there are, free ones included.
    pub bytes: usize,
    /// Buffers that are in use.
    pub in_use: usize,
    /// Sockets that wait for a buffer.
    pub parked: usize,
}

pub(crate) struct Pool {
    limit: usize,
    /// Whether sides wait, for a glance without the lock.
    crowded: AtomicBool,
    guarded: Mutex<Guarded>,
}

#[derive(Default)]
struct Guarded {
    #[expect(clippy::vec_box, reason = "a box goes out and comes back as it is")]
    free: [Vec<Box<Chunk>>; SIZES],
    /// Of all buffers that there are.
    bytes: usize,
    in_use: usize,
    /// Sides that wait for a buffer.
    parked: ItemList,
}

/// One buffer.
struct Chunk {
    size: Size,
    /// Its length is that of what was received.
    bytes: Vec<u8>,
    /// Where it goes back to, while it is out.
    home: Weak<PortInner>,
}

/// What asking for a buffer gave.
pub(crate) enum Taken {
    Buffer(PooledBuffer),
    /// The limit is reached; who asked was parked.
    Parked,
    /// The system has no memory, and no buffer is out that could come back.
    NoMemory,
}

impl Pool {
    pub(crate) fn new(limit: usize) -> Self {
        Pool {
            limit,
            crowded: AtomicBool::new(false),
            guarded: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Guarded> {
        overlapped_queue::lock(&self.guarded)
    }

    /// Takes a buffer of this size or, when the limit is reached, a smaller one that is free;
    /// `park` is called to put the asker into the list if there is none.
    pub(crate) fn take(
        &self,
        port: &Arc<PortInner>,
        size: Size,
        park: impl FnOnce(&mut ItemList),
    ) -> Taken {
        let mut guarded = self.lock();
        let found = guarded.find(size, self.limit);
        match found {
            Some(mut chunk) => {
                guarded.in_use += 1;
                chunk.home = Arc::downgrade(port);
                Taken::Buffer(PooledBuffer { chunk: Some(chunk) })
            }
            // One buffer must be possible, whatever the limit.
            None if guarded.in_use == 0 => Taken::NoMemory,
            None => {
                park(&mut guarded.parked);
                self.crowded.store(true, Relaxed);
                Taken::Parked
            }
        }
    }

    /// Takes a buffer back; sides that may go on now are appended to `unparked`.
    pub(crate) fn put(&self, mut buffer: PooledBuffer, unparked: &mut ItemList) {
        if let Some(chunk) = buffer.chunk.take() {
            self.put_chunk(chunk, unparked);
        }
    }

    fn put_chunk(&self, mut chunk: Box<Chunk>, unparked: &mut ItemList) {
        chunk.bytes.clear();
        chunk.home = Weak::new();
        let mut guarded = self.lock();
        guarded.in_use -= 1;
        let kept = &mut guarded.free[usize::from(chunk.size.0)];
        // Reserved when it was made.
        let surplus = if kept.len() < KEPT && kept.len() < kept.capacity() {
            kept.push(chunk);
            None
        } else {
            guarded.bytes -= chunk.size.bytes();
            Some(chunk)
        };
        self.unpark_one(&mut guarded, unparked);
        drop(guarded);
        drop(surplus);
    }

    /// A side has had its turn. One that was unparked may have had no use for a buffer any more, so
    /// it goes on to the next.
    pub(crate) fn pass_on(&self, unparked: &mut ItemList) {
        if self.crowded.load(Relaxed) {
            let mut guarded = self.lock();
            if guarded.has_room(self.limit) {
                self.unpark_one(&mut guarded, unparked);
            }
        }
    }

    fn unpark_one(&self, guarded: &mut Guarded, unparked: &mut ItemList) {
        if let Some(side) = guarded.parked.pop() {
            unparked.push(side);
        }
        self.crowded.store(!guarded.parked.is_empty(), Relaxed);
    }

    /// The port has ended: nobody waits any more.
    pub(crate) fn end(&self) -> ItemList {
        std::mem::take(&mut self.lock().parked)
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let guarded = self.lock();
        PoolStats {
            limit: self.limit,
            bytes: guarded.bytes,
            in_use: guarded.in_use,
            parked: guarded.parked.len(),
        }
    }
}

impl Guarded {
    /// Whether a buffer of some size could be had.
    fn has_room(&self, limit: usize) -> bool {
        self.in_use == 0
            || self.bytes + SMALLEST <= limit
            || self.free.iter().any(|free| !free.is_empty())
    }

    fn find(&mut self, size: Size, limit: usize) -> Option<Box<Chunk>> {
        let wanted = usize::from(size.0);
        if let Some(chunk) = self.free[wanted].pop() {
            return Some(chunk);
        }
        // Free ones of other sizes make room for one of this size.
        for other in 0..SIZES {
            while self.bytes + size.bytes() > limit
                && let Some(chunk) = self.free[other].pop()
            {
                self.bytes -= chunk.size.bytes();
            }
        }
        let fits = |size: Size| self.bytes + size.bytes() <= limit || self.in_use == 0;
        let size = (0..=size.0).rev().map(Size).find(|size| fits(*size))?;
        let chunk = Chunk::new(size)?;
        self.free[usize::from(size.0)].try_reserve(1).ok()?;
        self.bytes += size.bytes();
        Some(chunk)
    }
}

impl Chunk {
    fn new(size: Size) -> Option<Box<Chunk>> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size.bytes()).ok()?;
        Some(Box::new(Chunk {
            size,
            bytes,
            home: Weak::new(),
        }))
    }
}

/// What a receive from the port's pool brought: derefs to the bytes. Dropping it gives the buffer
/// back to the pool.
pub struct PooledBuffer {
    /// `None` while it is being dropped, and where there is none.
    chunk: Option<Box<Chunk>>,
}

impl PooledBuffer {
    /// No buffer: the operation's place for one, while it has none.
    pub(crate) const NONE: PooledBuffer = PooledBuffer { chunk: None };

    /// Takes it, if there is one.
    pub(crate) fn take(&mut self) -> Option<PooledBuffer> {
        let chunk = self.chunk.take()?;
        Some(PooledBuffer { chunk: Some(chunk) })
    }

    fn chunk(&self) -> &Chunk {
        self.chunk.as_ref().expect("users get real ones")
    }

    fn chunk_mut(&mut self) -> &mut Chunk {
        self.chunk.as_mut().expect("users get real ones")
    }

    pub(crate) fn size(&self) -> Size {
        self.chunk().size
    }

    /// Its memory, all of it.
    pub(crate) fn room(&mut self) -> &mut [std::mem::MaybeUninit<u8>] {
        let size = self.size().bytes();
        &mut self.chunk_mut().bytes.spare_capacity_mut()[..size]
    }

    /// So many bytes of its room were written.
    ///
    /// # Safety
    ///
    /// They were, from its beginning on.
    pub(crate) unsafe fn filled(&mut self, count: usize) {
        debug_assert!(count <= self.size().bytes());
        // SAFETY: by the caller's word; it had no length before, so the room began at its front.
        unsafe { self.chunk_mut().bytes.set_len(count) };
    }
}

impl Deref for PooledBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.chunk().bytes
    }
}

impl DerefMut for PooledBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.chunk_mut().bytes
    }
}

impl fmt::Debug for PooledBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledBuffer")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let Some(chunk) = self.chunk.take() else {
            return;
        };
        // A port that has gone has no pool to go back to; a forked child's copy is nobody's.
        if let Some(port) = chunk.home.upgrade()
            && !port.is_forked()
        {
            let mut unparked = ItemList::default();
            port.pool().put_chunk(chunk, &mut unparked);
            port.push_all(&mut unparked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_traffic() {
        let mut size = Size::FIRST;
        for _ in 0..10 {
            size = size.after(size.bytes());
        }
        assert_eq!(size.bytes(), 64 * 1024);
        assert_eq!(size.after(40_000), size);
        for _ in 0..10 {
            size = size.after(64);
        }
        assert_eq!(size.bytes(), SMALLEST);
        assert_eq!(size.after(600), size);
    }
}
