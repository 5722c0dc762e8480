//! Watches a directory: a descriptor that the port knows nothing about, waited for as an operation.
//!
//!     cargo run --release --example watch [DIRECTORY]

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::io::Read;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    use overlapped::{CompletionPort, Interest, Operation};

    let directory = std::env::args().nth(1).unwrap_or(".".into());
    // SAFETY: no memory is involved.
    let fd = unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    // SAFETY: it is new, and nobody else's.
    let inotify = unsafe { OwnedFd::from_raw_fd(fd) };
    let path = std::ffi::CString::new(directory.clone())?;
    let events = libc::IN_CREATE | libc::IN_DELETE | libc::IN_MOVE | libc::IN_CLOSE_WRITE;
    // SAFETY: an open descriptor and a path that ends with a zero.
    if unsafe { libc::inotify_add_watch(inotify.as_raw_fd(), path.as_ptr(), events) } < 0 {
        return Err(std::io::Error::last_os_error().into());
    }

    let port: CompletionPort = CompletionPort::new(1)?;
    let mut reader = std::fs::File::from(inotify.try_clone()?);
    let watched = port.associate(inotify, ())?;
    println!("watching {directory}");
    watched.ready(Operation::new("", ()), Interest::Readable)?;

    let mut bytes = [0; 4096];
    loop {
        let packet = port.get()?;
        packet.result()?;
        let length = reader.read(&mut bytes)?;
        let mut rest = &bytes[..length];
        // Each event: a watch, what happened, a cookie, and the length of the name that follows.
        while let Some((head, tail)) = rest.split_first_chunk::<16>() {
            let number = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
            let (what, length) = (number(4), number(12) as usize);
            let (name, next) = tail.split_at(length);
            let name = String::from_utf8_lossy(name);
            println!("{:9}{}", describe(what), name.trim_end_matches('\0'));
            rest = next;
        }
        watched.ready(packet.operation, Interest::Readable)?;
    }
}

#[cfg(target_os = "linux")]
fn describe(what: u32) -> &'static str {
    match what {
        _ if what & libc::IN_CREATE != 0 => "created",
        _ if what & libc::IN_DELETE != 0 => "deleted",
        _ if what & libc::IN_MOVE != 0 => "moved",
        _ if what & libc::IN_CLOSE_WRITE != 0 => "written",
        _ => "other",
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("inotify is Linux's");
}
