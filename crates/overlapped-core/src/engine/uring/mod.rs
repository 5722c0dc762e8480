//! Linux: io_uring for sockets, on a port that one thread consumes.
//!
//! # When it is the right one
//!
//! A request in io_uring belongs to the thread that submitted it: what it brings is seen when that
//! thread comes to look, and nobody else can look instead. So this engine is for an *exclusive*
//! port, whose user promises two things: that one thread takes its packets, and that handlers do not
//! block. In return a receive costs no system call of its own.
//!
//! # How it works
//!
//! It is a [`System`] like epoll: it reports what is ready, and the readiness engine above it keeps
//! the operations in order and makes the transfers. Two things differ.
//!
//! *Nothing is registered.* A call that would have to wait *asks* for what it waits for: the
//! request, a poll for one event, is noted, and the consumer hands all notes to the system when it
//! comes to wait, with the same call. Since whoever meets "not now" has asked, nothing needs to be
//! reported that nobody waits for; a socket begins as ready, so that its first operation asks.
//!
//! *Bytes come by themselves.* What a connection waits for is not a poll but a receive that goes on
//! (multishot) and puts what comes into buffers that the ring owns (`buffers.rs`), taken by the
//! system only when there is something to put into them. They are kept in the connection's *inbox*
//! (`inbox.rs`), and [`System::recv`] copies them out of there. So no memory of an operation is
//! ever in the hands of the kernel: cancelling, closing, dropping and panicking are as harmless here
//! as with epoll, and the rest of the library need not know of this engine at all. The copy costs
//! less than the call that it saves as long as messages are small; a connection that fills whole
//! buffers is *bulk*, and is received from directly until it calms down.
//!
//! Sends are made directly, at their start, as with epoll: a batch of them in the ring is no cheaper,
//! and this way a started send needs nobody's further help.
//!
//! # How much comes by itself
//!
//! The inbox is bounded: when it holds [`INBOX_MOST`] pieces that nobody has received, the
//! receive is told to stop, and the sender is held back by TCP as ever. (One call may bring a few dozen
//! before that.) When the ring has no buffer
//! left, the receive ends by itself, more buffers are made up to a limit, and the connection is
//! received from directly once. So exhaustion costs a call and loses nothing.
//!
//! # Who may do what
//!
//! The ring is used by the consumer alone: the thread that is bound to the port, from its first get
//! until it ends or turns to another port. A second thread's get is refused meanwhile. Everything else
//! may be called by every thread: it changes the state (`state.rs`), under its lock, and leaves a
//! note; who is not the consumer writes to an eventfd that the ring watches, so that the consumer
//! sees the note soon.
//!
//! When the consumer goes, it calls back what was asked, what has come is put into the inboxes, and
//! the ring is thrown away; bytes that were not yet received are still in the sockets. The next thread
//! that comes makes a new ring, and every socket is reported as ready once, so that whoever waits asks
//! again.
//!
//! # Closing
//!
//! A request keeps its socket open in the kernel, also when the descriptor is closed, and the peer
//! would not be told. So what a socket has asked for is cancelled when it goes, at once if the
//! consumer does it, and as soon as the consumer waits if somebody else does. A name carries the
//! generation of its descriptor, so what comes late finds nobody. A socket that is to be given back
//! with whatever it holds must not be received from in advance ([`System::recv_only`]).

mod buffers;
mod inbox;
mod ring;
mod state;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use rustix::event::{EventfdFlags, epoll, eventfd};

use super::{Nature, Readiness, Received, Refusal, System, descriptor, direct};
use crate::endpoint::Endpoint;
use crate::operation::Segment;
use crate::port::fork::Generation;
use crate::{Address, Ready};
use inbox::Found;
use ring::Ring;
use state::State;

/// How many pieces an inbox holds before the sender is held back.
const INBOX_MOST: usize = 4;

pub(crate) struct Uring {
    /// Nobody's, while no thread consumes.
    ring: Mutex<Option<Ring>>,
    state: Mutex<State>,
    /// Tells the consumer that there are notes, or that its wait is over.
    event: OwnedFd,
    /// Names the consuming thread; 0: none.
    consumer: AtomicUsize,
    /// The process that the ring belongs to.
    process: Generation,
}

/// A number that no other living thread has.
fn this_thread() -> usize {
    thread_local!(static PLACE: u8 = const { 0 });
    PLACE
        .try_with(|place| &raw const *place as usize)
        .unwrap_or(0)
}

impl Uring {
    /// Finds out whether the system allows it.
    ///
    /// # Errors
    ///
    /// The text says what is refused, and by whom as far as that can be known.
    pub(crate) fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let mut state = State::new()?;
        // A ring belongs to the thread that makes it, and who will consume is not known yet. On a
        // thread of its own: when a ring ends, the system interrupts what its thread waits for.
        let (waker, buffers) = (event.as_raw_fd(), &mut state.buffers);
        std::thread::scope(|scope| {
            let probe = move || Ring::new(waker, buffers).map(drop);
            let probing = std::thread::Builder::new().spawn_scoped(scope, probe)?;
            probing
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        Ok(Uring {
            ring: Mutex::new(None),
            state: Mutex::new(state),
            event,
            consumer: AtomicUsize::new(0),
            process: Generation::current(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        overlapped_queue::lock(&self.state)
    }

    fn is_consumer(&self) -> bool {
        self.consumer.load(Relaxed) == this_thread()
    }

    /// Who waits must look at the notes, if it is not the one who has left them.
    fn tell(&self) {
        if !self.is_consumer() {
            self.interrupt();
        }
    }

    /// After a call that was refused for now: asks for what it waits for.
    fn or_ask<T>(
        &self,
        endpoint: &Endpoint,
        result: Result<T, Refusal>,
        ask: impl FnOnce(&mut State, RawFd),
    ) -> Result<T, Refusal> {
        if matches!(result, Err(Refusal::NotReady)) {
            self.ask(endpoint, ask);
        }
        result
    }

    /// After a call that was to send so many bytes: asks for room if that was too many.
    fn or_ask_for_room(
        &self,
        endpoint: &Endpoint,
        bytes: usize,
        result: Result<usize, Refusal>,
    ) -> Result<usize, Refusal> {
        let full = match result {
            Ok(sent) => sent < bytes,
            Err(refusal) => refusal == Refusal::NotReady,
        };
        if full {
            self.ask(endpoint, State::poll_send);
        }
        result
    }

    #[cold]
    fn ask(&self, endpoint: &Endpoint, ask: impl FnOnce(&mut State, RawFd)) {
        ask(&mut self.lock(), direct::fd(endpoint).as_raw_fd());
        self.tell();
    }

    /// Hands the notes to the system at once, if this is the consumer and it does not wait, and
    /// looks what came of it.
    fn flush(&self) {
        if !self.is_consumer() {
            return self.interrupt();
        }
        let mut ring = match self.ring.try_lock() {
            Ok(ring) => ring,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // A destructor that runs within a wait; the wait goes on to the notes.
            Err(TryLockError::WouldBlock) => return,
        };
        if let Some(ring) = &mut *ring {
            let mut state = self.lock();
            ring.take_notes(&mut state);
            ring.flush();
            ring.reap(&mut state);
        }
    }
}

/// How many bytes these are.
fn total(segments: &[Segment]) -> usize {
    segments.iter().map(|segment| segment.len()).sum()
}

impl System for Uring {
    fn name(&self) -> &'static str {
        "io_uring"
    }

    fn reason(&self) -> &'static str {
        "it was asked for: one thread consumes, and its handlers do not block"
    }

    fn starts_ready(&self) -> bool {
        true
    }

    fn arrive(&self) -> io::Result<()> {
        let me = this_thread();
        let first = self.consumer.compare_exchange(0, me, Acquire, Relaxed);
        if first.is_err() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this port is exclusive, and another thread takes its packets; take them there, or \
                 make the port without an engine of your choice",
            ));
        }
        let mut ring = overlapped_queue::lock(&self.ring);
        let mut state = self.lock();
        match Ring::new(self.event.as_raw_fd(), &state.buffers) {
            Ok(new) => *ring = Some(new),
            Err(error) => {
                self.consumer.store(0, Release);
                return Err(error);
            }
        }
        state.report_all();
        Ok(())
    }

    fn leave(&self) {
        // A forked child has a copy of the consuming thread, and not of its ring.
        if !self.is_consumer() || self.process.is_over() {
            return;
        }
        self.end();
        self.consumer.store(0, Release);
    }

    fn end(&self) {
        // A consumer that waits in it was told that the port has ended, and comes out.
        let mut ring = overlapped_queue::lock(&self.ring);
        if let Some(mut ring) = ring.take() {
            let mut state = self.lock();
            if self.is_consumer() {
                ring.call_back(&mut state);
            } else {
                ring.reap(&mut state);
            }
            let lost = ring.holds_results();
            drop(ring);
            state.forget_requests(lost);
        }
    }

    fn register(&self, endpoint: &Endpoint, token: u64, nature: Nature) -> io::Result<()> {
        let fd = direct::fd(endpoint);
        if nature == Nature::Watched {
            refuse_the_always_ready(endpoint)?;
        } else if !direct::is_non_blocking(endpoint) {
            rustix::io::ioctl_fionbio(fd, true)?;
        }
        // What comes with descriptors must be received by a call that asks for them.
        let comes = nature == Nature::Stream && !direct::passes_descriptors(endpoint);
        self.lock()
            .register(fd.as_raw_fd(), token, comes)
            .map_err(|_| io::ErrorKind::OutOfMemory.into())
    }

    fn deregister(&self, endpoint: &Endpoint) {
        let fd = direct::fd(endpoint).as_raw_fd();
        let asked = self.lock().deregister(fd);
        if asked {
            self.flush();
        }
    }

    fn holds_bytes(&self, endpoint: &Endpoint) -> bool {
        if self.process.is_over() {
            return true;
        }
        let fd = direct::fd(endpoint).as_raw_fd();
        let mut state = self.lock();
        state.withdraw_receive(fd);
        if state.stop_receiving(fd) {
            drop(state);
            self.flush();
            state = self.lock();
        }
        state.holds_bytes(fd)
    }

    fn wait(&self, timeout: Option<Duration>, report: &mut dyn FnMut(u64, Readiness)) {
        let mut ring = overlapped_queue::lock(&self.ring);
        let Some(ring) = &mut *ring else {
            // Only without memory for it; the queue above tries again.
            return std::thread::yield_now();
        };
        let mut state = self.lock();
        let idle = ring.take_notes(&mut state) && state.reports.is_empty();
        drop(state);
        ring.wait(if idle { timeout } else { Some(Duration::ZERO) });
        let mut state = self.lock();
        ring.reap(&mut state);
        for (token, readiness) in state.reports.drain(..) {
            report(token, readiness);
        }
    }

    fn interrupt(&self) {
        // Fails only when the counter is full, and then the ring has seen it.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    fn recv(&self, endpoint: &Endpoint, into: &[Segment]) -> Result<usize, Refusal> {
        let fd = direct::fd(endpoint).as_raw_fd();
        let mut state = self.lock();
        let result = match state.take(fd, into) {
            Found::Bytes(bytes) => Ok(bytes),
            Found::End(end) => end,
            Found::Nothing => Err(Refusal::NotReady),
            Found::LookDirectly => {
                drop(state);
                let result = direct::recv(endpoint, into);
                state = self.lock();
                match result {
                    Ok(0) => {}
                    Ok(bytes) => state.received_directly(fd, bytes),
                    Err(Refusal::NotReady) => state.ask_for_bytes(fd),
                    Err(Refusal::Failed(_)) => {}
                }
                result
            }
        };
        let told = state.notes.is_empty() || self.is_consumer();
        drop(state);
        if !told {
            self.interrupt();
        }
        result
    }

    fn recv_only(&self, endpoint: &Endpoint, into: &[Segment]) -> Result<usize, Refusal> {
        self.or_ask(endpoint, direct::recv(endpoint, into), State::poll_recv)
    }

    fn peek(&self, endpoint: &Endpoint) -> Result<(), Refusal> {
        let fd = direct::fd(endpoint).as_raw_fd();
        match self.lock().peek(fd) {
            Found::Bytes(_) => return Ok(()),
            Found::End(end) => return end.map(|_| ()),
            Found::Nothing => return Err(Refusal::NotReady),
            Found::LookDirectly => {}
        }
        self.or_ask(endpoint, direct::peek(endpoint), State::poll_recv)
    }

    fn send(&self, endpoint: &Endpoint, from: &[Segment]) -> Result<usize, Refusal> {
        self.or_ask_for_room(endpoint, total(from), direct::send(endpoint, from))
    }

    fn send_more(&self, endpoint: &Endpoint, from: &[Segment]) -> Result<usize, Refusal> {
        self.or_ask_for_room(endpoint, total(from), direct::send_more(endpoint, from))
    }

    fn send_file(
        &self,
        endpoint: &Endpoint,
        file: &OwnedFd,
        offset: u64,
        count: usize,
    ) -> Result<usize, Refusal> {
        let sent = direct::send_file(endpoint, file, offset, count);
        self.or_ask_for_room(endpoint, count, sent)
    }

    fn accept(&self, endpoint: &Endpoint) -> Result<(Endpoint, Option<Address>), Refusal> {
        self.or_ask(endpoint, direct::accept(endpoint), State::poll_recv)
    }

    fn connect(&self, endpoint: &Endpoint, to: &Address) -> Result<(), Refusal> {
        self.or_ask(endpoint, direct::connect(endpoint, to), State::poll_send)
    }

    fn connected(&self, endpoint: &Endpoint) -> Result<(), Refusal> {
        self.or_ask(endpoint, direct::connected(endpoint), State::poll_send)
    }

    fn recv_datagram(&self, endpoint: &Endpoint, into: &[Segment]) -> Result<Received, Refusal> {
        let received = direct::recv_datagram(endpoint, into);
        self.or_ask(endpoint, received, State::poll_recv)
    }

    fn send_datagram(
        &self,
        endpoint: &Endpoint,
        from: &[Segment],
        to: Option<&Address>,
    ) -> Result<(), Refusal> {
        let sent = direct::send_datagram(endpoint, from, to);
        self.or_ask(endpoint, sent, State::poll_send)
    }

    fn recv_with_descriptors(
        &self,
        endpoint: &Endpoint,
        into: &[Segment],
        room: usize,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Result<Received, Refusal> {
        let received = direct::recv_with_descriptors(endpoint, into, room, descriptors);
        self.or_ask(endpoint, received, State::poll_recv)
    }

    fn send_with_descriptors(
        &self,
        endpoint: &Endpoint,
        from: &[Segment],
        to: Option<&Address>,
        descriptors: &[OwnedFd],
    ) -> Result<usize, Refusal> {
        let sent = direct::send_with_descriptors(endpoint, from, to, descriptors);
        self.or_ask_for_room(endpoint, total(from), sent)
    }

    fn read(&self, endpoint: &Endpoint, into: &[Segment]) -> Result<usize, Refusal> {
        self.or_ask(endpoint, direct::read(endpoint, into), State::poll_recv)
    }

    fn write(&self, endpoint: &Endpoint, from: &[Segment]) -> Result<usize, Refusal> {
        self.or_ask_for_room(endpoint, total(from), direct::write(endpoint, from))
    }

    /// Which of its two directions is waited for is not known here, so both are asked for.
    fn look(&self, endpoint: &Endpoint) -> Result<Ready, Refusal> {
        let mut ready = direct::look(endpoint)?;
        let fd = direct::fd(endpoint).as_raw_fd();
        let mut state = self.lock();
        ready.readable |= matches!(state.peek(fd), Found::Bytes(_) | Found::End(_));
        if !ready.readable {
            state.poll_recv(fd);
            state.poll_urgent(fd);
        }
        if !ready.writable {
            state.poll_send(fd);
        }
        let told = state.notes.is_empty() || self.is_consumer();
        drop(state);
        if !told {
            self.interrupt();
        }
        Ok(ready)
    }
}

/// Regular files, `/dev/null` and their like cannot be waited for, which a poll in the ring does not
/// say, and epoll does.
fn refuse_the_always_ready(endpoint: &Endpoint) -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let nobody = epoll::EventData::new_u64(0);
    match epoll::add(&epoll, direct::fd(endpoint), nobody, epoll::EventFlags::ET) {
        Err(rustix::io::Errno::PERM) => Err(descriptor::always_ready()),
        result => Ok(result?),
    }
}
