//! What a payload says: the registered claims, each of exactly the type that its standard gives it.

use std::sync::Arc;

use crate::{
    config::IssuerConfig,
    model::{
        Actor, Claims, JsonFault, JsonLimits, Members, Rejection, RejectionCode, SignedDuration,
        Timestamp, Value, parse_json,
    },
};

use super::{profile, reject};

const LIMITS: JsonLimits = JsonLimits {
    depth: 32,
    values: 4096,
};
/// Most top-level claims.
const MAX_CLAIMS: usize = 256;
/// Most items of one array claim: more groups than this are no longer a claim but a database.
pub(super) const MAX_ITEMS: usize = 1000;
/// Longest `sub`, `client_id` or `jti`, in bytes.
const MAX_ID: usize = 256;
/// Longest chain of actors (RFC 8693 §4.1).
const MAX_ACTORS: usize = 5;

/// What a token says, typed; nothing of it is checked against place or time yet.
pub(super) struct Said {
    /// The claims, shared with every identity made of this token.
    pub(super) claims: Arc<Claims>,
    /// `aud`.
    pub(super) audiences: Vec<String>,
    /// `nbf`.
    pub(super) not_before: Option<Timestamp>,
}

/// Reads a decoded payload as one JSON object.
///
/// # Errors
/// `payload_malformed`, `duplicate_member`, `claim_overflow`.
pub(super) fn read_payload(bytes: &[u8]) -> Result<Members, Rejection> {
    match parse_json(bytes, LIMITS) {
        Ok(Value::Record(members)) => Ok(members),
        Ok(_) => reject(RejectionCode::PayloadMalformed, "not a JSON object"),
        Err(JsonFault::DuplicateMember) => reject(RejectionCode::DuplicateMember, "in the payload"),
        Err(JsonFault::TooMany) => reject(
            RejectionCode::ClaimOverflow,
            format!("more than {} values", LIMITS.values),
        ),
        Err(fault) => reject(RejectionCode::PayloadMalformed, fault.to_string()),
    }
}

/// Reads the claims of a token of `issuer`, whose `iss` has been compared already.
///
/// # Errors
/// `claim_reserved_key`, `claim_overflow`, `claim_invalid`, `aud_mismatch`.
pub(super) fn read_claims(issuer: &IssuerConfig, members: Members) -> Result<Said, Rejection> {
    if members.len() > MAX_CLAIMS {
        return reject(
            RejectionCode::ClaimOverflow,
            format!("more than {MAX_CLAIMS} claims"),
        );
    }
    check_overage(&members)?;
    members.values().try_for_each(check_shape)?;
    check_names(&members)?;
    let habits = profile::habits(issuer);
    let client_id = profile::client_id(habits, &members)?;
    let claims = Claims {
        issuer: issuer.name.clone(),
        iss: issuer.issuer.clone(),
        sub: match read_id(&members, "sub")? {
            Some(sub) => sub,
            None => return invalid("sub", "is missing"),
        },
        scopes: profile::scopes(habits, &members)?,
        acr: read_text(&members, "acr")?.map(str::to_owned),
        amr: read_texts(&members, "amr")?,
        auth_time: read_date(&members, "auth_time")?,
        issued_at: read_date(&members, "iat")?,
        expires_at: match read_date(&members, "exp")? {
            Some(exp) => exp,
            None => return invalid("exp", "is missing"),
        },
        jti: read_id(&members, "jti")?,
        actor: read_actor(&members)?,
        client_id,
        all: Members::new(),
    };
    Ok(Said {
        audiences: read_audiences(issuer, &claims, &members)?,
        not_before: read_date(&members, "nbf")?,
        claims: Arc::new(Claims {
            all: members,
            ..claims
        }),
    })
}

/// A `claim_invalid` of the claim `name`.
pub(super) fn invalid<T>(name: &str, what: &str) -> Result<T, Rejection> {
    reject(RejectionCode::ClaimInvalid, format!("`{name}` {what}"))
}

/// A claim that must be a string where it is present.
pub(super) fn read_text<'a>(
    members: &'a Members,
    name: &str,
) -> Result<Option<&'a str>, Rejection> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => invalid(name, "is not a string"),
    }
}

/// A string of 1 to 256 bytes, any characters.
pub(super) fn read_id(members: &Members, name: &str) -> Result<Option<String>, Rejection> {
    match read_text(members, name)? {
        None => Ok(None),
        Some(id) if (1..=MAX_ID).contains(&id.len()) => Ok(Some(id.to_owned())),
        Some(_) => invalid(name, "is not of 1 to 256 bytes"),
    }
}

/// An array of strings.
pub(super) fn read_texts(members: &Members, name: &str) -> Result<Option<Vec<String>>, Rejection> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::Set(values)) => match values
            .iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect()
        {
            Some(texts) => Ok(Some(texts)),
            None => invalid(name, "is not an array of strings"),
        },
        Some(_) => invalid(name, "is not an array of strings"),
    }
}

/// A NumericDate (RFC 7519 §2): seconds, with or without a fraction, from 1970 to 9999.
fn read_date(members: &Members, name: &str) -> Result<Option<Timestamp>, Rejection> {
    let since_epoch = match members.get(name) {
        None => return Ok(None),
        Some(Value::Long(seconds)) => Some(SignedDuration::from_secs(*seconds)),
        Some(Value::Number(seconds)) => SignedDuration::try_from_secs_f64(*seconds).ok(),
        Some(_) => None,
    };
    match since_epoch
        .filter(|since| !since.is_negative())
        .and_then(|since| Timestamp::UNIX_EPOCH.checked_add(since).ok())
    {
        Some(date) => Ok(Some(date)),
        None => invalid(name, "is not a date in seconds since 1970"),
    }
}

/// `aud` as a string or a non-empty array of strings (RFC 7519 §4.1.3).
fn read_audiences(
    issuer: &IssuerConfig,
    claims: &Claims,
    members: &Members,
) -> Result<Vec<String>, Rejection> {
    let texts = match members.get("aud") {
        Some(Value::String(audience)) => Some(vec![audience.clone()]),
        Some(Value::Set(values)) if !values.is_empty() => values
            .iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect(),
        None => profile::implied_audience(issuer, claims).map(|audience| vec![audience]),
        Some(_) => None,
    };
    match texts {
        Some(texts) if texts.iter().all(|text| !text.is_empty()) => Ok(texts),
        _ => reject(
            RejectionCode::AudMismatch,
            "`aud` is missing, empty, or not of strings",
        ),
    }
}

/// The outermost actor of `act`, once the whole chain has been walked.
fn read_actor(members: &Members) -> Result<Option<Actor>, Rejection> {
    let Some(act) = members.get("act") else {
        return Ok(None);
    };
    let mut outermost = None;
    let mut next = Some(act);
    for _ in 0..MAX_ACTORS {
        let Some(act) = next else {
            return Ok(outermost);
        };
        let Some(members) = act.as_record() else {
            return invalid("act", "is not an object");
        };
        let actor = Actor {
            subject: match read_id(members, "sub") {
                Ok(Some(subject)) => subject,
                _ => return invalid("act", "names no actor by a `sub` of 1 to 256 bytes"),
            },
            issuer: match read_id(members, "iss") {
                Ok(issuer) => issuer,
                Err(_) => return invalid("act", "has an `iss` that is not a string"),
            },
        };
        outermost.get_or_insert(actor);
        next = members.get("act");
    }
    match next {
        None => Ok(outermost),
        Some(_) => invalid("act", "nests more than 5 actors"),
    }
}

/// Providers leave groups out when there are too many; none is not what they mean.
fn check_overage(members: &Members) -> Result<(), Rejection> {
    for name in ["_claim_names", "_claim_sources", "hasgroups"] {
        if members.contains_key(name) {
            return reject(
                RejectionCode::ClaimOverflow,
                format!("`{name}`: the provider left claims out; let it send fewer groups"),
            );
        }
    }
    Ok(())
}

/// Refuses oversized arrays and Cedar's own JSON member names, at any depth.
fn check_shape(value: &Value) -> Result<(), Rejection> {
    match value {
        Value::Set(values) if values.len() > MAX_ITEMS => reject(
            RejectionCode::ClaimOverflow,
            format!("a claim has more than {MAX_ITEMS} items"),
        ),
        Value::Set(values) => values.iter().try_for_each(check_shape),
        Value::Record(members) => {
            check_names(members)?;
            members.values().try_for_each(check_shape)
        }
        _ => Ok(()),
    }
}

fn check_names(members: &Members) -> Result<(), Rejection> {
    for name in ["__entity", "__extn", "__expr"] {
        if members.contains_key(name) {
            return reject(
                RejectionCode::ClaimReservedKey,
                format!("a claim has a member `{name}`"),
            );
        }
    }
    Ok(())
}
