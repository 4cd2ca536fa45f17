use std::{fs, sync::Arc};

use serde_json::{Value as Json, json};

use super::*;
use crate::model::{BundleName, Cause, DecisionId, Face, Outcome, Revision};

fn start() -> Timestamp {
    "2030-01-01T09:00:00Z".parse().unwrap()
}

/// A clock that stands 1.5 ms after the requests of these tests.
fn clock() -> Timestamp {
    "2030-01-01T09:00:00.0015Z".parse().unwrap()
}

fn record(resource: &str) -> Record {
    Record {
        time: start(),
        decision_id: DecisionId::new(start()),
        face: Face::Grpc,
        caller: None,
        request_id: None,
        bundle: Some(BundleName::new("orders")),
        bundle_digest: None,
        revision: Revision::default(),
        token: None,
        token_id: None,
        principal: None,
        action: None,
        resource: Some(resource.to_owned()),
        undeclared: 0,
        outcome: RecordOutcome::Decision {
            outcome: Outcome::Deny,
            cause: Cause::NothingPermits,
            reasons: Vec::new(),
            errors: Vec::new(),
            obligations: Vec::new(),
        },
        explained: false,
        latency_us: 0,
    }
}

fn log() -> (tempfile::TempDir, std::path::PathBuf, Arc<Metrics>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("decisions.jsonl");
    (dir, path, Arc::new(Metrics::new()))
}

fn lines(path: &Path) -> Vec<Json> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn records_become_lines_with_their_latency_and_are_counted() {
    let (_dir, path, metrics) = log();
    let (recorder, writer) = open(&path, Arc::clone(&metrics), clock).unwrap();
    recorder.clone().record(record("Order::\"1\""));
    recorder.record(record("Order::\"2\""));
    // The drain is due at once, and another recorder still lives: what is queued is written.
    writer.run(async {}).await.unwrap();

    let lines = lines(&path);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["resource"], "Order::\"1\"");
    assert_eq!(lines[0]["kind"], "decision");
    assert_eq!(lines[0]["outcome"], "deny");
    assert_eq!(lines[0]["latency_us"], 1500);
    assert!(
        metrics
            .render()
            .contains("cause=\"nothing_permits\",face=\"grpc\"} 2")
    );
}

#[tokio::test]
async fn a_full_queue_loses_records_which_are_counted_and_said_in_the_file() {
    let (_dir, path, metrics) = log();
    let (recorder, writer) = open(&path, Arc::clone(&metrics), clock).unwrap();
    for n in 0..QUEUE + 7 {
        recorder.record(record(&n.to_string()));
    }
    writer.run(async {}).await.unwrap();

    let lines = lines(&path);
    let gaps: Vec<_> = lines.iter().filter(|line| line["kind"] == "gap").collect();
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0]["lost"], 7);
    assert_eq!(lines.len(), QUEUE + 1);
    assert!(
        metrics
            .render()
            .contains("doorward_records_dropped_total 7")
    );
}

#[tokio::test]
async fn after_the_drain_records_are_lost_and_not_waited_for() {
    let (_dir, path, metrics) = log();
    let (recorder, writer) = open(&path, Arc::clone(&metrics), clock).unwrap();
    writer.run(async {}).await.unwrap();
    recorder.record(record("late"));
    assert!(
        metrics
            .render()
            .contains("doorward_records_dropped_total 1")
    );
}

#[tokio::test]
async fn half_a_line_of_an_earlier_run_is_ended_first() {
    let (_dir, path, metrics) = log();
    fs::write(&path, "{\"half\":").unwrap();
    let (recorder, writer) = open(&path, metrics, clock).unwrap();
    recorder.record(record("whole"));
    writer.run(async {}).await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    assert_eq!(first, "{\"half\":");
    assert_eq!(rest.lines().count(), 1);
    assert!(serde_json::from_str::<Json>(rest).is_ok());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_loses_records_and_is_counted() {
    let metrics = Arc::new(Metrics::new());
    let (recorder, writer) = open(Path::new("/dev/full"), Arc::clone(&metrics), clock).unwrap();
    recorder.record(record("one"));
    recorder.record(record("two"));
    // Whether the device can be flushed says nothing about the records.
    let _flushed = writer.run(async {}).await;
    assert!(
        metrics
            .render()
            .contains("doorward_records_dropped_total 2")
    );
}

#[cfg(unix)]
#[test]
fn the_log_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, path, metrics) = log();
    let _log = open(&path, metrics, clock).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn a_log_that_cannot_be_opened_is_an_error_at_the_start() {
    let (dir, _, metrics) = log();
    assert!(open(&dir.path().join("absent/decisions.jsonl"), metrics, clock).is_err());
}

#[test]
fn nothing_is_kept_when_off_but_counts_go_on() {
    let metrics = Arc::new(Metrics::new());
    Recorder::counting(Arc::clone(&metrics), clock).record(record("x"));
    Recorder::off().record(record("x"));
    let text = metrics.render();
    assert!(text.contains("doorward_records_dropped_total 0"), "{text}");
    assert!(
        text.contains("cause=\"nothing_permits\",face=\"grpc\"} 1"),
        "{text}"
    );
}

#[test]
fn text_that_steers_terminals_is_escaped_and_reads_back() {
    let nasty = "a\n\u{1b}[31m\u{7f}\u{9b}2J\u{202e}\u{2028}\u{feff}\"\\é✓";
    let mut out = Vec::new();
    line::write_record(&mut out, &record(nasty)).unwrap();
    let text = String::from_utf8(out).unwrap();
    let body = text.strip_suffix('\n').unwrap();
    assert!(!body.chars().any(char::is_control), "{body}");
    assert!(body.contains("\\u202e") && body.contains("\\u009b") && body.contains("é✓"));
    let back: Json = serde_json::from_str(body).unwrap();
    assert_eq!(back["resource"], json!(nasty));
}

#[test]
fn long_texts_are_cut_between_characters() {
    let mut long = record(&"é".repeat(line::MAX_TEXT));
    line::shorten(&mut long);
    let resource = long.resource.unwrap();
    assert!(resource.len() <= line::MAX_TEXT + '…'.len_utf8());
    assert!(resource.ends_with("é…"));
}
