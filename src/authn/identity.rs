//! The checked thing: whom a verified token speaks of.

use std::{fmt, sync::Arc};

use crate::model::Claims;

/// A subject whose access token passed every check at the time of the request.
///
/// [`super::TrustedKeys::verify`] is its only maker.
#[derive(Clone)]
pub struct Identity {
    claims: Arc<Claims>,
    fingerprint: Arc<str>,
}

impl Identity {
    pub(super) fn new(claims: Arc<Claims>, fingerprint: Arc<str>) -> Self {
        Self {
            claims,
            fingerprint,
        }
    }

    /// What the token says.
    pub fn claims(&self) -> &Arc<Claims> {
        &self.claims
    }

    /// The first 16 hexadecimal digits of the token's SHA-256: names it without telling it.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("issuer", &self.claims.issuer)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}
