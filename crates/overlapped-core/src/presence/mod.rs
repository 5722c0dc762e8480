//! Which of a port's workers are blocked: what the system tells of its threads (CC-8, CC-9).
//!
//! A handler that sleeps, waits for a lock or reads from a disk leaves a processor idle, and the
//! port should let another worker run meanwhile. The handler does not say so, but the kernel knows:
//! its scheduler takes the thread off the processor. There are two ways to be told, and both are for
//! the process's own threads only, so no privilege is needed:
//!
//! * **Perf events** ([`perf`]). The kernel writes a record into a piece of shared memory whenever
//!   the thread is switched in or out, and whether it was preempted. A look is a look at the last
//!   record, without a system call, so every admission at the limit can afford it; the price is the
//!   kernel's, some tenths of a microsecond for each switch of a worker. Containers refuse it, and
//!   so do distributions that have raised `kernel.perf_event_paranoid`.
//! * **Thread states** ([`proc_stat`]). `/proc` tells a thread's state at the moment when it is
//!   read. A look is one system call, or two for a thread that waits, so admissions look seldom and the queue's
//!   watcher does most of it; a thread at which nobody looks costs nothing.
//! * **Nothing.** What remains is the explicit guard, and the rescue release after a bound.
//!
//! A lock that is held for a few microseconds is no reason to wake another worker, so the queue asks
//! how long a wait has lasted. Perf events say when it began, unless the process is in a time namespace
//! whose clock is another. Thread states do not, but tell one wait from the next, so that the queue can
//! see whether a thread is still in the wait in which it was found before.
//!
//! A thread that has been woken, and waits for a processor, is ready by its state, but waits by the
//! records until it runs. So before the records are believed the state is asked as well, which is once
//! for each block.
//!
//! What is not a block: being preempted, yielding, and computing for however long. What is one: any
//! other wait, page faults and being stopped included. Waits inside the port are none, because the
//! queue does not ask about who is inside, and a worker outside that waits for a lock of the port's, or
//! of a socket, says so before.
//!
//! A thread opens its own when it is bound to a port and whoever looks only reads it. It is closed
//! when the thread ends or turns to another port. In a forked child there is nothing to look at.

mod perf;
mod proc_stat;

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use overlapped_queue::Presence;

use crate::Notice;

/// How a port notices that its workers block: the means that it has chosen, and why.
pub struct Watch {
    means: Means,
    reason: Cow<'static, str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    PerfEvents,
    ThreadStates,
    Nothing,
}

impl Watch {
    /// Tries what can be had, on the calling thread.
    ///
    /// # Errors
    ///
    /// When what was asked for by name is refused.
    pub fn new(notice: Notice) -> io::Result<Self> {
        let asked = || Cow::Borrowed("it was asked for");
        let (means, reason) = match notice {
            Notice::PerfEvents => {
                perf::Records::of_this_thread().map_err(|error| refused("perf events", &error))?;
                (Means::PerfEvents, asked())
            }
            Notice::ThreadStates => {
                proc_stat::State::of_this_thread()
                    .map_err(|error| refused("thread states", &error))?;
                (Means::ThreadStates, asked())
            }
            Notice::Nothing => (Means::Nothing, asked()),
            Notice::Auto => match perf::Records::of_this_thread() {
                Ok(_) => (
                    Means::PerfEvents,
                    Cow::Borrowed("a look costs no system call"),
                ),
                Err(no_perf) => match proc_stat::State::of_this_thread() {
                    Ok(_) => (
                        Means::ThreadStates,
                        Cow::Owned(format!("perf events are refused: {no_perf}")),
                    ),
                    Err(no_states) => (
                        Means::Nothing,
                        Cow::Owned(format!(
                            "perf events are refused ({no_perf}), and so are thread states: {no_states}"
                        )),
                    ),
                },
            },
        };
        Ok(Watch { means, reason })
    }

    /// Looks at nobody, for a port whose time is not the system's.
    #[cfg(feature = "sim")]
    pub(crate) fn nobody() -> Self {
        Watch {
            means: Means::Nothing,
            reason: Cow::Borrowed("the network is simulated"),
        }
    }

    /// Whether threads are looked at.
    pub(crate) fn observes(&self) -> bool {
        self.means != Means::Nothing
    }

    /// The means.
    pub fn name(&self) -> &'static str {
        match self.means {
            Means::PerfEvents => "perf events",
            Means::ThreadStates => "thread states",
            Means::Nothing => "nothing",
        }
    }

    /// Why it is this one.
    pub fn reason(&self) -> &Cow<'static, str> {
        &self.reason
    }

    /// How often at most an admission should look.
    pub(crate) fn look_every(&self) -> Duration {
        match self.means {
            Means::PerfEvents | Means::Nothing => Duration::ZERO,
            Means::ThreadStates => Duration::from_micros(200),
        }
    }

    /// The calling thread, to be looked at. One for which there is no descriptor or memory left does
    /// with less.
    pub fn this_thread(&self) -> Option<Box<dyn Presence>> {
        if self.means == Means::PerfEvents
            && let Ok(records) = perf::Records::of_this_thread()
        {
            return Some(Box::new(records));
        }
        if self.means != Means::Nothing
            && let Ok(state) = proc_stat::State::of_this_thread()
        {
            return Some(Box::new(state));
        }
        None
    }
}

fn refused(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} are refused: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Instant;

    use super::*;

    /// A hang is the failure.
    fn until(holds: impl Fn() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(60), "never happened");
            std::thread::yield_now();
        }
    }

    fn each(test: impl Fn(&Watch)) {
        for notice in [Notice::PerfEvents, Notice::ThreadStates] {
            match Watch::new(notice) {
                Ok(watch) => test(&watch),
                Err(error) => eprintln!("not tested here: {error}"),
            }
        }
    }

    /// CC-8, CC-9: seen in each wait, and each is another one.
    #[test]
    fn a_thread_is_seen_to_wait_and_to_run() {
        each(|watch| {
            std::thread::scope(|scope| {
                let (of_it, presence) = channel();
                let (wake, woken) = channel::<()>();
                let (say, said) = channel();
                scope.spawn(move || {
                    of_it.send(watch.this_thread().unwrap()).unwrap();
                    woken.recv().unwrap();
                    let began = Instant::now();
                    say.send(()).unwrap();
                    // Runs until it is told, so that it can be seen to.
                    while woken.try_recv().is_err() {
                        assert!(began.elapsed() < Duration::from_secs(60));
                        std::hint::spin_loop();
                    }
                    let _ = woken.recv();
                });
                let presence = presence.recv().unwrap();
                until(|| presence.wait().is_some());
                let first = presence.wait();
                assert_eq!(presence.wait(), first, "the same wait");
                wake.send(()).unwrap();
                said.recv().unwrap();
                until(|| presence.wait().is_none());
                wake.send(()).unwrap();
                until(|| presence.wait().is_some_and(|wait| Some(wait) != first));
                drop(wake);
            });
        });
    }

    /// CC-9: being preempted, which others make sure of, and yielding are no waits.
    #[test]
    fn a_thread_that_has_to_share_its_processor_does_not_wait() {
        each(|watch| {
            let others = 2 * std::thread::available_parallelism().map_or(1, |n| n.get());
            let stop = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                let (of_it, presence) = channel();
                let stop = &stop;
                let busy = move || {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                };
                scope.spawn(move || {
                    of_it.send(watch.this_thread().unwrap()).unwrap();
                    busy();
                });
                (0..others).for_each(|_| {
                    scope.spawn(busy);
                });
                let presence = presence.recv().unwrap();
                until(|| presence.wait().is_none());
                let began = Instant::now();
                let mut waits = Vec::new();
                while began.elapsed() < Duration::from_millis(100) {
                    waits.extend(presence.wait());
                    std::thread::yield_now();
                }
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
                assert_eq!(waits, []);
            });
        });
    }
}
