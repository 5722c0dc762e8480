//! A file of a port: what it admits, what it has in flight, and when it closes.
//!
//! The kernel performs reads, writes and appends. It has no overlapped calls for opening, closing and
//! synchronising; those are made on the system's thread pool, and their packets are posted.
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
    FlushFileBuffers, GetFileType, ReOpenFile, ReadFile, WriteFile,
};
use windows_sys::Win32::System::IO::{CancelIoEx, OVERLAPPED};
use windows_sys::Win32::System::Threading::{PTP_CALLBACK_INSTANCE, TrySubmitThreadpoolCallback};

use super::open::{Plan, SHARED};
use super::overlapped::Whose;
use super::port::PortInner;
use super::status;
use crate::operation::{Header, Kind, Operation, OperationList, Refused, Token};
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
    /// What the system has, the oldest first.
    flights: Vec<Flight>,
    /// What the thread pool has.
    jobs: usize,
    /// The operation that waits for the others, and the file that it closes.
    closing: Option<(Operation, Arc<OpenFile>)>,
}

struct Flight {
    number: u64,
    address: usize,
    /// The system was asked to end it; what for.
    ending: Option<Status>,
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
    path: Vec<u16>,
    plan: Plan,
    file: Arc<FileState>,
}

impl OpenFile {
    pub(super) fn raw(&self) -> HANDLE {
        self.handle.as_raw_handle()
    }

    fn allows(&self, access: u32) -> bool {
        self.access & access != 0
    }
}

/// What may be done with a file.
fn access_of(handle: HANDLE) -> io::Result<u32> {
    #[link(name = "ntdll")]
    unsafe extern "system" {
        fn NtQueryInformationFile(
            file: HANDLE,
            status: *mut [usize; 2],
            information: *mut core::ffi::c_void,
            length: u32,
            class: i32,
        ) -> i32;
    }
    const ACCESS: i32 = 8;
    let (mut access, mut block) = (0u32, [0; 2]);
    // SAFETY: the mask is what this class writes; both live for the call.
    let code =
        unsafe { NtQueryInformationFile(handle, &mut block, (&raw mut access).cast(), 4, ACCESS) };
    if code < 0 {
        return Err(status::of_packet(code).to_error());
    }
    Ok(access)
}

/// Opens a file once more.
fn reopen(handle: HANDLE, access: u32, flags: u32) -> io::Result<OwnedHandle> {
    // SAFETY: the handle is open.
    let again = unsafe { ReOpenFile(handle, access, SHARED, flags) };
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
        let result = match (kind, file) {
            (Kind::Open, _) => self.submit(&mut guarded, operation, open),
            (Kind::Close, Some(file)) => {
                guarded.open = None;
                guarded.closing = Some((operation, file));
                self.close_if_idle(&mut guarded)
            }
            (Kind::SyncAll | Kind::SyncData, Some(file)) => {
                self.submit(&mut guarded, operation, move |_| synchronise(&file))
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
        if let Some(timeout) = operation.timeout() {
            let due = Due::File(Arc::downgrade(self), operation.id());
            match self.port.schedule_after(timeout, due) {
                Ok(key) => operation.set_deadline(key),
                Err((status, _)) => return Err((status, operation)),
            }
        }
        let offset = match kind {
            // The end of the file, wherever it is then.
            Kind::Append => u64::MAX,
            _ => operation.scratch().offset,
        };
        let (at, length) = in_one_piece(&mut operation);
        operation.overlapped.reset();
        operation.overlapped.set_offset(offset);
        operation.overlapped.whose = Whose::File(self.clone());
        let number = operation.id();
        let header = operation.into_raw();
        guarded.flights.push(Flight {
            number,
            address: header.as_ptr() as usize,
            ending: None,
        });
        let overlapped: *mut OVERLAPPED = header.as_ptr().cast();
        // SAFETY: the file is open; the OVERLAPPED is the front of memory that was just given up and
        // stays until its packet is taken; the bytes obey `Segment::new`, or are the operation's own.
        let done = unsafe {
            match kind {
                Kind::Read => ReadFile(file.raw(), at, length, null_mut(), overlapped),
                _ => WriteFile(file.raw(), at, length, null_mut(), overlapped),
            }
        };
        // SAFETY: no pointers are involved.
        let error = unsafe { GetLastError() };
        if done != 0 || error == ERROR_IO_PENDING {
            return Ok(None);
        }
        guarded.flights.pop();
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

    /// Has a call that blocks made by the system's thread pool.
    fn submit(
        self: &Arc<Self>,
        guarded: &mut Guarded,
        operation: Operation,
        call: impl FnOnce(&mut Operation) -> Status + Send + 'static,
    ) -> Result<Option<Operation>, (Status, Operation)> {
        // In a cell, so that it comes back if the pool does not take the job.
        let cell = Arc::new(Mutex::new(Some(operation)));
        let (theirs, file) = (cell.clone(), self.clone());
        let job: Job = Box::new(move || {
            let taken = theirs.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(mut operation) = taken {
                let status = call(&mut operation);
                operation.finish(status, 0);
                file.job_done(operation);
            }
        });
        if enqueue(job) {
            guarded.jobs += 1;
            return Ok(None);
        }
        let back = cell.lock().unwrap_or_else(PoisonError::into_inner).take();
        let operation = back.expect("nobody has run the job");
        Err((Status::INSUFFICIENT_RESOURCES, operation))
    }

    fn job_done(self: &Arc<Self>, operation: Operation) {
        let mut guarded = self.lock();
        guarded.jobs -= 1;
        let ended = self.closed_when_idle(&mut guarded);
        drop(guarded);
        self.port.queue_surely(operation);
        if let Some(close) = ended {
            self.port.queue_surely(close);
        }
    }

    /// Closes the file, if an operation waits to do that and nothing is under way.
    fn close_if_idle(
        self: &Arc<Self>,
        guarded: &mut Guarded,
    ) -> Result<Option<Operation>, (Status, Operation)> {
        if !guarded.flights.is_empty() || guarded.jobs > 0 {
            return Ok(None);
        }
        let Some((operation, file)) = guarded.closing.take() else {
            return Ok(None);
        };
        self.submit(guarded, operation, move |_| {
            // The last reference, unless a transmit has another.
            drop(file);
            Status::SUCCESS
        })
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
        let place = guarded
            .place(operation.id())
            .expect("what lands was in flight");
        let ending = guarded.flights.remove(place).ending;
        let ended = self.closed_when_idle(&mut guarded);
        drop(guarded);
        let status = match ending {
            Some(why) if status == Status::CANCELLED => why,
            _ => status,
        };
        if operation.kind() == Kind::Read {
            spread(operation, bytes);
        }
        operation.finish(status, bytes);
        if let Some(close) = ended {
            self.port.queue_surely(close);
        }
    }

    /// Asks the system to end one operation; whether it will.
    pub(super) fn end_one(&self, number: u64, why: Status) -> bool {
        let mut guarded = self.lock();
        let place = guarded.place(number);
        place.is_some_and(|place| guarded.ask(place, why))
    }

    fn cancel_all(&self) -> usize {
        let mut guarded = self.lock();
        (0..guarded.flights.len())
            .filter(|&place| guarded.ask(place, Status::CANCELLED))
            .count()
    }

    /// The port has ended, and takes the operations' memory back.
    pub(super) fn abandon(&self, left: &mut OperationList) {
        self.cancel_all();
        let closing = self.lock().closing.take();
        if let Some((operation, file)) = closing {
            drop(file);
            self.port.arrive();
            left.push(operation);
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
    fn place(&self, number: u64) -> Option<usize> {
        self.flights
            .binary_search_by_key(&number, |flight| flight.number)
            .ok()
    }

    fn ask(&mut self, place: usize, why: Status) -> bool {
        let file = self.open.as_ref();
        let Some(file) = file.or(self.closing.as_ref().map(|(_, file)| file)) else {
            return false;
        };
        let flight = &mut self.flights[place];
        if flight.ending.is_some() {
            return false;
        }
        // SAFETY: the file is open and the address is that operation's while the lock is held.
        let asked = unsafe { CancelIoEx(file.raw(), flight.address as *const OVERLAPPED) } != 0;
        if asked {
            flight.ending = Some(why);
        }
        asked
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
    let end = operation
        .scratch()
        .offset
        .checked_add(operation.capacity() as u64);
    if end.is_none_or(|end| i64::try_from(end).is_err()) {
        return Err(Status::INVALID_PARAMETER);
    }
    // Told in 32 bits. A read may be short, a write is whole.
    if kind != Kind::Read && operation.capacity() > u32::MAX as usize {
        return Err(Status::INVALID_BUFFER_SIZE);
    }
    Ok(Some(file))
}

/// Where the system reads or writes: what is in several pieces goes by way of the operation's own
/// memory, since scattered transfers are for whole pages only.
fn in_one_piece(operation: &mut Operation) -> (*mut u8, u32) {
    let capacity = operation.capacity().min(u32::MAX as usize);
    if let [one] = operation.segments() {
        return (one.as_ptr(), capacity as u32);
    }
    let mut all = std::mem::take(&mut operation.scratch().buffer);
    all.clear();
    if operation.kind() == Kind::Read {
        all.resize(capacity, 0);
    } else {
        for segment in operation.segments() {
            // SAFETY: the segment obeys `Segment::new`.
            all.extend_from_slice(unsafe {
                std::slice::from_raw_parts(segment.as_ptr(), segment.len())
            });
        }
    }
    let buffer = &mut operation.scratch().buffer;
    *buffer = all;
    (buffer.as_mut_ptr(), capacity as u32)
}

/// Brings what was read in one piece to where it belongs.
fn spread(operation: &mut Operation, bytes: usize) {
    if operation.segments().len() < 2 {
        return;
    }
    let buffer = std::mem::take(&mut operation.scratch().buffer);
    let mut data = &buffer[..bytes.min(buffer.len())];
    for segment in operation.segments() {
        let (piece, rest) = data.split_at(segment.len().min(data.len()));
        // SAFETY: the segment obeys `Segment::new`, and has room for the piece.
        unsafe {
            piece
                .as_ptr()
                .copy_to_nonoverlapping(segment.as_ptr(), piece.len())
        };
        data = rest;
    }
    operation.scratch().buffer = buffer;
}

// ---- calls that block --------------------------------------------------------------------------

type Job = Box<dyn FnOnce() + Send>;

/// Gives a job to the system's thread pool; whether it was taken.
fn enqueue(job: Job) -> bool {
    unsafe extern "system" fn run(_: PTP_CALLBACK_INSTANCE, context: *mut core::ffi::c_void) {
        // SAFETY: the context is what was submitted, once.
        let job = unsafe { Box::from_raw(context.cast::<Job>()) };
        job();
    }
    let context = Box::into_raw(Box::new(job));
    // SAFETY: the context is the callback's from now on, if it is taken.
    if unsafe { TrySubmitThreadpoolCallback(Some(run), context.cast(), std::ptr::null()) } != 0 {
        return true;
    }
    // SAFETY: it was not taken.
    drop(unsafe { Box::from_raw(context) });
    false
}

fn synchronise(file: &OpenFile) -> Status {
    // SAFETY: the file is open.
    match unsafe { FlushFileBuffers(file.raw()) } {
        // SAFETY: no pointers are involved.
        0 => status::of_file(unsafe { GetLastError() }),
        _ => Status::SUCCESS,
    }
}

fn open(operation: &mut Operation) -> Status {
    let Some(opening) = operation.scratch().open.take() else {
        return Status::UNSUCCESSFUL;
    };
    let handle = match opening.plan.open(&opening.path) {
        Ok(handle) => handle,
        Err(status) => return status,
    };
    let (file, raw) = (&opening.file, handle.as_raw_handle());
    // SAFETY: the handle is open.
    if unsafe { GetFileType(raw) } != FILE_TYPE_DISK {
        return Status::NOT_SUPPORTED;
    }
    match access_of(raw).and_then(|access| file.port.adopt(raw).map(|()| access)) {
        Ok(access) => {
            file.lock().open = Some(Arc::new(OpenFile {
                handle,
                given: None,
                access,
            }));
            Status::SUCCESS
        }
        Err(_) => Status::NOT_SUPPORTED,
    }
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

    /// Asks the system to cancel an operation; `false` if it is not under way, or is one that the
    /// system does not cancel: opening, closing, synchronising.
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
        if !guarded.flights.is_empty() || guarded.jobs > 0 {
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
