//! A simulated network with a seed.

use std::net::SocketAddr;

use super::System;

/// A simulated network; cloning gives another handle to the same one.
#[derive(Clone, Debug)]
pub struct Network {}

/// A socket of the simulated network.
#[derive(Debug)]
pub struct SimSocket {}

impl SimSocket {
    /// The socket's address.
    pub fn address(&self) -> SocketAddr {
        todo!()
    }
}

impl Network {
    pub(crate) fn system(&self) -> Box<dyn System> {
        todo!()
    }
}
