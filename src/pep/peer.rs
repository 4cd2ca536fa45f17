//! Who is at the other end of a connection, as the listener knows it.

use std::{net::SocketAddr, sync::Arc};

use tonic::Request;

use crate::model::CallerCredential;

/// The other end of a connection. Listeners put it among the extensions of every request.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Its address; none over a Unix socket.
    pub address: Option<SocketAddr>,
    /// The subject alternative names of the client certificate that TLS verified.
    pub sans: Arc<[String]>,
    /// The user that the kernel names, over a Unix socket.
    pub uid: Option<u32>,
}

impl Peer {
    /// What this end of the connection proves, along with the request's own `bearer`.
    pub fn credential(&self, bearer: Option<String>) -> CallerCredential {
        CallerCredential {
            peer: self.address,
            bearer,
            sans: self.sans.to_vec(),
            uid: self.uid,
        }
    }
}

/// The other end of a call; without a listener of ours, its address alone is known.
pub(super) fn of<T>(request: &Request<T>) -> Peer {
    request
        .extensions()
        .get::<Peer>()
        .cloned()
        .unwrap_or_else(|| Peer {
            address: request.remote_addr(),
            ..Peer::default()
        })
}
