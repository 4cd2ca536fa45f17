//! The decision log of a running server, for operators without access to its disk.

use super::{
    super::{
        Exit, Failure,
        directory::{Server, told},
        output,
    },
    look::write,
};
use crate::{
    audit::Query,
    model::{DecisionId, Timestamp},
    proto::v1::{
        AuditRecord, AuditRecordKind as Kind, GetRecordRequest, QueryRecordsRequest, RecordFilter,
        TailRecordsRequest, tail_records_response::What,
    },
};

/// The most records that are asked for at once.
const PAGE: usize = 1_000;

/// A running server in place of its files.
#[derive(Debug, clap::Args)]
pub(super) struct Remote {
    /// Ask a running server at its listener for operators, in place of reading its files
    #[arg(
        long,
        value_name = "URL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "http://127.0.0.1:8283"
    )]
    server: Option<String>,
    /// Your own secret, for a server that knows its callers: the secret or @FILE
    #[arg(long, value_name = "SECRET|@FILE", requires = "server")]
    caller_token: Option<String>,
}

impl Remote {
    /// The server, if one is to be asked.
    pub(super) fn server(self) -> Option<Server> {
        Some(Server::new(self.server?, self.caller_token))
    }
}

pub(super) fn to_filter(query: Query) -> RecordFilter {
    let Query {
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
    } = query;
    let text = Option::<String>::unwrap_or_default;
    let moment = |at: Timestamp| prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    };
    RecordFilter {
        bundle: text(bundle),
        subject: text(subject),
        action: text(action),
        resource: text(resource),
        outcome: text(outcome),
        cause: text(cause),
        policy: text(policy),
        caller: text(caller),
        since: since.map(moment),
        until: until.map(moment),
    }
}

pub(super) fn query(
    server: &Server,
    filter: RecordFilter,
    newest_first: bool,
    limit: usize,
    json: bool,
) -> Result<Exit, Failure> {
    server.run(async |operator| {
        let (mut left, mut token) = (limit, String::new());
        while left > 0 {
            let request = QueryRecordsRequest {
                filter: Some(filter.clone()),
                newest_first,
                page_size: i32::try_from(left.min(PAGE)).unwrap_or(0),
                page_token: token,
            };
            let page = operator.query_records(request).await.map_err(told)?;
            left = left.saturating_sub(page.records.len());
            show(&page.records, json)?;
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        Ok(Exit::Ok)
    })
}

pub(super) fn get(
    server: &Server,
    bundle: Option<String>,
    id: DecisionId,
    json: bool,
) -> Result<Exit, Failure> {
    let request = GetRecordRequest {
        bundle: bundle.unwrap_or_default(),
        decision_id: id.to_string(),
    };
    let record = server.run(async |operator| operator.record(request).await.map_err(told))?;
    show(record.as_slice(), json)?;
    Ok(Exit::Ok)
}

/// The newest `limit` records, and then those that come.
pub(super) fn tail(
    server: &Server,
    filter: RecordFilter,
    limit: usize,
    follow: bool,
    json: bool,
) -> Result<Exit, Failure> {
    server.run(async |operator| {
        let request = QueryRecordsRequest {
            filter: Some(filter.clone()),
            newest_first: true,
            // Some of them are the log's own upkeep.
            page_size: i32::try_from((2 * limit + 16).min(PAGE)).unwrap_or(0),
            page_token: String::new(),
        };
        let newest = operator.query_records(request).await.map_err(told)?.records;
        let after = newest.first().map(|record| record.sequence);
        let wanted = |it: &AuditRecord| json || it.kind() != Kind::Upkeep;
        let mut first: Vec<_> = newest.into_iter().filter(wanted).take(limit).collect();
        first.reverse();
        show(&first, json)?;
        if !follow {
            return Ok(Exit::Ok);
        }
        let request = TailRecordsRequest {
            filter: Some(filter),
            after_sequence: after,
        };
        let mut records = operator.tail_records(request).await.map_err(told)?;
        while let Some(came) = records.next().await.map_err(told)? {
            match came {
                What::Record(record) => show(&[record], json)?,
                What::Missed(count) => missed(count),
            }
        }
        Err(Failure::failed("the server has ended the stream"))
    })
}

/// Says that entries were passed over.
pub(super) fn missed(count: u64) {
    eprintln!("{count} entries of the log were passed over");
}

fn show(records: &[AuditRecord], json: bool) -> Result<(), Failure> {
    let mut text = String::new();
    for record in records {
        match json {
            true => text.push_str(&record.json),
            false => {
                text.push_str(&output::shown_lines(&line(record)));
                text.push('\n');
            }
        }
    }
    write(text.as_bytes())
}

/// One line for people, as of a log on this machine.
fn line(record: &AuditRecord) -> String {
    let time = record.time.unwrap_or_default();
    let time = Timestamp::new(time.seconds, time.nanos).unwrap_or_default();
    let AuditRecord {
        decision_id,
        outcome,
        subject,
        action,
        resource,
        cause,
        count,
        ..
    } = record;
    let or = |text: &str, other: &'static str| match text {
        "" => other.to_owned(),
        text => text.to_owned(),
    };
    match record.kind() {
        Kind::Decision | Kind::Refusal => format!(
            "{time}  {decision_id}  {outcome:<7}  {} {} {}  ({cause})",
            or(subject, "-"),
            or(action, "?"),
            or(resource, "?"),
        ),
        Kind::Strangers => format!("{time}  {count} refused  strangers"),
        Kind::Repeated => {
            let subject = or(subject, "?");
            format!("{time}  {count} more denies of {subject} ({cause})")
        }
        Kind::Gap => format!("{time}  {count} records are missing here"),
        Kind::Upkeep | Kind::Unspecified => {
            format!("{time}  {}", record.json.trim_end())
        }
    }
}
