//! The feature `tracing`: what a subscriber is told.
#![cfg(feature = "tracing")]

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use overlapped::{CompletionPort, GetError, Operation, PanicPolicy};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

const WATCHDOG: Duration = Duration::from_secs(60);

/// Everything that was told: the level, and fields as text.
static TOLD: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());

struct Listener;

#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!("{}={value:?};", field.name()));
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "overlapped"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        panic!("there are events only");
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        TOLD.lock().unwrap().push((level, fields.0));
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Events come from all threads, so there is one listener for all tests.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Listener).unwrap());
}

/// What was told with this in it, in order.
fn told(parts: &[&str]) -> Vec<(Level, String)> {
    let told = TOLD.lock().unwrap();
    let fits = |text: &str| parts.iter().all(|part| text.contains(part));
    told.iter()
        .filter(|(_, text)| fits(text))
        .cloned()
        .collect()
}

/// Until the other end is dropped.
fn wait(waits: &Mutex<Receiver<()>>) {
    let _ = waits.lock().unwrap().recv();
}

fn until_told(level: Level, parts: &[&str]) -> String {
    let began = Instant::now();
    loop {
        if let Some((_, text)) = told(parts).into_iter().find(|&(of, _)| of == level) {
            return text;
        }
        assert!(began.elapsed() < WATCHDOG, "never told: {level} {parts:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The part that all events of the port have which was made with this concurrency value.
fn port_with(concurrency: usize) -> String {
    let text = until_told(
        Level::INFO,
        &[
            "completion port made",
            &format!("concurrency={concurrency};"),
        ],
    );
    let fields = text.split(';');
    let number = fields
        .map(str::to_owned)
        .find(|part| part.starts_with("port="));
    format!("{};", number.expect("a port's number"))
}

#[test]
fn a_port_is_told_of_when_it_is_made_and_once_when_it_is_closed() {
    listen();
    let port: CompletionPort<(), ()> = CompletionPort::new(1001).unwrap();
    let number = port_with(1001);
    let stats = port.stats();
    let made = told(&["completion port made", &number]);
    assert_eq!(made.len(), 1);
    for part in [
        format!("engine={:?};", stats.engine),
        format!("engine_reason={:?};", stats.engine_reason),
        format!("notice={:?};", stats.notice),
    ] {
        assert!(made[0].1.contains(&part), "{part}: {made:?}");
    }
    assert_eq!(told(&["completion port closed", &number]), []);
    port.close();
    port.close();
    drop(port);
    let closed = told(&["completion port closed", &number]);
    assert_eq!(closed.len(), 1);
    assert_eq!(closed[0].0, Level::INFO);
}

/// A subscriber is the user's code.
#[test]
fn cx_9_a_port_ends_also_if_the_subscriber_panics() {
    struct Panics;

    impl Subscriber for Panics {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            panic!("there are events only");
        }
        fn event(&self, _: &Event<'_>) {
            panic!("as the test wants it");
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    let port: CompletionPort<(), ()> = CompletionPort::new(1).unwrap();
    let (ended, end) = channel();
    let waits = port.clone();
    std::thread::spawn(move || ended.send(waits.get().map(drop)).unwrap());
    let began = Instant::now();
    while port.stats().waiting == 0 {
        assert!(began.elapsed() < WATCHDOG, "nobody waits");
        std::thread::sleep(Duration::from_millis(1));
    }
    let close = || tracing::subscriber::with_default(Panics, || port.close());
    assert!(catch_unwind(AssertUnwindSafe(close)).is_err());
    let got = end.recv_timeout(WATCHDOG).expect("the wait must end");
    assert!(matches!(got, Err(GetError::Closed)));
}

#[cfg(target_os = "linux")]
#[test]
fn a_port_that_falls_back_says_why() {
    use overlapped::Engine;

    listen();
    let port: CompletionPort<(), ()> = CompletionPort::builder()
        .concurrency(1002)
        .engine(Engine::UringOrEpoll)
        .build()
        .unwrap();
    let fell_back = told(&["no io_uring", &port_with(1002)]);
    match port.stats().engine {
        "io_uring" => assert_eq!(fell_back, []),
        _ => assert_eq!(fell_back[0].0, Level::WARN),
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_that_blocks_or_computes_is_a_warning() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    listen();
    let port: CompletionPort<(), bool> = CompletionPort::new(1003).unwrap();
    let number = port_with(1003);
    let (let_go, waits) = channel::<()>();
    let waits = Mutex::new(waits);
    let computing = Arc::new(AtomicBool::new(true));
    let goes_on = computing.clone();
    let workers = port
        .workers(move |packet, _| match packet.operation.into_parts().1 {
            true => {
                while goes_on.load(SeqCst) {
                    std::hint::spin_loop();
                }
            }
            false => wait(&waits),
        })
        .min(2)
        .max(3)
        .name("far")
        .away_after(Some(Duration::from_millis(10)))
        .start()
        .unwrap();
    port.post(Operation::new("", true), 0).unwrap();
    port.post(Operation::new("", false), 0).unwrap();
    until_told(
        Level::WARN,
        &["has computed for", "doing=computing;", &number],
    );
    let text = until_told(Level::WARN, &["has blocked in futex for", &number]);
    for part in ["worker=\"far ", "thread=", "seconds=", "call=futex;"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    computing.store(false, SeqCst);
    drop(let_go);
    port.close();
    workers.join().unwrap();
}

#[test]
fn a_pool_tells_of_its_threads() {
    listen();
    let port: CompletionPort<(), bool> = CompletionPort::new(1004).unwrap();
    let number = port_with(1004);
    let (let_go, waits) = channel::<()>();
    let waits = Mutex::new(waits);
    let workers = port
        .workers(move |packet, port: &CompletionPort<(), bool>| {
            assert!(packet.operation.into_parts().1, "on purpose");
            port.blocking(|| wait(&waits));
        })
        .min(1)
        .max(2)
        .keep_alive(Duration::from_millis(5))
        .on_panic(PanicPolicy::Replace)
        .start()
        .unwrap();
    until_told(Level::DEBUG, &["worker started", "threads=1;", &number]);
    port.post(Operation::new("", true), 0).unwrap();
    until_told(Level::DEBUG, &["worker started", "threads=2;", &number]);
    drop(let_go);
    until_told(Level::DEBUG, &["it was not needed", "threads=1;", &number]);
    port.post(Operation::new("", false), 0).unwrap();
    until_told(Level::ERROR, &["a handler has panicked", &number]);
    port.close();
    assert_eq!(workers.join().unwrap_err().panics(), 1);
}

/// Where nothing is known of threads.
#[cfg(target_os = "linux")]
#[test]
fn workers_that_were_presumed_blocked_are_counted_now_and_then() {
    use overlapped::Notice;

    listen();
    let port: CompletionPort<(), ()> = CompletionPort::builder()
        .concurrency(1)
        .notice_blocked(Notice::Nothing)
        .rescue_after(Some(Duration::from_millis(1)))
        .build()
        .unwrap();
    let (let_go, waits) = channel::<()>();
    let waits = Mutex::new(waits);
    let workers = port
        .workers(move |_, _| wait(&waits))
        .away_after(Some(Duration::from_millis(10)))
        .start()
        .unwrap();
    port.post(Operation::new("", ()), 0).unwrap();
    port.post(Operation::new("", ()), 0).unwrap();
    until_told(Level::DEBUG, &["presumed blocked", "times="]);
    assert!(port.stats().queue.is_some_and(|queue| queue.rescues > 0));
    drop(let_go);
    port.close();
    workers.join().unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn files_that_threads_perform_are_told_of() {
    use overlapped::{FileEngine, OpenOptions};

    listen();
    let port: CompletionPort<(), ()> = CompletionPort::builder()
        .concurrency(1006)
        .files(FileEngine::Threads)
        .build()
        .unwrap();
    let number = port_with(1006);
    assert_eq!(told(&["performed by threads", &number]), []);
    let options = OpenOptions::new().read(true);
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    port.open(Operation::new("", ()), &options, manifest, ())
        .unwrap();
    port.get().unwrap().result().unwrap();
    until_told(Level::INFO, &["performed by threads", "made so", &number]);
}
