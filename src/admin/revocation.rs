//! `doorward.v1.RevocationService`.

use tonic::{Request, Response, Status};

use super::operate::Desk;
use crate::{
    ledger::record::{LedgerRecord, Revocation, Revoked},
    model::{Refusal, Right, SignedDuration, Timestamp},
    proto::v1::{
        self as wire,
        revocation_service_server::{RevocationService, RevocationServiceServer},
        revoke_request::What,
    },
    store::Store,
};

/// The longest `jti`, `sub` or `sid`, in bytes.
const MAX_ID: usize = 256;

/// Serves revocation to operators.
#[derive(Clone, Debug)]
pub struct RevocationFace(Desk);

impl RevocationFace {
    /// A face of this desk.
    pub fn new(desk: Desk) -> Self {
        Self(desk)
    }

    /// The service.
    pub fn into_service(self) -> RevocationServiceServer<Self> {
        RevocationServiceServer::new(self)
    }

    fn read(&self, asked: wire::RevokeRequest, now: Timestamp) -> Result<Revocation, Refusal> {
        let named = |it: &&crate::config::IssuerConfig| {
            it.name.as_str() == asked.issuer || it.issuer == asked.issuer
        };
        let issuer = self.0.issuers.iter().find(named).ok_or_else(|| {
            let message = format!("`{}` is no trusted issuer", asked.issuer);
            Refusal::malformed("issuer", "unknown_issuer", message)
        })?;
        let before = match asked.issued_before {
            None => now,
            Some(_) if !matches!(asked.what, Some(What::Subject(_))) => {
                let message = "goes with `subject` only";
                return Err(Refusal::malformed("issued_before", "not_with", message));
            }
            Some(at) => Timestamp::new(at.seconds, at.nanos)
                .ok()
                .filter(|at| *at <= now)
                .ok_or_else(|| {
                    let message = "must be a moment that has come";
                    Refusal::malformed("issued_before", "time", message)
                })?,
        };
        let (field, id) = match &asked.what {
            Some(What::Jti(id)) => ("jti", id),
            Some(What::Session(id)) => ("session", id),
            Some(What::Subject(id)) => ("subject", id),
            None => {
                let message = "is required: set `jti`, `session` or `subject`";
                return Err(Refusal::malformed("what", "missing", message));
            }
        };
        if id.is_empty() || id.len() > MAX_ID {
            let message = format!("must have 1 to {MAX_ID} bytes");
            return Err(Refusal::malformed(field, "length", message));
        }
        let what = match asked.what {
            Some(What::Session(id)) => Revoked::Session(id),
            Some(What::Subject(subject)) => Revoked::Subject { subject, before },
            Some(What::Jti(id)) => Revoked::Token(id),
            None => return Err(Refusal::malformed("what", "missing", "is required")),
        };
        let longest = issuer.max_lifetime + 2 * issuer.leeway;
        let longest = SignedDuration::try_from(longest).unwrap_or(SignedDuration::MAX);
        Ok(Revocation {
            time: now,
            by: String::new(),
            issuer: issuer.issuer.clone(),
            what,
            until: Store::kept_until(now, longest),
        })
    }
}

#[tonic::async_trait]
impl RevocationService for RevocationFace {
    async fn revoke(
        &self,
        request: Request<wire::RevokeRequest>,
    ) -> Result<Response<wire::RevokeResponse>, Status> {
        let mut by = None;
        // A token is revoked for every bundle, so the right must be for every bundle.
        for (bundle, _) in self.0.bundles.iter() {
            by = Some(
                self.0
                    .admit(&request, "revoke", Right::Revoke, bundle.as_str())
                    .await?,
            );
        }
        let by = by.ok_or_else(|| self.0.refuse_anyone(Refusal::UnknownBundle))?;
        let read = self.read(request.into_inner(), by.now);
        let revocation = read.map_err(|refusal| self.0.refuse(&by, refusal))?;
        let until = revocation.until;
        let record = LedgerRecord::Revocation(Revocation {
            by: by.name.to_string(),
            ..revocation
        });
        let written = self.0.store.write(&record).await;
        let written = written.map_err(|why| self.0.not_written(&by, &why))?;
        tracing::info!(by = %by.name, sequence = written.sequence, "tokens revoked");
        Ok(Response::new(wire::RevokeResponse {
            revision: written.revision.to_string(),
            kept_until: Some(prost_types::Timestamp {
                seconds: until.as_second(),
                nanos: until.subsec_nanosecond(),
            }),
        }))
    }
}
