//! What both kinds of load need from sockets and epoll.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

/// Largest read and write. Large messages cost the generator few system calls, and it stays in the
/// second-level cache.
pub const SCRATCH: usize = 64 * 1024;

const BATCH: usize = 512;

/// A message for the person at the terminal: nothing here is handled, everything ends the run.
pub type Result<T> = std::result::Result<T, String>;

pub fn failed(what: &str) -> impl Fn(Errno) -> String + use<'_> {
    move |error| format!("{what}: {error}")
}

/// A set of sockets, each known by a number.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
    stall: Duration,
    awake: bool,
}

impl Poller {
    /// Gives up after `stall` without news; `awake` never sleeps until then.
    pub fn new(stall: Duration, awake: bool) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(failed("epoll_create1"))?;
        Timespec::try_from(stall).map_err(|_| "--stall is too long".to_owned())?;
        Ok(Self {
            epoll,
            events: Vec::with_capacity(BATCH),
            stall,
            awake,
        })
    }

    /// Edge-triggered for both directions once and for all: the kernel reports room to write only
    /// after a write had found none, so there is nothing to switch on and off.
    pub fn add(&self, socket: &OwnedFd, number: usize) -> Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(
            &self.epoll,
            socket,
            EventData::new_u64(number as u64),
            flags,
        )
        .map_err(failed("epoll_ctl"))
    }

    /// Waits and takes what has happened; empty when nothing did for the stall time.
    pub fn wait(&mut self) -> Result<Vec<Event>> {
        let mut events = std::mem::take(&mut self.events);
        let nap = match self.awake {
            true => Duration::ZERO,
            false => self.stall,
        };
        let nap = Timespec::try_from(nap).expect("`new` has looked");
        let mut since: Option<Instant> = None;
        loop {
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, spare, Some(&nap)) {
                Ok(0) if self.awake => {
                    if since.get_or_insert_with(Instant::now).elapsed() >= self.stall {
                        return Ok(events);
                    }
                }
                Ok(_) => return Ok(events),
                Err(Errno::INTR) => {}
                Err(error) => return Err(failed("epoll_wait")(error)),
            }
        }
    }

    /// Gives the list back, to be filled again by the next `wait`.
    pub fn reuse(&mut self, events: Vec<Event>) {
        self.events = events;
    }
}

/// So many connections, each known to `poller` by its place.
pub fn connect_all(poller: &mut Poller, address: SocketAddr, count: usize) -> Result<Vec<OwnedFd>> {
    let mut sockets = Vec::with_capacity(count);
    for number in 0..count {
        let socket = connect(address, None)?;
        poller.add(&socket, number)?;
        sockets.push(socket);
        // One at a time: a burst could overflow the server's accept queue, and the kernel would
        // then repeat the handshake only after a second.
        let mut open = false;
        while !open {
            let events = poller.wait()?;
            if events.is_empty() {
                return Err(format!("connection {number} was not accepted"));
            }
            for event in &events {
                let other = event.data.u64() as usize;
                connected(&sockets[other])?;
                open |= other == number;
            }
            poller.reuse(events);
        }
    }
    Ok(sockets)
}

/// Starts to connect; the socket becomes writable when the connection stands.
pub fn connect(address: SocketAddr, source: Option<Ipv4Addr>) -> Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)
        .map_err(failed("socket"))?;
    sockopt::set_tcp_nodelay(&socket, true).map_err(failed("TCP_NODELAY"))?;
    if let Some(source) = source {
        choose_port_when_connecting(&socket)?;
        let source = SocketAddr::new(IpAddr::V4(source), 0);
        rustix::net::bind(&socket, &source).map_err(failed("bind"))?;
    }
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(format!("connect to {address}: {error}")),
    }
}

/// Without this `bind` takes a port that no other connection from the same address may use,
/// whatever its destination, and the closed connections of a churn run would use them all up.
fn choose_port_when_connecting(socket: &OwnedFd) -> Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option takes one int, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(format!(
            "IP_BIND_ADDRESS_NO_PORT: {}",
            std::io::Error::last_os_error()
        )),
    }
}

/// The outcome of a connect that was under way.
pub fn connected(socket: impl AsFd) -> Result<()> {
    sockopt::socket_error(socket)
        .and_then(|outcome| outcome)
        .map_err(failed("connect"))
}

/// How many bytes came, 0 at the end of the stream, `None` when there are none yet.
#[inline]
pub fn receive(socket: &OwnedFd, into: &mut [u8]) -> Result<Option<usize>> {
    loop {
        match rustix::net::recv(socket, &mut *into, RecvFlags::empty()) {
            Ok((count, _)) => return Ok(Some(count)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(error) => return Err(failed("receive")(error)),
        }
    }
}

/// How many bytes were taken, `None` when the socket is full.
#[inline]
pub fn transmit(socket: &OwnedFd, bytes: &[u8]) -> Result<Option<usize>> {
    loop {
        match rustix::net::send(socket, bytes, SendFlags::NOSIGNAL) {
            Ok(count) => return Ok(Some(count)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(error) => return Err(failed("send")(error)),
        }
    }
}

pub fn finish_sending(socket: &OwnedFd) -> Result<()> {
    rustix::net::shutdown(socket, rustix::net::Shutdown::Write).map_err(failed("shutdown"))
}
