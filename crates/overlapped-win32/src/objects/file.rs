//! Files on disks.
//!
//! A file object like a socket: associated or not, with its own signal, with operations under way that
//! go on until its last handle is closed. It also has its *pointer*, which calls without an `OVERLAPPED`
//! read and write at and move; it is this object's and not Linux's, since the core reads and writes at
//! places.
//!
//! Its operations have no order among each other, so a file need not move between ports as a socket
//! does: what only the program's port is told of is started there, everything else backstage, each through
//! a descriptor of its own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use overlapped_core::{Refused, Status};

use super::Object;
use super::backstage;
use super::notification::Notification;
use super::operation::{Memory, Told};
use super::socket::Started;
use crate::dispatcher::Signal;

pub(crate) struct File {
    notification: Arc<Notification>,
    /// `None` once it is closed.
    place: Mutex<Option<Place>>,
    pointer: Mutex<u64>,
    /// Writes go to its end, wherever that is.
    appends: bool,
    /// It is deleted with its last handle.
    delete: Option<PathBuf>,
}

struct Place {
    fd: Arc<OwnedFd>,
    /// The core's files: at the program's port, and backstage.
    seats: [Option<overlapped_core::File>; 2],
}

impl File {
    pub(crate) fn new(
        fd: OwnedFd,
        overlapped: bool,
        appends: bool,
        delete: Option<PathBuf>,
    ) -> File {
        File {
            notification: Notification::new(overlapped),
            place: Mutex::new(Some(Place {
                fd: Arc::new(fd),
                seats: [None, None],
            })),
            pointer: Mutex::new(0),
            appends,
            delete,
        }
    }

    pub(crate) fn notification(&self) -> &Arc<Notification> {
        &self.notification
    }

    pub(crate) fn appends(&self) -> bool {
        self.appends
    }

    fn place(&self) -> MutexGuard<'_, Option<Place>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where calls without an `OVERLAPPED` read and write; locked, so that each has its own part.
    pub(crate) fn pointer(&self) -> MutexGuard<'_, u64> {
        self.pointer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses the descriptor. The file is not locked meanwhile: this may wait for the disk.
    pub(crate) fn with_fd<R>(&self, f: impl FnOnce(BorrowedFd<'_>) -> R) -> Result<R, Status> {
        let fd = self.place().as_ref().map(|place| place.fd.clone());
        fd.map(|fd| f(fd.as_fd())).ok_or(Status::INVALID_HANDLE)
    }

    /// The core's file for operations that are to be started backstage, or at the program's port.
    pub(crate) fn seat(&self, backstage: bool) -> Result<overlapped_core::File, Status> {
        let mut place = self.place();
        let place = place.as_mut().ok_or(Status::INVALID_HANDLE)?;
        let seat = &mut place.seats[usize::from(backstage)];
        if let Some(file) = seat {
            return Ok(file.clone());
        }
        let port = match self.notification.port() {
            Some((port, _)) if !backstage => port.core(),
            _ => backstage::port().ok_or(Status::INSUFFICIENT_RESOURCES)?,
        };
        let fd = place.fd.try_clone().map_err(|error| of_io(&error))?;
        let file = port
            .associate_file(fd)
            .map_err(|(error, _)| of_io(&error))?;
        Ok(seat.insert(file).clone())
    }

    /// Starts an operation that was prepared.
    pub(crate) fn start(
        &self,
        mut memory: Box<Memory>,
        told: Option<Told>,
    ) -> Result<Started, Status> {
        let mut backstage = told.is_some() || self.notification.is_backstage();
        match told {
            Some(told) => told.prepare(&mut memory),
            None => self.notification.begin(),
        }
        memory.begin();
        match self.notification.port() {
            Some((port, _)) if port.core().is_closed() => backstage = true,
            Some((_, key)) => memory.key = key,
            None => {}
        }
        if backstage {
            backstage::note_thread();
            memory.more().notification = Some(self.notification.clone());
        }
        let file = match self.seat(backstage) {
            Ok(file) => file,
            Err(status) => return Err(refuse(memory, status)),
        };
        match file.start(memory.into_core()) {
            Ok(_) => Ok(Started::Pending),
            Err(Refused { status, operation }) => Err(refuse(Memory::from_core(operation), status)),
        }
    }

    /// What a wait for the file itself waits for (PK-8).
    pub(crate) fn signal(&self) -> &Signal {
        // What was started at the program's port is told of there only.
        self.notification.signal(|| {
            let place = self.place();
            place.as_ref().is_none_or(|place| place.seats[1].is_none())
        })
    }

    /// Cancels what is under way and `wanted`; how many operations that was.
    pub(crate) fn cancel_those(&self, wanted: impl Fn(&Memory) -> bool) -> usize {
        let seats = match &*self.place() {
            Some(place) => place.seats.clone(),
            None => return 0,
        };
        let cancel = |file: overlapped_core::File| {
            file.cancel_those(|operation| wanted(Memory::look(operation)))
        };
        seats.into_iter().flatten().map(cancel).sum()
    }

    /// Its last handle was closed: what is under way is cancelled, and keeps it open until it has ended.
    pub(crate) fn close(&self) {
        if let Some(path) = &self.delete {
            let _ = std::fs::remove_file(path);
        }
        self.cancel_those(|_| true);
        let place = self.place().take();
        super::port::blocking(|| drop(place));
    }
}

fn of_io(error: &std::io::Error) -> Status {
    error
        .raw_os_error()
        .map_or(Status::NOT_SUPPORTED, Status::from_errno)
}

#[cold]
fn refuse(mut memory: Box<Memory>, status: Status) -> Status {
    memory.refuse(status);
    memory.give_back();
    status
}

impl From<File> for Object {
    fn from(file: File) -> Self {
        Object::File(Arc::new(file))
    }
}
