//! The last error, and the numbers that programs compare it with.

use std::cell::Cell;

/// A Win32 or Winsock error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Error(pub(crate) u32);

macro_rules! errors {
    ($($name:ident = $number:literal),* $(,)?) => {
        impl Error {
            $(pub(crate) const $name: Error = Error($number);)*
        }
    };
}

errors! {
    SUCCESS = 0,
    FILE_NOT_FOUND = 2,
    PATH_NOT_FOUND = 3,
    ACCESS_DENIED = 5,
    INVALID_HANDLE = 6,
    NOT_ENOUGH_MEMORY = 8,
    GEN_FAILURE = 31,
    HANDLE_EOF = 38,
    NOT_SUPPORTED = 50,
    FILE_EXISTS = 80,
    INVALID_PARAMETER = 87,
    BUFFER_OVERFLOW = 111,
    INSUFFICIENT_BUFFER = 122,
    MOD_NOT_FOUND = 126,
    PROC_NOT_FOUND = 127,
    NEGATIVE_SEEK = 131,
    NOT_LOCKED = 158,
    ALREADY_EXISTS = 183,
    WAIT_IO_COMPLETION = 192,
    ENVVAR_NOT_FOUND = 203,
    NO_DATA = 232,
    WAIT_TIMEOUT = 258,
    NO_MORE_ITEMS = 259,
    NOT_OWNER = 288,
    TOO_MANY_POSTS = 298,
    MR_MID_NOT_FOUND = 317,
    INVALID_ADDRESS = 487,
    ABANDONED_WAIT_0 = 735,
    IO_INCOMPLETE = 996,
    IO_PENDING = 997,
    NOACCESS = 998,
    NO_UNICODE_TRANSLATION = 1113,
    NOT_FOUND = 1168,
    WORKING_SET_QUOTA = 1453,
    TIMEOUT = 1460,
}

thread_local! {
    static LAST: Cell<u32> = const { Cell::new(0) };
}

/// What `GetLastError` and `WSAGetLastError` show; they are one.
pub(crate) fn last() -> u32 {
    LAST.get()
}

/// Sets it; a call that succeeds leaves it alone (GQ-2).
pub(crate) fn set_last(error: Error) {
    LAST.set(error.0);
}

/// A call's result as most of Win32 gives it: the value, or `failed` and the last error set.
pub(crate) fn or<T>(result: Result<T, Error>, failed: T) -> T {
    result.unwrap_or_else(|error| {
        set_last(error);
        failed
    })
}
