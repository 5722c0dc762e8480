//! The time slice of a worker: for how long the scheduler lets it run before another thread that is
//! ready may take the processor.
//!
//! While handlers compute, the thread that waits in the engine has to get a processor from them as
//! soon as something comes, for all connections wait for it. By default it may wait until the slice
//! of who runs there is over, some milliseconds. Shorter slices take nothing from a thread's share,
//! and cost switches only where more threads are ready than there are processors.

use std::io;
use std::mem::size_of;
use std::time::Duration;

/// `sched_attr`, as long as it was at first.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    /// For the usual policies the slice, since Linux 6.12; earlier kernels ignore it.
    runtime: u64,
    deadline: u64,
    period: u64,
}

const THIS_THREAD: libc::pid_t = 0;

/// The calling thread has another slice until this is dropped, which must be in the same thread.
pub(super) struct TimeSlice {
    before: u64,
}

impl TimeSlice {
    /// Asks for it.
    ///
    /// # Errors
    ///
    /// Where the thread's policy has no slices, or the system refuses.
    pub(super) fn ask(slice: Duration) -> io::Result<Self> {
        let before = set(u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX))?;
        Ok(TimeSlice { before })
    }
}

impl Drop for TimeSlice {
    fn drop(&mut self) {
        let _ = set(self.before);
    }
}

/// Returns what it was.
fn set(nanos: u64) -> io::Result<u64> {
    let mut attributes = get()?;
    if !matches!(
        attributes.policy as libc::c_int,
        libc::SCHED_OTHER | libc::SCHED_BATCH
    ) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let before = std::mem::replace(&mut attributes.runtime, nanos);
    // SAFETY: the attributes are as long as they say, and only read.
    match unsafe {
        libc::syscall(
            libc::SYS_sched_setattr,
            THIS_THREAD,
            &raw const attributes,
            0,
        )
    } {
        0 => Ok(before),
        _ => Err(io::Error::last_os_error()),
    }
}

fn get() -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    // SAFETY: the kernel writes no more than the length that it is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_getattr,
            THIS_THREAD,
            &raw mut attributes,
            size_of::<Attributes>(),
            0,
        )
    };
    match result {
        0 => Ok(attributes),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_there_until_it_is_dropped() {
        let before = get().unwrap();
        if before.runtime == 0 {
            return eprintln!("not tested here: the kernel tells of no slices");
        }
        let slice = TimeSlice::ask(Duration::from_micros(150)).unwrap();
        let during = get().unwrap();
        drop(slice);
        let after = get().unwrap();
        assert_eq!((during.runtime, after.runtime), (150_000, before.runtime));
        assert_eq!((during.policy, during.nice), (before.policy, before.nice));
    }
}
