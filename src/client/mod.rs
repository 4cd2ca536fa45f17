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
//!
//! A service puts [`Authorize`] around its router and is asked for nothing more;
//! `examples/axum_api.rs` shows it.

mod cache;
mod denial;
mod error;
mod layer;
mod operator;
mod pool;
mod wire;

pub use denial::Denial;
pub use error::{ClientError, Refused};
pub use layer::{Authorize, Authorized};
pub use operator::{Operator, Tail};
pub use tonic::Code;
pub use wire::{NotSendable, to_members};

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::Endpoint,
};

use crate::proto::v1::{CheckRequest, Decision, ExplainRequest, Explanation, Outcome};
use cache::Cache;
use pool::Pool;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);

/// How a [`Client`] asks.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Longest wait for an answer, a second try within it.
    pub deadline: Duration,
    /// Connections to hold; each carries many questions at once.
    pub connections: usize,
    /// The most answers to keep for as long as each allows (`cacheable_for`); 0: none. A kept answer
    /// has the decision id of the first one, and the decision log has it once.
    pub cache: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            // Longer than the server's own deadline.
            deadline: Duration::from_secs(5),
            connections: 2,
            cache: 0,
        }
    }
}

/// Asks one Doorward; cheap to clone.
#[derive(Clone)]
pub struct Client {
    pool: Arc<Pool>,
    options: ClientOptions,
    cache: Arc<Mutex<Cache>>,
    authorization: Option<MetadataValue<Ascii>>,
}

impl Client {
    /// Connects to `url`, as `http://127.0.0.1:9191`; there is no TLS yet.
    ///
    /// # Errors
    /// [`ClientError::Url`] and [`ClientError::Unreachable`].
    pub async fn connect(url: &str) -> Result<Self, ClientError> {
        let endpoint = endpoint(url)?;
        let unreachable = |source| ClientError::Unreachable {
            url: url.to_owned(),
            source,
        };
        let first = endpoint.connect().await.map_err(unreachable)?;
        let options = ClientOptions::default();
        Ok(Self::over(
            Pool::new(endpoint, options.connections, Some(first)),
            options,
        ))
    }

    /// Will connect to `url` with the first question, so that a service may start before its
    /// Doorward. Needs a Tokio runtime around it.
    ///
    /// # Errors
    /// [`ClientError::Url`].
    pub fn lazy(url: &str, options: ClientOptions) -> Result<Self, ClientError> {
        let pool = Pool::new(endpoint(url)?, options.connections, None);
        Ok(Self::over(pool, options))
    }

    fn over(pool: Pool, options: ClientOptions) -> Self {
        Self {
            pool: Arc::new(pool),
            cache: Arc::new(Mutex::new(Cache::new(options.cache))),
            options,
            authorization: None,
        }
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
        // What one caller was answered is not another's.
        self.cache = Arc::new(Mutex::new(Cache::new(self.options.cache)));
        Ok(self)
    }

    /// Asks one question. Whatever is not an answer is an error and never an allow.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when no decision could be made, [`ClientError::Late`] when none came
    /// in time.
    #[expect(
        clippy::disallowed_methods,
        reason = "the asking service has no other rim than this"
    )]
    pub async fn check(&self, request: CheckRequest) -> Result<Verdict, ClientError> {
        let asked = Instant::now();
        let key = (self.options.cache > 0).then(|| cache::key(&request));
        let kept = key.as_ref().and_then(|key| self.cache().get(key, asked));
        if let Some(decision) = kept {
            return Ok(Verdict(decision));
        }
        let answered = self.pool.check(request, self.authorization.as_ref());
        let response = tokio::time::timeout(self.options.deadline, answered)
            .await
            .map_err(|_| ClientError::Late(self.options.deadline))?
            .map_err(|status| ClientError::refused(&status))?;
        match response.into_inner().decision {
            Some(decision) if decision.outcome() != Outcome::Unspecified => {
                if let Some(key) = key {
                    self.cache().put(key, &decision, asked);
                }
                Ok(Verdict(decision))
            }
            _ => Err(ClientError::NoAnswer),
        }
    }

    /// Asks why a question comes out as it does. Nobody is to be let in by what it tells.
    ///
    /// # Errors
    /// As of [`Client::check`]; also for want of the right `explain`, and when asked too often.
    pub async fn explain(&self, request: CheckRequest) -> Result<Explanation, ClientError> {
        let request = ExplainRequest {
            check: Some(request),
        };
        let answered = self.pool.explain(request, self.authorization.as_ref());
        let response = tokio::time::timeout(self.options.deadline, answered)
            .await
            .map_err(|_| ClientError::Late(self.options.deadline))?
            .map_err(|status| ClientError::refused(&status))?;
        let explanation = response.into_inner().explanation;
        explanation.ok_or(ClientError::NoAnswer)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        // It is held for a look-up, never across a wait.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn endpoint(url: &str) -> Result<Endpoint, ClientError> {
    let wrong = || ClientError::Url(url.to_owned());
    if !url.starts_with("http://") {
        return Err(wrong());
    }
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_| wrong())?;
    Ok(endpoint.connect_timeout(CONNECT))
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
