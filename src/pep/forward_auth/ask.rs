//! From the head of a subrequest to an `AccessRequest`.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, request::Parts};

use super::{
    family::{self, CALLER, Gateway},
    token,
};
use crate::{
    config::IdentityHeaders,
    model::{
        AccessRequest, Face, GatewayFacts, HttpAsk, Members, Question, Refusal, Rejection,
        RejectionCode,
    },
    pep::http::{credential, joined, single},
};

/// Headers that are no facts about the client's request.
const NOT_FACTS: [&str; 5] = [
    "authorization",
    "connection",
    "cookie",
    "host",
    "x-envoy-auth-failure-mode-allowed",
];

/// Reads one subrequest.
///
/// # Errors
/// [`Refusal::Malformed`] for what can be read in two ways, [`Refusal::CallerUnknown`] and
/// [`Refusal::Unauthenticated`] for credentials that are none.
pub(super) fn to_access_request(
    parts: &Parts,
    gateway: Gateway,
    identity: &IdentityHeaders,
    cookie: Option<&str>,
) -> Result<AccessRequest, Refusal> {
    let headers = &parts.headers;
    let credential = credential(parts, secret(headers)?);
    let request = family::request(gateway, parts)?;
    check_connection(headers, identity)?;
    check_imitations(headers, identity)?;
    Ok(AccessRequest {
        face: Face::ForwardAuth,
        credential,
        bundle: None,
        subject: token::subject(headers, cookie)?,
        question: Question::Http(HttpAsk {
            request,
            headers: facts(headers, identity),
        }),
        entities: Vec::new(),
        context: Members::new(),
        at_least_revision: None,
        gateway: GatewayFacts::default(),
        request_id: None,
    })
}

/// The gateway's own secret.
fn secret(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    match single(headers, CALLER) {
        Ok(None) => Ok(None),
        Ok(Some(secret)) if !secret.is_empty() => Ok(Some(secret.to_owned())),
        _ => Err(Refusal::CallerUnknown(Rejection::new(
            RejectionCode::CallerUnknown,
            "`x-doorward-caller` is repeated, empty or not ASCII",
        ))),
    }
}

/// A hop-by-hop header is dropped on the way: the upstream must not miss one of ours.
fn check_connection(headers: &HeaderMap, identity: &IdentityHeaders) -> Result<(), Refusal> {
    let named = joined(headers, "connection").unwrap_or_default();
    match named
        .split(',')
        .any(|name| identity.imitated_by(name.trim()))
    {
        false => Ok(()),
        true => Err(Refusal::malformed(
            "connection",
            "identity_header",
            "names a header by which the service behind is told who asks",
        )),
    }
}

/// Gateways overwrite our headers, not those that frameworks take for ours.
fn check_imitations(headers: &HeaderMap, identity: &IdentityHeaders) -> Result<(), Refusal> {
    let imitates = |name: &&str| name.contains('_') && identity.imitated_by(name);
    match headers.keys().map(|name| name.as_str()).find(imitates) {
        None => Ok(()),
        Some(name) => Err(Refusal::malformed(
            name,
            "underscore",
            "has underscores in a name by which the service behind is told who asks",
        )),
    }
}

/// What the client sent, by lower-case name, without credentials and whatever could pass for ours.
fn facts(headers: &HeaderMap, identity: &IdentityHeaders) -> BTreeMap<String, String> {
    let names = headers.keys().map(|name| name.as_str()).filter(|name| {
        !name.contains('_')
            && !NOT_FACTS.contains(name)
            && !family::is_member(name)
            && !identity.imitated_by(name)
    });
    names
        .filter_map(|name| Some((name.to_owned(), joined(headers, name)?)))
        .collect()
}
