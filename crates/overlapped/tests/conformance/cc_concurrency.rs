//! Chapter 3: the concurrency value and the order of the waiting threads.
//!
//! Each worker is a thread that does what it is told, so that who waits and who is active is known
//! at every step. A worker that has nothing to do is out, for all that the port knows here; what it
//! knows of blocked threads is in `cc_blocked.rs`.

use std::sync::mpsc::channel;
use std::time::Duration;

use overlapped::{CompletionPort, GetError, Notice, WakePolicy};

use crate::worker::Worker;
use crate::world::{Port, System, WATCHDOG, World, text, until};

fn port(concurrency: usize, policy: WakePolicy) -> Port {
    System::for_several_threads().build(
        CompletionPort::builder()
            .concurrency(concurrency)
            .wake_policy(policy)
            .notice_blocked(Notice::Nothing)
            .rescue_after(None),
    )
}

fn post(port: &Port, user: u64) {
    port.post(text(b"", user), 0).unwrap();
}

/// If the engine tells: the Windows kernel does not.
fn assert_active(port: &Port, active: usize) {
    if let Some(queue) = port.stats().queue {
        assert_eq!(queue.active, active);
    }
}

/// How many sleepers have been woken, likewise.
fn wakes(port: &Port) -> Option<u64> {
    port.stats().queue.map(|queue| queue.wakes)
}

const POLICIES: [WakePolicy; 2] = [WakePolicy::Windows, WakePolicy::Economy];

#[test]
fn cc_2_waiting_threads_are_released_last_in_first_out() {
    if !crate::wine::obeys("cc_2_waiting_threads_are_released_last_in_first_out") {
        return;
    }
    for policy in POLICIES {
        let port = port(4, policy);
        let workers: Vec<_> = (0..4).map(|_| Worker::new(&port)).collect();
        for worker in &workers {
            worker.wait();
        }
        for user in 0..4 {
            post(&port, user);
        }
        let got: Vec<u64> = workers.iter().map(Worker::packet).collect();
        assert_eq!(got, [3, 2, 1, 0], "under {policy:?}");
    }
}

#[test]
fn cc_4_a_thread_counts_however_its_call_returned() {
    if !crate::wine::obeys("cc_4_a_thread_counts_however_its_call_returned") {
        return;
    }
    for policy in POLICIES {
        let port = port(1, policy);
        let (a, b) = (Worker::new(&port), Worker::new(&port));
        a.get(Duration::ZERO);
        assert!(matches!(a.got(), Err(GetError::TimedOut)));
        assert_active(&port, 1);
        b.wait();
        post(&port, 1);
        // At the limit: the packet stays although b waits.
        assert_eq!((port.stats().queued, port.stats().waiting), (1, 1));
        a.exit();
        assert_eq!(b.packet(), 1);
    }
}

#[test]
fn cc_5_a_thread_that_loops_takes_packet_after_packet() {
    if !crate::wine::obeys("cc_5_a_thread_that_loops_takes_packet_after_packet") {
        return;
    }
    for policy in POLICIES {
        let port = port(1, policy);
        let (a, b) = (Worker::new(&port), Worker::new(&port));
        b.wait();
        a.wait();
        let woken = wakes(&port);
        for user in 0..50 {
            post(&port, user);
        }
        for user in 0..50 {
            assert_eq!(a.packet(), user);
            if user < 49 {
                a.get(WATCHDOG);
            }
        }
        // b slept all the time.
        assert_eq!(port.stats().waiting, 1);
        let once_more = woken.map(|count| count + 1);
        assert_eq!(wakes(&port), once_more, "under {policy:?}");
        a.exit();
        post(&port, 99);
        assert_eq!(b.packet(), 99);
    }
}

#[test]
fn cc_6_at_the_limit_a_poll_times_out_although_packets_are_queued() {
    if !crate::wine::obeys("cc_6_at_the_limit_a_poll_times_out_although_packets_are_queued") {
        return;
    }
    for policy in POLICIES {
        let port = port(1, policy);
        let (a, b) = (Worker::new(&port), Worker::new(&port));
        post(&port, 1);
        post(&port, 2);
        a.get(WATCHDOG);
        assert_eq!(a.packet(), 1);
        b.get(Duration::ZERO);
        assert!(matches!(b.got(), Err(GetError::TimedOut)));
        assert_eq!(port.stats().queued, 1);
        // Both are active now; when one comes for more it is still at the limit.
        a.exit();
        b.get(WATCHDOG);
        assert_eq!(b.packet(), 2);
    }
}

#[test]
fn cc_7_an_insert_below_the_limit_goes_straight_to_a_waiter() {
    if !crate::wine::obeys("cc_7_an_insert_below_the_limit_goes_straight_to_a_waiter") {
        return;
    }
    for policy in POLICIES {
        let port = port(1, policy);
        let (a, b) = (Worker::new(&port), Worker::new(&port));
        a.wait();
        b.wait();
        let woken = wakes(&port);
        post(&port, 1);
        post(&port, 2);
        assert_eq!(b.packet(), 1);
        let stats = port.stats();
        assert_eq!(stats.queued, 1, "under {policy:?}");
        if let Some(queue) = stats.queue {
            assert_eq!(Some(queue.wakes), woken.map(|count| count + 1));
            assert_eq!((queue.active, queue.handed_over), (1, 1));
        }
        b.exit();
        assert_eq!(a.packet(), 2);
    }
}

#[test]
fn cc_8_cc_9_a_blocking_worker_is_replaced_and_counts_again() {
    if !crate::wine::obeys("cc_8_cc_9_a_blocking_worker_is_replaced_and_counts_again") {
        return;
    }
    for policy in POLICIES {
        let port = port(1, policy);
        let (a, b) = (Worker::new(&port), Worker::new(&port));
        b.wait();
        a.wait();
        post(&port, 1);
        assert_eq!(a.packet(), 1);
        post(&port, 2);
        assert_eq!(port.stats().queued, 1);
        let (unblock, blocked) = channel::<()>();
        a.run(move |port| port.blocking(|| blocked.recv().unwrap()));
        assert_eq!(b.packet(), 2);
        assert_active(&port, 1);
        unblock.send(()).unwrap();
        until("both count", || {
            port.stats().queue.is_none_or(|queue| queue.active == 2)
        });
        #[cfg(windows)]
        std::thread::sleep(Duration::from_millis(20));
        // Above the limit nobody is released: b comes back and waits although a packet is there.
        post(&port, 3);
        b.get(Duration::ZERO);
        assert!(matches!(b.got(), Err(GetError::TimedOut)));
        a.exit();
        b.get(WATCHDOG);
        assert_eq!(b.packet(), 3);
    }
}

/// All that can be seen of this are counts.
#[cfg(target_os = "linux")]
#[test]
fn cc_9_the_place_comes_back_after_a_panic() {
    let port = port(1, WakePolicy::Economy);
    let a = Worker::new(&port);
    a.get(Duration::ZERO);
    assert!(a.got().is_err());
    a.run(|port| {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            port.blocking(|| std::panic::resume_unwind(Box::new("a handler's panic")));
        }));
        assert!(result.is_err());
    });
    until("it counts", || crate::world::counts(&port).active == 1);
    a.exit();
    assert_eq!(crate::world::counts(&port).bound, 0);
}

#[test]
fn cc_10_leaving_for_another_port_releases_a_waiter() {
    if !crate::wine::obeys("cc_10_leaving_for_another_port_releases_a_waiter") {
        return;
    }
    for policy in POLICIES {
        let (port, other) = (port(1, policy), port(1, policy));
        let (a, b) = (Worker::new(&port), Worker::new(&port));
        b.wait();
        a.wait();
        post(&port, 1);
        assert_eq!(a.packet(), 1);
        post(&port, 2);
        assert_eq!(port.stats().queued, 1);
        let elsewhere = other.clone();
        a.run(move |_| assert!(elsewhere.poll().is_err()));
        assert_eq!(b.packet(), 2);
        until("it is bound there", || {
            other.stats().queue.is_none_or(|queue| queue.bound == 1)
        });
        a.exit();
        let left = other.stats().queue;
        assert!(left.is_none_or(|queue| queue.bound == 0));
    }
}

#[test]
fn cc_11_a_timed_out_wait_consumes_nothing() {
    for policy in POLICIES {
        let port = port(8, policy);
        let workers: Vec<_> = (0..4).map(|_| Worker::new(&port)).collect();
        let mut received = Vec::new();
        let mut timed_out = 0;
        for round in 0..300 {
            for worker in &workers {
                worker.get(Duration::from_micros(50 * (round % 5)));
            }
            post(&port, round);
            for worker in &workers {
                match worker.got() {
                    Ok(user) => received.push(user),
                    Err(GetError::TimedOut) => timed_out += 1,
                    Err(other) => panic!("{other}"),
                }
            }
        }
        let port_for_rest = port.clone();
        for worker in workers {
            worker.exit();
        }
        while let Ok(packet) = port_for_rest.poll() {
            received.push(*packet.operation.user());
        }
        received.sort_unstable();
        assert_eq!(received, (0..300).collect::<Vec<_>>(), "under {policy:?}");
        assert!(timed_out > 0, "the race was never run");
    }
}

#[test]
fn cc_12_a_batch_counts_as_one() {
    let port = port(2, WakePolicy::Windows);
    for user in 0..8 {
        post(&port, user);
    }
    let a = Worker::new(&port);
    let (report, taken) = channel();
    a.run(move |port| {
        let mut packets = Vec::new();
        report
            .send(port.get_many(&mut packets, 8, None).unwrap())
            .unwrap();
    });
    assert_eq!(taken.recv_timeout(WATCHDOG).unwrap(), 8);
    assert_active(&port, 1);
}

/// The rescue is a substitute for what the Windows kernel does by itself.
#[cfg(target_os = "linux")]
#[test]
fn a_worker_that_never_comes_back_is_rescued() {
    for policy in POLICIES {
        let port = System::for_several_threads().build(
            CompletionPort::builder()
                .concurrency(1)
                .wake_policy(policy)
                .notice_blocked(Notice::Nothing)
                .rescue_after(Some(Duration::from_millis(1))),
        );
        let (a, b) = (Worker::new(&port), Worker::new(&port));
        b.wait();
        a.wait();
        post(&port, 1);
        assert_eq!(a.packet(), 1);
        // a stays away, without a word.
        post(&port, 2);
        assert_eq!(b.packet(), 2);
        assert!(crate::world::counts(&port).rescues >= 1);
        // When it comes back it is a worker like any other.
        a.get(WATCHDOG);
        b.exit();
        post(&port, 3);
        assert_eq!(a.packet(), 3);
    }
}

#[test]
fn a_computing_worker_strands_nobody() {
    if !crate::wine::obeys("a_computing_worker_strands_nobody") {
        return;
    }
    // Under economy, b waits without being told: it looks by itself.
    let port = System::for_several_threads().build(CompletionPort::builder().concurrency(2));
    let (a, b) = (Worker::new(&port), Worker::new(&port));
    a.wait();
    b.wait();
    post(&port, 1);
    assert_eq!(b.packet(), 1);
    b.run(|port| {
        // Posts to itself and then computes until somebody has taken it.
        post(port, 2);
        until("another worker took it", || port.stats().queued == 0);
    });
    assert_eq!(a.packet(), 2);
}
