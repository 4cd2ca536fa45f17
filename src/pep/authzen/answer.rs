//! From answers and refusals to AuthZEN's decisions (§6.2, §7.2).

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::JSON;
use crate::{
    model::{Cause, Challenge, Decision, Outcome, Reason},
    pdp::{Answer, Refused},
    pep::{
        http::Reply,
        problem::{self, Problem},
        status::{AuthzenStatus, to_authzen},
    },
};

type Answered = Result<Answer, Refused>;

/// The answer to a single question.
pub(super) fn one(answers: &[Answered], has_credential: bool) -> Reply {
    match answers.first() {
        Some(Ok(answer)) => {
            let body = decision(answer).to_string();
            Reply::new(200)
                .with_body(JSON, body)
                .with_decision(answer.decision_id())
        }
        Some(Err(refused)) => self::refused(refused, has_credential),
        None => Reply::new(500),
    }
}

/// The answer to several: each has its place, unless all fail for something that is no question's
/// own.
pub(super) fn many(answers: &[Answered], has_credential: bool) -> Reply {
    let failed = answers.iter().map(|answered| match answered {
        Ok(_) => None,
        Err(refused) => match to_authzen(&refused.refusal) {
            AuthzenStatus::Whole(denial) => Some((refused, denial.status)),
            AuthzenStatus::Malformed(_) | AuthzenStatus::False(_) => None,
        },
    });
    let failed: Option<Vec<_>> = failed.collect();
    if let Some([(first, status), rest @ ..]) = failed.as_deref()
        && rest.iter().all(|(_, other)| other == status)
    {
        return refused(first, has_credential);
    }
    let evaluations = answers.iter().map(|answered| match answered {
        Ok(answer) => decision(answer),
        Err(refused) => failure(refused),
    });
    let body = json!({ "evaluations": evaluations.collect::<Vec<_>>() });
    Reply::new(200).with_body(JSON, body.to_string())
}

/// The answer to a question that could not be decided.
pub(super) fn refused(refused: &Refused, has_credential: bool) -> Reply {
    let id = refused.decision_id;
    let reply = match to_authzen(&refused.refusal) {
        AuthzenStatus::False(_) => Reply::new(200).with_body(JSON, failure(refused).to_string()),
        AuthzenStatus::Malformed(denial) | AuthzenStatus::Whole(denial) => {
            let body = Problem::of_refusal(id, &denial).to_json();
            // RFC 6750 §3.1: no error where no credential was presented.
            let challenge = match (denial.status, has_credential) {
                (401, true) => Some("Bearer realm=\"doorward\", error=\"invalid_token\""),
                (401, false) => Some("Bearer realm=\"doorward\""),
                _ => None,
            };
            Reply::new(denial.status)
                .with_body(problem::MEDIA_TYPE, body)
                .with_header("www-authenticate", challenge)
        }
    };
    reply.with_decision(id)
}

/// A failure in the place of a decision (§7.2.1).
fn failure(refused: &Refused) -> Json {
    let denial = to_authzen(&refused.refusal).into_denial();
    json!({
        "decision": false,
        "context": {
            "decision_id": refused.decision_id.to_string(),
            "error": {
                "status": denial.status,
                "code": denial.reason,
                "message": denial.message,
            },
        },
    })
}

fn decision(answer: &Answer) -> Json {
    let mut context = to_context(answer.decision(), answer.may_explain());
    context.insert(
        "decision_id".into(),
        answer.decision_id().to_string().into(),
    );
    context.insert("bundle".into(), answer.bundle().as_str().into());
    context.insert("bundle_digest".into(), answer.digest().to_string().into());
    context.insert("revision".into(), answer.revision().to_string().into());
    json!({
        "decision": answer.decision().outcome == Outcome::Allow,
        "context": context,
    })
}

/// Why, for the end user (`reason_user`) and, where the caller may see it, for the administrator
/// (`reason_admin`), each by the HTTP status that says the same.
pub(super) fn to_context(decision: &Decision, explain: bool) -> Map<String, Json> {
    let Decision {
        outcome,
        cause,
        reasons,
        errors,
        obligations,
        challenge,
        cacheable_for,
    } = decision;
    let status = match outcome {
        Outcome::Allow => "200",
        Outcome::Deny => "403",
    };
    let mut context = Map::new();
    let mut put = |name: &str, value: Json| context.insert(name.to_owned(), value);
    put("cause", cause.as_str().into());
    put(
        "reason_user",
        json!({ status: for_user(*outcome, reasons) }),
    );
    let shown = reasons.iter().map(|it| {
        let mut shown = json!(it);
        if let (true, Some(shown)) = (explain, shown.as_object_mut()) {
            shown.insert("place".into(), it.place.as_ref().into());
        }
        shown
    });
    put("reasons", shown.collect());
    if !errors.is_empty() {
        let shown = errors.iter().map(|it| {
            let mut shown = json!(it);
            if let (true, Some(shown)) = (explain, shown.as_object_mut()) {
                shown.insert("message".into(), it.message.as_str().into());
            }
            shown
        });
        put("errors", shown.collect());
    }
    if *cause == Cause::ForbidErrored {
        let message = "a policy that may forbid this could not be evaluated";
        put(
            "error",
            json!({ "status": 500, "code": cause.as_str(), "message": message }),
        );
    }
    if explain {
        put("reason_admin", json!({ status: for_admin(decision) }));
    }
    if !obligations.is_empty() {
        put("obligations", json!(obligations));
    }
    if let Some(challenge) = challenge {
        put("challenge", to_challenge(challenge));
    }
    if cacheable_for.is_positive() {
        put("cacheable_for_seconds", cacheable_for.as_secs().into());
    }
    context
}

fn for_user(outcome: Outcome, reasons: &[Arc<Reason>]) -> String {
    let said: Vec<&str> = reasons
        .iter()
        .filter_map(|it| it.reason.as_deref())
        .collect();
    match (said.is_empty(), outcome) {
        (false, _) => said.join(" "),
        (true, Outcome::Allow) => "you may do this".to_owned(),
        (true, Outcome::Deny) => "you may not do this".to_owned(),
    }
}

fn for_admin(decision: &Decision) -> String {
    let mut text = decision.cause.as_str().to_owned();
    for it in &decision.reasons {
        text.push_str(&format!(
            "; {} `{}` at {}",
            it.effect, it.policy_id, it.place
        ));
    }
    for it in &decision.errors {
        text.push_str(&format!("; `{}` failed: {}", it.policy_id, it.message));
    }
    text
}

fn to_challenge(challenge: &Challenge) -> Json {
    match challenge {
        Challenge::Scope(scope) => json!({ "scope": scope }),
        Challenge::StepUp {
            acr_values,
            max_age_seconds,
        } => json!({ "step_up": {
            "acr_values": acr_values, "max_age_seconds": max_age_seconds,
        }}),
    }
}
