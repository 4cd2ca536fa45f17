//! From an `Answer`, or a refusal, to what a gateway passes on: 200, 400, 401, 403 and, where it
//! reaches the client, 429.

use super::family::Gateway;
use crate::{
    config::IdentityHeaders,
    model::{Challenge, Outcome},
    pdp::{Answer, Refused},
    pep::{
        challenge,
        http::Reply,
        identity,
        problem::{self, Problem},
        status::to_forward_auth,
    },
};

/// A decision.
pub(super) fn to_reply(answer: &Answer, identity: &IdentityHeaders) -> Reply {
    let decision = answer.decision();
    let id = answer.decision_id();
    match (decision.outcome, &decision.challenge) {
        (Outcome::Allow, _) => allowed(answer, identity).unwrap_or_else(|name| {
            // An upstream that is told less than the truth would take the subject for another.
            tracing::warn!(
                header = name,
                "an identity has no form that a header can carry"
            );
            blank(Reply::new(403), identity)
        }),
        (Outcome::Deny, challenge) => {
            let status = match challenge {
                Some(Challenge::StepUp { .. }) => 401,
                Some(Challenge::Scope(_)) | None => 403,
            };
            let body = Problem::of_deny(status, id, decision).to_json();
            let challenge = challenge.as_ref().map(challenge::of_deny);
            blank(Reply::new(status), identity)
                .with_body(problem::MEDIA_TYPE, body)
                .with_header("www-authenticate", challenge.as_deref())
        }
    }
    .with_decision(id)
}

/// A refusal.
pub(super) fn to_refusal(refused: &Refused, identity: &IdentityHeaders, gateway: Gateway) -> Reply {
    let denial = to_forward_auth(&refused.refusal, gateway.passes_429());
    let challenge = challenge::of_refusal(&refused.refusal, &denial);
    let body = Problem::of_refusal(refused.decision_id, &denial).to_json();
    blank(Reply::new(denial.status), identity)
        .with_body(problem::MEDIA_TYPE, body)
        .with_header("www-authenticate", challenge.as_deref())
        .with_decision(refused.decision_id)
}

/// Every identity header is given, so that the gateway overwrites whatever the client sent.
fn allowed<'h>(answer: &Answer, identity: &'h IdentityHeaders) -> Result<Reply, &'h str> {
    let mut reply = Reply::new(200);
    for (name, value) in identity::headers(identity, answer) {
        if !reply.set(name, &value) {
            return Err(name);
        }
    }
    Ok(reply)
}

/// The same headers, telling nothing.
fn blank(reply: Reply, identity: &IdentityHeaders) -> Reply {
    identity
        .iter()
        .fold(reply, |reply, (_, name)| reply.with_header(name, Some("")))
}
