//! What an entry can be found by, and what a chunk of entries says of all of its own.

use serde::{Deserialize, Serialize};

use super::{
    decode::{Recorded, RecordedOutcome, RecordedRepeat, RefusedClass, Told},
    format::{Moment, moment, time_of},
};
use crate::model::Timestamp;

/// By what entries are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Field {
    Subject,
    Action,
    Resource,
    Outcome,
    Cause,
    Policy,
    Caller,
    Bundle,
}

/// Terms and times of the entries of one chunk.
///
/// It never says that something is not there which is: whoever looks may leave out what it excludes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Summary {
    /// Sorted hashes of every term; two may share one, which only costs a look.
    terms: Vec<u32>,
    /// The earliest and the latest time.
    times: Option<(Moment, Moment)>,
}

impl Summary {
    /// Takes an entry in.
    pub(super) fn add(&mut self, entry: &Told) {
        terms(entry, &mut |field, text| self.terms.push(hash(field, text)));
        let (from, to) = span(entry);
        let (from, to) = (moment(from), moment(to));
        let (first, last) = self.times.unwrap_or((from, to));
        self.times = Some((first.min(from), last.max(to)));
        // Hot terms come again and again.
        if self.terms.len() > 64 * 1024 {
            self.sort();
        }
    }

    /// Brings it into the form in which it is kept.
    pub(super) fn sort(&mut self) {
        self.terms.sort_unstable();
        self.terms.dedup();
    }

    /// Whether an entry with all of these terms, within these times, may be in the chunk.
    pub(super) fn may_have(
        &self,
        wanted: &[(Field, &str)],
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> bool {
        let Some((first, last)) = self.times else {
            return false;
        };
        since.is_none_or(|since| time_of(last) >= since)
            && until.is_none_or(|until| time_of(first) < until)
            && wanted.iter().all(|(field, text)| {
                let found = self.terms.binary_search(&hash(*field, text));
                found.is_ok()
            })
    }
}

fn hash(field: Field, text: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[field as u8]);
    hasher.update(text.as_bytes());
    hasher.finalize()
}

/// From when to when an entry tells of.
pub(super) fn span(entry: &Told) -> (Timestamp, Timestamp) {
    let one = |time: Timestamp| (time, time);
    match entry {
        Told::Record(it) => one(it.time),
        Told::Repeated(it) => (it.first, it.last),
        Told::Refused(classes) => classes
            .first()
            .map_or(one(Timestamp::UNIX_EPOCH), |it| one(it.time)),
        Told::Start(time, ..) => one(*time),
        Told::Gap(time, _) | Told::Checkpoint(time, _) | Told::Pruned(time, _) => one(*time),
    }
}

/// Every term of an entry; where it tells of several classes, those of all.
pub(super) fn terms(entry: &Told, give: &mut dyn FnMut(Field, &str)) {
    match entry {
        Told::Record(it) => of_record(it, give),
        Told::Repeated(it) => of_repeat(it, give),
        Told::Refused(classes) => {
            for class in classes {
                of_class(class, give);
            }
        }
        Told::Start(..) | Told::Gap(..) | Told::Checkpoint(..) | Told::Pruned(..) => {}
    }
}

fn of_record(record: &Recorded, give: &mut dyn FnMut(Field, &str)) {
    let mut give_some = |field, text: Option<&str>| {
        if let Some(text) = text {
            give(field, text);
        }
    };
    let subject = record.facts.subject.as_ref();
    let subject = subject.map(|it| it.entity.uid.to_string());
    give_some(Field::Subject, subject.as_deref());
    if let Some(asked) = &record.facts.asked {
        let action = asked.action.as_str();
        give_some(Field::Action, Some(action));
        let id = action.rsplit_once("::\"").map(|(_, id)| id);
        give_some(Field::Action, id.and_then(|id| id.strip_suffix('"')));
        let resource = asked.resource.as_ref().map(ToString::to_string);
        give_some(Field::Resource, resource.as_deref());
    }
    give_some(Field::Caller, record.caller.as_deref());
    give_some(Field::Bundle, record.bundle.as_deref());
    match &record.outcome {
        RecordedOutcome::Decision {
            outcome,
            cause,
            reasons,
            errors,
            ..
        } => {
            give(Field::Outcome, outcome.as_str());
            give(Field::Cause, cause.as_str());
            for reason in reasons {
                give(Field::Policy, &reason.policy_id);
            }
            for (policy, ..) in errors {
                give(Field::Policy, policy);
            }
        }
        RecordedOutcome::Refusal {
            refusal, reason, ..
        } => {
            give(Field::Outcome, "refused");
            give(Field::Cause, refusal);
            give(Field::Cause, reason);
        }
    }
}

fn of_repeat(it: &RecordedRepeat, give: &mut dyn FnMut(Field, &str)) {
    if let Some(subject) = &it.subject {
        give(Field::Subject, &subject.entity.uid.to_string());
    }
    give(Field::Outcome, "deny");
    give(Field::Cause, it.cause.as_str());
    let named = [(Field::Caller, &it.caller), (Field::Bundle, &it.bundle)];
    for (field, name) in named {
        if let Some(name) = name {
            give(field, name);
        }
    }
}

/// The terms of one class of strangers.
pub(super) fn of_class(class: &RefusedClass, give: &mut dyn FnMut(Field, &str)) {
    give(Field::Outcome, "refused");
    if let Some((_, refusal, reason)) = &class.class {
        give(Field::Cause, refusal);
        give(Field::Cause, reason);
    }
    if let Some(caller) = &class.caller {
        give(Field::Caller, caller);
    }
}
