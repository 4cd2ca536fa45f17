//! Envoy's `envoy.service.auth.v3.Authorization` (ext_authz).
//!
//! A gRPC error obeys the proxy's `failure_mode_allow`, and so does whatever the proxy waits for in
//! vain. So deadline and panics are caught in here, each failure of ours is a *denied response* of a
//! call that succeeds, and `answer` alone builds responses; what is refused before it gets here, as a
//! message that cannot be decoded, becomes one at the rim. What remains is a lost transport.

mod answer;
mod ask;
mod claims;
mod headers;

use std::{sync::Arc, time::Duration};

use axum::{body::Body, http};

use envoy_types::ext_authz::v3::pb::{
    Authorization, AuthorizationServer, CheckRequest, CheckResponse,
};
use tonic::{
    Code, Request, Response, Status,
    codec::{BufferSettings, EncodeBody, SingleMessageCompressionOverride},
    metadata::GRPC_CONTENT_TYPE,
};
use tonic_prost::ProstEncoder;

use super::{
    admission::{Admission, Arrival, Class},
    guard::{Call, caught},
    timeout,
};
use crate::{
    audit::Recorder,
    config::IdentityHeaders,
    model::{Face, Timestamp},
    pdp::Pdp,
};

/// The path of its one method.
pub(super) const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Of the proxy's time, so much is left for the way back: an answer that comes too late is no
/// answer, and then the proxy's `failure_mode_allow` decides.
const WAY_BACK: u32 = 4;

/// Serves the decision point to Envoy.
#[derive(Clone, Debug)]
pub struct ExtAuthzFace {
    pdp: Arc<Pdp>,
    recorder: Recorder,
    identity: Arc<IdentityHeaders>,
    clock: fn() -> Timestamp,
    admission: Admission,
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
            admission: Admission::default(),
        }
    }

    /// Works on no more than `admission` lets in.
    pub fn with_admission(self, admission: Admission) -> Self {
        Self { admission, ..self }
    }

    /// The service, accepting messages of up to `max_request` bytes.
    pub fn into_service(self, max_request: usize) -> AuthorizationServer<Self> {
        AuthorizationServer::new(self).max_decoding_message_size(max_request)
    }
}

#[tonic::async_trait]
impl Authorization for ExtAuthzFace {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let now = (self.clock)();
        let arrival = request.extensions().get::<Arrival>();
        let waits = timeout::of(request.metadata()).map(patience);
        let call = Call::new(&self.recorder, Face::ExtAuthz, now)
            .admitted(&self.admission, Class::Check, arrival, waits)
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
            response
                .await
                .unwrap_or_else(|_| answer::bare(Code::Unavailable)),
        ))
    }
}

/// A denied response of that class, for what never reached the handler: an error in its place would
/// obey the proxy's `failure_mode_allow`.
pub(super) fn undelivered(code: Code) -> http::Response<Body> {
    let message = tokio_stream::once(Ok(answer::bare(code)));
    let body = EncodeBody::new_server(
        ProstEncoder::new(BufferSettings::default()),
        message,
        None,
        SingleMessageCompressionOverride::default(),
        None,
    );
    let mut response = http::Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

/// The time to answer in, of a proxy that waits so long.
fn patience(timeout: Duration) -> Duration {
    timeout - timeout / WAY_BACK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_leaves_before_the_proxy_gives_up() {
        for (timeout, left) in [(200, 150), (1000, 750), (0, 0)] {
            let timeout = Duration::from_millis(timeout);
            assert_eq!(patience(timeout), Duration::from_millis(left));
        }
    }
}
