//! What a started operation needs of others, and what others can do to it: nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
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
    KEEPING.store(true, SeqCst);
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
    KEEPING.store(false, SeqCst);
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
    // The one operation.
    assert_eq!(ALLOCATIONS.get() - before, 2);
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
