//! `doorward.v1.DecisionService`, Doorward's own protocol.

mod answer;
mod ask;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{guard::Call, status::to_status};
use crate::{
    audit::Recorder,
    model::{Face, Timestamp},
    pdp::Pdp,
    proto::v1::{
        CheckRequest, CheckResponse,
        decision_service_server::{DecisionService, DecisionServiceServer},
    },
};

/// Largest accepted request message, in bytes. Buffers of this size are reserved before any byte
/// of a message has come, one for each stream.
const MAX_REQUEST: usize = 256 * 1024;

/// Serves the decision point over gRPC.
#[derive(Clone, Debug)]
pub struct DecisionFace {
    pdp: Arc<Pdp>,
    recorder: Recorder,
    clock: fn() -> Timestamp,
}

impl DecisionFace {
    /// A face of `pdp`; `recorder` takes what never reaches it.
    pub fn new(pdp: Arc<Pdp>, recorder: Recorder, clock: fn() -> Timestamp) -> Self {
        Self {
            pdp,
            recorder,
            clock,
        }
    }

    /// The service, with its message limit.
    pub fn into_service(self) -> DecisionServiceServer<Self> {
        DecisionServiceServer::new(self).max_decoding_message_size(MAX_REQUEST)
    }
}

#[tonic::async_trait]
impl DecisionService for DecisionFace {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let now = (self.clock)();
        let call = Call::new(&self.recorder, Face::Grpc, now)
            .with_request_id(&request.get_ref().request_id);
        let work = async {
            let ask = ask::to_access_request(request)?;
            Ok(self.pdp.answer(ask, now).await)
        };
        match call.answer(work).await {
            Ok(answer) => Ok(Response::new(answer::to_check_response(&answer))),
            Err(refused) => Err(to_status(&refused)),
        }
    }
}
