//! Why there is no answer.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not the address of a server.
    #[error("`{0}` is not an address such as `http://127.0.0.1:9191`")]
    Url(String),
    /// Nobody answers there.
    #[error("no Doorward answers at `{url}`")]
    Unreachable {
        /// The address.
        url: String,
        /// Why not.
        source: tonic::transport::Error,
    },
    /// A secret with characters that no header may have.
    #[error("the caller's secret has characters that cannot be sent")]
    Secret,
    /// The server made no decision.
    #[error("{0}")]
    Refused(Box<Refused>),
    /// No answer came in time.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// The answer says neither allow nor deny.
    #[error("the answer says neither allow nor deny: is the client older than the server?")]
    NoAnswer,
}

/// A refusal, as the server tells it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// The class, as gRPC has it.
    pub code: Code,
    /// The stable reason, as `invalid_token`; empty when someone other than Doorward refused.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// The id of the refusal in the decision log; empty likewise.
    pub decision_id: String,
    /// Field and fault of a malformed request.
    pub violations: Vec<(String, String)>,
    /// When to ask again, where the server says so.
    pub retry_after: Option<Duration>,
}

impl ClientError {
    pub(super) fn refused(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let reason = info.map(|it| it.reason.clone());
        let decision_id = info.and_then(|it| it.metadata.get("decision_id").cloned());
        let violations = details.bad_request().map(|bad| {
            let pairs = bad.field_violations.iter();
            pairs.map(|it| (it.field.clone(), it.description.clone()))
        });
        let retry_after = details.retry_info().and_then(|it| it.retry_delay);
        Self::Refused(Box::new(Refused {
            code: status.code(),
            decision_id: decision_id.unwrap_or_default(),
            reason: reason.unwrap_or_default(),
            message: status.message().to_owned(),
            violations: violations.into_iter().flatten().collect(),
            retry_after,
        }))
    }
}
