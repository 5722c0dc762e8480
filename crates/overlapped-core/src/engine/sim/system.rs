//! The network as the system that a port runs on.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::Network;
use super::node::{Id, Phase, What};
use crate::endpoint::Endpoint;
use crate::engine::alarm::Alarm;
use crate::engine::{Nature, Readiness, Received, Refusal, Role, System};
use crate::operation::Segment;
use crate::{Address, Ready, Status};

const UNSUPPORTED: Refusal = Refusal::Failed(Status::NOT_SUPPORTED);

/// One port's view of the network.
pub(crate) struct Simulated {
    network: Network,
    /// Which port's.
    index: usize,
}

impl Simulated {
    pub(super) fn new(network: Network) -> Self {
        let mut state = network.lock();
        let index = state.reports.len();
        state.reports.push(Default::default());
        drop(state);
        Simulated { network, index }
    }

    /// Makes a call, and writes it down.
    fn call<T: std::fmt::Debug>(
        &self,
        name: &str,
        endpoint: &Endpoint,
        f: impl FnOnce(&mut super::state::State, Id) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let id = id(endpoint);
        let mut state = self.network.lock();
        let result = f(&mut state, id);
        state.account(id, &result);
        state.note(format_args!("{name} {id}: {result:?}"));
        result
    }
}

fn id(endpoint: &Endpoint) -> Id {
    match endpoint {
        Endpoint::Sim(socket) => socket.id,
        Endpoint::Os(_) | Endpoint::Connection(_) => {
            unreachable!("`role` refuses sockets of the operating system")
        }
    }
}

impl System for Simulated {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn reason(&self) -> &'static str {
        "the port was made on a simulated network"
    }

    fn now(&self) -> u64 {
        self.network.lock().now
    }

    fn alarm(&self) -> io::Result<Alarm> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn role(&self, endpoint: &Endpoint) -> io::Result<(Nature, Role)> {
        match endpoint {
            Endpoint::Sim(socket) if socket.network.same(&self.network) => {}
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a port on a simulated network needs a socket of that network",
                ));
            }
        }
        let mut state = self.network.lock();
        let node = state.node(id(endpoint)).expect("somebody holds it");
        let role = match &node.what {
            What::Listener(_) => Role::Listener,
            What::Stream(stream) if stream.phase == Phase::Connected => Role::Connected,
            What::Stream(_) => Role::Fresh,
        };
        Ok((Nature::Stream, role))
    }

    fn identity(&self, endpoint: &Endpoint) -> io::Result<Option<NonZeroU64>> {
        // The system's own inodes are small.
        let number = 1 << 63 | self.network.number() << 32 | id(endpoint) as u64;
        Ok(NonZeroU64::new(number))
    }

    fn register(&self, endpoint: &Endpoint, token: u64, _: Nature) -> io::Result<()> {
        let id = id(endpoint);
        let mut state = self.network.lock();
        let ratio = state.faults.register;
        if state.random.chance(ratio) {
            state.counts.register_failures += 1;
            state.note(format_args!("register {id} fails"));
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        state.note(format_args!("register {id} as {token:#x}"));
        state.register(id, self.index, token);
        Ok(())
    }

    fn deregister(&self, endpoint: &Endpoint) {
        let id = id(endpoint);
        let mut state = self.network.lock();
        state.note(format_args!("deregister {id}"));
        state.deregister(id);
    }

    fn wait(&self, timeout: Option<Duration>, report: &mut dyn FnMut(u64, Readiness)) {
        let mut state = self.network.lock();
        let deadline = timeout.map(|timeout| {
            let timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
            state.now.saturating_add(timeout)
        });
        state.note(format_args!("wait until {deadline:?}"));
        let ratio = state.faults.interrupt;
        if state.random.chance(ratio) {
            state.counts.interrupts += 1;
            return;
        }
        loop {
            if state.has_reports(self.index) {
                let ratio = state.faults.oversleep;
                if state.random.chance(ratio) {
                    state.counts.oversleeps += 1;
                    let until = state.now + state.delay();
                    state = self.network.pass_until(state, until);
                }
                let taken = state.take_reports(self.index);
                if !taken.is_empty() {
                    state.reports[self.index].interrupted = false;
                    // The engine may let go of a socket while it looks at its report.
                    drop(state);
                    for (token, readiness) in taken {
                        report(token, readiness);
                    }
                    return;
                }
                continue;
            }
            if std::mem::take(&mut state.reports[self.index].interrupted) {
                return;
            }
            let next = state.agenda.next_at();
            if let Some(at) = next.filter(|at| deadline.is_none_or(|deadline| *at <= deadline)) {
                state = self.network.pass_until(state, at);
            } else if let Some(deadline) = deadline {
                state.now = deadline;
                return;
            } else if state.patient {
                state.wait_for_others();
            } else {
                let seed = state.seed;
                drop(state);
                panic!("simulation: nothing will ever happen again (seed {seed})");
            }
        }
    }

    fn interrupt(&self) {
        let mut state = self.network.lock();
        state.reports[self.index].interrupted = true;
    }

    fn recv(&self, endpoint: &Endpoint, into: &[Segment]) -> Result<usize, Refusal> {
        self.call("recv", endpoint, |state, id| state.recv(id, into))
    }

    fn peek(&self, endpoint: &Endpoint) -> Result<(), Refusal> {
        self.call("peek", endpoint, |state, id| state.peek(id))
    }

    fn send(&self, endpoint: &Endpoint, from: &[Segment]) -> Result<usize, Refusal> {
        self.call("send", endpoint, |state, id| state.send(id, from))
    }

    fn accept(&self, endpoint: &Endpoint) -> Result<(Endpoint, Option<Address>), Refusal> {
        let (accepted, from) = self.call("accept", endpoint, |state, id| state.accept(id))?;
        Ok((
            self.network.socket_of(accepted).into(),
            from.map(Address::from),
        ))
    }

    fn connect(&self, endpoint: &Endpoint, to: &Address) -> Result<(), Refusal> {
        let Some(to) = to.internet() else {
            return Err(Refusal::Failed(Status::NOT_SUPPORTED));
        };
        self.call("connect", endpoint, |state, id| state.begin_connect(id, to))
    }

    fn connected(&self, endpoint: &Endpoint) -> Result<(), Refusal> {
        self.call("connected", endpoint, |state, id| state.connected(id))
    }

    // What the network does not have: datagrams, files, pipes, and readiness by itself.

    fn passes_descriptors(&self, _: &Endpoint) -> bool {
        false
    }

    fn send_more(&self, endpoint: &Endpoint, from: &[Segment]) -> Result<usize, Refusal> {
        self.send(endpoint, from)
    }

    fn send_file(&self, _: &Endpoint, _: &OwnedFd, _: u64, _: usize) -> Result<usize, Refusal> {
        Err(UNSUPPORTED)
    }

    fn recv_datagram(&self, _: &Endpoint, _: &[Segment]) -> Result<Received, Refusal> {
        Err(UNSUPPORTED)
    }

    fn send_datagram(
        &self,
        _: &Endpoint,
        _: &[Segment],
        _: Option<&Address>,
    ) -> Result<(), Refusal> {
        Err(UNSUPPORTED)
    }

    fn recv_with_descriptors(
        &self,
        _: &Endpoint,
        _: &[Segment],
        _: usize,
        _: &mut Vec<OwnedFd>,
    ) -> Result<Received, Refusal> {
        Err(UNSUPPORTED)
    }

    fn send_with_descriptors(
        &self,
        _: &Endpoint,
        _: &[Segment],
        _: Option<&Address>,
        _: &[OwnedFd],
    ) -> Result<usize, Refusal> {
        Err(UNSUPPORTED)
    }

    fn sent_back(&self, _: &Endpoint) -> Option<Status> {
        None
    }

    fn set_sent_back(&self, _: &Endpoint, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn read(&self, _: &Endpoint, _: &[Segment]) -> Result<usize, Refusal> {
        Err(UNSUPPORTED)
    }

    fn write(&self, _: &Endpoint, _: &[Segment]) -> Result<usize, Refusal> {
        Err(UNSUPPORTED)
    }

    fn look(&self, _: &Endpoint) -> Result<Ready, Refusal> {
        Err(UNSUPPORTED)
    }

    fn shutdown_send(&self, endpoint: &Endpoint) -> Result<(), Refusal> {
        self.call("shutdown", endpoint, |state, id| state.shutdown_send(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "nothing will ever happen again (seed 17)")]
    fn a_wait_for_nothing_is_no_wait() {
        let system = Network::new(17).system();
        system.wait(None, &mut |_, _| {});
    }

    #[test]
    fn an_interrupt_ends_the_next_wait() {
        let system = Network::new(1).system();
        system.interrupt();
        system.wait(None, &mut |_, _| unreachable!("nothing to report"));
        assert_eq!(system.now(), 0);
    }

    #[test]
    fn time_passes_to_the_timeout() {
        let network = Network::new(1);
        let system = network.system();
        system.wait(Some(Duration::from_secs(5)), &mut |_, _| {});
        assert_eq!(network.now(), Duration::from_secs(5));
    }

    #[test]
    fn one_change_is_one_report() {
        let network = Network::new(1);
        let system = network.system();
        let (socket, peer) = network.pair();
        let endpoint = Endpoint::Sim(socket);
        system.register(&endpoint, 7, Nature::Stream).unwrap();
        let mut reports = Vec::new();
        // The registration's own.
        system.wait(Some(Duration::ZERO), &mut |token, _| reports.push(token));
        assert_eq!(reports, [7]);
        peer.send(b"x");
        system.wait(Some(Duration::from_secs(1)), &mut |token, readiness| {
            assert!(readiness.recv && !readiness.hangup);
            reports.push(token);
        });
        assert_eq!(reports, [7, 7]);
        // The byte is still there, and no news.
        system.wait(Some(Duration::from_secs(1)), &mut |token, _| {
            reports.push(token);
        });
        assert_eq!(reports, [7, 7]);
        assert_eq!(system.peek(&endpoint), Ok(()));
    }

    #[test]
    fn another_threads_interrupt_ends_a_wait_for_nothing() {
        let network = Network::new(1);
        network.set_threaded(true);
        let system = network.system();
        std::thread::scope(|scope| {
            scope.spawn(|| system.interrupt());
            system.wait(None, &mut |_, _| {});
        });
    }
}
