//! A file that is associated with a port.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::engine::files::FileState;
use crate::operation::Operation;
use crate::{Refused, Status, Token};

/// A file that is associated with a port, or is to be opened for it. Cloning gives another handle to
/// the same file.
#[derive(Clone)]
pub struct File(Arc<FileState>);

impl File {
    pub(crate) fn new(state: Arc<FileState>) -> Self {
        File(state)
    }

    pub(crate) fn state(&self) -> &Arc<FileState> {
        &self.0
    }

    /// Starts an operation that was prepared; its packet comes out of the file's port.
    ///
    /// # Errors
    ///
    /// The operation comes back with the reason, and queues no packet (PK-5).
    pub fn start(&self, operation: Operation) -> Result<Token, Refused> {
        self.0.start(operation)
    }

    /// Cancels an operation; `false` if it is not under way (CX-2). The system is only asked: the
    /// packet says what became of it.
    pub fn cancel(&self, token: Token) -> bool {
        self.0.cancel(token)
    }

    /// Cancels all that is under way; how many operations that was.
    pub fn cancel_all(&self) -> usize {
        self.0.cancel_all()
    }

    /// Cancels what is under way and `wanted`; how many operations that was. Called with the port's
    /// files locked.
    pub fn cancel_those(&self, wanted: impl Fn(&Operation) -> bool) -> usize {
        self.0.cancel_those(wanted)
    }

    /// Gives the open file back, if no operation is under way.
    pub fn release(&self) -> Option<OwnedFd> {
        self.0.release()
    }

    /// Uses the descriptor.
    ///
    /// # Errors
    ///
    /// When the file is closed.
    pub fn with_open<R>(&self, f: impl FnOnce(&OwnedFd) -> R) -> Result<R, Status> {
        self.0.with_fd(f)
    }
}
