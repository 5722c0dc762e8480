//! What a started operation needs of others, and what others can do to it: nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use overlapped::{CompletionPort, Operation, Status};

/// Freed memory is filled and kept for a while instead of being given back, so that a write into
/// it, by the system or by anybody, is seen when it is let go. Counts allocations, too.
///
/// The address sanitizer does not see the kernel's writes; this does.
struct Quarantine;

const FILL: u8 = 0xa5;
const KEPT: usize = 4096;

struct Kept {
    blocks: [(usize, Layout); KEPT],
    next: usize,
}

static KEEPING: AtomicBool = AtomicBool::new(false);
static BLOCKS: Mutex<Kept> = Mutex::new(Kept {
    blocks: [(0, Layout::new::<u8>()); KEPT],
    next: 0,
});

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Whether nobody has written into a block since it was freed.
///
/// # Safety
///
/// The block is this large and readable.
unsafe fn intact(address: usize, layout: Layout) -> bool {
    // SAFETY: the caller's word.
    let bytes = unsafe { std::slice::from_raw_parts(address as *const u8, layout.size()) };
    bytes.iter().all(|&byte| byte == FILL)
}

/// Ends the process if a kept block was written to: an allocator must not panic.
fn check(address: usize, layout: Layout) {
    // SAFETY: the block was kept from being given back.
    if !unsafe { intact(address, layout) } {
        eprintln!("freed memory of {} bytes was written to", layout.size());
        std::process::abort();
    }
}

// SAFETY: memory comes from and goes to the system's allocator, with the same layouts.
unsafe impl GlobalAlloc for Quarantine {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is the system allocator's demand.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if !KEEPING.load(SeqCst) {
            // SAFETY: as above.
            unsafe { System.dealloc(pointer, layout) };
            return;
        }
        // SAFETY: the block is the caller's to give up, and this large.
        unsafe { pointer.write_bytes(FILL, layout.size()) };
        let oldest = {
            let mut kept = BLOCKS.lock().unwrap();
            let place = kept.next % KEPT;
            kept.next += 1;
            std::mem::replace(&mut kept.blocks[place], (pointer as usize, layout))
        };
        if oldest.0 != 0 {
            check(oldest.0, oldest.1);
            // SAFETY: it came from the system's allocator with this layout.
            unsafe { System.dealloc(oldest.0 as *mut u8, oldest.1) };
        }
    }
}

#[global_allocator]
static ALLOCATOR: Quarantine = Quarantine;

/// All that is still kept is looked at.
fn check_all() {
    let kept = BLOCKS.lock().unwrap();
    for (address, layout) in kept.blocks.iter().filter(|(address, _)| *address != 0) {
        check(*address, *layout);
    }
}

/// Freed memory is kept as long as this lives; one test at a time.
struct Keeping {
    _alone: MutexGuard<'static, ()>,
}

impl Keeping {
    fn begin() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        KEEPING.store(true, SeqCst);
        Keeping { _alone: alone }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        KEEPING.store(false, SeqCst);
    }
}

type Port = CompletionPort<(), u64>;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, one)
}

fn room(bytes: usize) -> Operation<u64> {
    Operation::with_capacity(bytes, 0)
}

/// Operations, sockets and ports end in every order while data arrives: nobody writes into what
/// was freed.
#[test]
fn nothing_is_written_into_freed_memory() {
    let _alone = Keeping::begin();
    for round in 0..300 {
        let port: Port = CompletionPort::new(2).unwrap();
        let (stream, mut remote) = pair();
        let socket = port.associate(stream, ()).unwrap();
        let mut started = Vec::new();
        for _ in 0..4 {
            started.push(socket.recv(room(512)).unwrap());
            socket.send(Operation::new(vec![1; 200_000], 0)).unwrap();
        }
        remote.write_all(&[9; 1300]).unwrap();
        match round % 6 {
            0 => drop(port),
            1 => port.close(),
            2 => socket.close(),
            3 => drop(port.get().unwrap()),
            4 => {
                socket.cancel(started[1]);
                drop(port.poll());
            }
            _ => std::mem::forget(port.get().unwrap()),
        }
        // More data, when whatever was armed may be gone.
        let _ = remote.write_all(&[8; 5000]);
        drop(socket);
    }
    check_all();
}

/// Waits until there is something to be received, in the way that the system has.
fn wait(socket: &overlapped::Socket<(), u64>, operation: Operation<u64>) {
    #[cfg(target_os = "linux")]
    let started = socket.ready(operation, overlapped::Interest::Readable);
    #[cfg(windows)]
    let started = socket.recv_zero(operation);
    started.unwrap();
}

/// The same for datagrams, pipes and waiting.
#[test]
fn nothing_of_another_kind_is_written_into_freed_memory() {
    use std::net::UdpSocket;
    let _alone = Keeping::begin();
    for round in 0..300 {
        let port: Port = CompletionPort::new(2).unwrap();
        let own = UdpSocket::bind("127.0.0.1:0").unwrap();
        let remote = UdpSocket::bind("127.0.0.1:0").unwrap();
        remote.connect(own.local_addr().unwrap()).unwrap();
        let to = remote.local_addr().unwrap();
        let (reader, writer) = overlapped::pipe().unwrap();
        let socket = port.associate(own, ()).unwrap();
        let reader = port.associate(reader, ()).unwrap();
        let writer = port.associate(writer, ()).unwrap();
        let mut started = Vec::new();
        for _ in 0..4 {
            started.push(socket.recv_from(room(512)).unwrap());
            socket
                .send_to(Operation::new(vec![1; 3000], 0), to)
                .unwrap();
            started.push(reader.recv(room(512)).unwrap());
            wait(&reader, room(0));
            writer.send(Operation::new(vec![2; 60_000], 0)).unwrap();
        }
        for _ in 0..3 {
            remote.send(&[9; 600]).unwrap();
        }
        match round % 6 {
            0 => drop(port),
            1 => port.close(),
            2 => {
                socket.close();
                reader.close();
            }
            3 => drop(port.get().unwrap()),
            4 => {
                socket.cancel(started[2]);
                reader.cancel(started[3]);
                drop(port.poll());
            }
            _ => std::mem::forget(port.get().unwrap()),
        }
        // More data, when whatever was armed may be gone.
        let _ = remote.send(&[8; 100]);
        drop((writer, reader, socket));
    }
    check_all();
}

/// Here the kernel does write on its own account: reads of a file that bypass the page cache, or miss
/// it, while ports, files and operations end in every order. Each operation's memory is released
/// once, and not before the last write.
mod files {
    use super::*;
    use overlapped::{AlignedBuffer, File, FileEngine, OpenOptions};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::time::Instant;

    type Shared = CompletionPort<(), Arc<()>>;

    pub(super) fn file(name: &str, bytes: usize) -> PathBuf {
        let name = format!("ownership-{}-{name}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, vec![9; bytes]).unwrap();
        path
    }

    /// Makes the page cache forget it, where it can be told to.
    #[cfg(windows)]
    pub(super) fn cool(_: &Path) {}

    #[cfg(target_os = "linux")]
    pub(super) fn cool(path: &Path) {
        use std::os::fd::AsRawFd;
        let file = std::fs::File::open(path).unwrap();
        file.sync_all().unwrap();
        // SAFETY: advice on a descriptor, no memory.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }

    fn open(
        port: &Shared,
        path: &Path,
        direct: bool,
        marker: &Arc<()>,
    ) -> Option<File<(), Arc<()>>> {
        let options = OpenOptions::new().read(true).direct(direct);
        let operation = Operation::new("", marker.clone());
        port.open(operation, &options, path, ()).unwrap();
        let packet = port.get().unwrap();
        packet.status.is_success().then(|| packet.file.unwrap())
    }

    fn nothing_is_written_into_freed_memory(engine: FileEngine) {
        const READS: usize = 12;
        const BYTES: usize = 64 * 1024;
        let path = file(&format!("{engine:?}"), READS * BYTES);
        let alone = Keeping::begin();
        let marker = Arc::new(());
        for round in 0..150 {
            cool(&path);
            let port: Shared = CompletionPort::builder().files(engine).build().unwrap();
            let direct = open(&port, &path, true, &marker);
            if direct.is_none() && round == 0 {
                eprintln!("NOT TESTED: files without the page cache; there is no O_DIRECT here");
            }
            let cached = open(&port, &path, false, &marker).unwrap();
            let mut started = Vec::new();
            for number in (0..READS).rev() {
                let place = (number * BYTES) as u64;
                if let (Some(direct), true) = (&direct, number % 3 > 0) {
                    let buffer = AlignedBuffer::new(BYTES, 4096);
                    let operation = Operation::new(buffer, marker.clone());
                    started.push((direct.clone(), direct.read_at(operation, place).unwrap()));
                } else {
                    let operation = Operation::with_capacity(BYTES, marker.clone());
                    started.push((cached.clone(), cached.read_at(operation, place).unwrap()));
                }
            }
            match round % 7 {
                0 => drop(port),
                1 => port.close(),
                2 => drop(port.get().unwrap()),
                3 => {
                    for (file, operation) in &started[..6] {
                        file.cancel(*operation);
                    }
                    drop(port.get().unwrap());
                }
                4 => {
                    let operation = Operation::new("", marker.clone());
                    cached.close(operation).unwrap();
                }
                5 => std::mem::forget(port.get().unwrap()),
                // The rest of the port's life happens while the thread that has it ends.
                _ => drop(std::thread::spawn(move || drop(port)).join()),
            }
            drop((started, cached, direct));
        }
        // One operation in seven rounds was forgotten; all others come back.
        let forgotten = (0..150).filter(|round| round % 7 == 5).count();
        let began = Instant::now();
        while Arc::strong_count(&marker) > 1 + forgotten {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "memory is missing"
            );
            std::thread::yield_now();
        }
        assert_eq!(Arc::strong_count(&marker), 1 + forgotten);
        check_all();
        drop(alone);
        std::fs::remove_file(&path).unwrap();
    }

    /// On Windows by the system itself.
    #[test]
    fn nothing_is_written_into_freed_memory_by_io_uring() {
        nothing_is_written_into_freed_memory(FileEngine::Auto);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nothing_is_written_into_freed_memory_by_threads() {
        nothing_is_written_into_freed_memory(FileEngine::Threads);
    }

    /// A transmit whose file is being read when everything else ends.
    #[test]
    fn a_transmit_may_end_while_its_file_is_read() {
        let path = file("transmit", 4 << 20);
        let alone = Keeping::begin();
        for round in 0..60 {
            cool(&path);
            let port: Port = CompletionPort::new(1).unwrap();
            let (stream, remote) = pair();
            let socket = port.associate(stream, ()).unwrap();
            let file = std::fs::File::open(&path).unwrap();
            let file = port.associate_file(file, ()).unwrap();
            let started = socket
                .send_file(Operation::new(vec![1; 100], 0), &file, 0, 0, vec![2; 100])
                .unwrap();
            drop(file);
            match round % 4 {
                0 => drop(port),
                // Wine does not always find a transmit that is under way.
                1 => assert!(socket.cancel(started) || cfg!(windows)),
                2 => drop(remote),
                _ => socket.close(),
            }
        }
        check_all();
        drop(alone);
        std::fs::remove_file(&path).unwrap();
    }
}

/// The test above can fail: its eye sees a write.
#[test]
fn the_quarantine_sees_a_late_write() {
    let layout = Layout::new::<[u8; 64]>();
    let block = Box::into_raw(Box::new([FILL; 64]));
    // SAFETY: the block is ours from `into_raw` to `from_raw`.
    unsafe {
        assert!(intact(block as usize, layout));
        (*block)[7] = 0;
        assert!(!intact(block as usize, layout));
        drop(Box::from_raw(block));
    }
}

/// A program with one thread sends and then computes: the data is out before it comes back to the
/// port.
#[test]
fn a_started_send_has_been_sent() {
    let port: Port = CompletionPort::new(1).unwrap();
    let (stream, mut remote) = pair();
    let socket = port.associate(stream, ()).unwrap();
    socket.send(Operation::new("out at once", 0)).unwrap();
    // No get: nobody but the system has anything to do with it any more.
    let mut text = [0; 11];
    remote
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    remote.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"out at once");
    assert_eq!(port.get().unwrap().bytes, 11);
}

/// In the steady state nothing is allocated: the operation that came back is started again.
#[test]
fn an_echo_allocates_nothing() {
    let port: Port = CompletionPort::new(1).unwrap();
    let (stream, mut remote) = pair();
    let socket = port.associate(stream, ()).unwrap();
    let mut operation = Some(room(64));
    let mut echo = |rounds: u32| {
        for _ in 0..rounds {
            remote.write_all(b"sixteen bytes ..").unwrap();
            socket.recv(operation.take().unwrap()).unwrap();
            let packet = port.get().unwrap();
            packet
                .socket
                .as_ref()
                .unwrap()
                .send(packet.operation)
                .unwrap();
            operation = Some(port.get().unwrap().operation);
            remote.read_exact(&mut [0; 16]).unwrap();
        }
    };
    echo(10);
    let before = ALLOCATIONS.get();
    echo(1000);
    assert_eq!(ALLOCATIONS.get() - before, 0);
}

/// Nor are datagrams, pipes and waiting worth a call of the allocator.
#[test]
fn datagrams_pipes_and_waiting_allocate_nothing() {
    use std::net::UdpSocket;
    let port: Port = CompletionPort::new(1).unwrap();
    let own = UdpSocket::bind("127.0.0.1:0").unwrap();
    let remote = UdpSocket::bind("127.0.0.1:0").unwrap();
    remote.connect(own.local_addr().unwrap()).unwrap();
    let (reader, writer) = overlapped::pipe().unwrap();
    let socket = port.associate(own, ()).unwrap();
    let reader = port.associate(reader, ()).unwrap();
    let writer = port.associate(writer, ()).unwrap();
    let mut operation = Some(room(64));
    let mut rounds = |rounds: u32| {
        for _ in 0..rounds {
            remote.send(b"datagram").unwrap();
            socket.recv_from(operation.take().unwrap()).unwrap();
            let received = port.get().unwrap().operation;
            let from = received.peer_addr().unwrap();
            socket.send_to(received, from).unwrap();
            writer.send(port.get().unwrap().operation).unwrap();
            let sent = port.get().unwrap().operation;
            wait(&reader, sent);
            reader.recv(port.get().unwrap().operation).unwrap();
            operation = Some(port.get().unwrap().operation);
            assert_eq!(remote.recv(&mut [0; 9]).unwrap(), 8);
        }
    };
    rounds(10);
    let before = ALLOCATIONS.get();
    rounds(1000);
    assert_eq!(ALLOCATIONS.get() - before, 0);
}

/// Nor does reading a file allocate anything in the threads of the program.
#[test]
fn a_read_of_a_file_allocates_nothing() {
    let path = files::file("steady", 1 << 20);
    for cold in [false, true] {
        let port: Port = CompletionPort::new(1).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let file = port.associate_file(file, ()).unwrap();
        let mut operation = Some(room(4096));
        let mut read = |rounds: u64| {
            if cold {
                files::cool(&path);
            }
            let before = ALLOCATIONS.get();
            for round in 0..rounds {
                let place = (round * 77) % 256 * 4096;
                file.read_at(operation.take().unwrap(), place).unwrap();
                operation = Some(port.get().unwrap().operation);
            }
            ALLOCATIONS.get() - before
        };
        read(10);
        assert_eq!(read(500), 0, "cold: {cold}");
    }
    std::fs::remove_file(&path).unwrap();
}

/// TM-1, TM-7: nor for timers and deadlines, once there were as many.
#[test]
fn timers_and_deadlines_allocate_nothing() {
    let port: Port = CompletionPort::new(1).unwrap();
    let (stream, _remote) = pair();
    let socket = port.associate(stream, ()).unwrap();
    let long = Duration::from_secs(1000);
    let timers = |rounds: u32| {
        let mut operation = room(8);
        for _ in 0..rounds {
            port.timer(operation, Duration::ZERO).unwrap();
            let timer = port.timer(port.get().unwrap().operation, long).unwrap();
            assert!(port.cancel(timer));
            operation = port.get().unwrap().operation;
            operation.set_timeout(Some(Duration::ZERO));
            socket.recv(operation).unwrap();
            let packet = port.get().unwrap();
            assert_eq!(packet.status, Status::IO_TIMEOUT);
            operation = packet.operation;
        }
    };
    timers(10);
    let before = ALLOCATIONS.get();
    timers(1000);
    // The one operation, with a buffer, and with what only timers and the like need.
    assert_eq!(ALLOCATIONS.get() - before, 3);
}

#[test]
fn forgetting_a_packet_leaks_and_no_more() {
    let port: Port = CompletionPort::new(1).unwrap();
    let (stream, mut remote) = pair();
    let socket = port.associate(stream, ()).unwrap();
    socket.recv(room(8)).unwrap();
    remote.write_all(b"x").unwrap();
    std::mem::forget(port.get().unwrap());
    socket.recv(room(8)).unwrap();
    remote.write_all(b"y").unwrap();
    assert_eq!(port.get().unwrap().operation.bytes(), b"y");
}

/// The user's value may use the port when it is dropped, also by the port.
#[test]
fn destructors_may_call_the_port() {
    struct Nosy(Option<CompletionPort<(), Nosy>>);
    impl Drop for Nosy {
        fn drop(&mut self) {
            if let Some(port) = self.0.take() {
                assert!(port.poll().is_err());
                assert!(port.post(Operation::new("", Nosy(None)), 0).is_err());
            }
        }
    }
    let port: CompletionPort<(), Nosy> = CompletionPort::new(1).unwrap();
    let (stream, _remote) = pair();
    let socket = port.associate(stream, ()).unwrap();
    socket
        .recv(Operation::with_capacity(8, Nosy(Some(port.clone()))))
        .unwrap();
    port.post(Operation::new("", Nosy(Some(port.clone()))), 0)
        .unwrap();
    port.close();
}

/// Sending to a peer that has gone is an error, not the end of the process (SIGPIPE).
#[test]
fn a_gone_peer_is_an_error() {
    let port: Port = CompletionPort::new(1).unwrap();
    let (stream, remote) = pair();
    let socket = port.associate(stream, ()).unwrap();
    drop(remote);
    let mut statuses = Vec::new();
    for _ in 0..100 {
        match socket.send(Operation::new(vec![0; 1000], 0)) {
            Ok(_) => statuses.push(port.get().unwrap().status),
            Err(refused) => {
                statuses.push(refused.status);
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(statuses.last(), Some(&Status::CONNECTION_RESET));
}
