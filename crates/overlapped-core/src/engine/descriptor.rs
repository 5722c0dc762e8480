//! Linux: what a descriptor is, and the calls for those that are no sockets.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::net::{SocketType, sockopt};

use super::{Nature, Role, sigpipe};
use crate::Ready;
use crate::operation::Segment;

/// What can be done with it, and, of a socket, how far it is.
pub(super) fn nature(fd: BorrowedFd<'_>) -> io::Result<(Nature, Role)> {
    match FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) {
        FileType::Socket => socket_nature(fd),
        FileType::Fifo => {
            let mode = rustix::fs::fcntl_getfl(fd)? & OFlags::ACCMODE;
            let nature = Nature::Pipe {
                reads: mode != OFlags::WRONLY,
                writes: mode != OFlags::RDONLY,
            };
            Ok((nature, Role::Connected))
        }
        FileType::RegularFile | FileType::BlockDevice => Err(unsupported(
            "a file is always ready and has places instead of an order: use associate_file",
        )),
        FileType::Directory => Err(unsupported(
            "a directory has nothing to wait for: associate an inotify descriptor that watches it",
        )),
        // Also what has no type of its own: eventfd, timerfd, signalfd, inotify, pidfd, epoll.
        _ => Ok((Nature::Watched, Role::Connected)),
    }
}

fn socket_nature(fd: BorrowedFd<'_>) -> io::Result<(Nature, Role)> {
    let nature = match sockopt::socket_type(fd)? {
        SocketType::STREAM => Nature::Stream,
        SocketType::DGRAM => Nature::Datagram,
        _ => return Ok((Nature::Watched, Role::Connected)),
    };
    if nature == Nature::Stream && sockopt::socket_acceptconn(fd)? {
        return Ok((nature, Role::Listener));
    }
    match rustix::net::getpeername(fd) {
        Ok(_) => Ok((nature, Role::Connected)),
        Err(Errno::NOTCONN) => Ok((nature, Role::Fresh)),
        // The peer has reset the connection already: the first operation will say so.
        Err(Errno::INVAL) => Ok((nature, Role::Connected)),
        Err(errno) => Err(errno.into()),
    }
}

/// The refusal of what has nothing to wait for.
pub(super) fn always_ready() -> io::Error {
    unsupported("this descriptor is always ready: there is nothing to wait for")
}

pub(super) fn unsupported(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, text)
}

/// What `poll(2)` finds now.
pub(super) fn look(fd: BorrowedFd<'_>) -> rustix::io::Result<Ready> {
    let mut asked = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN | libc::POLLPRI | libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one valid entry, and no wait.
    super::direct::length(unsafe { libc::poll(&mut asked, 1, 0) } as isize)?;
    let has = |flags: i16| asked.revents & flags != 0;
    Ok(Ready {
        readable: has(libc::POLLIN | libc::POLLPRI),
        writable: has(libc::POLLOUT),
        error: has(libc::POLLERR | libc::POLLNVAL),
        hangup: has(libc::POLLHUP),
    })
}

/// Reads from a pipe.
pub(super) fn read(fd: BorrowedFd<'_>, into: &[Segment]) -> rustix::io::Result<usize> {
    // SAFETY: segments have `iovec`'s layout and are the operation's own (`Segment::new`), which is
    // ours for the length of this call.
    super::direct::length(unsafe {
        libc::readv(
            fd.as_raw_fd(),
            into.as_ptr().cast(),
            into.len() as libc::c_int,
        )
    })
}

/// Writes to a pipe. There is no flag against the signal as there is for sockets.
pub(super) fn write(fd: BorrowedFd<'_>, from: &[Segment]) -> rustix::io::Result<usize> {
    let _quiet = sigpipe::Held::new();
    // SAFETY: as in `read`; the system only reads.
    super::direct::length(unsafe {
        libc::writev(
            fd.as_raw_fd(),
            from.as_ptr().cast(),
            from.len() as libc::c_int,
        )
    })
}
