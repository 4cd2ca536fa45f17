//! The one door to an [`Identity`]: signature, issuer, kind, audience and times of a token.

use std::{fmt::Write, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};

use crate::{
    config::{Algorithm, IssuerConfig},
    model::{
        AccessToken, Claims, IssuerName, Members, Rejection, RejectionCode, SignedDuration,
        Timestamp, Value,
    },
};

use super::{
    claims::{Said, read_claims, read_payload},
    compact::Compact,
    header::Header,
    identity::Identity,
    keys::{TrustedIssuer, TrustedKeys},
    profile, reject,
    ring::Key,
};

#[cfg(test)]
mod claim_tests;
#[cfg(test)]
mod tests;

/// Which tokens one bundle accepts, within what the server trusts.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenScope<'a> {
    /// The issuers it accepts; `None`: every trusted one.
    pub issuers: Option<&'a [IssuerName]>,
    /// The audiences it accepts; `None`: each issuer's own.
    pub audiences: Option<&'a [String]>,
}

/// What does not change about a token: who signed it, and what it says.
pub(super) struct Signed {
    pub(super) issuer: Arc<IssuerConfig>,
    pub(super) said: Said,
    pub(super) fingerprint: Arc<str>,
}

impl TrustedKeys {
    /// Verifies an access token as of `now`, against these keys alone.
    ///
    /// Implements RFC 7515 §5.2, RFC 7519 §7.2, RFC 8725 §3 and RFC 9068 §4.
    ///
    /// # Errors
    /// The [`Rejection`] of the first check that fails.
    pub fn verify(
        &self,
        token: &AccessToken,
        scope: &TokenScope<'_>,
        now: Timestamp,
    ) -> Result<Identity, Rejection> {
        let signed = self.check_signature(token.expose())?;
        signed.check_scope(scope)?;
        signed.check_times(now)?;
        Ok(Identity::new(signed.said.claims, signed.fingerprint))
    }

    /// Checks claims whose signature a gateway verified: everything but signature and `typ`, which
    /// it does not pass on.
    ///
    /// They make a principal, never an [`Identity`].
    ///
    /// # Errors
    /// The [`Rejection`] of the first check that fails.
    pub fn vouched(
        &self,
        members: Members,
        scope: &TokenScope<'_>,
        now: Timestamp,
    ) -> Result<Arc<Claims>, Rejection> {
        let trusted = self.trusted(&members)?;
        let issuer = &trusted.config;
        profile::check_members(issuer, false, &members)?;
        let signed = Signed {
            issuer: Arc::clone(issuer),
            said: read_claims(issuer, members)?,
            fingerprint: Arc::from(""),
        };
        signed.check_scope(scope)?;
        signed.check_times(now)?;
        Ok(signed.said.claims)
    }

    fn trusted(&self, members: &Members) -> Result<&TrustedIssuer, Rejection> {
        let iss = members.get("iss").and_then(Value::as_str);
        match iss.and_then(|iss| self.issuer(iss)) {
            Some(trusted) => Ok(trusted),
            None => reject(
                RejectionCode::IssUnknown,
                "`iss` is that of no trusted issuer, byte for byte",
            ),
        }
    }

    /// The checks whose outcome depends on token and keys alone.
    fn check_signature(&self, token: &str) -> Result<Signed, Rejection> {
        let compact = Compact::parse(token)?;
        let header = Header::read(&compact.header)?;
        let members = read_payload(&compact.payload)?;
        let trusted = self.trusted(&members)?;
        let issuer = &trusted.config;
        if !issuer.algorithms.contains(&header.algorithm) {
            return reject(
                RejectionCode::AlgNotAllowed,
                format!(
                    "{} is not on the list of issuer `{}`",
                    header.algorithm, issuer.name
                ),
            );
        }
        let key = self.choose_key(trusted, &header)?;
        verify_signature(&compact, key, header.algorithm)?;
        profile::check(issuer, header.typ.as_deref(), &members)?;
        Ok(Signed {
            issuer: Arc::clone(issuer),
            said: read_claims(issuer, members)?,
            fingerprint: fingerprint(token),
        })
    }

    /// The one key of this issuer that the token may mean; `kid` is compared and nothing else.
    fn choose_key<'a>(
        &'a self,
        trusted: &'a TrustedIssuer,
        header: &Header,
    ) -> Result<&'a Key, Rejection> {
        let name = &trusted.config.name;
        let keys = trusted.ring.keys();
        let key = match header.kid.as_deref() {
            None => match keys {
                [only] => only,
                _ => {
                    return reject(
                        RejectionCode::KidMissing,
                        format!("issuer `{name}` has several keys, so a `kid` must choose one"),
                    );
                }
            },
            Some(kid) => {
                let mut named = keys.iter().filter(|key| key.kid.as_deref() == Some(kid));
                match (named.next(), named.next()) {
                    (Some(key), None) => key,
                    (Some(_), Some(_)) => {
                        return reject(
                            RejectionCode::KidAmbiguous,
                            format!("issuer `{name}` has several keys of this `kid`"),
                        );
                    }
                    (None, _) => return Err(self.unknown_kid(&trusted.config, kid)),
                }
            }
        };
        if !key.algorithms.contains(&header.algorithm) {
            return reject(
                RejectionCode::AlgKeyMismatch,
                format!("{} does not fit the key", header.algorithm),
            );
        }
        if let (Some(said), Some(known)) = (&header.x5t_s256, &key.x5t_s256)
            && said != known
        {
            return reject(
                RejectionCode::KeyMismatch,
                "`x5t#S256` is not that of the key's certificate",
            );
        }
        Ok(key)
    }

    fn unknown_kid(&self, issuer: &IssuerConfig, kid: &str) -> Rejection {
        match self.other_owner(&issuer.issuer, kid) {
            Some(other) => Rejection::new(
                RejectionCode::IssKeyMismatch,
                format!(
                    "`iss` is issuer `{}`, but the key is of issuer `{other}`",
                    issuer.name
                ),
            ),
            None => Rejection::new(
                RejectionCode::KidUnknown,
                format!("issuer `{}` has no key of this `kid`", issuer.name),
            ),
        }
    }
}

impl Signed {
    /// Whether the asked bundle accepts the issuer and is meant by the audience.
    fn check_scope(&self, scope: &TokenScope<'_>) -> Result<(), Rejection> {
        if scope
            .issuers
            .is_some_and(|accepted| !accepted.contains(&self.issuer.name))
        {
            return reject(
                RejectionCode::IssuerNotAccepted,
                format!(
                    "issuer `{}` is not accepted by this bundle",
                    self.issuer.name
                ),
            );
        }
        let accepted = scope.audiences.unwrap_or(&self.issuer.audiences);
        if !self
            .said
            .audiences
            .iter()
            .any(|audience| accepted.contains(audience))
        {
            return reject(
                RejectionCode::AudMismatch,
                format!("`aud` has none of: {}", accepted.join(", ")),
            );
        }
        Ok(())
    }

    /// RFC 7519 §4.1.4 to §4.1.6, each with the issuer's leeway.
    fn check_times(&self, now: Timestamp) -> Result<(), Rejection> {
        let leeway = signed(self.issuer.leeway);
        let claims = &self.said.claims;
        let is_after = |later: Timestamp, earlier: Timestamp, by: SignedDuration| {
            later.duration_since(earlier) > by
        };
        if !is_after(claims.expires_at, now, -leeway) {
            return reject(
                RejectionCode::TokenExpired,
                format!("`exp` was {}", claims.expires_at),
            );
        }
        if let Some(not_before) = self.said.not_before
            && is_after(not_before, now, leeway)
        {
            return reject(
                RejectionCode::TokenNotYetValid,
                format!("`nbf` is {not_before}"),
            );
        }
        if let Some(issued_at) = claims.issued_at
            && is_after(issued_at, now, leeway)
        {
            return reject(
                RejectionCode::TokenLifetime,
                format!("`iat` is in the future: {issued_at}"),
            );
        }
        let born = claims.issued_at.unwrap_or(now);
        let most = signed(self.issuer.max_lifetime);
        if is_after(claims.expires_at, born, most) {
            return reject(
                RejectionCode::TokenLifetime,
                format!("lives longer than `max_lifetime` of {most:#}"),
            );
        }
        Ok(())
    }
}

/// Durations of the configuration are bounded far below the limit of a [`SignedDuration`].
fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::ZERO)
}

fn verify_signature(
    compact: &Compact<'_>,
    key: &Key,
    algorithm: Algorithm,
) -> Result<(), Rejection> {
    let verified = jsonwebtoken::crypto::verify(
        compact.signature,
        compact.signing_input.as_bytes(),
        &key.decoding,
        to_jose(algorithm),
    );
    match verified {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => reject(
            RejectionCode::SignatureInvalid,
            "the signature is not by the issuer's key",
        ),
    }
}

pub(super) fn to_jose(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::RS384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::RS512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::PS256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::PS384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::PS512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::ES384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
    }
}

/// The first 16 hexadecimal digits of the token's SHA-256.
fn fingerprint(token: &str) -> Arc<str> {
    let mut fingerprint = String::with_capacity(16);
    for byte in digest(&SHA256, token.as_bytes()).as_ref().iter().take(8) {
        let _ = write!(fingerprint, "{byte:02x}");
    }
    fingerprint.into()
}
