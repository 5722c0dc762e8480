//! What the kernel has counted for a process and for the machine.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The counters of a process at one moment.
pub struct Counters {
    cpu_ns: u64,
    threads: BTreeMap<u32, Thread>,
}

#[derive(Clone, Copy, Default)]
struct Thread {
    voluntary: u64,
    involuntary: u64,
    waited_ns: u64,
}

/// What a process used between two moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// CPU time of all threads, including any that have ended.
    pub cpu_ns: u64,
    /// Context switches because a thread had nothing to do.
    pub voluntary: u64,
    /// Context switches because somebody else was to run.
    pub involuntary: u64,
    /// Time in which a thread could have run but no CPU was free for it.
    pub waited_ns: u64,
    /// Threads at the end.
    pub threads: usize,
    /// Threads that ended in between. Their context switches are missing above.
    pub vanished: usize,
}

impl Counters {
    /// The counters of process `pid`.
    pub fn read(pid: u32) -> io::Result<Self> {
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            let entry = entry?;
            let Some(tid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            // A thread may end at any time between these calls; then it counts as vanished.
            let Ok(status) = fs::read_to_string(entry.path().join("status")) else {
                continue;
            };
            let Ok(schedstat) = fs::read_to_string(entry.path().join("schedstat")) else {
                continue;
            };
            threads.insert(tid, Thread::parse(&status, &schedstat));
        }
        if threads.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the process has no threads",
            ));
        }
        Ok(Self {
            cpu_ns: cpu_ns(pid)?,
            threads,
        })
    }

    /// The counters of process `pid` once it has come to rest.
    ///
    /// Right after its last answer a server may still be on its way back to sleep, and while a
    /// thread runs, the kernel brings its CPU time up to date only with each clock tick. At rest
    /// the numbers are exact. A server that never rests is read as it is.
    pub fn read_at_rest(pid: u32) -> io::Result<Self> {
        const PAUSE: Duration = Duration::from_millis(1);
        let mut before = cpu_ns(pid)?;
        for _ in 0..20 {
            thread::sleep(PAUSE);
            let now = cpu_ns(pid)?;
            if now == before {
                break;
            }
            before = now;
        }
        Self::read(pid)
    }

    /// What was used from `earlier` to now.
    pub fn since(&self, earlier: &Self) -> Spent {
        let mut spent = Spent {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            voluntary: 0,
            involuntary: 0,
            waited_ns: 0,
            threads: self.threads.len(),
            vanished: 0,
        };
        for (tid, now) in &self.threads {
            let then = earlier.threads.get(tid).copied().unwrap_or_default();
            spent.voluntary += now.voluntary.saturating_sub(then.voluntary);
            spent.involuntary += now.involuntary.saturating_sub(then.involuntary);
            spent.waited_ns += now.waited_ns.saturating_sub(then.waited_ns);
        }
        let gone = earlier
            .threads
            .keys()
            .filter(|tid| !self.threads.contains_key(tid));
        spent.vanished = gone.count();
        spent
    }
}

impl Thread {
    fn parse(status: &str, schedstat: &str) -> Self {
        let field = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0)
        };
        let waited = schedstat.split_whitespace().nth(1);
        Self {
            voluntary: field("voluntary_ctxt_switches:"),
            involuntary: field("nonvoluntary_ctxt_switches:"),
            waited_ns: waited.and_then(|number| number.parse().ok()).unwrap_or(0),
        }
    }
}

/// Looks again and again how many threads a process has, until it is asked for the most.
pub struct Peak {
    stop: Sender<()>,
    watcher: JoinHandle<usize>,
}

impl Peak {
    /// Begins with process `pid`.
    pub fn watch(pid: u32) -> Self {
        // Less often than a handler blocks, but a thread that was made for one stays for a while.
        const PAUSE: Duration = Duration::from_millis(20);
        let (stop, stopped) = channel();
        let watcher = thread::spawn(move || {
            let mut most = 0;
            loop {
                most = most.max(threads(pid).unwrap_or(0));
                if stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                    return most;
                }
            }
        });
        Self { stop, watcher }
    }

    /// The most threads that were seen.
    pub fn most(self) -> usize {
        drop(self.stop);
        self.watcher.join().unwrap_or(0)
    }
}

fn threads(pid: u32) -> Option<usize> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; the state comes after it and is the third.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(20 - 3)?.parse().ok()
}

/// CPU time of a process in nanoseconds, from its CPU clock.
///
/// The same count as the first number of each thread's `schedstat`, but in one call, and with the
/// threads that have ended.
fn cpu_ns(pid: u32) -> io::Result<u64> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: writes one clock id, which lives long enough.
    let error = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes one timespec, which lives long enough.
    if unsafe { libc::clock_gettime(clock, &mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// CPU seconds the whole machine has been busy since it started, in steps of a clock tick.
pub fn machine_busy_s() -> io::Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let first = stat.lines().next().unwrap_or_default();
    Ok(busy_ticks(first) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn busy_ticks(line: &str) -> u64 {
    let numbers = line
        .split_whitespace()
        .skip(1)
        .map(|number| number.parse().unwrap_or(0));
    let fields: Vec<u64> = numbers.collect();
    // user nice system idle iowait irq softirq steal; the guests are part of user and nice.
    let busy = [0, 1, 2, 5, 6, 7];
    busy.iter().filter_map(|&field| fields.get(field)).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_thread_is_read() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        let thread = Thread::parse(status, "100 200 5\n");
        assert_eq!(
            (thread.voluntary, thread.involuntary, thread.waited_ns),
            (12, 3, 200)
        );
    }

    #[test]
    fn idle_time_is_not_busy_time() {
        assert_eq!(busy_ticks("cpu  1 2 4 1000 1000 8 16 32 1000 1000"), 63);
    }

    #[test]
    fn threads_that_are_there_are_seen() {
        let (stop, stopped) = channel::<()>();
        let waiting = thread::spawn(move || stopped.recv().is_err());
        let peak = Peak::watch(std::process::id());
        // It looks once before it looks whether it is to stop.
        assert!(peak.most() >= 2);
        drop(stop);
        assert!(waiting.join().unwrap());
    }

    fn counters(cpu_ns: u64, threads: &[(u32, u64)]) -> Counters {
        let thread = |voluntary| Thread {
            voluntary,
            involuntary: 1,
            waited_ns: 0,
        };
        let threads = threads
            .iter()
            .map(|&(tid, count)| (tid, thread(count)))
            .collect();
        Counters { cpu_ns, threads }
    }

    #[test]
    fn threads_may_come_and_go() {
        let before = counters(10, &[(1, 100), (2, 200)]);
        let after = counters(30, &[(1, 105), (3, 7)]);
        let spent = after.since(&before);
        assert_eq!(
            (spent.cpu_ns, spent.voluntary, spent.involuntary),
            (20, 12, 1)
        );
        assert_eq!((spent.threads, spent.vanished), (2, 1));
    }

    #[test]
    fn the_cpu_time_of_a_thread_that_has_ended_is_counted() {
        let pid = std::process::id();
        let before = Counters::read(pid).unwrap();
        let work = thread::spawn(|| {
            let start = Instant::now();
            let clock = thread_cpu;
            while clock() < Duration::from_millis(30) && start.elapsed() < Duration::from_secs(20) {
            }
        });
        work.join().unwrap();
        // The kernel removes the thread only after `join` has returned.
        let spent = Counters::read_at_rest(pid).unwrap().since(&before);
        assert!(spent.cpu_ns >= 25_000_000, "{spent:?}");
    }

    fn thread_cpu() -> Duration {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
    }
}
