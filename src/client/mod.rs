//! Asks a Doorward over gRPC.
//!
//! ```no_run
//! # async fn f() -> Result<(), doorward::client::ClientError> {
//! use doorward::{client::Client, model::EntityRef, proto::v1::*};
//!
//! let client = Client::connect("http://127.0.0.1:9191").await?;
//! let verdict = client
//!     .check(CheckRequest {
//!         subject: Some(check_request::Subject::AccessToken("eyJ…".into())),
//!         question: Some(check_request::Question::Named(NamedQuestion {
//!             action: "ReadOrder".into(),
//!             resource: Some(EntityRef::new("Order", "o-1").into()),
//!         })),
//!         ..Default::default()
//!     })
//!     .await?;
//! assert!(verdict.is_allowed());
//! # Ok(())
//! # }
//! ```

mod error;
mod wire;

pub use error::{ClientError, Refused};
pub use tonic::Code;
pub use wire::{NotSendable, to_members};

use std::time::Duration;

use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use crate::proto::v1::{
    CheckRequest, Decision, Outcome, decision_service_client::DecisionServiceClient,
};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest wait for an answer; the server's own deadline is shorter.
const ANSWER: Duration = Duration::from_secs(5);

/// A connection to a Doorward; cheap to clone.
#[derive(Clone)]
pub struct Client {
    service: DecisionServiceClient<Channel>,
    authorization: Option<MetadataValue<Ascii>>,
}

impl Client {
    /// Connects to `url`, as `http://127.0.0.1:9191`; there is no TLS yet.
    ///
    /// # Errors
    /// [`ClientError::Url`] and [`ClientError::Unreachable`].
    pub async fn connect(url: &str) -> Result<Self, ClientError> {
        if !url.starts_with("http://") {
            return Err(ClientError::Url(url.to_owned()));
        }
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|_| ClientError::Url(url.to_owned()))?
            .connect_timeout(CONNECT)
            .timeout(ANSWER);
        let unreachable = |source| ClientError::Unreachable {
            url: url.to_owned(),
            source,
        };
        let channel = endpoint.connect().await.map_err(unreachable)?;
        Ok(Self {
            service: DecisionServiceClient::new(channel),
            authorization: None,
        })
    }

    /// Sends `secret` as this caller's own credential.
    ///
    /// # Errors
    /// [`ClientError::Secret`] when it cannot stand in a header.
    pub fn with_secret(mut self, secret: &str) -> Result<Self, ClientError> {
        let mut value =
            MetadataValue::try_from(format!("Bearer {secret}")).map_err(|_| ClientError::Secret)?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    /// Asks one question. Whatever is not an answer is an error and never an allow.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when no decision could be made.
    pub async fn check(&self, request: CheckRequest) -> Result<Verdict, ClientError> {
        let mut request = Request::new(request);
        if let Some(authorization) = &self.authorization {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", authorization.clone());
        }
        let answered = self.service.clone().check(request).await;
        let response = answered.map_err(|status| ClientError::refused(&status))?;
        match response.into_inner().decision {
            Some(decision) if decision.outcome() != Outcome::Unspecified => Ok(Verdict(decision)),
            _ => Err(ClientError::NoAnswer),
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// An answer: allow or deny, with the reasons.
#[derive(Clone, Debug)]
pub struct Verdict(Decision);

impl Verdict {
    /// Whether the subject may.
    pub fn is_allowed(&self) -> bool {
        self.0.outcome() == Outcome::Allow
    }

    /// The whole decision, as sent.
    pub fn decision(&self) -> &Decision {
        &self.0
    }
}
