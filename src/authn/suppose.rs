//! Claims without a token, for rehearsals: cases, explanations, what-ifs.

use std::{sync::Arc, time::Duration};

use super::{
    claims::{read_claims, read_payload},
    compact::Compact,
};
use crate::{
    config::{IssuerConfig, KeySource, Profile},
    model::{
        AccessToken, Claims, IssuerName, Members, Rejection, SignedDuration, Timestamp, Value,
    },
};

/// How long a supposed token lasts when its claims do not say.
const LIFETIME: SignedDuration = SignedDuration::from_mins(10);

/// Reads made-up claims as those of a token of the issuer named `issuer`; times that are missing are
/// filled in as of `now`.
///
/// They make a `Principal` for a rehearsal, never an [`super::Identity`].
///
/// # Errors
/// The [`Rejection`] that a token with these claims would meet.
pub fn suppose(
    issuer: &str,
    mut members: Members,
    now: Timestamp,
) -> Result<Arc<Claims>, Rejection> {
    let mut fill = |name: &str, value| {
        members.entry(name.to_owned()).or_insert(value);
    };
    fill("iat", Value::Long(now.as_second()));
    fill(
        "exp",
        Value::Long(now.as_second().saturating_add(LIFETIME.as_secs())),
    );
    fill("iss", Value::from(issuer));
    fill("aud", Value::from(issuer));
    let config = IssuerConfig {
        name: IssuerName::new(issuer),
        issuer: issuer.to_owned(),
        audiences: Vec::new(),
        algorithms: Vec::new(),
        keys: KeySource::Inline(String::new()),
        profile: Profile::AtJwt,
        preset: None,
        leeway: Duration::ZERO,
        max_lifetime: Duration::MAX,
        key_refetch: Duration::MAX,
    };
    Ok(read_claims(&config, members)?.claims)
}

/// Reads what a token says without believing any of it, to be supposed.
///
/// # Errors
/// The [`Rejection`] of a token that cannot be read.
pub fn unverified(token: &AccessToken) -> Result<Members, Rejection> {
    read_payload(&Compact::parse(token.expose())?.payload)
}
