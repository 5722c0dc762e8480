//! A worker that stands by: while few packets come, the leader's departures set an alarm instead of
//! waking somebody to watch; and where there are no descriptors left for one, all goes as without.
//!
//! One test, since the limit of descriptors is the process's.
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use overlapped::{CompletionPort, Operation};

type Port = CompletionPort<(), ()>;

const WATCHDOG: Duration = Duration::from_secs(60);

/// Three workers and a packet now and then, until this says that it is enough.
fn trickle(prepare: impl Fn() + Sync, is_enough: impl Fn(&Port, u64) -> bool) {
    let port: Port = CompletionPort::builder().concurrency(2).build().unwrap();
    port.interval(Operation::new("", ()), Duration::from_millis(7))
        .unwrap();
    let (prepared, packets) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Ok(packet) = port.get() {
                    packets.fetch_add(1, SeqCst);
                    port.interval(packet.operation, Duration::from_millis(7))
                        .unwrap();
                    // All are bound, and have what descriptors that takes.
                    if port.stats().waiting == 2 && !prepared.swap(true, SeqCst) {
                        prepare();
                        packets.store(0, SeqCst);
                    }
                }
            });
        }
        while !(prepared.load(SeqCst) && is_enough(&port, packets.load(SeqCst))) {
            assert!(began.elapsed() < WATCHDOG, "{:?}", port.stats());
            std::thread::sleep(Duration::from_millis(1));
        }
        port.close();
    });
}

fn alarms(port: &Port) -> u64 {
    port.stats().queue.expect("Linux has one").alarms
}

fn limit_descriptors(soft: Option<libc::rlim_t>) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointers are to a valid structure.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = soft.unwrap_or(limit.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
}

#[test]
fn while_few_packets_come_an_alarm_is_set_if_there_is_one() {
    let without = |port: &Port, packets| {
        assert_eq!(alarms(port), 0, "there were no descriptors left");
        packets > 20
    };
    trickle(|| limit_descriptors(Some(0)), without);
    limit_descriptors(None);
    trickle(|| {}, |port, packets| packets > 20 && alarms(port) > 3);
}
