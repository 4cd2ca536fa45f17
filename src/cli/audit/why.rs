//! `doorward why`: one decision, as a person would want to read it.

use std::{fmt::Write as _, path::Path};

use super::{Exit, Failure, Place, output};
use crate::{
    audit::{Recorded, RecordedOutcome, Told, find, json},
    bundle::{CompileOptions, Snapshot},
    model::{
        AskedFacts, AskedQuestion, BundleName, Decision, DecisionId, EntityFacts, Members,
        SubjectFacts, Value,
    },
    pap::Archive,
    pdp::replay,
};

/// Say why a decision came out as it did
///
/// Finds it in the decision log by the id that the caller got.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct WhyArgs {
    /// The decision's id
    #[arg(value_name = "DECISION_ID")]
    id: DecisionId,
    #[command(flatten)]
    place: Place,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Decide it again from the record and the bundle that was kept, and compare
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
    if args.json {
        let mut bytes = Vec::new();
        json(&mut bytes, &entry);
        output::print(&String::from_utf8_lossy(&bytes))?;
        return Ok(Exit::Ok);
    }
    let mut text = match &entry {
        Told::Record(record) => of_record(record),
        Told::Refused(classes) => {
            let sample = classes.iter().find_map(|class| {
                let sample = class.samples.iter().find(|(id, ..)| *id == args.id)?;
                Some((class, sample))
            });
            match sample {
                Some((class, (id, time, _, detail))) => {
                    let reason = class.class.as_ref().map_or("", |(_, _, reason)| reason);
                    format!("{id}  {time}  refused ({reason})\n  why     {detail}\n")
                }
                None => String::new(),
            }
        }
        other => line(other) + "\n",
    };
    if let (true, Told::Record(record)) = (args.replay, &entry) {
        text.push_str(&again(record, &args.place.data));
    }
    output::print(&output::shown_lines(&text))?;
    Ok(Exit::Ok)
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
    let subject = record.facts.subject.as_ref();
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

/// Decides it again by the bundle that was kept.
fn again(record: &Recorded, data: &Path) -> String {
    let told = (|| {
        let name = BundleName::new(record.bundle.as_deref().ok_or("no bundle decided it")?);
        let digest = record.digest.ok_or("no bundle decided it")?;
        let files = Archive::new(data, &name)
            .files(digest)
            .ok_or("the bundle is no longer kept")?;
        let options = CompileOptions {
            strict_errors: record.strict_errors,
            gate: false,
            max_level: u32::MAX,
            ..CompileOptions::default()
        };
        let snapshot =
            Snapshot::compile(&files, &options).map_err(|_| "the kept bundle does not compile")?;
        let decided = replay((&snapshot).into(), record).map_err(|why| why.to_string())?;
        Ok::<Decision, String>(decided.decision)
    })();
    match told {
        Ok(decision) if is_same(record, &decision) => {
            "  decided again: the same, by the same policies\n".to_owned()
        }
        Ok(decision) => format!(
            "  decided again: {} ({}), which is NOT what was recorded\n",
            decision.outcome,
            decision.cause.as_str()
        ),
        Err(why) => format!("  cannot be decided again: {why}\n"),
    }
}

fn is_same(record: &Recorded, decision: &Decision) -> bool {
    let RecordedOutcome::Decision {
        outcome,
        cause,
        reasons,
        ..
    } = &record.outcome
    else {
        return false;
    };
    let theirs = reasons.iter().map(|it| it.policy_id.as_str());
    (*outcome, *cause) == (decision.outcome, decision.cause)
        && theirs.eq(decision.reasons.iter().map(|it| &*it.policy_id))
}
