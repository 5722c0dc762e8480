//! Load that does not wait for its server: requests are due by a schedule, and how long one takes
//! is counted from then, whatever has kept it.
//!
//! The connections are a pool, as a client of a service has one: a request takes one that is idle,
//! and waits for one if none is. So it is not delayed by the handler of another one unless the
//! server lets that happen, or unless all connections are taken.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::Duration;

use hdrhistogram::Histogram;
use load::job::{Job, MESSAGE, Mix};
use load::pattern::{Pattern, Verifier};
use load::prng::{self, Prng};
use load::report;
use rustix::event::epoll::EventFlags;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use crate::cli::Options;
use crate::net::{self, Poller, Result};
use crate::schedule::{Request, Schedule};
use crate::window::{self, Load, Window};

/// The number by which the poller knows the timer.
const TIMER: usize = usize::MAX;

/// A server that has answered less than this part of what was due when the window's time is over
/// does not keep up. Requests that are under way at that moment are far less than the rest.
const KEEPS_UP: f64 = 0.95;

pub struct Open {
    mix: Mix,
    poller: Poller,
    timer: Timer,
    schedule: Schedule,
    /// Chooses among the idle connections.
    choice: Prng,
    connections: Vec<Connection>,
    idle: Vec<usize>,
    /// Requests that are due, while no connection is idle.
    waiting: VecDeque<Request>,
    /// Requests with a job that have been sent, over all windows.
    jobs: u64,
    tally: Tally,
}

/// What the window does not count.
struct Tally {
    due: u64,
    answered_in_time: u64,
    unsent: u64,
    length: Duration,
    late: Histogram<u64>,
    jobs: Histogram<u64>,
}

impl Tally {
    fn new(length: Duration) -> Self {
        Self {
            due: 0,
            answered_in_time: 0,
            unsent: 0,
            length,
            late: window::histogram(),
            jobs: window::histogram(),
        }
    }
}

impl Open {
    pub fn connect(options: &Options, mix: Mix) -> Result<Self> {
        let mut poller = Poller::new(options.stall, options.awake)?;
        let sockets = net::connect_all(&mut poller, options.address, options.connections)?;
        let timer = Timer::new()?;
        poller.add(&timer.descriptor, TIMER)?;
        let connection = |(number, socket)| Connection::new(socket, options.seed, number as u64);
        Ok(Self {
            mix,
            poller,
            timer,
            schedule: Schedule::new(mix, prng::mix(options.seed)),
            choice: Prng::new(options.seed),
            connections: sockets.into_iter().enumerate().map(connection).collect(),
            idle: (0..options.connections).collect(),
            waiting: VecDeque::new(),
            jobs: 0,
            tally: Tally::new(options.seconds),
        })
    }

    /// Sends what is due, as far as connections are idle.
    fn send(&mut self, window: &Window) -> Result<()> {
        loop {
            let now = window.now();
            while self.schedule.due() <= now && window.issuing(self.schedule.due()) {
                let request = self.schedule.take();
                self.tally.due += 1;
                self.tally.late.saturating_record(now - request.due);
                self.waiting.push_back(request);
            }
            if self.waiting.is_empty() || self.idle.is_empty() {
                return Ok(());
            }
            while let Some(request) = self.waiting.front().copied()
                && !self.idle.is_empty()
            {
                let number = self.idle.swap_remove(self.choice.below(self.idle.len()));
                self.waiting.pop_front();
                self.jobs += u64::from(request.job != Job::Nothing);
                self.connections[number]
                    .ask(request)
                    .map_err(|error| format!("connection {number}: {error}"))?;
            }
        }
    }

    /// Takes what has arrived.
    fn receive(&mut self, window: &mut Window) -> Result<()> {
        let events = self.poller.wait()?;
        if events.is_empty() {
            return Err(self.stalled());
        }
        for event in &events {
            let number = event.data.u64() as usize;
            if number == TIMER {
                self.timer.expired();
                continue;
            }
            let flags = event.flags;
            let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP);
            let answered = self.connections[number]
                .receive(hung_up)
                .map_err(|error| format!("connection {number}: {error}"))?;
            let Some(request) = answered else {
                continue;
            };
            let now = window.now();
            if window.issuing(now) {
                self.tally.answered_in_time += 1;
            }
            match request.job {
                Job::Nothing => window.answered(request.due, now),
                _ => {
                    window.answered_apart();
                    self.tally.jobs.saturating_record(now - request.due);
                }
            }
            self.idle.push(number);
        }
        self.poller.reuse(events);
        Ok(())
    }

    /// What is still unsent when the window's time is over stays so, or a server that does not keep
    /// up would be measured for longer than others. It counts with the time it has waited by then.
    fn give_up_waiting(&mut self, window: &mut Window) {
        let now = window.now();
        for request in self.waiting.drain(..) {
            self.tally.unsent += 1;
            if request.job == Job::Nothing {
                window.abandoned(request.due, now);
            }
        }
    }

    fn stalled(&self) -> String {
        let mut all = self.connections.iter().enumerate();
        match all.find(|(_, connection)| connection.flight.is_some()) {
            Some((number, _)) => {
                format!("connection {number}: an answer is missing, nothing arrives any more")
            }
            None => "the server does not close its connections".to_owned(),
        }
    }
}

impl Load for Open {
    fn run(&mut self, window: &mut Window) -> Result<()> {
        self.tally = Tally::new(window.length());
        self.schedule.begin();
        let end = window.length().as_nanos() as u64;
        loop {
            self.send(window)?;
            let now = window.now();
            if !window.issuing(now) {
                break;
            }
            self.timer.set(self.schedule.due().min(end), now)?;
            self.receive(window)?;
        }
        self.give_up_waiting(window);
        while self.idle.len() < self.connections.len() {
            self.receive(window)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        for connection in &self.connections {
            net::finish_sending(&connection.socket)?;
        }
        while self.connections.iter().any(|connection| !connection.ended) {
            let events = self.poller.wait()?;
            if events.is_empty() {
                return Err(self.stalled());
            }
            for event in &events {
                let number = event.data.u64() as usize;
                if number == TIMER {
                    continue;
                }
                self.connections[number]
                    .end()
                    .map_err(|error| format!("connection {number}, at its end: {error}"))?;
            }
            self.poller.reuse(events);
        }
        Ok(())
    }

    fn open(&self) -> Option<report::Open> {
        let Tally {
            due,
            answered_in_time,
            unsent,
            length,
            ref late,
            ref jobs,
        } = self.tally;
        Some(report::Open {
            mix: self.mix,
            due,
            answered_per_s: answered_in_time as f64 / length.as_secs_f64(),
            unsent,
            overloaded: (answered_in_time as f64) < KEEPS_UP * due as f64,
            late_p99_us: late.value_at_quantile(0.99) as f64 / 1e3,
            job_p50_us: jobs.value_at_quantile(0.5) as f64 / 1e3,
            job_p99_us: jobs.value_at_quantile(0.99) as f64 / 1e3,
            jobs: self.jobs,
        })
    }
}

struct Connection {
    socket: OwnedFd,
    pattern: Pattern,
    /// Bytes of the pattern that have been sent.
    sent: u64,
    received: Verifier,
    flight: Option<Flight>,
    ended: bool,
}

/// A request and how much of its answer has come.
struct Flight {
    request: Request,
    answered: usize,
}

impl Connection {
    fn new(socket: OwnedFd, seed: u64, number: u64) -> Self {
        let pattern = Pattern::new(seed, number);
        Self {
            socket,
            pattern,
            sent: 0,
            received: Verifier::new(pattern),
            flight: None,
            ended: false,
        }
    }

    fn ask(&mut self, request: Request) -> Result<()> {
        let mut message = [request.job.mark(); MESSAGE];
        self.pattern.fill(self.sent, &mut message[1..]);
        self.sent += MESSAGE as u64 - 1;
        self.flight = Some(Flight {
            request,
            answered: 0,
        });
        match net::transmit(&self.socket, &message)? {
            Some(MESSAGE) => Ok(()),
            // It has one request in flight, and room for thousands.
            _ => Err("the socket does not take a whole message".to_owned()),
        }
    }

    /// Takes what has arrived, and the request if that was the whole answer.
    fn receive(&mut self, hung_up: bool) -> Result<Option<Request>> {
        let mut answered = None;
        // One more than may come.
        let mut buffer = [0; MESSAGE + 1];
        loop {
            let count = match net::receive(&self.socket, &mut buffer)? {
                None => return Ok(answered),
                Some(0) => return Err("the server closed it".to_owned()),
                Some(count) => count,
            };
            let flight = self
                .flight
                .as_mut()
                .filter(|flight| flight.answered + count <= MESSAGE)
                .ok_or("more bytes came than were sent")?;
            let mut bytes = &buffer[..count];
            if flight.answered == 0 {
                let (sent, got) = (flight.request.job.mark(), bytes[0]);
                if got != sent {
                    return Err(format!("the mark {sent} came back as {got}"));
                }
                bytes = &bytes[1..];
            }
            self.received
                .check(bytes)
                .map_err(|error| error.to_string())?;
            flight.answered += count;
            if flight.answered == MESSAGE {
                answered = self.flight.take().map(|flight| flight.request);
            }
            // A short read has emptied the socket, and an end that came with it comes again.
            if count < buffer.len() && !hung_up {
                return Ok(answered);
            }
        }
    }

    /// After we have finished sending, the server does the same and says nothing more.
    fn end(&mut self) -> Result<()> {
        match net::receive(&self.socket, &mut [0; MESSAGE])? {
            None => Ok(()),
            Some(0) => {
                self.ended = true;
                Ok(())
            }
            Some(count) => Err(format!("{count} bytes came that were never sent")),
        }
    }
}

/// Ends the poller's wait, to the microsecond: what `epoll_wait` can be told by itself is whole
/// milliseconds.
struct Timer {
    descriptor: OwnedFd,
    set: Option<u64>,
}

impl Timer {
    fn new() -> Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)
            .map_err(net::failed("timerfd_create"))?;
        Ok(Self {
            descriptor,
            set: None,
        })
    }

    /// To expire at `time`, or at once if that is over.
    fn set(&mut self, time: u64, now: u64) -> Result<()> {
        if self.set == Some(time) {
            return Ok(());
        }
        let left = Duration::from_nanos(time.saturating_sub(now).max(1));
        let spec = Itimerspec {
            it_interval: Timespec::default(),
            it_value: left.try_into().expect("less than a window"),
        };
        rustix::time::timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &spec)
            .map_err(net::failed("timerfd_settime"))?;
        self.set = Some(time);
        Ok(())
    }

    /// It is not read: setting it anew starts its count anew, and makes the next edge.
    fn expired(&mut self) {
        self.set = None;
    }
}
