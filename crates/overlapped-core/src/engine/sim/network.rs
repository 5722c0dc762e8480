//! The handle to a network.

use std::fmt;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::agenda::Event;
use super::faults::{Counts, Faults};
use super::peer::{Peer, Server};
use super::socket::SimSocket;
use super::state::State;
use super::system::Simulated;

/// A simulated network; cloning gives another handle to the same one.
///
/// ```
/// use overlapped_core::sim::{Faults, Network};
///
/// // Everything that this network does follows from the seed and from what is done to it.
/// let network = Network::with_faults(42, Faults::storm());
/// let (socket, peer) = network.pair();
/// peer.send(b"some bytes that will arrive late, and in pieces");
/// assert_eq!(network.sockets(), 1);
/// # drop(socket);
/// ```
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

struct Inner {
    /// Tells networks of one process apart.
    number: u64,
    state: Mutex<State>,
    /// For the thread that waits although nothing is scheduled.
    changed: Condvar,
}

static NETWORKS: AtomicU64 = AtomicU64::new(0);

impl Network {
    /// A network without faults. The seed still decides the order of what happens at once.
    pub fn new(seed: u64) -> Self {
        Self::with_faults(seed, Faults::none())
    }

    /// A network with faults.
    pub fn with_faults(seed: u64, faults: Faults) -> Self {
        Network {
            inner: Arc::new(Inner {
                number: NETWORKS.fetch_add(1, Relaxed),
                state: Mutex::new(State::new(seed, faults)),
                changed: Condvar::new(),
            }),
        }
    }

    /// Changes the faults from now on. Healing the network before the end of a test tells "late"
    /// from "never".
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.lock().seed
    }

    /// The simulated time since the network was made. A port's wait lets it pass, and
    /// [`pass`](Network::pass).
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.lock().now)
    }

    /// How often each fault has occurred.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    // ---- what a port gets ----------------------------------------------------------------------

    /// A listener, to be associated.
    ///
    /// # Panics
    ///
    /// If somebody listens at that address already.
    pub fn listener(&self, address: SocketAddr) -> SimSocket {
        let id = self.lock().add_listener(address, false);
        self.socket_of(id)
    }

    /// A socket that is not connected, to be associated and connected.
    pub fn socket(&self) -> SimSocket {
        let id = self.lock().add_stream(None, false);
        self.socket_of(id)
    }

    /// A connection: a socket to be associated, and its other end.
    pub fn pair(&self) -> (SimSocket, Peer) {
        let mut state = self.lock();
        let (ours, theirs) = (state.add_stream(None, false), state.add_stream(None, true));
        state.join(ours, theirs);
        drop(state);
        (self.socket_of(ours), self.peer_of(theirs))
    }

    // ---- the outside world ---------------------------------------------------------------------

    /// A peer that connects to the address.
    pub fn connect(&self, to: SocketAddr) -> Peer {
        let mut state = self.lock();
        let id = state.add_stream(None, true);
        state.connect(id, to);
        drop(state);
        self.peer_of(id)
    }

    /// A server that a port can connect to.
    ///
    /// # Panics
    ///
    /// If somebody listens at that address already.
    pub fn serve(&self, address: SocketAddr) -> Server {
        let id = self.lock().add_listener(address, true);
        Server {
            network: self.clone(),
            id,
        }
    }

    /// Calls `program` when so much time has passed, on the thread that waits then. It may do with
    /// the network and its peers whatever it likes, this included.
    ///
    /// ```
    /// use std::time::Duration;
    /// use overlapped_core::sim::Network;
    ///
    /// let network = Network::new(1);
    /// let (socket, peer) = network.pair();
    /// network.after(Duration::from_secs(1), move |_| peer.reset());
    /// # drop(socket);
    /// ```
    pub fn after(&self, delay: Duration, program: impl FnOnce(&Network) + Send + 'static) {
        let mut state = self.lock();
        let at = state.now + delay.as_nanos() as u64;
        state.schedule(at, Event::Call(Box::new(program)));
    }

    /// Lets time pass without a wait, as a handler does that takes long: what happens meanwhile is
    /// reported to whoever waits next.
    pub fn pass(&self, time: Duration) {
        let state = self.lock();
        let until = state.now + time.as_nanos() as u64;
        drop(self.pass_until(state, until));
    }

    // ---- for tests to look at ------------------------------------------------------------------

    /// How many sockets there are that ports, or who makes them for ports, have not closed.
    /// Connections that can be accepted and were not are none.
    pub fn sockets(&self) -> usize {
        let state = self.lock();
        state
            .nodes
            .iter()
            .flatten()
            .filter(|node| node.open && !node.scripted && !node.is_waiting())
            .count()
    }

    /// A number that two runs share only if the same happened in both, in the same order and at
    /// the same times.
    pub fn fingerprint(&self) -> u64 {
        self.lock().trace().fingerprint
    }

    /// From now on keeps what happens in words, for [`trace`](Network::trace).
    pub fn keep_trace(&self) {
        self.lock().trace().lines.get_or_insert_default();
    }

    /// What has happened, one line each, since [`keep_trace`](Network::keep_trace).
    pub fn trace(&self) -> Vec<String> {
        self.lock().trace().lines.clone().unwrap_or_default()
    }

    /// Adds a test's own words to the trace, and so to the fingerprint.
    pub fn note(&self, words: fmt::Arguments<'_>) {
        self.lock().note(words);
    }

    /// Whether other threads use the network too, so that a wait for which nothing is scheduled
    /// waits for them. Off at first: then such a wait panics, because it would last for ever.
    pub fn set_threaded(&self, threaded: bool) {
        self.lock().patient = threaded;
    }

    // ---- inside --------------------------------------------------------------------------------

    pub(crate) fn system(&self) -> Simulated {
        Simulated::new(self.clone())
    }

    /// Lets everything happen that is scheduled up to then, and sets the clock.
    pub(super) fn pass_until<'a>(&'a self, mut state: Locked<'a>, until: u64) -> Locked<'a> {
        while let Some(at) = state.agenda.next_at().filter(|at| *at <= until) {
            state.now = state.now.max(at);
            let event = state.agenda.pop().expect("there is a next one");
            if let Some(Event::Call(program)) = state.happen(event) {
                drop(state);
                program(self);
                state = self.lock();
            }
        }
        state.now = state.now.max(until);
        state
    }

    pub(super) fn number(&self) -> u64 {
        self.inner.number
    }

    pub(super) fn same(&self, other: &Network) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    pub(super) fn socket_of(&self, id: super::node::Id) -> SimSocket {
        SimSocket {
            network: self.clone(),
            id,
        }
    }

    fn peer_of(&self, id: super::node::Id) -> Peer {
        Peer {
            network: self.clone(),
            id,
        }
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        Locked {
            inner: &self.inner,
            state: Some(
                self.inner
                    .state
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner),
            ),
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("seed", &self.seed())
            .field("now", &self.now())
            .field("sockets", &self.sockets())
            .finish_non_exhaustive()
    }
}

/// The locked state. Unlocking tells the thread that waits for other threads.
pub(super) struct Locked<'a> {
    inner: &'a Inner,
    /// `None` only while it waits.
    state: Option<MutexGuard<'a, State>>,
}

impl Locked<'_> {
    /// Waits until another thread has done something.
    pub(super) fn wait_for_others(&mut self) {
        let state = self.state.take().expect("only taken here");
        let state = self
            .inner
            .changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner);
        self.state = Some(state);
    }
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.state.as_ref().expect("not waiting")
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.state.as_mut().expect("not waiting")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.state.take().is_some_and(|state| state.patient) {
            self.inner.changed.notify_all();
        }
    }
}
