//! SIGINT and SIGTERM.
//!
//! Standard output that was closed by its reader is no signal here: Rust's runtime ignores SIGPIPE,
//! and the write's error ends the server properly.

use std::io;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

/// A signal's name.
pub fn name(signal: i32) -> &'static str {
    match signal {
        SIGINT => "SIGINT",
        SIGTERM => "SIGTERM",
        _ => "a signal",
    }
}

/// From now on the first signal is told to `first`, on a thread of its own, and the second ends
/// the process at once, with the exit code that shells give to a process that the signal killed.
///
/// # Errors
///
/// When the system has no descriptors or threads left.
pub fn watch(first: impl FnOnce(i32) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let mut arrivals = signals.forever();
            if let Some(signal) = arrivals.next() {
                first(signal);
            }
            if let Some(signal) = arrivals.next() {
                low_level::exit(128 + signal);
            }
        })?;
    Ok(())
}
