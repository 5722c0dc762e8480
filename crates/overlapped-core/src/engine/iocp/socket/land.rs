//! What becomes of an operation whose packet was taken, or that has ended at once.

use std::sync::Arc;

use super::{Guarded, Phase, SocketState};
use crate::Status;
use crate::engine::iocp::nature::Nature;
use crate::engine::iocp::{Parked, accept, connect, datagram, pieces, pipe, transmit};
use crate::operation::{Kind, Operation, OperationList};

impl SocketState {
    // ---- ending --------------------------------------------------------------------------------

    /// The packet of an operation was taken. The operation comes back, unless it is not over yet.
    pub(in crate::engine::iocp) fn land(
        self: &Arc<Self>,
        operation: Operation,
        status: Status,
        bytes: usize,
    ) -> Option<Operation> {
        let mut guarded = self.lock();
        let flight = guarded.flights.unboard(operation.id());
        let ending = flight.expect("what lands was in flight").ending;
        let mut unparked = Parked::default();
        let receives_pooled = operation.kind() == Kind::RecvPooled;
        let transmits = operation.kind() == Kind::SendFile;
        let landed = self.arrived(
            &mut guarded,
            ending,
            operation,
            status,
            bytes,
            &mut unparked,
        );
        let mut ended = OperationList::new();
        if transmits {
            self.launch_sends(&mut guarded, &mut ended, &mut unparked);
        }
        ended.append(&mut guarded.disconnected());
        if receives_pooled && landed.is_some() {
            self.launch_receives(&mut guarded, &mut ended, &mut unparked);
        }
        let (mut open, mut linger) = (None, None);
        if guarded.closed && !guarded.is_sending() {
            (open, linger) = (guarded.open.take(), guarded.linger.take());
        }
        drop(guarded);
        drop(open);
        self.queue_all(ended);
        self.port.push_all(&mut unparked);
        if let Some(linger) = linger {
            self.port.unschedule(linger);
        }
        landed
    }

    /// The system has done its part of an operation. It is over, unless it awaits a buffer, or has
    /// found no data.
    pub(super) fn arrived(
        self: &Arc<Self>,
        guarded: &mut Guarded,
        ending: Option<Status>,
        mut operation: Operation,
        status: Status,
        bytes: usize,
        unparked: &mut Parked,
    ) -> Option<Operation> {
        if operation.kind() == Kind::RecvPooled && status.is_success() {
            return self.fetch(guarded, ending, operation, unparked);
        }
        self.settle(guarded, ending, &mut operation, status, bytes);
        Some(operation)
    }

    /// Queues what has ended here and not in the system. No lock is held.
    pub(super) fn queue_all(&self, ended: OperationList) -> usize {
        let mut count = 0;
        for mut operation in ended {
            self.port.lift_deadline(&mut operation);
            self.port.queue_surely(operation);
            count += 1;
        }
        count
    }

    /// Makes the model's outcome of the system's, and fetches what belongs to it.
    fn settle(
        &self,
        guarded: &mut Guarded,
        ending: Option<Status>,
        operation: &mut Operation,
        mut status: Status,
        mut bytes: usize,
    ) {
        let ended =
            ending.filter(|_| matches!(status, Status::CANCELLED | Status::CONNECTION_ABORTED));
        if let Some(why) = ended {
            status = why;
        }
        match (self.nature, operation.kind()) {
            (Nature::Pipe { .. }, kind) => {
                if ended.is_none() {
                    status = pipe::status(status);
                }
                if kind == Kind::Recv {
                    pieces::scatter_if_several(operation, bytes);
                }
            }
            (_, Kind::RecvZero) => bytes = 0,
            (Nature::Datagram, Kind::Recv | Kind::RecvFrom) if status.is_success() => {
                if operation.kind() == Kind::RecvFrom {
                    datagram::sender(operation);
                }
                let room = operation.capacity();
                if bytes > room {
                    // What is beyond lies in the sink (IO-9).
                    (status, bytes) = (Status::BUFFER_OVERFLOW, room);
                }
            }
            (_, Kind::Accept | Kind::AcceptRecv) => {
                if status.is_success() {
                    status = accept::accepted(guarded.handle(), operation, bytes)
                        .map_or_else(|status| status, |()| Status::SUCCESS);
                }
                if !status.is_success() {
                    operation.scratch().accepted = None;
                    bytes = 0;
                }
            }
            (Nature::Datagram, Kind::Connect) if status.is_success() => {
                guarded.phase = Phase::Connected;
            }
            (Nature::Stream, Kind::Connect) => {
                guarded.phase = Phase::Fresh;
                if status.is_success() {
                    guarded.phase = Phase::Connected;
                    guarded.handle().into_iter().for_each(connect::connected);
                } else if ended.is_some() {
                    // What the system has made of the attempt is not known.
                    guarded.note_failure(Status::CONNECTION_ABORTED);
                }
            }
            // The system calls a datagram that was too long to be sent what it calls one that was
            // too long to be received.
            (Nature::Datagram, Kind::Send | Kind::SendTo) if status == Status::BUFFER_OVERFLOW => {
                status = Status::INVALID_BUFFER_SIZE;
            }
            (Nature::Stream, Kind::SendFile) if status.is_success() => {
                status = transmit::status(operation, bytes);
            }
            (Nature::Stream, _) if !status.is_success() && ended.is_none() => {
                status = guarded.note_failure(status);
            }
            _ => {}
        }
        if operation.kind() == Kind::Recv && !status.is_success() && self.nature == Nature::Stream {
            bytes = 0;
        }
        operation.finish(status, bytes);
    }
}
