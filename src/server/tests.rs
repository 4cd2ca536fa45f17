use std::{fs, net::SocketAddr, path::Path};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::*;
use crate::{
    audit,
    authn::Mint,
    client::{Client, ClientError},
    config::{Setting, Sources},
    model::{EntityRef, SignedDuration},
    proto::v1::{Cause, CheckRequest, NamedQuestion, check_request},
};

/// A bundle in which alice, and nobody else, reads orders.
const BUNDLE: &[(&str, &str)] = &[
    (
        "schema.cedarschema",
        "entity User; entity Order;
         action ReadOrder appliesTo { principal: User, resource: Order, context: Doorward::Context };",
    ),
    (
        "orders.cedar",
        "@id(\"alice-reads\") @reason(\"She may.\")
         permit (principal == User::\"alice\", action == Action::\"ReadOrder\", resource);",
    ),
    (
        "bundle.toml",
        "name = \"orders\"\n[[principal]]\ntype = \"User\"\nid = \"{sub}\"",
    ),
];

fn config(root: &Path, extra: &[(&str, &str)]) -> Config {
    let (bundle, data) = (root.join("rules"), root.join("data"));
    fs::create_dir_all(&bundle).unwrap();
    for (name, text) in BUNDLE {
        fs::write(bundle.join(name), text).unwrap();
    }
    let (bundle, data) = (bundle.display().to_string(), data.display().to_string());
    let ours = [
        ("bundle", bundle.as_str()),
        ("data", data.as_str()),
        ("listen.grpc", "127.0.0.1:0"),
        ("listen.http", "127.0.0.1:0"),
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
    http: SocketAddr,
    probe: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ServerError>>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server under test is a task of the test"
)]
async fn start(root: &Path) -> Running {
    let server = Server::open(config(root, &[])).await.unwrap();
    let Addresses {
        grpc, http, probe, ..
    } = server.addresses().unwrap();
    let [grpc, http, probe] = [grpc, http, probe].map(tcp);
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(server.run(async {
        let _dropped = stopped.await;
    }));
    Running {
        grpc,
        http,
        probe,
        stop,
        ended,
    }
}

fn tcp(at: ListenAddress) -> SocketAddr {
    match at {
        ListenAddress::Tcp(address) => address,
        ListenAddress::Unix(path) => panic!("{}", path.display()),
    }
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

fn question() -> CheckRequest {
    ask("a.b.c")
}

fn ask(token: &str) -> CheckRequest {
    CheckRequest {
        subject: Some(check_request::Subject::AccessToken(token.to_owned())),
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
    let line = &records(dir.path())[0];
    assert_eq!(line["decision_id"], refused.decision_id.as_str());
    assert_eq!(line["request_id"], "r-1");
    assert_eq!(line["refusal"], "malformed");
}

/// What the decision log has for each question.
fn records(dir: &Path) -> Vec<serde_json::Value> {
    let log = audit::lines(&dir.join("data/audit")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &serde_json::Value| line.get("decision_id").is_some())
        .collect()
}

#[tokio::test]
async fn the_http_listener_serves_both_faces_and_records_what_they_refuse() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let missing = get(running.http, "/forward-auth/nginx").await;
    assert!(missing.starts_with("HTTP/1.1 400"), "{missing}");
    let metadata = get(running.http, "/.well-known/authzen-configuration").await;
    assert!(metadata.starts_with("HTTP/1.1 404"), "{metadata}");
    let method = get(running.http, "/access/v1/evaluation").await;
    assert!(method.starts_with("HTTP/1.1 405"), "{method}");
    running.stop.send(()).unwrap();
    running.ended.await.unwrap().unwrap();
    let records = records(dir.path());
    assert!(
        records.iter().any(|it| it["face"] == "forward_auth"),
        "{records:?}"
    );
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
    match client.check(question()).await.unwrap_err() {
        ClientError::Refused(refused) => assert_eq!(refused.reason, "invalid_token"),
        other => panic!("{other}"),
    }
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
        // Announced by a task of its own, a moment after the port is open.
        loop {
            let answer = health.check(asked.clone()).await;
            let serving = ServingStatus::Serving as i32;
            if answer.is_ok_and(|it| it.into_inner().status == serving) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_taken_port_is_told_with_the_flag_that_changes_it() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (key, flag) in [
        ("listen.grpc", "--grpc"),
        ("listen.http", "--http"),
        ("listen.probe", "--probe"),
    ] {
        let why = Server::open(config(dir.path(), &[(key, &address)]))
            .await
            .unwrap_err()
            .to_string();
        assert!(why.contains(&address) && why.contains(flag), "{why}");
    }
}

fn mint(root: &Path, sub: &str) -> String {
    let mint = Mint {
        sub: sub.to_owned(),
        scope: String::new(),
        client_id: "test".to_owned(),
        ttl: SignedDuration::from_mins(1),
        claims: Vec::new(),
    };
    let issuer = DevIssuer::open(&root.join("data")).unwrap();
    issuer.mint(&mint, clock::now()).unwrap()
}

#[tokio::test]
async fn a_token_allows_denies_or_is_refused_when_tampered_with() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    assert!(
        get(running.probe, "/readyz")
            .await
            .contains("\"ready\":true")
    );
    let client = Client::connect(&format!("http://{}", running.grpc))
        .await
        .unwrap();

    let alice = mint(dir.path(), "alice");
    let allowed = client.check(ask(&alice)).await.unwrap();
    assert!(allowed.is_allowed());
    let reason = &allowed.decision().reasons[0];
    assert_eq!(
        (reason.policy_id.as_str(), reason.reason.as_str()),
        ("alice-reads", "She may.")
    );
    assert!(
        reason.place.starts_with("orders.cedar:"),
        "development explains: {reason:?}"
    );

    let denied = client.check(ask(&mint(dir.path(), "bob"))).await.unwrap();
    assert!(!denied.is_allowed());
    assert_eq!(denied.decision().cause(), Cause::NothingPermits);

    // The first character of the signature: every bit of it counts.
    let (signed, signature) = alice.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{signed}.{first}{}", signature.get(1..).unwrap());
    match client.check(ask(&forged)).await.unwrap_err() {
        ClientError::Refused(refused) => {
            assert_eq!(refused.reason, "invalid_token");
            assert_eq!(refused.code, tonic::Code::Unauthenticated);
        }
        other => panic!("{other}"),
    }

    drop(client);
    running.stop.send(()).unwrap();
    running.ended.await.unwrap().unwrap();
    let log = audit::lines(&dir.path().join("data/audit")).unwrap();
    let kinds: Vec<_> = records(dir.path())
        .into_iter()
        .map(|it| it["kind"].clone())
        .collect();
    assert_eq!(kinds, ["decision", "decision", "refusal"]);
    assert!(
        log.contains("\"reason\":\"signature_invalid\"") && !log.contains(&alice),
        "{log}"
    );
}

#[tokio::test]
async fn a_bundle_that_is_not_valid_is_told_and_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), &[]);
    fs::write(
        dir.path().join("rules/orders.cedar"),
        "permit (principal, action, resource)",
    )
    .unwrap();
    let server = Server::open(config).await.unwrap();
    let state = (server.engine.readiness)();
    assert!(!state.is_ready());
    let told = serde_json::to_string(&state.degraded).unwrap();
    assert!(told.contains("orders.cedar\",\"line\":1"), "{told}");
}

#[tokio::test]
async fn reflection_lists_the_service() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", running.grpc));
    let mut client = ServerReflectionClient::new(endpoint.unwrap().connect().await.unwrap());
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = client
        .server_reflection_info(tokio_stream::once(asked))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = list.service.iter().map(|it| it.name.as_str()).collect();
    for name in ["doorward.v1.DecisionService", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[tokio::test]
async fn garbage_on_the_port_harms_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    for garbage in [
        &b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"[..],
        &[0x16, 3, 1, 2, 0, 1, 0],
        &[0xff; 4096],
    ] {
        let mut stream = TcpStream::connect(running.grpc).await.unwrap();
        // It may be cut off while it still speaks.
        let _cut_off = stream.write_all(garbage).await;
        let _cut_off = stream.shutdown().await;
    }
    let client = Client::connect(&format!("http://{}", running.grpc))
        .await
        .unwrap();
    assert!(
        client
            .check(ask(&mint(dir.path(), "alice")))
            .await
            .unwrap()
            .is_allowed()
    );
}

#[tokio::test]
async fn clients_that_stay_connected_do_not_hold_the_end_up() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let client = Client::connect(&format!("http://{}", running.grpc))
        .await
        .unwrap();
    assert!(client.check(ask(&mint(dir.path(), "alice"))).await.is_ok());
    running.stop.send(()).unwrap();
    tokio::time::timeout(LimitsConfig::default().drain, running.ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(matches!(
        client.check(question()).await,
        Err(ClientError::Refused(_))
    ));
}

#[tokio::test]
async fn a_task_that_dies_ends_the_server_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::open(config(dir.path(), &[])).await.unwrap();
    // With nobody left to write for, the writer ends, which it never does while the server lives.
    let other = dir.path().join("other");
    let config = crate::config::AuditConfig::default();
    let configuration = String::new();
    let metrics = Arc::new(Metrics::new());
    let disk = Arc::new(crate::ledger::RealDisk);
    let log = audit::open(disk, &config, &other, configuration, metrics, clock::now).unwrap();
    drop((log.recorder, log.sealer));
    server.log.as_mut().unwrap().writer = log.writer;
    let death = server.run(std::future::pending()).await.unwrap_err();
    assert_eq!(death.to_string(), "the task `decision log` died: it ended");
    let server = Server::open(self::config(&dir.path().join("b"), &[]));
    let server = server.await.unwrap();
    // Only the server's own end asks the ledger to end.
    let store = Arc::clone(&server.kept.store);
    let (ended, ()) = tokio::join!(server.run(std::future::pending()), store.end());
    let death = ended.unwrap_err();
    assert_eq!(death.to_string(), "the task `ledger` died: it ended");
}

#[tokio::test]
async fn a_server_that_cannot_read_a_record_is_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::open(config(dir.path(), &[])).await.unwrap();
    let store = Arc::clone(&server.kept.store);
    let probe = tcp(server.addresses().unwrap().probe);
    let told = async {
        let ready = get(probe, "/readyz").await;
        assert!(ready.contains(" 200 OK"), "{ready}");
        store.write_unknown().await.unwrap();
        let ready = get(probe, "/readyz").await;
        assert!(
            ready.contains(" 503 ") && ready.contains("\"what\":\"records\""),
            "{ready}"
        );
        let metrics = get(probe, "/metrics").await;
        assert!(
            metrics.contains("doorward_store_failing{part=\"records\"} 1"),
            "{metrics}"
        );
    };
    tokio::select! {
        () = told => {}
        ended = server.run(std::future::pending()) => panic!("{ended:?}"),
    }
}

#[track_caller]
fn hosts(listener: &str, listed: &[&str], known_by: Option<&str>, expected: &[&str]) {
    let listed: Vec<_> = listed.iter().map(|it| (*it).to_owned()).collect();
    let found = own_hosts(
        &listener.parse().unwrap(),
        &listed,
        known_by.and_then(host_of),
    );
    assert_eq!(found, expected, "{listener}");
}

#[test]
fn a_listener_answers_to_its_own_names_where_pages_of_others_could_ask() {
    let (here, there) = ("127.0.0.1:8181", "10.0.0.1:8181");
    let url = Some("https://pdp.example:8443/authz");
    hosts(here, &[], None, &["localhost", "127.0.0.1", "[::1]"]);
    hosts(
        here,
        &["a"],
        url,
        &["a", "pdp.example", "localhost", "127.0.0.1", "[::1]"],
    );
    hosts(there, &[], url, &[]);
    hosts(there, &["a"], url, &["a", "pdp.example"]);
    hosts("unix:/run/d.sock", &[], url, &[]);
}
