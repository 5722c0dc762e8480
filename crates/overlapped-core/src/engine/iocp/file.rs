//! A file of a port: what it admits, what it has in flight, and when it closes.
//!
//! The kernel performs reads, writes and appends. It has no overlapped calls for opening, closing and
//! synchronising; those are jobs of the system's thread pool (`jobs.rs`).
//!
//! Operations can be overlapped only on a file that was opened for that, which std's are not. So a
//! file that is associated is opened once more (`ReOpenFile`), and the one that was given is kept to
//! be given back.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windows_sys::Win32::Foundation::{
    ERROR_HANDLE_EOF, ERROR_IO_PENDING, GetLastError, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_APPEND_DATA, FILE_FLAG_OVERLAPPED, FILE_READ_DATA, FILE_TYPE_DISK, FILE_WRITE_DATA,
    GetFileType, ReOpenFile, ReadFile, WriteFile,
};
use windows_sys::Win32::System::IO::OVERLAPPED;

use super::flights::Flights;
use super::jobs::{self, Call, Job, Jobs};
use super::nature::{access_of, flags_of};
use super::open::{Plan, SHARED};
use super::overlapped::Whose;
use super::port::PortInner;
use super::{pieces, status};
use crate::operation::{Header, Kind, Operation, OperationList, Refused, Token, is_range};
use crate::port::timers::Due;
use crate::{OpenOptions, Status};

/// A file that is associated with a port, or is to be opened for it. Cloning gives another handle to
/// the same file.
#[derive(Clone)]
pub struct File(Arc<FileState>);

pub(crate) struct FileState {
    port: Arc<PortInner>,
    number: u64,
    guarded: Mutex<Guarded>,
}

#[derive(Default)]
struct Guarded {
    /// `None` before it is opened and once it is closed.
    open: Option<Arc<OpenFile>>,
    next: u64,
    /// What the system has.
    flights: Flights,
    /// What the thread pool has.
    jobs: Jobs,
    /// The operation that waits for the others, and the file that it closes.
    closing: Option<(Operation, Arc<OpenFile>)>,
}

/// An open file: the handle and each operation that needs it hold it.
pub(crate) struct OpenFile {
    /// Associated with the port.
    handle: OwnedHandle,
    /// What was given, if it was.
    given: Option<OwnedHandle>,
    access: u32,
}

/// What an open is to open, and the file that this makes.
pub(crate) struct Opening {
    pub(super) path: Vec<u16>,
    pub(super) plan: Plan,
    pub(super) file: Arc<FileState>,
}

impl OpenFile {
    pub(super) fn raw(&self) -> HANDLE {
        self.handle.as_raw_handle()
    }

    fn allows(&self, access: u32) -> bool {
        self.access & access != 0
    }
}

/// Opens a file once more, in the same way but for these flags.
fn reopen(handle: HANDLE, access: u32, flags: u32) -> io::Result<OwnedHandle> {
    // SAFETY: the handle is open.
    let again = unsafe { ReOpenFile(handle, access, SHARED, flags | flags_of(handle)) };
    if again == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and nobody else's.
    Ok(unsafe { OwnedHandle::from_raw_handle(again) })
}

impl FileState {
    /// A file that is yet to be opened.
    pub(super) fn unopened(port: &Arc<PortInner>) -> Arc<FileState> {
        /// The names of sockets and timers do not get that far.
        static NUMBERS: AtomicU64 = AtomicU64::new(1 << 63);

        Arc::new(FileState {
            port: port.clone(),
            number: NUMBERS.fetch_add(1, Relaxed),
            guarded: Mutex::default(),
        })
    }

    /// Associates an open file; an error gives it back.
    pub(super) fn associate(
        port: &Arc<PortInner>,
        given: OwnedHandle,
    ) -> Result<Arc<FileState>, (io::Error, OwnedHandle)> {
        let raw = given.as_raw_handle();
        // SAFETY: the handle is open.
        if unsafe { GetFileType(raw) } != FILE_TYPE_DISK {
            let error = io::Error::new(io::ErrorKind::Unsupported, "only files are files");
            return Err((error, given));
        }
        let opened = access_of(raw).and_then(|access| {
            let handle = reopen(raw, access, FILE_FLAG_OVERLAPPED)?;
            port.adopt(handle.as_raw_handle())?;
            Ok((access, handle))
        });
        match opened {
            Ok((access, handle)) => {
                let file = Self::unopened(port);
                file.lock().open = Some(Arc::new(OpenFile {
                    handle,
                    given: Some(given),
                    access,
                }));
                Ok(file)
            }
            Err(error) => Err((error, given)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- starting ------------------------------------------------------------------------------

    fn start(self: &Arc<Self>, mut operation: Operation) -> Result<Token, Refused> {
        let kind = operation.kind();
        let mut guarded = self.lock();
        let file = match admit(&guarded, &mut operation) {
            Ok(file) => file,
            Err(status) => return Err(Refused { status, operation }),
        };
        if !self.port.depart() {
            let status = Status::INVALID_HANDLE;
            return Err(Refused { status, operation });
        }
        let number = guarded.next;
        guarded.next += 1;
        operation.set_id(number);
        let token = Token {
            socket: self.number,
            operation: number,
        };
        if kind != Kind::Close
            && let Err(status) = self.set_deadline(&mut operation)
        {
            self.port.arrive();
            return Err(Refused { status, operation });
        }
        let result = match (kind, file) {
            (Kind::Open, _) => self.submit(&mut guarded, operation, Call::Open),
            (Kind::Close, Some(file)) => {
                guarded.open = None;
                guarded.closing = Some((operation, file));
                self.close_if_idle(&mut guarded)
            }
            (Kind::SyncAll | Kind::SyncData, Some(file)) => {
                self.submit(&mut guarded, operation, Call::Synchronise(file))
            }
            (_, Some(file)) => self.launch(&mut guarded, operation, &file),
            (_, None) => Err((Status::INVALID_HANDLE, operation)),
        };
        drop(guarded);
        match result {
            Ok(None) => Ok(token),
            Ok(Some(mut operation)) => {
                self.port.lift_deadline(&mut operation);
                self.port.queue_surely(operation);
                Ok(token)
            }
            Err((status, mut operation)) => {
                self.port.arrive();
                self.port.lift_deadline(&mut operation);
                Err(Refused { status, operation })
            }
        }
    }

    /// Gives a read or write to the system. It comes back if it has ended, or cannot be started.
    fn launch(
        self: &Arc<Self>,
        guarded: &mut Guarded,
        mut operation: Operation,
        file: &OpenFile,
    ) -> Result<Option<Operation>, (Status, Operation)> {
        let kind = operation.kind();
        if operation.capacity() == 0 {
            operation.finish(Status::SUCCESS, 0);
            return Ok(Some(operation));
        }
        let offset = match kind {
            // The end of the file, wherever it is then.
            Kind::Append => u64::MAX,
            _ => operation.scratch().offset,
        };
        let (at, length) = match kind {
            Kind::Read => pieces::room(&mut operation, u32::MAX as usize),
            _ => {
                let (from, length) = pieces::gathered(&mut operation);
                (from.cast_mut(), length)
            }
        };
        operation.overlapped.reset();
        operation.overlapped.set_offset(offset);
        operation.overlapped.whose = Whose::File(self.clone());
        let number = operation.id();
        let header = operation.into_raw();
        guarded.flights.board(number, header, kind);
        let overlapped: *mut OVERLAPPED = header.as_ptr().cast();
        // SAFETY: the file is open; the OVERLAPPED is the front of memory that was just given up and
        // stays until its packet is taken; the bytes obey `Segment::new`, or are the operation's own.
        let done = unsafe {
            match kind {
                Kind::Read => ReadFile(file.raw(), at, length as u32, null_mut(), overlapped),
                _ => WriteFile(file.raw(), at, length as u32, null_mut(), overlapped),
            }
        };
        // SAFETY: no pointers are involved.
        let error = unsafe { GetLastError() };
        if done != 0 || error == ERROR_IO_PENDING {
            return Ok(None);
        }
        guarded.flights.unboard(number);
        // SAFETY: the call failed, so no packet will come, and the system has not kept the address.
        let mut operation = unsafe { Operation::from_raw(header) };
        operation.overlapped.whose = Whose::Nobody;
        // What the file has or takes is told in the packet.
        let status = match error {
            ERROR_HANDLE_EOF => Status::END_OF_FILE,
            error => status::of_file(error),
        };
        operation.finish(status, 0);
        Ok(Some(operation))
    }

    /// Sets the operation's deadline, if it has a time-out.
    fn set_deadline(self: &Arc<Self>, operation: &mut Operation) -> Result<(), Status> {
        if let Some(timeout) = operation.timeout() {
            let due = Due::File(Arc::downgrade(self), operation.id());
            let key = self.port.schedule_after(timeout, due);
            operation.set_deadline(key.map_err(|(status, _)| status)?);
        }
        Ok(())
    }

    /// Has a call that blocks made by the system's thread pool. The operation is no flight any more.
    fn submit(
        self: &Arc<Self>,
        guarded: &mut Guarded,
        operation: Operation,
        call: Call,
    ) -> Result<Option<Operation>, (Status, Operation)> {
        let number = operation.id();
        guarded.jobs.enlist(operation, call);
        if jobs::submit(self.clone(), number) {
            self.port.arrive();
            return Ok(None);
        }
        let taken_back = guarded.jobs.begin(number);
        let (operation, _) = taken_back.expect("nobody else knows of it");
        guarded.jobs.finish(number);
        Err((Status::INSUFFICIENT_RESOURCES, operation))
    }

    /// The life of a job, on a thread of the pool.
    pub(super) fn perform(self: &Arc<Self>, number: u64) {
        let begun = self.lock().jobs.begin(number);
        let Some((mut operation, call)) = begun else {
            return;
        };
        let status = call.make(&mut operation);
        let mut guarded = self.lock();
        let status = match guarded.jobs.finish(number) {
            Some(why) if status == Status::CANCELLED => why,
            _ => status,
        };
        operation.finish(status, 0);
        self.jobs_done(guarded, OperationList::from_iter([operation]));
    }

    /// Posts what the thread pool has not any more.
    fn jobs_done(self: &Arc<Self>, mut guarded: MutexGuard<'_, Guarded>, done: OperationList) {
        let closed = self.closed_when_idle(&mut guarded);
        drop(guarded);
        for mut operation in done {
            self.port.lift_deadline(&mut operation);
            // A port that has ended drops it.
            self.port.post_surely(operation);
        }
        if let Some(close) = closed {
            self.port.queue_surely(close);
        }
    }

    /// An open has opened it.
    pub(super) fn opened(&self, handle: OwnedHandle) -> Status {
        let raw = handle.as_raw_handle();
        // SAFETY: the handle is open.
        if unsafe { GetFileType(raw) } != FILE_TYPE_DISK {
            return Status::NOT_SUPPORTED;
        }
        match access_of(raw).and_then(|access| self.port.adopt(raw).map(|()| access)) {
            Ok(access) => {
                self.lock().open = Some(Arc::new(OpenFile {
                    handle,
                    given: None,
                    access,
                }));
                Status::SUCCESS
            }
            Err(_) => Status::NOT_SUPPORTED,
        }
    }

    /// Closes the file, if an operation waits to do that and nothing is under way.
    fn close_if_idle(
        self: &Arc<Self>,
        guarded: &mut Guarded,
    ) -> Result<Option<Operation>, (Status, Operation)> {
        if !guarded.is_idle() {
            return Ok(None);
        }
        let Some((operation, file)) = guarded.closing.take() else {
            return Ok(None);
        };
        self.submit(guarded, operation, Call::Close(file))
    }

    /// The same, where nobody can be told of a refusal: then the file was closed here.
    fn closed_when_idle(self: &Arc<Self>, guarded: &mut Guarded) -> Option<Operation> {
        match self.close_if_idle(guarded) {
            Ok(ended) => ended,
            Err((_, mut operation)) => {
                operation.finish(Status::SUCCESS, 0);
                Some(operation)
            }
        }
    }

    // ---- ending --------------------------------------------------------------------------------

    /// The packet of an operation was taken.
    pub(super) fn land(self: &Arc<Self>, operation: &mut Operation, status: Status, bytes: usize) {
        let mut guarded = self.lock();
        let flight = guarded.flights.unboard(operation.id());
        let ending = flight.expect("what lands was in flight").ending;
        let ended = self.closed_when_idle(&mut guarded);
        drop(guarded);
        let status = match ending {
            Some(why) if status == Status::CANCELLED => why,
            _ => status,
        };
        if operation.kind() == Kind::Read {
            pieces::scatter_if_several(operation, bytes);
        }
        operation.finish(status, bytes);
        if let Some(close) = ended {
            self.port.queue_surely(close);
        }
    }

    /// Ends one operation, or asks the system to; whether it will end.
    pub(super) fn end_one(self: &Arc<Self>, number: u64, why: Status) -> bool {
        let mut guarded = self.lock();
        if let Some(handle) = guarded.handle()
            && let Some(asked) = guarded.flights.end(handle, number, why)
        {
            return asked;
        }
        let mut ended = OperationList::new();
        let wanted = |job: &Job| job.number() == number;
        let count = guarded.jobs.end(why, wanted, &mut ended);
        self.jobs_done(guarded, ended);
        count > 0
    }

    fn cancel_all(self: &Arc<Self>) -> usize {
        let mut guarded = self.lock();
        let mut ended = OperationList::new();
        let count = guarded.end_all(Status::CANCELLED, &mut ended);
        self.jobs_done(guarded, ended);
        count
    }

    /// The port has ended, and takes the operations' memory back; that of a job which a thread
    /// performs is dropped by that thread.
    pub(super) fn abandon(&self, left: &mut OperationList) {
        let mut guarded = self.lock();
        guarded.end_all(Status::CANCELLED, left);
        let closing = guarded.closing.take();
        drop(guarded);
        if let Some((operation, file)) = closing {
            drop(file);
            self.port.arrive();
            left.push(operation);
        }
    }

    /// Visits the operations that are under way; whether somebody performs them already.
    pub(super) fn visit(&self, mut f: impl FnMut(Kind, bool)) {
        let guarded = self.lock();
        guarded.flights.kinds().for_each(|kind| f(kind, true));
        guarded.jobs.visit(&mut f);
        if guarded.closing.is_some() {
            f(Kind::Close, false);
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for FileState {
    fn drop(&mut self) {
        self.port.forget_file(self.number);
    }
}

impl Guarded {
    /// The file, also if it is only open until what is under way has ended.
    fn handle(&self) -> Option<HANDLE> {
        let file = self.open.as_ref();
        let file = file.or(self.closing.as_ref().map(|(_, file)| file));
        file.map(|file| file.raw())
    }

    fn is_idle(&self) -> bool {
        self.flights.is_empty() && self.jobs.is_empty()
    }

    /// Ends all but a close; jobs that nobody has begun come back. How many end.
    fn end_all(&mut self, why: Status, ended: &mut OperationList) -> usize {
        let flights = match self.handle() {
            Some(handle) => self.flights.end_all(handle, why, |_| true),
            None => 0,
        };
        flights + self.jobs.end(why, |_| true, ended)
    }
}

/// Whether the operation can be started now, and on what.
fn admit(guarded: &Guarded, operation: &mut Operation) -> Result<Option<Arc<OpenFile>>, Status> {
    let kind = operation.kind();
    if kind == Kind::Open {
        let fresh = guarded.open.is_none() && guarded.next == 0;
        return match operation.scratch().open {
            Some(_) if fresh => Ok(None),
            _ => Err(Status::INVALID_PARAMETER),
        };
    }
    let file = guarded.open.clone().ok_or(Status::INVALID_HANDLE)?;
    match kind {
        Kind::Read if !file.allows(FILE_READ_DATA) => return Err(Status::ACCESS_DENIED),
        Kind::Write | Kind::Append if !file.allows(FILE_WRITE_DATA | FILE_APPEND_DATA) => {
            return Err(Status::ACCESS_DENIED);
        }
        // It would append, whatever the offset.
        Kind::Write if !file.allows(FILE_WRITE_DATA) => return Err(Status::INVALID_PARAMETER),
        _ => {}
    }
    if !is_range(operation.scratch().offset, operation.capacity() as u64) {
        return Err(Status::INVALID_PARAMETER);
    }
    // Told in 32 bits. A read may be short, a write is whole.
    if kind != Kind::Read && operation.capacity() > u32::MAX as usize {
        return Err(Status::INVALID_BUFFER_SIZE);
    }
    Ok(Some(file))
}

impl File {
    pub(super) fn new(state: Arc<FileState>) -> Self {
        File(state)
    }

    /// Starts an operation that was prepared; its packet comes out of the file's port.
    ///
    /// # Errors
    ///
    /// The operation comes back with the reason, and queues no packet (PK-5).
    pub fn start(&self, operation: Operation) -> Result<Token, Refused> {
        self.0.start(operation)
    }

    /// Cancels an operation; `false` if it is not under way (CX-2), or is a close. The system is only
    /// asked: the packet says what became of it.
    pub fn cancel(&self, token: Token) -> bool {
        token.socket == self.0.number && self.0.end_one(token.operation, Status::CANCELLED)
    }

    /// Cancels all that is under way; how many operations that was.
    pub fn cancel_all(&self) -> usize {
        self.0.cancel_all()
    }

    /// Gives the open file back, if no operation is under way.
    pub fn release(&self) -> Option<OwnedHandle> {
        let mut guarded = self.0.lock();
        if !guarded.is_idle() {
            return None;
        }
        let open = guarded.open.take()?;
        let mut file = match Arc::try_unwrap(open) {
            Ok(file) => file,
            Err(shared) => {
                guarded.open = Some(shared);
                return None;
            }
        };
        if let Some(given) = file.given.take() {
            return Some(given);
        }
        // The one that was opened stays associated for ever; so once more.
        match reopen(file.raw(), file.access, 0) {
            Ok(again) => Some(again),
            Err(_) => {
                guarded.open = Some(Arc::new(file));
                None
            }
        }
    }

    /// Uses the handle.
    ///
    /// # Errors
    ///
    /// When the file is closed.
    pub fn with_open<R>(&self, f: impl FnOnce(&OwnedHandle) -> R) -> Result<R, Status> {
        let open = self.0.lock().open.clone();
        open.map(|open| f(&open.handle))
            .ok_or(Status::INVALID_HANDLE)
    }

    /// The open file, for somebody who wants to read it.
    pub(super) fn readable(&self) -> Result<Arc<OpenFile>, Status> {
        let open = self.0.lock().open.clone().ok_or(Status::INVALID_HANDLE)?;
        match open.allows(FILE_READ_DATA) {
            true => Ok(open),
            false => Err(Status::ACCESS_DENIED),
        }
    }
}

impl Header {
    /// Sets where in the file an operation begins, in bytes.
    pub fn set_offset(&mut self, offset: u64) {
        self.scratch().offset = offset;
    }

    /// Sets what an open opens, and the file that it makes. The path ends with a zero.
    ///
    /// # Errors
    ///
    /// When the options contradict each other.
    pub fn set_open(
        &mut self,
        path: Vec<u16>,
        options: &OpenOptions,
        file: &File,
    ) -> io::Result<()> {
        self.scratch().open = Some(Opening {
            path,
            plan: options.plan()?,
            file: file.0.clone(),
        });
        Ok(())
    }

    /// Lets go of the file. Called when the packet is out.
    pub fn let_go_of_file(&mut self) {
        if let Some(scratch) = self.has_scratch() {
            scratch.open = None;
            scratch.transmit = None;
        }
    }
}

/// For the tests of jobs.
#[cfg(test)]
impl File {
    pub(super) fn state(&self) -> &Arc<FileState> {
        &self.0
    }
}

#[cfg(test)]
impl FileState {
    pub(super) fn start_job(
        self: &Arc<Self>,
        mut operation: Operation,
        call: Call,
        submitted: bool,
    ) -> Token {
        let mut guarded = self.lock();
        let number = guarded.next;
        guarded.next += 1;
        operation.set_id(number);
        self.set_deadline(&mut operation).unwrap();
        if submitted {
            assert!(self.port.depart());
            let refused = self.submit(&mut guarded, operation, call);
            assert!(matches!(refused, Ok(None)));
        } else {
            guarded.jobs.enlist(operation, call);
        }
        Token {
            socket: self.number,
            operation: number,
        }
    }

    pub(super) fn ask_again(&self) {
        self.lock().jobs.ask_again();
    }
}

#[cfg(test)]
mod tests {
    use std::os::windows::fs::OpenOptionsExt;

    use windows_sys::Win32::Storage::FileSystem::{
        FILE_FLAG_NO_BUFFERING, FILE_FLAG_WRITE_THROUGH,
    };

    use super::*;
    use crate::{Options, Port};

    #[test]
    fn io_18_a_file_is_opened_again_as_it_was() {
        let port = Port::new(&Options::default()).unwrap();
        let name = format!("overlapped-again-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        for flags in [0, FILE_FLAG_WRITE_THROUGH, FILE_FLAG_NO_BUFFERING] {
            let mut options = std::fs::File::options();
            options.write(true).create(true).custom_flags(flags);
            let given = OwnedHandle::from(options.open(&path).unwrap());
            let file = port.associate_file(given).map_err(|(error, _)| error);
            let file = file.unwrap();
            let used = file.with_open(|handle| flags_of(handle.as_raw_handle()));
            assert_eq!(used, Ok(flags));
        }
        std::fs::remove_file(path).unwrap();
    }
}
