//! Load over connections that stay open.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use load::pattern::{Pattern, Verifier};
use rustix::event::epoll::EventFlags;

use crate::cli::Options;
use crate::net::{self, Poller, Result, SCRATCH};
use crate::window::{Load, Window};

pub struct Echo {
    poller: Poller,
    connections: Vec<Connection>,
    size: u64,
    depth: usize,
    scratch: Box<[u8]>,
}

struct Connection {
    socket: OwnedFd,
    pattern: Pattern,
    sent: u64,
    /// Position up to which requests have been issued; `sent` is behind while the socket is full.
    issued: u64,
    received: Verifier,
    /// When each request that waits for its answer began.
    began: VecDeque<u64>,
    open: bool,
}

impl Echo {
    pub fn connect(options: &Options) -> Result<Self> {
        let mut poller = Poller::new(options.stall, options.awake)?;
        let sockets = net::connect_all(&mut poller, options.address, options.connections)?;
        let connection = |(number, socket)| {
            let pattern = Pattern::new(options.seed, number as u64);
            Connection {
                socket,
                pattern,
                sent: 0,
                issued: 0,
                received: Verifier::new(pattern),
                began: VecDeque::with_capacity(options.depth),
                open: true,
            }
        };
        let connections = sockets.into_iter().enumerate().map(connection).collect();
        Ok(Self {
            poller,
            connections,
            size: options.size as u64,
            depth: options.depth,
            scratch: vec![0; SCRATCH].into(),
        })
    }

    fn stalled(&self) -> String {
        let mut stalled = self.connections.iter().enumerate();
        let Some((number, connection)) =
            stalled.find(|(_, connection)| connection.open && connection.missing() > 0)
        else {
            return "the server does not close its connections".to_owned();
        };
        format!(
            "connection {number}: {} bytes sent, {} came back, nothing arrives any more",
            connection.sent,
            connection.received.position()
        )
    }
}

impl Connection {
    fn missing(&self) -> u64 {
        self.issued - self.received.position()
    }

    #[inline]
    fn issue(&mut self, size: u64, count: usize, now: u64) {
        self.issued += size * count as u64;
        self.began.extend(std::iter::repeat_n(now, count));
    }

    #[inline]
    fn send(&mut self, scratch: &mut [u8]) -> Result<()> {
        while self.sent < self.issued {
            let count = (self.issued - self.sent).min(scratch.len() as u64) as usize;
            let bytes = &mut scratch[..count];
            self.pattern.fill(self.sent, bytes);
            match net::transmit(&self.socket, bytes)? {
                Some(count) => self.sent += count as u64,
                None => break,
            }
        }
        Ok(())
    }

    /// Takes what has arrived and says whether that was the end of the stream.
    #[inline]
    fn receive(&mut self, hung_up: bool, scratch: &mut [u8]) -> Result<bool> {
        loop {
            match net::receive(&self.socket, scratch)? {
                None => return Ok(false),
                Some(0) => return Ok(true),
                Some(count) => {
                    self.received
                        .check(&scratch[..count])
                        .map_err(|error| error.to_string())?;
                    let surplus = self.received.position().saturating_sub(self.sent);
                    if surplus > 0 {
                        return Err(format!("{surplus} bytes came that were never sent"));
                    }
                    // A short read has emptied the socket. What comes later makes a new edge; an
                    // end that came together with these bytes does not.
                    if count < scratch.len() && !hung_up {
                        return Ok(false);
                    }
                }
            }
        }
    }
}

impl Load for Echo {
    fn run(&mut self, window: &mut Window) -> Result<()> {
        let size = self.size;
        let mut in_flight = self.connections.len() * self.depth;
        for connection in &mut self.connections {
            connection.issue(size, self.depth, window.now());
            connection.send(&mut self.scratch)?;
        }
        while in_flight > 0 {
            let events = self.poller.wait()?;
            if events.is_empty() {
                return Err(self.stalled());
            }
            for event in &events {
                let number = event.data.u64() as usize;
                let flags = event.flags;
                let connection = &mut self.connections[number];
                let describe = |error| format!("connection {number}: {error}");

                let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP);
                if connection
                    .receive(hung_up, &mut self.scratch)
                    .map_err(describe)?
                {
                    return Err(format!("connection {number}: the server closed it"));
                }
                let waiting = connection.missing().div_ceil(size) as usize;
                let answered = connection.began.len() - waiting;
                if answered > 0 {
                    let now = window.now();
                    for began in connection.began.drain(..answered) {
                        window.answered(began, now);
                    }
                    if window.issuing(now) {
                        connection.issue(size, answered, now);
                    } else {
                        in_flight -= answered;
                    }
                }
                connection.send(&mut self.scratch).map_err(describe)?;
            }
            self.poller.reuse(events);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        for connection in &self.connections {
            net::finish_sending(&connection.socket)?;
        }
        let mut open = self.connections.len();
        while open > 0 {
            let events = self.poller.wait()?;
            if events.is_empty() {
                return Err(self.stalled());
            }
            for event in &events {
                let number = event.data.u64() as usize;
                let connection = &mut self.connections[number];
                let ended = connection
                    .receive(true, &mut self.scratch)
                    .map_err(|error| format!("connection {number}, at its end: {error}"))?;
                if ended && connection.open {
                    connection.open = false;
                    open -= 1;
                }
            }
            self.poller.reuse(events);
        }
        Ok(())
    }
}
