//! Echo server on mio, one thread.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use servers::{BUFFER, Can, Options, Stdin, listen};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);
const STDIN: Token = Token(usize::MAX - 1);

struct Connection {
    socket: TcpStream,
    buffer: Box<[u8; BUFFER]>,
    /// The part of the buffer that has been read and not yet written.
    unsent: Range<usize>,
    interest: Interest,
}

/// The other side has closed or broken the connection.
struct Gone;

fn main() -> io::Result<()> {
    Options::from_command_line(Can::work(1));
    let mut listener = TcpListener::from_std(listen()?);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let mut connections = Slab::new();

    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let stdin = Stdin::watched(|stdin| {
        let mut source = SourceFd(&stdin.as_raw_fd());
        poll.registry()
            .register(&mut source, STDIN, Interest::READABLE)?;
        Ok(stdin)
    })?;

    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        for event in &events {
            match event.token() {
                LISTENER => accept(&listener, poll.registry(), &mut connections)?,
                STDIN => stdin.readable(),
                token => serve(event, poll.registry(), &mut connections, token)?,
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    registry: &Registry,
    connections: &mut Slab<Connection>,
) -> io::Result<()> {
    loop {
        let mut socket = match listener.accept() {
            Ok((socket, _)) => socket,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(()),
                io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => continue,
                _ => return Err(error),
            },
        };
        // Fails if the client has gone already, which the first read will find out.
        let _ = socket.set_nodelay(true);
        let entry = connections.vacant_entry();
        let interest = Interest::READABLE;
        registry.register(&mut socket, Token(entry.key()), interest)?;
        entry.insert(Connection {
            socket,
            buffer: Box::new([0; BUFFER]),
            unsent: 0..0,
            interest,
        });
    }
}

#[inline]
fn serve(
    event: &Event,
    registry: &Registry,
    connections: &mut Slab<Connection>,
    token: Token,
) -> io::Result<()> {
    let connection = &mut connections[token.0];
    let hung_up = event.is_read_closed() || event.is_error();
    match connection.advance(hung_up) {
        Ok(interest) if interest != connection.interest => {
            connection.interest = interest;
            registry.reregister(&mut connection.socket, token, interest)?;
        }
        Ok(_) => {}
        // Closing the socket also takes it out of the poll.
        Err(Gone) => drop(connections.remove(token.0)),
    }
    Ok(())
}

impl Connection {
    /// Echoes as much as the socket allows, and says what to wait for.
    #[inline]
    fn advance(&mut self, hung_up: bool) -> Result<Interest, Gone> {
        if !self.flush()? {
            return Ok(Interest::WRITABLE);
        }
        loop {
            let count = match self.socket.read(&mut self.buffer[..]) {
                Ok(0) => return Err(Gone),
                Ok(count) => count,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(Interest::READABLE),
                    io::ErrorKind::Interrupted => continue,
                    _ => return Err(Gone),
                },
            };
            self.unsent = 0..count;
            if !self.flush()? {
                return Ok(Interest::WRITABLE);
            }
            // mio asks portable programs to read until it would block. On epoll a short read has
            // emptied the socket as well, which saves this server a system call per request, as
            // it does the plain one; tokio does the same inside.
            if count < BUFFER && !hung_up {
                return Ok(Interest::READABLE);
            }
        }
    }

    /// Whether everything has been written.
    #[inline]
    fn flush(&mut self) -> Result<bool, Gone> {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.buffer[self.unsent.clone()]) {
                Ok(count) => self.unsent.start += count,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(false),
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(Gone),
                },
            }
        }
        Ok(true)
    }
}
