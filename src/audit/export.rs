//! What the log tells, for other programs: lines of JSON, and OCSF.

use std::io;

use serde::Serialize as _;
use serde_json::{
    Map, Value as Json, json,
    ser::{CompactFormatter, Formatter, Serializer},
};

use super::decode::{Recorded, RecordedOutcome, RecordedRepeat, RefusedClass, Told};
use crate::model::{
    AskedFacts, AskedQuestion, EntityFacts, EntityRef, Outcome, SubjectFacts, members_to_json,
};

/// Appends an entry as one line of JSON that is safe to show on a terminal, or several for several
/// classes of strangers.
pub fn json(out: &mut Vec<u8>, entry: &Told) {
    for value in values(entry) {
        line(out, &value);
    }
}

/// An entry as JSON: one object, or several for several classes of strangers.
pub fn values(entry: &Told) -> Vec<Json> {
    vec![match entry {
        Told::Record(record) => of_record(record),
        Told::Refused(classes) => return classes.iter().flat_map(of_class).collect(),
        Told::Repeated(it) => of_repeat(it),
        Told::Start(time, engine, configuration, process) => {
            let kind = if *process { "start" } else { "segment" };
            json!({ "kind": kind, "time": time, "engine": engine, "configuration": configuration })
        }
        Told::Gap(time, lost) => json!({ "kind": "gap", "time": time, "lost": lost }),
        Told::Checkpoint(time, sequence) => {
            json!({ "kind": "checkpoint", "time": time, "sequence": sequence })
        }
        Told::Pruned(time, sequence) => {
            json!({ "kind": "pruned", "time": time, "sequence": sequence })
        }
    }]
}

/// Appends an entry as one event of OCSF 1.3 (API Activity, class 6003); what is no decision has none.
pub fn ocsf(out: &mut Vec<u8>, entry: &Told) {
    let Told::Record(record) = entry else { return };
    let asked = record.facts.asked.as_ref();
    let subject = record.facts.subject.as_ref();
    let (status, detail) = match &record.outcome {
        RecordedOutcome::Decision { outcome, cause, .. } => (
            if *outcome == Outcome::Allow { 1 } else { 2 },
            cause.as_str(),
        ),
        RecordedOutcome::Refusal { reason, .. } => (2, reason.as_str()),
    };
    let event = json!({
        "category_uid": 6,
        "class_uid": 6003,
        "activity_id": 99,
        "activity_name": "Authorize",
        "type_uid": 600_399,
        "severity_id": 1,
        "status_id": status,
        "status_detail": detail,
        "time": record.time.as_millisecond(),
        "duration": record.latency_us / 1000,
        "metadata": {
            "version": "1.3.0",
            "uid": record.decision_id,
            "product": { "name": "Doorward", "vendor_name": "Doorward", "version": env!("CARGO_PKG_VERSION") },
        },
        "actor": { "user": { "uid": subject.map(|it| it.entity.uid.to_string()) }, "app_name": record.caller },
        "api": { "operation": asked.map(|it| it.action.as_str()), "request": { "uid": record.request_id } },
        "resources": asked.and_then(asked_for).map(|uid| vec![json!({ "uid": uid })]),
        "src_endpoint": { "ip": record.peer },
        "unmapped": of_record(record),
    });
    line(out, &event);
}

fn of_record(record: &Recorded) -> Json {
    let mut out = Map::new();
    let mut put = |name: &str, value: Json| {
        if !value.is_null() {
            out.insert(name.to_owned(), value);
        }
    };
    put("time", json!(record.time));
    put("sequence", json!(record.sequence));
    put("decision_id", json!(record.decision_id));
    put("face", json!(record.face));
    put("caller", json!(record.caller));
    put("peer", json!(record.peer));
    put("request_id", json!(record.request_id));
    put("bundle", json!(record.bundle));
    put("bundle_digest", json!(record.digest));
    put(
        "revision",
        json!((!record.revision.is_empty()).then_some(&record.revision)),
    );
    if record.digest.is_some() {
        put("strict_errors", json!(record.strict_errors));
    }
    if let Some(subject) = &record.facts.subject {
        put("token", json!(subject.fingerprint));
        put("token_id", json!(subject.token_id));
        put("principal", json!(subject.entity.uid.to_string()));
    }
    if let Some(asked) = &record.facts.asked {
        put("action", json!(asked.action));
        put("resource", json!(asked_for(asked)));
    }
    put(
        "undeclared",
        json!((record.undeclared > 0).then_some(record.undeclared)),
    );
    put("explained", json!(record.explained.then_some(true)));
    put("redacted", json!(record.redacted.then_some(true)));
    put("erased", json!(record.erased.then_some(true)));
    match &record.outcome {
        RecordedOutcome::Decision {
            outcome,
            cause,
            reasons,
            errors,
            obligations,
        } => {
            put("kind", json!("decision"));
            put("outcome", json!(outcome));
            put("cause", json!(cause));
            let reasons = reasons.iter().map(|it| {
                json!({ "policy_id": it.policy_id, "effect": it.effect, "reason": it.reason, "advice": it.advice, "place": it.place })
            });
            put("reasons", reasons.collect());
            let errors: Vec<Json> = errors
                .iter()
                .map(|(policy, effect, code, message)| {
                    json!({ "policy_id": policy, "effect": effect, "code": code, "message": message })
                })
                .collect();
            put("errors", json!((!errors.is_empty()).then_some(errors)));
            let obligations: Vec<Json> = obligations
                .iter()
                .map(|(policy, text)| json!({ "policy_id": policy, "text": text }))
                .collect();
            put(
                "obligations",
                json!((!obligations.is_empty()).then_some(obligations)),
            );
        }
        RecordedOutcome::Refusal {
            refusal,
            reason,
            detail,
        } => {
            put("kind", json!("refusal"));
            put("refusal", json!(refusal));
            put("reason", json!(reason));
            put("detail", json!(detail));
        }
    }
    put("latency_us", json!(record.latency_us));
    put("facts", facts(record));
    Json::Object(out)
}

fn facts(record: &Recorded) -> Json {
    let subject = record.facts.subject.as_deref().map(of_subject);
    let asked = record.facts.asked.as_ref().map(of_asked);
    match (subject, asked) {
        (None, None) => Json::Null,
        (subject, asked) => json!({ "subject": subject, "asked": asked }),
    }
}

fn of_subject(it: &SubjectFacts) -> Json {
    let mut out = of_entity(&it.entity);
    if let (Some(out), Some(token)) = (out.as_object_mut(), &it.token) {
        out.insert(
            "token".to_owned(),
            json!({
                "issuer": token.issuer,
                "client_id": token.client_id,
                "scopes": token.scopes,
                "acr": token.acr,
                "amr": token.amr,
                "auth_time": token.auth_time,
                "issued_at": token.issued_at,
                "expires_at": token.expires_at,
                "actor": token.actor,
            }),
        );
    }
    out
}

fn of_asked(it: &AskedFacts) -> Json {
    let question = match &it.question {
        AskedQuestion::Named {
            action,
            properties,
            resource,
        } => {
            json!({ "action": action, "properties": members_to_json(properties), "resource": of_entity(resource) })
        }
        AskedQuestion::Http {
            method,
            host,
            target,
            headers,
        } => json!({ "method": method, "host": host, "target": target, "headers": headers }),
    };
    json!({
        "question": question,
        "entities": it.entities.iter().map(of_entity).collect::<Vec<_>>(),
        "context": members_to_json(&it.context),
        "peer": it.peer,
    })
}

fn of_entity(it: &EntityFacts) -> Json {
    let uid = |uid: &EntityRef| json!({ "type": uid.type_name, "id": uid.id });
    json!({
        "uid": uid(&it.uid),
        "attributes": members_to_json(&it.attributes),
        "parents": it.parents.iter().map(uid).collect::<Vec<_>>(),
    })
}

/// The resource, or the path that came to none.
pub fn asked_for(asked: &AskedFacts) -> Option<String> {
    match (&asked.resource, &asked.question) {
        (Some(uid), _) => Some(uid.to_string()),
        (None, AskedQuestion::Http { target, .. }) => Some(target.clone()),
        (None, AskedQuestion::Named { resource, .. }) => Some(resource.uid.to_string()),
    }
}

/// The samples, each as a refusal, and then how many there were.
fn of_class(it: &RefusedClass) -> Vec<Json> {
    let (face, refusal, reason) = match &it.class {
        Some((face, refusal, reason)) => (Some(face), Some(refusal), Some(reason)),
        None => (None, None, None),
    };
    let samples = it.samples.iter().map(|(id, time, request_id, detail)| {
        json!({
            "kind": "refusal", "sample": true, "time": time, "decision_id": id, "face": face,
            "caller": it.caller, "peer": it.peer, "request_id": request_id,
            "refusal": refusal, "reason": reason, "detail": detail,
        })
    });
    let count = json!({
        "kind": "refused", "time": it.time, "face": face, "caller": it.caller, "peer": it.peer,
        "refusal": refusal, "reason": reason, "count": it.count,
    });
    samples.chain([count]).collect()
}

fn of_repeat(it: &RecordedRepeat) -> Json {
    json!({
        "kind": "repeated", "since": it.first, "time": it.last, "count": it.ids.len(), "cause": it.cause,
        "caller": it.caller, "bundle": it.bundle,
        "principal": it.subject.as_ref().map(|it| it.entity.uid.to_string()),
        "decision_ids": it.ids,
    })
}

/// Appends a value as such a line.
pub fn line(out: &mut Vec<u8>, value: &Json) {
    let start = out.len();
    match value.serialize(&mut Serializer::with_formatter(&mut *out, Visible)) {
        Ok(()) => out.push(b'\n'),
        Err(_) => out.truncate(start),
    }
}

/// Compact JSON in which whatever could steer a terminal or reorder text is escaped: besides
/// JSON's own, DEL, the C1 controls, line separators and bidirectional marks.
struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut rest = fragment;
        while let Some((at, char)) = rest.char_indices().find(|(_, char)| is_unseen(*char)) {
            let (before, from) = rest.split_at(at);
            CompactFormatter.write_string_fragment(writer, before)?;
            // All of them are within the basic plane, so one escape each.
            write!(writer, "\\u{:04x}", u32::from(char))?;
            rest = from.get(char.len_utf8()..).unwrap_or_default();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

fn is_unseen(char: char) -> bool {
    matches!(char,
        '\u{7f}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}')
}
