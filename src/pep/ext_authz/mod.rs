//! Envoy's `envoy.service.auth.v3.Authorization` (ext_authz).
//!
//! A gRPC error obeys the proxy's `failure_mode_allow`, and so does whatever the proxy waits for in
//! vain. So deadline and panics are caught in here, each failure of ours is a *denied response* of a
//! call that succeeds, and [`answer`] alone builds responses. What remains are a lost transport and
//! a message that cannot be decoded.

mod answer;
mod ask;
mod claims;
mod headers;
mod patience;

use std::sync::Arc;

use envoy_types::ext_authz::v3::pb::{
    Authorization, AuthorizationServer, CheckRequest, CheckResponse,
};
use tonic::{Request, Response, Status};

use super::guard::{Call, caught};
use crate::{
    audit::Recorder,
    config::IdentityHeaders,
    model::{Face, Timestamp},
    pdp::Pdp,
};

/// Largest accepted message, in bytes: the largest header list a proxy lets through, and a body as
/// far as it is sent along, with room to spare, since a larger one would be a gRPC error.
const MAX_REQUEST: usize = 1024 * 1024;

/// Serves the decision point to Envoy.
#[derive(Clone, Debug)]
pub struct ExtAuthzFace {
    pdp: Arc<Pdp>,
    recorder: Recorder,
    identity: Arc<IdentityHeaders>,
    clock: fn() -> Timestamp,
}

impl ExtAuthzFace {
    /// A face of `pdp` that tells upstreams what `identity` names; `recorder` takes what never
    /// reaches the decision point.
    pub fn new(
        pdp: Arc<Pdp>,
        recorder: Recorder,
        identity: IdentityHeaders,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            pdp,
            recorder,
            identity: Arc::new(identity),
            clock,
        }
    }

    /// The service, with its message limit.
    pub fn into_service(self) -> AuthorizationServer<Self> {
        AuthorizationServer::new(self).max_decoding_message_size(MAX_REQUEST)
    }
}

#[tonic::async_trait]
impl Authorization for ExtAuthzFace {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let now = (self.clock)();
        let patience = patience::of(request.metadata());
        let call = Call::new(&self.recorder, Face::ExtAuthz, now)
            .with_deadline(patience)
            .with_request_id(ask::request_id(request.get_ref()).unwrap_or_default());
        let mut seen = headers::Seen::default();
        let work = async {
            let ask = ask::to_access_request(request, &self.identity, &mut seen)?;
            Ok(self.pdp.answer(ask, now).await)
        };
        let answered = call.answer(work).await;
        let response = caught(async {
            match &answered {
                Ok(answer) => answer::to_check_response(answer, &self.identity, &seen),
                Err(refused) => answer::to_refusal(refused),
            }
        });
        Ok(Response::new(
            response.await.unwrap_or_else(|_| answer::broken()),
        ))
    }
}
