//! Keys of issuers outside of a running server.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::clock;
use crate::{
    authn::{TokenVerifier, TrustedKeys},
    model::AccessToken,
};

/// How long an issuer may take to give its keys.
const PATIENCE: Duration = Duration::from_secs(6);

/// The keys as a server that starts now would have them for this token. Keys that do not come in
/// time are missing, as they would be there.
pub async fn read_keys(verifier: &Arc<TokenVerifier>, token: &AccessToken) -> Arc<TrustedKeys> {
    let mut reading = JoinSet::new();
    for task in verifier.tasks() {
        reading.spawn(task.run(clock::now));
    }
    let mut pinned = verifier.pin();
    let found = verifier.signature(&mut pinned, token, clock::now());
    // The tasks end with their set.
    let _found_or_late = tokio::time::timeout(PATIENCE, found).await;
    verifier.pin()
}
