//! A socket's registration, from association to close.

use std::collections::HashSet;
use std::io;
use std::num::NonZeroU64;
use std::sync::{Arc, LazyLock, Mutex};

use crate::endpoint::Endpoint;
use crate::port::PortInner;

/// Every associated socket of the process, by what its duplicates share: a socket belongs to one
/// port, whichever descriptor names it (PO-6, PO-9).
static ASSOCIATED: LazyLock<Mutex<HashSet<NonZeroU64>>> = LazyLock::new(Mutex::default);

/// An endpoint that reports to a port. Dropping it ends the registration and closes the socket.
pub(crate) struct Registered {
    endpoint: Option<Endpoint>,
    port: Arc<PortInner>,
    token: u64,
    identity: Option<NonZeroU64>,
    /// Whether it is one of the port's sockets; a connection whose first data is awaited is not yet.
    counted: bool,
}

impl Registered {
    /// Claims the endpoint for the port, and a token for its reports; an error gives it back. The
    /// registration itself follows, when the table knows the socket.
    pub(crate) fn reserve(
        port: &Arc<PortInner>,
        endpoint: Endpoint,
        counted: bool,
    ) -> Result<Registered, (io::Error, Endpoint)> {
        if counted && !port.sockets().enter() {
            return Err((crate::too_many_sockets(port.sockets().most()), endpoint));
        }
        Self::claim(port, endpoint, counted).inspect_err(|_| {
            if counted {
                port.sockets().leave();
            }
        })
    }

    fn claim(
        port: &Arc<PortInner>,
        endpoint: Endpoint,
        counted: bool,
    ) -> Result<Registered, (io::Error, Endpoint)> {
        let system = port.system();
        let identity = match system.identity(&endpoint) {
            Ok(identity) => identity,
            Err(error) => return Err((error, endpoint)),
        };
        let own =
            identity.is_none_or(|identity| overlapped_queue::lock(&ASSOCIATED).insert(identity));
        if !own {
            let error = io::Error::new(
                io::ErrorKind::InvalidInput,
                "the socket, or a duplicate of it, is associated with a port already; \
                 a socket belongs to one port until it is closed",
            );
            return Err((error, endpoint));
        }
        let token = match port.table().reserve() {
            Ok(token) => token,
            Err(_) => {
                forget(identity);
                return Err((io::ErrorKind::OutOfMemory.into(), endpoint));
            }
        };
        Ok(Registered {
            endpoint: Some(endpoint),
            port: port.clone(),
            token,
            identity,
            counted,
        })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        self.endpoint
            .as_ref()
            .expect("only `into_endpoint` takes it, and that ends us")
    }

    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    /// Ends the registration and keeps the socket open.
    pub(crate) fn into_endpoint(mut self) -> Endpoint {
        let endpoint = self.endpoint.take().expect("only taken here");
        if !self.port.is_forked() {
            self.port.system().deregister(&endpoint);
        }
        endpoint
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // In a forked child the registration is the parent's, and so are the locks.
        if self.port.is_forked() {
            return;
        }
        if let Some(endpoint) = &self.endpoint {
            self.port.system().deregister(endpoint);
        }
        // Before the socket closes: afterwards its identity may be another's.
        forget(self.identity);
        self.port.table().remove(self.token);
        if self.counted {
            self.port.sockets().leave();
        }
    }
}

fn forget(identity: Option<NonZeroU64>) {
    if let Some(identity) = identity {
        overlapped_queue::lock(&ASSOCIATED).remove(&identity);
    }
}
