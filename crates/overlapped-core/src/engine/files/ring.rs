//! The ring: one thread that submits, waits and reaps, for everybody.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use io_uring::types::{Fd, FsyncFlags};
use io_uring::{IoUring, opcode, squeue};
use rustix::event::{EventfdFlags, eventfd};

use super::step::{Pieces, Step};
use super::{Engine, Files, MOST_RUNNING};
use crate::port::PortInner;

/// What a completion belongs to that is no job's: the wake-ups and the cancels.
const WAKE: u64 = u64::MAX;
const CANCEL: u64 = u64::MAX - 1;

/// Room for one step of every job, one cancel for each, and what wakes.
const ENTRIES: u32 = 2 * (MOST_RUNNING as u32 + 1);

/// The smallest ring that is worth having.
const FEWEST_ENTRIES: u32 = 8;

pub(super) struct Ring {
    ring: IoUring,
    event: Arc<OwnedFd>,
    /// How many jobs it has room for.
    room: usize,
}

/// Wakes the thread that waits in a ring.
pub(super) fn wake(event: &OwnedFd) {
    // Fails only when the counter is full, and then a wake-up is under way.
    let _ = rustix::io::write(event, &1u64.to_ne_bytes());
}

impl Ring {
    /// Makes a ring that belongs to this thread. The error says why it cannot be.
    pub(super) fn new() -> Result<Ring, String> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| format!("no eventfd: {error}"))?;
        let mut entries = ENTRIES;
        let ring = loop {
            // One thread submits, and completions are worked off only when it asks: both need
            // Linux 6.1, which is as old as we want io_uring to be.
            let ring = IoUring::builder()
                .setup_single_issuer()
                .setup_defer_taskrun()
                .setup_cqsize(2 * entries)
                .dontfork()
                .build(entries);
            match ring {
                Ok(ring) => break ring,
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => {
                    entries /= 2;
                    if entries < FEWEST_ENTRIES {
                        return Err("io_uring: no memory for the smallest ring".into());
                    }
                }
                Err(error) => return Err(reason(&error)),
            }
        };
        let room = ring.params().sq_entries() as usize / 2 - 1;
        Ok(Ring {
            ring,
            event: Arc::new(event),
            room: room.min(MOST_RUNNING),
        })
    }

    /// The life of the thread: until the port has ended and the system has let go of everything.
    pub(super) fn run(mut self, port: &Arc<PortInner>) {
        let files = port.files();
        let mut state = files.lock();
        state.engine = Engine::Ring(self.event.clone());
        state.reason = Cow::Borrowed("the system allows it");
        state.most_running = self.room;
        state.running.reserve(self.room);
        state.cancels.reserve(self.room);
        drop(state);

        let mut done = Vec::with_capacity(self.room);
        let mut results = Vec::with_capacity(self.room);
        let mut armed = false;
        loop {
            let mut state = files.lock();
            for (key, result) in results.drain(..) {
                match state.advance(key, result) {
                    Some(job) => done.push(job),
                    None => self.push(&request(state.step(key), key)),
                }
            }
            // Before others take the keys of the jobs that are over.
            while let Some(key) = state.cancels.pop() {
                if state.running.contains(key) {
                    self.push(
                        &opcode::AsyncCancel::new(key as u64)
                            .build()
                            .user_data(CANCEL),
                    );
                }
            }
            while let Some(key) = state.next() {
                self.push(&request(state.step(key), key));
            }
            if state.ended && state.running.is_empty() {
                drop(state);
                return Files::deliver(port, &mut done);
            }
            // With packets in hand nobody sleeps.
            let sleeps = done.is_empty();
            state.sleeping = usize::from(sleeps);
            drop(state);
            Files::deliver(port, &mut done);

            if !armed {
                armed = true;
                self.push(
                    &opcode::PollAdd::new(Fd(self.event.as_raw_fd()), libc::POLLIN as u32)
                        .multi(true)
                        .build()
                        .user_data(WAKE),
                );
            }
            self.submit(sleeps);
            for completion in self.ring.completion() {
                match completion.user_data() {
                    WAKE => armed = io_uring::cqueue::more(completion.flags()),
                    CANCEL => {}
                    key => results.push((key as usize, i64::from(completion.result()))),
                }
            }
        }
    }

    /// Queues a request. There is room: see `ENTRIES`.
    fn push(&mut self, request: &squeue::Entry) {
        // SAFETY: what a job's request points to stays in place until its completion, because the
        // job is in the table until then and nobody touches it there; the other requests point to
        // nothing.
        let pushed = unsafe { self.ring.submission().push(request) };
        pushed.expect("the submission queue has room for every job");
    }

    /// Submits what is queued, and waits for something to complete if there is nothing else to do.
    fn submit(&mut self, wait: bool) {
        loop {
            match self.ring.submit_and_wait(usize::from(wait)) {
                Ok(_) if self.ring.submission().is_empty() => return,
                // The kernel stopped at one request; the others follow.
                Ok(_) => {}
                // A signal, or no memory at the moment: what has completed makes room.
                Err(_) if !self.ring.completion().is_empty() => return,
                Err(_) => std::thread::yield_now(),
            }
        }
    }
}

/// A step as a request.
fn request(step: Step, key: usize) -> squeue::Entry {
    let entry = match step {
        Step::Read { fd, into, offset } => match into {
            Pieces::One(piece) => opcode::Read::new(Fd(fd), piece.as_ptr(), piece.len() as u32)
                .offset(offset)
                .build(),
            Pieces::Many(first, count) => opcode::Readv::new(Fd(fd), first.cast(), count as u32)
                .offset(offset)
                .build(),
        },
        Step::Write {
            fd,
            from,
            offset,
            append,
        } => {
            let flags = if append { libc::RWF_APPEND } else { 0 };
            match from {
                Pieces::One(piece) => {
                    opcode::Write::new(Fd(fd), piece.as_ptr(), piece.len() as u32)
                        .offset(offset)
                        .rw_flags(flags)
                        .build()
                }
                Pieces::Many(first, count) => {
                    opcode::Writev::new(Fd(fd), first.cast(), count as u32)
                        .offset(offset)
                        .rw_flags(flags)
                        .build()
                }
            }
        }
        Step::Sync { fd, data_only } => {
            let flags = if data_only {
                FsyncFlags::DATASYNC
            } else {
                FsyncFlags::empty()
            };
            opcode::Fsync::new(Fd(fd)).flags(flags).build()
        }
        Step::Open { path, flags, mode } => opcode::OpenAt::new(Fd(libc::AT_FDCWD), path)
            .flags(flags)
            .mode(mode)
            .build(),
        Step::Close { fd } => opcode::Close::new(Fd(fd)).build(),
    };
    entry.user_data(key as u64)
}

/// Why there is no ring, in words.
fn reason(error: &io::Error) -> String {
    let why = match error.raw_os_error() {
        Some(libc::EPERM) => "not permitted, as in many containers",
        Some(libc::ENOSYS) => "the kernel has none",
        Some(libc::EINVAL) => "the kernel is older than 6.1",
        _ => return format!("io_uring: {error}"),
    };
    format!("io_uring: {why}")
}
