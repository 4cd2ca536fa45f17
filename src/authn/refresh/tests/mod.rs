//! Table C of the bad inputs, as far as it is about fetching: against a provider on loopback.

mod answers;
mod asked;
mod callers;
mod outage;
mod reach;
mod tls;

use serde_json::json;

use super::super::testing::{provider::*, *};
use super::*;
use crate::{authn::TokenScope, config::KeySource, model::RejectionCode as Code};

fn task(verifier: &Arc<TokenVerifier>) -> KeyTask {
    verifier.tasks().pop().unwrap()
}

/// Reads once, as the task does; how long until the next time.
async fn read(verifier: &Arc<TokenVerifier>) -> Option<Duration> {
    read_at(verifier, now()).await
}

async fn read_at(verifier: &Arc<TokenVerifier>, now: Timestamp) -> Option<Duration> {
    let desk = verifier.desks[0].as_ref().unwrap();
    task(verifier).read(desk, &|| now).await
}

impl TokenVerifier {
    /// The keys that a new read brought, where `pinned` lacks that of `token`.
    async fn refreshed(
        &self,
        pinned: &TrustedKeys,
        token: &AccessToken,
        now: Timestamp,
    ) -> Option<Arc<TrustedKeys>> {
        let index = pinned.signature(token, now).lacking()?;
        self.renewed(index, pinned, token, now).await
    }
}

fn token(signer: &Signer, kid: &str) -> AccessToken {
    AccessToken::new(signer.token(&with(&header(), "kid", json!(kid)), &payload()))
}

#[track_caller]
fn check_now(id: &str, verifier: &TokenVerifier, token: &AccessToken, expected: Option<Code>) {
    let outcome = verifier.pin().verify(token, &TokenScope::default(), now());
    assert_eq!(
        outcome.err().map(|rejection| rejection.code),
        expected,
        "{id}"
    );
}

/// The fault that readiness shows, the keys being usable or not.
fn fault(verifier: &TokenVerifier) -> String {
    verifier
        .pin()
        .health(now())
        .pop()
        .unwrap()
        .fault
        .unwrap_or_default()
}
