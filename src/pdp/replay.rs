//! A recorded decision, decided again and explained.

mod hidden;

use super::{
    decide::{Decided, decide},
    explain::{Explanation, Telling, explain},
};
use crate::{
    audit::{Recorded, RecordedOutcome},
    bundle::Snapshot,
    model::{CallerName, Refusal},
    pip::{Asked, Known, Principal, asked_again},
};
use hidden::hidden;

/// Why a record cannot be decided again.
#[derive(Debug, thiserror::Error)]
pub enum NotReplayed {
    /// It was made by other rules.
    #[error("the record was decided by the bundle {0}, which these rules are not")]
    OtherBundle(String),
    /// Its rules look at the directory, and none was given.
    #[error("its rules look at the directory, which is not at hand as it was then")]
    NoDirectory,
    /// Facts were redacted: these.
    #[error(
        "pseudonyms stand for facts that it needs, by a rule of `audit.redact`: {}",
        .0.join(", ")
    )]
    Redacted(Vec<String>),
    /// Facts were erased, or never there.
    #[error("the record does not have all of its facts: {0}")]
    Facts(&'static str),
    /// Its facts are refused now.
    #[error("the recorded question is refused: {0}")]
    Refused(Refusal),
}

/// Decides a record again by the bundle that decided it and the directory as it was, as of its time.
///
/// Pure: the same record, bundle and directory give the decision that was recorded.
///
/// # Errors
/// [`NotReplayed`].
pub fn replay(known: Known<'_>, record: &Recorded) -> Result<Decided, NotReplayed> {
    same_rules(known.snapshot(), record)?;
    replay_with(known, record)
}

/// Decides a record again by other rules: what would they have answered?
///
/// # Errors
/// [`NotReplayed`].
pub fn replay_with(known: Known<'_>, record: &Recorded) -> Result<Decided, NotReplayed> {
    again(known, record, |who, asked| {
        decide(known, who, asked, record.time)
    })
}

/// Explains the decision of a record, by what [`replay`] decides it again by.
///
/// # Errors
/// [`NotReplayed`].
pub fn explain_again(
    known: Known<'_>,
    record: &Recorded,
    telling: Telling<'_>,
) -> Result<Explanation, NotReplayed> {
    same_rules(known.snapshot(), record)?;
    again(known, record, |who, asked| {
        explain(known, who, asked, record.time, telling)
    })
}

fn same_rules(snapshot: &Snapshot, record: &Recorded) -> Result<(), NotReplayed> {
    if record.digest == Some(snapshot.digest) && record.strict_errors == snapshot.strict_errors {
        return Ok(());
    }
    let digest = record.digest.map(|digest| digest.to_string());
    Err(NotReplayed::OtherBundle(digest.unwrap_or_default()))
}

/// Puts the question of a record once more.
fn again<T>(
    known: Known<'_>,
    record: &Recorded,
    ask: impl FnOnce(&Principal, Asked<'_>) -> Result<T, Refusal>,
) -> Result<T, NotReplayed> {
    if !known.is_whole() {
        return Err(NotReplayed::NoDirectory);
    }
    let facts = &record.facts;
    let (Some(subject), Some(asked)) = (&facts.subject, &facts.asked) else {
        return Err(NotReplayed::Facts(lacking(record)));
    };
    let hidden = match record.redacted {
        true => hidden(subject, asked),
        false => Vec::new(),
    };
    if !hidden.is_empty() {
        return Err(NotReplayed::Redacted(hidden));
    }
    let who = Principal::recorded(known, subject).map_err(NotReplayed::Refused)?;
    let question = asked_again(asked).map_err(NotReplayed::Refused)?;
    let caller = record.caller.as_deref().map(CallerName::new);
    let asked = Asked {
        question: &question,
        entities: &asked.entities,
        context: &asked.context,
        caller: caller.as_ref(),
        peer: asked.peer.as_deref(),
    };
    ask(&who, asked).map_err(NotReplayed::Refused)
}

fn lacking(record: &Recorded) -> &'static str {
    let facts = &record.facts;
    match (&facts.subject, &record.outcome) {
        _ if record.erased && facts.subject.is_none() && facts.asked.is_none() => {
            "the subject and the question were erased"
        }
        (None, _) if record.erased => "the subject was erased",
        (Some(_), _) if record.erased => "the question was erased",
        (None, RecordedOutcome::Refusal { .. }) => {
            "it was refused before it was known who is meant"
        }
        _ => "they were not kept",
    }
}
