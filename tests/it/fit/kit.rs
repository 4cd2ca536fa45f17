//! A whole server in the process, or the real program, and those who ask it.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use doorward::{
    authn::{DevIssuer, Mint},
    config::{Config, ListenAddress, Setting, Sources},
    model::{EntityRef, SignedDuration},
    proto::v1::{
        CheckRequest, NamedQuestion,
        check_request::{Question, Subject},
        decision_service_client::DecisionServiceClient,
    },
    server::{Addresses, Server, ServerError, clock},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};
use tonic::transport::{Channel, Endpoint};

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

/// Writes the bundle and returns a configuration of a development server with it.
pub(crate) fn config(root: &Path, extra: &str) -> Result<Config, String> {
    let rules = root.join("rules");
    fs::create_dir_all(&rules).unwrap();
    for (name, text) in BUNDLE {
        fs::write(rules.join(name), text).unwrap();
    }
    let file = root.join("doorward.toml");
    fs::write(
        &file,
        format!("bundle = \"rules\"\ndata = \"data\"\n{extra}"),
    )
    .unwrap();
    let flags = [
        ("listen.grpc", "127.0.0.1:0"),
        ("listen.probe", "127.0.0.1:0"),
    ];
    Config::load(Sources {
        file: Some(file),
        flags: flags
            .into_iter()
            .filter(|(key, _)| !extra.contains(&format!("{} =", key.replace("listen.", ""))))
            .map(|(key, value)| Setting {
                key: key.to_owned(),
                value: value.to_owned(),
                source: key.to_owned(),
            })
            .collect(),
        dev: true,
        ..Sources::default()
    })
    .map_err(|why| why.to_string())
}

/// A server in this process.
pub(crate) struct Running {
    pub(crate) grpc: SocketAddr,
    pub(crate) probe: SocketAddr,
    pub(crate) root: TempDir,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<JoinHandle<Result<(), ServerError>>>,
}

impl Running {
    /// Starts one with these further lines in its configuration.
    pub(crate) async fn start(extra: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let server = Server::open(config(root.path(), extra).unwrap())
            .await
            .unwrap();
        let Addresses { grpc, probe } = server.addresses().unwrap();
        let [grpc, probe] = [grpc, probe].map(|at| match at {
            ListenAddress::Tcp(address) => address,
            ListenAddress::Unix(_) => SocketAddr::from(([127, 0, 0, 1], 0)),
        });
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(server.run(async {
            let _dropped = stopped.await;
        }));
        Self {
            grpc,
            probe,
            root,
            stop: Some(stop),
            ended: Some(ended),
        }
    }

    /// A token of the embedded issuer.
    pub(crate) fn token(&self, sub: &str) -> String {
        token(self.root.path(), sub)
    }

    pub(crate) async fn client(&self) -> DecisionServiceClient<Channel> {
        let url = format!("http://{}", self.grpc);
        let endpoint = Endpoint::from_shared(url).unwrap();
        DecisionServiceClient::new(endpoint.connect().await.unwrap())
    }

    /// The page of metrics.
    pub(crate) async fn metrics(&self) -> String {
        get(self.probe, "/metrics").await
    }

    /// Asks it to end, without waiting.
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> Result<(), ServerError> {
        let ended = self.ended.take().unwrap();
        tokio::time::timeout(Duration::from_secs(30), ended)
            .await
            .unwrap()
            .unwrap()
    }

    /// The lines of the decision log, after the end.
    pub(crate) fn records(&self) -> Vec<serde_json::Value> {
        let log = fs::read_to_string(self.root.path().join("data/decisions.jsonl")).unwrap();
        log.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

pub(crate) fn token(root: &Path, sub: &str) -> String {
    let mint = Mint {
        sub: sub.to_owned(),
        scope: String::new(),
        client_id: "test".to_owned(),
        ttl: SignedDuration::from_mins(10),
        claims: Vec::new(),
    };
    let issuer = DevIssuer::open(&root.join("data")).unwrap();
    issuer.mint(&mint, clock::now()).unwrap()
}

/// May the holder of `token` read order `o-1`?
pub(crate) fn ask(token: &str) -> CheckRequest {
    CheckRequest {
        subject: Some(Subject::AccessToken(token.to_owned())),
        ..unasked()
    }
}

/// The same about nobody yet.
pub(crate) fn unasked() -> CheckRequest {
    CheckRequest {
        question: Some(Question::Named(NamedQuestion {
            action: "ReadOrder".to_owned(),
            resource: Some(EntityRef::new("Order", "o-1").into()),
        })),
        ..CheckRequest::default()
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}
