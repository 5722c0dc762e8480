//! How a file is to be opened.

use std::io;
use std::os::windows::io::{FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{GENERIC_READ, GetLastError, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Storage::FileSystem::{
    CREATE_ALWAYS, CREATE_NEW, CreateFileW, FILE_CREATION_DISPOSITION, FILE_FLAG_NO_BUFFERING,
    FILE_FLAG_OVERLAPPED, FILE_GENERIC_WRITE, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE,
    FILE_WRITE_DATA, OPEN_ALWAYS, OPEN_EXISTING, TRUNCATE_EXISTING,
};

use super::status;
use crate::Status;

/// How a file is to be opened; the same choices as `std::fs::OpenOptions` has.
///
/// ```
/// # use overlapped_core::OpenOptions;
/// let log = OpenOptions::new().append(true).create(true);
/// let database = OpenOptions::new().read(true).write(true).direct(true);
/// # let _ = (log, database);
/// ```
#[derive(Clone, Debug)]
#[must_use = "options open nothing by themselves"]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    flags: u32,
}

macro_rules! switches {
    ($($(#[$doc:meta])* $name:ident)*) => {
        $($(#[$doc])* pub fn $name(mut self, on: bool) -> Self {
            self.$name = on;
            self
        })*
    };
}

impl OpenOptions {
    /// Nothing is allowed yet; at least one of `read`, `write` and `append` is needed.
    #[expect(clippy::new_without_default, reason = "an empty choice opens nothing")]
    pub fn new() -> Self {
        OpenOptions {
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            flags: 0,
        }
    }

    switches! {
        /// The file can be read.
        read
        /// The file can be written, at any place.
        write
        /// The file can be appended to, and written in no other way.
        append
        /// What the file holds is thrown away. Needs `write`.
        truncate
        /// The file is made if there is none. Needs `write` or `append`.
        create
        /// The file is made, and opening fails if there is one. Needs `write` or `append`.
        create_new
    }

    /// Reads and writes bypass the page cache (`FILE_FLAG_NO_BUFFERING`): places, lengths and
    /// addresses must be multiples of the device's block size, 512 or 4096 bytes as a rule.
    pub fn direct(mut self, on: bool) -> Self {
        self.flags &= !FILE_FLAG_NO_BUFFERING;
        if on {
            self.flags |= FILE_FLAG_NO_BUFFERING;
        }
        self
    }

    /// Further flags and attributes of `CreateFile`.
    pub fn custom_flags(mut self, flags: u32) -> Self {
        self.flags = flags;
        self
    }

    /// As `CreateFile` takes them; the same combinations are refused as by std.
    pub(super) fn plan(&self) -> io::Result<Plan> {
        let writes = match (self.write, self.append) {
            (_, true) => FILE_GENERIC_WRITE & !FILE_WRITE_DATA,
            (true, false) => FILE_GENERIC_WRITE,
            (false, false) => 0,
        };
        let reads = if self.read { GENERIC_READ } else { 0 };
        if reads | writes == 0 {
            return Err(refused("to open a file, read, write or append is needed"));
        }
        if writes == 0 && (self.truncate || self.create || self.create_new) {
            return Err(refused(
                "a file that is only read cannot be made or truncated",
            ));
        }
        if self.append && self.truncate && !self.create_new {
            return Err(refused("a file cannot be both truncated and appended to"));
        }
        let disposition = match (self.create_new, self.create, self.truncate) {
            (true, _, _) => CREATE_NEW,
            (_, true, true) => CREATE_ALWAYS,
            (_, true, false) => OPEN_ALWAYS,
            (_, false, true) => TRUNCATE_EXISTING,
            (_, false, false) => OPEN_EXISTING,
        };
        Ok(Plan {
            access: reads | writes,
            disposition,
            flags: self.flags | FILE_FLAG_OVERLAPPED,
        })
    }
}

fn refused(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

pub(super) struct Plan {
    access: u32,
    disposition: FILE_CREATION_DISPOSITION,
    flags: u32,
}

/// What others may do with a file meanwhile: everything, as std has it.
pub(super) const SHARED: u32 = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

impl Plan {
    /// Opens the file; may take its time.
    pub(super) fn open(&self, path: &[u16]) -> Result<OwnedHandle, Status> {
        debug_assert_eq!(path.last(), Some(&0));
        // SAFETY: the path ends with a zero.
        let handle = unsafe {
            CreateFileW(
                path.as_ptr(),
                self.access,
                SHARED,
                null(),
                self.disposition,
                self.flags,
                null_mut(),
            )
        };
        if handle == INVALID_HANDLE_VALUE {
            // SAFETY: no pointers are involved.
            return Err(status::of_file(unsafe { GetLastError() }));
        }
        // SAFETY: it is open, and nobody else's.
        Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
    }
}
