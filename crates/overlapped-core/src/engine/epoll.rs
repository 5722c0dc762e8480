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
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, sockopt};
use rustix::time::Timespec;

use super::{
    Nature, Readiness, Received, Refusal, Role, System, datagram, descriptor, passing, sigpipe,
};
use crate::endpoint::Endpoint;
use crate::operation::Segment;
use crate::{Address, Ready, Status};

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

fn fd(endpoint: &Endpoint) -> BorrowedFd<'_> {
    match endpoint {
        Endpoint::Os(fd) => fd.as_fd(),
        #[cfg(feature = "sim")]
        Endpoint::Sim(_) => unreachable!("`role` refuses simulated sockets"),
    }
}

fn refusal(errno: Errno) -> Refusal {
    match errno {
        Errno::AGAIN | Errno::INPROGRESS | Errno::ALREADY => Refusal::NotReady,
        errno => Refusal::Failed(Status::from_errno(errno.raw_os_error())),
    }
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> Result<T, Refusal> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result.map_err(refusal),
        }
    }
}

/// The result of a libc call that returns a length or -1.
pub(super) fn length(result: isize) -> rustix::io::Result<usize> {
    usize::try_from(result).map_err(|_| {
        Errno::from_raw_os_error(
            io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EIO),
        )
    })
}

/// A `msghdr` for these segments.
pub(super) fn message(segments: &[Segment]) -> libc::msghdr {
    // SAFETY: a `msghdr` is plain data, for which all zeroes mean "nothing".
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    // `Segment` has `iovec`'s layout; the system does not write to the array.
    header.msg_iov = segments.as_ptr().cast_mut().cast();
    // A few pieces; the field's type is one thing in glibc and another in musl.
    header.msg_iovlen = segments.len() as _;
    header
}

fn send(endpoint: &Endpoint, from: &[Segment], more: SendFlags) -> Result<usize, Refusal> {
    let fd = fd(endpoint);
    // Without MSG_NOSIGNAL a peer that has gone would end the process.
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT | more;
    let sent = retry(|| match from {
        [only] => {
            // SAFETY: as in `recv`, and what is to be sent was initialised by its owner.
            let bytes = unsafe { slice::from_raw_parts(only.as_ptr(), only.len()) };
            rustix::net::send(fd, bytes, flags)
        }
        several => {
            let header = message(several);
            // SAFETY: as in `recv`; the system only reads.
            length(unsafe { libc::sendmsg(fd.as_raw_fd(), &header, flags.bits() as i32) })
        }
    });
    sent.map_err(|refusal| name_reset(fd, refusal))
}

/// After the peer's end its reset is called EPIPE, as a shutdown of our own is, but it leaves no
/// connection.
fn name_reset(fd: BorrowedFd<'_>, refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Failed(Status::PIPE_DISCONNECTED)
            if rustix::net::getpeername(fd) == Err(Errno::NOTCONN) =>
        {
            Refusal::Failed(Status::CONNECTION_RESET)
        }
        refusal => refusal,
    }
}

/// Sends to an address, if there is one: a Unix socket's queue that is full makes no report unless
/// it is the peer's.
fn send_somewhere(
    fd: BorrowedFd<'_>,
    to: Option<&Address>,
    send: impl Fn() -> rustix::io::Result<usize>,
) -> Result<usize, Refusal> {
    let send = || send().map_err(refusal);
    match send() {
        Err(Refusal::NotReady)
            if to.is_some_and(|to| to.unix().is_some())
                && descriptor::look(fd).is_ok_and(|ready| ready.writable) =>
        {
            match send() {
                Err(Refusal::NotReady) => Err(Refusal::Failed(Status::INSUFFICIENT_RESOURCES)),
                result => result,
            }
        }
        result => result,
    }
}

impl System for Epoll {
    fn name(&self) -> &'static str {
        "epoll"
    }

    fn reason(&self) -> &'static str {
        "handlers may block, and with epoll nothing depends on the thread that started an operation"
    }

    fn now(&self) -> u64 {
        // Not rustix's, which looks for the kernel's page itself, and does not survive Valgrind.
        let mut now = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: the pointer is good for a `timespec`, which the call fills: every Linux has this
        // clock.
        let now = unsafe {
            libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr());
            now.assume_init()
        };
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    }

    fn role(&self, endpoint: &Endpoint) -> io::Result<(Nature, Role)> {
        #[cfg(feature = "sim")]
        if let Endpoint::Sim(_) = endpoint {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a simulated socket needs a port with the sim engine",
            ));
        }
        descriptor::nature(fd(endpoint))
    }

    fn identity(&self, endpoint: &Endpoint) -> io::Result<Option<NonZeroU64>> {
        let stat = rustix::fs::fstat(fd(endpoint))?;
        // All sockets are on one device, so the inode alone tells them apart.
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Socket => NonZeroU64::new(stat.st_ino),
            _ => None,
        })
    }

    fn passes_descriptors(&self, endpoint: &Endpoint) -> bool {
        sockopt::socket_domain(fd(endpoint)) == Ok(rustix::net::AddressFamily::UNIX)
    }

    fn register(&self, endpoint: &Endpoint, token: u64, nature: Nature) -> io::Result<()> {
        let fd = fd(endpoint);
        if nature != Nature::Watched {
            rustix::io::ioctl_fionbio(fd, true)?;
        }
        let added = epoll::add(
            &self.epoll,
            fd,
            epoll::EventData::new_u64(token),
            epoll::EventFlags::IN
                | epoll::EventFlags::OUT
                | epoll::EventFlags::PRI
                | epoll::EventFlags::RDHUP
                | epoll::EventFlags::ET,
        );
        match added {
            Err(Errno::PERM) => Err(descriptor::unsupported(
                "this descriptor is always ready: there is nothing to wait for",
            )),
            result => Ok(result?),
        }
    }

    fn deregister(&self, endpoint: &Endpoint) {
        // Without this, a duplicate that somebody else holds would keep on reporting.
        let _ = epoll::delete(&self.epoll, fd(endpoint));
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

    fn recv(&self, endpoint: &Endpoint, into: &[Segment]) -> Result<usize, Refusal> {
        let fd = fd(endpoint);
        retry(|| match into {
            [only] => {
                // SAFETY: the segment is memory that the operation owns (`Segment::new`), and
                // the operation is ours for the length of this call.
                let room = unsafe {
                    slice::from_raw_parts_mut(only.as_ptr().cast::<MaybeUninit<u8>>(), only.len())
                };
                let (received, _) = rustix::net::recv(fd, room, RecvFlags::DONTWAIT)?;
                Ok(received.0.len())
            }
            several => {
                let mut header = message(several);
                // SAFETY: as above, for each segment; the header lives until the call returns.
                length(unsafe { libc::recvmsg(fd.as_raw_fd(), &mut header, libc::MSG_DONTWAIT) })
            }
        })
    }

    fn peek(&self, endpoint: &Endpoint) -> Result<(), Refusal> {
        let mut byte = [0u8; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        retry(|| rustix::net::recv(fd(endpoint), &mut byte, flags)).map(|_| ())
    }

    fn send(&self, endpoint: &Endpoint, from: &[Segment]) -> Result<usize, Refusal> {
        send(endpoint, from, SendFlags::empty())
    }

    fn send_more(&self, endpoint: &Endpoint, from: &[Segment]) -> Result<usize, Refusal> {
        send(endpoint, from, SendFlags::MORE)
    }

    fn send_file(
        &self,
        endpoint: &Endpoint,
        file: &OwnedFd,
        offset: u64,
        count: usize,
    ) -> Result<usize, Refusal> {
        let _quiet = sigpipe::Held::new();
        retry(|| {
            let mut offset = offset;
            rustix::fs::sendfile(fd(endpoint), file, Some(&mut offset), count)
        })
        .map_err(|refusal| name_reset(fd(endpoint), refusal))
    }

    fn accept(&self, endpoint: &Endpoint) -> Result<(Endpoint, Option<Address>), Refusal> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        loop {
            match retry(|| rustix::net::acceptfrom_with(fd(endpoint), flags)) {
                Ok((fd, from)) => {
                    let peer = from.and_then(Address::from_system);
                    return Ok((Endpoint::Os(fd), peer));
                }
                // A client that gave up while it was queued is not this accept's (AX-9).
                Err(Refusal::Failed(Status::CONNECTION_ABORTED)) => {}
                Err(refusal) => return Err(refusal),
            }
        }
    }

    fn connect(&self, endpoint: &Endpoint, to: &Address) -> Result<(), Refusal> {
        let Some(address) = to.to_system() else {
            return Err(Refusal::Failed(Status::INVALID_ADDRESS_COMPONENT));
        };
        let to = &address;
        let mut result = rustix::net::connect(fd(endpoint), to);
        if result == Err(Errno::CONNABORTED) {
            // What Linux says once after an earlier attempt failed; then it begins anew (CE-3).
            result = rustix::net::connect(fd(endpoint), to);
        }
        match result {
            // An interrupted connect goes on in the background, as an unfinished one does.
            Err(Errno::INTR) => Err(Refusal::NotReady),
            // A Unix listener with a full backlog, whose room nobody would report.
            Err(Errno::AGAIN) => Err(Refusal::Failed(Status::CONNECTION_REFUSED)),
            result => result.map_err(refusal),
        }
    }

    fn connected(&self, endpoint: &Endpoint) -> Result<(), Refusal> {
        let fd = fd(endpoint);
        match sockopt::socket_error(fd) {
            Ok(Ok(())) => {}
            Ok(Err(errno)) | Err(errno) => return Err(refusal(errno)),
        }
        match rustix::net::getpeername(fd) {
            Ok(_) => Ok(()),
            // A report from before the connect was begun.
            Err(Errno::NOTCONN) => Err(Refusal::NotReady),
            Err(errno) => Err(refusal(errno)),
        }
    }

    fn recv_datagram(&self, endpoint: &Endpoint, into: &[Segment]) -> Result<Received, Refusal> {
        retry(|| datagram::recv(fd(endpoint), into))
    }

    fn send_datagram(
        &self,
        endpoint: &Endpoint,
        from: &[Segment],
        to: Option<&Address>,
    ) -> Result<(), Refusal> {
        let fd = fd(endpoint);
        send_somewhere(fd, to, || datagram::send(fd, from, to)).map(|_| ())
    }

    fn recv_with_descriptors(
        &self,
        endpoint: &Endpoint,
        into: &[Segment],
        room: usize,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Result<Received, Refusal> {
        retry(|| passing::recv(fd(endpoint), into, room, descriptors))
    }

    fn send_with_descriptors(
        &self,
        endpoint: &Endpoint,
        from: &[Segment],
        to: Option<&Address>,
        descriptors: &[OwnedFd],
    ) -> Result<usize, Refusal> {
        let fd = fd(endpoint);
        send_somewhere(fd, to, || passing::send(fd, from, to, descriptors))
            .map_err(|refusal| name_reset(fd, refusal))
    }

    fn sent_back(&self, endpoint: &Endpoint) -> Option<Status> {
        datagram::sent_back(fd(endpoint)).map(|errno| Status::from_errno(errno.raw_os_error()))
    }

    fn set_sent_back(&self, endpoint: &Endpoint, on: bool) -> io::Result<()> {
        datagram::set_sent_back(fd(endpoint), on)
    }

    fn read(&self, endpoint: &Endpoint, into: &[Segment]) -> Result<usize, Refusal> {
        retry(|| descriptor::read(fd(endpoint), into))
    }

    fn write(&self, endpoint: &Endpoint, from: &[Segment]) -> Result<usize, Refusal> {
        retry(|| descriptor::write(fd(endpoint), from))
    }

    fn look(&self, endpoint: &Endpoint) -> Result<Ready, Refusal> {
        retry(|| descriptor::look(fd(endpoint)))
    }

    fn shutdown_send(&self, endpoint: &Endpoint) -> Result<(), Refusal> {
        retry(|| rustix::net::shutdown(fd(endpoint), rustix::net::Shutdown::Write))
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
