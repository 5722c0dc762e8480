//! Threads that do what a test tells them, and report what they got.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use overlapped::GetError;

use crate::world::{Port, WATCHDOG, until};

type Job = Box<dyn FnOnce(&Port) + Send>;

pub struct Worker {
    jobs: Sender<Job>,
    got: Receiver<Result<u64, GetError>>,
    report: Sender<Result<u64, GetError>>,
    thread: JoinHandle<()>,
    port: Port,
}

impl Worker {
    /// One that sleeps between its jobs.
    pub fn new(port: &Port) -> Worker {
        Self::begin(port, |todo, port| {
            for job in todo {
                job(port);
            }
        })
    }

    /// One that computes between its jobs, so that it is never in a wait of its own.
    #[cfg(target_os = "linux")]
    pub fn computing(port: &Port) -> Worker {
        use std::sync::mpsc::TryRecvError;

        Self::begin(port, |todo, port| {
            loop {
                match todo.try_recv() {
                    Ok(job) => job(port),
                    Err(TryRecvError::Empty) => std::thread::yield_now(),
                    Err(TryRecvError::Disconnected) => return,
                }
            }
        })
    }

    fn begin(port: &Port, work: impl FnOnce(Receiver<Job>, &Port) + Send + 'static) -> Worker {
        let (jobs, todo) = channel();
        let (report, got) = channel();
        let mine = port.clone();
        Worker {
            jobs,
            got,
            report,
            thread: std::thread::spawn(move || work(todo, &mine)),
            port: port.clone(),
        }
    }

    pub fn run(&self, job: impl FnOnce(&Port) + Send + 'static) {
        self.jobs.send(Box::new(job)).unwrap();
    }

    /// Begins to wait for a packet, and is waiting when this returns.
    pub fn wait(&self) {
        let before = self.port.stats().waiting;
        self.get(WATCHDOG);
        until("the worker waits", || {
            self.port.stats().waiting == before + 1
        });
        // On Windows the count is of those who are about to wait.
        #[cfg(windows)]
        std::thread::sleep(Duration::from_millis(20));
    }

    pub fn get(&self, timeout: Duration) {
        let report = self.report.clone();
        self.run(move |port| {
            let got = port.get_timeout(timeout);
            report
                .send(got.map(|packet| *packet.operation.user()))
                .unwrap();
        });
    }

    /// What the last get brought.
    pub fn got(&self) -> Result<u64, GetError> {
        self.got
            .recv_timeout(WATCHDOG)
            .expect("the worker comes back")
    }

    pub fn packet(&self) -> u64 {
        self.got().expect("a packet")
    }

    /// Exits, and has exited when this returns.
    pub fn exit(self) {
        drop(self.jobs);
        self.thread.join().unwrap();
    }
}
