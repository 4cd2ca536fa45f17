//! `Explain`: for people and their tools.

use crate::{
    model::Outcome,
    pdp::{Explained, Explanation, Flip},
    policy::{
        Ask, Came, FactKind, Finding, Saw, Shown,
        core::{Truth, Uid},
        told,
    },
    proto::v1 as wire,
};

use super::answer::{to_cause, to_effect, to_outcome};

/// The message of an explanation.
pub(super) fn to_explain_response(explained: &Explained) -> wire::ExplainResponse {
    wire::ExplainResponse {
        explanation: Some(wire::Explanation {
            decision_id: explained.decision_id.to_string(),
            bundle: explained.bundle.to_string(),
            bundle_digest: explained.digest.to_string(),
            revision: explained.revision.to_string(),
            ..to_explanation(&explained.explanation)
        }),
    }
}

/// An explanation, without what names it. Values are in it only where it was made with them.
pub fn to_explanation(it: &Explanation) -> wire::Explanation {
    wire::Explanation {
        outcome: to_outcome(it.decision.outcome).into(),
        cause: to_cause(it.decision.cause).into(),
        principal: Some(to_uid(&it.principal)),
        action: Some(to_uid(&it.action)),
        resource: Some(to_uid(&it.resource)),
        applicable: it.applicable,
        determining: it.determining.iter().map(to_finding).collect(),
        nearest: it.nearest.iter().map(to_finding).collect(),
        flips: it
            .flips
            .iter()
            .map(|flip| to_flip(flip, it.values))
            .collect(),
        truncated: it.truncated,
        values_shown: it.values,
        ..wire::Explanation::default()
    }
}

fn to_uid(uid: &Uid) -> wire::EntityUid {
    let id: &str = uid.eid().as_ref();
    wire::EntityUid {
        r#type: uid.entity_type().to_string(),
        id: id.to_owned(),
    }
}

fn to_finding(it: &Finding) -> wire::PolicyFinding {
    let (result, code, message) = match &it.came {
        Came::Applies => (wire::Truth::Met, "", ""),
        Came::Fails => (wire::Truth::Failed, "", ""),
        Came::Errored(code, message) => (wire::Truth::Errored, *code, message.as_str()),
    };
    wire::PolicyFinding {
        policy_id: it.policy_id.to_string(),
        effect: to_effect(it.effect).into(),
        file: it.place.file.to_string(),
        line: to_u32(it.place.line),
        source: it.source.clone(),
        slots: it.slots.clone(),
        reason: it.reason.as_deref().unwrap_or_default().to_owned(),
        advice: it.advice.as_deref().unwrap_or_default().to_owned(),
        result: result.into(),
        error_code: code.to_owned(),
        error_message: message.to_owned(),
        requirements: it.asks.iter().map(to_requirement).collect(),
    }
}

fn to_requirement(it: &Ask) -> wire::Requirement {
    let (result, code) = to_truth(it.met);
    wire::Requirement {
        text: it.text.clone(),
        line: to_u32(it.place.line),
        column: to_u32(it.place.column),
        span: Some(to_span(&it.span)),
        head: it.head,
        negated: it.negated,
        result: result.into(),
        error_code: code.to_owned(),
        seen: it.saw.iter().map(to_seen).collect(),
        parts: it
            .parts
            .iter()
            .map(|(span, truth)| wire::Part {
                span: Some(to_span(span)),
                result: to_truth(*truth).0.into(),
            })
            .collect(),
    }
}

fn to_truth(truth: Truth) -> (wire::Truth, &'static str) {
    match truth {
        Truth::True => (wire::Truth::Met, ""),
        Truth::False => (wire::Truth::Failed, ""),
        Truth::Errored(code) => (wire::Truth::Errored, code),
        Truth::NotReached => (wire::Truth::NotReached, ""),
    }
}

fn to_span(span: &std::ops::Range<usize>) -> wire::Span {
    wire::Span {
        start: to_u32(span.start),
        end: to_u32(span.end),
    }
}

fn to_seen(it: &Saw) -> wire::Seen {
    wire::Seen {
        path: it.path.clone(),
        value: match &it.value {
            Shown::Value(value) => Some(value.clone()),
            Shown::Hidden | Shown::Absent => None,
        },
        missing: it.value == Shown::Absent,
    }
}

fn to_flip(flip: &Flip, values: bool) -> wire::Flip {
    let facts: Vec<wire::Fact> = flip
        .changes
        .iter()
        .map(|change| {
            let (kind, value, text) = told(change, values);
            wire::Fact {
                path: change.spot.named.clone(),
                change: match kind {
                    FactKind::Set => wire::FactChange::Set,
                    FactKind::Absent => wire::FactChange::Absent,
                    FactKind::Contains => wire::FactChange::Contains,
                    FactKind::Lacks => wire::FactChange::Lacks,
                    FactKind::In => wire::FactChange::In,
                    FactKind::NotIn => wire::FactChange::NotIn,
                }
                .into(),
                value,
                text,
            }
        })
        .collect();
    let text: Vec<&str> = facts.iter().map(|fact| fact.text.as_str()).collect();
    let text = text.join(", and ");
    debug_assert_eq!(flip.decision.outcome, Outcome::Allow);
    let reasons = flip.decision.reasons.iter();
    wire::Flip {
        permits: reasons.map(|it| it.policy_id.to_string()).collect(),
        text,
        facts,
    }
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
