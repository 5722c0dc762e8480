//! Listening: from the words on the command line to sockets.
//!
//! * `SO_REUSEADDR`, so that a server that was just ended can be started again although its old
//!   connections are still in TIME_WAIT. (On Linux it does not let two servers listen on one port.
//!   On Windows it does, and a restart needs nothing; there the address is claimed for this server
//!   alone, `SO_EXCLUSIVEADDRUSE`.)
//! * A backlog as long as the system allows: in a storm of connections they wait in line.
//! * An IPv6 address means IPv6 only, so that `0.0.0.0` and `[::]` can be given side by side.
//! * With several completion ports, each has a socket of its own on every address, and the system
//!   spreads the connections over them (`SO_REUSEPORT`). That option lets others of the same user
//!   listen there, too, so whether the address is free is tried without it first. Windows has
//!   nothing like it.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

/// The longest backlog that can be asked for; the system shortens it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// The sockets for all addresses, for one port each.
#[derive(Debug)]
pub struct Listeners {
    /// Where they listen.
    pub addresses: Vec<SocketAddr>,
    /// One list for each completion port, with one socket for each address.
    pub by_port: Vec<Vec<TcpListener>>,
}

/// Listens on all of these for so many completion ports.
///
/// # Errors
///
/// A sentence that says what is wrong with which address, and what to do.
pub fn listen(names: &[String], ports: usize) -> Result<Listeners, String> {
    if ports > 1 && cfg!(windows) {
        return Err(
            "several completion ports on one address need SO_REUSEPORT, which Windows does not \
             have; use --ports 1, whose one port can use all processors"
                .to_owned(),
        );
    }
    let mut listeners = Listeners {
        addresses: Vec::new(),
        by_port: (0..ports).map(|_| Vec::new()).collect(),
    };
    for name in names {
        for address in resolve(name)? {
            // Said twice: once as a name and once as an address, perhaps.
            if listeners.addresses.contains(&address) {
                continue;
            }
            add(&mut listeners, address, ports).map_err(|error| explain(name, address, &error))?;
        }
    }
    Ok(listeners)
}

fn add(listeners: &mut Listeners, mut address: SocketAddr, ports: usize) -> io::Result<()> {
    let shared = ports > 1;
    if shared {
        // Is it free? And if the system is to choose a port: which one?
        address = bind(address, false)?.local_addr()?;
    }
    for sockets in &mut listeners.by_port {
        let socket = bind(address, shared)?;
        // The first of them has got a port, if the system was to choose one.
        address = socket.local_addr()?;
        sockets.push(socket);
    }
    listeners.addresses.push(address);
    Ok(())
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    claim(&socket, shared)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(unix)]
fn claim(socket: &Socket, shared: bool) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    Ok(())
}

#[cfg(windows)]
#[allow(unsafe_code)]
fn claim(socket: &Socket, _shared: bool) -> io::Result<()> {
    use std::os::windows::io::AsRawSocket;
    use windows_sys::Win32::Networking::WinSock::{
        SO_EXCLUSIVEADDRUSE, SOCKET, SOL_SOCKET, setsockopt,
    };
    let on = 1i32.to_ne_bytes();
    let raw = socket.as_raw_socket() as SOCKET;
    // SAFETY: the option's value is an int, which lives for the call.
    match unsafe { setsockopt(raw, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, on.as_ptr(), 4) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The addresses that a name stands for; `localhost` is often two.
fn resolve(name: &str) -> Result<Vec<SocketAddr>, String> {
    check(name)?;
    let mut addresses: Vec<SocketAddr> = match name.to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            return Err(format!(
                "cannot find the host of '{name}': {}; use an address of this machine, such as \
                 127.0.0.1, or 0.0.0.0 for all",
                without_code(&error)
            ));
        }
    };
    addresses.sort();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(format!("the host of '{name}' has no address"));
    }
    Ok(addresses)
}

/// Whether the text has the form HOST:PORT.
///
/// # Errors
///
/// A sentence that says what is missing.
pub fn check(name: &str) -> Result<(), String> {
    if name.parse::<SocketAddr>().is_ok() {
        return Ok(());
    }
    let example = |host: &str, port: &str| format!("write for example {host}:{port}");
    if let Ok(address) = name.parse::<std::net::IpAddr>() {
        let host = match address {
            std::net::IpAddr::V4(address) => address.to_string(),
            std::net::IpAddr::V6(address) => format!("[{address}]"),
        };
        return Err(format!("it has no port; {}", example(&host, "4567")));
    }
    let Some((host, port)) = name.rsplit_once(':') else {
        return Err(if name.parse::<u16>().is_ok() {
            format!("it has no host; {}", example("127.0.0.1", name))
        } else if name.is_empty() {
            format!("it is empty; {}", example("127.0.0.1", "4567"))
        } else {
            format!("it has no port; {}", example(name, "4567"))
        });
    };
    if port.parse::<u16>().is_err() {
        return Err(if port.is_empty() {
            format!("it has no port; {}", example(host, "4567"))
        } else {
            format!("'{port}' is not a port, which is a number from 0 to 65535")
        });
    }
    if host.is_empty() {
        return Err(format!(
            "it has no host; {}, or 0.0.0.0:{port} for all interfaces",
            example("127.0.0.1", port)
        ));
    }
    if host.contains(':') {
        return Err(format!(
            "an IPv6 address needs brackets; {}",
            example("[::1]", port)
        ));
    }
    Ok(())
}

fn explain(name: &str, address: SocketAddr, error: &io::Error) -> String {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => {
            "another program listens there; end it, or choose another port with --listen".to_owned()
        }
        ErrorKind::PermissionDenied => format!(
            "ports below 1024 need a privilege; choose another one with --listen, such as {}",
            SocketAddr::new(address.ip(), 4567)
        ),
        ErrorKind::AddrNotAvailable => {
            "that is not an address of this machine; 127.0.0.1 and 0.0.0.0 always are".to_owned()
        }
        _ => without_code(error),
    };
    let name = if name.parse::<SocketAddr>().is_ok() {
        name.to_owned()
    } else {
        format!("{name} ({address})")
    };
    format!("cannot listen on {name}: {advice}")
}

/// An error's text without `(os error 98)`, and without the resolver's preamble.
fn without_code(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.rsplit(": ").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        for good in ["127.0.0.1:4567", "[::1]:0", "localhost:80", "a.b-c:65535"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, says) in [
            (
                "127.0.0.1",
                "it has no port; write for example 127.0.0.1:4567",
            ),
            ("::1", "it has no port; write for example [::1]:4567"),
            (
                "localhost",
                "it has no port; write for example localhost:4567",
            ),
            (
                "localhost:",
                "it has no port; write for example localhost:4567",
            ),
            ("4567", "it has no host; write for example 127.0.0.1:4567"),
            (
                ":4567",
                "it has no host; write for example 127.0.0.1:4567, or 0.0.0.0",
            ),
            ("", "it is empty"),
            ("localhost:http", "'http' is not a port"),
            ("127.0.0.1:70000", "'70000' is not a port"),
            ("fe80::1%1:80", "brackets"),
        ] {
            let error = check(bad).unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn each_port_has_its_own_socket_on_the_same_address() {
        let listeners = listen(&["127.0.0.1:0".into()], 3).unwrap();
        assert_eq!(listeners.by_port.len(), 3);
        for sockets in &listeners.by_port {
            let addresses: Vec<_> = sockets.iter().map(|s| s.local_addr().unwrap()).collect();
            assert_eq!(addresses, listeners.addresses);
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_address_that_is_taken_is_explained_also_if_it_is_shared() {
        for ports in [1, 2] {
            let taken = listen(&["127.0.0.1:0".into()], ports).unwrap();
            let name = taken.addresses[0].to_string();
            for wanted in [1, 2] {
                let error = listen(std::slice::from_ref(&name), wanted).unwrap_err();
                assert!(error.contains("another program listens there"), "{error}");
            }
        }
    }

    #[cfg(windows)]
    #[test]
    fn an_address_that_is_taken_is_explained_and_several_ports_are_refused() {
        let taken = listen(&["127.0.0.1:0".into()], 1).unwrap();
        let name = taken.addresses[0].to_string();
        let error = listen(std::slice::from_ref(&name), 1).unwrap_err();
        assert!(error.contains("another program listens there"), "{error}");
        let error = listen(&["127.0.0.1:0".into()], 2).unwrap_err();
        assert!(error.contains("--ports 1"), "{error}");
    }

    #[test]
    fn the_same_address_may_be_given_twice() {
        let free = listen(&["127.0.0.1:0".into()], 1).unwrap();
        let name = free.addresses[0].to_string();
        drop(free);
        let twice = listen(&[name.clone(), name], 1).unwrap();
        assert_eq!(twice.addresses.len(), 1);
    }

    #[test]
    fn a_port_that_needs_a_privilege_is_explained() {
        let denied = io::Error::from(ErrorKind::PermissionDenied);
        let text = explain("localhost:80", ([127, 0, 0, 1], 80).into(), &denied);
        assert_eq!(
            text,
            "cannot listen on localhost:80 (127.0.0.1:80): ports below 1024 need a privilege; \
             choose another one with --listen, such as 127.0.0.1:4567"
        );
    }

    #[test]
    fn both_families_can_have_the_same_port() {
        let four = listen(&["0.0.0.0:0".into()], 1).unwrap();
        let six = format!("[::]:{}", four.addresses[0].port());
        match listen(&[six], 1) {
            Ok(_) => {}
            // A machine without IPv6.
            Err(error) => assert!(!error.contains("another program"), "{error}"),
        }
    }

    #[test]
    fn foreign_addresses_are_explained() {
        let error = listen(&["192.0.2.1:0".into()], 1).unwrap_err();
        assert!(error.contains("not an address of this machine"), "{error}");
    }
}
