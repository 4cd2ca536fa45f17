//! The log, sent on.

use std::{
    collections::VecDeque,
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    common::v1::any_value::Value,
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use super::*;

fn log_of(root: &Path) -> String {
    doorward::audit::lines(&root.join("data/audit")).unwrap()
}

/// A server with these receivers that is asked as often, until its end.
async fn run(root: TempDir, sink: &str, names: &[&str]) -> (TempDir, Vec<String>) {
    let mut server = Running::start_in(root, true, &format!("{REQUIRED}{sink}")).await;
    let made = asked(&server, names).await;
    server.stop();
    server.ended().await.unwrap();
    (server.root, made)
}

#[tokio::test]
async fn a_file_has_every_line_once_over_restarts_and_rotations() {
    let sink = "[audit.sink]\npath = \"out.jsonl\"\n";
    let root = tempfile::tempdir().unwrap();
    let (root, _) = run(root, sink, &["alice", "bob"]).await;
    let out = root.path().join("out.jsonl");
    assert_eq!(fs::read_to_string(&out).unwrap(), log_of(root.path()));
    // What comes while it is not sent on is sent later.
    let (root, _) = run(root, "", &["alice"]).await;
    fs::rename(&out, root.path().join("older.jsonl")).unwrap();
    let (root, _) = run(root, sink, &["bob"]).await;
    let older = fs::read_to_string(root.path().join("older.jsonl")).unwrap();
    assert_eq!(
        older + &fs::read_to_string(&out).unwrap(),
        log_of(root.path())
    );
}

#[tokio::test]
async fn a_file_of_ocsf_has_the_decisions() {
    let sink = "[audit.sink]\npath = \"out.ocsf\"\nformat = \"ocsf\"\n";
    let (root, made) = run(tempfile::tempdir().unwrap(), sink, &["alice", "bob"]).await;
    let text = fs::read_to_string(root.path().join("out.ocsf")).unwrap();
    let events = text.lines().map(|it| serde_json::from_str(it).unwrap());
    let ids: Vec<String> = events
        .map(|event: serde_json::Value| {
            assert_eq!(event["class_uid"], 6003);
            event["metadata"]["uid"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(ids, made);
}

/// A collector that answers as it is told to, and notes the bodies that it took.
#[derive(Clone, Default)]
struct Collector {
    answers: Arc<Mutex<VecDeque<Status>>>,
    /// Requests with this text are refused for themselves.
    poison: Arc<Mutex<Option<String>>>,
    taken: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        if let Some(status) = self.answers.lock().unwrap().pop_front() {
            return Err(status);
        }
        let logs = request.into_inner().resource_logs.into_iter();
        let records = logs
            .flat_map(|it| it.scope_logs)
            .flat_map(|it| it.log_records);
        let bodies = records.map(|it| match it.body.unwrap().value.unwrap() {
            Value::StringValue(text) => text,
            other => panic!("{other:?}"),
        });
        let bodies: Vec<String> = bodies.collect();
        let poison = self.poison.lock().unwrap().clone();
        if poison.is_some_and(|it| bodies.iter().any(|body| body.contains(&it))) {
            return Err(Status::invalid_argument("I will not have it"));
        }
        self.taken.lock().unwrap().extend(bodies);
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

async fn serve(collector: Collector) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(LogsServiceServer::new(collector))
            .serve_with_incoming(TcpIncoming::from(listener)),
    );
    address
}

#[tokio::test]
async fn a_collector_has_every_entry_though_it_was_away() {
    let collector = Collector::default();
    collector.answers.lock().unwrap().extend([
        Status::unavailable("not yet"),
        Status::resource_exhausted("slower"),
    ]);
    let sink = format!(
        "[audit.sink]\notlp = \"http://{}\"\n",
        serve(collector.clone()).await
    );
    // At its end the server does not wait for a collector that is away; the next one goes on.
    let mut root = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for name in ["alice", "bob", "alice"] {
        let made;
        (root, made) = run(root, &sink, &[name]).await;
        all.extend(made);
    }
    let lines = log_of(root.path());
    let expected: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let taken = collector.taken.lock().unwrap().clone();
    let taken: Vec<serde_json::Value> = taken
        .iter()
        .map(|body| serde_json::from_str(body).unwrap())
        .collect();
    assert_eq!(taken, expected);
    let ids: Vec<&str> = taken
        .iter()
        .filter_map(|it| it["decision_id"].as_str())
        .collect();
    assert_eq!(ids, all);
}

#[tokio::test]
async fn what_a_collector_will_not_have_is_counted_and_all_else_arrives() {
    let collector = Collector::default();
    let sink = format!(
        "[audit.sink]\notlp = \"http://{}\"\n",
        serve(collector.clone()).await
    );
    let extra = format!("{REQUIRED}{sink}");
    *collector.poison.lock().unwrap() = Some("User::\\\"carol\\\"".to_owned());
    let server = Running::start_in(tempfile::tempdir().unwrap(), true, &extra).await;
    let made = asked(&server, &["alice", "bob", "carol", "alice"]).await;
    let has = |id: &String| {
        let taken = collector.taken.lock().unwrap();
        taken.iter().any(|body| body.contains(id.as_str()))
    };
    let began = std::time::Instant::now();
    while !has(&made[3])
        || !server
            .metrics()
            .await
            .contains("sink_missed_total{sink=\"otlp\"} 1")
    {
        assert!(began.elapsed() < crate::program::PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!([0, 1, 2].map(|n| has(&made[n])), [true, true, false]);
}
