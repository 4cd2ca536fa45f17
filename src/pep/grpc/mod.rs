//! `doorward.v1.DecisionService`, Doorward's own protocol.

mod answer;
mod ask;
mod batch;
mod explain;
mod stream;

#[cfg(test)]
mod tests;

pub use explain::to_explanation;

use std::sync::Arc;

use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::{
    admission::{Admission, Arrival, Class},
    guard::Call,
    status::to_status,
    timeout,
};
use crate::{
    audit::Recorder,
    model::{CallerCredential, EntityFacts, EntityRef, Face, Refusal, SignedDuration, Timestamp},
    pdp::Pdp,
    proto::v1::{
        self as wire, CheckBatchRequest, CheckBatchResponse, CheckRequest, CheckResponse,
        CheckStreamRequest, ExplainRequest, ExplainResponse,
        decision_service_server::{DecisionService, DecisionServiceServer},
    },
};

/// Largest accepted request message, in bytes, unless configured otherwise. Buffers of this size
/// are reserved before any byte of a message has come, one for each stream.
pub const MAX_REQUEST: usize = 256 * 1024;

/// Serves the decision point over gRPC.
#[derive(Clone, Debug)]
pub struct DecisionFace {
    pdp: Arc<Pdp>,
    recorder: Recorder,
    clock: fn() -> Timestamp,
    admission: Admission,
    /// Turns `true` when the server is about to end.
    closing: Option<watch::Receiver<bool>>,
}

impl DecisionFace {
    /// A face of `pdp`; `recorder` takes what never reaches it.
    pub fn new(pdp: Arc<Pdp>, recorder: Recorder, clock: fn() -> Timestamp) -> Self {
        Self {
            pdp,
            recorder,
            clock,
            admission: Admission::default(),
            closing: None,
        }
    }

    /// Works on no more than `admission` lets in.
    pub fn with_admission(self, admission: Admission) -> Self {
        Self { admission, ..self }
    }

    /// Ends open streams, once they are answered, when `closing` turns `true`.
    pub fn with_closing(self, closing: watch::Receiver<bool>) -> Self {
        Self {
            closing: Some(closing),
            ..self
        }
    }

    /// The service, accepting messages of up to `max_request` bytes.
    pub fn into_service(self, max_request: usize) -> DecisionServiceServer<Self> {
        DecisionServiceServer::new(self).max_decoding_message_size(max_request)
    }

    /// A call that just came in, with its place and its time.
    fn call<T>(&self, request: &Request<T>, class: Class, id: &str, now: Timestamp) -> Call<'_> {
        let arrival = request.extensions().get::<Arrival>();
        Call::new(&self.recorder, Face::Grpc, now)
            .with_request_id(id)
            .admitted(
                &self.admission,
                class,
                arrival,
                timeout::of(request.metadata()),
            )
    }
}

#[tonic::async_trait]
impl DecisionService for DecisionFace {
    type CheckStreamStream = stream::Answers;

    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let now = (self.clock)();
        let call = self.call(&request, Class::Check, &request.get_ref().request_id, now);
        let work = async {
            let credential = ask::credential(&request)?;
            let ask = ask::to_access_request(request.into_inner(), credential)?;
            Ok(self.pdp.answer(ask, now).await)
        };
        match call.answer(work).await {
            Ok(answer) => Ok(Response::new(answer::to_check_response(&answer))),
            Err(refused) => Err(to_status(&refused)),
        }
    }

    async fn check_batch(
        &self,
        request: Request<CheckBatchRequest>,
    ) -> Result<Response<CheckBatchResponse>, Status> {
        let now = (self.clock)();
        let call = self.call(&request, Class::Batch, &request.get_ref().request_id, now);
        let work = async {
            let credential = ask::credential(&request)?;
            batch::answer(self, request.into_inner(), credential, now).await
        };
        match call.answer(work).await {
            Ok(results) => Ok(Response::new(CheckBatchResponse { results })),
            Err(refused) => Err(to_status(&refused)),
        }
    }

    async fn explain(
        &self,
        request: Request<ExplainRequest>,
    ) -> Result<Response<ExplainResponse>, Status> {
        let now = (self.clock)();
        let check = request.get_ref().check.as_ref();
        let id = check.map_or("", |check| check.request_id.as_str());
        let call = self.call(&request, Class::Explain, id, now).explaining();
        let (pdp, clock) = (Arc::clone(&self.pdp), self.clock);
        // What was found in half of the time is told; the rest is for the way back.
        let until = now.checked_add(call.deadline() / 2).unwrap_or(now);
        let work = async move {
            let credential = ask::credential(&request)?;
            let check = request.into_inner().check.ok_or_else(|| {
                Refusal::malformed("check", "missing", "is required: state the question")
            })?;
            let ask = ask::to_access_request(check, credential)?;
            pdp.keys_to_explain(&ask, now).await;
            // It may take as long as a thousand decisions, which are not to wait for it.
            let explained = tokio::task::spawn_blocking(move || {
                let stop = || clock() >= until;
                pdp.explain(ask, now, &stop)
            });
            explained.await.map_err(|_| Refusal::Unavailable {
                detail: "the explanation panicked".to_owned(),
            })
        };
        match call.answer(work).await {
            Ok(explained) => Ok(Response::new(explain::to_explain_response(&explained))),
            Err(refused) => Err(to_status(&refused)),
        }
    }

    async fn check_stream(
        &self,
        request: Request<Streaming<CheckStreamRequest>>,
    ) -> Result<Response<stream::Answers>, Status> {
        let now = (self.clock)();
        let mut call = self.call(&request, Class::Stream, "", now);
        let place = call.take_place();
        let work = async {
            let credential = ask::credential(&request)?;
            let until = self.pdp.caller_until(&credential, now).await?;
            Ok(Ok((credential, until)))
        };
        match call.answer(work).await {
            Ok((credential, until)) => {
                let left = until.map(|until| {
                    let left = until.duration_since(now).max(SignedDuration::ZERO);
                    left.unsigned_abs()
                });
                let inbound = request.into_inner();
                let stream = stream::Open::new(self.clone(), inbound, credential, left, place);
                Ok(Response::new(stream.answers()))
            }
            Err(refused) => Err(to_status(&refused)),
        }
    }
}

/// The credential of whoever makes a call, for services of other modules.
///
/// # Errors
/// [`Refusal::CallerUnknown`] for a bearer that is none.
pub fn credential<T>(request: &Request<T>) -> Result<CallerCredential, Refusal> {
    ask::credential(request)
}

/// An entity as a message has it, with what is stated about it; faults begin with `field`.
///
/// # Errors
/// [`Refusal::Malformed`] with every fault found, [`Refusal::TooLarge`] over a limit.
pub fn read_entity(
    entity: Option<wire::Entity>,
    field: &'static str,
) -> Result<EntityFacts, Refusal> {
    ask::to_entity(entity, field)
}

/// The name of an entity as a message has it; faults begin with `field`.
///
/// # Errors
/// [`Refusal::Malformed`].
pub fn read_uid(uid: Option<wire::EntityUid>, field: &'static str) -> Result<EntityRef, Refusal> {
    ask::to_uid(uid, field)
}
