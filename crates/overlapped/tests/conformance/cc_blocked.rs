//! Chapter 3: workers that block without saying so (CC-8, CC-9, CC-13), with each means of noticing
//! them that the system allows.
//!
//! A worker here blocks only where a test tells it to: while it has nothing to do it runs.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{TryRecvError, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use overlapped::{CompletionPort, GetError, Notice, WakePolicy};

use crate::worker::Worker;
use crate::world::{Port, System, WATCHDOG, World, counts, text, until};

/// With each means and under each policy.
fn each(concurrency: usize, test: impl Fn(&Port)) {
    for notice in [Notice::PerfEvents, Notice::ThreadStates] {
        for policy in [WakePolicy::Windows, WakePolicy::Economy] {
            let builder = CompletionPort::builder()
                .concurrency(concurrency)
                .wake_policy(policy)
                .notice_blocked(notice);
            match builder.build() {
                Ok(port) => test(&port),
                Err(error) => eprintln!("{notice:?} is not tested here: {error}"),
            }
        }
    }
}

fn post(port: &Port, user: u64) {
    port.post(text(b"", user), 0).unwrap();
}

/// What a worker waits for.
struct Gate {
    open: AtomicBool,
    locked: Mutex<bool>,
    changed: Condvar,
    reader: PipeReader,
    writer: PipeWriter,
}

impl Gate {
    fn new() -> Arc<Self> {
        let (reader, writer) = pipe().unwrap();
        Arc::new(Gate {
            open: AtomicBool::new(false),
            locked: Mutex::new(false),
            changed: Condvar::new(),
            reader,
            writer,
        })
    }

    fn open(&self) {
        self.open.store(true, SeqCst);
        (&self.writer).write_all(b"x").unwrap();
    }
}

/// A way to block until the gate is open. While it is shut its lock is held.
type Way = (&'static str, fn(&Gate));

const WAYS: [Way; 5] = [
    ("sleep", |gate| {
        while !gate.open.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }),
    ("mutex", |gate| drop(gate.locked.lock().unwrap())),
    ("condition", |gate| {
        let locked = gate.locked.lock().unwrap();
        let is_shut = |_: &mut bool| !gate.open.load(SeqCst);
        drop(gate.changed.wait_while(locked, is_shut).unwrap());
    }),
    ("read", |gate| {
        (&gate.reader).read_exact(&mut [0]).unwrap();
    }),
    ("poll", |gate| {
        let mut fds = [libc::pollfd {
            fd: gate.reader.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        }];
        let milliseconds = WATCHDOG.as_millis() as libc::c_int;
        // SAFETY: one entry, as said.
        let ready = unsafe { libc::poll(fds.as_mut_ptr(), 1, milliseconds) };
        assert_eq!(ready, 1, "interrupted: {}", std::io::Error::last_os_error());
    }),
];

/// Nobody but b can take the second packet, and only if a's place is given away.
#[test]
fn cc_8_cc_9_a_worker_that_blocks_in_whatever_is_replaced_and_counts_again() {
    each(1, |port| {
        for (name, block) in WAYS {
            let (a, b, c) = (
                Worker::computing(port),
                Worker::computing(port),
                Worker::computing(port),
            );
            b.wait();
            a.wait();
            post(port, 1);
            assert_eq!(a.packet(), 1);
            let noticed = counts(port).noticed;
            let gate = Gate::new();
            let shut = (name == "mutex").then(|| gate.locked.lock().unwrap());
            let its = gate.clone();
            let (say, back) = channel();
            a.run(move |_| {
                block(&its);
                say.send(()).unwrap();
            });
            post(port, 2);
            assert_eq!(b.packet(), 2, "{name}");
            let stats = counts(port);
            assert_eq!(stats.rescues, 0);
            assert!(stats.noticed > noticed, "{name}: {stats:?}");

            gate.open();
            drop(shut);
            gate.changed.notify_all();
            back.recv_timeout(WATCHDOG).unwrap();
            // Both run, which is seen when somebody asks; c counts because its poll has returned.
            until("all three count", || {
                c.get(Duration::ZERO);
                assert!(matches!(c.got(), Err(GetError::TimedOut)));
                counts(port).active == 3
            });
            let stats = counts(port);
            assert_eq!((stats.blocked, stats.overshoot), (0, 2), "{name}");
            // Above the limit nobody is released.
            post(port, 3);
            c.get(Duration::ZERO);
            assert!(matches!(c.got(), Err(GetError::TimedOut)));
            a.exit();
            b.exit();
            c.get(WATCHDOG);
            assert_eq!(c.packet(), 3);
            c.exit();
            assert_eq!(counts(port).active, 0);
        }
    });
}

/// Sharing a processor, yielding and computing are no blocks, however long somebody has been watching.
#[test]
fn cc_9_a_worker_that_runs_or_could_run_keeps_its_place() {
    each(1, |port| {
        let others = AtomicBool::new(true);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while others.load(SeqCst) {
                        std::hint::spin_loop();
                    }
                });
            }
            for yields in [true, false] {
                let (a, b) = (Worker::computing(port), Worker::computing(port));
                b.wait();
                a.wait();
                post(port, 1);
                assert_eq!(a.packet(), 1);
                let noticed = counts(port).noticed;
                let (stop, stopped) = channel::<()>();
                a.run(move |_| {
                    while stopped.try_recv() == Err(TryRecvError::Empty) {
                        if yields {
                            std::thread::yield_now();
                        }
                    }
                });
                post(port, 2);
                let looks = counts(port).looks;
                until("the watcher has looked", || {
                    counts(port).looks >= looks + 30
                });
                let stats = counts(port);
                assert_eq!((stats.queued, stats.waiting), (1, 1), "{stats:?}");
                assert_eq!((stats.noticed, stats.rescues), (noticed, 0));
                drop(stop);
                a.exit();
                assert_eq!(b.packet(), 2);
                b.exit();
            }
            others.store(false, SeqCst);
        });
    });
}

/// One that computes has its place and no more: there is another.
#[test]
fn a_computing_worker_leaves_the_other_place_to_others() {
    each(2, |port| {
        let (a, b) = (Worker::computing(port), Worker::computing(port));
        a.wait();
        b.wait();
        post(port, 1);
        assert_eq!(b.packet(), 1);
        // What it leaves in the queue, and what finishes while nobody may be in the engine.
        b.run(|port| {
            post(port, 2);
            while port.stats().queued > 0 {
                std::hint::spin_loop();
            }
        });
        assert_eq!(a.packet(), 2);
        a.wait();
        port.timer(text(b"", 3), Duration::from_millis(1)).unwrap();
        assert_eq!(a.packet(), 3);
        assert_eq!(counts(port).noticed, 0);
        a.exit();
        b.exit();
    });
}

/// Nobody waits in the engine when the only worker blocks, and no packet is queued either.
#[test]
fn cc_8_what_finishes_while_the_worker_blocks_is_found() {
    each(1, |port| {
        let (a, b) = (Worker::computing(port), Worker::computing(port));
        b.wait();
        a.wait();
        post(port, 1);
        assert_eq!(a.packet(), 1);
        port.timer(text(b"", 2), Duration::from_millis(5)).unwrap();
        let gate = Gate::new();
        let its = gate.clone();
        a.run(move |_| (&its.reader).read_exact(&mut [0]).unwrap());
        assert_eq!(b.packet(), 2);
        gate.open();
        a.exit();
        b.exit();
    });
}

/// How often the calling thread has waited: by the system's account, so also where it did not mean to.
fn waits_of_this_thread() -> i64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the structure is filled; of zeroes it is one already.
    unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()), 0);
        usage.assume_init().ru_nvcsw
    }
}

/// At every start of a handler those that have not blocked yet are no more than the value allows;
/// all others have come back from a block. A page that is not there yet, or a lock of a sanitizer's, may be one.
#[test]
fn cc_13_who_has_not_blocked_is_within_the_limit() {
    const LIMIT: usize = 2;
    const PACKETS: u64 = 300;
    each(LIMIT, |port| {
        let fresh = Mutex::new(Vec::new());
        let got = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    while let Ok(packet) = port.get() {
                        let (began, waits) = (Instant::now(), waits_of_this_thread());
                        let user = *packet.operation.user();
                        (0..2000).for_each(|_| std::hint::spin_loop());
                        let has_blocked = waits_of_this_thread() > waits;
                        let ended = Instant::now();
                        if user % 5 == 0 {
                            std::thread::sleep(Duration::from_millis(user % 4));
                        }
                        if !has_blocked {
                            fresh.lock().unwrap().push((began, ended));
                        }
                        let mut got = got.lock().unwrap();
                        got.push(user);
                        if got.len() as u64 == PACKETS {
                            port.close();
                        }
                    }
                });
            }
            (0..PACKETS).for_each(|user| post(port, user));
        });
        let fresh = fresh.into_inner().unwrap();
        assert!(fresh.len() > PACKETS as usize / 2, "{}", fresh.len());
        for (start, _) in &fresh {
            let at_once = |(began, ended): &&(Instant, Instant)| began <= start && start < ended;
            let at_once = fresh.iter().filter(at_once).count();
            assert!(at_once <= LIMIT, "{at_once}: {:?}", port.stats());
        }
        let mut got = got.into_inner().unwrap();
        got.sort_unstable();
        assert_eq!(got, (0..PACKETS).collect::<Vec<_>>());
    });
}

#[test]
fn the_means_and_its_reason_can_be_asked_for() {
    let named = |notice| {
        CompletionPort::<u64, u64>::builder()
            .notice_blocked(notice)
            .build()
            .map(|port| port.stats().notice)
    };
    assert_eq!(named(Notice::Nothing).unwrap(), "nothing");
    for (notice, name) in [
        (Notice::PerfEvents, "perf events"),
        (Notice::ThreadStates, "thread states"),
    ] {
        match named(notice) {
            Ok(is) => assert_eq!(is, name),
            Err(error) => assert!(error.to_string().starts_with(name), "{error}"),
        }
    }
    let best = [Notice::PerfEvents, Notice::ThreadStates, Notice::Nothing]
        .into_iter()
        .find_map(|notice| named(notice).ok());
    assert_eq!(named(Notice::Auto).ok(), best);
    assert!("by magic".parse::<Notice>().is_err());
    assert_eq!("perf-events".parse::<Notice>().unwrap(), Notice::PerfEvents);
}

/// Without a means there is the rescue, and it is for those of whom nothing is known only.
#[test]
fn a_worker_that_computes_is_rescued_only_where_nothing_is_known() {
    for (notice, rescues) in [(Notice::Nothing, true), (Notice::ThreadStates, false)] {
        let builder = CompletionPort::builder()
            .concurrency(1)
            .notice_blocked(notice)
            .rescue_after(Some(Duration::from_millis(1)));
        let port = System::for_several_threads().build(builder);
        let (a, b) = (Worker::computing(&port), Worker::computing(&port));
        b.wait();
        a.wait();
        post(&port, 1);
        assert_eq!(a.packet(), 1);
        post(&port, 2);
        if rescues {
            assert_eq!(b.packet(), 2);
            assert_eq!(counts(&port).rescues, 1);
        } else {
            let looks = counts(&port).looks;
            until("the watcher has looked", || {
                counts(&port).looks >= looks + 10
            });
            assert_eq!(port.stats().queued, 1);
        }
        a.exit();
        b.exit();
    }
}
