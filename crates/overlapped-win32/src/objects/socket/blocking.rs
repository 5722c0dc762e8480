//! Calls that wait.
//!
//! Linux's socket is always non-blocking: a call is tried, and if it would wait, the thread sleeps in
//! `poll` and tries again. Beside the socket it polls an eventfd of its own, because closing the last
//! handle must end the wait, which closing a descriptor does not. What it polls is a duplicate of the
//! descriptor, so that the socket can be closed, or moved to another place, meanwhile.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Flag, Socket};
use crate::error::Error;
use crate::objects::Thread;
use crate::{apc, net, thread};

/// The threads that wait for something of a socket.
#[derive(Default)]
pub(super) struct Blocked {
    threads: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    wakers: Vec<Arc<OwnedFd>>,
    ended: bool,
}

thread_local! {
    /// What wakes the thread.
    static WAKER: Option<Arc<OwnedFd>> = waker();
}

fn waker() -> Option<Arc<OwnedFd>> {
    // SAFETY: plain numbers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    // SAFETY: the descriptor is new, and nobody else's.
    (fd != -1).then(|| Arc::new(unsafe { OwnedFd::from_raw_fd(fd) }))
}

impl Blocked {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The socket is closed: whoever waits is woken.
    pub(super) fn end(&self) {
        let mut waiting = self.lock();
        waiting.ended = true;
        for waker in waiting.wakers.drain(..) {
            wake(&waker);
        }
    }

    /// `false` if the socket is closed already.
    fn enter(&self, waker: &Arc<OwnedFd>) -> bool {
        let mut waiting = self.lock();
        if !waiting.ended {
            waiting.wakers.push(waker.clone());
        }
        !waiting.ended
    }

    /// `false` if the socket was closed meanwhile.
    fn leave(&self, waker: &Arc<OwnedFd>) -> bool {
        let mut waiting = self.lock();
        if let Some(place) = waiting
            .wakers
            .iter()
            .position(|other| Arc::ptr_eq(other, waker))
        {
            waiting.wakers.swap_remove(place);
        }
        !waiting.ended
    }
}

impl Socket {
    /// Tries a call until it has not to wait; waits for `events` in between, if the socket is to
    /// block.
    pub(crate) fn blocking<R>(
        &self,
        events: i16,
        timeout: Option<Duration>,
        mut attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Result<R, Error> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            match self.with_fd(&mut attempt)? {
                Ok(value) => return Ok(value),
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(0);
                    if events == libc::POLLIN
                        && matches!(errno, libc::EAGAIN | libc::ECONNREFUSED)
                        && let Some(status) = self.sent_back()
                    {
                        return Err(net::of_status(status));
                    }
                    match errno {
                        libc::EINTR => {}
                        // Nobody wants to know of it.
                        libc::ECONNREFUSED if self.has(Flag::NOT_TOLD) => {}
                        libc::EAGAIN if self.has(Flag::NON_BLOCKING) => {
                            return Err(Error::WSAEWOULDBLOCK);
                        }
                        libc::EAGAIN => self.wait(events, deadline)?,
                        errno => return Err(self.note_failure(net::of_errno(errno))),
                    }
                }
            }
        }
    }

    /// Waits until the socket is ready, its time is up, or it is closed.
    pub(crate) fn wait(&self, events: i16, deadline: Option<Instant>) -> Result<(), Error> {
        let fd = self.with_fd(|fd| fd.try_clone_to_owned())?;
        let fd = fd.map_err(|_| Error::WSAENOBUFS)?;
        let mut fds = vec![entry(fd.as_fd(), events)];
        match poll(&[self], &mut fds, deadline)? {
            Polled::Ready => Ok(()),
            Polled::TimedOut => Err(Error::WSAETIMEDOUT),
            // As on Windows: a connection was given up, anything else interrupted.
            Polled::Closed if self.is_connected() && self.is_stream() => {
                Err(Error::WSAECONNABORTED)
            }
            Polled::Closed => Err(Error::WSAEINTR),
        }
    }
}

/// What to poll a descriptor for.
pub(crate) fn entry(fd: BorrowedFd<'_>, events: i16) -> libc::pollfd {
    libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    }
}

/// How polling has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    Ready,
    TimedOut,
    /// One of the sockets was closed.
    Closed,
}

/// Polls descriptors of these sockets until one is ready, the time is up, or one of the sockets is
/// closed. Calls that are queued to the thread are run meanwhile (AP-2).
pub(crate) fn poll(
    sockets: &[&Socket],
    fds: &mut Vec<libc::pollfd>,
    deadline: Option<Instant>,
) -> Result<Polled, Error> {
    // A destructor of the program's may run after the thread's own is gone.
    let waker = WAKER.try_with(Clone::clone).unwrap_or_else(|_| waker());
    let waker = waker.ok_or(Error::WSAENOBUFS)?;
    let me = Thread::current();
    loop {
        let mut open = true;
        for socket in sockets {
            open &= socket.blocked.enter(&waker);
        }
        fds.push(entry(waker.as_fd(), libc::POLLIN));
        let polled = match open {
            true => {
                let waker = waker.clone();
                let armed = me.apcs().wake_with(Arc::new(move || wake(&waker)));
                let polled = thread::blocking(|| poll_until(fds, deadline));
                drop(armed);
                polled
            }
            false => Ok(true),
        };
        fds.pop();
        for socket in sockets {
            open &= socket.blocked.leave(&waker);
        }
        let mut count = 0u64;
        // SAFETY: eight bytes of ours.
        unsafe { libc::read(waker.as_raw_fd(), (&raw mut count).cast(), 8) };
        if !open {
            return Ok(Polled::Closed);
        }
        if !polled? {
            return Ok(Polled::TimedOut);
        }
        if fds.iter().any(|entry| entry.revents != 0) {
            return Ok(Polled::Ready);
        }
        apc::run();
    }
}

/// Ends a thread's poll.
fn wake(waker: &OwnedFd) {
    let one = 1u64;
    // SAFETY: eight bytes of ours; an eventfd takes them.
    unsafe { libc::write(waker.as_raw_fd(), (&raw const one).cast(), 8) };
}

/// `false` if the time is up.
fn poll_until(fds: &mut [libc::pollfd], deadline: Option<Instant>) -> Result<bool, Error> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // Rounded up, so that it does not come back early.
        let milliseconds = left.map_or(-1, |left| {
            i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
        });
        // SAFETY: as many valid entries.
        match unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as _, milliseconds) } {
            0 if milliseconds < i32::MAX => return Ok(false),
            0 => {}
            -1 if net::last() == Error::WSAEINTR => {}
            -1 => return Err(net::last()),
            _ => return Ok(true),
        }
    }
}
