//! Memory that programs allocate: [`blocks`] from heaps, and [`pages`].
//!
//! Programs that keep pointers in a `DWORD` work if all that they allocate here lies below 4 GiB:
//! the switch [`set_low`], which the compiler wrapper's `--lp32` throws before `main`, and which
//! the environment variable `OVERLAPPED_LP32=1` throws for a program that is compiled already. What
//! comes from the C library (`malloc`, `new`) is not affected.

pub(crate) mod blocks;
mod low;
pub(crate) mod pages;

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

const UNKNOWN: u8 = 0;
const ANYWHERE: u8 = 1;
const LOW: u8 = 2;

static SWITCH: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Whether memory has to come from below 4 GiB.
fn is_low() -> bool {
    match SWITCH.load(Relaxed) {
        UNKNOWN => {
            let asked = std::env::var_os("OVERLAPPED_LP32");
            set_low(asked.is_some_and(|value| value != "0" && !value.is_empty()));
            SWITCH.load(Relaxed) == LOW
        }
        switch => switch == LOW,
    }
}

/// From now on; each block knows where it came from.
pub(crate) fn set_low(low: bool) {
    let switch = match low {
        true => LOW,
        false => ANYWHERE,
    };
    SWITCH.store(switch, Relaxed);
}
