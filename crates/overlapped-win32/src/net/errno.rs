//! Winsock's error numbers.

use std::io;

use overlapped_core::Status;

use crate::error::Error;

macro_rules! errors {
    ($($name:ident = $number:literal $(: $($errno:ident)|+)?),* $(,)?) => {
        #[allow(dead_code, reason = "the list is Winsock's")]
        impl Error {
            $(pub(crate) const $name: Error = Error($number);)*
        }

        /// What a Winsock call that fails with this `errno` reports.
        pub(crate) fn of_errno(errno: i32) -> Error {
            match errno {
                $($($(libc::$errno)|+ => Error::$name,)?)*
                _ => Error::WSAEINVAL,
            }
        }
    };
}

errors! {
    WSA_NOT_ENOUGH_MEMORY = 8,
    WSA_OPERATION_ABORTED = 995: ECANCELED,
    WSA_IO_INCOMPLETE = 996,
    WSA_IO_PENDING = 997,
    WSAEINTR = 10004: EINTR,
    WSAEACCES = 10013: EACCES | EPERM,
    WSAEFAULT = 10014: EFAULT,
    WSAEINVAL = 10022: EINVAL,
    WSAEMFILE = 10024: EMFILE | ENFILE,
    WSAEWOULDBLOCK = 10035: EAGAIN,
    WSAEINPROGRESS = 10036: EINPROGRESS,
    WSAEALREADY = 10037: EALREADY,
    WSAENOTSOCK = 10038: ENOTSOCK | EBADF,
    WSAEDESTADDRREQ = 10039: EDESTADDRREQ,
    WSAEMSGSIZE = 10040: EMSGSIZE,
    WSAEPROTOTYPE = 10041: EPROTOTYPE,
    WSAENOPROTOOPT = 10042: ENOPROTOOPT,
    WSAEPROTONOSUPPORT = 10043: EPROTONOSUPPORT,
    WSAESOCKTNOSUPPORT = 10044: ESOCKTNOSUPPORT,
    WSAEOPNOTSUPP = 10045: EOPNOTSUPP,
    WSAEAFNOSUPPORT = 10047: EAFNOSUPPORT | EPFNOSUPPORT,
    WSAEADDRINUSE = 10048: EADDRINUSE,
    WSAEADDRNOTAVAIL = 10049: EADDRNOTAVAIL,
    WSAENETDOWN = 10050: ENETDOWN,
    WSAENETUNREACH = 10051: ENETUNREACH,
    WSAENETRESET = 10052: ENETRESET,
    WSAECONNABORTED = 10053: ECONNABORTED,
    WSAECONNRESET = 10054: ECONNRESET,
    WSAENOBUFS = 10055: ENOBUFS | ENOMEM,
    WSAEISCONN = 10056: EISCONN,
    WSAENOTCONN = 10057: ENOTCONN,
    WSAESHUTDOWN = 10058: EPIPE | ESHUTDOWN,
    WSAETIMEDOUT = 10060: ETIMEDOUT,
    WSAECONNREFUSED = 10061: ECONNREFUSED,
    WSAELOOP = 10062: ELOOP,
    WSAENAMETOOLONG = 10063: ENAMETOOLONG,
    WSAEHOSTDOWN = 10064: EHOSTDOWN,
    WSAEHOSTUNREACH = 10065: EHOSTUNREACH,
    WSAVERNOTSUPPORTED = 10092,
    WSANOTINITIALISED = 10093,
    WSATYPE_NOT_FOUND = 10109,
    WSAHOST_NOT_FOUND = 11001,
    WSATRY_AGAIN = 11002,
    WSANO_RECOVERY = 11003,
    WSANO_DATA = 11004,
}

/// What the `errno` of the call before stands for.
pub(crate) fn last() -> Error {
    of_errno(io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// What a Winsock call that fails with this status reports (table 6a).
pub(crate) fn of_status(status: Status) -> Error {
    Error(status.winsock())
}
