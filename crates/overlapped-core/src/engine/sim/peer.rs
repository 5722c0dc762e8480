//! The outside world: the other ends of the port's connections, in a test's hands.

use std::fmt;
use std::net::SocketAddr;

use super::Network;
use super::node::{Id, Phase, Stream};
use super::state::State;
use crate::Status;

/// The other end of a connection, which a test holds. No call of it waits, and nothing that it
/// does has an effect before the simulated time goes on.
///
/// Dropping it closes it as [`SimSocket`](super::SimSocket) is closed, after all that was given to
/// [`send`](Peer::send).
///
/// ```
/// use overlapped_core::sim::Network;
///
/// let network = Network::new(1);
/// let (socket, peer) = network.pair();
/// peer.send(b"hello");
/// peer.finish();
/// assert!(peer.is_connected() && !peer.has_end());
/// # drop(socket);
/// ```
pub struct Peer {
    pub(super) network: Network,
    pub(super) id: Id,
}

impl Peer {
    fn with<R>(&self, f: impl FnOnce(&mut State, Id) -> R) -> R {
        f(&mut self.network.lock(), self.id)
    }

    fn look<R>(&self, f: impl FnOnce(&mut Stream) -> R) -> R {
        self.with(|state, id| f(state.held(id)))
    }

    /// The peer's own address: what an accept of it says.
    pub fn address(&self) -> SocketAddr {
        self.with(|state, id| state.node(id).expect("we hold it").local)
    }

    /// The other side's address, once the connection is there.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.with(|state, id| state.node(id).expect("we hold it").remote)
    }

    /// Sends these bytes, as the network finds room for them. Before the connection is there they
    /// wait; after its end they are lost.
    pub fn send(&self, bytes: &[u8]) {
        self.with(|state, id| {
            let stream = state.held(id);
            assert!(!stream.fin_wanted, "this peer has finished");
            if !stream.broken {
                stream.outbox.extend(bytes);
                state.pump(id);
            }
        });
    }

    /// Takes all that has arrived. What a peer does not take fills the window, and then the other
    /// side can send no more.
    pub fn take_received(&self) -> Vec<u8> {
        self.take_some(usize::MAX)
    }

    /// Takes at most so many bytes of what has arrived.
    pub fn take_some(&self, most: usize) -> Vec<u8> {
        self.with(|state, id| {
            let stream = state.held(id);
            let take = stream.arrived.len().min(most);
            let bytes = stream.take_arrived(take);
            state.read(id, take);
            bytes
        })
    }

    /// Says that nothing more will be sent, after all that was.
    pub fn finish(&self) {
        self.with(|state, id| {
            state.held(id).fin_wanted = true;
            state.pump(id);
        });
    }

    /// Breaks the connection. What was sent before may be lost.
    pub fn reset(&self) {
        self.with(|state, id| state.reset(id));
    }

    /// Whether the connection came about; it may have ended since.
    pub fn is_connected(&self) -> bool {
        self.look(|stream| stream.phase == Phase::Connected)
    }

    /// Why it did not.
    pub fn refused(&self) -> Option<Status> {
        self.look(|stream| stream.refused)
    }

    /// Whether the other side has finished: all that it sent has arrived.
    pub fn has_end(&self) -> bool {
        self.look(|stream| stream.fin_arrived)
    }

    /// Whether the connection broke, by whomever's doing.
    pub fn is_reset(&self) -> bool {
        self.look(|stream| stream.broken)
    }

    /// How many bytes given to [`send`](Peer::send) have not found room yet.
    pub fn unsent(&self) -> usize {
        self.look(|stream| stream.outbox.len())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.with(State::close);
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("id", &self.id)
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

/// A server in a test's hands, for ports that connect. Dropping it ends the listening.
///
/// ```
/// use overlapped_core::sim::Network;
///
/// let network = Network::new(1);
/// let server = network.serve("10.0.0.1:80".parse().unwrap());
/// let client = network.connect("10.0.0.1:80".parse().unwrap());
/// assert!(server.accept_peer().is_none(), "no time has passed");
/// # drop(client);
/// ```
pub struct Server {
    pub(super) network: Network,
    pub(super) id: Id,
}

impl Server {
    /// The next connection, if one is waiting.
    pub fn accept_peer(&self) -> Option<Peer> {
        let mut state = self.network.lock();
        let (id, _) = state.take_waiting(self.id)?;
        drop(state);
        Some(Peer {
            network: self.network.clone(),
            id,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.network.lock().close(self.id);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
