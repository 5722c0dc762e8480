//! Linux: what is done with an endpoint, by calls that are made directly and never wait.
//!
//! They are the same on every system of the operating system's; what differs is who says when they
//! may succeed ([`System`](super::System)).

use std::io;
use std::mem::MaybeUninit;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::slice;

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, sockopt};

use super::{Nature, Received, Refusal, Role, datagram, descriptor, passing, sigpipe};
use crate::endpoint::{Connection, Endpoint};
use crate::operation::Segment;
use crate::{Address, Ready, Status};

pub(super) fn fd(endpoint: &Endpoint) -> BorrowedFd<'_> {
    match endpoint {
        Endpoint::Os(fd) => fd.as_fd(),
        Endpoint::Connection(connection) => connection.fd.as_fd(),
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

fn send_with(endpoint: &Endpoint, from: &[Segment], more: SendFlags) -> Result<usize, Refusal> {
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

pub(crate) fn now() -> u64 {
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

pub(crate) fn role(endpoint: &Endpoint) -> io::Result<(Nature, Role)> {
    #[cfg(feature = "sim")]
    if let Endpoint::Sim(_) = endpoint {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a simulated socket needs a port with the sim engine",
        ));
    }
    if let Endpoint::Connection(_) = endpoint {
        return Ok((Nature::Stream, Role::Connected));
    }
    descriptor::nature(fd(endpoint))
}

/// Whether its calls do not wait already.
pub(super) fn is_non_blocking(endpoint: &Endpoint) -> bool {
    matches!(endpoint, Endpoint::Connection(_))
}

pub(crate) fn identity(endpoint: &Endpoint) -> io::Result<Option<NonZeroU64>> {
    let stat = rustix::fs::fstat(fd(endpoint))?;
    // All sockets are on one device, so the inode alone tells them apart.
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Socket => NonZeroU64::new(stat.st_ino),
        _ => None,
    })
}

pub(crate) fn passes_descriptors(endpoint: &Endpoint) -> bool {
    if let Endpoint::Connection(connection) = endpoint
        && connection.internet
    {
        return false;
    }
    sockopt::socket_domain(fd(endpoint)) == Ok(rustix::net::AddressFamily::UNIX)
}

pub(crate) fn recv(endpoint: &Endpoint, into: &[Segment]) -> Result<usize, Refusal> {
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

pub(crate) fn peek(endpoint: &Endpoint) -> Result<(), Refusal> {
    let mut byte = [0u8; 1];
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    retry(|| rustix::net::recv(fd(endpoint), &mut byte, flags)).map(|_| ())
}

pub(crate) fn send(endpoint: &Endpoint, from: &[Segment]) -> Result<usize, Refusal> {
    send_with(endpoint, from, SendFlags::empty())
}

pub(crate) fn send_more(endpoint: &Endpoint, from: &[Segment]) -> Result<usize, Refusal> {
    send_with(endpoint, from, SendFlags::MORE)
}

pub(crate) fn send_file(
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

pub(crate) fn accept(endpoint: &Endpoint) -> Result<(Endpoint, Option<Address>), Refusal> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    loop {
        match retry(|| rustix::net::acceptfrom_with(fd(endpoint), flags)) {
            Ok((fd, from)) => {
                let peer = from.and_then(Address::from_system);
                let internet = peer.as_ref().is_some_and(|peer| peer.internet().is_some());
                return Ok((Endpoint::Connection(Connection { fd, internet }), peer));
            }
            // A client that gave up while it was queued is not this accept's (AX-9).
            Err(Refusal::Failed(Status::CONNECTION_ABORTED)) => {}
            Err(refusal) => return Err(refusal),
        }
    }
}

pub(crate) fn connect(endpoint: &Endpoint, to: &Address) -> Result<(), Refusal> {
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

pub(crate) fn connected(endpoint: &Endpoint) -> Result<(), Refusal> {
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

pub(crate) fn recv_datagram(endpoint: &Endpoint, into: &[Segment]) -> Result<Received, Refusal> {
    retry(|| datagram::recv(fd(endpoint), into))
}

pub(crate) fn send_datagram(
    endpoint: &Endpoint,
    from: &[Segment],
    to: Option<&Address>,
) -> Result<(), Refusal> {
    let fd = fd(endpoint);
    send_somewhere(fd, to, || datagram::send(fd, from, to)).map(|_| ())
}

pub(crate) fn recv_with_descriptors(
    endpoint: &Endpoint,
    into: &[Segment],
    room: usize,
    descriptors: &mut Vec<OwnedFd>,
) -> Result<Received, Refusal> {
    retry(|| passing::recv(fd(endpoint), into, room, descriptors))
}

pub(crate) fn send_with_descriptors(
    endpoint: &Endpoint,
    from: &[Segment],
    to: Option<&Address>,
    descriptors: &[OwnedFd],
) -> Result<usize, Refusal> {
    let fd = fd(endpoint);
    send_somewhere(fd, to, || passing::send(fd, from, to, descriptors))
        .map_err(|refusal| name_reset(fd, refusal))
}

pub(crate) fn sent_back(endpoint: &Endpoint) -> Option<Status> {
    datagram::sent_back(fd(endpoint)).map(|errno| Status::from_errno(errno.raw_os_error()))
}

pub(crate) fn set_sent_back(endpoint: &Endpoint, on: bool) -> io::Result<()> {
    datagram::set_sent_back(fd(endpoint), on)
}

pub(crate) fn read(endpoint: &Endpoint, into: &[Segment]) -> Result<usize, Refusal> {
    retry(|| descriptor::read(fd(endpoint), into))
}

pub(crate) fn write(endpoint: &Endpoint, from: &[Segment]) -> Result<usize, Refusal> {
    retry(|| descriptor::write(fd(endpoint), from))
}

pub(crate) fn look(endpoint: &Endpoint) -> Result<Ready, Refusal> {
    retry(|| descriptor::look(fd(endpoint)))
}

pub(crate) fn shutdown_send(endpoint: &Endpoint) -> Result<(), Refusal> {
    retry(|| rustix::net::shutdown(fd(endpoint), rustix::net::Shutdown::Write))
}
