//! The completion packet.

use std::fmt;
use std::io;

use overlapped_core::{Kind, Status};

use crate::{File, Operation, Socket};

/// A completion packet: an operation that ended, however it ended.
///
/// A failed operation is a packet too, and never a failed [`get`](crate::CompletionPort::get)
/// (table 2a): status and byte count stand side by side, because an operation that failed may have
/// moved bytes before.
#[non_exhaustive]
pub struct Packet<K, T> {
    /// The socket that the operation was started on, with its key; `None` for a timer, and for an
    /// operation that was posted to the port itself.
    pub socket: Option<Socket<K, T>>,
    /// The file that the operation was started on, with its key; after an open, the opened one.
    pub file: Option<File<K, T>>,
    /// The operation, to be looked at and started again.
    pub operation: Operation<T>,
    /// What the operation was.
    pub kind: Kind,
    /// How it ended.
    pub status: Status,
    /// How many bytes it moved; for a posted one, the number it was posted with; for a timer, how
    /// often it has expired.
    pub bytes: usize,
}

impl<K: Send + Sync + 'static, T: Send + 'static> Packet<K, T> {
    /// The completion key of the socket or file that the operation was started on; `None` for an
    /// operation that was posted to the port itself.
    pub fn key(&self) -> Option<&K> {
        if let Some(file) = &self.file {
            return Some(file.key());
        }
        self.socket.as_ref().map(Socket::key)
    }
}

impl<K, T> Packet<K, T> {
    /// The byte count, or the error if the operation failed.
    ///
    /// # Errors
    ///
    /// That of the operation.
    pub fn result(&self) -> io::Result<usize> {
        self.status.to_result().map(|()| self.bytes)
    }
}

impl<K, T> fmt::Debug for Packet<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("kind", &self.kind)
            .field("status", &self.status)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
