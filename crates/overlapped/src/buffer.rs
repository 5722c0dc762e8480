//! What an operation's bytes are kept in.

use std::sync::Arc;

use crate::AlignedBuffer;

/// The memory that an operation receives into or sends from.
///
/// A closed set of types, because the port relies on their memory staying where it is while the
/// operation is under way; a type of the user's could move it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Buffer {
    /// One growable piece. A receive fills it from its beginning up to its *capacity* and sets its
    /// length to what came; a send sends its *length*. So an echo is: receive, send.
    Vec(Vec<u8>),
    /// Several pieces, filled or sent in order by one operation, each as [`Buffer::Vec`].
    Vectored(Vec<Vec<u8>>),
    /// One piece at an aligned address that does not grow, filled and sent as [`Buffer::Vec`].
    Aligned(Box<AlignedBuffer>),
    /// What a [`recv_pooled`](crate::Socket::recv_pooled) brought, in memory of the port's; cannot be
    /// received into. It goes back to the port when it is dropped, or the operation is started as
    /// such a receive again.
    Pooled(crate::PooledBuffer),
    /// Bytes that several operations send at once; cannot be received into.
    Shared(Arc<[u8]>),
    /// Bytes that live for ever; cannot be received into.
    Static(&'static [u8]),
}

impl Buffer {
    /// The bytes, if they are in one piece.
    pub fn as_slice(&self) -> Option<&[u8]> {
        match self {
            Buffer::Vec(bytes) => Some(bytes),
            Buffer::Vectored(_) => None,
            Buffer::Aligned(bytes) => Some(bytes),
            Buffer::Pooled(bytes) => Some(bytes),
            Buffer::Shared(bytes) => Some(bytes),
            Buffer::Static(bytes) => Some(bytes),
        }
    }

    /// The vector, if it is one.
    pub fn as_vec_mut(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Buffer::Vec(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// How many bytes a send would send.
    pub fn len(&self) -> usize {
        match self {
            Buffer::Vectored(pieces) => pieces.iter().map(Vec::len).sum(),
            other => other.as_slice().map_or(0, <[u8]>::len),
        }
    }

    /// Whether a send would send nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes a receive could receive.
    pub fn capacity(&self) -> usize {
        match self {
            Buffer::Vec(bytes) => bytes.capacity(),
            Buffer::Vectored(pieces) => pieces.iter().map(Vec::capacity).sum(),
            Buffer::Aligned(bytes) => bytes.capacity(),
            Buffer::Pooled(_) => 0,
            Buffer::Shared(_) | Buffer::Static(_) => 0,
        }
    }
}

impl Default for Buffer {
    /// No bytes and no room.
    fn default() -> Self {
        Buffer::Vec(Vec::new())
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Buffer::Vec(bytes)
    }
}

impl From<AlignedBuffer> for Buffer {
    fn from(bytes: AlignedBuffer) -> Self {
        Buffer::Aligned(Box::new(bytes))
    }
}

impl From<Arc<[u8]>> for Buffer {
    fn from(bytes: Arc<[u8]>) -> Self {
        Buffer::Shared(bytes)
    }
}

impl From<&'static [u8]> for Buffer {
    fn from(bytes: &'static [u8]) -> Self {
        Buffer::Static(bytes)
    }
}

impl<const N: usize> From<&'static [u8; N]> for Buffer {
    fn from(bytes: &'static [u8; N]) -> Self {
        Buffer::Static(bytes)
    }
}

impl From<&'static str> for Buffer {
    fn from(text: &'static str) -> Self {
        Buffer::Static(text.as_bytes())
    }
}
