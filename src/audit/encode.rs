//! Records → entries, off the path of the request.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
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

/// Makes the entry that will be the record `sequence`, in `payload`, and what stands beside it.
pub(super) fn encode(
    record: &Record,
    facts: &Facts,
    redaction: Option<bool>,
    sequence: u64,
    written: &mut Written,
    payload: &mut Vec<u8>,
    beside: &mut Beside,
) -> Result<(), postcard::Error> {
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
        revision: Cow::Borrowed(record.revision.as_str()),
        undeclared: record.undeclared,
        latency_us: record.latency_us,
        redacted,
        explained: record.explained,
        outcome: outcome(&record.outcome),
        subject: subject.and_then(|it| written.refer_to_subject(beside, sequence, it)),
        asked: None,
        words: match words == Words::default() {
            true => None,
            false => written.refer(beside, sequence, &words, usize::MAX),
        },
    };
    let asked = facts.asked.as_ref();
    line.asked = asked.and_then(|asked| written.refer(beside, sequence, asked, MAX));
    Entry::Decision(record.decision_id, line).encode(payload)
}

fn outcome(outcome: &RecordOutcome) -> LineOutcome<'_> {
    match outcome {
        RecordOutcome::Decision(decision) => LineOutcome::Decision {
            outcome: decision.outcome,
            cause: decision.cause,
            reasons: decision
                .reasons
                .iter()
                .map(|it| (Cow::Borrowed(&*it.policy_id), it.effect))
                .collect(),
            errors: decision
                .errors
                .iter()
                .map(|it| {
                    let (policy, code) = (Cow::Borrowed(&*it.policy_id), Cow::Borrowed(it.code));
                    (policy, it.effect, code)
                })
                .collect(),
            obligations: decision
                .obligations
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

fn words(outcome: &RecordOutcome) -> Words<'_> {
    fn some(text: &Option<Arc<str>>) -> Option<Cow<'_, str>> {
        text.as_deref().map(Cow::Borrowed)
    }
    match outcome {
        RecordOutcome::Decision(decision) => Words {
            detail: None,
            reasons: decision
                .reasons
                .iter()
                .map(|it| {
                    (
                        some(&it.reason),
                        some(&it.advice),
                        Cow::Borrowed(&*it.place),
                    )
                })
                .collect(),
            errors: decision.errors.iter().map(|it| cut(&it.message)).collect(),
        },
        RecordOutcome::Refusal { detail, .. } => Words {
            detail: Some(cut(detail)),
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
