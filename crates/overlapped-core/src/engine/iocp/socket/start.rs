//! Giving operations to the system.

use std::sync::{Arc, MutexGuard};

use windows_sys::Win32::Foundation::HANDLE;

use super::{Guarded, Phase, SocketState, is_receive, is_send};
use crate::Status;
use crate::engine::iocp::Parked;
use crate::engine::iocp::calls::{self, Issued, Local};
use crate::engine::iocp::nature::{Nature, skip_on_success};
use crate::engine::iocp::overlapped::Whose;
use crate::operation::{Kind, Operation, OperationList, Outcome, Refused, Token};
use crate::port::timers::Due;

/// What became of an operation that was to be given to the system.
pub(super) enum Launched {
    Flying,
    /// It has ended, and no packet of the system's will come.
    Ended(Operation),
    Refused(Status, Operation),
}

impl SocketState {
    /// Starts an operation. What is started directly and ends at once comes back (SK-1).
    pub(super) fn start(
        self: &Arc<Self>,
        mut operation: Operation,
        direct: bool,
    ) -> Result<Outcome, Refused> {
        let kind = operation.kind();
        let mut guarded = self.lock();
        let handle = match self.admit(&guarded, kind) {
            Ok(handle) => handle,
            Err(status) => return Err(Refused { status, operation }),
        };
        if !self.port.depart() {
            let status = Status::INVALID_HANDLE;
            return Err(Refused { status, operation });
        }
        let number = guarded.next;
        guarded.next += 1;
        if let Err(status) = self.set_deadline(&mut operation, number) {
            self.port.arrive();
            return Err(Refused { status, operation });
        }
        if direct && !guarded.skips {
            guarded.skips = skip_on_success(handle, self.nature);
        }
        operation.set_id(number);
        let pending = Outcome::Pending(Token {
            socket: self.number,
            operation: number,
        });
        if kind == Kind::Disconnect {
            return self.disconnect(guarded, handle, operation, direct);
        }
        if guarded.pooled && is_receive(kind) {
            guarded.receives.push(operation);
            return Ok(pending);
        }
        if is_send(kind) && guarded.transmits() {
            guarded.sends.push(operation);
            return Ok(pending);
        }
        let mut unparked = Parked::default();
        let launched = self.launch(&mut guarded, handle, operation, &mut unparked);
        if kind == Kind::RecvPooled && !matches!(launched, Launched::Flying) {
            guarded.pooled = false;
        }
        drop(guarded);
        self.port.push_all(&mut unparked);
        match launched {
            Launched::Flying => Ok(pending),
            Launched::Ended(mut operation) if direct => {
                self.port.lift_deadline(&mut operation);
                self.port.arrive();
                Ok(Outcome::Done(operation))
            }
            Launched::Ended(operation) => {
                self.queue_all(OperationList::from_iter([operation]));
                Ok(pending)
            }
            Launched::Refused(status, operation) => Err(self.refused(operation, status)),
        }
    }

    /// Gives an operation to the system.
    pub(super) fn launch(
        self: &Arc<Self>,
        guarded: &mut Guarded,
        handle: HANDLE,
        mut operation: Operation,
        unparked: &mut Parked,
    ) -> Launched {
        let (kind, number) = (operation.kind(), operation.id());
        if kind == Kind::RecvPooled && !guarded.nonblocking {
            guarded.nonblocking = calls::make_nonblocking(handle);
            if !guarded.nonblocking {
                return Launched::Refused(Status::NOT_SUPPORTED, operation);
            }
        }
        operation.overlapped.reset();
        operation.overlapped.whose = Whose::Socket(self.clone());
        let local = Local {
            handle,
            nature: self.nature,
            family: self.family,
        };
        let header = operation.into_raw();
        guarded.flights.board(number, header, kind);
        guarded.pooled |= kind == Kind::RecvPooled;
        // SAFETY: the socket is open while the lock is held; the memory was just given up, and is
        // taken back in the cases that allow it, or else with its packet.
        let issued = unsafe { calls::issue(&local, header) };
        if issued.is_ok() && kind == Kind::Connect && self.nature == Nature::Stream {
            guarded.phase = Phase::Connecting;
        }
        let ended = match issued {
            Ok(Issued::Pending) => return Launched::Flying,
            Ok(Issued::AtOnce(..)) if !guarded.skips => return Launched::Flying,
            Ok(Issued::AtOnce(status, bytes)) => Ok((status, bytes as usize)),
            Ok(Issued::Ended(status)) => Ok((status, 0)),
            Err(status) => Err(status),
        };
        guarded.flights.unboard(number);
        // SAFETY: the call failed, or no packet will come: the system is done with it.
        let mut operation = unsafe { Operation::from_raw(header) };
        operation.overlapped.whose = Whose::Nobody;
        match ended {
            Ok((status, bytes)) => {
                match self.arrived(guarded, None, operation, status, bytes, unparked) {
                    Some(operation) => Launched::Ended(operation),
                    None => Launched::Flying,
                }
            }
            Err(status) => {
                // A listener outlives its clients, and a socket that could not connect tries again.
                let status = match (self.nature, guarded.phase) {
                    (Nature::Stream, Phase::Connected) => guarded.note_failure(status),
                    _ => status,
                };
                Launched::Refused(status, operation)
            }
        }
    }

    /// A transmit is over: the sends behind it go to the system, up to the next such, and then the
    /// peer is told of the end, if it is to be.
    pub(super) fn launch_sends(
        self: &Arc<Self>,
        guarded: &mut Guarded,
        ended: &mut OperationList,
        unparked: &mut Parked,
    ) {
        while let Some(handle) = guarded.handle()
            && !guarded.flights.kinds().any(|kind| kind == Kind::SendFile)
            && let Some(operation) = guarded.sends.pop()
        {
            match self.launch(guarded, handle, operation, unparked) {
                Launched::Flying => {}
                Launched::Ended(operation) => ended.push(operation),
                Launched::Refused(status, mut operation) => {
                    operation.finish(status, 0);
                    ended.push(operation);
                }
            }
        }
        if guarded.send_shut
            && let Some(handle) = guarded.handle()
        {
            // It fails only where there is nobody to be told any more.
            let _ = guarded.shut_sending(handle);
        }
    }

    /// Has the peer told of the end, behind all that is being sent; the operation completes when the
    /// packets of that are out. (DisconnectEx would do the former too, but what it waits for differs
    /// from system to system.)
    fn disconnect(
        &self,
        mut guarded: MutexGuard<'_, Guarded>,
        handle: HANDLE,
        mut operation: Operation,
        direct: bool,
    ) -> Result<Outcome, Refused> {
        if let Err(status) = guarded.shut_sending(handle) {
            drop(guarded);
            return Err(self.refused(operation, status));
        }
        let pending = Outcome::Pending(Token {
            socket: self.number,
            operation: operation.id(),
        });
        if guarded.is_sending() {
            guarded.disconnects.push(operation);
            return Ok(pending);
        }
        drop(guarded);
        operation.finish(Status::SUCCESS, 0);
        self.port.lift_deadline(&mut operation);
        if direct {
            self.port.arrive();
            return Ok(Outcome::Done(operation));
        }
        self.port.queue_surely(operation);
        Ok(pending)
    }

    /// The refusal of an operation that had departed already.
    fn refused(&self, mut operation: Operation, status: Status) -> Refused {
        self.port.arrive();
        self.port.lift_deadline(&mut operation);
        if matches!(operation.kind(), Kind::Accept | Kind::AcceptRecv) {
            operation.scratch().accepted = None;
        }
        operation.overlapped.whose = Whose::Nobody;
        Refused { status, operation }
    }

    /// Sets the operation's deadline, if it has a time-out.
    fn set_deadline(self: &Arc<Self>, operation: &mut Operation, id: u64) -> Result<(), Status> {
        if let Some(timeout) = operation.timeout() {
            let due = Due::Deadline(Arc::downgrade(self), id);
            let key = self.port.schedule_after(timeout, due);
            operation.set_deadline(key.map_err(|(status, _)| status)?);
        }
        Ok(())
    }

    /// Whether the socket can start an operation of this kind now.
    fn admit(&self, guarded: &Guarded, kind: Kind) -> Result<HANDLE, Status> {
        let phase = guarded.phase;
        let handle = match guarded.handle() {
            Some(handle) if !guarded.closed => handle,
            _ => return Err(Status::INVALID_HANDLE),
        };
        if let Nature::Pipe { reads, writes } = self.nature {
            return match kind {
                Kind::Recv | Kind::RecvZero if reads => Ok(handle),
                Kind::Send if writes => Ok(handle),
                _ => Err(Status::NOT_SUPPORTED),
            };
        }
        if let Some(status) = guarded.broken {
            return Err(status);
        }
        let receives = is_receive(kind);
        let sends = is_send(kind);
        match (self.nature, kind) {
            (Nature::Stream, Kind::RecvFrom | Kind::SendTo)
            | (Nature::Datagram, Kind::RecvPooled | Kind::SendFile) => Err(Status::NOT_SUPPORTED),
            (Nature::Stream, Kind::Send | Kind::SendFile | Kind::Disconnect)
            | (Nature::Datagram, Kind::Send)
                if phase != Phase::Connected =>
            {
                Err(Status::INVALID_CONNECTION)
            }
            (Nature::Stream, _) if receives && phase != Phase::Connected => {
                Err(Status::INVALID_CONNECTION)
            }
            _ if receives && guarded.recv_shut => Err(Status::PIPE_DISCONNECTED),
            _ if sends && guarded.send_shut => Err(Status::PIPE_DISCONNECTED),
            _ if receives || sends => Ok(handle),
            (Nature::Datagram, Kind::Connect) | (Nature::Stream, Kind::Disconnect) => Ok(handle),
            (Nature::Datagram, _) => Err(Status::NOT_SUPPORTED),
            (_, Kind::Accept | Kind::AcceptRecv) if phase == Phase::Listener => Ok(handle),
            (_, Kind::Accept | Kind::AcceptRecv) => Err(Status::INVALID_PARAMETER),
            (_, Kind::Connect) => match phase {
                Phase::Fresh => Ok(handle),
                Phase::Connected => Err(Status::CONNECTION_ACTIVE),
                Phase::Connecting | Phase::Listener => Err(Status::INVALID_PARAMETER),
            },
            _ => Err(Status::NOT_SUPPORTED),
        }
    }
}
