//! What all scenarios share: the seeds, and a port whose packets are counted.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use overlapped::sim::{Counts, Faults, Network, Random};
use overlapped::{Buffer, CompletionPort, Endpoint, GetError, Operation, Refused, Started};
use overlapped::{Packet, WakePolicy};

/// Keys are the scenarios' numbers of their sockets.
pub type Key = usize;
pub type Socket = overlapped::Socket<Key, Work>;

/// The part of an operation that is the test's.
pub struct Work {
    /// Never used twice.
    pub id: u64,
    live: Arc<AtomicUsize>,
}

impl Drop for Work {
    fn drop(&mut self) {
        let before = self.live.fetch_sub(1, SeqCst);
        assert!(before > 0, "an operation was released twice");
    }
}

/// How a run went.
pub struct Outcome {
    pub counts: Counts,
    pub fingerprint: u64,
}

/// How many seeds a scenario runs over, unless the environment says otherwise.
const SEEDS: u64 = 100;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text}: not a number")),
    )
}

/// Runs a scenario over the seeds, and demands of their faults what `faults` demands.
pub fn run(name: &str, scenario: fn(u64) -> Outcome, faults: fn(&Counts) -> bool) {
    if let Some(seed) = number("OVERLAPPED_SIM_SEED") {
        scenario(seed);
        return;
    }
    let mut total = Counts::default();
    for seed in 0..number("OVERLAPPED_SIM_SEEDS").unwrap_or(SEEDS) {
        match catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
            Ok(outcome) => total += outcome.counts,
            Err(panic) => {
                eprintln!(
                    "seed {seed} failed: OVERLAPPED_SIM_SEED={seed} \
                     cargo test -p overlapped --test sim {name}"
                );
                resume_unwind(panic);
            }
        }
    }
    assert!(faults(&total), "faults that never occurred: {total:?}");
}

/// The faults of a seed: of every strength.
pub fn weather(seed: u64) -> Faults {
    match seed % 5 {
        0 => Faults::none(),
        1 | 2 => Faults::some(),
        _ => Faults::storm(),
    }
}

/// The byte at a position of a stream; neighbouring streams and positions differ.
pub fn pattern(stream: usize, from: usize, len: usize) -> Vec<u8> {
    (from..from + len)
        .map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ stream.wrapping_mul(101)) as u8)
        .collect()
}

/// A network, a port on it, and what was started there.
pub struct World {
    pub network: Network,
    pub port: CompletionPort<Key, Work>,
    pub random: Random,
    /// The operations that are under way.
    pub started: BTreeSet<u64>,
    live: Arc<AtomicUsize>,
    next_id: u64,
}

impl World {
    pub fn new(seed: u64, faults: Faults) -> Self {
        let network = Network::with_faults(seed, faults);
        if std::env::var_os("OVERLAPPED_SIM_SEED").is_some() {
            network.keep_trace();
        }
        let mut random = Random::new(!seed);
        let policy = [WakePolicy::Economy, WakePolicy::Windows][random.index(2)];
        let port = CompletionPort::builder()
            .concurrency(1 + random.index(3))
            .wake_policy(policy)
            .rescue_after(random.chance(500).then_some(Duration::from_millis(10)))
            .simulated(&network)
            .build()
            .unwrap();
        World {
            network,
            port,
            random,
            started: BTreeSet::new(),
            live: Arc::default(),
            next_id: 0,
        }
    }

    /// How many operations exist, wherever they are.
    pub fn live(&self) -> Arc<AtomicUsize> {
        self.live.clone()
    }

    pub fn operation(&mut self, buffer: impl Into<Buffer>) -> Operation<Work> {
        self.live.fetch_add(1, SeqCst);
        self.next_id += 1;
        let work = Work {
            id: self.next_id,
            live: self.live.clone(),
        };
        Operation::new(buffer, work)
    }

    /// Starts an operation and notes that a packet is owed for it.
    pub fn start(
        &mut self,
        operation: Operation<Work>,
        start: impl FnOnce(Operation<Work>) -> Result<Started, Refused<Work>>,
    ) -> Result<Started, Refused<Work>> {
        let id = operation.user().id;
        let result = start(operation);
        match &result {
            Ok(_) => {
                assert!(self.started.insert(id), "started while under way");
                self.network.note(format_args!("#{id} started"));
            }
            Err(refused) => self
                .network
                .note(format_args!("#{id} refused {:?}", refused.status)),
        }
        result
    }

    /// Gets a packet, of which each started operation has exactly one (PK-6).
    pub fn get(&mut self, timeout: Duration) -> Option<Packet<Key, Work>> {
        let got = if self.random.chance(200) {
            self.port.poll()
        } else {
            self.port.get_timeout(timeout)
        };
        let packet = match got {
            Ok(packet) => packet,
            Err(GetError::TimedOut) => return None,
            Err(error) => panic!("{error}"),
        };
        let id = packet.operation.user().id;
        assert!(
            self.started.remove(&id),
            "#{id} {packet:?}: a packet that nobody is owed"
        );
        self.network.note(format_args!("#{id} {packet:?}"));
        Some(packet)
    }

    /// A random time up to `most`.
    pub fn moment(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(self.random.below(most.as_nanos() as u64))
    }

    /// Associates, however often it takes: a registration may fail, and gives the socket back.
    pub fn associate(&mut self, socket: impl Into<Endpoint>, key: Key) -> Socket {
        let mut endpoint = socket.into();
        loop {
            match self.port.associate(endpoint, key) {
                Ok(socket) => return socket,
                Err(error) => {
                    assert_eq!(error.error.kind(), std::io::ErrorKind::OutOfMemory);
                    endpoint = error.socket;
                }
            }
        }
    }

    /// Everything is over: nothing is owed, nothing is open, and all memory has come back.
    pub fn finish(self) -> Outcome {
        assert_eq!(self.started, BTreeSet::new(), "packets that never came");
        assert_eq!(self.network.sockets(), 0, "sockets that nobody closed");
        assert_eq!(self.port.stats().sockets, 0, "registrations left");
        let outcome = Outcome {
            counts: self.network.counts(),
            fingerprint: self.network.fingerprint(),
        };
        let live = self.live.clone();
        drop(self);
        assert_eq!(live.load(SeqCst), 0, "operations that nobody released");
        outcome
    }

    /// Fails a run that gets nowhere: something was never reported, or never looked at.
    pub fn watch(&self, bound: Duration) {
        if self.network.now() > bound {
            panic!(
                "stuck at {:?} with {:?} under way: {:?}",
                self.network.now(),
                self.started,
                self.port
            );
        }
    }
}

/// Tells what happened, if one seed was asked for.
impl Drop for World {
    fn drop(&mut self) {
        for line in self.network.trace() {
            println!("{line}");
        }
    }
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
