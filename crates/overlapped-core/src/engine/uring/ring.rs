//! The ring itself: requests go in, results come out.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::buffers::{Buffers, MOST};
use super::state::{Name, Note, Purpose, State};
use crate::port::fork::Generation;

/// How many requests one call takes in, and how many results there is room for; what does not fit
/// the system keeps.
const REQUESTS: u32 = 256;
const RESULTS: u32 = 4096;

/// The smallest ring that is worth having.
const FEWEST_REQUESTS: u32 = 16;

/// The only group of buffers.
const GROUP: u16 = 0;

const ENTER_GETEVENTS: u32 = 1;

pub(super) struct Ring {
    ring: ManuallyDrop<IoUring>,
    event: RawFd,
    /// Whether the request that watches it is in the ring.
    watched: bool,
    /// The process that it belongs to.
    process: Generation,
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.process.is_over() {
            // Its memory is not mapped in a forked child, and something else may be there by now.
            // SAFETY: the descriptor is the ring's own, and nobody uses it any more.
            drop(unsafe { OwnedFd::from_raw_fd(self.ring.as_raw_fd()) });
        } else {
            // SAFETY: nobody uses it any more.
            unsafe { ManuallyDrop::drop(&mut self.ring) };
        }
    }
}

impl Ring {
    /// Makes a ring that belongs to this thread, which `event` can wake, and which fills these
    /// buffers.
    ///
    /// # Errors
    ///
    /// The text says why it cannot be.
    pub(super) fn new(event: RawFd, buffers: &Buffers) -> io::Result<Ring> {
        let mut requests = REQUESTS;
        let ring = loop {
            // One thread submits, and results are worked off only when it asks: Linux 6.1.
            let ring = IoUring::builder()
                .setup_single_issuer()
                .setup_defer_taskrun()
                .setup_submit_all()
                .setup_cqsize(RESULTS.min(requests * 16))
                .dontfork()
                .build(requests);
            match ring {
                Ok(ring) => break ring,
                Err(error)
                    if error.raw_os_error() == Some(libc::ENOMEM) && requests > FEWEST_REQUESTS =>
                {
                    requests /= 2;
                }
                Err(error) => return Err(explained(error)),
            }
        };
        let mut ring = Ring {
            ring: ManuallyDrop::new(ring),
            event,
            watched: false,
            process: Generation::current(),
        };
        // SAFETY: the memory of the buffers and their ring belongs to the port, and outlives this
        // ring. After the ring is closed nothing is written there: with DEFER_TASKRUN bytes are
        // received only while its thread is in a call of the ring.
        unsafe {
            ring.ring
                .submitter()
                .register_buf_ring_with_flags(buffers.address(), MOST, GROUP, 0)
        }
        .map_err(explained)?;
        // Not `register_ring_fd`: the thread would keep the ring, and with it the sockets of its
        // requests, after it was closed.
        ring.watch_event();
        Ok(ring)
    }

    fn watch_event(&mut self) {
        let poll = opcode::PollAdd::new(Fd(self.event), libc::POLLIN as u32)
            .multi(true)
            .build();
        self.watched = self.push(poll.user_data(Name::EVENT));
    }

    /// `false`: the system has no memory for another request now.
    fn push(&mut self, request: squeue::Entry) -> bool {
        // SAFETY: no request of ours has memory but the registered buffers, and descriptors are
        // held by the system once it has taken a request in.
        let push = |ring: &mut IoUring| unsafe { ring.submission().push(&request) }.is_ok();
        if push(&mut self.ring) {
            return true;
        }
        // Full: what is in it is taken in at once, and nothing is waited for.
        self.flush();
        push(&mut self.ring)
    }

    /// Makes requests of the notes; whether of all.
    pub(super) fn take_notes(&mut self, state: &mut State) -> bool {
        if !self.watched {
            self.watch_event();
        }
        // Out of the state, which is asked about them, and back for its memory and for the rest.
        let mut notes = std::mem::take(&mut state.notes);
        let refused = notes.iter().position(|note| match *note {
            Note::Ask(name) => state.is_valid(name) && !self.push(request(name)),
            Note::Cancel(name) => {
                let cancel = opcode::AsyncCancel::new(name.number()).build();
                !self.push(cancel.user_data(Name::CANCEL))
            }
        });
        notes.drain(..refused.unwrap_or(notes.len()));
        state.notes = notes;
        self.watched && refused.is_none()
    }

    /// Calls every request back, and works off what they have brought.
    pub(super) fn call_back(&mut self, state: &mut State) {
        let all = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
        self.push(all.user_data(Name::CANCEL));
        self.flush();
        self.reap(state);
        while self.holds_results() {
            self.flush();
            self.reap(state);
        }
    }

    /// Whether the system keeps results that there was no room for.
    pub(super) fn holds_results(&mut self) -> bool {
        self.ring.submission().cq_overflow()
    }

    /// Hands over the requests, and lets the system work, without waiting.
    pub(super) fn flush(&mut self) {
        let count = self.ring.submission().len() as u32;
        // SAFETY: without arguments; what the requests need is as in `push`.
        let _ = unsafe {
            self.ring
                .submitter()
                .enter::<libc::sigset_t>(count, 0, ENTER_GETEVENTS, None)
        };
    }

    /// Hands over the requests, and waits for a result for at most this long.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) {
        if timeout == Some(Duration::ZERO) || !self.ring.completion().is_empty() {
            return self.flush();
        }
        // Interrupted, timed out, too many results: in each case the caller looks for itself.
        let _ = match timeout {
            None => self.ring.submit_and_wait(1),
            Some(timeout) => {
                let timeout = Timespec::from(timeout);
                let args = SubmitArgs::new().timespec(&timeout);
                self.ring.submitter().submit_with_args(1, &args)
            }
        };
    }

    /// Works off the results.
    pub(super) fn reap(&mut self, state: &mut State) {
        for result in self.ring.completion() {
            let (flags, more) = (result.flags(), cqueue::more(result.flags()));
            match Name::from_number(result.user_data()) {
                Some(name) => {
                    let buffer = cqueue::buffer_select(flags);
                    state.complete(name, result.result(), buffer, more);
                }
                None => self.watched &= result.user_data() != Name::EVENT || more,
            }
        }
    }
}

/// What a note asks for.
fn request(name: Name) -> squeue::Entry {
    let fd = Fd(name.fd());
    let poll = |events: i16| opcode::PollAdd::new(fd, events as u16 as u32).build();
    let request = match name.purpose() {
        Purpose::Bytes => opcode::RecvMulti::new(fd, GROUP).build(),
        Purpose::PollRecv => poll(libc::POLLIN | libc::POLLRDHUP),
        Purpose::PollUrgent => poll(libc::POLLPRI),
        Purpose::PollSend => poll(libc::POLLOUT),
    };
    request.user_data(name.number())
}

/// Who refuses a ring, as far as its error tells.
fn explained(error: io::Error) -> io::Error {
    let because = match error.raw_os_error() {
        Some(libc::ENOSYS) => "the kernel has no io_uring",
        Some(libc::EPERM | libc::EACCES) => {
            "the system refuses io_uring (kernel.io_uring_disabled, or the seccomp profile of a \
             container)"
        }
        Some(libc::EINVAL) => "the kernel's io_uring is too old, it takes Linux 6.1",
        Some(libc::ENOMEM) => "there is no memory for a ring (or RLIMIT_MEMLOCK is too low)",
        Some(libc::EMFILE | libc::ENFILE) => "there are no descriptors left",
        _ => "io_uring cannot be set up",
    };
    io::Error::new(error.kind(), format!("{because}: {error}"))
}
