//! Receives from the port's pool, and those that wait behind them.

use std::sync::Arc;

use overlapped_queue::Fifo;

use super::start::Launched;
use super::{Guarded, SocketState};
use crate::Status;
use crate::engine::iocp::{Parked, calls};
use crate::operation::{Kind, Operation, OperationList};
use crate::pool::Taken;

impl SocketState {
    /// Receives what is there into a buffer of the pool. One that was to end (`ending`) does, if it
    /// would have to wait again.
    pub(super) fn fetch(
        self: &Arc<Self>,
        guarded: &mut Guarded,
        ending: Option<Status>,
        mut operation: Operation,
        unparked: &mut Parked,
    ) -> Option<Operation> {
        let handle = match guarded.handle() {
            Some(handle) if !guarded.closed => handle,
            _ => {
                operation.finish(guarded.status_of_close(), 0);
                return Some(operation);
            }
        };
        let pool = self.port.pool();
        let enlist = !guarded.parked && ending.is_none();
        let taken = pool.take(&self.port, guarded.size, |parked| {
            if enlist {
                parked.push(self.clone());
            }
        });
        let mut buffer = match taken {
            Taken::Buffer(buffer) => buffer,
            Taken::Parked => {
                let Some(why) = ending else {
                    guarded.parked = true;
                    guarded.late = Some(operation);
                    return None;
                };
                operation.finish(why, 0);
                return Some(operation);
            }
            Taken::NoMemory => {
                operation.finish(Status::INSUFFICIENT_RESOURCES, 0);
                return Some(operation);
            }
        };
        let (status, bytes) = match calls::receive_now(handle, buffer.room()) {
            Ok(Some(bytes)) => (Status::SUCCESS, bytes),
            // Somebody else was faster.
            Ok(None) => {
                pool.put(buffer, unparked);
                if let Some(why) = ending {
                    operation.finish(why, 0);
                    return Some(operation);
                }
                return match self.launch(guarded, handle, operation, unparked) {
                    Launched::Flying => None,
                    Launched::Ended(operation) => Some(operation),
                    Launched::Refused(status, mut operation) => {
                        operation.finish(status, 0);
                        Some(operation)
                    }
                };
            }
            Err(status) => (guarded.note_failure(status), 0),
        };
        if bytes > 0 {
            guarded.size = buffer.size().after(bytes);
            // SAFETY: the system has just written them.
            unsafe { buffer.filled(bytes) };
            operation.set_pooled(buffer);
        } else {
            pool.put(buffer, unparked);
        }
        operation.finish(status, bytes);
        Some(operation)
    }

    /// A buffer of the pool has come back, and this socket is the first that awaits one.
    pub(in crate::engine::iocp) fn go_on(self: &Arc<Self>, unparked: &mut Parked) {
        let mut guarded = self.lock();
        guarded.parked = false;
        let mut ended = OperationList::new();
        if let Some(late) = guarded.late.take()
            && let Some(operation) = self.fetch(&mut guarded, None, late, unparked)
        {
            ended.push(operation);
            self.launch_receives(&mut guarded, &mut ended, unparked);
        }
        drop(guarded);
        self.queue_all(ended);
        // It may have had no use for the buffer any more.
        self.port.pool().pass_on(unparked);
    }

    /// The receive from the pool is over: those behind it go to the system, up to the next such.
    pub(super) fn launch_receives(
        self: &Arc<Self>,
        guarded: &mut Guarded,
        ended: &mut OperationList,
        unparked: &mut Parked,
    ) {
        guarded.pooled = false;
        while !guarded.pooled
            && let Some(handle) = guarded.handle()
            && let Some(operation) = guarded.receives.pop()
        {
            let pooled = operation.kind() == Kind::RecvPooled;
            match self.launch(guarded, handle, operation, unparked) {
                Launched::Flying => continue,
                Launched::Ended(operation) => ended.push(operation),
                Launched::Refused(status, mut operation) => {
                    operation.finish(status, 0);
                    ended.push(operation);
                }
            }
            if pooled {
                guarded.pooled = false;
            }
        }
    }
}
