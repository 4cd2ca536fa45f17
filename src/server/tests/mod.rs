//! The composed server, asked over its own ports.

mod answers;
mod hostile;
mod start;
mod trouble;

use std::{fs, net::SocketAddr, path::Path};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

use super::*;
use crate::{
    audit,
    authn::Mint,
    client::{Client, ClientError},
    config::{Setting, Sources},
    model::{EntityRef, SignedDuration},
    proto::v1::{CheckRequest, NamedQuestion, check_request},
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

/// What the decision log has for each question.
fn records(dir: &Path) -> Vec<serde_json::Value> {
    let log = audit::lines(&dir.join("data/audit")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &serde_json::Value| line.get("decision_id").is_some())
        .collect()
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
