//! What the system counts of a process, over all of its threads.

use std::error::Error;
use std::fs;
use std::ops::Sub;

#[derive(Clone, Copy, Default)]
pub struct Counters {
    pub cpu_ns: u64,
    pub switches: u64,
}

impl Counters {
    pub fn of(process: u32) -> Result<Counters, Box<dyn Error>> {
        let mut counters = Counters::default();
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let task = task?.path();
            // A thread may end while it is looked at.
            let Ok(schedstat) = fs::read_to_string(task.join("schedstat")) else {
                continue;
            };
            let Ok(status) = fs::read_to_string(task.join("status")) else {
                continue;
            };
            let running = schedstat.split_whitespace().next().unwrap_or("0");
            counters.cpu_ns += running.parse::<u64>()?;
            for line in status.lines().filter(|line| line.contains("ctxt_switches")) {
                counters.switches += line
                    .split_whitespace()
                    .last()
                    .unwrap_or("0")
                    .parse::<u64>()?;
            }
        }
        Ok(counters)
    }
}

impl Sub for Counters {
    type Output = Counters;

    fn sub(self, earlier: Counters) -> Counters {
        Counters {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            switches: self.switches.saturating_sub(earlier.switches),
        }
    }
}
