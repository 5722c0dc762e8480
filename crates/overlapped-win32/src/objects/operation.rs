//! Operation memory: the core's header, and what the face has to know of an operation when it ends.
//!
//! A program's `OVERLAPPED` has room for nothing of ours, so an operation is memory of our own that
//! knows where the `OVERLAPPED` is. Every operation that this crate gives to the core is one of
//! these, so whatever comes out of the core is one too. Each thread keeps a few that have ended: a
//! thread that takes a packet and starts the next operation uses the same memory again, still warm.
//!
//! What only few operations need ([`More`]) is apart and is made for each. Those are the ones that
//! are started backstage (`backstage.rs`), and those that do something at their end.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Release};

use overlapped_core::{Header, Kind, Operation, Status};

use super::notification::Notification;
use super::socket::{Accepting, Socket};
use super::{Event, Thread};
use crate::abi::OVERLAPPED;
use crate::apc::Apc;
use crate::error::Error;
use crate::net;
use crate::net::types::{
    OVERLAPPED_COMPLETION_ROUTINE, WSAOVERLAPPED_COMPLETION_ROUTINE, sockaddr,
};
use crate::thread::ThreadId;

/// How many ended ones a thread keeps.
const KEPT: usize = 64;

/// An operation of this face.
#[repr(C)]
pub(crate) struct Memory {
    header: Header,
    /// The program's name for it; whatever it posted.
    pub(crate) overlapped: *mut OVERLAPPED,
    /// What its packet carries, once that is known.
    pub(crate) key: usize,
    /// Who started it (CX-3).
    pub(crate) thread: ThreadId,
    /// The status block has been written, or is none of ours.
    written: bool,
    pub(crate) more: Option<Box<More>>,
    /// In a thread's store.
    next: Option<Box<Memory>>,
}

/// What few operations need.
#[derive(Default)]
pub(crate) struct More {
    /// Whom its end concerns, if it was started backstage.
    pub(crate) notification: Option<Arc<Notification>>,
    /// Set at the end.
    pub(crate) event: Option<Arc<Event>>,
    /// The event's handle was marked: there is no packet (PK-7).
    pub(crate) no_packet: bool,
    /// Called by this thread at the end, in place of everything else.
    routine: Option<(Routine, Arc<Thread>)>,
    /// Where the sender of a datagram is to be written.
    pub(crate) from: Option<(*mut sockaddr, *mut i32)>,
    pub(crate) accepting: Option<Accepting>,
    /// What has to be done at the end beside.
    pub(crate) finish: Option<Finish>,
    /// On which it goes on, if it has not ended with that.
    pub(crate) socket: Option<Arc<Socket>>,
}

/// Does what belongs to an operation's end: looks at the header, and may change how it has ended.
pub(crate) type Finish = Box<dyn FnMut(&mut Header) -> Finished>;

/// Whether an operation has ended with that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    Ended,
    /// It was prepared again, and is to go on where it was started.
    Again,
}

/// Who else is told of an operation's end.
pub(crate) enum Told {
    /// The event that its `OVERLAPPED` names; if its handle was marked, in place of a packet (PK-7).
    Event { event: Arc<Event>, no_packet: bool },
    /// The thread that started it, by a call in an alertable wait (AP-1).
    Routine(Routine),
}

/// A completion routine.
#[derive(Clone, Copy)]
pub(crate) enum Routine {
    Winsock(WSAOVERLAPPED_COMPLETION_ROUTINE),
    File(OVERLAPPED_COMPLETION_ROUTINE),
}

impl Told {
    /// Finds the event; `None` if there is none.
    ///
    /// # Safety
    ///
    /// `overlapped` is valid.
    #[inline]
    pub(crate) unsafe fn of(overlapped: *const OVERLAPPED) -> Result<Option<Told>, Error> {
        // SAFETY: by the caller's word.
        let handle = unsafe { (*overlapped).hEvent };
        match handle as usize {
            0 => Ok(None),
            _ => Self::find(handle).map(Some),
        }
    }

    #[cold]
    fn find(handle: crate::abi::HANDLE) -> Result<Told, Error> {
        Ok(Told::Event {
            event: crate::handle::find(handle)?.event()?.clone(),
            no_packet: handle as usize & 1 == 1,
        })
    }

    /// Prepares the operation to tell.
    pub(crate) fn prepare(self, memory: &mut Memory) {
        let more = memory.more();
        match self {
            Told::Event { event, no_packet } => {
                // EV-1
                event.reset();
                more.event = Some(event);
                more.no_packet = no_packet;
            }
            Told::Routine(routine) => more.routine = Some((routine, Thread::current())),
        }
    }
}

impl Routine {
    fn call(self, status: Status, bytes: usize, overlapped: *mut OVERLAPPED) {
        let bytes = bytes as u32;
        // SAFETY: the program gave the routine for this operation, with this structure.
        unsafe {
            match self {
                Routine::Winsock(routine) => routine(status.winsock(), bytes, overlapped, 0),
                Routine::File(routine) => routine(status.win32(), bytes, overlapped),
            }
        }
    }
}

thread_local! {
    static STORE: Store = const { Store { first: Cell::new(None), count: Cell::new(0) } };
}

struct Store {
    first: Cell<Option<Box<Memory>>>,
    count: Cell<usize>,
}

impl Drop for Store {
    fn drop(&mut self) {
        // One by one, so that a long chain does not recur.
        while let Some(mut memory) = self.first.take() {
            self.first.set(memory.next.take());
        }
    }
}

impl Memory {
    /// Memory for an operation that the calling thread starts.
    #[inline]
    pub(crate) fn take(overlapped: *mut OVERLAPPED) -> Box<Memory> {
        let stored = STORE.try_with(|store| {
            let mut memory = store.first.take()?;
            store.first.set(memory.next.take());
            store.count.set(store.count.get() - 1);
            Some(memory)
        });
        match stored {
            Ok(Some(mut memory)) => {
                memory.overlapped = overlapped;
                memory.written = false;
                memory
            }
            _ => Self::new(overlapped),
        }
    }

    #[cold]
    fn new(overlapped: *mut OVERLAPPED) -> Box<Memory> {
        let mut header = Header::new(release);
        // SAFETY: `ended` uses nothing but the memory.
        unsafe { header.tell_when_ended(ended) };
        Box::new(Memory {
            header,
            overlapped,
            key: 0,
            thread: ThreadId::current(),
            written: false,
            more: None,
            next: None,
        })
    }

    /// Keeps it for the calling thread's next operation.
    #[inline]
    pub(crate) fn give_back(mut self: Box<Self>) {
        // Assigning to what is None would be a call all the same.
        if self.more.is_some() {
            self.more = None;
        }
        self.header.let_go_of_file();
        let _ = STORE.try_with(|store| {
            if store.count.get() < KEPT {
                self.thread = ThreadId::current();
                self.next = store.first.take();
                store.first.set(Some(self));
                store.count.set(store.count.get() + 1);
            }
        });
    }

    pub(crate) fn header(&mut self) -> &mut Header {
        &mut self.header
    }

    pub(crate) fn status(&self) -> Status {
        self.header.status()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.header.bytes()
    }

    /// What few operations need; made if it has none.
    pub(crate) fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// A packet that the program posts: nothing of it is ours to write (PQ-1).
    pub(crate) fn posted(overlapped: *mut OVERLAPPED, key: usize, bytes: usize) -> Box<Memory> {
        let mut memory = Memory::take(overlapped);
        memory.key = key;
        memory.written = true;
        memory.header.prepare(Kind::Post, []);
        memory.header.finish(Status::SUCCESS, bytes);
        memory
    }

    /// Marks the program's structure as under way (PK-9).
    #[inline]
    pub(crate) fn begin(&self) {
        if !self.overlapped.is_null() {
            // SAFETY: the program gave it for an operation, so it is valid until that has ended.
            unsafe { (*self.overlapped).Internal = Status::PENDING.code() as usize };
        }
    }

    /// The operation has ended: does what belongs to that, and writes the status block. `None` if it
    /// goes on.
    #[inline]
    pub(crate) fn settle(mut self: Box<Self>) -> Option<Box<Self>> {
        if self.more.is_some() {
            self = self.settle_more()?;
        }
        self.write_status();
        Some(self)
    }

    #[cold]
    fn settle_more(mut self: Box<Self>) -> Option<Box<Self>> {
        let more = self.more.as_mut().expect("the caller has looked");
        if let Some((to, length)) = more.from.take()
            && let Some(peer) = self.header.peer()
        {
            let address = net::Any::of_core(peer);
            // SAFETY: the program gave both for as long as the operation takes (IO-11).
            let _ = unsafe { net::write(&address, to, length) };
        }
        if let Some(accepting) = more.accepting.take() {
            let endpoint = self.header.take_accepted();
            let (status, bytes) =
                accepting.finish(endpoint, self.header.status(), self.header.bytes());
            self.header.finish(status, bytes);
        }
        let Some(finish) = &mut more.finish else {
            return Some(self);
        };
        if self.written || finish(&mut self.header) == Finished::Ended {
            return Some(self);
        }
        let socket = more.socket.clone().expect("what goes on knows where");
        match socket.go_on(self) {
            Ok(()) => None,
            Err((mut memory, status)) => {
                memory.header.finish(status, 0);
                Some(memory)
            }
        }
    }

    /// It has ended before the call returns, and has a packet: what is written of it is written now
    /// (PK-10). A program whose last sends ended so may never take their packets.
    #[inline]
    pub(crate) fn ended_at_once(&mut self) {
        // What has more to it is not over before the packet is taken.
        if self.more.is_none() {
            self.write_status();
        }
    }

    /// Writes how it ended to where the program looks, once.
    #[inline]
    fn write_status(&mut self) {
        if !std::mem::replace(&mut self.written, true) && !self.overlapped.is_null() {
            let status = match self.header.status() {
                Status::PENDING => Status::CANCELLED,
                status => status,
            };
            // SAFETY: as in `begin`. Another thread may be waiting for `Internal` to change, so it
            // is written last.
            unsafe {
                (*self.overlapped).InternalHigh = self.header.bytes();
                AtomicUsize::from_ptr(&raw mut (*self.overlapped).Internal)
                    .store(status.code() as u32 as usize, Release);
            }
        }
    }

    /// Somebody takes its packet; `None` if there is to be none. Its socket may not have been able to go
    /// backstage when it was started, so its event is still to be set.
    #[inline]
    pub(crate) fn taken(mut self: Box<Self>) -> Option<Box<Self>> {
        if let Some(more) = &mut self.more {
            if let Some(event) = more.event.take() {
                event.set();
            }
            if more.no_packet {
                self.give_back();
                return None;
            }
        }
        Some(self)
    }

    /// It has ended, and nobody takes a packet to learn of that: tells whoever is to be told.
    pub(crate) fn tell(mut self: Box<Self>) {
        let Some(more) = &mut self.more else {
            return self.give_back();
        };
        let no_packet = more.no_packet || self.overlapped.is_null();
        if let Some((routine, thread)) = more.routine.take() {
            let (status, bytes) = (self.status(), self.bytes());
            let overlapped = self.overlapped as usize;
            self.give_back();
            // A thread that has ended does not call it.
            thread.apcs().queue(Apc::Own(Box::new(move || {
                routine.call(status, bytes, overlapped as *mut OVERLAPPED);
            })));
            return;
        }
        let notification = more.notification.take();
        match (more.event.take(), &notification) {
            (Some(event), _) => event.set(),
            (None, Some(notification)) => notification.end(),
            (None, None) => {}
        }
        match notification {
            Some(notification) if !no_packet => notification.deliver(self),
            _ => self.give_back(),
        }
    }

    /// Hands it to the core.
    #[inline]
    pub(crate) fn into_core(self: Box<Self>) -> Operation {
        let header: NonNull<Header> = NonNull::from(Box::leak(self)).cast();
        // SAFETY: the header is at the front (`repr(C)`), initialised, and knows how to free the
        // box, whose only owner we were. What it points to is the program's, which gives it up
        // until the operation has ended.
        unsafe { Operation::from_raw(header) }
    }

    /// Takes it back.
    #[inline]
    pub(crate) fn from_core(operation: Operation) -> Box<Memory> {
        // SAFETY: every operation of this crate's ports was made by `into_core`.
        unsafe { Box::from_raw(operation.into_raw().cast().as_ptr()) }
    }

    /// Looks at one that is the core's now.
    pub(crate) fn look(operation: &Operation) -> &Memory {
        // SAFETY: as in `from_core`; whoever lends us the operation has it for itself.
        unsafe { operation.as_ptr().cast::<Memory>().as_ref() }
    }

    /// It could not be started.
    pub(crate) fn refuse(&mut self, status: Status) {
        self.header.finish(status, 0);
        self.write_status();
    }

    /// Whether it puts a connection into this socket.
    pub(crate) fn is_accepting_for(&self, target: &Arc<Socket>) -> bool {
        let accepting = self.more.as_ref().and_then(|more| more.accepting.as_ref());
        accepting.is_some_and(|accepting| accepting.is_for(target))
    }

    /// Whether it is cancelled when the thread ends that has started it (CX-8).
    pub(crate) fn ends_with_its_thread(&self) -> bool {
        let associated = |told: &Arc<Notification>| told.is_associated();
        self.more.as_ref().is_some_and(|more| {
            more.event.is_some() || !more.notification.as_ref().is_some_and(associated)
        })
    }

    /// Whether it sends.
    pub(crate) fn is_send(&self) -> bool {
        matches!(
            self.header.kind(),
            Kind::Send | Kind::SendTo | Kind::SendFile | Kind::Disconnect
        )
    }
}

/// It was ended from outside, and the program may be waiting for that without taking packets (PK-10).
///
/// # Safety
///
/// As [`Header::tell_when_ended`] promises.
unsafe fn ended(header: NonNull<Header>) {
    // SAFETY: the pointer is `into_core`'s, and the memory is ours for now.
    let memory = unsafe { header.cast::<Memory>().as_mut() };
    if let Some(more) = &mut memory.more {
        // The socket that it was for can be used otherwise from now on.
        more.accepting = None;
    }
    memory.write_status();
}

/// The port has ended, and the operation has no packet or it was dropped.
///
/// # Safety
///
/// `header` came from [`Memory::into_core`], and is not used afterwards.
unsafe fn release(header: NonNull<Header>) {
    // SAFETY: as in `from_core`.
    let mut memory = unsafe { Box::from_raw(header.cast::<Memory>().as_ptr()) };
    // A packet that was dropped leaves the program's structure alone: it may be gone, since the program
    // knows by other means that the operation is over (CX-10).
    if memory.status() == Status::PENDING {
        memory.write_status();
    }
    if let Some(event) = memory.more.as_mut().and_then(|more| more.event.take()) {
        event.set();
    }
}
