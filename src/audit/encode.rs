//! Records → entries, off the path of the request.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{
    blocks::{Beside, Written},
    format::{Entry, Line, LineOutcome, Words, moment},
    redact::Redaction,
};
use crate::model::{Facts, Record, RecordOutcome};

/// The largest entry with its facts; those of a larger one are left out.
const MAX: usize = 8 * 1024 * 1024;
/// Texts that others send are cut to so many bytes.
const TEXT: usize = 1024;

/// One record, ready to be written.
pub(super) struct Encoded {
    pub(super) payload: Vec<u8>,
    pub(super) beside: Beside,
}

/// The facts of a record, with pseudonyms where there are to be any; `true`: some are.
pub(super) fn facts(record: &mut Record, redaction: Option<&Redaction>) -> (Facts, bool) {
    let evidence = std::mem::take(&mut record.evidence);
    // What makes the facts is the engine's; a fault of it must not end the log.
    let facts = catch_unwind(AssertUnwindSafe(|| evidence.facts()));
    let mut facts = facts.unwrap_or_default();
    let redacted = redaction.is_some_and(|redaction| {
        redaction.facts(&mut facts) | redaction.request_id(&mut record.request_id)
    });
    (facts, redacted)
}

/// Makes the entry that will be the record `sequence`.
pub(super) fn encode(
    record: &Record,
    facts: &Facts,
    redaction: Option<bool>,
    sequence: u64,
    written: &mut Written,
) -> Result<Encoded, postcard::Error> {
    let mut beside = Beside::default();
    let redacted = redaction.unwrap_or(false);
    // Words quote facts, so they go where facts are taken away.
    let words = match redaction {
        Some(_) => Words::default(),
        None => words(&record.outcome),
    };
    let subject = facts.subject.as_ref();
    let mut line = Line {
        time: moment(record.time),
        face: record.face,
        caller: record.caller.as_ref().map(|it| Cow::Borrowed(it.as_str())),
        peer: record.peer,
        request_id: record.request_id.as_deref().map(cut),
        bundle: record.bundle.as_ref().map(|it| Cow::Borrowed(it.as_str())),
        digest: record.bundle_digest.map(|digest| *digest.as_bytes()),
        strict_errors: record.strict_errors,
        revision: Cow::Owned(record.revision.to_string()),
        undeclared: record.undeclared,
        latency_us: record.latency_us,
        redacted,
        explained: record.explained,
        outcome: outcome(&record.outcome),
        subject: subject.and_then(|it| written.refer(&mut beside, sequence, it)),
        asked: None,
        words: match words == Words::default() {
            true => None,
            false => written.refer(&mut beside, sequence, &words),
        },
    };
    let without_asked = beside.len();
    if let Some(asked) = &facts.asked {
        line.asked = written.refer(&mut beside, sequence, asked);
        if beside.len() > MAX {
            beside.cut_last(without_asked);
            line.asked = None;
        }
    }
    let mut payload = Vec::with_capacity(256);
    Entry::Decision(record.decision_id, line).encode(&mut payload)?;
    Ok(Encoded { payload, beside })
}

fn outcome(outcome: &RecordOutcome) -> LineOutcome<'_> {
    match outcome {
        RecordOutcome::Decision {
            outcome,
            cause,
            reasons,
            errors,
            obligations,
        } => LineOutcome::Decision {
            outcome: *outcome,
            cause: *cause,
            reasons: reasons
                .iter()
                .map(|it| (Cow::Borrowed(&*it.policy_id), it.effect))
                .collect(),
            errors: errors
                .iter()
                .map(|it| {
                    let (policy, code) = (Cow::Borrowed(&*it.policy_id), Cow::Borrowed(it.code));
                    (policy, it.effect, code)
                })
                .collect(),
            obligations: obligations
                .iter()
                .map(|it| (Cow::Borrowed(&*it.policy_id), Cow::Borrowed(&*it.text)))
                .collect(),
        },
        RecordOutcome::Refusal {
            refusal, reason, ..
        } => LineOutcome::Refusal {
            refusal: Cow::Borrowed(refusal),
            reason: Cow::Borrowed(reason),
        },
    }
}

fn words(outcome: &RecordOutcome) -> Words {
    match outcome {
        RecordOutcome::Decision {
            reasons, errors, ..
        } => Words {
            detail: None,
            reasons: reasons
                .iter()
                .map(|it| {
                    let text =
                        |it: &Option<std::sync::Arc<str>>| it.as_ref().map(ToString::to_string);
                    (text(&it.reason), text(&it.advice), it.place.to_string())
                })
                .collect(),
            errors: errors
                .iter()
                .map(|it| cut(&it.message).into_owned())
                .collect(),
        },
        RecordOutcome::Refusal { detail, .. } => Words {
            detail: Some(cut(detail).into_owned()),
            ..Words::default()
        },
    }
}

fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= TEXT {
        return Cow::Borrowed(text);
    }
    let short = text
        .get(..text.floor_char_boundary(TEXT))
        .unwrap_or_default();
    Cow::Owned(format!("{short}…"))
}
