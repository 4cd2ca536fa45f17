//! The decision log of a running server, as operators and receivers see it.

#![expect(
    clippy::disallowed_methods,
    reason = "tests run servers and collectors, and wait as long as is patient"
)]

mod reading;
mod rights;
mod sink;

use doorward::{
    client::{ClientError, Code, Operator},
    proto::v1::{
        AuditRecord, GetRecordRequest, QueryRecordsRequest, RecordFilter, TailRecordsRequest,
        tail_records_response::What,
    },
};

use crate::fit::kit::{Running, ask};

const REQUIRED: &str = "[audit]\nmode = \"required\"\ndenies_per_second = 0\n";

async fn operator(server: &Running) -> Operator {
    let url = format!("http://{}", server.admin);
    Operator::connect(&url).await.unwrap()
}

/// Asks whether each may read order `o-1`, which alice may; the ids of the decisions.
async fn asked(server: &Running, names: &[&str]) -> Vec<String> {
    let mut client = server.client().await;
    let mut ids = Vec::new();
    for name in names {
        let answer = client.check(ask(&server.token(name))).await.unwrap();
        ids.push(answer.into_inner().decision.unwrap().decision_id);
    }
    ids
}

/// What was decided by the bundle that is served; what operators do is decided by another.
fn filter(outcome: &str) -> RecordFilter {
    RecordFilter {
        bundle: "default".to_owned(),
        outcome: outcome.to_owned(),
        ..RecordFilter::default()
    }
}

fn ids(records: &[AuditRecord]) -> Vec<String> {
    records.iter().map(|it| it.decision_id.clone()).collect()
}

/// All pages of so many, as ids.
async fn pages(operator: &Operator, filter: RecordFilter, size: i32, newest: bool) -> Vec<String> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let request = QueryRecordsRequest {
            filter: Some(filter.clone()),
            newest_first: newest,
            page_size: size,
            page_token: token,
        };
        let page = operator.query_records(request).await.unwrap();
        assert!(page.records.len() <= usize::try_from(size).unwrap());
        all.extend(ids(&page.records));
        token = page.next_page_token;
        if token.is_empty() {
            return all;
        }
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(found: Result<T, ClientError>, code: Code, reason: &str) {
    match found {
        Err(ClientError::Refused(why)) => {
            assert_eq!(why.code, code, "{why:?}");
            assert!(why.reason.contains(reason), "{why:?}");
        }
        other => panic!("{other:?}"),
    }
}

async fn record(operator: &Operator, bundle: &str, id: &str) -> Result<AuditRecord, ClientError> {
    let request = GetRecordRequest {
        bundle: bundle.to_owned(),
        decision_id: id.to_owned(),
    };
    Ok(operator.record(request).await?.unwrap())
}

fn tail(filter: RecordFilter) -> TailRecordsRequest {
    TailRecordsRequest {
        filter: Some(filter),
        after_sequence: None,
    }
}

/// The next so many records of a tail, as ids; nothing may be missed.
async fn next(tail: &mut doorward::client::Tail, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        let came = tokio::time::timeout(crate::program::PATIENCE, tail.next());
        match came.await.unwrap().unwrap() {
            Some(What::Record(record)) => found.push(record.decision_id),
            other => panic!("{other:?} after {}", found.len()),
        }
    }
    found
}
