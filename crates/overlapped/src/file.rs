//! The associated file.

#[cfg(unix)]
use std::ffi::CString;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use overlapped_core::{Kind, OpenOptions, Status};

use crate::memory::{self, Bytes};
use crate::socket::{give_back, refused, refused_because};
use crate::{Operation, Refused, Started};

/// A regular file (on Linux also a block device) that is associated with a completion port, with its
/// key.
///
/// A cheap handle: cloning gives another to the same file. The file closes when its last handle and
/// its last operation are gone, or by [`close`](File::close). Dropping a handle aborts nothing.
///
/// Operations may be started from any thread, several at a time, each at a place of its own; the
/// file's own position is neither used nor moved (IO-18). They may be performed and complete in any
/// order: who wants one after another starts it when the other's packet is out.
///
/// No call blocks for the disk. What the page cache holds is copied before a read returns; the rest
/// is performed by io_uring, on a thread of the library's, or by a few threads where the system
/// refuses io_uring ([`FileStats`](crate::FileStats) tell which, and why). On Windows the kernel
/// performs it; a transfer of several pieces is copied together there, and opening, closing and
/// synchronising are calls on the system's thread pool.
///
/// ```
/// use overlapped::{CompletionPort, Operation};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::env::temp_dir().join(format!("overlapped-doc-file-{}", std::process::id()));
/// std::fs::write(&path, "the beginning and the end")?;
/// let port: CompletionPort<&str, ()> = CompletionPort::new(1)?;
/// let file = port.associate_file(std::fs::File::open(&path)?, "my file")?;
///
/// file.read_at(Operation::with_capacity(100, ()), 18)?;
/// let packet = port.get()?;
/// assert_eq!(packet.result()?, 7);
/// assert_eq!(packet.operation.bytes(), b"the end");
/// assert_eq!(packet.key(), Some(&"my file"));
/// # std::fs::remove_file(&path)?;
/// # Ok(())
/// # }
/// ```
pub struct File<K, T> {
    associated: Arc<AssociatedFile<K>>,
    operations: PhantomData<fn(T) -> T>,
}

/// What the handles and the operations of a file share.
pub(crate) struct AssociatedFile<K> {
    pub(crate) file: overlapped_core::File,
    pub(crate) key: K,
}

impl<K: Send + Sync + 'static, T: Send + 'static> File<K, T> {
    pub(crate) fn new(associated: Arc<AssociatedFile<K>>) -> Self {
        File {
            associated,
            operations: PhantomData,
        }
    }

    /// The completion key: what the file was associated with.
    pub fn key(&self) -> &K {
        &self.associated.key
    }

    pub(crate) fn core(&self) -> &overlapped_core::File {
        &self.associated.file
    }

    // ---- operations ----------------------------------------------------------------------------

    /// Reads from `offset` on, in bytes from the file's beginning, into the buffer's capacity. Short
    /// only across the end of the file; at or past the end it fails with
    /// [`Status::END_OF_FILE`] (IO-18).
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a buffer without room, an offset beyond `i64::MAX`, or a closed file;
    /// `PermissionDenied` if the file is open for writing only. With
    /// [`direct`](OpenOptions::direct), an address, length or offset that is not aligned is the
    /// packet's [`Status::INVALID_PARAMETER`].
    pub fn read_at(&self, operation: Operation<T>, offset: u64) -> Result<Started, Refused<T>> {
        if operation.buffer().capacity() == 0 {
            return Err(refused(
                operation,
                Status::INVALID_PARAMETER,
                "nothing can be read into a buffer without capacity",
            ));
        }
        self.start(operation, Kind::Read, Bytes::Receive, offset)
    }

    /// Writes all of the buffer's bytes from `offset` on, or fails; the packet says how many bytes
    /// were written, also when the disk was full ([`Status::DISK_FULL`]). The file grows as needed.
    ///
    /// It completes when the bytes are with the system; [`sync_data`](File::sync_data), started
    /// after that, brings them to the disk.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` if the file is open for reading only; `InvalidInput` if it is open for
    /// appending (Linux would append, whatever the offset), an offset beyond `i64::MAX`, or a
    /// closed file.
    pub fn write_at(&self, operation: Operation<T>, offset: u64) -> Result<Started, Refused<T>> {
        self.start(operation, Kind::Write, Bytes::Send, offset)
    }

    /// Writes all of the buffer's bytes to wherever the file ends by then (`RWF_APPEND`), or fails.
    /// Several appends may happen in any order. Each is in one piece, unless the system could write
    /// it only in parts, for instance because the disk was full for a moment.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` if the file is open for reading only; `InvalidInput` if it is closed.
    ///
    /// ```
    /// # use overlapped::{CompletionPort, Operation};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let path = std::env::temp_dir().join(format!("overlapped-doc-log-{}", std::process::id()));
    /// # let port: CompletionPort = CompletionPort::new(1)?;
    /// let log = std::fs::File::options().append(true).create(true).open(&path)?;
    /// let log = port.associate_file(log, ())?;
    /// log.append(Operation::new("a line\n", ()))?;
    /// assert_eq!(port.get()?.result()?, 7);
    ///
    /// // What has completed can be brought to the disk; then the file is closed.
    /// log.sync_data(Operation::new("", ()))?;
    /// port.get()?.result()?;
    /// log.close(Operation::new("", ()))?;
    /// port.get()?.result()?;
    /// # std::fs::remove_file(&path)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn append(&self, operation: Operation<T>) -> Result<Started, Refused<T>> {
        self.start(operation, Kind::Append, Bytes::Send, 0)
    }

    /// Brings what was written, by operations that have completed, to the disk, with all metadata.
    /// On Windows the file has to be open for writing or appending: else it fails with
    /// [`Status::ACCESS_DENIED`].
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the file is closed.
    pub fn sync_all(&self, operation: Operation<T>) -> Result<Started, Refused<T>> {
        self.start(operation, Kind::SyncAll, Bytes::None, 0)
    }

    /// As [`sync_all`](File::sync_all), with as much metadata as it takes to find the data again.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn sync_data(&self, operation: Operation<T>) -> Result<Started, Refused<T>> {
        self.start(operation, Kind::SyncData, Bytes::None, 0)
    }

    /// Closes the file, whatever handles there are: nothing can be started any more, operations
    /// under way go on, and when the last of them has its packet out, the file is closed by the
    /// library, since closing may block; then this operation completes, with what the system
    /// reported. It cannot be cancelled, and has no deadline.
    ///
    /// Dropping the last handle closes too, at once and in that thread.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is closed already.
    pub fn close(&self, operation: Operation<T>) -> Result<Started, Refused<T>> {
        self.start(operation, Kind::Close, Bytes::None, 0)
    }

    fn start(
        &self,
        mut operation: Operation<T>,
        kind: Kind,
        bytes: Bytes,
        offset: u64,
    ) -> Result<Started, Refused<T>> {
        operation.memory.prepare(kind, bytes);
        operation.memory.header.set_offset(offset);
        self.hand_over(operation)
    }

    pub(crate) fn open(
        &self,
        mut operation: Operation<T>,
        options: &OpenOptions,
        path: &Path,
    ) -> Result<Started, Refused<T>> {
        operation.memory.prepare(Kind::Open, Bytes::None);
        let header = &mut operation.memory.header;
        let opening = of_system(path).and_then(|path| header.set_open(path, options, self.core()));
        match opening {
            Ok(()) => self.hand_over(operation),
            Err(error) => Err(refused_because(operation, Status::INVALID_PARAMETER, error)),
        }
    }

    fn hand_over(&self, operation: Operation<T>) -> Result<Started, Refused<T>> {
        let mut untyped = memory::into_core(operation.memory);
        untyped.set_owner(Some(self.associated.clone()));
        match self.associated.file.start(untyped) {
            Ok(token) => Ok(Started { token }),
            Err(refused) => Err(give_back(refused.operation, refused.status)),
        }
    }

    // ---- cancelling, and the way back ----------------------------------------------------------

    /// Cancels one operation, from any thread (CX-1). `false`: it has ended already, and its packet
    /// says how (CX-2), or it is a close. `true`: it was asked to end, and the packet says what
    /// became of it: [`Status::CANCELLED`] with the number of bytes that were moved before, or
    /// success if it was too late.
    pub fn cancel(&self, started: Started) -> bool {
        self.associated.file.cancel(started.token)
    }

    /// Cancels every operation on the file but a close; how many those were. Each still yields its
    /// packet.
    pub fn cancel_all(&self) -> usize {
        self.associated.file.cancel_all()
    }

    /// Ends the association and gives the file back as std's type.
    ///
    /// # Errors
    ///
    /// The file comes back if operations are under way, or their packets are not out, or it is
    /// closed or not open yet.
    pub fn into_std(self) -> Result<fs::File, Self> {
        match self.associated.file.release() {
            Some(fd) => Ok(fs::File::from(fd)),
            None => Err(self),
        }
    }

    /// What the system knows of the file: its length and so on. May block for a file system that
    /// has to ask another machine.
    ///
    /// # Errors
    ///
    /// The system's, or when the file is closed or not open yet.
    pub fn metadata(&self) -> io::Result<Metadata> {
        let duplicate = self
            .associated
            .file
            .with_open(|file| file.try_clone())
            .map_err(Status::to_error)??;
        fs::File::from(duplicate).metadata()
    }
}

/// A path as the system takes it.
#[cfg(unix)]
fn of_system(path: &Path) -> io::Result<CString> {
    use std::os::unix::ffi::OsStrExt;
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// A path as the system takes it.
#[cfg(windows)]
fn of_system(path: &Path) -> io::Result<Vec<u16>> {
    use std::os::windows::ffi::OsStrExt;
    let mut wide: Vec<u16> = path.as_os_str().encode_wide().collect();
    if wide.contains(&0) {
        let text = "a path has no zero in it";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    wide.push(0);
    Ok(wide)
}

impl<K, T> Clone for File<K, T> {
    fn clone(&self) -> Self {
        File {
            associated: self.associated.clone(),
            operations: PhantomData,
        }
    }
}

impl<K, T> PartialEq for File<K, T> {
    /// Whether both are handles to the same file.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.associated, &other.associated)
    }
}

impl<K, T> Eq for File<K, T> {}

impl<K: fmt::Debug, T> fmt::Debug for File<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("key", &self.associated.key)
            .finish_non_exhaustive()
    }
}
