//! How a file is to be opened.

use std::io;

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
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) append: bool,
    pub(crate) truncate: bool,
    pub(crate) create: bool,
    pub(crate) create_new: bool,
    #[cfg(target_os = "linux")]
    mode: u32,
    /// The system's own.
    #[cfg(target_os = "linux")]
    pub(crate) flags: i32,
    #[cfg(windows)]
    pub(crate) flags: u32,
}

/// The flag with which transfers bypass the page cache.
#[cfg(target_os = "linux")]
const DIRECT: i32 = libc::O_DIRECT;
#[cfg(windows)]
const DIRECT: u32 = windows_sys::Win32::Storage::FileSystem::FILE_FLAG_NO_BUFFERING;

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
            #[cfg(target_os = "linux")]
            mode: 0o666,
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

    /// Reads and writes bypass the page cache (`O_DIRECT`, on Windows `FILE_FLAG_NO_BUFFERING`):
    /// places, lengths and addresses must be multiples of the device's block size, 512 or 4096 bytes
    /// as a rule.
    pub fn direct(mut self, on: bool) -> Self {
        self.flags &= !DIRECT;
        if on {
            self.flags |= DIRECT;
        }
        self
    }

    /// The permissions of a file that is made, before the process's mask; `0o666` by default.
    #[cfg(target_os = "linux")]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Further flags of `open(2)`; the access mode in them is ignored.
    #[cfg(target_os = "linux")]
    pub fn custom_flags(mut self, flags: i32) -> Self {
        self.flags = flags & !libc::O_ACCMODE;
        self
    }

    /// Further flags and attributes of `CreateFile`.
    #[cfg(windows)]
    pub fn custom_flags(mut self, flags: u32) -> Self {
        self.flags = flags;
        self
    }

    /// Refuses the same combinations as std.
    pub(crate) fn check(&self) -> io::Result<()> {
        let refused = |text| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        let writes = self.write || self.append;
        if !self.read && !writes {
            return refused("to open a file, read, write or append is needed");
        }
        if !writes && (self.truncate || self.create || self.create_new) {
            return refused("a file that is only read cannot be made or truncated");
        }
        if self.append && self.truncate && !self.create_new {
            return refused("a file cannot be both truncated and appended to");
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn permissions(&self) -> u32 {
        self.mode
    }

    /// As `open(2)` takes them.
    #[cfg(target_os = "linux")]
    pub(crate) fn of_system(&self) -> io::Result<i32> {
        self.check()?;
        let access = match (self.read, self.write || self.append) {
            (true, true) => libc::O_RDWR,
            (true, false) => libc::O_RDONLY,
            (false, _) => libc::O_WRONLY,
        };
        let mut flags = access | libc::O_CLOEXEC | self.flags;
        if self.append {
            flags |= libc::O_APPEND;
        }
        if self.create_new {
            flags |= libc::O_CREAT | libc::O_EXCL;
        } else {
            if self.create {
                flags |= libc::O_CREAT;
            }
            if self.truncate {
                flags |= libc::O_TRUNC;
            }
        }
        Ok(flags)
    }
}
