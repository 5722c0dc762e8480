//! Thread states: `/proc/thread-self/stat` has the state as a letter.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use overlapped_queue::{Presence, ThreadWait};

/// The letter of a thread's state, to be read by any thread of the process.
pub(super) struct Letter(File);

impl Letter {
    pub(super) fn of_this_thread() -> io::Result<Self> {
        File::open("/proc/thread-self/stat").map(Letter)
    }

    fn read(&self) -> Option<u8> {
        // "17 (name) S 1 ...": the name may have anything in it, the rest are numbers.
        let mut line = [0; 512];
        let length = self.0.read_at(&mut line, 0).ok()?;
        let name_ends = line[..length].iter().rposition(|&byte| byte == b')')?;
        line[..length].get(name_ends + 2).copied()
    }

    /// Whether it waits, and has not been woken.
    pub(super) fn is_of_a_wait(&self) -> bool {
        // Sleeping, in an uninterruptible sleep, stopped, or traced.
        matches!(self.read(), Some(b'S' | b'D' | b'T' | b't'))
    }
}

/// A thread's state, and how long it has run.
pub(super) struct State {
    letter: Letter,
    /// How long it has run; without it one wait cannot be told from the next.
    ran: Option<File>,
}

impl State {
    pub(super) fn of_this_thread() -> io::Result<Self> {
        let state = State {
            letter: Letter::of_this_thread()?,
            ran: File::open("/proc/thread-self/schedstat").ok(),
        };
        match state.letter.read() {
            // It is reading.
            Some(b'R') => Ok(state),
            other => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("/proc/thread-self/stat says that a running thread is in state {other:?}"),
            )),
        }
    }

    /// Nanoseconds on a processor: they do not change during a wait, and do between two.
    fn ran(&self) -> Option<u64> {
        let mut line = [0; 64];
        let length = self.ran.as_ref()?.read_at(&mut line, 0).ok()?;
        let digits = line[..length].split(|&byte| byte == b' ').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}

impl Presence for State {
    fn wait(&self) -> Option<ThreadWait> {
        self.letter.is_of_a_wait().then(|| ThreadWait {
            number: self.ran().unwrap_or(0),
            began: None,
        })
    }

    /// The second of two looks has just said so.
    fn lasts(&self, _: ThreadWait) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_is_a_name() {
        let thread = std::thread::Builder::new().name("a) S (b) D".into());
        let state = thread.spawn(|| State::of_this_thread().map(|state| state.letter.read()));
        assert_eq!(state.unwrap().join().unwrap().unwrap(), Some(b'R'));
    }
}
