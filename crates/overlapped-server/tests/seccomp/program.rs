//! A program that uses everything the library has, once: what runs under the filters.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use overlapped::{
    Buffer, Builder, CompletionPort, File, Interest, Kind, OpenOptions, Operation, Packet, Status,
};

type Port = CompletionPort<(), ()>;

const WATCHDOG: Duration = Duration::from_secs(60);

/// What the library used, and why.
pub struct Said {
    /// For operations with files.
    pub files: (&'static str, String),
    /// To notice blocked workers.
    pub notice: (&'static str, String),
}

/// Runs it, with a file at `path`.
pub fn run(path: &Path) -> Said {
    let builder: Builder<(), ()> = CompletionPort::builder();
    let port = builder.concurrency(1).build().unwrap();
    streams(&port);
    datagrams(&port);
    pipes(&port);
    descriptors(&port);
    timers(&port);
    threads(&port);
    unmarked(&port);
    let file = files(&port, path);
    transmit(&port, &file);
    let stats = port.stats();
    Said {
        files: (stats.files.engine, stats.files.reason.into_owned()),
        notice: (stats.notice, stats.notice_reason.into_owned()),
    }
}

/// Gets so many packets, which must all be successes.
fn get(port: &Port, count: usize) -> Vec<Packet<(), ()>> {
    let packet = |_| {
        let packet = port.get_timeout(WATCHDOG).expect("a packet must come");
        assert_eq!(packet.status, Status::SUCCESS, "{:?}", packet.kind);
        packet
    };
    (0..count).map(packet).collect()
}

fn got(packets: &[Packet<(), ()>], kind: Kind) -> &Packet<(), ()> {
    packets.iter().find(|packet| packet.kind == kind).unwrap()
}

fn room() -> Operation<()> {
    Operation::with_capacity(100, ())
}

fn streams(port: &Port) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let listener = port.associate(listener, ()).unwrap();
    let client = port.associate(overlapped::stream_socket(&to).unwrap(), ());
    let client = client.unwrap();
    listener.accept(room()).unwrap();
    client.connect(room(), to).unwrap();
    let mut accepted = get(port, 2);
    let accepted = accepted
        .iter_mut()
        .find_map(|packet| packet.operation.take_accepted());
    let server = port.associate(accepted.unwrap(), ()).unwrap();
    server.set_nodelay(true).unwrap();
    server.recv(room()).unwrap();
    server.recv_zero(room()).unwrap();
    let pieces = vec![b"two ".to_vec(), b"pieces".to_vec()];
    client
        .send(Operation::new(Buffer::Vectored(pieces), ()))
        .unwrap();
    assert_eq!(
        got(&get(port, 2), Kind::Recv).operation.bytes(),
        b"two pieces"
    );
    client.disconnect(room()).unwrap();
    get(port, 2);
    server.recv_pooled(room()).unwrap();
    assert_eq!(get(port, 1)[0].bytes, 0);
    assert!(server.peer_addr().is_ok() && client.local_addr().is_ok());
}

fn datagrams(port: &Port) {
    let bind = || UdpSocket::bind("127.0.0.1:0").unwrap();
    let (here, there) = (bind(), bind());
    let to = there.local_addr().unwrap();
    let here = port.associate(here, ()).unwrap();
    let there = port.associate(there, ()).unwrap();
    there.recv_from(room()).unwrap();
    here.send_to(Operation::new("datagram", ()), to).unwrap();
    let packets = get(port, 2);
    let received = &got(&packets, Kind::RecvFrom).operation;
    assert_eq!(received.bytes(), b"datagram");
    assert_eq!(received.peer_addr(), here.local_addr().ok());
}

fn pipes(port: &Port) {
    let (reader, writer) = std::io::pipe().unwrap();
    let reader = port.associate(reader, ()).unwrap();
    let writer = port.associate(writer, ()).unwrap();
    reader.ready(room(), Interest::Readable).unwrap();
    reader.recv(room()).unwrap();
    writer.send(Operation::new("through", ())).unwrap();
    let packets = get(port, 3);
    assert_eq!(got(&packets, Kind::Recv).operation.bytes(), b"through");
    // All handles to the reader. The next send raises SIGPIPE, which would end this process.
    drop((reader, packets));
    // SAFETY: sets a disposition; no handler is involved.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    writer.send(Operation::new("nobody", ())).unwrap();
    let packet = port.get_timeout(WATCHDOG).unwrap();
    assert_eq!(packet.status, Status::PIPE_BROKEN);
}

fn descriptors(port: &Port) {
    let (here, there) = UnixStream::pair().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let here = port.associate(here, ()).unwrap();
    let there = port.associate(there, ()).unwrap();
    there.recv_with_descriptors(room(), 1).unwrap();
    here.send_with_descriptors(Operation::new("x", ()), [OwnedFd::from(writer)])
        .unwrap();
    for mut packet in get(port, 2) {
        for descriptor in packet.operation.take_descriptors() {
            std::fs::File::from(descriptor)
                .write_all(b"passed")
                .unwrap();
        }
    }
    let mut text = String::new();
    (&reader).read_to_string(&mut text).unwrap();
    assert_eq!(text, "passed");
}

/// Also some that are shorter than a millisecond.
fn timers(port: &Port) {
    for micros in [0, 300, 1000, 1700] {
        port.timer(room(), Duration::from_micros(micros)).unwrap();
        assert_eq!(get(port, 1)[0].kind, Kind::Timer);
    }
    let mut operation = room();
    for _ in 0..3 {
        port.interval(operation, Duration::from_micros(700))
            .unwrap();
        operation = get(port, 1).pop().unwrap().operation;
    }
}

/// Several wait, one blocks, one ends.
fn threads(port: &Port) {
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                get(port, 1);
                port.blocking(|| std::thread::sleep(Duration::from_millis(1)));
            });
        }
        for _ in 0..3 {
            port.post(room(), 0).unwrap();
        }
    });
}

/// One blocks and does not say so, until another one has its place.
fn unmarked(port: &Port) {
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let (open, gate) = (
        &std::sync::Mutex::new(Some(open)),
        std::sync::Mutex::new(gate),
    );
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                get(port, 1);
                // The first one waits for the second, which ends its wait.
                if let Ok(gate) = gate.try_lock() {
                    let _ = gate.recv();
                } else {
                    open.lock().unwrap().take();
                }
            });
        }
        for _ in 0..2 {
            port.post(room(), 0).unwrap();
        }
    });
}

fn files(port: &Port, path: &Path) -> File<(), ()> {
    let options = OpenOptions::new().read(true).write(true).create(true);
    let _opened = port.open(room(), &options, path, ()).unwrap();
    let file = get(port, 1).pop().unwrap().file.unwrap();
    let content = || Operation::new("content of the file", ());
    file.write_at(content(), 0).unwrap();
    get(port, 1);
    file.append(Operation::new(", and more", ())).unwrap();
    get(port, 1);
    file.sync_all(room()).unwrap();
    file.sync_data(room()).unwrap();
    get(port, 2);
    file.read_at(room(), 0).unwrap();
    let packets = get(port, 1);
    assert_eq!(
        packets[0].operation.bytes(),
        b"content of the file, and more"
    );
    file
}

fn transmit(port: &Port, file: &File<(), ()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let socket = port.associate(listener.accept().unwrap().0, ()).unwrap();
    let head = Operation::new("head ", ());
    socket.send_file(head, file, 0, 7, " tail").unwrap();
    get(port, 1);
    let mut text = [0; 17];
    client.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"head content tail");
    file.close(room()).unwrap();
    get(port, 1);
}
