//! Connections to one server, and what becomes of a question whose connection breaks.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use crate::proto::v1::{
    CheckRequest, CheckResponse, ExplainRequest, ExplainResponse,
    decision_service_client::DecisionServiceClient,
};

/// Connections that questions take in turn; each carries many at once.
pub(super) struct Pool {
    endpoint: Endpoint,
    slots: Vec<Mutex<Slot>>,
    turn: AtomicUsize,
}

/// A connection and how many stood here before it.
struct Slot {
    generation: usize,
    channel: Channel,
}

/// A connection that a question took.
struct Taken {
    slot: usize,
    generation: usize,
    channel: Channel,
}

impl Pool {
    /// A pool of `size` connections, each made with its first question; the first may stand already.
    pub(super) fn new(endpoint: Endpoint, size: usize, first: Option<Channel>) -> Self {
        let standing = first.into_iter();
        let lazy = std::iter::repeat_with(|| endpoint.connect_lazy());
        let slots = standing.chain(lazy).take(size.max(1)).map(|channel| {
            Mutex::new(Slot {
                generation: 0,
                channel,
            })
        });
        Self {
            slots: slots.collect(),
            turn: AtomicUsize::new(0),
            endpoint,
        }
    }

    /// Asks; a question whose connection breaks is asked once more, over a fresh one. Asking twice
    /// does no harm: a question changes nothing.
    pub(super) async fn check(
        &self,
        request: CheckRequest,
        authorization: Option<&MetadataValue<Ascii>>,
    ) -> Result<Response<CheckResponse>, Status> {
        let Some(taken) = self.take() else {
            return Err(Status::unavailable("the pool has no connection"));
        };
        let first = ask(taken.channel.clone(), request.clone(), authorization).await;
        match first {
            Err(status) if is_lost(&status) => ask(self.renew(taken), request, authorization).await,
            answered => answered,
        }
    }

    /// Asks for an explanation, once: it costs the server much, and nobody waits behind it.
    pub(super) async fn explain(
        &self,
        request: ExplainRequest,
        authorization: Option<&MetadataValue<Ascii>>,
    ) -> Result<Response<ExplainResponse>, Status> {
        let Some(taken) = self.take() else {
            return Err(Status::unavailable("the pool has no connection"));
        };
        let request = authorized(request, authorization);
        DecisionServiceClient::new(taken.channel)
            .explain(request)
            .await
    }

    fn take(&self) -> Option<Taken> {
        let slot = self.turn.fetch_add(1, Ordering::Relaxed) % self.slots.len().max(1);
        let held = self.slots.get(slot)?;
        let held = held.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Taken {
            slot,
            generation: held.generation,
            channel: held.channel.clone(),
        })
    }

    /// A connection in place of a broken one; many questions that break together share it.
    fn renew(&self, broken: Taken) -> Channel {
        let Some(held) = self.slots.get(broken.slot) else {
            return broken.channel;
        };
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.generation == broken.generation {
            held.generation = held.generation.wrapping_add(1);
            held.channel = self.endpoint.connect_lazy();
        }
        held.channel.clone()
    }
}

async fn ask(
    channel: Channel,
    request: CheckRequest,
    authorization: Option<&MetadataValue<Ascii>>,
) -> Result<Response<CheckResponse>, Status> {
    let request = authorized(request, authorization);
    DecisionServiceClient::new(channel).check(request).await
}

fn authorized<T>(message: T, authorization: Option<&MetadataValue<Ascii>>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(authorization) = authorization {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", authorization.clone());
    }
    request
}

/// Whether nobody answered: what Doorward refuses, it refuses with details.
fn is_lost(status: &Status) -> bool {
    let transport = matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
    );
    transport && status.get_details_error_info().is_none()
}
