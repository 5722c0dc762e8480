//! How an operation ended: an NTSTATUS, and what it is called elsewhere.

use std::fmt;
use std::io;

/// How an operation ended.
///
/// The value is an NTSTATUS on every system, because the model's rules are stated in it (a packet
/// is a failed one exactly if its status is negative) and because it keeps apart what `errno`
/// merges. [`to_error`](Status::to_error) gives the nearest [`io::Error`];
/// [`win32`](Status::win32) and [`winsock`](Status::winsock) give the numbers that
/// `GetLastError` shows for a packet and that a Winsock call reports (table 6a).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(i32);

struct Row {
    status: Status,
    name: &'static str,
    win32: u32,
    winsock: u32,
    kind: io::ErrorKind,
    /// `None` where Linux has no number for it.
    #[cfg(unix)]
    errno: Option<i32>,
    text: &'static str,
}

/// The errnos of the table, under their names.
#[cfg(unix)]
mod errno {
    macro_rules! name {
        ($($name:ident)*) => {
            pub(super) const NONE: Option<i32> = None;
            $(pub(super) const $name: Option<i32> = Some(libc::$name);)*
        };
    }

    name! {
        ECONNRESET ECONNABORTED ECANCELED ETIMEDOUT ECONNREFUSED ENETUNREACH EHOSTUNREACH ENOTCONN
        EPIPE EADDRINUSE EADDRNOTAVAIL ENOBUFS EMFILE EISCONN EFAULT EBADF EINVAL EACCES EMSGSIZE
        EOPNOTSUPP ENOSPC EDQUOT EFBIG ENOENT EEXIST EISDIR ENOTDIR EROFS EIO
        ENAMETOOLONG
    }
}

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $nt:literal, $win32:literal, $winsock:literal, $errno:ident,
        $kind:ident, $text:literal;)*) => {
        impl Status {
            $($(#[$doc])* pub const $name: Status = Status($nt as u32 as i32);)*
        }

        const TABLE: &[Row] = &[
            $(Row {
                status: Status::$name,
                name: stringify!($name),
                win32: $win32,
                winsock: $winsock,
                kind: io::ErrorKind::$kind,
                #[cfg(unix)]
                errno: errno::$errno,
                text: $text,
            },)*
        ];
    };
}

statuses! {
    /// The peer reset the connection. Sticky: the socket reports nothing else from then on.
    CONNECTION_RESET = 0xC000020D, 64, 10054, ECONNRESET, ConnectionReset, "the peer reset the connection";
    /// The socket was closed on this side while the operation was under way.
    CONNECTION_ABORTED = 0xC0000241, 1236, 10053, ECONNABORTED, ConnectionAborted, "the connection was closed on this side";
    /// The operation was cancelled.
    CANCELLED = 0xC0000120, 995, 995, ECANCELED, Other, "the operation was cancelled";
    /// Time ran out: the operation's own, or the network gave up. After the former the socket is
    /// as good as before, and the operation can be started again; after the latter it is not.
    IO_TIMEOUT = 0xC00000B5, 121, 10060, ETIMEDOUT, TimedOut, "the operation timed out";
    /// Nobody listens there.
    CONNECTION_REFUSED = 0xC0000236, 1225, 10061, ECONNREFUSED, ConnectionRefused, "nobody listens there, or the connection was refused";
    /// A datagram found nobody at its address, and came back (IO-13).
    PORT_UNREACHABLE = 0xC000023F, 1234, 10054, NONE, ConnectionReset, "nobody listens where a datagram was sent to";
    /// There is no route to that network.
    NETWORK_UNREACHABLE = 0xC000023C, 1231, 10051, ENETUNREACH, NetworkUnreachable, "the network cannot be reached";
    /// There is no route to that host.
    HOST_UNREACHABLE = 0xC000023D, 1232, 10065, EHOSTUNREACH, HostUnreachable, "the host cannot be reached";
    /// The socket is not connected.
    INVALID_CONNECTION = 0xC0000140, 59, 10057, ENOTCONN, NotConnected, "the socket is not connected";
    /// That direction of the socket was shut down.
    PIPE_DISCONNECTED = 0xC00000B0, 233, 10058, EPIPE, BrokenPipe, "this direction of the socket was shut down";
    /// The address is in use.
    ADDRESS_ALREADY_EXISTS = 0xC000020A, 52, 10048, EADDRINUSE, AddrInUse, "the address is in use";
    /// The address is not one of this machine's, or cannot be connected to.
    INVALID_ADDRESS_COMPONENT = 0xC0000207, 1214, 10049, EADDRNOTAVAIL, AddrNotAvailable, "the address cannot be used here";
    /// Out of memory or of socket buffers.
    INSUFFICIENT_RESOURCES = 0xC000009A, 1450, 10055, ENOBUFS, OutOfMemory, "the system is out of memory or buffers";
    /// Out of file descriptors: close some, or raise the limit.
    TOO_MANY_OPENED_FILES = 0xC000011F, 4, 10024, EMFILE, Other, "too many open files: close some, or raise the limit (ulimit -n)";
    /// The socket is connected already.
    CONNECTION_ACTIVE = 0xC000023B, 1230, 10056, EISCONN, AlreadyExists, "the socket is connected already";
    /// The system could not reach the buffer.
    ACCESS_VIOLATION = 0xC0000005, 998, 10014, EFAULT, InvalidInput, "the buffer is not in reach";
    /// The socket or the file is closed.
    INVALID_HANDLE = 0xC0000008, 6, 10038, EBADF, InvalidInput, "the socket or the file is closed";
    /// This cannot be done with a socket in this state, or with this file, offset or buffer.
    INVALID_PARAMETER = 0xC000000D, 87, 10022, EINVAL, InvalidInput, "this cannot be done with a socket or file in this state";
    /// Not permitted.
    ACCESS_DENIED = 0xC0000022, 5, 10013, EACCES, PermissionDenied, "permission denied";
    /// The message does not fit.
    INVALID_BUFFER_SIZE = 0xC0000206, 1784, 10040, EMSGSIZE, InvalidInput, "the message is too long";
    /// The datagram was longer than the buffer: the buffer is full, the rest is lost (IO-9). Or more
    /// descriptors came than there was room for (FD-3).
    BUFFER_OVERFLOW = 0x80000005, 234, 10040, NONE, Other, "more came than there was room for (a longer datagram, or more descriptors), and the rest of it is lost";
    /// The other end of the pipe has gone (IO-19).
    PIPE_BROKEN = 0xC000014B, 109, 109, NONE, BrokenPipe, "the other end of the pipe has gone";
    /// Not supported by this kind of socket or file.
    NOT_SUPPORTED = 0xC00000BB, 50, 10045, EOPNOTSUPP, Unsupported, "this kind of socket or file cannot do that";
    /// There is nothing at or behind this place of the file (IO-18).
    END_OF_FILE = 0xC0000011, 38, 38, NONE, UnexpectedEof, "the file ends before this place";
    /// There is too little room for what the operation brings, and it has brought nothing.
    BUFFER_TOO_SMALL = 0xC0000023, 122, 10014, NONE, InvalidInput, "there is too little room for the result";
    /// The disk is full.
    DISK_FULL = 0xC000007F, 112, 112, ENOSPC, StorageFull, "the disk is full";
    /// The disk quota is used up.
    DISK_QUOTA_EXCEEDED = 0xC0000802, 1295, 1295, EDQUOT, QuotaExceeded, "the disk quota is used up";
    /// The file would become larger than the file system or the process's limit allows.
    FILE_TOO_LARGE = 0xC0000904, 223, 223, EFBIG, FileTooLarge, "the file would become too large";
    /// There is no such file.
    OBJECT_NAME_NOT_FOUND = 0xC0000034, 2, 2, ENOENT, NotFound, "there is no such file";
    /// The name is too long.
    OBJECT_NAME_INVALID = 0xC0000033, 123, 123, ENAMETOOLONG, InvalidFilename, "the name is too long";
    /// The file exists already.
    OBJECT_NAME_COLLISION = 0xC0000035, 183, 183, EEXIST, AlreadyExists, "the file exists already";
    /// It is a directory.
    FILE_IS_A_DIRECTORY = 0xC00000BA, 336, 336, EISDIR, IsADirectory, "it is a directory";
    /// A part of the path is no directory.
    NOT_A_DIRECTORY = 0xC0000103, 267, 267, ENOTDIR, NotADirectory, "a part of the path is no directory";
    /// The file system is mounted for reading only.
    MEDIA_WRITE_PROTECTED = 0xC00000A2, 19, 19, EROFS, ReadOnlyFilesystem, "the file system can only be read";
    /// The device failed.
    IO_DEVICE_ERROR = 0xC0000185, 1117, 1117, EIO, Other, "the device failed";
    /// Something else went wrong.
    UNSUCCESSFUL = 0xC0000001, 31, 10022, NONE, Other, "the operation failed";
}

impl Status {
    /// The operation succeeded.
    pub const SUCCESS: Status = Status(0);
    /// The operation is under way.
    pub const PENDING: Status = Status(0x103);

    /// Whether this is a success; only a negative status is a failure (table 2a).
    pub const fn is_success(self) -> bool {
        self.0 >= 0
    }

    /// The NTSTATUS.
    pub const fn code(self) -> i32 {
        self.0
    }

    /// The status with this NTSTATUS.
    pub const fn from_code(code: i32) -> Status {
        Status(code)
    }

    /// What `GetLastError` shows for a packet with this status; 0 for success, 317 for a status
    /// without a number of its own.
    pub fn win32(self) -> u32 {
        if self.is_success() {
            0
        } else {
            self.row().map_or(317, |row| row.win32)
        }
    }

    /// What a Winsock call reports; 0 for success, 10022 for a status without a number of its own.
    pub fn winsock(self) -> u32 {
        if self.is_success() {
            0
        } else {
            self.row().map_or(10022, |row| row.winsock)
        }
    }

    /// `Ok` for success, else the error.
    pub fn to_result(self) -> io::Result<()> {
        if self.is_success() {
            Ok(())
        } else {
            Err(self.to_error())
        }
    }

    /// The nearest [`io::Error`], of [`kind`](Status::kind). On Linux it carries the `errno` where
    /// std gives that the same kind; otherwise, and on Windows, the status itself is in it.
    pub fn to_error(self) -> io::Error {
        match self.row() {
            #[cfg(unix)]
            Some(
                row @ Row {
                    errno: Some(errno), ..
                },
            ) if io::Error::from_raw_os_error(*errno).kind() == row.kind => {
                io::Error::from_raw_os_error(*errno)
            }
            Some(row) => io::Error::new(row.kind, self),
            None => io::Error::other(self),
        }
    }

    /// The kind of [`to_error`](Status::to_error), without making one.
    pub fn kind(self) -> io::ErrorKind {
        self.row().map_or(io::ErrorKind::Other, |row| row.kind)
    }

    /// The status that an `errno` stands for.
    #[cfg(unix)]
    pub fn from_errno(errno: i32) -> Status {
        match errno {
            0 => Status::SUCCESS,
            libc::ENOMEM => Status::INSUFFICIENT_RESOURCES,
            // The latter: too many are on their way between processes.
            libc::ENFILE | libc::ETOOMANYREFS => Status::TOO_MANY_OPENED_FILES,
            libc::EPERM => Status::ACCESS_DENIED,
            libc::ENOTSOCK | libc::EBADF => Status::INVALID_HANDLE,
            _ => TABLE
                .iter()
                .find(|row| row.errno == Some(errno))
                .map_or(Status::UNSUCCESSFUL, |row| row.status),
        }
    }

    /// The status that a Win32 or Winsock error number stands for.
    pub fn from_win32(error: u32) -> Status {
        if error == 0 {
            return Status::SUCCESS;
        }
        TABLE
            .iter()
            .find(|row| row.win32 == error || row.winsock == error)
            .map_or(Status::UNSUCCESSFUL, |row| row.status)
    }

    /// Whether it is one of the table.
    #[cfg(windows)]
    pub(crate) fn is_named(self) -> bool {
        self.row().is_some()
    }

    fn row(self) -> Option<&'static Row> {
        TABLE.iter().find(|row| row.status == self)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (*self, self.row()) {
            (Status::SUCCESS, _) => f.write_str("SUCCESS"),
            (Status::PENDING, _) => f.write_str("PENDING"),
            (_, Some(row)) => f.write_str(row.name),
            (_, None) => write!(f, "NTSTATUS({:#010x})", self.0),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (*self, self.row()) {
            (Status::SUCCESS, _) => f.write_str("success"),
            (Status::PENDING, _) => f.write_str("the operation is under way"),
            (_, Some(row)) => f.write_str(row.text),
            (_, None) => write!(f, "the operation failed with status {:#010x}", self.0),
        }
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_of_its_statuss_kind() {
        for row in TABLE {
            assert_eq!(
                row.status.to_error().kind(),
                row.status.kind(),
                "{}",
                row.name
            );
        }
    }
}
