//! Times as Windows counts them: in steps of 100 ns, from the year 1601 on.

use std::mem::MaybeUninit;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// From 1601 to 1970.
const EPOCH: u64 = 11_644_473_600 * TICKS;
/// Steps in a second.
pub(crate) const TICKS: u64 = 10_000_000;

/// Now.
pub(crate) fn file_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    EPOCH + since.map_or(0, ticks)
}

fn ticks(duration: Duration) -> u64 {
    duration.as_secs() * TICKS + u64::from(duration.subsec_nanos() / 100)
}

/// The seconds of the Unix clock and the rest in steps.
pub(crate) fn to_unix(file_time: u64) -> (i64, u32) {
    let seconds = (file_time / TICKS) as i64 - (EPOCH / TICKS) as i64;
    (seconds, (file_time % TICKS) as u32)
}

/// The other way; `None` before 1601.
pub(crate) fn from_unix(seconds: i64, rest: u32) -> Option<u64> {
    let seconds = u64::try_from(seconds + (EPOCH / TICKS) as i64).ok()?;
    Some(seconds * TICKS + u64::from(rest))
}

/// When a timer's due time is: negative is from now on, else by the clock.
pub(crate) fn due(time: i64) -> Instant {
    let now = Instant::now();
    let left = match u64::try_from(time) {
        Err(_) => time.unsigned_abs(),
        Ok(time) => time.saturating_sub(file_time()),
    };
    let left = Duration::new(left / TICKS, (left % TICKS) as u32 * 100);
    // Later than the clock can say is never, and so is a century.
    now.checked_add(left)
        .unwrap_or_else(|| now + Duration::from_secs(100 * 365 * 86_400))
}

/// A time-out in milliseconds; `None` for ever.
pub(crate) fn timeout(milliseconds: u32) -> Option<Duration> {
    (milliseconds != u32::MAX).then(|| Duration::from_millis(milliseconds.into()))
}

/// Nanoseconds of a clock that is never set.
pub(crate) fn monotonic(clock: libc::clockid_t) -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the clocks that are asked for here exist, so the time is written.
    let time = unsafe {
        libc::clock_gettime(clock, time.as_mut_ptr());
        time.assume_init()
    };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
