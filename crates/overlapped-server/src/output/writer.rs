//! Standard output: a queue of pieces and one thread that writes them.
//!
//! Workers never write to standard output, so however slow its reader is, no worker waits for it;
//! only the connections do whose pieces are in the queue. The writer takes what is there, writes it
//! with one call where possible, and lets each connection go on as soon as its piece is out.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
#[cfg(unix)]
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[cfg(unix)]
use rustix::event::{PollFd, PollFlags, poll};
#[cfg(unix)]
use rustix::io::Errno;

use super::{Output, Piece};
use crate::server::Server;

/// How many pieces one call writes at most.
const PIECES: usize = 64;

/// The queue before standard output.
#[derive(Default)]
pub struct Writer {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Piece>,
    /// Pieces that the thread has taken and not written yet.
    taken: usize,
    /// Nothing will be added any more.
    finished: bool,
    /// Nothing can be written any more.
    failed: bool,
}

impl Output for Writer {
    fn print(&self, piece: Piece) -> Option<Piece> {
        let mut queue = self.lock();
        if queue.failed {
            // The server ends; its connections close with it.
            return None;
        }
        queue.waiting.push_back(piece);
        let first = queue.waiting.len() == 1;
        drop(queue);
        if first {
            self.changed.notify_one();
        }
        None
    }
}

impl Writer {
    /// Writes what is printed to `to` until [`finish`](Writer::finish), and tells the server of
    /// each piece that is out.
    ///
    /// # Errors
    ///
    /// When writing fails; `BrokenPipe` when nobody reads any more.
    pub fn run(&self, mut to: impl Sink, server: &Server) -> io::Result<()> {
        let mut batch = VecDeque::new();
        while self.take(&mut batch) {
            if let Err(error) = self.write_all(&mut to, server, &mut batch) {
                let mut queue = self.lock();
                queue.failed = true;
                queue.waiting.clear();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Ends [`run`](Writer::run) when all is written.
    pub fn finish(&self) {
        self.lock().finished = true;
        self.changed.notify_all();
    }

    /// How many pieces are not written.
    pub fn unwritten(&self) -> usize {
        let queue = self.lock();
        queue.waiting.len() + queue.taken
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Every change is complete before anything can panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for pieces and takes all that are there. `false`: there will be none.
    fn take(&self, batch: &mut VecDeque<Piece>) -> bool {
        let mut queue = self.lock();
        loop {
            if !queue.waiting.is_empty() {
                // Two queues that change places: neither allocates once it has grown.
                std::mem::swap(&mut queue.waiting, batch);
                queue.taken = batch.len();
                return true;
            }
            if queue.finished {
                return false;
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write_all(
        &self,
        to: &mut impl Sink,
        server: &Server,
        batch: &mut VecDeque<Piece>,
    ) -> io::Result<()> {
        // How much of the first piece is written.
        let mut begun = 0;
        while !batch.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES];
            let mut count = 0;
            for (slice, piece) in slices.iter_mut().zip(&*batch) {
                let skip = if count == 0 { begun } else { 0 };
                *slice = IoSlice::new(&piece.bytes()[skip..]);
                count += 1;
            }
            let mut written = to.write(&slices[..count])?;
            while let Some(piece) = batch.front() {
                let left = piece.bytes().len() - begun;
                if written < left {
                    begun += written;
                    break;
                }
                written -= left;
                begun = 0;
                if let Some(piece) = batch.pop_front() {
                    self.lock().taken -= 1;
                    server.written(piece);
                }
            }
        }
        Ok(())
    }
}

/// Where the pieces go.
pub trait Sink {
    /// Writes some of this, with one call where possible; waits while that cannot be.
    ///
    /// # Errors
    ///
    /// When writing fails.
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

#[cfg(unix)]
impl<F: AsFd> Sink for F {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match rustix::io::writev(&*self, slices) {
                Ok(written) => return Ok(written),
                Err(Errno::INTR) => {}
                // Somebody we share it with has made it non-blocking.
                Err(Errno::AGAIN) => wait_until_writable(self)?,
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(unix)]
fn wait_until_writable(to: &impl AsFd) -> rustix::io::Result<()> {
    match poll(&mut [PollFd::new(to, PollFlags::OUT)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// By way of std, which knows what a console wants.
#[cfg(windows)]
impl Sink for io::Stdout {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        use std::io::Write;
        let mut out = self.lock();
        let written = out.write_vectored(slices)?;
        out.flush()?;
        Ok(written)
    }
}
