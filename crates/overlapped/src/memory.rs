//! Typed operation memory, and the way between it and the core's untyped one. All unsafe code of
//! this crate is here.
//!
//! The rule that everything rests on: while an operation is started, nothing but the core can
//! reach its memory. It holds because starting moves the only handle into the core, and getting
//! its packet moves it out.

use std::ptr::NonNull;

use overlapped_core::{Header, Kind, Operation as Untyped, Segment};

use crate::{AlignedBuffer, Buffer};

/// One operation's memory: the core's header at the front, then what the user put in.
#[repr(C)]
pub(crate) struct Memory<T> {
    pub(crate) header: Header,
    pub(crate) buffer: Buffer,
    /// What a transmit sends after the file.
    pub(crate) user: T,
}

/// Whether an operation's bytes go in or out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// From the wire into the buffer's capacity.
    Receive,
    /// From the buffer's length onto the wire.
    Send,
    /// The operation moves none.
    None,
}

impl<T> Memory<T> {
    pub(crate) fn new(buffer: Buffer, user: T) -> Box<Self> {
        Box::new(Memory {
            header: Header::new(release::<T>),
            buffer,
            user,
        })
    }

    /// Readies the header: what to do, and with which bytes.
    #[inline]
    pub(crate) fn prepare(&mut self, kind: Kind, bytes: Bytes) {
        let header = &mut self.header;
        match (bytes, &mut self.buffer) {
            (Bytes::Receive, Buffer::Vec(vec)) => header.prepare_one(kind, room(vec)),
            (Bytes::Send, Buffer::Vec(vec)) if !vec.is_empty() => {
                header.prepare_one(kind, content(vec));
            }
            _ => self.prepare_any(kind, bytes),
        }
    }

    #[inline(never)]
    fn prepare_any(&mut self, kind: Kind, bytes: Bytes) {
        let header = &mut self.header;
        match (bytes, &mut self.buffer) {
            (Bytes::None, _) => header.prepare(kind, []),
            (Bytes::Receive, Buffer::Vec(vec)) => header.prepare(kind, [room(vec)]),
            (Bytes::Receive, Buffer::Vectored(pieces)) => {
                let rooms = pieces.iter_mut().map(room);
                header.prepare(kind, rooms.filter(|room| !room.is_empty()));
            }
            (Bytes::Receive, Buffer::Aligned(bytes)) => {
                header.prepare(kind, [aligned_room(bytes)]);
            }
            // Refused before they come here; there is no room to receive into.
            (Bytes::Receive, Buffer::Shared(_) | Buffer::Static(_)) => header.prepare(kind, []),
            (Bytes::Receive, Buffer::Pooled(_)) => header.prepare(kind, []),
            (Bytes::Send, buffer) => header.prepare(kind, contents(buffer)),
        }
    }

    /// Readies the header for a transmit of the buffer, a file, and `tail`. How many pieces precede
    /// the file.
    pub(crate) fn prepare_transmit(&mut self, tail: Buffer) -> usize {
        // In its place for as long as the operation is under way.
        let tail = Box::new(tail);
        let head: Vec<Segment> = contents(&self.buffer).collect();
        let pieces = head.iter().copied().chain(contents(&tail));
        self.header.prepare(Kind::SendFile, pieces);
        self.header.keep(Some(tail));
        head.len()
    }

    /// After the packet: makes what a receive brought the buffer's content.
    pub(crate) fn settle(&mut self) {
        if self.header.kind() == Kind::RecvPooled {
            let received = self.header.take_pooled();
            self.buffer = received.map_or_else(Buffer::default, Buffer::Pooled);
            return;
        }
        #[cfg(target_os = "linux")]
        if self.header.kind() == Kind::SendWithDescriptors {
            self.header.close_sent_descriptors();
            return;
        }
        if !matches!(
            self.header.kind(),
            Kind::Recv | Kind::RecvFrom | Kind::RecvWithDescriptors | Kind::AcceptRecv | Kind::Read
        ) {
            return;
        }
        let mut left = self.header.bytes();
        match &mut self.buffer {
            Buffer::Vec(vec) => fill(vec, &mut left),
            Buffer::Vectored(pieces) => pieces.iter_mut().for_each(|piece| fill(piece, &mut left)),
            Buffer::Aligned(bytes) => bytes.set_len(left.min(bytes.capacity())),
            Buffer::Pooled(_) => {}
            Buffer::Shared(_) | Buffer::Static(_) => {}
        }
    }
}

/// The whole capacity of a vector. Its length stays until the operation ends, so that a refused
/// one comes back as it was.
fn room(vec: &mut Vec<u8>) -> Segment {
    // SAFETY: the vector belongs to the operation, and nobody reaches it until the operation comes
    // back; moving the operation's box does not move the vector's bytes.
    unsafe { Segment::new(vec.as_mut_ptr(), vec.capacity()) }
}

/// All of an aligned buffer.
fn aligned_room(bytes: &mut AlignedBuffer) -> Segment {
    let room = bytes.room();
    // SAFETY: as for `room`.
    unsafe { Segment::new(room.as_mut_ptr(), room.len()) }
}

/// A buffer's bytes, to be sent.
fn contents(buffer: &Buffer) -> impl Iterator<Item = Segment> {
    let (one, several) = match buffer {
        Buffer::Vectored(pieces) => (None, &pieces[..]),
        other => (other.as_slice(), &[][..]),
    };
    let several = several.iter().map(Vec::as_slice);
    let all = one.into_iter().chain(several);
    all.filter(|bytes| !bytes.is_empty()).map(content)
}

/// Bytes to be sent.
fn content(bytes: &[u8]) -> Segment {
    // SAFETY: as for `room`; shared and static bytes are never written by anybody.
    unsafe { Segment::new(bytes.as_ptr().cast_mut(), bytes.len()) }
}

/// Gives a vector the next of the received bytes.
fn fill(vec: &mut Vec<u8>, left: &mut usize) {
    let filled = vec.capacity().min(*left);
    *left -= filled;
    // SAFETY: segments are filled in order from their beginnings, so these bytes were written, and
    // nobody has touched the vector since the operation was prepared.
    unsafe { vec.set_len(filled) };
}

/// Hands the memory to the core.
pub(crate) fn into_core<T: Send + 'static>(memory: Box<Memory<T>>) -> Untyped {
    let header: NonNull<Header> = NonNull::from(Box::leak(memory)).cast();
    // SAFETY: the header is at the front (`repr(C)`), initialised, and knows how to free the box;
    // we have just given up the only other owner; `T` and the buffer are `Send`.
    unsafe { Untyped::from_raw(header) }
}

/// Takes the memory back.
///
/// # Safety
///
/// The operation was made by [`into_core`] with this very `T`.
pub(crate) unsafe fn from_core<T>(operation: Untyped) -> Box<Memory<T>> {
    // SAFETY: by the caller's word this is the pointer that `into_core` leaked, and the untyped
    // operation was its only owner.
    unsafe { Box::from_raw(operation.into_raw().cast().as_ptr()) }
}

/// What the core calls when an operation ends without a packet.
///
/// # Safety
///
/// `header` came from [`into_core`] with this `T`, and is not used afterwards.
unsafe fn release<T>(header: NonNull<Header>) {
    // SAFETY: as in `from_core`.
    drop(unsafe { Box::from_raw(header.cast::<Memory<T>>().as_ptr()) });
}
