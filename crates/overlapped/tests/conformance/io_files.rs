//! Files: reads, writes, appends, opening, closing, cancelling (IO-18, and what PK, PO and CX say of
//! any operation), with io_uring and with threads.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
#[cfg(target_os = "linux")]
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
#[cfg(target_os = "linux")]
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
#[cfg(target_os = "linux")]
use std::time::Duration;

use overlapped::{
    AlignedBuffer, Buffer, CompletionPort, File, FileEngine, Kind, OpenOptions, Operation, Status,
};

use crate::world::{Op, Pack, Port, get, nothing, room, text, until};

/// A port whose files are served by one of the two engines.
struct Files {
    port: Port,
    engine: FileEngine,
}

impl Files {
    fn new(engine: FileEngine) -> Self {
        let port = CompletionPort::builder()
            .concurrency(1)
            .rescue_after(None)
            .files(engine)
            .build()
            .unwrap();
        Files { port, engine }
    }

    fn open(&self, path: &Path) -> File<u64, u64> {
        let file = fs::File::options().read(true).write(true).open(path);
        self.port.associate_file(file.unwrap(), 7).unwrap()
    }

    /// The engine did have something to do.
    fn was_used(&self) {
        let stats = self.port.stats().files;
        if cfg!(windows) {
            assert_eq!(stats.engine, "iocp");
            return;
        }
        let wanted = match self.engine {
            FileEngine::Threads => "threads",
            _ => "io_uring",
        };
        if stats.engine != wanted {
            // Allowed: that is what the threads are for. But nobody shall believe it was tested.
            assert_eq!((self.engine, stats.engine), (FileEngine::Auto, "threads"));
            eprintln!("NOT TESTED on io_uring here: {}", stats.reason);
        }
    }
}

/// Makes a test of each function for each engine of files; on Windows there is one.
macro_rules! with_ring_and_threads {
    ($($(#[$only:meta])? $test:ident),* $(,)?) => {
        #[cfg(target_os = "linux")]
        mod with_ring {
            $(#[test] fn $test() { super::$test(&super::Files::new(super::FileEngine::Auto)); })*
        }
        #[cfg(target_os = "linux")]
        mod with_threads {
            $(#[test] fn $test() { super::$test(&super::Files::new(super::FileEngine::Threads)); })*
        }
        #[cfg(windows)]
        mod on_system {
            $($(#[$only])? #[test] fn $test() {
                if crate::wine::obeys(stringify!($test)) {
                    super::$test(&super::Files::new(super::FileEngine::Auto));
                }
            })*
        }
    };
}

with_ring_and_threads!(
    io_18_at_or_past_the_end_is_end_of_file,
    io_18_across_the_end_is_short,
    io_18_the_offset_counts_and_the_position_stays,
    vectored_reads_and_writes,
    reads_of_a_cold_file_complete_with_their_own_bytes,
    a_write_behind_the_end_leaves_zeroes,
    appends_are_whole_and_none_is_lost,
    synchronising_completes,
    opening_reports_in_a_packet,
    opening_makes_files_as_asked,
    closing_follows_what_is_under_way,
    files_go_back_to_std,
    pk_5_what_the_file_does_not_allow_is_refused,
    a_file_without_the_page_cache,
    // O_NONBLOCK is not known there.
    #[cfg(not(windows))]
    a_file_in_non_blocking_mode,
    po_5_only_files_are_files,
    // The next five make an open wait, or a disk full, by what only Linux has.
    #[cfg(not(windows))]
    cx_1_a_waiting_operation_is_cancelled,
    #[cfg(not(windows))]
    cx_2_what_is_over_cannot_be_cancelled,
    #[cfg(not(windows))]
    tm_7_an_operation_on_a_file_can_have_a_deadline,
    cx_8_operations_survive_their_thread,
    #[cfg(not(windows))]
    cx_10_the_end_of_the_port_drops_each_operation_once,
    handles_may_go_before_their_operations,
    #[cfg(not(windows))]
    a_full_disk_fails_the_write_with_what_was_written,
);

/// A file of this test, removed at its end.
pub struct Temporary(pub PathBuf);

impl Temporary {
    pub fn path() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, SeqCst);
        let name = format!("conformance-{}-{number}", std::process::id());
        Temporary(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    pub fn with(bytes: &[u8]) -> Self {
        let temporary = Self::path();
        fs::write(&temporary.0, bytes).unwrap();
        temporary
    }

    /// A place where an open waits until somebody opens the other end.
    #[cfg(target_os = "linux")]
    fn fifo() -> Self {
        let temporary = Self::path();
        let status = Command::new("mkfifo").arg(&temporary.0).status().unwrap();
        assert!(status.success());
        temporary
    }

    /// Makes the page cache forget it.
    #[cfg(target_os = "linux")]
    pub fn cool(&self) {
        use std::os::fd::AsRawFd;
        let file = fs::File::open(&self.0).unwrap();
        file.sync_all().unwrap();
        // SAFETY: advice on a descriptor, no memory.
        let refused =
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        assert_eq!(refused, 0);
    }

    /// The same where nobody can ask for it.
    #[cfg(windows)]
    pub fn cool(&self) {}

    /// Whether somebody has it open: then it cannot be had alone.
    #[cfg(windows)]
    fn is_open(&self) -> bool {
        use std::os::windows::fs::OpenOptionsExt;
        let alone = fs::File::options().read(true).share_mode(0).open(&self.0);
        alone.is_err()
    }

    /// Whether this process has it open.
    #[cfg(target_os = "linux")]
    fn is_open(&self) -> bool {
        let path = fs::canonicalize(&self.0).unwrap();
        fs::read_dir("/proc/self/fd").unwrap().any(|entry| {
            entry
                .and_then(|entry| fs::read_link(entry.path()))
                .is_ok_and(|link| link == path)
        })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Bytes that tell their place.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|place| (place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

fn ended(packet: &Pack) -> (u64, Status, usize) {
    (*packet.operation.user(), packet.status, packet.bytes)
}

fn io_18_at_or_past_the_end_is_end_of_file(files: &Files) {
    let temporary = Temporary::with(b"ten bytes.");
    let file = files.open(&temporary.0);
    for offset in [10, 11, 1 << 40, i64::MAX as u64 - 8] {
        file.read_at(room(8, 0), offset).unwrap();
        let packet = get(&files.port);
        assert_eq!(ended(&packet), (0, Status::END_OF_FILE, 0));
        assert_eq!((packet.kind, packet.status.win32()), (Kind::Read, 38));
        assert_eq!(packet.operation.bytes(), b"");
        let error = packet.result().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    }
    // The same without the page cache's help.
    temporary.cool();
    file.read_at(room(8, 0), 10).unwrap();
    assert_eq!(ended(&get(&files.port)), (0, Status::END_OF_FILE, 0));
    nothing(&files.port);
}

fn io_18_across_the_end_is_short(files: &Files) {
    let bytes = pattern(100_000);
    let temporary = Temporary::with(&bytes);
    let file = files.open(&temporary.0);
    // Even a cold one may be there when the start looks, if the disk is fast and the thread is preempted.
    for round in 0..100 {
        if round > 0 {
            temporary.cool();
        }
        file.read_at(room(50_000, 1), 99_990).unwrap();
        let packet = get(&files.port);
        assert_eq!(ended(&packet), (1, Status::SUCCESS, 10));
        assert_eq!(packet.operation.bytes(), &bytes[99_990..]);
        assert_eq!(packet.key(), Some(&7));
        assert!(packet.file.as_ref() == Some(&file) && packet.socket.is_none());
        if round > 0 && files.port.stats().files.engine != "none" {
            break;
        }
    }
    files.was_used();
}

fn io_18_the_offset_counts_and_the_position_stays(files: &Files) {
    let temporary = Temporary::with(b"0123456789");
    let mut std = fs::File::options()
        .read(true)
        .write(true)
        .open(&temporary.0)
        .unwrap();
    std.seek(SeekFrom::Start(3)).unwrap();
    let duplicate = std.try_clone().unwrap();
    let file = files.port.associate_file(duplicate, 1).unwrap();
    file.read_at(room(2, 0), 6).unwrap();
    assert_eq!(get(&files.port).operation.bytes(), b"67");
    file.write_at(text(b"ab", 0), 8).unwrap();
    assert_eq!(get(&files.port).bytes, 2);
    assert_eq!(std.stream_position().unwrap(), 3);
    let mut rest = String::new();
    std.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "34567ab");
}

fn vectored_reads_and_writes(files: &Files) {
    let temporary = Temporary::with(b"");
    let file = files.open(&temporary.0);
    let pieces: Vec<Vec<u8>> = vec![
        b"one ".to_vec(),
        vec![],
        b"two ".to_vec(),
        b"three".to_vec(),
    ];
    file.write_at(Operation::new(Buffer::Vectored(pieces), 0), 5)
        .unwrap();
    assert_eq!(ended(&get(&files.port)), (0, Status::SUCCESS, 13));
    assert_eq!(fs::read(&temporary.0).unwrap(), b"\0\0\0\0\0one two three");
    // More pieces than the system takes at once, some of them filled in part only.
    let bytes = pattern(9_000);
    fs::write(&temporary.0, &bytes).unwrap();
    temporary.cool();
    let pieces = (0..3000).map(|_| Vec::with_capacity(4)).collect();
    file.read_at(Operation::new(Buffer::Vectored(pieces), 0), 1)
        .unwrap();
    let packet = get(&files.port);
    assert_eq!(ended(&packet), (0, Status::SUCCESS, 8_999));
    let Buffer::Vectored(pieces) = packet.operation.buffer() else {
        panic!("another buffer came back");
    };
    assert!(pieces.concat() == bytes[1..]);
}

fn reads_of_a_cold_file_complete_with_their_own_bytes(files: &Files) {
    const SIZE: usize = 8_000_000;
    let bytes = pattern(SIZE);
    let temporary = Temporary::with(&bytes);
    temporary.cool();
    let file = files.open(&temporary.0);
    // More than may run at once, from behind so that nobody reads ahead.
    const READS: usize = 400;
    for number in (0..READS).rev() {
        let place = number * (SIZE / READS) + number % 511;
        file.read_at(room(1 + number * 7, place as u64), place as u64)
            .unwrap();
    }
    for _ in 0..READS {
        let packet = get(&files.port);
        let place = *packet.operation.user() as usize;
        let number = place / (SIZE / READS);
        let wanted = &bytes[place..(place + 1 + number * 7).min(SIZE)];
        assert_eq!(packet.status, Status::SUCCESS);
        assert!(packet.operation.bytes()[..wanted.len()] == *wanted);
    }
    nothing(&files.port);
    files.was_used();
}

fn a_write_behind_the_end_leaves_zeroes(files: &Files) {
    let temporary = Temporary::with(b"x");
    let file = files.open(&temporary.0);
    file.write_at(text(b"y", 0), 5000).unwrap();
    assert_eq!(ended(&get(&files.port)), (0, Status::SUCCESS, 1));
    assert_eq!(file.metadata().unwrap().len(), 5001);
    // Nothing to write is written.
    file.write_at(text(b"", 1), 90_000).unwrap();
    assert_eq!(ended(&get(&files.port)), (1, Status::SUCCESS, 0));
    let content = fs::read(&temporary.0).unwrap();
    assert_eq!(
        (content.len(), content[0], content[5000]),
        (5001, b'x', b'y')
    );
    assert!(content[1..5000].iter().all(|&byte| byte == 0));
}

fn appends_are_whole_and_none_is_lost(files: &Files) {
    let temporary = Temporary::with(b"");
    let file = files.open(&temporary.0);
    for number in 0..300u64 {
        let line = format!("line {number:03} {}\n", "x".repeat(number as usize));
        file.append(Operation::new(line.into_bytes(), number))
            .unwrap();
    }
    for _ in 0..300 {
        let packet = get(&files.port);
        assert_eq!(packet.status, Status::SUCCESS);
        assert_eq!(
            (packet.kind, packet.bytes),
            (Kind::Append, packet.operation.bytes().len())
        );
    }
    let content = fs::read_to_string(&temporary.0).unwrap();
    let mut lines: Vec<_> = content.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 300);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("line {number:03} {}", "x".repeat(number)));
    }
    files.was_used();
}

fn synchronising_completes(files: &Files) {
    let temporary = Temporary::with(b"x");
    let file = files.open(&temporary.0);
    file.sync_all(text(b"", 1)).unwrap();
    let packet = get(&files.port);
    assert_eq!(
        (packet.kind, ended(&packet)),
        (Kind::SyncAll, (1, Status::SUCCESS, 0))
    );
    file.sync_data(text(b"not sent anywhere", 2)).unwrap();
    let packet = get(&files.port);
    assert_eq!(
        (packet.kind, ended(&packet)),
        (Kind::SyncData, (2, Status::SUCCESS, 0))
    );
    files.was_used();
}

fn open(files: &Files, options: &OpenOptions, path: &Path) -> Pack {
    let handle = files
        .port
        .open(text(b"", 3), options, path, 77)
        .expect("it can be tried");
    let packet = get(&files.port);
    assert_eq!((packet.kind, packet.key()), (Kind::Open, Some(&77)));
    assert!(packet.file.as_ref() == Some(&handle));
    packet
}

fn opening_reports_in_a_packet(files: &Files) {
    let temporary = Temporary::with(b"content");
    let reading = OpenOptions::new().read(true);
    let packet = open(files, &reading, &temporary.0);
    assert_eq!(ended(&packet), (3, Status::SUCCESS, 0));
    let file = packet.file.unwrap();
    file.read_at(room(20, 4), 0).unwrap();
    assert_eq!(get(&files.port).operation.bytes(), b"content");

    let nowhere = temporary.0.with_extension("nowhere");
    let below = temporary.0.join("below");
    let here = temporary.0.parent().unwrap();
    let fresh = OpenOptions::new().write(true).create_new(true);
    for (options, path, status, win32) in [
        (&reading, &*nowhere, Status::OBJECT_NAME_NOT_FOUND, 2),
        #[cfg(not(windows))]
        (&reading, &*below, Status::NOT_A_DIRECTORY, 267),
        #[cfg(windows)]
        (&reading, &*below, Status::OBJECT_NAME_NOT_FOUND, 2),
        (&fresh, &*temporary.0, Status::OBJECT_NAME_COLLISION, 183),
        #[cfg(not(windows))]
        (&reading, here, Status::NOT_SUPPORTED, 50),
        #[cfg(windows)]
        (&reading, here, Status::ACCESS_DENIED, 5),
    ] {
        let packet = open(files, options, path);
        assert_eq!(ended(&packet), (3, status, 0), "{path:?}");
        assert_eq!(packet.status.win32(), win32);
        // Its handle is of no use.
        let refused = packet.file.unwrap().read_at(room(1, 0), 0).unwrap_err();
        assert_eq!(refused.status, Status::INVALID_HANDLE);
    }
    // PK-5: what is no open at all.
    let contradiction = OpenOptions::new().read(true).create(true);
    for (options, path) in [(&contradiction, "x"), (&reading, "zero\0byte")] {
        let refused = files.port.open(text(b"", 0), options, path, 0).unwrap_err();
        assert_eq!(refused.status, Status::INVALID_PARAMETER);
    }
    nothing(&files.port);
    files.was_used();
}

fn opening_makes_files_as_asked(files: &Files) {
    let temporary = Temporary::path();
    let options = OpenOptions::new().write(true).create_new(true);
    #[cfg(unix)]
    let options = options.mode(0o600);
    let made = open(files, &options, &temporary.0).file.unwrap();
    made.write_at(text(b"long content", 0), 0).unwrap();
    assert_eq!(get(&files.port).bytes, 12);
    assert_eq!(made.metadata().unwrap().len(), 12);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = made.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let log = open(files, &OpenOptions::new().append(true), &temporary.0)
        .file
        .unwrap();
    log.append(text(b", and more", 0)).unwrap();
    assert_eq!(get(&files.port).bytes, 10);
    assert_eq!(fs::read(&temporary.0).unwrap(), b"long content, and more");
    let options = OpenOptions::new().write(true).truncate(true);
    assert_eq!(open(files, &options, &temporary.0).status, Status::SUCCESS);
    assert_eq!(fs::read(&temporary.0).unwrap(), b"");
}

fn closing_follows_what_is_under_way(files: &Files) {
    let bytes = pattern(3_000_000);
    let temporary = Temporary::with(&bytes);
    temporary.cool();
    let file = files.open(&temporary.0);
    for number in 0..3 {
        file.read_at(room(1_000_000, number), number * 1_000_000)
            .unwrap();
    }
    let other = file.clone();
    file.close(text(b"", 9)).unwrap();
    for refused in [other.read_at(room(1, 0), 0), other.close(text(b"", 0))] {
        assert_eq!(refused.unwrap_err().status, Status::INVALID_HANDLE);
    }
    let mut packets: Vec<_> = (0..3).map(|_| get(&files.port)).collect();
    packets.sort_by_key(|packet| *packet.operation.user());
    for (number, packet) in packets.iter().enumerate() {
        assert_eq!(ended(packet), (number as u64, Status::SUCCESS, 1_000_000));
        assert!(packet.operation.bytes() == &bytes[number * 1_000_000..][..1_000_000]);
    }
    // The packets are out, though their handles live: then it closes.
    let packet = get(&files.port);
    assert_eq!(
        (packet.kind, ended(&packet)),
        (Kind::Close, (9, Status::SUCCESS, 0))
    );
    assert!(!temporary.is_open());
    nothing(&files.port);
}

fn files_go_back_to_std(files: &Files) {
    let temporary = Temporary::with(b"0123456789");
    let file = files.open(&temporary.0);
    file.read_at(room(4, 0), 0).unwrap();
    // Its packet is not out.
    let file = file.into_std().expect_err("an operation is under way");
    let packet = get(&files.port);
    let mut std = file.into_std().unwrap();
    let mut all = String::new();
    std.read_to_string(&mut all).unwrap();
    assert_eq!(all, "0123456789");
    let left = packet.file.unwrap();
    let refused = left.read_at(packet.operation, 0).unwrap_err();
    assert_eq!(refused.status, Status::INVALID_HANDLE);
}

fn pk_5_what_the_file_does_not_allow_is_refused(files: &Files) {
    let temporary = Temporary::with(b"0123456789");
    let options = |read, append| {
        let file = fs::File::options()
            .read(read)
            .append(append)
            .open(&temporary.0);
        files.port.associate_file(file.unwrap(), 0).unwrap()
    };
    let reading = options(true, false);
    let appending = options(false, true);
    let far = i64::MAX as u64;
    for (result, status) in [
        (reading.write_at(text(b"x", 1), 0), Status::ACCESS_DENIED),
        (reading.append(text(b"x", 1)), Status::ACCESS_DENIED),
        (reading.read_at(room(0, 1), 0), Status::INVALID_PARAMETER),
        (reading.read_at(room(8, 1), far), Status::INVALID_PARAMETER),
        (
            reading.read_at(room(8, 1), u64::MAX),
            Status::INVALID_PARAMETER,
        ),
        (reading.read_at(text(b"", 1), 0), Status::INVALID_PARAMETER),
        (appending.read_at(room(8, 1), 0), Status::ACCESS_DENIED),
        (
            appending.write_at(text(b"x", 1), 0),
            Status::INVALID_PARAMETER,
        ),
    ] {
        let refused = result.unwrap_err();
        assert_eq!((refused.status, *refused.operation.user()), (status, 1));
    }
    appending.append(text(b"!", 0)).unwrap();
    assert_eq!(get(&files.port).bytes, 1);
    assert_eq!(fs::read(&temporary.0).unwrap(), b"0123456789!");
    files.port.close();
    let refused = reading.read_at(room(8, 1), 0).unwrap_err();
    assert_eq!(refused.status, Status::INVALID_HANDLE);
    assert!(
        files
            .port
            .associate_file(fs::File::open(&temporary.0).unwrap(), 0)
            .is_err()
    );
}

fn a_file_without_the_page_cache(files: &Files) {
    let bytes = pattern(10_000);
    let temporary = Temporary::with(&bytes);
    let options = OpenOptions::new().read(true).write(true).direct(true);
    let packet = open(files, &options, &temporary.0);
    if packet.status != Status::SUCCESS {
        eprintln!(
            "NOT TESTED: this file system has no O_DIRECT ({:?})",
            packet.status
        );
        return;
    }
    let file = packet.file.unwrap();
    let aligned = |bytes| Operation::new(AlignedBuffer::new(bytes, 4096), 0);
    file.read_at(aligned(8192), 0).unwrap();
    let packet = get(&files.port);
    assert_eq!(ended(&packet), (0, Status::SUCCESS, 8192));
    assert!(packet.operation.bytes() == &bytes[..8192]);
    // Across the end, which is not aligned; and behind it.
    file.read_at(aligned(8192), 8192).unwrap();
    let packet = get(&files.port);
    assert_eq!(ended(&packet), (0, Status::SUCCESS, 10_000 - 8192));
    assert!(packet.operation.bytes() == &bytes[8192..]);
    file.read_at(aligned(4096), 12_288).unwrap();
    assert_eq!(ended(&get(&files.port)), (0, Status::END_OF_FILE, 0));
    // The user's mistake.
    file.read_at(aligned(4096), 3).unwrap();
    assert_eq!(ended(&get(&files.port)), (0, Status::INVALID_PARAMETER, 0));
    // Writing.
    let mut page = AlignedBuffer::new(4096, 4096);
    page.set_len(4096);
    page.fill(b'p');
    file.write_at(Operation::new(page, 0), 4096).unwrap();
    assert_eq!(ended(&get(&files.port)), (0, Status::SUCCESS, 4096));
    let content = fs::read(&temporary.0).unwrap();
    assert!(content[4096..8192].iter().all(|&byte| byte == b'p'));
    assert!(content[..4096] == bytes[..4096] && content[8192..] == bytes[8192..]);
    files.was_used();
}

/// The flag means nothing to files, and must not make anybody spin or fail.
#[cfg(target_os = "linux")]
fn a_file_in_non_blocking_mode(files: &Files) {
    let bytes = pattern(100_000);
    let temporary = Temporary::with(&bytes);
    let options = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK);
    let file = open(files, &options, &temporary.0).file.unwrap();
    for place in [0, 50_000] {
        temporary.cool();
        file.read_at(room(50_000, 1), place).unwrap();
        let packet = get(&files.port);
        assert_eq!(ended(&packet), (1, Status::SUCCESS, 50_000));
        assert!(packet.operation.bytes() == &bytes[place as usize..][..50_000]);
    }
    file.write_at(text(b"x", 2), 0).unwrap();
    assert_eq!(ended(&get(&files.port)), (2, Status::SUCCESS, 1));
    if let Some(small) = Small::mount(1 << 20) {
        let path = small.0.join("file");
        let file = open(files, &options.create(true), &path).file.unwrap();
        file.write_at(text(&bytes, 3), 0).unwrap();
        assert_eq!(ended(&get(&files.port)), (3, Status::SUCCESS, 100_000));
        drop(file);
    }
}

fn po_5_only_files_are_files(files: &Files) {
    let (reader, _writer) = std::io::pipe().unwrap();
    let refused = files.port.associate_file(reader, 5).unwrap_err();
    assert_eq!(refused.error.kind(), std::io::ErrorKind::Unsupported);
    assert_eq!(refused.key, 5);
    // On Windows std opens no directory.
    if let Ok(directory) = fs::File::open(env!("CARGO_TARGET_TMPDIR")) {
        assert!(files.port.associate_file(directory, 5).is_err());
    }
}

/// Opens that wait until `release`, as many as the pool has threads: nobody can serve anything else.
#[cfg(target_os = "linux")]
struct Blocked {
    fifo: Temporary,
    handles: Vec<File<u64, u64>>,
}

#[cfg(target_os = "linux")]
impl Blocked {
    const COUNT: usize = 4;

    fn new(files: &Files) -> Self {
        let fifo = Temporary::fifo();
        // Truncating keeps io_uring from trying without blocking, which succeeds or fails at once.
        let options = OpenOptions::new().write(true).truncate(true);
        let handles = (0..Self::COUNT)
            .map(|_| {
                let operation = text(b"", 1000);
                files.port.open(operation, &options, &fifo.0, 0).unwrap()
            })
            .collect();
        until("all of them are being opened", || {
            files.port.stats().files.running == Self::COUNT
        });
        Blocked { fifo, handles }
    }

    /// Lets them end. Somebody who waits in `open` of the other end meets all of them at once.
    fn release(&self) -> fs::File {
        fs::File::open(&self.fifo.0).unwrap()
    }
}

#[cfg(target_os = "linux")]
fn cx_1_a_waiting_operation_is_cancelled(files: &Files) {
    let blocked = Blocked::new(files);
    let temporary = Temporary::with(b"x");
    let file = files.open(&temporary.0);
    if files.port.stats().files.engine == "threads" {
        // All threads are busy: what is started waits, and is taken out of the list.
        let first = file.sync_all(text(b"", 1)).unwrap();
        file.sync_all(text(b"", 2)).unwrap();
        assert!(file.cancel(first));
        assert_eq!(ended(&get(&files.port)), (1, Status::CANCELLED, 0));
        assert!(!file.cancel(first));
        assert_eq!(file.cancel_all(), 1);
        assert_eq!(ended(&get(&files.port)), (2, Status::CANCELLED, 0));
        // What a thread does cannot be called back, and ends as it ends.
        assert_eq!(blocked.handles[0].cancel_all(), 1);
        assert_eq!(blocked.handles[0].cancel_all(), 0);
        nothing(&files.port);
        let _other_end = blocked.release();
        for _ in 0..Blocked::COUNT {
            assert_eq!(ended(&get(&files.port)), (1000, Status::NOT_SUPPORTED, 0));
        }
    } else {
        for handle in &blocked.handles {
            let other = handle.clone();
            std::thread::spawn(move || assert_eq!(other.cancel_all(), 1))
                .join()
                .unwrap();
            assert_eq!(ended(&get(&files.port)), (1000, Status::CANCELLED, 0));
            assert_eq!(handle.cancel_all(), 0);
        }
    }
    nothing(&files.port);
}

#[cfg(target_os = "linux")]
fn cx_2_what_is_over_cannot_be_cancelled(files: &Files) {
    let temporary = Temporary::with(b"0123456789");
    let file = files.open(&temporary.0);
    let started = file.read_at(room(4, 0), 0).unwrap();
    assert_eq!(get(&files.port).bytes, 4);
    assert!(!file.cancel(started));
    assert_eq!(file.cancel_all(), 0);
    // A token means one operation of one file.
    let blocked = Blocked::new(files);
    assert!(!blocked.handles[0].cancel(started));
    let _other_end = blocked.release();
    for _ in 0..Blocked::COUNT {
        assert_eq!(ended(&get(&files.port)), (1000, Status::NOT_SUPPORTED, 0));
    }
}

#[cfg(target_os = "linux")]
fn tm_7_an_operation_on_a_file_can_have_a_deadline(files: &Files) {
    let within = |mut operation: Op, bound| {
        operation.set_timeout(Some(bound));
        operation
    };
    let temporary = Temporary::with(b"0123");
    let file = files.open(&temporary.0);
    file.read_at(within(room(4, 1), Duration::ZERO), 0).unwrap();
    let packet = get(&files.port);
    // What is at hand comes in time; not every file system can tell.
    let ended_so = (packet.status, packet.bytes);
    assert!([(Status::SUCCESS, 4), (Status::IO_TIMEOUT, 0)].contains(&ended_so));
    let blocked = Blocked::new(files);
    let late = within(text(b"", 2), Duration::from_millis(5));
    if files.port.stats().files.engine == "threads" {
        // Waits for a thread; one that a thread performs would not be called back.
        file.sync_all(late).unwrap();
    } else {
        let options = OpenOptions::new().write(true).truncate(true);
        files.port.open(late, &options, &blocked.fifo.0, 0).unwrap();
    }
    let packet = get(&files.port);
    assert_eq!(ended(&packet), (2, Status::IO_TIMEOUT, 0));
    let error = packet.result().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    // Those without a deadline wait on.
    nothing(&files.port);
    let _other_end = blocked.release();
    for _ in 0..Blocked::COUNT {
        assert_eq!(ended(&get(&files.port)), (1000, Status::NOT_SUPPORTED, 0));
    }
    // One that is lifted in time means nothing to the next operation.
    let long = Duration::from_secs(3600);
    file.sync_all(within(text(b"", 3), long)).unwrap();
    assert_eq!(ended(&get(&files.port)), (3, Status::SUCCESS, 0));
    assert_eq!(files.port.stats().timers, 0);
}

fn cx_8_operations_survive_their_thread(files: &Files) {
    let bytes = pattern(4_000_000);
    let temporary = Temporary::with(&bytes);
    for _ in 0..20 {
        temporary.cool();
        let file = files.open(&temporary.0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in (0..8).rev() {
                    file.read_at(room(100_000, number), number * 500_000)
                        .unwrap();
                }
            });
        });
        for _ in 0..8 {
            let packet = get(&files.port);
            let number = *packet.operation.user() as usize;
            assert_eq!(ended(&packet), (number as u64, Status::SUCCESS, 100_000));
            assert!(packet.operation.bytes() == &bytes[number * 500_000..][..100_000]);
        }
    }
}

/// Counts its drops.
#[cfg(target_os = "linux")]
struct Counted(Arc<AtomicUsize>);

#[cfg(target_os = "linux")]
impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[cfg(target_os = "linux")]
fn cx_10_the_end_of_the_port_drops_each_operation_once(files: &Files) {
    let dropped = Arc::new(AtomicUsize::new(0));
    let counted = |buffer: &'static str| Operation::new(buffer, Counted(dropped.clone()));
    let port: CompletionPort<u64, Counted> = CompletionPort::builder()
        .files(files.engine)
        .build()
        .unwrap();
    let (fifo, temporary) = (Temporary::fifo(), Temporary::with(b"x"));
    let blocking = OpenOptions::new().write(true).truncate(true);
    let file = fs::File::options().write(true).open(&temporary.0).unwrap();
    let file = port.associate_file(file, 0).unwrap();
    let mut started = 0;
    // Some that run and do not end, some that wait or run, some that are queued.
    for _ in 0..6 {
        port.open(counted(""), &blocking, &fifo.0, 0).unwrap();
        file.write_at(counted("y"), 3).unwrap();
        file.write_at(counted(""), 3).unwrap();
        started += 3;
    }
    file.close(counted("")).unwrap();
    until("somebody is at work", || port.stats().files.running > 0);
    let threads = port.stats().files.engine == "threads";
    port.close();
    // A thread that is in the middle of an open stays there until the other end is opened.
    let _other_end = threads.then(|| {
        let mut options = fs::File::options();
        options.read(true).custom_flags(libc::O_NONBLOCK);
        options.open(&fifo.0).unwrap()
    });
    until("everything was dropped", || {
        dropped.load(SeqCst) == started + 1
    });
    until("the file is closed", || !temporary.is_open());
    assert!(file.write_at(counted(""), 0).is_err());
    assert_eq!(dropped.load(SeqCst), started + 2);
}

fn handles_may_go_before_their_operations(files: &Files) {
    let bytes = pattern(2_000_000);
    let temporary = Temporary::with(&bytes);
    temporary.cool();
    let file = files.open(&temporary.0);
    file.read_at(room(2_000_000, 0), 0).unwrap();
    drop(file);
    let packet = get(&files.port);
    assert!(packet.operation.bytes() == bytes);
    assert!(temporary.is_open());
    drop(packet);
    assert!(!temporary.is_open());
}

/// A small file system, if we may mount one.
#[cfg(target_os = "linux")]
struct Small(PathBuf);

#[cfg(target_os = "linux")]
impl Small {
    fn mount(bytes: usize) -> Option<Small> {
        let directory = Temporary::path().0.clone();
        fs::create_dir(&directory).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(&directory)
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            fs::remove_dir(&directory).unwrap();
            return None;
        }
        Some(Small(directory))
    }
}

#[cfg(target_os = "linux")]
impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

#[cfg(target_os = "linux")]
fn a_full_disk_fails_the_write_with_what_was_written(files: &Files) {
    let Some(small) = Small::mount(1 << 20) else {
        eprintln!("NOT TESTED: a full disk, because nothing can be mounted here");
        return;
    };
    let path = small.0.join("file");
    let bytes = pattern(3 << 20);
    let options = OpenOptions::new().read(true).write(true).create(true);
    let file = open(files, &options, &path).file.unwrap();
    file.write_at(text(&bytes, 1), 0).unwrap();
    let packet = get(&files.port);
    assert_eq!(
        (packet.status, packet.status.win32()),
        (Status::DISK_FULL, 112)
    );
    assert_eq!(
        packet.result().unwrap_err().kind(),
        std::io::ErrorKind::StorageFull
    );
    assert!(
        packet.bytes > 0 && packet.bytes <= 1 << 20,
        "{}",
        packet.bytes
    );
    assert!(fs::read(&path).unwrap()[..packet.bytes] == bytes[..packet.bytes]);
    // The next one has nothing left at all.
    file.append(text(&[1; 5000], 2)).unwrap();
    let packet = get(&files.port);
    assert_eq!(packet.status, Status::DISK_FULL);
    drop(packet);
    drop(file);
    nothing(&files.port);
}

/// Makes `io_uring_setup` fail with this errno, in this thread and those that it starts, as the
/// filters of containers do.
#[cfg(target_os = "linux")]
fn refuse_io_uring(errno: i32) {
    let code = |parts: &[u32]| parts.iter().sum::<u32>() as u16;
    // SAFETY: they only fill in structures.
    let mut program = unsafe {
        [
            // The number of the system call is the first field.
            libc::BPF_STMT(code(&[libc::BPF_LD, libc::BPF_W, libc::BPF_ABS]), 0),
            libc::BPF_JUMP(
                code(&[libc::BPF_JMP, libc::BPF_JEQ, libc::BPF_K]),
                libc::SYS_io_uring_setup as u32,
                0,
                1,
            ),
            libc::BPF_STMT(
                code(&[libc::BPF_RET, libc::BPF_K]),
                libc::SECCOMP_RET_ERRNO | errno as u32,
            ),
            libc::BPF_STMT(code(&[libc::BPF_RET, libc::BPF_K]), libc::SECCOMP_RET_ALLOW),
        ]
    };
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: both read their arguments only, and concern this thread.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &filter), 0);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn where_io_uring_is_refused_threads_do_it_and_say_why() {
    for (errno, why) in [
        (libc::EPERM, "not permitted"),
        (libc::ENOSYS, "has none"),
        (libc::EINVAL, "older than 6.1"),
        (libc::ENOMEM, "no memory for the smallest ring"),
        (libc::EMFILE, "Too many open files"),
    ] {
        let alone = std::thread::spawn(move || {
            refuse_io_uring(errno);
            let files = Files::new(FileEngine::Auto);
            let stats = files.port.stats().files;
            assert_eq!((stats.engine, stats.running, stats.waiting), ("none", 0, 0));
            let temporary = Temporary::with(&pattern(100_000));
            let file = files.open(&temporary.0);
            temporary.cool();
            file.sync_all(text(b"", 1)).unwrap();
            assert_eq!(ended(&get(&files.port)), (1, Status::SUCCESS, 0));
            file.read_at(room(100_000, 2), 0).unwrap();
            let packet = get(&files.port);
            assert!(packet.operation.bytes() == pattern(100_000));
            let stats = files.port.stats().files;
            assert_eq!(stats.engine, "threads");
            assert!(stats.reason.contains(why), "{}", stats.reason);
        });
        alone.join().unwrap();
    }
}

/// Runs one test of this program again, alone in a process of its own.
#[cfg(target_os = "linux")]
fn in_a_child(test: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "--include-ignored", test])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}: {said}", output.status);
    assert!(said.contains("1 passed"), "{said}");
}

/// Beyond the process's limit a write fails, and no signal (SIGXFSZ) ends the process.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_would_become_too_large_is_an_error() {
    in_a_child("io_files::child_that_writes_beyond_its_limit");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "limits its process; run by the test above"]
fn child_that_writes_beyond_its_limit() {
    let limit = libc::rlimit {
        rlim_cur: 1_000_000,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: reads the structure.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
    for engine in [FileEngine::Auto, FileEngine::Threads] {
        let files = Files::new(engine);
        let temporary = Temporary::with(b"");
        let file = files.open(&temporary.0);
        let bytes = pattern(3_000_000);
        file.write_at(text(&bytes, 0), 0).unwrap();
        assert_eq!(
            ended(&get(&files.port)),
            (0, Status::FILE_TOO_LARGE, 1_000_000)
        );
        assert!(fs::read(&temporary.0).unwrap() == bytes[..1_000_000]);
        file.write_at(text(b"x", 1), 1_000_000).unwrap();
        assert_eq!(ended(&get(&files.port)), (1, Status::FILE_TOO_LARGE, 0));
    }
}

// ---- send_file ---------------------------------------------------------------------------------

mod transmit {
    use super::*;
    use crate::world::{Remote, Sock, System, World};
    use std::net::TcpStream;

    fn world() -> (Port, Sock, TcpStream) {
        System::new().port_and_socket(1)
    }

    /// Receives `bytes` bytes outside while this thread gets `packets` packets: a file that is read
    /// first goes on when somebody comes for packets.
    fn exchange(
        port: &Port,
        remote: &mut TcpStream,
        packets: usize,
        bytes: usize,
    ) -> (Vec<Pack>, Vec<u8>) {
        std::thread::scope(|scope| {
            let received = scope.spawn(|| Remote::recv(remote, bytes));
            let packets = (0..packets).map(|_| get(port)).collect();
            (packets, received.join().unwrap())
        })
    }

    fn associated(port: &Port, temporary: &Temporary) -> File<u64, u64> {
        port.associate_file(fs::File::open(&temporary.0).unwrap(), 2)
            .unwrap()
    }

    #[test]
    fn tf_1_head_file_and_tail_are_one_send() {
        if !crate::wine::obeys("tf_1_head_file_and_tail_are_one_send") {
            return;
        }
        let (port, socket, mut remote) = world();
        let temporary = Temporary::with(b"0123456789");
        let file = associated(&port, &temporary);
        let vectored = |pieces: &[&str]| {
            Buffer::Vectored(
                pieces
                    .iter()
                    .map(|piece| piece.as_bytes().to_vec())
                    .collect(),
            )
        };
        for (head, offset, length, tail, expected) in [
            (
                vectored(&["head "]),
                0,
                0,
                vectored(&[" tail"]),
                "head 0123456789 tail",
            ),
            (
                vectored(&["a", "", "b"]),
                3,
                4,
                vectored(&["c", "d"]),
                "ab3456cd",
            ),
            (vectored(&[]), 8, 0, vectored(&[]), "89"),
            // At the end and behind it there is nothing.
            (vectored(&["x"]), 10, 0, vectored(&["y"]), "xy"),
            (vectored(&[]), 11, 0, vectored(&[]), ""),
        ] {
            let operation: Op = Operation::new(head, 5);
            socket
                .send_file(operation, &file, offset, length, tail)
                .unwrap();
            let mut packet = get(&port);
            assert_eq!(ended(&packet), (5, Status::SUCCESS, expected.len()));
            assert_eq!((packet.kind, packet.key()), (Kind::SendFile, Some(&1)));
            assert!(packet.socket.is_some() && packet.file.is_none());
            assert!(matches!(packet.operation.take_tail(), Buffer::Vectored(_)));
            assert_eq!(remote.recv(expected.len()), expected.as_bytes());
        }
        nothing(&port);
    }

    /// IO-6, IO-7: among other sends it keeps its place, cold or cached, and a receiver that is
    /// slow sees all of it.
    #[test]
    fn tf_1_io_6_a_transmit_keeps_its_place() {
        if !crate::wine::obeys("tf_1_io_6_a_transmit_keeps_its_place") {
            return;
        }
        for cold in [false, true] {
            let (port, socket, mut remote) = world();
            let bytes = pattern(5_000_000);
            let temporary = Temporary::with(&bytes);
            if cold {
                temporary.cool();
            }
            let file = associated(&port, &temporary);
            let mut expected = Vec::new();
            for round in 0..4u64 {
                socket.send(text(b"before", round)).unwrap();
                socket
                    .send_file(text(b"head", round), &file, 1000 + round, 2_000_000, "tail")
                    .unwrap();
                socket.send(text(&bytes[..100_000], round)).unwrap();
                expected.extend_from_slice(b"beforehead");
                expected.extend_from_slice(&bytes[1000 + round as usize..][..2_000_000]);
                expected.extend_from_slice(b"tail");
                expected.extend_from_slice(&bytes[..100_000]);
            }
            let (packets, received) = exchange(&port, &mut remote, 12, expected.len());
            assert!(received == expected);
            let kinds = [Kind::Send, Kind::SendFile, Kind::Send];
            for (number, packet) in packets.iter().enumerate() {
                assert_eq!(packet.kind, kinds[number % 3]);
                assert_eq!(packet.status, Status::SUCCESS);
                assert_eq!(*packet.operation.user(), number as u64 / 3);
            }
            assert_eq!(packets[1].bytes, 2_000_008);
            if cold && port.stats().files.engine == "none" {
                eprintln!("NOT TESTED: a cold file; the page cache kept it");
            }
        }
    }

    /// Neither the end of the stream nor a close cuts a transmit, or what was started behind it.
    #[test]
    fn tf_1_dx_1_cx_6_the_end_follows_a_transmit() {
        for close in [false, true] {
            let (port, socket, mut remote) = world();
            let bytes = pattern(5_000_000);
            let temporary = Temporary::with(&bytes);
            let file = associated(&port, &temporary);
            socket.send_file(text(b"", 1), &file, 0, 0, "tail").unwrap();
            socket.send(text(b"behind", 2)).unwrap();
            let users = if close {
                socket.close();
                vec![1, 2]
            } else {
                socket.disconnect(room(0, 3)).unwrap();
                vec![1, 2, 3]
            };
            let reader = std::thread::spawn(move || remote.recv_to_end());
            for user in users {
                let packet = get(&port);
                assert_eq!(*packet.operation.user(), user);
                assert_eq!(packet.status, Status::SUCCESS);
            }
            let expected = [&bytes[..], b"tailbehind"].concat();
            assert!(reader.join().unwrap() == expected);
        }
    }

    /// What waits behind a transmit can be cancelled, and the end of the port takes all of it back.
    #[test]
    fn tf_1_cx_1_cx_10_what_waits_behind_a_transmit_can_be_ended() {
        let (port, socket, _remote) = world();
        let temporary = Temporary::with(&pattern(30_000_000));
        let file = associated(&port, &temporary);
        let shared: Arc<[u8]> = Arc::from(&b"shared"[..]);
        let send = |user| socket.send(Op::new(shared.clone(), user)).unwrap();
        socket.send_file(text(b"", 1), &file, 0, 0, "").unwrap();
        let first = send(2);
        send(3);
        socket.disconnect(room(0, 4)).unwrap();
        assert!(socket.cancel(first));
        let packet = get(&port);
        assert_eq!(ended(&packet), (2, Status::CANCELLED, 0));
        assert!(!socket.cancel(first), "CX-2");
        drop(packet);
        assert_eq!(Arc::strong_count(&shared), 2, "the other send is under way");
        port.close();
        assert_eq!(Arc::strong_count(&shared), 1);
    }

    /// With all file threads busy for as long as the test wants, a transmit waits for its file, and
    /// the port's only worker for nothing.
    #[cfg(target_os = "linux")]
    #[test]
    fn tf_1_a_cold_file_holds_up_no_other_socket() {
        let files = Files::new(FileEngine::Threads);
        let port = &files.port;
        let bytes = pattern(1_000_000);
        let temporary = Temporary::with(&bytes);
        let file = associated(port, &temporary);
        let blocked = Blocked::new(&files);
        let connect = |key| {
            let (endpoint, remote) = System::new().connected();
            (port.associate(endpoint, key).unwrap(), remote)
        };
        let (socket, mut remote) = connect(1);
        let (given_up, mut other_remote) = connect(2);
        temporary.cool();
        socket
            .send_file(text(b"head", 1), &file, 0, 0, "tail")
            .unwrap();
        let second = given_up.send_file(text(b"", 2), &file, 0, 0, "").unwrap();
        given_up.send(text(b"instead", 3)).unwrap();
        if port.stats().files.waiting == 2 {
            nothing(port);
            let (quick, mut quick_remote) = connect(3);
            quick.send(text(b"at once", 4)).unwrap();
            assert_eq!(ended(&get(port)), (4, Status::SUCCESS, 7));
            assert_eq!(Remote::recv(&mut quick_remote, 7), b"at once");
            // One that waits for its file can be cancelled, and what follows it goes out.
            assert!(given_up.cancel(second));
            assert_eq!(ended(&get(port)), (2, Status::CANCELLED, 0));
            assert_eq!(ended(&get(port)), (3, Status::SUCCESS, 7));
            let _ = blocked.release();
            let mut left: Vec<_> = [1, 1000, 1000, 1000, 1000].into();
            let (packets, received) = exchange(port, &mut remote, left.len(), bytes.len() + 8);
            for packet in &packets {
                let user = *packet.operation.user();
                left.remove(left.iter().position(|&one| one == user).unwrap());
                assert_eq!(packet.status.is_success(), user < 1000);
            }
            assert!(received == [b"head", &bytes[..], b"tail"].concat());
            assert_eq!(Remote::recv(&mut other_remote, 7), b"instead");
        } else {
            eprintln!("NOT TESTED: a cold file; the page cache kept it");
            let _ = blocked.release();
        }
    }

    #[test]
    fn io_7_a_file_that_is_too_short_fails_the_transmit() {
        if !crate::wine::obeys("io_7_a_file_that_is_too_short_fails_the_transmit") {
            return;
        }
        let (port, socket, mut remote) = world();
        let temporary = Temporary::with(b"0123456789");
        let file = associated(&port, &temporary);
        socket
            .send_file(text(b"head", 1), &file, 4, 7, "tail")
            .unwrap();
        assert_eq!(ended(&get(&port)), (1, Status::END_OF_FILE, 10));
        assert_eq!(remote.recv(10), b"head456789");
        // The connection lives.
        socket.send(text(b"next", 2)).unwrap();
        assert_eq!(ended(&get(&port)), (2, Status::SUCCESS, 4));
        assert_eq!(remote.recv(4), b"next");
    }

    #[test]
    fn pk_5_a_file_that_cannot_be_read_is_refused() {
        if !crate::wine::obeys("pk_5_a_file_that_cannot_be_read_is_refused") {
            return;
        }
        let (port, socket, _remote) = world();
        let temporary = Temporary::with(b"0123456789");
        let file = associated(&port, &temporary);
        let writing = fs::File::options().write(true).open(&temporary.0).unwrap();
        let writing = port.associate_file(writing, 0).unwrap();
        let refused = socket
            .send_file(text(b"", 1), &writing, 0, 0, "")
            .unwrap_err();
        assert_eq!(refused.status, Status::ACCESS_DENIED);
        let refused = socket.send_file(refused.operation, &file, u64::MAX, 1, "");
        let refused = refused.unwrap_err();
        assert_eq!(refused.status, Status::INVALID_PARAMETER);
        file.close(text(b"", 2)).unwrap();
        assert_eq!(ended(&get(&port)), (2, Status::SUCCESS, 0));
        let refused = socket
            .send_file(refused.operation, &file, 0, 0, "")
            .unwrap_err();
        assert_eq!(refused.status, Status::INVALID_HANDLE);
        nothing(&port);
    }

    #[test]
    fn cx_5_a_cancelled_transmit_says_how_much_went_out() {
        if !crate::wine::obeys("cx_5_a_cancelled_transmit_says_how_much_went_out") {
            return;
        }
        for cold in [false, true] {
            let (port, socket, mut remote) = world();
            let bytes = pattern(30_000_000);
            let temporary = Temporary::with(&bytes);
            if cold {
                temporary.cool();
            }
            let file = associated(&port, &temporary);
            let started = socket.send_file(text(b"", 1), &file, 0, 0, "tail").unwrap();
            nothing(&port);
            assert!(socket.cancel(started));
            let packet = get(&port);
            assert_eq!(packet.status, Status::CANCELLED);
            assert!(packet.bytes < bytes.len());
            let went_out = packet.bytes;
            drop(packet);
            socket.close();
            drop(socket);
            assert!(remote.recv_to_end() == bytes[..went_out]);
        }
    }

    #[test]
    fn cx_6_closing_lets_a_started_transmit_out() {
        if !crate::wine::obeys("cx_6_closing_lets_a_started_transmit_out") {
            return;
        }
        let (port, socket, mut remote) = world();
        let bytes = pattern(6_000_000);
        let temporary = Temporary::with(&bytes);
        temporary.cool();
        let file = associated(&port, &temporary);
        socket.send_file(text(b"", 1), &file, 0, 0, "").unwrap();
        drop(file);
        socket.close();
        drop(socket);
        let (packets, received) = exchange(&port, &mut remote, 1, bytes.len());
        assert_eq!(ended(&packets[0]), (1, Status::SUCCESS, bytes.len()));
        assert!(received == bytes);
        drop(packets);
        assert!(!temporary.is_open());
    }

    /// Sending a file to a peer that has gone is an error, and no signal (SIGPIPE).
    #[cfg(target_os = "linux")]
    #[test]
    fn a_gone_peer_is_an_error() {
        in_a_child("io_files::transmit::child_that_sends_to_a_gone_peer");
    }

    #[cfg(target_os = "linux")]
    #[test]
    #[ignore = "needs SIGPIPE's default; run by the test above"]
    fn child_that_sends_to_a_gone_peer() {
        // SAFETY: sets no handler; std has set the signal to be ignored.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (port, socket, remote) = world();
        let temporary = Temporary::with(&pattern(100_000));
        let file = associated(&port, &temporary);
        remote.reset();
        let mut statuses = Vec::new();
        for _ in 0..1000 {
            match socket.send_file(text(b"", 0), &file, 0, 0, "") {
                Ok(_) => statuses.push(get(&port).status),
                Err(refused) => {
                    statuses.push(refused.status);
                    break;
                }
            }
        }
        assert_eq!(statuses.last(), Some(&Status::CONNECTION_RESET));
    }

    #[test]
    fn cx_10_the_end_of_the_port_drops_a_transmit() {
        if !crate::wine::obeys("cx_10_the_end_of_the_port_drops_a_transmit") {
            return;
        }
        let (port, socket, _remote) = world();
        let temporary = Temporary::with(&pattern(20_000_000));
        for _ in 0..3 {
            let file = associated(&port, &temporary);
            socket.send_file(text(b"", 1), &file, 0, 0, "").unwrap();
        }
        assert!(temporary.is_open());
        port.close();
        until("the file is closed", || !temporary.is_open());
        drop(socket);
    }
}

/// What a test wrote is what `std` reads, at any place.
#[test]
fn writes_are_seen_by_everybody_else() {
    let files = Files::new(FileEngine::Auto);
    let temporary = Temporary::with(b"");
    let file = files.open(&temporary.0);
    file.write_at(text(b"seen", 0), 100).unwrap();
    assert_eq!(get(&files.port).bytes, 4);
    let mut std = fs::File::options()
        .read(true)
        .write(true)
        .open(&temporary.0)
        .unwrap();
    let mut seen = [0; 4];
    std.seek(SeekFrom::Start(100)).unwrap();
    std.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"seen");
    std.rewind().unwrap();
    std.write_all(b"back").unwrap();
    file.read_at(room(4, 0), 0).unwrap();
    assert_eq!(get(&files.port).operation.bytes(), b"back");
}
