//! The port's side of the network: sockets to be associated.

use std::fmt;
use std::net::SocketAddr;

use super::Network;
use super::node::Id;

/// A socket of the simulated network, to be associated with a port on that network.
///
/// Made by [`Network::listener`], [`Network::socket`] and [`Network::pair`]. Dropping it closes it
/// as TCP does: the other end gets what was sent and then the end of the stream, or a reset if
/// data had arrived that nobody has read. The port drops it when it closes the socket.
pub struct SimSocket {
    pub(super) network: Network,
    pub(super) id: Id,
}

impl SimSocket {
    /// The socket's own address.
    ///
    /// ```
    /// use overlapped_core::sim::Network;
    ///
    /// let network = Network::new(1);
    /// let listener = network.listener("10.0.0.1:80".parse().unwrap());
    /// assert_eq!(listener.address().port(), 80);
    /// ```
    pub fn address(&self) -> SocketAddr {
        let mut state = self.network.lock();
        state.node(self.id).expect("we hold it").local
    }

    /// The other end's address, if the socket is connected.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        let mut state = self.network.lock();
        state.node(self.id).expect("we hold it").remote
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        let mut state = self.network.lock();
        state.note(format_args!("close {}", self.id));
        state.close(self.id);
    }
}

impl fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimSocket")
            .field("id", &self.id)
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
