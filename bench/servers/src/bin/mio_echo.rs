//! One thread over mio.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use servers::{BUFFER, listen};

const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    pending: Vec<u8>,
}

impl Connection {
    /// Reads and writes as far as it goes. `false`: it has ended.
    fn advance(&mut self, buffer: &mut [u8]) -> bool {
        if !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
            if !self.pending.is_empty() {
                return true;
            }
        }
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            };
            let written = match self.stream.write(&buffer[..count]) {
                Ok(written) => written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => return false,
            };
            if written < count {
                self.pending.extend_from_slice(&buffer[written..count]);
                return true;
            }
            // mio asks for reads until WouldBlock; on Linux a short one is as good.
            if count < buffer.len() {
                return true;
            }
        }
    }
}

fn main() {
    let listener = listen();
    listener.set_nonblocking(true).unwrap();
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new().unwrap();
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)
        .unwrap();
    let mut connections: HashMap<usize, Connection> = HashMap::new();
    let mut next = 0;
    let mut buffer = vec![0; BUFFER];
    let mut events = Events::with_capacity(256);
    loop {
        if poll.poll(&mut events, None).is_err() {
            continue;
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true).unwrap();
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry()
                        .register(&mut stream, Token(next), both)
                        .unwrap();
                    connections.insert(
                        next,
                        Connection {
                            stream,
                            pending: Vec::new(),
                        },
                    );
                    next += 1;
                }
                continue;
            }
            let Token(number) = event.token();
            let ended = connections
                .get_mut(&number)
                .is_some_and(|connection| !connection.advance(&mut buffer));
            if ended {
                connections.remove(&number);
            }
        }
    }
}
