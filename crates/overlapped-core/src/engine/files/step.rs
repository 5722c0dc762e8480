//! Each kind of operation as system calls: which comes next, and what a result means.

use std::ffi::{c_char, c_int};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use super::file::Descriptor;
use crate::Status;
use crate::operation::{Kind, Operation, Segment};

/// The most that Linux moves in one call.
const MOST_BYTES: usize = 0x7fff_f000;
/// The most pieces that it takes.
const MOST_PIECES: usize = 1024;
/// A read of a file that bypasses the page cache is cut at such places, or at the end of the file.
const SECTOR: usize = 512;

/// One system call. What it points to lives as long as the job that it was made for.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Read {
        fd: RawFd,
        into: Pieces,
        offset: u64,
    },
    Write {
        fd: RawFd,
        from: Pieces,
        offset: u64,
        append: bool,
    },
    Sync {
        fd: RawFd,
        data_only: bool,
    },
    Open {
        path: *const c_char,
        flags: c_int,
        mode: u32,
    },
    Close {
        fd: RawFd,
    },
}

/// The memory that is left to be filled or written.
#[derive(Clone, Copy)]
pub(super) enum Pieces {
    One(Segment),
    Many(*const Segment, usize),
}

impl Pieces {
    /// What is behind the first `done` bytes, or a beginning of it: a piece that was begun is
    /// finished on its own.
    fn after(segments: &[Segment], done: usize) -> Pieces {
        let mut skip = done;
        for (index, segment) in segments.iter().enumerate() {
            if skip >= segment.len() {
                skip -= segment.len();
                continue;
            }
            let rest = &segments[index..];
            return if skip > 0 || rest.len() == 1 {
                Pieces::one(segment.after(skip))
            } else {
                Pieces::Many(rest.as_ptr(), rest.len().min(MOST_PIECES))
            };
        }
        Pieces::Many(segments.as_ptr(), 0)
    }

    pub(super) fn one(segment: Segment) -> Pieces {
        Pieces::One(segment.first(MOST_BYTES))
    }

    /// As the system's calls take them.
    fn iovec(&self) -> (*const libc::iovec, c_int) {
        // `Segment` has `iovec`'s layout.
        match self {
            Pieces::One(segment) => (std::ptr::from_ref(segment).cast(), 1),
            Pieces::Many(first, count) => (first.cast(), *count as c_int),
        }
    }
}

impl Step {
    /// What an operation needs next.
    pub(super) fn of(operation: &mut Operation) -> Step {
        let kind = operation.kind();
        let done = operation.bytes();
        if kind == Kind::Open {
            let open = operation.file().open.as_ref().expect("an open has a path");
            return Step::Open {
                path: open.path.as_ptr(),
                flags: open.flags,
                mode: open.mode,
            };
        }
        if kind == Kind::Close {
            let closing = operation.file().closing.as_ref();
            let fd = closing.expect("a close has a descriptor").as_raw_fd();
            return Step::Close { fd };
        }
        let part = operation.file();
        let offset = part.offset + done as u64;
        let descriptor = part.descriptor.as_ref().expect("set when it was started");
        let fd = descriptor.raw();
        let pieces = Pieces::after(operation.segments(), done);
        match kind {
            Kind::Read => Step::Read {
                fd,
                into: pieces,
                offset,
            },
            Kind::SyncAll | Kind::SyncData => Step::Sync {
                fd,
                data_only: kind == Kind::SyncData,
            },
            kind => Step::Write {
                fd,
                from: pieces,
                offset: if kind == Kind::Append { 0 } else { offset },
                append: kind == Kind::Append,
            },
        }
    }

    /// Makes the call, and waits for as long as it takes. The number of bytes, a descriptor, or an
    /// `errno` below zero. A read with `RWF_NOWAIT` does not wait.
    ///
    /// # Safety
    ///
    /// The job that the step was made for is not touched by anybody meanwhile.
    pub(super) unsafe fn perform(&self, flags: c_int) -> i64 {
        // SAFETY: descriptors are kept open by the job, and memory by the caller's word: an
        // operation's segments obey `Segment::new`, its path is a C string. A write only reads.
        let result = unsafe {
            match self {
                Step::Read { fd, into, offset } => {
                    let (pieces, count) = into.iovec();
                    libc::preadv2(*fd, pieces, count, *offset as libc::off_t, flags) as i64
                }
                Step::Write {
                    fd,
                    from,
                    offset,
                    append,
                } => {
                    let (pieces, count) = from.iovec();
                    let flags = if *append {
                        flags | libc::RWF_APPEND
                    } else {
                        flags
                    };
                    libc::pwritev2(*fd, pieces, count, *offset as libc::off_t, flags) as i64
                }
                Step::Sync {
                    fd,
                    data_only: true,
                } => i64::from(libc::fdatasync(*fd)),
                Step::Sync { fd, .. } => i64::from(libc::fsync(*fd)),
                Step::Open { path, flags, mode } => i64::from(libc::open(*path, *flags, *mode)),
                Step::Close { fd } => i64::from(libc::close(*fd)),
            }
        };
        if result < 0 {
            let errno = std::io::Error::last_os_error().raw_os_error();
            return -i64::from(errno.unwrap_or(libc::EIO));
        }
        result
    }
}

/// Takes a step's result; `asked` is the status with which the operation was asked to end. `true`:
/// that was the last; the operation has its status.
pub(super) fn advance(operation: &mut Operation, result: i64, asked: Option<Status>) -> bool {
    let ended = match usize::try_from(result) {
        Ok(done) => succeeded(operation, done, asked),
        Err(_) => failed(operation, -result as i32, asked),
    };
    if let Some(status) = ended {
        let bytes = operation.bytes();
        operation.finish(status, bytes);
    }
    ended.is_some()
}

fn succeeded(operation: &mut Operation, result: usize, asked: Option<Status>) -> Option<Status> {
    match operation.kind() {
        Kind::SyncAll | Kind::SyncData => return Some(Status::SUCCESS),
        Kind::Close => {
            close_is_over(operation);
            return Some(Status::SUCCESS);
        }
        Kind::Open => {
            // SAFETY: the system has just opened it for us.
            let fd = unsafe { OwnedFd::from_raw_fd(result as RawFd) };
            let open = operation.file().open.take().expect("an open has a file");
            return Some(open.file.opened(fd));
        }
        _ => {}
    }
    operation.add_bytes(result);
    let whole = operation.bytes() == operation.capacity();
    let reading = operation.kind() == Kind::Read;
    match result {
        _ if whole => Some(Status::SUCCESS),
        // At or past the end (IO-18).
        0 if reading && operation.bytes() == 0 => Some(Status::END_OF_FILE),
        // Across the end.
        0 if reading => Some(Status::SUCCESS),
        // Nothing was written, and nothing said why.
        0 => Some(Status::UNSUCCESSFUL),
        // Going on would be a read at a place where such a file cannot be read.
        _ if reading && !operation.bytes().is_multiple_of(SECTOR) && bypasses_cache(operation) => {
            Some(Status::SUCCESS)
        }
        _ => asked,
    }
}

fn failed(operation: &mut Operation, errno: i32, asked: Option<Status>) -> Option<Status> {
    /// What the kernel's parts tell each other (`ERESTARTSYS` and its kin); io_uring lets it out
    /// when a signal or an exit interrupts its workers.
    const RESTART: std::ops::RangeInclusive<i32> = 512..=516;
    let interrupted =
        matches!(errno, libc::EINTR | libc::EAGAIN | libc::ECANCELED) || RESTART.contains(&errno);
    if operation.kind() == Kind::Close {
        // Linux closes the descriptor whatever it reports, unless it did not begin.
        match errno {
            libc::EAGAIN | libc::ECANCELED | libc::EBADF => return Some(Status::SUCCESS),
            _ => close_is_over(operation),
        }
        return Some(if interrupted {
            Status::SUCCESS
        } else {
            Status::from_errno(errno)
        });
    }
    match errno {
        // Somebody holds a lease, and the open was not to wait.
        libc::EAGAIN if operation.kind() == Kind::Open && asked.is_none() => {
            Some(Status::UNSUCCESSFUL)
        }
        _ if interrupted => asked,
        // It is open, but not for that.
        libc::EBADF => Some(Status::ACCESS_DENIED),
        errno => Some(Status::from_errno(errno)),
    }
}

fn bypasses_cache(operation: &mut Operation) -> bool {
    let descriptor = operation.file().descriptor.as_deref();
    descriptor.is_some_and(Descriptor::bypasses_cache)
}

/// The system has closed the descriptor: it is no longer ours to close.
fn close_is_over(operation: &mut Operation) {
    if let Some(closed) = operation.file().closing.take() {
        let _ = closed.into_raw_fd();
    }
}

#[cfg(test)]
mod tests {
    use std::ptr::NonNull;

    use super::*;
    use crate::operation::Header;

    /// # Safety
    ///
    /// The header is a box of its own.
    unsafe fn release(header: NonNull<Header>) {
        // SAFETY: the caller's word.
        drop(unsafe { Box::from_raw(header.as_ptr()) });
    }

    /// An operation on this many bytes in pieces, which nobody touches.
    fn operation(kind: Kind, pieces: &[usize]) -> Operation {
        let mut header = Box::new(Header::new(release));
        // SAFETY: no call is made with them.
        let segment =
            |&len| unsafe { Segment::new(std::ptr::without_provenance_mut(1 << 20), len) };
        header.prepare(kind, pieces.iter().map(segment));
        // SAFETY: a header of its own that `release` frees.
        unsafe { Operation::from_raw(NonNull::from(Box::leak(header))) }
    }

    fn after(kind: Kind, results: &[i64], cancelled: bool) -> Option<(Status, usize)> {
        let mut operation = operation(kind, &[60, 40]);
        for (number, &result) in results.iter().enumerate() {
            if advance(
                &mut operation,
                result,
                cancelled.then_some(Status::CANCELLED),
            ) {
                assert_eq!(number + 1, results.len(), "ended too early");
                return Some((operation.status(), operation.bytes()));
            }
        }
        None
    }

    #[test]
    fn a_transfer_goes_on_until_it_is_whole() {
        for kind in [Kind::Read, Kind::Write, Kind::Append] {
            assert_eq!(after(kind, &[100], false), Some((Status::SUCCESS, 100)));
            assert_eq!(after(kind, &[30, 30], false), None);
            let whole = Some((Status::SUCCESS, 100));
            assert_eq!(after(kind, &[30, 30, 40], false), whole);
            let failed = Some((Status::IO_DEVICE_ERROR, 30));
            assert_eq!(after(kind, &[30, -i64::from(libc::EIO)], false), failed);
        }
        assert_eq!(
            after(Kind::Read, &[0], false),
            Some((Status::END_OF_FILE, 0))
        );
        assert_eq!(
            after(Kind::Read, &[7, 0], false),
            Some((Status::SUCCESS, 7))
        );
        let full = Some((Status::DISK_FULL, 7));
        assert_eq!(
            after(Kind::Write, &[7, -i64::from(libc::ENOSPC)], false),
            full
        );
    }

    /// Whatever the kernel says to itself is never how an operation ends.
    #[test]
    fn an_interruption_is_a_cancel_or_nothing() {
        let interruptions = [
            libc::EINTR,
            libc::EAGAIN,
            libc::ECANCELED,
            512,
            513,
            514,
            515,
            516,
        ];
        for errno in interruptions.map(|errno| -i64::from(errno)) {
            for kind in [Kind::Read, Kind::Write, Kind::Append, Kind::SyncAll] {
                assert_eq!(after(kind, &[errno, errno], false), None);
                let cancelled = Some((Status::CANCELLED, 0));
                assert_eq!(after(kind, &[errno], true), cancelled);
            }
            assert_eq!(
                after(Kind::Close, &[errno], false),
                Some((Status::SUCCESS, 0))
            );
        }
        // Bytes that were moved before the cancel count.
        assert_eq!(
            after(Kind::Write, &[30], true),
            Some((Status::CANCELLED, 30))
        );
        assert_eq!(
            after(Kind::Write, &[100], true),
            Some((Status::SUCCESS, 100))
        );
    }

    #[test]
    fn the_rest_begins_where_the_last_step_ended() {
        let segments = operation(Kind::Read, &[10, 20, 30]);
        let segments = segments.segments();
        for (done, expected) in [
            (0, (3, 10)),
            (4, (1, 6)),
            (10, (2, 20)),
            (11, (1, 19)),
            (30, (1, 30)),
            (59, (1, 1)),
        ] {
            let pieces = Pieces::after(segments, done);
            let (first, count) = pieces.iovec();
            // SAFETY: points to a segment, or to the pieces themselves.
            let first = unsafe { (*first).iov_len };
            assert_eq!((count, first), expected, "after {done}");
        }
    }
}
