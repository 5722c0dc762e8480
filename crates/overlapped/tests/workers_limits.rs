//! A pool that cannot get another thread. A program of its own, because the limit is the process's.
#![cfg(target_os = "linux")]

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use overlapped::{CompletionPort, Operation};

const WATCHDOG: Duration = Duration::from_secs(60);

/// So much that one more is above the limit, and all else that the process needs below.
const STACK: usize = 512 << 20;

fn limit_memory(bytes: libc::rlim_t) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the structure lives for the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}

fn memory() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn a_pool_without_memory_for_another_thread_stays_as_it_is_and_grows_when_there_is_some() {
    let port: CompletionPort<(), bool> = CompletionPort::new(1).unwrap();
    let (here, told) = channel();
    let (let_go, door) = channel::<()>();
    let door = Arc::new(std::sync::Mutex::new(door));
    let workers = port
        .workers(move |packet, port| {
            here.send(*packet.operation.user()).unwrap();
            if *packet.operation.user() {
                // Until it is let go.
                port.blocking(|| door.lock().unwrap().recv().unwrap());
            }
        })
        .min(1)
        .max(4)
        .stack_size(STACK)
        .start()
        .unwrap();
    limit_memory(memory() + (STACK / 2) as u64);
    port.post(Operation::new("", true), 0).unwrap();
    port.post(Operation::new("", false), 0).unwrap();
    assert!(told.recv_timeout(WATCHDOG).unwrap());
    let began = Instant::now();
    while workers.stats().failures < 3 {
        assert!(began.elapsed() < WATCHDOG, "{:?}", workers.stats());
        std::thread::sleep(Duration::from_millis(1));
    }
    let stats = workers.stats();
    assert_eq!((stats.threads, stats.started), (1, 1), "{stats:?}");
    assert!(told.try_recv().is_err(), "nobody was there to take it");
    limit_memory(libc::RLIM_INFINITY);
    assert!(!told.recv_timeout(WATCHDOG).unwrap());
    let_go.send(()).unwrap();
    port.close();
    workers.join().unwrap();
}
