//! Perf events: the kernel's records of when the thread was switched in and out.
//!
//! The event counts nothing (a "dummy" software event); it is there for the records that come with
//! it. They go into a ring of one page that is mapped read-only, so the kernel overwrites the
//! oldest and needs nobody to read it. The page before it says up to where it has written. Each
//! record has the time, by the port's clock, so that one look says how long a wait has lasted.

use std::cell::Cell;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{Ordering::Acquire, fence};

use overlapped_queue::{Presence, ThreadWait};

use super::proc_stat::Letter;
use crate::port::fork::Generation;

/// `perf_event_attr`, as long as it is with a choice of clocks (Linux 4.1; records of switches are newer);
/// the kernel takes the rest for zero.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    bp_addr: u64,
    bp_len: u64,
    branch_sample_type: u64,
    sample_regs_user: u64,
    sample_stack_user: u32,
    clock: i32,
}

const TYPE_SOFTWARE: u32 = 1;
const COUNT_SW_DUMMY: u64 = 9;
/// Without these, `kernel.perf_event_paranoid` of 2, the default, refuses the unprivileged.
const EXCLUDE_KERNEL: u64 = 1 << 5;
const EXCLUDE_HYPERVISOR: u64 = 1 << 6;
/// Each record says when it was written, by the clock that was asked for.
const SAMPLE_TIME: u64 = 1 << 2;
const SAMPLE_ID_ALL: u64 = 1 << 18;
const USE_CLOCK: u64 = 1 << 25;
const CONTEXT_SWITCH: u64 = 1 << 26;
const FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;

/// Where `perf_event_mmap_page` has `data_head`.
const DATA_HEAD: usize = 1024;

/// A record of a switch is a header and the time.
const RECORD: usize = 16;
const TIME: usize = 8;
const RECORD_SWITCH: u32 = 14;
const SWITCH_OUT: u16 = 1 << 13;
const SWITCH_OUT_PREEMPT: u16 = 1 << 14;

/// Whether the process has the clock by which the kernel dates records: in a time namespace, containers that were moved
/// from another machine for one, it is another.
fn has_the_kernels_clock() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(
        || match std::fs::read_to_string("/proc/self/timens_offsets") {
            Ok(offsets) => is_without_offset(&offsets),
            // Older than these namespaces, or nobody knows.
            Err(_) => std::path::Path::new("/proc/self/stat").exists(),
        },
    )
}

/// A line for each clock, with seconds and nanoseconds.
fn is_without_offset(offsets: &str) -> bool {
    let mut clocks = offsets.lines().map(str::split_ascii_whitespace);
    clocks
        .find_map(|mut words| (words.next() == Some("monotonic")).then_some(words))
        .is_some_and(|mut words| words.all(|word| word == "0"))
}

/// The records of one thread's switches.
pub(super) struct Records {
    pages: NonNull<u8>,
    page: usize,
    /// The kernel's clock is the port's.
    dated: bool,
    /// Tells a thread that has been woken, and waits for a processor, which no record does.
    letter: Option<Letter>,
    /// The last wait that was found to be over before there was a record of it.
    over: Cell<u64>,
    /// A forked child does not have the pages, or has something else in their place.
    process: Generation,
    /// Held for as long as the records are to be written.
    _event: OwnedFd,
}

// SAFETY: the pages are only read, and belong to the process, not to a thread.
unsafe impl Send for Records {}

impl Records {
    pub(super) fn of_this_thread() -> io::Result<Self> {
        let attributes = Attributes {
            kind: TYPE_SOFTWARE,
            size: size_of::<Attributes>() as u32,
            config: COUNT_SW_DUMMY,
            sample_type: SAMPLE_TIME,
            flags: CONTEXT_SWITCH | SAMPLE_ID_ALL | USE_CLOCK | EXCLUDE_KERNEL | EXCLUDE_HYPERVISOR,
            clock: libc::CLOCK_MONOTONIC,
            ..Attributes::default()
        };
        let (this_thread, any_processor, no_group): (libc::pid_t, libc::c_int, libc::c_int) =
            (0, -1, -1);
        // SAFETY: the attributes are as long as they say and live through the call, which returns
        // a new descriptor or an error.
        let event = unsafe {
            let fd = libc::syscall(
                libc::SYS_perf_event_open,
                &raw const attributes,
                this_thread,
                any_processor,
                no_group,
                FLAG_FD_CLOEXEC,
            );
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd as libc::c_int)
        };
        // Not rustix's, which looks for it in a way that does not survive Valgrind.
        // SAFETY: asks for a number, which every Linux has.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let pages = unsafe {
            let pages = libc::mmap(
                std::ptr::null_mut(),
                2 * page,
                libc::PROT_READ,
                libc::MAP_SHARED,
                event.as_raw_fd(),
                0,
            );
            if pages == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            NonNull::new(pages.cast()).expect("a mapping is not at 0")
        };
        Ok(Records {
            pages,
            page,
            dated: has_the_kernels_clock(),
            letter: Letter::of_this_thread().ok(),
            over: Cell::new(0),
            process: Generation::current(),
            _event: event,
        })
    }

    /// What is in the mapping now; what is read afterwards was written no earlier.
    fn word(&self, offset: usize) -> u64 {
        assert!(offset.is_multiple_of(8) && offset < 2 * self.page);
        // SAFETY: aligned and within the mapping, which lives as long as `self`. It is no memory of
        // the language's: the kernel writes there, hence volatile.
        let word = unsafe {
            self.pages
                .as_ptr()
                .add(offset)
                .cast::<u64>()
                .read_volatile()
        };
        fence(Acquire);
        word
    }

    /// How many bytes of records there have been.
    fn head(&self) -> u64 {
        self.word(DATA_HEAD)
    }
}

impl Presence for Records {
    fn wait(&self) -> Option<ThreadWait> {
        if self.process.is_over() {
            return None;
        }
        let head = self.head();
        // A page's size is a power of two.
        let last = (head as usize).wrapping_sub(RECORD) & (self.page - RECORD);
        let [kind @ .., m0, m1, s0, s1] = self.word(self.page + last).to_ne_bytes();
        let (kind, misc) = (u32::from_ne_bytes(kind), u16::from_ne_bytes([m0, m1]));
        let size = u16::from_ne_bytes([s0, s1]);
        let blocked = kind == RECORD_SWITCH
            && usize::from(size) == RECORD
            && misc & (SWITCH_OUT | SWITCH_OUT_PREEMPT) == SWITCH_OUT;
        let began = self.word(self.page + last + TIME);
        // One that has been written meanwhile is of a switch: it ran.
        let it_is = blocked && self.head() == head && self.over.get() != head;
        it_is.then_some(ThreadWait {
            number: head,
            began: self.dated.then_some(began),
        })
    }

    fn lasts(&self, wait: ThreadWait) -> bool {
        let woken = |letter: &Letter| !letter.is_of_a_wait();
        if self.letter.as_ref().is_some_and(woken) {
            // It will run before it waits again.
            self.over.set(wait.number);
        }
        self.wait() == Some(wait)
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        if self.process.is_over() {
            return;
        }
        // SAFETY: mapped by this process, and nobody has a reference into it any more.
        unsafe { libc::munmap(self.pages.as_ptr().cast(), 2 * self.page) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::engine::System;
    use crate::engine::epoll::Epoll;

    #[test]
    fn a_time_namespace_has_another_clock() {
        assert!(is_without_offset(
            "monotonic           0         0\nboottime            5         0\n"
        ));
        assert!(!is_without_offset(
            "monotonic         100         0\nboottime            0         0\n"
        ));
        assert!(!is_without_offset("monotonic           0       -17\n"));
        assert!(!is_without_offset(""));
    }

    /// Runs the test beside a thread that is in this wait, if records can be had.
    fn with_a_wait(test: impl FnOnce(&mut Records, ThreadWait)) {
        let (of_it, records) = channel();
        let (wake, woken) = channel::<()>();
        let thread = std::thread::spawn(move || {
            of_it.send(Records::of_this_thread()).unwrap();
            let _ = woken.recv();
        });
        match records.recv().unwrap() {
            Err(error) => eprintln!("not tested here: {error}"),
            Ok(mut records) => {
                let began = Instant::now();
                let wait = loop {
                    match records.wait() {
                        Some(wait) => break wait,
                        None => std::thread::yield_now(),
                    }
                    assert!(began.elapsed() < Duration::from_secs(60), "never waited");
                };
                test(&mut records, wait);
            }
        }
        drop(wake);
        thread.join().unwrap();
    }

    /// CC-8: one look says since when, by the clock of the engines.
    #[test]
    fn a_wait_is_dated_by_the_ports_clock() {
        let port = Epoll::new().unwrap();
        let before = port.now();
        with_a_wait(|records, wait| {
            assert!(records.lasts(wait));
            // The kernel's way of reading the clock anywhere is out by a little at times.
            let little = Duration::from_millis(1).as_nanos() as u64;
            match wait.began {
                Some(began) => assert!((before - little..port.now() + little).contains(&began)),
                None => assert!(!has_the_kernels_clock()),
            }
        });
    }

    /// CC-6: one that was woken has no record of it before it runs, but is no longer in that wait.
    #[test]
    fn a_wait_that_was_found_to_be_over_is_none() {
        with_a_wait(|records, wait| {
            // As if it had been woken: the thread of the test runs.
            let its_own = records.letter.replace(Letter::of_this_thread().unwrap());
            assert!(!records.lasts(wait));
            records.letter = its_own;
            assert_eq!((records.wait(), records.lasts(wait)), (None, false));
        });
    }
}
