//! From an `Answer` to the wire.

use crate::{
    model::{Cause, Challenge, Decision, Effect, EvaluationFault, Outcome, Reason, SignedDuration},
    pdp::{Answer, Refused},
    pep::status::to_refusal,
    proto::v1::{self as wire, challenge, check_result},
};

/// The message of an answer; places and error texts only for who may see them.
pub(super) fn to_check_response(answer: &Answer) -> wire::CheckResponse {
    wire::CheckResponse {
        decision: Some(to_named_decision(answer)),
    }
}

/// The result of one question of a batch.
pub(super) fn to_result(answered: Result<Answer, Refused>) -> wire::CheckResult {
    let result = match answered {
        Ok(answer) => check_result::Result::Decision(to_named_decision(&answer)),
        Err(refused) => check_result::Result::Refusal(to_refusal(&refused)),
    };
    wire::CheckResult {
        result: Some(result),
    }
}

/// The answer to the question `id` of a stream.
pub(super) fn to_stream_response(
    id: String,
    answered: Result<Answer, Refused>,
) -> wire::CheckStreamResponse {
    use wire::check_stream_response::Result as Of;
    let result = match answered {
        Ok(answer) => Of::Decision(to_named_decision(&answer)),
        Err(refused) => Of::Refusal(to_refusal(&refused)),
    };
    wire::CheckStreamResponse {
        id,
        result: Some(result),
    }
}

fn to_named_decision(answer: &Answer) -> wire::Decision {
    wire::Decision {
        decision_id: answer.decision_id().to_string(),
        bundle: answer.bundle().as_str().to_owned(),
        bundle_digest: answer.digest().to_string(),
        revision: answer.revision().as_str().to_owned(),
        ..to_decision(answer.decision(), answer.may_explain())
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
        outcome: to_outcome(*outcome).into(),
        cause: to_cause(*cause).into(),
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

pub(super) fn to_outcome(it: Outcome) -> wire::Outcome {
    match it {
        Outcome::Allow => wire::Outcome::Allow,
        Outcome::Deny => wire::Outcome::Deny,
    }
}

pub(super) fn to_cause(it: Cause) -> wire::Cause {
    match it {
        Cause::Permitted => wire::Cause::Permitted,
        Cause::Forbidden => wire::Cause::Forbidden,
        Cause::ForbidErrored => wire::Cause::ForbidErrored,
        Cause::NothingPermits => wire::Cause::NothingPermits,
    }
}

pub(super) fn to_effect(it: Effect) -> wire::Effect {
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
