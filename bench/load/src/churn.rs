//! Load over connections that carry one message each.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use load::pattern::{Pattern, Verifier};
use rustix::event::epoll::EventFlags;

use crate::cli::Options;
use crate::net::{self, Poller, Result, SCRATCH};
use crate::window::{Load, Window};

/// Each closed connection keeps its pair of addresses reserved for a minute. One client address
/// has fewer than 30,000 ports; this many are enough for a run.
const SOURCES: u64 = 100;

pub struct Churn {
    poller: Poller,
    address: SocketAddr,
    size: u64,
    seed: u64,
    connections: usize,
    /// How many connections have been started, over all windows.
    started: u64,
    slots: Vec<Option<Connection>>,
    scratch: Box<[u8]>,
}

struct Connection {
    number: u64,
    socket: OwnedFd,
    began: u64,
    state: State,
    pattern: Pattern,
    sent: u64,
    received: Verifier,
}

enum State {
    Connecting,
    Exchanging,
    Closing,
}

impl Churn {
    pub fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            poller: Poller::new(options.stall, options.awake)?,
            address: options.address,
            size: options.size as u64,
            seed: options.seed,
            connections: options.connections,
            started: 0,
            slots: Vec::new(),
            scratch: vec![0; SCRATCH].into(),
        })
    }

    fn start(&mut self, slot: usize, now: u64) -> Result<()> {
        let number = self.started;
        self.started += 1;
        let source = self.address.is_ipv4().then(|| {
            let host = 1 + number % SOURCES;
            Ipv4Addr::new(127, 0, 0, host as u8)
        });
        let pattern = Pattern::new(self.seed, number);
        let connection = Connection {
            number,
            socket: net::connect(self.address, source)?,
            began: now,
            state: State::Connecting,
            pattern,
            sent: 0,
            received: Verifier::new(pattern),
        };
        self.poller.add(&connection.socket, slot)?;
        self.slots[slot] = Some(connection);
        Ok(())
    }

    fn stalled(&self) -> String {
        let Some(connection) = self.slots.iter().flatten().next() else {
            return "nothing happens any more".to_owned();
        };
        let number = connection.number;
        match connection.state {
            State::Connecting => format!("connection {number}: not accepted"),
            State::Exchanging => format!(
                "connection {number}: {} bytes sent, {} came back, nothing arrives any more",
                connection.sent,
                connection.received.position()
            ),
            State::Closing => format!("connection {number}: the server does not close it"),
        }
    }
}

impl Connection {
    /// Goes as far as the socket allows and says whether the life of the connection is over.
    fn advance(&mut self, hung_up: bool, size: u64, scratch: &mut [u8]) -> Result<bool> {
        if matches!(self.state, State::Connecting) {
            net::connected(&self.socket)?;
            self.state = State::Exchanging;
        }
        if matches!(self.state, State::Exchanging) {
            // A server may echo while it still reads: a long message must flow both ways at once.
            while self.sent < size {
                let count = (size - self.sent).min(scratch.len() as u64) as usize;
                self.pattern.fill(self.sent, &mut scratch[..count]);
                match net::transmit(&self.socket, &scratch[..count])? {
                    Some(count) => self.sent += count as u64,
                    None => break,
                }
            }
            while self.received.position() < size {
                match net::receive(&self.socket, scratch)? {
                    None => return Ok(false),
                    Some(0) => return Err("the server closed it before the answer".to_owned()),
                    Some(count) => {
                        self.received
                            .check(&scratch[..count])
                            .map_err(|error| error.to_string())?;
                    }
                }
            }
            if self.received.position() > size {
                return Err("more bytes came than were sent".to_owned());
            }
            net::finish_sending(&self.socket)?;
            self.state = State::Closing;
            // The server's end of the stream is the answer to ours, and makes a new edge, unless
            // the server had closed by itself.
            if !hung_up {
                return Ok(false);
            }
        }
        match net::receive(&self.socket, scratch)? {
            None => Ok(false),
            Some(0) => Ok(true),
            Some(count) => Err(format!("{count} bytes came after the answer")),
        }
    }
}

impl Load for Churn {
    fn run(&mut self, window: &mut Window) -> Result<()> {
        self.slots.resize_with(self.connections, || None);
        for slot in 0..self.connections {
            self.start(slot, window.now())?;
        }
        let mut in_flight = self.connections;
        while in_flight > 0 {
            let events = self.poller.wait()?;
            if events.is_empty() {
                return Err(self.stalled());
            }
            for event in &events {
                let slot = event.data.u64() as usize;
                let flags = event.flags;
                let Some(connection) = &mut self.slots[slot] else {
                    continue;
                };
                let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP);
                let over = connection
                    .advance(hung_up, self.size, &mut self.scratch)
                    .map_err(|error| format!("connection {}: {error}", connection.number))?;
                if !over {
                    continue;
                }
                let now = window.now();
                window.answered(connection.began, now);
                self.slots[slot] = None;
                if window.issuing(now) {
                    self.start(slot, now)?;
                } else {
                    in_flight -= 1;
                }
            }
            self.poller.reuse(events);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
