//! `doorward why`: one decision, as a person would want to read it.

mod again;

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::{Exit, Failure, Place, output};
use crate::{
    audit::{Recorded, RecordedOutcome, Told, find, json, json_line},
    model::{AskedFacts, AskedQuestion, DecisionId, EntityFacts, Members, SubjectFacts, Value},
};
use again::Again;

const EXAMPLES: &str = "\
Examples:
  doorward why 01a1fd86-ce38-7efb-8478-e113f0426385
  doorward why 01a1fd86-ce38-7efb-8478-e113f0426385 --explain
  doorward why 01a1fd86-ce38-7efb-8478-e113f0426385 --replay --json --data /var/lib/doorward

Exit codes: 0 told, 1 not in the log, or not to be explained or decided again, or decided otherwise, 64 bad usage";

/// Say why a decision came out as it did
///
/// Finds it in the decision log by the id that the caller got. --explain and --replay take the rules
/// and the directory as they were then, as far as the data directory keeps them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct WhyArgs {
    /// The decision's id
    #[arg(value_name = "DECISION_ID")]
    id: DecisionId,
    #[command(flatten)]
    place: Place,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Show which conditions decided, with the values they saw; of a denial, the nearest permits and
    /// what would have to be otherwise
    #[arg(long)]
    explain: bool,
    /// Decide it again from the record and what was kept, and compare
    #[arg(long)]
    replay: bool,
}

pub(in crate::cli) fn why(args: &WhyArgs) -> Result<Exit, Failure> {
    let files = args.place.files()?;
    let found = find(&files, args.id).map_err(Failure::failed)?;
    let entry = found.ok_or_else(|| {
        Failure::failed(format!(
            "`{}` is not in the log: it is of another server, was removed with old segments, or is one of many refusals to strangers, which are kept by example",
            args.id
        ))
    })?;
    let again = Again::of(&entry, args);
    let text = match args.json {
        true => with_members(&entry, again.members),
        false => output::shown_lines(&of_entry(&entry, args.id)) + &again.text,
    };
    output::print(&text)?;
    Ok(again.exit)
}

/// One line of JSON, with what is said besides.
fn with_members(entry: &Told, members: Vec<(&str, Json)>) -> String {
    let mut bytes = Vec::new();
    json(&mut bytes, entry);
    // Refusals of strangers are several lines, and all there is to say.
    if let Ok(Json::Object(mut object)) = serde_json::from_slice(&bytes) {
        let members = members.into_iter();
        object.extend(members.map(|(name, value)| (name.to_owned(), value)));
        bytes.clear();
        json_line(&mut bytes, &Json::Object(object));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn of_entry(entry: &Told, id: DecisionId) -> String {
    match entry {
        Told::Record(record) => of_record(record),
        Told::Refused(classes) => {
            let samples = classes.iter().flat_map(|class| {
                let samples = class.samples.iter();
                samples.map(move |sample| (class, sample))
            });
            let mut samples = samples.filter(|(_, (sample, ..))| *sample == id);
            let told = samples.next().map(|(class, (id, time, _, detail))| {
                let reason = class.class.as_ref().map_or("", |(_, _, reason)| reason);
                format!("{id}  {time}  refused ({reason})\n  why     {detail}\n")
            });
            told.unwrap_or_default()
        }
        other => line(other) + "\n",
    }
}

/// One line of a list.
pub(super) fn line(entry: &Told) -> String {
    match entry {
        Told::Record(record) => {
            let facts = &record.facts;
            let subject = facts.subject.as_ref().map(|it| it.entity.uid.to_string());
            let asked = facts.asked.as_ref();
            let action = asked.map_or("?", |it| &it.action);
            let (outcome, cause) = outcome(record);
            format!(
                "{}  {}  {outcome:<7}  {} {action} {}  ({cause})",
                record.time,
                record.decision_id,
                subject.as_deref().unwrap_or("-"),
                asked.map_or_else(|| "?".to_owned(), resource),
            )
        }
        Told::Refused(classes) => {
            let lines = classes.iter().map(|it| {
                let what = match &it.class {
                    Some((face, _, reason)) => format!("{} {reason}", face.as_str()),
                    None => "of many kinds".to_owned(),
                };
                let peer = it
                    .peer
                    .map(|peer| format!(" from {peer}"))
                    .unwrap_or_default();
                format!("{}  {} refused  {what}{peer}", it.time, it.count)
            });
            lines.collect::<Vec<_>>().join("\n")
        }
        Told::Repeated(it) => {
            let subject = it.subject.as_ref().map(|it| it.entity.uid.to_string());
            format!(
                "{}  {} more denies of {} ({}) since {}",
                it.last,
                it.ids.len(),
                subject.as_deref().unwrap_or("?"),
                it.cause.as_str(),
                it.first,
            )
        }
        Told::Gap(time, lost) => format!("{time}  {lost} records are missing here"),
        Told::Pruned(time, sequence) => format!("{time}  records up to {sequence} were removed"),
        Told::Start(time, engine, ..) => format!("{time}  doorward {engine} began"),
        Told::Checkpoint(time, sequence) => format!("{time}  signed up to record {sequence}"),
    }
}

fn outcome(record: &Recorded) -> (&str, &str) {
    match &record.outcome {
        RecordedOutcome::Decision { outcome, cause, .. } => (outcome.as_str(), cause.as_str()),
        RecordedOutcome::Refusal { reason, .. } => ("refused", reason),
    }
}

fn of_record(record: &Recorded) -> String {
    let mut text = String::new();
    let (word, cause) = outcome(record);
    let mut put = |name: &str, value: &str| {
        // A `String` takes whatever is written to it.
        let _ok = writeln!(text, "  {name:<9} {value}");
    };
    put("when", &record.time.to_string());
    let caller = record.caller.as_deref().unwrap_or("nobody known");
    let through = format!("{caller}, through {}", record.face.as_str());
    let from = record
        .peer
        .map(|peer| format!(", from {peer}"))
        .unwrap_or_default();
    put("asked by", &format!("{through}{from}"));
    if let Some(id) = &record.request_id {
        put("request", id);
    }
    match &record.outcome {
        RecordedOutcome::Decision {
            reasons,
            errors,
            obligations,
            ..
        } => {
            for it in reasons {
                let place = it
                    .place
                    .as_deref()
                    .map(|it| format!(" ({it})"))
                    .unwrap_or_default();
                let says = it
                    .reason
                    .as_deref()
                    .map(|it| format!(": {it}"))
                    .unwrap_or_default();
                put(
                    "because",
                    &format!("{} `{}`{place}{says}", it.effect, it.policy_id),
                );
                if let Some(advice) = &it.advice {
                    put("advice", advice);
                }
            }
            for (policy, effect, code, message) in errors {
                let message = message.as_deref().unwrap_or(code);
                put("failed", &format!("{effect} `{policy}`: {message}"));
            }
            for (policy, demand) in obligations {
                put("demanded", &format!("{demand} (by `{policy}`)"));
            }
        }
        RecordedOutcome::Refusal { detail, .. } => {
            put("because", detail.as_deref().unwrap_or("its words are gone"));
        }
    }
    if let (Some(bundle), Some(digest)) = (&record.bundle, &record.digest) {
        let strict = if record.strict_errors {
            ""
        } else {
            ", failed forbids pass"
        };
        put(
            "rules",
            &format!("bundle `{bundle}`, digest {}{strict}", digest.short()),
        );
    }
    if !record.revision.is_empty() {
        put("revision", &record.revision);
    }
    put(
        "took",
        &format!("{} µs, record {}", record.latency_us, record.sequence),
    );
    if record.redacted {
        put("note", "pseudonyms (`~…`) stand for some facts");
    }
    if record.erased {
        put("note", "some facts were erased");
    }
    let subject = record.facts.subject.as_deref();
    let asked = record.facts.asked.as_ref();
    let who = subject.map_or_else(|| "someone".to_owned(), |it| it.entity.uid.to_string());
    let what = asked.map_or_else(
        || "something".to_owned(),
        |it| format!("{} {}", it.action, resource(it)),
    );
    let mut out = format!(
        "{}  {who} {what}: {word} ({cause})\n{text}",
        record.decision_id
    );
    out.push_str(&subject.map(of_subject).unwrap_or_default());
    out.push_str(&asked.map(of_asked).unwrap_or_default());
    out
}

fn resource(asked: &AskedFacts) -> String {
    match (&asked.resource, &asked.question) {
        (Some(uid), _) => uid.to_string(),
        (None, AskedQuestion::Http { target, .. }) => target.clone(),
        (None, AskedQuestion::Named { resource, .. }) => resource.uid.to_string(),
    }
}

fn of_subject(it: &SubjectFacts) -> String {
    let mut text = String::from("  the subject\n");
    entity(&mut text, &it.entity);
    if let Some(token) = &it.token {
        let scopes = token.scopes.join(" ");
        put(
            &mut text,
            "token",
            &format!(
                "of `{}`, scopes `{scopes}`, ends {}",
                token.issuer, token.expires_at
            ),
        );
    }
    if let Some(fingerprint) = &it.fingerprint {
        put(&mut text, "token sha", fingerprint);
    }
    text
}

fn of_asked(it: &AskedFacts) -> String {
    let mut text = String::from("  the question\n");
    match &it.question {
        AskedQuestion::Named {
            properties,
            resource,
            ..
        } => {
            entity(&mut text, resource);
            members(&mut text, "action.", properties);
        }
        AskedQuestion::Http {
            method,
            host,
            target,
            headers,
        } => {
            put(&mut text, "http", &format!("{method} {host}{target}"));
            for (name, value) in headers {
                put(&mut text, name, value);
            }
        }
    }
    for facts in &it.entities {
        entity(&mut text, facts);
    }
    members(&mut text, "context.", &it.context);
    text
}

fn entity(text: &mut String, facts: &EntityFacts) {
    let parents: Vec<String> = facts.parents.iter().map(ToString::to_string).collect();
    let within = match parents.is_empty() {
        true => String::new(),
        false => format!(" in {}", parents.join(", ")),
    };
    put(text, "entity", &format!("{}{within}", facts.uid));
    members(text, "  .", &facts.attributes);
}

fn members(text: &mut String, prefix: &str, members: &Members) {
    for (name, value) in members {
        let value = match value {
            Value::Entity(uid) => uid.to_string(),
            other => other.to_json().to_string(),
        };
        put(text, &format!("{prefix}{name}"), &value);
    }
}

fn put(text: &mut String, name: &str, value: &str) {
    let _ok = writeln!(text, "    {name:<20} {value}");
}
