//! Socket options: Winsock's numbers, and what they are on Linux.
//!
//! Most are an `int` under another number, and are in one table. The others are the object's own
//! ([`Own`]): Linux has nothing like them, has them in another shape, or must not be told.

/// Winsock's levels.
const SOL_SOCKET: i32 = 0xffff;
const IPPROTO_IP: i32 = 0;
const IPPROTO_TCP: i32 = 6;
const IPPROTO_IPV6: i32 = 41;

/// What an option is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A number, under this level and name.
    Number(i32, i32),
    /// Bytes that Linux has in the same layout.
    Same(i32, i32),
    Own(Own),
}

/// Options of the object's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    Reuse,
    Exclusive,
    Linger,
    DontLinger,
    RecvTimeout,
    SendTimeout,
    /// The kernel's is double what was set.
    SendBuffer,
    RecvBuffer,
    Error,
    Type,
    MaxMessage,
    AcceptContext,
    ConnectContext,
    ConnectTime,
    /// Accepted, and without effect.
    Nothing,
}

/// What this option of Winsock's is; `None` if there is no such.
pub(crate) fn find(level: i32, name: i32) -> Option<What> {
    use What::{Number, Own as Ours, Same};
    Some(match (level, name) {
        (SOL_SOCKET, 0x0001) => Number(libc::SOL_SOCKET, libc::SO_DEBUG),
        (SOL_SOCKET, 0x0002) => Number(libc::SOL_SOCKET, libc::SO_ACCEPTCONN),
        (SOL_SOCKET, 0x0004) => Ours(Own::Reuse),
        (SOL_SOCKET, 0x0008) => Number(libc::SOL_SOCKET, libc::SO_KEEPALIVE),
        (SOL_SOCKET, 0x0010) => Number(libc::SOL_SOCKET, libc::SO_DONTROUTE),
        (SOL_SOCKET, 0x0020) => Number(libc::SOL_SOCKET, libc::SO_BROADCAST),
        (SOL_SOCKET, 0x0080) => Ours(Own::Linger),
        (SOL_SOCKET, 0x0100) => Number(libc::SOL_SOCKET, libc::SO_OOBINLINE),
        (SOL_SOCKET, name) if name == !0x0080 => Ours(Own::DontLinger),
        (SOL_SOCKET, name) if name == !0x0004 => Ours(Own::Exclusive),
        (SOL_SOCKET, 0x1001) => Ours(Own::SendBuffer),
        (SOL_SOCKET, 0x1002) => Ours(Own::RecvBuffer),
        (SOL_SOCKET, 0x1003 | 0x1004) => Ours(Own::Nothing),
        (SOL_SOCKET, 0x1005) => Ours(Own::SendTimeout),
        (SOL_SOCKET, 0x1006) => Ours(Own::RecvTimeout),
        (SOL_SOCKET, 0x1007) => Ours(Own::Error),
        (SOL_SOCKET, 0x1008) => Ours(Own::Type),
        (SOL_SOCKET, 0x2003) => Ours(Own::MaxMessage),
        // SO_CONDITIONAL_ACCEPT, SO_RANDOMIZE_PORT, SO_PORT_SCALABILITY, SO_OPENTYPE
        (SOL_SOCKET, 0x3002 | 0x3005 | 0x3006 | 0x7008) => Ours(Own::Nothing),
        (SOL_SOCKET, 0x700b) => Ours(Own::AcceptContext),
        (SOL_SOCKET, 0x700c) => Ours(Own::ConnectTime),
        (SOL_SOCKET, 0x7010) => Ours(Own::ConnectContext),

        (IPPROTO_TCP, 1) => Number(libc::IPPROTO_TCP, libc::TCP_NODELAY),
        (IPPROTO_TCP, 3) => Number(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
        (IPPROTO_TCP, 4) => Number(libc::IPPROTO_TCP, libc::TCP_MAXSEG),
        (IPPROTO_TCP, 16) => Number(libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
        (IPPROTO_TCP, 17) => Number(libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),

        (IPPROTO_IP, 2) => Number(libc::IPPROTO_IP, libc::IP_HDRINCL),
        (IPPROTO_IP, 3) => Number(libc::IPPROTO_IP, libc::IP_TOS),
        (IPPROTO_IP, 4) => Number(libc::IPPROTO_IP, libc::IP_TTL),
        (IPPROTO_IP, 9) => Same(libc::IPPROTO_IP, libc::IP_MULTICAST_IF),
        (IPPROTO_IP, 10) => Number(libc::IPPROTO_IP, libc::IP_MULTICAST_TTL),
        (IPPROTO_IP, 11) => Number(libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP),
        (IPPROTO_IP, 12) => Same(libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP),
        (IPPROTO_IP, 13) => Same(libc::IPPROTO_IP, libc::IP_DROP_MEMBERSHIP),
        (IPPROTO_IP, 19) => Number(libc::IPPROTO_IP, libc::IP_PKTINFO),

        (IPPROTO_IPV6, 4) => Number(libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
        (IPPROTO_IPV6, 9) => Number(libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_IF),
        (IPPROTO_IPV6, 10) => Number(libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS),
        (IPPROTO_IPV6, 11) => Number(libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP),
        (IPPROTO_IPV6, 12) => Same(libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP),
        (IPPROTO_IPV6, 13) => Same(libc::IPPROTO_IPV6, libc::IPV6_DROP_MEMBERSHIP),
        (IPPROTO_IPV6, 19) => Number(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        (IPPROTO_IPV6, 27) => Number(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
        _ => return None,
    })
}
