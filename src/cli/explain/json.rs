//! An explanation for programs, in the words of the wire.

use serde_json::{Value as Json, json};

use crate::{
    model::{EntityRef, Refusal},
    proto::v1::{EntityUid, Explanation, Fact, Flip, PolicyFinding, Requirement, Seen, Span},
};

/// An explanation as one line of JSON.
pub(super) fn explanation(it: &Explanation) -> String {
    format!("{}\n", value(it))
}

/// An explanation as JSON.
pub(in crate::cli) fn value(it: &Explanation) -> Json {
    json!({
        "outcome": word(it.outcome().as_str_name(), "OUTCOME_"),
        "cause": word(it.cause().as_str_name(), "CAUSE_"),
        "decision_id": text(&it.decision_id),
        "principal": uid(it.principal.as_ref()),
        "action": uid(it.action.as_ref()),
        "resource": uid(it.resource.as_ref()),
        "applicable": it.applicable,
        "determining": it.determining.iter().map(policy).collect::<Vec<_>>(),
        "nearest": it.nearest.iter().map(policy).collect::<Vec<_>>(),
        "flips": it.flips.iter().map(flip).collect::<Vec<_>>(),
        "truncated": it.truncated,
        "values_shown": it.values_shown,
        "bundle": text(&it.bundle),
        "bundle_digest": it.bundle_digest,
        "revision": text(&it.revision),
    })
}

/// A refusal as one line of JSON.
pub(super) fn refusal(it: &Refusal) -> String {
    let told = json!({
        "outcome": "refused",
        "refusal": it.code(),
        "reason": it.reason(),
        "message": it.to_string(),
    });
    format!("{told}\n")
}

fn policy(it: &PolicyFinding) -> Json {
    json!({
        "policy_id": it.policy_id,
        "effect": word(it.effect().as_str_name(), "EFFECT_"),
        "file": it.file,
        "line": it.line,
        "source": it.source,
        "slots": it.slots,
        "reason": text(&it.reason),
        "advice": text(&it.advice),
        "result": word(it.result().as_str_name(), "TRUTH_"),
        "error_code": text(&it.error_code),
        "error_message": text(&it.error_message),
        "requirements": it.requirements.iter().map(requirement).collect::<Vec<_>>(),
    })
}

fn requirement(it: &Requirement) -> Json {
    let part = |part: &crate::proto::v1::Part| {
        json!({
            "span": span(part.span),
            "result": word(part.result().as_str_name(), "TRUTH_"),
        })
    };
    json!({
        "text": it.text,
        "line": it.line,
        "column": it.column,
        "span": span(it.span),
        "head": it.head,
        "negated": it.negated,
        "result": word(it.result().as_str_name(), "TRUTH_"),
        "error_code": text(&it.error_code),
        "seen": it.seen.iter().map(seen).collect::<Vec<_>>(),
        "parts": it.parts.iter().map(part).collect::<Vec<_>>(),
    })
}

fn seen(it: &Seen) -> Json {
    json!({ "path": it.path, "value": it.value, "missing": it.missing })
}

fn flip(it: &Flip) -> Json {
    json!({
        "facts": it.facts.iter().map(fact).collect::<Vec<_>>(),
        "permits": it.permits,
        "text": it.text,
    })
}

fn fact(it: &Fact) -> Json {
    json!({
        "path": it.path,
        "change": word(it.change().as_str_name(), "FACT_CHANGE_"),
        "value": it.value,
        "text": it.text,
    })
}

fn span(it: Option<Span>) -> Json {
    it.map_or(Json::Null, |it| json!([it.start, it.end]))
}

fn uid(it: Option<&EntityUid>) -> Json {
    it.map_or(Json::Null, |it| {
        EntityRef::new(it.r#type.clone(), it.id.clone())
            .to_string()
            .into()
    })
}

fn text(text: &str) -> Json {
    match text.is_empty() {
        true => Json::Null,
        false => Json::from(text),
    }
}

/// A name of an enumeration, as the decision log writes words.
fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix)
        .unwrap_or(name)
        .to_ascii_lowercase()
}
