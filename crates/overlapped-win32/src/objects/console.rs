//! The standard handles: what the program writes to its console, wherever that goes.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Object;
use crate::error::Error;
use crate::thread;

/// One of the three standard descriptors, which are never closed.
pub(crate) struct Console {
    fd: RawFd,
}

impl Console {
    pub(crate) fn new(fd: RawFd) -> Self {
        Console { fd }
    }

    pub(crate) fn is_input(&self) -> bool {
        self.fd == libc::STDIN_FILENO
    }

    /// Writes all of it, after what the program has printed.
    pub(crate) fn write(&self, mut bytes: &[u8]) -> Result<(), Error> {
        if self.fd == libc::STDOUT_FILENO {
            flush_stdout();
        }
        while !bytes.is_empty() {
            // SAFETY: the bytes are there.
            let call = || unsafe { libc::write(self.fd, bytes.as_ptr().cast(), bytes.len()) };
            match usize::try_from(thread::blocking(call)) {
                Ok(written) => bytes = &bytes[written..],
                Err(_) => self.ready(libc::POLLOUT, Error::NO_DATA)?,
            }
        }
        Ok(())
    }

    /// Reads what is there, at least one byte; none at the end.
    pub(crate) fn read(&self, into: &mut [u8]) -> Result<usize, Error> {
        loop {
            // SAFETY: the buffer is there.
            let call = || unsafe { libc::read(self.fd, into.as_mut_ptr().cast(), into.len()) };
            match usize::try_from(thread::blocking(call)) {
                Ok(read) => return Ok(read),
                Err(_) => self.ready(libc::POLLIN, Error::INVALID_HANDLE)?,
            }
        }
    }

    /// Whether there is something to read.
    pub(crate) fn has_input(&self) -> bool {
        self.poll(libc::POLLIN, 0) > 0
    }

    /// What it is if it is a terminal.
    pub(crate) fn terminal(&self) -> Option<libc::termios> {
        let mut modes = MaybeUninit::uninit();
        // SAFETY: it is written if the call succeeds.
        unsafe { (libc::tcgetattr(self.fd, modes.as_mut_ptr()) == 0).then(|| modes.assume_init()) }
    }

    pub(crate) fn set_terminal(&self, modes: &libc::termios) -> bool {
        // SAFETY: the modes are whole.
        unsafe { libc::tcsetattr(self.fd, libc::TCSANOW, modes) == 0 }
    }

    /// After a call that failed: waits if another one can succeed.
    fn ready(&self, events: i16, otherwise: Error) -> Result<(), Error> {
        match io::Error::last_os_error().kind() {
            io::ErrorKind::Interrupted => Ok(()),
            io::ErrorKind::WouldBlock => {
                thread::blocking(|| self.poll(events, -1));
                Ok(())
            }
            _ => Err(otherwise),
        }
    }

    fn poll(&self, events: i16, timeout: i32) -> i32 {
        let mut poll = libc::pollfd {
            fd: self.fd,
            events,
            revents: 0,
        };
        // SAFETY: it is one entry.
        unsafe { libc::poll(&mut poll, 1, timeout) }
    }
}

impl From<Console> for Object {
    fn from(console: Console) -> Self {
        Object::Console(Arc::new(console))
    }
}

unsafe extern "C" {
    // Of the streams only this one: whoever waits for input holds its stream's lock.
    static stdout: *mut libc::FILE;
    fn ftrylockfile(stream: *mut libc::FILE) -> libc::c_int;
    fn funlockfile(stream: *mut libc::FILE);
}

/// Writes what the program has printed with the C library.
fn flush_stdout() {
    // SAFETY: it is the C library's.
    unsafe { libc::fflush(stdout) };
}

/// The same at the process's end, where it does not wait for another thread that prints for long: that
/// one waits for a reader.
pub(crate) fn flush_stdout_last() {
    const PATIENCE: Duration = Duration::from_secs(1);
    let until = Instant::now() + PATIENCE;
    // SAFETY: it is the C library's.
    while unsafe { ftrylockfile(stdout) } != 0 {
        if Instant::now() > until {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    flush_stdout();
    // SAFETY: it was locked above.
    unsafe { funlockfile(stdout) };
}
