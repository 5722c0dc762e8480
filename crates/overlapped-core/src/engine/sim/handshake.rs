//! How connections come about.

use std::net::SocketAddr;

use super::agenda::Event;
use super::node::{ALL, Id, Phase};
use super::state::State;
use crate::Status;
use crate::engine::{Readiness, Refusal};

/// Why a connect fails for no reason of the listener's.
const EXCUSES: [Status; 4] = [
    Status::CONNECTION_REFUSED,
    Status::IO_TIMEOUT,
    Status::HOST_UNREACHABLE,
    Status::NETWORK_UNREACHABLE,
];

impl State {
    /// Begins to connect.
    pub(super) fn connect(&mut self, client: Id, to: SocketAddr) {
        let stream = self.held(client);
        stream.phase = Phase::Connecting;
        stream.refused = None;
        self.schedule_soon(Event::Syn(client, to));
    }

    /// Connects or fails in the call itself, if chance wants it so.
    pub(super) fn connect_at_once(
        &mut self,
        client: Id,
        to: SocketAddr,
    ) -> Option<Result<(), Refusal>> {
        if !self.random.chance(self.faults.connect_at_once) {
            return None;
        }
        let Some(&listener) = self.listeners.get(&to) else {
            self.counts.connects_at_once += 1;
            return Some(Err(Refusal::Failed(Status::CONNECTION_REFUSED)));
        };
        if self.random.chance(self.faults.refuse) {
            self.counts.connects_at_once += 1;
            self.counts.refusals += 1;
            let excuse = EXCUSES[self.random.index(EXCUSES.len())];
            return Some(Err(Refusal::Failed(excuse)));
        }
        if self.is_crowded(listener) {
            return None;
        }
        self.counts.connects_at_once += 1;
        let server = self.add_server(listener, to);
        self.join(client, server);
        self.enter_backlog(listener, server);
        Some(Ok(()))
    }

    fn is_crowded(&mut self, listener: Id) -> bool {
        let most = self.faults.backlog;
        self.listener(listener)
            .is_none_or(|listener| listener.backlog.len() + listener.coming >= most)
    }

    /// The end of a new connection that will be accepted.
    fn add_server(&mut self, listener: Id, address: SocketAddr) -> Id {
        let scripted = self.node(listener).is_some_and(|node| node.scripted);
        self.listener(listener).expect("it listens").coming += 1;
        self.add_stream(Some(address), scripted)
    }

    fn is_connecting(&mut self, client: Id) -> bool {
        self.stream(client)
            .is_some_and(|stream| stream.phase == Phase::Connecting)
    }

    /// The first word arrives.
    pub(super) fn syn(&mut self, client: Id, to: SocketAddr) {
        if !self.is_connecting(client) {
            return;
        }
        let Some(&listener) = self.listeners.get(&to) else {
            self.schedule_soon(Event::Refused(client, Status::CONNECTION_REFUSED));
            return;
        };
        if self.random.chance(self.faults.refuse) {
            self.counts.refusals += 1;
            let excuse = EXCUSES[self.random.index(EXCUSES.len())];
            self.schedule_soon(Event::Refused(client, excuse));
            return;
        }
        if self.is_crowded(listener) {
            // It was not heard, and is repeated.
            let at = self.now + self.delay() + 10_000_000;
            self.schedule(at, Event::Syn(client, to));
            return;
        }
        let server = self.add_server(listener, to);
        // So that `enter_backlog` knows where it was heading even if the client goes.
        self.held(server).backlog_of = Some(listener);
        self.schedule_soon(Event::Established { client, server });
    }

    pub(super) fn refuse(&mut self, client: Id, status: Status) {
        if self.is_connecting(client) {
            let stream = self.held(client);
            stream.phase = Phase::Fresh;
            stream.refused = Some(status);
            self.changed(client, ALL);
        }
    }

    pub(super) fn established(&mut self, client: Id, server: Id) {
        let listener = self
            .held(server)
            .backlog_of
            .expect("it was made for a listener");
        if !self.is_connecting(client) {
            self.nodes[server] = None;
            if let Some(listener) = self.listener(listener) {
                listener.coming -= 1;
            }
            return;
        }
        self.join(client, server);
        self.changed(
            client,
            Readiness {
                send: true,
                ..Readiness::default()
            },
        );
        let at = self.now + self.delay();
        // What the client sends arrives after that.
        self.held(client).last_arrival = at;
        self.schedule(at, Event::EnterBacklog { listener, server });
        self.pump(client);
    }

    pub(super) fn enter_backlog(&mut self, listener: Id, server: Id) {
        let gone = self.stream(server).is_none();
        let Some(queue) = self.listener(listener) else {
            if !gone {
                // Nobody listens any more.
                self.held(server).backlog_of = None;
                self.reset(server);
                self.close(server);
            }
            return;
        };
        queue.coming -= 1;
        if gone {
            return;
        }
        queue.backlog.push_back(server);
        self.held(server).backlog_of = Some(listener);
        self.changed(
            listener,
            Readiness {
                recv: true,
                ..Readiness::default()
            },
        );
    }
}
