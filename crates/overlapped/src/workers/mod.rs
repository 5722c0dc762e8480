//! Worker threads that the library starts and owns for a port.
//!
//! # How many
//!
//! The port itself says who may run: as many as the concurrency value, and another one for each that
//! blocks. What it cannot do is to release a thread that does not exist. So the rule is short: *there
//! is always a thread in reserve*. When the last one that waited in `get` has gone out, the port
//! tells the keeper, and the keeper starts another, up to the maximum. With the usual minimum, one
//! more than the concurrency value, that happens only when a worker has lost its place because it
//! blocks: as long as nobody does, the first of them sleeps and costs nothing. One that was started
//! beyond the minimum ends when it has not been needed for a while; since threads are released last
//! in first out, that is what the unneeded ones at the bottom find out by themselves.
//!
//! Waiting for packets to pile up before starting a thread would be too late, and could not be seen
//! besides: with nobody inside, nobody is in the engine either.
//!
//! # The keeper
//!
//! One more thread for each pool starts the workers and joins those that have ended, so that creating
//! a thread, which takes as long as several requests, holds up no packet. It sleeps without a time-out
//! (except after a thread could not be started) and looks at everything again, whatever it was woken
//! for: each rule is stated once, in [`Crew::keep`], over what is, and not over what was told.
//!
//! ```text
//! port      "nobody is left inside" --.
//! worker    "back from my first get" --+-->  keeper  --> starts, joins, counts, ends the port
//! worker    "I have ended, because" --'
//! ```
//!
//! A worker that was started and has not come back from its first `get` is on its way to be the
//! reserve; until then no other is started. When it is back, and so was needed at once, it says so.

mod away;
mod error;
mod house;
mod trace;
mod watchman;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

pub use away::{Away, Doing, SystemCall};
pub use error::WorkersError;
use house::{Crew, House, Plan};
use watchman::{Report, Watchman};

use crate::{CompletionPort, Packet};

/// What becomes of the workers when a handler panics. The message is printed by the panic hook either
/// way, and [`Workers::join`] has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PanicPolicy {
    /// The port is closed, and so all workers end: a program that is wrong is better ended than half
    /// alive. The operation whose packet was being handled is dropped, as usual in a panic, and so
    /// whatever should have been started next never is.
    #[default]
    End,
    /// The thread is replaced, and the others go on. Whatever the handler had in its hands is dropped,
    /// a socket's handle included; what it had locked is poisoned.
    Replace,
}

/// Workers that are about to be started; see [`CompletionPort::workers`].
#[must_use = "nothing is started until `start` is called"]
pub struct WorkersBuilder<K, T, H> {
    port: CompletionPort<K, T>,
    handler: H,
    plan: Plan,
    min: Option<usize>,
    max: Option<usize>,
    on_end: Box<dyn FnOnce() + Send>,
    away_after: Option<Duration>,
    on_away: Option<Report>,
}

/// How many threads there may be, if nothing else is said: more blocked ones than that are rather a
/// sign that something does not answer.
const MOST: usize = 256;

/// How long a thread beyond the minimum waits for work, if nothing else is said.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How long a worker may stay in its handler before that is told, if nothing else is said.
const AWAY_AFTER: Duration = Duration::from_secs(2);

impl<K, T, H> WorkersBuilder<K, T, H>
where
    K: Send + Sync + 'static,
    T: Send + 'static,
    H: Fn(Packet<K, T>, &CompletionPort<K, T>) + Send + Sync + 'static,
{
    pub(crate) fn new(port: CompletionPort<K, T>, handler: H) -> Self {
        WorkersBuilder {
            port,
            handler,
            plan: Plan {
                min: 0,
                max: 0,
                name: "worker".to_owned(),
                stack_size: None,
                on_panic: PanicPolicy::default(),
                keep_alive: KEEP_ALIVE,
            },
            min: None,
            max: None,
            on_end: Box::new(|| ()),
            away_after: Some(AWAY_AFTER),
            on_away: None,
        }
    }

    /// How many there are at least; by default one more than the concurrency value, so that one is in
    /// reserve while as many run as may. With fewer, another is started as soon as all are out.
    pub fn min(mut self, threads: usize) -> Self {
        self.min = Some(threads);
        self
    }

    /// How many there are at most; 256 by default, or the minimum if that is more. While as many are
    /// blocked, packets wait.
    pub fn max(mut self, threads: usize) -> Self {
        self.max = Some(threads);
        self
    }

    /// The beginning of the threads' names, `worker` by default: they are `worker 0`, `worker 1`, and
    /// `worker keeper`. Linux shows 15 bytes of it.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.plan.name = name.into();
        self
    }

    /// How much stack each thread has; std's default otherwise.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.plan.stack_size = Some(bytes);
        self
    }

    /// What becomes of the workers when a handler panics; [`PanicPolicy::End`] by default.
    pub fn on_panic(mut self, policy: PanicPolicy) -> Self {
        self.plan.on_panic = policy;
        self
    }

    /// How long a thread beyond the minimum waits for work before it ends; 10 s by default.
    pub fn keep_alive(mut self, time: Duration) -> Self {
        self.plan.keep_alive = time;
        self
    }

    /// What is called, on a thread of the pool's, when the last worker has ended.
    pub fn on_end(mut self, f: impl FnOnce() + Send + 'static) -> Self {
        self.on_end = Box::new(f);
        self
    }

    /// After how long in one handler a worker is told of, to [`on_away`](WorkersBuilder::on_away) and,
    /// with the feature `tracing`, as a warning; 2 s by default, `None` for never. As nobody reads a
    /// clock for each packet it may take half as long again until it is seen. Workers that go on are
    /// looked at twice in that time, and if none goes out nobody looks.
    pub fn away_after(mut self, bound: Option<Duration>) -> Self {
        self.away_after = bound;
        self
    }

    /// What is called for a worker that has been in one handler for
    /// [that long](WorkersBuilder::away_after), and again each time that this has doubled. It is called
    /// by the thread that starts new workers, so it should not take long; if it panics, that
    /// changes nothing.
    ///
    /// ```
    /// # use std::sync::mpsc::channel;
    /// # use std::time::Duration;
    /// use overlapped::{CompletionPort, Operation};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (sender, lines) = channel();
    /// # let (let_go, waits) = channel::<()>();
    /// # let waits = std::sync::Mutex::new(waits);
    /// let port: CompletionPort = CompletionPort::new(1)?;
    /// let workers = port
    ///     .workers(move |_packet, _port| {
    ///         // Something that does not answer.
    /// #       let _ = waits.lock().unwrap().recv();
    ///     })
    ///     .away_after(Some(Duration::from_millis(20)))
    ///     .on_away(move |away| {
    ///         eprintln!("{away}"); // worker 1 has blocked in futex for 0.0 s
    /// #       let _ = sender.send(away.to_string());
    ///     })
    ///     .start()?;
    /// port.post(Operation::new("", ()), 0)?;
    /// # assert!(lines.recv()?.starts_with("worker "));
    /// # drop(let_go);
    ///
    /// port.close();
    /// workers.join()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_away(mut self, f: impl FnMut(&Away) + Send + 'static) -> Self {
        self.on_away = Some(Box::new(f));
        self
    }

    /// Starts the threads. Either all of the minimum take packets, or none does.
    ///
    /// A port that only one thread may use ([`Engine::Uring`](crate::Engine::Uring)) gets one,
    /// whatever is asked for.
    ///
    /// # Errors
    ///
    /// The system's, when it has no more threads or memory; `InvalidInput` for a minimum of 0 or above
    /// the maximum, or a name with a zero byte; `NotConnected` if the port is closed. The port is as it
    /// was.
    pub fn start(mut self) -> io::Result<Workers> {
        let wrong = |text| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        let stats = self.port.stats();
        let (min, max) = match (self.min, self.max) {
            _ if stats.engine == "io_uring" => (1, 1),
            (Some(min), Some(max)) => (min, max),
            (Some(min), None) => (min, min.max(MOST)),
            (None, max) => {
                let max = max.unwrap_or(MOST.max(stats.concurrency + 1));
                (max.min(stats.concurrency + 1), max)
            }
        };
        if min == 0 {
            return wrong("a port needs at least 1 worker");
        }
        if max < min {
            return wrong("the maximum of workers is below the minimum");
        }
        if self.plan.name.contains('\0') {
            return wrong("the name of a thread cannot contain a zero byte");
        }
        if self.port.is_closed() {
            return Err(crate::GetError::Closed.into());
        }
        (self.plan.min, self.plan.max) = (min, max);
        let house = Arc::new(House::default());
        let (number, mut on_away) = (self.port.number(), self.on_away);
        let anybody_listens = on_away.is_some() || trace::ON;
        let report = move |away: &Away| {
            trace::away(number, away);
            if let Some(on_away) = &mut on_away {
                on_away(away);
            }
        };
        let watchman = self
            .away_after
            .filter(|_| anybody_listens)
            .map(|bound| Watchman::new(bound, Box::new(report)));
        let crew = Crew::new(house.clone(), &self.port, self.handler, self.plan, watchman);
        let keeper = crew.begin(self.on_end)?;
        Ok(Workers { house, keeper })
    }
}

/// Worker threads of a port, as [`CompletionPort::workers`] started them.
///
/// They end with the port: when it is closed, or its last handle goes. Dropping this changes nothing,
/// as with a thread's `JoinHandle`.
#[derive(Debug)]
pub struct Workers {
    house: Arc<House>,
    keeper: JoinHandle<()>,
}

impl Workers {
    /// Waits until all have ended, which they do with the port. Do not call it from a handler.
    ///
    /// # Errors
    ///
    /// When a handler panicked, also if its thread was replaced, or a worker could not get packets.
    pub fn join(self) -> Result<(), WorkersError> {
        let keeper = self.keeper.join();
        self.house.verdict(keeper)
    }

    /// Whether all have ended.
    pub fn is_finished(&self) -> bool {
        self.keeper.is_finished()
    }

    /// A snapshot of the counts.
    pub fn stats(&self) -> WorkersStats {
        self.house.stats()
    }

    /// The workers that have been in their handlers for at least this long, and what they do there.
    ///
    /// Nobody reads a clock for each packet, so a worker's time begins when this first sees it in the
    /// same handler: call it once in a while, on whatever thread, and what it says is never too much.
    pub fn away(&self, at_least: Duration) -> Vec<Away> {
        self.house.away(at_least)
    }
}

/// What a pool counts. All totals are since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkersStats {
    /// Threads that there are.
    pub threads: usize,
    /// The most that there were at once.
    pub peak: usize,
    /// Threads that were started.
    pub started: u64,
    /// Threads that ended because they were not needed.
    pub idled_out: u64,
    /// Handlers that panicked.
    pub panics: u64,
    /// Attempts to start a thread beyond the minimum, or one that replaces another, that failed. They
    /// are repeated.
    pub failures: u64,
}
