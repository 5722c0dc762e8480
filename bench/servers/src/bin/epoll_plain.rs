//! Echo server on nothing but epoll and non-blocking sockets.
//!
//! - `--workers 1`: one thread.
//! - `--workers W`: W threads with an epoll each. The first one accepts and deals the connections
//!   out in turn; a connection stays with its thread.
//! - `--workers W --shared`: W threads wait on the same epoll. `EPOLLONESHOT` takes a connection
//!   out of the set when it is handed to a thread, and the thread puts it back afterwards.

use std::io;
use std::net::TcpListener;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, sockopt};
use servers::handler::{Handler, Way};
use servers::{BUFFER, Can, Options, Stdin, die, listen};

/// Events taken at once by a thread that has an epoll to itself.
const BATCH_OWN: usize = 256;

/// Events taken at once from a shared epoll. A thread that takes many leaves the others without
/// work while it is behind.
const BATCH_SHARED: usize = 16;

// Connections are known by their address in memory, which is neither of these.
const LISTENER: u64 = 0;
const STDIN: u64 = 1;

fn main() -> io::Result<()> {
    let options = Options::from_command_line(Can {
        share: true,
        handler: &[Way::Plain],
        ..Can::work(64)
    });
    let listener = listen()?;

    let queues = if options.shared { 1 } else { options.workers };
    let epolls: Arc<[OwnedFd]> = (0..queues)
        .map(|_| epoll::create(CreateFlags::CLOEXEC))
        .collect::<Result<_, _>>()?;
    // Edge-triggered: only one thread is woken, and it accepts until nobody waits any more.
    let accept = EventFlags::IN | EventFlags::ET;
    epoll::add(&epolls[0], &listener, EventData::new_u64(LISTENER), accept)?;
    let stdin = Stdin::watched(|stdin| {
        epoll::add(
            &epolls[0],
            &stdin,
            EventData::new_u64(STDIN),
            Interest::Read.flags(true),
        )?;
        Ok(stdin)
    })?;

    let front = Arc::new(Front { listener, stdin });
    let worker = |number: usize| Worker {
        epolls: epolls.clone(),
        own: number % queues,
        shared: options.shared,
        handler: options.handler,
        front: front.clone(),
        dealt: 0,
    };
    for number in 1..options.workers {
        let worker = worker(number);
        thread::Builder::new().spawn(move || match worker.run() {
            Ok(never) => match never {},
            Err(error) => die(error),
        })?;
    }
    match worker(0).run() {
        Ok(never) => match never {},
        Err(error) => die(error),
    }
}

enum Never {}

/// What is not a connection.
struct Front {
    listener: TcpListener,
    stdin: Stdin,
}

struct Worker {
    epolls: Arc<[OwnedFd]>,
    /// Index of the epoll this thread waits on.
    own: usize,
    shared: bool,
    handler: Handler,
    front: Arc<Front>,
    /// How many connections this thread has dealt out.
    dealt: usize,
}

impl Worker {
    fn run(mut self) -> io::Result<Never> {
        let batch = match (self.shared, self.handler.way) {
            (false, _) => BATCH_OWN,
            (true, None) => BATCH_SHARED,
            // What was taken together with a request whose handler blocks would wait for it.
            (true, Some(_)) => 1,
        };
        let mut events: Vec<Event> = Vec::with_capacity(batch);
        loop {
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epolls[self.own], spare, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let (data, flags) = (event.data, event.flags);
                match data.u64() {
                    LISTENER => self.accept()?,
                    STDIN => {
                        self.front.stdin.readable();
                        let flags = Interest::Read.flags(true);
                        epoll::modify(&self.epolls[self.own], &self.front.stdin, data, flags)?;
                    }
                    _ => self.serve(data, flags)?,
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = match rustix::net::accept_with(&self.front.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(error) => return Err(error.into()),
            };
            // Fails if the client has gone already, which the first read will find out.
            let _ = sockopt::set_tcp_nodelay(&socket, true);
            let queue = &self.epolls[self.dealt % self.epolls.len()];
            self.dealt += 1;
            let number = socket.as_raw_fd();
            let connection = Box::into_raw(Box::new(Connection::new(socket)));
            // SAFETY: nobody else knows the connection before it is added, so its socket is open
            // when the call begins. From then on another worker may use and even free it before
            // the call returns; the kernel holds the socket itself for as long as that takes.
            let socket = unsafe { BorrowedFd::borrow_raw(number) };
            let data = EventData::new_ptr(connection.cast());
            if let Err(error) = epoll::add(queue, socket, data, Interest::Read.flags(self.shared)) {
                // SAFETY: not added, so this thread is still the only one that knows it.
                drop(unsafe { Box::from_raw(connection) });
                return Err(error.into());
            }
        }
    }

    #[inline]
    fn serve(&self, data: EventData, flags: EventFlags) -> io::Result<()> {
        let pointer: *mut Connection = data.ptr().cast();
        // SAFETY: The pointer comes from the box of `accept` and is freed only below, after which
        // its socket is closed and cannot be reported again; an epoll reports a socket at most
        // once per batch. No other thread uses it now: with an epoll of its own this thread is the
        // only one to get it reported, and in a shared epoll one-shot keeps it from being reported
        // until this thread has asked for it again, which is the last it does with it.
        let connection = unsafe { &mut *pointer };
        let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        match connection.advance(hung_up, self.handler) {
            Ok(interest) if self.shared || interest != connection.interest => {
                connection.interest = interest;
                let number = connection.socket.as_raw_fd();
                // SAFETY: as in `accept`: the socket is open when the call begins, because until
                // then nobody else could close it, and afterwards nothing here uses it.
                let socket = unsafe { BorrowedFd::borrow_raw(number) };
                let flags = interest.flags(self.shared);
                epoll::modify(&self.epolls[self.own], socket, data, flags)?;
            }
            Ok(_) => {}
            // SAFETY: see above; closing the socket also takes it out of the epoll.
            Err(Gone) => drop(unsafe { Box::from_raw(pointer) }),
        }
        Ok(())
    }
}

struct Connection {
    socket: OwnedFd,
    buffer: Box<[u8; BUFFER]>,
    /// The part of the buffer that has been read and not yet written.
    unsent: Range<usize>,
    /// What the epoll has been asked for.
    interest: Interest,
}

/// The other side has closed or broken the connection.
struct Gone;

impl Connection {
    fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            buffer: Box::new([0; BUFFER]),
            unsent: 0..0,
            interest: Interest::Read,
        }
    }

    /// Echoes as much as the socket allows, and says what to wait for.
    #[inline]
    fn advance(&mut self, hung_up: bool, handler: Handler) -> Result<Interest, Gone> {
        // Nothing is read while something is unsent: a client that does not read is not to fill
        // our memory.
        if !self.flush()? {
            return Ok(Interest::Write);
        }
        loop {
            let count =
                match rustix::net::recv(&self.socket, &mut self.buffer[..], RecvFlags::empty()) {
                    Ok((0, _)) => return Err(Gone),
                    Ok((count, _)) => count,
                    Err(Errno::AGAIN) => return Ok(Interest::Read),
                    Err(Errno::INTR) => continue,
                    Err(_) => return Err(Gone),
                };
            handler.handle(&self.buffer[..count]);
            self.unsent = 0..count;
            if !self.flush()? {
                return Ok(Interest::Write);
            }
            // A short read has emptied the socket, and what comes later is reported anew; but not
            // an end of the stream that had already been there.
            if count < BUFFER && !hung_up {
                return Ok(Interest::Read);
            }
        }
    }

    /// Whether everything has been written.
    #[inline]
    fn flush(&mut self) -> Result<bool, Gone> {
        while !self.unsent.is_empty() {
            let bytes = &self.buffer[self.unsent.clone()];
            match rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => self.unsent.start += count,
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(_) => return Err(Gone),
            }
        }
        Ok(true)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Interest {
    Read,
    Write,
}

impl Interest {
    fn flags(self, shared: bool) -> EventFlags {
        let direction = match self {
            Self::Read => EventFlags::IN | EventFlags::RDHUP,
            Self::Write => EventFlags::OUT,
        };
        let once = if shared {
            EventFlags::ONESHOT
        } else {
            EventFlags::empty()
        };
        direction | EventFlags::ET | once
    }
}
