//! Operation memory: what an operation is to the port and its engines.
//!
//! An operation is one piece of memory that a face allocates, with a [`Header`] at its front. The
//! header holds everything that the port needs, links included, so that starting, completing and
//! queueing an operation allocates nothing and cannot fail for want of memory. What follows the
//! header (the user's value, the buffers) is the face's.
//!
//! An [`Operation`] owns one such piece. It moves: from the face into a socket's direction, from
//! there into the port's queue, and out again as a packet. There is only ever one owner, so
//! whoever has it may touch header and buffers, and whoever drops it gives the memory back. While
//! it is inside the port no safe code outside can reach the buffers: that is the whole of the
//! ownership rule.

#[cfg(target_os = "linux")]
mod file;
#[cfg(target_os = "linux")]
mod items;
mod list;
#[cfg(target_os = "linux")]
mod passed;
mod start;

#[cfg(target_os = "linux")]
pub(crate) use file::FilePart;
#[cfg(target_os = "linux")]
pub(crate) use items::{Item, ItemList, Place, ReadyNode};
pub use list::OperationList;
#[cfg(target_os = "linux")]
pub use passed::MOST_DESCRIPTORS;
#[cfg(target_os = "linux")]
use passed::Passed;
pub use start::{Outcome, Refused, ShutdownHow, Token};

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::endpoint::Endpoint;
use crate::pool::PooledBuffer;
#[cfg(any(target_os = "linux", windows))]
use crate::port::timers::{Beat, Key};
use crate::{Address, Ready, Status};
use list::Link;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Receives at least one byte, or the end of the stream.
    Recv,
    /// Receives until its memory is full, or the stream has ended (IO-8).
    #[cfg(target_os = "linux")]
    RecvAll,
    /// Receives into a buffer of the port's pool, bound when the data is there.
    RecvPooled,
    /// Receives one datagram, and its sender's address.
    RecvFrom,
    /// Receives as `Recv` or `RecvFrom` does, and descriptors that came with the bytes (FD-2).
    RecvWithDescriptors,
    /// Completes when there is something to receive, and receives nothing (IO-4).
    RecvZero,
    /// Sends all of its bytes (IO-7).
    Send,
    /// Sends one datagram to an address.
    SendTo,
    /// Sends as `Send` or `SendTo` does, and descriptors with the first byte (FD-1).
    SendWithDescriptors,
    /// Completes when the descriptor can be read from; moves nothing.
    Readable,
    /// Completes when the descriptor can be written to; moves nothing.
    Writable,
    /// Accepts a connection.
    Accept,
    /// Accepts a connection and receives its first data (AX-4).
    AcceptRecv,
    /// Connects, and then sends the operation's bytes, if it has any (CE-2).
    Connect,
    /// Ends the sending direction after all that was queued before it (DX-1).
    Disconnect,
    /// Sends bytes, a range of a file, and bytes, as one send (TF-1).
    SendFile,
    /// Reads from a place of a file (IO-18).
    Read,
    /// Writes to a place of a file.
    Write,
    /// Writes to the end of a file, wherever that is by then.
    Append,
    /// Brings a file's data and metadata to the disk.
    SyncAll,
    /// Brings a file's data to the disk, and as much metadata as it takes to find it again.
    SyncData,
    /// Opens a file.
    Open,
    /// Closes a file.
    Close,
    /// Was posted: no I/O at all (PQ-1).
    Post,
    /// Completes at a time.
    Timer,
}

impl Kind {
    pub(crate) fn is_send_side(self) -> bool {
        matches!(
            self,
            Kind::Send
                | Kind::SendTo
                | Kind::SendWithDescriptors
                | Kind::SendFile
                | Kind::Connect
                | Kind::Disconnect
                | Kind::Writable
        )
    }
}

/// A piece of memory that the system reads or fills. The layout is `iovec`'s.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Segment {
    start: *mut u8,
    len: usize,
}

impl Segment {
    /// Describes `len` bytes at `start`.
    ///
    /// # Safety
    ///
    /// From the start of the operation that it is given to until that operation comes back, the
    /// memory must stay where it is and nobody else may touch it; for an operation that only
    /// sends, reading it elsewhere is fine, and the memory need not be writable.
    pub unsafe fn new(start: *mut u8, len: usize) -> Self {
        Segment { start, len }
    }

    /// Where it starts.
    pub fn as_ptr(self) -> *mut u8 {
        self.start
    }

    /// Its length in bytes.
    pub fn len(self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// At most the first `most` bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn first(self, most: usize) -> Self {
        Segment {
            start: self.start,
            len: self.len.min(most),
        }
    }

    /// The part behind the first `skip` bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn after(self, skip: usize) -> Self {
        debug_assert!(skip <= self.len);
        Segment {
            start: self.start.wrapping_add(skip),
            len: self.len - skip,
        }
    }
}

/// The front of an operation's memory.
#[repr(C)]
pub struct Header {
    /// First, because the system gives its address back for the operation's.
    #[cfg(windows)]
    pub(crate) overlapped: crate::engine::iocp::Overlapped,
    link: Link,
    release: unsafe fn(NonNull<Header>),
    /// Told when the operation is ended from outside, before anybody takes its packet.
    #[cfg(target_os = "linux")]
    ended: Option<unsafe fn(NonNull<Header>)>,
    kind: Kind,
    status: Status,
    bytes: usize,
    /// Captured at the start (PK-11); keeps its capacity, so that starting again allocates nothing.
    segments: SmallVec<[Segment; 1]>,
    /// Which operation of its socket this is; never used twice.
    id: u64,
    /// Keeps the socket, and what the face associated with it, until the packet is out.
    owner: Option<Arc<dyn Any + Send + Sync>>,
    /// What a receive from the pool brought.
    pooled: PooledBuffer,
    extra: Option<Box<Extra>>,
}

/// What receives and sends do not need: kept apart, so that an operation that waits takes little
/// memory, and the port's way through it few cache lines. Made when an operation that needs it is
/// started, and kept.
#[derive(Default)]
struct Extra {
    peer: Option<Address>,
    ready: Ready,
    accepted: Option<Endpoint>,
    /// How long it may be under way on a socket or file.
    timeout: Option<Duration>,
    /// The deadline that was set at the start.
    #[cfg(any(target_os = "linux", windows))]
    deadline: Option<Key>,
    /// Of a periodic timer, from packet to start.
    #[cfg(any(target_os = "linux", windows))]
    beat: Option<Beat>,
    #[cfg(target_os = "linux")]
    file: FilePart,
    #[cfg(target_os = "linux")]
    passed: Passed,
    #[cfg(windows)]
    scratch: crate::engine::iocp::Scratch,
    /// What the face keeps with it.
    kept: Option<Box<dyn Any + Send + Sync>>,
}

impl Extra {
    /// Forgets what the last operation left.
    #[cold]
    fn begin(&mut self, kind: Kind) {
        self.accepted = None;
        self.ready = Ready::default();
        if matches!(kind, Kind::RecvFrom | Kind::RecvWithDescriptors) {
            self.peer = None;
        }
        #[cfg(target_os = "linux")]
        self.passed.clear();
        #[cfg(any(target_os = "linux", windows))]
        if kind != Kind::Timer {
            self.beat = None;
        }
    }
}

// SAFETY: the raw pointers in it (link, segments) point to memory that moves with the operation.
unsafe impl Send for Header {}
// SAFETY: `&Header` gives access to plain values only.
unsafe impl Sync for Header {}

impl Header {
    /// A header for memory that `release` frees.
    pub fn new(release: unsafe fn(NonNull<Header>)) -> Self {
        Header {
            #[cfg(windows)]
            overlapped: crate::engine::iocp::Overlapped::new(),
            link: Link::operation(),
            release,
            #[cfg(target_os = "linux")]
            ended: None,
            kind: Kind::Post,
            status: Status::SUCCESS,
            bytes: 0,
            segments: SmallVec::new(),
            id: 0,
            owner: None,
            pooled: PooledBuffer::NONE,
            extra: None,
        }
    }

    /// Has `tell` called when the operation is ended by a cancel, a close or its deadline: there and
    /// then, and not when somebody takes its packet. It has its status by then.
    ///
    /// # Safety
    ///
    /// `tell` may be called on any thread, with the pointer that [`Operation::from_raw`] was given,
    /// and has the memory for itself while it runs.
    #[cfg(target_os = "linux")]
    pub unsafe fn tell_when_ended(&mut self, tell: unsafe fn(NonNull<Header>)) {
        self.ended = Some(tell);
    }

    /// Makes the operation ready for another start. Of several segments none may be empty.
    pub fn prepare(&mut self, kind: Kind, segments: impl IntoIterator<Item = Segment>) {
        self.segments.clear();
        self.segments.extend(segments);
        self.begin(kind);
    }

    /// As [`prepare`](Header::prepare), with one segment, as nearly all have.
    #[inline]
    pub fn prepare_one(&mut self, kind: Kind, segment: Segment) {
        match &mut self.segments[..] {
            [only] => *only = segment,
            _ => {
                self.segments.clear();
                self.segments.push(segment);
            }
        }
        self.begin(kind);
    }

    #[inline]
    fn begin(&mut self, kind: Kind) {
        self.kind = kind;
        self.status = Status::PENDING;
        self.bytes = 0;
        debug_assert!(
            self.segments.len() < 2 || self.segments.iter().all(|segment| !segment.is_empty()),
            "several segments with empty ones among them could make a call of no bytes"
        );
        if matches!(
            kind,
            Kind::Accept
                | Kind::AcceptRecv
                | Kind::RecvFrom
                | Kind::RecvWithDescriptors
                | Kind::Readable
                | Kind::Writable
        ) {
            // Now, so that completing needs no memory.
            self.extra();
        }
        if let Some(extra) = &mut self.extra {
            extra.begin(kind);
        }
    }

    fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// What the operation does, or did last.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How it ended.
    pub fn status(&self) -> Status {
        self.status
    }

    /// How many bytes it moved. A failed operation may have moved some.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The address to connect or send to, or that a connection or datagram came from.
    pub fn peer(&self) -> Option<&Address> {
        self.extra.as_ref()?.peer.as_ref()
    }

    /// Sets the address to connect or send to.
    pub fn set_peer(&mut self, peer: Option<Address>) {
        self.extra().peer = peer;
    }

    /// What a readiness operation found.
    pub fn ready(&self) -> Ready {
        self.extra
            .as_ref()
            .map_or(Ready::default(), |extra| extra.ready)
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn set_ready(&mut self, ready: Ready) {
        self.extra().ready = ready;
    }

    /// What the face gave to be kept with the operation.
    pub fn take_owner(&mut self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.owner.take()
    }

    /// Keeps `owner` until the operation comes back.
    pub fn set_owner(&mut self, owner: Option<Arc<dyn Any + Send + Sync>>) {
        self.owner = owner;
    }

    /// How long the operation may be under way on a socket or file.
    pub fn timeout(&self) -> Option<Duration> {
        self.extra.as_ref()?.timeout
    }

    /// Sets how long the operation may be under way on a socket or file, from its next start on.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.extra().timeout = timeout;
    }

    /// The connection that an accept took.
    pub fn take_accepted(&mut self) -> Option<Endpoint> {
        self.extra.as_mut()?.accepted.take()
    }

    /// What a receive from the port's pool brought.
    pub fn take_pooled(&mut self) -> Option<PooledBuffer> {
        self.pooled.take()
    }

    pub(crate) fn set_pooled(&mut self, buffer: PooledBuffer) {
        self.pooled = buffer;
    }

    /// Keeps something of the face's that few operations have; what was kept before comes back.
    pub fn keep(
        &mut self,
        value: Option<Box<dyn Any + Send + Sync>>,
    ) -> Option<Box<dyn Any + Send + Sync>> {
        std::mem::replace(&mut self.extra().kept, value)
    }

    /// Ends the operation.
    pub fn finish(&mut self, status: Status, bytes: usize) {
        self.status = status;
        self.bytes = bytes;
    }

    /// What an operation with a file needs.
    #[cfg(target_os = "linux")]
    pub(crate) fn file(&mut self) -> &mut FilePart {
        &mut self.extra().file
    }

    /// What it lends the system beside its segments.
    #[cfg(windows)]
    pub(crate) fn scratch(&mut self) -> &mut crate::engine::iocp::Scratch {
        &mut self.extra().scratch
    }

    /// The same, if it has been needed yet.
    #[cfg(windows)]
    pub(crate) fn has_scratch(&mut self) -> Option<&mut crate::engine::iocp::Scratch> {
        self.extra.as_mut().map(|extra| &mut extra.scratch)
    }

    /// Remembers the deadline that was set at the start.
    #[cfg(any(target_os = "linux", windows))]
    pub(crate) fn set_deadline(&mut self, deadline: Key) {
        self.extra().deadline = Some(deadline);
    }

    #[cfg(any(target_os = "linux", windows))]
    #[inline]
    pub(crate) fn take_deadline(&mut self) -> Option<Key> {
        self.extra.as_mut()?.deadline.take()
    }

    /// The beat of a periodic timer.
    #[cfg(any(target_os = "linux", windows))]
    pub(crate) fn beat(&mut self) -> &mut Option<Beat> {
        &mut self.extra().beat
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn set_id(&mut self, id: u64) {
        self.id = id;
    }

    /// The segment, if it has one.
    #[cfg(target_os = "linux")]
    pub(crate) fn only_segment(&self) -> Option<Segment> {
        match self.segments[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// All bytes that the operation could move.
    pub(crate) fn capacity(&self) -> usize {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn add_bytes(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    pub(crate) fn set_accepted(&mut self, endpoint: Endpoint) {
        self.extra().accepted = Some(endpoint);
    }
}

/// Whether a file can have a range that begins and is as long as this, in bytes.
pub(crate) fn is_range(offset: u64, length: u64) -> bool {
    let end = offset.checked_add(length);
    end.is_some_and(|end| i64::try_from(end).is_ok())
}

/// Owns one piece of operation memory.
pub struct Operation(NonNull<Header>);

// SAFETY: it is the only owner of its memory; `from_raw` demands that the memory may move between
// threads.
unsafe impl Send for Operation {}
// SAFETY: `&Operation` gives `&Header` only, which is `Sync`.
unsafe impl Sync for Operation {}

impl Operation {
    /// Takes over operation memory.
    ///
    /// # Safety
    ///
    /// `header` points to an initialised header at the front of memory that nobody else owns, that
    /// may be sent to other threads, and that the header's `release` function frees. The segments
    /// given to [`Header::prepare`] obey [`Segment::new`].
    pub unsafe fn from_raw(header: NonNull<Header>) -> Self {
        Operation(header)
    }

    /// Where the memory is; it stays the operation's.
    #[cfg(target_os = "linux")]
    pub fn as_ptr(&self) -> NonNull<Header> {
        self.0
    }

    /// It was ended from outside.
    #[cfg(target_os = "linux")]
    pub(crate) fn tell_ended(&mut self) {
        if let Some(tell) = self.ended {
            // SAFETY: the pointer is `from_raw`'s, and the memory is ours until the call returns.
            unsafe { tell(self.0) }
        }
    }

    /// Gives the memory up.
    pub fn into_raw(self) -> NonNull<Header> {
        let header = self.0;
        std::mem::forget(self);
        header
    }
}

impl std::ops::Deref for Operation {
    type Target = Header;

    fn deref(&self) -> &Header {
        // SAFETY: we own the memory, see `from_raw`.
        unsafe { self.0.as_ref() }
    }
}

impl std::ops::DerefMut for Operation {
    fn deref_mut(&mut self) -> &mut Header {
        // SAFETY: we own the memory and hold it exclusively, see `from_raw`.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let release = self.release;
        // SAFETY: we own the memory and give it up here; `from_raw` promised that `release` is the
        // way to do so.
        unsafe { release(self.0) }
    }
}
