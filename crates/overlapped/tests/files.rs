//! Files under stress: random reads, writes, cancels, cold caches, threads that exit and ports that
//! end, and every byte and every operation accounted for; with io_uring and with threads, and on
//! Windows with the kernel.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use overlapped::{
    AlignedBuffer, Buffer, CompletionPort, File, FileEngine, Kind, Operation, Status,
};

/// Long enough that only a hang reaches it.
const WATCHDOG: Duration = Duration::from_secs(120);

/// Half of the file is never written: reads know what to find. The other half is written in cells,
/// always the same in each.
const SIZE: u64 = 4 << 20;
const CELL: u64 = 4096;

fn byte_at(place: u64) -> u8 {
    (place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

fn cell(number: u64) -> Vec<u8> {
    (0..CELL)
        .map(|place| byte_at(!(number << 40) ^ place))
        .collect()
}

struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let name = format!("files-{}-{name}", std::process::id());
        Temporary(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes the page cache forget what is not dirty, where it can be told to.
#[cfg(windows)]
fn cool(_: &fs::File) {}

#[cfg(target_os = "linux")]
fn cool(file: &fs::File) {
    use std::os::fd::AsRawFd;
    // SAFETY: advice on a descriptor, no memory.
    let refused = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    assert_eq!(refused, 0);
}

struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}

/// What an operation is to find or to leave.
#[derive(Clone, Copy)]
struct Tag {
    id: u64,
    place: u64,
}

type Port = CompletionPort<(), Tag>;

fn storm(engine: FileEngine, rounds: u64) {
    let temporary = Temporary::new(&format!("storm-{engine:?}"));
    let half = SIZE / 2;
    let content: Vec<u8> = (0..SIZE).map(byte_at).collect();
    fs::write(&temporary.0, &content).unwrap();
    let std = fs::File::options()
        .read(true)
        .write(true)
        .open(&temporary.0)
        .unwrap();
    std.sync_all().unwrap();

    let port: Port = CompletionPort::builder()
        .concurrency(2)
        .files(engine)
        .build()
        .unwrap();
    let file: File<(), Tag> = port.associate_file(std.try_clone().unwrap(), ()).unwrap();
    let next_id = AtomicU64::new(0);
    let started = Mutex::new(HashSet::new());
    let cells = (SIZE - half) / CELL;
    let cancelled = AtomicUsize::new(0);

    let start = |random: &mut Random| {
        let id = next_id.fetch_add(1, SeqCst);
        started.lock().unwrap().insert(id);
        // Some have a deadline, which most of those that are not cached miss.
        let bound = match random.below(4) {
            0 => Some(Duration::from_micros(random.below(400))),
            _ => None,
        };
        let bounded = |mut operation: Operation<Tag>| {
            operation.set_timeout(bound);
            operation
        };
        let result = match random.below(8) {
            0 => {
                let number = id % cells;
                let place = half + number * CELL;
                let tag = Tag { id, place };
                file.write_at(bounded(Operation::new(cell(number), tag)), place)
            }
            1 => {
                let place = random.below(half);
                let tag = Tag { id, place };
                let pieces = (0..1 + random.below(20))
                    .map(|_| Vec::with_capacity(random.below(3000) as usize + 1))
                    .collect();
                file.read_at(
                    bounded(Operation::new(Buffer::Vectored(pieces), tag)),
                    place,
                )
            }
            _ => {
                let place = random.below(half);
                let tag = Tag { id, place };
                let capacity = 1 + random.below(200_000) as usize;
                file.read_at(bounded(Operation::with_capacity(capacity, tag)), place)
            }
        };
        let started = result.unwrap();
        if random.below(4) == 0 {
            file.cancel(started);
        }
    };
    let check = |packet: overlapped::Packet<(), Tag>| {
        let Tag { id, place } = *packet.operation.user();
        assert!(started.lock().unwrap().remove(&id), "a packet too many");
        assert_eq!(packet.file.as_ref(), Some(&file));
        match packet.status {
            Status::CANCELLED | Status::IO_TIMEOUT => {
                cancelled.fetch_add(1, SeqCst);
            }
            status => assert_eq!(status, Status::SUCCESS),
        }
        if packet.kind == Kind::Write {
            assert!(packet.status != Status::SUCCESS || packet.bytes == CELL as usize);
            return;
        }
        let bytes = match packet.operation.buffer() {
            Buffer::Vectored(pieces) => pieces.concat(),
            other => other.as_slice().unwrap().to_vec(),
        };
        assert_eq!(bytes.len(), packet.bytes);
        // What it says it read it has read; what is in the other half may be of before or after.
        let known = bytes.len().min((half.saturating_sub(place)) as usize);
        assert!(
            bytes[..known] == content[place as usize..][..known],
            "at {place}"
        );
    };

    std::thread::scope(|scope| {
        for worker in 0..4u64 {
            let (port, std, start, check) = (&port, &std, &start, &check);
            scope.spawn(move || {
                let mut random = Random::new(worker + 1);
                for round in 0..rounds {
                    if round % 50 == worker {
                        cool(std);
                    }
                    if round % 10 == worker {
                        // A starter that is gone before anything has happened.
                        let mut random = Random::new((round << 8) | (worker + 1));
                        std::thread::scope(|short| {
                            short.spawn(|| (0..4).for_each(|_| start(&mut random)));
                        });
                    }
                    start(&mut random);
                    if random.below(30) == 0 {
                        cancelling_all_of_another_file_concerns_nobody(port);
                    }
                    while let Ok(packet) = port.poll() {
                        check(packet);
                    }
                }
            });
        }
    });
    while !started.lock().unwrap().is_empty() {
        check(
            port.get_timeout(WATCHDOG)
                .expect("a packet for each operation"),
        );
    }
    assert!(port.poll().is_err());

    // The written half: a cell has its old or its new bytes, place by place (a cancel may cut).
    let now = fs::read(&temporary.0).unwrap();
    assert_eq!(now.len() as u64, SIZE);
    assert!(now[..half as usize] == content[..half as usize]);
    for number in 0..cells {
        let at = (half + number * CELL) as usize;
        let new = cell(number);
        for place in 0..CELL as usize {
            let byte = now[at + place];
            assert!(byte == new[place] || byte == content[at + place]);
        }
    }
    let stats = port.stats().files;
    assert_eq!((stats.waiting, stats.running), (0, 0));
    eprintln!(
        "{:?}: {} operations on {}, {} cancelled or late",
        engine,
        next_id.load(SeqCst),
        stats.engine,
        cancelled.load(SeqCst)
    );
}

fn cancelling_all_of_another_file_concerns_nobody(port: &Port) {
    let other = fs::File::open(std::env::current_exe().unwrap()).unwrap();
    let other: File<(), Tag> = port.associate_file(other, ()).unwrap();
    assert_eq!(other.cancel_all(), 0);
}

/// On Windows with the kernel, as in the other tests.
#[test]
fn every_byte_and_every_operation_with_io_uring() {
    storm(FileEngine::Auto, 1500);
}

#[cfg(target_os = "linux")]
#[test]
fn every_byte_and_every_operation_with_threads() {
    storm(FileEngine::Threads, 1500);
}

/// Ports end in the middle of reads and writes; each operation comes back as a packet or a drop, once,
/// and the file is closed.
fn ports_end(engine: FileEngine) {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let temporary = Temporary::new(&format!("ends-{engine:?}"));
    fs::write(&temporary.0, vec![7; SIZE as usize]).unwrap();
    let options = fs::File::options().read(true).write(true).clone();
    let std = options.open(&temporary.0).unwrap();
    std.sync_all().unwrap();
    let mut random = Random::new(3);
    for round in 0..100 {
        cool(&std);
        let dropped = Arc::new(AtomicUsize::new(0));
        let port: CompletionPort<(), Counted> =
            CompletionPort::builder().files(engine).build().unwrap();
        let file = fs::File::options()
            .read(true)
            .write(true)
            .open(&temporary.0)
            .unwrap();
        let file = port.associate_file(file, ()).unwrap();
        let operations = 1 + random.below(200) as usize;
        for _ in 0..operations {
            let counted = Counted(dropped.clone());
            let place = random.below(SIZE);
            let started = match random.below(3) {
                0 => file.write_at(
                    Operation::new(vec![7; 1000], counted),
                    place % (SIZE - 1000),
                ),
                1 => file.sync_data(Operation::new("", counted)),
                _ => file.read_at(Operation::with_capacity(5000, counted), place),
            };
            let started = started.unwrap();
            if random.below(5) == 0 {
                file.cancel(started);
            }
        }
        for _ in 0..(random.below(4) as usize).min(operations) {
            match port.get_timeout(WATCHDOG).unwrap().operation {
                // Forgotten: its memory leaks, and nothing else.
                operation if round % 7 == 0 => {
                    dropped.fetch_add(1, SeqCst);
                    std::mem::forget(operation);
                }
                operation => drop(operation),
            }
        }
        match round % 3 {
            0 => drop(port),
            1 => port.close(),
            _ => std::thread::spawn(move || port.close()).join().unwrap(),
        }
        drop(file);
        let began = Instant::now();
        while dropped.load(SeqCst) < operations {
            assert!(began.elapsed() < WATCHDOG, "not all operations came back");
            std::thread::yield_now();
        }
        assert_eq!(dropped.load(SeqCst), operations);
    }
    assert!(
        fs::read(&temporary.0)
            .unwrap()
            .iter()
            .all(|&byte| byte == 7)
    );
}

#[test]
fn ports_end_at_any_time_with_io_uring() {
    ports_end(FileEngine::Auto);
}

#[cfg(target_os = "linux")]
#[test]
fn ports_end_at_any_time_with_threads() {
    ports_end(FileEngine::Threads);
}

/// Threads go on starting while the port ends: what was taken comes back as a packet or a drop, what
/// was not comes back at once.
fn starts_race_with_the_end(engine: FileEngine) {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let temporary = Temporary::new(&format!("race-{engine:?}"));
    fs::write(&temporary.0, vec![7; 1 << 20]).unwrap();
    let options = fs::File::options().read(true).write(true).clone();
    let std = options.open(&temporary.0).unwrap();
    std.sync_all().unwrap();
    for round in 0..100u64 {
        cool(&std);
        let (made, dropped) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let operation = |bytes: usize| {
            made.fetch_add(1, SeqCst);
            Operation::new(vec![7; bytes], Counted(dropped.clone()))
        };
        let port: CompletionPort<(), Counted> = CompletionPort::builder()
            .concurrency(2)
            .files(engine)
            .build()
            .unwrap();
        let reading = overlapped::OpenOptions::new().read(true);
        let path = &temporary.0;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let remote = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = port.associate(listener.accept().unwrap().0, ()).unwrap();
        std::thread::scope(|scope| {
            for starter in 0..3u64 {
                let file = fs::File::options().read(true).write(true).open(path);
                let file = port.associate_file(file.unwrap(), ()).unwrap();
                let (port, socket, operation, reading) = (&port, &socket, &operation, &reading);
                scope.spawn(move || {
                    let mut random = Random::new(round * 3 + starter + 1);
                    loop {
                        let place = random.below(1 << 20);
                        let refused = match random.below(6) {
                            0 => file.write_at(operation(100), place).err(),
                            1 => file.sync_data(operation(0)).err(),
                            2 => port.open(operation(0), reading, path, ()).err(),
                            3 => socket.send_file(operation(10), &file, place, 0, "").err(),
                            _ => file.read_at(operation(9000), place).err(),
                        };
                        if let Some(refused) = refused {
                            assert_eq!(refused.status, Status::INVALID_HANDLE);
                            let last = file.close(operation(0)).unwrap_err();
                            assert_eq!(last.status, Status::INVALID_HANDLE);
                            break;
                        }
                    }
                });
            }
            let worker = port.clone();
            scope.spawn(move || {
                for _ in 0..round {
                    if worker.get().is_err() {
                        return;
                    }
                }
                worker.close();
            });
        });
        drop((port, socket, remote));
        let began = Instant::now();
        while dropped.load(SeqCst) < made.load(SeqCst) {
            assert!(began.elapsed() < WATCHDOG, "not all operations came back");
            std::thread::yield_now();
        }
        assert_eq!(dropped.load(SeqCst), made.load(SeqCst));
    }
}

#[test]
fn starts_race_with_the_end_with_io_uring() {
    starts_race_with_the_end(FileEngine::Auto);
}

#[cfg(target_os = "linux")]
#[test]
fn starts_race_with_the_end_with_threads() {
    starts_race_with_the_end(FileEngine::Threads);
}

/// Reads that bypass the page cache are cancelled by the kernel or are not; bytes never lie.
#[test]
fn uncached_reads_under_cancels() {
    let temporary = Temporary::new("direct");
    let content: Vec<u8> = (0..SIZE).map(byte_at).collect();
    fs::write(&temporary.0, &content).unwrap();
    let port: Port = CompletionPort::new(1).unwrap();
    let options = overlapped::OpenOptions::new().read(true).direct(true);
    let tag = |id| Tag { id, place: 0 };
    port.open(Operation::new("", tag(0)), &options, &temporary.0, ())
        .unwrap();
    let packet = port.get_timeout(WATCHDOG).unwrap();
    if packet.status != Status::SUCCESS {
        eprintln!("NOT TESTED: no O_DIRECT here ({:?})", packet.status);
        return;
    }
    let file = packet.file.unwrap();
    let mut random = Random::new(11);
    for round in 0..60 {
        let mut started = Vec::new();
        for id in 0..32 {
            let place = random.below(SIZE / 4096) * 4096;
            let operation = Operation::new(AlignedBuffer::new(65_536, 4096), Tag { id, place });
            started.push(file.read_at(operation, place).unwrap());
        }
        for &started in &started {
            if random.below(2) == 0 {
                file.cancel(started);
            }
        }
        for _ in &started {
            let packet = port.get_timeout(WATCHDOG).unwrap();
            let place = packet.operation.user().place as usize;
            let bytes = packet.operation.bytes();
            assert!(bytes == &content[place..][..bytes.len()], "round {round}");
            match packet.status {
                Status::CANCELLED => {}
                status => {
                    assert_eq!(status, Status::SUCCESS);
                    assert_eq!(bytes.len(), 65_536.min(content.len() - place));
                }
            }
        }
    }
}
