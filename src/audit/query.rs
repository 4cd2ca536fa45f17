//! Looking into the log, beside the process that writes it.

use std::path::Path;

use super::{
    decode::{Passed, Recorded, RecordedOutcome, Told, told, told_alone},
    export,
    files::{AuditFiles, Records, Segment},
};
use crate::{
    ledger::LogError,
    model::{DecisionId, EntityRef, Timestamp},
};

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
    fn is_everything(&self) -> bool {
        let Self {
            subject,
            action,
            resource,
            outcome,
            cause,
            policy,
            caller,
            bundle,
            since,
            until,
        } = self;
        let texts = [
            subject, action, resource, outcome, cause, policy, caller, bundle,
        ];
        texts.into_iter().all(Option::is_none) && since.is_none() && until.is_none()
    }

    /// Whether a decision or refusal is looked for.
    pub fn matches(&self, record: &Recorded) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let names = |wanted: &Option<String>, found: Option<&EntityRef>| {
            let found = found.map(ToString::to_string);
            is(wanted, found.as_deref())
        };
        let subject = record.facts.subject.as_ref().map(|it| &it.entity.uid);
        let asked = record.facts.asked.as_ref();
        let action = asked.map(|it| it.action.as_str());
        let short = action.and_then(|it| it.rsplit_once("::\"")?.1.strip_suffix('"'));
        let (outcome, causes, policies) = kinds(record);
        names(&self.subject, subject)
            && (is(&self.action, action) || is(&self.action, short))
            && names(&self.resource, asked.and_then(|it| it.resource.as_ref()))
            && is(&self.outcome, Some(outcome))
            && (self.cause.as_deref()).is_none_or(|wanted| causes.contains(&wanted))
            && (self.policy.as_deref()).is_none_or(|wanted| policies.contains(&wanted))
            && is(&self.caller, record.caller.as_deref())
            && is(&self.bundle, record.bundle.as_deref())
            && self.since.is_none_or(|since| record.time >= since)
            && self.until.is_none_or(|until| record.time < until)
    }
}

fn kinds(record: &Recorded) -> (&'static str, Vec<&str>, Vec<&str>) {
    match &record.outcome {
        RecordedOutcome::Decision {
            outcome,
            cause,
            reasons,
            errors,
            ..
        } => {
            let reasons = reasons.iter().map(|it| it.policy_id.as_str());
            let errors = errors.iter().map(|(policy, ..)| policy.as_str());
            (
                outcome.as_str(),
                vec![cause.as_str()],
                reasons.chain(errors).collect(),
            )
        }
        RecordedOutcome::Refusal {
            refusal, reason, ..
        } => ("refused", vec![refusal, reason], Vec::new()),
    }
}

/// Finds a decision or a refusal by its id.
///
/// # Errors
/// [`LogError`] when a file cannot be read.
pub fn find(files: &AuditFiles, id: DecisionId) -> Result<Option<Told>, LogError> {
    let segments = files
        .segments()
        .map_err(LogError::io("list", files.dir()))?;
    let bytes = id.as_bytes();
    // What is asked about happened lately, as a rule.
    for segment in segments.iter().rev() {
        let Some(chunks) = segment.chunks() else {
            if let Some(found) = in_records(&segment.load()?, segment, bytes) {
                return Ok(Some(found));
            }
            continue;
        };
        let may = chunks.iter().filter(|chunk| {
            chunk
                .ids
                .is_some_and(|(least, most)| least <= *bytes && *bytes <= most)
        });
        for chunk in may {
            let here = segment.load_chunk(chunk);
            let here = here.map_err(LogError::io("read", &segment.path))?;
            if let Some(found) = in_records(&here, segment, bytes) {
                return Ok(Some(found));
            }
        }
    }
    // Among those of strangers, which are kept by example, and denies that were counted.
    for segment in segments.iter().rev() {
        let mut found = None;
        each(segment, &mut |entry| {
            let is_it = match &entry {
                Told::Refused(classes) => classes
                    .iter()
                    .any(|class| class.samples.iter().any(|(sample, ..)| *sample == id)),
                Told::Repeated(it) => it.ids.contains(&id),
                _ => false,
            };
            if is_it {
                found = Some(entry);
            }
            !is_it
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn in_records(here: &Records, segment: &Segment, id: &[u8; 16]) -> Option<Told> {
    let frame = here.find_id(id)?;
    told_alone(&frame, here, segment).ok()
}

/// Gives `take` every entry that is looked for, in the order of the log, until it says `false`. With
/// no condition, entries that are no decisions are among them.
///
/// # Errors
/// [`LogError`] when a file cannot be read.
pub fn select(
    files: &AuditFiles,
    query: &Query,
    take: &mut dyn FnMut(Told) -> bool,
) -> Result<(), LogError> {
    let segments = files
        .segments()
        .map_err(LogError::io("list", files.dir()))?;
    let everything = query.is_everything();
    for segment in &segments {
        let mut goes_on = true;
        each(segment, &mut |entry| {
            let wanted = match &entry {
                Told::Record(record) => query.matches(record),
                _ => everything,
            };
            if wanted {
                goes_on = take(entry);
            }
            goes_on
        })?;
        if !goes_on {
            break;
        }
    }
    Ok(())
}

/// Every entry of a segment up to the first that is not whole, until `take` says `false`.
fn each(segment: &Segment, take: &mut dyn FnMut(Told) -> bool) -> Result<(), LogError> {
    let records = segment.load()?;
    let mut passed = Passed::default();
    walk(&records, 0, &mut passed, take);
    Ok(())
}

/// The offset behind the last whole record that was given.
fn walk(
    records: &Records,
    from: usize,
    passed: &mut Passed,
    take: &mut dyn FnMut(Told) -> bool,
) -> usize {
    let mut offset = from;
    while let Ok(frame) = records.frame(offset) {
        offset += frame.size();
        passed.pass(&frame);
        match told(&frame, passed) {
            Ok(entry) => {
                if !take(entry) {
                    break;
                }
            }
            Err(why) => tracing::warn!(record = frame.sequence, why, "cannot be read"),
        }
    }
    offset
}

/// Follows the log as it grows.
#[derive(Debug)]
pub struct Tail {
    files: AuditFiles,
    segment: Option<u64>,
    offset: usize,
    passed: Passed,
}

impl Tail {
    /// From the beginning of the open segment on.
    pub fn new(files: AuditFiles) -> Self {
        Self {
            files,
            segment: None,
            offset: 0,
            passed: Passed::default(),
        }
    }

    /// What came since the last time.
    ///
    /// # Errors
    /// [`LogError`] when a file cannot be read.
    pub fn more(&mut self) -> Result<Vec<Told>, LogError> {
        let listed = self.files.segments();
        let segments = listed.map_err(LogError::io("list", self.files.dir()))?;
        let from = match self.segment {
            Some(first) => segments.iter().position(|it| it.first >= first),
            None => segments.len().checked_sub(1),
        };
        let mut found = Vec::new();
        for segment in segments.get(from.unwrap_or(0)..).unwrap_or_default() {
            if self.segment != Some(segment.first) {
                (self.segment, self.offset) = (Some(segment.first), 0);
                self.passed.forget();
            }
            let records = segment.load()?;
            self.offset = walk(&records, self.offset, &mut self.passed, &mut |entry| {
                found.push(entry);
                true
            });
        }
        Ok(found)
    }
}

/// All of the log as lines of JSON.
///
/// # Errors
/// [`LogError`] when a file cannot be read.
pub fn lines(dir: &Path) -> Result<String, LogError> {
    let mut out = Vec::new();
    select(&AuditFiles::new(dir), &Query::default(), &mut |entry| {
        export::json(&mut out, &entry);
        true
    })?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}
