//! What asks the server to end: the first time, it may finish what it has; the second ends it.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::{name, watch};
#[cfg(windows)]
pub use windows::{name, watch};
