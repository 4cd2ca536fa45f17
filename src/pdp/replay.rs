//! A recorded decision, decided again.

use super::decide::{Decided, decide};
use crate::{
    audit::Recorded,
    model::{CallerName, Refusal},
    pip::{Asked, Known, Principal, asked_again},
};

/// Why a record cannot be decided again.
#[derive(Debug, thiserror::Error)]
pub enum NotReplayed {
    /// It was made by other rules.
    #[error("the record was decided by the bundle {0}, which these rules are not")]
    OtherBundle(String),
    /// Facts were redacted, erased, or never there.
    #[error("the record does not have all of its facts: {0}")]
    Facts(&'static str),
    /// Its facts are refused now.
    #[error("the recorded question is refused: {0}")]
    Refused(Refusal),
}

/// Decides a record again by the bundle that decided it, as of its time.
///
/// Pure: the same record and the same bundle give the decision that was recorded.
///
/// # Errors
/// [`NotReplayed`].
pub fn replay(known: Known<'_>, record: &Recorded) -> Result<Decided, NotReplayed> {
    let snapshot = known.snapshot();
    if record.digest != Some(snapshot.digest) || record.strict_errors != snapshot.strict_errors {
        let digest = record.digest.map(|digest| digest.to_string());
        return Err(NotReplayed::OtherBundle(digest.unwrap_or_default()));
    }
    replay_with(known, record)
}

/// Decides a record again by other rules: what would they have answered?
///
/// # Errors
/// [`NotReplayed`].
pub fn replay_with(known: Known<'_>, record: &Recorded) -> Result<Decided, NotReplayed> {
    if !known.is_whole() {
        return Err(NotReplayed::Facts(
            "its rules look at the directory, which is not at hand as it was then",
        ));
    }
    if record.redacted {
        return Err(NotReplayed::Facts(
            "a rule of `audit.redact` took some away",
        ));
    }
    let facts = &record.facts;
    let (Some(subject), Some(asked)) = (&facts.subject, &facts.asked) else {
        return Err(NotReplayed::Facts("they were erased, or never known"));
    };
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
    decide(known, &who, asked, record.time).map_err(NotReplayed::Refused)
}
