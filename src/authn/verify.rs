//! The one door to an [`Identity`]: signature, issuer, kind, audience and times of a token.

use std::{fmt::Write, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

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
    inspect::Check,
    keys::{TrustedIssuer, TrustedKeys},
    profile, reject,
    ring::{Key, KeyRing},
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
    issuer: Arc<IssuerConfig>,
    /// The ring that verified it.
    ring: [u8; 32],
    pub(super) said: Said,
    pub(super) fingerprint: Box<str>,
}

/// A token taken apart, of an issuer that is trusted.
struct Parts<'a, 'k> {
    compact: Compact<'a>,
    header: Header,
    members: Members,
    index: usize,
    trusted: &'k TrustedIssuer,
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
        let signed = match self.known(token.expose(), now) {
            Some(signed) => signed,
            None => {
                let signed = Arc::new(self.check_signature(token.expose(), now, &mut |_, _| ())?);
                self.cache.put(token.expose(), &signed);
                signed
            }
        };
        signed
            .said
            .check(&signed.issuer, scope, now, &mut |_, _| ())?;
        Ok(Identity::new(signed))
    }

    /// The same checks from the first to the last, each telling when it is passed.
    pub(super) fn verify_aloud(
        &self,
        token: &AccessToken,
        scope: &TokenScope<'_>,
        now: Timestamp,
        passed: &mut impl FnMut(Check, &dyn Fn() -> String),
    ) -> Result<(), Rejection> {
        let signed = self.check_signature(token.expose(), now, passed)?;
        signed.said.check(&signed.issuer, scope, now, passed)
    }

    /// What was found out about this very token, unless its issuer's keys have changed or aged.
    fn known(&self, token: &str, now: Timestamp) -> Option<Arc<Signed>> {
        let signed = self.cache.get(token)?;
        let (_, trusted) = self.issuer(&signed.issuer.issuer)?;
        let ring = trusted.ring(now).ok()?;
        (ring.digest() == signed.ring).then_some(signed)
    }

    /// The issuer, by its number, whose keys may be too old to verify this token. A token that
    /// verifies is remembered, so that asking first costs nothing.
    pub(super) fn lacking(&self, token: &AccessToken, now: Timestamp) -> Option<usize> {
        let text = token.expose();
        if self.known(text, now).is_some() {
            return None;
        }
        match self.check_signature(text, now, &mut |_, _| ()) {
            Ok(signed) => {
                self.cache.put(text, &Arc::new(signed));
                None
            }
            Err(rejection) => self.outdated(token, rejection.code),
        }
    }

    /// The issuer, by its number, whose keys may be too old for a token that they rejected as `code`.
    pub(super) fn outdated(&self, token: &AccessToken, code: RejectionCode) -> Option<usize> {
        if !old_keys_explain(code) {
            return None;
        }
        let parts = self.take_apart(token.expose(), &mut |_, _| ()).ok()?;
        Some(parts.index)
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
        let (_, trusted) = self.trusted(&members)?;
        let issuer = &trusted.config;
        profile::check_members(issuer, false, &members)?;
        let said = read_claims(issuer, members)?;
        said.check(issuer, scope, now, &mut |_, _| ())?;
        Ok(said.claims)
    }

    /// The issuer that the claims name, with its number.
    fn trusted(&self, members: &Members) -> Result<(usize, &TrustedIssuer), Rejection> {
        let iss = members.get("iss").and_then(Value::as_str);
        match iss.and_then(|iss| self.issuer(iss)) {
            Some(numbered) => Ok(numbered),
            None => reject(
                RejectionCode::IssUnknown,
                "`iss` is that of no trusted issuer, byte for byte",
            ),
        }
    }

    /// The checks whose outcome depends on token and keys alone.
    fn check_signature(
        &self,
        token: &str,
        now: Timestamp,
        passed: &mut impl FnMut(Check, &dyn Fn() -> String),
    ) -> Result<Signed, Rejection> {
        let parts = self.take_apart(token, passed)?;
        let (ring, key) = self.choose_key(&parts, now)?;
        passed(Check::Key, &|| {
            format!("thumbprint {}", URL_SAFE_NO_PAD.encode(key.thumbprint))
        });
        let Parts {
            compact,
            header,
            members,
            trusted,
            ..
        } = parts;
        let issuer = &trusted.config;
        verify_signature(&compact, key, header.algorithm)?;
        passed(Check::Signature, &|| format!("by {}", header.algorithm));
        profile::check(issuer, header.typ.as_deref(), &members)?;
        passed(Check::Kind, &|| "an access token".to_owned());
        let said = read_claims(issuer, members)?;
        passed(Check::Claims, &|| {
            format!(
                "{} claims, {} scopes",
                said.claims.all.len(),
                said.claims.scopes.len()
            )
        });
        Ok(Signed {
            issuer: Arc::clone(issuer),
            ring: ring.digest(),
            said,
            fingerprint: fingerprint(token),
        })
    }

    /// Reads form, header and payload, and finds the issuer.
    fn take_apart<'a>(
        &self,
        token: &'a str,
        passed: &mut impl FnMut(Check, &dyn Fn() -> String),
    ) -> Result<Parts<'a, '_>, Rejection> {
        let compact = Compact::parse(token)?;
        passed(Check::Form, &|| format!("{} bytes", token.len()));
        let header = Header::read(&compact.header)?;
        passed(Check::Header, &|| header.algorithm.to_string());
        let members = read_payload(&compact.payload)?;
        passed(Check::Payload, &|| "a JSON object".to_owned());
        let (index, trusted) = self.trusted(&members)?;
        passed(Check::Issuer, &|| format!("`{}`", trusted.config.name));
        Ok(Parts {
            compact,
            header,
            members,
            index,
            trusted,
        })
    }

    /// The one key of this issuer that the token may mean; `kid` is compared and nothing else.
    fn choose_key<'k>(
        &'k self,
        parts: &Parts<'_, 'k>,
        now: Timestamp,
    ) -> Result<(&'k KeyRing, &'k Key), Rejection> {
        let Parts {
            header, trusted, ..
        } = parts;
        let issuer = &trusted.config;
        let name = &issuer.name;
        if !issuer.algorithms.contains(&header.algorithm) {
            return reject(
                RejectionCode::AlgNotAllowed,
                format!("{} is not on the list of issuer `{name}`", header.algorithm),
            );
        }
        let ring = trusted.ring(now)?;
        let key = match header.kid.as_deref() {
            None => match ring.keys() {
                [only] => only,
                _ => {
                    return reject(
                        RejectionCode::KidMissing,
                        format!("issuer `{name}` has several keys, so a `kid` must choose one"),
                    );
                }
            },
            Some(kid) => {
                let mut named = ring
                    .keys()
                    .iter()
                    .filter(|key| key.kid.as_deref() == Some(kid));
                match (named.next(), named.next()) {
                    (Some(key), None) => key,
                    (Some(_), Some(_)) => {
                        return reject(
                            RejectionCode::KidAmbiguous,
                            format!("issuer `{name}` has several keys of this `kid`"),
                        );
                    }
                    (None, _) => return Err(self.unknown_kid(issuer, kid)),
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
        Ok((ring, key))
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

impl Said {
    /// The checks whose outcome depends on the request, made every time.
    fn check(
        &self,
        issuer: &IssuerConfig,
        scope: &TokenScope<'_>,
        now: Timestamp,
        passed: &mut impl FnMut(Check, &dyn Fn() -> String),
    ) -> Result<(), Rejection> {
        check_bundle(issuer, scope)?;
        passed(Check::Bundle, &|| "accepts the issuer".to_owned());
        self.check_audience(issuer, scope)?;
        passed(Check::Audience, &|| "means this service".to_owned());
        self.check_times(issuer, now)?;
        passed(Check::Times, &|| {
            format!("until {}", self.claims.expires_at)
        });
        Ok(())
    }

    /// Whether the token is meant for the asked bundle, else for this service.
    fn check_audience(
        &self,
        issuer: &IssuerConfig,
        scope: &TokenScope<'_>,
    ) -> Result<(), Rejection> {
        let accepted = scope.audiences.unwrap_or(&issuer.audiences);
        let mut audiences = self.audiences.iter();
        match audiences.any(|audience| accepted.contains(audience)) {
            true => Ok(()),
            false => reject(
                RejectionCode::AudMismatch,
                format!("`aud` has none of: {}", accepted.join(", ")),
            ),
        }
    }

    /// RFC 7519 §4.1.4 to §4.1.6, each with the issuer's leeway.
    fn check_times(&self, issuer: &IssuerConfig, now: Timestamp) -> Result<(), Rejection> {
        let leeway = signed(issuer.leeway);
        let claims = &self.claims;
        let is_after = |later: Timestamp, earlier: Timestamp, by: SignedDuration| {
            later.duration_since(earlier) > by
        };
        if !is_after(claims.expires_at, now, -leeway) {
            return reject(
                RejectionCode::TokenExpired,
                format!("`exp` was {}", claims.expires_at),
            );
        }
        if let Some(not_before) = self.not_before
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
        let most = signed(issuer.max_lifetime);
        if is_after(claims.expires_at, born, most) {
            return reject(
                RejectionCode::TokenLifetime,
                format!("lives longer than `max_lifetime` of {most:#}"),
            );
        }
        Ok(())
    }
}

/// Whether the asked bundle accepts the issuer.
fn check_bundle(issuer: &IssuerConfig, scope: &TokenScope<'_>) -> Result<(), Rejection> {
    let name = &issuer.name;
    match scope.issuers {
        Some(accepted) if !accepted.contains(name) => reject(
            RejectionCode::IssuerNotAccepted,
            format!("issuer `{name}` is not accepted by this bundle"),
        ),
        _ => Ok(()),
    }
}

/// Whether a rejection may come of keys that the issuer has replaced since they were read, under a
/// new `kid` or the same.
fn old_keys_explain(code: RejectionCode) -> bool {
    matches!(
        code,
        RejectionCode::KidUnknown
            | RejectionCode::IssKeyMismatch
            | RejectionCode::KeysUnavailable
            | RejectionCode::AlgKeyMismatch
            | RejectionCode::SignatureInvalid
    )
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
fn fingerprint(token: &str) -> Box<str> {
    let mut fingerprint = String::with_capacity(16);
    for byte in digest(&SHA256, token.as_bytes()).as_ref().iter().take(8) {
        let _ = write!(fingerprint, "{byte:02x}");
    }
    fingerprint.into()
}
