//! What to look for, and one decision by its id.

use std::time::Duration;

use super::{
    decode::{RefusedClass, Told, told_alone},
    files::{AuditFiles, kind_of},
    format::{Entry, REFUSALS, REPEATED},
    parts::Parts,
    scan::segments,
    terms::{Field, of_class, span, terms},
};
use crate::{
    ledger::{Frame, LogError},
    model::{DecisionId, Timestamp},
};

/// How long after a request was asked the counts that tell of it may be written: those of strangers
/// wait for a disk that fails.
const LATE: Duration = Duration::from_secs(120);
/// How much later than its id an entry may seem to begin.
const EARLY: Duration = Duration::from_secs(1);

/// What to look for; all of it must hold.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The principal, as `User::"alice"`.
    pub subject: Option<String>,
    /// The action, by its id or in full.
    pub action: Option<String>,
    /// The resource, as `Order::"o-1"`.
    pub resource: Option<String>,
    /// `allow`, `deny` or `refused`.
    pub outcome: Option<String>,
    /// The cause of a decision, or the kind or reason of a refusal.
    pub cause: Option<String>,
    /// A policy that determined it or failed.
    pub policy: Option<String>,
    /// Who asked.
    pub caller: Option<String>,
    /// The bundle.
    pub bundle: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not at or after.
    pub until: Option<Timestamp>,
}

impl Query {
    /// Whether nothing is asked for in particular.
    pub(super) fn is_everything(&self) -> bool {
        self.wanted().is_empty() && self.since.is_none() && self.until.is_none()
    }

    /// The terms that must all be there.
    pub(super) fn wanted(&self) -> Vec<(Field, &str)> {
        let Self {
            subject,
            action,
            resource,
            outcome,
            cause,
            policy,
            caller,
            bundle,
            since: _,
            until: _,
        } = self;
        let named = [
            (Field::Subject, subject),
            (Field::Action, action),
            (Field::Resource, resource),
            (Field::Outcome, outcome),
            (Field::Cause, cause),
            (Field::Policy, policy),
            (Field::Caller, caller),
            (Field::Bundle, bundle),
        ];
        let named = named.into_iter();
        named
            .filter_map(|(field, text)| Some((field, text.as_deref()?)))
            .collect()
    }

    /// The entry as far as it is looked for: of several classes of strangers, those that are.
    pub fn narrow(&self, entry: Told) -> Option<Told> {
        if self.is_everything() {
            return Some(entry);
        }
        let (first, last) = span(&entry);
        if self.since.is_some_and(|since| last < since)
            || self.until.is_some_and(|until| first >= until)
        {
            return None;
        }
        let wanted = self.wanted();
        match entry {
            Told::Record(_) | Told::Repeated(_) => {
                has_all(&wanted, |give| terms(&entry, give)).then_some(entry)
            }
            Told::Refused(mut classes) => {
                classes.retain(|it: &RefusedClass| has_all(&wanted, |give| of_class(it, give)));
                (!classes.is_empty()).then_some(Told::Refused(classes))
            }
            Told::Start(..) | Told::Gap(..) | Told::Checkpoint(..) | Told::Pruned(..) => None,
        }
    }
}

fn has_all(wanted: &[(Field, &str)], terms: impl FnOnce(&mut dyn FnMut(Field, &str))) -> bool {
    let mut found = vec![false; wanted.len()];
    terms(&mut |field, text| {
        for (found, it) in found.iter_mut().zip(wanted) {
            *found |= *it == (field, text);
        }
    });
    found.into_iter().all(|found| found)
}

/// Finds a decision or a refusal by its id.
///
/// # Errors
/// [`LogError`] when a file cannot be read.
pub fn find(files: &AuditFiles, id: DecisionId) -> Result<Option<Told>, LogError> {
    let segments = segments(files)?;
    let bytes = id.as_bytes();
    // An index says at once whether it may be there; the others, of which there are few, have none.
    let (sealed, open): (Vec<_>, Vec<_>) = segments.iter().rev().partition(|it| it.sealed);
    for segment in sealed.into_iter().chain(open) {
        let parts = Parts::open(segment)?;
        for (n, _) in parts
            .chunks()
            .iter()
            .enumerate()
            .filter(|(_, it)| it.may_have(bytes))
        {
            let here = parts.load(n)?;
            let found = here.find_id(bytes);
            if let Some(Ok(told)) = found.map(|frame| told_alone(&frame, &here, &parts)) {
                return Ok(Some(told));
            }
        }
    }
    // Among those of strangers, which are kept by example, and denies that were counted.
    let (since, until) = (
        id.time().checked_sub(EARLY).ok(),
        id.time().checked_add(LATE).ok(),
    );
    for segment in segments.iter().rev() {
        let parts = Parts::summed_up(segment)?;
        for n in (0..parts.chunks().len()).filter(|n| parts.may_have(*n, &[], since, until)) {
            let here = parts.load(n)?;
            for frame in here.hop().filter_map(|(at, record)| {
                let is_of_several = matches!(kind_of(record), Some(REFUSALS | REPEATED));
                is_of_several.then(|| here.frame(at).ok())?
            }) {
                if let Some(Ok(told)) =
                    tells_of(&frame, bytes).then(|| told_alone(&frame, &here, &parts))
                {
                    return Ok(Some(told));
                }
            }
        }
    }
    Ok(None)
}

/// Whether an entry that tells of several has this id among them.
fn tells_of(frame: &Frame<'_>, id: &[u8; 16]) -> bool {
    match Entry::decode(frame.payload) {
        Ok(Entry::Refusals(it)) => {
            let mut samples = it.tallies.iter().flat_map(|tally| &tally.samples);
            samples.any(|sample| sample.id == *id)
        }
        Ok(Entry::Repeated(it)) => it.ids.contains(id),
        _ => false,
    }
}
