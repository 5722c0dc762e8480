//! Time of day, and time that passes.

use std::mem::MaybeUninit;

use crate::abi::{BOOL, DWORD, FALSE, FILETIME, LONG, SYSTEMTIME, TRUE, UINT};
use crate::error::{self, Error};
use crate::text;
use crate::time::{self, TICKS};

/// The performance counter counts what Windows 10's does.
const FREQUENCY: i64 = 10_000_000;
const DAY: i64 = 86_400;

fn ticks() -> u64 {
    time::monotonic(libc::CLOCK_MONOTONIC) / 1_000_000
}

/// Milliseconds since the system started, in 32 bits.
#[unsafe(no_mangle)]
pub extern "C" fn GetTickCount() -> DWORD {
    ticks() as DWORD
}

/// Milliseconds since the system started.
#[unsafe(no_mangle)]
pub extern "C" fn GetTickCount64() -> u64 {
    ticks()
}

/// As `GetTickCount`.
#[unsafe(no_mangle)]
pub extern "C" fn timeGetTime() -> DWORD {
    GetTickCount()
}

/// Accepted: the kernel's timers are precise.
#[unsafe(no_mangle)]
pub extern "C" fn timeBeginPeriod(_period: UINT) -> UINT {
    0
}

/// Accepted.
#[unsafe(no_mangle)]
pub extern "C" fn timeEndPeriod(_period: UINT) -> UINT {
    0
}

/// The performance counter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn QueryPerformanceCounter(count: *mut i64) -> BOOL {
    let now = time::monotonic(libc::CLOCK_MONOTONIC) as i64;
    // SAFETY: where the program wants it.
    unsafe { text::give(count, now / (1_000_000_000 / FREQUENCY)) };
    TRUE
}

/// How often it counts in a second.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn QueryPerformanceFrequency(frequency: *mut i64) -> BOOL {
    // SAFETY: where the program wants it.
    unsafe { text::give(frequency, FREQUENCY) };
    TRUE
}

fn to_filetime(time: u64) -> FILETIME {
    FILETIME {
        dwLowDateTime: time as DWORD,
        dwHighDateTime: (time >> 32) as DWORD,
    }
}

/// # Safety
/// It can be read, if it is not null.
unsafe fn read(time: *const FILETIME) -> Result<u64, Error> {
    if time.is_null() {
        return Err(Error::INVALID_PARAMETER);
    }
    // SAFETY: the caller's promise.
    let time = unsafe { time.read_unaligned() };
    let value = u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime);
    i64::try_from(value)
        .map(|_| value)
        .map_err(|_| Error::INVALID_PARAMETER)
}

/// Now, in steps of 100 ns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetSystemTimeAsFileTime(now: *mut FILETIME) {
    // SAFETY: where the program wants it.
    unsafe { text::give(now, to_filetime(time::file_time())) };
}

/// Now, in steps of 100 ns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetSystemTimePreciseAsFileTime(now: *mut FILETIME) {
    // SAFETY: the same call.
    unsafe { GetSystemTimeAsFileTime(now) };
}

/// The days of a date since 1970, by counting in eras of 400 years that begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The year, month and day of a day since 1970.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + i64::from(month <= 2);
    (year, month, day)
}

fn to_system_time(file_time: u64) -> SYSTEMTIME {
    let (seconds, rest) = time::to_unix(file_time);
    let day = seconds.div_euclid(DAY);
    let second = seconds.rem_euclid(DAY);
    let (year, month, of_month) = date(day);
    SYSTEMTIME {
        wYear: year as u16,
        wMonth: month as u16,
        // 1970 began on a Thursday.
        wDayOfWeek: (day + 4).rem_euclid(7) as u16,
        wDay: of_month as u16,
        wHour: (second / 3600) as u16,
        wMinute: (second / 60 % 60) as u16,
        wSecond: (second % 60) as u16,
        wMilliseconds: (u64::from(rest) * 1000 / TICKS) as u16,
    }
}

fn from_system_time(time: &SYSTEMTIME) -> Option<u64> {
    let (year, month, day) = (time.wYear.into(), time.wMonth.into(), time.wDay.into());
    let since = days(year, month, day);
    let is_date = (1601..=30827).contains(&year)
        && (1..=12).contains(&month)
        && date(since) == (year, month, day);
    let is_time =
        time.wHour < 24 && time.wMinute < 60 && time.wSecond < 60 && time.wMilliseconds < 1000;
    if !is_date || !is_time {
        return None;
    }
    let of_day =
        i64::from(time.wHour) * 3600 + i64::from(time.wMinute) * 60 + i64::from(time.wSecond);
    let rest = u32::from(time.wMilliseconds) * (TICKS / 1000) as u32;
    time::from_unix(since * DAY + of_day, rest)
}

/// The parts of a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FileTimeToSystemTime(
    time: *const FILETIME,
    parts: *mut SYSTEMTIME,
) -> BOOL {
    // SAFETY: the program's.
    let result = unsafe { read(time) }.map(|time| {
        // SAFETY: where the program wants them.
        unsafe { text::give(parts, to_system_time(time)) };
        TRUE
    });
    error::or(result, FALSE)
}

/// The time that has these parts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SystemTimeToFileTime(
    parts: *const SYSTEMTIME,
    time: *mut FILETIME,
) -> BOOL {
    // SAFETY: the program's, if there are any.
    let parts = (!parts.is_null()).then(|| unsafe { parts.read_unaligned() });
    match parts.and_then(|parts| from_system_time(&parts)) {
        Some(value) => {
            // SAFETY: where the program wants it.
            unsafe { text::give(time, to_filetime(value)) };
            TRUE
        }
        None => {
            error::set_last(Error::INVALID_PARAMETER);
            FALSE
        }
    }
}

/// How two times compare: -1, 0 or 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CompareFileTime(one: *const FILETIME, other: *const FILETIME) -> LONG {
    // SAFETY: the program's.
    let (one, other) = unsafe { (read(one), read(other)) };
    one.unwrap_or(0).cmp(&other.unwrap_or(0)) as LONG
}

/// Seconds from the zone's clock to the universal one, at a time.
fn offset(seconds: i64) -> i64 {
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both are there; zeros are a time as well, if the call fails.
    unsafe {
        libc::localtime_r(&seconds, parts.as_mut_ptr());
        parts.assume_init().tm_gmtoff
    }
}

fn to_local(file_time: u64) -> u64 {
    let (seconds, rest) = time::to_unix(file_time);
    time::from_unix(seconds + offset(seconds), rest).unwrap_or(file_time)
}

/// A time by the zone's clock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn FileTimeToLocalFileTime(
    time: *const FILETIME,
    local: *mut FILETIME,
) -> BOOL {
    // SAFETY: the program's.
    let result = unsafe { read(time) }.map(|time| {
        // SAFETY: where the program wants it.
        unsafe { text::give(local, to_filetime(to_local(time))) };
        TRUE
    });
    error::or(result, FALSE)
}

/// The time that the zone's clock shows as this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn LocalFileTimeToFileTime(
    local: *const FILETIME,
    time: *mut FILETIME,
) -> BOOL {
    // SAFETY: the program's.
    let result = unsafe { read(local) }.map(|local| {
        let (seconds, rest) = time::to_unix(local);
        // The offset is that of the universal time, which is near the one without it.
        let seconds = seconds - offset(seconds - offset(seconds));
        let value = time::from_unix(seconds, rest).unwrap_or(local);
        // SAFETY: where the program wants it.
        unsafe { text::give(time, to_filetime(value)) };
        TRUE
    });
    error::or(result, FALSE)
}

/// Now, in parts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetSystemTime(parts: *mut SYSTEMTIME) {
    // SAFETY: where the program wants them.
    unsafe { text::give(parts, to_system_time(time::file_time())) };
}

/// Now by the zone's clock, in parts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetLocalTime(parts: *mut SYSTEMTIME) {
    // SAFETY: where the program wants them.
    unsafe { text::give(parts, to_system_time(to_local(time::file_time()))) };
}
