//! Is it an access token at all? What each provider calls things, and how it marks its tokens.
//!
//! Rules for one kind of token exclude the other kinds (RFC 8725 §3.12): an ID token, a refresh
//! token or a logout token signed by the right key is still refused.

use crate::{
    config::{IssuerConfig, Preset, Profile},
    model::{Claims, Members, Rejection, RejectionCode, Value},
};

use super::{
    claims::{MAX_ITEMS, invalid, read_id, read_text, read_texts},
    reject,
};

#[cfg(test)]
mod tests;

/// Where a provider puts what RFC 9068 calls `client_id` and `scope`.
#[derive(Clone, Copy)]
pub(super) struct Habits {
    /// The claims that name the client, the first present one counts.
    client_id: &'static [&'static str],
    scope: Scope,
}

/// How scopes are written.
#[derive(Clone, Copy)]
enum Scope {
    /// A string, separated by spaces.
    Text(&'static str),
    /// An array of strings.
    Array(&'static str),
    /// `scope`, else `scp`, as a string.
    TextOfEither,
}

/// The habits of an issuer's product.
pub(super) fn habits(issuer: &IssuerConfig) -> Habits {
    let (client_id, scope): (&[&str], Scope) = match (issuer.preset, issuer.profile) {
        (None, Profile::AtJwt) => (&["client_id"], Scope::Text("scope")),
        (None, Profile::Jwt) => (&["client_id", "azp"], Scope::TextOfEither),
        (Some(Preset::Keycloak | Preset::Auth0), _) => {
            (&["azp", "client_id"], Scope::Text("scope"))
        }
        (Some(Preset::Entra), _) => (&["azp", "appid"], Scope::Text("scp")),
        (Some(Preset::Okta), _) => (&["cid"], Scope::Array("scp")),
        (Some(Preset::Cognito), _) => (&["client_id"], Scope::Text("scope")),
    };
    Habits { client_id, scope }
}

/// The client a token was issued to.
pub(super) fn client_id(habits: Habits, members: &Members) -> Result<Option<String>, Rejection> {
    for name in habits.client_id {
        if let Some(client_id) = read_id(members, name)? {
            return Ok(Some(client_id));
        }
    }
    Ok(None)
}

/// The scopes a token grants; none when it does not say.
pub(super) fn scopes(habits: Habits, members: &Members) -> Result<Vec<String>, Rejection> {
    let (name, scopes) = match habits.scope {
        Scope::Array(name) => (name, read_texts(members, name)?),
        Scope::Text(name) => (name, split(read_text(members, name)?)),
        Scope::TextOfEither if members.contains_key("scope") => {
            ("scope", split(read_text(members, "scope")?))
        }
        Scope::TextOfEither => ("scp", split(read_text(members, "scp")?)),
    };
    let scopes = scopes.unwrap_or_default();
    if scopes.len() > MAX_ITEMS {
        return invalid(name, "has more than 1000 scopes");
    }
    // RFC 6749 §3.3: scope-token.
    let token = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if !scopes
        .iter()
        .all(|scope| !scope.is_empty() && scope.bytes().all(token))
    {
        return invalid(name, "is not scopes separated by single spaces");
    }
    Ok(scopes)
}

/// Spaces separate; those at the ends or doubled, which some providers send, separate nothing.
fn split(text: Option<&str>) -> Option<Vec<String>> {
    let scopes = text?.split(' ').filter(|scope| !scope.is_empty());
    Some(scopes.map(str::to_owned).collect())
}

/// The audience of a token without `aud`: Cognito names the app client instead.
pub(super) fn implied_audience(issuer: &IssuerConfig, claims: &Claims) -> Option<String> {
    match issuer.preset {
        Some(Preset::Cognito) => claims.client_id.clone(),
        _ => None,
    }
}

/// Checks that a token is an access token in the way its issuer marks them.
///
/// # Errors
/// `typ_not_accepted`, `pop_not_supported`, `claim_invalid`.
pub(super) fn check(
    issuer: &IssuerConfig,
    typ: Option<&str>,
    members: &Members,
) -> Result<(), Rejection> {
    check_typ(issuer.profile, typ)?;
    check_members(issuer, is_at_jwt(typ), members)
}

/// The part of [`check`] that needs the claims alone; `named` says that `typ` marks it already.
///
/// # Errors
/// `typ_not_accepted`, `pop_not_supported`, `claim_invalid`.
pub(super) fn check_members(
    issuer: &IssuerConfig,
    named: bool,
    members: &Members,
) -> Result<(), Rejection> {
    for name in ["nonce", "at_hash", "c_hash", "s_hash", "events"] {
        if members.contains_key(name) {
            return reject(
                RejectionCode::TypNotAccepted,
                format!("`{name}` marks an ID or logout token; send the access token"),
            );
        }
    }
    match (issuer.profile, issuer.preset) {
        (Profile::AtJwt, _) => check_rfc_9068(members)?,
        (Profile::Jwt, None) if named => {}
        (Profile::Jwt, None) => check_any_mark(members)?,
        (Profile::Jwt, Some(_)) => {}
    }
    if let Some(preset) = issuer.preset {
        check_preset(preset, members)?;
    }
    if members.contains_key("cnf") {
        return reject(
            RejectionCode::PopNotSupported,
            "`cnf`: the token is bound to a key whose proof is not checked here",
        );
    }
    Ok(())
}

fn check_typ(profile: Profile, typ: Option<&str>) -> Result<(), Rejection> {
    let plain = typ.is_none_or(|typ| {
        typ.eq_ignore_ascii_case("jwt") || typ.eq_ignore_ascii_case("application/jwt")
    });
    match profile {
        _ if is_at_jwt(typ) => Ok(()),
        Profile::Jwt if plain => Ok(()),
        Profile::AtJwt if plain => reject(
            RejectionCode::TypNotAccepted,
            "`typ` is not `at+jwt`; if the provider does not follow RFC 9068, set the issuer's \
             `preset` or `profile`",
        ),
        _ => reject(
            RejectionCode::TypNotAccepted,
            "`typ` is that of another kind of token",
        ),
    }
}

/// RFC 9068 §4: with or without the `application/` prefix, in any case (RFC 7515 §4.1.9).
fn is_at_jwt(typ: Option<&str>) -> bool {
    typ.is_some_and(|typ| {
        typ.eq_ignore_ascii_case("at+jwt") || typ.eq_ignore_ascii_case("application/at+jwt")
    })
}

/// RFC 9068 §2.2: what must be there; the types are checked where each is read.
fn check_rfc_9068(members: &Members) -> Result<(), Rejection> {
    for name in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        if !members.contains_key(name) {
            return invalid(name, "is missing (RFC 9068 §2.2)");
        }
    }
    Ok(())
}

/// Without a preset, a plain JWT must say something that only access tokens say.
fn check_any_mark(members: &Members) -> Result<(), Rejection> {
    let says = |name: &str, other: fn(&str) -> bool| {
        members.get(name).and_then(Value::as_str).is_some_and(other)
    };
    let says_otherwise = says("typ", |typ| !typ.eq_ignore_ascii_case("bearer"))
        || says("token_use", |token_use| token_use != "access");
    let marked = ["scope", "scp", "client_id"]
        .iter()
        .any(|name| members.contains_key(*name));
    if says_otherwise || !marked {
        return not_marked("`scope`, `scp` or `client_id`");
    }
    Ok(())
}

/// What the product's access tokens say and its ID tokens do not.
fn check_preset(preset: Preset, members: &Members) -> Result<(), Rejection> {
    let is =
        |name: &str, expected: &str| members.get(name).and_then(Value::as_str) == Some(expected);
    let any = |names: &[&str]| names.iter().any(|name| members.contains_key(*name));
    let (marked, mark) = match preset {
        Preset::Keycloak => (is("typ", "Bearer"), "`typ: Bearer` in the payload"),
        Preset::Entra => (
            (is("ver", "1.0") || is("ver", "2.0"))
                && any(&["azp", "appid"])
                && any(&["scp", "roles"]),
            "`ver`, the client (`azp` or `appid`) and `scp` or `roles`",
        ),
        Preset::Auth0 => (
            any(&["azp", "client_id"]) && any(&["scope", "gty", "permissions"]),
            "the client (`azp` or `client_id`) and `scope`, `gty` or `permissions`",
        ),
        Preset::Okta => (
            any(&["cid"])
                && any(&["scp"])
                && !members
                    .get("jti")
                    .and_then(Value::as_str)
                    .is_some_and(|jti| jti.starts_with("ID.")),
            "`cid` and `scp`",
        ),
        Preset::Cognito => (is("token_use", "access"), "`token_use: access`"),
    };
    if marked { Ok(()) } else { not_marked(mark) }
}

fn not_marked(mark: &str) -> Result<(), Rejection> {
    reject(
        RejectionCode::TypNotAccepted,
        format!("nothing marks it as an access token; expected {mark}"),
    )
}
