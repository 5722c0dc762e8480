//! Edge-triggered reports, with all that their contract allows.

use super::node::{ALL, Id, Registration};
use super::state::State;
use crate::engine::Readiness;

/// What one system, that is: one port, has not been told yet.
#[derive(Default)]
pub(super) struct Reports {
    waiting: Vec<Report>,
    pub(super) interrupted: bool,
}

struct Report {
    token: u64,
    node: Id,
    changed: Readiness,
}

/// Which of `changed` are still so.
fn both(a: Readiness, b: Readiness) -> Readiness {
    Readiness {
        recv: a.recv && b.recv,
        send: a.send && b.send,
        hangup: a.hangup && b.hangup,
    }
}

impl State {
    /// Something changed. Several changes of one socket become one report.
    pub(super) fn changed(&mut self, id: Id, changed: Readiness) {
        let Some(Registration { system, token }) = self.node(id).and_then(|node| node.registration)
        else {
            return;
        };
        let waiting = &mut self.reports[system].waiting;
        match waiting.iter_mut().find(|report| report.token == token) {
            Some(report) => {
                report.changed.recv |= changed.recv;
                report.changed.send |= changed.send;
                report.changed.hangup |= changed.hangup;
            }
            None => waiting.push(Report {
                token,
                node: id,
                changed,
            }),
        }
    }

    pub(super) fn register(&mut self, id: Id, system: usize, token: u64) {
        let node = self.node(id).expect("somebody holds it");
        assert!(
            node.registration.is_none(),
            "simulation: a socket was registered twice"
        );
        node.registration = Some(Registration { system, token });
        // As epoll does: what is the case already is a change for a new registration.
        self.changed(id, ALL);
    }

    pub(super) fn deregister(&mut self, id: Id) {
        let Some(Registration { system, token }) =
            self.node(id).and_then(|node| node.registration.take())
        else {
            return;
        };
        // The report may be in another thread's hands already.
        if !self.random.chance(self.faults.stale) {
            self.reports[system]
                .waiting
                .retain(|report| report.token != token);
        }
    }

    pub(super) fn has_reports(&self, system: usize) -> bool {
        !self.reports[system].waiting.is_empty()
    }

    /// Takes the reports for one wait, in no order at all.
    pub(super) fn take_reports(&mut self, system: usize) -> Vec<(u64, Readiness)> {
        let mut waiting = std::mem::take(&mut self.reports[system].waiting);
        let mut taken = Vec::new();
        while !waiting.is_empty() {
            let report = waiting.swap_remove(self.random.index(waiting.len()));
            if (!taken.is_empty() || !waiting.is_empty()) && self.random.chance(self.faults.late) {
                self.counts.late_reports += 1;
                self.reports[system].waiting.push(report);
                continue;
            }
            taken.extend(self.say(&report, system));
        }
        taken.extend(self.make_up(system));
        for (token, readiness) in &taken {
            self.note(format_args!("report {token:#x} {readiness:?}"));
        }
        taken
    }

    /// What the report says at the moment when it is taken.
    fn say(&mut self, report: &Report, system: usize) -> Option<(u64, Readiness)> {
        let registered = self
            .node(report.node)
            .and_then(|node| node.registration)
            .is_some_and(|now| now.system == system && now.token == report.token);
        if !registered {
            self.counts.stale_reports += 1;
            return Some((report.token, report.changed));
        }
        // epoll says all that is the case, and a stricter system only what changed: code that
        // needs no more than the contract promises must live with both.
        let strict = self.random.chance(500);
        let node = self.node(report.node).expect("it is registered");
        let level = node.level();
        let readiness = if strict {
            both(level, report.changed)
        } else {
            level
        };
        if readiness == Readiness::default() {
            return None;
        }
        node.reported = true;
        Some((report.token, readiness))
    }

    /// A report that has no cause.
    fn make_up(&mut self, system: usize) -> Option<(u64, Readiness)> {
        if !self.random.chance(self.faults.spurious) {
            return None;
        }
        let registered: Vec<(Id, u64)> = self
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(id, node)| {
                let registration = node.as_ref()?.registration?;
                (registration.system == system).then_some((id, registration.token))
            })
            .collect();
        if registered.is_empty() {
            return None;
        }
        let (id, token) = registered[self.random.index(registered.len())];
        self.counts.spurious_reports += 1;
        self.node(id).expect("it is registered").reported = true;
        let bits = self.random.within(1..4);
        Some((
            token,
            Readiness {
                recv: bits & 1 != 0,
                send: bits & 2 != 0,
                // A hangup is a statement about the peer, and must be true.
                hangup: false,
            },
        ))
    }
}
