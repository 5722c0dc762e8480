//! Cancelling, closing, and the end of the port.

use std::sync::{Arc, MutexGuard};

use super::{Guarded, Phase, SocketState, is_receive};
use crate::Status;
use crate::endpoint::Endpoint;
use crate::engine::iocp::Parked;
use crate::engine::iocp::nature::Nature;
use crate::operation::{Kind, OperationList, ShutdownHow};
use crate::port::timers::Due;

impl SocketState {
    /// Ends one operation, or asks the system to; whether it will end.
    pub(in crate::engine::iocp) fn end_one(self: &Arc<Self>, number: u64, why: Status) -> bool {
        let mut guarded = self.lock();
        if let Some(handle) = guarded.handle()
            && let Some(asked) = guarded.flights.end(handle, number, why)
        {
            return asked;
        }
        let ended = guarded.end_held(why, |operation| operation.id() == number);
        self.after_held(guarded, ended) > 0
    }

    /// Queues what has ended without the system, and starts what waited for it; how many ended.
    fn after_held(
        self: &Arc<Self>,
        mut guarded: MutexGuard<'_, Guarded>,
        mut ended: OperationList,
    ) -> usize {
        let count = ended.len();
        let mut unparked = Parked::default();
        let flies = guarded.flights.kinds().any(|kind| kind == Kind::RecvPooled);
        if guarded.pooled && guarded.late.is_none() && !flies {
            self.launch_receives(&mut guarded, &mut ended, &mut unparked);
        }
        drop(guarded);
        self.queue_all(ended);
        self.port.push_all(&mut unparked);
        count
    }

    /// Cancels all that is under way; how many operations will end.
    pub(super) fn cancel_all(self: &Arc<Self>) -> usize {
        let mut guarded = self.lock();
        let asked = guarded.ask_all(Status::CANCELLED, |_| true);
        let ended = guarded.end_held(Status::CANCELLED, |_| true);
        asked + self.after_held(guarded, ended)
    }

    /// The port has ended, and takes the operations' memory back.
    pub(in crate::engine::iocp) fn abandon(&self, left: &mut OperationList) {
        let mut guarded = self.lock();
        guarded.ask_all(Status::CANCELLED, |_| true);
        let open = if guarded.closed {
            guarded.open.take()
        } else {
            None
        };
        let mut held = guarded.take_held();
        drop(guarded);
        drop(open);
        for _ in 0..held.len() {
            self.port.arrive();
        }
        left.append(&mut held);
    }

    /// Ends receives and accepts at once; sends that are under way may go out until the port's
    /// linger time is over.
    pub(super) fn close(self: &Arc<Self>) {
        let mut guarded = self.lock();
        if std::mem::replace(&mut guarded.closed, true) {
            return;
        }
        let why = guarded.status_of_close();
        guarded.ask_all(why, |kind| !kind.is_send_side() || kind == Kind::Connect);
        let receives = guarded.end_held(why, |operation| is_receive(operation.kind()));
        let handle = guarded.handle();
        let linger = guarded.is_sending() && guarded.phase == Phase::Connected;
        let due = Due::Linger(Arc::downgrade(self));
        if linger && let Ok(key) = self.port.schedule_after(self.port.linger_for(), due) {
            guarded.linger = Some(key);
            if self.nature == Nature::Stream
                && let Some(handle) = handle
            {
                // The peer learns of the end behind what is being sent, though nobody may come for
                // its packet.
                let _ = guarded.shut_sending(handle);
            }
            drop(guarded);
            self.queue_all(receives);
            return;
        }
        drop(guarded);
        self.queue_all(receives);
        self.abort(why);
    }

    /// The linger time is over.
    pub(in crate::engine::iocp) fn abort_sends(&self) {
        self.abort(Status::CONNECTION_ABORTED);
    }

    /// Ends everything, and closes the socket in the system.
    fn abort(&self, why: Status) {
        let mut guarded = self.lock();
        guarded.ask_all(why, |_| true);
        let ended = guarded.end_held(why, |_| true);
        let open = guarded.open.take();
        drop(guarded);
        drop(open);
        self.queue_all(ended);
    }

    pub(super) fn shutdown(&self, how: ShutdownHow) -> Result<(), Status> {
        let mut guarded = self.lock();
        let handle = guarded.handle().filter(|_| !guarded.closed);
        let handle = handle.ok_or(Status::INVALID_HANDLE)?;
        if matches!(self.nature, Nature::Pipe { .. }) {
            return Err(Status::NOT_SUPPORTED);
        }
        if guarded.phase != Phase::Connected {
            return Err(Status::INVALID_CONNECTION);
        }
        if how != ShutdownHow::Send {
            // A flag only, as on the other engines: the system would reset the connection when more
            // data comes.
            guarded.recv_shut = true;
        }
        if how != ShutdownHow::Recv {
            guarded.shut_sending(handle)?;
        }
        Ok(())
    }

    pub(super) fn with_endpoint<R>(&self, f: impl FnOnce(&Endpoint) -> R) -> Result<R, Status> {
        let guarded = self.lock();
        match &guarded.open {
            Some(open) if !guarded.closed => Ok(f(&open.endpoint)),
            _ => Err(Status::INVALID_HANDLE),
        }
    }
}
