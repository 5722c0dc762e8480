//! Linux: one edge-triggered epoll, and calls that never wait.
//!
//! Every socket is registered once, for both directions and edge-triggered, when it is associated,
//! and is never touched again until it goes: there is no system call to arm an operation. One
//! thread at a time, the port's leader, waits in `epoll_wait`; an eventfd in the same epoll ends
//! its wait when the queue has something for it.
//!
//! An edge is reported once, so nothing may be forgotten: the engine keeps a ready bit for each
//! direction and clears it *before* it calls, never after (an edge that comes in between sets it
//! again). A receive that got less than it asked for has emptied the socket, and the next data
//! makes a new edge, so the usual receive costs one call. There are two exceptions, and a socket
//! that has met one is received from until there is nothing: the peer has finished, for data and
//! end may have been reported by the same edge; and it has sent urgent data, at which a receive
//! stops although more has come.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use overlapped_queue::held_up;
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::io::Errno;
use rustix::time::Timespec;

use super::direct::{fd, length};
use super::{Nature, Readiness, System, descriptor, direct};
use crate::endpoint::Endpoint;

/// How many reports one wait takes: enough that a full house costs few calls, few enough that the
/// port's queue sees them soon.
const BATCH: usize = 256;

/// No socket has this token.
const INTERRUPT: u64 = u64::MAX;

pub(crate) struct Epoll {
    epoll: OwnedFd,
    interrupt: OwnedFd,
    /// The kernel has no `epoll_pwait2` (before 5.11), or a sandbox refuses it.
    whole_milliseconds: AtomicBool,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let interrupt = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        // Edge-triggered, so that nobody has to read it: each write is an edge of its own.
        epoll::add(
            &epoll,
            &interrupt,
            epoll::EventData::new_u64(INTERRUPT),
            epoll::EventFlags::IN | epoll::EventFlags::ET,
        )?;
        Ok(Epoll {
            epoll,
            interrupt,
            whole_milliseconds: AtomicBool::new(false),
        })
    }

    /// `epoll_pwait2`, whose time-out is in nanoseconds. `None`: there is no such call.
    fn wait_exactly(
        &self,
        timeout: &Timespec,
        events: &mut [MaybeUninit<epoll::Event>],
    ) -> Option<rustix::io::Result<usize>> {
        if self.whole_milliseconds.load(Relaxed) {
            return None;
        }
        // SAFETY: the descriptor is open, the array is as long as said, `Timespec` has the layout
        // of the kernel's 64-bit one, and without a signal mask its size is not looked at.
        let result = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.epoll.as_raw_fd(),
                events.as_mut_ptr(),
                events.len() as libc::c_int,
                std::ptr::from_ref(timeout),
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        match length(result as isize) {
            // The latter from sandboxes that do not know the call.
            Err(Errno::NOSYS | Errno::PERM) => {
                self.whole_milliseconds.store(true, Relaxed);
                None
            }
            result => Some(result),
        }
    }

    /// Waits, to the microsecond where the kernel can. An interrupted wait is over.
    fn wait_for_events<'a>(
        &self,
        timeout: Option<Duration>,
        events: &'a mut [MaybeUninit<epoll::Event>],
    ) -> &'a [epoll::Event] {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        if let Some(timeout) = timeout.filter(|timeout| timeout.tv_nsec % 1_000_000 != 0)
            && let Some(result) = self.wait_exactly(&timeout, events)
        {
            let count = result.unwrap_or(0);
            // SAFETY: the kernel has filled so many; a slice of `MaybeUninit` has the layout of
            // one of what it may hold.
            return unsafe { std::slice::from_raw_parts(events.as_ptr().cast(), count) };
        }
        // Rounds up to whole milliseconds.
        match epoll::wait(&self.epoll, events, timeout.as_ref()) {
            Ok((events, _)) => events,
            Err(_) => &[],
        }
    }
}

impl System for Epoll {
    fn name(&self) -> &'static str {
        "epoll"
    }

    fn reason(&self) -> &'static str {
        "handlers may block, and with epoll nothing depends on the thread that started an operation"
    }

    fn register(&self, endpoint: &Endpoint, token: u64, nature: Nature) -> io::Result<()> {
        let fd = fd(endpoint);
        if nature != Nature::Watched && !direct::is_non_blocking(endpoint) {
            rustix::io::ioctl_fionbio(fd, true)?;
        }
        let data = epoll::EventData::new_u64(token);
        let flags = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::PRI
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::ET;
        // The kernel has a lock for this too, which the leader holds while it is given its reports.
        match held_up(|| epoll::add(&self.epoll, fd, data, flags)) {
            Err(Errno::PERM) => Err(descriptor::always_ready()),
            result => Ok(result?),
        }
    }

    fn deregister(&self, endpoint: &Endpoint) {
        // Without this, a duplicate that somebody else holds would keep on reporting.
        let _ = held_up(|| epoll::delete(&self.epoll, fd(endpoint)));
    }

    fn wait(&self, timeout: Option<Duration>, report: &mut dyn FnMut(u64, Readiness)) {
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; BATCH];
        for event in self.wait_for_events(timeout, &mut events) {
            let token = event.data.u64();
            if token == INTERRUPT {
                continue;
            }
            // Copied out of a packed structure.
            let flags = event.flags;
            let broken = flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR);
            report(
                token,
                Readiness {
                    recv: broken
                        || flags.intersects(
                            epoll::EventFlags::IN
                                | epoll::EventFlags::RDHUP
                                | epoll::EventFlags::PRI,
                        ),
                    send: broken || flags.contains(epoll::EventFlags::OUT),
                    hangup: broken
                        || flags.intersects(epoll::EventFlags::RDHUP | epoll::EventFlags::PRI),
                },
            );
        }
    }

    fn interrupt(&self) {
        // Fails only when the counter is full, and then an edge is under way.
        let _ = rustix::io::write(&self.interrupt, &1u64.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TM-1, on kernels of both kinds: never early.
    #[test]
    fn a_wait_lasts_as_long_as_it_was_to() {
        for whole_milliseconds in [false, true] {
            let system = Epoll::new().unwrap();
            system.whole_milliseconds.store(whole_milliseconds, Relaxed);
            for nanos in [0, 1, 100_000, 1_000_000, 1_500_001] {
                let began = system.now();
                let timeout = Some(Duration::from_nanos(nanos));
                system.wait(timeout, &mut |_, _| unreachable!("nothing to report"));
                assert!(system.now() - began >= nanos);
            }
        }
    }

    /// A hang is the failure.
    #[test]
    fn an_interrupt_ends_a_wait_of_either_kind() {
        for timeout in [None, Some(Duration::new(1_000_000, 1))] {
            let system = Epoll::new().unwrap();
            system.interrupt();
            system.wait(timeout, &mut |_, _| unreachable!("nothing to report"));
        }
    }
}
