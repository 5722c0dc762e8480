//! Readiness as an operation: each kind of descriptor once, and the rules.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use overlapped::{Interest, Kind, Ready, Status};

use crate::world::{Pack, Port, Sock, System, World, get, nothing, room};

/// Takes a descriptor that a system call has just made.
fn owned(fd: libc::c_int) -> OwnedFd {
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: it is open, and nobody else's.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn eventfd() -> OwnedFd {
    // SAFETY: no memory is involved.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) })
}

fn twin(fd: &OwnedFd) -> File {
    fd.try_clone().unwrap().into()
}

fn readable(packet: &Pack) -> Ready {
    assert_eq!(
        (packet.kind, packet.status, packet.bytes),
        (Kind::Readable, Status::SUCCESS, 0)
    );
    packet.operation.ready()
}

/// Associates it, waits, has it made ready, and gets the packet.
fn becomes_readable(fd: OwnedFd, make_ready: impl FnOnce()) {
    let port = System::new().port();
    let socket = port.associate(fd, 1).unwrap();
    socket.ready(room(0, 7), Interest::Readable).unwrap();
    nothing(&port);
    make_ready();
    let packet = get(&port);
    assert_eq!(*packet.operation.user(), 7);
    assert!(readable(&packet).readable);
}

fn event() -> (Port, Sock, File) {
    let port = System::new().port();
    let fd = eventfd();
    let twin = twin(&fd);
    (port.clone(), port.associate(fd, 1).unwrap(), twin)
}

#[test]
fn an_eventfd_becomes_readable() {
    let fd = eventfd();
    let mut twin = twin(&fd);
    becomes_readable(fd, || twin.write_all(&1u64.to_ne_bytes()).unwrap());
}

#[test]
fn a_timerfd_becomes_readable() {
    // SAFETY: no memory is involved.
    let fd = owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC) });
    let twin = twin(&fd);
    becomes_readable(fd, || {
        let mut when: libc::itimerspec = no_time();
        when.it_value.tv_nsec = 1;
        // SAFETY: a valid time, which is only read.
        let set =
            unsafe { libc::timerfd_settime(twin.as_raw_fd(), 0, &when, std::ptr::null_mut()) };
        assert_eq!(set, 0);
    });
}

fn no_time() -> libc::itimerspec {
    // SAFETY: plain numbers.
    unsafe { std::mem::zeroed() }
}

#[test]
fn an_inotify_descriptor_becomes_readable() {
    let path = std::env::temp_dir().join(format!("overlapped-watched-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: no memory is involved.
    let fd = owned(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) });
    // SAFETY: a valid path.
    let watch = unsafe { libc::inotify_add_watch(fd.as_raw_fd(), name.as_ptr(), libc::IN_CREATE) };
    assert!(watch >= 0);
    becomes_readable(fd, || std::fs::write(path.join("new"), "").unwrap());
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn a_pidfd_becomes_readable_when_the_process_ends() {
    let mut child = std::process::Command::new("cat")
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // SAFETY: no memory is involved.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    becomes_readable(owned(fd as libc::c_int), || drop(child.stdin.take()));
    child.wait().unwrap();
}

#[test]
fn a_signalfd_becomes_readable() {
    // SAFETY: the set is initialised before it is used, and blocked in this thread only, to which
    // the signal is sent.
    let (fd, signal) = unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGUSR2);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        let fd = owned(libc::signalfd(-1, &set, libc::SFD_CLOEXEC));
        (fd, || {
            libc::pthread_kill(libc::pthread_self(), libc::SIGUSR2)
        })
    };
    let mut twin = twin(&fd);
    becomes_readable(fd, || assert_eq!(signal(), 0));
    let mut info = [0; 128];
    assert_eq!(twin.read(&mut info).unwrap(), 128);
}

#[test]
fn a_terminal_becomes_readable_and_keeps_its_mode() {
    let (mut master, mut slave) = (0, 0);
    // SAFETY: two numbers are written; the rest is optional.
    let opened = unsafe {
        libc::openpty(
            &mut master,
            &mut slave,
            std::ptr::null_mut(),
            std::ptr::null(),
            std::ptr::null(),
        )
    };
    if opened != 0 {
        eprintln!("not checked: no pseudo terminals here");
        return;
    }
    let (mut master, slave) = (File::from(owned(master)), owned(slave));
    let twin = twin(&slave);
    becomes_readable(slave, || master.write_all(b"line\n").unwrap());
    // SAFETY: asks for the flags of an open descriptor.
    let flags = unsafe { libc::fcntl(twin.as_raw_fd(), libc::F_GETFL) };
    assert_eq!(flags & libc::O_NONBLOCK, 0);
}

#[test]
fn what_was_ready_before_is_seen_and_what_was_taken_is_not() {
    let (port, socket, mut twin) = event();
    let mut number = [0; 8];
    for _ in 0..3 {
        twin.write_all(&1u64.to_ne_bytes()).unwrap();
        // As often as asked, while the level is up.
        for _ in 0..2 {
            socket.ready(room(0, 0), Interest::Readable).unwrap();
            assert!(readable(&get(&port)).readable);
        }
        twin.read_exact(&mut number).unwrap();
        socket.ready(room(0, 0), Interest::Readable).unwrap();
        nothing(&port);
        twin.write_all(&1u64.to_ne_bytes()).unwrap();
        assert!(readable(&get(&port)).readable);
        twin.read_exact(&mut number).unwrap();
    }
}

#[test]
fn several_wait_for_both_at_once() {
    let (port, socket, mut twin) = event();
    // Full: not writable either.
    twin.write_all(&(u64::MAX - 1).to_ne_bytes()).unwrap();
    socket.ready(room(0, 0), Interest::Writable).unwrap();
    socket.ready(room(0, 1), Interest::Writable).unwrap();
    nothing(&port);
    twin.read_exact(&mut [0; 8]).unwrap();
    socket.ready(room(0, 2), Interest::Readable).unwrap();
    socket.ready(room(0, 3), Interest::Readable).unwrap();
    for user in 0..2 {
        let packet = get(&port);
        assert_eq!(
            (packet.kind, *packet.operation.user()),
            (Kind::Writable, user)
        );
        assert!(packet.operation.ready().writable);
    }
    nothing(&port);
    twin.write_all(&1u64.to_ne_bytes()).unwrap();
    for user in 2..4 {
        let packet = get(&port);
        assert_eq!(*packet.operation.user(), user);
        assert!(readable(&packet).readable);
    }
}

#[test]
fn a_pipe_says_that_its_other_end_has_gone() {
    let port = System::new().port();
    let (reader, writer) = std::io::pipe().unwrap();
    let socket = port.associate(reader, 1).unwrap();
    socket.ready(room(0, 0), Interest::Readable).unwrap();
    nothing(&port);
    drop(writer);
    let ready = readable(&get(&port));
    assert!(ready.hangup && !ready.readable);

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let socket = port.associate(writer, 2).unwrap();
    socket.ready(room(0, 0), Interest::Writable).unwrap();
    assert!(get(&port).operation.ready().error);
}

#[test]
fn it_works_on_sockets_and_listeners() {
    let world = System::new();
    let port = world.port();
    let (listener, address) = world.listener();
    let listener = port.associate(listener, 1).unwrap();
    listener.ready(room(0, 0), Interest::Readable).unwrap();
    nothing(&port);
    let _client = world.dial(address);
    assert!(readable(&get(&port)).readable);
    listener.accept(room(0, 0)).unwrap();
    assert!(get(&port).operation.take_accepted().is_some());

    let stream = port.associate(world.connected().0, 2).unwrap();
    stream.ready(room(0, 0), Interest::Writable).unwrap();
    assert!(get(&port).operation.ready().writable);
}

#[test]
fn cx_1_waiting_can_be_cancelled_and_cx_6_ends_with_a_close() {
    let (port, socket, _twin) = event();
    let started = socket.ready(room(0, 0), Interest::Readable).unwrap();
    assert!(socket.cancel(started));
    assert_eq!(get(&port).status, Status::CANCELLED);
    socket.ready(room(0, 0), Interest::Readable).unwrap();
    socket.close();
    assert!(!get(&port).status.is_success());
    nothing(&port);
}

/// PO-6: all of them share one inode, and none is refused for that.
#[test]
fn po_6_descriptors_of_one_kind_are_told_apart() {
    let port = System::new().port();
    let sockets: Vec<_> = (0..10)
        .map(|key| {
            let fd = eventfd();
            (twin(&fd), port.associate(fd, key).unwrap())
        })
        .collect();
    for (_, socket) in &sockets {
        socket.ready(room(0, 0), Interest::Readable).unwrap();
    }
    for (key, (twin, _)) in sockets.iter().enumerate().rev() {
        { twin }.write_all(&1u64.to_ne_bytes()).unwrap();
        assert_eq!(get(&port).socket.unwrap().key(), &(key as u64));
    }
}

#[test]
fn what_cannot_be_waited_for_is_refused_with_advice() {
    let port = System::new().port();
    let file = File::open("/proc/self/exe").unwrap();
    let refused = port.associate(OwnedFd::from(file), 1).unwrap_err();
    assert_eq!(refused.error.kind(), std::io::ErrorKind::Unsupported);
    assert!(refused.to_string().contains("associate_file"));
    let refused = port
        .associate(OwnedFd::from(File::open("/").unwrap()), 1)
        .unwrap_err();
    assert!(refused.to_string().contains("inotify"));
    let null = OwnedFd::from(File::open("/dev/null").unwrap());
    let refused = port.associate(null, 1).unwrap_err();
    assert!(refused.to_string().contains("always ready"));

    let (port, socket, _twin) = event();
    let refused = socket.recv(room(8, 0)).unwrap_err();
    assert_eq!(refused.status, Status::NOT_SUPPORTED);
    assert!(refused.error.to_string().contains("only be watched"));
    nothing(&port);
    let fd = socket.into_owned_fd().unwrap();
    drop(fd);
}

/// It has streams only, and nothing to poll.
#[cfg(all(feature = "sim", target_os = "linux"))]
#[test]
fn a_simulated_socket_says_that_it_cannot() {
    crate::world::Sim::with_seeds(|world| {
        let (port, socket, _remote) = world.port_and_socket(1);
        socket.ready(room(0, 0), Interest::Readable).unwrap();
        assert_eq!(get(&port).status, Status::NOT_SUPPORTED);
        assert_eq!(
            socket.recv_from(room(9, 0)).unwrap_err().status,
            Status::NOT_SUPPORTED
        );
    });
}
