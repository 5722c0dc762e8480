//! Brings the log's lines out, without holding anybody up.
//!
//! A thread of its own writes them. Whoever logs leaves a line in a queue with a bound; when the
//! reader of standard error has stopped reading, the queue fills, further lines are counted instead
//! of kept, and their number is told as soon as there is room. So neither a worker nor the end of
//! the server ever waits for the log.
//!
//! A log that cannot be written is no reason to stop serving, so errors in writing it are ignored.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::log::{self, Event, Format, Log};

/// How many lines may wait.
const MOST: usize = 4096;

/// Writes events to a stream, a line each.
pub struct Logger {
    format: Format,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<String>,
    left_out: u64,
    /// Lines were taken and are not out yet.
    writing: bool,
}

impl Logger {
    /// Writes them to `to` in this format.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub fn new(format: Format, to: impl io::Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = shared.clone();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || of_thread.write_all(format, to))?;
        Ok(Logger { format, shared })
    }

    /// Waits until everything is out, but no longer than this.
    pub fn finish(&self, patience: Duration) {
        let waiting = self.shared.lock();
        let busy = |waiting: &mut Waiting| waiting.writing || !waiting.lines.is_empty();
        let _ = self
            .shared
            .changed
            .wait_timeout_while(waiting, patience, busy);
    }
}

impl Log for Logger {
    fn log(&self, event: &Event<'_>) {
        let line = log::line(event, self.format);
        let mut waiting = self.shared.lock();
        if waiting.lines.len() < MOST {
            waiting.lines.push(line);
        } else {
            waiting.left_out += 1;
        }
        drop(waiting);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, format: Format, mut to: impl io::Write) {
        let mut waiting = self.lock();
        loop {
            waiting.writing = false;
            self.changed.notify_all();
            waiting = self
                .changed
                .wait_while(waiting, |waiting| waiting.lines.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            waiting.writing = true;
            let mut lines = std::mem::take(&mut waiting.lines);
            let left_out = std::mem::take(&mut waiting.left_out);
            drop(waiting);
            if left_out > 0 {
                lines.push(log::line(&Event::Unread { lines: left_out }, format));
            }
            for line in lines {
                let _ = to.write_all(line.as_bytes()).and_then(|()| to.flush());
            }
            waiting = self.lock();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Takes lines only when it is told to.
    struct Stubborn {
        permits: Receiver<()>,
        lines: Sender<String>,
    }

    impl io::Write for Stubborn {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.permits.recv().map_err(io::Error::other)?;
            let _ = self.lines.send(String::from_utf8_lossy(line).into_owned());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_does_not_read_holds_nobody_up_and_learns_what_it_missed() {
        let (permit, permits) = channel();
        let (sender, lines) = channel();
        let to = Stubborn {
            permits,
            lines: sender,
        };
        let logger = Logger::new(Format::Text, to).unwrap();
        // The first is being written; of the others as many as may wait are kept.
        let message = "first";
        logger.log(&Event::Failed { message });
        while !logger.shared.lock().writing {
            thread::yield_now();
        }
        for _ in 0..MOST + 5 {
            logger.log(&Event::RoomAgain);
        }
        logger.finish(Duration::ZERO);
        for _ in 0..MOST + 2 {
            permit.send(()).unwrap();
        }
        logger.finish(Duration::from_secs(60));
        let lines: Vec<String> = lines.try_iter().collect();
        assert_eq!(lines.len(), MOST + 2);
        assert!(lines[0].ends_with("first\n"));
        assert!(lines[MOST].contains("room for connections"));
        assert!(lines[MOST + 1].contains("5 lines"), "{}", lines[MOST + 1]);
    }
}
