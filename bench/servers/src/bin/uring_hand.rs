//! Echo server on io_uring by hand, one thread: what a loop can do that is made for this ring and
//! for nothing else.
//!
//! One system call per round takes in what has been prepared and waits for what has come. Nothing
//! is asked for twice: one accept brings all connections, and one receive per connection brings
//! all its bytes, each time in a buffer that the kernel takes from a ring of buffers only when
//! there is something to put into it. The buffer is sent from where it lies, and returns to the
//! ring when the send has ended. Sockets live in the table of the ring, not in that of the
//! process, and the ring is used by one thread, which also runs the kernel's part of the work
//! (`SINGLE_ISSUER`, `DEFER_TASKRUN`).
//!
//! A send is first tried without waiting (`MSG_DONTWAIT`), and then it ends while it is taken in.
//! Only if it did not send all does it give a result (`CQE_SKIP_SUCCESS`), so where none has come all
//! was sent. The call that takes in the answers to some requests can then go on to wait for others,
//! which it could not if each answer ended the wait. What did not fit is sent again, by a send that
//! waits for room and says when it has ended.
//!
//! Two sends of one socket may overtake each other if the first must wait, so a connection has one
//! send in flight. What arrives meanwhile is gathered into the next.
//!
//! The ring of buffers begins small and gets one more each time a receive finds none, so that few
//! connections go round in little memory. When it cannot grow any more, receives wait for sends to
//! end. A client that sends and does not read can so take all buffers from the others: here is a
//! measure for servers, not one to put before strangers.
//!
//! Needs Linux 6.6.

use std::alloc::{Layout, handle_alloc_error};
use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd, Fixed};
use io_uring::{CompletionQueue, IoUring, SubmissionQueue, Submitter, cqueue, opcode, squeue};
use rustix::net::sockopt;
use servers::{Can, Options, Stdin, listen};

/// Sockets the ring can hold.
const SOCKETS: u32 = 16 * 1024;

/// Requests that one system call takes in.
const REQUESTS: u32 = 1024;

/// Most buffers there can be, and how many there are at first.
const BUFFERS: u16 = 4096;
const BUFFERS_FIRST: u16 = 16;

/// The only group of buffers.
const GROUP: u16 = 0;

/// Most pieces that one send gathers.
const PIECES: usize = 16;

const ACCEPT: u64 = 0;
const STDIN: u64 = 1;
const RECEIVE: u64 = 2;
const SEND: u64 = 3;
const CLOSE: u64 = 4;

fn main() -> io::Result<()> {
    let options = Options::from_command_line(Can {
        buffer: true,
        ..Can::work(1)
    });
    let listener = listen()?;
    // The sockets that it accepts inherit it.
    sockopt::set_tcp_nodelay(&listener, true)?;
    let stdin = Stdin::watched(Ok)?;

    let mut ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_no_sqarray()
        .setup_cqsize(8 * REQUESTS)
        .build(REQUESTS)?;
    let (mut submitter, requests, mut results) = ring.split();
    submitter.register_ring_fd()?;
    submitter.register_files_sparse(SOCKETS)?;
    let buffers = Buffers::new(&submitter, options.buffer)?;
    let mut server = Server {
        listener,
        stdin,
        queue: Queue {
            submitter,
            requests,
        },
        buffers,
        connections: (0..SOCKETS).map(|_| Connection::default()).collect(),
        ready: Vec::new(),
        starved: VecDeque::new(),
        tried: Vec::new(),
        unfinished: false,
    };
    server.accept()?;
    server.watch_stdin()?;
    loop {
        server.queue.submit(server.least())?;
        server.handle_all(&mut results)?;
        server.conclude_what_was_tried()?;
        server.send_what_is_ready()?;
    }
}

struct Server<'ring> {
    listener: TcpListener,
    stdin: Stdin,
    queue: Queue<'ring>,
    buffers: Buffers,
    /// By their place in the table of the ring.
    connections: Box<[Connection]>,
    /// The connections that have got something to send in this round.
    ready: Vec<u32>,
    /// The connections whose receive waits for a buffer.
    starved: VecDeque<u32>,
    /// The connections whose send does not wait and is to be taken in now.
    tried: Vec<u32>,
    /// One of these has more to do when its send has ended, and no result will say so.
    unfinished: bool,
}

#[derive(Default)]
struct Connection {
    /// What has been received and not yet sent, in order.
    unsent: VecDeque<Piece>,
    /// How many of these the send in flight has; 0 if there is none.
    sending: usize,
    /// Whether the send, this one or the next, waits for room.
    waits: bool,
    /// Whether it is among the ready ones.
    ready: bool,
    /// Nothing comes any more: there is no receive and will not be any.
    ended: bool,
    /// Nothing can be sent any more.
    broken: bool,
    gather: Option<Box<Gather>>,
}

/// Bytes in a buffer.
#[derive(Clone, Copy)]
struct Piece {
    buffer: u16,
    start: u32,
    end: u32,
}

/// What the kernel reads when it takes in a send of several pieces.
struct Gather {
    header: libc::msghdr,
    pieces: [libc::iovec; PIECES],
}

impl Server<'_> {
    fn accept(&mut self) -> io::Result<()> {
        let accept = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd()))
            .allocate_file_index(true)
            .build();
        // SAFETY: has no memory; the listener stays open.
        unsafe { self.queue.push(accept, ACCEPT, 0) }
    }

    fn watch_stdin(&mut self) -> io::Result<()> {
        let poll = opcode::PollAdd::new(Fd(self.stdin.as_raw_fd()), libc::POLLIN as u32).build();
        // SAFETY: has no memory, and stdin stays open.
        unsafe { self.queue.push(poll, STDIN, 0) }
    }

    #[inline]
    fn receive(&mut self, socket: u32) -> io::Result<()> {
        let receive = opcode::RecvMulti::new(Fixed(socket), GROUP).build();
        // SAFETY: the memory that it writes to is that of the buffers in their ring, which nobody
        // here touches until they have come out of it, and which is never freed.
        unsafe { self.queue.push(receive, RECEIVE, socket) }
    }

    /// How many results to wait for.
    fn least(&self) -> usize {
        let go_on = self.unfinished || !self.starved.is_empty() && !self.tried.is_empty();
        if go_on { 0 } else { 1 }
    }

    fn handle_all(&mut self, results: &mut CompletionQueue<'_>) -> io::Result<()> {
        loop {
            results.sync();
            for result in &mut *results {
                self.handle(&result)?;
            }
            results.sync();
            // The kernel keeps what did not fit, and that may be the result of a send.
            if !self.queue.requests.cq_overflow() {
                return Ok(());
            }
            self.queue.submit(0)?;
        }
    }

    #[inline]
    fn handle(&mut self, result: &cqueue::Entry) -> io::Result<()> {
        let (kind, socket) = (result.user_data() >> 32, result.user_data() as u32);
        let more = cqueue::more(result.flags());
        let outcome = match result.result() {
            error @ ..0 => Err(-error),
            count => Ok(count as u32),
        };
        match kind {
            RECEIVE => {
                let buffer = cqueue::buffer_select(result.flags());
                self.received(socket, outcome, buffer, more)
            }
            SEND => self.sent(socket, outcome),
            ACCEPT => {
                match outcome {
                    Ok(socket) => self.receive(socket)?,
                    Err(libc::ECONNABORTED | libc::EINTR) => {}
                    Err(error) => return Err(io::Error::from_raw_os_error(error)),
                }
                if more { Ok(()) } else { self.accept() }
            }
            STDIN => {
                self.stdin.readable();
                self.watch_stdin()
            }
            // A close, which says something only if it has failed.
            _ => outcome.map(drop).map_err(io::Error::from_raw_os_error),
        }
    }

    #[inline]
    fn received(
        &mut self,
        socket: u32,
        outcome: Result<u32, i32>,
        buffer: Option<u16>,
        more: bool,
    ) -> io::Result<()> {
        let connection = &mut self.connections[socket as usize];
        match (outcome, buffer) {
            (Ok(end @ 1..), Some(buffer)) if !connection.broken => {
                self.buffers.taken += 1;
                let start = 0;
                connection.unsent.push_back(Piece { buffer, start, end });
                if connection.sending == 0 && !connection.ready {
                    connection.ready = true;
                    self.ready.push(socket);
                }
            }
            (_, Some(buffer)) => {
                self.buffers.taken += 1;
                self.give_back(buffer)?;
            }
            (_, None) => {}
        }
        match outcome {
            _ if more => Ok(()),
            Ok(1..) => self.receive(socket),
            Err(libc::ENOBUFS) if self.buffers.are_left() => self.receive(socket),
            Err(libc::ENOBUFS) => {
                self.starved.push_back(socket);
                Ok(())
            }
            Ok(0) | Err(_) => {
                self.connections[socket as usize].ended = true;
                self.close_if_done(socket)
            }
        }
    }

    fn send_what_is_ready(&mut self) -> io::Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        for socket in ready.drain(..) {
            self.connections[socket as usize].ready = false;
            self.send(socket)?;
        }
        self.ready = ready;
        Ok(())
    }

    /// Sends what there is, as much as one send can have.
    #[inline]
    fn send(&mut self, socket: u32) -> io::Result<()> {
        let connection = &mut self.connections[socket as usize];
        let (now, quietly) = match connection.waits {
            true => (0, squeue::Flags::empty()),
            false => (libc::MSG_DONTWAIT, squeue::Flags::SKIP_SUCCESS),
        };
        // With `WAITALL` less than all is a failure, and failures are never kept quiet.
        let flags = libc::MSG_WAITALL | libc::MSG_NOSIGNAL | now;
        let count = connection.unsent.len().min(PIECES);
        let send = match count {
            0 => return Ok(()),
            1 => {
                let bytes = self.buffers.bytes(connection.unsent[0]);
                opcode::Send::new(Fixed(socket), bytes.iov_base.cast(), bytes.iov_len as u32)
                    .flags(flags)
                    .build()
            }
            _ => {
                let gather = connection.gather.get_or_insert_with(Gather::new);
                for (place, &piece) in gather.pieces.iter_mut().zip(&connection.unsent) {
                    *place = self.buffers.bytes(piece);
                }
                gather.header.msg_iov = gather.pieces.as_mut_ptr();
                gather.header.msg_iovlen = count;
                opcode::SendMsg::new(Fixed(socket), &raw const gather.header)
                    .flags(flags as u32)
                    .build()
            }
        };
        connection.sending = count;
        if !connection.waits {
            self.tried.push(socket);
            self.unfinished |= connection.ended || connection.unsent.len() > count;
        }
        // SAFETY: the buffers are not given back before the send has ended. The kernel reads the
        // header and the list of pieces when it takes the request in; both are in a box of this
        // connection, which is not used again before the send has ended.
        unsafe { self.queue.push(send.flags(quietly), SEND, socket) }
    }

    /// A send has not sent all, or has waited for room.
    fn sent(&mut self, socket: u32, outcome: Result<u32, i32>) -> io::Result<()> {
        let connection = &mut self.connections[socket as usize];
        let mut count = match outcome {
            Ok(count) => count,
            Err(libc::EAGAIN) => 0,
            Err(_) => {
                // The receive ends too, and then the connection is closed.
                connection.broken = true;
                connection.sending = 0;
                while let Some(piece) = self.connections[socket as usize].unsent.pop_front() {
                    self.give_back(piece.buffer)?;
                }
                return self.close_if_done(socket);
            }
        };
        // What did not fit is to wait; and after a wait it may do without.
        connection.waits = !connection.waits;
        let mut whole = 0;
        for piece in connection.unsent.iter_mut().take(connection.sending) {
            let length = piece.end - piece.start;
            if count < length {
                piece.start += count;
                break;
            }
            count -= length;
            whole += 1;
        }
        self.conclude(socket, whole)
    }

    /// What was tried and has given no result has sent all.
    fn conclude_what_was_tried(&mut self) -> io::Result<()> {
        let mut tried = std::mem::take(&mut self.tried);
        for socket in tried.drain(..) {
            let connection = &self.connections[socket as usize];
            if connection.sending > 0 {
                self.conclude(socket, connection.sending)?;
            }
        }
        self.tried = tried;
        self.unfinished = false;
        Ok(())
    }

    /// The send has ended, and so many pieces are gone.
    #[inline]
    fn conclude(&mut self, socket: u32, pieces: usize) -> io::Result<()> {
        for _ in 0..pieces {
            let unsent = &mut self.connections[socket as usize].unsent;
            let piece = unsent.pop_front().expect("no more than were sent");
            self.give_back(piece.buffer)?;
        }
        let connection = &mut self.connections[socket as usize];
        connection.sending = 0;
        if !connection.unsent.is_empty() {
            connection.ready = true;
            self.ready.push(socket);
        }
        self.close_if_done(socket)
    }

    /// Gives a buffer back to the ring, and lets a receive go on that waits for one.
    #[inline]
    fn give_back(&mut self, buffer: u16) -> io::Result<()> {
        self.buffers.taken -= 1;
        self.buffers.provide(buffer);
        match self.starved.pop_front() {
            Some(socket) => self.receive(socket),
            None => Ok(()),
        }
    }

    #[inline]
    fn close_if_done(&mut self, socket: u32) -> io::Result<()> {
        let connection = &mut self.connections[socket as usize];
        if !connection.ended || connection.sending > 0 || !connection.unsent.is_empty() {
            return Ok(());
        }
        // Its place may be given to a new connection as soon as the request is taken in.
        connection.ended = false;
        connection.broken = false;
        connection.waits = false;
        let close = opcode::Close::new(Fixed(socket))
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS);
        // SAFETY: has no memory, and this connection has no request in flight.
        unsafe { self.queue.push(close, CLOSE, socket) }
    }
}

impl Gather {
    fn new() -> Box<Self> {
        let nothing = libc::iovec {
            iov_base: null_mut(),
            iov_len: 0,
        };
        Box::new(Self {
            // SAFETY: numbers and null pointers.
            header: unsafe { std::mem::zeroed() },
            pieces: [nothing; PIECES],
        })
    }
}

/// The way into the kernel.
struct Queue<'ring> {
    submitter: Submitter<'ring>,
    requests: SubmissionQueue<'ring>,
}

impl Queue<'_> {
    /// Has the kernel take in all that is queued, and waits until there are `least` results.
    fn submit(&mut self, least: usize) -> io::Result<()> {
        self.requests.sync();
        loop {
            match self.submitter.submit_and_wait(least) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            self.requests.sync();
            if self.requests.is_empty() {
                return Ok(());
            }
        }
    }

    /// Queues a request.
    ///
    /// # Safety
    ///
    /// What the request refers to must be there until it has ended.
    #[inline]
    unsafe fn push(&mut self, request: squeue::Entry, kind: u64, socket: u32) -> io::Result<()> {
        let request = request.user_data(kind << 32 | u64::from(socket));
        // SAFETY: the caller's promise.
        if unsafe { self.requests.push(&request) }.is_ok() {
            return Ok(());
        }
        self.submit(0)?;
        // SAFETY: the caller's promise.
        unsafe { self.requests.push(&request) }.map_err(io::Error::other)
    }
}

/// The buffers and the ring in which the kernel finds those that are free.
struct Buffers {
    memory: *mut u8,
    size: usize,
    /// How many there are by now. The others have never been in the ring.
    count: u16,
    /// How many of these have been taken from the ring, as far as this thread has seen.
    taken: u16,
    ring: *mut BufRingEntry,
    /// The end of the ring, as the kernel is to see it.
    tail: *const AtomicU16,
    /// The same, which only this thread changes.
    next: u16,
}

impl Buffers {
    /// Never freed: the ring outlives everything but the process.
    fn new(submitter: &Submitter<'_>, size: usize) -> io::Result<Self> {
        const PAGE: usize = 4096;
        let zeroed = |size: usize| {
            let layout = Layout::from_size_align(size, PAGE).expect("a size within memory");
            // SAFETY: the size is not zero.
            let memory = unsafe { std::alloc::alloc_zeroed(layout) };
            if memory.is_null() {
                handle_alloc_error(layout);
            }
            memory
        };
        let memory = zeroed(size * usize::from(BUFFERS));
        let ring: *mut BufRingEntry =
            zeroed(size_of::<BufRingEntry>() * usize::from(BUFFERS)).cast();
        // SAFETY: the memory has the size that is told, and stays.
        unsafe { submitter.register_buf_ring_with_flags(ring as u64, BUFFERS, GROUP, 0) }?;
        let mut buffers = Self {
            memory,
            size,
            count: 0,
            taken: 0,
            ring,
            // SAFETY: the first entry of the ring; the kernel keeps the tail in it.
            tail: unsafe { BufRingEntry::tail(ring) }.cast(),
            next: 0,
        };
        for _ in 0..BUFFERS_FIRST {
            buffers.add();
        }
        Ok(buffers)
    }

    /// Whether a receive that found none may try again: one more is made if there may be more, and
    /// some may have come back since. If not, all are in the hands of sends.
    fn are_left(&mut self) -> bool {
        if self.count < BUFFERS {
            self.add();
        }
        self.taken < self.count
    }

    fn add(&mut self) {
        self.provide(self.count);
        self.count += 1;
    }

    #[inline]
    fn place(&self, buffer: u16) -> *mut u8 {
        // SAFETY: there are so many buffers in the memory.
        unsafe { self.memory.add(usize::from(buffer) * self.size) }
    }

    #[inline]
    fn bytes(&self, piece: Piece) -> libc::iovec {
        libc::iovec {
            // SAFETY: the piece is a part of the buffer.
            iov_base: unsafe { self.place(piece.buffer).add(piece.start as usize) }.cast(),
            iov_len: (piece.end - piece.start) as usize,
        }
    }

    /// Puts a buffer that nobody uses into the ring.
    #[inline]
    fn provide(&mut self, buffer: u16) {
        let address = self.place(buffer) as u64;
        // SAFETY: within the ring, and not before its tail, so the kernel does not read it yet. No
        // more buffers are in the ring than it has entries, since each buffer is there once.
        let entry = unsafe { &mut *self.ring.add(usize::from(self.next % BUFFERS)) };
        entry.set_addr(address);
        entry.set_len(self.size as u32);
        entry.set_bid(buffer);
        self.next = self.next.wrapping_add(1);
        // SAFETY: lies in the first entry, where nothing else here reads or writes.
        unsafe { &*self.tail }.store(self.next, Ordering::Release);
    }
}
