//! The checked thing: whom a verified token speaks of.

use std::{fmt, sync::Arc};

use crate::model::Claims;

use super::verify::Signed;

/// A subject whose access token passed every check at the time of the request.
///
/// [`super::TrustedKeys::verify`] is its only maker.
#[derive(Clone)]
pub struct Identity(Arc<Signed>);

impl Identity {
    pub(super) fn new(signed: Arc<Signed>) -> Self {
        Self(signed)
    }

    /// What the token says.
    pub fn claims(&self) -> &Arc<Claims> {
        &self.0.said.claims
    }

    /// Its audiences, of which the bundle's is one.
    pub(super) fn audiences(&self) -> &[String] {
        &self.0.said.audiences
    }

    /// The first 16 hexadecimal digits of the token's SHA-256: names it without telling it.
    pub fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("issuer", &self.claims().issuer)
            .field("fingerprint", &self.0.fingerprint)
            .finish_non_exhaustive()
    }
}
