//! A file of a port: what it admits, and when it closes.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use overlapped_queue::Fifo;
use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};

use super::direct;
use crate::Status;
use crate::operation::{ItemList, Kind, Operation, OperationList, Refused, Token, is_range};
use crate::port::{Due, PortInner};

/// Names a file in tokens. The names of sockets and timers do not get that far.
static NEXT_FILE: AtomicU64 = AtomicU64::new(1 << 63);

pub(crate) struct FileState {
    port: Arc<PortInner>,
    id: u64,
    next_operation: AtomicU64,
    /// `None` before it is opened and once it is closed.
    descriptor: Mutex<Option<Arc<Descriptor>>>,
}

/// An open file. The handle and each operation hold it; the last to let go closes it.
pub(crate) struct Descriptor {
    /// `None` only while it is dropped.
    fd: Option<OwnedFd>,
    port: Arc<PortInner>,
    flags: OFlags,
    /// The file system knows no reads that do not wait.
    cannot_try: AtomicBool,
    /// The operation that waits for the others and then closes.
    close: Mutex<Option<Operation>>,
}

impl FileState {
    /// A file that is yet to be opened.
    pub(crate) fn unopened(port: &Arc<PortInner>) -> Arc<FileState> {
        Arc::new(FileState {
            port: port.clone(),
            id: NEXT_FILE.fetch_add(1, Relaxed),
            next_operation: AtomicU64::new(0),
            descriptor: Mutex::new(None),
        })
    }

    /// Associates an open file; an error gives it back.
    pub(crate) fn associate(
        port: &Arc<PortInner>,
        fd: OwnedFd,
    ) -> Result<Arc<FileState>, (io::Error, OwnedFd)> {
        let file = Self::unopened(port);
        let descriptor = Descriptor::new(port, fd)?;
        *file.lock() = Some(Arc::new(descriptor));
        Ok(file)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Descriptor>>> {
        overlapped_queue::lock(&self.descriptor)
    }

    fn descriptor(&self) -> Result<Arc<Descriptor>, Status> {
        self.lock().clone().ok_or(Status::INVALID_HANDLE)
    }

    /// The open file, for somebody who wants to read it.
    pub(crate) fn readable(&self) -> Result<Arc<Descriptor>, Status> {
        let descriptor = self.descriptor()?;
        descriptor.admits(Kind::Read)?;
        Ok(descriptor)
    }

    /// An open succeeded with this; the status is the operation's.
    pub(super) fn opened(&self, fd: OwnedFd) -> Status {
        match Descriptor::new(&self.port, fd) {
            Ok(descriptor) => {
                *self.lock() = Some(Arc::new(descriptor));
                Status::SUCCESS
            }
            Err(_) => Status::NOT_SUPPORTED,
        }
    }

    /// Starts an operation: when this returns, it needs nobody's further help.
    pub(crate) fn start(self: &Arc<Self>, mut operation: Operation) -> Result<Token, Refused> {
        let descriptor = match self.admit(&mut operation) {
            Ok(descriptor) => descriptor,
            Err(status) => return Err(Refused { status, operation }),
        };
        let id = self.next_operation.fetch_add(1, Relaxed);
        operation.set_id(id);
        let part = operation.file();
        part.of = self.id;
        part.descriptor = descriptor.clone();
        let token = Token {
            socket: self.id,
            operation: id,
        };
        let ended = match operation.kind() {
            Kind::Close => {
                self.close_after_others(operation);
                return Ok(token);
            }
            Kind::Read => descriptor
                .as_deref()
                .is_some_and(|descriptor| direct::try_read(&mut operation, descriptor)),
            Kind::Write | Kind::Append if operation.capacity() == 0 => {
                operation.finish(Status::SUCCESS, 0);
                true
            }
            _ => false,
        };
        if ended {
            let done = OperationList::from_iter([operation]);
            self.port.push_all(&mut ItemList::from(done));
        } else {
            self.port.files().start(&self.port, operation, Some(self))?;
        }
        Ok(token)
    }

    /// Whether the operation can be started, and on what.
    fn admit(&self, operation: &mut Operation) -> Result<Option<Arc<Descriptor>>, Status> {
        self.port.admits_files()?;
        let kind = operation.kind();
        if kind == Kind::Open {
            return match (&*self.lock(), &operation.file().open) {
                (None, Some(_)) => Ok(None),
                _ => Err(Status::INVALID_PARAMETER),
            };
        }
        let descriptor = self.descriptor()?;
        descriptor.admits(kind)?;
        if !is_range(operation.file().offset, operation.capacity() as u64) {
            return Err(Status::INVALID_PARAMETER);
        }
        Ok((kind != Kind::Close).then_some(descriptor))
    }

    /// Nothing can be started from now on; when what is under way has ended, the operation closes
    /// the file.
    fn close_after_others(&self, operation: Operation) {
        let descriptor = self.lock().take();
        let Some(descriptor) = descriptor else {
            // Closed by somebody else a moment ago: nothing is left to be done.
            let mut operation = operation;
            operation.finish(Status::INVALID_HANDLE, 0);
            let done = OperationList::from_iter([operation]);
            return self.port.push_all(&mut ItemList::from(done));
        };
        *descriptor.lock_close() = Some(operation);
    }

    /// Cancels one operation. `false` if it is not under way any more (CX-2).
    pub(crate) fn cancel(&self, token: Token) -> bool {
        token.socket == self.id
            && self.cancel_those(|operation| operation.id() == token.operation) > 0
    }

    /// Cancels everything that is under way; how many operations that was (CX-1).
    pub(crate) fn cancel_all(&self) -> usize {
        self.cancel_those(|_| true)
    }

    pub(crate) fn cancel_those(&self, wanted: impl Fn(&Operation) -> bool) -> usize {
        let (cancelled, count) = self.stop(Status::CANCELLED, wanted);
        self.port.push_all(&mut ItemList::from(cancelled));
        count
    }

    /// Cancels operations of all files of a port.
    pub(crate) fn cancel_of_all(
        port: &Arc<PortInner>,
        wanted: impl Fn(&Operation) -> bool,
    ) -> usize {
        let (cancelled, count) = port.files().stop(port, Status::CANCELLED, |operation| {
            operation.kind() != Kind::Close && wanted(operation)
        });
        port.push_all(&mut ItemList::from(cancelled));
        count
    }

    /// The deadline of an operation has come: it is to end if it is still under way.
    pub(crate) fn time_out(&self, id: u64, harvest: &mut ItemList) {
        let (ended, _) = self.stop(Status::IO_TIMEOUT, |operation| operation.id() == id);
        harvest.append(&mut ItemList::from(ended));
    }

    fn stop(&self, status: Status, wanted: impl Fn(&Operation) -> bool) -> (OperationList, usize) {
        self.port.files().stop(&self.port, status, |operation| {
            operation.kind() != Kind::Close && operation.file().of == self.id && wanted(operation)
        })
    }

    /// Sets the operation's deadline, if it has a time-out.
    pub(super) fn set_deadline(self: &Arc<Self>, operation: &mut Operation) -> Result<(), Status> {
        if let Some(timeout) = operation.timeout() {
            let due = Due::File(Arc::downgrade(self), operation.id());
            operation.set_deadline(self.port.deadline_of(due, timeout)?);
        }
        Ok(())
    }

    /// Gives the open file back, if no operation is under way.
    pub(crate) fn release(&self) -> Option<OwnedFd> {
        let mut descriptor = self.lock();
        match Arc::try_unwrap(descriptor.take()?) {
            Ok(mut alone) => alone.fd.take(),
            Err(shared) => {
                *descriptor = Some(shared);
                None
            }
        }
    }

    /// Uses the descriptor.
    pub(crate) fn with_fd<R>(&self, f: impl FnOnce(&OwnedFd) -> R) -> Result<R, Status> {
        let descriptor = self.descriptor()?;
        Ok(f(descriptor.fd()))
    }
}

impl Descriptor {
    fn new(port: &Arc<PortInner>, fd: OwnedFd) -> Result<Descriptor, (io::Error, OwnedFd)> {
        let flags = match Self::look(&fd) {
            Ok(flags) => flags,
            Err(error) => return Err((error, fd)),
        };
        Ok(Descriptor {
            fd: Some(fd),
            port: port.clone(),
            flags,
            cannot_try: AtomicBool::new(false),
            close: Mutex::new(None),
        })
    }

    fn look(fd: &OwnedFd) -> io::Result<OFlags> {
        let mode = fstat(fd)?.st_mode;
        if !matches!(
            FileType::from_raw_mode(mode),
            FileType::RegularFile | FileType::BlockDevice
        ) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "only regular files and block devices can be associated as files",
            ));
        }
        let flags = fcntl_getfl(fd)?;
        // It means nothing to a file, but io_uring may take it at its word and not wait.
        if flags.contains(OFlags::NONBLOCK) {
            fcntl_setfl(fd, flags - OFlags::NONBLOCK)?;
        }
        Ok(flags)
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        self.fd.as_ref().expect("only taken when it is dropped")
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.fd().as_raw_fd()
    }

    /// Whether it was opened with `O_DIRECT`.
    pub(super) fn bypasses_cache(&self) -> bool {
        self.flags.contains(OFlags::DIRECT)
    }

    pub(super) fn cannot_try(&self) -> bool {
        self.cannot_try.load(Relaxed)
    }

    pub(super) fn note_cannot_try(&self) {
        self.cannot_try.store(true, Relaxed);
    }

    fn admits(&self, kind: Kind) -> Result<(), Status> {
        let access = self.flags & OFlags::RWMODE;
        match kind {
            Kind::Read if access == OFlags::WRONLY => Err(Status::ACCESS_DENIED),
            Kind::Write | Kind::Append if access == OFlags::RDONLY => Err(Status::ACCESS_DENIED),
            // Linux would write to the end, whatever the offset.
            Kind::Write if self.flags.contains(OFlags::APPEND) => Err(Status::INVALID_PARAMETER),
            Kind::Read
            | Kind::Write
            | Kind::Append
            | Kind::SyncAll
            | Kind::SyncData
            | Kind::Close => Ok(()),
            _ => Err(Status::INVALID_PARAMETER),
        }
    }

    fn lock_close(&self) -> MutexGuard<'_, Option<Operation>> {
        overlapped_queue::lock(&self.close)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        let close = self.lock_close().take();
        if let (Some(mut operation), Some(fd)) = (close, self.fd.take()) {
            operation.file().closing = Some(fd);
            // A port that has ended drops the operation, which closes too.
            if let Err(refused) = self.port.files().start(&self.port, operation, None) {
                let mut operation = refused.operation;
                // Without a thread, closing has to wait here.
                operation.file().closing = None;
                operation.finish(Status::SUCCESS, 0);
                let done = OperationList::from_iter([operation]);
                self.port.push_all(&mut ItemList::from(done));
            }
        }
    }
}
