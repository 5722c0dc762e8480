//! How much memory of the process an idle connection takes, with a receive outstanding.
//!
//!     idle_memory [CONNECTIONS] [pooled | 4096 | ...]
//!
//! Both ends are in this process; the other end is a descriptor and no more. Counted is what the
//! allocator has given out, its own overhead included (`mallinfo2`), and the resident size.

use std::io;
use std::net::{TcpListener, TcpStream};

use overlapped::{CompletionPort, Operation};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    let count: usize = words
        .next()
        .map_or(Ok(10_000), |word| word.parse())
        .map_err(io::Error::other)?;
    let buffer = words.next().unwrap_or("pooled".into());

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised)?;

    let port: CompletionPort<(), ()> = CompletionPort::new(1)?;
    let mut sockets = Vec::with_capacity(count);
    let mut clients = Vec::with_capacity(count);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let before = (allocated(), resident()?);
    for _ in 0..count {
        clients.push(TcpStream::connect(listener.local_addr()?)?);
        let (connection, _) = listener.accept()?;
        let socket = port.associate(connection, ()).map_err(io::Error::from)?;
        match buffer.as_str() {
            "pooled" => socket.recv_pooled(Operation::new("", ()))?,
            size => {
                let size = size.parse().map_err(io::Error::other)?;
                socket.recv(Operation::with_capacity(size, ()))?
            }
        };
        sockets.push(socket);
    }
    assert!(port.poll().is_err(), "nobody has sent anything");
    let after = (allocated(), resident()?);
    let each = |before: usize, after: usize| after.saturating_sub(before) / count;
    println!(
        "connections={count} buffer={buffer} allocated_bytes_each={} resident_bytes_each={}",
        each(before.0, after.0),
        each(before.1, after.1),
    );
    Ok(())
}

/// What the allocator has given out, in bytes.
fn allocated() -> usize {
    // SAFETY: only reads the allocator's counts.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

/// The resident size, in bytes.
fn resident() -> io::Result<usize> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = text
        .split_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| io::Error::other("an odd /proc/self/statm"))?;
    Ok(pages * rustix::param::page_size())
}
