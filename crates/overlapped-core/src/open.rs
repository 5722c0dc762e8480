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
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    mode: u32,
    custom_flags: i32,
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
            mode: 0o666,
            custom_flags: 0,
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

    /// Reads and writes bypass the page cache (`O_DIRECT`): places, lengths and addresses must be
    /// multiples of the device's block size, 512 or 4096 bytes as a rule.
    pub fn direct(mut self, on: bool) -> Self {
        self.custom_flags &= !libc::O_DIRECT;
        if on {
            self.custom_flags |= libc::O_DIRECT;
        }
        self
    }

    /// The permissions of a file that is made, before the process's mask; `0o666` by default.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Further flags of `open(2)`; the access mode in them is ignored.
    pub fn custom_flags(mut self, flags: i32) -> Self {
        self.custom_flags = flags & !libc::O_ACCMODE;
        self
    }

    pub(crate) fn permissions(&self) -> u32 {
        self.mode
    }

    /// As `open(2)` takes them; the same combinations are refused as by std.
    pub(crate) fn flags(&self) -> io::Result<i32> {
        let access = match (self.read, self.write || self.append) {
            (true, false) => libc::O_RDONLY,
            (false, true) => libc::O_WRONLY,
            (true, true) => libc::O_RDWR,
            (false, false) => {
                return Err(refused("to open a file, read, write or append is needed"));
            }
        };
        if !self.write && !self.append && (self.truncate || self.create || self.create_new) {
            return Err(refused(
                "a file that is only read cannot be made or truncated",
            ));
        }
        if self.append && self.truncate && !self.create_new {
            return Err(refused("a file cannot be both truncated and appended to"));
        }
        let mut flags = access | libc::O_CLOEXEC | self.custom_flags;
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

fn refused(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
