//! What starting an operation gives: a token, or the operation back.

use crate::Status;
use crate::operation::Operation;

/// Names one started operation, for cancelling it. Never names another one later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    pub(crate) socket: u64,
    pub(crate) operation: u64,
}

/// What became of an operation that was started directly (SK-1).
pub enum Outcome {
    /// It is under way, and its packet will come.
    Pending(Token),
    /// It has ended at once; here it is, and no packet will come.
    Done(Operation),
}

/// Why an operation was not started; it comes back untouched and queues no packet (PK-5).
pub struct Refused {
    /// The reason.
    pub status: Status,
    /// The operation.
    pub operation: Operation,
}

/// Which directions of a connection to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownHow {
    /// No further receives: those under way go on, new ones are refused (IO-16).
    Recv,
    /// No further sends: those under way go out, then the peer is told.
    Send,
    /// Both.
    Both,
}
