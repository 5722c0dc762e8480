//! Where Linux's socket is, and starting operations on it.
//!
//! It is *here* until the first overlapped operation, and used by direct calls. Then it gets a *seat* at
//! one of the core's ports, and is used through that: at the program's port if packets are all that the
//! program wants to know of the operation, and backstage otherwise (`backstage.rs`).
//!
//! What the program wants can change: it may associate a socket on which something is under way (PO-10), or
//! give an event to an operation although all before had none. So the seat can be changed. Going backstage
//! takes along what is under way, because it has to be performed even if nobody takes packets from now
//! on. The way back is only for a socket that is idle: until then packets are passed on.

use std::os::fd::{AsFd, BorrowedFd};

use overlapped_core::{Endpoint, Operation, OperationList, Outcome, Refused, ShutdownHow, Status};

use super::{Flag, Socket};
use crate::error::Error;
use crate::net;
use crate::objects::backstage;
use crate::objects::operation::{Memory, Told};

pub(super) enum Place {
    Here(Endpoint),
    Seated {
        socket: overlapped_core::Socket,
        backstage: bool,
    },
    Closed,
}

impl Place {
    pub(super) fn with_endpoint<R>(&self, f: impl FnOnce(&Endpoint) -> R) -> Result<R, Error> {
        match self {
            Place::Here(endpoint) => Ok(f(endpoint)),
            Place::Seated { socket, .. } => socket.with_endpoint(f).map_err(net::of_status),
            Place::Closed => Err(Error::WSAENOTSOCK),
        }
    }

    pub(super) fn with_fd<R>(&self, f: impl FnOnce(BorrowedFd<'_>) -> R) -> Result<R, Error> {
        self.with_endpoint(|endpoint| {
            let fd = endpoint.os().expect("all of ours are the system's");
            f(fd.as_fd())
        })
    }
}

/// A socket on which an operation can be started without further ado: all that this takes.
pub(crate) struct Ready {
    socket: overlapped_core::Socket,
    key: usize,
    direct: bool,
    stream: bool,
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Started {
    Pending,
    /// It has ended, and there is no packet (SK-1).
    Done(usize),
}

impl Socket {
    /// What an operation that concerns nobody but the port can be started on; `None` if that takes
    /// more ado.
    #[inline(always)]
    pub(crate) fn ready(&self) -> Option<Ready> {
        let notification = &self.notification;
        let (_, key) = notification.port()?;
        match &*self.place() {
            Place::Seated {
                socket,
                backstage: false,
            } if !notification.is_backstage() && self.has(Flag::BOUND) => Some(Ready {
                socket: socket.clone(),
                key,
                direct: notification.skips_port(),
                stream: self.is_stream(),
            }),
            _ => None,
        }
    }

    /// The core's socket, if there is one.
    pub(super) fn seated(&self) -> Option<overlapped_core::Socket> {
        match &*self.place() {
            Place::Seated { socket, .. } => Some(socket.clone()),
            _ => None,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.seated().is_none_or(|socket| socket.is_idle())
    }

    /// Starts an operation that was prepared. `always_pends`: it is never told at once (SK-4).
    pub(crate) fn start(
        &self,
        mut memory: Box<Memory>,
        told: Option<Told>,
        always_pends: bool,
    ) -> Result<Started, Error> {
        let notification = &self.notification;
        let mut always_pends = always_pends;
        match told {
            Some(told) => {
                // A routine is called also if it has ended at once.
                always_pends |= matches!(told, Told::Routine(_));
                notification.go_backstage();
                told.prepare(&mut memory);
            }
            None => notification.begin(),
        }
        memory.begin();
        let direct = notification.skips_port() && !always_pends;
        // Not the first time if its seat was changed meanwhile, or its port has ended (CX-11).
        for _ in 0..3 {
            let port = notification.port();
            if port.is_some_and(|(port, _)| port.core().is_closed()) {
                notification.go_backstage();
            }
            let (socket, backstage) = match self.seat(notification.is_backstage()) {
                Ok(seat) => seat,
                Err(Status::INVALID_HANDLE) => continue,
                Err(status) => return Err(refuse(memory, status)),
            };
            if backstage {
                backstage::note_thread();
                memory.more().notification = Some(notification.clone());
            } else if let Some((_, key)) = notification.port() {
                memory.key = key;
            }
            let refused = match start_on(&socket, memory, direct) {
                Ok(None) => return Ok(Started::Pending),
                Ok(Some(operation)) => return at_once(operation),
                Err(refused) => refused,
            };
            memory = Memory::from_core(refused.operation);
            if refused.status != Status::INVALID_HANDLE {
                return Err(refuse(memory, refused.status));
            }
        }
        Err(refuse(memory, Status::INVALID_HANDLE))
    }

    /// The core's socket, on the port where it is wanted if that can be had; whether that is
    /// backstage.
    pub(super) fn seat(&self, backstage: bool) -> Result<(overlapped_core::Socket, bool), Status> {
        let mut place = self.place();
        match &*place {
            Place::Seated {
                socket,
                backstage: is,
            } if *is == backstage => Ok((socket.clone(), backstage)),
            Place::Closed => Err(Status::INVALID_HANDLE),
            _ => self.change_seat(&mut place, backstage),
        }
    }

    #[cold]
    fn change_seat(
        &self,
        place: &mut Place,
        backstage: bool,
    ) -> Result<(overlapped_core::Socket, bool), Status> {
        let port = match (backstage, self.notification.port()) {
            (false, Some((port, _))) => port.core(),
            _ => backstage::port().ok_or(Status::INSUFFICIENT_RESOURCES)?,
        };
        let (endpoint, under_way) = match std::mem::replace(place, Place::Closed) {
            Place::Closed => return Err(Status::INVALID_HANDLE),
            Place::Here(endpoint) => (endpoint, OperationList::new()),
            Place::Seated {
                socket,
                backstage: was,
            } => {
                let left = match (was, backstage) {
                    (true, false) => socket
                        .release()
                        .map(|endpoint| (endpoint, OperationList::new())),
                    _ => socket.withdraw(),
                };
                match left {
                    Some(left) => {
                        self.remember_failure(&socket);
                        left
                    }
                    // It stays where it is, and packets are passed on.
                    None => {
                        *place = Place::Seated {
                            socket: socket.clone(),
                            backstage: was,
                        };
                        return Ok((socket, was));
                    }
                }
            }
        };
        match port.associate(endpoint) {
            Ok(socket) => {
                for operation in under_way {
                    let mut memory = Memory::from_core(operation);
                    if backstage {
                        memory.more().notification = Some(self.notification.clone());
                    }
                    start_again(&socket, port, memory.into_core());
                }
                if !self.is_stream() {
                    // Also those that a blocking call has sent.
                    let _ = socket.set_sent_back(!self.has(Flag::NOT_TOLD));
                }
                if let Err(failure) = self.known_failure() {
                    socket.note_failure(Status::from_win32(failure.0));
                }
                if self.has(Flag::RECV_SHUT) {
                    let _ = socket.shutdown(ShutdownHow::Recv);
                }
                if self.has(Flag::SEND_SHUT) {
                    let _ = socket.shutdown(ShutdownHow::Send);
                }
                *place = Place::Seated {
                    socket: socket.clone(),
                    backstage,
                };
                Ok((socket, backstage))
            }
            Err((error, endpoint)) => {
                *place = Place::Here(endpoint);
                let status = match port.is_closed() {
                    true => Status::INVALID_HANDLE,
                    false => status_of(&error),
                };
                for operation in under_way {
                    let mut memory = Memory::from_core(operation);
                    // Its packet is passed on, wherever it was started.
                    memory.more().notification = Some(self.notification.clone());
                    let bytes = memory.bytes();
                    memory.header().finish(status, bytes);
                    backstage::finish(memory.into_core());
                }
                Err(status)
            }
        }
    }

    /// An operation that has come out goes on, as it was prepared again.
    pub(crate) fn go_on(&self, mut memory: Box<Memory>) -> Result<(), (Box<Memory>, Status)> {
        let (socket, backstage) = match &*self.place() {
            Place::Seated { socket, backstage } => (socket.clone(), *backstage),
            _ => return Err((memory, Status::CANCELLED)),
        };
        if backstage {
            memory.more().notification = Some(self.notification.clone());
        }
        match socket.start(memory.into_core()) {
            Ok(_) => Ok(()),
            Err(refused) => Err((Memory::from_core(refused.operation), refused.status)),
        }
    }

    /// Has the socket here again, if nothing is under way: what is done next changes what it is, and
    /// the core looks at that when it gets a seat.
    pub(crate) fn unseat(&self) {
        let mut place = self.place();
        if let Place::Seated { socket, .. } = &*place
            && let Some(endpoint) = socket.release()
        {
            self.remember_failure(socket);
            if !self.is_stream() {
                let _ = endpoint.set_sent_back(!self.has(Flag::NOT_TOLD));
            }
            *place = Place::Here(endpoint);
        }
    }

    /// The same with something under way: it has a seat again, and the core looks at it again.
    pub(crate) fn seat_again(&self) {
        let mut place = self.place();
        if let Place::Seated { backstage, .. } = *place {
            let _ = self.change_seat(&mut place, backstage);
        }
    }

    /// Whether receives tell of datagrams that came back (IO-13).
    pub(crate) fn set_sent_back(&self, told: bool) -> Result<(), Error> {
        if self.is_stream() {
            return Err(Error::WSAEOPNOTSUPP);
        }
        self.put(Flag::NOT_TOLD, !told);
        let result = match &*self.place() {
            Place::Here(endpoint) => endpoint.set_sent_back(told),
            Place::Seated { socket, .. } => socket.set_sent_back(told),
            Place::Closed => Ok(()),
        };
        result.map_err(|error| net::of_status(status_of(&error)))
    }

    /// Puts another one of Linux's sockets in the place of this one's.
    pub(super) fn replace(&self, endpoint: Endpoint) -> Result<(), Error> {
        let mut place = self.place();
        if matches!(*place, Place::Closed) {
            return Err(Error::WSAENOTSOCK);
        }
        let before = std::mem::replace(&mut *place, Place::Here(endpoint));
        drop(place);
        if let Place::Seated { socket, .. } = before {
            socket.close();
        }
        Ok(())
    }

    /// The program shuts a direction down.
    pub(crate) fn shut(&self, how: ShutdownHow) -> Result<(), Error> {
        if how != ShutdownHow::Send {
            self.set(Flag::RECV_SHUT);
        }
        if how != ShutdownHow::Recv {
            self.set(Flag::SEND_SHUT);
        }
        let place = self.place();
        match &*place {
            // What is under way goes out before the peer is told.
            Place::Seated { socket, .. } => socket.shutdown(how).map_err(net::of_status),
            place if how != ShutdownHow::Recv => place.with_fd(|fd| {
                use std::os::fd::AsRawFd;
                // SAFETY: the descriptor is open.
                match unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_WR) } {
                    -1 => Err(net::last()),
                    _ => Ok(()),
                }
            })?,
            _ => Ok(()),
        }
    }
}

impl Ready {
    #[inline]
    pub(crate) fn is_stream(&self) -> bool {
        self.stream
    }

    /// Starts an operation that was prepared, of which nobody but the port is told.
    #[inline]
    pub(crate) fn start(
        self,
        mut memory: Box<Memory>,
    ) -> Result<Result<Started, Error>, Box<Memory>> {
        memory.key = self.key;
        memory.begin();
        match start_on(&self.socket, memory, self.direct) {
            Ok(None) => Ok(Ok(Started::Pending)),
            Ok(Some(operation)) => Ok(at_once(operation)),
            Err(refused) => {
                let memory = Memory::from_core(refused.operation);
                match refused.status {
                    // Perhaps it has another seat by now.
                    Status::INVALID_HANDLE => Err(memory),
                    status => Ok(Err(refuse(memory, status))),
                }
            }
        }
    }
}

/// Starts an operation. One that has ended at once comes back if that is to be told directly, and is
/// queued otherwise.
#[inline]
fn start_on(
    socket: &overlapped_core::Socket,
    memory: Box<Memory>,
    direct: bool,
) -> Result<Option<Operation>, Refused> {
    match socket.start_direct(memory.into_core())? {
        Outcome::Pending(_) => Ok(None),
        Outcome::Done(operation) if direct => Ok(Some(operation)),
        Outcome::Done(operation) => {
            let mut memory = Memory::from_core(operation);
            memory.ended_at_once();
            // A port that has ended drops it.
            drop(socket.post(memory.into_core()));
            Ok(None)
        }
    }
}

/// What was under way goes on at another seat.
fn start_again(
    socket: &overlapped_core::Socket,
    port: &overlapped_core::Port,
    operation: Operation,
) {
    if let Err(Refused {
        status,
        mut operation,
    }) = socket.start(operation)
    {
        let bytes = operation.bytes();
        operation.finish(status, bytes);
        drop(port.post(operation));
    }
}

/// An operation that was to be told directly has ended; that it failed is told by the call.
#[cold]
fn at_once(operation: Operation) -> Result<Started, Error> {
    let Some(mut memory) = Memory::from_core(operation).settle() else {
        return Ok(Started::Pending);
    };
    if let Some(more) = &mut memory.more {
        match (more.event.take(), more.notification.take()) {
            (Some(event), _) => event.set(),
            (None, Some(notification)) => notification.end(),
            (None, None) => {}
        }
    }
    let (status, bytes) = (memory.status(), memory.bytes());
    memory.give_back();
    match status.is_success() {
        true => Ok(Started::Done(bytes)),
        false => Err(net::of_status(status)),
    }
}

/// The operation was not started (PK-5).
#[cold]
fn refuse(mut memory: Box<Memory>, status: Status) -> Error {
    memory.refuse(status);
    memory.give_back();
    net::of_status(status)
}

fn status_of(error: &std::io::Error) -> Status {
    error
        .raw_os_error()
        .map_or(Status::INSUFFICIENT_RESOURCES, Status::from_errno)
}
