use std::ptr::null;
use std::time::{SystemTime, UNIX_EPOCH};

use overlapped_win32::abi::*;
use overlapped_win32::calls::time::*;
use overlapped_win32::calls::waits::*;

use crate::*;

const NO_TIME: FILETIME = FILETIME {
    dwLowDateTime: 0,
    dwHighDateTime: 0,
};

fn file_time(value: u64) -> FILETIME {
    FILETIME {
        dwLowDateTime: value as DWORD,
        dwHighDateTime: (value >> 32) as DWORD,
    }
}

fn value(time: FILETIME) -> u64 {
    u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime)
}

fn parts(time: FILETIME) -> SYSTEMTIME {
    let mut parts = SYSTEMTIME::default();
    // SAFETY: both are there.
    assert_eq!(unsafe { FileTimeToSystemTime(&time, &mut parts) }, TRUE);
    parts
}

fn date(year: u16, month: u16, week_day: u16, day: u16) -> SYSTEMTIME {
    SYSTEMTIME {
        wYear: year,
        wMonth: month,
        wDayOfWeek: week_day,
        wDay: day,
        ..SYSTEMTIME::default()
    }
}

#[test]
fn dates_that_everybody_knows() {
    const DAY: u64 = 864_000_000_000;
    const EPOCH: u64 = 116_444_736_000_000_000;
    assert_eq!(parts(NO_TIME), date(1601, 1, 1, 1));
    assert_eq!(parts(file_time(EPOCH)), date(1970, 1, 4, 1));
    // The billionth second of that era, and a little.
    let known = SYSTEMTIME {
        wHour: 1,
        wMinute: 46,
        wSecond: 40,
        wMilliseconds: 123,
        ..date(2001, 9, 0, 9)
    };
    let since = 1_000_000_000 * 10_000_000 + 1_239_999;
    assert_eq!(parts(file_time(EPOCH + since)), known);
    // There and back, over the odd days of several centuries.
    for days in (0..400_000_u64).step_by(97) {
        let time = file_time(days * DAY + 12_345_678 * 10_000);
        let mut back = NO_TIME;
        // SAFETY: both are there.
        let done = unsafe { SystemTimeToFileTime(&parts(time), &mut back) };
        assert_eq!(done, TRUE);
        assert_eq!(back, time);
        assert_eq!(u64::from(parts(time).wDayOfWeek), (days + 1) % 7);
    }
}

#[test]
fn dates_that_are_none_are_refused() {
    let mut time = NO_TIME;
    let wrong = [
        date(1600, 1, 0, 1),
        date(2023, 2, 0, 29),
        date(2023, 13, 0, 1),
        date(2023, 0, 0, 1),
        date(2023, 4, 0, 31),
        SYSTEMTIME {
            wHour: 24,
            ..date(2023, 1, 0, 1)
        },
    ];
    // SAFETY: both are there, or null is refused.
    unsafe {
        for parts in wrong {
            fails(
                SystemTimeToFileTime(&parts, &mut time),
                ERROR_INVALID_PARAMETER,
            );
        }
        fails(
            SystemTimeToFileTime(null(), &mut time),
            ERROR_INVALID_PARAMETER,
        );
        let mut parts = SYSTEMTIME::default();
        fails(
            FileTimeToSystemTime(&file_time(u64::MAX), &mut parts),
            ERROR_INVALID_PARAMETER,
        );
        assert_eq!(SystemTimeToFileTime(&date(2024, 2, 0, 29), &mut time), TRUE);
    }
}

#[test]
fn now_is_between_before_and_after() {
    let unix = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut now = NO_TIME;
    let mut local = SYSTEMTIME::default();
    let before = unix();
    // SAFETY: they are there.
    unsafe {
        GetSystemTimePreciseAsFileTime(&mut now);
        GetLocalTime(&mut local);
    }
    let after = unix();
    let since = u128::from(value(now) - 116_444_736_000_000_000) * 100;
    assert!(before.as_nanos() / 100 * 100 <= since && since <= after.as_nanos());
    let mut universal = SYSTEMTIME::default();
    let mut by_zone = NO_TIME;
    // SAFETY: they are there.
    unsafe {
        GetSystemTime(&mut universal);
        assert_eq!(FileTimeToLocalFileTime(&now, &mut by_zone), TRUE);
        let mut back = NO_TIME;
        assert_eq!(LocalFileTimeToFileTime(&by_zone, &mut back), TRUE);
        assert_eq!(back, now);
        assert_eq!(CompareFileTime(&now, &now), 0);
        assert_eq!(CompareFileTime(&NO_TIME, &now), -1);
        assert_eq!(CompareFileTime(&now, &NO_TIME), 1);
    }
    // Zones are whole quarters of an hour away.
    assert_eq!(value(by_zone).abs_diff(value(now)) % (900 * 10_000_000), 0);
}

#[test]
fn counters_count_what_passes() {
    let (mut frequency, mut one, mut other) = (0, 0, 0);
    let ticks = GetTickCount64();
    // SAFETY: they are there.
    unsafe {
        assert_eq!(QueryPerformanceFrequency(&mut frequency), TRUE);
        assert_eq!(QueryPerformanceCounter(&mut one), TRUE);
        Sleep(20);
        assert_eq!(QueryPerformanceCounter(&mut other), TRUE);
    }
    assert!((other - one) * 1000 / frequency >= 20);
    assert!(GetTickCount64() - ticks >= 20);
    assert!(timeGetTime().wrapping_sub(ticks as DWORD) >= 20);
    assert_eq!((timeBeginPeriod(1), timeEndPeriod(1)), (0, 0));
}
