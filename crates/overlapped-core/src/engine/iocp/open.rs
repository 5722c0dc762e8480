//! How Windows opens a file.

use std::io;
use std::os::windows::io::{FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{GENERIC_READ, GetLastError, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Storage::FileSystem::{
    CREATE_ALWAYS, CREATE_NEW, CreateFileW, FILE_CREATION_DISPOSITION, FILE_FLAG_OVERLAPPED,
    FILE_GENERIC_WRITE, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, FILE_WRITE_DATA,
    OPEN_ALWAYS, OPEN_EXISTING, TRUNCATE_EXISTING,
};

use super::status;
use crate::{OpenOptions, Status};

impl OpenOptions {
    /// As `CreateFile` takes them.
    pub(super) fn plan(&self) -> io::Result<Plan> {
        self.check()?;
        let writes = match (self.write, self.append) {
            (_, true) => FILE_GENERIC_WRITE & !FILE_WRITE_DATA,
            (true, false) => FILE_GENERIC_WRITE,
            (false, false) => 0,
        };
        let reads = if self.read { GENERIC_READ } else { 0 };
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
