//! From what operators look for to a query of the decision log, and from its entries to messages.

use crate::{
    audit::{Page, Query, Recorded, RecordedOutcome, Told, asked_for, json},
    model::{Refusal, Timestamp},
    proto::v1::{self as wire, AuditRecordKind as Kind},
};

/// Bytes of a page beyond which the rest comes on the next one.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// What is looked for.
pub(super) fn read_filter(filter: wire::RecordFilter) -> Result<Query, Refusal> {
    let wire::RecordFilter {
        bundle,
        subject,
        action,
        resource,
        outcome,
        cause,
        policy,
        caller,
        since,
        until,
    } = filter;
    if !["", "allow", "deny", "refused"].contains(&outcome.as_str()) {
        let message = "must be `allow`, `deny` or `refused`";
        return Err(Refusal::malformed("filter.outcome", "outcome", message));
    }
    let some = |text: String| (!text.is_empty()).then_some(text);
    Ok(Query {
        subject: some(subject),
        action: some(action),
        resource: some(resource),
        outcome: some(outcome),
        cause: some(cause),
        policy: some(policy),
        caller: some(caller),
        bundle: some(bundle),
        since: moment(since, "filter.since")?,
        until: moment(until, "filter.until")?,
    })
}

fn moment(
    at: Option<prost_types::Timestamp>,
    field: &'static str,
) -> Result<Option<Timestamp>, Refusal> {
    let Some(at) = at else { return Ok(None) };
    let read = Timestamp::new(at.seconds, at.nanos);
    let read = read.map_err(|_| Refusal::malformed(field, "time", "is no moment"))?;
    Ok(Some(read))
}

/// A page as a message; what does not fit is on the next one.
pub(super) fn to_page(page: Page, newest_first: bool) -> wire::QueryRecordsResponse {
    let mut next = page.next;
    let (mut records, mut bytes) = (Vec::new(), 0);
    for (sequence, entry) in &page.entries {
        let record = to_record(*sequence, entry);
        bytes += record.json.len();
        if bytes > PAGE_BYTES && !records.is_empty() {
            next = Some(sequence + u64::from(newest_first));
            break;
        }
        records.push(record);
    }
    wire::QueryRecordsResponse {
        records,
        next_page_token: next.map(|next| next.to_string()).unwrap_or_default(),
    }
}

/// An entry as a message.
pub(super) fn to_record(sequence: u64, entry: &Told) -> wire::AuditRecord {
    let mut lines = Vec::new();
    json(&mut lines, entry);
    let mut record = wire::AuditRecord {
        sequence,
        json: String::from_utf8_lossy(&lines).into_owned(),
        count: 1,
        ..wire::AuditRecord::default()
    };
    let (kind, time) = match entry {
        Told::Record(it) => (of_record(&mut record, it), it.time),
        Told::Refused(classes) => {
            record.count = classes.iter().map(|it| it.count).sum();
            "refused".clone_into(&mut record.outcome);
            let time = classes.first().map_or(Timestamp::UNIX_EPOCH, |it| it.time);
            (Kind::Strangers, time)
        }
        Told::Repeated(it) => {
            record.count = u64::try_from(it.ids.len()).unwrap_or(u64::MAX);
            record.bundle = it.bundle.clone().unwrap_or_default();
            record.caller = it.caller.clone().unwrap_or_default();
            let subject = it.subject.as_ref().map(|it| it.entity.uid.to_string());
            record.subject = subject.unwrap_or_default();
            "deny".clone_into(&mut record.outcome);
            it.cause.as_str().clone_into(&mut record.cause);
            (Kind::Repeated, it.last)
        }
        Told::Gap(time, lost) => {
            record.count = *lost;
            (Kind::Gap, *time)
        }
        Told::Start(time, ..) => (Kind::Upkeep, *time),
        Told::Checkpoint(time, _) | Told::Pruned(time, _) => (Kind::Upkeep, *time),
    };
    record.set_kind(kind);
    record.time = Some(prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    });
    record
}

fn of_record(record: &mut wire::AuditRecord, it: &Recorded) -> Kind {
    record.decision_id = it.decision_id.to_string();
    record.bundle = it.bundle.clone().unwrap_or_default();
    record.caller = it.caller.clone().unwrap_or_default();
    let subject = it.facts.subject.as_ref();
    let subject = subject.map(|it| it.entity.uid.to_string());
    record.subject = subject.unwrap_or_default();
    if let Some(asked) = &it.facts.asked {
        record.action.clone_from(&asked.action);
        record.resource = asked_for(asked).unwrap_or_default();
    }
    match &it.outcome {
        RecordedOutcome::Decision { outcome, cause, .. } => {
            outcome.as_str().clone_into(&mut record.outcome);
            cause.as_str().clone_into(&mut record.cause);
            Kind::Decision
        }
        RecordedOutcome::Refusal { reason, .. } => {
            "refused".clone_into(&mut record.outcome);
            record.cause.clone_from(reason);
            Kind::Refusal
        }
    }
}
