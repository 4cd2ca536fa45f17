//! OTLP logs, over gRPC.
//!
//! A collector that is away or overloaded is asked again; what it refuses for itself is divided until
//! the entry at fault stands alone, which is then left out and counted.

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    resource::v1::Resource,
};
use prost::Message as _;
use serde_json::Value as Json;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use super::Sent;
use crate::{
    audit::{Followed, values},
    model::Timestamp,
};

/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of entries in one request, unless one entry alone has more: collectors take 4 MiB.
const REQUEST: usize = 1024 * 1024;
/// What of an entry is said as attributes too, so that it can be looked for.
const ATTRIBUTES: &[&str] = &[
    "kind",
    "decision_id",
    "bundle",
    "caller",
    "principal",
    "action",
    "resource",
    "outcome",
    "cause",
    "refusal",
    "reason",
];

/// A collector of OTLP logs.
pub(super) struct Collector {
    service: LogsServiceClient<Channel>,
}

impl Collector {
    /// It is connected to when there is something to send.
    ///
    /// # Errors
    /// When `endpoint` is no address.
    pub(super) fn new(endpoint: &str) -> Result<Self, String> {
        let endpoint = Endpoint::from_shared(endpoint.to_owned());
        let endpoint = endpoint.map_err(|why| format!("`audit.sink.otlp`: {why}"))?;
        let channel = endpoint
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE)
            .connect_lazy();
        Ok(Self {
            service: LogsServiceClient::new(channel),
        })
    }

    /// Sends a batch.
    pub(super) async fn send(&mut self, batch: &[Followed]) -> Sent {
        let records: Vec<LogRecord> = batch.iter().flat_map(to_records).collect();
        let mut rest = requests(&records);
        let mut missed = 0;
        while let Some(records) = rest.pop() {
            let answered = self.service.export(to_request(records)).await;
            match answered {
                Ok(answer) => {
                    if let Some(part) = answer.into_inner().partial_success {
                        missed += u64::try_from(part.rejected_log_records).unwrap_or(0);
                    }
                }
                Err(why) if !is_for_itself(why.code(), records) => {
                    return Err(format!(
                        "the collector says {}: {}",
                        why.code(),
                        why.message()
                    ));
                }
                Err(_) if records.len() > 1 => {
                    let (first, last) = records.split_at(records.len() / 2);
                    rest.extend([last, first]);
                }
                Err(_) => missed += 1,
            }
        }
        Ok(missed)
    }
}

/// Whether it is these entries that are refused, and would be again.
fn is_for_itself(code: Code, records: &[LogRecord]) -> bool {
    let bytes: usize = records.iter().map(LogRecord::encoded_len).sum();
    match code {
        Code::InvalidArgument => true,
        // It is said of messages that are too large, and of collectors that are too busy.
        Code::ResourceExhausted | Code::OutOfRange => bytes > REQUEST,
        _ => false,
    }
}

/// The entries in portions, the first of them last.
fn requests(records: &[LogRecord]) -> Vec<&[LogRecord]> {
    let mut bytes = 0;
    let mut portions: Vec<&[LogRecord]> = records
        .chunk_by(|_, next| {
            bytes += next.encoded_len();
            let fits = bytes <= REQUEST;
            if !fits {
                bytes = next.encoded_len();
            }
            fits
        })
        .collect();
    portions.reverse();
    portions
}

fn to_request(records: &[LogRecord]) -> ExportLogsServiceRequest {
    let scope = InstrumentationScope {
        name: "doorward.audit".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource {
                attributes: vec![attribute("service.name", "doorward")],
                ..Resource::default()
            }),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope),
                log_records: records.to_vec(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

fn to_records(followed: &Followed) -> Vec<LogRecord> {
    match followed {
        Followed::Entry(_, entry) => values(entry).iter().map(to_record).collect(),
        Followed::Missing(count) => {
            let told = serde_json::json!({ "kind": "missed", "count": count });
            vec![LogRecord {
                severity_number: SeverityNumber::Error.into(),
                ..to_record(&told)
            }]
        }
    }
}

fn to_record(entry: &Json) -> LogRecord {
    let text = |name: &str| entry.get(name).and_then(Json::as_str);
    let time = text("time").and_then(|time| time.parse::<Timestamp>().ok());
    let nanos = time.and_then(|time| u64::try_from(time.as_nanosecond()).ok());
    let attributes = ATTRIBUTES
        .iter()
        .filter_map(|name| Some(attribute(&format!("doorward.{name}"), text(name)?)));
    LogRecord {
        time_unix_nano: nanos.unwrap_or(0),
        severity_number: SeverityNumber::Info.into(),
        body: Some(value(&entry.to_string())),
        attributes: attributes.collect(),
        event_name: format!("doorward.{}", text("kind").unwrap_or("entry")),
        ..LogRecord::default()
    }
}

fn attribute(name: &str, text: &str) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(value(text)),
        ..KeyValue::default()
    }
}

fn value(text: &str) -> AnyValue {
    AnyValue {
        value: Some(any_value::Value::StringValue(text.to_owned())),
    }
}
