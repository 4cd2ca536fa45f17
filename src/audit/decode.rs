//! Entries → what they tell, with their facts.

use std::{borrow::Cow, collections::HashMap, net::IpAddr, sync::Arc};

use serde::de::DeserializeOwned;

use super::{
    blocks::Block,
    files::Records,
    format::{Entry, Line, LineOutcome, Ref, Refusals, Repeated, Words, time_of},
    parts::Parts,
};
use crate::{
    ledger::Frame,
    model::{
        AskedFacts, Cause, DecisionId, Digest, Effect, Face, Facts, Outcome, SubjectFacts,
        Timestamp,
    },
};

/// A decision or refusal as the log has it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its place in the log.
    pub sequence: u64,
    /// When it was decided.
    pub time: Timestamp,
    /// The id the caller got.
    pub decision_id: DecisionId,
    /// The face it was asked through.
    pub face: Face,
    /// Who asked.
    pub caller: Option<String>,
    /// Where it was asked from.
    pub peer: Option<IpAddr>,
    /// The asker's own id.
    pub request_id: Option<String>,
    /// The bundle.
    pub bundle: Option<String>,
    /// Its digest.
    pub digest: Option<Digest>,
    /// Whether a forbid that failed denied.
    pub strict_errors: bool,
    /// The revision of stored data.
    pub revision: String,
    /// Members that were left out.
    pub undeclared: usize,
    /// In microseconds.
    pub latency_us: u64,
    /// Pseudonyms stand for some of its facts.
    pub redacted: bool,
    /// It was asked for to be explained: nobody was let in by it.
    pub explained: bool,
    /// Some of its facts were erased.
    pub erased: bool,
    /// What came of it.
    pub outcome: RecordedOutcome,
    /// What it stood on.
    pub facts: Facts,
}

/// What came of a recorded request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedOutcome {
    /// It was decided.
    Decision {
        /// Allow or deny.
        outcome: Outcome,
        /// Why.
        cause: Cause,
        /// The policies that determined it.
        reasons: Vec<RecordedReason>,
        /// Policies that failed: which, what they do, the kind of failure, and in words.
        errors: Vec<(String, Effect, String, Option<String>)>,
        /// What was demanded, and by which policy.
        obligations: Vec<(String, String)>,
    },
    /// It was refused.
    Refusal {
        /// The kind.
        refusal: String,
        /// The precise reason.
        reason: String,
        /// In words, unless those were erased.
        detail: Option<String>,
    },
}

/// A policy that determined a recorded decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedReason {
    /// Which.
    pub policy_id: String,
    /// What it does.
    pub effect: Effect,
    /// `@reason`.
    pub reason: Option<String>,
    /// `@advice`.
    pub advice: Option<String>,
    /// `file:line`.
    pub place: Option<String>,
}

/// What one entry of the log tells.
#[derive(Clone, Debug)]
pub enum Told {
    /// The process began (`true`), or a segment did: with which version and configuration.
    Start(Timestamp, String, String, bool),
    /// A decision or refusal.
    Record(Box<Recorded>),
    /// Strangers were refused: how often, the class in words, the peer; a first few of them.
    Refused(Vec<RefusedClass>),
    /// Denies of one subject above its rate.
    Repeated(Box<RecordedRepeat>),
    /// So many records are missing here.
    Gap(Timestamp, u64),
    /// The node signed up to this record.
    Checkpoint(Timestamp, u64),
    /// Segments up to this record were removed.
    Pruned(Timestamp, u64),
}

/// Refusals to one class of strangers within one second.
#[derive(Clone, Debug)]
pub struct RefusedClass {
    /// Until when.
    pub time: Timestamp,
    /// Face, refusal, reason; `None`: those of too many classes.
    pub class: Option<(Face, String, String)>,
    /// Who asked, if it is a known caller.
    pub caller: Option<String>,
    /// Where from.
    pub peer: Option<IpAddr>,
    /// How many.
    pub count: u64,
    /// The first ones: id, when, the asker's own id, why.
    pub samples: Vec<(DecisionId, Timestamp, Option<String>, String)>,
}

/// Denies of one subject above the rate at which they are recorded one by one.
#[derive(Clone, Debug)]
pub struct RecordedRepeat {
    /// When the first was.
    pub first: Timestamp,
    /// When the last was.
    pub last: Timestamp,
    /// Which they are.
    pub ids: Vec<DecisionId>,
    /// Who asked.
    pub caller: Option<String>,
    /// The bundle.
    pub bundle: Option<String>,
    /// Why.
    pub cause: Cause,
    /// The subject.
    pub subject: Option<Arc<SubjectFacts>>,
}

/// Facts of the records that were read so far, of one segment.
#[derive(Debug, Default)]
pub(super) struct Passed(HashMap<u64, Vec<u8>>);

impl Passed {
    /// Keeps what is beside a record.
    pub(super) fn pass(&mut self, frame: &Frame<'_>) {
        if !frame.loose.is_empty() {
            self.0.insert(frame.sequence, frame.loose.to_vec());
        }
    }

    pub(super) fn has(&self, sequence: u64) -> bool {
        self.0.contains_key(&sequence)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    fn loose(&self, sequence: u64) -> &[u8] {
        self.0.get(&sequence).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Reads an entry; `passed` has what stood beside it and beside the records before.
pub(super) fn told(frame: &Frame<'_>, passed: &Passed) -> Result<Told, String> {
    let entry = Entry::decode(frame.payload).map_err(|why| why.to_string())?;
    Ok(match entry {
        Entry::Start(it) => {
            let (engine, configuration) = (it.engine.into_owned(), it.configuration.into_owned());
            Told::Start(time_of(it.time), engine, configuration, it.process)
        }
        Entry::Decision(id, line) => {
            Told::Record(Box::new(recorded(frame.sequence, id, line, passed)))
        }
        Entry::Refusals(it) => Told::Refused(refused(it)),
        Entry::Repeated(it) => Told::Repeated(Box::new(repeat(frame.sequence, it, passed))),
        Entry::Gap(it) => Told::Gap(time_of(it.time), it.lost),
        Entry::Checkpoint(it) => Told::Checkpoint(time_of(it.time), it.sequence),
        Entry::Pruned(it) => Told::Pruned(time_of(it.time), it.sequence),
    })
}

/// The records that a decision's facts stand beside.
pub(super) fn needed(frame: &Frame<'_>) -> Vec<u64> {
    let refs = match Entry::decode(frame.payload) {
        Ok(Entry::Decision(_, line)) => vec![line.subject, line.asked, line.words],
        Ok(Entry::Repeated(it)) => vec![Some(it.subject)],
        _ => Vec::new(),
    };
    let back = refs
        .into_iter()
        .flatten()
        .map(|it| frame.sequence.saturating_sub(it.back));
    back.collect()
}

/// Reads one entry of a chunk without the others, wherever its facts stand in the segment.
pub(super) fn told_alone(frame: &Frame<'_>, here: &Records, parts: &Parts) -> Result<Told, String> {
    let mut passed = Passed::default();
    passed.pass(frame);
    for sequence in needed(frame) {
        if passed.has(sequence) {
            continue;
        }
        if let Some(found) = here.find(sequence) {
            passed.pass(&found);
            continue;
        }
        let there = parts.of(sequence).and_then(|n| parts.load(n).ok());
        if let Some(found) = there.as_ref().and_then(|there| there.find(sequence)) {
            passed.pass(&found);
        }
    }
    told(frame, &passed)
}

fn fact<T: DeserializeOwned>(sequence: u64, at: Option<Ref>, passed: &Passed) -> Option<T> {
    let at = at?;
    let loose = passed.loose(sequence.saturating_sub(at.back));
    let block = Block::all(loose).nth(usize::from(at.slot))?;
    block.is(&at.commitment).then(|| block.read())?
}

fn recorded(sequence: u64, decision_id: DecisionId, line: Line<'_>, passed: &Passed) -> Recorded {
    let subject: Option<Arc<SubjectFacts>> = fact(sequence, line.subject, passed);
    let asked: Option<AskedFacts> = fact(sequence, line.asked, passed);
    let words: Option<Words<'static>> = fact(sequence, line.words, passed);
    let is_lost = |at: Option<Ref>, found: bool| at.is_some() && !found;
    let erased = is_lost(line.subject, subject.is_some())
        || is_lost(line.asked, asked.is_some())
        || is_lost(line.words, words.is_some());
    Recorded {
        sequence,
        time: time_of(line.time),
        decision_id,
        face: line.face,
        caller: line.caller.map(Into::into),
        peer: line.peer,
        request_id: line.request_id.map(Into::into),
        bundle: line.bundle.map(Into::into),
        digest: line.digest.map(Digest::new),
        strict_errors: line.strict_errors,
        revision: line.revision.into_owned(),
        undeclared: line.undeclared,
        latency_us: line.latency_us,
        redacted: line.redacted,
        explained: line.explained,
        erased,
        outcome: outcome(line.outcome, words.unwrap_or_default()),
        facts: Facts { subject, asked },
    }
}

fn outcome(outcome: LineOutcome<'_>, words: Words<'_>) -> RecordedOutcome {
    match outcome {
        LineOutcome::Decision {
            outcome,
            cause,
            reasons,
            errors,
            obligations,
        } => {
            let mut texts = words.reasons.into_iter();
            let mut messages = words.errors.into_iter().map(Cow::into_owned);
            let own = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
            RecordedOutcome::Decision {
                outcome,
                cause,
                reasons: reasons
                    .into_iter()
                    .map(|(policy_id, effect)| {
                        let (reason, advice, place) = match texts.next() {
                            Some((reason, advice, place)) => {
                                (own(reason), own(advice), Some(place.into_owned()))
                            }
                            None => (None, None, None),
                        };
                        RecordedReason {
                            policy_id: policy_id.into_owned(),
                            effect,
                            reason,
                            advice,
                            place,
                        }
                    })
                    .collect(),
                errors: errors
                    .into_iter()
                    .map(|(policy, effect, code)| {
                        (
                            policy.into_owned(),
                            effect,
                            code.into_owned(),
                            messages.next(),
                        )
                    })
                    .collect(),
                obligations: obligations
                    .into_iter()
                    .map(|(policy, text)| (policy.into_owned(), text.into_owned()))
                    .collect(),
            }
        }
        LineOutcome::Refusal { refusal, reason } => RecordedOutcome::Refusal {
            refusal: refusal.into_owned(),
            reason: reason.into_owned(),
            detail: words.detail.map(Cow::into_owned),
        },
    }
}

fn refused(it: Refusals) -> Vec<RefusedClass> {
    let time = time_of(it.time);
    let classes = it.tallies.into_iter().map(|tally| {
        let samples = tally.samples.into_iter().map(|it| {
            let id = DecisionId::from_bytes(it.id);
            (id, time_of(it.time), it.request_id, it.detail)
        });
        let samples = samples.collect();
        match tally.class {
            Some(class) => RefusedClass {
                time,
                class: Some((class.face, class.refusal, class.reason)),
                caller: class.caller,
                peer: class.peer,
                count: tally.count,
                samples,
            },
            None => RefusedClass {
                time,
                class: None,
                caller: None,
                peer: None,
                count: tally.count,
                samples,
            },
        }
    });
    classes.collect()
}

fn repeat(sequence: u64, it: Repeated<'_>, passed: &Passed) -> RecordedRepeat {
    RecordedRepeat {
        first: time_of(it.first),
        last: time_of(it.last),
        ids: it.ids.into_iter().map(DecisionId::from_bytes).collect(),
        caller: it.caller.map(Into::into),
        bundle: it.bundle.map(Into::into),
        cause: it.cause,
        subject: fact(sequence, Some(it.subject), passed),
    }
}
