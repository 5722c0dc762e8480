//! One connection: requests out, answers in and checked.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::pattern::Pattern;

static PATTERN: LazyLock<Pattern> = LazyLock::new(Pattern::new);

/// How the load looks on a connection.
#[derive(Clone, Copy)]
pub struct Shape {
    pub size: usize,
    pub depth: usize,
}

pub struct Connection {
    stream: TcpStream,
    number: usize,
    shape: Shape,
    /// Bytes of the stream that are to be sent, are sent, and came back.
    wanted: u64,
    sent: u64,
    received: u64,
    /// When the outstanding requests began.
    began: VecDeque<Instant>,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr, number: usize, shape: Shape) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            number,
            shape,
            wanted: 0,
            sent: 0,
            received: 0,
            began: VecDeque::with_capacity(shape.depth),
            buffer: vec![0; shape.size.max(4096)],
        })
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends the first requests.
    pub fn begin(&mut self, now: Instant) -> Result<(), Box<dyn Error>> {
        for _ in 0..self.shape.depth {
            self.wanted += self.shape.size as u64;
            self.began.push_back(now);
        }
        self.send()
    }

    fn send(&mut self) -> Result<(), Box<dyn Error>> {
        while self.sent < self.wanted {
            let len = ((self.wanted - self.sent) as usize).min(crate::pattern::LONGEST);
            let piece = PATTERN.piece(self.number, self.sent, len);
            match self.stream.write(piece) {
                Ok(count) => self.sent += count as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The system reports the connection: takes the answers, sends the next requests.
    pub fn advance(&mut self, latencies: &mut Histogram<u64>) -> Result<(), Box<dyn Error>> {
        loop {
            let count = match self.stream.read(&mut self.buffer) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            };
            if self.buffer[..count] != *PATTERN.piece(self.number, self.received, count) {
                let place = self.received;
                return Err(format!("wrong bytes on connection {} at {place}", self.number).into());
            }
            let size = self.shape.size as u64;
            let answers = (self.received + count as u64) / size - self.received / size;
            self.received += count as u64;
            let now = Instant::now();
            for _ in 0..answers {
                let began = self.began.pop_front().ok_or("more answers than requests")?;
                latencies.saturating_record((now - began).as_nanos() as u64);
                self.began.push_back(now);
                self.wanted += size;
            }
            if answers > 0 {
                self.send()?;
            }
            if count < self.buffer.len() {
                break;
            }
        }
        self.send()
    }
}
