//! Workers that do not come back, and what they do.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A worker that has been in its handler for long.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Away {
    /// Its thread's name.
    pub name: String,
    /// Its thread's number in the system, on Linux; 0 elsewhere.
    pub thread: i32,
    /// For how long it has been seen in the same handler: it has been there for at least that.
    pub at_least: Duration,
    /// What it does there.
    pub doing: Doing,
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doing {
    /// It runs, or could.
    Computing,
    /// It sleeps.
    Blocked {
        /// In this system call; `None` if the system does not say.
        call: Option<SystemCall>,
        /// Where no signal reaches it, as when it waits for a disk.
        uninterruptible: bool,
    },
    /// The system does not say.
    Unknown,
}

impl std::fmt::Display for Away {
    /// A sentence.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, seconds) = (&self.name, self.at_least.as_secs_f64());
        match self.doing {
            Doing::Computing => write!(f, "{name} has computed for {seconds:.1} s"),
            Doing::Blocked {
                call: Some(call), ..
            } => write!(f, "{name} has blocked in {call} for {seconds:.1} s"),
            Doing::Blocked { call: None, .. } => {
                write!(f, "{name} has blocked for {seconds:.1} s")
            }
            Doing::Unknown => write!(f, "{name} has been away for {seconds:.1} s"),
        }
    }
}

/// A system call, by its number on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemCall(pub i64);

impl std::fmt::Display for SystemCall {
    /// Its name, if it is one of those that often block.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match system::name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "system call {}", self.0),
        }
    }
}

impl std::fmt::Display for Doing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Doing::Computing => f.write_str("computing"),
            Doing::Blocked { call: None, .. } => f.write_str("blocked"),
            Doing::Blocked {
                call: Some(call), ..
            } => write!(f, "blocked in {call}"),
            Doing::Unknown => f.write_str("away"),
        }
    }
}

/// What is kept of a worker. On cache lines of its own, because its thread writes to it for each
/// packet: two plain stores and a look at a flag are all that this costs.
#[repr(align(128))]
pub(super) struct Place {
    /// Odd while it is in a handler; another number for each.
    outing: AtomicU64,
    /// The watchman sleeps, and wants to know of the next outing.
    announce: AtomicBool,
    thread: AtomicI32,
    name: String,
    /// The outing that was seen last, and when it was seen first.
    seen: Mutex<Option<(u64, Instant)>>,
}

impl Place {
    pub(super) fn new(name: String) -> Self {
        Place {
            outing: AtomicU64::new(0),
            announce: AtomicBool::new(false),
            thread: AtomicI32::new(0),
            name,
            seen: Mutex::new(None),
        }
    }

    /// By the worker's thread.
    pub(super) fn occupy(&self) {
        self.thread.store(system::thread(), Relaxed);
    }

    /// By the worker's thread, which is the only one that counts here. `announce` is called if
    /// somebody wants to know.
    #[inline]
    pub(super) fn while_out<R>(&self, announce: impl FnOnce(), f: impl FnOnce() -> R) -> R {
        let outing = self.outing.load(Relaxed);
        self.outing.store(outing + 1, Relaxed);
        if self.announce.load(Relaxed) {
            self.announce.store(false, Relaxed);
            announce();
        }
        let result = f();
        self.outing.store(outing + 2, Relaxed);
        result
    }

    /// Has the next outing announced, or not.
    pub(super) fn set_announce(&self, announce: bool) {
        self.announce.store(announce, Relaxed);
    }

    /// Another number in each handler, and between two; odd in one.
    pub(super) fn outing(&self) -> u64 {
        self.outing.load(Relaxed)
    }

    /// Whether it has been out for so long, by anybody.
    pub(super) fn look(&self, now: Instant, at_least: Duration) -> Option<Away> {
        let outing = self.outing();
        if outing.is_multiple_of(2) {
            return None;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match *seen {
            Some((before, since)) if before == outing => since,
            _ => seen.insert((outing, now)).1,
        };
        drop(seen);
        let out_for = now.saturating_duration_since(since);
        if out_for < at_least {
            return None;
        }
        let thread = self.thread.load(Relaxed);
        Some(Away {
            name: self.name.clone(),
            thread,
            at_least: out_for,
            doing: system::doing(thread),
        })
    }
}

#[cfg(target_os = "linux")]
mod system {
    use super::{Doing, SystemCall};

    pub(super) fn thread() -> i32 {
        rustix::thread::gettid().as_raw_nonzero().get()
    }

    pub(super) fn doing(thread: i32) -> Doing {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/self/task/{thread}/{file}"));
        let Ok(stat) = read("stat") else {
            return Doing::Unknown;
        };
        // The name before it is in parentheses, and may contain any.
        let state = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.trim_start().chars().next());
        let uninterruptible = match state {
            Some('R') => return Doing::Computing,
            Some('D') => true,
            Some('S') => false,
            _ => return Doing::Unknown,
        };
        let call = read("syscall").ok();
        let number = call.and_then(|text| text.split(' ').next()?.trim().parse().ok());
        Doing::Blocked {
            // -1: it sleeps, but not in one.
            call: number.filter(|&number| number >= 0).map(SystemCall),
            uninterruptible,
        }
    }

    macro_rules! names {
        ($number:expr; $($name:ident = $constant:ident),* $(,)?) => {
            match $number {
                $(libc::$constant => Some(stringify!($name)),)*
                _ => None,
            }
        };
    }

    pub(super) fn name(number: i64) -> Option<&'static str> {
        #[cfg(target_arch = "x86_64")]
        let old = names!(number;
            open = SYS_open, poll = SYS_poll, select = SYS_select, pause = SYS_pause,
            epoll_wait = SYS_epoll_wait, rename = SYS_rename, unlink = SYS_unlink,
            mkdir = SYS_mkdir, stat = SYS_stat,
        );
        #[cfg(not(target_arch = "x86_64"))]
        let old = None;
        #[cfg(target_pointer_width = "64")]
        let new = names!(libc::c_long::from(number);
            accept = SYS_accept, accept4 = SYS_accept4, clock_nanosleep = SYS_clock_nanosleep,
            clone = SYS_clone, close = SYS_close, connect = SYS_connect,
            copy_file_range = SYS_copy_file_range, epoll_pwait = SYS_epoll_pwait,
            epoll_pwait2 = SYS_epoll_pwait2, execve = SYS_execve, fallocate = SYS_fallocate,
            fcntl = SYS_fcntl, fdatasync = SYS_fdatasync, flock = SYS_flock, fsync = SYS_fsync,
            ftruncate = SYS_ftruncate, futex = SYS_futex, getdents64 = SYS_getdents64,
            getrandom = SYS_getrandom, io_uring_enter = SYS_io_uring_enter, ioctl = SYS_ioctl,
            madvise = SYS_madvise, mmap = SYS_mmap, msync = SYS_msync, munmap = SYS_munmap,
            nanosleep = SYS_nanosleep, openat = SYS_openat, ppoll = SYS_ppoll,
            pread64 = SYS_pread64, preadv = SYS_preadv, pselect6 = SYS_pselect6,
            pwrite64 = SYS_pwrite64, pwritev = SYS_pwritev, read = SYS_read, readv = SYS_readv,
            recvfrom = SYS_recvfrom, recvmmsg = SYS_recvmmsg, recvmsg = SYS_recvmsg,
            renameat = SYS_renameat, restart_syscall = SYS_restart_syscall,
            rt_sigtimedwait = SYS_rt_sigtimedwait, sendfile = SYS_sendfile, sendmsg = SYS_sendmsg,
            sendto = SYS_sendto, splice = SYS_splice, statx = SYS_statx, sync = SYS_sync,
            unlinkat = SYS_unlinkat, wait4 = SYS_wait4, waitid = SYS_waitid, write = SYS_write,
            writev = SYS_writev,
        );
        #[cfg(not(target_pointer_width = "64"))]
        let new = None;
        old.or(new)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::Doing;

    pub(super) fn thread() -> i32 {
        0
    }

    pub(super) fn doing(_thread: i32) -> Doing {
        Doing::Unknown
    }

    pub(super) fn name(_number: i64) -> Option<&'static str> {
        None
    }
}
