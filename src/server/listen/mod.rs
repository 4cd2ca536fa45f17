//! Owns accept for every listener: nothing that a peer does or the system refuses ends it.
//!
//! A connection passes TLS (if configured) and says what it came for, each within its time; then
//! [`connection`] serves it until it ends, is too old, or the server ends.

mod arrival;
mod connection;
mod preface;
mod socket;

#[cfg(test)]
mod tests;

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use futures_util::FutureExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};

pub(super) use arrival::Waiting;
use connection::Serving;
use socket::{Io, Socket, Stream};

use super::tls::Certificates;
use crate::{
    config::{LimitsConfig, ListenAddress},
    metrics::Metrics,
    pep::peer::Peer,
};

/// Pause after a failed accept: out of file descriptors, the next would fail at once.
const PAUSE: Duration = Duration::from_millis(50);

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/2 from the first byte.
    Grpc,
    /// HTTP/1.1.
    Http,
}

/// A socket with everything that its connections must pass.
pub(super) struct Listener {
    name: &'static str,
    socket: Socket,
    shared: Arc<Shared>,
}

/// What all connections of a listener share.
struct Shared {
    name: &'static str,
    protocol: Protocol,
    tls: Option<Arc<Certificates>>,
    /// Hosts that requests may name; empty: any.
    hosts: Vec<String>,
    limits: LimitsConfig,
    metrics: Arc<Metrics>,
    waiting: Waiting,
    places: Arc<Semaphore>,
}

/// How a listener is set up.
pub(super) struct Setup {
    pub(super) name: &'static str,
    pub(super) protocol: Protocol,
    pub(super) tls: Option<Arc<Certificates>>,
    pub(super) hosts: Vec<String>,
    pub(super) limits: LimitsConfig,
    pub(super) metrics: Arc<Metrics>,
    pub(super) waiting: Waiting,
}

impl Listener {
    /// Listens on `address`.
    ///
    /// # Errors
    /// When the address is taken, or not ours to take.
    pub(super) async fn bind(address: &ListenAddress, setup: Setup) -> io::Result<Self> {
        let Setup {
            name,
            protocol,
            tls,
            hosts,
            limits,
            metrics,
            waiting,
        } = setup;
        let socket = Socket::bind(address).await?;
        metrics.listener(name);
        if let Ok(address) = socket.address() {
            tracing::info!(name, %address, tls = tls.is_some(), "listening");
        }
        let shared = Shared {
            name,
            protocol,
            // The kernel vouches for the other end of a Unix socket.
            tls: tls.filter(|_| matches!(socket, Socket::Tcp(_))),
            hosts,
            places: Arc::new(Semaphore::new(limits.connections)),
            limits,
            metrics,
            waiting,
        };
        Ok(Self {
            name,
            socket,
            shared: Arc::new(shared),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub(super) fn address(&self) -> io::Result<ListenAddress> {
        self.socket.address()
    }

    /// Serves `router` until `stop` resolves, then takes in who is at the door, tells every client
    /// that the end is near, and finishes what is in flight. The caller bounds how long that takes.
    pub(super) async fn serve(
        self,
        router: Router,
        stop: impl Future<Output = ()>,
    ) -> Result<(), String> {
        let Self {
            name,
            socket,
            shared,
        } = self;
        let (closing, _) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        let begin = |connections: &mut JoinSet<()>, (stream, peer): (Stream, Peer)| {
            let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else {
                shared.refuse("too_many");
                return;
            };
            let serving = Serving {
                shared: Arc::clone(&shared),
                router: router.clone(),
                closing: closing.subscribe(),
            };
            connections.spawn(serve_one(serving, stream, peer, place));
        };
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = socket.accept() => match accepted {
                    Ok(accepted) => begin(&mut connections, accepted),
                    Err(why) => {
                        shared.refuse("accept");
                        tracing::warn!(name, error = %why, "connection not accepted");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
            shared.metrics.connections(name, connections.len());
        }
        // Whoever the system let in already would otherwise see its connection reset.
        while let Some(Ok(accepted)) = socket.accept().now_or_never() {
            begin(&mut connections, accepted);
        }
        drop(socket);
        closing.send_replace(true);
        while connections.join_next().await.is_some() {
            shared.metrics.connections(name, connections.len());
        }
        Ok(())
    }
}

async fn serve_one(serving: Serving, stream: Stream, mut peer: Peer, place: OwnedSemaphorePermit) {
    let shared = Arc::clone(&serving.shared);
    let io = match &shared.tls {
        None => Io::Plain(stream),
        Some(tls) => {
            let handshake = tls.acceptor(shared.protocol).accept(stream);
            match tokio::time::timeout(shared.limits.handshake, handshake).await {
                Ok(Ok(stream)) => {
                    let (_, session) = stream.get_ref();
                    peer.sans = super::tls::sans(session.peer_certificates());
                    Io::Tls(Box::new(stream))
                }
                Ok(Err(why)) => {
                    shared.refuse("handshake");
                    tracing::debug!(name = shared.name, error = %why, "no TLS session");
                    return;
                }
                Err(_) => return shared.refuse("handshake_timeout"),
            }
        }
    };
    serving.run(io, peer).await;
    drop(place);
}

impl Shared {
    fn refuse(&self, reason: &'static str) {
        self.metrics.connection_refused(self.name, reason);
    }
}
