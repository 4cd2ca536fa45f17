use std::{fs, path::Path};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::*;
use crate::{
    client::{Client, ClientError},
    config::{Setting, Sources},
    model::EntityRef,
    proto::v1::{CheckRequest, NamedQuestion, check_request},
};

fn config(data: &Path, extra: &[(&str, &str)]) -> Config {
    let data = data.display().to_string();
    let ours = [
        ("data", data.as_str()),
        ("listen.grpc", "127.0.0.1:0"),
        ("listen.probe", "127.0.0.1:0"),
    ];
    let flags = ours.iter().chain(extra).map(|(key, value)| Setting {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
        source: (*key).to_owned(),
    });
    Config::load(Sources {
        flags: flags.collect(),
        dev: true,
        ..Sources::default()
    })
    .unwrap()
}

struct Running {
    grpc: SocketAddr,
    probe: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ServerError>>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server under test is a task of the test"
)]
async fn start(data: &Path) -> Running {
    let server = Server::open(config(data, &[])).await.unwrap();
    let (grpc, probe) = server.addresses().unwrap();
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(server.run(async {
        let _dropped = stopped.await;
    }));
    Running {
        grpc,
        probe,
        stop,
        ended,
    }
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

fn question() -> CheckRequest {
    CheckRequest {
        subject: Some(check_request::Subject::AccessToken("a.b.c".to_owned())),
        question: Some(check_request::Question::Named(NamedQuestion {
            action: "ReadOrder".to_owned(),
            resource: Some(EntityRef::new("Order", "o-1").into()),
        })),
        ..CheckRequest::default()
    }
}

#[tokio::test]
async fn a_server_answers_probes_refuses_malformed_questions_records_them_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    assert!(
        get(running.probe, "/livez")
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        get(running.probe, "/readyz")
            .await
            .contains("\"bundles\":[{\"name\":\"default\"")
    );

    let client = Client::connect(&format!("http://{}", running.grpc))
        .await
        .unwrap();
    let request = CheckRequest {
        subject: None,
        request_id: "r-1".to_owned(),
        ..question()
    };
    let refused = match client.check(request).await.unwrap_err() {
        ClientError::Refused(refused) => refused,
        other => panic!("{other}"),
    };
    assert_eq!(refused.code, tonic::Code::InvalidArgument);
    assert_eq!(refused.reason, "malformed");
    assert_eq!(refused.violations[0].0, "subject");
    let metrics = get(running.probe, "/metrics").await;
    assert!(
        metrics.contains("doorward_refusals_total{code=\"malformed\",face=\"grpc\"} 1"),
        "{metrics}"
    );

    drop(client);
    running.stop.send(()).unwrap();
    running.ended.await.unwrap().unwrap();
    let log = fs::read_to_string(dir.path().join("decisions.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(line["decision_id"], refused.decision_id.as_str());
    assert_eq!(line["request_id"], "r-1");
    assert_eq!(line["refusal"], "malformed");
}

#[tokio::test]
async fn an_oversized_message_is_refused_and_the_server_lives() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let client = Client::connect(&format!("http://{}", running.grpc))
        .await
        .unwrap();
    let big = CheckRequest {
        bundle: "x".repeat(300 * 1024),
        ..question()
    };
    match client.check(big).await.unwrap_err() {
        ClientError::Refused(refused) => assert_eq!(refused.code, tonic::Code::OutOfRange),
        other => panic!("{other}"),
    }
    assert!(matches!(
        client.check(question()).await,
        Err(ClientError::Refused(_)) | Ok(_)
    ));
}

#[tokio::test]
async fn health_is_told_for_the_server_and_the_service() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", running.grpc));
    let mut health = HealthClient::new(endpoint.unwrap().connect().await.unwrap());
    for service in ["", "doorward.v1.DecisionService"] {
        let asked = HealthCheckRequest {
            service: service.to_owned(),
        };
        assert!(health.check(asked).await.is_ok(), "`{service}`");
    }
}

#[tokio::test]
async fn a_taken_port_is_told_with_the_flag_that_changes_it() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (key, flag) in [("listen.grpc", "--grpc"), ("listen.probe", "--probe")] {
        let why = Server::open(config(dir.path(), &[(key, &address)]))
            .await
            .unwrap_err()
            .to_string();
        assert!(why.contains(&address) && why.contains(flag), "{why}");
    }
}
