//! All that a network knows, under one lock.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::net::SocketAddr;

use super::agenda::{Agenda, Event};
use super::faults::{Counts, Faults};
use super::node::{Id, Listener, Node, Phase, Stream, What};
use super::random::Random;
use super::reports::Reports;

/// The network. What it does is spread over the files of this folder, by job; each adds an `impl`.
pub(super) struct State {
    pub(super) seed: u64,
    pub(super) random: Random,
    pub(super) faults: Faults,
    pub(super) counts: Counts,
    pub(super) now: u64,
    pub(super) agenda: Agenda,
    /// By id.
    pub(super) nodes: Vec<Option<Node>>,
    pub(super) listeners: BTreeMap<SocketAddr, Id>,
    /// By system: what it has not been told yet.
    pub(super) reports: Vec<Reports>,
    /// Another thread may interrupt a wait for which nothing is scheduled.
    pub(super) patient: bool,
    trace: Trace,
}

impl State {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        State {
            seed,
            random: Random::new(seed),
            faults,
            counts: Counts::default(),
            now: 0,
            agenda: Agenda::default(),
            nodes: Vec::new(),
            listeners: BTreeMap::new(),
            reports: Vec::new(),
            patient: false,
            trace: Trace::default(),
        }
    }

    // ---- nodes ---------------------------------------------------------------------------------

    fn add(&mut self, local: Option<SocketAddr>, scripted: bool, what: What) -> Id {
        let id = self.nodes.len();
        // Tests live in one network, the ports under test in another.
        let net = if scripted { 10 } else { 192 };
        let number = id as u32;
        let host = [net, (number >> 16) as u8, (number >> 8) as u8, number as u8];
        self.nodes.push(Some(Node {
            local: local.unwrap_or_else(|| SocketAddr::from((host, 40_000))),
            remote: None,
            open: true,
            scripted,
            registration: None,
            reported: false,
            what,
        }));
        id
    }

    pub(super) fn add_listener(&mut self, address: SocketAddr, scripted: bool) -> Id {
        let id = self.add(Some(address), scripted, What::Listener(Listener::default()));
        let before = self.listeners.insert(address, id);
        assert!(
            before.is_none(),
            "simulation: somebody listens at {address} already"
        );
        id
    }

    pub(super) fn add_stream(&mut self, local: Option<SocketAddr>, scripted: bool) -> Id {
        let range = self.faults.window.clone();
        let window = self.random.within(range.start as u64..range.end as u64);
        let stream = Stream::new((window as usize).max(1));
        self.add(local, scripted, What::Stream(Box::new(stream)))
    }

    pub(super) fn node(&mut self, id: Id) -> Option<&mut Node> {
        self.nodes[id].as_mut()
    }

    pub(super) fn stream(&mut self, id: Id) -> Option<&mut Stream> {
        self.node(id).and_then(Node::stream)
    }

    /// A stream that somebody holds, so that it must be there.
    pub(super) fn held(&mut self, id: Id) -> &mut Stream {
        self.stream(id).expect("a stream that somebody holds")
    }

    pub(super) fn listener(&mut self, id: Id) -> Option<&mut Listener> {
        match &mut self.node(id)?.what {
            What::Listener(listener) => Some(listener),
            What::Stream(_) => None,
        }
    }

    /// Makes two streams the ends of one connection, as seen from the first.
    pub(super) fn join(&mut self, client: Id, server: Id) {
        let (here, there) = (
            self.node(client).expect("it connects").local,
            self.node(server).expect("it was just made").local,
        );
        for (id, other, remote) in [(client, server, there), (server, client, here)] {
            let node = self.node(id).expect("both are there");
            node.remote = Some(remote);
            let stream = node.stream().expect("both are streams");
            stream.phase = Phase::Connected;
            stream.other = Some(other);
        }
    }

    // ---- time ----------------------------------------------------------------------------------

    /// How long the next thing travels.
    pub(super) fn delay(&mut self) -> u64 {
        let nanos = |range: &std::ops::Range<std::time::Duration>| {
            range.start.as_nanos() as u64..range.end.as_nanos() as u64
        };
        let mut delay = self.random.within(nanos(&self.faults.latency));
        if self.random.chance(self.faults.stall) {
            self.counts.stalls += 1;
            delay += self.random.within(nanos(&self.faults.stall_for));
        }
        delay
    }

    pub(super) fn schedule(&mut self, at: u64, event: Event) {
        let tie = self.random.next();
        self.agenda.add(at, tie, event);
    }

    pub(super) fn schedule_soon(&mut self, event: Event) {
        let at = self.now + self.delay();
        self.schedule(at, event);
    }

    /// Lets one event happen. A test's own comes back, to be called without the lock.
    pub(super) fn happen(&mut self, event: Event) -> Option<Event> {
        self.counts.events += 1;
        self.note(format_args!("{event:?}"));
        match event {
            Event::Arrive(from) => self.arrive(from),
            Event::Credit(to, bytes) => self.credit(to, bytes),
            Event::Unblock(id) => self.unblock(id),
            Event::Syn(client, to) => self.syn(client, to),
            Event::Established { client, server } => self.established(client, server),
            Event::EnterBacklog { listener, server } => self.enter_backlog(listener, server),
            Event::Refused(client, status) => self.refuse(client, status),
            Event::Call(_) => return Some(event),
        }
        None
    }

    // ---- the trace -----------------------------------------------------------------------------

    /// Writes down what happened.
    pub(super) fn note(&mut self, what: fmt::Arguments<'_>) {
        let now = self.now;
        self.trace.note(format_args!("{now}: {what}"));
    }

    pub(super) fn trace(&mut self) -> &mut Trace {
        &mut self.trace
    }
}

/// What happened: always as a fingerprint, and in words if somebody wants to read it.
pub(super) struct Trace {
    pub(super) fingerprint: u64,
    pub(super) lines: Option<Vec<String>>,
}

impl Default for Trace {
    fn default() -> Self {
        Trace {
            // FNV-1a's beginning.
            fingerprint: 0xcbf2_9ce4_8422_2325,
            lines: None,
        }
    }
}

impl Trace {
    fn note(&mut self, line: fmt::Arguments<'_>) {
        let _ = self.write_fmt(line);
        if let Some(lines) = &mut self.lines {
            lines.push(line.to_string());
        }
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.fingerprint =
                (self.fingerprint ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}
