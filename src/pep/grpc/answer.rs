//! From an `Answer` to the wire.

use crate::{
    model::{Cause, Challenge, Decision, Effect, EvaluationFault, Outcome, Reason, SignedDuration},
    pdp::Answer,
    proto::v1::{self as wire, challenge},
};

/// The message of an answer; places and error texts only for who may see them.
pub(super) fn to_check_response(answer: &Answer) -> wire::CheckResponse {
    let decision = wire::Decision {
        decision_id: answer.decision_id().to_string(),
        bundle: answer.bundle().to_string(),
        bundle_digest: answer.digest().to_string(),
        revision: answer.revision().to_string(),
        ..to_decision(answer.decision(), answer.may_explain())
    };
    wire::CheckResponse {
        decision: Some(decision),
    }
}

/// What was decided, without what names the decision.
pub(super) fn to_decision(decision: &Decision, explain: bool) -> wire::Decision {
    let Decision {
        outcome,
        cause,
        reasons,
        errors,
        obligations,
        challenge,
        cacheable_for,
    } = decision;
    wire::Decision {
        outcome: match outcome {
            Outcome::Allow => wire::Outcome::Allow,
            Outcome::Deny => wire::Outcome::Deny,
        }
        .into(),
        cause: match cause {
            Cause::Permitted => wire::Cause::Permitted,
            Cause::Forbidden => wire::Cause::Forbidden,
            Cause::ForbidErrored => wire::Cause::ForbidErrored,
            Cause::NothingPermits => wire::Cause::NothingPermits,
        }
        .into(),
        reasons: reasons.iter().map(|it| to_reason(it, explain)).collect(),
        errors: errors.iter().map(|it| to_error(it, explain)).collect(),
        obligations: obligations
            .iter()
            .map(|it| wire::Obligation {
                policy_id: it.policy_id.to_string(),
                text: it.text.to_string(),
            })
            .collect(),
        challenge: challenge.as_ref().map(to_challenge),
        cacheable_for: to_duration(*cacheable_for),
        ..wire::Decision::default()
    }
}

fn to_reason(it: &Reason, explain: bool) -> wire::Reason {
    wire::Reason {
        policy_id: it.policy_id.to_string(),
        effect: to_effect(it.effect).into(),
        reason: it.reason.as_deref().unwrap_or_default().to_owned(),
        advice: it.advice.as_deref().unwrap_or_default().to_owned(),
        place: shown(&it.place, explain),
    }
}

fn to_error(it: &EvaluationFault, explain: bool) -> wire::EvaluationError {
    wire::EvaluationError {
        policy_id: it.policy_id.to_string(),
        effect: to_effect(it.effect).into(),
        code: it.code.to_owned(),
        message: shown(&it.message, explain),
    }
}

fn shown(text: &str, explain: bool) -> String {
    if explain {
        text.to_owned()
    } else {
        String::new()
    }
}

fn to_effect(it: Effect) -> wire::Effect {
    match it {
        Effect::Permit => wire::Effect::Permit,
        Effect::Forbid => wire::Effect::Forbid,
    }
}

fn to_challenge(it: &Challenge) -> wire::Challenge {
    let kind = match it {
        Challenge::Scope(scope) => challenge::Kind::Scope(scope.to_string()),
        Challenge::StepUp {
            acr_values,
            max_age_seconds,
        } => challenge::Kind::StepUp(wire::StepUp {
            acr_values: acr_values.as_deref().unwrap_or_default().to_owned(),
            max_age: max_age_seconds.map(|seconds| prost_types::Duration {
                seconds: seconds.into(),
                nanos: 0,
            }),
        }),
    };
    wire::Challenge { kind: Some(kind) }
}

/// Absent when the answer must not be reused.
fn to_duration(it: SignedDuration) -> Option<prost_types::Duration> {
    it.is_positive().then(|| prost_types::Duration {
        seconds: it.as_secs(),
        nanos: it.subsec_nanos(),
    })
}
